//! Rules R13 to R17: what operators ask for.

use super::draft::Draft;
use super::event::EventType;
use super::occurrence::Profile;
use super::{Decision, payload};
use crate::error::Reason;
use crate::rules::RuleId;
use crate::status::Status;

/// R13; R15 from paused and hibernated.
pub(super) fn restart(draft: Draft<'_>, profile: &Profile<'_>, backend: bool) -> Decision {
    match draft.from() {
        Status::Paused | Status::Hibernated => return resume(draft, profile, backend),
        Status::Hibernating => {
            return Decision::refused(
                RuleId::R13,
                Reason::TransitionRefused,
                "workspace is hibernating — restart it when it is hibernated",
            );
        }
        _ => {}
    }
    if draft.before.external {
        return Decision::refused(
            RuleId::R13,
            Reason::TransitionRefused,
            "external workspaces cannot be restarted by the platform",
        );
    }
    if !backend {
        return Decision::refused(RuleId::R13, Reason::NoBackend, "provisioner not available");
    }
    provision(draft, RuleId::R13, profile)
}

/// R14.
pub(super) fn pause(draft: Draft<'_>, name: &str) -> Decision {
    let refused = |text| Decision::refused(RuleId::R14, Reason::TransitionRefused, text);
    match draft.from() {
        Status::Paused => refused("workspace is already paused"),
        Status::Hibernating => refused("workspace is hibernating — pause it when it is hibernated"),
        _ => draft.go(
            RuleId::R14,
            Status::Paused,
            EventType::WorkspacePaused,
            payload::name(name),
        ),
    }
}

/// R15. Without a backend no instance is made: the agent that may still run
/// keeps its epoch and its causes, and is waited for.
pub(super) fn resume(draft: Draft<'_>, profile: &Profile<'_>, backend: bool) -> Decision {
    if !matches!(draft.from(), Status::Paused | Status::Hibernated) {
        return Decision::refused(
            RuleId::R15,
            Reason::TransitionRefused,
            "workspace is not paused",
        );
    }
    if backend && !draft.before.external {
        return provision(draft, RuleId::R15, profile);
    }
    let payload = payload::provisioning(profile);
    draft.go(
        RuleId::R15,
        Status::AwaitingAgent,
        EventType::WorkspaceProvisioning,
        payload,
    )
}

fn provision(mut draft: Draft<'_>, rule: RuleId, profile: &Profile<'_>) -> Decision {
    draft.after.begin_instance();
    let payload = payload::provisioning(profile);
    draft.go(
        rule,
        Status::Provisioning,
        EventType::WorkspaceProvisioning,
        payload,
    )
}

/// R16; told when it is done.
pub(super) fn hibernate(mut draft: Draft<'_>) -> Decision {
    if !draft.from().is_alive() {
        return Decision::refused(
            RuleId::R16,
            Reason::TransitionRefused,
            "workspace is not in a hibernatable state (must be online or degraded)",
        );
    }
    draft.after.status = Status::Hibernating;
    draft.finish(RuleId::R16)
}

/// R17.
pub(super) fn remove(draft: Draft<'_>, cascade: Option<u32>) -> Decision {
    let payload = payload::removed(cascade);
    draft.go(
        RuleId::R17,
        Status::Removed,
        EventType::WorkspaceRemoved,
        payload,
    )
}
