//! What one workspace's row or row lock does to the beats of the others, and
//! several beats of one workspace in one batch.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use candor_events::Bus;
use candor_kernel::lease::LeasePolicy;
use candor_kernel::{
    AuthMethod, AuthVersion, Beat, BeatForm, Reason, RuntimeState, WorkspaceCaller, WorkspaceId,
};
use candor_process::migrate;
use candor_process::pool::PoolSettings;
use candor_registry::beats::Beats;
use candor_testkit::postgres::Postgres;
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

struct Lab {
    pool: PgPool,
    beats: Beats,
    _postgres: Postgres,
}

impl Lab {
    async fn new() -> Self {
        let postgres = Postgres::start_new().await.unwrap();
        let url = postgres.create_database().await.unwrap();
        let pool = PoolSettings::new("test").open(url.parse().unwrap());
        migrate::up(&pool).await.unwrap();
        let options = pool.connect_options().as_ref().clone();
        let (beats, _) = Beats::start(
            options,
            LeasePolicy::default(),
            Arc::new(Notify::new()),
            Bus::new(),
            CancellationToken::new(),
        );
        Self {
            pool,
            beats,
            _postgres: postgres,
        }
    }

    async fn workspace(&self) -> WorkspaceId {
        let id = uuid::Uuid::now_v7();
        sqlx::query("INSERT INTO workspaces (id, name, status) VALUES ($1, 'w', 'online')")
            .bind(id)
            .execute(&self.pool)
            .await
            .unwrap();
        WorkspaceId::from_uuid(id)
    }

    async fn beat(&self, id: WorkspaceId, beat: Beat) -> Result<(), Reason> {
        let caller = WorkspaceCaller {
            id,
            auth: AuthMethod::Token,
            epoch: None,
            stale: false,
            auth_version: AuthVersion(0),
        };
        let outcome = self.beats.submit(caller, beat, None).await;
        outcome.map(drop).map_err(|error| error.reason())
    }
}

fn says(state: &str) -> Beat {
    Beat {
        form: BeatForm::LegacyJson,
        error_rate: Some(0.0),
        uptime_seconds: Some(60),
        runtime_state: Some(RuntimeState(state.to_owned())),
        ..Beat::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_one_workspace_keep_their_order_when_beats_share_a_batch() {
    let lab = Arc::new(Lab::new().await);
    let id = lab.workspace().await;
    let mut agents = tokio::task::JoinSet::new();
    for agent in 0..12 {
        let lab = Arc::clone(&lab);
        agents.spawn(async move {
            for turn in 0..40 {
                let state = if (agent + turn) % 2 == 0 {
                    "wedged"
                } else {
                    ""
                };
                lab.beat(id, says(state)).await.unwrap();
            }
        });
    }
    while let Some(done) = agents.join_next().await {
        done.unwrap();
    }
    let told: Vec<String> = sqlx::query_scalar(
        "SELECT event_type FROM structure_events WHERE workspace_id = $1 ORDER BY created_at, id",
    )
    .bind(id.as_uuid())
    .fetch_all(&lab.pool)
    .await
    .unwrap();
    assert!(
        told.len() > 10,
        "too few changes to say anything: {}",
        told.len()
    );
    let repeated = told.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert_eq!(repeated, 0, "of {} events", told.len());
    let status: String = sqlx::query_scalar("SELECT status::text FROM workspaces WHERE id = $1")
        .bind(id.as_uuid())
        .fetch_one(&lab.pool)
        .await
        .unwrap();
    let newest = told.last().unwrap();
    assert_eq!(newest, &format!("WORKSPACE_{}", status.to_uppercase()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_is_its_own_matter() {
    let lab = Lab::new().await;
    let (broken, neighbour) = (lab.workspace().await, lab.workspace().await);
    sqlx::query("UPDATE registry.workspace_vitals SET runtime_metadata = $2 WHERE id = $1")
        .bind(broken.as_uuid())
        .bind(serde_json::json!({"capabilities": []}))
        .execute(&lab.pool)
        .await
        .unwrap();
    for _ in 0..3 {
        let (bad, good) = tokio::join!(lab.beat(broken, says("")), lab.beat(neighbour, says("")));
        assert_eq!(bad, Err(Reason::Internal));
        assert_eq!(good, Ok(()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_somebody_holds_does_not_hold_up_its_neighbours() {
    let lab = Lab::new().await;
    let held = lab.workspace().await;
    let mut neighbours = Vec::new();
    for _ in 0..8 {
        let id = lab.workspace().await;
        lab.beat(id, says("")).await.unwrap();
        neighbours.push(id);
    }
    lab.beat(held, says("")).await.unwrap();
    let mut holder = lab.pool.begin().await.unwrap();
    sqlx::query("SELECT id FROM registry.workspace_vitals WHERE id = $1 FOR UPDATE")
        .bind(held.as_uuid())
        .fetch_one(&mut *holder)
        .await
        .unwrap();
    let started = Instant::now();
    let all = futures::future::join_all(neighbours.iter().map(|id| lab.beat(*id, says(""))));
    let (stuck, others) = tokio::join!(lab.beat(held, says("")), all);
    assert_eq!(others, vec![Ok(()); 8]);
    assert_eq!(stuck, Err(Reason::Contention));
    assert!(
        started.elapsed() < Duration::from_millis(2_500),
        "{:?}",
        started.elapsed()
    );
    holder.rollback().await.unwrap();
    assert_eq!(lab.beat(held, says("")).await, Ok(()));
}
