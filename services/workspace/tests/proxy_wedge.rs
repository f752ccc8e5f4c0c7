//! Wedges found from outside, and what ends them, over real sockets.
#![allow(clippy::unwrap_used)]

mod proxy_support;

use std::time::{Duration, Instant};

use candor_testkit::a2a_agent::{A2aAgent, Behaviour, Gate, Pause};
use candor_testkit::http::Call;
use candor_testkit::wait::{wait_for, wait_until};
use candor_workspace::proxy::ProxySettings;
use proxy_support::{NEVER, SOON, Sidecar, patient, read, send, stream, told};
use serde_json::json;

const CARD: &str = "/.well-known/agent-card.json";
const TICK: Duration = Duration::from_millis(50);

/// Canaries often, and patience with each for that long.
fn watchful(agent: &str, canary_timeout: Duration) -> ProxySettings {
    ProxySettings {
        canary_every: TICK,
        canary_timeout,
        ..patient(agent)
    }
}

#[tokio::test]
async fn a_silent_agent_is_wedged_to_everybody_until_it_answers() {
    let agent = A2aAgent::start().await.unwrap();
    agent.set(Behaviour::NeverRead);
    let mut sidecar = Sidecar::start(ProxySettings {
        canary_every: Duration::from_secs(1),
        canary_timeout: TICK,
        ..patient(&agent.url())
    })
    .await;
    sidecar.watch();
    let reason = sidecar.wait_for_wedge().await;
    assert!(
        reason.starts_with("no answer from the agent for "),
        "{reason}"
    );
    assert!(
        reason.ends_with("the last one: no answer within 0.05 s"),
        "{reason}"
    );
    let report = sidecar.vitals.report();
    assert_eq!(
        (report.runtime_state, &report.sample_error),
        ("wedged", &reason)
    );
    let health = sidecar.ask(Call::get("/healthz")).await;
    assert_eq!(health.json(), json!({"status": "wedged", "reason": reason}));
    assert_eq!(health.status, 503);

    // One message is tried; the others know at once.
    let (mut client, call) = (sidecar.client(), send("tried"));
    let tried = tokio::spawn(async move { client.send(call).await.unwrap() });
    assert!(wait_until(SOON, || sidecar.vitals.active() == 1).await);
    let refused = sidecar.ask(send("refused")).await;
    let words = format!("the agent is wedged: {reason}");
    assert_eq!(told(&refused), (503, "WEDGED".into(), words));
    assert_eq!(refused.header("retry-after"), "1");

    agent.set(Behaviour::Echo);
    assert_eq!(tried.await.unwrap().status, 200);
    sidecar.wait_for_health().await;
    assert_eq!(sidecar.ask(Call::get("/healthz")).await.status, 200);
    assert_eq!(sidecar.ask(send("m")).await.status, 200);
    let ids = agent.message_ids();
    assert!(!ids.contains(&"refused".to_owned()), "{ids:?}");
}

#[tokio::test]
async fn a_canary_that_is_answered_ends_the_wedge_without_any_message() {
    let agent = A2aAgent::start().await.unwrap();
    agent.set_at(CARD, Behaviour::Hang);
    let mut sidecar = Sidecar::start(watchful(&agent.url(), TICK)).await;
    sidecar.watch();
    sidecar.wait_for_wedge().await;
    // Any answer is one: an agent without a card answers, too.
    agent.set(Behaviour::status(404, &json!({})));
    agent.set_at(CARD, Behaviour::status(404, &json!({})));
    sidecar.wait_for_health().await;
    // What a gateway says in its place is none.
    agent.set_at(CARD, Behaviour::status(502, &json!({})));
    let reason = sidecar.wait_for_wedge().await;
    assert!(
        reason.ends_with("HTTP 502 from what stands before the agent"),
        "{reason}"
    );
}

#[tokio::test]
async fn an_agent_that_is_gone_is_wedged_and_its_successor_is_not() {
    let agent = A2aAgent::start().await.unwrap();
    let (address, url) = (agent.address(), agent.url());
    let mut sidecar = Sidecar::start(watchful(&url, SOON)).await;
    sidecar.watch();
    agent.wait_for_requests(1).await.unwrap();
    agent.stop().await.unwrap();
    let reason = sidecar.wait_for_wedge().await;
    assert!(
        reason.starts_with(&format!("nobody listens at {url}/: ")),
        "{reason}"
    );
    let _successor = A2aAgent::start_at(address, false).await.unwrap();
    sidecar.wait_for_health().await;
}

#[tokio::test]
async fn who_said_that_it_works_on_and_is_gone_is_wedged() {
    let agent = A2aAgent::start().await.unwrap();
    let url = agent.url();
    let mut sidecar = Sidecar::start(watchful(&url, SOON)).await;
    let working = json!({"jsonrpc": "2.0", "id": "m", "result": {"kind": "task", "id": "t",
        "contextId": "c", "status": {"state": "working"}}});
    agent.set(Behaviour::status(200, &working));
    assert_eq!(sidecar.ask(send("m")).await.status, 200);
    assert_eq!(sidecar.vitals.report().progress.answered, 1);
    agent.stop().await.unwrap();
    sidecar.watch();
    let reason = sidecar.wait_for_wedge().await;
    assert!(
        reason.starts_with(&format!("nobody listens at {url}/: ")),
        "{reason}"
    );
}

#[tokio::test]
async fn messages_that_nobody_takes_are_evidence_without_any_canary() {
    let agent = A2aAgent::start().await.unwrap();
    let url = agent.url();
    agent.stop().await.unwrap();
    let sidecar = Sidecar::start(watchful(&url, SOON)).await;
    let begun = Instant::now();
    let wedged = || async {
        let refused = told(&sidecar.ask(send("m")).await);
        assert!(
            ["AGENT_NOT_REACHED", "WEDGED"].contains(&&*refused.1),
            "{refused:?}"
        );
        sidecar.vitals.is_wedged().then_some(())
    };
    wait_for("a wedge", SOON, wedged).await.unwrap();
    assert!(begun.elapsed() >= TICK, "a burst is one of them");
    let reason = sidecar.wait_for_wedge().await;
    assert!(
        reason.starts_with(&format!("nobody listens at {url}/: ")),
        "{reason}"
    );
}

#[tokio::test]
async fn messages_without_an_answer_are_a_wedge_whatever_the_card_says() {
    let agent = A2aAgent::start().await.unwrap();
    let gate = Gate::closed();
    agent.set(Behaviour::slow(Pause::Until(gate.clone())));
    agent.set_at(CARD, Behaviour::status(200, &json!({"url": agent.url()})));
    let mut sidecar = Sidecar::start(ProxySettings {
        idle_timeout: Duration::from_millis(100),
        ..watchful(&agent.url(), SOON)
    })
    .await;
    sidecar.watch();
    for n in 0..3 {
        assert!(!sidecar.vitals.is_wedged());
        // One that began and stopped is as good as none.
        let call = if n == 1 { stream("s") } else { send("m") };
        assert_eq!(told(&sidecar.ask(call).await).1, "NO_ANSWER");
    }
    let reason = sidecar.wait_for_wedge().await;
    assert!(reason.contains("3 messages in a row got none"), "{reason}");
    // Canaries are answered all the time, and reading works.
    let canaries = || {
        agent
            .requests()
            .iter()
            .filter(|one| one.path() == CARD)
            .count()
    };
    let before = canaries();
    assert!(wait_until(SOON, || canaries() > before + 3).await);
    assert!(
        sidecar.vitals.is_wedged(),
        "a card proves nothing about messages"
    );
    // Those three are listened to all the same: a late answer is one.
    gate.open();
    sidecar.wait_for_health().await;
    let progress = sidecar.vitals.report().progress;
    assert_eq!((progress.begun, progress.failed), (3, 3));
}

#[tokio::test]
async fn a_stuck_agent_whose_server_keeps_its_streams_open_is_wedged_by_its_messages() {
    let agent = A2aAgent::start().await.unwrap();
    let gate = Gate::closed();
    agent.set(Behaviour::Pings(Duration::from_millis(10), gate.clone()));
    agent.set_at(CARD, Behaviour::status(200, &json!({"url": agent.url()})));
    let mut sidecar = Sidecar::start(ProxySettings {
        idle_timeout: Duration::from_millis(300),
        ..watchful(&agent.url(), SOON)
    })
    .await;
    sidecar.watch();
    for n in 0..3 {
        assert!(!sidecar.vitals.is_wedged());
        let answer = sidecar.ask(stream("s")).await;
        let text = answer.text();
        // What the server sends is passed on as it is.
        assert!(
            text.starts_with(": ping\r\n\r\n: ping\r\n\r\n"),
            "{n}: {text}"
        );
        assert!(
            text.contains("nothing came from the agent for 0.3 s"),
            "{n}: {text}"
        );
    }
    let reason = sidecar.wait_for_wedge().await;
    assert!(reason.contains("3 messages in a row got none"), "{reason}");
    let progress = sidecar.vitals.report().progress;
    assert_eq!((progress.failed, progress.moved), (3, 0));
    gate.open();
    sidecar.wait_for_health().await;
}

#[tokio::test]
async fn the_head_of_a_stream_gives_its_agent_no_more_time() {
    let agent = A2aAgent::start().await.unwrap();
    let sidecar = Sidecar::start(ProxySettings {
        idle_timeout: Duration::from_millis(200),
        // Before a second budget would be over.
        ceiling: Duration::from_millis(300),
        ..patient(&agent.url())
    })
    .await;
    agent.set(Behaviour::Stream(1, Gate::closed()));
    let text = sidecar.ask(stream("s")).await.text();
    assert!(
        text.contains("nothing came from the agent for 0.2 s"),
        "{text}"
    );
}

#[tokio::test]
async fn a_message_of_whose_answer_nothing_came_by_its_ceiling_is_unanswered() {
    let agent = A2aAgent::start().await.unwrap();
    let gate = Gate::closed();
    let sidecar = Sidecar::start(ProxySettings {
        ceiling: Duration::from_millis(300),
        unanswered_limit: 1,
        ..patient(&agent.url())
    })
    .await;
    // A part of it came.
    agent.set(Behaviour::Stream(2, gate.clone()));
    gate.raise();
    let text = sidecar.ask(stream("s1")).await.text();
    assert!(text.contains("event 1") && text.contains("no whole answer within 0.3 s"));
    assert!(!sidecar.vitals.is_wedged());
    agent.set(Behaviour::Pings(Duration::from_millis(10), Gate::closed()));
    let text = sidecar.ask(stream("s2")).await.text();
    assert!(text.contains("no whole answer within 0.3 s"), "{text}");
    let reason = sidecar.wait_for_wedge().await;
    assert!(
        reason.contains("1 messages in a row got none, with 0 s or more"),
        "{reason}"
    );
}

#[tokio::test]
async fn one_message_that_is_answered_after_all_ends_the_wedge() {
    let agent = A2aAgent::start().await.unwrap();
    agent.set(Behaviour::Hang);
    let sidecar = Sidecar::start(ProxySettings {
        idle_timeout: Duration::from_millis(50),
        unanswered_limit: 1,
        ..patient(&agent.url())
    })
    .await;
    sidecar.ask(send("m1")).await;
    sidecar.wait_for_wedge().await;
    agent.set(Behaviour::Task);
    assert_eq!(sidecar.ask(read()).await.status, 200);
    assert!(
        sidecar.vitals.is_wedged(),
        "reading proves nothing about messages"
    );
    // The one that is tried, since canaries are sent that seldom.
    assert_eq!(sidecar.ask(send("m2")).await.status, 200);
    assert!(!sidecar.vitals.is_wedged());
}

#[tokio::test]
async fn an_agent_with_one_thread_is_busy_and_not_wedged() {
    let agent = A2aAgent::single_threaded().await.unwrap();
    let gate = Gate::closed();
    agent.set(Behaviour::Stream(3, gate.clone()));
    agent.set_at(CARD, Behaviour::status(200, &json!({"url": agent.url()})));
    let mut sidecar = Sidecar::start(watchful(&agent.url(), TICK)).await;
    let mut opened = sidecar.client().open(stream("s")).await.unwrap();
    sidecar.watch();
    let connections = || agent.counts().connections;
    for n in 1..=3 {
        // A canary waits behind the message, in vain, for time enough for several.
        let since = Instant::now();
        let is_over = || sidecar.vitals.is_wedged() || since.elapsed() > TICK * 8;
        assert!(wait_until(SOON, is_over).await);
        let report = sidecar.vitals.report();
        assert_eq!((report.runtime_state, report.active_tasks), ("", 1));
        assert_eq!(connections(), 1, "nobody else is served");
        gate.raise();
        opened
            .read_until(&format!("event {n}"), SOON)
            .await
            .unwrap();
    }
    while opened.next(SOON).await.unwrap().is_some() {}
    drop(opened);
    assert!(wait_until(SOON, || sidecar.vitals.report().progress.answered == 1).await);
    // It answers canaries again.
    let before = agent.counts().answered;
    assert!(wait_until(SOON, || agent.counts().answered > before + 2).await);
    assert!(!sidecar.vitals.is_wedged());
}

#[tokio::test]
async fn an_agent_that_is_silent_past_its_budget_is_wedged_at_the_next_canary() {
    let agent = A2aAgent::single_threaded().await.unwrap();
    let gate = Gate::closed();
    agent.set(Behaviour::slow(Pause::Until(gate.clone())));
    let budget = Duration::from_millis(600);
    let mut sidecar = Sidecar::start(ProxySettings {
        idle_timeout: budget,
        unanswered_limit: 1_000,
        ..watchful(&agent.url(), TICK)
    })
    .await;
    let began = Instant::now();
    let (mut client, call) = (sidecar.client(), send("m"));
    let asking = tokio::spawn(async move { client.send(call).await.unwrap() });
    agent.wait_for_requests(1).await.unwrap();
    sidecar.watch();
    let reason = sidecar.wait_for_wedge().await;
    assert!(began.elapsed() >= budget, "{:?}: {reason}", began.elapsed());
    assert_eq!(told(&asking.await.unwrap()).1, "NO_ANSWER");
    gate.open();
    sidecar.wait_for_health().await;
}

#[tokio::test]
async fn a_sidecar_that_is_told_to_end_stops_asking() {
    let agent = A2aAgent::start().await.unwrap();
    let sidecar = Sidecar::start(ProxySettings {
        canary_every: NEVER,
        ..patient(&agent.url())
    })
    .await;
    let stop = tokio_util::sync::CancellationToken::new();
    let watching = tokio::spawn(sidecar.proxy.clone().watch(stop.clone()));
    agent.wait_for_requests(1).await.unwrap();
    stop.cancel();
    watching.await.unwrap().unwrap();
}
