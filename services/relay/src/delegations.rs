//! Tasks that one workspace hands to another: a durable row, a message in the
//! ledger, one result (contract/a2a.md, "Delegation").

use candor_kernel::{Error, WorkspaceId};
use candor_proto::activity::v1 as activity;
use candor_proto::registry::v1 as registry;
use chrono::Utc;
use prost::Message as _;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::record::{self, DELEGATION, Ending};
use crate::store::delegations as store;
use crate::store::delegations::Finding;
use crate::store::outbox::{self, Kind};

/// Bytes of a task or a result in an event.
const TASK_PREVIEW: usize = 100;
const RESULT_PREVIEW: usize = 200;
/// Bytes of a result in a summary.
const SUMMARY: usize = 80;
/// Bytes of a result that its row keeps.
const KEPT: usize = 512 * 1024;
/// Bytes of an error, wherever it is told.
const LONGEST_ERROR: usize = 4096;
/// Bytes of a result in the list of delegations.
pub(crate) const LISTED_PREVIEW: usize = 300;

/// A text, or its beginning of so many bytes and `...`.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let mut end = most;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", text.get(..end).unwrap_or_default())
}

/// What an answer says to the delegator: its text, or why there is none
/// (deviation D53).
pub(crate) fn result_of(body: &[u8]) -> Result<String, String> {
    let text = String::from_utf8_lossy(body).replace('\0', "\u{fffd}");
    let Ok(answer) = serde_json::from_str::<Value>(&text) else {
        return Ok(text);
    };
    if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
        let message = error.get("message").unwrap_or(error);
        return Err(match message.as_str() {
            Some(message) => message.replace('\0', "\u{fffd}"),
            None => message.to_string(),
        });
    }
    // 1.0 answers wrap the message or the task.
    let result = &answer["result"];
    let inner = [&result["message"], &result["task"], result]
        .into_iter()
        .find(|inner| inner.is_object());
    let found = inner.and_then(|result| {
        text_of(&result["parts"]).or_else(|| {
            let artifacts = result["artifacts"].as_array()?;
            artifacts.iter().find_map(|one| text_of(&one["parts"]))
        })
    });
    Ok(found.map_or(text, |text| text.replace('\0', "\u{fffd}")))
}

/// The first part that is a text.
fn text_of(parts: &Value) -> Option<String> {
    parts.as_array()?.iter().find_map(|part| {
        let kind = part.get("kind").or_else(|| part.get("type"));
        let is_text = kind.is_none_or(|kind| kind == "text");
        part["text"].as_str().filter(|_| is_text).map(str::to_owned)
    })
}

/// What an agent's refusal says: its own word, or the platform's.
pub(crate) fn refusal_of(body: &[u8], error: &str) -> String {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    match &answer["error"] {
        Value::String(text) => text.replace('\0', "\u{fffd}"),
        Value::Object(inner) => match inner.get("message").and_then(Value::as_str) {
            Some(text) => text.replace('\0', "\u{fffd}"),
            None => error.to_owned(),
        },
        _ => error.to_owned(),
    }
}

/// What the delegator of a task is told whose agent was not reached.
pub(crate) fn unreached(error: &str) -> String {
    match error.contains("refuses connections") {
        true => "failed to reach workspace agent".to_owned(),
        false => error.to_owned(),
    }
}

/// An event of a delegation, which is stored.
fn event(source: WorkspaceId, event_type: &str, payload: &Value) -> (Kind, Vec<u8>) {
    let event = registry::Event {
        id: Uuid::now_v7().to_string(),
        event_type: event_type.to_owned(),
        workspace_id: source.to_string(),
        payload: payload.to_string(),
        created_at: Some(candor_peers::time::timestamp(Utc::now())),
        ..registry::Event::default()
    };
    (Kind::Event, event.encode_to_vec())
}

/// A row of a delegation on its delegator's side; its words are its own.
fn row(
    source: WorkspaceId,
    by: &[u8],
    id: Uuid,
    method: &str,
    target: Option<String>,
) -> activity::ForwardedRow {
    activity::ForwardedRow {
        row: Some(activity::RecordRequest {
            id: id.to_string(),
            workspace_id: source.to_string(),
            activity_type: DELEGATION.to_owned(),
            method: Some(method.to_owned()),
            target_id: target,
            ..activity::RecordRequest::default()
        }),
        // What this relay encoded.
        source: activity::Source::decode(by).ok(),
        ..activity::ForwardedRow::default()
    }
}

fn body(value: &Value) -> activity::Body {
    activity::Body {
        content: value.to_string().into(),
        ..activity::Body::default()
    }
}

/// Writes down and announces a delegation that begins.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub(crate) async fn announce(
    connection: &mut PgConnection,
    new: &store::NewDelegation<'_>,
    task: &str,
) -> Result<(), Error> {
    let target = new.target.to_string();
    let mut row = row(
        new.source,
        &new.source_row,
        new.activity_id,
        "delegate",
        Some(target.clone()),
    );
    if let Some(row) = &mut row.row {
        row.summary = Some(format!("Delegating to {target}"));
        row.request_body = Some(body(&json!({"delegation_id": new.id, "task": task})));
    }
    // DELEGATION_SENT tells it.
    let item = record::silent(record::ended(row, Ending::queued()));
    let sent = json!({
        "delegation_id": new.id,
        "target_id": target,
        "task_preview": cut(&task.replace('\0', "\u{fffd}"), TASK_PREVIEW),
    });
    outbox::push(
        connection,
        &[
            (Kind::Activity, item.encode_to_vec()),
            event(new.source, "DELEGATION_SENT", &sent),
        ],
    )
    .await
}

/// Notes and announces a step of one that is not settled.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub(crate) async fn step(
    connection: &mut PgConnection,
    source: WorkspaceId,
    id: &str,
    target: Uuid,
    status: &str,
) -> Result<(), Error> {
    if store::step(connection, source, id, status).await? {
        let payload = json!({"delegation_id": id, "status": status, "target_id": target});
        let told = event(source, "DELEGATION_STATUS", &payload);
        outbox::push(connection, &[told]).await?;
    }
    Ok(())
}

/// Settles a delegation, once: its row, the result's row, the event. What is not
/// known, or was settled before, changes nothing.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub(crate) async fn settle(
    connection: &mut PgConnection,
    source: WorkspaceId,
    id: &str,
    result: Result<String, String>,
) -> Result<bool, Error> {
    let result_id = Uuid::now_v7();
    let result = result.map_err(|error| cut(&error, LONGEST_ERROR));
    let preview = result.as_ref().ok().map(|text| cut(text, LISTED_PREVIEW));
    let status = match result.is_ok() {
        true => "completed",
        false => "failed",
    };
    let finding = Finding {
        status,
        error: result.as_ref().err().map(String::as_str),
        preview: preview.as_deref(),
        activity_id: result_id,
    };
    let settled = store::settle(connection, source, id, &finding).await?;
    let Some(settled) = settled else {
        return Ok(false);
    };
    // Who noted a delegation by itself says nothing of its target, as recorded.
    let target = settled.target_id.filter(|_| !settled.noted);
    let target = target.map(|id| id.to_string());
    let own = record::outcome(
        settled.activity_id,
        Ending {
            status,
            error: result.as_ref().err().cloned(),
            ..Ending::default()
        },
    );
    let found = result_row(
        source,
        &settled.source_row,
        result_id,
        id,
        target.clone(),
        &result,
    );
    let told = told(source, id, target, &result);
    let parcels = [
        (Kind::Activity, record::silent(own).encode_to_vec()),
        (Kind::Activity, found.encode_to_vec()),
        told,
    ];
    outbox::push(connection, &parcels).await?;
    Ok(true)
}

/// The row that the delegator finds its result in.
pub(crate) fn result_row(
    source: WorkspaceId,
    by: &[u8],
    row_id: Uuid,
    id: &str,
    target: Option<String>,
    result: &Result<String, String>,
) -> activity::ForwardItem {
    let row = row(source, by, row_id, "delegate_result", target);
    let ending = match result {
        Ok(text) => Ending {
            status: "completed",
            summary: Some(format!("Delegation completed ({})", cut(text, SUMMARY))),
            response: Some(body(&json!({"delegation_id": id, "text": cut(text, KEPT)}))),
            ..Ending::default()
        },
        Err(error) => Ending {
            status: "failed",
            summary: Some("Delegation failed".to_owned()),
            error: Some(error.clone()),
            ..Ending::default()
        },
    };
    record::silent(record::ended(row, ending))
}

/// The event that says it.
pub(crate) fn told(
    source: WorkspaceId,
    id: &str,
    target: Option<String>,
    result: &Result<String, String>,
) -> (Kind, Vec<u8>) {
    let (event_type, mut payload) = match result {
        Ok(text) => (
            "DELEGATION_COMPLETE",
            json!({"delegation_id": id, "response_preview": cut(text, RESULT_PREVIEW)}),
        ),
        Err(error) => (
            "DELEGATION_FAILED",
            json!({"delegation_id": id, "error": error}),
        ),
    };
    if let Some(target) = target {
        payload["target_id"] = target.into();
    }
    event(source, event_type, &payload)
}
