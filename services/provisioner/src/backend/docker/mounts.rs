//! What an instance sees of disks: its volumes, and a folder of the host where the
//! operator allows it.

use std::io;
use std::path::{Path, PathBuf};

use super::files::{CONFIGS, is_plain_path};
use super::names::Names;
use super::settings::DockerSettings;
use crate::backend::{BackendError, Mount, Plan, Tier};

/// Where the engine's socket is in a tier 4 container.
const SOCKET_INSIDE: &str = "/var/run/docker.sock";
/// Where a volume of the workspace's own is, if it has one.
pub(super) const WORKSPACE: &str = "/workspace";
/// The variable by which the Claude CLI finds what it keeps.
pub(super) const SESSIONS_VARIABLE: &str = "CLAUDE_CONFIG_DIR";

/// The binds of a plan, in the legacy platform's form and order.
///
/// # Errors
/// [`BackendError::Refused`]: the folder of the host is not allowed, or not there.
pub(super) fn binds(plan: &Plan, settings: &DockerSettings) -> Result<Vec<String>, BackendError> {
    let names = Names::of(plan.workspace);
    let mut binds = vec![format!("{}:{CONFIGS}", names.configs)];
    // A sandbox has its configuration and nothing else.
    if plan.tier == Tier::T1 {
        return Ok(binds);
    }
    match &plan.mount {
        Mount::None => {}
        Mount::Volume => binds.push(format!("{}:{WORKSPACE}", names.workspace)),
        Mount::Host { path, read_only } => {
            let path = allowed(path, settings)?;
            let access = if *read_only { ":ro" } else { "" };
            binds.push(format!("{}:{WORKSPACE}{access}", path.display()));
        }
    }
    if let Some(sessions) = sessions(plan) {
        binds.push(format!("{}:{sessions}", names.sessions));
    }
    if plan.tier == Tier::T4 {
        binds.push(format!("{}:{SOCKET_INSIDE}", settings.socket.display()));
    }
    Ok(binds)
}

/// Where the volume of a runtime that keeps sessions is mounted. The legacy runtime's is
/// where the legacy platform has it, inside of what the CLI keeps; Candor's is the whole,
/// named to the CLI by [`SESSIONS_VARIABLE`].
pub(super) fn sessions(plan: &Plan) -> Option<&'static str> {
    match plan.runtime.as_str() {
        _ if plan.tier == Tier::T1 => None,
        "claude-code" => Some("/root/.claude/sessions"),
        OWN_CLAUDE => Some("/sessions"),
        _ => None,
    }
}

/// Candor's runtime that keeps sessions.
pub(super) const OWN_CLAUDE: &str = "candor-claude-code";

/// The folders of volumes that the workspace's instances alone write, below the root. A
/// volume is the image's folder at first; where the image has none it is root's.
pub(super) fn own_folders(plan: &Plan) -> Vec<&'static str> {
    let mut folders = vec![CONFIGS];
    if plan.mount == Mount::Volume {
        folders.push(WORKSPACE);
    }
    if plan.runtime == OWN_CLAUDE {
        folders.extend(sessions(plan));
    }
    folders
}

/// The folder as it is mounted: without links, so that what is allowed is what is mounted.
fn allowed(path: &Path, settings: &DockerSettings) -> Result<PathBuf, BackendError> {
    let refused = |why: &str| BackendError::Refused(format!("{}: {why}", path.display()));
    if !is_plain_path(path) {
        return Err(refused(
            "a workspace's folder is an absolute path without `..` and `:`",
        ));
    }
    let real = match std::fs::canonicalize(path) {
        Ok(real) => real,
        // The platform in a container sees another file system than the engine.
        Err(error) if error.kind() == io::ErrorKind::NotFound => match settings.same_network {
            true => path.to_owned(),
            false => return Err(refused("there is no such folder; make it")),
        },
        Err(error) => return Err(refused(&error.to_string())),
    };
    let below = |root: &PathBuf| {
        let root = std::fs::canonicalize(root).unwrap_or_else(|_| root.clone());
        real.starts_with(root)
    };
    if !is_plain_path(&real) || !settings.host_mounts.iter().any(below) {
        return Err(refused(
            "is below none of the folders that may be mounted; add one to CANDOR_DOCKER_HOST_MOUNTS",
        ));
    }
    Ok(real)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn below(root: &Path) -> DockerSettings {
        let mut settings = DockerSettings::new("here");
        settings.host_mounts = vec![root.to_owned()];
        settings
    }

    #[test]
    fn a_folder_below_an_allowed_one_is_mounted_as_it_really_is() {
        let root = tempfile::tempdir().unwrap();
        let inside = root.path().join("project");
        std::fs::create_dir(&inside).unwrap();
        let real = std::fs::canonicalize(&inside).unwrap();
        assert_eq!(allowed(&inside, &below(root.path())), Ok(real));
    }

    #[test]
    fn only_what_is_not_there_is_left_to_the_engine() {
        let root = tempfile::tempdir().unwrap();
        let settings = DockerSettings {
            same_network: true,
            ..below(root.path())
        };
        let missing = root.path().join("missing");
        assert_eq!(allowed(&missing, &settings), Ok(missing));
        // Neither a loop of links nor a file on the way says where it leads.
        let looped = root.path().join("loop");
        std::os::unix::fs::symlink(&looped, &looped).unwrap();
        std::fs::write(root.path().join("file"), "").unwrap();
        for path in [looped, root.path().join("file/inside")] {
            assert!(allowed(&path, &settings).is_err(), "{path:?}");
        }
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("link")).unwrap();
        let settings = below(root.path());
        for path in [
            root.path().join("link"),
            root.path().join("../etc"),
            root.path().join("missing"),
            outside.path().to_owned(),
            PathBuf::from("relative"),
        ] {
            let refusal = allowed(&path, &settings).unwrap_err();
            assert!(matches!(refusal, BackendError::Refused(_)), "{refusal}");
        }
        let none = DockerSettings::new("here");
        let refusal = allowed(outside.path(), &none).unwrap_err().to_string();
        assert!(refusal.contains("CANDOR_DOCKER_HOST_MOUNTS"), "{refusal}");
    }
}
