//! Connections of an HTTP listener: as many as it bears, each for as long as it is used.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use candor_process::http::{Limits, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longer than anything takes.
const SOON: Duration = Duration::from_secs(20);
const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

/// No limit is met, unless a test sets one.
const WIDE: Limits = Limits {
    connections: 64,
    head: SOON,
    write: SOON,
    grace: SOON,
};

struct Served {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

async fn served(limits: Limits, router: Router) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let task = tokio::spawn(serve(listener, router, limits, stop.clone()));
    Served {
        address,
        stop,
        task,
    }
}

fn hello() -> Router {
    Router::new().route("/", get(|| async { "hello" }))
}

async fn says(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// What comes until the server closes the connection.
async fn to_the_end(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let ended = timeout(SOON / 2, stream.read_to_end(&mut read)).await;
    ended.expect("the server closes it").unwrap();
    String::from_utf8_lossy(&read).into_owned()
}

async fn until(stream: &mut TcpStream, wanted: &str) {
    let mut read = String::new();
    while !read.contains(wanted) {
        let mut piece = [0; 1024];
        let length = timeout(SOON, stream.read(&mut piece)).await.unwrap();
        let length = length.unwrap();
        assert!(length > 0, "{read}");
        read.push_str(&String::from_utf8_lossy(&piece[..length]));
    }
}

#[tokio::test]
async fn who_says_nothing_or_half_a_head_leaves_its_place() {
    let head = Duration::from_millis(200);
    let served = served(Limits { head, ..WIDE }, hello()).await;
    for said in [&b""[..], b"GET / HTTP/1.1\r\nhost"] {
        to_the_end(&mut says(served.address, said).await).await;
    }
    // So does one that was answered and asks nothing more.
    let answered = to_the_end(&mut says(served.address, GET).await).await;
    assert!(answered.ends_with("hello"), "{answered}");
}

#[tokio::test]
async fn one_connection_too_many_waits_for_a_place() {
    let connections = 2;
    let served = served(
        Limits {
            connections,
            ..WIDE
        },
        hello(),
    )
    .await;
    let mut first = says(served.address, GET).await;
    until(&mut first, "hello").await;
    let mut second = says(served.address, GET).await;
    until(&mut second, "hello").await;
    let mut third = says(served.address, GET).await;
    let mut piece = [0; 1];
    let early = timeout(Duration::from_millis(200), third.read(&mut piece)).await;
    assert!(early.is_err(), "it is not served");
    drop(first);
    until(&mut third, "hello").await;
}

#[tokio::test]
async fn who_does_not_read_its_answer_leaves_its_place() {
    struct Gone(Arc<AtomicUsize>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let gone = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&gone);
    let endless = move || {
        let mark = Gone(Arc::clone(&counted));
        async move {
            let pieces = futures::stream::repeat_with(move || {
                let _until_the_end = &mark;
                Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 64 * 1024]))
            });
            Body::from_stream(pieces)
        }
    };
    let write = Duration::from_millis(200);
    let router = Router::new().route("/", get(endless));
    let served = served(Limits { write, ..WIDE }, router).await;
    let deaf = says(served.address, GET).await;
    let left = timeout(SOON, async {
        while gone.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    });
    assert!(left.await.is_ok(), "what it would have read is let go");
    drop(deaf);
}

#[tokio::test]
async fn a_request_in_progress_ends_after_the_order_to_stop() {
    let (begun, release) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (begins, released) = (Arc::clone(&begun), Arc::clone(&release));
    let slow = move || {
        begins.add_permits(1);
        let released = Arc::clone(&released);
        async move {
            let _permit = released.acquire_owned().await;
            "done"
        }
    };
    let served = served(WIDE, Router::new().route("/", get(slow))).await;
    let mut idle = says(served.address, b"").await;
    let mut asking = says(served.address, GET).await;
    let _begun = timeout(SOON, begun.acquire()).await.unwrap().unwrap();
    served.stop.cancel();
    to_the_end(&mut idle).await;
    assert!(!served.task.is_finished());
    release.add_permits(1);
    let answered = to_the_end(&mut asking).await;
    assert!(answered.ends_with("done"), "{answered}");
    timeout(SOON, served.task).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn one_that_does_not_end_has_the_grace_and_no_more() {
    let begun = Arc::new(Semaphore::new(0));
    let begins = Arc::clone(&begun);
    let endless = move || {
        begins.add_permits(1);
        std::future::pending::<&'static str>()
    };
    let grace = Duration::from_millis(100);
    let router = Router::new().route("/", get(endless));
    let served = served(Limits { grace, ..WIDE }, router).await;
    let _asking = says(served.address, GET).await;
    let _begun = timeout(SOON, begun.acquire()).await.unwrap().unwrap();
    served.stop.cancel();
    timeout(SOON, served.task).await.unwrap().unwrap().unwrap();
}
