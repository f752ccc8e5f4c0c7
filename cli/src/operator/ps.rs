//! `candor ps`.

use std::error::Error;

use candor_proto::registry::v1 as pb;
use clap::Args;
use comfy_table::{Table, presets};
use serde_json::json;

use super::reach::{ReachArgs, workspaces};
use super::show;

/// List workspaces: status, verdict, last beat, reason.
#[derive(Debug, Args)]
pub struct PsArgs {
    #[command(flatten)]
    reach: ReachArgs,
}

pub async fn ps(args: PsArgs) -> Result<(), Box<dyn Error>> {
    let reach = args.reach;
    let mut client = reach.connect().await?;
    let workspaces = workspaces(&mut client, &reach).await?;
    if reach.json {
        for workspace in &workspaces {
            println!("{}", as_json(workspace));
        }
        return Ok(());
    }
    if workspaces.is_empty() {
        println!("no workspaces yet");
        return Ok(());
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header([
        "ID",
        "NAME",
        "STATUS",
        "VERDICT",
        "LAST BEAT",
        "TASKS",
        "REASON",
    ]);
    for workspace in &workspaces {
        table.add_row([
            workspace.id.clone(),
            show::line(&workspace.name),
            show::status(workspace.status),
            workspace.verdict.clone(),
            show::ago(workspace.last_heartbeat_at.as_ref()),
            workspace.active_tasks.to_string(),
            reason(workspace),
        ]);
    }
    println!("{table}");
    Ok(())
}

/// The decisive reason, and refused beats, which a client may never notice.
fn reason(workspace: &pb::Workspace) -> String {
    let mut reason = workspace
        .reasons
        .first()
        .map(|text| show::line(text))
        .unwrap_or_default();
    if workspace.rejected_beats > 0 {
        let last = show::ago(workspace.last_rejected_beat.as_ref());
        reason = format!(
            "{} beats refused (401), last {last} ago; {reason}",
            workspace.rejected_beats
        );
    }
    reason
}

/// One workspace as JSON.
pub fn as_json(workspace: &pb::Workspace) -> serde_json::Value {
    let time = |stamp: &Option<prost_types::Timestamp>| {
        stamp
            .as_ref()
            .and_then(show::time)
            .map(|time| time.to_rfc3339())
    };
    json!({
        "id": workspace.id,
        "name": workspace.name,
        "status": show::status(workspace.status),
        "verdict": workspace.verdict,
        "reasons": workspace.reasons,
        "last_heartbeat_at": time(&workspace.last_heartbeat_at),
        "lease_until": time(&workspace.lease_until),
        "active_tasks": workspace.active_tasks,
        "last_error_rate": workspace.last_error_rate,
        "last_sample_error": workspace.last_sample_error,
        "current_task": workspace.current_task,
        "runtime_state": workspace.runtime_state,
        "epoch": workspace.epoch,
        "url": workspace.url,
        "reachable": workspace.reachable,
        "last_rejected_beat": time(&workspace.last_rejected_beat),
        "rejected_beats": workspace.rejected_beats,
    })
}
