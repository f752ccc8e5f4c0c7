//! Where workspaces stand on the canvas, and where the canvas was left.

use candor_kernel::{Error, WorkspaceId};
use candor_process::pool::store_error;
use sqlx::PgConnection;

/// The row that a saved viewport replaces (contract/workspaces.md).
const VIEWPORT: uuid::Uuid = uuid::Uuid::from_u128(1);

/// Places a workspace.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn set_position(
    connection: &mut PgConnection,
    id: WorkspaceId,
    x: f64,
    y: f64,
) -> Result<(), Error> {
    sqlx::query!(
        r#"INSERT INTO public.canvas_layouts (workspace_id, x, y) VALUES ($1, $2, $3)
           ON CONFLICT (workspace_id) DO UPDATE SET x = excluded.x, y = excluded.y"#,
        id.as_uuid(),
        x,
        y
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// Folds or unfolds a workspace's children.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn set_collapsed(
    connection: &mut PgConnection,
    id: WorkspaceId,
    collapsed: bool,
) -> Result<(), Error> {
    sqlx::query!(
        r#"INSERT INTO public.canvas_layouts (workspace_id, collapsed) VALUES ($1, $2)
           ON CONFLICT (workspace_id) DO UPDATE SET collapsed = excluded.collapsed"#,
        id.as_uuid(),
        collapsed
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// The newest saved viewport: x, y, zoom.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn viewport(connection: &mut PgConnection) -> Result<Option<(f64, f64, f64)>, Error> {
    let row = sqlx::query!(
        "SELECT x, y, zoom FROM public.canvas_viewport ORDER BY saved_at DESC NULLS LAST LIMIT 1"
    )
    .fetch_optional(connection)
    .await
    .map_err(store_error)?;
    Ok(row.map(|row| (row.x, row.y, row.zoom)))
}

/// Saves the viewport.
///
/// # Errors
/// `STORE_UNAVAILABLE` when Postgres does not answer.
pub async fn set_viewport(
    connection: &mut PgConnection,
    (x, y, zoom): (f64, f64, f64),
) -> Result<(), Error> {
    sqlx::query!(
        r#"INSERT INTO public.canvas_viewport (id, x, y, zoom, saved_at)
           VALUES ($1, $2, $3, $4, now())
           ON CONFLICT (id) DO UPDATE
           SET x = excluded.x, y = excluded.y, zoom = excluded.zoom, saved_at = now()"#,
        VIEWPORT,
        x,
        y,
        zoom
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}
