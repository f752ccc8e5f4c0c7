//! `candor explain ID`.

use std::error::Error;

use candor_proto::provisioner::v1::ExplainInstanceResponse;
use candor_proto::registry::v1 as pb;
use candor_proto::relay::v1::Observation;
use clap::Args;
use serde_json::json;

use super::instance::{self, instance};
use super::observe::{self, observed};
use super::ps::as_json;
use super::reach::{ReachArgs, told, workspace_id};
use super::show;

/// Say why a workspace has its status.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The workspace's id, or its name if only one has it.
    workspace: String,
    /// How many decisions to show.
    #[arg(long, default_value_t = 10)]
    limit: i32,
    #[command(flatten)]
    reach: ReachArgs,
}

/// What others than the registry know; nothing where they are processes of their own.
struct Beside {
    observation: Option<Observation>,
    instance: Option<ExplainInstanceResponse>,
}

pub async fn explain(args: ExplainArgs) -> Result<(), Box<dyn Error>> {
    let reach = &args.reach;
    let mut client = reach.connect().await?;
    let id = workspace_id(reach, &args.workspace).await?;
    let request = reach.request(pb::ExplainStatusRequest {
        id: id.clone(),
        limit: args.limit,
    })?;
    let told = client
        .explain_status(request)
        .await
        .map_err(|status| told(&status))?
        .into_inner();
    let beside = Beside {
        observation: observed(reach, &id).await,
        instance: instance(reach, &id).await,
    };
    if reach.json {
        println!("{}", to_json(&told, &beside));
    } else {
        print(&told, &beside);
    }
    Ok(())
}

fn print(told: &pb::ExplainStatusResponse, beside: &Beside) {
    if let Some(workspace) = &told.workspace {
        print_workspace(workspace, told.fence_epoch);
    }
    print_causes(&told.causes);
    if let Some(observation) = &beside.observation {
        println!("  observed      {}", observe::words(observation));
    }
    if let Some(told) = &beside.instance {
        instance::print(told);
    }
    println!("  decisions, newest first (rules: docs/state-machine.md)");
    for decision in &told.decisions {
        println!(
            "                {:>5} ago  {:<4} {} -> {}  {}",
            show::ago(decision.at.as_ref()),
            decision.rule,
            show::status(decision.from),
            show::status(decision.to),
            show::line(&decision.evidence)
        );
    }
}

fn print_workspace(workspace: &pb::Workspace, fence_epoch: i64) {
    println!("{}  {}", workspace.id, show::line(&workspace.name));
    println!("  status        {}", show::status(workspace.status));
    println!("  verdict       {}", workspace.verdict);
    for reason in &workspace.reasons {
        println!("                - {}", show::line(reason));
    }
    println!(
        "  last beat     {} ago",
        show::ago(workspace.last_heartbeat_at.as_ref())
    );
    println!("  runtime says  {:?}", workspace.runtime_state);
    if let Some(progress) = &workspace.turn_progress {
        println!(
            "  turns         {} begun, {} answered, {} failed; moved {} times",
            progress.begun, progress.answered, progress.failed, progress.moved
        );
    }
    println!(
        "  epoch         {} (fence {})",
        workspace.epoch, fence_epoch
    );
    if workspace.rejected_beats > 0 {
        println!(
            "  refused beats {} (401), last {} ago: its token is not valid",
            workspace.rejected_beats,
            show::ago(workspace.last_rejected_beat.as_ref())
        );
    }
}

fn print_causes(causes: &[pb::StatusCause]) {
    println!(
        "  causes        {}",
        if causes.is_empty() { "none" } else { "" }
    );
    for cause in causes {
        println!(
            "                {} for {}: {}",
            cause.kind,
            show::ago(cause.since.as_ref()),
            show::line(&cause.evidence)
        );
    }
}

fn to_json(told: &pb::ExplainStatusResponse, beside: &Beside) -> serde_json::Value {
    let time = |stamp: &Option<prost_types::Timestamp>| {
        stamp
            .as_ref()
            .and_then(show::time)
            .map(|time| time.to_rfc3339())
    };
    json!({
        "workspace": told.workspace.as_ref().map(as_json),
        "fence_epoch": told.fence_epoch,
        "state_version": told.state_version,
        "causes": told.causes.iter().map(|cause| json!({
            "kind": cause.kind, "evidence": cause.evidence, "since": time(&cause.since),
        })).collect::<Vec<_>>(),
        "observation": beside.observation.as_ref().map(observe::to_json),
        "instance": beside.instance.as_ref().map(instance::to_json),
        "decisions": told.decisions.iter().map(|decision| json!({
            "at": time(&decision.at), "rule": decision.rule, "from": show::status(decision.from),
            "to": show::status(decision.to), "evidence": decision.evidence,
            "state_version": decision.state_version, "event_id": decision.event_id,
        })).collect::<Vec<_>>(),
    })
}
