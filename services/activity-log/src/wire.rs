//! Between stored rows and protobuf messages.

use candor_kernel::SourceKind;
use candor_peers::time::timestamp;
use candor_proto::activity::v1 as pb;

use crate::store::read::{Late, StoredRow};
use crate::store::search::FoundRow;

/// A row with what came too late, if anything did.
pub(crate) fn activity(row: StoredRow, late: Option<Late>) -> pb::Activity {
    pb::Activity {
        id: row.id.to_string(),
        workspace_id: row.workspace_id.to_string(),
        source: Some(source(&row)),
        activity_type: row.activity_type,
        target_id: row.target_id.map(|id| id.to_string()),
        method: row.method,
        summary: row.summary,
        request_body: body(row.request_text, row.request_bytes),
        response_body: body(row.response_text, row.response_bytes),
        tool_trace: row.tool_trace,
        duration_ms: row.duration_ms,
        status: row.status,
        error_detail: row.error_detail,
        created_at: Some(timestamp(row.created_at)),
        conversation: row.conversation,
        late_outcome: late.map(|late| pb::LateOutcome {
            received_at: Some(timestamp(late.received_at)),
            status: late.status,
            error_detail: late.error_detail,
            duration_ms: late.duration_ms,
            response_body: body(late.response_text, late.response_bytes),
        }),
        traceparent: row.traceparent.unwrap_or_default(),
        r#final: row.is_final,
    }
}

/// What was found by a search.
pub(crate) fn found(row: FoundRow, workspace_id: &str) -> pb::Found {
    pb::Found {
        kind: row.kind,
        id: row.id.to_string(),
        workspace_id: workspace_id.to_owned(),
        label: row.label,
        content: row.content,
        method: row.method,
        status: row.status,
        created_at: row.created_at.map(timestamp),
        request_body: body(row.request_text, row.request_bytes),
        response_body: body(row.response_text, row.response_bytes),
    }
}

fn source(row: &StoredRow) -> pb::Source {
    let kind = match SourceKind::from_label(&row.source_kind) {
        Some(SourceKind::User) => pb::SourceKind::User,
        Some(SourceKind::Workspace) => pb::SourceKind::Workspace,
        Some(SourceKind::System) => pb::SourceKind::System,
        Some(SourceKind::Anonymous) => pb::SourceKind::Anonymous,
        Some(SourceKind::Legacy) => pb::SourceKind::Legacy,
        None => pb::SourceKind::Unspecified,
    };
    let id = row
        .source_id
        .map(|id| id.to_string())
        .or_else(|| row.source_ref.clone());
    pb::Source {
        kind: kind.into(),
        id: id.unwrap_or_default(),
        auth: row.auth.clone().unwrap_or_default(),
        claimed: row.claimed_source.clone().unwrap_or_default(),
    }
}

fn body(text: Option<String>, bytes: Option<Vec<u8>>) -> Option<pb::Body> {
    let content = bytes.or_else(|| text.map(String::into_bytes))?;
    Some(pb::Body {
        content: content.into(),
        ..pb::Body::default()
    })
}
