//! How far a workspace's instance is, for people.

use candor_kernel::{Error, WorkspaceId};
use candor_process::pool::store_error;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Steps that are shown, at most.
const STEPS: i64 = 20;

/// A workspace's instance as it is stored.
#[derive(Debug, Clone)]
pub struct Instance {
    /// What runs it.
    pub backend: String,
    /// running, stopped, gone, purged.
    pub want: String,
    /// The fence that was raised for it.
    pub epoch: i64,
    /// nothing, verified, started.
    pub handed: String,
    /// It has called with its token.
    pub called: bool,
    /// Nothing more is tried until somebody asks.
    pub halted: bool,
    /// Everything is as it is wanted.
    pub settled: bool,
    /// Why the last step was not done.
    pub last_error: String,
    /// Steps in a row that were not done.
    pub attempts: i32,
    /// When it is looked at again, unless it is settled or halted.
    pub next_at: DateTime<Utc>,
    /// Restarts that nobody asked for.
    pub restarts: Vec<DateTime<Utc>>,
    /// Where the platform reaches it.
    pub url: Option<String>,
}

/// One step on the way.
#[derive(Debug, Clone)]
pub struct StepTaken {
    /// When it ended.
    pub at: DateTime<Utc>,
    /// Of which instance.
    pub epoch: i64,
    /// Which.
    pub step: String,
    /// done, failed, waits.
    pub outcome: String,
    /// More, for people.
    pub detail: String,
    /// Milliseconds.
    pub took_ms: i64,
}

/// The instance of a workspace, if one is or was wanted.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn instance(
    connection: &mut PgConnection,
    id: WorkspaceId,
) -> Result<Option<Instance>, Error> {
    sqlx::query_as!(
        Instance,
        "SELECT backend, want, epoch, handed, called, halted, settled, last_error, attempts,
                next_at, restarts, url
         FROM provisioner.instances WHERE workspace_id = $1",
        id.as_uuid()
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)
}

/// The newest steps of a workspace, newest first.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn steps(
    connection: &mut PgConnection,
    id: WorkspaceId,
) -> Result<Vec<StepTaken>, Error> {
    sqlx::query_as!(
        StepTaken,
        "SELECT at, epoch, step, outcome, detail, took_ms FROM provisioner.steps
         WHERE workspace_id = $1 ORDER BY id DESC LIMIT $2",
        id.as_uuid(),
        STEPS
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}
