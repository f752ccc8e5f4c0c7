//! What of a plan a process can have, and what not.

use std::path::{Path, PathBuf};

use super::Failure;
use super::place::WORKSPACE;
use crate::backend::{Mount, Plan, Tier};

/// The token's file, below `/configs`.
pub(super) const TOKEN: &str = ".auth_token";
/// The runtimes that `candor-workspace` is.
pub(super) const RUNTIMES: [&str; 3] = ["candor-echo", "candor-command", "candor-claude-code"];
/// Its name before any executor's.
const OURS: &str = "candor-";
const MIB: u64 = 1024 * 1024;

/// Whether the plan can be carried out.
///
/// # Errors
/// [`Failure::Refused`] with the fix.
pub(super) fn check(plan: &Plan) -> Result<(), Failure> {
    if !RUNTIMES.contains(&plan.runtime.as_str()) {
        return refuse(format!(
            "the runtime {:?} does not run as a process: one of {} does",
            plan.runtime,
            RUNTIMES.join(", ")
        ));
    }
    if plan.tier == Tier::T1 {
        return refuse(
            "tier 1 promises a read-only system, which a process of this machine cannot be \
             held to: choose tier 2, or a runtime that runs in containers",
        );
    }
    check_mount(&plan.mount)?;
    for (name, value) in &plan.env {
        if name.is_empty() || name.contains(['=', '\0']) || value.expose().contains('\0') {
            return refuse(format!(
                "the environment's {name:?} cannot be set: a name has no `=`, and neither a \
                 name nor a value has a NUL byte"
            ));
        }
    }
    let first = |path: &str| path.split('/').next() == Some(TOKEN);
    if plan.files.iter().any(|file| first(file.path())) {
        return refuse(format!(
            "{TOKEN} is the platform's: take it out of the files"
        ));
    }
    Ok(())
}

fn check_mount(mount: &Mount) -> Result<(), Failure> {
    let Mount::Host { path, read_only } = mount else {
        return Ok(());
    };
    let shown = path.display();
    if *read_only {
        return refuse(format!(
            "a process cannot be kept from writing to {shown}: allow read_write, or choose \
             a runtime that runs in containers"
        ));
    }
    if !path.is_absolute() || !path.is_dir() {
        return refuse(format!(
            "workspace_dir {shown} is no folder of this machine: make it, or choose another"
        ));
    }
    Ok(())
}

fn refuse(why: impl Into<String>) -> Result<(), Failure> {
    Err(Failure::Refused(why.into()))
}

/// Where the instance works.
pub(super) fn working_dir(plan: &Plan, place: &Path, home: &Path) -> PathBuf {
    match &plan.mount {
        Mount::None => home.to_owned(),
        Mount::Volume => place.join(WORKSPACE),
        Mount::Host { path, .. } => path.clone(),
    }
}

/// What does the work, as `candor-workspace` calls it.
pub(super) fn executor(runtime: &str) -> &str {
    runtime.strip_prefix(OURS).unwrap_or(runtime)
}

/// How much memory each process of the instance may have, in bytes. The Claude CLI has
/// no such limit: it reserves far more than it uses, and with 512 MiB does not start.
pub(super) fn memory(plan: &Plan) -> Option<u64> {
    if plan.runtime == "candor-claude-code" {
        return None;
    }
    Some(match plan.tier {
        Tier::T1 | Tier::T2 => 512 * MIB,
        Tier::T3 => 2048 * MIB,
        Tier::T4 => 4096 * MIB,
    })
}
