//! An instance for tests of restarts, started as `candor-workspace` is: it reads its token
//! once, registers once, beats every 100 ms, tries nothing twice, and says on standard
//! output how it was answered. What it says of itself is in its environment:
//! `BEATER_MUTE` (never calls), `BEATER_ENDS_AFTER` (beats until it ends by itself).
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::env::var;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use candor_testkit::http::{Answer, Call, Client};
use serde_json::json;
use tokio::net::{TcpListener, lookup_host};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut asked = signal(SignalKind::terminate()).unwrap();
    let workspace = var("WORKSPACE_ID").unwrap();
    let configs = PathBuf::from(var("CONFIGS_DIR").unwrap_or_else(|_| "/configs".to_owned()));
    let token = std::fs::read_to_string(configs.join(".auth_token")).unwrap();
    note_the_start();
    let listen = var("CANDOR_LISTEN").unwrap_or_else(|_| "0.0.0.0:8000".to_owned());
    let listener = TcpListener::bind(listen).await.unwrap();
    let address = listener.local_addr().unwrap();
    println!("{{\"ready\":true,\"listen\":\"{address}\"}}");
    let serve = axum::serve(listener, Router::new().fallback(get(|| async { "here" })));
    tokio::select! {
        served = serve.into_future() => served.unwrap(),
        () = beat(&workspace, token.trim(), address) => {}
        _ = asked.recv() => println!("asked to end"),
    }
}

/// Adds a line to a file of the workspace's own work, which outlives instances.
fn note_the_start() {
    use std::io::Write as _;
    let folder = var("BEATER_WORKSPACE").unwrap_or_else(|_| ".".to_owned());
    let opened = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(PathBuf::from(folder).join("starts"));
    if let Ok(mut starts) = opened {
        writeln!(starts, "started").unwrap();
    }
}

async fn platform() -> SocketAddr {
    let url = var("PLATFORM_URL").unwrap();
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let mut found = lookup_host(host).await.unwrap();
    found.next().expect("an address")
}

/// As legacy runtimes do, it calls itself by its host's name where it listens everywhere.
fn own_url(address: SocketAddr) -> String {
    if !address.ip().is_unspecified() {
        return format!("http://{address}");
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    format!("http://{}:{}", host.trim(), address.port())
}

async fn beat(workspace: &str, token: &str, address: SocketAddr) {
    if var("BEATER_MUTE").is_ok() {
        return std::future::pending().await;
    }
    let most: Option<u64> = var("BEATER_ENDS_AFTER").ok().map(|n| n.parse().unwrap());
    let mut client = Client::new(platform().await);
    let register = json!({
        "id": workspace, "url": own_url(address),
        "agent_card": {"name": "beater", "skills": []},
    });
    let call = Call::post("/registry/register", &register).bearer(token);
    told("register", client.send(call).await);
    let mut every = tokio::time::interval(Duration::from_millis(100));
    for uptime in 1_u64.. {
        every.tick().await;
        let beat = json!({
            "workspace_id": workspace, "error_rate": 0.0, "sample_error": "",
            "active_tasks": 0, "uptime_seconds": uptime,
        });
        let call = Call::post("/registry/heartbeat", &beat).bearer(token);
        told("beat", client.send(call).await);
        if most.is_some_and(|most| uptime >= most) {
            println!("has had enough");
            return;
        }
    }
}

/// One word a line: what was said, and how it was answered.
fn told<E: std::fmt::Display>(what: &str, answered: Result<Answer, E>) {
    match answered {
        Ok(answer) => println!("{what} {}", answer.status),
        // Nobody was there to answer.
        Err(error) => println!("{what} unanswered: {error}"),
    }
}
