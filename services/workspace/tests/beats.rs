//! What is sent as a beat, and when: computed when it is sent, the wedge over it, also
//! when it is sent again after a 401; and what a platform answers is read.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use candor_testkit::fake_platform::{Received, Scripted};
use candor_testkit::wait::wait_until;
use candor_workspace::heartbeat::{Heartbeat, HeartbeatSettings};
use candor_workspace::registration::{CardSource, Registration};
use candor_workspace::vitals::Standing;
use serde_json::{Value, json};
use support::{TOKEN, World};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const BEAT: &str = "/registry/heartbeat";
const SOON: Duration = Duration::from_secs(20);
const REASON: &str = "Control request timeout: initialize";

/// A beating workspace, with a platform that asks for the next beat after `next` seconds.
fn beat(world: &World, next: f64) -> CancellationToken {
    registers(world);
    world.fake.answer("POST", BEAT, taken(next));
    start(world)
}

fn registers(world: &World) {
    let registered = Scripted::json(200, json!({"status": "registered"}));
    world.fake.answer("POST", "/registry/register", registered);
}

fn taken(next: f64) -> Scripted {
    Scripted::json(200, json!({"status": "ok", "next_heartbeat_after": next}))
}

fn start(world: &World) -> CancellationToken {
    started(world).0
}

fn started(world: &World) -> (CancellationToken, JoinHandle<()>) {
    let stop = CancellationToken::new();
    let url = "http://localhost:1".to_owned();
    let card = CardSource::Known(json!({"name": "x"}));
    let (registration, wanted) = Registration::new(
        world.platform.clone(),
        std::sync::Arc::clone(&world.vitals),
        url,
        card,
    );
    let settings = HeartbeatSettings {
        interval: Duration::from_secs(60),
        grpc: None,
    };
    let vitals = std::sync::Arc::clone(&world.vitals);
    let heartbeat = Heartbeat::new(world.platform.clone(), vitals, &settings, wanted);
    let task = tokio::spawn(heartbeat.run(registration.announced(), SOON, stop.clone()));
    tokio::spawn(registration.run(stop.clone()));
    (stop, task)
}

async fn beats(world: &World, number: usize) -> Vec<Received> {
    world
        .fake
        .wait_for_requests("POST", BEAT, number)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wedge_is_layered_over_every_beat_and_told_at_once() {
    let world = World::start().await;
    let _stop = beat(&world, 60.0);
    let first = beats(&world, 1).await[0].json();
    assert_eq!(first["runtime_state"], Value::Null);
    assert_eq!(first["error_rate"], 0.0);
    assert!(first["uptime_seconds"].is_u64() && first["runtime_metadata"].is_object());
    let marked = Instant::now();
    world.vitals.mark_wedged(REASON);
    let second = beats(&world, 2).await[1].json();
    assert!(
        marked.elapsed() < Duration::from_secs(5),
        "not at the next tick"
    );
    assert_eq!(
        (&second["runtime_state"], &second["sample_error"]),
        (&json!("wedged"), &json!(REASON))
    );
    world.assert_proven();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beat_that_is_sent_again_after_a_401_is_computed_anew() {
    let world = World::start().await;
    let vitals = std::sync::Arc::clone(&world.vitals);
    let path = world.configs.path().join(".auth_token");
    registers(&world);
    // Between the refusal and the next attempt the token changes and the agent wedges.
    world.fake.answer_with("POST", BEAT, move |request| {
        if request.header("authorization") == Some("Bearer the-new-token") {
            return taken(60.0);
        }
        std::fs::write(&path, "the-new-token").unwrap();
        vitals.mark_wedged(REASON);
        Scripted::json(401, json!({"error": "invalid workspace auth token"}))
    });
    let _stop = start(&world);
    let sent = beats(&world, 2).await;
    assert_eq!(
        sent[0].header("authorization"),
        Some(&*format!("Bearer {TOKEN}"))
    );
    assert_eq!(sent[0].json()["runtime_state"], Value::Null);
    assert_eq!(
        sent[1].header("authorization"),
        Some("Bearer the-new-token")
    );
    let again = sent[1].json();
    assert_eq!(
        (&again["runtime_state"], &again["sample_error"]),
        (&json!("wedged"), &json!(REASON))
    );
    assert!(world.vitals.readiness().unwrap_err().starts_with("wedged"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beat_that_is_refused_is_no_success() {
    let world = World::start().await;
    registers(&world);
    let refused = Scripted::json(401, json!({"error": "invalid workspace auth token"}));
    world
        .fake
        .script("POST", BEAT, [refused.clone(), refused, taken(60.0)]);
    let _stop = start(&world);
    beats(&world, 2).await;
    assert!(
        world.vitals.readiness().is_err(),
        "the platform did not take it"
    );
    // Each with the same token once, and again after a pause: the lease runs.
    beats(&world, 3).await;
    let vitals = &world.vitals;
    assert!(wait_until(SOON, || vitals.readiness().is_ok()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_replaced_or_removed_takes_no_more_work() {
    for (said, standing) in [
        (
            json!({"status": "ok", "superseded": true, "epoch": 4}),
            Standing::Superseded,
        ),
        (
            json!({"status": "ok", "workspace": "removed"}),
            Standing::Removed,
        ),
    ] {
        let world = World::start().await;
        registers(&world);
        world
            .fake
            .answer("POST", BEAT, Scripted::json(200, said.clone()));
        let _stop = start(&world);
        let vitals = &world.vitals;
        assert!(
            wait_until(SOON, || vitals.standing() == standing).await,
            "{standing:?}"
        );
        assert!(standing.refusal().is_some() && vitals.readiness().is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_that_is_not_known_is_registered_again() {
    let world = World::start().await;
    registers(&world);
    let unknown = Scripted::json(
        200,
        json!({"status": "ok", "workspace": "unknown", "next_heartbeat_after": 60}),
    );
    world.fake.script("POST", BEAT, [unknown, taken(60.0)]);
    let _stop = start(&world);
    world
        .fake
        .wait_for_requests("POST", "/registry/register", 2)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_beat_is_sent_when_it_is_told_to_end() {
    let world = World::start().await;
    let stop = beat(&world, 60.0);
    beats(&world, 1).await;
    stop.cancel();
    beats(&world, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_beat_says_how_the_turns_ended() {
    let world = World::start().await;
    let stop = beat(&world, 0.05);
    let mut turn = world.vitals.begin("count the ships");
    let is_busy = |beat: &Received| beat.json()["active_tasks"] == 1;
    assert!(wait_until(SOON, || sent(&world).iter().any(is_busy)).await);
    stop.cancel();
    // It goes on while the turn does: a lease can be shorter than a drain.
    let before = sent(&world).len();
    beats(&world, before + 3).await;
    turn.answered();
    drop(turn);
    let is_over = |beat: &Received| {
        let beat = beat.json();
        beat["active_tasks"] == 0 && beat["turn_progress"]["answered"] == 1
    };
    assert!(wait_until(SOON, || sent(&world).last().is_some_and(is_over)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_hangs_does_not_hold_the_end_up() {
    let world = World::start().await;
    registers(&world);
    world
        .fake
        .script("POST", BEAT, [taken(0.05), Scripted::Hang]);
    let (stop, task) = started(&world);
    beats(&world, 2).await;
    let asked = Instant::now();
    stop.cancel();
    task.await.unwrap();
    assert!(
        asked.elapsed() < Duration::from_secs(8),
        "{:?}",
        asked.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_last_turn_is_the_end_whatever_the_pause_after_beats_that_failed() {
    let world = World::start().await;
    registers(&world);
    // After the fourth beat that fails the next one is due in about eight seconds.
    let busy = Scripted::json(503, json!({"error": "try again"}));
    world.fake.answer("POST", BEAT, busy);
    let (stop, task) = started(&world);
    let turn = world.vitals.begin("count the ships");
    beats(&world, 2).await;
    stop.cancel();
    beats(&world, 4).await;
    let ended = Instant::now();
    drop(turn);
    task.await.unwrap();
    let took = ended.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_of_who_was_replaced_is_none() {
    let world = World::start().await;
    let replaced = json!({"status": "registered", "superseded": true, "epoch": 3});
    let replaced = Scripted::json(200, replaced);
    world.fake.answer("POST", "/registry/register", replaced);
    let busy = Scripted::json(503, json!({"error": "try again"}));
    world.fake.answer("POST", BEAT, busy);
    let _stop = start(&world);
    let vitals = &world.vitals;
    assert!(wait_until(SOON, || vitals.standing() == Standing::Superseded).await);
}

fn sent(world: &World) -> Vec<Received> {
    world.fake.requests_to("POST", BEAT)
}
