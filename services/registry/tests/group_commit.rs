//! Group commit against a real Postgres.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use candor_events::Bus;
use candor_kernel::lease::LeasePolicy;
use candor_kernel::{
    AuthMethod, AuthVersion, Beat, BeatForm, Epoch, Reason, RuntimeState, WorkspaceCaller,
    WorkspaceId,
};
use candor_process::migrate;
use candor_process::pool::PoolSettings;
use candor_registry::beats::{BeatOutcome, Beats};
use candor_testkit::postgres::Postgres;
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

struct Lab {
    pool: PgPool,
    beats: Beats,
    stop: CancellationToken,
    _postgres: Postgres,
}

impl Lab {
    async fn new() -> Self {
        let postgres = Postgres::start_new().await.unwrap();
        let url = postgres.create_database().await.unwrap();
        let pool = PoolSettings::new("test").open(url.parse().unwrap());
        migrate::up(&pool).await.unwrap();
        let stop = CancellationToken::new();
        let options = pool.connect_options().as_ref().clone();
        let events = Arc::new(Notify::new());
        let (beats, _) = Beats::start(
            options,
            LeasePolicy::default(),
            events,
            Bus::new(),
            stop.clone(),
        );
        Self {
            pool,
            beats,
            stop,
            _postgres: postgres,
        }
    }

    async fn workspace(&self, status: &str) -> WorkspaceId {
        let id = uuid::Uuid::now_v7();
        sqlx::query("INSERT INTO workspaces (id, name, status) VALUES ($1, 'w', $2::text::workspace_status)")
            .bind(id)
            .bind(status)
            .execute(&self.pool)
            .await
            .unwrap();
        WorkspaceId::from_uuid(id)
    }

    async fn execute(&self, sql: &'static str, id: WorkspaceId) {
        sqlx::query(sql)
            .bind(id.as_uuid())
            .execute(&self.pool)
            .await
            .unwrap();
    }

    async fn text(&self, sql: &'static str, id: WorkspaceId) -> String {
        sqlx::query_scalar(sql)
            .bind(id.as_uuid())
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    async fn status(&self, id: WorkspaceId) -> String {
        self.text("SELECT status::text FROM workspaces WHERE id = $1", id)
            .await
    }

    async fn events(&self, id: WorkspaceId) -> String {
        self.text(
            "SELECT coalesce(string_agg(event_type || payload::text, ' ' ORDER BY created_at, id), '')
             FROM structure_events WHERE workspace_id = $1",
            id,
        )
        .await
    }

    async fn beat(&self, id: WorkspaceId, beat: Beat) -> Result<BeatOutcome, Reason> {
        self.beat_as(caller(id, 0), beat).await
    }

    async fn beat_as(&self, caller: WorkspaceCaller, beat: Beat) -> Result<BeatOutcome, Reason> {
        self.beats
            .submit(caller, beat, None)
            .await
            .map_err(|error| error.reason())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn caller(id: WorkspaceId, auth_version: i64) -> WorkspaceCaller {
    WorkspaceCaller {
        id,
        auth: AuthMethod::Token,
        epoch: None,
        stale: false,
        auth_version: AuthVersion(auth_version),
    }
}

fn healthy() -> Beat {
    Beat {
        form: BeatForm::LegacyJson,
        error_rate: Some(0.0),
        uptime_seconds: Some(60),
        ..Beat::default()
    }
}

fn wedged() -> Beat {
    Beat {
        runtime_state: Some(RuntimeState("wedged".to_owned())),
        sample_error: Some("init timeout".to_owned()),
        ..healthy()
    }
}

const APPLIED: Result<BeatOutcome, Reason> = Ok(BeatOutcome::Applied { epoch: Epoch(0) });

#[tokio::test(flavor = "multi_thread")]
async fn one_event_per_degradation_in_the_transaction_that_degrades() {
    let lab = Lab::new().await;
    let id = lab.workspace("online").await;
    for _ in 0..3 {
        assert_eq!(lab.beat(id, wedged()).await, APPLIED);
    }
    assert_eq!(lab.status(id).await, "degraded");
    let degraded =
        r#"WORKSPACE_DEGRADED{"sample_error": "init timeout", "runtime_state": "wedged"}"#;
    assert_eq!(lab.events(id).await, degraded);
    for _ in 0..3 {
        assert_eq!(lab.beat(id, healthy()).await, APPLIED);
    }
    assert_eq!(lab.status(id).await, "online");
    assert_eq!(
        lab.events(id).await,
        format!("{degraded} WORKSPACE_ONLINE{{}}")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_changed_behind_its_back_is_seen_before_the_next_beat_is_written() {
    let lab = Lab::new().await;
    let id = lab.workspace("online").await;
    assert_eq!(lab.beat(id, healthy()).await, APPLIED);
    lab.execute("UPDATE workspaces SET status = 'removed' WHERE id = $1", id)
        .await;
    let version: i64 =
        sqlx::query_scalar("SELECT auth_version FROM registry.workspace_vitals WHERE id = $1")
            .bind(id.as_uuid())
            .fetch_one(&lab.pool)
            .await
            .unwrap();
    assert_eq!(
        lab.beat_as(caller(id, version), wedged()).await,
        Ok(BeatOutcome::Removed)
    );
    assert_eq!(lab.status(id).await, "removed");
    assert_eq!(lab.events(id).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_committed_revocation_is_never_overtaken() {
    let lab = Lab::new().await;
    let id = lab.workspace("online").await;
    assert_eq!(lab.beat(id, healthy()).await, APPLIED);
    lab.execute(
        "INSERT INTO workspace_auth_tokens (workspace_id, token_hash, prefix) VALUES ($1, 'x', 'x')",
        id,
    )
    .await;
    assert_eq!(lab.beat(id, wedged()).await, Err(Reason::CredentialChanged));
    assert_eq!(lab.status(id).await, "online");
    assert_eq!(lab.beat_as(caller(id, 1), wedged()).await, APPLIED);
    lab.execute(
        "UPDATE workspace_auth_tokens SET revoked_at = now() WHERE workspace_id = $1",
        id,
    )
    .await;
    assert_eq!(
        lab.beat_as(caller(id, 1), healthy()).await,
        Err(Reason::CredentialChanged)
    );
    assert_eq!(lab.status(id).await, "degraded");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_poison_beat_in_a_batch_harms_no_neighbour() {
    let lab = Lab::new().await;
    sqlx::query("ALTER TABLE registry.workspace_vitals ADD CHECK (current_task <> 'poison')")
        .execute(&lab.pool)
        .await
        .unwrap();
    let mut calls = Vec::new();
    let mut ids = Vec::new();
    for n in 0..40 {
        let id = lab.workspace("online").await;
        ids.push(id);
        let task = if n == 17 { "poison" } else { "fine" };
        let beat = Beat {
            current_task: Some(task.to_owned()),
            ..wedged()
        };
        let beats = lab.beats.clone();
        calls.push(tokio::spawn(async move {
            beats.submit(caller(id, 0), beat, None).await
        }));
    }
    for (n, call) in calls.into_iter().enumerate() {
        let outcome = call.await.unwrap();
        assert_eq!(outcome.is_err(), n == 17, "beat {n}: {outcome:?}");
    }
    for (n, id) in ids.into_iter().enumerate() {
        let want = if n == 17 { "online" } else { "degraded" };
        assert_eq!(lab.status(id).await, want, "workspace {n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beats_of_unknown_and_purged_ids_have_no_effect() {
    let lab = Lab::new().await;
    let unknown = WorkspaceId::from_uuid(uuid::Uuid::now_v7());
    assert_eq!(lab.beat(unknown, healthy()).await, Ok(BeatOutcome::Unknown));
    let purged = WorkspaceId::from_uuid(uuid::Uuid::now_v7());
    lab.execute("INSERT INTO registry.tombstones (id) VALUES ($1)", purged)
        .await;
    assert_eq!(lab.beat(purged, healthy()).await, Ok(BeatOutcome::Removed));
}

#[tokio::test(flavor = "multi_thread")]
async fn spend_only_rises_within_a_month_and_a_new_month_starts_afresh() {
    let lab = Lab::new().await;
    let id = lab.workspace("online").await;
    let spend = |cents| Beat {
        monthly_spend: Some(cents),
        ..healthy()
    };
    let stored = "SELECT monthly_spend::text FROM registry.workspace_vitals WHERE id = $1";
    for (sent, want) in [(120, "120"), (100, "120"), (0, "120"), (130, "130")] {
        assert_eq!(lab.beat(id, spend(sent)).await, APPLIED);
        assert_eq!(lab.text(stored, id).await, want, "after {sent}");
    }
    lab.execute(
        "UPDATE registry.workspace_vitals SET spend_month = spend_month - interval '1 month' WHERE id = $1",
        id,
    )
    .await;
    assert_eq!(lab.beat(id, spend(7)).await, APPLIED);
    assert_eq!(lab.text(stored, id).await, "7");
}
