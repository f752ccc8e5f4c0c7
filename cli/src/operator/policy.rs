//! `candor policy WORKSPACE`: what the platform may do to it by itself.

use std::error::Error;
use std::time::Duration;

use candor_process::config::parse_duration;
use candor_proto::provisioner::v1 as pb;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::reach::{ReachArgs, told_by_provisioner, workspace_id};

/// Show or change what the platform may do to a workspace by itself.
#[derive(Debug, Args)]
pub struct PolicyArgs {
    /// The workspace's id, or its name if only one has it.
    workspace: String,
    /// Restart it when it says that it is wedged, within the budget.
    #[arg(long)]
    restart_on_wedge: Option<Switch>,
    /// Stop it when it has had nothing to do for so long (30m, 2h), or never.
    #[arg(long, value_name = "DURATION", value_parser = idle)]
    hibernate_after: Option<Duration>,
    #[command(flatten)]
    reach: ReachArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Switch {
    #[value(alias = "true")]
    On,
    #[value(alias = "false")]
    Off,
}

/// Zero is never, on the wire as well.
fn idle(text: &str) -> Result<Duration, String> {
    if text == "never" {
        return Ok(Duration::ZERO);
    }
    parse_duration(text).map_err(|error| format!("{error}; or never"))
}

pub async fn policy(args: PolicyArgs) -> Result<(), Box<dyn Error>> {
    let reach = &args.reach;
    let mut client = reach.provisioner().await?;
    let workspace_id = workspace_id(reach, &args.workspace).await?;
    let told = if args.restart_on_wedge.is_none() && args.hibernate_after.is_none() {
        let request = pb::GetPolicyRequest {
            workspace_id: workspace_id.clone(),
        };
        client.get_policy(reach.request(request)?).await
    } else {
        let request = pb::SetPolicyRequest {
            workspace_id: workspace_id.clone(),
            restart_on_wedge: args.restart_on_wedge.map(|on| matches!(on, Switch::On)),
            hibernate_after: args
                .hibernate_after
                .map(prost_types::Duration::try_from)
                .transpose()?,
        };
        client.set_policy(reach.request(request)?).await
    };
    let told = told
        .map_err(|status| told_by_provisioner(&status))?
        .into_inner();
    let hibernate = told.hibernate_after.as_ref().map(|span| span.seconds);
    if reach.json {
        let told = json!({
            "workspace_id": workspace_id,
            "restart_on_wedge": told.restart_on_wedge,
            "hibernate_after_seconds": hibernate,
        });
        println!("{told}");
    } else {
        let restart = if told.restart_on_wedge { "on" } else { "off" };
        let hibernate =
            hibernate.map_or_else(|| "never".to_owned(), |time| format!("{time}s idle"));
        println!("{workspace_id}  restart on wedge {restart}, hibernates {hibernate}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idleness_is_a_duration_or_never() {
        assert_eq!(idle("never"), Ok(Duration::ZERO));
        assert_eq!(idle("30m"), Ok(Duration::from_secs(1800)));
        assert!(idle("soon").is_err_and(|words| words.contains("never")));
    }
}
