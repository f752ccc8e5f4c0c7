//! Rules R1 and R1b.

use super::draft::Draft;
use super::event::EventType;
use super::{Decision, Outcome, payload};
use crate::caller::WorkspaceCaller;
use crate::rules::RuleId;
use crate::status::Status;

pub(super) fn registered(
    mut draft: Draft<'_>,
    caller: &WorkspaceCaller,
    url: &str,
    agent_card: &str,
) -> Decision {
    if draft.before.is_stale(caller) {
        return Decision::without_effect(RuleId::Steady, Outcome::Stale);
    }
    let from = draft.from();
    if matches!(from, Status::Provisioning | Status::Failed) && !draft.before.is_led_by(caller) {
        return draft.finish(RuleId::Steady);
    }
    draft.after.begin_incarnation();
    draft.after.follow(caller);
    draft.new_incarnation = true;
    if matches!(
        from,
        Status::Paused | Status::Hibernating | Status::Hibernated
    ) {
        return draft.finish(RuleId::R1b);
    }
    draft.after.status = draft.after.alive_status();
    if draft.after.status == Status::Online {
        // Told even if it was online: the address or the card may be new.
        draft.emit(
            EventType::WorkspaceOnline,
            payload::registered(url, agent_card),
        );
    } else if !from.is_alive() {
        let payload = payload::degraded_by_causes(&draft.after.causes);
        draft.emit(EventType::WorkspaceDegraded, payload);
    }
    draft.finish(RuleId::R1)
}
