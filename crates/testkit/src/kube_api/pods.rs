//! The node's life: it binds Pods, makes their volumes, runs what is to be run before
//! them, starts them, reports, and ends them. One step of each Pod a look, so that what
//! is in between is seen as well.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use chrono::{DateTime, Utc};
use k8s_openapi::api::core::v1::{Container, Pod};
use serde_json::{Value, json};

use super::Shared;
use super::kinds::{self, Kind};
use super::node::Started;
use super::store::{now, text};
use super::volumes::{self, Folders};

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(3);
/// Bytes of last words that a kubelet keeps.
const WORDS: usize = 2_048;

/// Looks after the Pods until the stand-in is dropped.
pub(super) fn live(shared: &Shared) {
    let Some(kind) = kinds::find("pods") else {
        return;
    };
    loop {
        let (is_over, is_cut_off) = {
            let node = shared.node();
            (node.is_over, node.is_cut_off)
        };
        if is_over {
            return;
        }
        if !is_cut_off {
            let pods = shared.store().of(kind.resource);
            end_strangers(shared, &pods);
            for pod in pods.into_values() {
                step(shared, kind, pod);
            }
        }
        std::thread::sleep(LOOK);
    }
}

/// Ends what runs for Pods that the API does not know any more.
fn end_strangers(shared: &Shared, pods: &BTreeMap<String, Value>) {
    let known: Vec<&str> = pods
        .values()
        .map(|pod| text(pod, "/metadata/uid"))
        .collect();
    let mut node = shared.node();
    let runs = std::mem::take(&mut node.runs).into_iter();
    node.runs = runs
        .filter(|(started, _)| known.contains(&&*started.pod) || node.is_undying(started))
        .collect();
}

fn step(shared: &Shared, kind: &Kind, pod: Value) {
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        return end(shared, kind, &pod);
    }
    if text(&pod, "/spec/nodeName").is_empty() {
        return bind(shared, kind, pod);
    }
    match text(&pod, "/status/phase") {
        "Pending" => begin(shared, kind, pod),
        "Running" => report_killed(shared, kind, pod),
        _ => {}
    }
}

/// Changes a Pod's status, unless the Pod is another one by now.
fn report(shared: &Shared, kind: &Kind, mut pod: Value, status: Value) {
    let (namespace, name) = (
        text(&pod, "/metadata/namespace").to_owned(),
        text(&pod, "/metadata/name").to_owned(),
    );
    let mut store = shared.store();
    let Ok(there) = store.get(kind, &namespace, &name) else {
        return;
    };
    if there["metadata"]["uid"] != pod["metadata"]["uid"] {
        return;
    }
    pod["metadata"] = there["metadata"].clone();
    pod["status"] = status;
    // It was there a line above, under the same lock.
    let _changed = store.set(kind, &namespace, &name, pod);
}

fn bind(shared: &Shared, kind: &Kind, mut pod: Value) {
    if shared.node().is_full {
        let status = json!({"phase": "Pending", "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/1 nodes are available: 1 Insufficient memory.",
        }]});
        return report(shared, kind, pod, status);
    }
    pod["spec"]["nodeName"] = json!("node-1");
    let status = json!({"phase": "Pending", "conditions": [{
        "type": "PodScheduled", "status": "True",
    }]});
    report(shared, kind, pod, status);
}

fn container_status(name: &str, image: &str, state: Value) -> Value {
    json!([{"name": name, "image": image, "imageID": "", "restartCount": 0,
        "ready": state.get("running").is_some(), "state": state}])
}

fn begin(shared: &Shared, kind: &Kind, pod: Value) {
    let Ok(typed) = serde_json::from_value::<Pod>(pod.clone()) else {
        return;
    };
    let (Some(agent), Some(first)) = (container(&typed, false), container(&typed, true)) else {
        return;
    };
    let image = agent.image.clone().unwrap_or_default();
    let missing = shared.node().missing.get(&image).cloned();
    if let Some(said) = missing {
        // First what the registry says, then that it is tried again later.
        let before = text(&pod, "/status/initContainerStatuses/0/state/waiting/reason");
        let (reason, message) = match before {
            "ErrImagePull" => (
                "ImagePullBackOff",
                format!("Back-off pulling image {image:?}: ErrImagePull: {said}"),
            ),
            "ImagePullBackOff" => return,
            _ => (
                "ErrImagePull",
                format!("failed to pull image {image:?}: {said}"),
            ),
        };
        let state = json!({"waiting": {"reason": reason, "message": message}});
        let status = json!({"phase": "Pending",
            "initContainerStatuses": container_status(&first.name, &image, state)});
        return report(shared, kind, pod, status);
    }
    let namespace = text(&pod, "/metadata/namespace").to_owned();
    let made = {
        let (store, node) = (shared.store(), shared.node());
        let folders = volumes::make(&store, node.folder.path(), &namespace, &typed);
        folders.and_then(|folders| {
            let of_first = environment(&store, &namespace, first)?;
            let of_agent = environment(&store, &namespace, agent)?;
            Ok((folders, of_first, of_agent))
        })
    };
    let (folders, of_first, of_agent) = match made {
        Ok(made) => made,
        Err(said) => {
            let state =
                json!({"waiting": {"reason": "CreateContainerConfigError", "message": said}});
            let status = json!({"phase": "Pending",
                "containerStatuses": container_status(&agent.name, &image, state)});
            return report(shared, kind, pod, status);
        }
    };
    if let Err((code, words)) = run_first(first, &of_first, &mounts(first, &folders)) {
        let state = json!({"terminated": {"exitCode": code, "reason": "Error",
            "message": words, "finishedAt": now()}});
        let status = json!({"phase": "Failed",
            "initContainerStatuses": container_status(&first.name, &image, state)});
        return report(shared, kind, pod, status);
    }
    let started = Started {
        pod: text(&pod, "/metadata/uid").to_owned(),
        labels: typed.metadata.labels.clone().unwrap_or_default(),
        image,
        env: of_agent,
        mounts: mounts(agent, &folders),
    };
    run(shared, kind, pod, &agent.name, started);
}

fn container(pod: &Pod, is_first: bool) -> Option<&Container> {
    let spec = pod.spec.as_ref()?;
    if is_first {
        return spec.init_containers.as_ref()?.first();
    }
    spec.containers.first()
}

/// Starts the agent's program and says how that went.
fn run(shared: &Shared, kind: &Kind, pod: Value, name: &str, started: Started) {
    let program = shared.node().program.clone();
    let does = program(&started);
    let image = started.image.clone();
    let status = match &does.ends {
        Some((code, words)) => {
            let (phase, reason) = match code {
                0 => ("Succeeded", "Completed"),
                _ => ("Failed", "Error"),
            };
            let from = words.len().saturating_sub(WORDS);
            let words = words.get(from..).unwrap_or_default();
            let state = json!({"terminated": {"exitCode": code, "reason": reason,
                "message": words, "finishedAt": now()}});
            json!({"phase": phase, "containerStatuses": container_status(name, &image, state)})
        }
        None => {
            shared.node().runs.push((started, does));
            let state = json!({"running": {"startedAt": now()}});
            json!({"phase": "Running", "containerStatuses": container_status(name, &image, state)})
        }
    };
    report(shared, kind, pod, status);
}

/// A container's variables, with references looked up and `$(NAME)` replaced as the
/// kubelet does it.
fn environment(
    store: &super::store::Store,
    namespace: &str,
    container: &Container,
) -> Result<BTreeMap<String, String>, String> {
    let mut env = BTreeMap::new();
    for variable in container.env.iter().flatten() {
        let reference = variable
            .value_from
            .as_ref()
            .and_then(|from| from.secret_key_ref.as_ref());
        let value = match reference {
            None => expand(variable.value.as_deref().unwrap_or_default(), &env),
            Some(reference) => {
                let secret = volumes::secret(store, namespace, &reference.name)?;
                let value = secret
                    .data
                    .and_then(|data| data.get(&reference.key).cloned());
                let value = value
                    .ok_or_else(|| format!("couldn't find key {} in Secret", reference.key))?;
                String::from_utf8_lossy(&value.0).into_owned()
            }
        };
        env.insert(variable.name.clone(), value);
    }
    Ok(env)
}

/// Kubernetes' own replacing: `$(NAME)` by its value if there is one, `$$` by `$`.
fn expand(text: &str, env: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let named = rest.strip_prefix('(').and_then(|rest| rest.split_once(')'));
        match named {
            Some((name, after)) if env.contains_key(name) => {
                out.push_str(&env[name]);
                rest = after;
            }
            _ => out.push('$'),
        }
    }
    out.push_str(rest);
    out
}

fn mounts(container: &Container, folders: &Folders) -> BTreeMap<String, PathBuf> {
    let mounts = container.volume_mounts.iter().flatten();
    mounts
        .filter_map(|mount| Some((mount.mount_path.clone(), folders.get(&mount.name)?.clone())))
        .collect()
}

/// Runs an init container's command on this machine. It has no file system of its own:
/// where a variable says a path at which something is mounted, it says where that is.
fn run_first(
    container: &Container,
    env: &BTreeMap<String, String>,
    mounts: &BTreeMap<String, PathBuf>,
) -> Result<(), (i32, String)> {
    let command: Vec<String> = container
        .command
        .iter()
        .flatten()
        .map(|part| expand(part, env))
        .collect();
    let Some((program, arguments)) = command.split_first() else {
        return Ok(());
    };
    let here = env.iter().map(|(name, value)| {
        let path = mounts
            .get(value)
            .map(|path| path.to_string_lossy().into_owned());
        (name.clone(), path.unwrap_or_else(|| value.clone()))
    });
    let ran = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(here)
        .output();
    match ran {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            Err((output.status.code().unwrap_or(-1), words))
        }
        Err(error) => Err((128, error.to_string())),
    }
}

/// Says of a Pod that a stranger killed how it ended.
fn report_killed(shared: &Shared, kind: &Kind, pod: Value) {
    let uid = text(&pod, "/metadata/uid").to_owned();
    let was_killed = {
        let mut node = shared.node();
        let before = node.killed.len();
        node.killed.retain(|killed| *killed != uid);
        node.killed.len() < before
    };
    if was_killed {
        let name = text(&pod, "/spec/containers/0/name").to_owned();
        let state =
            json!({"terminated": {"exitCode": 137, "reason": "Error", "finishedAt": now()}});
        let status = json!({"phase": "Failed",
            "containerStatuses": container_status(&name, "", state)});
        report(shared, kind, pod, status);
    }
}

/// Ends what runs for a Pod that is asked to go, and takes the Pod out of the API.
fn end(shared: &Shared, kind: &Kind, pod: &Value) {
    let uid = text(pod, "/metadata/uid");
    let until: Option<DateTime<Utc>> = text(pod, "/metadata/deletionTimestamp").parse().ok();
    let is_late = until.is_none_or(|until| Utc::now() >= until);
    {
        let mut node = shared.node();
        let runs = std::mem::take(&mut node.runs).into_iter();
        node.runs = runs
            .filter(|(started, does)| {
                let goes_on = (does.is_deaf && !is_late) || node.is_undying(started);
                started.pod != uid || goes_on
            })
            .collect();
        if node.runs.iter().any(|(started, _)| started.pod == uid) {
            return;
        }
    }
    let (namespace, name) = (
        text(pod, "/metadata/namespace"),
        text(pod, "/metadata/name"),
    );
    shared.store().remove(kind, namespace, name);
}
