//! Whoever keeps the credentials does not answer: nobody is let in (P9, D10).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod world;

use candor_identity::{BeatStanding, ListenerMode, Presented, Refusal, Who};
use candor_kernel::{AuthMethod, Caller, Error, Reason};

use world::{
    ADMIN, BARE, EPITAPH, EVERY, INSTANCE, Is, JUNK, LIVE, MANUAL, MODES, ORG, PENDING, RETIRED,
    World, outcome, presented,
};

const CREDENTIALS: [&str; 7] = [MANUAL, INSTANCE, PENDING, RETIRED, EPITAPH, ORG, JUNK];

fn down() -> World {
    let world = World::new();
    world.store.set_down(true);
    world
}

#[tokio::test]
async fn every_route_refuses_every_credential_that_cannot_be_looked_up() {
    let world = down();
    for (who, mode) in EVERY.iter().flat_map(|who| MODES.map(|mode| (*who, mode))) {
        for bearer in CREDENTIALS {
            let by = presented(Some(bearer), None);
            let want = if who == Who::Health {
                Is::Anonymous
            } else {
                Is::NoStore
            };
            assert_eq!(
                world.call(mode, &by, who, LIVE).await,
                want,
                "{mode:?} {who:?} {bearer}"
            );
        }
    }
}

#[tokio::test]
async fn a_workspace_without_a_credential_is_refused_where_it_cannot_be_looked_up() {
    let world = down();
    let claims = presented(None, Some(&BARE.to_string()));
    let looked_up = [
        (Who::Register, [Is::NoStore, Is::NoStore]),
        (Who::UpdateCard, [Is::NoStore, Is::NoStore]),
        (Who::Beat, [Is::NoStore, Is::Missing]),
        (Who::OwnWorkspace, [Is::NoStore, Is::Missing]),
        (Who::WorkspaceVoice, [Is::NoStore, Is::Missing]),
        (Who::A2a, [Is::NoStore, Is::Missing]),
        (Who::WebSocket, [Is::NoStore, Is::Missing]),
        (Who::Discover, [Is::NoStore, Is::Missing]),
        (Who::Peers, [Is::NoStore, Is::Missing]),
        (Who::PublicRead, [Is::NoStore, Is::Missing]),
    ];
    for (who, wanted) in looked_up {
        for (mode, want) in MODES.into_iter().zip(wanted) {
            assert_eq!(
                world.call(mode, &claims, who, BARE).await,
                want,
                "{mode:?} {who:?}"
            );
        }
    }
}

#[tokio::test]
async fn only_who_needs_no_look_up_is_let_in() {
    let world = down();
    for (who, mode) in EVERY.iter().flat_map(|who| MODES.map(|mode| (*who, mode))) {
        for bearer in [None, Some(ADMIN)] {
            let by = presented(bearer, None);
            let result = world
                .authenticator
                .authenticate(mode, &by, who, Some(LIVE))
                .await;
            let allowed = match &result {
                Ok(Caller::User {
                    auth: AuthMethod::Admin,
                }) => bearer == Some(ADMIN),
                Ok(Caller::User {
                    auth: AuthMethod::None,
                }) => bearer.is_none() && mode.is_open(),
                Ok(_) => who == Who::Health,
                Err(_) => true,
            };
            assert!(allowed, "{mode:?} {who:?} {by:?}: {:?}", outcome(result));
        }
    }
}

#[tokio::test]
async fn the_refusal_says_that_the_store_is_unavailable() {
    let world = down();
    let by = presented(Some(MANUAL), None);
    for mode in MODES {
        let refused = world
            .authenticator
            .authenticate(mode, &by, Who::A2a, None)
            .await;
        let refusal = refused.unwrap_err();
        assert!(matches!(refusal, Refusal::Store(_)), "{refusal:?}");
        assert_eq!(Error::from(refusal).reason(), Reason::StoreUnavailable);
    }
}

#[tokio::test]
async fn an_outage_is_not_remembered_as_an_absence() {
    let world = down();
    let by = presented(Some(MANUAL), None);
    let mode = ListenerMode::Enforced;
    assert_eq!(world.call(mode, &by, Who::Peers, LIVE).await, Is::NoStore);
    assert_eq!(
        world.beat(mode, &by, LIVE).await,
        Err(Reason::StoreUnavailable)
    );
    world.store.set_down(false);
    assert_eq!(
        world.call(mode, &by, Who::Peers, LIVE).await,
        Is::Proven(LIVE)
    );
    assert!(matches!(
        world.beat(mode, &by, LIVE).await,
        Ok(BeatStanding::Caller(_))
    ));
}

#[tokio::test]
async fn a_fact_that_was_overtaken_does_not_bridge_an_outage_but_for_beats() {
    let world = World::new();
    let by = presented(Some(MANUAL), None);
    let mode = ListenerMode::Enforced;
    assert_eq!(
        world.call(mode, &by, Who::Peers, LIVE).await,
        Is::Proven(LIVE)
    );
    world.store.set_down(true);
    world.watermark.credentials_changed();
    assert_eq!(world.call(mode, &by, Who::Peers, LIVE).await, Is::NoStore);
    // The write of a beat compares the version, and cannot succeed either.
    assert!(matches!(
        world.beat(mode, &by, LIVE).await,
        Ok(BeatStanding::Caller(_))
    ));
}

#[tokio::test]
async fn a_beat_that_could_not_be_looked_up_is_not_counted_as_refused() {
    let world = down();
    for by in [presented(Some(MANUAL), None), Presented::default()] {
        let got = world.beat(ListenerMode::Open, &by, LIVE).await;
        assert_eq!(got, Err(Reason::StoreUnavailable));
    }
    assert_eq!(world.rejected.take(), []);
}
