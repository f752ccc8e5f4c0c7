//! The order of a hand-over, and what is done when it cannot be verified.

use candor_testkit::http::Call;
use candor_testkit::wait::wait_for;
use serde_json::json;

use crate::lab::{Lab, SOON};

#[tokio::test]
async fn a_token_that_cannot_be_verified_starts_nothing() {
    let lab = Lab::new().await;
    let id = lab.create("w").await;
    lab.runs(id, 1).await;
    lab.backend.faulty(|faults| {
        faults.fails_to_kill = true;
        faults.garbles_tokens = true;
    });
    lab.restart(id).await;
    lab.becomes(id, "failed").await;
    let listed = lab.send(Call::get("/workspaces")).await.json();
    let error = listed[0]["last_sample_error"].as_str().unwrap().to_owned();
    assert!(error.contains("could not be verified"), "{error}");
    let steps = lab.backend.steps();
    let started = steps.iter().filter(|step| step.starts_with("start"));
    assert_eq!(started.count(), 1, "{steps:?}");
    // The token of before is as valid as it was, though its instance is fenced.
    let refused = lab.backend.journal.refused();
    assert!(refused.is_empty(), "{refused:#?}");
    assert_eq!(
        lab.text(&format!(
            "SELECT string_agg(epoch || ' ' || state || ' ' || (revoked_at IS NULL), ',' ORDER BY epoch)
             FROM workspace_auth_tokens WHERE workspace_id = '{id}'"
        ))
        .await,
        "1 active true,2 pending false"
    );
    lab.backend.faulty(|faults| faults.garbles_tokens = false);
    lab.restart(id).await;
    lab.runs(id, 3).await;
}

#[tokio::test]
async fn stop_then_write_then_start() {
    let lab = Lab::new().await;
    let id = lab.create("w").await;
    lab.runs(id, 1).await;
    assert_eq!(lab.backend.configs(id), ["config.yaml"]);
    lab.restart(id).await;
    lab.runs(id, 2).await;
    let none: [&str; 0] = [];
    assert_eq!(lab.backend.configs(id), none, "it has one: it keeps it");
    assert_eq!(
        lab.backend.steps(),
        [
            format!("write {id} 1"),
            format!("start {id} 1"),
            format!("stop {id}"),
            format!("write {id} 2"),
            format!("start {id} 2"),
        ]
    );
}

#[tokio::test]
async fn an_engine_that_does_not_answer_restarts_nothing_and_kills_nothing() {
    let lab = Lab::new().await;
    let id = lab.create("w").await;
    lab.runs(id, 1).await;
    let steps = lab.backend.steps();
    lab.backend.faulty(|faults| faults.silent = true);
    let beats = lab.backend.journal.of(id).len();
    wait_for("twenty beats without an engine", SOON, || async {
        (lab.backend.journal.of(id).len() > beats + 20).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(lab.shown(id).await["status"], "online");
    // What is asked meanwhile waits.
    lab.restart(id).await;
    assert_eq!(lab.shown(id).await["status"], "provisioning");
    assert_eq!(lab.backend.steps(), steps);
    lab.backend.faulty(|faults| faults.silent = false);
    lab.runs(id, 2).await;
}

#[tokio::test]
async fn what_cannot_be_started_fails_with_its_reason() {
    let lab = Lab::new().await;
    lab.backend
        .faulty(|faults| faults.refuses = Some("image x is not there: pull it".to_owned()));
    let id = lab.create("w").await;
    lab.becomes(id, "failed").await;
    let events = lab.send(Call::get(format!("/events/{id}"))).await.json();
    assert_eq!(events[0]["event_type"], "WORKSPACE_PROVISION_FAILED");
    assert_eq!(
        events[0]["payload"],
        json!({"error": "image x is not there: pull it"})
    );
}

#[tokio::test]
async fn what_was_removed_is_gone_and_stays_so() {
    let lab = Lab::new().await;
    let id = lab.create("w").await;
    lab.runs(id, 1).await;
    let done = lab
        .send(Call::new(http::Method::DELETE, format!("/workspaces/{id}")))
        .await;
    assert_eq!(done.status, 200, "{}", done.text());
    wait_for("the row to be forgotten", SOON, || async {
        let left =
            format!("SELECT count(*)::text FROM provisioner.instances WHERE workspace_id = '{id}'");
        (lab.text(&left).await == "0").then_some(())
    })
    .await
    .unwrap();
    assert_eq!(lab.backend.runs(id), None);
    assert_eq!(lab.shown(id).await["status"], "removed");
}
