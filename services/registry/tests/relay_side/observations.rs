//! Rules R8 and R9: what was seen from outside.

use std::time::Duration;

use candor_kernel::Reason;
use candor_proto::registry::v1 as pb;
use chrono::{DateTime, Utc};

use super::lab::Lab;

const SEEN: &str = "three calls in a row without an answer";

fn said(status: &str, rule: &str) -> (String, String) {
    (status.to_owned(), rule.to_owned())
}

/// Kinds with their evidence.
fn causes(explained: &pb::ExplainStatusResponse) -> Vec<(&str, &str)> {
    let causes = explained.causes.iter();
    causes
        .map(|cause| (cause.kind.as_str(), cause.evidence.as_str()))
        .collect()
}

/// Rules with the evidence kept beside them, oldest first.
fn history(explained: &pb::ExplainStatusResponse) -> Vec<(&str, &str)> {
    let decisions = explained.decisions.iter().rev();
    decisions
        .map(|made| (made.rule.as_str(), made.evidence.as_str()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_degrades_an_answer_restores_and_both_are_told_and_explained() {
    let lab = Lab::new().await;
    let id = lab.workspace("online").await;
    let watch = pb::WatchEventsRequest {
        since_seq: Some(0),
        workspace_id: Some(id.clone()),
        ..pb::WatchEventsRequest::default()
    };
    let watched = lab.client.clone().watch_events(watch).await;
    let mut watched = watched.unwrap().into_inner();

    let before = Utc::now();
    assert_eq!(lab.observe(&id, SEEN).await, said("degraded", "R8"));
    let payload = format!(r#"{{"sample_error": "{SEEN}", "runtime_state": "unresponsive"}}"#);
    let degraded = format!("WORKSPACE_DEGRADED{payload}");
    assert_eq!(lab.events(&id).await, degraded);
    assert!(lab.target(&id, "").await.unwrap().unresponsive);
    let explained = lab.explain(&id).await;
    assert_eq!(causes(&explained), [("unresponsive", SEEN)]);
    assert_eq!(history(&explained), [("R8", SEEN)]);
    let workspace = explained.workspace.unwrap();
    assert_eq!(workspace.verdict, "unresponsive");
    assert_eq!(
        workspace.reasons,
        [format!("it was seen not to answer: {SEEN}")]
    );
    let since = explained.causes[0].since.unwrap();
    let since = DateTime::from_timestamp(since.seconds, since.nanos.unsigned_abs()).unwrap();
    assert!(before <= since && since <= Utc::now());

    assert_eq!(lab.observe(&id, "").await, said("online", "R9"));
    let all = format!("{degraded} WORKSPACE_ONLINE{{}}");
    assert_eq!(lab.events(&id).await, all);
    let explained = lab.explain(&id).await;
    assert!(explained.causes.is_empty());
    assert_eq!(history(&explained), [("R8", SEEN), ("R9", "answered")]);
    assert!(
        explained
            .decisions
            .iter()
            .all(|made| !made.event_id.is_empty())
    );

    for expected in ["WORKSPACE_DEGRADED", "WORKSPACE_ONLINE"] {
        let told = tokio::time::timeout(Duration::from_secs(5), watched.message()).await;
        assert_eq!(told.unwrap().unwrap().unwrap().event_type, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_nothing_writes_nothing() {
    let lab = Lab::new().await;
    let id = lab.workspace("online").await;
    assert_eq!(lab.observe(&id, "").await, said("online", ""));
    assert_eq!(lab.version(&id).await, "0");
    lab.observe(&id, SEEN).await;
    let version = lab.version(&id).await;
    let first = lab.explain(&id).await;
    assert_eq!(lab.observe(&id, SEEN).await, said("degraded", "R8"));
    assert_eq!(lab.version(&id).await, version);
    // Another word is kept, the time when it was first seen stays, nobody is told.
    let events = lab.events(&id).await;
    assert_eq!(lab.observe(&id, "still").await, said("degraded", "R8"));
    let second = lab.explain(&id).await;
    assert_eq!(causes(&second), [("unresponsive", "still")]);
    assert_eq!(second.causes[0].since, first.causes[0].since);
    assert_eq!(lab.events(&id).await, events);
    // A row that somebody degraded by hand has no cause that an answer could clear.
    let by_hand = lab.workspace("degraded").await;
    assert_eq!(lab.observe(&by_hand, "").await, said("degraded", ""));
    assert_eq!(lab.version(&by_hand).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_clears_what_was_observed_and_nothing_else() {
    let lab = Lab::new().await;
    let id = lab.workspace("online").await;
    lab.beat(&id, "wedged", "init timeout").await;
    assert_eq!(lab.observe(&id, SEEN).await, said("degraded", "R8"));
    let explained = lab.explain(&id).await;
    let both = [("wedged", "init timeout"), ("unresponsive", SEEN)];
    assert_eq!(causes(&explained), both);
    assert_eq!(explained.workspace.unwrap().verdict, "wedged");
    assert_eq!(lab.observe(&id, "").await, said("degraded", "R9"));
    assert_eq!(causes(&lab.explain(&id).await), both[..1]);
    // One event: it was degraded all the time.
    assert_eq!(lab.events(&id).await.matches("WORKSPACE_").count(), 1);

    // And the other way: what it says of itself clears nothing that was observed.
    lab.observe(&id, SEEN).await;
    lab.beat(&id, "ok", "").await;
    let explained = lab.explain(&id).await;
    assert_eq!(causes(&explained), [("unresponsive", SEEN)]);
    assert!(!lab.events(&id).await.contains("WORKSPACE_ONLINE"));
    assert_eq!(lab.observe(&id, "").await, said("online", "R9"));
    assert_eq!(lab.events(&id).await.matches("WORKSPACE_ONLINE").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_register_keeps_it_and_only_an_answer_ends_it() {
    let lab = Lab::new().await;
    let id = lab.workspace("online").await;
    lab.beat(&id, "wedged", "init timeout").await;
    lab.observe(&id, SEEN).await;
    let register = pb::RegisterRequest {
        id: id.clone(),
        agent_card: "{}".to_owned(),
        ..pb::RegisterRequest::default()
    };
    lab.client.clone().register(register).await.unwrap();
    let explained = lab.explain(&id).await;
    assert_eq!(causes(&explained), [("unresponsive", SEEN)]);
    assert_eq!(history(&explained).last(), Some(&("R1", "registered")));
    let told = lab.target(&id, "").await.unwrap();
    assert_eq!(
        (told.status.as_str(), told.unresponsive),
        ("degraded", true)
    );
    assert_eq!(lab.observe(&id, "").await, said("online", "R9"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_instance_was_observed() {
    let lab = Lab::new().await;
    let id = lab.workspace("online").await;
    lab.execute(&format!(
        "UPDATE registry.workspace_vitals SET epoch = 3, fence_epoch = 3 WHERE id = '{id}'"
    ))
    .await;
    for epoch in [0, 2, 4] {
        let answer = lab.observe_epoch(&id, epoch, SEEN).await;
        assert_eq!(answer, said("online", ""), "{epoch}");
    }
    assert_eq!(
        lab.observe_epoch(&id, 3, SEEN).await,
        said("degraded", "R8")
    );
    let version = lab.version(&id).await;
    assert_eq!(lab.observe_epoch(&id, 2, "").await, said("degraded", ""));
    assert_eq!(lab.version(&id).await, version);
    assert_eq!(lab.observe_epoch(&id, 3, "").await, said("online", "R9"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_run_is_not_degraded_by_what_was_seen() {
    let lab = Lab::new().await;
    for status in ["provisioning", "offline", "failed", "paused", "hibernating"] {
        let id = lab.workspace(status).await;
        for evidence in [SEEN, ""] {
            assert_eq!(lab.observe(&id, evidence).await, said(status, ""));
        }
        assert_eq!(lab.version(&id).await, "0", "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_observes_what_is_not_there() {
    let lab = Lab::new().await;
    let removed = lab.workspace("removed").await;
    let unknown = uuid::Uuid::now_v7().to_string();
    for id in [&removed, &unknown] {
        for (epoch, evidence) in [(0, SEEN), (0, ""), (7, SEEN)] {
            let error = lab.try_observe(id, epoch, evidence).await.unwrap_err();
            assert_eq!(error.reason(), Reason::WorkspaceNotFound);
        }
    }
    assert_eq!(lab.events(&removed).await, "");
    let broken = lab.try_observe(&unknown, 0, "nul\0").await.unwrap_err();
    assert_eq!(broken.reason(), Reason::InvalidField);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_evidence_is_cut_at_a_character() {
    let lab = Lab::new().await;
    let id = lab.workspace("online").await;
    lab.observe(&id, &format!("x{}", "ä".repeat(5000))).await;
    let explained = lab.explain(&id).await;
    let kept = format!("x{}", "ä".repeat(2047));
    assert_eq!(causes(&explained), [("unresponsive", kept.as_str())]);
}
