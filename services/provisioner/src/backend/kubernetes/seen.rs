//! What a Pod's status says, in the words of the platform and of people.

use candor_kernel::Epoch;
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodStatus,
};

use super::super::Observed;
use super::api::bounded;
use super::names::{Names, epoch_of};

/// Bytes of an instance's last words that are kept; its end says most.
const LAST_WORDS: usize = 2_048;
/// What the kubelet says when it will not try again by itself.
const BEYOND_HELP: [&str; 2] = ["InvalidImageName", "ErrImageNeverPull"];

/// How far a Pod is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// On its way; what it waits for.
    Coming(String),
    /// On its way, and its image was not pulled; why.
    Pulling(String),
    Running,
    /// It will not run, or not again; why.
    Ended(String),
    /// Its node does not answer.
    Unknown(String),
}

/// How far this one is.
pub(super) fn stage(pod: &Pod) -> Stage {
    let Some(status) = &pod.status else {
        return Stage::Coming("nobody looked at the pod yet".into());
    };
    let agent = container(&status.container_statuses, "agent");
    if let Some(ended) = agent.and_then(terminated) {
        return Stage::Ended(end_of("it", ended));
    }
    match status.phase.as_deref() {
        Some("Running") if agent.is_some_and(runs) => Stage::Running,
        Some("Failed") => Stage::Ended(why_failed(status)),
        Some("Succeeded") => Stage::Ended("it ended by itself".into()),
        Some("Unknown") => Stage::Unknown(format!(
            "the node of the pod {} does not answer",
            pod.metadata.name.as_deref().unwrap_or("?")
        )),
        _ => coming(status),
    }
}

fn container<'a>(
    statuses: &'a Option<Vec<ContainerStatus>>,
    name: &str,
) -> Option<&'a ContainerStatus> {
    let mut statuses = statuses.iter().flatten();
    statuses.find(|status| status.name == name)
}

fn state(container: &ContainerStatus) -> Option<&ContainerState> {
    container.state.as_ref()
}

fn runs(container: &ContainerStatus) -> bool {
    state(container).is_some_and(|state| state.running.is_some())
}

fn terminated(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    state(container)?.terminated.as_ref()
}

/// What a Pod that does not run waits for.
fn coming(status: &PodStatus) -> Stage {
    let all = [&status.init_container_statuses, &status.container_statuses];
    let waiting = all
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|container| state(container)?.waiting.as_ref());
    for waits in waiting {
        let reason = waits.reason.as_deref().unwrap_or_default();
        let message = waits.message.as_deref().unwrap_or_default();
        let words = bounded(format!("{reason}: {message}").trim_end_matches(": "));
        match reason {
            _ if BEYOND_HELP.contains(&reason) => return Stage::Ended(words),
            "ErrImagePull" | "ImagePullBackOff" | "ImageInspectError" => {
                return Stage::Pulling(words);
            }
            "" | "PodInitializing" | "ContainerCreating" => {}
            _ => return Stage::Coming(words),
        }
    }
    let conditions = status.conditions.iter().flatten();
    let unscheduled = conditions
        .filter(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
        .find_map(|condition| condition.message.as_deref());
    match unscheduled {
        Some(message) => Stage::Coming(bounded(&format!("no node takes it: {message}"))),
        None => Stage::Coming("its node makes it ready".into()),
    }
}

fn why_failed(status: &PodStatus) -> String {
    if let Some(reason) = &status.reason {
        let message = status.message.as_deref().unwrap_or("no more is said");
        return bounded(&format!("{reason}: {message}"));
    }
    let first = container(&status.init_container_statuses, "lay-out");
    match first.and_then(terminated) {
        Some(ended) if ended.exit_code != 0 => end_of("the laying out of its files", ended),
        _ => "the pod failed, and no reason is said".into(),
    }
}

fn end_of(who: &str, ended: &ContainerStateTerminated) -> String {
    let mut why = match (ended.reason.as_deref(), ended.exit_code) {
        (Some("OOMKilled"), code) => {
            format!("{who} was killed because its memory ran out (exit status {code})")
        }
        (Some("ContainerCannotRun" | "StartError"), code) => {
            format!("{who} could not be started (exit status {code})")
        }
        (_, code) => match ended.signal {
            Some(signal) => format!("{who} was ended by signal {signal} (exit status {code})"),
            None => format!("{who} ended with exit status {code}"),
        },
    };
    let words = ended.message.as_deref().unwrap_or_default().trim();
    if !words.is_empty() {
        why.push_str(": ");
        why.push_str(last(words));
    }
    why
}

/// The end of a text.
fn last(text: &str) -> &str {
    let mut from = text.len().saturating_sub(LAST_WORDS);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

/// The newest of a workspace's Pods.
pub(super) fn newest<'a>(pods: impl IntoIterator<Item = &'a Pod>) -> Option<&'a Pod> {
    pods.into_iter().max_by_key(|pod| epoch_of(&pod.metadata))
}

/// A Pod as the platform speaks of instances; why, where that is not known.
pub(super) fn observed(names: &Names<'_>, pod: &Pod) -> Result<Observed, String> {
    let epoch: Epoch = epoch_of(&pod.metadata);
    Ok(match stage(pod) {
        Stage::Coming(_) | Stage::Pulling(_) => Observed::Starting { epoch },
        Stage::Running => Observed::Running {
            epoch,
            url: Some(names.url()),
        },
        Stage::Ended(why) => Observed::Exited { epoch, why },
        Stage::Unknown(why) => return Err(why),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn stage_of(status: Value) -> Stage {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": []}, "status": status});
        stage(&serde_json::from_value(pod).unwrap())
    }

    fn container(state: Value) -> Value {
        json!([{"name": "agent", "state": state, "image": "", "imageID": "", "ready": false, "restartCount": 0}])
    }

    fn of_agent(phase: &str, state: Value) -> Stage {
        stage_of(json!({"phase": phase, "containerStatuses": container(state)}))
    }

    fn waiting(reason: &str, message: &str) -> Stage {
        let state = json!({"waiting": {"reason": reason, "message": message}});
        of_agent("Pending", state)
    }

    #[test]
    fn what_is_waited_for_is_said() {
        let pulling = waiting("ImagePullBackOff", "Back-off pulling image \"x\"");
        assert!(matches!(pulling, Stage::Pulling(why) if why.contains("Back-off")));
        let never = waiting("InvalidImageName", "couldn't parse image name");
        assert!(matches!(never, Stage::Ended(why) if why.contains("parse")));
        let secret = waiting("CreateContainerConfigError", "secret \"s\" not found");
        assert!(matches!(secret, Stage::Coming(why) if why.contains("\"s\" not found")));
        let unscheduled = stage_of(json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
             "message": "0/3 nodes are available: 3 Insufficient memory."}]}));
        assert!(matches!(unscheduled, Stage::Coming(why) if why.contains("Insufficient memory")));
        assert!(matches!(stage_of(json!({})), Stage::Coming(_)));
    }

    #[test]
    fn an_end_is_said_with_its_reason_and_its_last_words() {
        let ended = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
        assert!(
            matches!(of_agent("Failed", ended), Stage::Ended(why) if why.contains("memory") && why.contains("137"))
        );
        let words = format!("{}ü the last words\n", "ü".repeat(5_000));
        let ended = json!({"terminated": {"exitCode": 3, "reason": "Error", "message": words}});
        let Stage::Ended(why) = of_agent("Running", ended) else {
            panic!("a container that ended does not run, whatever the phase");
        };
        assert!(why.contains("status 3") && why.ends_with("ü the last words"));
        assert!(why.len() < LAST_WORDS + 100);
        let evicted = stage_of(json!({"phase": "Failed", "reason": "Evicted",
            "message": "The node was low on resource: memory."}));
        assert_eq!(
            evicted,
            Stage::Ended("Evicted: The node was low on resource: memory.".into())
        );
    }

    #[test]
    fn a_phase_alone_makes_nothing_run_and_nothing_dead() {
        assert!(matches!(of_agent("Running", json!({})), Stage::Coming(_)));
        let runs = json!({"running": {}});
        assert_eq!(of_agent("Running", runs), Stage::Running);
        assert!(matches!(
            stage_of(json!({"phase": "Unknown"})),
            Stage::Unknown(_)
        ));
    }
}
