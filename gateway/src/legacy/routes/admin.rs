//! Health, metrics, liveness, and the canvas' viewport.

use std::sync::Arc;

use candor_peers::time::datetime;
use candor_proto::registry::v1 as pb;

use crate::legacy::App;
use crate::legacy::answer::{self, Answer};
use crate::legacy::call::Call;
use crate::legacy::json::encode::{Map, Members as _};
use crate::legacy::shapes::time;

/// GET /health: the legacy constant. `/readyz` on the admin port means it.
pub(crate) async fn health(_: Arc<App>, _: Call) -> Answer {
    Ok(answer::status("ok"))
}

/// GET /metrics.
pub(crate) async fn metrics(app: Arc<App>, _: Call) -> Answer {
    Ok(answer::text(
        "text/plain; version=0.0.4; charset=utf-8",
        app.metrics.render(),
    ))
}

/// GET /admin/liveness: when background work last ran.
pub(crate) async fn liveness(app: Arc<App>, call: Call) -> Answer {
    let answer = app
        .registry
        .call(
            &call.caller,
            pb::GetLivenessRequest {},
            |mut c, r| async move { c.get_liveness(r).await },
        )
        .await?;
    let now = answer.server_time.as_ref().and_then(datetime);
    let subsystems = answer.subsystems.iter().fold(Map::new(), |all, one| {
        let at = one.last_tick_at.as_ref().and_then(datetime);
        let ago = now.zip(at).map_or(0, |(now, at)| (now - at).num_seconds());
        let tick = Map::new()
            .member("last_tick_at", |json| time(json, one.last_tick_at.as_ref()))
            .int("seconds_ago", ago.max(0));
        all.encoded(&one.name, &tick.finish())
    });
    let body = Map::new().encoded("subsystems", &subsystems.finish());
    Ok(answer::ok(body.finish()))
}

/// GET /canvas/viewport.
pub(crate) async fn viewport(app: Arc<App>, call: Call) -> Answer {
    let saved = app
        .registry
        .call(
            &call.caller,
            pb::GetViewportRequest {},
            |mut c, r| async move { c.get_viewport(r).await },
        )
        .await?;
    let body = Map::new()
        .float("x", saved.x)
        .float("y", saved.y)
        .float("zoom", saved.zoom);
    Ok(answer::ok(body.finish()))
}

/// PUT /canvas/viewport: absent numbers are stored as 0.
pub(crate) async fn save_viewport(app: Arc<App>, call: Call) -> Answer {
    const MALFORMED: &str = "invalid viewport data";
    let object = call.object(MALFORMED)?;
    let number = |name| {
        object
            .float(name)
            .map(Option::unwrap_or_default)
            .map_err(|_| crate::legacy::call::bad_request(MALFORMED))
    };
    let viewport = pb::Viewport {
        x: number("x")?,
        y: number("y")?,
        zoom: number("zoom")?,
    };
    let request = pb::SetViewportRequest {
        viewport: Some(viewport),
    };
    app.registry
        .call(&call.caller, request, |mut c, r| async move {
            c.set_viewport(r).await
        })
        .await?;
    Ok(answer::status("saved"))
}
