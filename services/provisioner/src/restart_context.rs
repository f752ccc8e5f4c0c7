//! Tells a new instance what changed since the one before it (contract/workspaces.md,
//! "Restart context"): one message, as the platform, at most once an epoch.

use std::sync::Arc;
use std::time::Duration;

use candor_kernel::{Caller, Error, Status, WorkspaceId};
use candor_proto::relay::v1 as relay;
use chrono::{DateTime, SecondsFormat, Utc};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use uuid::Uuid;

use crate::app::App;
use crate::blueprint::blueprint;
use crate::store::restart_context;

/// How long a new instance may take until it is online; after that it is told nothing.
const ONLINE_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Longest wait for the beginning of the agent's answer. The relay goes on without us.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
/// Instances that are told at a time; one more is told nothing.
static PLACES: Semaphore = Semaphore::const_new(256);

/// What a new instance is told.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// Whose instance it is.
    pub workspace: WorkspaceId,
    /// The new instance.
    pub epoch: i64,
    /// When it was wanted.
    pub restarted_at: DateTime<Utc>,
    /// When the one before was last heard of.
    pub previous_end: Option<DateTime<Utc>>,
    /// Names of the secrets that it was given; values never.
    pub env_names: Vec<String>,
}

/// Waits until the instance is online, and tells it. What goes wrong is logged: the
/// restart itself succeeded.
pub(crate) async fn tell(app: Arc<App>, context: Context) {
    let workspace = context.workspace;
    let Ok(_place) = PLACES.try_acquire() else {
        tracing::warn!(%workspace, "too many restarts at a time: its context is not told");
        return;
    };
    let told = app.stop.run_until_cancelled(try_tell(&app, &context)).await;
    match told {
        Some(Ok(true)) => tracing::debug!(%workspace, epoch = context.epoch, "context told"),
        Some(Ok(false)) => {
            tracing::info!(%workspace, epoch = context.epoch, "not online in time, or told already: its context is not told");
        }
        Some(Err(error)) => tracing::warn!(
            %workspace,
            reason = error.reason().code(),
            internal = error.internal_text(),
            "the context of a restart was not told: {error}"
        ),
        None => {}
    }
}

/// False if there was nobody to tell.
async fn try_tell(app: &App, context: &Context) -> Result<bool, Error> {
    if !is_online(app, context).await? {
        return Ok(false);
    }
    let mut connection = app.store.connection().await?;
    // Before it is sent: not at all is better than twice.
    if !restart_context::claim(&mut connection, context.workspace, context.epoch).await? {
        return Ok(false);
    }
    drop(connection);
    let request = relay::DeliverRequest {
        workspace_id: context.workspace.to_string(),
        body: message(&text(context)).into(),
        ..relay::DeliverRequest::default()
    };
    let caller = Caller::system("restart-context");
    app.services
        .relay
        .call_within(
            ANSWERED_WITHIN,
            &caller,
            request,
            |mut client, request| async move {
                let mut parts = client.deliver(request).await?.into_inner();
                // The first part says whether it was delivered; the rest is for nobody.
                let first = parts.message().await?;
                Ok(tonic::Response::new(first))
            },
        )
        .await?;
    Ok(true)
}

/// Waits until this very instance is online.
async fn is_online(app: &App, context: &Context) -> Result<bool, Error> {
    let late = Instant::now() + ONLINE_WITHIN;
    loop {
        let known = blueprint(app, context.workspace).await;
        match known {
            Ok(known) if known.fence_epoch != context.epoch => return Ok(false),
            Ok(known) if known.status == Status::Online.label() => return Ok(true),
            Err(error) if Instant::now() >= late => return Err(error),
            _ if Instant::now() >= late => return Ok(false),
            _ => {}
        }
        // Whichever comes first: both lead to the next look.
        let _ = tokio::time::timeout(LOOK_EVERY, app.settled.notified()).await;
    }
}

/// The lines that legacy agents know.
fn text(context: &Context) -> String {
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let previous = match context.previous_end {
        None => "(no prior session on record)".to_owned(),
        Some(end) => {
            let ago = (context.restarted_at - end).to_std().unwrap_or_default();
            format!("{} ({} ago)", time(end), brief(ago))
        }
    };
    let mut names: Vec<&str> = context.env_names.iter().map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let names = match names.is_empty() {
        true => "(none)".to_owned(),
        false => names.join(", "),
    };
    format!(
        "=== WORKSPACE RESTART CONTEXT ===\n\
         Restart at: {}\n\
         Previous session ended: {previous}\n\
         Env vars now available: {names}\n\
         === END RESTART CONTEXT ===\n",
        time(context.restarted_at)
    )
}

/// A span in its two largest units, for instance `2h14m`.
fn brief(span: Duration) -> String {
    let seconds = (span + Duration::from_millis(500)).as_secs();
    let (hours, minutes) = (seconds / 3600, seconds % 3600 / 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{}s", seconds % 60),
        _ => format!("{hours}h{minutes}m"),
    }
}

fn message(text: &str) -> Vec<u8> {
    serde_json::json!({
        "jsonrpc": "2.0",
        "id": Uuid::new_v4(),
        "method": "message/send",
        "params": {"message": {
            "role": "user",
            "messageId": Uuid::new_v4(),
            "parts": [{"kind": "text", "text": text}],
            "metadata": {
                "source": "platform",
                "kind": "restart_context",
                "layer": 1,
                "restart_context": true,
            },
        }},
    })
    .to_string()
    .into_bytes()
}

#[cfg(test)]
mod tests;
