//! Events as they happen, on sockets and streams: the legacy frames, resumed
//! without a gap or a repeat, and only for those who may see them.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use candor_testkit::agent::{FakeAgent, Mood};
use candor_testkit::http::{Call, Client};
use candor_testkit::platform::{Binaries, DataDir, Platform};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message, client::IntoClientRequest};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const SOON: Duration = Duration::from_secs(5);
const STUCK: &str = "Control request timeout: initialize";

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(
    candor: &Platform,
    query: &str,
    headers: &[(&'static str, &str)],
) -> Result<Socket, SocketError> {
    let url = format!("ws://{}/ws{query}", candor.http());
    let mut request = url.into_client_request()?;
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let opened = tokio::time::timeout(SOON, connect_async(request)).await;
    Ok(opened.unwrap()?.0)
}

fn refused(outcome: Result<Socket, SocketError>) -> u16 {
    match outcome {
        Err(SocketError::Http(answer)) => answer.status().as_u16(),
        other => panic!("{other:?}"),
    }
}

/// The next event, heartbeats passed over; none when the socket is closed.
async fn next(socket: &mut Socket) -> Option<Value> {
    loop {
        let message = tokio::time::timeout(SOON, socket.next()).await.unwrap()?;
        match message.ok()? {
            Message::Text(text) => {
                let event: Value = serde_json::from_str(&text).unwrap();
                if event["event"] != "WORKSPACE_HEARTBEAT" {
                    return Some(event);
                }
            }
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

async fn until(socket: &mut Socket, event_type: &str) -> Vec<Value> {
    let mut seen = Vec::new();
    loop {
        let event = next(socket).await.unwrap();
        let found = event["event"] == event_type;
        seen.push(event);
        if found {
            return seen;
        }
    }
}

async fn up(data: &DataDir) -> Platform {
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    binaries.up(data, &[]).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canvas_sees_a_task_and_a_wedge_as_legacy_frames() {
    let data = DataDir::new().unwrap();
    let candor = up(&data).await;
    let mut client = Client::new(candor.http());
    let mut agent = FakeAgent::enrolled(&mut client, "seen").await.unwrap();
    let origin = [("origin", "http://localhost:3000")];
    let mut canvas = connect(&candor, "", &origin).await.unwrap();
    agent.mood = Mood::Partial {
        current_task: "thinking".into(),
    };
    agent.beat(&mut client).await.unwrap();
    agent.mood = Mood::Wedged {
        sample_error: STUCK.into(),
    };
    agent.beat(&mut client).await.unwrap();

    let seen = until(&mut canvas, "WORKSPACE_DEGRADED").await;
    let task = seen
        .iter()
        .find(|event| event["event"] == "TASK_UPDATED")
        .unwrap();
    assert_eq!(
        task["payload"],
        json!({"active_tasks": 0, "current_task": "thinking"})
    );
    assert!(task.get("seq").is_none(), "it is not stored");
    let wedge = seen.last().unwrap();
    assert_eq!(wedge["workspace_id"], agent.id.as_str());
    assert_eq!(
        wedge["payload"],
        json!({"runtime_state": "wedged", "sample_error": STUCK})
    );
    assert!(wedge["seq"].as_i64().unwrap() > 0);
    assert!(wedge["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canvas_sees_what_an_agent_reports_and_says() {
    let data = DataDir::new().unwrap();
    let candor = up(&data).await;
    let mut client = Client::new(candor.http());
    let agent = FakeAgent::enrolled(&mut client, "talks").await.unwrap();
    let stranger = FakeAgent::enrolled(&mut client, "sibling").await.unwrap();
    let origin = [("origin", "http://localhost:3000")];
    let mut canvas = connect(&candor, "", &origin).await.unwrap();
    let target = format!("/workspaces/{}/activity", agent.id);
    let row = json!({"activity_type": "a2a_send", "summary": "to a sibling",
                     "target_id": stranger.id, "duration_ms": 12});
    let answer = client
        .send(Call::post(target, &row).bearer(&agent.token))
        .await;
    assert_eq!(answer.unwrap().status, 200);
    let target = format!("/workspaces/{}/notify", agent.id);
    let file = json!({"uri": "workspace:/a", "name": "a.txt", "size": 5});
    let words = json!({"message": "done <b>", "attachments": [file]});
    let answer = client
        .send(Call::post(target, &words).bearer(&agent.token))
        .await;
    assert_eq!(answer.unwrap().status, 200);

    let logged = next(&mut canvas).await.unwrap();
    assert_eq!(logged["event"], "ACTIVITY_LOGGED");
    assert_eq!(logged["workspace_id"], agent.id.as_str());
    assert_eq!(
        logged["payload"],
        json!({"activity_type": "a2a_send", "method": null, "summary": "to a sibling",
               "status": "ok", "source_id": agent.id, "target_id": stranger.id,
               "duration_ms": 12})
    );
    let said = next(&mut canvas).await.unwrap();
    assert_eq!(said["event"], "AGENT_MESSAGE");
    assert_eq!(
        said["payload"],
        json!({"message": "done <b>", "workspace_id": agent.id, "name": "talks",
               "attachments": [file]})
    );
    assert!(said.get("seq").is_none(), "it is not stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_resumes_after_a_kill_with_every_stored_event_once() {
    let data = DataDir::new().unwrap();
    let mut candor = up(&data).await;
    let mut client = Client::new(candor.http());
    let mut socket = connect(&candor, "?since_seq=0", &[]).await.unwrap();
    let mut numbers = Vec::new();
    for number in 0..20 {
        FakeAgent::create(&mut client, &format!("before {number}"))
            .await
            .unwrap();
    }
    while numbers.len() < 10 {
        numbers.push(next(&mut socket).await.unwrap()["seq"].as_i64().unwrap());
    }
    candor.process().kill9();
    drop(socket);

    let candor = up(&data).await;
    let mut client = Client::new(candor.http());
    let query = format!("?since_seq={}", numbers.last().unwrap());
    let mut socket = connect(&candor, &query, &[]).await.unwrap();
    for number in 0..20 {
        FakeAgent::create(&mut client, &format!("after {number}"))
            .await
            .unwrap();
    }
    // Two events for each of forty workspaces.
    while numbers.len() < 80 {
        numbers.push(next(&mut socket).await.unwrap()["seq"].as_i64().unwrap());
    }
    assert_eq!(numbers, (1..=80).collect::<Vec<i64>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_origins_and_unproven_workspaces_get_no_socket() {
    let data = DataDir::new().unwrap();
    let candor = up(&data).await;
    let mut client = Client::new(candor.http());
    let agent = FakeAgent::enrolled(&mut client, "guarded").await.unwrap();
    let own = format!("http://{}", candor.http());
    for origin in ["http://localhost:3001", own.as_str()] {
        connect(&candor, "", &[("origin", origin)]).await.unwrap();
    }
    for origin in ["http://evil.example", "null"] {
        let outcome = connect(&candor, "", &[("origin", origin)]).await;
        assert_eq!(refused(outcome), 403, "{origin}");
    }
    let claim = connect(&candor, "", &[("x-workspace-id", &agent.id)]).await;
    assert_eq!(refused(claim), 401);
    let junk = connect(&candor, "", &[("authorization", "Bearer junk")]).await;
    assert_eq!(refused(junk), 401);
    let plain = client.send(Call::get("/ws")).await.unwrap();
    assert_eq!(plain.status, 400);
    let cursor = connect(&candor, "?since_seq=x", &[]).await;
    assert_eq!(refused(cursor), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_sees_its_neighbourhood_until_its_token_is_revoked() {
    let data = DataDir::new().unwrap();
    let candor = up(&data).await;
    let mut client = Client::new(candor.http());
    let mut me = FakeAgent::enrolled(&mut client, "me").await.unwrap();
    let body = json!({"name": "far", "tier": 1});
    let far = client.send(Call::post("/workspaces", &body)).await.unwrap();
    let far = far.json()["id"].as_str().unwrap().to_owned();
    let body = json!({"name": "farther", "tier": 1, "parent_id": far});
    let bearer = format!("Bearer {}", me.token);
    let mut socket = connect(&candor, "", &[("authorization", &bearer)])
        .await
        .unwrap();
    // A grandchild of nobody I know, then myself.
    client.send(Call::post("/workspaces", &body)).await.unwrap();
    me.mood = Mood::Wedged {
        sample_error: STUCK.into(),
    };
    me.beat(&mut client).await.unwrap();
    let first = next(&mut socket).await.unwrap();
    assert_eq!(first["workspace_id"], me.id.as_str(), "{first}");

    revoke(&mut client, &me).await;
    assert_eq!(
        next(&mut socket).await,
        None,
        "the socket ends with its token"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_one_workspace_and_resumes_by_its_last_event_id() {
    let data = DataDir::new().unwrap();
    let candor = up(&data).await;
    let mut client = Client::new(candor.http());
    let mut agent = FakeAgent::enrolled(&mut client, "streamed").await.unwrap();
    FakeAgent::enrolled(&mut client, "other").await.unwrap();
    agent.mood = Mood::Wedged {
        sample_error: STUCK.into(),
    };
    agent.beat(&mut client).await.unwrap();
    let path = format!("/workspaces/{}/events/stream", agent.id);
    let call = Call::get(path).header("last-event-id", "0");
    let (head, text) = client
        .read_until(call, "WORKSPACE_DEGRADED", SOON)
        .await
        .unwrap();
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-type"), "text/event-stream");
    assert!(text.starts_with(": ping\n\n"), "{text}");
    let ids: Vec<i64> = text
        .lines()
        .filter_map(|line| line.strip_prefix("id: ")?.parse().ok())
        .collect();
    // Provisioning, failed, online, and degraded; the other's three left out.
    assert_eq!(ids.len(), 4, "{text}");
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    let unknown = Call::get("/workspaces/00000000-0000-4000-8000-000000000000/events/stream");
    assert_eq!(client.send(unknown).await.unwrap().status, 404);
}

/// Revokes the only token of an agent.
async fn revoke(client: &mut Client, agent: &FakeAgent) {
    let path = format!("/workspaces/{}/tokens", agent.id);
    let tokens = client.send(Call::get(path.clone())).await.unwrap().json();
    let token = tokens["tokens"][0]["id"].as_str().unwrap();
    let revoke = Call::new(http::Method::DELETE, format!("{path}/{token}"));
    assert_eq!(client.send(revoke).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_token_however_busy_the_others_are() {
    let data = DataDir::new().unwrap();
    let candor = up(&data).await;
    let mut client = Client::new(candor.http());
    let me = FakeAgent::enrolled(&mut client, "me").await.unwrap();
    let mut other = FakeAgent::enrolled(&mut client, "busy").await.unwrap();
    let mut stream = TcpStream::connect(candor.http()).await.unwrap();
    let request = format!(
        "GET /workspaces/{}/events/stream HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
        me.id,
        candor.http(),
        me.token
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(": ping") {
        assert!(stream.read_buf(&mut read).await.unwrap() > 0, "{read:?}");
    }
    revoke(&mut client, &me).await;
    let ends = async { tokio::time::timeout(SOON, stream.read_to_end(&mut read)).await };
    let noise = async {
        for task in 0_u64.. {
            other.mood = Mood::Partial {
                current_task: task.to_string(),
            };
            other.beat(&mut client).await.unwrap();
        }
    };
    tokio::select! {
        ended = ends => assert!(ended.is_ok(), "still open"),
        () = noise => {}
    }
}
