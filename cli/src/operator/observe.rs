//! `candor observe WORKSPACE [on|off]`: whether its answers count for its health.

use std::error::Error;

use candor_proto::relay::v1 as pb;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::reach::{ReachArgs, told_by_relay, workspace_id};
use super::show;

/// Show or switch whether a workspace's answers count for its health.
#[derive(Debug, Args)]
pub struct ObserveArgs {
    /// The workspace's id, or its name if only one has it.
    workspace: String,
    /// On: calls that end without an answer may degrade it. Without a word: shows.
    switch: Option<Switch>,
    /// A cheap call that says it sooner, once two calls ended so.
    #[arg(long)]
    canary: Option<Switch>,
    #[command(flatten)]
    reach: ReachArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Switch {
    On,
    Off,
}

impl Switch {
    fn is_on(self) -> bool {
        matches!(self, Self::On)
    }
}

pub async fn observe(args: ObserveArgs) -> Result<(), Box<dyn Error>> {
    let reach = &args.reach;
    let mut client = reach.relay().await?;
    let workspace_id = workspace_id(reach, &args.workspace).await?;
    let told = if args.switch.is_none() && args.canary.is_none() {
        let request = pb::GetObservationRequest {
            workspace_id: workspace_id.clone(),
        };
        client.get_observation(reach.request(request)?).await
    } else {
        let request = pb::SetObservationRequest {
            workspace_id: workspace_id.clone(),
            enabled: args.switch.map(Switch::is_on),
            canary: args.canary.map(Switch::is_on),
        };
        client.set_observation(reach.request(request)?).await
    };
    let told = told.map_err(|status| told_by_relay(&status))?.into_inner();
    if reach.json {
        let mut told = to_json(&told);
        told["workspace_id"] = workspace_id.into();
        println!("{told}");
    } else {
        println!("{workspace_id}  observed {}", words(&told));
    }
    Ok(())
}

/// What is observed, if there is a relay where the registry is.
pub async fn observed(reach: &ReachArgs, workspace_id: &str) -> Option<pb::Observation> {
    let request = pb::GetObservationRequest {
        workspace_id: workspace_id.to_owned(),
    };
    let request = reach.request(request).ok()?;
    let told = reach.relay().await.ok()?.get_observation(request).await;
    told.ok().map(tonic::Response::into_inner)
}

/// An observation on one line.
pub fn words(told: &pb::Observation) -> String {
    let word = |on| if on { "on" } else { "off" };
    let last = match &told.last_answer_at {
        Some(at) => format!("last answer {} ago", show::ago(Some(at))),
        None => "no answer seen since the relay started".to_owned(),
    };
    format!(
        "{}, canary {}; {} silent call(s) in a row, {last}",
        word(told.enabled),
        word(told.canary),
        told.silent_calls
    )
}

/// An observation for programs.
pub fn to_json(told: &pb::Observation) -> Value {
    json!({
        "enabled": told.enabled,
        "canary": told.canary,
        "silent_calls": told.silent_calls,
        "last_answer_at": show::rfc3339(told.last_answer_at.as_ref()),
    })
}
