//! The ledger and the tokens of workspaces (contract/a2a.md, "Queue").

use std::sync::Arc;
use std::time::Duration;

use candor_kernel::{Caller, Error};
use candor_peers::time::duration;
use candor_proto::relay::v1 as pb;

use crate::legacy::App;
use crate::legacy::answer::{self, Answer};
use crate::legacy::call::{Call, bad_request};
use crate::legacy::json::encode::{Map, Members as _};
use crate::legacy::shapes::time;

/// Minutes that a message may wait when a request names none.
const USUAL: u64 = 60;

/// POST /admin/a2a-queue/drop-stale.
pub(crate) async fn drop_stale(app: Arc<App>, call: Call) -> Answer {
    let minutes = match call
        .query("max_age_minutes")
        .filter(|text| !text.is_empty())
    {
        None => USUAL,
        Some(text) => text
            .parse::<u32>()
            .ok()
            .filter(|minutes| *minutes > 0)
            .map(u64::from)
            .ok_or_else(|| bad_request("max_age_minutes must be a positive integer"))?,
    };
    let request = pb::DropStaleRequest {
        max_age: Some(duration(Duration::from_secs(minutes * 60))),
        workspace_id: call
            .query("workspace_id")
            .map(std::borrow::Cow::into_owned)
            .unwrap_or_default(),
    };
    let answer = app
        .relay
        .call(&call.caller, request, |mut c, r| async move {
            c.drop_stale(r).await
        })
        .await?;
    Ok(answer::ok(
        Map::new().int("dropped", answer.dropped).finish(),
    ))
}

/// GET /workspaces/:id/metrics.
pub(crate) async fn usage(app: Arc<App>, call: Call) -> Answer {
    let request = pb::GetUsageRequest {
        workspace_id: call.workspace_id()?.to_string(),
    };
    let used = app
        .relay
        .call(&call.caller, request, |mut c, r| async move {
            c.get_usage(r).await
        })
        .await?;
    let body = Map::new()
        .string("estimated_cost_usd", &used.estimated_cost_usd)
        .int("input_tokens", used.input_tokens)
        .int("output_tokens", used.output_tokens)
        .int("total_calls", used.total_calls)
        .member("period_end", |json| time(json, used.period_end.as_ref()))
        .member("period_start", |json| {
            time(json, used.period_start.as_ref());
        });
    Ok(answer::ok(body.finish()))
}

/// A workspace without an address has seen these rows: they are delivered.
pub(super) async fn seen(app: &App, id: &str, rows: Vec<String>) {
    if rows.is_empty() {
        return;
    }
    let request = pb::AcknowledgePolledRequest {
        workspace_id: id.to_owned(),
        activity_ids: rows,
    };
    let told = app
        .relay
        .call(&Caller::system("gateway"), request, |mut c, r| async move {
            c.acknowledge_polled(r).await
        })
        .await;
    if let Err(error) = told {
        let error: Error = error;
        // It asks again with the same cursor or a later one, and is told again.
        tracing::warn!(
            id,
            internal = error.internal_text(),
            "messages that were fetched still wait: {error}"
        );
    }
}
