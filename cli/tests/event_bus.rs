//! Events across registries, and cursors into a log that forgets.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use candor_proto::registry::v1::WatchEventsRequest;
use candor_proto::registry::v1::registry_service_client::RegistryServiceClient;
use candor_testkit::agent::{FakeAgent, Mood};
use candor_testkit::http::{Call, Client};
use candor_testkit::platform::{Binaries, Platform};
use candor_testkit::postgres::{self, Postgres};
use candor_testkit::wait::wait_for;
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tonic::Code;

const SOON: Duration = Duration::from_secs(15);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn database() -> (Postgres, String, Binaries) {
    let postgres = Postgres::start_new().await.unwrap();
    let url = postgres.create_database().await.unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    binaries.migrate(&url).unwrap();
    (postgres, url, binaries)
}

/// The types of events that a socket sees, until one of them is `last`.
async fn types_until(gateway: &Platform, since: &str, last: &str) -> Vec<String> {
    let url = format!("ws://{}/ws{since}", gateway.http());
    let (mut socket, _) = connect_async(url).await.unwrap();
    let mut seen = Vec::new();
    while seen.last().is_none_or(|newest| newest != last) {
        let message = tokio::time::timeout(SOON, socket.next()).await.unwrap();
        if let Message::Text(text) = message.unwrap().unwrap() {
            let event: Value = serde_json::from_str(&text).unwrap();
            seen.push(event["event"].as_str().unwrap().to_owned());
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_stored_reaches_the_followers_of_every_registry() {
    let (_postgres, url, binaries) = database().await;
    let one = binaries.registry(&url, &[]).await.unwrap();
    let two = binaries.registry(&url, &[]).await.unwrap();
    let log = binaries.activity_log(&url, one.grpc(), &[]).await.unwrap();
    let address = format!("http://{}", log.grpc());
    let env = [("CANDOR_ACTIVITY_LOG", address.as_str())];
    let left = binaries.gateway(one.grpc(), &env).await.unwrap();
    let right = binaries.gateway(two.grpc(), &env).await.unwrap();
    let mut client = Client::new(left.http());
    let mut agent = FakeAgent::enrolled(&mut client, "seen").await.unwrap();
    heard(&mut agent, &mut client, &right).await;

    // Everything is told to the first registry, the socket follows the second.
    let url = format!("ws://{}/ws", right.http());
    let (mut socket, _) = connect_async(url).await.unwrap();
    for round in 0..3 {
        agent.mood = Mood::Partial {
            current_task: format!("task {round}"),
        };
        agent.beat(&mut client).await.unwrap();
        let target = format!("/workspaces/{}/notify", agent.id);
        let notify = Call::post(target, &json!({"message": round.to_string()}));
        let sent = client.send(notify.bearer(&agent.token)).await.unwrap();
        assert_eq!(sent.status, 200);
    }
    let (mut words, mut tasks) = (Vec::new(), Vec::new());
    while words.len() < 3 || tasks.len() < 3 {
        let message = tokio::time::timeout(SOON, socket.next()).await.unwrap();
        let Message::Text(text) = message.unwrap().unwrap() else {
            continue;
        };
        let event: Value = serde_json::from_str(&text).unwrap();
        match event["event"].as_str().unwrap() {
            "AGENT_MESSAGE" => words.push(event["payload"]["message"].clone()),
            "TASK_UPDATED" => tasks.push(event["payload"]["current_task"].clone()),
            _ => {}
        }
    }
    assert_eq!(words, ["0", "1", "2"]);
    assert_eq!(tasks, ["task 0", "task 1", "task 2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_into_what_is_forgotten_is_told_so() {
    let (_postgres, url, binaries) = database().await;
    let days = [("CANDOR_EVENT_RETENTION_DAYS", "1")];
    let mut registry = binaries.registry(&url, &days).await.unwrap();
    let gateway = binaries.gateway(registry.grpc(), &[]).await.unwrap();
    let mut client = Client::new(gateway.http());
    for n in 0..3 {
        FakeAgent::create(&mut client, &format!("old {n}"))
            .await
            .unwrap();
    }
    wait_for("every event's seq", SOON, || async {
        let drawn = "SELECT count(*) FROM structure_events WHERE seq IS NOT NULL";
        (postgres::count(&url, drawn).await.ok()? == 6).then_some(())
    })
    .await
    .unwrap();
    let age = "UPDATE structure_events SET created_at = now() - interval '2 days' WHERE seq <= 4";
    postgres::execute(&url, age).await.unwrap();
    // It looks when it starts.
    registry.process().kill9();
    let address = registry.grpc().to_string();
    let registry = binaries.registry_at(&address, &url, &days).await.unwrap();
    wait_for("retention", SOON, || async {
        let left = "SELECT count(*) FROM structure_events";
        (postgres::count(&url, left).await.ok()? == 2).then_some(())
    })
    .await
    .unwrap();

    let mut watcher = RegistryServiceClient::new(registry.channel().await.unwrap());
    let since = |seq| WatchEventsRequest {
        since_seq: Some(seq),
        ..WatchEventsRequest::default()
    };
    let expired = watcher.watch_events(since(3)).await.unwrap_err();
    assert_eq!(expired.code(), Code::NotFound);
    for seq in [0, 4] {
        let mut events = watcher.watch_events(since(seq)).await.unwrap().into_inner();
        assert_eq!(events.message().await.unwrap().unwrap().seq, 5);
    }
    let socket = format!("ws://{}/ws?since_seq=3", gateway.http());
    let refused = wait_for("the gateway", SOON, || async {
        match connect_async(&socket).await {
            Err(SocketError::Http(answer)) if answer.status() != 503 => Some(answer.status()),
            _ => None,
        }
    });
    assert_eq!(refused.await.unwrap(), 410);
    let seen = types_until(&gateway, "?since_seq=0", "WORKSPACE_PROVISION_FAILED").await;
    assert_eq!(
        seen,
        ["WORKSPACE_PROVISIONING", "WORKSPACE_PROVISION_FAILED"]
    );
}

/// What one connection of a socket got: how many messages had been begun when it
/// was opened, and the numbers it was told until it was closed.
async fn hear(gateway: &Platform, begun: &AtomicU64) -> (u64, Vec<u64>) {
    let url = format!("ws://{}/ws", gateway.http());
    let opened = wait_for("the gateway", SOON, || async {
        connect_async(&url).await.ok().map(|(socket, _)| socket)
    });
    let mut socket = opened.await.unwrap();
    let before = begun.load(Ordering::SeqCst);
    let mut heard = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Text(text) = message {
            let event: Value = serde_json::from_str(&text).unwrap();
            let said = event["payload"]["message"].as_str();
            heard.extend(said.and_then(|text| text.parse::<u64>().ok()));
        }
        if heard.last() == Some(&MESSAGES) {
            break;
        }
    }
    (before, heard)
}

const MESSAGES: u64 = 400;

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_joins_misses_nothing_without_saying_so() {
    let (_postgres, url, binaries) = database().await;
    let one = binaries.registry(&url, &[]).await.unwrap();
    let log = binaries.activity_log(&url, one.grpc(), &[]).await.unwrap();
    let address = format!("http://{}", log.grpc());
    let env = [("CANDOR_ACTIVITY_LOG", address.as_str())];
    let left = binaries.gateway(one.grpc(), &env).await.unwrap();
    let mut client = Client::new(left.http());
    let agent = FakeAgent::enrolled(&mut client, "talks").await.unwrap();
    let begun = AtomicU64::new(0);
    let talking = async {
        // At a pace at which somebody can join in the middle.
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        for number in 1..=MESSAGES {
            pace.tick().await;
            begun.store(number, Ordering::SeqCst);
            let target = format!("/workspaces/{}/notify", agent.id);
            let notify = Call::post(target, &json!({"message": number.to_string()}));
            let sent = client.send(notify.bearer(&agent.token)).await.unwrap();
            assert_eq!(sent.status, 200);
        }
    };
    let joining = async {
        let two = binaries.registry(&url, &[]).await.unwrap();
        let right = binaries.gateway(two.grpc(), &env).await.unwrap();
        let mut connections = Vec::new();
        while connections
            .last()
            .is_none_or(|(_, heard): &(u64, Vec<u64>)| heard.last() != Some(&MESSAGES))
        {
            let heard = tokio::time::timeout(SOON, hear(&right, &begun)).await;
            connections.push(heard.unwrap());
            assert!(connections.len() < 50, "cut again and again");
        }
        connections
    };
    let ((), connections) = tokio::join!(talking, joining);
    for (before, heard) in &connections {
        assert!(
            heard.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "{heard:?}"
        );
        if heard.last() == Some(&MESSAGES) {
            assert!(heard[0] <= before + 1, "{} after {before}", heard[0]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_are_cut_when_another_registry_dies_with_what_it_knew() {
    let (_postgres, url, binaries) = database().await;
    let mut one = binaries.registry(&url, &[]).await.unwrap();
    let two = binaries.registry(&url, &[]).await.unwrap();
    let right = binaries.gateway(two.grpc(), &[]).await.unwrap();
    let replicas = "/metrics";
    let others = async || {
        let mut admin = Client::new(two.admin());
        let metrics = admin.send(Call::get(replicas)).await.ok()?.text();
        let line = metrics
            .lines()
            .find(|line| line.starts_with("candor_registry_replicas "))?;
        line.strip_prefix("candor_registry_replicas ")?
            .parse::<u32>()
            .ok()
    };
    wait_for("both registries", SOON, || async {
        (others().await? == 2).then_some(())
    })
    .await
    .unwrap();
    let socket = format!("ws://{}/ws", right.http());
    let opened = wait_for("the gateway", SOON, || async {
        connect_async(&socket).await.ok().map(|(socket, _)| socket)
    });
    let mut socket = opened.await.unwrap();
    one.process().kill9();
    let ended = async { while let Some(Ok(_)) = socket.next().await {} };
    tokio::time::timeout(SOON, ended).await.expect("still open");
    wait_for("one registry", SOON, || async {
        (others().await? == 1).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_changes_back_through_another_registry_is_told() {
    let (_postgres, url, binaries) = database().await;
    let one = binaries.registry(&url, &[]).await.unwrap();
    let two = binaries.registry(&url, &[]).await.unwrap();
    let left = binaries.gateway(one.grpc(), &[]).await.unwrap();
    let right = binaries.gateway(two.grpc(), &[]).await.unwrap();
    let (mut by_left, mut by_right) = (Client::new(left.http()), Client::new(right.http()));
    let mut agent = FakeAgent::enrolled(&mut by_left, "moves").await.unwrap();
    // What each registry told before it knew of the other is missing, and said to
    // be; sockets that are opened after that stay.
    heard(&mut agent, &mut by_left, &right).await;
    heard(&mut agent, &mut by_right, &left).await;
    let mut sockets = Vec::new();
    for gateway in [&left, &right] {
        let url = format!("ws://{}/ws", gateway.http());
        sockets.push(connect_async(url).await.unwrap().0);
    }
    for (n, task) in ["x", "y", "x", "y"].into_iter().enumerate() {
        agent.mood = Mood::Partial {
            current_task: task.to_owned(),
        };
        let client = if n % 2 == 0 {
            &mut by_left
        } else {
            &mut by_right
        };
        agent.beat(client).await.unwrap();
        // Both registries tell it, whichever was told; then both know it.
        for socket in &mut sockets {
            assert_eq!(next_task(socket).await.unwrap(), task, "beat {n}");
        }
    }
}

/// Beats until a socket of another gateway hears of it.
async fn heard(agent: &mut FakeAgent, client: &mut Client, other: &Platform) {
    let url = format!("ws://{}/ws", other.http());
    for n in 0..30 {
        let (mut socket, _) = connect_async(&url).await.unwrap();
        let task = format!("task {n} told beside {url}");
        agent.mood = Mood::Partial {
            current_task: task.clone(),
        };
        agent.beat(client).await.unwrap();
        let told = tokio::time::timeout(Duration::from_secs(1), next_task(&mut socket));
        if told.await.is_ok_and(|told| told == Some(task)) {
            return;
        }
    }
    panic!("nothing was heard at {url}");
}

/// The next task that a socket hears of; none when it is cut.
async fn next_task(socket: &mut Socket) -> Option<String> {
    loop {
        let message = tokio::time::timeout(SOON, socket.next()).await.unwrap()?;
        let Ok(Message::Text(text)) = message else {
            continue;
        };
        let event: Value = serde_json::from_str(&text).unwrap();
        if event["event"] == "TASK_UPDATED" {
            return Some(event["payload"]["current_task"].as_str()?.to_owned());
        }
    }
}
