//! Rows of a workspace.

use std::sync::Arc;

use candor_identity::Call;
use candor_kernel::{Error, Reason, WorkspaceId};
use candor_peers::time::time;
use candor_process::grpc::PAGE_LIMIT;
use candor_proto::activity::v1 as pb;
use futures::{Stream, StreamExt as _};
use prost::Message as _;
use sqlx::PgConnection;

use super::checks;
use crate::activity_log::App;
use crate::store::read::{self, Filter, Place, StoredRow};
use crate::wire;

/// Rows listed when the caller names no number, and at most.
const USUAL: i32 = 100;
const MOST: i32 = 500;

pub(super) async fn list(
    app: Arc<App>,
    call: Call,
    request: pb::ListRequest,
) -> Result<pb::ListResponse, Error> {
    let workspace = checks::workspace("workspace_id", &request.workspace_id)?;
    call.self_or_operator(workspace)?;
    let filter = filter(&request)?;
    let limit = match request.limit {
        limit if limit <= 0 => USUAL,
        limit => limit.min(MOST),
    };
    let mut connection = app.store.connection().await?;
    let from = start(&mut connection, workspace, &request).await?;
    let oldest_first = request.oldest_first || has(&request.since_id);
    let limit = i64::from(limit);
    let (rows, more) = if oldest_first {
        page(read::oldest(
            &mut connection,
            workspace,
            &filter,
            from,
            limit,
        ))
        .await?
    } else {
        page(read::newest(
            &mut connection,
            workspace,
            &filter,
            from,
            limit,
        ))
        .await?
    };
    let reaped: Vec<_> = rows
        .iter()
        .filter(|row| row.was_reaped)
        .map(|row| row.id)
        .collect();
    let mut late = match reaped.is_empty() {
        true => Vec::new(),
        false => read::late(&mut connection, &reaped).await?,
    };
    let next = rows.last().filter(|_| more).map(|row| row.id.to_string());
    let activities = rows.into_iter().map(|row| {
        let at = late.iter().position(|late| late.id == row.id);
        let late = at.map(|at| late.swap_remove(at));
        wire::activity(row, late)
    });
    Ok(pb::ListResponse {
        activities: activities.collect(),
        next_page_token: next.unwrap_or_default(),
    })
}

fn has(text: &Option<String>) -> bool {
    text.as_ref().is_some_and(|text| !text.is_empty())
}

fn filter(request: &pb::ListRequest) -> Result<Filter, Error> {
    let conversation = match request.source.as_deref().unwrap_or_default() {
        "" => None,
        "canvas" => Some(true),
        "agent" => Some(false),
        _ => {
            return Err(Error::field("source", "source must be 'canvas' or 'agent'"));
        }
    };
    let peer = request.peer_id.as_deref().filter(|id| !id.is_empty());
    let peer = peer
        .map(|id| checks::workspace("peer_id", id))
        .transpose()?;
    let before = request.before.as_ref();
    Ok(Filter {
        activity_type: checks::text("type", request.r#type.clone())?,
        conversation,
        peer: peer.map(|id| id.as_uuid()),
        before: before.map(|at| time("before", at)).transpose()?,
    })
}

/// Where the list goes on; none for its beginning.
async fn start(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    request: &pb::ListRequest,
) -> Result<Option<Place>, Error> {
    let token = Some(request.page_token.as_str()).filter(|token| !token.is_empty());
    let since = request.since_id.as_deref().filter(|id| !id.is_empty());
    let (field, id) = match (token, since) {
        (Some(token), _) => ("page_token", token),
        (None, Some(since)) => ("since_id", since),
        (None, None) => return Ok(None),
    };
    let id = candor_kernel::ActivityId::of_field(field, id)?;
    match read::place(connection, workspace, id.as_uuid()).await? {
        Some(place) => Ok(Some(place)),
        None => Err(Error::new(Reason::CursorExpired, "cursor expired")),
    }
}

/// Rows until the page is full, at least one; and whether some were left out.
async fn page(
    rows: impl Stream<Item = Result<StoredRow, Error>>,
) -> Result<(Vec<StoredRow>, bool), Error> {
    let (mut kept, mut bytes) = (Vec::new(), 0);
    let mut rows = std::pin::pin!(rows);
    while let Some(row) = rows.next().await {
        let row = row?;
        bytes += size(&row);
        if bytes > PAGE_LIMIT && !kept.is_empty() {
            return Ok((kept, true));
        }
        kept.push(row);
    }
    Ok((kept, false))
}

fn size(row: &StoredRow) -> usize {
    let texts = [
        &row.request_text,
        &row.response_text,
        &row.summary,
        &row.error_detail,
        &row.tool_trace,
        &row.method,
    ];
    let bytes = [&row.request_bytes, &row.response_bytes];
    let texts = texts.into_iter().flatten().map(String::len);
    let bytes = bytes.into_iter().flatten().map(Vec::len);
    pb::Activity::default().encoded_len() + 256 + texts.sum::<usize>() + bytes.sum::<usize>()
}
