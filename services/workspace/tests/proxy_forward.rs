//! What passes through the sidecar, both ways, over real sockets.
#![allow(clippy::unwrap_used)]

mod proxy_support;

use std::time::Duration;

use candor_testkit::a2a_agent::{A2aAgent, Behaviour, Gate, Pause};
use candor_testkit::http::Call;
use candor_testkit::wait::{wait_for, wait_until};
use candor_workspace::executor::{Executor as _, Prompt, Turn, Updates};
use candor_workspace::proxy::ProxySettings;
use proxy_support::{SOON, Sidecar, about_task, heavy, message, patient, read, send, stream, told};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn requests_and_answers_pass_as_they_are_but_for_proofs_of_identity() {
    let agent = A2aAgent::start().await.unwrap();
    let sidecar = Sidecar::start(patient(&agent.url_of("/rpc"))).await;
    let status = Behaviour::Status {
        code: 418,
        body: "{ \"short\" :  true }".into(),
        content_type: "application/a2a+json".to_owned(),
        headers: vec![
            ("x-of-the-agent".into(), "1".into()),
            ("connection".into(), "x-hop".into()),
            ("x-hop".into(), "1".into()),
        ],
    };
    agent.set_at("/rpc/v1/things", status);
    let body = "{ \"jsonrpc\": \"2.0\",  \"id\": 7 , \"method\":\"own/method\" }";
    let call = Call::new(http::Method::PUT, "/v1/things?a=1&b=%20")
        .header("authorization", "Bearer secret")
        .header("cookie", "a=b")
        .header("x-workspace-id", "w")
        .header("traceparent", "00-1-1-01")
        .header("a2a-version", "1.0")
        .header("x-candor-attempt", "2")
        .body(body);
    let answer = sidecar.ask(call).await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (418, "{ \"short\" :  true }")
    );
    assert_eq!(answer.header("content-type"), "application/a2a+json");
    assert_eq!(answer.header("x-of-the-agent"), "1");
    assert_eq!(answer.header("x-hop"), "");

    let received = agent.wait_for_requests(1).await.unwrap().remove(0);
    assert_eq!(received.method, "PUT");
    assert_eq!(received.target, "/rpc/v1/things?a=1&b=%20");
    assert_eq!(received.body, body);
    assert_eq!(received.header("host"), Some(&*agent.address().to_string()));
    for (name, value) in [
        ("traceparent", "00-1-1-01"),
        ("a2a-version", "1.0"),
        ("x-candor-attempt", "2"),
    ] {
        assert_eq!(received.header(name), Some(value));
    }
    for name in ["authorization", "cookie", "x-workspace-id"] {
        assert_eq!(received.header(name), None, "{name}");
    }
    assert_eq!(sidecar.vitals.report().progress.begun, 0, "no message");
}

#[tokio::test]
async fn messages_are_turns_with_their_outcome() {
    let agent = A2aAgent::start().await.unwrap();
    let sidecar = Sidecar::start(patient(&agent.url())).await;
    let gate = Gate::closed();
    agent.set(Behaviour::slow(Pause::Until(gate.clone())));
    let (mut client, call) = (sidecar.client(), send("m1"));
    let asking = tokio::spawn(async move { client.send(call).await.unwrap() });
    agent.wait_for_requests(1).await.unwrap();
    let report = sidecar.vitals.report();
    assert_eq!(
        (report.active_tasks, report.current_task.as_str()),
        (1, "hello")
    );
    gate.open();
    let answer = asking.await.unwrap();
    assert_eq!(answer.json()["result"]["parts"][0]["text"], "echo: hello");

    for (behaviour, error) in [
        (Behaviour::RpcError, "model exploded (-32603)"),
        (
            Behaviour::status(500, &json!({})),
            "the agent answered HTTP 500",
        ),
        (Behaviour::NotJson, "the agent's answer is not JSON-RPC: "),
        (
            Behaviour::Reset,
            "the agent closed the connection without an answer; whether it \
            processed the request is unknown",
        ),
    ] {
        agent.set(behaviour);
        sidecar.ask(send("m2")).await;
        let report = || sidecar.vitals.report();
        assert!(
            wait_until(SOON, || report().sample_error.starts_with(error)).await,
            "{error}: {:?}",
            report()
        );
    }
    agent.set(Behaviour::Task);
    sidecar.ask(send("m3")).await;
    agent.set(Behaviour::stream(2));
    sidecar.ask(stream("m4")).await;
    sidecar.ask(read()).await;
    assert!(wait_until(SOON, || sidecar.vitals.active() == 0).await);
    let progress = sidecar.vitals.report().progress;
    assert_eq!(
        (progress.begun, progress.answered, progress.failed),
        (7, 3, 4)
    );
    assert!(progress.moved >= 7, "{progress:?}");
    assert!(!sidecar.vitals.is_wedged());
}

#[tokio::test]
async fn tasks_that_fail_are_failures_and_those_that_were_ended_are_neither() {
    let agent = A2aAgent::start().await.unwrap();
    let sidecar = Sidecar::start(patient(&agent.url())).await;
    let task = |state: &str, words: &str| {
        json!({"jsonrpc": "2.0", "id": "m", "result": {"kind": "task", "id": "t",
            "status": {"state": state, "message": {"parts": [{"text": words}]}}}})
    };
    let events = |body: String| Behaviour::Status {
        code: 200,
        body: body.into(),
        content_type: "text/event-stream".to_owned(),
        headers: vec![],
    };
    let answered = |failed: u64| {
        let progress = sidecar.vitals.report().progress;
        progress.failed == failed && sidecar.vitals.active() == 0
    };
    agent.set(Behaviour::status(200, &task("rejected", "not mine")));
    let answer = sidecar.ask(send("m")).await;
    assert_eq!(
        answer.json(),
        task("rejected", "not mine"),
        "passed as it is"
    );
    assert!(wait_until(SOON, || answered(1)).await);
    let report = sidecar.vitals.report();
    assert_eq!(
        (report.error_rate, report.sample_error.as_str()),
        (1.0, "not mine")
    );

    let (first, last) = (task("working", "..."), task("failed", "no model"));
    agent.set(events(format!("data: {first}\n\ndata: {last}\n\n")));
    sidecar.ask(stream("s")).await;
    assert!(wait_until(SOON, || answered(2)).await);
    assert_eq!(sidecar.vitals.report().sample_error, "no model");

    agent.set(events(": ping\n\n".to_owned()));
    sidecar.ask(stream("s")).await;
    assert!(wait_until(SOON, || answered(3)).await);
    let words = "the agent's stream ended without an event";
    assert_eq!(sidecar.vitals.report().sample_error, words);

    agent.set(Behaviour::status(200, &task("canceled", "")));
    sidecar.ask(send("m")).await;
    assert!(wait_until(SOON, || answered(3)).await);
    let progress = sidecar.vitals.report().progress;
    assert_eq!((progress.begun, progress.answered), (4, 0));
}

#[tokio::test]
async fn a_stream_passes_in_its_order_and_at_once() {
    let agent = A2aAgent::start().await.unwrap();
    let sidecar = Sidecar::start(patient(&agent.url())).await;
    let gate = Gate::closed();
    agent.set(Behaviour::Stream(4, gate.clone()));
    let mut opened = sidecar.client().open(stream("s")).await.unwrap();
    assert_eq!(opened.headers["content-type"], "text/event-stream");
    for n in 1..=3 {
        gate.raise();
        let read = opened
            .read_until(&format!("event {n}"), SOON)
            .await
            .unwrap();
        assert!(!read.contains(&format!("event {}", n + 1)));
    }
    gate.open();
    opened.read_until("\"final\":true", SOON).await.unwrap();
    while opened.next(SOON).await.unwrap().is_some() {}
}

#[tokio::test]
async fn a_stream_that_nobody_reads_holds_its_agent_back_and_loses_nothing() {
    // Some times more than what the buffers of the sockets hold.
    const EVENTS: usize = 150_000;
    let agent = A2aAgent::start().await.unwrap();
    let sidecar = Sidecar::start(patient(&agent.url())).await;
    agent.set(Behaviour::stream(EVENTS));
    let mut opened = sidecar.client().open(stream("s")).await.unwrap();
    let (mut written, mut times) = (0, 0);
    let is_stalled = || {
        let before = std::mem::replace(&mut written, agent.counts().written);
        times = if before == written { times + 1 } else { 0 };
        written > 0 && times == 50
    };
    assert!(wait_until(SOON, is_stalled).await);
    assert_eq!(agent.counts().answered, 0);
    let mut text = String::new();
    while let Some(piece) = opened.next(SOON).await.unwrap() {
        text.push_str(std::str::from_utf8(&piece).unwrap());
    }
    let events = text.match_indices("\"text\":\"event ").zip(1..);
    for ((at, mark), n) in events {
        assert!(
            text[at + mark.len()..].starts_with(&format!("{n}\"")),
            "event {n}"
        );
    }
    assert!(text.contains(&format!("event {EVENTS}\"")));
    assert!(wait_until(SOON, || agent.counts().answered == 1).await);
}

#[tokio::test]
async fn who_does_not_read_holds_a_place_no_longer_than_patience_lasts() {
    let agent = A2aAgent::start().await.unwrap();
    let sidecar = Sidecar::start(ProxySettings {
        idle_timeout: Duration::from_secs(1),
        concurrency: 1,
        ..patient(&agent.url())
    })
    .await;
    agent.set(Behaviour::stream(150_000));
    let mut message = sidecar.client().open(stream("s")).await.unwrap();
    assert!(wait_until(SOON, || sidecar.vitals.report().progress.answered == 1).await);
    assert!(wait_until(SOON, || sidecar.vitals.active() == 0).await);
    let subscribe = || about_task("tasks/resubscribe");
    let subscribed = sidecar.client().open(subscribe()).await.unwrap();
    let abandoned = agent.wait("an end", |counts| counts.abandoned == 1);
    abandoned.await.unwrap();
    agent.set(Behaviour::Task);
    assert_eq!(sidecar.ask(send("m")).await.status, 200);
    assert_eq!(sidecar.ask(subscribe()).await.status, 200);
    // It sees that it missed something.
    let is_whole = async {
        while let Some(_piece) = message.next(SOON).await? {}
        Ok::<_, candor_testkit::http::ClientError>(())
    };
    assert!(is_whole.await.is_err());
    drop(subscribed);
}

#[tokio::test]
async fn a_message_goes_on_when_its_caller_leaves_and_what_reads_ends() {
    let agent = A2aAgent::start().await.unwrap();
    let sidecar = Sidecar::start(patient(&agent.url())).await;
    let gate = Gate::closed();
    agent.set(Behaviour::Stream(3, gate.clone()));
    let opened = sidecar.client().open(stream("m")).await.unwrap();
    drop(opened);
    gate.open();
    let answered = || sidecar.vitals.report().progress.answered == 1;
    assert!(wait_until(SOON, answered).await, "its outcome is learnt");

    // Before its head.
    let gate = Gate::closed();
    agent.set(Behaviour::slow(Pause::Until(gate.clone())));
    let (mut client, call) = (sidecar.client(), send("m2"));
    let asking = tokio::spawn(async move { client.send(call).await });
    agent.wait_for_requests(2).await.unwrap();
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    gate.open();
    let answered = || sidecar.vitals.report().progress.answered == 2;
    assert!(wait_until(SOON, answered).await);
    assert_eq!(agent.counts().abandoned, 0);

    agent.set(Behaviour::Hang);
    let (mut client, call) = (sidecar.client(), read());
    let asking = tokio::spawn(async move { client.send(call).await });
    agent.wait_for_requests(3).await.unwrap();
    asking.abort();
    agent
        .wait("an abandoned call", |counts| counts.abandoned == 1)
        .await
        .unwrap();
}

#[tokio::test]
async fn what_goes_wrong_is_said_in_the_words_of_the_protocol() {
    let agent = A2aAgent::start().await.unwrap();
    let (short, long) = (Duration::from_millis(200), Duration::from_secs(20));
    let sidecar = Sidecar::start(ProxySettings {
        idle_timeout: short,
        ..patient(&agent.url())
    })
    .await;
    agent.set(Behaviour::Hang);
    let answer = sidecar.ask(send("m")).await;
    let words =
        "nothing came from the agent for 0.2 s; whether it processed the request is unknown";
    assert_eq!(told(&answer), (504, "NO_ANSWER".into(), words.into()));
    assert_eq!(answer.json()["id"], "m");
    assert_eq!(answer.header("content-type"), "application/json");

    agent.set(Behaviour::Eof);
    let (status, reason, words) = told(&sidecar.ask(send("m")).await);
    assert_eq!((status, reason.as_str()), (502, "ANSWER_LOST"));
    assert!(words.ends_with("is unknown"), "{words}");

    // A stream that ends in the middle says so in its last event.
    agent.set(Behaviour::Stream(2, Gate::closed()));
    let answer = sidecar.ask(stream("s")).await;
    assert_eq!(answer.status, 200);
    let text = answer.text();
    let event = text.trim().strip_prefix("data: ").unwrap();
    let event: serde_json::Value = serde_json::from_str(event).unwrap();
    assert_eq!(
        (&event["id"], &event["error"]["data"][0]["reason"]),
        (&json!("s"), &json!("NO_ANSWER"))
    );
    // What has no words of its own is cut off.
    agent.set(Behaviour::Broken);
    assert!(sidecar.client().send(send("b")).await.is_err());

    let address = agent.address();
    agent.stop().await.unwrap();
    let (status, reason, _) = told(&sidecar.ask(send("m")).await);
    assert_eq!((status, reason.as_str()), (502, "AGENT_NOT_REACHED"));

    // The ceiling ends what moves, too.
    let agent = A2aAgent::start_at(address, false).await.unwrap();
    let sidecar = Sidecar::start(ProxySettings {
        ceiling: short,
        ..patient(&agent.url())
    })
    .await;
    let pause = Pause::For(long);
    agent.set(Behaviour::slow(pause));
    let (status, _, words) = told(&sidecar.ask(send("m")).await);
    assert_eq!(status, 504);
    assert!(words.starts_with("no whole answer within 0.2 s"), "{words}");
}

#[tokio::test]
async fn there_is_room_for_so_many_messages_and_for_reading_beside_them() {
    let agent = A2aAgent::start().await.unwrap();
    let sidecar = Sidecar::start(ProxySettings {
        concurrency: 1,
        ..patient(&agent.url())
    })
    .await;
    let gate = Gate::closed();
    agent.set(Behaviour::slow(Pause::Until(gate.clone())));
    let (mut client, call) = (sidecar.client(), send("m1"));
    let asking = tokio::spawn(async move { client.send(call).await.unwrap() });
    agent.wait_for_requests(1).await.unwrap();
    let refused = sidecar.ask(send("m2")).await;
    assert_eq!((told(&refused).0, told(&refused).1.as_str()), (503, "BUSY"));
    assert_eq!(refused.header("retry-after"), "1");
    agent.set(Behaviour::Task);
    assert_eq!(sidecar.ask(read()).await.status, 200);
    gate.open();
    assert_eq!(asking.await.unwrap().status, 200);
    let huge =
        Call::post("/", &message("m", "message/send")).body("x".repeat(10 * 1024 * 1024 + 1));
    assert_eq!(sidecar.ask(huge).await.status, 413);
    assert_eq!(
        agent.counts().requests,
        2,
        "neither was given what was refused"
    );
}

#[tokio::test]
async fn subscriptions_keep_nobody_from_reading_a_task_or_from_ending_it() {
    let agent = A2aAgent::start().await.unwrap();
    let sidecar = Sidecar::start(ProxySettings {
        concurrency: 1,
        ..patient(&agent.url())
    })
    .await;
    agent.set(Behaviour::Hang);
    let mut client = sidecar.client();
    let held = tokio::spawn(async move { client.send(about_task("tasks/resubscribe")).await });
    agent.wait_for_requests(1).await.unwrap();
    agent.set(Behaviour::Task);
    for method in ["tasks/resubscribe", "SubscribeToTask"] {
        let refused = sidecar.ask(about_task(method)).await;
        assert_eq!((told(&refused).0, told(&refused).1.as_str()), (503, "BUSY"));
    }
    for method in ["tasks/get", "tasks/cancel"] {
        assert_eq!(
            sidecar.ask(about_task(method)).await.status,
            200,
            "{method}"
        );
    }
    held.abort();
    let abandoned = agent.wait("an end", |counts| counts.abandoned == 1);
    abandoned.await.unwrap();
    let subscribed = || async {
        let answer = sidecar.ask(about_task("tasks/resubscribe")).await;
        (answer.status == 200).then_some(())
    };
    let place = wait_for("a place", SOON, subscribed);
    place.await.unwrap();
}

/// So much of a body, of which one byte more never comes.
async fn unfinished(sidecar: &Sidecar, bytes: usize) -> TcpStream {
    let mut stream = TcpStream::connect(sidecar.address).await.unwrap();
    let length = bytes + 1;
    let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // Who is refused may not be read to its end.
    stream.write_all(&vec![b' '; bytes]).await.ok();
    stream
}

#[tokio::test]
async fn all_bodies_together_have_a_bound_until_they_are_sent() {
    const ALL: usize = 64 * 1024 * 1024;
    const PROBE: usize = 1_000;
    let agent = A2aAgent::start().await.unwrap();
    let sidecar = Sidecar::start(patient(&agent.url())).await;
    let probe = || sidecar.ask(heavy("probe", PROBE));
    let is_taken = || async { (probe().await.status == 200).then_some(()) };
    let each = (ALL - PROBE / 2) / 7;
    let mut held = Vec::new();
    for _ in 0..6 {
        held.push(unfinished(&sidecar, each).await);
    }
    let full = async {
        loop {
            let seventh = unfinished(&sidecar, each).await;
            // It is read meanwhile; a probe that came before it would take its room.
            for _ in 0..100 {
                sidecar.ask(Call::get("/healthz")).await;
            }
            let answer = probe().await;
            if answer.status == 503 {
                return (answer, seventh);
            }
        }
    };
    let (refused, seventh) = tokio::time::timeout(SOON, full).await.unwrap();
    assert_eq!(told(&refused).1, "BUSY");
    assert_eq!(refused.header("retry-after"), "1");
    drop((held, seventh));
    wait_for("room", SOON, is_taken).await.unwrap();

    // Seven that are whole, and that the agent does not read.
    agent.set(Behaviour::NeverRead);
    let mut asking = JoinSet::new();
    for n in 0..7 {
        let mut client = sidecar.client();
        asking.spawn(async move { client.send(heavy(&n.to_string(), each)).await });
    }
    assert!(wait_until(SOON, || sidecar.vitals.active() == 7).await);
    assert_eq!(probe().await.status, 503);
    let before = agent.counts().requests;
    agent.set(Behaviour::Hang);
    agent.wait_for_requests(before + 7).await.unwrap();
    // They are the agent's now, answered or not.
    agent.set(Behaviour::Echo);
    assert_eq!(probe().await.status, 200);
    assert_eq!(sidecar.vitals.active(), 7);
}

#[tokio::test]
async fn its_own_pages_and_the_card() {
    let agent = A2aAgent::start().await.unwrap();
    let sidecar = Sidecar::start(patient(&agent.url())).await;
    let health = sidecar.ask(Call::get("/healthz")).await;
    assert_eq!(
        (health.status, health.text().as_str()),
        (200, "{\"status\":\"ok\"}")
    );
    assert_eq!(sidecar.ask(Call::get("/transcript")).await.status, 404);
    assert_eq!(agent.counts().requests, 0);

    let card = json!({"name": "a", "url": agent.url(), "signatures": [{}]});
    let nothing = Behaviour::status(404, &json!({}));
    agent.set(nothing);
    assert_eq!(
        sidecar
            .ask(Call::get("/.well-known/agent.json"))
            .await
            .status,
        502
    );
    agent.set_at("/.well-known/agent.json", Behaviour::status(200, &card));
    for path in ["/.well-known/agent-card.json", "/.well-known/agent.json"] {
        let shown = sidecar.ask(Call::get(path)).await.json();
        assert_eq!(
            shown,
            json!({"name": "a", "url": format!("http://{}/", sidecar.address)})
        );
    }
    let own_url: url::Url = "http://sidecar.example:8000".parse().unwrap();
    sidecar.proxy.found_at(own_url.clone());
    let shown = sidecar
        .ask(Call::get("/.well-known/agent.json"))
        .await
        .json();
    assert_eq!(shown["url"], "http://sidecar.example:8000/");
    assert_eq!(sidecar.proxy.card(&own_url).await.unwrap(), shown);
    agent.set_at("/.well-known/agent.json", Behaviour::Huge(2 * 1024 * 1024));
    let refused = sidecar.proxy.card(&own_url).await.unwrap_err().to_string();
    assert!(refused.contains("larger than 1 MiB"), "{refused}");
    agent.set_at("/.well-known/agent.json", Behaviour::Hang);
    let hurried = Sidecar::start(ProxySettings {
        canary_timeout: Duration::from_millis(100),
        ..patient(&agent.url())
    })
    .await;
    let late = hurried.proxy.card(&own_url).await.unwrap_err().to_string();
    assert_eq!(late, "the agent's card did not come within 0.1 s");
}

#[tokio::test]
async fn a_turn_of_our_own_is_a_message_in_the_agents_version() {
    let agent = A2aAgent::start().await.unwrap();
    let sidecar = Sidecar::start(patient(&agent.url())).await;
    let turn = || Turn {
        prompt: Prompt {
            text: "begin".into(),
            context_id: "c".into(),
            task_id: "t".into(),
        },
        updates: Updates::channel().0,
        cancel: CancellationToken::new(),
    };
    let answer = sidecar.proxy.turn(turn()).await.unwrap();
    assert_eq!(answer.text, "echo: begin");
    let sent = agent.requests().remove(0).json();
    assert_eq!(
        (&sent["method"], &sent["params"]["message"]["role"]),
        (&json!("message/send"), &json!("user"))
    );

    let card = json!({"supportedInterfaces": [{"url": agent.url(),
        "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}]});
    agent.set_at(
        "/.well-known/agent-card.json",
        Behaviour::status(200, &card),
    );
    sidecar
        .proxy
        .card(&agent.url().parse().unwrap())
        .await
        .unwrap();
    sidecar.proxy.turn(turn()).await.unwrap();
    let sent = agent.requests().pop().unwrap();
    assert_eq!(sent.header("a2a-version"), Some("1.0"));
    assert_eq!(
        (
            &sent.json()["method"],
            &sent.json()["params"]["message"]["role"]
        ),
        (&json!("SendMessage"), &json!("ROLE_USER"))
    );

    agent.set(Behaviour::RpcError);
    let failed = sidecar.proxy.turn(turn()).await.unwrap_err().to_string();
    assert_eq!(failed, "the agent: model exploded (HTTP 200)");
    let task = json!({"jsonrpc": "2.0", "id": 1, "result": {"task": {"status": {
        "state": "TASK_STATE_FAILED", "message": {"parts": [{"text": "no model"}]}}}}});
    agent.set(Behaviour::status(200, &task));
    let failed = sidecar.proxy.turn(turn()).await.unwrap_err().to_string();
    assert_eq!(failed, "the agent: no model");
    assert_eq!(
        sidecar.vitals.report().progress.begun,
        0,
        "who asked counts it"
    );
}
