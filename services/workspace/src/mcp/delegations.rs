//! How delegated tasks stand.

use serde_json::{Map, Value, json};

use super::answer::{Outcome, refused, unanswered};
use crate::platform::{Call, Platform};

/// Rows of whole results that are looked through for one.
const LOOKED_THROUGH: [usize; 2] = [100, 10];
/// How the platform ends a text that it cut.
const CUT: &str = "...";

/// The delegations that the platform lists, newest first; one of them if it is named,
/// by its own id or its row's.
pub(super) async fn status(platform: &Platform, task_id: Option<&str>) -> Outcome {
    let path = format!("/workspaces/{}/delegations", platform.workspace());
    let reply = platform.send(Call::get(path)).await;
    let reply = reply.map_err(|error| unanswered(&error))?;
    if !reply.is_success() {
        return Err(refused(&reply));
    }
    let rows = reply.json();
    let mut tasks = tasks(rows.as_array().map_or(&[], Vec::as_slice));
    let Some(task_id) = task_id else {
        return Ok(Value::Array(tasks).to_string());
    };
    tasks.retain(|task| task["delegation_id"] == task_id || task["row_id"] == task_id);
    let Some(mut task) = tasks.into_iter().next() else {
        return Err(format!(
            "no task {task_id} among the newest delegations of this workspace. What to do: call \
             check_task_status without task_id to see them all, and copy an id from there."
        ));
    };
    let preview = task["response_preview"].as_str();
    if preview.is_some_and(|preview| preview.ends_with(CUT))
        && let Some(text) = whole(platform, &task["delegation_id"]).await
    {
        task["response"] = text.into();
    }
    Ok(task.to_string())
}

/// One object a task. Its result's row says more than its own.
fn tasks(rows: &[Value]) -> Vec<Value> {
    let mut tasks: Vec<Value> = Vec::new();
    for row in rows {
        let id = &row["delegation_id"];
        let known = tasks
            .iter_mut()
            .find(|task| !id.is_null() && task["delegation_id"] == *id);
        match known {
            Some(task) => add(task, row),
            None => tasks.push(task(row)),
        }
    }
    tasks
}

fn task(row: &Value) -> Value {
    let mut task = json!({"row_id": row["id"]});
    add(&mut task, row);
    task
}

/// What `row` says and `task` does not yet; an end is not overwritten by a step.
fn add(task: &mut Value, row: &Value) {
    let names = [
        ("delegation_id", "delegation_id"),
        ("target_id", "workspace_id"),
        ("status", "status"),
        ("response_preview", "response_preview"),
        ("error", "error"),
        ("created_at", "created_at"),
    ];
    let Some(task) = task.as_object_mut() else {
        return;
    };
    for (from, to) in names {
        let is_said = row[from].as_str().is_some_and(|text| !text.is_empty());
        if is_said && is_open(task, to) {
            task.insert(to.to_owned(), row[from].clone());
        }
    }
}

fn is_open(task: &Map<String, Value>, name: &str) -> bool {
    task.get(name).is_none_or(Value::is_null)
}

/// The whole text of a result that the list shows the beginning of.
async fn whole(platform: &Platform, delegation_id: &Value) -> Option<String> {
    for limit in LOOKED_THROUGH {
        let path = format!(
            "/workspaces/{}/activity?type=delegation&limit={limit}",
            platform.workspace()
        );
        let Ok(reply) = platform.ask(Call::get(path)).await else {
            continue;
        };
        let rows = reply.json();
        let mut rows = rows.as_array()?.iter();
        let found = rows.find(|row| {
            row["method"] == "delegate_result"
                && row["response_body"]["delegation_id"] == *delegation_id
        });
        return found?["response_body"]["text"]
            .as_str()
            .map(ToOwned::to_owned);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_rows_of_a_task_are_one() {
        let rows = [
            json!({"id": "r2", "status": "failed", "error": "gone", "target_id": "t"}),
            json!({"id": "r1", "delegation_id": "d", "status": "completed",
                   "response_preview": "42", "target_id": "t", "created_at": "2"}),
            json!({"id": "r0", "delegation_id": "d", "status": "queued", "created_at": "1",
                   "error": ""}),
        ];
        assert_eq!(
            tasks(&rows),
            [
                json!({"row_id": "r2", "status": "failed", "error": "gone", "workspace_id": "t"}),
                json!({"row_id": "r1", "delegation_id": "d", "status": "completed",
                       "response_preview": "42", "workspace_id": "t", "created_at": "2"}),
            ]
        );
    }
}
