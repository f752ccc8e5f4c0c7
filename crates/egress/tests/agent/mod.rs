//! Agents of bytes: what they read and write is spelled out by each test.
#![allow(dead_code, clippy::unwrap_used)]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use candor_egress::{
    AddressPolicy, AgentRequest, AgentResponse, DialError, Egress, Limits, Lookup, Progress,
};
use http::{HeaderMap, Method};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::RootCertStore;

/// No step of a test takes longer, in seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// Names and their addresses, in the order in which they are told; the last answer
/// stays. Counts the lookups.
#[derive(Clone)]
pub struct Names {
    answers: Arc<Vec<Vec<IpAddr>>>,
    asked: Arc<AtomicUsize>,
}

impl Names {
    pub fn telling(answers: &[&[&str]]) -> Self {
        let parse = |answer: &&[&str]| answer.iter().map(|a| a.parse().unwrap()).collect();
        Self {
            answers: Arc::new(answers.iter().map(parse).collect()),
            asked: Arc::default(),
        }
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Lookup for Names {
    fn lookup(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        let turn = self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers.get(turn).or(self.answers.last());
        answer
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

pub fn egress(policy: AddressPolicy, names: Names) -> Egress {
    bounded(policy, names, Limits::default())
}

pub fn bounded(policy: AddressPolicy, lookup: impl Lookup, limits: Limits) -> Egress {
    Egress::with(policy, limits, Arc::new(lookup), RootCertStore::empty()).unwrap()
}

/// One that knows no names and dials this machine.
pub fn local() -> Egress {
    egress(AddressPolicy::Loopback, Names::telling(&[]))
}

pub async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

pub fn post(url: &str, body: impl Into<Bytes>) -> AgentRequest {
    AgentRequest {
        method: Method::POST,
        url: url.to_owned(),
        headers: HeaderMap::new(),
        body: body.into(),
    }
}

pub async fn patiently<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work)
        .await
        .expect("a step of the test took too long")
}

pub async fn send(egress: &Egress, request: AgentRequest) -> Result<AgentResponse, DialError> {
    patiently(egress.send(request, &Progress::new())).await
}

/// Reads one request: head and body as text.
pub async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut all = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&all).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return text;
            }
        }
        assert!(
            patiently(stream.read_buf(&mut all)).await.unwrap() > 0,
            "{text}"
        );
    }
}

/// Waits until the other side has closed the connection.
pub async fn closed(stream: &mut TcpStream) {
    let mut rest = [0; 4096];
    while matches!(patiently(stream.read(&mut rest)).await, Ok(1..)) {}
}

/// Takes one connection, reads its request, writes `answer` and hangs up.
pub async fn answer_once(listener: &TcpListener, answer: &[u8]) -> String {
    let (mut stream, _) = patiently(listener.accept()).await.unwrap();
    let request = read_request(&mut stream).await;
    stream.write_all(answer).await.unwrap();
    request
}

/// What an agent that answers `answer` once and hangs up looks like from here.
pub async fn told(answer: impl Into<Vec<u8>>) -> Result<AgentResponse, DialError> {
    let answer = answer.into();
    let (listener, address) = listen().await;
    let agent = tokio::spawn(async move { answer_once(&listener, &answer).await });
    let outcome = send(&local(), post(&format!("http://{address}/"), "{}")).await;
    // An agent that was cut off while it still spoke is no failure of the test.
    drop(patiently(agent).await);
    outcome
}
