//! 1.0 read as 0.3.

use serde_json::{Value, json};

use super::names::{is_terminal, role_down, state_down};
use super::time;
use crate::method::Method;
use crate::object::{
    Misshapen, Object, Told, camel_case, each, member, object, rename, take, take_object,
};
use crate::object::{require, transfer};

pub(super) fn params(method: Method, value: Value) -> Told<Value> {
    let mut params = object(value, "params must be an object")?;
    params.remove("tenant");
    match method {
        Method::SendMessage | Method::SendStreamingMessage => {
            if !params.get("message").is_some_and(Value::is_object) {
                return Err(Misshapen("params.message must be an object"));
            }
            member(&mut params, "message", message);
            // 1.0 waits unless told otherwise, 0.3 does as it likes.
            if method == Method::SendMessage {
                require(&mut params, "configuration", json!({}));
                member(&mut params, "configuration", |configuration| {
                    camel_case(configuration, &["returnImmediately"]);
                    require(configuration, "returnImmediately", Value::Bool(false));
                });
            }
            member(&mut params, "configuration", configuration);
        }
        Method::GetTask => camel_case(&mut params, &["historyLength"]),
        Method::ListTasks => list_tasks(&mut params),
        Method::CreatePushConfig => nest(&mut params),
        Method::GetPushConfig | Method::DeletePushConfig => {
            camel_case(&mut params, &["taskId"]);
            rename(&mut params, "id", "pushNotificationConfigId");
            rename(&mut params, "taskId", "id");
        }
        Method::ListPushConfigs => {
            camel_case(&mut params, &["taskId"]);
            rename(&mut params, "taskId", "id");
        }
        Method::CancelTask | Method::SubscribeToTask | Method::GetExtendedCard => {}
    }
    Ok(Value::Object(params))
}

fn list_tasks(params: &mut Object) {
    let names = [
        "contextId",
        "pageSize",
        "pageToken",
        "historyLength",
        "statusTimestampAfter",
        "includeArtifacts",
    ];
    camel_case(params, &names);
    if let Some(state) = params.get_mut("status") {
        state_down(state);
    }
    if let Some(after) = take(params, "statusTimestampAfter")
        && let Some(millis) = time::to_millis(&after)
    {
        require(params, "lastUpdatedAfter", millis);
    }
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
            camel_case(&mut told, &["nextPageToken", "pageSize", "totalSize"]);
            require(&mut told, "tasks", json!([]));
            each(&mut told, "tasks", task);
            Ok(Value::Object(told))
        }
        Method::CreatePushConfig | Method::GetPushConfig => {
            let mut told = object(value, "the result is not a webhook")?;
            nest(&mut told);
            Ok(Value::Object(told))
        }
        Method::ListPushConfigs => {
            let mut told = object(value, "the result is not a list of webhooks")?;
            each(&mut told, "configs", nest);
            Ok(take(&mut told, "configs").unwrap_or_else(|| json!([])))
        }
        Method::DeletePushConfig => Ok(Value::Null),
        Method::GetExtendedCard => Ok(value),
    }
}

/// The one member of the result, with its name as `kind`.
fn payload(mut told: Object) -> Told<Value> {
    camel_case(&mut told, &["statusUpdate", "artifactUpdate"]);
    for name in ["task", "message", "statusUpdate", "artifactUpdate"] {
        if let Some(mut inner) = take_object(&mut told, name) {
            match name {
                "task" => task(&mut inner),
                "message" => message(&mut inner),
                "statusUpdate" => status_update(&mut inner),
                _ => artifact_update(&mut inner),
            }
            return Ok(Value::Object(inner));
        }
    }
    Err(Misshapen("the result is neither a task nor a message"))
}

fn kind(told: &mut Object, kind: &str) {
    told.insert("kind".to_owned(), Value::from(kind));
}

/// Members that 0.3 requires, and that ProtoJSON leaves out where empty.
fn require_texts(told: &mut Object, names: &[&str]) {
    for name in names {
        require(told, name, Value::from(""));
    }
}

fn task(told: &mut Object) {
    camel_case(told, &["contextId"]);
    kind(told, "task");
    require_texts(told, &["contextId"]);
    require(told, "status", json!({}));
    member(told, "status", status);
    each(told, "artifacts", artifact);
    each(told, "history", message);
}

fn status_update(told: &mut Object) {
    camel_case(told, &["taskId", "contextId"]);
    kind(told, "status-update");
    require_texts(told, &["taskId", "contextId"]);
    require(told, "status", json!({}));
    member(told, "status", status);
    let is_final = told["status"].get("state").is_some_and(is_terminal);
    told.insert("final".to_owned(), Value::Bool(is_final));
}

fn artifact_update(told: &mut Object) {
    camel_case(told, &["taskId", "contextId", "lastChunk"]);
    kind(told, "artifact-update");
    require_texts(told, &["taskId", "contextId"]);
    member(told, "artifact", artifact);
}

fn status(told: &mut Object) {
    require(told, "state", Value::from(0));
    if let Some(state) = told.get_mut("state") {
        state_down(state);
    }
    member(told, "message", message);
}

fn artifact(told: &mut Object) {
    camel_case(told, &["artifactId"]);
    require(told, "parts", json!([]));
    each(told, "parts", part);
}

fn message(told: &mut Object) {
    camel_case(
        told,
        &["messageId", "contextId", "taskId", "referenceTaskIds"],
    );
    kind(told, "message");
    if let Some(role) = told.get_mut("role") {
        role_down(role);
    }
    require(told, "parts", json!([]));
    each(told, "parts", part);
}

fn part(told: &mut Object) {
    camel_case(told, &["mediaType"]);
    for unset in ["text", "raw", "url"] {
        if told.get(unset).is_some_and(Value::is_null) {
            told.remove(unset);
        }
    }
    if told.contains_key("text") {
        kind(told, "text");
    } else if told.contains_key("raw") || told.contains_key("url") {
        file(told);
        kind(told, "file");
    } else if told.contains_key("data") {
        wrap_data(told);
        kind(told, "data");
    }
}

/// Puts a file's members into an object of their own.
fn file(told: &mut Object) {
    let mut file = take_object(told, "file").unwrap_or_default();
    transfer(told, "mediaType", &mut file, "mimeType");
    transfer(told, "filename", &mut file, "name");
    transfer(told, "raw", &mut file, "bytes");
    transfer(told, "url", &mut file, "uri");
    if let Some(Value::String(bytes)) = file.get_mut("bytes") {
        standard_base64(bytes);
    }
    told.insert("file".to_owned(), Value::Object(file));
}

/// ProtoJSON reads base64 in either alphabet and without padding; 0.3 has only
/// the standard one (RFC 4648, section 4).
fn standard_base64(text: &mut String) {
    if text.contains(['-', '_']) {
        *text = text.replace('-', "+").replace('_', "/");
    }
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
}

/// Data of 0.3 is an object. Anything else is wrapped and marked, as the
/// official SDKs do.
fn wrap_data(told: &mut Object) {
    if told.get("data").is_none_or(Value::is_object) {
        return;
    }
    let value = told.remove("data").unwrap_or_default();
    told.insert("data".to_owned(), json!({ "value": value }));
    require(told, "metadata", json!({}));
    member(told, "metadata", |metadata| {
        metadata.insert("data_part_compat".to_owned(), Value::Bool(true));
    });
}

fn configuration(told: &mut Object) {
    let names = [
        "acceptedOutputModes",
        "historyLength",
        "returnImmediately",
        "taskPushNotificationConfig",
    ];
    camel_case(told, &names);
    if let Some(Value::Bool(at_once)) = told.get("returnImmediately") {
        let blocking = Value::Bool(!at_once);
        told.remove("returnImmediately");
        told.insert("blocking".to_owned(), blocking);
    }
    rename(told, "taskPushNotificationConfig", "pushNotificationConfig");
    member(told, "pushNotificationConfig", webhook);
}

/// A webhook apart from its task.
fn nest(told: &mut Object) {
    camel_case(told, &["taskId"]);
    told.remove("tenant");
    let mut config = Object::new();
    for name in ["id", "url", "token", "authentication"] {
        transfer(told, name, &mut config, name);
    }
    webhook(&mut config);
    told.insert("pushNotificationConfig".to_owned(), Value::Object(config));
}

fn webhook(told: &mut Object) {
    told.remove("tenant");
    member(told, "authentication", |authentication| {
        let scheme = take(authentication, "scheme");
        let schemes: Vec<Value> = scheme.into_iter().collect();
        authentication.insert("schemes".to_owned(), Value::Array(schemes));
    });
}
