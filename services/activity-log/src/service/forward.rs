//! Rows and outcomes that another service wrote down first and hands on
//! (design: section 8).

use std::sync::Arc;

use candor_identity::Call;
use candor_kernel::activity::QUEUED;
use candor_kernel::{ActivityId, Error};
use candor_proto::activity::v1 as pb;
use candor_proto::activity::v1::forward_item::What;
use prost::Message as _;

use super::{checks, stream, write};
use crate::activity_log::App;
use crate::row::{Beginning, NewRow, Outcome, fingerprint};
use crate::writer::Write;

/// Items of one call, at most.
const MOST_ITEMS: usize = 256;

/// Stores the items in their order and answers each by itself.
pub(super) async fn forward(
    app: Arc<App>,
    call: Call,
    request: pb::ForwardRequest,
) -> Result<pb::ForwardResponse, Error> {
    call.platform()?;
    if request.items.len() > MOST_ITEMS {
        let most = format!("at most {MOST_ITEMS} items in one call");
        return Err(Error::field("items", most));
    }
    let (ids, writes): (Vec<_>, Vec<_>) = request.items.into_iter().map(item).unzip();
    let written = app.writer.in_order(writes).await;
    let results = ids.into_iter().zip(written);
    Ok(pb::ForwardResponse {
        results: results.map(|(id, one)| stream::result(id, one)).collect(),
    })
}

/// An item's id as it was sent, and what is to be written.
fn item(item: pb::ForwardItem) -> (String, Result<Write, Error>) {
    let announce = !item.silent;
    match item.what {
        Some(What::Row(forwarded)) => {
            let id = forwarded.row.as_ref().map(|row| row.id.clone());
            let write = row(forwarded, announce).map(|row| Write::Row(Box::new(row)));
            (id.unwrap_or_default(), write)
        }
        Some(What::Outcome(outcome)) => {
            let id = outcome.id.clone();
            let write = write::outcome(outcome).map(|outcome| {
                Write::Outcome(Box::new(Outcome {
                    announce,
                    ..outcome
                }))
            });
            (id, write)
        }
        None => {
            let error = Error::field("items", "an item must have a row or an outcome");
            (String::new(), Err(error))
        }
    }
}

fn row(forwarded: pb::ForwardedRow, announce: bool) -> Result<NewRow, Error> {
    let fingerprint = fingerprint(&forwarded.encode_to_vec());
    let (source, claimed_source) = checks::source(forwarded.source)?;
    let row = forwarded
        .row
        .ok_or_else(|| Error::field("row", "row is required"))?;
    let status = checks::text("status", row.status)?.unwrap_or_else(|| "ok".to_owned());
    let beginning = match status == QUEUED {
        true => Beginning::Queued { announce },
        false => Beginning::Final { announce },
    };
    Ok(NewRow {
        id: ActivityId::of_field("id", &row.id)?,
        workspace: checks::workspace("workspace_id", &row.workspace_id)?,
        activity_type: checks::required("activity_type", row.activity_type)?,
        source,
        claimed_source,
        target: checks::target(row.target_id.as_deref())?,
        // A method without a name is not one that is absent (recorded).
        method: checks::kept("method", row.method)?,
        summary: checks::text("summary", row.summary)?,
        status: Some(status),
        error_detail: checks::text("error_detail", row.error_detail)?,
        duration_ms: row.duration_ms,
        request: checks::body("request_body", row.request_body)?,
        response: checks::body("response_body", row.response_body)?,
        tool_trace: checks::json("tool_trace", forwarded.tool_trace)?,
        beginning,
        is_notify: false,
        fingerprint,
        traceparent: checks::text("traceparent", Some(forwarded.traceparent))?,
    })
}
