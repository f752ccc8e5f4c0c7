//! 0.3 read as 1.0.

use serde_json::{Value, json};

use super::names::{role_up, state_up};
use super::time;
use crate::method::Method;
use crate::object::{
    Misshapen, Object, Told, drop_kind, each, member, object, rename, take, take_object,
};
use crate::object::{require, transfer};

/// What a part may hold, and no two of it at once.
const CONTENTS: [&str; 4] = ["text", "raw", "url", "data"];

pub(super) fn params(method: Method, value: Value) -> Told<Value> {
    let mut params = object(value, "params must be an object")?;
    match method {
        Method::SendMessage | Method::SendStreamingMessage => {
            if !params.get("message").is_some_and(Value::is_object) {
                return Err(Misshapen("params.message must be an object"));
            }
            member(&mut params, "message", message);
            member(&mut params, "configuration", configuration);
        }
        Method::ListTasks => {
            if let Some(state) = params.get_mut("status") {
                state_up(state);
            }
            if let Some(after) = take(&mut params, "lastUpdatedAfter")
                && let Some(time) = time::from_millis(&after)
            {
                require(&mut params, "statusTimestampAfter", time);
            }
        }
        Method::CreatePushConfig => flatten(&mut params),
        Method::GetPushConfig | Method::DeletePushConfig => {
            rename(&mut params, "id", "taskId");
            rename(&mut params, "pushNotificationConfigId", "id");
            // The official SDKs register a webhook without an id under its task's.
            if let Some(task) = params.get("taskId").cloned() {
                require(&mut params, "id", task);
            }
        }
        Method::ListPushConfigs => rename(&mut params, "id", "taskId"),
        Method::GetTask
        | Method::CancelTask
        | Method::SubscribeToTask
        | Method::GetExtendedCard => {}
    }
    Ok(Value::Object(params))
}

pub(super) fn result(method: Method, value: Value) -> Told<Value> {
    match method {
        Method::SendMessage | Method::SendStreamingMessage | Method::SubscribeToTask => {
            payload(object(value, "the result is not an object")?)
        }
        Method::GetTask | Method::CancelTask => {
            let mut told = object(value, "the result is not a task")?;
            task(&mut told);
            Ok(Value::Object(told))
        }
        Method::ListTasks => {
            let mut told = object(value, "the result is not a list of tasks")?;
            each(&mut told, "tasks", task);
            require(&mut told, "nextPageToken", Value::from(""));
            Ok(Value::Object(told))
        }
        Method::CreatePushConfig | Method::GetPushConfig => {
            let mut told = object(value, "the result is not a webhook")?;
            flatten(&mut told);
            Ok(Value::Object(told))
        }
        Method::ListPushConfigs => {
            let mut told = Object::new();
            told.insert("configs".to_owned(), value);
            each(&mut told, "configs", flatten);
            require(&mut told, "configs", json!([]));
            Ok(Value::Object(told))
        }
        Method::DeletePushConfig => Ok(json!({})),
        Method::GetExtendedCard => Ok(value),
    }
}

/// What 0.3 tells apart by `kind`, 1.0 does by the name of the one member.
fn payload(mut told: Object) -> Told<Value> {
    let name = match told.get("kind").and_then(Value::as_str) {
        Some("task") => "task",
        Some("message") => "message",
        Some("status-update") => "statusUpdate",
        Some("artifact-update") => "artifactUpdate",
        _ => guess(&told).ok_or(Misshapen("the result is neither a task nor a message"))?,
    };
    match name {
        "task" => task(&mut told),
        "message" => message(&mut told),
        "statusUpdate" => status_update(&mut told),
        _ => artifact_update(&mut told),
    }
    Ok(json!({ name: told }))
}

/// Older agents leave `kind` out.
fn guess(told: &Object) -> Option<&'static str> {
    let has = |name: &str| told.get(name).is_some_and(|value| !value.is_null());
    match () {
        () if has("parts") => Some("message"),
        () if has("artifact") && has("taskId") => Some("artifactUpdate"),
        () if has("status") && has("id") => Some("task"),
        () if has("status") && has("taskId") => Some("statusUpdate"),
        () => None,
    }
}

fn task(told: &mut Object) {
    drop_kind(told, "task");
    member(told, "status", status);
    each(told, "artifacts", artifact);
    each(told, "history", message);
}

fn status_update(told: &mut Object) {
    drop_kind(told, "status-update");
    told.remove("final");
    member(told, "status", status);
}

fn artifact_update(told: &mut Object) {
    drop_kind(told, "artifact-update");
    member(told, "artifact", artifact);
}

fn status(told: &mut Object) {
    if let Some(state) = told.get_mut("state") {
        state_up(state);
    }
    member(told, "message", message);
    if let Some(stamp) = take(told, "timestamp")
        && let Some(stamp) = time::up(&stamp)
    {
        told.insert("timestamp".to_owned(), stamp);
    }
}

fn artifact(told: &mut Object) {
    each(told, "parts", part);
}

fn message(told: &mut Object) {
    drop_kind(told, "message");
    if let Some(role) = told.get_mut("role") {
        role_up(role);
    }
    each(told, "parts", part);
}

fn part(told: &mut Object) {
    // Before 0.2.0 the member was `type`.
    let tag = if told.contains_key("kind") {
        "kind"
    } else {
        "type"
    };
    let kind = match told.get(tag).and_then(Value::as_str) {
        Some(kind @ ("text" | "file" | "data")) => kind.to_owned(),
        Some(_) => return,
        None if told.contains_key("file") => "file".to_owned(),
        None if told.contains_key("text") => "text".to_owned(),
        None if told.contains_key("data") => "data".to_owned(),
        None => return,
    };
    told.remove(tag);
    let content = match kind.as_str() {
        "file" => file(told),
        "text" => "text",
        _ => {
            unwrap_data(told);
            "data"
        }
    };
    for other in CONTENTS.iter().filter(|name| **name != content) {
        told.remove(*other);
    }
}

/// Lifts a file's members into its part; what 1.0 does not know stays behind.
fn file(told: &mut Object) -> &'static str {
    let Some(mut file) = take_object(told, "file") else {
        return "raw";
    };
    for content in CONTENTS {
        told.remove(content);
    }
    transfer(&mut file, "mimeType", told, "mediaType");
    transfer(&mut file, "name", told, "filename");
    transfer(&mut file, "bytes", told, "raw");
    let content = if told.contains_key("raw") {
        "raw"
    } else {
        "url"
    };
    if content == "url" {
        transfer(&mut file, "uri", told, "url");
    }
    if !file.is_empty() {
        told.insert("file".to_owned(), Value::Object(file));
    }
    content
}

/// Data of 0.3 is an object. The official SDKs wrap anything else, and mark it.
fn unwrap_data(told: &mut Object) {
    let Some(Value::Object(metadata)) = told.get_mut("metadata") else {
        return;
    };
    if metadata.get("data_part_compat") != Some(&Value::Bool(true)) {
        return;
    }
    metadata.remove("data_part_compat");
    if metadata.is_empty() {
        told.remove("metadata");
    }
    if let Some(Value::Object(data)) = told.get_mut("data") {
        let value = data.remove("value").unwrap_or_default();
        told.insert("data".to_owned(), value);
    }
}

fn configuration(told: &mut Object) {
    if let Some(Value::Bool(blocking)) = told.get("blocking") {
        let at_once = Value::Bool(!blocking);
        told.remove("blocking");
        told.insert("returnImmediately".to_owned(), at_once);
    }
    rename(told, "pushNotificationConfig", "taskPushNotificationConfig");
    member(told, "taskPushNotificationConfig", webhook);
}

/// A webhook with its task: 1.0 has the members of both in one object.
fn flatten(told: &mut Object) {
    if let Some(mut config) = take_object(told, "pushNotificationConfig") {
        webhook(&mut config);
        told.append(&mut config);
    }
}

fn webhook(told: &mut Object) {
    member(told, "authentication", |authentication| {
        if let Some(Value::Array(schemes)) = authentication.get("schemes")
            && let Some(first) = schemes.first().cloned()
        {
            authentication.insert("scheme".to_owned(), first);
        }
        authentication.remove("schemes");
    });
}
