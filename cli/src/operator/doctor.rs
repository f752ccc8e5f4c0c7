//! `candor doctor`: what is wrong, and what to do about it.

use std::borrow::Cow;
use std::error::Error;

use candor_process::postgres::Binaries;
use candor_proto::registry::v1 as pb;
use clap::Args;
use serde_json::json;

use super::instance::{backends, state};
use super::reach::{ReachArgs, workspaces};
use super::show;
use crate::up::Whereabouts;

/// Look for what is wrong with an installation.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    reach: ReachArgs,
}

/// One thing that was looked at.
struct Finding {
    what: Cow<'static, str>,
    good: bool,
    detail: String,
}

impl Finding {
    fn good(what: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            good: true,
            detail: detail.into(),
        }
    }
    fn bad(what: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            good: false,
            detail: detail.into(),
        }
    }
}

pub async fn doctor(args: DoctorArgs) -> Result<(), Box<dyn Error>> {
    let reach = &args.reach;
    let mut findings = vec![postgres_binaries(), data_directory(reach)];
    findings.extend(platform(reach).await);
    let sick = findings.iter().filter(|finding| !finding.good).count();
    if reach.json {
        let list: Vec<_> = findings
            .iter()
            .map(|f| json!({"check": f.what, "ok": f.good, "detail": f.detail}))
            .collect();
        println!("{}", json!({"ok": sick == 0, "checks": list}));
    } else {
        for finding in &findings {
            let mark = if finding.good { "ok " } else { "BAD" };
            println!("{mark}  {:<20} {}", finding.what, finding.detail);
        }
    }
    if sick > 0 {
        return Err(format!("{sick} check(s) failed").into());
    }
    Ok(())
}

fn postgres_binaries() -> Finding {
    match Binaries::find(None, None) {
        Ok(_) => Finding::good("postgres binaries", "found"),
        Err(error) => Finding::bad("postgres binaries", error.to_string()),
    }
}

fn data_directory(reach: &ReachArgs) -> Finding {
    match Whereabouts::read(&reach.data_dir) {
        Some(found) => Finding::good(
            "data directory",
            format!(
                "{}: process {}, {}",
                reach.data_dir.display(),
                found.pid,
                found.http
            ),
        ),
        None => Finding::good(
            "data directory",
            format!("no Candor runs on {}", reach.data_dir.display()),
        ),
    }
}

async fn platform(reach: &ReachArgs) -> Vec<Finding> {
    let mut client = match reach.connect().await {
        Ok(client) => client,
        Err(error) => return vec![Finding::bad("platform", error.to_string())],
    };
    let mut findings = vec![Finding::good(
        "platform",
        format!("answers at {}", reach.address()),
    )];
    match workspaces(&mut client, reach).await {
        Ok(workspaces) => {
            findings.push(Finding::good(
                "database",
                format!("{} workspace(s)", workspaces.len()),
            ));
            findings.extend(workspaces.iter().filter_map(refused_beats));
        }
        Err(error) => findings.push(Finding::bad("database", error.to_string())),
    }
    findings.extend(instances(reach).await);
    findings
}

/// Each backend, and what to do where it could start nothing.
async fn instances(reach: &ReachArgs) -> Vec<Finding> {
    let backends = match backends(reach).await {
        Ok(Some(backends)) => backends,
        // A registry alone; the provisioner is asked at its own address.
        Ok(None) => return Vec::new(),
        Err(error) => return vec![Finding::bad("backends", error)],
    };
    if backends.is_empty() {
        let detail = "none: agents are brought by their owners";
        return vec![Finding::good("backends", detail)];
    }
    let finding = |backend| {
        let (good, detail) = state(backend);
        let what = format!("backend {}", backend.name);
        if good {
            Finding::good(what, detail)
        } else {
            Finding::bad(what, detail)
        }
    };
    backends.iter().map(finding).collect()
}

/// A client whose beats are refused seldom notices; its operator should.
fn refused_beats(workspace: &pb::Workspace) -> Option<Finding> {
    (workspace.rejected_beats > 0).then(|| {
        Finding::bad(
            "refused beats",
            format!(
                "{} ({}): {} beats answered 401, last {} ago: give its agent a valid token",
                workspace.id,
                show::line(&workspace.name),
                workspace.rejected_beats,
                show::ago(workspace.last_rejected_beat.as_ref())
            ),
        )
    })
}
