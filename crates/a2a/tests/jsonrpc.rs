//! The envelope: what is read, what is refused and under which id, and that
//! bytes stay as they came.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use candor_a2a::ErrorKind::{InvalidAgentResponse, InvalidParams, InvalidRequest, Parse};
use candor_a2a::jsonrpc::{
    Id, Response, error_body, parse_request, parse_response, request_body, result_body,
};
use candor_a2a::{Error, ErrorKind};
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn what_is_right_keeps_its_id_and_params_byte_for_byte() {
    let rows = [
        (r#""a b""#, Some(r#"{ "x" : 1.0 }"#)),
        (r#""é\"""#, Some("{}")),
        ("7", None),
        ("-7.50", None),
        ("123456789012345678901234567890", Some(r#"{"n":1e5}"#)),
        ("null", None),
    ];
    for (id, params) in rows {
        let body = request_body(&Id::NULL, "tasks/get", params)
            .replace("\"id\":null", &format!("\"id\" : {id} "));
        let request = parse_request(body.as_bytes()).unwrap();
        assert_eq!(request.id.as_json(), id);
        assert_eq!(request.method, "tasks/get");
        assert_eq!(request.params.map(|raw| raw.get()), params);
    }
}

#[test]
fn absent_ids_and_null_params_are_read() {
    let request = parse_request(br#"{"jsonrpc":"2.0","method":"message\/send","params":null}"#);
    let request = request.unwrap();
    assert_eq!(request.id, Id::NULL);
    assert_eq!(request.method, "message/send");
    assert!(request.params.is_none());
}

#[test]
fn what_is_wrong_is_refused_under_the_id_that_can_be_read() {
    let rows: [(&str, ErrorKind, &str); 20] = [
        ("", Parse, "null"),
        ("{", Parse, "null"),
        ("[1,", Parse, "null"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x"} y"#, Parse, "null"),
        ("\"\u{1}\"", Parse, "null"),
        ("[]", InvalidRequest, "null"),
        (
            r#"[{"jsonrpc":"2.0","id":1,"method":"x"}]"#,
            InvalidRequest,
            "null",
        ),
        ("1", InvalidRequest, "null"),
        ("null", InvalidRequest, "null"),
        (
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"x"}"#,
            InvalidRequest,
            "null",
        ),
        (r#"{"id":1,"method":"x"}"#, InvalidRequest, "1"),
        (
            r#"{"jsonrpc":"1.0","id":1,"method":"x"}"#,
            InvalidRequest,
            "1",
        ),
        (
            r#"{"jsonrpc":2.0,"id":"a","method":"x"}"#,
            InvalidRequest,
            "\"a\"",
        ),
        (r#"{"jsonrpc":"2.0","id":1}"#, InvalidRequest, "1"),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":5}"#,
            InvalidRequest,
            "1",
        ),
        (
            r#"{"jsonrpc":"2.0","id":{},"method":"x"}"#,
            InvalidRequest,
            "null",
        ),
        (
            r#"{"jsonrpc":"2.0","id":true,"method":"x"}"#,
            InvalidRequest,
            "null",
        ),
        (
            r#"{"jsonrpc":"2.0","id":[1],"method":"x"}"#,
            InvalidRequest,
            "null",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":[1]}"#,
            InvalidParams,
            "1",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":"p"}"#,
            InvalidParams,
            "1",
        ),
    ];
    for (body, kind, id) in rows {
        let refused = parse_request(body.as_bytes()).unwrap_err();
        assert_eq!(refused.error.kind(), kind, "{body}");
        assert_eq!(refused.id.as_json(), id, "{body}");
        let answer: Value = serde_json::from_str(&refused.body()).unwrap();
        assert_eq!(answer["jsonrpc"], "2.0");
        assert_eq!(answer["id"].to_string(), id);
        assert_eq!(answer["error"]["code"], kind.jsonrpc_code());
    }
    assert_eq!(parse_request(b"\"\xff\"").unwrap_err().error.kind(), Parse);
}

#[test]
fn an_answer_is_a_result_or_an_error_and_null_is_a_result() {
    let result = |body: &str| match parse_response(body.as_bytes()) {
        Ok(Response::Result(raw)) => raw.get().to_owned(),
        other => panic!("{body}: {other:?}"),
    };
    assert_eq!(result(r#"{"jsonrpc":"2.0","id":1,"result":{ }}"#), "{ }");
    assert_eq!(result(r#"{"jsonrpc":"2.0","id":1,"result":null}"#), "null");
    assert_eq!(result(r#"{"result":[],"error":null}"#), "[]");
    let failed = parse_response(br#"{"id":1,"error":{"code":-32001},"result":null}"#).unwrap();
    assert!(matches!(failed, Response::Error(raw) if raw.get() == r#"{"code":-32001}"#));
    for body in ["", "[]", "{}", "<html>", r#"{"error":null}"#] {
        let error = parse_response(body.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), InvalidAgentResponse, "{body}");
    }
}

#[test]
fn bodies_that_are_built_are_json() {
    let id = Id::text("say \"hi\"");
    let body: Value = serde_json::from_str(&result_body(&id, "[1]")).unwrap();
    assert_eq!(
        body,
        json!({"jsonrpc": "2.0", "id": "say \"hi\"", "result": [1]})
    );
    let error = Error::new(ErrorKind::TaskNotFound, "no task \"7\"").with("taskId", "7");
    let body: Value = serde_json::from_str(&error_body(&id, &error)).unwrap();
    let expected = json!({
        "jsonrpc": "2.0", "id": "say \"hi\"",
        "error": {"code": -32001, "message": "no task \"7\"", "data": [{
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "TASK_NOT_FOUND", "domain": "a2a-protocol.org",
            "metadata": {"taskId": "7"},
        }]},
    });
    assert_eq!(body, expected);
}

proptest! {
    #[test]
    fn no_bytes_make_it_fall_over(body in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = parse_request(&body);
        let _ = parse_response(&body);
    }

    #[test]
    fn what_is_built_reads_back(id in ".*", method in ".*", key in ".*") {
        let params = json!({ key: 1 }).to_string();
        let body = request_body(&Id::text(&id), &method, Some(&params));
        let request = parse_request(body.as_bytes()).unwrap();
        prop_assert_eq!(&request.id, &Id::text(&id));
        prop_assert_eq!(&request.method, &method);
        prop_assert_eq!(request.params.map(|raw| raw.get()), Some(params.as_str()));
    }
}
