//! Floors: what the same machine does with a beat that is only parsed, and with
//! one that also crosses to another process and back.

use std::net::SocketAddr;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};

use crate::Result;
use crate::beat::{Beat, PATH};
use crate::echo::{Echo, echo};

/// What a floor answers when nobody says otherwise: the legacy answer.
pub const ANSWER: &str = r#"{"status":"ok"}"#;

#[derive(Clone)]
struct Hop {
    channel: Channel,
    answer: &'static str,
}

/// Parses a beat and answers.
pub async fn http(addr: SocketAddr, answer: String) -> Result<()> {
    serve(
        addr,
        Router::new()
            .route(PATH, post(parse))
            .with_state(kept(answer)),
    )
    .await
}

/// Parses a beat, sends it to the echo at `grpc` and back, and answers.
pub async fn hop(addr: SocketAddr, grpc: SocketAddr, answer: String) -> Result<()> {
    let channel = Channel::from_shared(format!("http://{grpc}"))?
        .tcp_nodelay(true)
        .connect()
        .await?;
    let hop = Hop {
        channel,
        answer: kept(answer),
    };
    serve(addr, Router::new().route(PATH, post(cross)).with_state(hop)).await
}

/// The other side of the hop.
pub async fn grpc(addr: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(addr).await?;
    announce("grpc", listener.local_addr()?);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .add_service(Echo)
        .serve_with_incoming(incoming)
        .await?;
    Ok(())
}

/// Serves a router, and says where once it listens.
pub async fn serve(addr: SocketAddr, router: Router) -> Result<()> {
    let listener = TcpListener::bind(addr).await?;
    announce("http", listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        // Without it a small answer may wait; no reason to fail.
        stream.set_nodelay(true).ok();
    });
    axum::serve(listener, router).await?;
    Ok(())
}

/// An answer in the content type of the legacy platform.
pub fn answered(answer: &'static str) -> Response {
    ([(CONTENT_TYPE, "application/json; charset=utf-8")], answer).into_response()
}

async fn parse(State(answer): State<&'static str>, Json(beat): Json<Beat>) -> Response {
    if beat.workspace_id.is_empty() {
        return StatusCode::BAD_REQUEST.into_response();
    }
    answered(answer)
}

async fn cross(State(hop): State<Hop>, Json(beat): Json<Beat>) -> Response {
    match echo(hop.channel, beat).await {
        Ok(beat) if !beat.workspace_id.is_empty() => answered(hop.answer),
        Ok(_) => StatusCode::BAD_REQUEST.into_response(),
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

/// One allocation for the life of the process.
fn kept(answer: String) -> &'static str {
    Box::leak(answer.into_boxed_str())
}

fn announce(listener: &str, addr: SocketAddr) {
    println!("{}", json!({"ready": true, listener: addr.to_string()}));
}
