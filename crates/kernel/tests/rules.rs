//! Scenarios: every rule fires, and the promises about wedged workspaces.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};

use candor_kernel::{
    AuthMethod, AuthVersion, Beat, BeatForm, CauseKind, Creation, CreationKind, Decision, Epoch,
    Occurrence, Outcome, Profile, RuleId, RuntimeMetadata, RuntimeState, Status, WorkspaceCaller,
    WorkspaceId, WorkspaceState, beat_writes, decide,
};
use chrono::{DateTime, Utc};

const PROFILE: Profile<'static> = Profile {
    name: "a",
    tier: 1,
    runtime: "langgraph",
};

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

fn caller(epoch: Option<i64>) -> WorkspaceCaller {
    WorkspaceCaller {
        id: WorkspaceId::from_uuid(uuid::Uuid::nil()),
        auth: AuthMethod::Token,
        epoch: epoch.map(Epoch),
        stale: false,
        auth_version: AuthVersion(0),
    }
}

/// A workspace that remembers which rules fired.
struct Story {
    state: WorkspaceState,
    fired: BTreeSet<RuleId>,
    caller: WorkspaceCaller,
}

impl Story {
    fn created(kind: CreationKind<'_>) -> Self {
        let unborn = WorkspaceState::unborn(false);
        let mut story = Self {
            state: unborn,
            fired: BTreeSet::new(),
            caller: caller(None),
        };
        story.happens(Occurrence::Created(Creation {
            profile: PROFILE,
            kind,
        }));
        story
    }
    fn online() -> Self {
        Self::created(CreationKind::ExternalWithUrl)
    }
    fn happens(&mut self, occurrence: Occurrence<'_>) -> Decision {
        let decision = decide(&self.state, &occurrence, now());
        self.fired.insert(decision.rule);
        if let Some(next) = &decision.next {
            self.state = (**next).clone();
        }
        decision
    }
    fn beats(&mut self, beat: &Beat) -> Decision {
        let seen = beat_writes(&self.state, beat, now()).uptime_seen;
        let caller = self.caller.clone();
        let decision = self.happens(Occurrence::Beat {
            caller: &caller,
            beat,
        });
        self.state.last_uptime = seen.or(self.state.last_uptime);
        decision
    }
    fn registers(&mut self) -> Decision {
        let caller = self.caller.clone();
        self.happens(Occurrence::Registered {
            caller: &caller,
            url: "http://a",
            agent_card: "{}",
        })
    }
}

fn beat(error_rate: f64, uptime: i32, word: Option<&str>) -> Beat {
    Beat {
        form: BeatForm::LegacyJson,
        error_rate: Some(error_rate),
        sample_error: Some("why".to_owned()),
        uptime_seconds: Some(uptime),
        runtime_state: word.map(|word| RuntimeState(word.to_owned())),
        ..Beat::default()
    }
}

fn told(decision: &Decision) -> Vec<String> {
    decision
        .events
        .iter()
        .map(|e| format!("{} {}", e.event_type, e.payload))
        .collect()
}

#[test]
fn online_to_degraded_on_wedged() {
    let mut story = Story::online();
    let decision = story.beats(&beat(0.0, 60, Some("wedged")));
    assert_eq!(decision.rule, RuleId::R4);
    assert_eq!(story.state.status, Status::Degraded);
    assert_eq!(
        story.state.causes.get(CauseKind::Wedged).unwrap().evidence,
        "why"
    );
    assert_eq!(
        told(&decision),
        [r#"WORKSPACE_DEGRADED {"runtime_state":"wedged","sample_error":"why"}"#]
    );
}

#[test]
fn degraded_stays_while_still_wedged_with_error_rate_0() {
    let mut story = Story::online();
    story.beats(&beat(0.0, 60, Some("wedged")));
    for uptime in [61, 62, 63] {
        let decision = story.beats(&beat(0.0, uptime, Some("wedged")));
        assert_eq!((decision.rule, decision.events.len()), (RuleId::R7, 0));
        assert!(
            decision.next.is_none(),
            "the same word again raises no version"
        );
        assert_eq!(story.state.status, Status::Degraded);
    }
    // A beat for the task only, in the middle of the wedge.
    let decision = story.beats(&beat(0.0, 0, None));
    assert_eq!((decision.rule, decision.events.len()), (RuleId::Steady, 0));
    assert_eq!(story.state.status, Status::Degraded);
    // A word that is neither wedged nor healthy is not the end of the wedge.
    story.beats(&beat(0.0, 64, Some("starting")));
    assert_eq!(story.state.status, Status::Degraded);
}

#[test]
fn degraded_to_online_after_the_wedge_clears() {
    let mut story = Story::online();
    story.beats(&beat(0.0, 60, Some("wedged")));
    let decision = story.beats(&beat(0.0, 61, None));
    assert_eq!(decision.rule, RuleId::R6);
    assert_eq!(told(&decision), ["WORKSPACE_ONLINE {}"]);
    assert_eq!(story.state.status, Status::Online);
    assert!(story.state.causes.is_empty());
}

#[test]
fn every_rule_fires() {
    let mut fired = BTreeSet::new();
    let quiet = || Occurrence::ObservedUnresponsive {
        evidence: "no answer",
    };

    let mut story = Story::created(CreationKind::Container);
    story.caller = caller(Some(1));
    story.happens(Occurrence::StartFailed {
        error: "no image",
        missing: &[],
    }); // R11
    story.beats(&beat(0.0, 1, None)); // R2
    story.beats(&beat(0.0, 2, Some("wedged"))); // R4
    story.beats(&beat(0.6, 3, Some("wedged"))); // R7
    story.beats(&beat(0.0, 4, None)); // R6
    story.beats(&beat(0.5, 5, None)); // R5
    story.happens(Occurrence::InstanceGone); // R10
    story.beats(&beat(0.5, 6, None)); // R3
    story.registers(); // R1
    story.happens(quiet()); // R8
    story.happens(Occurrence::ObservedAnswer); // R9
    story.happens(Occurrence::PauseRequested { name: "a" }); // R14
    story.registers(); // R1b
    story.happens(Occurrence::ResumeRequested {
        profile: PROFILE,
        backend: true,
    }); // R15
    story.caller = caller(Some(2));
    story.registers();
    story.happens(Occurrence::HibernateRequested); // R16
    story.happens(Occurrence::HibernateFailed);
    assert_eq!(story.state.status, Status::Online);
    story.beats(&beat(0.0, 7, None)); // steady
    story.happens(Occurrence::RestartRequested {
        profile: PROFILE,
        backend: true,
    }); // R13
    assert_eq!(
        (story.state.fence_epoch, story.state.epoch),
        (Epoch(3), Epoch(2))
    );
    story.happens(Occurrence::Removed { cascade: Some(0) }); // R17
    story.beats(&beat(0.0, 8, None)); // R18
    fired.append(&mut story.fired);

    let missing: Vec<_> = RuleId::ALL
        .iter()
        .filter(|rule| !fired.contains(rule))
        .collect();
    assert!(missing.is_empty(), "never fired: {missing:?}");
}

#[test]
fn creation_tells_what_was_recorded() {
    let told_by = |kind| {
        let creation = Creation {
            profile: PROFILE,
            kind,
        };
        let unborn = WorkspaceState::unborn(false);
        let decision = decide(&unborn, &Occurrence::Created(creation), now());
        (
            decision.next.as_ref().unwrap().status,
            told(&decision)[1..].to_vec(),
        )
    };
    let first = r#"WORKSPACE_PROVISIONING {"name":"a","runtime":"langgraph","tier":1}"#;
    let creation = Creation {
        profile: PROFILE,
        kind: CreationKind::Container,
    };
    let born = decide(
        &WorkspaceState::unborn(false),
        &Occurrence::Created(creation),
        now(),
    );
    assert_eq!(told(&born), [first]);
    assert_eq!(born.next.unwrap().fence_epoch, Epoch(1));
    let error = "Docker not available on this platform instance";
    assert_eq!(
        told_by(CreationKind::ContainerWithoutBackend { error }),
        (
            Status::Failed,
            vec![format!(
                r#"WORKSPACE_PROVISION_FAILED {{"error":"{error}"}}"#
            )]
        )
    );
    assert_eq!(
        told_by(CreationKind::ExternalWithUrl),
        (
            Status::Online,
            vec![r#"WORKSPACE_ONLINE {"external":true,"name":"a"}"#.to_owned()]
        )
    );
    assert_eq!(
        told_by(CreationKind::ExternalAwaiting),
        (
            Status::AwaitingAgent,
            vec![r#"WORKSPACE_AWAITING_AGENT {"external":true,"name":"a"}"#.to_owned()]
        )
    );
}

#[test]
fn register_embeds_the_card_as_it_came() {
    let mut story = Story::online();
    let caller = caller(None);
    let card = r#"{"name":"again","z":1,"a":[1,2.5,1000.0,"<b>&"]}"#;
    let url = "http://a/\"quoted\"";
    let decision = story.happens(Occurrence::Registered {
        caller: &caller,
        url,
        agent_card: card,
    });
    assert_eq!(
        told(&decision),
        [format!(
            r#"WORKSPACE_ONLINE {{"agent_card":{card},"url":"http://a/\"quoted\""}}"#
        )]
    );
    assert!(decision.next.is_some(), "an incarnation raises the version");
    for card in ["null", r#""text""#] {
        let again = Occurrence::Registered {
            caller: &caller,
            url: "",
            agent_card: card,
        };
        let decision = story.happens(again);
        assert_eq!(
            told(&decision),
            [format!(
                r#"WORKSPACE_ONLINE {{"agent_card":{card},"url":""}}"#
            )]
        );
    }
}

#[test]
fn what_was_observed_outlives_a_register() {
    let mut story = Story::online();
    story.beats(&beat(0.9, 60, Some("wedged")));
    story.happens(Occurrence::ObservedUnresponsive {
        evidence: "no answer",
    });
    let decision = story.registers();
    assert_eq!((decision.rule, decision.events.len()), (RuleId::R1, 0));
    assert_eq!(story.state.status, Status::Degraded);
    let standing: Vec<_> = story.state.causes.iter().map(|(kind, _)| kind).collect();
    assert_eq!(standing, [CauseKind::Unresponsive]);
    story.happens(Occurrence::LeaseDead);
    let decision = story.registers();
    assert_eq!(
        told(&decision),
        [r#"WORKSPACE_DEGRADED {"runtime_state":"unresponsive","sample_error":"no answer"}"#]
    );
}

#[test]
fn only_the_fenced_instance_leaves_provisioning() {
    let mut story = Story::created(CreationKind::Container);
    story.happens(Occurrence::RestartRequested {
        profile: PROFILE,
        backend: true,
    });
    assert_eq!(story.state.fence_epoch, Epoch(2));
    let provisioning = story.state.clone();
    for (epoch, stale) in [(None, false), (Some(1), true), (Some(3), false)] {
        story.caller = caller(epoch);
        for decision in [story.beats(&beat(0.0, 5, None)), story.registers()] {
            assert_eq!(
                matches!(decision.outcome, Outcome::Stale),
                stale,
                "{epoch:?}"
            );
            assert!(
                decision.next.is_none() && decision.events.is_empty(),
                "{epoch:?}"
            );
        }
    }
    assert_eq!(story.state.status, provisioning.status);
    story.caller = caller(Some(2));
    let decision = story.beats(&beat(1.0, 3, Some("wedged")));
    assert_eq!(
        told(&decision),
        [r#"WORKSPACE_DEGRADED {"error_rate":1,"runtime_state":"wedged","sample_error":"why"}"#]
    );
    assert_eq!(story.state.epoch, Epoch(2));
}

#[test]
fn a_lower_uptime_is_a_new_incarnation() {
    let mut story = Story::online();
    story.beats(&beat(0.9, 100, None));
    let decision = story.beats(&beat(0.3, 2, None));
    assert_eq!(told(&decision), ["WORKSPACE_ONLINE {}"]);
    assert_eq!(story.state.last_uptime, Some(2));
    // Nothing else changed, and yet the version rises.
    story.beats(&beat(0.0, 50, None));
    assert!(story.beats(&beat(0.0, 1, None)).next.is_some());
    // An absent uptime says nothing.
    let mut silent = beat(0.0, 0, None);
    silent.uptime_seconds = None;
    assert!(story.beats(&silent).next.is_none());
    assert_eq!(story.state.last_uptime, Some(1));
}

#[test]
fn overrides_count_in_their_own_beat_and_outlive_beats_without_any() {
    let owner = |error_rate, owns: Option<bool>| Beat {
        runtime_metadata: owns.map(|owns| RuntimeMetadata {
            capabilities: BTreeMap::from([("status_mgmt".to_owned(), owns)]),
            idle_timeout_seconds: Some(30),
        }),
        ..beat(error_rate, 60, None)
    };
    let mut story = Story::online();
    story.beats(&owner(0.9, Some(true)));
    assert_eq!(story.state.status, Status::Online);
    story.beats(&owner(0.9, None));
    assert_eq!(
        story.state.status,
        Status::Online,
        "kept by a beat without metadata"
    );
    story.beats(&owner(0.9, Some(false)));
    assert_eq!(story.state.status, Status::Degraded, "gone in its own beat");
}

#[test]
fn a_degraded_row_set_by_hand_recovers_by_beat_and_by_register() {
    for registers in [false, true] {
        let mut story = Story::created(CreationKind::ContainerWithoutBackend { error: "none" });
        story.state.status = Status::Degraded;
        story.happens(Occurrence::ObservedAnswer);
        assert!(
            story.state.causes.contains(CauseKind::Unknown),
            "an answer is no proof"
        );
        let decision = if registers {
            story.registers()
        } else {
            story.beats(&beat(0.0, 60, None))
        };
        assert_eq!(story.state.status, Status::Online);
        let payload = if registers {
            r#"{"agent_card":{},"url":"http://a"}"#
        } else {
            "{}"
        };
        assert_eq!(told(&decision), [format!("WORKSPACE_ONLINE {payload}")]);
    }
}

#[test]
fn a_return_with_an_old_cause_tells_its_evidence() {
    let mut story = Story::online();
    story.beats(&beat(0.0, 60, Some("wedged")));
    story.happens(Occurrence::LeaseDead);
    let decision = story.beats(&beat(0.0, 0, None));
    assert_eq!(decision.rule, RuleId::R3);
    assert_eq!(
        told(&decision),
        [r#"WORKSPACE_DEGRADED {"runtime_state":"wedged","sample_error":"why"}"#]
    );
}

#[test]
fn refusals_say_why() {
    let refusal = |state: Status, external, occurrence: Occurrence<'_>| {
        let mut story = Story::online();
        story.state.external = external;
        story.state.status = state;
        let decision = story.happens(occurrence);
        let error = decision.outcome.error().expect("refused");
        assert!(decision.next.is_none() && decision.events.is_empty());
        (error.reason().code(), error.public().to_owned())
    };
    let restart = Occurrence::RestartRequested {
        profile: PROFILE,
        backend: true,
    };
    let resume = Occurrence::ResumeRequested {
        profile: PROFILE,
        backend: true,
    };
    let pause = Occurrence::PauseRequested { name: "a" };
    for (status, external, occurrence, code, text) in [
        (
            Status::Online,
            true,
            restart,
            "TRANSITION_REFUSED",
            "external workspaces cannot be",
        ),
        (
            Status::Hibernating,
            false,
            restart,
            "TRANSITION_REFUSED",
            "workspace is hibernating",
        ),
        (
            Status::Online,
            false,
            resume,
            "TRANSITION_REFUSED",
            "workspace is not paused",
        ),
        (
            Status::Paused,
            false,
            pause,
            "TRANSITION_REFUSED",
            "workspace is already paused",
        ),
        (
            Status::Hibernating,
            false,
            pause,
            "TRANSITION_REFUSED",
            "workspace is hibernating",
        ),
        (
            Status::Failed,
            false,
            Occurrence::HibernateRequested,
            "TRANSITION_REFUSED",
            "workspace is not in",
        ),
        (
            Status::Removed,
            false,
            pause,
            "WORKSPACE_REMOVED",
            "workspace was removed",
        ),
    ] {
        let (found, public) = refusal(status, external, occurrence);
        assert_eq!(found, code);
        assert!(public.starts_with(text), "{public}");
    }
}
