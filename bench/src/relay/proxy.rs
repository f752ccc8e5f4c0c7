//! Floors: proxies that know nothing of workspaces and commit one row for each call.
//! Like Candor they open a connection for each call, since agents may have a single
//! thread, and buffer both bodies.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::{CONNECTION, CONTENT_TYPE, HOST};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::net::TcpStream;
use uuid::Uuid;

use super::agent;
use crate::Result;
use crate::floors::serve;

/// Of the pool.
const CONNECTIONS: u32 = 16;
/// Longest wait for an agent.
const PATIENCE: Duration = Duration::from_secs(10);

/// The least that says what was sent.
const ROWS: &str = "CREATE TABLE calls (id uuid PRIMARY KEY, body bytea NOT NULL)";
/// The original's activity log with its indexes, less those that nothing here is in.
const LOG: &str = "
    CREATE TABLE calls (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        workspace_id uuid NOT NULL,
        activity_type text NOT NULL,
        source_id uuid,
        target_id uuid,
        method text,
        summary text,
        request_body jsonb,
        response_body jsonb,
        duration_ms integer,
        status text DEFAULT 'ok',
        error_detail text,
        created_at timestamptz DEFAULT now()
    );
    CREATE INDEX ON calls (workspace_id, activity_type, created_at DESC);
    CREATE INDEX ON calls (created_at);
";

/// When the row is committed, and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// Id and body, before the agent is called.
    Before,
    /// A row of an activity log, with both bodies, before the caller is answered.
    After,
}

#[derive(Debug, Clone)]
struct Proxy {
    pool: PgPool,
    agents: SocketAddr,
    log: Log,
}

/// Makes the table and serves calls to agents, by the agents' own paths.
pub async fn run(addr: SocketAddr, agents: SocketAddr, database_url: &str, log: Log) -> Result<()> {
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .min_connections(CONNECTIONS)
        // A check on every acquisition would be a second round trip.
        .test_before_acquire(false)
        .connect(database_url)
        .await?;
    let table = match log {
        Log::Before => ROWS,
        Log::After => LOG,
    };
    sqlx::raw_sql(table).execute(&pool).await?;
    let proxy = Proxy { pool, agents, log };
    let router = Router::new().route("/agents/{agent}", post(relayed));
    serve(addr, router.with_state(proxy)).await
}

async fn relayed(State(proxy): State<Proxy>, Path(agent): Path<usize>, body: Bytes) -> Response {
    let outcome = match proxy.log {
        Log::Before => logged_before(&proxy, agent, body).await,
        Log::After => logged_after(&proxy, agent, body).await,
    };
    match outcome {
        Ok(answer) => ([(CONTENT_TYPE, "application/json")], answer).into_response(),
        Err(error) => {
            eprintln!("{error}");
            StatusCode::BAD_GATEWAY.into_response()
        }
    }
}

async fn logged_before(proxy: &Proxy, agent: usize, body: Bytes) -> Result<Bytes> {
    sqlx::query("INSERT INTO calls (id, body) VALUES ($1, $2)")
        .bind(Uuid::now_v7())
        .bind(body.as_ref())
        .execute(&proxy.pool)
        .await?;
    forward(proxy.agents, agent, body).await
}

async fn logged_after(proxy: &Proxy, agent: usize, body: Bytes) -> Result<Bytes> {
    #[derive(Deserialize)]
    struct Called {
        method: String,
    }
    let called: Called = serde_json::from_slice(&body)?;
    let start = Instant::now();
    let answer = forward(proxy.agents, agent, body.clone()).await?;
    let took = i32::try_from(start.elapsed().as_millis())?;
    let workspace = Uuid::from_u128(agent as u128);
    sqlx::query(
        "INSERT INTO calls (workspace_id, activity_type, target_id, method, summary,
                            request_body, response_body, duration_ms)
         VALUES ($1, 'a2a_receive', $1, $2, $3, $4::text::jsonb, $5::text::jsonb, $6)",
    )
    .bind(workspace)
    .bind(&called.method)
    .bind(format!("{} → bench-{agent}", called.method))
    .bind(std::str::from_utf8(&body)?)
    .bind(std::str::from_utf8(&answer)?)
    .bind(took)
    .execute(&proxy.pool)
    .await?;
    Ok(answer)
}

/// One call on a connection of its own, which nothing runs beside.
async fn forward(agents: SocketAddr, agent: usize, body: Bytes) -> Result<Bytes> {
    let request = Request::post(agent::path(agent))
        .header(HOST, agents.to_string())
        .header(CONTENT_TYPE, "application/json")
        .header(CONNECTION, "close")
        .body(Full::new(body))?;
    let call = async {
        let stream = TcpStream::connect(agents).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let answer = async {
            let answer = sender.send_request(request).await?;
            if answer.status() != StatusCode::OK {
                return Err(format!("the agent answered with {}", answer.status()).into());
            }
            Ok(answer.into_body().collect().await?.to_bytes())
        };
        tokio::pin!(answer, connection);
        tokio::select! {
            answer = &mut answer => answer,
            ended = &mut connection => {
                ended?;
                answer.await
            }
        }
    };
    tokio::time::timeout(PATIENCE, call).await?
}
