//! Observations and beats at the same time.

use std::sync::Arc;
use std::time::Duration;

use candor_kernel::Reason;
use candor_testkit::postgres;
use candor_testkit::wait::wait_for;
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinSet;

use super::lab::Lab;

/// Waits until the write of a decision waits for a lock.
async fn somebody_waits(lab: &Lab) {
    wait_for("a wait for a lock", Duration::from_secs(5), || async {
        let waiting = "SELECT count(*) FROM pg_stat_activity
                       WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE public.workspaces%'";
        let waiting = postgres::count(&lab.url, waiting).await.unwrap();
        (waiting > 0).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_decided_from_an_old_state_is_decided_again() {
    let lab = Arc::new(Lab::new().await);
    let id = lab.workspace("online").await;
    let mut other = PgConnection::connect(&lab.url).await.unwrap();
    let mut tx = other.begin().await.unwrap();
    let wedged = r#"{"wedged": {"since": "2026-01-01T00:00:00Z", "evidence": "w"}}"#;
    sqlx::query("UPDATE workspaces SET status = 'degraded' WHERE id = $1::uuid")
        .bind(&id)
        .execute(&mut *tx)
        .await
        .unwrap();
    sqlx::query("UPDATE registry.workspace_vitals SET causes = $2::jsonb WHERE id = $1::uuid")
        .bind(&id)
        .bind(wedged)
        .execute(&mut *tx)
        .await
        .unwrap();
    let observer = tokio::spawn({
        let (lab, id) = (Arc::clone(&lab), id.clone());
        async move { lab.observe(&id, "no answer").await }
    });
    somebody_waits(&lab).await;
    tx.commit().await.unwrap();
    let (status, rule) = observer.await.unwrap();
    assert_eq!((status.as_str(), rule.as_str()), ("degraded", "R8"));
    // Seen as online it would have told; it was degraded already.
    assert_eq!(lab.events(&id).await, "");
    let kinds: Vec<_> = lab.explain(&id).await.causes;
    let kinds: Vec<_> = kinds.iter().map(|cause| cause.kind.as_str()).collect();
    assert_eq!(kinds, ["wedged", "unresponsive"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_always_overtaken_hears_it() {
    let lab = Lab::new().await;
    let id = lab.workspace("online").await;
    // Whatever is decided, the row has moved on when it is written.
    lab.execute(
        "CREATE FUNCTION overtake() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             UPDATE registry.workspace_vitals SET state_version = state_version + 1
             WHERE id = NEW.id;
             RETURN NULL;
         END $$;
         CREATE TRIGGER overtake AFTER UPDATE OF status ON workspaces
             FOR EACH ROW EXECUTE FUNCTION overtake()",
    )
    .await;
    let error = lab.try_observe(&id, 0, "no answer").await.unwrap_err();
    assert_eq!(error.reason(), Reason::Contention);
    assert!(error.retry_after().is_some());
    let kept = format!("SELECT status::text FROM workspaces WHERE id = '{id}'");
    assert_eq!(lab.text(&kept).await, "online");
    assert_eq!(lab.events(&id).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn observations_and_beats_never_lose_each_others_cause() {
    let lab = Arc::new(Lab::new().await);
    let id = lab.workspace("online").await;
    let mut writers = JoinSet::new();
    for writer in 0..6 {
        let (lab, id) = (Arc::clone(&lab), id.clone());
        writers.spawn(async move {
            for turn in 0..20 {
                let first = turn % 2 == 0;
                let done = if writer % 2 == 0 {
                    let word = if first { "wedged" } else { "ok" };
                    lab.try_beat(&id, word, "w").await
                } else {
                    let evidence = if first { "no answer" } else { "" };
                    lab.try_observe(&id, 0, evidence).await.map(drop)
                };
                // Five times overtaken: nothing was written.
                if let Err(error) = done {
                    assert_eq!(error.reason(), Reason::Contention);
                }
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let told = lab
        .text(&format!(
            "SELECT string_agg(event_type, ' ' ORDER BY created_at, id)
             FROM structure_events WHERE workspace_id = '{id}'"
        ))
        .await;
    let told: Vec<_> = told.split(' ').collect();
    assert!(told.len() > 4, "too few changes to say anything: {told:?}");
    assert!(told.windows(2).all(|pair| pair[0] != pair[1]), "{told:?}");
    // Both causes, by one word of each; then each word ends its own.
    lab.beat(&id, "wedged", "w").await;
    lab.observe(&id, "no answer").await;
    assert_eq!(lab.explain(&id).await.causes.len(), 2);
    let (left, came) = tokio::join!(lab.observe(&id, ""), lab.beat(&id, "ok", ""));
    assert_eq!((left.1.as_str(), came), ("R9", ()));
    let explained = lab.explain(&id).await;
    assert!(explained.causes.is_empty());
    assert_eq!(explained.workspace.unwrap().verdict, "healthy");
}
