//! Whether each call left its row.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};

use super::targets::{Kind, Target};
use crate::Result;
use crate::postgres::Postgres;

/// How long rows may come after the last answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const POLL: Duration = Duration::from_millis(100);

/// What is in a database, in numbers of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
struct Rows {
    /// All that calls made.
    rows: i64,
    /// Those that are final and say that all went well.
    fine: i64,
    /// Those among them whose caller is a workspace.
    from_workspaces: i64,
    /// Requests that are told apart.
    requests: i64,
    /// Calls whose outcome nobody knows yet.
    open: i64,
}

const OF_CANDOR: &str = "
    SELECT count(*) AS rows,
           count(*) FILTER (WHERE phase = 'final' AND status = 'ok') AS fine,
           count(*) FILTER (WHERE phase = 'final' AND status = 'ok'
                              AND source_kind = 'workspace') AS from_workspaces,
           count(DISTINCT md5(request_text)) AS requests,
           (SELECT count(*) FROM relay.intents) AS open
    FROM public.activity_logs WHERE activity_type = 'a2a_receive'";
const OF_FORWARD: &str = "
    SELECT count(*) AS rows, count(*) AS fine, count(*) / 2 AS from_workspaces,
           count(DISTINCT md5(body)) AS requests, 0::bigint AS open
    FROM calls";
const OF_BUFFERING: &str = "
    SELECT count(*) AS rows, count(*) FILTER (WHERE status = 'ok') AS fine,
           count(*) / 2 AS from_workspaces,
           count(DISTINCT md5(request_body::text)) AS requests, 0::bigint AS open
    FROM calls";

/// Fails unless each call of a target has one row, which is final and is of its own
/// request and sender.
pub async fn check(postgres: &Postgres, target: &Target) -> Result<()> {
    let Some(database) = target.database else {
        return Ok(());
    };
    let calls = i64::try_from(target.calls())?;
    let expected = Rows {
        rows: calls,
        fine: calls,
        from_workspaces: calls / 2,
        requests: calls,
        open: 0,
    };
    let mut inside = PgConnection::connect_with(&postgres.meter(database)).await?;
    let deadline = Instant::now() + PATIENCE;
    // The platform answers first, and tells its log by groups.
    let found = loop {
        let found = Rows::read(&mut inside, target.kind).await?;
        if found == expected || Instant::now() >= deadline {
            break found;
        }
        tokio::time::sleep(POLL).await;
    };
    inside.close().await?;
    if found != expected {
        let kind = target.kind;
        return Err(format!("{kind}: {calls} calls were answered and left {found:?}").into());
    }
    println!("  {:<22} {calls} calls, a row for each", target.kind);
    Ok(())
}

impl Rows {
    async fn read(inside: &mut PgConnection, kind: Kind) -> Result<Self> {
        let query = match kind {
            Kind::Forward => OF_FORWARD,
            Kind::Buffering => OF_BUFFERING,
            Kind::Direct | Kind::DirectAnew | Kind::Candor => OF_CANDOR,
        };
        Ok(sqlx::query_as(query).fetch_one(inside).await?)
    }
}
