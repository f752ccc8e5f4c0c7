//! Lease arithmetic and verdicts.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use candor_kernel::lease::{LeasePolicy, Liveness, Verdict, VitalFacts, lease_until, verdict};
use candor_kernel::{CauseKind, Status, WorkspaceState};
use chrono::{DateTime, Utc};

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

#[test]
fn suspect_at_60_dead_at_180_and_external_at_120() {
    let policy = LeasePolicy::default();
    for (external, dead_at) in [(false, 180), (true, 120)] {
        let until = lease_until(at(0), &policy, external, None);
        assert_eq!(until, at(60));
        assert_eq!(policy.dead_at(until, external), Some(at(dead_at)));
        for (seconds, expected) in [
            (0, Liveness::Alive),
            (59, Liveness::Alive),
            (60, Liveness::Suspect),
            (dead_at - 1, Liveness::Suspect),
            (dead_at, Liveness::Dead),
        ] {
            assert_eq!(
                policy.liveness(Some(until), external, at(seconds)),
                expected,
                "{seconds}"
            );
        }
    }
}

#[test]
fn who_never_beat_has_no_lease() {
    assert_eq!(
        LeasePolicy::default().liveness(None, true, at(1_000_000)),
        Liveness::Alive
    );
}

#[test]
fn announced_silence_extends_and_never_shortens() {
    let policy = LeasePolicy::default();
    let until = |quiet| lease_until(at(0), &policy, false, Some(at(quiet)));
    assert_eq!(until(300), at(300));
    assert_eq!(until(5), at(60));
    assert_eq!(until(-100), at(60));
    assert_eq!(until(100_000), at(1800));
}

#[test]
fn absurd_durations_do_not_overflow() {
    let policy = LeasePolicy {
        ttl: Duration::MAX,
        grace: Duration::MAX,
        ..LeasePolicy::default()
    };
    let until = lease_until(at(0), &policy, false, Some(at(5)));
    assert_eq!(until, DateTime::<Utc>::MAX_UTC);
    assert_eq!(policy.dead_at(until, false), None);
    assert_eq!(
        policy.liveness(Some(at(0)), false, at(10)),
        Liveness::Suspect
    );
}

#[test]
fn the_next_beat_is_asked_for_at_half_a_lease() {
    assert_eq!(
        LeasePolicy::default().next_heartbeat_after(false),
        Duration::from_secs(30)
    );
}

fn online() -> WorkspaceState {
    let mut state = WorkspaceState::unborn(false);
    state.status = Status::Online;
    state
}

fn facts() -> VitalFacts<'static> {
    VitalFacts {
        lease_until: Some(at(60)),
        last_beat_at: Some(at(0)),
        ..VitalFacts::default()
    }
}

fn concluded(state: &WorkspaceState, facts: &VitalFacts<'_>, now: i64) -> (Verdict, String) {
    let (verdict, reasons) = verdict(state, facts, &LeasePolicy::default(), at(now));
    (verdict, reasons.join("; "))
}

#[test]
fn verdicts_of_the_living() {
    let said = |v: Verdict, s: &str| (v, s.to_owned());
    assert_eq!(
        concluded(&online(), &facts(), 10),
        said(Verdict::Healthy, "")
    );
    let busy = VitalFacts {
        active_tasks: 2,
        ..facts()
    };
    assert_eq!(
        concluded(&online(), &busy, 10),
        said(Verdict::Busy, "2 calls in progress")
    );
    let idle = VitalFacts {
        idle_since: Some(at(-400)),
        ..facts()
    };
    assert_eq!(
        concluded(&online(), &idle, 10),
        said(Verdict::Idle, "no call for 410 s")
    );
    assert_eq!(
        concluded(&online(), &facts(), 70),
        said(Verdict::Suspect, "last beat 70 s ago")
    );
    assert_eq!(
        concluded(&online(), &facts(), 200),
        said(Verdict::Dead, "last beat 200 s ago")
    );
    let far = VitalFacts {
        reachable: Some(false),
        ..facts()
    };
    assert_eq!(
        concluded(&online(), &far, 10),
        said(Verdict::Unreachable, "its address cannot be reached")
    );
}

#[test]
fn causes_decide_before_a_late_beat() {
    let mut state = online();
    state.status = Status::Degraded;
    state.causes.insert(CauseKind::ErrorRate, "HTTP 500", at(0));
    let facts = VitalFacts {
        error_rate: 0.75,
        ..facts()
    };
    assert_eq!(
        concluded(&state, &facts, 70),
        (
            Verdict::Erroring,
            "its error rate is 0.75: HTTP 500; last beat 70 s ago".to_owned()
        )
    );
    state
        .causes
        .insert(CauseKind::Unresponsive, "timeout", at(0));
    assert_eq!(concluded(&state, &facts, 10).0, Verdict::Unresponsive);
    state
        .causes
        .insert(CauseKind::Wedged, "init timeout", at(0));
    let (verdict, reasons) = concluded(&state, &facts, 10);
    assert_eq!(verdict, Verdict::Wedged);
    assert!(
        reasons.starts_with("it says it is wedged: init timeout; "),
        "{reasons}"
    );
}

#[test]
fn other_statuses_have_words_of_their_own() {
    let words = Status::ALL.map(|status| {
        let mut state = online();
        state.status = status;
        concluded(&state, &facts(), 10).0.label()
    });
    assert_eq!(
        words,
        [
            "starting",
            "healthy",
            "dead",
            "degraded",
            "failed",
            "removed",
            "paused",
            "hibernated",
            "hibernating",
            "waiting"
        ]
    );
}
