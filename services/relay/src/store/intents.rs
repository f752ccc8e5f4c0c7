//! Intents: one statement begins some and forgets others.

use sqlx::PgConnection;
use uuid::Uuid;

/// An intent to be committed before its agent is dialled.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct NewIntent {
    pub id: Uuid,
    /// The activity row without its outcome, encoded.
    pub activity: Vec<u8>,
    pub deadline_seconds: f64,
    pub workspace: Uuid,
    pub caller: String,
    pub message_id: Option<String>,
}

/// An intent whose outcome other services know.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct Forgotten {
    pub id: Uuid,
    pub usage: Option<Usage>,
}

/// Tokens that one answer says it used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Usage {
    pub workspace: Uuid,
    pub input: i64,
    pub output: i64,
}

/// An intent that was not begun: its message waits already.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct Joined {
    pub intent: Uuid,
    pub entry: Uuid,
}

/// Begins and forgets, in one statement and so in one commit. A message that waits
/// in the ledger is not begun again. Tokens are counted with the intent that brings
/// them, once (contract/a2a.md, "Token usage").
///
/// # Errors
/// Postgres' own.
pub async fn exchange(
    connection: &mut PgConnection,
    owner: Uuid,
    begun: &[&NewIntent],
    forgotten: &[Forgotten],
) -> Result<Vec<Joined>, sqlx::Error> {
    let ids: Vec<Uuid> = begun.iter().map(|i| i.id).collect();
    let activities: Vec<&[u8]> = begun.iter().map(|i| i.activity.as_slice()).collect();
    let deadlines: Vec<f64> = begun.iter().map(|i| i.deadline_seconds).collect();
    let workspaces: Vec<Uuid> = begun.iter().map(|i| i.workspace).collect();
    let callers: Vec<&str> = begun.iter().map(|i| i.caller.as_str()).collect();
    let messages: Vec<Option<&str>> = begun.iter().map(|i| i.message_id.as_deref()).collect();
    let gone: Vec<Uuid> = forgotten.iter().map(|f| f.id).collect();
    let usage = |field: fn(Usage) -> i64| -> Vec<Option<i64>> {
        forgotten.iter().map(|f| f.usage.map(field)).collect()
    };
    let users: Vec<Option<Uuid>> = forgotten
        .iter()
        .map(|f| f.usage.map(|usage| usage.workspace))
        .collect();
    sqlx::query_as!(
        Joined,
        r#"WITH joined AS (
               SELECT u.id, e.id AS entry
               FROM unnest($1::uuid[], $4::uuid[], $5::text[], $6::text[])
                   AS u (id, workspace_id, caller, message_id)
               JOIN relay.entries e USING (workspace_id, caller, message_id)
               WHERE e.state IN ('accepted', 'leased')),
           begun AS (
               INSERT INTO relay.intents (id, activity, deadline, owner)
               SELECT u.id, u.activity, clock_timestamp() + u.seconds * interval '1 second', $11
               FROM unnest($1::uuid[], $2::bytea[], $3::double precision[])
                   AS u (id, activity, seconds)
               WHERE NOT EXISTS (SELECT 1 FROM joined WHERE joined.id = u.id)
               ON CONFLICT (id) DO NOTHING),
           gone AS (DELETE FROM relay.intents WHERE id = ANY($7::uuid[]) RETURNING id),
           used AS (
               SELECT u.workspace_id, sum(u.input) AS input, sum(u.output) AS output,
                      count(*) AS calls
               FROM unnest($7::uuid[], $8::uuid[], $9::bigint[], $10::bigint[])
                   AS u (id, workspace_id, input, output)
               JOIN gone USING (id) JOIN public.workspaces w ON w.id = u.workspace_id
               GROUP BY u.workspace_id ORDER BY u.workspace_id),
           counted AS (
               INSERT INTO public.workspace_token_usage AS t
                   (workspace_id, period_start, input_tokens, output_tokens, call_count,
                    estimated_cost_usd)
               SELECT workspace_id, date_trunc('day', now(), 'UTC'), input::bigint,
                      output::bigint, calls::integer,
                      least(input * 0.000003 + output * 0.000015, 999999)
               FROM used
               ON CONFLICT (workspace_id, period_start) DO UPDATE SET
                   input_tokens = t.input_tokens + excluded.input_tokens,
                   output_tokens = t.output_tokens + excluded.output_tokens,
                   call_count = t.call_count + excluded.call_count,
                   estimated_cost_usd =
                       least(t.estimated_cost_usd + excluded.estimated_cost_usd, 999999),
                   updated_at = now())
           SELECT id AS "intent!", entry AS "entry!" FROM joined"#,
        &ids,
        &activities as _,
        &deadlines,
        &workspaces,
        &callers as _,
        &messages as _,
        &gone,
        &users as _,
        &usage(|u| u.input) as _,
        &usage(|u| u.output) as _,
        owner,
    )
    .fetch_all(connection)
    .await
}

/// An intent that nobody waits for any more.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Overdue {
    pub id: Uuid,
    pub activity: Vec<u8>,
}

/// Says that a relay runs; forgets those that ended long ago.
///
/// # Errors
/// Postgres' own.
pub async fn beat(connection: &mut PgConnection, me: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"WITH gone AS (
               DELETE FROM relay.processes WHERE seen_at < now() - interval '1 day')
           INSERT INTO relay.processes (id) VALUES ($1)
           ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp()"#,
        me
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes intents that nobody waits for any more: their process has not been seen for
/// so long, or their deadline is an hour past. A process that runs tells the outcomes
/// of its own. Whoever takes them reports them in
/// the same transaction.
///
/// # Errors
/// Postgres' own.
pub async fn take_overdue(
    connection: &mut PgConnection,
    grace_seconds: f64,
    most: i64,
) -> Result<Vec<Overdue>, sqlx::Error> {
    sqlx::query_as!(
        Overdue,
        r#"DELETE FROM relay.intents WHERE id IN (
               SELECT id FROM relay.intents
               WHERE deadline < now() - interval '1 hour'
                  OR (begun_at < now() - $1 * interval '1 second'
                      AND owner NOT IN (
                          SELECT id FROM relay.processes
                          WHERE seen_at > now() - $1 * interval '1 second'))
               ORDER BY deadline LIMIT $2 FOR UPDATE SKIP LOCKED)
           RETURNING id, activity"#,
        grace_seconds,
        most
    )
    .fetch_all(connection)
    .await
}

/// Removes one whose outcome is in the outbox; false if somebody reported it already.
///
/// # Errors
/// Postgres' own.
pub async fn remove(connection: &mut PgConnection, id: Uuid) -> Result<bool, sqlx::Error> {
    let removed = sqlx::query!("DELETE FROM relay.intents WHERE id = $1", id)
        .execute(connection)
        .await?;
    Ok(removed.rows_affected() > 0)
}

/// Counts tokens of an answer that has no intent.
///
/// # Errors
/// Postgres' own.
pub async fn count(connection: &mut PgConnection, usage: Usage) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"INSERT INTO public.workspace_token_usage AS t
               (workspace_id, period_start, input_tokens, output_tokens, call_count,
                estimated_cost_usd)
           SELECT w.id, date_trunc('day', now(), 'UTC'), $2::bigint, $3::bigint, 1,
                  least($2::bigint * 0.000003 + $3::bigint * 0.000015, 999999)
           FROM public.workspaces w WHERE w.id = $1
           ON CONFLICT (workspace_id, period_start) DO UPDATE SET
               input_tokens = t.input_tokens + excluded.input_tokens,
               output_tokens = t.output_tokens + excluded.output_tokens,
               call_count = t.call_count + 1,
               estimated_cost_usd =
                   least(t.estimated_cost_usd + excluded.estimated_cost_usd, 999999),
               updated_at = now()"#,
        usage.workspace,
        usage.input,
        usage.output
    )
    .execute(connection)
    .await?;
    Ok(())
}
