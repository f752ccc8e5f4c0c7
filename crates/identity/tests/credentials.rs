//! What counts as a credential and as a claim, and what either is worth.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod world;

use candor_identity::policy::{HTTP, RPCS};
use candor_identity::{ListenerMode, Presented, Who};
use candor_kernel::AuthMethod;
use http::{HeaderMap, HeaderValue};

use world::{
    ADMIN, BARE, EPITAPH, EVERY, Is, JUNK, LIVE, MANUAL, MANUAL_OF_OTHER, MODES, ORG, OTHER,
    RETIRED, REVOKED, UNKNOWN, World, presented,
};

const NO_USER: Is = Is::User(AuthMethod::None);

#[tokio::test]
async fn whoever_has_tokens_must_show_one_to_speak_as_an_agent() {
    let world = World::new();
    let by = presented(None, None);
    for who in [Who::Register, Who::UpdateCard, Who::Beat, Who::OwnWorkspace] {
        for mode in MODES {
            assert_eq!(
                world.call(mode, &by, who, LIVE).await,
                Is::Missing,
                "{who:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_claim_alone_is_nobody_in_the_eyes_of_anothers_peers() {
    let world = World::new();
    for claim in [LIVE, BARE] {
        let by = presented(None, Some(&claim.to_string()));
        let got = world.call(ListenerMode::Open, &by, Who::Peers, OTHER).await;
        assert_eq!(got, NO_USER, "{claim}");
    }
}

#[tokio::test]
async fn reserved_caller_ids_are_refused_whatever_else_is_shown() {
    let world = World::new();
    for id in ["system:x", "webhook:1", "test:", "channel:c", " system:x"] {
        for bearer in [
            None,
            Some(MANUAL),
            Some(ADMIN),
            Some(ORG),
            Some(RETIRED),
            Some(JUNK),
        ] {
            let by = presented(bearer, Some(id));
            for (who, mode) in EVERY.iter().flat_map(|who| MODES.map(|mode| (*who, mode))) {
                let want = if who == Who::Health {
                    Is::Anonymous
                } else {
                    Is::CallerId
                };
                assert_eq!(
                    world.call(mode, &by, who, LIVE).await,
                    want,
                    "{by:?} {who:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_credential_that_proves_nothing_is_invalid_and_never_anonymous() {
    let world = World::new();
    let claims = [None, Some(BARE.to_string()), Some("nope".to_owned())];
    for bearer in [JUNK, REVOKED, EPITAPH, " admin-credential x", "Bearer"] {
        for claim in &claims {
            let by = presented(Some(bearer), claim.as_deref());
            for (who, mode) in EVERY.iter().flat_map(|who| MODES.map(|mode| (*who, mode))) {
                let want = if who == Who::Health {
                    Is::Anonymous
                } else {
                    Is::Invalid
                };
                assert_eq!(
                    world.call(mode, &by, who, BARE).await,
                    want,
                    "{by:?} {who:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn bytes_that_are_no_ascii_are_a_credential_and_a_claim_all_the_same() {
    let world = World::new();
    let by = |name: &'static str, value: &[u8]| {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_bytes(value).unwrap());
        Presented::from_headers(&headers)
    };
    let open = ListenerMode::Open;
    for value in [&b"Bearer t\xc3\xb6k"[..], b"Bearer \xff\xfe"] {
        let got = world
            .call(open, &by("authorization", value), Who::Operator, BARE)
            .await;
        assert_eq!(got, Is::Invalid);
    }
    let claim = by("x-workspace-id", b"system:\xc3\xb6");
    assert_eq!(
        world.call(open, &claim, Who::Operator, BARE).await,
        Is::CallerId
    );
    let claim = by("x-workspace-id", b"\xff");
    assert_eq!(
        world.call(open, &claim, Who::Discover, BARE).await,
        Is::Anonymous
    );
}

#[tokio::test]
async fn health_reads_no_credential() {
    let world = World::new();
    world.store.set_down(true);
    for bearer in [
        None,
        Some(JUNK),
        Some(MANUAL),
        Some(ADMIN),
        Some(MANUAL_OF_OTHER),
    ] {
        for mode in MODES {
            let by = presented(bearer, Some("nope"));
            assert_eq!(
                world.call(mode, &by, Who::Health, LIVE).await,
                Is::Anonymous
            );
        }
    }
    assert_eq!(world.store.look_ups(), 0);
}

#[tokio::test]
async fn an_enforced_listener_lets_nobody_in_without_a_credential_on_any_route() {
    let world = World::new();
    let routes = HTTP.iter().map(|row| (row.path, row.who));
    for (path, who) in routes.chain(RPCS.iter().map(|row| (row.path, row.who))) {
        for about in [LIVE, BARE, UNKNOWN] {
            for claim in [None, Some(BARE.to_string()), Some("nope".to_owned())] {
                let by = presented(None, claim.as_deref());
                let got = world.call(ListenerMode::Enforced, &by, who, about).await;
                let want = if who == Who::Health {
                    Is::Anonymous
                } else {
                    Is::Missing
                };
                assert_eq!(got, want, "{path}");
            }
        }
    }
}
