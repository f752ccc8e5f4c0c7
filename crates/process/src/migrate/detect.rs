//! What a database is, before anything is changed in it (design section 13).

use std::fmt;

use sqlx::PgConnection;

use super::MigrateError;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// No table of the platform: everything will be created.
    Fresh,
    /// A legacy platform's, before or after its own migration 043.
    Legacy {
        /// The last file its runner recorded.
        newest: Option<String>,
        /// How it stores a status.
        status: StatusColumn,
    },
    /// Ours.
    Candor {
        /// The newest applied version.
        version: i64,
    },
}

/// The type of `workspaces.status` in a legacy database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusColumn {
    /// Its migration 042 or earlier.
    Text,
    /// Its migration 043 or later.
    Enum {
        /// The labels, in their order.
        labels: Vec<String>,
    },
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fresh => f.write_str("fresh"),
            Self::Candor { version } => write!(f, "candor at migration {version}"),
            Self::Legacy { newest, status } => {
                let newest = newest.as_deref().unwrap_or("no recorded migration");
                match status {
                    StatusColumn::Text => write!(f, "legacy before 043 ({newest})"),
                    StatusColumn::Enum { labels } => {
                        write!(
                            f,
                            "legacy from 043 on ({newest}, {} statuses)",
                            labels.len()
                        )
                    }
                }
            }
        }
    }
}

/// Everything that keeps a database from being a legacy platform's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// One sentence for each thing that is missing or wrong.
    pub problems: Vec<String>,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("; "))
    }
}

impl std::error::Error for Foreign {}

/// The columns that a legacy table has had since its first migration. A table
/// that exists without them is not the platform's; one that is absent is created.
const LEGACY_TABLES: &[(&str, &[&str])] = &[
    (
        "workspaces",
        &[
            "id",
            "name",
            "role",
            "tier",
            "status",
            "source_bundle_id",
            "agent_card",
            "url",
            "parent_id",
            "forwarded_to",
            "last_heartbeat_at",
            "last_error_rate",
            "last_sample_error",
            "active_tasks",
            "uptime_seconds",
            "created_at",
            "updated_at",
        ],
    ),
    (
        "workspace_auth_tokens",
        &[
            "id",
            "workspace_id",
            "token_hash",
            "prefix",
            "created_at",
            "last_used_at",
            "revoked_at",
        ],
    ),
    (
        "org_api_tokens",
        &[
            "id",
            "token_hash",
            "prefix",
            "created_at",
            "last_used_at",
            "revoked_at",
        ],
    ),
    (
        "activity_logs",
        &[
            "id",
            "workspace_id",
            "activity_type",
            "source_id",
            "target_id",
            "method",
            "summary",
            "request_body",
            "response_body",
            "duration_ms",
            "status",
            "error_detail",
            "created_at",
        ],
    ),
    (
        "structure_events",
        &[
            "id",
            "event_type",
            "workspace_id",
            "agent_id",
            "target_id",
            "payload",
            "created_at",
        ],
    ),
    (
        "a2a_queue",
        &[
            "id",
            "workspace_id",
            "caller_id",
            "priority",
            "body",
            "method",
            "idempotency_key",
            "enqueued_at",
            "dispatched_at",
            "completed_at",
            "expires_at",
            "attempts",
            "status",
            "last_error",
        ],
    ),
    ("canvas_layouts", &["workspace_id", "x", "y", "collapsed"]),
    ("canvas_viewport", &["id", "x", "y", "zoom"]),
    (
        "workspace_token_usage",
        &[
            "id",
            "workspace_id",
            "period_start",
            "input_tokens",
            "output_tokens",
            "call_count",
        ],
    ),
    (
        "workspace_secrets",
        &["workspace_id", "key", "encrypted_value"],
    ),
    ("global_secrets", &["key", "encrypted_value"]),
    ("agent_memories", &["workspace_id", "content", "scope"]),
];

/// Reads what the database is. Changes nothing.
pub(super) async fn database(
    connection: &mut PgConnection,
    records: &str,
) -> Result<Database, MigrateError> {
    if let Some(version) = candor_version(connection, records).await? {
        return Ok(Database::Candor { version });
    }
    let runner = columns(connection, "schema_migrations").await?;
    let mut problems = Vec::new();
    let mut present = Vec::new();
    for (table, expected) in LEGACY_TABLES {
        let found = columns(connection, table).await?;
        if found.is_empty() {
            continue;
        }
        present.push(*table);
        let missing: Vec<&str> = expected
            .iter()
            .filter(|name| !found.iter().any(|c| c == *name))
            .copied()
            .collect();
        if !missing.is_empty() {
            problems.push(format!("table {table} lacks {}", missing.join(", ")));
        }
    }
    if runner.is_empty() && present.is_empty() {
        return Ok(Database::Fresh);
    }
    if runner.is_empty() {
        problems.push("table schema_migrations is missing".into());
    } else if !runner.iter().any(|column| column == "filename") {
        problems.push("table schema_migrations lacks filename".into());
    }
    if !present.contains(&"workspaces") {
        problems.push("table workspaces is missing".into());
    }
    let status = if problems.is_empty() {
        status_column(connection, &mut problems).await?
    } else {
        None
    };
    match status {
        Some(status) if problems.is_empty() => {
            let newest = sqlx::query_scalar("SELECT max(filename) FROM public.schema_migrations")
                .fetch_one(connection)
                .await?;
            Ok(Database::Legacy { newest, status })
        }
        _ => Err(Foreign { problems }.into()),
    }
}

async fn candor_version(
    connection: &mut PgConnection,
    records: &str,
) -> Result<Option<i64>, sqlx::Error> {
    let exists: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(records)
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        return Ok(None);
    }
    sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
        .fetch_one(connection)
        .await
}

async fn columns(connection: &mut PgConnection, table: &str) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT attname::text FROM pg_attribute
         WHERE attrelid = to_regclass('public.' || quote_ident($1))
           AND attnum > 0 AND NOT attisdropped",
    )
    .bind(table)
    .fetch_all(connection)
    .await
}

async fn status_column(
    connection: &mut PgConnection,
    problems: &mut Vec<String>,
) -> Result<Option<StatusColumn>, sqlx::Error> {
    let (schema, name, kind): (String, String, String) = sqlx::query_as(
        "SELECT n.nspname::text, t.typname::text, t.typtype::text
         FROM pg_attribute a
         JOIN pg_type t ON t.oid = a.atttypid
         JOIN pg_namespace n ON n.oid = t.typnamespace
         WHERE a.attrelid = 'public.workspaces'::regclass AND a.attname = 'status'
           AND NOT a.attisdropped",
    )
    .fetch_one(&mut *connection)
    .await?;
    match (schema.as_str(), name.as_str(), kind.as_str()) {
        ("pg_catalog", "text" | "varchar", _) => Ok(Some(StatusColumn::Text)),
        ("public", "workspace_status", "e") => {
            let labels = sqlx::query_scalar(
                "SELECT enumlabel::text FROM pg_enum
                 WHERE enumtypid = 'public.workspace_status'::regtype ORDER BY enumsortorder",
            )
            .fetch_all(connection)
            .await?;
            Ok(Some(StatusColumn::Enum { labels }))
        }
        _ => {
            problems.push(format!(
                "workspaces.status is {schema}.{name}, neither text nor the enum workspace_status"
            ));
            Ok(None)
        }
    }
}
