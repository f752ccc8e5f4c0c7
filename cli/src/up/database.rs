//! The database of a standalone Candor: a private Postgres, or one by URL.

use std::error::Error;

use candor_activity_log::ActivityLog;
use candor_process::config::SharedConfig;
use candor_process::data_dir::DataDir;
use candor_process::migrate;
use candor_process::pool::PoolSettings;
use candor_process::postgres::PrivatePostgres;
use candor_provisioner::Provisioner;
use candor_relay::Relay;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use super::progress::Progress;

/// Connections of the activity log, at most.
const FOR_ACTIVITY: u32 = 10;
/// Connections of the relay, at most.
const FOR_RELAY: u32 = 10;
/// Connections of the provisioner, at most.
const FOR_PROVISIONER: u32 = 8;
/// Longest wait for connections to close.
const CLOSE: std::time::Duration = std::time::Duration::from_secs(3);

/// A migrated database, and what keeps it alive.
pub struct Database {
    /// Owned for as long as Candor runs: never two on one directory.
    pub data_dir: DataDir,
    /// The private server, if it is ours.
    pub private: Option<PrivatePostgres>,
    /// How to connect.
    pub pool: PgPool,
    /// As `pool`, for the activity log.
    pub for_activity: PgPool,
    /// As `pool`, for the relay.
    pub for_relay: PgPool,
    /// As `pool`, for the provisioner.
    pub for_provisioner: PgPool,
}

impl Database {
    /// Takes the data directory, starts Postgres if none was named, migrates.
    pub async fn open(config: &SharedConfig, progress: &Progress) -> Result<Self, Box<dyn Error>> {
        let data_dir = DataDir::open(&config.data_dir)?;
        let (private, options) = match &config.database {
            Some(options) => (None, options.clone()),
            None => {
                progress.step("starting the private Postgres");
                let private = PrivatePostgres::start(&data_dir, &config.postgres).await?;
                let options = private.connect_options();
                (Some(private), options)
            }
        };
        progress.step("migrating the database");
        migrate_up(options.clone()).await?;
        let mut for_activity = ActivityLog::pool_settings("candor-activity");
        for_activity.max_connections = FOR_ACTIVITY;
        let mut for_relay = Relay::pool_settings("candor-relay");
        for_relay.max_connections = FOR_RELAY;
        let mut for_provisioner = Provisioner::pool_settings("candor-provisioner");
        for_provisioner.max_connections = FOR_PROVISIONER;
        Ok(Self {
            data_dir,
            private,
            pool: PoolSettings::new("candor").open(options.clone()),
            for_activity: for_activity.open(options.clone()),
            for_relay: for_relay.open(options.clone()),
            for_provisioner: for_provisioner.open(options),
        })
    }

    /// The private server's URL; none for a server that is not ours.
    pub fn private_url(&self) -> Option<&str> {
        self.private.as_ref().map(PrivatePostgres::url)
    }

    /// Closes the pool, then stops the private server.
    pub async fn close(self) {
        // Connections that do not answer must not keep the process.
        let closed = async {
            tokio::join!(
                self.pool.close(),
                self.for_activity.close(),
                self.for_relay.close(),
                self.for_provisioner.close()
            )
        };
        if tokio::time::timeout(CLOSE, closed).await.is_err() {
            tracing::warn!(deadline = ?CLOSE, "left connections that do not answer");
        }
        if let Some(private) = self.private
            && let Err(error) = private.stop().await
        {
            tracing::error!(%error, "stopping the private Postgres");
        }
    }
}

async fn migrate_up(options: PgConnectOptions) -> Result<(), Box<dyn Error>> {
    let mut settings = PoolSettings::new("candor-migrate");
    settings.max_connections = 1;
    // A rewrite of a large table takes as long as it takes.
    settings.statement_timeout = std::time::Duration::ZERO;
    settings.acquire_timeout = std::time::Duration::from_secs(10);
    let pool = settings.open(options);
    let migrated = migrate::up(&pool).await?;
    pool.close().await;
    if !migrated.versions.is_empty() {
        tracing::info!(applied = ?migrated.versions, "migrated the database");
    }
    Ok(())
}
