//! The admin server over a real socket.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candor_process::admin::{Admin, AdminListener};
use candor_process::telemetry::Metrics;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("http://{address}{path}"))
        .await
        .unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

#[tokio::test]
async fn readiness_follows_its_checks() {
    let listener = AdminListener::bind(loopback(), false).await.unwrap();
    let address = listener.address();
    let stop = CancellationToken::new();
    let up = Arc::new(AtomicBool::new(true));
    let seen = up.clone();
    let admin = Admin::new(Metrics::detached().unwrap(), stop.clone())
        .check("store", move || {
            let up = seen.load(Ordering::SeqCst);
            async move { if up { Ok(()) } else { Err("away".to_owned()) } }
        })
        .check("always", || async { Ok(()) });
    let serving = tokio::spawn(admin.serve(listener));

    assert_eq!(get(address, "/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(get(address, "/readyz").await.0, 200);
    up.store(false, Ordering::SeqCst);
    let (status, body) = get(address, "/readyz").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, body["ready"].as_bool()), (503, Some(false)));
    assert_eq!(body["checks"]["store"], "away");
    assert_eq!(body["checks"]["always"], "ok");
    assert_eq!(get(address, "/healthz").await.0, 200, "alive is not ready");
    assert_eq!(get(address, "/metrics").await.0, 200);

    stop.cancel();
    serving.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_is_not_ready() {
    let listener = AdminListener::bind(loopback(), false).await.unwrap();
    let address = listener.address();
    let admin = Admin::new(Metrics::detached().unwrap(), CancellationToken::new())
        .check("stuck", std::future::pending::<Result<(), String>>);
    tokio::spawn(admin.serve(listener));
    let (status, body) = get(address, "/readyz").await;
    assert_eq!(status, 503);
    assert!(body.contains("no answer within 2 s"), "{body}");
}

#[tokio::test]
async fn a_busy_default_port_moves_and_a_chosen_one_is_refused() {
    let busy = TcpListener::bind(loopback()).await.unwrap();
    let address = busy.local_addr().unwrap();
    let moved = AdminListener::bind(address, true).await.unwrap();
    assert!(moved.moved());
    assert_ne!(moved.address(), address);
    let refusal = AdminListener::bind(address, false)
        .await
        .unwrap_err()
        .to_string();
    assert!(refusal.contains(&address.to_string()), "{refusal}");
}
