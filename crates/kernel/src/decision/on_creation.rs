//! Rule R12.

use super::event::{EventType, StructureEvent};
use super::occurrence::{Creation, CreationKind};
use super::state::WorkspaceState;
use super::{Decision, Outcome, payload};
use crate::rules::RuleId;
use crate::status::Status;

pub(super) fn created(creation: &Creation<'_>) -> Decision {
    let profile = &creation.profile;
    let external = matches!(
        creation.kind,
        CreationKind::ExternalWithUrl | CreationKind::ExternalAwaiting
    );
    let mut state = WorkspaceState::unborn(external);
    let mut events = vec![StructureEvent::new(
        EventType::WorkspaceProvisioning,
        payload::provisioning(profile),
    )];
    match creation.kind {
        CreationKind::Container => state.begin_instance(),
        CreationKind::ContainerWithoutBackend { error } => {
            state.status = Status::Failed;
            events.push(StructureEvent::new(
                EventType::WorkspaceProvisionFailed,
                payload::error(error),
            ));
        }
        CreationKind::ExternalWithUrl => {
            state.status = Status::Online;
            events.push(StructureEvent::new(
                EventType::WorkspaceOnline,
                payload::external(profile.name),
            ));
        }
        CreationKind::ExternalAwaiting => {
            state.status = Status::AwaitingAgent;
            events.push(StructureEvent::new(
                EventType::WorkspaceAwaitingAgent,
                payload::external(profile.name),
            ));
        }
    }
    Decision {
        rule: RuleId::R12,
        next: Some(Box::new(state)),
        events,
        outcome: Outcome::Applied,
    }
}
