//! What the credentials of a removed workspace are still worth (D14, D15, D47).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod world;

use candor_identity::{BeatStanding, ListenerMode, Presented, StoredToken, Who};
use candor_kernel::token::TokenState;
use candor_kernel::{Epoch, Reason};
use chrono::TimeDelta;

use world::{
    ADMIN, EPITAPH, EVERY, Is, JUNK, LIVE, MANUAL, MODES, ORG, PURGED, REMOVED, REVOKED, UNKNOWN,
    World, ended, instance_of, presented,
};

fn bearer(text: &str) -> Presented {
    presented(Some(text), None)
}

#[tokio::test]
async fn a_removed_workspace_reads_its_state_with_its_revoked_token_for_thirty_days() {
    let world = World::new();
    for (days, want) in [
        (0, Is::Proven(REMOVED)),
        (29, Is::Proven(REMOVED)),
        (31, Is::Invalid),
    ] {
        let text = format!("revoked {days} days ago");
        world
            .store
            .put_token(&text, ended(REMOVED, true, TimeDelta::days(days)));
        for mode in MODES {
            let got = world
                .call(mode, &bearer(&text), Who::OwnWorkspace, REMOVED)
                .await;
            assert_eq!(got, want, "{mode:?} {text}");
        }
    }
}

#[tokio::test]
async fn only_the_last_tokens_of_a_removed_workspace_read_its_state() {
    let world = World::new();
    let undated = StoredToken {
        revoked_at: None,
        ..ended(REMOVED, true, TimeDelta::days(1))
    };
    world.store.put_token("undated", undated);
    for mode in MODES {
        for text in ["undated", MANUAL, REVOKED, JUNK, ADMIN, ORG] {
            let got = world
                .call(mode, &bearer(text), Who::OwnWorkspace, REMOVED)
                .await;
            assert_eq!(got, Is::Invalid, "{mode:?} {text}");
        }
        // The workspace lives: its revoked token learns nothing.
        let got = world
            .call(mode, &bearer(REVOKED), Who::OwnWorkspace, LIVE)
            .await;
        assert_eq!(got, Is::Invalid);
        let other = presented(Some(EPITAPH), Some(&LIVE.to_string()));
        let got = world.call(mode, &other, Who::OwnWorkspace, REMOVED).await;
        assert_eq!(got, Is::Mismatch);
    }
}

#[tokio::test]
async fn the_token_of_a_removed_workspace_opens_no_other_route() {
    let world = World::new();
    for (who, mode) in EVERY.iter().flat_map(|who| MODES.map(|mode| (*who, mode))) {
        let want = match who {
            // A beat without effect is nobody's.
            Who::Health | Who::Beat => Is::Anonymous,
            Who::OwnWorkspace => Is::Proven(REMOVED),
            _ => Is::Invalid,
        };
        let got = world.call(mode, &bearer(EPITAPH), who, REMOVED).await;
        assert_eq!(got, want, "{mode:?} {who:?}");
    }
}

#[tokio::test]
async fn a_beat_for_a_removed_workspace_is_told_so_and_not_counted_as_refused() {
    let world = World::new();
    for id in [REMOVED, PURGED] {
        for mode in MODES {
            // A purged workspace's tokens are gone with it.
            let text = if id == REMOVED { EPITAPH } else { JUNK };
            let got = world.beat(mode, &bearer(text), id).await;
            assert_eq!(got, Ok(BeatStanding::Removed), "{mode:?} {id}");
        }
        let got = world
            .beat(ListenerMode::Open, &Presented::default(), id)
            .await;
        assert_eq!(got, Ok(BeatStanding::Removed), "{id}");
    }
    assert_eq!(world.rejected.take(), []);
    // Its tokens can still prove something: junk does not.
    for mode in MODES {
        let got = world.beat(mode, &bearer(JUNK), REMOVED).await;
        assert_eq!(got, Err(Reason::InvalidCredential), "{mode:?}");
    }
}

#[tokio::test]
async fn a_beat_for_an_id_that_never_existed_is_told_so_on_an_open_listener() {
    let world = World::new();
    let nobody = Presented::default();
    let got = world.beat(ListenerMode::Open, &nobody, UNKNOWN).await;
    assert_eq!(got, Ok(BeatStanding::Unknown));
    let got = world.beat(ListenerMode::Enforced, &nobody, UNKNOWN).await;
    assert_eq!(got, Err(Reason::MissingCredential));
    for mode in MODES {
        let got = world.beat(mode, &bearer(JUNK), UNKNOWN).await;
        assert_eq!(got, Err(Reason::InvalidCredential));
    }
}

#[tokio::test]
async fn a_removed_workspace_neither_registers_nor_changes_its_card() {
    let world = World::new();
    for who in [Who::Register, Who::UpdateCard] {
        for (id, mode) in [REMOVED, PURGED]
            .into_iter()
            .flat_map(|id| MODES.map(|mode| (id, mode)))
        {
            for text in [EPITAPH, JUNK, MANUAL, ADMIN, ORG] {
                let got = world.call(mode, &bearer(text), who, id).await;
                assert_eq!(got, Is::Invalid, "{mode:?} {who:?} {text}");
            }
            let got = world.call(mode, &Presented::default(), who, id).await;
            assert_eq!(got, Is::Gone, "{mode:?} {who:?} {id}");
        }
    }
}

#[tokio::test]
async fn a_token_that_outlived_its_workspace_is_worth_as_little() {
    let world = World::new();
    for state in [TokenState::Active, TokenState::Pending, TokenState::Retired] {
        let left = StoredToken {
            workspace_removed: true,
            ..instance_of(REMOVED, state, Epoch(4))
        };
        let text = state.label();
        world.store.put_token(text, left);
        for mode in MODES {
            let got = world.beat(mode, &bearer(text), REMOVED).await;
            assert_eq!(got, Ok(BeatStanding::Removed), "{text}");
            for who in [Who::Register, Who::A2a, Who::Discover, Who::Operator] {
                let got = world.call(mode, &bearer(text), who, REMOVED).await;
                assert_eq!(got, Is::Invalid, "{text} {who:?}");
            }
        }
    }
}
