//! A person at the platform: writes to an agent, and looks at how it is.

use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{Answer, Call, Client, ClientError};
use crate::wait::{TimedOut, wait_for};

/// How long a status may take to show.
const SOON: Duration = Duration::from_secs(40);

/// A person's message to a workspace, as the canvas sends it.
///
/// # Errors
/// [`ClientError`].
pub async fn chat(client: &mut Client, workspace: &str, text: &str) -> Result<Answer, ClientError> {
    let part = json!({"kind": "text", "text": text});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "message/send",
        "params": {"message": {"role": "user", "parts": [part]}}});
    let call = Call::post(format!("/workspaces/{workspace}/a2a"), &body);
    client.send(call).await
}

/// The workspace as GET /workspaces lists it; `null` if it does not.
///
/// # Errors
/// [`ClientError`].
pub async fn listed(client: &mut Client, workspace: &str) -> Result<Value, ClientError> {
    let all = client.send(Call::get("/workspaces")).await?.json();
    let mut found = all.as_array().into_iter().flatten();
    let found = found.find(|found| found["id"] == workspace);
    Ok(found.cloned().unwrap_or_default())
}

/// Waits until the workspace is listed with this status, and answers how.
///
/// # Errors
/// [`TimedOut`].
pub async fn becomes(client: &Client, workspace: &str, status: &str) -> Result<Value, TimedOut> {
    let address = client.addr();
    wait_for(
        &format!("{workspace} to be {status}"),
        SOON,
        || async move {
            let shown = listed(&mut Client::new(address), workspace).await.ok()?;
            (shown["status"] == status).then_some(shown)
        },
    )
    .await
}
