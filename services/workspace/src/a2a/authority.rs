//! Who may read what others said to the agent: whoever has the workspace's token, or
//! the platform's word to whoever has it.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use candor_identity::scoped;
use chrono::Utc;
use subtle::ConstantTimeEq as _;

use super::Server;

/// Whether whoever sent these headers may. Without a token nobody may.
pub(super) fn may_read_all(server: &Server, headers: &HeaderMap) -> bool {
    let given = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer "));
    let (Some(given), Some(token)) = (given, server.tokens.token()) else {
        return false;
    };
    let token = token.expose();
    bool::from(given.as_bytes().ct_eq(token.as_bytes()))
        || scoped::verify(
            given,
            token,
            scoped::TRANSCRIPT,
            server.workspace,
            Utc::now(),
        )
}
