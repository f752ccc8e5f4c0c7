//! Random histories: the kernel against the naive model of `model/mod.rs`,
//! and the invariants that hold whatever happens.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(missing_docs)]

mod model;

use std::collections::BTreeMap;

use candor_kernel::rules::{Row, TABLE};
use candor_kernel::{
    AuthMethod, AuthVersion, Beat, BeatForm, CauseKind, Creation, CreationKind, Decision, Epoch,
    Occurrence, Outcome, Profile, RuntimeMetadata, RuntimeState, Status, WorkspaceCaller,
    WorkspaceId, WorkspaceState, decide, is_full,
};
use chrono::{DateTime, Utc};
use model::{CARD, Event, Model, URL, Who};
use proptest::prelude::*;
use serde_json::Value;

const PROFILE: Profile<'static> = Profile {
    name: "n",
    tier: 2,
    runtime: "r",
};

/// One step of a history.
#[derive(Debug, Clone)]
enum Step {
    /// Something happens.
    Happens(Event),
    /// Somebody writes a status into the row.
    SetByHand(Status),
    /// Something happens, from the instance that was provisioned last.
    FromCurrent(Event),
}

fn who() -> impl Strategy<Value = Who> {
    let epoch = prop_oneof![4 => Just(None), 1 => (0..4_i64).prop_map(Some)];
    (epoch, prop::bool::weighted(0.05)).prop_map(|(epoch, retired)| Who { epoch, retired })
}

fn beat() -> impl Strategy<Value = model::Beat> {
    let rate = prop_oneof![
        Just(0.0),
        Just(0.09),
        Just(0.1),
        Just(0.2),
        Just(0.49),
        Just(0.5),
        Just(1.0),
        Just(-1.0),
        Just(7.5)
    ];
    let word = prop_oneof![
        3 => Just("wedged"), 1 => Just(""), 1 => Just("ok"), 1 => Just("ready"), 1 => Just("starting")
    ];
    (
        any::<bool>(),
        prop::option::weighted(0.8, rate),
        prop::option::of(prop_oneof![Just("boom"), Just("init timeout"), Just("")]),
        prop::option::weighted(
            0.8,
            prop_oneof![3 => Just(0), 1 => Just(-1), 6 => 1..50_i32],
        ),
        prop::option::weighted(0.4, word),
        prop::option::weighted(0.2, any::<bool>()),
    )
        .prop_map(
            |(typed, error_rate, sample, uptime, word, owns)| model::Beat {
                typed,
                error_rate,
                sample_error: sample.map(str::to_owned),
                uptime,
                word: word.map(str::to_owned),
                owns,
            },
        )
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => who().prop_map(Event::Register),
        16 => (who(), beat()).prop_map(|(who, beat)| Event::Beat(who, beat)),
        3 => prop_oneof![Just("timeout"), Just("refused")].prop_map(|s| Event::Unresponsive(s.into())),
        2 => Just(Event::Answered),
        1 => Just(Event::LeaseDead),
        1 => Just(Event::Gone),
        1 => prop_oneof![Just(Event::StartFailed), Just(Event::TimedOut), Just(Event::BootstrapFailed)],
        1 => any::<bool>().prop_map(|backend| Event::Restart { backend }),
        1 => Just(Event::Pause),
        2 => any::<bool>().prop_map(|backend| Event::Resume { backend }),
        1 => Just(Event::Hibernate),
        1 => prop_oneof![Just(Event::Hibernated), Just(Event::HibernateFailed)],
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => event().prop_map(Step::Happens),
        20 => event().prop_map(Step::FromCurrent),
        2 => prop::sample::select(&Status::ALL[..5]).prop_map(Step::SetByHand),
        1 => prop::option::of(0..3_u32).prop_map(|c| Step::Happens(Event::Remove(c))),
    ]
}

fn kind() -> impl Strategy<Value = (&'static str, CreationKind<'static>)> {
    prop_oneof![
        Just(("container", CreationKind::Container)),
        Just((
            "no backend",
            CreationKind::ContainerWithoutBackend { error: "none" }
        )),
        Just(("external with url", CreationKind::ExternalWithUrl)),
        Just(("external", CreationKind::ExternalAwaiting)),
    ]
}

fn at(now: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + now, 0).unwrap()
}

fn caller(who: Who) -> WorkspaceCaller {
    WorkspaceCaller {
        id: WorkspaceId::from_uuid(uuid::Uuid::nil()),
        auth: AuthMethod::Token,
        epoch: who.epoch.map(Epoch),
        stale: who.retired,
        auth_version: AuthVersion(0),
    }
}

fn metadata(owns: bool) -> RuntimeMetadata {
    let capabilities = BTreeMap::from([("status_mgmt".to_owned(), owns)]);
    RuntimeMetadata {
        capabilities,
        idle_timeout_seconds: None,
    }
}

fn kernel_beat(beat: &model::Beat) -> Beat {
    Beat {
        form: if beat.typed {
            BeatForm::Typed
        } else {
            BeatForm::LegacyJson
        },
        error_rate: beat.error_rate,
        sample_error: beat.sample_error.clone(),
        uptime_seconds: beat.uptime,
        runtime_state: beat.word.clone().map(RuntimeState),
        runtime_metadata: beat.owns.map(metadata),
        ..Beat::default()
    }
}

fn kernel_decides(state: &WorkspaceState, event: &Event, now: i64) -> Decision {
    let missing = ["A".to_owned()];
    let (who, said) = match event {
        Event::Register(who) => (caller(*who), Beat::default()),
        Event::Beat(who, beat) => (caller(*who), kernel_beat(beat)),
        _ => (caller(Who::default()), Beat::default()),
    };
    let occurrence = match event {
        Event::Register(_) => Occurrence::Registered {
            caller: &who,
            url: URL,
            agent_card: CARD,
        },
        Event::Beat(..) => Occurrence::Beat {
            caller: &who,
            beat: &said,
        },
        Event::Unresponsive(text) => Occurrence::ObservedUnresponsive { evidence: text },
        Event::Answered => Occurrence::ObservedAnswer,
        Event::LeaseDead => Occurrence::LeaseDead,
        Event::Gone => Occurrence::InstanceGone,
        Event::StartFailed => Occurrence::StartFailed {
            error: "e",
            missing: &missing,
        },
        Event::TimedOut => Occurrence::ProvisionTimeout {
            error: "e",
            runtime: "r",
            timeout_secs: 600,
        },
        Event::BootstrapFailed => Occurrence::BootstrapFailed {
            error: "e",
            log_tail: "l",
        },
        Event::Restart { backend } => Occurrence::RestartRequested {
            profile: PROFILE,
            backend: *backend,
        },
        Event::Pause => Occurrence::PauseRequested { name: "n" },
        Event::Resume { backend } => Occurrence::ResumeRequested {
            profile: PROFILE,
            backend: *backend,
        },
        Event::Hibernate => Occurrence::HibernateRequested,
        Event::Hibernated => Occurrence::Hibernated { name: "n", tier: 2 },
        Event::HibernateFailed => Occurrence::HibernateFailed,
        Event::Remove(cascade) => Occurrence::Removed { cascade: *cascade },
    };
    decide(state, &occurrence, at(now))
}

fn cause(state: &WorkspaceState, kind: CauseKind) -> model::Cause {
    let cause = state.causes.get(kind)?;
    Some((
        cause.since.timestamp() - at(0).timestamp(),
        cause.evidence.clone(),
    ))
}

/// The kernel's state in the model's words.
fn as_model(state: &WorkspaceState) -> Model {
    Model {
        status: state.status.label(),
        epoch: state.epoch.0,
        fence: state.fence_epoch.0,
        wedged: cause(state, CauseKind::Wedged),
        errors: cause(state, CauseKind::ErrorRate),
        deaf: cause(state, CauseKind::Unresponsive),
        unknown: cause(state, CauseKind::Unknown),
        full_seen: state.full_beat_seen,
        uptime: state.last_uptime,
        word: state.runtime_state.0.clone(),
        owns: state
            .runtime_metadata
            .as_ref()
            .map(RuntimeMetadata::owns_status),
        external: state.external,
    }
}

/// What a store does with a decision: the next state, and the uptime that a
/// full beat writes with its vitals.
fn persist(state: &WorkspaceState, event: &Event, decision: &Decision) -> WorkspaceState {
    let mut after = decision.next.as_deref().unwrap_or(state).clone();
    if let (Event::Beat(_, said), Outcome::Applied) = (event, &decision.outcome) {
        let beat = kernel_beat(said);
        let write = candor_kernel::beat_writes(state, &beat, at(0));
        after.last_uptime = write.uptime_seen.or(after.last_uptime);
    }
    after
}

fn outcome(decision: &Decision) -> &'static str {
    match decision.outcome {
        Outcome::Applied => "ok",
        Outcome::Stale => "stale",
        Outcome::Removed => "removed",
        Outcome::Refused(_) => "refused",
    }
}

fn events(decision: &Decision) -> Vec<(&'static str, Value)> {
    decision
        .events
        .iter()
        .map(|e| {
            (
                e.event_type.label(),
                serde_json::from_str(&e.payload).unwrap(),
            )
        })
        .collect()
}

/// A vitals write of a beat that may not lead is no business of the model.
fn led(state: &WorkspaceState, event: &Event) -> bool {
    match event {
        Event::Beat(who, _) => {
            !matches!(state.status, Status::Provisioning | Status::Failed)
                || state.is_led_by(&caller(*who))
        }
        _ => true,
    }
}

fn check_invariants(before: &WorkspaceState, event: &Event, d: &Decision, after: &WorkspaceState) {
    assert!(d.events.len() <= 1, "{d:?}");
    assert!(after.epoch >= before.epoch && after.fence_epoch >= before.fence_epoch);
    if before.status == Status::Removed {
        assert!(d.next.is_none() && d.events.is_empty());
        assert_eq!(
            d.outcome.error().unwrap().reason().code(),
            "WORKSPACE_REMOVED"
        );
    }
    if !d.outcome.is_applied() {
        assert!(d.next.is_none() && d.events.is_empty(), "no effect: {d:?}");
    }
    if d.outcome.is_applied() && after.status.is_alive() {
        assert_eq!(
            after.status == Status::Online,
            after.causes.is_empty(),
            "{after:?}"
        );
    }
    let told = |row: &&Row| d.events.iter().all(|e| row.events.contains(&e.event_type));
    let mut rows = TABLE
        .iter()
        .filter(|row| row.explains(d.rule, Some(before.status), after.status));
    assert!(
        rows.any(|row| told(&row)),
        "{before:?} -{}-> {after:?}: no row",
        d.rule
    );
    // An event exactly when the status changed; told again are an accepted
    // register (the address may be new) and a new provision attempt, and
    // hibernation only when it is done.
    let changed = after.status != before.status;
    let again = matches!(event, Event::Register(_)) && after.status == Status::Online
        || after.fence_epoch != before.fence_epoch;
    let silent = after.status == Status::Hibernating;
    if d.outcome.is_applied() && led(before, event) && !silent {
        assert_eq!(
            !d.events.is_empty(),
            changed || again,
            "{before:?} {event:?} {d:?}"
        );
    }
    if let Event::Beat(who, said) = event {
        let full = is_full(before, &kernel_beat(said));
        if !full && before.status != Status::Online {
            for (kind, _) in before.causes.iter() {
                assert!(
                    after.causes.contains(kind),
                    "a partial beat removed {kind:?}"
                );
            }
        }
        if before.is_stale(&caller(*who)) && before.status != Status::Removed {
            assert!(matches!(d.outcome, Outcome::Stale));
        }
    }
    for event in &d.events {
        assert!(!event.payload.contains(": "), "compact: {}", event.payload);
    }
    if let Some(next) = &d.next {
        let incarnation =
            matches!(event, Event::Register(_)) || next.last_uptime < before.last_uptime;
        assert!(
            incarnation || !same_but_uptime(next, before),
            "version raised for nothing"
        );
    }
}

fn same_but_uptime(left: &WorkspaceState, right: &WorkspaceState) -> bool {
    let mut left = left.clone();
    left.last_uptime = right.last_uptime;
    left == *right
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn every_history_goes_as_the_model_says(
        (word, kind) in kind(),
        steps in prop::collection::vec(step(), 1..30),
    ) {
        let creation = Creation { profile: PROFILE, kind };
        let born = decide(&WorkspaceState::unborn(false), &Occurrence::Created(creation), at(0));
        let mut state = *born.next.unwrap();
        let mut model = Model::created(word);
        prop_assert_eq!(as_model(&state), model.clone());
        for (index, step) in steps.into_iter().enumerate() {
            let now = 10 * (i64::try_from(index).unwrap() + 1);
            let event = match step {
                Step::SetByHand(status) => {
                    if state.status != Status::Removed {
                        state.status = status;
                        model.status = status.label();
                    }
                    continue;
                }
                Step::Happens(event) => event,
                Step::FromCurrent(Event::Register(_)) => Event::Register(current(&state)),
                Step::FromCurrent(Event::Beat(_, beat)) => Event::Beat(current(&state), beat),
                Step::FromCurrent(event) => event,
            };
            let led = led(&state, &event);
            let decision = kernel_decides(&state, &event, now);
            let expected = model.step(&event, now);
            prop_assert_eq!(decision.rule.code(), expected.rule, "{:?}", &event);
            prop_assert_eq!(outcome(&decision), expected.outcome, "{:?}", &event);
            prop_assert_eq!(events(&decision), expected.events, "{:?}", &event);
            let after = persist(&state, &event, &decision);
            check_invariants(&state, &event, &decision, &after);
            if !led {
                model.uptime = after.last_uptime;
            }
            prop_assert_eq!(as_model(&after), model.clone(), "{:?}", &event);
            state = after;
        }
    }

    #[test]
    fn a_repeated_beat_changes_nothing(said in beat(), uptime in 1..50_i32) {
        let mut state = WorkspaceState::unborn(true);
        state.status = Status::Online;
        let mut said = said;
        said.uptime = said.uptime.map(|_| uptime);
        let event = Event::Beat(Who::default(), said);
        let first = kernel_decides(&state, &event, 1);
        let state = persist(&state, &event, &first);
        let second = kernel_decides(&state, &event, 2);
        prop_assert!(second.events.is_empty());
        prop_assert!(second.next.is_none(), "{second:?}");
    }
}

/// A caller that carries the fence epoch, or none where nothing was
/// provisioned.
fn current(state: &WorkspaceState) -> Who {
    let epoch = Some(state.fence_epoch.0).filter(|fence| *fence > 0);
    Who {
        epoch,
        retired: false,
    }
}
