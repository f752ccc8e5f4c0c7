//! Rows of a workspace.

use std::sync::Arc;

use candor_identity::Call;
use candor_kernel::{AuthMethod, Error, Reason, WorkspaceId};
use candor_peers::time::time;
use candor_process::grpc::PAGE_LIMIT;
use candor_proto::activity::v1 as pb;
use chrono::DateTime;
use sqlx::PgConnection;

use super::checks;
use crate::activity_log::App;
use crate::store::read::{self, Filter, Page, Place};
use crate::wire;

/// Rows listed when the caller names no number, and at most.
const USUAL: i32 = 100;
const MOST: i32 = 500;
/// Bytes after which a page ends.
const BYTES: i64 = PAGE_LIMIT as i64;
/// Open rows told beside a page, at most.
const MOST_QUEUED: i64 = 500;

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
    let Page { rows, more } = if oldest_first {
        read::oldest(&mut connection, workspace, &filter, from, limit, BYTES).await?
    } else {
        read::newest(&mut connection, workspace, &filter, from, limit, BYTES).await?
    };
    let reaped: Vec<_> = rows
        .iter()
        .filter(|row| row.was_reaped)
        .map(|row| row.id)
        .collect();
    let since_id = request.since_id.as_deref();
    let queued = queued_before_cursor(&mut connection, &call, workspace, &filter, since_id).await?;
    let mut late = match reaped.is_empty() {
        true => Vec::new(),
        false => read::late(&mut connection, &reaped).await?,
    };
    let full = i64::try_from(rows.len()).unwrap_or(i64::MAX) >= limit;
    let next = rows.last().filter(|_| more || full);
    let next = next.map(|row| token(row.place()));
    let activities = rows.into_iter().map(|row| {
        let at = late.iter().position(|late| late.id == row.id);
        let late = at.map(|at| late.swap_remove(at));
        wire::activity(row, late)
    });
    Ok(pb::ListResponse {
        activities: activities.collect(),
        next_page_token: next.unwrap_or_default(),
        queued_before_cursor: queued,
    })
}

/// Open rows that the workspace has seen, since it asks by its own token for what
/// comes after them. Only those that the same filters show: others it has not seen.
async fn queued_before_cursor(
    connection: &mut PgConnection,
    call: &Call,
    workspace: WorkspaceId,
    filter: &Filter,
    since_id: Option<&str>,
) -> Result<Vec<String>, Error> {
    let cursor = since_id.and_then(|id| id.parse::<candor_kernel::ActivityId>().ok());
    let is_itself = call.caller.workspace().is_some_and(|caller| {
        caller.id == workspace && caller.auth == AuthMethod::Token && !caller.stale
    });
    match cursor.filter(|_| is_itself) {
        Some(cursor) => {
            let cursor = cursor.as_uuid();
            let rows = read::queued(connection, workspace, filter, cursor, MOST_QUEUED).await?;
            Ok(rows.into_iter().map(|id| id.to_string()).collect())
        }
        None => Ok(Vec::new()),
    }
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

/// A place as a page token: it holds whatever is deleted meanwhile.
fn token(place: Place) -> String {
    let micros = place.created_at.timestamp_micros();
    format!("{micros}_{}_{}", place.seq, place.id)
}

fn read_token(token: &str) -> Result<Place, Error> {
    let mut parts = token.splitn(3, '_');
    let place = (|| {
        Some(Place {
            created_at: DateTime::from_timestamp_micros(parts.next()?.parse().ok()?)?,
            seq: parts.next()?.parse().ok()?,
            id: parts.next()?.parse().ok()?,
        })
    })();
    place.ok_or_else(|| Error::field("page_token", "page_token is not one of ours"))
}

/// Where the list goes on; none for its beginning.
async fn start(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    request: &pb::ListRequest,
) -> Result<Option<Place>, Error> {
    let token = Some(request.page_token.as_str()).filter(|token| !token.is_empty());
    let since = request.since_id.as_deref().filter(|id| !id.is_empty());
    let id = match (token, since) {
        (Some(token), _) => return read_token(token).map(Some),
        (None, Some(since)) => since,
        (None, None) => return Ok(None),
    };
    let id = candor_kernel::ActivityId::of_field("since_id", id)?;
    match read::place(connection, workspace, id.as_uuid()).await? {
        Some(place) => Ok(Some(place)),
        None => Err(Error::new(Reason::CursorExpired, "cursor expired")),
    }
}
