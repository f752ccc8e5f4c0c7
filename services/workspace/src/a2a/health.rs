//! GET `/healthz`: whether the agent can answer.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::Server;
use super::reply::json as answer;

/// 200, or 503 with the reason of the wedge.
pub(super) async fn get(State(server): State<Arc<Server>>) -> Response {
    let vitals = server.turns.vitals();
    let active = vitals.active();
    let (status, health) = match vitals.wedge_reason() {
        None => (
            StatusCode::OK,
            json!({"status": "ok", "active_tasks": active}),
        ),
        Some(reason) => (
            StatusCode::SERVICE_UNAVAILABLE,
            json!({"status": "wedged", "reason": &*reason, "active_tasks": active}),
        ),
    };
    answer(status, health.to_string())
}
