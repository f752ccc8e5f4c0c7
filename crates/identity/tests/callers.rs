//! Who calls, by credential, claim, class of route and mode of the listener: the
//! table of the design, section 3.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod world;

use candor_identity::{ListenerMode, Who};
use candor_kernel::{AuthMethod, WorkspaceId};

use world::{
    ADMIN, BARE, BELOW, EVERY, INSTANCE, Is, LIVE, MANUAL, MODES, ORG, OTHER, PENDING, REMOVED,
    RETIRED, UNKNOWN, World, presented,
};

const AGENT: &[Who] = &[Who::Register, Who::UpdateCard, Who::Beat];
const OWN: &[Who] = &[Who::OwnWorkspace];
const VOICE: &[Who] = &[Who::WorkspaceVoice];
const SENDS: &[Who] = &[Who::A2a, Who::WebSocket];
const READS: &[Who] = &[Who::Discover, Who::Peers, Who::PublicRead];
const PERSON_OR_SELF: &[Who] = &[Who::WorkspaceOrOperator];
const MINT: &[Who] = &[Who::MintToken];
const ADMINS: &[Who] = &[Who::Operator];
const TEST_TOKEN: &[Who] = &[Who::TestToken];
const CANVAS: &[Who] = &[Who::CanvasWrite];
const PLATFORM: &[Who] = &[Who::PlatformOnly];

const NO_USER: Is = Is::User(AuthMethod::None);
const USER_BY_TOKEN: Is = Is::User(AuthMethod::Token);

/// Classes of routes, and what comes of a call on an open and on an enforced
/// listener.
type Cells = &'static [(&'static [Who], Is, Is)];

/// What is presented to a route about workspace `about`.
struct Row {
    bearer: Option<&'static str>,
    claims: &'static [Option<WorkspaceId>],
    about: WorkspaceId,
    cells: Cells,
}

const BARE_CALLS: Cells = &[
    (AGENT, Is::Claimed(BARE), Is::Missing),
    (OWN, NO_USER, Is::Missing),
    (VOICE, Is::Claimed(BARE), Is::Missing),
    (SENDS, Is::Claimed(BARE), Is::Missing),
    (READS, Is::Claimed(BARE), Is::Missing),
    (PERSON_OR_SELF, NO_USER, Is::Missing),
    (MINT, NO_USER, Is::Missing),
    (ADMINS, NO_USER, Is::Missing),
    (TEST_TOKEN, NO_USER, Is::Missing),
    (CANVAS, NO_USER, Is::Missing),
    (PLATFORM, Is::NotAllowed, Is::Missing),
];
const NOBODY_CALLS: Cells = &[
    (AGENT, Is::Claimed(BARE), Is::Missing),
    (OWN, NO_USER, Is::Missing),
    // An agent's words never stand as a person's.
    (VOICE, Is::Claimed(BARE), Is::Missing),
    (SENDS, NO_USER, Is::Missing),
    (READS, NO_USER, Is::Missing),
    (PERSON_OR_SELF, NO_USER, Is::Missing),
    (MINT, NO_USER, Is::Missing),
    (ADMINS, NO_USER, Is::Missing),
    (TEST_TOKEN, NO_USER, Is::Missing),
    (CANVAS, NO_USER, Is::Missing),
    (PLATFORM, Is::NotAllowed, Is::Missing),
];
const UNKNOWN_CALLS: Cells = &[
    (AGENT, Is::Claimed(BARE), Is::Missing),
    (OWN, NO_USER, Is::Missing),
    // Nobody; the route itself answers 403 or 404.
    (VOICE, Is::Anonymous, Is::Missing),
    (SENDS, Is::NotAllowed, Is::Missing),
    (READS, Is::Anonymous, Is::Missing),
    (PERSON_OR_SELF, NO_USER, Is::Missing),
    (MINT, NO_USER, Is::Missing),
    (ADMINS, NO_USER, Is::Missing),
    (TEST_TOKEN, NO_USER, Is::Missing),
    (CANVAS, NO_USER, Is::Missing),
    (PLATFORM, Is::NotAllowed, Is::Missing),
];
const LIVE_CLAIMED: Cells = &[
    (AGENT, Is::Missing, Is::Missing),
    (OWN, Is::Missing, Is::Missing),
    (VOICE, Is::Missing, Is::Missing),
    (SENDS, Is::Missing, Is::Missing),
    (READS, Is::Claimed(LIVE), Is::Missing),
    (PERSON_OR_SELF, NO_USER, Is::Missing),
    (MINT, NO_USER, Is::Missing),
    (ADMINS, NO_USER, Is::Missing),
    (TEST_TOKEN, NO_USER, Is::Missing),
    (CANVAS, NO_USER, Is::Missing),
    (PLATFORM, Is::NotAllowed, Is::Missing),
];
const LIVE_PROVEN: Cells = &[
    (AGENT, Is::Proven(LIVE), Is::Proven(LIVE)),
    (OWN, Is::Proven(LIVE), Is::Proven(LIVE)),
    (VOICE, Is::Proven(LIVE), Is::Proven(LIVE)),
    (SENDS, Is::Proven(LIVE), Is::Proven(LIVE)),
    (READS, Is::Proven(LIVE), Is::Proven(LIVE)),
    (PERSON_OR_SELF, Is::Proven(LIVE), Is::Proven(LIVE)),
    (MINT, Is::Proven(LIVE), Is::NotAllowed),
    (ADMINS, USER_BY_TOKEN, Is::Invalid),
    (TEST_TOKEN, USER_BY_TOKEN, Is::Invalid),
    (CANVAS, Is::NotAllowed, Is::NotAllowed),
    (PLATFORM, Is::NotAllowed, Is::NotAllowed),
];
/// A token of [`LIVE`] on routes about [`OTHER`].
const ELSEWHERE: Cells = &[
    (AGENT, Is::Invalid, Is::Invalid),
    (OWN, Is::Invalid, Is::Invalid),
    (VOICE, Is::Invalid, Is::Invalid),
    (SENDS, Is::Proven(LIVE), Is::Proven(LIVE)),
    (&[Who::Discover], Is::Proven(LIVE), Is::Proven(LIVE)),
    (&[Who::PublicRead], Is::Proven(LIVE), Is::Proven(LIVE)),
    (&[Who::Peers], Is::Invalid, Is::Invalid),
    (PERSON_OR_SELF, Is::Invalid, Is::Invalid),
    (MINT, Is::Invalid, Is::Invalid),
    (ADMINS, USER_BY_TOKEN, Is::Invalid),
    (TEST_TOKEN, USER_BY_TOKEN, Is::Invalid),
    (CANVAS, Is::NotAllowed, Is::NotAllowed),
    (PLATFORM, Is::NotAllowed, Is::NotAllowed),
];
const CONTRADICTED: Cells = &[
    (AGENT, Is::Mismatch, Is::Mismatch),
    (OWN, Is::Mismatch, Is::Mismatch),
    (VOICE, Is::Mismatch, Is::Mismatch),
    (SENDS, Is::Mismatch, Is::Mismatch),
    (READS, Is::Mismatch, Is::Mismatch),
    (PERSON_OR_SELF, Is::Mismatch, Is::Mismatch),
    (MINT, Is::Mismatch, Is::Mismatch),
    (ADMINS, Is::Mismatch, Is::Mismatch),
    (TEST_TOKEN, Is::Mismatch, Is::Mismatch),
    (CANVAS, Is::Mismatch, Is::Mismatch),
    (PLATFORM, Is::Mismatch, Is::Mismatch),
];
const STALE: Cells = &[
    (AGENT, Is::Stale(LIVE), Is::Stale(LIVE)),
    (OWN, Is::Stale(LIVE), Is::Stale(LIVE)),
    (VOICE, Is::Invalid, Is::Invalid),
    (SENDS, Is::Invalid, Is::Invalid),
    (READS, Is::Invalid, Is::Invalid),
    (PERSON_OR_SELF, Is::Invalid, Is::Invalid),
    (MINT, Is::Invalid, Is::Invalid),
    (ADMINS, Is::Invalid, Is::Invalid),
    (TEST_TOKEN, Is::Invalid, Is::Invalid),
    (CANVAS, Is::Invalid, Is::Invalid),
    (PLATFORM, Is::Invalid, Is::Invalid),
];

const fn users(user: Is, for_test_tokens: Is) -> [(&'static [Who], Is, Is); 11] {
    [
        (AGENT, Is::Invalid, Is::Invalid),
        (OWN, Is::Invalid, Is::Invalid),
        (VOICE, user, user),
        (SENDS, user, user),
        (READS, user, user),
        (PERSON_OR_SELF, user, user),
        (MINT, user, user),
        (ADMINS, user, user),
        (TEST_TOKEN, user, for_test_tokens),
        (CANVAS, user, user),
        (PLATFORM, Is::NotAllowed, Is::NotAllowed),
    ]
}
const ADMIN_USER: Is = Is::User(AuthMethod::Admin);
const BY_ADMIN: Cells = &users(ADMIN_USER, ADMIN_USER);
const BY_ORG: Cells = &users(Is::User(AuthMethod::OrgToken), Is::Invalid);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    Row { bearer: None, claims: &[None], about: BARE, cells: NOBODY_CALLS },
    Row { bearer: None, claims: &[Some(BARE)], about: BARE, cells: BARE_CALLS },
    Row { bearer: None, claims: &[Some(UNKNOWN), Some(REMOVED)], about: BARE, cells: UNKNOWN_CALLS },
    Row { bearer: None, claims: &[Some(LIVE)], about: LIVE, cells: LIVE_CLAIMED },
    Row { bearer: Some(MANUAL), claims: &[None, Some(LIVE)], about: LIVE, cells: LIVE_PROVEN },
    Row { bearer: Some(INSTANCE), claims: &[None, Some(LIVE)], about: LIVE, cells: LIVE_PROVEN },
    Row { bearer: Some(PENDING), claims: &[None, Some(LIVE)], about: LIVE, cells: LIVE_PROVEN },
    Row { bearer: Some(MANUAL), claims: &[None, Some(LIVE)], about: OTHER, cells: ELSEWHERE },
    Row { bearer: Some(MANUAL), claims: &[Some(OTHER), Some(BARE), Some(UNKNOWN)], about: LIVE, cells: CONTRADICTED },
    Row { bearer: Some(ADMIN), claims: &[None], about: LIVE, cells: BY_ADMIN },
    Row { bearer: Some(ORG), claims: &[None], about: LIVE, cells: BY_ORG },
    Row { bearer: Some(RETIRED), claims: &[None, Some(LIVE), Some(OTHER)], about: LIVE, cells: STALE },
    Row { bearer: Some(BELOW), claims: &[None, Some(LIVE), Some(OTHER)], about: LIVE, cells: STALE },
];

/// Calls every class once; what differs from the table.
async fn differences(row: &Row) -> Vec<String> {
    let world = World::new();
    let mut found = Vec::new();
    for claim in row.claims {
        let by = presented(row.bearer, claim.map(|id| id.to_string()).as_deref());
        let mut asked = vec![Who::Health];
        for (classes, open, enforced) in row.cells {
            for (who, (mode, want)) in each(classes, [*open, *enforced]) {
                let got = world.call(mode, &by, who, row.about).await;
                if got != want {
                    let (bearer, about) = (row.bearer, row.about);
                    found.push(format!(
                        "{mode:?} {who:?}: {bearer:?} claims {claim:?} about {about}: {got:?}, not {want:?}"
                    ));
                }
            }
            asked.extend(*classes);
        }
        assert_eq!(asked.len(), EVERY.len(), "{asked:?}");
        assert!(EVERY.iter().all(|who| asked.contains(who)), "{asked:?}");
    }
    found
}

fn each(classes: &[Who], wanted: [Is; 2]) -> impl Iterator<Item = (Who, (ListenerMode, Is))> {
    classes.iter().flat_map(move |who| {
        let cells = MODES.into_iter().zip(wanted);
        cells.map(move |cell| (*who, cell))
    })
}

#[tokio::test]
async fn every_class_answers_every_caller_as_the_design_says() {
    let mut wrong = Vec::new();
    for row in TABLE {
        wrong.extend(differences(row).await);
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
