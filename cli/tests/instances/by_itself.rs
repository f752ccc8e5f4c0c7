//! What the platform does to instances by itself, and only where it may.

use std::time::Duration;

use candor_kernel::{Caller, WorkspaceId};
use candor_proto::provisioner::v1 as pb;
use candor_testkit::http::Call;
use candor_testkit::wait::wait_for;
use serde_json::json;

use crate::agent::Manner;
use crate::lab::{Lab, SOON};

async fn hibernate_after(lab: &Lab, id: WorkspaceId, idle: Duration) {
    let request = pb::SetPolicyRequest {
        workspace_id: id.to_string(),
        restart_on_wedge: None,
        hibernate_after: Some(candor_peers::time::duration(idle)),
    };
    let caller = Caller::system("test");
    let set = lab.provisioner.call(
        &caller,
        request,
        |mut c, r| async move { c.set_policy(r).await },
    );
    set.await.unwrap();
}

/// Beats are no work: an agent that only beats is idle, one that has a task is not.
#[tokio::test]
async fn an_idle_workspace_sleeps_until_somebody_writes_to_it() {
    let lab = Lab::new().await;
    let idle = lab.create("idle").await;
    lab.runs(idle, 1).await;
    lab.backend.manner(Manner {
        active_tasks: 1,
        ..Manner::default()
    });
    let busy = lab.create("busy").await;
    lab.runs(busy, 1).await;
    lab.backend.manner(Manner::default());
    hibernate_after(&lab, idle, Duration::from_secs(1)).await;
    hibernate_after(&lab, busy, Duration::from_secs(1)).await;
    lab.becomes(idle, "hibernated").await;
    assert_eq!(lab.backend.runs(idle), None);
    assert_eq!(lab.shown(busy).await["status"], "online");
    hibernate_after(&lab, idle, Duration::from_secs(3600)).await;

    let message = json!({"method": "message/send", "params": {"message": {
        "role": "user", "messageId": "m", "parts": [{"kind": "text", "text": "wake up"}]}}});
    let call = Call::post(format!("/workspaces/{idle}/a2a"), &message);
    let waking = lab.send(call).await;
    assert_eq!(waking.status, 503, "{}", waking.text());
    assert_eq!(waking.json()["waking"], true, "{}", waking.text());
    lab.runs(idle, 2).await;
    let refused = lab.backend.journal.refused();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[tokio::test]
async fn a_changed_secret_restarts_what_runs_with_it() {
    let lab = Lab::new().await;
    let id = lab.create("w").await;
    lab.runs(id, 1).await;
    let other = lab.create("other").await;
    lab.runs(other, 1).await;
    for value in ["a", "b", "c"] {
        let body = json!({"key": "API", "value": value});
        let call = Call::post(format!("/workspaces/{id}/secrets"), &body);
        let saved = lab.send(call).await;
        assert_eq!(saved.status, 200, "{}", saved.text());
    }
    // Changes that come one after the other are one restart.
    lab.runs(id, 2).await;
    assert_eq!(lab.backend.runs(other), Some(1), "it has no such secret");
    let refused = lab.backend.journal.refused();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[tokio::test]
async fn an_instance_that_nobody_wants_is_ended_and_no_other() {
    let lab = Lab::new().await;
    let wanted = lab.create("w").await;
    lab.runs(wanted, 1).await;
    let stray: WorkspaceId = "5f0e6c1e-3f1c-4f6e-9a56-7a6f3d1f1a11".parse().unwrap();
    lab.backend.plant(stray);
    wait_for("the stray instance to end", SOON, || async {
        lab.backend.runs(stray).is_none().then_some(())
    })
    .await
    .unwrap();
    lab.runs(wanted, 1).await;
}
