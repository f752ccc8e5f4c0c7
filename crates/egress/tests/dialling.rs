//! What goes over the wire, and how a dial ends.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod agent;

use std::time::Duration;

use agent::*;
use candor_egress::{AddressPolicy, Collected, DialError, Limits, Progress, Refusal};
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const HELLO: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

#[tokio::test]
async fn the_request_is_what_the_caller_gave_and_the_connections_own_headers() {
    let (listener, address) = listen().await;
    let mut request = post(
        &format!("http://{address}/a2a/x?y=%20z#part"),
        r#"{"n":1.50}"#,
    );
    for (name, value) in [
        ("content-type", "application/json"),
        ("x-candor-attempt", "2"),
        ("host", "elsewhere"),
        ("connection", "keep-alive"),
        ("content-length", "99"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
    ] {
        request.headers.insert(name, value.parse().unwrap());
    }
    let progress = Progress::new();
    let egress = local();
    let (seen, answer) = patiently(async {
        tokio::join!(
            answer_once(&listener, HELLO),
            egress.send(request, &progress)
        )
    })
    .await;
    let (head, body) = seen.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<&str> = head.lines().collect();
    lines[1..].sort_unstable();
    let host = format!("host: {address}");
    assert_eq!(
        lines,
        [
            "POST /a2a/x?y=%20z HTTP/1.1",
            "connection: close",
            "content-length: 10",
            "content-type: application/json",
            &host,
            "x-candor-attempt: 2",
        ]
    );
    assert_eq!(body, r#"{"n":1.50}"#);
    let answer = answer.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["content-type"], "application/json");
    let body = answer.body.collect(2).await.unwrap();
    assert_eq!(body, Collected::Whole("{}".into()));
    assert!(progress.flushed() && progress.response_begun());
    assert_eq!(progress.received(), HELLO.len() as u64);
}

#[tokio::test]
async fn an_agent_with_one_thread_that_keeps_connections_serves_call_after_call() {
    let (listener, address) = listen().await;
    let agent = tokio::spawn(async move {
        for _ in 0..3 {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            stream.write_all(HELLO).await.unwrap();
            closed(&mut stream).await;
        }
    });
    let egress = local();
    let mut answers = Vec::new();
    for _ in 0..3 {
        let mut answer = send(&egress, post(&format!("http://{address}/"), "{}"))
            .await
            .unwrap();
        while let Some(chunk) = patiently(answer.body.next_chunk()).await {
            chunk.unwrap();
        }
        // Kept: the end of the body is what closes the connection.
        answers.push(answer);
    }
    patiently(agent).await.unwrap();
}

#[tokio::test]
async fn an_answer_without_a_body_closes_the_connection_too() {
    let (listener, address) = listen().await;
    let agent = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        let empty = b"HTTP/1.1 204 No Content\r\n\r\n";
        stream.write_all(empty).await.unwrap();
        closed(&mut stream).await;
    });
    let answer = send(&local(), post(&format!("http://{address}/"), "{}"))
        .await
        .unwrap();
    patiently(agent).await.unwrap();
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_nobody_follows_it() {
    let names = Names::telling(&[&["127.0.0.1"], &["169.254.169.254"]]);
    let egress = egress(AddressPolicy::Loopback, names.clone());
    let (listener, address) = listen().await;
    let port = address.port();
    for place in ["http://169.254.169.254/latest", "/elsewhere"] {
        let moved = format!("HTTP/1.1 302 Found\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n");
        let url = format!("http://127.0.0.1:{port}/");
        let (_, answer) = patiently(async {
            tokio::join!(
                answer_once(&listener, moved.as_bytes()),
                send(&egress, post(&url, "{}"))
            )
        })
        .await;
        let answer = answer.unwrap();
        assert_eq!(answer.status, StatusCode::FOUND);
        assert_eq!(answer.headers["location"], place);
    }
    assert_eq!(names.asked(), 0);
    nobody_called(&listener).await;
}

/// The next connection that the listener takes is the one made here.
async fn nobody_called(listener: &tokio::net::TcpListener) {
    let mine = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (_, from) = patiently(listener.accept()).await.unwrap();
    assert_eq!(from, mine.local_addr().unwrap());
}

#[tokio::test]
async fn a_name_that_changes_its_address_is_dialled_where_it_was_judged() {
    let names = Names::telling(&[&["127.0.0.1"], &["169.254.169.254"]]);
    let egress = egress(AddressPolicy::Loopback, names.clone());
    let (listener, address) = listen().await;
    let url = format!("http://agent.test:{}/", address.port());
    let (seen, answer) = patiently(async {
        tokio::join!(
            answer_once(&listener, HELLO),
            send(&egress, post(&url, "{}"))
        )
    })
    .await;
    assert_eq!(answer.unwrap().status, StatusCode::OK);
    assert!(seen.contains(&format!("host: agent.test:{}\r\n", address.port())));
    assert_eq!(names.asked(), 1, "looked up again after it was judged");

    let next = send(&egress, post(&url, "{}")).await.unwrap_err();
    assert_eq!(next, DialError::AddressRefused(Refusal::LinkLocal));
    assert_eq!(names.asked(), 2);
}

#[tokio::test]
async fn one_refused_address_keeps_the_others_from_being_dialled() {
    let names = Names::telling(&[&["127.0.0.1", "169.254.169.254"]]);
    let egress = egress(AddressPolicy::Loopback, names);
    let (listener, address) = listen().await;
    let url = format!("http://agent.test:{}/", address.port());
    let error = send(&egress, post(&url, "{}")).await.unwrap_err();
    assert_eq!(error, DialError::AddressRefused(Refusal::LinkLocal));
    nobody_called(&listener).await;
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_refuses() {
    let names = Names::telling(&[&["127.0.0.2", "127.0.0.1"]]);
    let egress = egress(AddressPolicy::Loopback, names);
    let (listener, address) = listen().await;
    let url = format!("http://agent.test:{}/", address.port());
    let (_, answer) = patiently(async {
        tokio::join!(
            answer_once(&listener, HELLO),
            send(&egress, post(&url, "{}"))
        )
    })
    .await;
    assert_eq!(answer.unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_refuses_and_the_public_text_names_no_address() {
    let (listener, address) = listen().await;
    drop(listener);
    let progress = Progress::new();
    let request = post(&format!("http://{address}/"), "{}");
    let error = patiently(local().send(request, &progress))
        .await
        .unwrap_err();
    assert!(
        matches!(error, DialError::ConnectRefused { .. }),
        "{error:?}"
    );
    assert!(!error.was_written() && !error.is_refused_address() && !progress.flushed());
    assert!(!error.to_string().contains("127.0.0.1"), "{error}");
    assert!(error.detail().contains(&address.to_string()));
}

#[tokio::test]
async fn an_address_that_does_not_answer_takes_the_time_it_is_given() {
    // A full queue of connections that nobody accepts answers no more.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(connected) =
        tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
    {
        queued.push(connected.unwrap());
        assert!(queued.len() < 64, "the queue does not fill");
    }
    let limits = Limits {
        connect: Duration::from_millis(300),
        ..Limits::default()
    };
    let egress = bounded(AddressPolicy::Loopback, Names::telling(&[]), limits);
    let error = send(&egress, post(&format!("http://{address}/"), "{}"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, DialError::ConnectTimeout { .. }),
        "{error:?}"
    );
    assert!(!error.was_written());
}

#[tokio::test]
async fn an_end_without_a_byte_after_the_request_is_told_apart() {
    for reset in [false, true] {
        let (listener, address) = listen().await;
        let agent = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            if reset {
                stream.set_zero_linger().unwrap();
            }
        });
        let progress = Progress::new();
        let request = post(&format!("http://{address}/"), "{}");
        let error = patiently(local().send(request, &progress))
            .await
            .unwrap_err();
        assert!(
            matches!(error, DialError::ClosedAfterWrite { .. }),
            "{error:?}"
        );
        assert!(error.was_written() && progress.flushed() && !progress.response_begun());
        patiently(agent).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_not_a_whole_http_head_is_a_bad_response() {
    let many: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    for (what, answer) in [
        ("another protocol", "SSH-2.0-OpenSSH_9.6\r\n".to_owned()),
        ("no head", "<html>hello</html>\r\n\r\n".to_owned()),
        (
            "half a head",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n".to_owned(),
        ),
        (
            "a large head",
            format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(66_000)),
        ),
        (
            "an endless head",
            format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(4_000_000)),
        ),
        ("many headers", format!("HTTP/1.1 200 OK\r\n{many}\r\n")),
        (
            "an upgrade",
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"
                .to_owned(),
        ),
        (
            "two lengths",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}".to_owned(),
        ),
    ] {
        let Err(error) = told(answer).await else {
            panic!("{what} was taken");
        };
        assert!(
            matches!(error, DialError::BadResponse { .. }),
            "{what}: {error:?}"
        );
        assert!(error.was_written());
    }
    let large = format!(
        "HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 2\r\n\r\n{{}}",
        "y".repeat(60_000)
    );
    assert_eq!(told(large).await.unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn giving_up_on_a_silent_agent_closes_its_connection() {
    let (listener, address) = listen().await;
    let progress = Progress::new();
    let dial = {
        let progress = progress.clone();
        tokio::spawn(async move {
            local()
                .send(post(&format!("http://{address}/"), "{}"), &progress)
                .await
        })
    };
    let (mut stream, _) = patiently(listener.accept()).await.unwrap();
    read_request(&mut stream).await;
    dial.abort();
    closed(&mut stream).await;
    assert!(progress.flushed() && !progress.response_begun());
}

#[tokio::test]
async fn an_early_answer_to_a_large_request_is_not_lost() {
    let (listener, address) = listen().await;
    let agent = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut some = [0; 512];
        assert!(stream.read(&mut some).await.unwrap() > 0);
        let too_large = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\nno";
        stream.write_all(too_large).await.unwrap();
        // Dropped with unread bytes: the connection is reset.
    });
    let body = vec![b' '; 32 * 1024 * 1024];
    let answer = send(&local(), post(&format!("http://{address}/"), body))
        .await
        .unwrap();
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    patiently(agent).await.unwrap();
}

#[tokio::test]
async fn dials_are_bounded_until_the_ends_of_their_answers() {
    let limits = Limits {
        dials: 1,
        waiting: 1,
        wait: Duration::from_millis(100),
        ..Limits::default()
    };
    let egress = bounded(AddressPolicy::Loopback, Names::telling(&[]), limits);
    let (listener, address) = listen().await;
    let url = format!("http://{address}/");
    let (_, first) = patiently(async {
        tokio::join!(
            answer_once(&listener, HELLO),
            send(&egress, post(&url, "{}"))
        )
    })
    .await;
    let (one, two) = tokio::join!(
        send(&egress, post(&url, "{}")),
        send(&egress, post(&url, "{}"))
    );
    for refused in [one, two] {
        let error = refused.unwrap_err();
        assert!(matches!(error, DialError::Overloaded { .. }), "{error:?}");
        assert!(!error.was_written() && !error.is_refused_address());
    }
    let body = first.unwrap().body.collect(10).await.unwrap();
    assert_eq!(body, Collected::Whole("{}".into()));
    let (_, next) = patiently(async {
        tokio::join!(
            answer_once(&listener, HELLO),
            send(&egress, post(&url, "{}"))
        )
    })
    .await;
    assert_eq!(next.unwrap().status, StatusCode::OK);
}
