//! Rules R2 to R7.

use chrono::{DateTime, Utc};

use super::draft::Draft;
use super::event::EventType;
use super::payload::{self, Brought};
use super::vitals::is_full;
use super::{Decision, Outcome};
use crate::beat::{Beat, BeatForm, RuntimeMetadata};
use crate::caller::WorkspaceCaller;
use crate::causes::CauseKind;
use crate::rules::RuleId;
use crate::status::{RuntimeState, Status};

/// From here on an error rate is a cause (R5).
const DEGRADES_FROM: f64 = 0.5;
/// Below this an error rate no longer speaks against recovery (R6).
const RECOVERS_BELOW: f64 = 0.1;

pub(super) fn beat(
    mut draft: Draft<'_>,
    caller: &WorkspaceCaller,
    beat: &Beat,
    now: DateTime<Utc>,
) -> Decision {
    if draft.before.is_stale(caller) {
        return Decision::without_effect(RuleId::Steady, Outcome::Stale);
    }
    let from = draft.from();
    if matches!(from, Status::Provisioning | Status::Failed) && !draft.before.is_led_by(caller) {
        return draft.finish(RuleId::Steady);
    }
    let full = is_full(draft.before, beat);
    draft.after.follow(caller);
    let dropped = note(&mut draft, beat, full);
    if matches!(
        from,
        Status::Paused | Status::Hibernating | Status::Hibernated
    ) {
        return draft.finish(RuleId::Steady);
    }
    let cleared = clear(&mut draft, beat, full);
    let brought = bring(&mut draft, beat, full, now);
    draft.after.status = draft.after.alive_status();
    let rule = match (from, draft.after.status) {
        (Status::Online, _) if brought.wedged => RuleId::R4,
        (Status::Online, _) if brought.is_any() => RuleId::R5,
        (Status::Online, _) => RuleId::Steady,
        (Status::Degraded, _) if brought.is_any() => RuleId::R7,
        (Status::Degraded, _) if cleared || dropped => RuleId::R6,
        (Status::Degraded, _) => RuleId::Steady,
        (_, Status::Online) => RuleId::R2,
        (_, _) => RuleId::R3,
    };
    announce(&mut draft, brought, beat, full);
    draft.finish(rule)
}

/// Takes over what the beat says about the instance, apart from new causes.
/// True if a new incarnation dropped old ones.
fn note(draft: &mut Draft<'_>, beat: &Beat, full: bool) -> bool {
    if !full {
        if let Some(state) = &beat.runtime_state {
            draft.after.runtime_state.clone_from(state);
        }
        return false;
    }
    let mut dropped = false;
    if let Some(uptime) = beat.uptime_seconds {
        if draft.after.last_uptime.is_some_and(|last| uptime < last) {
            draft.new_incarnation = true;
            dropped = draft.after.causes.drop_self_reported();
            draft.after.full_beat_seen = false;
        }
        draft.after.last_uptime = Some(uptime);
        draft.after.full_beat_seen |= uptime > 0;
    }
    draft.after.runtime_state = beat.runtime_state.clone().unwrap_or_default();
    if beat.runtime_metadata.is_some() {
        draft
            .after
            .runtime_metadata
            .clone_from(&beat.runtime_metadata);
    }
    dropped
}

fn says_wedged(beat: &Beat) -> bool {
    beat.runtime_state
        .as_ref()
        .is_some_and(RuntimeState::is_wedged)
}

/// R6's clearing; R2 and R3 apply it first. True if a cause fell.
fn clear(draft: &mut Draft<'_>, beat: &Beat, full: bool) -> bool {
    let quiet = beat.error_rate.unwrap_or(0.0) < RECOVERS_BELOW && !says_wedged(beat);
    let causes = &mut draft.after.causes;
    let unwedged = !causes.contains(CauseKind::Wedged) || draft.after.runtime_state.is_healthy();
    if !(full && quiet && unwedged) {
        return false;
    }
    let fell = [CauseKind::Wedged, CauseKind::ErrorRate, CauseKind::Unknown]
        .map(|kind| causes.remove(kind));
    fell.contains(&true)
}

/// Adds or renews the causes that the beat brings.
fn bring(draft: &mut Draft<'_>, beat: &Beat, full: bool, now: DateTime<Utc>) -> Brought {
    let owns_status = draft
        .after
        .runtime_metadata
        .as_ref()
        .is_some_and(RuntimeMetadata::owns_status);
    let brought = Brought {
        wedged: says_wedged(beat),
        error_rate: beat
            .error_rate
            .filter(|rate| *rate >= DEGRADES_FROM && !owns_status),
    };
    for (kind, applies) in [
        (CauseKind::Wedged, brought.wedged),
        (CauseKind::ErrorRate, brought.error_rate.is_some()),
    ] {
        if applies {
            let evidence = evidence(draft, kind, beat, full);
            draft.after.causes.insert(kind, &evidence, now);
        }
    }
    brought
}

/// What the beat says about its cause. An absent sample error is empty in a
/// full legacy beat; elsewhere it says nothing new.
fn evidence(draft: &Draft<'_>, kind: CauseKind, beat: &Beat, full: bool) -> String {
    match &beat.sample_error {
        Some(sample) => sample.clone(),
        None if full && beat.form == BeatForm::LegacyJson => String::new(),
        None => draft
            .after
            .causes
            .get(kind)
            .map(|c| c.evidence.clone())
            .unwrap_or_default(),
    }
}

/// One event for one change of status.
fn announce(draft: &mut Draft<'_>, brought: Brought, beat: &Beat, full: bool) {
    let from = draft.from();
    if draft.after.status == from {
        return;
    }
    if draft.after.status == Status::Online {
        let payload = if from == Status::Provisioning {
            payload::recovered_from_provisioning()
        } else {
            payload::empty()
        };
        draft.emit(EventType::WorkspaceOnline, payload);
        return;
    }
    let payload = if brought.is_any() {
        let kind = if brought.wedged {
            CauseKind::Wedged
        } else {
            CauseKind::ErrorRate
        };
        payload::degraded_by_beat(brought, &evidence(draft, kind, beat, full))
    } else {
        payload::degraded_by_causes(&draft.after.causes)
    };
    draft.emit(EventType::WorkspaceDegraded, payload);
}
