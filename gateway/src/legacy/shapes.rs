//! Between protobuf messages and legacy JSON.

use candor_kernel::Status;
use candor_peers::time::datetime;
use candor_proto::activity::v1 as activity_pb;
use candor_proto::registry::v1 as pb;
use serde_json::value::RawValue;

use super::json::encode::{Map, Members as _, Writer};
use super::json::scan::paired;
use super::json::time::rfc3339;

/// A protobuf time as a legacy one; `null` if there is none.
pub(crate) fn time(writer: &mut Writer, stamp: Option<&prost_types::Timestamp>) {
    match stamp.and_then(datetime) {
        Some(at) => writer.string(&rfc3339(at)),
        None => writer.null(),
    }
}

/// The word of a status that legacy readers know; empty if there is none.
pub(crate) fn status(status: i32) -> &'static str {
    kernel_status(status).map_or("", Status::legacy_label)
}

fn kernel_status(status: i32) -> Option<Status> {
    use pb::WorkspaceStatus as Wire;
    Some(match Wire::try_from(status).ok()? {
        Wire::Unspecified => return None,
        Wire::Provisioning => Status::Provisioning,
        Wire::Online => Status::Online,
        Wire::Offline => Status::Offline,
        Wire::Degraded => Status::Degraded,
        Wire::Failed => Status::Failed,
        Wire::Removed => Status::Removed,
        Wire::Paused => Status::Paused,
        Wire::Hibernated => Status::Hibernated,
        Wire::Hibernating => Status::Hibernating,
        Wire::AwaitingAgent => Status::AwaitingAgent,
    })
}

/// JSON text from Postgres, or `null`.
pub(crate) fn nullable_json(writer: &mut Writer, text: Option<&str>) {
    match text {
        Some(text) => writer.json_text(text),
        None => writer.null(),
    }
}

/// An integer, or `null`.
pub(crate) fn nullable_int(writer: &mut Writer, number: Option<i64>) {
    match number {
        Some(number) => writer.int(number),
        None => writer.null(),
    }
}

/// An activity row. What an older platform left empty is null; a body that was
/// not there is absent.
pub(crate) fn activity(row: &activity_pb::Activity) -> String {
    let source = row.source.as_ref();
    // In a conversation an agent's own words have no source either.
    let source = source.filter(|source| {
        use activity_pb::SourceKind as Kind;
        let kind = Kind::try_from(source.kind).unwrap_or(Kind::Unspecified);
        matches!(kind, Kind::Workspace | Kind::Legacy) && !row.conversation
    });
    let item = Map::new()
        .string("id", &row.id)
        .string("workspace_id", &row.workspace_id)
        .string("activity_type", &row.activity_type)
        .nullable_string("source_id", source.map(|source| source.id.as_str()))
        .nullable_string("target_id", row.target_id.as_deref())
        .nullable_string("method", row.method.as_deref())
        .nullable_string("summary", row.summary.as_deref())
        .member("duration_ms", |json| {
            nullable_int(json, row.duration_ms.map(i64::from));
        })
        .nullable_string("status", row.status.as_deref())
        .nullable_string("error_detail", row.error_detail.as_deref())
        .member("created_at", |json| time(json, row.created_at.as_ref()));
    let item = with_body(item, "request_body", row.request_body.as_ref());
    let item = with_body(item, "response_body", row.response_body.as_ref());
    match row.tool_trace.as_deref() {
        Some(trace) => item.json_text("tool_trace", &paired(trace)).finish(),
        None => item.finish(),
    }
}

/// Adds a body that is there: JSON as it is, anything else as a text. Bytes that
/// no JSON text can hold read as U+FFFD here; over gRPC they are what they were.
pub(crate) fn with_body(item: Map, name: &str, body: Option<&activity_pb::Body>) -> Map {
    let Some(body) = body else {
        return item;
    };
    let text = String::from_utf8_lossy(&body.content);
    match serde_json::from_str::<&RawValue>(&text) {
        Ok(_) => item.json_text(name, &paired(&text)),
        Err(_) => item.string(name, &text),
    }
}

/// What the list and the single view of a workspace share.
fn shared(w: &pb::Workspace) -> Map {
    Map::new()
        .int("active_tasks", w.active_tasks.into())
        .member("agent_card", |json| {
            nullable_json(json, w.agent_card.as_deref());
        })
        .bool("collapsed", w.collapsed)
        .string("id", &w.id)
        .float("last_error_rate", w.last_error_rate)
        .int("max_concurrent_tasks", w.max_concurrent_tasks.into())
        .string("name", &w.name)
        .nullable_string("parent_id", w.parent_id.as_deref())
        .nullable_string("role", w.role.as_deref())
        .string("runtime", &w.runtime)
        .string("status", status(w.status))
        .int("tier", w.tier.into())
        .int("uptime_seconds", w.uptime_seconds.into())
        .string("url", &w.url)
        .float("x", w.x)
        .float("y", w.y)
}

/// A workspace in GET /workspaces.
pub(crate) fn in_list(w: &pb::Workspace) -> String {
    shared(w)
        .member("budget_limit", |json| nullable_int(json, w.budget_limit))
        .string("current_task", &w.current_task)
        .string("last_sample_error", &w.last_sample_error)
        .int("monthly_spend", w.monthly_spend)
        .nullable_string("workspace_dir", w.workspace_dir.as_deref())
        .finish()
}

/// A workspace in GET /workspaces/:id, which is public: what is private is not
/// in it (contract/workspaces.md, "Workspace object").
pub(crate) fn alone(w: &pb::Workspace) -> String {
    shared(w)
        .member("last_outbound_at", |json| {
            time(json, w.last_outbound_at.as_ref());
        })
        .finish()
}
