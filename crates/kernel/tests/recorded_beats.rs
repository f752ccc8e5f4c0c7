//! Recorded: six statuses and seven beats each (story
//! registry/heartbeat-status), with deviations D25, D30, D31 and D56; and the
//! beats of a legacy runtime (fixtures legacy-http).
#![allow(clippy::unwrap_used, clippy::expect_used)]

use candor_kernel::{
    AuthMethod, AuthVersion, Beat, BeatForm, Occurrence, RuntimeState, Status, WorkspaceCaller,
    WorkspaceId, WorkspaceState, beat_writes, decide, is_full,
};
use chrono::{DateTime, TimeDelta, Utc};

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

fn caller() -> WorkspaceCaller {
    WorkspaceCaller {
        id: WorkspaceId::from_uuid(uuid::Uuid::nil()),
        auth: AuthMethod::Claimed,
        epoch: None,
        stale: false,
        auth_version: AuthVersion(0),
    }
}

fn legacy(rate: f64, sample: &str, uptime: i32, word: Option<&str>) -> Beat {
    Beat {
        form: BeatForm::LegacyJson,
        error_rate: Some(rate),
        sample_error: Some(sample.to_owned()),
        active_tasks: Some(0),
        uptime_seconds: Some(uptime),
        runtime_state: word.map(|word| RuntimeState(word.to_owned())),
        ..Beat::default()
    }
}

fn recorded_beats() -> [(&'static str, Beat); 7] {
    [
        ("healthy", legacy(0.0, "", 60, None)),
        ("wedged", legacy(0.0, "init timeout", 60, Some("wedged"))),
        ("errors", legacy(0.5, "e", 60, None)),
        ("some-errors", legacy(0.2, "", 60, None)),
        ("low-errors", legacy(0.09, "", 60, None)),
        ("wedged-errors", legacy(0.9, "both", 60, Some("wedged"))),
        ("other-state", legacy(0.0, "", 60, Some("ok"))),
    ]
}

const ONLINE: (Status, &str) = (Status::Online, "WORKSPACE_ONLINE {}");
const RECOVERED: (Status, &str) = (
    Status::Online,
    r#"WORKSPACE_ONLINE {"recovered_from":"provisioning"}"#,
);
const WEDGED: (Status, &str) = (
    Status::Degraded,
    r#"WORKSPACE_DEGRADED {"runtime_state":"wedged","sample_error":"init timeout"}"#,
);
const ERRING: (Status, &str) = (
    Status::Degraded,
    r#"WORKSPACE_DEGRADED {"error_rate":0.5,"sample_error":"e"}"#,
);
// D30: one event with both facts.
const BOTH: (Status, &str) = (
    Status::Degraded,
    r#"WORKSPACE_DEGRADED {"error_rate":0.9,"runtime_state":"wedged","sample_error":"both"}"#,
);

fn same(status: Status) -> (Status, &'static str) {
    (status, "")
}

#[test]
fn six_statuses_and_seven_beats() {
    let amber = same(Status::Degraded);
    let green = same(Status::Online);
    let table = [
        (
            Status::Online,
            [green, WEDGED, ERRING, green, green, BOTH, green],
        ),
        // The last: D25, `ok` is healthy.
        (
            Status::Degraded,
            [ONLINE, amber, amber, amber, ONLINE, amber, ONLINE],
        ),
        // D56: degraded at once.
        (
            Status::Offline,
            [ONLINE, WEDGED, ERRING, ONLINE, ONLINE, BOTH, ONLINE],
        ),
        (
            Status::Provisioning,
            [
                RECOVERED, WEDGED, ERRING, RECOVERED, RECOVERED, BOTH, RECOVERED,
            ],
        ),
        // D31: a beat revives a failed workspace.
        (
            Status::Failed,
            [ONLINE, WEDGED, ERRING, ONLINE, ONLINE, BOTH, ONLINE],
        ),
        (Status::Paused, [same(Status::Paused); 7]),
    ];
    for (from, expected) in table {
        for ((name, beat), (status, event)) in recorded_beats().iter().zip(expected) {
            let mut state = WorkspaceState::unborn(false);
            state.status = from;
            let caller = caller();
            let decision = decide(
                &state,
                &Occurrence::Beat {
                    caller: &caller,
                    beat,
                },
                at(0),
            );
            let after = decision.next.as_deref().unwrap_or(&state);
            assert_eq!(after.status, status, "{from} + {name}");
            let told: Vec<String> = decision
                .events
                .iter()
                .map(|e| format!("{} {}", e.event_type, e.payload))
                .collect();
            assert_eq!(told.join("\n"), event, "{from} + {name}");
        }
    }
}

/// Status after each beat of the recorded runtime, from its register on.
#[test]
fn a_legacy_runtime_through_errors_and_a_wedge() {
    const WEDGE: &str = "claude_agent_sdk wedge: Exception: Control request timeout";
    let wedged = |uptime| legacy(0.0, WEDGE, uptime, Some("wedged"));
    let late = "HTTP 500 from model";
    let beats = [
        (4, legacy(0.0, "", 0, None), true, Status::Online),
        (6, legacy(0.0, "", 0, None), true, Status::Online),
        (8, legacy(0.0, "", 1, None), true, Status::Online),
        (
            10,
            legacy(0.666_666_666_666_666_6, late, 1, None),
            true,
            Status::Degraded,
        ),
        (12, legacy(0.0, late, 1, None), true, Status::Online),
        (14, wedged(1), true, Status::Degraded),
        (16, wedged(2), true, Status::Degraded),
        (18, legacy(0.0, "", 0, None), false, Status::Degraded),
        (19, legacy(0.0, "", 0, None), false, Status::Degraded),
        (20, wedged(2), true, Status::Degraded),
        (24, legacy(0.0, late, 3, None), true, Status::Online),
        (34, legacy(0.0, "", 0, None), false, Status::Online),
        (40, legacy(0.0, late, 4, None), true, Status::Online),
    ];
    let caller = caller();
    let registered = Occurrence::Registered {
        caller: &caller,
        url: "http://a",
        agent_card: "{}",
    };
    let mut state = *decide(&WorkspaceState::unborn(false), &registered, at(0))
        .next
        .unwrap();
    let mut changes = 0;
    for (line, beat, full, status) in beats {
        assert_eq!(is_full(&state, &beat), full, "line {line}");
        let seen = beat_writes(&state, &beat, at(line)).uptime_seen;
        let decision = decide(
            &state,
            &Occurrence::Beat {
                caller: &caller,
                beat: &beat,
            },
            at(line),
        );
        changes += decision.events.len();
        state = decision.next.map_or(state, |next| *next);
        state.last_uptime = seen.or(state.last_uptime);
        assert_eq!(state.status, status, "line {line}");
    }
    assert_eq!(changes, 4);
}

#[test]
fn what_a_partial_beat_writes() {
    let mut state = WorkspaceState::unborn(false);
    let mut beat = legacy(0.4, "x", 0, None);
    beat.current_task = Some("task".to_owned());
    beat.monthly_spend = Some(5);
    let full = beat_writes(&state, &beat, at(0));
    assert!(full.full);
    assert_eq!(
        (full.error_rate, full.uptime_seen, full.monthly_spend),
        (Some(0.4), Some(0), Some(5))
    );
    state.full_beat_seen = true;
    let partial = beat_writes(&state, &beat, at(0));
    assert!(!partial.full);
    assert_eq!(partial.current_task, Some("task"));
    assert_eq!(partial.active_tasks, Some(0));
    assert_eq!(
        (
            partial.error_rate,
            partial.sample_error,
            partial.uptime_seconds
        ),
        (None, None, None)
    );
    assert_eq!((partial.uptime_seen, partial.monthly_spend), (None, None));
}

#[test]
fn absence_counts_as_zero_in_legacy_json_only() {
    let state = WorkspaceState::unborn(false);
    let legacy = Beat {
        form: BeatForm::LegacyJson,
        ..Beat::default()
    };
    let zeros = beat_writes(&state, &legacy, at(0));
    assert_eq!(
        (zeros.error_rate, zeros.sample_error, zeros.active_tasks),
        (Some(0.0), Some(""), Some(0))
    );
    assert_eq!(
        (zeros.uptime_seconds, zeros.current_task),
        (Some(0), Some(""))
    );
    // An absent uptime says nothing about the incarnation.
    assert_eq!(zeros.uptime_seen, None);
    let nothing = Beat::default();
    let typed = beat_writes(&state, &nothing, at(0));
    assert!(!typed.full);
    assert_eq!(
        (typed.error_rate, typed.sample_error, typed.active_tasks),
        (None, None, None)
    );
    assert_eq!((typed.uptime_seconds, typed.current_task), (None, None));
}

#[test]
fn spend_is_clamped_and_silence_capped() {
    let state = WorkspaceState::unborn(false);
    for (sent, written) in [
        (None, None),
        (Some(0), None),
        (Some(-3), None),
        (Some(7), Some(7)),
        (Some(i64::MAX), Some(1_000_000_000_000)),
    ] {
        let beat = Beat {
            monthly_spend: sent,
            ..Beat::default()
        };
        assert_eq!(
            beat_writes(&state, &beat, at(0)).monthly_spend,
            written,
            "{sent:?}"
        );
    }
    let beat = Beat {
        expect_quiet_until: Some(at(0) + TimeDelta::days(2)),
        ..Beat::default()
    };
    assert_eq!(
        beat_writes(&state, &beat, at(0)).expect_quiet_until,
        Some(at(1800))
    );
    let beat = Beat {
        expect_quiet_until: Some(at(90)),
        ..Beat::default()
    };
    assert_eq!(
        beat_writes(&state, &beat, at(0)).expect_quiet_until,
        Some(at(90))
    );
}
