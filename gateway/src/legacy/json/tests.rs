#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::bind::{BindError, Malformed, Object};
use super::encode::{Map, Members, Struct, Writer, array, error_body};
use super::heartbeat::{HeartbeatFields, RuntimeMetadata, TurnProgress, parse_heartbeat};
use super::time::rfc3339;
use chrono::{DateTime, Utc};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn object(text: &str) -> Object {
    Object::parse(text.as_bytes()).expect(text)
}

// === reading ===

#[test]
fn only_objects_and_null_are_bodies() {
    for bad in [
        "",
        " ",
        "[]",
        "1",
        "\"x\"",
        "true",
        "{",
        "{\"a\":}",
        "{\"a\":01}",
        "{\"a\":\"\\x\"}",
        "{a:1}",
        "{\"a\":\"\n\"}",
    ] {
        assert_eq!(Object::parse(bad.as_bytes()), Err(Malformed), "{bad:?}");
    }
    assert_eq!(object("null"), Object::default());
    assert_eq!(object(" {} "), Object::default());
}

#[test]
fn what_follows_the_first_value_is_ignored() {
    assert_eq!(object(r#"{"a":1} trailing"#).integer_i64("a"), Ok(Some(1)));
    assert_eq!(object(r#"{"a":1}{"a":2}"#).integer_i64("a"), Ok(Some(1)));
    assert_eq!(object("{\"a\":1}\u{0}").integer_i64("a"), Ok(Some(1)));
}

#[test]
fn names_match_in_any_case_and_the_last_wins() {
    let body = object(r#"{"Name":"a","NAME":"b","name":"c","n\u0061Me":"d"}"#);
    assert_eq!(body.string("name"), Ok(Some("d".into())));
    assert_eq!(
        object("{\"ta\u{17f}\u{212a}\":\"x\"}").string("task"),
        Ok(Some("x".into()))
    );
    assert_eq!(
        object(r#"{"name":1,"name":"ok"}"#).string("name"),
        Ok(Some("ok".into()))
    );
}

#[test]
fn null_is_absent_but_known_to_raw() {
    let body = object(r#"{"a":null}"#);
    assert_eq!(body.string("a"), Ok(None));
    assert_eq!(body.integer_i32("a"), Ok(None));
    assert_eq!(body.float("a"), Ok(None));
    assert_eq!(body.boolean("a"), Ok(None));
    assert_eq!(body.object("a"), Ok(None));
    assert_eq!(body.array("a"), Ok(None));
    assert_eq!(body.string_map("a"), Ok(None));
    assert_eq!(body.required_string("a"), Err(Malformed));
    assert_eq!((body.raw("a"), body.has("a")), (Some("null"), true));
    assert_eq!((body.raw("b"), body.has("b")), (None, false));
}

#[test]
fn required_strings_are_not_empty() {
    assert_eq!(object(r#"{"a":""}"#).required_string("a"), Err(Malformed));
    assert_eq!(object(r#"{"a":" "}"#).required_string("a"), Ok(" ".into()));
    assert_eq!(object("{}").required_string("a"), Err(Malformed));
    assert_eq!(object(r#"{"a":""}"#).string("a"), Ok(Some(String::new())));
}

#[test]
fn integers_are_strict() {
    for bad in [
        "1.5",
        "1.0",
        "1e3",
        "\"1\"",
        "true",
        "[]",
        "{}",
        "9223372036854775808",
    ] {
        let body = object(&format!("{{\"n\":{bad}}}"));
        assert_eq!(body.integer_i64("n"), Err(Malformed), "{bad}");
        assert_eq!(body.integer_i32("n"), Err(BindError::Malformed), "{bad}");
    }
    assert_eq!(object(r#"{"n":-0}"#).integer_i64("n"), Ok(Some(0)));
    assert_eq!(
        object(r#"{"n":2147483647}"#).integer_i32("n"),
        Ok(Some(i32::MAX))
    );
    assert_eq!(
        object(r#"{"n":2147483648}"#).integer_i32("n"),
        Err(BindError::OutOfRange { field: "n" })
    );
    assert_eq!(
        object(r#"{"n":2147483648}"#).integer_i64("n"),
        Ok(Some(2_147_483_648))
    );
}

#[test]
fn floats_and_booleans_are_strict() {
    assert_eq!(object(r#"{"x":1e-3}"#).float("x"), Ok(Some(0.001)));
    assert_eq!(object(r#"{"x":1}"#).float("x"), Ok(Some(1.0)));
    for bad in ["\"1\"", "1e400", "true", "\"NaN\"", "[]"] {
        assert_eq!(
            object(&format!("{{\"x\":{bad}}}")).float("x"),
            Err(Malformed),
            "{bad}"
        );
    }
    assert_eq!(object(r#"{"x":true}"#).boolean("x"), Ok(Some(true)));
    assert_eq!(object(r#"{"x":1}"#).boolean("x"), Err(Malformed));
}

#[test]
fn raw_text_survives() {
    let body = object(
        r#"{"n":123456789012345678901234567890,"f":1000.0,"o":{"b": 1, "a":[1,2]},"l":[1.0,"x",null]}"#,
    );
    assert_eq!(body.raw("n"), Some("123456789012345678901234567890"));
    assert_eq!(body.raw("f"), Some("1000.0"));
    assert_eq!(body.raw("o"), Some(r#"{"b": 1, "a":[1,2]}"#));
    assert_eq!(body.object("o").unwrap().unwrap().raw("A"), Some("[1,2]"));
    assert_eq!(
        body.array("l"),
        Ok(Some(vec!["1.0".into(), "\"x\"".into(), "null".into()]))
    );
    assert_eq!(body.array("o"), Err(Malformed));
    assert_eq!(body.object("l"), Err(Malformed));
}

#[test]
fn string_maps_keep_case_and_read_null_as_empty() {
    let map = object(r#"{"m":{"A":"1","a":"2","n":null}}"#)
        .string_map("m")
        .unwrap()
        .unwrap();
    let expected = [("A", "1"), ("a", "2"), ("n", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(map, BTreeMap::from(expected));
    assert_eq!(object(r#"{"m":{"a":1}}"#).string_map("m"), Err(Malformed));
}

#[test]
fn broken_unicode_becomes_the_replacement_character() {
    assert_eq!(
        object(r#"{"s":"\ud800"}"#).string("s"),
        Ok(Some("\u{fffd}".into()))
    );
    assert_eq!(
        object(r#"{"s":"a\udc00\ud83d\ude00\ud800\u0041z"}"#).string("s"),
        Ok(Some("a\u{fffd}😀\u{fffd}Az".into()))
    );
    assert_eq!(
        object(r#"{"\ud800":1,"s":"\"\\\/\b\f\n\r\t"}"#).string("s"),
        Ok(Some("\"\\/\u{8}\u{c}\n\r\t".into()))
    );
    let body = Object::parse(b"{\"s\":\"a\xffb\"}").unwrap();
    assert_eq!(body.string("s"), Ok(Some("a\u{fffd}b".into())));
}

#[test]
fn deep_nesting_is_no_stack_overflow() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(object(&deep).has("a"));
    assert!(parse_heartbeat(deep.replacen("{", "{\"workspace_id\":\"w\",", 1).as_bytes()).is_ok());
}

// === heartbeats ===

#[test]
fn a_full_beat() {
    let body = br#"{"Workspace_ID":"old","workspace_id":"w","error_rate":0.5,"sample_error":"e","active_tasks":2,
        "uptime_seconds":9,"current_task":"t","monthly_spend":3000000000,"runtime_state":"wedged","other":[{}],
        "runtime_metadata":{"capabilities":{"scheduler":true,"session":null},"idle_timeout_seconds":60,"x":1},
        "expect_quiet_until":"2026-01-02T04:04:05.5+01:00",
        "turn_progress":{"begun":4,"answered":2,"failed":1,"moved":18446744073709551615,"other":[]}} rest"#;
    let expected = HeartbeatFields {
        workspace_id: "w".into(),
        error_rate: Some(0.5),
        sample_error: Some("e".into()),
        active_tasks: Some(2),
        uptime_seconds: Some(9),
        current_task: Some("t".into()),
        monthly_spend: Some(3_000_000_000),
        runtime_state: Some("wedged".into()),
        runtime_metadata: Some(RuntimeMetadata {
            capabilities: Some(BTreeMap::from([
                ("scheduler".into(), true),
                ("session".into(), false),
            ])),
            idle_timeout_seconds: Some(60),
        }),
        expect_quiet_until: Some("2026-01-02T03:04:05.5Z".parse().unwrap()),
        turn_progress: Some(TurnProgress {
            begun: 4,
            answered: 2,
            failed: 1,
            moved: u64::MAX,
        }),
    };
    assert_eq!(parse_heartbeat(body), Ok(expected));
}

#[test]
fn beats_need_a_workspace_and_right_types() {
    for bad in [
        "",
        "null",
        "{}",
        r#"{"workspace_id":""}"#,
        r#"{"workspace_id":1}"#,
        r#"{"workspace_id":"w","active_tasks":1.5}"#,
        r#"{"workspace_id":"w","active_tasks":3000000000,"uptime_seconds":"1"}"#,
        r#"{"workspace_id":"w","error_rate":"0"}"#,
        r#"{"workspace_id":"w","runtime_metadata":[]}"#,
        r#"{"workspace_id":"w","runtime_metadata":{"capabilities":{"a":1}}}"#,
        r#"{"workspace_id":"w","x":}"#,
        r#"{"workspace_id":"w","expect_quiet_until":"soon"}"#,
        r#"{"workspace_id":"w","expect_quiet_until":7}"#,
        r#"{"workspace_id":"w","turn_progress":7}"#,
        r#"{"workspace_id":"w","turn_progress":{"begun":-1}}"#,
    ] {
        assert_eq!(
            parse_heartbeat(bad.as_bytes()),
            Err(BindError::Malformed),
            "{bad}"
        );
    }
}

#[test]
fn big_integers_of_beats_are_named() {
    for field in ["active_tasks", "uptime_seconds"] {
        let body = format!(r#"{{"workspace_id":"w","{field}":-2147483649}}"#);
        assert_eq!(
            parse_heartbeat(body.as_bytes()),
            Err(BindError::OutOfRange { field })
        );
    }
    let nested = r#"{"workspace_id":"w","runtime_metadata":{"idle_timeout_seconds":2147483648}}"#;
    assert_eq!(
        parse_heartbeat(nested.as_bytes()),
        Err(BindError::OutOfRange {
            field: "idle_timeout_seconds"
        })
    );
}

/// The same fields read the slow way.
fn beat_by_object(body: &[u8]) -> Result<HeartbeatFields, BindError> {
    let body = Object::parse(body)?;
    let runtime_metadata = match body.object("runtime_metadata")? {
        None => None,
        Some(meta) => Some(RuntimeMetadata {
            capabilities: match meta.object("capabilities")? {
                None => None,
                Some(map) => {
                    let names: Vec<String> =
                        map.members().map(|(name, _)| name.to_owned()).collect();
                    let last = |name: &str| {
                        map.members()
                            .filter(|(n, _)| *n == name)
                            .last()
                            .map(|(_, v)| v.to_owned())
                    };
                    let mut flags = BTreeMap::new();
                    for name in names {
                        let flag = match last(&name).as_deref() {
                            Some("true") => true,
                            Some("false" | "null") => false,
                            _ => return Err(BindError::Malformed),
                        };
                        flags.insert(name, flag);
                    }
                    Some(flags)
                }
            },
            idle_timeout_seconds: meta.integer_i32("idle_timeout_seconds")?,
        }),
    };
    Ok(HeartbeatFields {
        workspace_id: body.required_string("workspace_id")?,
        error_rate: body.float("error_rate")?,
        sample_error: body.string("sample_error")?,
        active_tasks: body.integer_i32("active_tasks")?,
        uptime_seconds: body.integer_i32("uptime_seconds")?,
        current_task: body.string("current_task")?,
        monthly_spend: body.integer_i64("monthly_spend")?,
        runtime_state: body.string("runtime_state")?,
        expect_quiet_until: body
            .string("expect_quiet_until")?
            .map(|text| DateTime::parse_from_rfc3339(&text))
            .transpose()
            .map_err(|_| BindError::Malformed)?
            .map(|time| time.to_utc()),
        turn_progress: None,
        runtime_metadata,
    })
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just(r#""\ud800x""#.to_owned()),
        Just("1.0".to_owned()),
        Just("3000000000".to_owned()),
        (0i32..100).prop_map(|n| n.to_string()),
        any::<f64>()
            .prop_filter("finite", |x| x.is_finite())
            .prop_map(|x| format!("{x:?}")),
        any::<String>().prop_map(|s| serde_json::to_string(&s).unwrap()),
    ]
}

fn value() -> impl Strategy<Value = String> {
    let caps = proptest::collection::vec(
        (
            "[a-cA-C]",
            prop_oneof![Just("true"), Just("false"), Just("null"), Just("1")],
        ),
        0..4,
    )
    .prop_map(|m| {
        m.iter()
            .map(|(k, v)| format!("\"{k}\":{v}"))
            .collect::<Vec<_>>()
            .join(",")
    });
    prop_oneof![
        6 => scalar(),
        1 => proptest::collection::vec(scalar(), 0..3).prop_map(|items| format!("[ {}]", items.join(" ,"))),
        2 => (caps, scalar()).prop_map(|(c, i)| format!("{{\"capabilities\":{{{c}}}, \"IDLE_timeout_seconds\":{i}}}")),
    ]
}

/// Values that fit their field most of the time, so that whole beats are accepted too.
fn member() -> impl Strategy<Value = String> {
    let text = any::<String>().prop_map(|s| serde_json::to_string(&s).unwrap());
    prop_oneof![
        ("(workspace_id|Workspace_Id|sample_error|current_task|runtime_state)", text),
        ("(active_tasks|uptime_seconds|MONTHLY_SPEND|error_rate)", any::<i32>().prop_map(|n| n.to_string())),
        (
            "(workspace_id|error_rate|sample_error|active_tasks|uptime_seconds|current_task|monthly_spend|runtime_state|runtime_metadata|RUNTIME_metadata|other)",
            value()
        ),
    ]
    .prop_map(|(name, value)| format!("\"{name}\": {value}"))
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Object::parse(&body);
        let _ = parse_heartbeat(&body);
    }

    #[test]
    fn arbitrary_jsonish_text_never_panics(body in r#"[\{\}\[\]":,\\u0-9a-fA-F\. ent-]{0,60}"#) {
        if let Ok(object) = Object::parse(body.as_bytes()) {
            for (name, _) in object.members() {
                let _ = (object.string(name), object.float(name), object.integer_i64(name), object.string_map(name));
            }
        }
        let _ = parse_heartbeat(body.as_bytes());
        Writer::new().json_text(&body);
    }

    #[test]
    fn both_readings_of_a_beat_agree(members in proptest::collection::vec(member(), 0..6)) {
        let body = format!("{{\"workspace_id\":\"w\",{}\"z\":0}}", members.iter().map(|m| format!("{m},")).collect::<String>());
        let (fast, slow) = (parse_heartbeat(body.as_bytes()), beat_by_object(body.as_bytes()));
        // With several mistakes the two may meet different ones first; whether there is one must agree.
        match (fast, slow) {
            (Ok(fast), Ok(slow)) => prop_assert_eq!(fast, slow),
            (Err(_), Err(_)) => {}
            (fast, slow) => prop_assert!(false, "{body}: {fast:?} / {slow:?}"),
        }
    }

    #[test]
    fn written_strings_read_back(text in any::<String>()) {
        let body = Struct::new().string("s", &text).finish();
        let escaped = !body.contains(['<', '>', '&', '\u{2028}', '\u{2029}']);
        prop_assert!(escaped);
        prop_assert_eq!(object(&body).string("s"), Ok(Some(text.clone())));
        let theirs: serde_json::Value = serde_json::from_str(&body).unwrap();
        prop_assert_eq!(theirs["s"].as_str(), Some(text.as_str()));
    }

    #[test]
    fn written_floats_read_back(number in any::<f64>().prop_filter("finite", |x| x.is_finite())) {
        let mut writer = Writer::new();
        writer.float(number);
        prop_assert_eq!(writer.finish().parse::<f64>().unwrap(), number);
    }

    #[test]
    fn compacting_keeps_the_value(text in value()) {
        // The lone surrogate of the generator is valid JSON, but serde_json's own reader refuses it.
        prop_assume!(!text.contains("\\ud800"));
        let mut writer = Writer::new();
        writer.json_text(&text);
        let once = writer.finish();
        let (before, after): (serde_json::Value, serde_json::Value) =
            (serde_json::from_str(&text).unwrap(), serde_json::from_str(&once).unwrap());
        prop_assert_eq!(before, after);
    }
}

// === writing ===

fn written(write: impl FnOnce(&mut Writer)) -> String {
    let mut writer = Writer::new();
    write(&mut writer);
    writer.finish()
}

#[test]
fn strings_are_escaped_as_go_does() {
    assert_eq!(
        written(|w| w.string("\"\\/\n\r\t\u{8}\u{c}\u{0}\u{1f}\u{7f}<>&\u{2028}\u{2029}é😀'")),
        "\"\\\"\\\\/\\n\\r\\t\\b\\f\\u0000\\u001f\u{7f}\\u003c\\u003e\\u0026\\u2028\\u2029é😀'\""
    );
    assert_eq!(
        error_body("must be >= 0"),
        r#"{"error":"must be \u003e= 0"}"#
    );
}

#[test]
fn floats_are_written_as_go_does() {
    for (number, text) in [
        (0.0, "0"),
        (-0.0, "-0"),
        (100.0, "100"),
        (0.8, "0.8"),
        (-2.5, "-2.5"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (1e-6, "0.000001"),
        (1e-9, "1e-9"),
        (-1.25e-10, "-1.25e-10"),
        (f64::NAN, "null"),
        (f64::INFINITY, "null"),
    ] {
        assert_eq!(written(|w| w.float(number)), text);
    }
}

#[test]
fn foreign_json_is_compacted_and_kept() {
    for (text, expected) in [
        (
            r#"{"a": 1, "b": [1, 2], "c d": "x y"}"#,
            r#"{"a":1,"b":[1,2],"c d":"x y"}"#,
        ),
        (r#"{"n": 1000.0, "e": 1E5}"#, r#"{"n":1000.0,"e":1E5}"#),
        (
            r#"["\" <b>\\", "a & b"]"#,
            r#"["\" \u003cb\u003e\\","a \u0026 b"]"#,
        ),
        ("\"\u{2028}\"", "\"\\u2028\""),
        (r#""\/ \u00e9""#, r#""\/ \u00e9""#),
        ("", "null"),
    ] {
        assert_eq!(written(|w| w.json_text(text)), expected);
    }
}

#[test]
fn maps_sort_and_structs_do_not() {
    let fill_struct = Struct::new()
        .int("b", 1)
        .nullable_string("a", None)
        .bool("c", true);
    assert_eq!(fill_struct.finish(), r#"{"b":1,"a":null,"c":true}"#);
    let fill_map = Map::new()
        .int("b", 0)
        .int("b", 1)
        .nullable_string("a", Some("<"))
        .float("B", 2.0)
        .null("d");
    assert_eq!(fill_map.finish(), r#"{"B":2,"a":"\u003c","b":1,"d":null}"#);
    assert_eq!(
        (Map::new().finish(), Struct::new().finish()),
        ("{}".into(), "{}".into())
    );
    assert_eq!(array([Map::new().finish(), "1".into()]), "[{},1]");
    assert_eq!(array(Vec::<String>::new()), "[]");
    assert_eq!(
        Struct::new()
            .encoded("l", "[]")
            .json_text("j", "{ }")
            .finish(),
        r#"{"l":[],"j":{}}"#
    );
}

#[test]
fn timestamps_trim_their_fraction() {
    for (given, expected) in [
        ("2026-04-30T12:00:00Z", "2026-04-30T12:00:00Z"),
        ("2026-04-30T12:00:00.120Z", "2026-04-30T12:00:00.12Z"),
        ("2026-04-30T12:00:00.000001Z", "2026-04-30T12:00:00.000001Z"),
        (
            "2026-04-30T14:00:00.123456789+02:00",
            "2026-04-30T12:00:00.123456789Z",
        ),
    ] {
        let at: DateTime<Utc> = given.parse().unwrap();
        assert_eq!(rfc3339(at), expected);
    }
}

#[test]
fn a_surrogate_without_its_other_half_is_replaced_and_nothing_else_is() {
    for (given, expected) in [
        (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
        (r#""\ud83d""#, r#""\ufffd""#),
        (r#""\ude00\ud83d""#, r#""\ufffd\ufffd""#),
        (r#""\ud83d\n\uD83D\uDE00""#, r#""\ufffd\n\uD83D\uDE00""#),
        (r#""\\ud83d""#, r#""\\ud83d""#),
        (r#""\u0041""#, r#""\u0041""#),
    ] {
        assert_eq!(super::scan::paired(given), expected);
    }
}

proptest! {
    #[test]
    fn what_is_paired_satisfies_a_strict_reader(pieces in prop::collection::vec(0_usize..8, 0..12)) {
        const PIECES: [&str; 8] = ["\\ud800", "\\udfff", "\\\\", "x", "\\n", "\\u0061", "\\\"", "é"];
        let inner: String = pieces.iter().map(|n| PIECES[*n]).collect();
        let text = format!("\"{inner}\"");
        let strict: Result<String, _> = serde_json::from_str(&super::scan::paired(&text));
        prop_assert!(strict.is_ok(), "{text}");
    }
}
