//! A table as full as that of a platform that has run for long.

use std::time::Instant;

use sqlx::Connection as _;
use uuid::Uuid;

use super::stage::Stage;
use crate::Result;

/// Rows that are inserted by one statement.
const CHUNK: i64 = 250_000;

/// Fills the table with so many rows, of all workspaces in turn. No platform runs.
pub async fn fill(stage: &Stage<'_>, rows: i64) -> Result<String> {
    let start = Instant::now();
    let ids: Vec<Uuid> = stage
        .workspaces
        .iter()
        .map(|workspace| workspace.id.parse())
        .collect::<std::result::Result<_, _>>()?;
    let mut inside = stage.inside().await?;
    for statement in [
        "SET synchronous_commit = off",
        "TRUNCATE public.activity_logs",
    ] {
        sqlx::query(statement).execute(&mut inside).await?;
    }
    sqlx::query(
        "UPDATE activity.log_position
         SET last = last + $1, at = greatest(clock_timestamp(), at)",
    )
    .bind(rows)
    .execute(&mut inside)
    .await?;
    let mut first = 1;
    while first <= rows {
        let last = rows.min(first + CHUNK - 1);
        sqlx::query(FILL)
            .bind(first)
            .bind(last)
            .bind(rows)
            .bind(&ids)
            .execute(&mut inside)
            .await?;
        first = last + 1;
    }
    // As the table is after autovacuum: none of it falls into a load.
    for statement in ["VACUUM (ANALYZE) public.activity_logs", "CHECKPOINT"] {
        sqlx::query(statement).execute(&mut inside).await?;
    }
    let size: i64 = sqlx::query_scalar("SELECT pg_total_relation_size('public.activity_logs')")
        .fetch_one(&mut inside)
        .await?;
    inside.close().await?;
    Ok(format!(
        "  {rows} rows, {:.1} GiB with indexes, filled in {:.0} s",
        size as f64 / f64::from(1 << 30),
        start.elapsed().as_secs_f64()
    ))
}

/// Rows `$1` to `$2` of `$3`, a millisecond apart, the last one now. Each
/// workspace has five types in turn; a tenth of its rows is its conversation.
const FILL: &str = r#"
    INSERT INTO public.activity_logs
        (id, workspace_id, activity_type, source_kind, source_id, auth, conversation, method,
         summary, status, request_text, request_is_json, seq, phase, created_at)
    SELECT (lpad(to_hex((extract(epoch FROM p.at) * 1000)::bigint - $3 + n), 12, '0')
               || '70008000' || lpad(to_hex(n), 12, '0'))::uuid,
           ($4::uuid[])[1 + n % cardinality($4)],
           (ARRAY['a2a_send', 'a2a_receive', 'agent_log', 'task_update', 'error'])
               [1 + n / cardinality($4) % 5],
           CASE WHEN n / cardinality($4) % 10 = 0 THEN 'user' ELSE 'workspace' END,
           CASE WHEN n / cardinality($4) % 10 = 0 THEN NULL
                ELSE ($4::uuid[])[1 + n % cardinality($4)] END,
           CASE WHEN n / cardinality($4) % 10 = 0 THEN 'session' ELSE 'token' END,
           n / cardinality($4) % 10 = 0,
           'message/send', 'row ' || n, 'ok',
           '{"text":"' || repeat(md5(n::text), 6) || '"}', true,
           p.last - $3 + n, 'final', p.at - ($3 - n) * interval '1 millisecond'
    FROM generate_series($1::bigint, $2::bigint) AS n, activity.log_position AS p"#;
