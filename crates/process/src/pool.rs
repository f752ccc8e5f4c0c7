//! The pool of Postgres connections, and what a failed statement means.

use std::time::Duration;

use candor_kernel::{Error, Reason};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgPool};

/// Idle time after which a connection is checked before it is used.
const PING_AFTER_IDLE: Duration = Duration::from_secs(1);

/// How a process uses Postgres.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// Shown in `pg_stat_activity`; the name of the process.
    pub application_name: String,
    /// Most connections at a time.
    pub max_connections: u32,
    /// Longest wait for a connection; then 503 (promise P9).
    pub acquire_timeout: Duration,
    /// Longest statement, enforced by Postgres.
    pub statement_timeout: Duration,
    /// Longest wait for a lock inside a statement.
    pub lock_timeout: Duration,
    /// Other settings of Postgres, for all its connections.
    pub options: Vec<(&'static str, &'static str)>,
}

impl PoolSettings {
    /// The values of design section 7: 503 after 2 s without Postgres.
    #[must_use]
    pub fn new(application_name: impl Into<String>) -> Self {
        Self {
            application_name: application_name.into(),
            max_connections: 20,
            acquire_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(2),
            options: Vec::new(),
        }
    }

    /// Plans each statement for its values: right where filters are optional,
    /// and a plan for all of them would be a plan for none.
    #[must_use]
    pub fn planned_by_value(mut self) -> Self {
        self.options.push(("plan_cache_mode", "force_custom_plan"));
        self
    }

    /// For statements whose plan is always the same, and costs more than their work.
    #[must_use]
    pub fn planned_once(mut self) -> Self {
        self.options.push(("plan_cache_mode", "force_generic_plan"));
        self
    }

    /// A pool that connects on first use, so that a process can start, and
    /// answer 503, while Postgres is away.
    #[must_use]
    pub fn open(&self, options: PgConnectOptions) -> PgPool {
        let options = options.application_name(&self.application_name).options([
            (
                "statement_timeout",
                format!("{}ms", self.statement_timeout.as_millis()),
            ),
            (
                "lock_timeout",
                format!("{}ms", self.lock_timeout.as_millis()),
            ),
            ("idle_in_transaction_session_timeout", "30s".to_owned()),
        ]);
        let options = options.options(self.options.iter().copied());
        PgPoolOptions::new()
            .max_connections(self.max_connections)
            .acquire_timeout(self.acquire_timeout)
            .idle_timeout(Duration::from_secs(300))
            .max_lifetime(Duration::from_secs(1800))
            // Connections that died in an outage sit idle; a ping finds them. One
            // that was used a moment ago is taken as it is: a ping before each
            // statement would double the round trips of the hot path.
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > PING_AFTER_IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options)
    }
}

/// Runs a store operation with a deadline of our own: `statement_timeout` is
/// Postgres' word and does not help when the network swallows it.
///
/// # Errors
/// What `work` gives, mapped by [`store_error`]; past `limit` the store is
/// unavailable, and whether the statement ran is unknown.
pub async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(limit, work).await {
        Ok(outcome) => outcome.map_err(store_error),
        Err(_) => {
            metrics::counter!("candor_store_unavailable_total").increment(1);
            Err(Error::store_unavailable(format!(
                "no answer within {} ms",
                limit.as_millis()
            )))
        }
    }
}

/// Whether Postgres is away, so that a later try may well succeed. The outcome
/// of the statement is then unknown.
#[must_use]
pub fn is_connection_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(database) => database.code().is_some_and(|code| {
            // Class 08: connection exceptions. Class 57P: shutdown, crash,
            // starting up. 53300: no connection slot left.
            code.starts_with("08") || code.starts_with("57P") || code == "53300"
        }),
        _ => false,
    }
}

/// Whether Postgres gave up on the statement: its time or a lock's ran out, or
/// the disk is full. It had no effect.
#[must_use]
pub fn is_timeout(error: &sqlx::Error) -> bool {
    sql_state(error).is_some_and(|code| {
        matches!(
            code.as_str(),
            "57014" | "55P03" | "53000" | "53100" | "53200" | "25P03"
        )
    })
}

/// Whether another transaction was in the way; trying again is right.
#[must_use]
pub fn is_contention(error: &sqlx::Error) -> bool {
    sql_state(error).is_some_and(|code| matches!(code.as_str(), "40001" | "40P01"))
}

/// What a caller learns of a failed statement: 503 when Postgres is away or
/// gave up, 503 on contention, else a defect of ours.
#[must_use]
pub fn store_error(error: sqlx::Error) -> Error {
    // A standby that is not the primary yet, or any more, takes no writes.
    let is_read_only = sql_state(&error).is_some_and(|code| code == "25006");
    if is_connection_lost(&error) || is_timeout(&error) || is_read_only {
        metrics::counter!("candor_store_unavailable_total").increment(1);
        Error::store_unavailable(error)
    } else if is_contention(&error) {
        Error::new(
            Reason::Contention,
            "another writer was faster, retry shortly",
        )
        .with_internal(error)
        .with_retry_after(Duration::from_secs(1))
    } else if sql_state(&error).is_some_and(|code| code.starts_with("22")) {
        // Class 22, data exceptions: the caller's value, not our defect.
        Error::new(Reason::InvalidField, "a value cannot be stored").with_internal(error)
    } else {
        Error::internal(error)
    }
}

fn sql_state(error: &sqlx::Error) -> Option<String> {
    error
        .as_database_error()
        .and_then(|database| database.code())
        .map(|code| code.into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_lost_connection_is_unavailable_and_may_be_retried() {
        let lost = sqlx::Error::Io(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        assert!(is_connection_lost(&lost));
        let error = store_error(lost);
        assert_eq!(error.reason(), Reason::StoreUnavailable);
        assert!(error.retry_after().is_some());
        assert!(error.internal_text().unwrap().contains("reset"));
    }

    #[test]
    fn a_full_pool_is_unavailable() {
        assert_eq!(
            store_error(sqlx::Error::PoolTimedOut).reason(),
            Reason::StoreUnavailable
        );
    }

    #[test]
    fn an_absent_row_is_a_defect_not_an_outage() {
        assert!(!is_connection_lost(&sqlx::Error::RowNotFound));
        assert_eq!(
            store_error(sqlx::Error::RowNotFound).reason(),
            Reason::Internal
        );
    }
}
