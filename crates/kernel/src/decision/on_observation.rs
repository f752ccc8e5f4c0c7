//! Rules R8 to R11, and R16's second half: what Candor or a backend saw.
//!
//! An observation that no longer fits the status is too late and changes
//! no status; it is no error.

use chrono::{DateTime, Utc};

use super::draft::Draft;
use super::event::EventType;
use super::{Decision, payload};
use crate::causes::CauseKind;
use crate::rules::RuleId;
use crate::status::Status;

/// R8.
pub(super) fn unresponsive(mut draft: Draft<'_>, evidence: &str, now: DateTime<Utc>) -> Decision {
    let from = draft.from();
    if !from.is_alive() {
        return draft.finish(RuleId::Steady);
    }
    draft
        .after
        .causes
        .insert(CauseKind::Unresponsive, evidence, now);
    draft.after.status = Status::Degraded;
    if from == Status::Online {
        let payload = payload::degraded_by_causes(&draft.after.causes);
        draft.emit(EventType::WorkspaceDegraded, payload);
    }
    draft.finish(RuleId::R8)
}

/// R9.
pub(super) fn answered(mut draft: Draft<'_>) -> Decision {
    if draft.from() != Status::Degraded || !draft.after.causes.remove(CauseKind::Unresponsive) {
        return draft.finish(RuleId::Steady);
    }
    draft.after.status = draft.after.alive_status();
    if draft.after.status == Status::Online {
        draft.emit(EventType::WorkspaceOnline, payload::empty());
    }
    draft.finish(RuleId::R9)
}

/// R10; the causes are kept, so that a beat brings it back as it was.
pub(super) fn lost(draft: Draft<'_>) -> Decision {
    if !draft.from().is_alive() {
        return draft.finish(RuleId::Steady);
    }
    draft.go(
        RuleId::R10,
        Status::Offline,
        EventType::WorkspaceOffline,
        payload::empty(),
    )
}

/// R11.
pub(super) fn not_started(draft: Draft<'_>, payload: String) -> Decision {
    if draft.from() != Status::Provisioning {
        return draft.finish(RuleId::Steady);
    }
    draft.go(
        RuleId::R11,
        Status::Failed,
        EventType::WorkspaceProvisionFailed,
        payload,
    )
}

/// R16: the backend stopped it.
pub(super) fn hibernated(draft: Draft<'_>, name: &str, tier: i32) -> Decision {
    if draft.from() != Status::Hibernating {
        return draft.finish(RuleId::Steady);
    }
    let payload = payload::name_and_tier(name, tier);
    draft.go(
        RuleId::R16,
        Status::Hibernated,
        EventType::WorkspaceHibernated,
        payload,
    )
}

/// R16: the stop failed, so it is as alive as before. A cause that still
/// stands keeps it degraded, as everywhere.
pub(super) fn not_hibernated(draft: Draft<'_>) -> Decision {
    if draft.from() != Status::Hibernating {
        return draft.finish(RuleId::Steady);
    }
    if draft.after.causes.is_empty() {
        return draft.go(
            RuleId::R16,
            Status::Online,
            EventType::WorkspaceOnline,
            payload::empty(),
        );
    }
    let payload = payload::degraded_by_causes(&draft.after.causes);
    draft.go(
        RuleId::R16,
        Status::Degraded,
        EventType::WorkspaceDegraded,
        payload,
    )
}
