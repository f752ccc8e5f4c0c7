//! Migrations against a real Postgres (design section 13, schema.md "Migration 043").
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use candor_process::migrate::{self, Database, MigrateError, StatusColumn};
use sqlx::PgPool;
use support::Fixture;

const TEN: [&str; 10] = [
    "provisioning",
    "online",
    "offline",
    "degraded",
    "failed",
    "removed",
    "paused",
    "hibernated",
    "hibernating",
    "awaiting_agent",
];

/// A legacy database at its migration 042: the baseline's own tables plus the
/// runner's record, and nothing of ours.
async fn legacy(pool: &PgPool) {
    migrate::up_to(pool, 1).await.unwrap();
    for sql in [
        "DROP TABLE _sqlx_migrations",
        "CREATE TABLE schema_migrations (filename text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())",
        "INSERT INTO schema_migrations (filename) VALUES ('001_workspaces.sql'), ('042_a2a_queue.sql')",
    ] {
        sqlx::raw_sql(sql).execute(pool).await.unwrap();
    }
}

async fn insert(pool: &PgPool, name: &str, status: Option<&str>) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "INSERT INTO workspaces (name, status) VALUES ('{name}', {})",
        status.map_or("NULL".to_owned(), |status| format!("'{status}'")),
    )))
    .execute(pool)
    .await
    .unwrap();
}

async fn text(pool: &PgPool, sql: &'static str) -> String {
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

/// Type, default and index definition of `workspaces.status`.
async fn shape(pool: &PgPool) -> (String, String, String) {
    let column = "SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
        WHERE a.attrelid = 'workspaces'::regclass AND a.attname = 'status'";
    let default = "SELECT column_default::text FROM information_schema.columns
        WHERE table_name = 'workspaces' AND column_name = 'status'";
    let index = "SELECT indexdef FROM pg_indexes WHERE indexname = 'idx_workspaces_status'";
    (
        text(pool, column).await,
        text(pool, default).await,
        text(pool, index).await,
    )
}

/// Every table, column, constraint, index, trigger, function and type outside the
/// system's own schemas and the migrations' record.
async fn everything(pool: &PgPool) -> String {
    text(
        pool,
        "SELECT string_agg(line, E'\\n' ORDER BY line) FROM (
             SELECT concat_ws(' ', 'column', table_schema, table_name, column_name, data_type,
                              udt_name, is_nullable, column_default) AS line
             FROM information_schema.columns
             UNION ALL SELECT concat_ws(' ', 'index', schemaname, tablename, indexdef) FROM pg_indexes
             UNION ALL SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname,
                                        pg_get_constraintdef(oid))
                       FROM pg_constraint WHERE conrelid <> 0
             UNION ALL SELECT 'trigger ' || pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
             UNION ALL SELECT concat_ws(' ', 'function', p.oid::regprocedure)
                       FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
                       WHERE nspname !~ '^pg_|^information_schema$'
             UNION ALL SELECT 'type ' || oid::regtype FROM pg_type WHERE typtype = 'e'
             UNION ALL SELECT 'schema ' || nspname FROM pg_namespace) lines
         WHERE line !~ '_sqlx_migrations| (pg_catalog|information_schema|pg_toast[_0-9a-z]*) '
           AND line !~ '^schema pg_(toast_)?temp'",
    )
    .await
}

/// Every row as JSON, columns that our own migrations add left out.
async fn rows(pool: &PgPool) -> String {
    text(
        pool,
        "SELECT coalesce(string_agg(
             (to_jsonb(w) - ARRAY['delivery_mode', 'reachable', 'unreachable_reason'])::text, E'\\n' ORDER BY id), '')
         FROM workspaces w",
    )
    .await
}

async fn labels(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar("SELECT unnest(enum_range(NULL::workspace_status))::text")
        .fetch_all(pool)
        .await
        .unwrap()
}

async fn with_enum(pool: &PgPool, labels: &[&str]) {
    let list = labels
        .iter()
        .map(|label| format!("'{label}'"))
        .collect::<Vec<_>>()
        .join(", ");
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "CREATE TYPE workspace_status AS ENUM ({list});
         ALTER TABLE workspaces ALTER COLUMN status DROP DEFAULT;
         ALTER TABLE workspaces ALTER COLUMN status TYPE workspace_status USING status::workspace_status;
         ALTER TABLE workspaces ALTER COLUMN status SET DEFAULT 'provisioning'::workspace_status;
         INSERT INTO schema_migrations (filename) VALUES ('043_workspace_status_enum.sql')",
    )))
    .execute(pool)
    .await
    .unwrap();
}

#[tokio::test]
async fn migration_up_and_down_on_a_database_with_rows() {
    let fixture = Fixture::start().await;
    let pool = fixture.pool();
    legacy(&pool).await;
    for status in TEN {
        insert(&pool, status, Some(status)).await;
    }
    insert(&pool, "unset", None).await;
    let (column, default, index) = shape(&pool).await;
    assert_eq!(
        (column.as_str(), default.as_str()),
        ("text", "'provisioning'::text")
    );
    let before = rows(&pool).await;
    assert_eq!(before.lines().count(), 11);

    assert_eq!(migrate::up_to(&pool, 43).await.unwrap().versions, [1, 43]);
    let (column, default, enum_index) = shape(&pool).await;
    assert_eq!(column, "workspace_status");
    assert_eq!(default, "'provisioning'::workspace_status");
    assert_eq!(enum_index, index);
    assert!(rows(&pool).await == before, "rows changed on the way up");
    assert_eq!(labels(&pool).await, TEN);
    assert!(
        migrate::up_to(&pool, 43).await.unwrap().versions.is_empty(),
        "a second run has nothing to do"
    );

    assert_eq!(migrate::down(&pool, Some(1)).await.unwrap().versions, [43]);
    let (column, default, text_index) = shape(&pool).await;
    assert_eq!(
        (column.as_str(), default.as_str()),
        ("text", "'provisioning'::text")
    );
    assert_eq!(text_index, index);
    assert!(rows(&pool).await == before, "rows changed on the way down");
    let types: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_type WHERE typname = 'workspace_status'")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(types, 0, "the type is dropped");
}

#[tokio::test]
async fn the_whole_list_goes_up_and_down_and_up_again() {
    let fixture = Fixture::start().await;
    let pool = fixture.pool();
    legacy(&pool).await;
    for status in TEN {
        insert(&pool, status, Some(status)).await;
    }
    sqlx::raw_sql(
        "UPDATE workspaces SET current_task = 'sort', last_sample_error = 'late', active_tasks = 2,
             uptime_seconds = 7, last_error_rate = 0.25, monthly_spend = 12, last_heartbeat_at = now()",
    )
    .execute(&pool)
    .await
    .unwrap();
    let (before, before_shape) = (rows(&pool).await, shape(&pool).await);
    let schema = everything(&pool).await;
    assert!(schema.contains("a2a_queue"), "{schema}");
    let mut versions = migrate::up(&pool).await.unwrap().versions;
    versions.reverse();
    assert_eq!(versions.pop(), Some(1));
    assert_eq!(
        migrate::down(&pool, Some(1)).await.unwrap().versions,
        versions
    );
    assert_eq!(shape(&pool).await, before_shape);
    let after = everything(&pool).await;
    let odd = |one: &str, other: &str| -> Vec<String> {
        let lines = one
            .lines()
            .filter(|line| !other.lines().any(|o| o == *line));
        lines.map(str::to_owned).collect()
    };
    assert!(
        after == schema,
        "gone: {:#?}\nleft: {:#?}",
        odd(&schema, &after),
        odd(&after, &schema)
    );
    assert!(
        rows(&pool).await == before,
        "rows changed:\n{before}\n{}",
        rows(&pool).await
    );
    migrate::up(&pool).await.unwrap();
}

#[tokio::test]
async fn unknown_status_aborts_and_is_named() {
    let fixture = Fixture::start().await;
    let pool = fixture.pool();
    legacy(&pool).await;
    for (name, status) in [
        ("a", "exploded"),
        ("b", "exploded"),
        ("c", "Online"),
        ("d", "online"),
        ("e", ""),
    ] {
        insert(&pool, name, Some(status)).await;
    }
    let before = rows(&pool).await;
    let refusal = migrate::up(&pool).await.unwrap_err();
    assert!(
        matches!(refusal, MigrateError::Failed { version: 43, .. }),
        "{refusal}"
    );
    let refusal = refusal.to_string();
    for named in ["'exploded' (2 rows)", "'Online' (1 row)", "'' (1 row)"] {
        assert!(refusal.contains(named), "{refusal}");
    }
    assert!(!refusal.contains("'online'"), "{refusal}");
    assert_eq!(shape(&pool).await.0, "text");
    assert_eq!(rows(&pool).await, before);

    sqlx::raw_sql("UPDATE workspaces SET status = 'failed' WHERE status NOT IN ('online')")
        .execute(&pool)
        .await
        .unwrap();
    migrate::up(&pool)
        .await
        .expect("once the rows are mended, the same run succeeds");
}

#[tokio::test]
async fn a_legacy_enum_gets_its_missing_labels_in_their_places() {
    for known in [6, 8, 10] {
        let fixture = Fixture::start().await;
        let pool = fixture.pool();
        legacy(&pool).await;
        insert(&pool, "w", Some("degraded")).await;
        with_enum(&pool, &TEN[..known]).await;
        let before = rows(&pool).await;
        let found = migrate::up(&pool).await.unwrap().found;
        assert!(
            matches!(&found, Database::Legacy { newest: Some(newest), status: StatusColumn::Enum { labels } }
                if labels.len() == known && newest.starts_with("043")),
            "{found:?}"
        );
        assert_eq!(labels(&pool).await, TEN);
        assert_eq!(rows(&pool).await, before);
    }
}

#[tokio::test]
async fn a_foreign_label_in_the_enum_is_named() {
    let fixture = Fixture::start().await;
    let pool = fixture.pool();
    legacy(&pool).await;
    with_enum(&pool, &["provisioning", "online", "melted"]).await;
    let refusal = migrate::up(&pool).await.unwrap_err().to_string();
    assert!(
        refusal.contains("melted") && !refusal.contains("online"),
        "{refusal}"
    );
}

#[tokio::test]
async fn fresh_legacy_and_foreign_databases_are_told_apart() {
    let fixture = Fixture::start().await;
    let pool = fixture.pool();
    assert_eq!(migrate::detect(&pool).await.unwrap(), Database::Fresh);
    legacy(&pool).await;
    assert_eq!(
        migrate::detect(&pool).await.unwrap(),
        Database::Legacy {
            newest: Some("042_a2a_queue.sql".into()),
            status: StatusColumn::Text
        }
    );
    migrate::up(&pool).await.unwrap();
    assert!(
        matches!(migrate::detect(&pool).await.unwrap(), Database::Candor { version } if version >= 43)
    );
    migrate::down(&pool, Some(0)).await.unwrap();
    sqlx::raw_sql("DROP TABLE schema_migrations")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(migrate::detect(&pool).await.unwrap(), Database::Fresh);

    sqlx::raw_sql(
        "CREATE TABLE schema_migrations (version bigint);
         CREATE TABLE workspaces (id uuid PRIMARY KEY, name text)",
    )
    .execute(&pool)
    .await
    .unwrap();
    let refusal = migrate::up(&pool).await.unwrap_err();
    assert!(matches!(refusal, MigrateError::Foreign(_)), "{refusal}");
    let refusal = refusal.to_string();
    for missing in [
        "schema_migrations lacks filename",
        "workspaces lacks role, tier, status",
    ] {
        assert!(refusal.contains(missing), "{refusal}");
    }
    let tables: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(
        tables, 3,
        "a refused database gets no table (the third is the emptied record)"
    );
}

#[tokio::test]
async fn a_legacy_database_at_an_early_migration_is_brought_to_the_baseline() {
    let fixture = Fixture::start().await;
    let pool = fixture.pool();
    legacy(&pool).await;
    // As after legacy migration 008: none of the later columns and tables.
    sqlx::raw_sql(
        "ALTER TABLE workspaces DROP COLUMN workspace_access, DROP COLUMN budget_limit,
             DROP COLUMN instance_id, DROP COLUMN max_concurrent_tasks;
         ALTER TABLE agent_memories DROP COLUMN namespace, DROP COLUMN content_tsv;
         DROP TABLE a2a_queue, workspace_auth_tokens, org_api_tokens, workflow_checkpoints;
         INSERT INTO workspaces (name) VALUES ('old')",
    )
    .execute(&pool)
    .await
    .unwrap();
    migrate::up(&pool).await.unwrap();
    let restored: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'public'
         AND (table_name, column_name) IN (('workspaces', 'workspace_access'), ('workspaces', 'budget_limit'),
             ('workspaces', 'instance_id'), ('workspaces', 'max_concurrent_tasks'),
             ('agent_memories', 'namespace'), ('agent_memories', 'content_tsv'),
             ('a2a_queue', 'body'), ('workspace_auth_tokens', 'token_hash'))",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(restored, 8);
    let access = text(
        &pool,
        "SELECT workspace_access::text FROM workspaces WHERE name = 'old'",
    )
    .await;
    assert_eq!(access, "none");
}

#[tokio::test]
async fn the_baseline_is_reverted_only_when_asked_for_by_name() {
    let fixture = Fixture::start().await;
    let pool = fixture.pool();
    migrate::up_to(&pool, 1).await.unwrap();
    insert(&pool, "precious", Some("online")).await;
    let refusal = migrate::down(&pool, None).await.unwrap_err();
    assert!(matches!(refusal, MigrateError::WouldDestroy), "{refusal}");
    assert_eq!(rows(&pool).await.lines().count(), 1);
    let refusal = migrate::down(&pool, Some(42)).await.unwrap_err();
    assert!(
        matches!(refusal, MigrateError::UnknownVersion(42)),
        "{refusal}"
    );
}

#[tokio::test]
async fn status_lists_every_migration_and_when_it_was_applied() {
    let fixture = Fixture::start().await;
    let pool = fixture.pool();
    let list = migrate::status(&pool).await.unwrap();
    assert!(list.iter().all(|migration| migration.applied_at.is_none()));
    assert_eq!(
        list.first()
            .map(|first| (first.version, first.name.as_str())),
        Some((1, "legacy baseline"))
    );
    migrate::up_to(&pool, 43).await.unwrap();
    for migration in migrate::status(&pool).await.unwrap() {
        assert_eq!(
            migration.applied_at.is_some(),
            migration.version <= 43,
            "{migration:?}"
        );
    }
}

#[tokio::test]
async fn two_migrators_at_once_apply_everything_exactly_once() {
    let fixture = Fixture::start().await;
    let pool = fixture.pool();
    let (one, other) = tokio::join!(migrate::up(&pool), migrate::up(&pool));
    let (one, other) = (one.unwrap().versions, other.unwrap().versions);
    assert!(one.is_empty() != other.is_empty(), "{one:?} {other:?}");
}

#[tokio::test]
async fn a_failed_run_leaves_no_lock_behind() {
    let fixture = Fixture::start().await;
    let pool = fixture.pool();
    legacy(&pool).await;
    insert(&pool, "w", Some("exploded")).await;
    migrate::up(&pool).await.unwrap_err();
    let held: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(held, 0);
}
