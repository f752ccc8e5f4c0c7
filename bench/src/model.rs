//! A model of the original's beat: seven sequential round trips over a pool of
//! 25 connections, on tables with the original's columns and indexes. It leaves
//! out the original's Redis call, its broadcasts and its look at the queue, so it
//! is faster than the original.

use std::net::SocketAddr;
use std::path::Path;

use axum::extract::State;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

use crate::Result;
use crate::beat::{Beat, PATH, Workspace, write_workspaces};
use crate::floors::{ANSWER, answered, serve};

/// As the original's pool.
const CONNECTIONS: u32 = 25;

const TABLES: &str = r#"
    CREATE TYPE workspace_status AS ENUM (
        'provisioning', 'online', 'offline', 'degraded', 'paused', 'hibernating', 'hibernated',
        'failed', 'awaiting_agent', 'removed');
    CREATE TABLE workspaces (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        name text NOT NULL,
        role text,
        tier integer DEFAULT 1,
        status workspace_status DEFAULT 'provisioning',
        source_bundle_id text,
        agent_card jsonb,
        url text,
        parent_id uuid REFERENCES workspaces (id),
        forwarded_to uuid REFERENCES workspaces (id),
        last_heartbeat_at timestamptz,
        last_error_rate double precision DEFAULT 0,
        last_sample_error text,
        active_tasks integer DEFAULT 0,
        uptime_seconds integer DEFAULT 0,
        created_at timestamptz DEFAULT now(),
        updated_at timestamptz DEFAULT now(),
        current_task text,
        awareness_namespace text,
        runtime text DEFAULT 'langgraph',
        workspace_dir text,
        workspace_access varchar(20) NOT NULL DEFAULT 'none',
        budget_limit bigint,
        monthly_spend bigint NOT NULL DEFAULT 0,
        hibernation_idle_minutes integer,
        last_outbound_at timestamptz,
        max_concurrent_tasks integer NOT NULL DEFAULT 1,
        instance_id text
    );
    CREATE INDEX ON workspaces (parent_id);
    CREATE INDEX ON workspaces (status);
    CREATE INDEX ON workspaces (hibernation_idle_minutes)
        WHERE hibernation_idle_minutes IS NOT NULL;
    CREATE INDEX ON workspaces (instance_id) WHERE instance_id IS NOT NULL;
    CREATE TABLE workspace_auth_tokens (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        workspace_id uuid NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
        token_hash bytea NOT NULL UNIQUE,
        prefix text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        last_used_at timestamptz,
        revoked_at timestamptz
    );
    CREATE INDEX ON workspace_auth_tokens (workspace_id) WHERE revoked_at IS NULL;
"#;

/// Makes the tables and `count` workspaces in them, then serves beats. The ids
/// and tokens are in `file` when it is ready.
pub async fn run(addr: SocketAddr, database_url: &str, count: usize, file: &Path) -> Result<()> {
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .min_connections(CONNECTIONS)
        // A check on every acquisition would be an eighth round trip.
        .test_before_acquire(false)
        .connect(database_url)
        .await?;
    sqlx::raw_sql(TABLES).execute(&pool).await?;
    write_workspaces(file, &enrol(&pool, count).await?)?;
    serve(addr, Router::new().route(PATH, post(beat)).with_state(pool)).await
}

async fn enrol(pool: &PgPool, count: usize) -> Result<Vec<Workspace>> {
    let ids: Vec<Uuid> = std::iter::repeat_with(Uuid::new_v4).take(count).collect();
    let tokens: Vec<String> = ids
        .iter()
        .map(|_| {
            format!(
                "{}{}",
                Uuid::new_v4().simple(),
                &Uuid::new_v4().simple().to_string()[..11]
            )
        })
        .collect();
    let hashes: Vec<Vec<u8>> = tokens.iter().map(|token| hash(token)).collect();
    sqlx::query(
        "INSERT INTO workspaces (id, name, status, agent_card, url)
         SELECT id, 'bench-' || id, 'online', '{}', 'http://localhost:8001'
         FROM unnest($1::uuid[]) id",
    )
    .bind(&ids)
    .execute(pool)
    .await?;
    sqlx::query(
        "INSERT INTO workspace_auth_tokens (workspace_id, token_hash, prefix)
         SELECT id, hash, 'bench' FROM unnest($1::uuid[], $2::bytea[]) AS t (id, hash)",
    )
    .bind(&ids)
    .bind(&hashes)
    .execute(pool)
    .await?;
    let workspaces = ids.iter().zip(tokens).map(|(id, token)| Workspace {
        id: id.to_string(),
        token,
    });
    Ok(workspaces.collect())
}

async fn beat(State(pool): State<PgPool>, headers: HeaderMap, Json(beat): Json<Beat>) -> Response {
    let token = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    match store(&pool, token, &beat).await {
        Ok(true) => answered(ANSWER),
        Ok(false) => StatusCode::UNAUTHORIZED.into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The seven statements, each of its own, each on whatever connection is free.
async fn store(pool: &PgPool, token: Option<&str>, beat: &Beat) -> Result<bool> {
    let id: Uuid = beat.workspace_id.parse()?;
    if !authorised(pool, token, id).await? {
        return Ok(false);
    }
    let _previous_task: Option<String> =
        sqlx::query_scalar("SELECT COALESCE(current_task, '') FROM workspaces WHERE id = $1")
            .bind(id)
            .fetch_optional(pool)
            .await?;
    sqlx::query(
        "UPDATE workspaces SET last_heartbeat_at = now(), last_error_rate = $2,
             last_sample_error = $3, active_tasks = $4, uptime_seconds = $5, current_task = $6,
             updated_at = now()
         WHERE id = $1 AND status != 'removed'",
    )
    .bind(id)
    .bind(beat.error_rate)
    .bind(&beat.sample_error)
    .bind(beat.active_tasks)
    .bind(beat.uptime_seconds)
    .bind(&beat.current_task)
    .execute(pool)
    .await?;
    let status: String = sqlx::query_scalar("SELECT status::text FROM workspaces WHERE id = $1")
        .bind(id)
        .fetch_one(pool)
        .await?;
    let most_tasks: i32 =
        sqlx::query_scalar("SELECT max_concurrent_tasks FROM workspaces WHERE id = $1")
            .bind(id)
            .fetch_one(pool)
            .await?;
    Ok(status == "online" && beat.active_tasks < most_tasks)
}

async fn authorised(pool: &PgPool, token: Option<&str>, id: Uuid) -> Result<bool> {
    let live: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM workspace_auth_tokens
         WHERE workspace_id = $1 AND revoked_at IS NULL",
    )
    .bind(id)
    .fetch_one(pool)
    .await?;
    let Some(token) = token else {
        return Ok(live == 0);
    };
    let found: Option<(Uuid, Uuid)> = sqlx::query_as(
        "SELECT t.id, t.workspace_id FROM workspace_auth_tokens t
         JOIN workspaces w ON w.id = t.workspace_id
         WHERE t.token_hash = $1 AND t.revoked_at IS NULL AND w.status != 'removed'",
    )
    .bind(hash(token))
    .fetch_optional(pool)
    .await?;
    let Some((token_id, owner)) = found else {
        return Ok(false);
    };
    if owner != id {
        return Ok(false);
    }
    sqlx::query("UPDATE workspace_auth_tokens SET last_used_at = now() WHERE id = $1")
        .bind(token_id)
        .execute(pool)
        .await?;
    Ok(true)
}

fn hash(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}
