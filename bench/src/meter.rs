//! What beats cost in Postgres: its own counters, before and after.

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};

use crate::Result;
use crate::postgres::{Postgres, ROLE};

/// Watches one database.
#[derive(Debug, Clone)]
pub struct Meter {
    server: PgConnectOptions,
    inside: PgConnectOptions,
    name: String,
    table: &'static str,
    counts_statements: bool,
}

/// The counters at one time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counters {
    statements: i64,
    wal: i64,
    updates: i64,
    heap_only: i64,
}

/// What happened between two times.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Statements of the measured role; none where nobody counts.
    pub statements: Option<f64>,
    /// Bytes of write-ahead log.
    pub wal: f64,
    /// Percentage of updates that touched no index; none without updates.
    pub heap_only: Option<f64>,
}

impl Meter {
    /// A meter of a database, whose beats update `table`.
    pub fn new(postgres: &Postgres, name: &str, table: &'static str) -> Self {
        Self {
            server: postgres.meter("postgres"),
            inside: postgres.meter(name),
            name: name.to_owned(),
            table,
            counts_statements: postgres.counts_statements,
        }
    }

    /// The counters now.
    pub async fn read(&self) -> Result<Counters> {
        let mut counters = Counters::default();
        let mut server = PgConnection::connect_with(&self.server).await?;
        if self.counts_statements {
            // Statements that begin and end transactions do no work of their own.
            counters.statements = sqlx::query_scalar(
                r"SELECT COALESCE(sum(s.calls), 0)::bigint
                  FROM pg_stat_statements s
                  JOIN pg_database d ON d.oid = s.dbid
                  JOIN pg_roles r ON r.oid = s.userid
                  WHERE d.datname = $1 AND r.rolname = $2
                    AND s.query !~* '^\s*(begin|start transaction|commit|end|rollback|abort|savepoint|release)\y'",
            )
            .bind(&self.name)
            .bind(ROLE)
            .fetch_one(&mut server)
            .await?;
        }
        counters.wal = sqlx::query_scalar(
            "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint",
        )
        .fetch_one(&mut server)
        .await?;
        server.close().await?;
        let mut inside = PgConnection::connect_with(&self.inside).await?;
        (counters.updates, counters.heap_only) = sqlx::query_as(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables
             WHERE relid = to_regclass($1)",
        )
        .bind(self.table)
        .fetch_one(&mut inside)
        .await?;
        inside.close().await?;
        Ok(counters)
    }

    /// What happened since then.
    pub async fn since(&self, before: Counters) -> Result<Cost> {
        let now = self.read().await?;
        let statements = (now.statements - before.statements) as f64;
        let updates = now.updates - before.updates;
        let heap_only = (now.heap_only - before.heap_only) as f64;
        Ok(Cost {
            statements: self.counts_statements.then_some(statements),
            wal: (now.wal - before.wal) as f64,
            heap_only: (updates > 0).then(|| 100.0 * heap_only / updates as f64),
        })
    }
}
