//! `candor migrate up|down|status`.

use std::error::Error;

use candor_process::migrate;
use candor_process::pool::PoolSettings;
use clap::{Args, Subcommand};
use sqlx::postgres::PgConnectOptions;

/// Change or show the database schema.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    #[command(subcommand)]
    action: Action,
    /// The database, as a URL.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, global = true)]
    database_url: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Apply every migration that is missing.
    Up,
    /// Revert the newest migration, or every one after a version.
    Down {
        /// Keep this version and everything before it.
        #[arg(long)]
        to: Option<i64>,
    },
    /// Show which migrations are applied.
    Status,
}

pub async fn run(args: MigrateArgs) -> Result<(), Box<dyn Error>> {
    let url = args
        .database_url
        .ok_or("pass --database-url or set DATABASE_URL")?;
    let options: PgConnectOptions = url.parse()?;
    let mut settings = PoolSettings::new("candor-migrate");
    settings.max_connections = 2;
    settings.acquire_timeout = std::time::Duration::from_secs(10);
    // A rewrite of a large table takes as long as it takes.
    settings.statement_timeout = std::time::Duration::ZERO;
    let pool = settings.open(options);
    match args.action {
        Action::Up => {
            let done = migrate::up(&pool).await?;
            println!("{} migration(s) applied", done.versions.len());
        }
        Action::Down { to } => {
            let done = migrate::down(&pool, to).await?;
            println!("{} migration(s) reverted", done.versions.len());
        }
        Action::Status => {
            for row in migrate::status(&pool).await? {
                let applied = row
                    .applied_at
                    .map_or_else(|| "-".to_owned(), |at| at.to_rfc3339());
                println!("{:>6}  {:<40} {applied}", row.version, row.name);
            }
        }
    }
    Ok(())
}
