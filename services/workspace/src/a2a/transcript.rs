//! GET `/transcript`: what the agent's session says, to whoever may read that.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::Server;
use super::authority::may_read_all;
use super::reply::json as answer;

/// Entries of one answer: where no number is asked for, and at most.
const LIMIT: usize = 100;
const MOST: usize = 1_000;

/// The entries from `since` on, at most `limit`.
pub(super) async fn get(
    State(server): State<Arc<Server>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let told = |status, value: Value| answer(status, value.to_string());
    if !may_read_all(&server, &headers) {
        return told(StatusCode::UNAUTHORIZED, json!({"error": "unauthorized"}));
    }
    let Some((since, limit)) = wanted(query.as_deref().unwrap_or_default()) else {
        let words = "since and limit must be whole numbers";
        return told(StatusCode::BAD_REQUEST, json!({"error": words}));
    };
    let executor = server.turns.executor();
    match executor.transcript(since, limit).await {
        Some(transcript) => told(StatusCode::OK, transcript),
        None => {
            let none = json!({
                "runtime": executor.name(), "supported": false, "lines": [],
                "cursor": since, "more": false,
            });
            told(StatusCode::NOT_FOUND, none)
        }
    }
}

/// `since` and `limit`; nothing if one is no number.
fn wanted(query: &str) -> Option<(u64, usize)> {
    let (mut since, mut limit) = (0, LIMIT);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "since" => since = value.parse().ok()?,
            "limit" => limit = value.parse().ok()?,
            _ => {}
        }
    }
    Some((since, limit.clamp(1, MOST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_and_bounded() {
        assert_eq!(wanted(""), Some((0, 100)));
        assert_eq!(wanted("since=7&limit=5&x=y"), Some((7, 5)));
        assert_eq!(wanted("limit=0"), Some((0, 1)));
        assert_eq!(wanted("limit=99999"), Some((0, 1_000)));
        for wrong in ["since=-1", "since=x", "limit=", "limit=1.5"] {
            assert_eq!(wanted(wrong), None, "{wrong}");
        }
    }
}
