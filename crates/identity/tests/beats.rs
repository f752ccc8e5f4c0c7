//! Beats: let in on old facts, refused on new ones only, and counted if refused.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod world;

use candor_identity::{BeatStanding, ListenerMode, Presented, Who, WorkspaceStanding};
use candor_kernel::{AuthVersion, Reason, WorkspaceCaller, WorkspaceId};
use chrono::{TimeDelta, Utc};

use world::{
    BARE, Is, JUNK, LIVE, MANUAL, MANUAL_OF_OTHER, ORG, OTHER, RETIRED, VERSION, World, ended,
    presented, standing, workspace,
};

const ENFORCED: ListenerMode = ListenerMode::Enforced;
const OPEN: ListenerMode = ListenerMode::Open;

fn changed(standing: WorkspaceStanding, version: i64) -> WorkspaceStanding {
    WorkspaceStanding {
        auth_version: AuthVersion(version),
        ..standing
    }
}

async fn beating(
    world: &World,
    mode: ListenerMode,
    by: &Presented,
    id: WorkspaceId,
) -> WorkspaceCaller {
    match world.beat(mode, by, id).await {
        Ok(BeatStanding::Caller(caller)) => caller,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_beat_may_pass_on_an_old_fact_and_says_how_old_it_is() {
    let world = World::new();
    let by = presented(Some(MANUAL), None);
    assert_eq!(
        beating(&world, ENFORCED, &by, LIVE).await.auth_version,
        VERSION
    );
    let asked = world.store.look_ups();
    world
        .store
        .put_token(MANUAL, ended(LIVE, false, TimeDelta::zero()));
    world.watermark.credentials_changed();
    let caller = beating(&world, ENFORCED, &by, LIVE).await;
    assert_eq!(caller.auth_version, VERSION);
    assert_eq!(world.store.look_ups(), asked);
    // Its write found another version: the next look asks.
    world.authenticator.forget(&by, LIVE);
    let refused = world.beat(ENFORCED, &by, LIVE).await;
    assert_eq!(refused, Err(Reason::InvalidCredential));
}

#[tokio::test]
async fn no_beat_is_refused_on_an_old_fact() {
    let world = World::new();
    let nobody = Presented::default();
    assert_eq!(
        beating(&world, OPEN, &nobody, BARE).await.auth_version,
        VERSION
    );

    // A token is minted: the old fact lets the beat pass, and the write refuses it.
    let with_tokens = changed(standing(false, true), 8);
    world.store.put_workspace(BARE, with_tokens);
    world.watermark.credentials_changed();
    assert_eq!(
        beating(&world, OPEN, &nobody, BARE).await.auth_version,
        VERSION
    );
    world.authenticator.forget(&nobody, BARE);
    let refused = world.beat(OPEN, &nobody, BARE).await;
    assert_eq!(refused, Err(Reason::MissingCredential));

    // It is revoked: the fact by which the beat was refused is old now.
    world
        .store
        .put_workspace(BARE, changed(standing(false, false), 9));
    world.watermark.credentials_changed();
    let caller = beating(&world, OPEN, &nobody, BARE).await;
    assert_eq!(caller.auth_version, AuthVersion(9));

    // The workspace is removed: known once the write has not matched.
    world
        .store
        .put_workspace(BARE, changed(standing(true, false), 10));
    world.watermark.credentials_changed();
    assert_eq!(beating(&world, OPEN, &nobody, BARE).await, caller);
    world.authenticator.forget(&nobody, BARE);
    assert_eq!(
        world.beat(OPEN, &nobody, BARE).await,
        Ok(BeatStanding::Removed)
    );
}

#[tokio::test]
async fn refused_beats_are_counted_by_the_workspace_they_name() {
    let world = World::new();
    let other = LIVE.to_string();
    let refused = [
        presented(None, None),
        presented(Some(JUNK), None),
        presented(Some(ORG), None),
        presented(Some(MANUAL_OF_OTHER), None),
        presented(Some(MANUAL), Some(&OTHER.to_string())),
    ];
    for by in &refused {
        world.beat(ENFORCED, by, LIVE).await.unwrap_err();
    }
    // What has an answer is none of them, stale beats included.
    beating(
        &world,
        ENFORCED,
        &presented(Some(MANUAL), Some(&other)),
        LIVE,
    )
    .await;
    let stale = beating(&world, ENFORCED, &presented(Some(RETIRED), None), LIVE).await;
    assert_eq!(workspace(&stale), Is::Stale(LIVE));
    let counted = world.rejected.of(LIVE, Utc::now()).unwrap();
    assert_eq!(counted.count, refused.len() as u64);
    assert_eq!(world.rejected.of(OTHER, Utc::now()), None);

    // The same by the other way in.
    let by = presented(Some(JUNK), None);
    assert_eq!(
        world.call(ENFORCED, &by, Who::Beat, OTHER).await,
        Is::Invalid
    );
    assert_eq!(world.rejected.of(OTHER, Utc::now()).unwrap().count, 1);
}
