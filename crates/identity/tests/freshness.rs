//! How old a fact about credentials may be, and for whom.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use candor_identity::{ListenerMode, Presented, Who};
use chrono::TimeDelta;

use world::{BARE, Is, LIVE, MANUAL, MODES, World, ended, presented, standing, token_of};

const ENFORCED: ListenerMode = ListenerMode::Enforced;
const OPEN: ListenerMode = ListenerMode::Open;
/// The bound on a revocation, everywhere.
const BOUND: Duration = Duration::from_secs(2);
/// The bound on what is new.
const BOUND_OF_ABSENCE: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_secs(30);

async fn until(mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    while !condition() {
        assert!(started.elapsed() < DEADLINE, "the condition never held");
        tick.tick().await;
    }
}

/// Calls until the answer is `new`. A call that began `bound` after `change`
/// must not get the old one.
async fn turns(world: &World, by: &Presented, new: Is, change: Instant, bound: Duration) {
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    loop {
        let began = change.elapsed();
        if world.call(ENFORCED, by, Who::Peers, LIVE).await == new {
            return;
        }
        assert!(began < bound, "an old answer after {began:?}");
        tick.tick().await;
    }
}

#[tokio::test]
async fn a_revocation_counts_at_once_where_it_was_done() {
    let world = World::new();
    let by = presented(Some(MANUAL), None);
    for mode in MODES {
        world.store.put_token(MANUAL, token_of(LIVE));
        world.watermark.credentials_changed();
        assert_eq!(
            world.call(mode, &by, Who::Peers, LIVE).await,
            Is::Proven(LIVE)
        );
        world
            .store
            .put_token(MANUAL, ended(LIVE, false, TimeDelta::zero()));
        world.watermark.credentials_changed();
        assert_eq!(world.call(mode, &by, Who::Peers, LIVE).await, Is::Invalid);
    }
}

#[tokio::test]
async fn a_first_token_counts_at_once_where_it_was_minted() {
    let world = World::new();
    let claims = presented(None, Some(&BARE.to_string()));
    let minted = presented(Some("new"), None);
    assert_eq!(
        world.call(OPEN, &claims, Who::A2a, BARE).await,
        Is::Claimed(BARE)
    );
    assert_eq!(world.call(OPEN, &minted, Who::A2a, BARE).await, Is::Invalid);
    world.store.put_workspace(BARE, standing(false, true));
    world.store.put_token("new", token_of(BARE));
    world.watermark.credentials_changed();
    assert_eq!(world.call(OPEN, &claims, Who::A2a, BARE).await, Is::Missing);
    assert_eq!(
        world.call(OPEN, &minted, Who::A2a, BARE).await,
        Is::Proven(BARE)
    );
}

#[tokio::test]
async fn the_store_is_asked_once_while_a_fact_is_fresh_and_again_when_it_was_overtaken() {
    let world = World::new();
    let by = presented(Some(MANUAL), None);
    let started = Instant::now();
    for _ in 0..100 {
        assert_eq!(
            world.call(ENFORCED, &by, Who::Peers, LIVE).await,
            Is::Proven(LIVE)
        );
    }
    let asked = world.store.look_ups();
    assert!(
        asked == 1 || started.elapsed() >= BOUND,
        "asked {asked} times"
    );
    world.watermark.credentials_changed();
    world.call(ENFORCED, &by, Who::Peers, LIVE).await;
    assert_eq!(world.store.look_ups(), asked + 1);
}

#[tokio::test]
async fn a_revocation_counts_within_two_seconds_everywhere() {
    let world = World::new();
    let by = presented(Some(MANUAL), None);
    assert_eq!(
        world.call(ENFORCED, &by, Who::Peers, LIVE).await,
        Is::Proven(LIVE)
    );
    world
        .store
        .put_token(MANUAL, ended(LIVE, false, TimeDelta::zero()));
    turns(&world, &by, Is::Invalid, Instant::now(), BOUND).await;
}

#[tokio::test]
async fn the_two_seconds_begin_when_the_store_is_asked_and_not_when_it_answers() {
    let world = World::new();
    let by = presented(Some(MANUAL), None);
    let told = world.store.delay_next();
    let (authenticator, first) = (Arc::clone(&world.authenticator), by.clone());
    let slow = tokio::spawn(async move {
        let subject = Some(LIVE);
        authenticator
            .authenticate(ENFORCED, &first, Who::Peers, subject)
            .await
    });
    until(|| world.store.look_ups() == 1).await;
    let revoked = Instant::now();
    world
        .store
        .put_token(MANUAL, ended(LIVE, false, TimeDelta::zero()));
    // Within the store's own deadline, and a good part of the bound.
    until(|| revoked.elapsed() >= BOUND / 2).await;
    told.notify_one();
    slow.await.unwrap().unwrap();
    until(|| revoked.elapsed() >= BOUND).await;
    assert_eq!(
        world.call(ENFORCED, &by, Who::Peers, LIVE).await,
        Is::Invalid
    );
}

#[tokio::test]
async fn a_change_in_the_middle_of_a_look_is_seen_by_the_next() {
    let world = World::new();
    let by = presented(Some(MANUAL), None);
    let told = world.store.delay_next();
    let (authenticator, first) = (Arc::clone(&world.authenticator), by.clone());
    let look = tokio::spawn(async move {
        let subject = Some(LIVE);
        authenticator
            .authenticate(ENFORCED, &first, Who::Peers, subject)
            .await
    });
    until(|| world.store.look_ups() == 1).await;
    world
        .store
        .put_token(MANUAL, ended(LIVE, false, TimeDelta::zero()));
    world.watermark.credentials_changed();
    told.notify_one();
    look.await.unwrap().unwrap();
    assert_eq!(
        world.call(ENFORCED, &by, Who::Peers, LIVE).await,
        Is::Invalid
    );
}

#[tokio::test]
async fn a_token_that_was_minted_elsewhere_counts_within_a_second() {
    let world = World::new();
    let by = presented(Some("new"), None);
    assert_eq!(
        world.call(ENFORCED, &by, Who::Peers, LIVE).await,
        Is::Invalid
    );
    world.store.put_token("new", token_of(LIVE));
    turns(
        &world,
        &by,
        Is::Proven(LIVE),
        Instant::now(),
        BOUND_OF_ABSENCE,
    )
    .await;
}
