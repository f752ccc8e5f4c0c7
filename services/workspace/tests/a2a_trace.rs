//! A turn belongs to the trace of whoever sent the message, also after they left.
#![allow(clippy::unwrap_used)]

mod stage;

use std::sync::Arc;

use async_trait::async_trait;
use candor_kernel::WorkspaceId;
use candor_process::telemetry::propagation::TraceParent;
use candor_process::telemetry::{Telemetry, TelemetrySettings};
use candor_testkit::http::Client;
use candor_workspace::a2a::{self, Served};
use candor_workspace::executor::{Answer, Executor, Turn, TurnError};
use candor_workspace::token::TokenStore;
use candor_workspace::turns::Turns;
use candor_workspace::vitals::Vitals;
use serde_json::json;
use stage::{message_03, rpc};

/// Says in which trace it works.
struct Traced;

#[async_trait]
impl Executor for Traced {
    fn name(&self) -> &'static str {
        "traced"
    }

    async fn turn(&self, _turn: Turn) -> Result<Answer, TurnError> {
        tokio::task::yield_now().await;
        let parent = TraceParent::current().map(|parent| parent.to_string());
        Ok(Answer {
            text: parent.unwrap_or_else(|| "no trace".to_owned()),
            ..Answer::default()
        })
    }
}

#[tokio::test]
async fn a_turn_is_below_the_span_of_who_sent_the_message() {
    let _telemetry = Telemetry::start(&TelemetrySettings::new("candor-workspace")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let router = a2a::router(Served {
        turns: Turns::new(Arc::new(Traced), Vitals::new(&Traced)),
        workspace: WorkspaceId::from_uuid(uuid::Uuid::nil()),
        tokens: Arc::new(TokenStore::open(folder.path()).unwrap()),
        card: stage::card(addr, true),
        limits: a2a::Limits::default(),
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let call = rpc("message/send", &json!({"message": message_03("hi")}))
        .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
    let told = Client::new(addr).send(call).await.unwrap().json();
    let text = told["result"]["parts"][0]["text"].as_str().unwrap();
    assert!(text.starts_with(&format!("00-{trace}-")), "{text}");
    assert!(
        !text.contains("00f067aa0ba902b7"),
        "in a span of its own: {text}"
    );
}
