//! Restarts that nobody asked for.

use candor_kernel::{Caller, WorkspaceId};
use candor_proto::provisioner::v1 as pb;
use candor_testkit::http::Call;
use candor_testkit::wait::wait_for;

use crate::agent::Manner;
use crate::lab::{Lab, SOON};

async fn last_error(lab: &Lab, id: WorkspaceId) -> String {
    let listed = lab.send(Call::get("/workspaces")).await.json();
    let all = listed.as_array().unwrap();
    let found = all.iter().find(|one| one["id"] == id.to_string()).unwrap();
    found["last_sample_error"].as_str().unwrap().to_owned()
}

async fn restart_on_wedge(lab: &Lab, id: WorkspaceId) {
    let request = pb::SetPolicyRequest {
        workspace_id: id.to_string(),
        restart_on_wedge: Some(true),
        hibernate_after: None,
    };
    let caller = Caller::system("test");
    let set = lab.provisioner.call(
        &caller,
        request,
        |mut c, r| async move { c.set_policy(r).await },
    );
    set.await.unwrap();
}

#[tokio::test]
async fn an_instance_that_is_lost_comes_back() {
    let lab = Lab::new().await;
    let id = lab.create("w").await;
    lab.runs(id, 1).await;
    lab.backend.lose(id);
    lab.runs(id, 2).await;
    let wanted = "PROVISIONING ONLINE OFFLINE PROVISIONING ONLINE";
    wait_for(wanted, SOON, || async {
        let told = lab
            .text(&format!(
                "SELECT string_agg(replace(event_type, 'WORKSPACE_', ''), ' ' ORDER BY seq)
                 FROM structure_events WHERE workspace_id = '{id}'"
            ))
            .await;
        (told == wanted).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn last_words_may_be_any_bytes() {
    let lab = Lab::new().await;
    let id = lab.create("w").await;
    lab.runs(id, 1).await;
    lab.backend.end(id, "exit status 1: \0\u{1b}[1m binary");
    lab.runs(id, 2).await;
}

#[tokio::test]
async fn a_crash_loop_stops_at_the_budget_and_says_so() {
    let lab = Lab::new().await;
    lab.backend.faulty(|faults| {
        faults.stillborn = Some("exit status 1: MY_API_KEY=abcdef is wrong".to_owned());
    });
    let id = lab.create("w").await;
    lab.becomes(id, "failed").await;
    let error = last_error(&lab, id).await;
    assert!(error.contains("restarted 3 times within 600s"), "{error}");
    assert!(
        error.contains("exit status 1: [REDACTED:API_KEY]"),
        "{error}"
    );
    let starts = || {
        let steps = lab.backend.steps();
        steps
            .iter()
            .filter(|step| step.starts_with("start"))
            .count()
    };
    assert_eq!(starts(), 4);
    // Somebody looked, and asks again: it has its budget again.
    lab.backend.faulty(|faults| faults.stillborn = None);
    lab.restart(id).await;
    lab.runs(id, 5).await;
}

#[tokio::test]
async fn a_wedge_is_healed_by_a_restart_where_the_owner_wants_it() {
    let lab = Lab::new().await;
    lab.backend.manner(Manner {
        wedged: true,
        ..Manner::default()
    });
    let id = lab.create("w").await;
    let other = lab.create("other").await;
    lab.becomes(id, "degraded").await;
    lab.becomes(other, "degraded").await;
    lab.backend.manner(Manner::default());
    restart_on_wedge(&lab, id).await;
    lab.runs(id, 2).await;
    assert_eq!(lab.shown(other).await["status"], "degraded");
    assert_eq!(lab.backend.runs(other), Some(1), "nobody asked for it");
}

#[tokio::test]
async fn one_that_is_wedged_again_and_again_is_left_alone_after_the_budget() {
    let lab = Lab::new().await;
    lab.backend.manner(Manner {
        wedged: true,
        ..Manner::default()
    });
    let id = lab.create("w").await;
    restart_on_wedge(&lab, id).await;
    wait_for("the budget to be spent", SOON, || async {
        let explained = lab.explain(id).await?;
        let spent = explained.last_error.contains("restarted 3 times");
        spent.then_some(())
    })
    .await
    .unwrap();
    assert_eq!(lab.backend.runs(id), Some(4), "three restarts");
    assert_eq!(lab.shown(id).await["status"], "degraded");
}
