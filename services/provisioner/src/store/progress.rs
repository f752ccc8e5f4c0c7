//! What whoever holds a row's lease writes into it. False: another one holds it by now,
//! or something else is wanted.

use std::time::Duration;

use candor_kernel::Error;
use candor_process::pool::store_error;
use sqlx::PgConnection;

use super::instances::Hold;

macro_rules! write {
    ($connection:expr, $hold:expr, $sql:literal $(, $argument:expr)*) => {{
        let hold: &Hold = $hold;
        let done = sqlx::query!($sql, hold.id, hold.owner, hold.version $(, $argument)*)
            .execute($connection)
            .await
            .map_err(store_error)?;
        Ok(done.rows_affected() == 1)
    }};
}

/// How far the token is; `started` notes the time and where the instance is.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn handed(
    connection: &mut PgConnection,
    hold: &Hold,
    handed: &str,
    url: Option<&str>,
) -> Result<bool, Error> {
    write!(
        connection,
        hold,
        r#"UPDATE provisioner.instances
           SET handed = $4, url = coalesce($5, url), attempts = 0,
               configured = configured OR $4 = 'started',
               template = CASE WHEN $4 = 'started' THEN '' ELSE template END,
               reset_session = reset_session AND $4 <> 'started',
               started_at = CASE WHEN $4 = 'started' THEN clock_timestamp() ELSE started_at END
           WHERE workspace_id = $1 AND lease_owner = $2 AND version = $3"#,
        handed,
        url
    )
}

/// The instance has called.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn called(connection: &mut PgConnection, hold: &Hold) -> Result<bool, Error> {
    write!(
        connection,
        hold,
        r#"UPDATE provisioner.instances
           SET called = true, handed = 'started', halted = false, template = '',
               reset_session = false, configured = true, last_error = '',
               attempts = 0
           WHERE workspace_id = $1 AND lease_owner = $2 AND version = $3"#
    )
}

/// Everything is as it is wanted; the lease is given back. Not if a restart was asked
/// for meanwhile.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn settle(connection: &mut PgConnection, hold: &Hold) -> Result<bool, Error> {
    write!(
        connection,
        hold,
        r#"UPDATE provisioner.instances
           SET settled = true, attempts = 0, lease_owner = NULL, lease_until = NULL
           WHERE workspace_id = $1 AND lease_owner = $2 AND version = $3
             AND (restart_reason IS NULL OR want <> 'running')"#
    )
}

/// Nothing more is tried until somebody asks; the lease is given back.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn halt(connection: &mut PgConnection, hold: &Hold, error: &str) -> Result<bool, Error> {
    write!(
        connection,
        hold,
        r#"UPDATE provisioner.instances
           SET settled = true, halted = true, last_error = $4, restart_reason = NULL,
               lease_owner = NULL, lease_until = NULL
           WHERE workspace_id = $1 AND lease_owner = $2 AND version = $3"#,
        error
    )
}

/// A step failed and is tried again after a pause; the lease is given back.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn retry(
    connection: &mut PgConnection,
    hold: &Hold,
    error: &str,
    pause: Duration,
) -> Result<bool, Error> {
    write!(
        connection,
        hold,
        r#"UPDATE provisioner.instances
           SET attempts = attempts + 1, last_error = $4,
               next_at = now() + make_interval(secs => $5),
               lease_owner = NULL, lease_until = NULL
           WHERE workspace_id = $1 AND lease_owner = $2 AND version = $3"#,
        error,
        pause.as_secs_f64()
    )
}

/// Nothing of the workspace is left where it ran before.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn left_former(connection: &mut PgConnection, hold: &Hold) -> Result<bool, Error> {
    write!(
        connection,
        hold,
        r#"UPDATE provisioner.instances SET former_backend = NULL
           WHERE workspace_id = $1 AND lease_owner = $2 AND version = $3"#
    )
}

/// A restart that nobody asked for was begun: it counts, whatever is wanted by now.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn spend(connection: &mut PgConnection, hold: &Hold) -> Result<(), Error> {
    sqlx::query!(
        r#"UPDATE provisioner.instances
           SET restarts = (array_prepend(clock_timestamp(), restarts))[1:16]
           WHERE workspace_id = $1 AND lease_owner = $2"#,
        hold.id,
        hold.owner
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// The reason of a restart does not stand any more.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn drop_reason(connection: &mut PgConnection, hold: &Hold) -> Result<bool, Error> {
    write!(
        connection,
        hold,
        r#"UPDATE provisioner.instances SET restart_reason = NULL
           WHERE workspace_id = $1 AND lease_owner = $2 AND version = $3"#
    )
}

/// Everything is taken away: so is the row, with what belongs to it. What people wrote
/// goes with a purge, or when the workspace is removed.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn forget(connection: &mut PgConnection, hold: &Hold) -> Result<bool, Error> {
    let gone: Result<bool, Error> = write!(
        &mut *connection,
        hold,
        r#"DELETE FROM provisioner.instances
           WHERE workspace_id = $1 AND lease_owner = $2 AND version = $3"#
    );
    if !gone? {
        return Ok(false);
    }
    macro_rules! run {
        ($sql:literal) => {
            sqlx::query!($sql, hold.id)
                .execute(&mut *connection)
                .await
                .map_err(store_error)?
        };
    }
    run!("DELETE FROM provisioner.steps WHERE workspace_id = $1");
    run!("DELETE FROM provisioner.files WHERE workspace_id = $1");
    run!("DELETE FROM provisioner.policies WHERE workspace_id = $1");
    run!("DELETE FROM provisioner.idleness WHERE workspace_id = $1");
    Ok(true)
}
