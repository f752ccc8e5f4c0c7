//! Reports of what the agent does, over real sockets.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use candor_testkit::a2a_agent::Gate;
use candor_testkit::fake_platform::Scripted;
use candor_testkit::wait::wait_until;
use candor_workspace::executor::{Answer, Executor, Prompt, Turn, TurnError, Update, Updates};
use candor_workspace::reports::Reports;
use candor_workspace::turns::Turns;
use serde_json::json;
use support::{World, own};
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_secs(20);

/// Uses a tool in each turn.
struct Busy;

#[async_trait]
impl Executor for Busy {
    fn name(&self) -> &'static str {
        "busy"
    }

    async fn turn(&self, turn: Turn) -> Result<Answer, TurnError> {
        turn.updates.tell(Update::Text("thinking".to_owned()));
        turn.updates.tell(Update::Tool {
            name: "Bash".to_owned(),
            summary: "ls -l".to_owned(),
        });
        Ok(Answer::default())
    }
}

#[tokio::test]
async fn the_tools_of_a_turn_are_reported_whoever_asked_for_it() {
    let world = World::start().await;
    world.fake.answer(
        "POST",
        &own("activity"),
        Scripted::ok(json!({"status": "logged"})),
    );
    let (reports, reporter) = Reports::new(world.platform.clone());
    let stop = CancellationToken::new();
    let task = tokio::spawn(reporter.run(stop.clone()));
    let observer = Arc::new(reports.clone());
    let vitals = Arc::clone(&world.vitals);
    let turns = Turns::observed(Arc::new(Busy), vitals, Some(observer));
    let (updates, mut seen) = Updates::channel();
    let turn = Turn {
        prompt: Prompt {
            text: "x".to_owned(),
            context_id: "c".to_owned(),
            task_id: "t".to_owned(),
        },
        updates,
        cancel: CancellationToken::new(),
    };
    turns.run(turn).await.unwrap();
    assert_eq!(seen.recv().await, Some(Update::Text("thinking".to_owned())));
    assert!(matches!(seen.recv().await, Some(Update::Tool { .. })));
    let route = own("activity");
    let sent = world
        .fake
        .wait_for_requests("POST", &route, 1)
        .await
        .unwrap();
    assert_eq!(
        sent[0].json(),
        json!({"activity_type": "agent_log", "method": "tool_use", "summary": "Bash: ls -l",
               "status": "ok"})
    );
    stop.cancel();
    task.await.unwrap().unwrap();
    assert_eq!(
        world.fake.requests().len(),
        1,
        "a piece of an answer is no report"
    );
    world.assert_proven();
}

#[tokio::test]
async fn a_platform_that_is_slow_or_refuses_costs_reports_and_nothing_else() {
    let world = World::start().await;
    let gate = Gate::closed();
    let slow = Scripted::json(500, json!({"error": "query failed"})).after(&gate);
    let logged = Scripted::ok(json!({"status": "logged"}));
    world.fake.script("POST", &own("activity"), [slow, logged]);
    let (reports, reporter) = Reports::new(world.platform.clone());
    let stop = CancellationToken::new();
    let task = tokio::spawn(reporter.run(stop.clone()));
    reports.tool_use("first", "");
    let route = own("activity");
    world
        .fake
        .wait_for_requests("POST", &route, 1)
        .await
        .unwrap();
    for n in 0..300 {
        reports.tool_use("Read", &format!("file {n}\0{}", "x".repeat(10_000)));
    }
    assert_eq!(reports.left_out(), 300 - 256);
    gate.open();
    let sent = world
        .fake
        .wait_for_requests("POST", &route, 257)
        .await
        .unwrap();
    let summary = sent[256].json()["summary"].as_str().unwrap().to_owned();
    assert!(
        summary.starts_with("Read: file 255x") && summary.len() == 500,
        "{summary}"
    );
    // The refused one was not repeated.
    assert!(wait_until(SOON, || reports.left_out() == 300 - 256 + 1).await);
    stop.cancel();
    task.await.unwrap().unwrap();
    assert_eq!(world.fake.requests().len(), 257);
}
