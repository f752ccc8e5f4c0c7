//! The comparison must find what it is there to find.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use http::HeaderMap;
use serde_json::json;

use super::*;

fn recorded(answer: &str) -> Exchange {
    serde_json::from_value(json!({
        "method": "GET", "path": "/workspaces", "headers": {}, "body": null, "status": 200,
        "type": "application/json; charset=utf-8", "answer": answer,
        "answer_headers": {"location": "/x"}
    }))
    .unwrap()
}

fn answered(status: u16, body: &str) -> Answer {
    let mut headers = HeaderMap::new();
    let json = "application/json; charset=utf-8";
    headers.insert("content-type", json.parse().unwrap());
    headers.insert("location", "/x".parse().unwrap());
    Answer {
        status,
        headers,
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

fn differences(exchange: &Exchange, answer: &Answer) -> Vec<String> {
    compare_recorded(exchange, answer, &Variables::default())
}

#[test]
fn the_recorded_answer_and_additional_members_agree() {
    let exchange = recorded(r#"{"status":"ok"}"#);
    assert_eq!(
        differences(&exchange, &answered(200, r#"{"status":"ok"}"#)),
        [""; 0]
    );
    let more = answered(200, r#"{"epoch":0,"status":"ok"}"#);
    assert_eq!(differences(&exchange, &more), [""; 0]);
}

#[test]
fn member_order_blanks_and_number_form_are_differences() {
    let exchange = recorded(r#"{"a":1,"b":0.5}"#);
    for other in [
        r#"{"b":0.5,"a":1}"#,
        r#"{"a": 1,"b":0.5}"#,
        r#"{"a":1.0,"b":0.5}"#,
    ] {
        let found = differences(&exchange, &answered(200, other));
        assert_eq!(found.len(), 1, "{other}: {found:?}");
    }
}

#[test]
fn status_type_and_headers_are_compared() {
    let exchange = recorded("[]");
    assert_eq!(differences(&exchange, &answered(201, "[]")).len(), 1);
    let mut untyped = answered(200, "[]");
    untyped.headers.clear();
    assert_eq!(differences(&exchange, &untyped).len(), 2);
}

#[test]
fn unordered_lists_compare_as_multisets() {
    let mut exchange = recorded(r#"[{"a":1},{"a":1},{"a":2}]"#);
    exchange.unordered = true;
    let shuffled = answered(200, r#"[{"a":2},{"a":1},{"a":1}]"#);
    assert_eq!(differences(&exchange, &shuffled), [""; 0]);
    let fewer = answered(200, r#"[{"a":2},{"a":1}]"#);
    assert_eq!(differences(&exchange, &fewer).len(), 1);
}

#[test]
fn an_expectation_is_judged_on_status_body_and_what_the_row_allows() {
    let expected: Expectation = serde_json::from_value(json!({
        "story": "s", "n": 1, "deviation": "D37", "status": 400,
        "pattern": r#"\{"error":"[^"]*tier[^"]*"\}"#
    }))
    .unwrap();
    let mut exchange = recorded("{}");
    exchange.candor_status = Some(serde_json::from_value(json!([400, 404])).unwrap());
    let judge = |answer: &Answer| {
        compare_expected(&expected, &exchange, answer, &Variables::default()).len()
    };
    assert_eq!(judge(&answered(400, r#"{"error":"tier is no number"}"#)), 0);
    assert_eq!(judge(&answered(404, r#"{"error":"tier is no number"}"#)), 1);
    assert_eq!(judge(&answered(500, r#"{"error":"tier"}"#)), 2);
    assert_eq!(judge(&answered(400, r#"{"error":"name"}"#)), 1);
}
