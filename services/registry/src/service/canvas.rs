//! The canvas' viewport.

use std::sync::Arc;

use candor_kernel::Error;
use candor_proto::registry::v1 as pb;

use super::Call;
use crate::app::App;
use crate::store::canvas;

pub(super) async fn get(
    app: Arc<App>,
    _: Call,
    _: pb::GetViewportRequest,
) -> Result<pb::Viewport, Error> {
    let mut connection = app.connection().await?;
    let (x, y, zoom) = canvas::viewport(&mut connection)
        .await?
        .unwrap_or((0.0, 0.0, 1.0));
    Ok(pb::Viewport { x, y, zoom })
}

pub(super) async fn set(
    app: Arc<App>,
    call: Call,
    request: pb::SetViewportRequest,
) -> Result<pb::SetViewportResponse, Error> {
    call.operator()?;
    let pb::Viewport { x, y, zoom } = request
        .viewport
        .filter(|view| view.x.is_finite() && view.y.is_finite() && view.zoom.is_finite())
        .ok_or_else(|| Error::field("viewport", "invalid viewport data"))?;
    let mut connection = app.connection().await?;
    canvas::set_viewport(&mut connection, (x, y, zoom)).await?;
    Ok(pb::SetViewportResponse {
        status: "saved".to_owned(),
    })
}
