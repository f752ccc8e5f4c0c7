//! Bodies come as they are sent, end where they end, and are bounded.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod agent;

use agent::*;
use candor_egress::{AgentResponse, Collected};
use futures::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
    transfer-encoding: chunked\r\n\r\n";

/// An answer of which only the head has come, and the agent's end of its connection.
async fn begun(head: &[u8]) -> (AgentResponse, TcpStream) {
    let (listener, address) = listen().await;
    let head = head.to_vec();
    let agent = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream.write_all(&head).await.unwrap();
        stream
    });
    let answer = send(&local(), post(&format!("http://{address}/"), "{}")).await;
    (answer.unwrap(), patiently(agent).await.unwrap())
}

#[tokio::test]
async fn each_chunk_comes_before_the_next_one_is_sent() {
    let (mut answer, mut agent) = begun(CHUNKED).await;
    for n in 0..5 {
        let event = format!("data: {n}\n\n");
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        agent.write_all(chunk.as_bytes()).await.unwrap();
        let came = if n % 2 == 0 {
            patiently(answer.body.next_chunk()).await
        } else {
            patiently(answer.body.next()).await
        };
        assert_eq!(came.unwrap().unwrap(), event.as_bytes());
    }
    agent.write_all(b"0\r\nx-trailer: 1\r\n\r\n").await.unwrap();
    assert_eq!(patiently(answer.body.next_chunk()).await, None);
    assert_eq!(patiently(answer.body.next_chunk()).await, None);
    closed(&mut agent).await;
    drop(answer);
}

#[tokio::test]
async fn dropping_a_body_closes_the_connection() {
    let (answer, mut agent) = begun(CHUNKED).await;
    drop(answer);
    closed(&mut agent).await;
}

#[tokio::test]
async fn a_body_is_collected_up_to_a_limit() {
    for (limit, expected) in [
        (11, Collected::Whole("hello world".into())),
        (12, Collected::Whole("hello world".into())),
        (10, Collected::Larger("hello worl".into())),
        (0, Collected::Larger("".into())),
    ] {
        let answer = told("HTTP/1.1 200 OK\r\n\r\nhello world").await.unwrap();
        assert_eq!(patiently(answer.body.collect(limit)).await, Ok(expected));
    }
    let empty = told("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let body = patiently(empty.unwrap().body.collect(0)).await;
    assert_eq!(body, Ok(Collected::Whole("".into())));
}

#[tokio::test]
async fn an_endless_body_ends_at_the_limit_and_its_chunks_are_small() {
    let (mut answer, mut agent) = begun(CHUNKED).await;
    let agent = tokio::spawn(async move {
        let piece = vec![b'x'; 1024 * 1024];
        let mut sent = 0;
        loop {
            let head = format!("{:x}\r\n", piece.len());
            let chunk = [head.as_bytes(), &piece, b"\r\n"].concat();
            if agent.write_all(&chunk).await.is_err() {
                return sent;
            }
            sent += piece.len();
        }
    });
    let first = patiently(answer.body.next_chunk()).await.unwrap().unwrap();
    assert!(first.len() <= 64 * 1024, "{}", first.len());
    match patiently(answer.body.collect(3_000_000)).await.unwrap() {
        Collected::Larger(begin) => assert_eq!(begin.len(), 3_000_000),
        Collected::Whole(_) => panic!("it has no end"),
    }
    // Nothing read ahead beyond what the kernels hold.
    assert!(patiently(agent).await.unwrap() < 64 * 1024 * 1024);
}

#[tokio::test]
async fn a_body_that_is_cut_is_an_error_once() {
    for cut in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nnonsense\r\n",
    ] {
        let mut body = told(cut).await.unwrap().body;
        let first = patiently(body.next_chunk()).await.unwrap();
        assert_eq!(first.unwrap(), "hello", "{cut}");
        let error = patiently(body.next_chunk()).await.unwrap().unwrap_err();
        assert!(!error.detail().is_empty());
        assert_eq!(patiently(body.next_chunk()).await, None, "{cut}");
        let cut = told(cut).await.unwrap().body;
        assert!(patiently(cut.collect(100)).await.is_err());
    }
}

#[tokio::test]
async fn a_body_is_seen_through_after_the_agent_has_hung_up() {
    let text = "x".repeat(200_000);
    let answer = told(format!("HTTP/1.1 200 OK\r\n\r\n{text}")).await;
    let body = patiently(answer.unwrap().body.collect(1_000_000)).await;
    assert_eq!(body, Ok(Collected::Whole(text.into())));
}
