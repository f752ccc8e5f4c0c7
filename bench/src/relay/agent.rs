//! The stand-in for agents: many behind one address, told apart by the path. It
//! answers at once, or with an event a second.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::stream;
use tokio::time::{Instant, sleep_until};

use super::message::{Request, SEND, STREAM, answer, event};
use crate::Result;
use crate::floors::serve;

/// Between two events of a stream.
pub const PACE: Duration = Duration::from_secs(1);

/// Serves all agents.
pub async fn run(addr: SocketAddr) -> Result<()> {
    // A look at whether they live is a GET.
    let route = post(told).get(|| async { StatusCode::NO_CONTENT });
    serve(addr, Router::new().route("/agents/{agent}", route)).await
}

/// The path of one.
pub fn path(agent: usize) -> String {
    format!("/agents/{agent}")
}

async fn told(Path(agent): Path<usize>, body: Bytes) -> Response {
    let Ok(request) = serde_json::from_slice::<Request>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    match request.method.as_str() {
        SEND => {
            let said = request.params.message.parts.first();
            let text = said.map_or("", |part| &part.text);
            let answer = answer(request.id, agent, text);
            ([(CONTENT_TYPE, "application/json")], answer).into_response()
        }
        STREAM => events(request.id, agent, request.params.metadata.events),
        _ => StatusCode::NOT_IMPLEMENTED.into_response(),
    }
}

/// The first at once, each other one a second after the one before.
fn events(id: u64, agent: usize, events: u32) -> Response {
    let start = Instant::now();
    let stream = stream::unfold(1, move |number| async move {
        if number > events {
            return None;
        }
        sleep_until(start + PACE * (number - 1)).await;
        let event = Bytes::from(event(id, agent, number, events));
        Some((Ok::<_, Infallible>(event), number + 1))
    });
    let body = Body::from_stream(stream);
    ([(CONTENT_TYPE, "text/event-stream")], body).into_response()
}
