//! The activity row of a message (contract/a2a.md, "Activity row per outcome").

use candor_kernel::activity::QUEUED;
use candor_kernel::{AuthMethod, Caller, Source, SourceKind, WorkspaceId};
use candor_proto::activity::v1 as pb;
use prost::Message as _;
use uuid::Uuid;

/// The type of a message that a workspace is sent.
pub const A2A_RECEIVE: &str = "a2a_receive";
/// The type of what a workspace hands to another.
pub const DELEGATION: &str = "delegation";

/// How a message ended, as its row says it.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Ending {
    pub status: &'static str,
    pub error: Option<String>,
    pub summary: Option<String>,
    pub duration_ms: Option<i32>,
    pub response: Option<pb::Body>,
    pub tool_trace: Option<String>,
}

impl Ending {
    /// It waits for its delivery.
    #[must_use]
    pub fn queued() -> Self {
        Self {
            status: QUEUED,
            ..Self::default()
        }
    }

    /// It ended without an answer; `error` is for people.
    #[must_use]
    pub fn failed(target_name: &str, error: &str) -> Self {
        Self {
            status: "error",
            error: Some(error.to_owned()),
            summary: Some(format!("A2A request to {target_name} failed: {error}")),
            ..Self::default()
        }
    }
}

/// Who a message is from, as the activity log wants it.
#[must_use]
pub fn source(caller: &Caller) -> pb::Source {
    let source = Source::of(caller);
    let kind = match source.kind() {
        SourceKind::User => pb::SourceKind::User,
        SourceKind::Workspace => pb::SourceKind::Workspace,
        SourceKind::System => pb::SourceKind::System,
        SourceKind::Anonymous => pb::SourceKind::Anonymous,
        SourceKind::Legacy => pb::SourceKind::Legacy,
    };
    pb::Source {
        kind: kind.into(),
        id: match &source {
            Source::Workspace { id, .. } => id.to_string(),
            Source::System { name } => name.clone(),
            Source::User { .. } | Source::Anonymous => String::new(),
        },
        auth: source
            .auth()
            .map_or_else(String::new, |auth: AuthMethod| auth.label().to_owned()),
        claimed: String::new(),
    }
}

/// Who a message is from, for telling one sender from another.
#[must_use]
pub fn sender(caller: &Caller) -> String {
    match caller {
        Caller::Workspace(workspace) => workspace.id.to_string(),
        Caller::User { .. } => "user".to_owned(),
        Caller::System { name } => name.clone(),
        Caller::Anonymous => "anonymous".to_owned(),
    }
}

/// The row of a message before anything is known of its end.
#[must_use]
pub fn message_row(
    id: Uuid,
    target: WorkspaceId,
    target_name: &str,
    source: pb::Source,
    method: &str,
    request: bytes::Bytes,
    traceparent: String,
) -> pb::ForwardedRow {
    pb::ForwardedRow {
        row: Some(pb::RecordRequest {
            id: id.to_string(),
            workspace_id: target.to_string(),
            activity_type: A2A_RECEIVE.to_owned(),
            method: Some(method.to_owned()),
            summary: Some(format!("{method} → {target_name}")),
            target_id: Some(target.to_string()),
            request_body: Some(pb::Body {
                content: request,
                ..pb::Body::default()
            }),
            ..pb::RecordRequest::default()
        }),
        source: Some(source),
        tool_trace: None,
        traceparent,
    }
}

/// The row with its end.
#[must_use]
pub fn ended(mut row: pb::ForwardedRow, ending: Ending) -> pb::ForwardItem {
    row.tool_trace = ending.tool_trace;
    if let Some(inner) = &mut row.row {
        inner.status = Some(ending.status.to_owned());
        inner.error_detail = ending.error;
        inner.duration_ms = ending.duration_ms;
        inner.response_body = ending.response;
        if let Some(summary) = ending.summary {
            inner.summary = Some(summary);
        }
    }
    pb::ForwardItem {
        what: Some(pb::forward_item::What::Row(row)),
        silent: false,
    }
}

/// The end of a row that was forwarded as `queued`.
#[must_use]
pub fn outcome(id: Uuid, ending: Ending) -> pb::ForwardItem {
    pb::ForwardItem {
        what: Some(pb::forward_item::What::Outcome(pb::CompleteRequest {
            id: id.to_string(),
            status: ending.status.to_owned(),
            error_detail: ending.error,
            duration_ms: ending.duration_ms,
            response_body: ending.response,
            tool_trace: ending.tool_trace,
            summary: ending.summary,
        })),
        silent: false,
    }
}

/// The item, of which who watches is not told: another event says it, or there is
/// nobody to tell.
#[must_use]
pub fn silent(item: pb::ForwardItem) -> pb::ForwardItem {
    pb::ForwardItem {
        silent: true,
        ..item
    }
}

/// The report of an intent whose process ended before its outcome.
///
/// # Errors
/// For bytes that are no row.
pub fn outcome_unknown(activity: &[u8]) -> Result<pb::ForwardItem, prost::DecodeError> {
    let row = pb::ForwardedRow::decode(activity)?;
    let ending = Ending {
        status: "error",
        error: Some("outcome unknown: the platform ended while it waited for the agent".to_owned()),
        ..Ending::default()
    };
    Ok(ended(row, ending))
}
