//! What a real legacy agent sent in six seconds of its life, sent again.
//!
//! The recording has the codes that the contract prescribes; this module adds
//! the bodies and, after each beat, the status that everybody must see.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::{Answer, Call, Client, ClientError};
use crate::replay::Variables;
use crate::replay::line::{DataError, parse};

/// One recorded request.
#[derive(Debug, Clone, Deserialize)]
pub struct LegacyLine {
    /// Its number.
    pub n: u32,
    method: String,
    path: String,
    query: String,
    headers: BTreeMap<String, String>,
    body: String,
    status: u16,
}

/// The line that needs a later step: memories.
const LATER: [u32; 1] = [39];

/// The recording, in order.
///
/// # Errors
/// [`DataError`] when the file in this crate is damaged.
pub fn python_runtime() -> Result<Vec<LegacyLine>, DataError> {
    parse(
        "legacy-http.jsonl",
        include_str!("../data/legacy-http.jsonl"),
    )
}

/// True for the lines whose routes exist.
#[must_use]
pub fn is_served(line: &LegacyLine) -> bool {
    !LATER.contains(&line.n)
}

/// Sends every served line, and answers all differences, for people.
///
/// # Errors
/// [`ClientError`] when there is no answer at all.
pub async fn replay(http: SocketAddr, lines: &[LegacyLine]) -> Result<Vec<String>, ClientError> {
    let mut client = Client::new(http);
    let mut variables = Variables::default();
    let mut differences = Vec::new();
    for line in lines.iter().filter(|line| is_served(line)) {
        let answer = client.send(line.call(&variables)).await?;
        learn(line.n, &answer, &mut variables);
        differences.extend(line.compare(&answer, &variables));
        if let Some(wanted) = status_after(line.n) {
            let target = variables.fill("/workspaces/{{WORKSPACE}}");
            let seen = client.send(Call::get(target)).await?.json();
            if seen["status"] != wanted {
                let seen = &seen["status"];
                differences.push(format!("after n={}: status {seen}, not {wanted}", line.n));
            }
        }
        if let Some((member, wanted)) = listed_after(line.n) {
            let all = client.send(Call::get("/workspaces")).await?.json();
            let seen = of_capture(&all, &variables).map(|workspace| &workspace[member]);
            if seen != Some(&wanted) {
                let n = line.n;
                differences.push(format!(
                    "after n={n}: list has {member} {seen:?}, not {wanted}"
                ));
            }
        }
    }
    Ok(differences)
}

/// The first two lines create the workspaces, the third earns the token.
fn learn(n: u32, answer: &Answer, variables: &mut Variables) {
    match n {
        1 => variables.save("WORKSPACE", "id", &answer.json()),
        2 => variables.save("PEER", "id", &answer.json()),
        3 => variables.save("TOKEN", "auth_token", &answer.json()),
        _ => {}
    }
}

/// What GET /workspaces/:id shows once line `n` was answered.
fn status_after(n: u32) -> Option<&'static str> {
    match n {
        3..=9 => Some("online"),
        10..=11 => Some("degraded"),
        12..=13 => Some("online"),
        14..=23 => Some("degraded"),
        24.. => Some("online"),
        _ => None,
    }
}

/// What only the list shows, after the lines that change it.
fn listed_after(n: u32) -> Option<(&'static str, Value)> {
    match n {
        10 => Some(("last_sample_error", json!("HTTP 500 from model"))),
        14 => Some(("last_sample_error", json!(WEDGE))),
        // A partial beat changes the task, and takes no evidence away.
        18 => Some(("current_task", json!("partial beat task"))),
        19 => Some(("last_sample_error", json!(WEDGE))),
        34 => Some(("current_task", json!("summary text"))),
        _ => None,
    }
}

const WEDGE: &str = "claude_agent_sdk wedge: Exception: Control request timeout: initialize \
    — restart workspace to recover";

fn of_capture<'a>(all: &'a Value, variables: &Variables) -> Option<&'a Value> {
    let id = variables.get("WORKSPACE");
    let mut workspaces = all.as_array()?.iter();
    workspaces.find(|workspace| workspace["id"].as_str() == id)
}

// === impl LegacyLine ===

impl LegacyLine {
    fn call(&self, variables: &Variables) -> Call {
        let mut target = variables.fill(&self.path);
        if !self.query.is_empty() {
            target = format!("{target}?{}", variables.fill(&self.query));
        }
        let method = self.method.parse().unwrap_or(http::Method::GET);
        let mut call = Call::new(method, target);
        for (name, value) in &self.headers {
            call = call.header(name, variables.fill(value));
        }
        if self.body.is_empty() {
            return call;
        }
        call.body(variables.fill(&self.body))
    }

    fn compare(&self, answer: &Answer, variables: &Variables) -> Vec<String> {
        let mut found = Vec::new();
        let place = format!("n={} {} {}", self.n, self.method, self.path);
        if answer.status != self.status {
            let (got, wanted) = (answer.status, self.status);
            found.push(format!("{place}: {got}, not {wanted}: {}", answer.text()));
            return found;
        }
        let got = serde_json::from_str(&variables.normalise(&answer.text()));
        let got: Value = got.unwrap_or(Value::Null);
        let wanted = self.body_wanted();
        if !contains(&got, &wanted) {
            found.push(format!("{place}: {got} lacks {wanted}"));
        }
        found
    }

    /// The body that the contract prescribes for this line.
    fn body_wanted(&self) -> Value {
        match (self.n, self.path.as_str()) {
            (1, _) => json!({"awareness_namespace": "workspace:{{WORKSPACE}}",
                "id": "{{WORKSPACE}}", "status": "provisioning", "workspace_access": "none"}),
            (2, _) => json!({"external": true, "id": "{{PEER}}", "status": "online"}),
            (3, _) => json!({"auth_token": "{{TOKEN}}", "status": "registered"}),
            (28 | 38, _) => json!([{"active_tasks": 0, "agent_card": null, "id": "{{PEER}}",
                "name": "peer", "parent_id": null, "role": null, "status": "online", "tier": 1,
                "url": "http://localhost:8002"}]),
            (30, _) => json!({"id": "{{PEER}}", "name": "peer", "url": "http://localhost:8002"}),
            (42, _) => json!({"id": "{{WORKSPACE}}", "name": "capture", "tier": 1, "role": null,
                "parent_id": null, "status": "online", "url": "http://localhost:8001",
                "active_tasks": 1, "uptime_seconds": 4, "last_error_rate": 0,
                "runtime": "langgraph", "max_concurrent_tasks": 1, "collapsed": false}),
            // Nobody listens where the recorded agents did.
            (32 | 43, _) => json!({"error": "failed to reach workspace agent"}),
            (35, _) => json!({"status": "delegated", "target_id": "{{PEER}}"}),
            (36 | 41 | 46, _) => json!([{"type": "delegation", "source_id": "{{WORKSPACE}}",
                "target_id": "{{PEER}}", "summary": "Delegating to {{PEER}}"}]),
            (_, "/registry/heartbeat") => json!({"status": "ok"}),
            (_, path) if path.ends_with("/activity") => json!({"status": "logged"}),
            (_, path) if path.ends_with("/notify") => json!({"status": "sent"}),
            _ => json!([]),
        }
    }
}

/// Is every member of `wanted` in `got`, with lists of equal length?
fn contains(got: &Value, wanted: &Value) -> bool {
    match (got, wanted) {
        (Value::Object(got), Value::Object(wanted)) => wanted
            .iter()
            .all(|(name, value)| got.get(name).is_some_and(|got| contains(got, value))),
        (Value::Array(got), Value::Array(wanted)) => {
            got.len() == wanted.len() && got.iter().zip(wanted).all(|(g, w)| contains(g, w))
        }
        _ => got == wanted,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_recording_is_whole_and_most_of_it_is_served() {
        let lines = python_runtime().unwrap();
        let numbers: Vec<u32> = lines.iter().map(|line| line.n).collect();
        assert_eq!(numbers, (1..=46).collect::<Vec<u32>>());
        assert_eq!(lines.iter().filter(|line| is_served(line)).count(), 45);
    }

    #[test]
    fn a_body_may_have_more_but_never_less() {
        let got = json!({"status": "ok", "epoch": 0});
        assert!(contains(&got, &json!({"status": "ok"})));
        assert!(!contains(&got, &json!({"status": "ok", "x": 1})));
        assert!(!contains(&json!([1, 2]), &json!([1])));
    }
}
