//! Inserts workspaces and what comes with them.

use candor_kernel::{Epoch, Error, Reason, Status, WorkspaceId};
use candor_process::pool::store_error;
use sqlx::PgConnection;

/// A workspace to insert; already validated.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct NewWorkspace<'a> {
    pub id: WorkspaceId,
    pub name: &'a str,
    pub role: Option<&'a str>,
    pub tier: i32,
    pub status: Status,
    pub runtime: &'a str,
    pub url: Option<&'a str>,
    pub parent_id: Option<WorkspaceId>,
    pub workspace_dir: Option<&'a str>,
    pub workspace_access: &'a str,
    pub budget_limit: Option<i64>,
    pub max_concurrent_tasks: i32,
    pub agent_card: Option<&'a str>,
    /// Shown until the first beat.
    pub last_sample_error: &'a str,
}

/// Inserts the row; its vitals come by trigger.
///
/// # Errors
/// `PARENT_NOT_FOUND` when the parent does not exist, `STORE_UNAVAILABLE` when
/// Postgres does not answer.
pub async fn insert(connection: &mut PgConnection, new: &NewWorkspace<'_>) -> Result<(), Error> {
    let awareness = format!("workspace:{}", new.id);
    let inserted = sqlx::query!(
        r#"INSERT INTO public.workspaces
               (id, name, role, tier, status, runtime, url, parent_id, workspace_dir,
                workspace_access, budget_limit, max_concurrent_tasks, agent_card,
                awareness_namespace)
           VALUES ($1, $2, $3, $4, ($5::text)::public.workspace_status, $6, $7, $8, $9, $10, $11,
                   $12, ($13::text)::jsonb, $14)
           ON CONFLICT (id) DO NOTHING"#,
        new.id.as_uuid(),
        new.name,
        new.role,
        new.tier,
        new.status.label(),
        new.runtime,
        new.url,
        new.parent_id.map(|id| id.as_uuid()),
        new.workspace_dir,
        new.workspace_access,
        new.budget_limit,
        new.max_concurrent_tasks,
        new.agent_card,
        awareness
    )
    .execute(&mut *connection)
    .await
    .map_err(|error| match error.as_database_error() {
        Some(database) if database.is_foreign_key_violation() => {
            Error::new(Reason::ParentNotFound, "parent_id: no such workspace")
        }
        _ => store_error(error),
    })?
    .rows_affected();
    if inserted == 0 {
        return Err(Error::new(
            Reason::CredentialChanged,
            "a workspace with this id was just created",
        ));
    }
    sqlx::query!(
        "UPDATE registry.workspace_vitals SET last_sample_error = $2 WHERE id = $1",
        new.id.as_uuid(),
        new.last_sample_error
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// Raises the fence of a new workspace for its first instance.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn set_fence(
    connection: &mut PgConnection,
    id: WorkspaceId,
    fence: Epoch,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE registry.workspace_vitals SET fence_epoch = $2 WHERE id = $1",
        id.as_uuid(),
        fence.0
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// Stores one secret of a new workspace.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn insert_secret(
    connection: &mut PgConnection,
    id: WorkspaceId,
    key: &str,
    sealed: &[u8],
    encryption_version: i32,
) -> Result<(), Error> {
    sqlx::query!(
        r#"INSERT INTO public.workspace_secrets
               (workspace_id, key, encrypted_value, encryption_version)
           VALUES ($1, $2, $3, $4)"#,
        id.as_uuid(),
        key,
        sealed,
        encryption_version
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// Stores one memory of a new workspace.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn insert_memory(
    connection: &mut PgConnection,
    id: WorkspaceId,
    content: &str,
    scope: &str,
) -> Result<(), Error> {
    sqlx::query!(
        r#"INSERT INTO public.agent_memories (workspace_id, content, scope, namespace)
           VALUES ($1, $2, $3, $4)"#,
        id.as_uuid(),
        content,
        scope,
        format!("workspace:{id}")
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// Stores the configuration that nobody could provision, for later.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn insert_config(
    connection: &mut PgConnection,
    id: WorkspaceId,
    data: &serde_json::Value,
) -> Result<(), Error> {
    sqlx::query!(
        r#"INSERT INTO public.workspace_config (workspace_id, data) VALUES ($1, $2)
           ON CONFLICT (workspace_id) DO UPDATE SET data = excluded.data, updated_at = now()"#,
        id.as_uuid(),
        data
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// Records why a new row has its first status.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn record_first(
    connection: &mut PgConnection,
    id: WorkspaceId,
    rule: &str,
    status: Status,
    evidence: &str,
) -> Result<(), Error> {
    sqlx::query!(
        r#"INSERT INTO registry.decisions (workspace_id, rule, to_status, evidence, state_version)
           VALUES ($1, $2, ($3::text)::public.workspace_status, $4, 0)"#,
        id.as_uuid(),
        rule,
        status.label(),
        evidence
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}
