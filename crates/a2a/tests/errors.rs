//! The errors' numbers, binding by binding.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use candor_a2a::error::{PLATFORM_DOMAIN, code_of_http, http_of};
use candor_a2a::{Error, ErrorKind};
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt as _;

/// The specification 1.0.1, section 5.4, written apart from the code.
const TABLE: &str = "
-32001 TASK_NOT_FOUND NotFound 404
-32002 TASK_NOT_CANCELABLE FailedPrecondition 400
-32003 PUSH_NOTIFICATION_NOT_SUPPORTED FailedPrecondition 400
-32004 UNSUPPORTED_OPERATION FailedPrecondition 400
-32005 CONTENT_TYPE_NOT_SUPPORTED InvalidArgument 400
-32006 INVALID_AGENT_RESPONSE Internal 500
-32007 EXTENDED_AGENT_CARD_NOT_CONFIGURED FailedPrecondition 400
-32008 EXTENSION_SUPPORT_REQUIRED FailedPrecondition 400
-32009 VERSION_NOT_SUPPORTED FailedPrecondition 400
-32700 PARSE_ERROR InvalidArgument 400
-32600 INVALID_REQUEST InvalidArgument 400
-32601 METHOD_NOT_FOUND Unimplemented 501
-32602 INVALID_PARAMS InvalidArgument 400
-32603 INTERNAL Internal 500
";

#[test]
fn every_error_has_the_numbers_of_the_specification() {
    let told: Vec<String> = ErrorKind::ALL
        .into_iter()
        .map(|kind| {
            let (code, reason) = (kind.jsonrpc_code(), kind.reason());
            format!(
                "{code} {reason} {:?} {}",
                kind.grpc_code(),
                kind.http_status()
            )
        })
        .collect();
    let expected: Vec<&str> = TABLE.trim().lines().collect();
    assert_eq!(told, expected);
    for kind in ErrorKind::ALL {
        assert_eq!(ErrorKind::from_jsonrpc(kind.jsonrpc_code()), kind);
    }
}

#[test]
fn only_a2as_own_errors_name_a_reason() {
    for kind in ErrorKind::ALL {
        let error = Error::new(kind, "words").to_json();
        assert_eq!(error["code"], kind.jsonrpc_code());
        assert_eq!(error["message"], "words");
        if (-32099..=-32001).contains(&kind.jsonrpc_code()) {
            assert_eq!(error["data"][0]["reason"], kind.reason());
            assert_eq!(error["data"][0]["domain"], "a2a-protocol.org");
        } else {
            assert_eq!(error.get("data"), None);
        }
    }
}

#[test]
fn a_refusal_of_the_platform_says_whose_it_is() {
    let refused =
        Error::platform(Code::Unavailable, "WORKSPACE_PAUSED", "paused").with("workspace_id", "w");
    assert_eq!(
        refused.to_json(),
        json!({"code": -32000, "message": "paused", "data": [{
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "WORKSPACE_PAUSED", "domain": PLATFORM_DOMAIN,
            "metadata": {"workspace_id": "w"},
        }]})
    );
    let status = refused.to_status();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "paused")
    );
    let info = status.get_details_error_info().unwrap();
    assert_eq!(
        (info.reason.as_str(), info.domain.as_str()),
        ("WORKSPACE_PAUSED", "candor")
    );
    assert_eq!(info.metadata["workspace_id"], "w");
    assert_eq!(refused.kind().http_status(), 503);
}

#[test]
fn an_agents_error_reaches_grpc_with_its_reason() {
    let read = |error: Value| Error::from_json(&error).unwrap();
    let known = read(json!({"code": -32001, "message": "gone"}));
    assert_eq!(known.kind(), ErrorKind::TaskNotFound);
    assert_eq!(known.to_status().code(), Code::NotFound);
    let info = known.to_status().get_details_error_info().unwrap();
    assert_eq!(info.reason, "TASK_NOT_FOUND");

    let own = json!({"code": -31000, "message": "no", "data": [
        {"@type": "x", "reason": "OTHER"},
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "QUOTA",
         "domain": "agent.example", "metadata": {"left": "0", "odd": 1}},
    ]});
    let error = read(own.clone());
    assert_eq!(error.kind(), ErrorKind::Agent(-31000));
    assert_eq!(error.to_json(), own, "an agent's data stays as it came");
    let status = error.to_status();
    assert_eq!(status.code(), Code::Unknown);
    let info = status.get_details_error_info().unwrap();
    assert_eq!(
        (info.reason.as_str(), info.domain.as_str()),
        ("QUOTA", "agent.example")
    );
    assert_eq!(info.metadata.len(), 1);

    let old = read(json!({"code": -32603, "message": "boom", "data": "trace"}));
    assert_eq!(old.to_json()["data"], "trace");
    assert_eq!(old.to_status().code(), Code::Internal);
    for wrong in [
        json!({}),
        json!({"code": "1"}),
        json!("no"),
        json!({"code": 1.5}),
    ] {
        let error = Error::from_json(&wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidAgentResponse, "{wrong}");
    }
}

#[test]
fn what_an_agent_says_at_length_fits_into_headers() {
    let long = "ä".repeat(100_000);
    let info = json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": long,
        "domain": long, "metadata": {"k": long}});
    let error = Error::from_json(&json!({"code": 1, "message": long, "data": [info]})).unwrap();
    let status = error.to_status();
    assert_eq!(status.message(), "ä".repeat(512));
    assert!(status.details().len() < 4096, "{}", status.details().len());
    let info = status.get_details_error_info().unwrap();
    assert_eq!((info.reason.len(), info.metadata.len()), (128, 0));
}

#[test]
fn http_and_grpc_codes_lead_to_each_other() {
    let rows = [
        (200, Code::Ok),
        (204, Code::Ok),
        (400, Code::InvalidArgument),
        (401, Code::Unauthenticated),
        (403, Code::PermissionDenied),
        (404, Code::NotFound),
        (408, Code::DeadlineExceeded),
        (410, Code::NotFound),
        (422, Code::InvalidArgument),
        (429, Code::ResourceExhausted),
        (500, Code::Internal),
        (501, Code::Unimplemented),
        (502, Code::Unavailable),
        (503, Code::Unavailable),
        (504, Code::DeadlineExceeded),
        (302, Code::Unknown),
    ];
    for (status, code) in rows {
        assert_eq!(code_of_http(status), code, "{status}");
    }
    for number in 1..=16 {
        let code = Code::from_i32(number);
        let back = code_of_http(http_of(code));
        let coarser = match code {
            Code::FailedPrecondition | Code::OutOfRange => Code::InvalidArgument,
            Code::AlreadyExists => Code::Aborted,
            Code::Unknown | Code::DataLoss => Code::Internal,
            same => same,
        };
        assert_eq!(back, coarser, "{code:?}");
    }
}
