//! What a caller asks of the agent: as much as must be known to count it, and to pass
//! it on without what is none of the agent's business.

use candor_a2a::Method;
use candor_a2a::jsonrpc::{Id, parse_request};
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, COOKIE, EXPECT, FORWARDED, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName};
use serde::Deserialize;

/// Headers that belong to one connection (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];
/// Who asks was proven to the platform, or claimed; neither is for the agent, which
/// could use it. An answer that is compressed could not be counted, and what is
/// expected of a connection was answered here.
const NOT_PASSED: [HeaderName; 7] = [
    AUTHORIZATION,
    COOKIE,
    FORWARDED,
    ACCEPT_ENCODING,
    EXPECT,
    HeaderName::from_static("x-workspace-id"),
    HeaderName::from_static("x-source-workspace-id"),
];
/// Beginnings of names of such headers.
const NOT_PASSED_PREFIXES: [&str; 2] = ["x-forwarded-", "x-candor-identity"];

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It gives the agent a message: a turn.
    Message,
    /// It leaves the agent as it is, and ends with its caller.
    Read,
    /// The same, and its answer lasts as long as a task.
    Subscribe,
    /// Anything else.
    Other,
}

/// In which form an answer says that it is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// In the body.
    JsonRpc,
    /// In the status.
    Http,
}

/// A call as far as it was understood.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub kind: Kind,
    /// The words of the message; empty where there is none.
    pub text: String,
    pub form: Form,
    pub id: Id<'static>,
}

/// Reads a request. What is not understood is passed on all the same.
pub(super) fn understand(method: &http::Method, path: &str, body: &[u8]) -> Asked {
    let plain = |kind| Asked {
        kind,
        text: String::new(),
        form: Form::Http,
        id: Id::NULL,
    };
    // By GET in 1.0, by POST in 0.3.
    if path.ends_with(":subscribe") {
        return plain(Kind::Subscribe);
    }
    if matches!(*method, http::Method::GET | http::Method::HEAD) {
        return plain(Kind::Read);
    }
    // The binding over HTTP+JSON (A2A 1.0.1, section 11), with a tenant before it or
    // the version, as 0.3 has it.
    if path.ends_with("/message:send") || path.ends_with("/message:stream") {
        return Asked {
            text: text(body),
            ..plain(Kind::Message)
        };
    }
    let Ok(request) = parse_request(body) else {
        return plain(Kind::Other);
    };
    let kind = match Method::from_name(&request.method) {
        Some((method, _)) if method.sends_message() => Kind::Message,
        Some((Method::SubscribeToTask, _)) => Kind::Subscribe,
        Some((method, _)) if method.is_read_only() => Kind::Read,
        _ => Kind::Other,
    };
    let text = match request.params {
        Some(params) if kind == Kind::Message => text(params.get().as_bytes()),
        _ => String::new(),
    };
    Asked {
        kind,
        text,
        form: Form::JsonRpc,
        id: request.id.into_owned(),
    }
}

/// The words of a message's parts, one below the other.
fn text(params: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Params {
        message: Message,
    }
    #[derive(Deserialize)]
    struct Message {
        parts: Vec<Part>,
    }
    #[derive(Deserialize)]
    struct Part {
        text: Option<String>,
    }
    let Ok(params) = serde_json::from_slice::<Params>(params) else {
        return String::new();
    };
    let parts = params.message.parts.into_iter();
    let texts: Vec<String> = parts.filter_map(|part| part.text).collect();
    texts.join("\n")
}

/// Removes the headers that belong to a connection.
pub(super) fn strip_connection(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.into_iter().chain(named) {
        headers.remove(name);
    }
}

/// Removes what is not passed on to the agent.
pub(super) fn strip_request(headers: &mut HeaderMap) {
    strip_connection(headers);
    let is_private = |name: &&HeaderName| {
        NOT_PASSED_PREFIXES
            .iter()
            .any(|prefix| name.as_str().starts_with(prefix))
    };
    let private: Vec<HeaderName> = headers.keys().filter(is_private).cloned().collect();
    for name in NOT_PASSED.into_iter().chain(private) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http::HeaderValue;
    use serde_json::json;

    use super::*;

    fn asked(path: &str, body: &serde_json::Value) -> Asked {
        understand(&http::Method::POST, path, body.to_string().as_bytes())
    }

    fn kind(path: &str, body: &serde_json::Value) -> Kind {
        asked(path, body).kind
    }

    #[test]
    fn messages_are_told_from_what_only_reads_in_both_versions_and_bindings() {
        let params = json!({"message": {"parts": [{"kind": "text", "text": "count"},
            {"kind": "data", "data": {}}, {"text": "ships"}]}});
        let is_message =
            |asked: &Asked| asked.kind == Kind::Message && asked.text == "count\nships";
        for method in [
            "message/send",
            "message/stream",
            "SendMessage",
            "SendStreamingMessage",
        ] {
            let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
            assert!(is_message(&asked("/", &body)), "{method}");
        }
        for path in [
            "/message:send",
            "/v1/message:stream",
            "/tenant/message:send",
        ] {
            assert!(is_message(&asked(path, &params)), "{path}");
        }
        for (method, wanted) in [
            ("tasks/get", Kind::Read),
            ("GetTask", Kind::Read),
            ("tasks/resubscribe", Kind::Subscribe),
            ("SubscribeToTask", Kind::Subscribe),
        ] {
            let body = json!({"jsonrpc": "2.0", "id": 1, "method": method});
            assert_eq!(kind("/", &body), wanted, "{method}");
        }
        for method in ["tasks/cancel", "own/method"] {
            let body = json!({"jsonrpc": "2.0", "id": 1, "method": method});
            assert_eq!(kind("/", &body), Kind::Other, "{method}");
        }
        assert_eq!(kind("/", &json!("no request")), Kind::Other);
        let get = understand(&http::Method::GET, "/v1/card", b"");
        assert_eq!(get.kind, Kind::Read);
        for method in [http::Method::GET, http::Method::POST] {
            let subscribed = understand(&method, "/v1/tasks/t:subscribe", b"");
            assert_eq!(subscribed.kind, Kind::Subscribe, "{method}");
        }
        let body = json!({"jsonrpc": "2.0", "id": "7", "method": "message/send", "params": {}});
        let asked = understand(&http::Method::POST, "/", body.to_string().as_bytes());
        assert_eq!((asked.id.as_json(), asked.form), ("\"7\"", Form::JsonRpc));
        assert_eq!((asked.kind, asked.text.as_str()), (Kind::Message, ""));
    }

    #[test]
    fn neither_proofs_of_identity_nor_what_belongs_to_the_connection_is_passed() {
        let mut headers = HeaderMap::new();
        let mut add = |name: &'static str, value: &'static str| {
            headers.append(name, HeaderValue::from_static(value));
        };
        let kept = [
            "accept",
            "content-type",
            "traceparent",
            "a2a-version",
            "a2a-extensions",
            "x-candor-attempt",
            "x-anything",
        ];
        for name in kept {
            add(name, "1");
        }
        for name in [
            "authorization",
            "cookie",
            "x-workspace-id",
            "x-forwarded-for",
            "forwarded",
            "x-candor-identity-bin",
            "te",
            "keep-alive",
            "x-mine",
            "x-source-workspace-id",
        ] {
            add(name, "1");
        }
        add("connection", "close, X-Mine");
        strip_request(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        let mut kept = kept.to_vec();
        kept.sort_unstable();
        assert_eq!(left, kept);
    }
}
