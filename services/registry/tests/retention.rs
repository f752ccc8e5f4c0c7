//! What is deleted by age, and what is not.
#![allow(clippy::unwrap_used)]

use candor_process::migrate;
use candor_process::pool::PoolSettings;
use candor_registry::store::retention;
use candor_testkit::postgres::{self, Postgres};
use sqlx::PgPool;

const WORKSPACE: &str = "00000000-0000-4000-8000-0000000000aa";

async fn database() -> (Postgres, String, PgPool) {
    let postgres = Postgres::start_new().await.unwrap();
    let url = postgres.create_database().await.unwrap();
    let pool = PoolSettings::new("test").open(url.parse().unwrap());
    migrate::up(&pool).await.unwrap();
    let workspace = format!("INSERT INTO workspaces (id, name) VALUES ('{WORKSPACE}', 'w')");
    postgres::execute(&url, &workspace).await.unwrap();
    (postgres, url, pool)
}

#[tokio::test]
async fn tokens_that_ended_long_ago_go_and_raise_no_version() {
    let (_postgres, url, pool) = database().await;
    let token = |hash: u8, rest: &str| {
        format!(
            "INSERT INTO workspace_auth_tokens
                 (workspace_id, prefix, token_hash, kind, state, epoch, revoked_at, retired_at)
             VALUES ('{WORKSPACE}', '{hash}', '\\x{hash:02x}', {rest});"
        )
    };
    let tokens = [
        token(1, "'manual', 'active', NULL, NULL, NULL"),
        token(
            2,
            "'manual', 'active', NULL, now() - interval '29 days', NULL",
        ),
        token(
            3,
            "'manual', 'active', NULL, now() - interval '31 days', NULL",
        ),
        token(4, "'instance', 'retired', 1, NULL, now() - interval '23 h'"),
        token(5, "'instance', 'retired', 1, NULL, now() - interval '25 h'"),
    ];
    postgres::execute(&url, &tokens.concat()).await.unwrap();
    let version = "SELECT auth_version FROM registry.workspace_vitals";
    let before = postgres::count(&url, version).await.unwrap();

    let mut connection = pool.acquire().await.unwrap();
    let deleted = retention::delete_tokens(&mut connection).await.unwrap();
    assert_eq!(deleted, 2);
    let left = "SELECT string_agg(prefix, ',' ORDER BY prefix) FROM workspace_auth_tokens";
    assert_eq!(postgres::text(&url, left).await.unwrap(), "1,2,4");
    assert_eq!(postgres::count(&url, version).await.unwrap(), before);
    // A live one still does, whoever deletes it.
    postgres::execute(&url, "DELETE FROM workspace_auth_tokens WHERE prefix = '1'")
        .await
        .unwrap();
    assert_eq!(postgres::count(&url, version).await.unwrap(), before + 1);
}

#[tokio::test]
async fn events_go_up_to_the_first_that_is_young_enough() {
    let (_postgres, url, pool) = database().await;
    // The third was delivered late: an old time, and a number after a young one.
    let events = format!(
        "INSERT INTO structure_events (event_type, workspace_id, payload, created_at, seq) VALUES
             ('E', '{WORKSPACE}', '{{}}', now() - interval '9 days', 1),
             ('E', '{WORKSPACE}', '{{}}', now() - interval '8 days', 2),
             ('E', '{WORKSPACE}', '{{}}', now() - interval '1 day', 3),
             ('E', '{WORKSPACE}', '{{}}', now() - interval '9 days', 4),
             ('E', '{WORKSPACE}', '{{}}', now() - interval '9 days', NULL);
         UPDATE registry.event_sequence SET last = 4"
    );
    postgres::execute(&url, &events).await.unwrap();
    let mut connection = pool.acquire().await.unwrap();
    assert_eq!(
        retention::delete_events(&mut connection, 7).await.unwrap(),
        2
    );
    assert_eq!(
        retention::delete_events(&mut connection, 7).await.unwrap(),
        0
    );
    assert_eq!(retention::pruned_to(&mut connection).await.unwrap(), 2);
    let left = "SELECT count(*) FROM structure_events";
    assert_eq!(postgres::count(&url, left).await.unwrap(), 3);
}
