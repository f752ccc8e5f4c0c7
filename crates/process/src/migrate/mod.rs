//! Brings a database to the schema of this binary, and back (design section 13).
//!
//! Each migration is applied with its record in one transaction. The whole run
//! holds the migrator's advisory lock on a connection of its own, which is closed
//! whatever happens: a failed run never leaves the lock behind.

mod detect;

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::migrate::{Migrate as _, Migration, MigrationType, Migrator};
use sqlx::{Connection as _, PgConnection, PgPool, Row as _};

pub use detect::{Database, Foreign, StatusColumn};

/// Every migration, embedded at compile time.
static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");
/// Where applied migrations are recorded.
const RECORDS: &str = "_sqlx_migrations";
/// The version below which no Candor table exists; only asked for by name.
const BASELINE: i64 = 1;
/// Longest wait for another migrator, and for any lock a migration needs
/// unless it asks for less itself.
const LOCK_TIMEOUT: &str = "60s";
/// Longest single migration.
const STATEMENT_TIMEOUT: &str = "15min";
/// As `server_version_num` counts.
const OLDEST_SERVER: u32 = 130_000;
/// Longest wait for the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a migration did not happen.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database belongs to something else, or is damaged.
    #[error("this database is neither empty nor a legacy platform's: {0}")]
    Foreign(#[from] Foreign),
    /// The server lacks what the schema needs (`gen_random_uuid` of its own).
    #[error("PostgreSQL {0} is too old, Candor needs 13 or later")]
    TooOld(String),
    /// A newer binary was here.
    #[error(
        "the database has migration {0}, which this binary does not know: use the newer binary"
    )]
    Newer(i64),
    /// The recorded text of a migration differs from the embedded one.
    #[error("migration {0} was applied with another text than this binary has")]
    Changed(i64),
    /// There is no such version to go down to.
    #[error("no migration has version {0}")]
    UnknownVersion(i64),
    /// Going below the baseline drops every row and must be asked for by name.
    #[error(
        "only the baseline is left, and reverting it destroys every row: ask for version 0 to do that"
    )]
    WouldDestroy,
    /// A migration failed; it was rolled back with its record.
    #[error("migration {version} {name} failed and was rolled back: {problem}")]
    Failed {
        /// The migration's number.
        version: i64,
        /// The migration's name.
        name: String,
        /// What Postgres said, with its hint.
        problem: String,
    },
    /// Postgres did not answer, or refused.
    #[error("migrating: {0}")]
    Store(#[from] sqlx::Error),
    /// The connection was not there in time.
    #[error("migrating: no connection within {} s", CONNECT_TIMEOUT.as_secs())]
    NoConnection,
}

/// One migration, and whether this database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStatus {
    /// The number in the file name.
    pub version: i64,
    /// The words in the file name.
    pub name: String,
    /// When it was applied, if it was.
    pub applied_at: Option<DateTime<Utc>>,
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// What the database was before.
    pub found: Database,
    /// The versions that were applied or reverted, in that order.
    pub versions: Vec<i64>,
}

/// What the database is, without changing it.
///
/// # Errors
/// [`MigrateError::Foreign`] names what is missing; else the store's error.
pub async fn detect(pool: &PgPool) -> Result<Database, MigrateError> {
    let mut connection = connect(pool).await?;
    let found = detect::database(&mut connection, RECORDS).await;
    connection.close().await?;
    found
}

/// Applies everything that is missing.
///
/// # Errors
/// See [`MigrateError`]; migrations applied before the failing one stay applied.
pub async fn up(pool: &PgPool) -> Result<Migrated, MigrateError> {
    up_to(pool, i64::MAX).await
}

/// Applies everything that is missing up to and including `target`.
///
/// # Errors
/// As [`up`].
pub async fn up_to(pool: &PgPool, target: i64) -> Result<Migrated, MigrateError> {
    let mut connection = connect(pool).await?;
    let outcome = apply_missing(&mut connection, target).await;
    release(connection).await;
    outcome
}

/// Reverts to version `to`, or by one migration if `to` is `None`. Version 0
/// drops every table, and only when it is named.
///
/// # Errors
/// See [`MigrateError`]; migrations reverted before the failing one stay reverted.
pub async fn down(pool: &PgPool, to: Option<i64>) -> Result<Migrated, MigrateError> {
    let mut connection = connect(pool).await?;
    let outcome = revert_above(&mut connection, to).await;
    release(connection).await;
    outcome
}

/// Every migration this binary knows, oldest first, then any that only the
/// database knows.
///
/// # Errors
/// The store's error.
pub async fn status(pool: &PgPool) -> Result<Vec<MigrationStatus>, MigrateError> {
    let mut connection = connect(pool).await?;
    let records = records(&mut connection).await?;
    close(connection).await;
    let mut applied: HashMap<i64, (String, DateTime<Utc>)> = records
        .into_iter()
        .map(|(version, name, at)| (version, (name, at)))
        .collect();
    let mut list: Vec<MigrationStatus> = embedded(Direction::Up)
        .map(|migration| MigrationStatus {
            version: migration.version,
            name: migration.description.to_string(),
            applied_at: applied.remove(&migration.version).map(|(_, at)| at),
        })
        .collect();
    list.extend(
        applied
            .into_iter()
            .map(|(version, (name, at))| MigrationStatus {
                version,
                name,
                applied_at: Some(at),
            }),
    );
    list.sort_by_key(|migration| migration.version);
    Ok(list)
}

// === the two runs ===

async fn apply_missing(
    connection: &mut PgConnection,
    target: i64,
) -> Result<Migrated, MigrateError> {
    connection.lock().await.map_err(from_sqlx)?;
    let found = detect::database(connection, RECORDS).await?;
    tracing::info!(database = %found, "migrating");
    connection
        .ensure_migrations_table(RECORDS)
        .await
        .map_err(from_sqlx)?;
    let applied = applied_and_known(connection).await?;
    let mut versions = Vec::new();
    for migration in embedded(Direction::Up).filter(|migration| migration.version <= target) {
        match applied.get(&migration.version) {
            Some(checksum) if checksum == migration.checksum.as_ref() => {}
            Some(_) => return Err(MigrateError::Changed(migration.version)),
            None => {
                let took = connection
                    .apply(RECORDS, migration)
                    .await
                    .map_err(|error| failed(migration, error))?;
                report("applied", migration, took);
                versions.push(migration.version);
            }
        }
    }
    Ok(Migrated { found, versions })
}

async fn revert_above(
    connection: &mut PgConnection,
    to: Option<i64>,
) -> Result<Migrated, MigrateError> {
    connection.lock().await.map_err(from_sqlx)?;
    let found = detect::database(connection, RECORDS).await?;
    connection
        .ensure_migrations_table(RECORDS)
        .await
        .map_err(from_sqlx)?;
    let applied = applied_and_known(connection).await?;
    let floor = match to {
        Some(version) if version == 0 || MIGRATIONS.version_exists(version) => version,
        Some(version) => return Err(MigrateError::UnknownVersion(version)),
        None => one_below(&applied)?,
    };
    let mut versions = Vec::new();
    let reverts: Vec<&Migration> = embedded(Direction::Down)
        .filter(|migration| migration.version > floor && applied.contains_key(&migration.version))
        .collect();
    for migration in reverts.into_iter().rev() {
        let took = connection
            .revert(RECORDS, migration)
            .await
            .map_err(|error| failed(migration, error))?;
        report("reverted", migration, took);
        versions.push(migration.version);
    }
    Ok(Migrated { found, versions })
}

fn one_below(applied: &HashMap<i64, Vec<u8>>) -> Result<i64, MigrateError> {
    let Some(newest) = applied.keys().copied().max() else {
        return Ok(0);
    };
    if newest == BASELINE {
        return Err(MigrateError::WouldDestroy);
    }
    Ok(newest - 1)
}

// === records ===

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

fn embedded(direction: Direction) -> impl Iterator<Item = &'static Migration> {
    MIGRATIONS.iter().filter(move |migration| {
        matches!(migration.migration_type, MigrationType::ReversibleDown)
            == (direction == Direction::Down)
    })
}

async fn applied_and_known(
    connection: &mut PgConnection,
) -> Result<HashMap<i64, Vec<u8>>, MigrateError> {
    let applied = connection
        .list_applied_migrations(RECORDS)
        .await
        .map_err(from_sqlx)?;
    applied
        .into_iter()
        .map(|record| {
            if MIGRATIONS.version_exists(record.version) {
                Ok((record.version, record.checksum.into_owned()))
            } else {
                Err(MigrateError::Newer(record.version))
            }
        })
        .collect()
}

async fn records(
    connection: &mut PgConnection,
) -> Result<Vec<(i64, String, DateTime<Utc>)>, sqlx::Error> {
    let exists: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(RECORDS)
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(
        "SELECT version, description, installed_on FROM _sqlx_migrations WHERE success",
    )
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)))
        .collect()
}

// === connection and errors ===

async fn connect(pool: &PgPool) -> Result<PgConnection, MigrateError> {
    let options = pool.connect_options().as_ref().clone().options([
        ("search_path", "public"),
        ("lock_timeout", LOCK_TIMEOUT),
        ("statement_timeout", STATEMENT_TIMEOUT),
        ("client_min_messages", "warning"),
    ]);
    let connection = tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&options))
        .await
        .map_err(|_| MigrateError::NoConnection)?
        .map_err(MigrateError::Store)?;
    match connection.server_version_num() {
        Some(version) if version < OLDEST_SERVER => {
            Err(MigrateError::TooOld((version / 10_000).to_string()))
        }
        _ => Ok(connection),
    }
}

/// Gives the advisory lock back before the session ends, because a session ends
/// a moment after its socket. Should it fail, the session's end does it.
async fn release(mut connection: PgConnection) {
    if let Err(error) = connection.unlock().await {
        tracing::debug!(%error, "unlocking the migrator");
    }
    close(connection).await;
}

async fn close(connection: PgConnection) {
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "closing the migrator's connection");
    }
}

fn report(what: &'static str, migration: &Migration, took: Duration) {
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(
        version = migration.version, name = %migration.description, took_ms, "{what} migration",
    );
}

fn from_sqlx(error: sqlx::migrate::MigrateError) -> MigrateError {
    match error {
        sqlx::migrate::MigrateError::Execute(error)
        | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => MigrateError::Store(error),
        other => MigrateError::Store(sqlx::Error::Migrate(Box::new(other))),
    }
}

fn failed(migration: &Migration, error: sqlx::migrate::MigrateError) -> MigrateError {
    let problem = match &error {
        sqlx::migrate::MigrateError::Execute(error)
        | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => postgres_words(error),
        other => other.to_string(),
    };
    MigrateError::Failed {
        version: migration.version,
        name: migration.description.to_string(),
        problem,
    }
}

fn postgres_words(error: &sqlx::Error) -> String {
    let Some(database) = error.as_database_error() else {
        return error.to_string();
    };
    let hint = database
        .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
        .and_then(|postgres| postgres.hint())
        .map(|hint| format!(" ({hint})"))
        .unwrap_or_default();
    format!("{}{hint}", database.message())
}
