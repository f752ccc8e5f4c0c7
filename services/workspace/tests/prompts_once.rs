//! The initial and the idle prompt, over real sockets.
#![allow(clippy::unwrap_used)]

mod support;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use candor_testkit::fake_platform::Scripted;
use candor_testkit::wait::wait_until;
use candor_workspace::prompts::idle::{IdlePrompt, IdleSettings};
use candor_workspace::prompts::initial::{InitialPrompt, InitialSettings, MARKER};
use candor_workspace::registration::Announced;
use candor_workspace::vitals::Standing;
use serde_json::json;
use support::{World, answered, message_id, own, text};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_secs(20);

const QUICK: InitialSettings = InitialSettings {
    answer_within: Duration::from_secs(20),
    attempts: 5,
    backoff: Duration::from_millis(5),
};

const IDLE: IdleSettings = IdleSettings {
    interval: Duration::from_millis(200),
    answer_within: Duration::from_secs(20),
};

type Task = JoinHandle<Result<(), Infallible>>;

struct Initial {
    announced: watch::Sender<Announced>,
    stop: CancellationToken,
    task: Task,
}

impl Initial {
    fn start(world: &World, is_registered: bool, settings: InitialSettings) -> Self {
        let (configs, platform) = (world.configs.path(), world.platform.clone());
        let prompt = InitialPrompt::new(
            configs,
            platform,
            Arc::clone(&world.vitals),
            "begin".to_owned(),
            settings,
        );
        let state = if is_registered {
            Announced::Done
        } else {
            Announced::NotYet
        };
        let (announced, receiver) = watch::channel(state);
        let stop = CancellationToken::new();
        let task = tokio::spawn(prompt.run(receiver, stop.clone()));
        Self {
            announced,
            stop,
            task,
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

fn is_marked(world: &World) -> bool {
    world.configs.path().join(MARKER).exists()
}

#[tokio::test]
async fn the_initial_prompt_waits_for_the_registration_and_marks_before_it_sends() {
    let world = World::start().await;
    let marker = world.configs.path().join(MARKER);
    world.fake.answer_with("POST", &own("a2a"), move |_| {
        assert!(
            marker.exists(),
            "the marker is there before the first attempt"
        );
        answered("begun")
    });
    let prompt = Initial::start(&world, false, QUICK);
    assert!(!is_marked(&world));
    prompt.announced.send_replace(Announced::Done);
    let sent = world.wait_for_self_messages(1).await;
    assert_eq!(text(&sent[0]), "begin");
    assert!(is_marked(&world));
    prompt.stop().await;
    // Another start of the same workspace.
    let prompt = Initial::start(&world, true, QUICK);
    prompt.stop().await;
    assert_eq!(world.self_messages().len(), 1);
    world.assert_proven();
}

#[tokio::test]
async fn a_process_that_ends_before_it_is_registered_leaves_the_prompt_to_the_next() {
    let world = World::start().await;
    world.fake.answer("POST", &own("a2a"), answered("begun"));
    Initial::start(&world, false, QUICK).stop().await;
    assert!(!is_marked(&world));
    let prompt = Initial::start(&world, true, QUICK);
    world.wait_for_self_messages(1).await;
    prompt.stop().await;
}

#[tokio::test]
async fn a_crash_loop_sends_the_prompt_once() {
    let world = World::start().await;
    world.fake.answer("POST", &own("a2a"), Scripted::Hang);
    for _ in 0..4 {
        let prompt = Initial::start(&world, true, QUICK);
        world.wait_for_self_messages(1).await;
        // As kill -9.
        prompt.task.abort();
        assert!(prompt.task.await.unwrap_err().is_cancelled());
    }
    assert_eq!(world.self_messages().len(), 1);
}

#[tokio::test]
async fn what_is_refused_is_tried_again_as_the_same_message_five_times() {
    let world = World::start().await;
    let refused = Scripted::json(503, json!({"error": "workspace has no URL"}));
    world.fake.answer("POST", &own("a2a"), refused.clone());
    let begun = Instant::now();
    let prompt = Initial::start(&world, true, QUICK);
    let sent = world.wait_for_self_messages(5).await;
    // Half of 5 + 10 + 20 + 40 ms at least.
    assert!(begun.elapsed() >= Duration::from_millis(37));
    prompt.stop().await;
    assert_eq!(sent.len(), 5);
    assert!(
        sent.iter()
            .all(|one| message_id(one) == message_id(&sent[0]))
    );
}

#[tokio::test]
async fn what_may_have_arrived_is_not_sent_again() {
    let unknown = json!({"error": "busy", "busy": true, "delivery_unknown": true});
    for answer in [Scripted::Hang, Scripted::json(503, unknown)] {
        let world = World::start().await;
        let later = Scripted::json(503, json!({"error": "no URL"}));
        world
            .fake
            .script("POST", &own("a2a"), [later, answer, answered("again")]);
        let settings = InitialSettings {
            answer_within: Duration::from_millis(300),
            ..QUICK
        };
        let prompt = Initial::start(&world, true, settings);
        world.wait_for_self_messages(2).await;
        let idle = Idle::start(&world, "are you there?");
        let sent = world.wait_for_self_messages(3).await;
        assert_eq!(text(&sent[2]), "are you there?");
        idle.stop().await;
        prompt.stop().await;
    }
}

struct Idle {
    stop: CancellationToken,
    task: Task,
}

impl Idle {
    fn start(world: &World, words: &str) -> Self {
        let vitals = Arc::clone(&world.vitals);
        let prompt = IdlePrompt::new(world.platform.clone(), vitals, words.to_owned(), IDLE);
        let stop = CancellationToken::new();
        let task = tokio::spawn(prompt.run(stop.clone()));
        Self { stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn the_idle_prompt_comes_after_each_interval_without_a_turn() {
    let world = World::start().await;
    world
        .fake
        .answer("POST", &own("a2a"), answered("nothing to do"));
    let begun = Instant::now();
    let idle = Idle::start(&world, "look for work");
    let sent = world.wait_for_self_messages(2).await;
    assert!(begun.elapsed() >= 2 * IDLE.interval);
    assert_eq!(text(&sent[1]), "look for work");
    assert_ne!(message_id(&sent[0]), message_id(&sent[1]));
    idle.stop().await;
    world.assert_proven();
}

#[tokio::test]
async fn an_agent_that_works_or_is_wedged_or_retired_is_not_idle() {
    let world = World::start().await;
    world
        .fake
        .answer("POST", &own("a2a"), answered("nothing to do"));
    let turn = world.vitals.begin("a long task");
    let idle = Idle::start(&world, "look for work");
    // Turns that come and go begin the interval anew; time passes until it would be over.
    let begun = Instant::now();
    let busy = wait_until(SOON, || {
        drop(world.vitals.begin("a short task"));
        begun.elapsed() >= 3 * IDLE.interval
    });
    assert!(busy.await);
    assert!(world.self_messages().is_empty());
    drop(turn);
    world.vitals.stand(Standing::Superseded);
    let begun = Instant::now();
    assert!(wait_until(SOON, || begun.elapsed() >= 2 * IDLE.interval).await);
    world.vitals.stand(Standing::Current);
    assert!(world.self_messages().is_empty());
    world.wait_for_self_messages(1).await;
    world.vitals.mark_wedged("stuck");
    let before = world.self_messages().len();
    let begun = Instant::now();
    assert!(wait_until(SOON, || begun.elapsed() >= 2 * IDLE.interval).await);
    assert!(
        world.self_messages().len() <= before + 1,
        "one may have been on its way"
    );
    idle.stop().await;
}

#[tokio::test]
async fn an_instance_that_was_replaced_leaves_the_prompt_to_the_other() {
    let world = World::start().await;
    world.vitals.stand(Standing::Superseded);
    let prompt = Initial::start(&world, true, InitialSettings::default());
    prompt.stop().await;
    assert!(!is_marked(&world) && world.self_messages().is_empty());
}
