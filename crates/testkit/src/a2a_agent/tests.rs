#![allow(clippy::unwrap_used)]
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::http::{Call, Client, ClientError};

fn message(id: &str) -> Call {
    let parts = json!([{"kind": "text", "text": "hi"}]);
    Call::post(
        "/a?b=c",
        &json!({"jsonrpc": "2.0", "id": 7, "method": "message/send",
            "params": {"message": {"role": "user", "messageId": id, "parts": parts}}}),
    )
}

async fn send(agent: &A2aAgent, call: Call) -> Result<crate::http::Answer, ClientError> {
    let mut client = Client::new(agent.address()).with_deadline(SOON);
    client.send(call).await
}

#[tokio::test]
async fn it_keeps_what_it_is_sent_and_echoes() {
    let agent = A2aAgent::start().await.unwrap();
    let mut client = Client::new(agent.address());
    let answer = client.send(message("m-1").header("X-Who", "me")).await;
    let answer = answer.unwrap();
    assert_eq!(answer.json()["id"], 7);
    assert_eq!(answer.json()["result"]["parts"][0]["text"], "echo: hi");
    client.send(message("m-2")).await.unwrap();
    let requests = agent.wait_for_requests(2).await.unwrap();
    assert_eq!(requests[0].path(), "/a");
    assert_eq!(requests[0].header("x-who"), Some("me"));
    assert_eq!((requests[0].connection, requests[1].connection), (1, 1));
    assert_eq!(agent.message_ids(), ["m-1", "m-2"]);

    let chunked = "POST /c HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n\
        2\r\nab\r\n3;x=y\r\ncde\r\n0\r\n\r\n";
    let mut socket = TcpStream::connect(agent.address()).await.unwrap();
    socket.write_all(chunked.as_bytes()).await.unwrap();
    let requests = agent.wait_for_requests(3).await.unwrap();
    assert_eq!(requests[2].body, "abcde");
}

#[tokio::test]
async fn each_path_may_behave_in_its_own_way() {
    let agent = A2aAgent::start().await.unwrap();
    let answer = |behaviour| {
        agent.set_at("/a", behaviour);
        send(&agent, message("m"))
    };
    let task = answer(Behaviour::Task).await.unwrap().json();
    assert_eq!(task["result"]["status"]["state"], "completed");
    let traced = answer(Behaviour::Traced).await.unwrap().json();
    assert_eq!(traced["result"]["usage"]["input_tokens"], 1000);
    let error = answer(Behaviour::RpcError).await.unwrap().json();
    assert_eq!(error["error"]["code"], -32603);
    let busy = answer(Behaviour::Status {
        code: 429,
        body: "slow down".into(),
        content_type: "text/plain".to_owned(),
        headers: vec![("retry-after".to_owned(), "7".to_owned())],
    });
    let busy = busy.await.unwrap();
    assert_eq!((busy.status, busy.text().as_str()), (429, "slow down"));
    assert_eq!(busy.header("retry-after"), "7");
    let moved = answer(Behaviour::Redirect("/b".to_owned())).await.unwrap();
    assert_eq!(
        (moved.status, moved.header("location").as_str()),
        (302, "/b")
    );
    assert_eq!(answer(Behaviour::NotJson).await.unwrap().text(), "hello");
    assert_eq!(answer(Behaviour::Empty).await.unwrap().body.len(), 0);
    let huge = answer(Behaviour::Huge(3_000_000)).await.unwrap();
    assert_eq!(huge.body.len(), 3_000_000);
    assert_eq!(huge.json()["id"], 7);
    for broken in [Behaviour::Eof, Behaviour::Reset, Behaviour::Broken] {
        assert!(answer(broken.clone()).await.is_err(), "{broken:?}");
    }
    agent.set_at("/a", Behaviour::EofFirst(2));
    let mut ended = Vec::new();
    for _ in 0..3 {
        ended.push(send(&agent, message("m")).await.is_err());
    }
    assert_eq!(ended, [true, true, false]);
    let elsewhere = send(&agent, Call::get("/elsewhere")).await.unwrap();
    assert_eq!(elsewhere.json()["result"]["kind"], "message");
}

#[tokio::test]
async fn gates_release_answers_and_the_events_of_every_stream() {
    let agent = A2aAgent::start().await.unwrap();
    let gate = Gate::closed();
    agent.set(Behaviour::slow(Pause::Until(gate.clone())));
    let opened = async {
        agent.wait_for_requests(1).await.unwrap();
        gate.open();
    };
    let (slow, ()) = tokio::join!(send(&agent, message("m")), opened);
    assert_eq!(slow.unwrap().status, 200);

    let gate = Gate::closed();
    agent.set(Behaviour::Stream(3, gate.clone()));
    let mut socket = TcpStream::connect(agent.address()).await.unwrap();
    let request = b"POST / HTTP/1.1\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
    socket.write_all(request).await.unwrap();
    gate.raise();
    let mut heard = String::new();
    while !heard.contains("event 1") {
        let mut piece = [0; 4096];
        let n = socket.read(&mut piece).await.unwrap();
        assert_ne!(n, 0, "{heard}");
        heard.push_str(&String::from_utf8_lossy(&piece[..n]));
    }
    assert!(!heard.contains("event 2"), "{heard}");
    gate.raise_to(3);
    socket.read_to_string(&mut heard).await.unwrap();
    assert!(heard.contains(r#""final":true"#), "{heard}");
    assert!(heard.ends_with("0\r\n\r\n"), "{heard}");
}

#[tokio::test]
async fn what_hangs_ends_with_its_sender_and_the_deaf_hear_when_they_may() {
    let agent = A2aAgent::start().await.unwrap();
    agent.set(Behaviour::Hang);
    let call = tokio::spawn({
        let mut client = Client::new(agent.address());
        async move { client.send(message("m-1")).await }
    });
    agent.wait_for_requests(1).await.unwrap();
    call.abort();
    let counts = agent.wait("an abandoned request", |counts| counts.abandoned == 1);
    counts.await.unwrap();

    agent.set(Behaviour::NeverRead);
    let call = tokio::spawn({
        let mut client = Client::new(agent.address());
        async move { client.send(message("m-2")).await }
    });
    agent
        .wait("a connection", |counts| counts.connections == 2)
        .await
        .unwrap();
    assert_eq!(agent.requests().len(), 1);
    agent.set(Behaviour::Echo);
    assert_eq!(call.await.unwrap().unwrap().status, 200);
}

#[tokio::test]
async fn a_single_threaded_one_serves_the_next_when_the_first_lets_go() {
    let agent = A2aAgent::single_threaded().await.unwrap();
    let mut first = Client::new(agent.address());
    first.send(message("m-1")).await.unwrap();
    let second = tokio::spawn({
        let mut client = Client::new(agent.address());
        async move { client.send(message("m-2")).await }
    });
    first.send(message("m-3")).await.unwrap();
    assert_eq!(agent.message_ids(), ["m-1", "m-3"], "it holds the agent");
    drop(first);
    second.await.unwrap().unwrap();
    assert_eq!(agent.message_ids(), ["m-1", "m-3", "m-2"]);
    let address = agent.address();
    agent.stop().await.unwrap();
    let again = A2aAgent::start_at(address, false).await.unwrap();
    assert_eq!(send(&again, message("m-4")).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_busy_one_closes_what_comes_while_it_answers() {
    let agent = A2aAgent::start().await.unwrap();
    let gate = Gate::closed();
    let pause = Pause::Until(gate.clone());
    agent.set(Behaviour::busy(Behaviour::slow(pause)));
    let first = send(&agent, message("first"));
    let others = async {
        agent.wait_for_requests(1).await.unwrap();
        let closed = send(&agent, message("second")).await;
        assert!(
            matches!(closed, Err(ClientError::Exchange(_))),
            "{closed:?}"
        );
        gate.open();
    };
    let (first, ()) = tokio::join!(first, others);
    assert_eq!(first.unwrap().status, 200);
    assert_eq!(send(&agent, message("third")).await.unwrap().status, 200);
    assert_eq!(agent.message_ids(), ["first", "second", "third"]);
    assert_eq!(agent.answered_ids(), ["first", "third"]);
}
