//! How an instance's process is started.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::process::{Child, Command};

use super::Failure;
use super::members::MARK;
use super::place::{CONFIGS, Place, SESSION};
use super::plan;
use crate::backend::Plan;

/// Taken over from the platform's environment, and nothing else.
const SHARED: [&str; 4] = ["PATH", "LANG", "LC_ALL", "TZ"];
/// Not for a process: the address that it listens on is the one that it registers, and
/// what an image has below `/` is not here.
const NOT_HERE: [&str; 3] = ["CANDOR_ADVERTISE", "PLUGINS_DIR", "PYTHONPATH"];
/// Any port that is free: the instance says which.
const LISTEN: &str = "127.0.0.1:0";
/// When memory runs out, instances go before the platform does.
const OOM_SCORE: &str = "500";

/// Starts the program; what it says goes to `log`.
///
/// # Errors
/// [`Failure::Refused`] if the program cannot be run at all.
pub(super) fn spawn(
    program: &Path,
    plan: &Plan,
    place: &Place,
    mark: &str,
    log: File,
) -> Result<Child, Failure> {
    let home = place.path.join(SESSION);
    let mut command = Command::new(program);
    command
        .arg("--json")
        .env_clear()
        .envs(environment(plan, &place.path, mark))
        .current_dir(plan::working_dir(plan, &place.path, &home))
        .stdin(Stdio::null())
        .stderr(log.try_clone()?)
        .stdout(log)
        // Not the terminal's: Ctrl-C on the platform does not reach it.
        .process_group(0)
        .kill_on_drop(false);
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
            Failure::Refused(cannot_run(program, &error))
        }
        io::ErrorKind::ArgumentListTooLong => {
            Failure::Refused("the environment is too large for a process: make it smaller".into())
        }
        _ => Failure::Io(error),
    })?;
    if let Err(problem) = limit(&child, plan) {
        child.start_kill()?;
        return Err(problem.into());
    }
    Ok(child)
}

/// That the program cannot be run, and what to do.
pub(super) fn cannot_run(program: &Path, why: &dyn std::fmt::Display) -> String {
    format!(
        "{}: cannot be run: {why}; candor-workspace belongs beside the platform's own program",
        program.display()
    )
}

/// The plan's, and over it what makes it this instance; nothing of the platform's own
/// but where programs are and how people write.
fn environment(plan: &Plan, place: &Path, mark: &str) -> Vec<(String, std::ffi::OsString)> {
    let mut all: Vec<(String, std::ffi::OsString)> = Vec::new();
    for name in SHARED {
        all.extend(std::env::var_os(name).map(|value| (name.to_owned(), value)));
    }
    let configs = place.join(CONFIGS).into_os_string();
    all.push(("HOME".into(), place.join(SESSION).into()));
    for (name, value) in &plan.env {
        all.push((name.clone(), value.expose().into()));
    }
    let workspace = plan.workspace.to_string();
    let executor = plan::executor(&plan.runtime);
    for (name, value) in [
        ("WORKSPACE_ID", workspace.as_str()),
        ("CANDOR_WORKSPACE_ID", &workspace),
        ("PLATFORM_URL", &plan.platform_url),
        ("CANDOR_PLATFORM_URL", &plan.platform_url),
        ("CANDOR_EXECUTOR", executor),
        ("CANDOR_LISTEN", LISTEN),
        (MARK, mark),
    ] {
        all.push((name.to_owned(), value.into()));
    }
    all.retain(|(name, _)| !NOT_HERE.contains(&name.as_str()));
    for name in ["CONFIGS_DIR", "CANDOR_CONFIGS_DIR", "WORKSPACE_CONFIG_PATH"] {
        all.push((name.to_owned(), configs.clone()));
    }
    all
}

/// Set from outside, before it says that it is ready; what it starts inherits them.
fn limit(child: &Child, plan: &Plan) -> io::Result<()> {
    let number = child.id().and_then(|pid| i32::try_from(pid).ok());
    let Some(pid) = number.and_then(Pid::from_raw) else {
        // It has ended already, which is seen later.
        return Ok(());
    };
    let exactly = |most| Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    // What is in memory are secrets, too.
    prlimit(Some(pid), Resource::Core, exactly(0))?;
    if let Some(memory) = plan::memory(plan) {
        prlimit(Some(pid), Resource::Data, exactly(memory))?;
    }
    let score = format!("/proc/{}/oom_score_adj", pid.as_raw_pid());
    // Without it the kernel chooses by size alone.
    let _no_preference = std::fs::write(score, OOM_SCORE);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ffi::OsString;

    use candor_kernel::{Epoch, WorkspaceId};
    use candor_process::config::Secret;

    use super::*;
    use crate::backend::{Mount, Tier};

    #[test]
    fn a_process_is_given_the_folders_that_it_has() {
        let env = [
            ("WORKSPACE_CONFIG_PATH", "/configs"),
            ("PLUGINS_DIR", "/plugins"),
            ("PYTHONPATH", "/app"),
            ("KEY", "value"),
        ];
        let plan = Plan {
            workspace: WorkspaceId::from_uuid(uuid::Uuid::nil()),
            epoch: Epoch(1),
            name: String::new(),
            runtime: "candor-echo".to_owned(),
            tier: Tier::T2,
            image: None,
            platform_url: String::new(),
            env: env
                .map(|(name, value)| (name.to_owned(), Secret::new(value)))
                .into(),
            files: Vec::new(),
            token: Secret::new(""),
            mount: Mount::Volume,
            reset_session: false,
        };
        // As a process sees it: the last of several.
        let seen: BTreeMap<String, OsString> = environment(&plan, Path::new("/place"), "mark")
            .into_iter()
            .collect();
        let read = |name: &str| seen.get(name).map(|value| value.to_string_lossy());
        for name in ["WORKSPACE_CONFIG_PATH", "CONFIGS_DIR", "CANDOR_CONFIGS_DIR"] {
            assert_eq!(read(name).as_deref(), Some("/place/configs"), "{name}");
        }
        assert_eq!(read("KEY").as_deref(), Some("value"));
        assert_eq!((read("PLUGINS_DIR"), read("PYTHONPATH")), (None, None));
    }
}
