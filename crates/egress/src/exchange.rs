//! One request and its answer on one connection.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, Connection};
use hyper_util::rt::TokioIo;

use crate::error::DialError;
use crate::progress::{Progress, Transport, Watched};
use crate::refusal::Refusal;
use crate::target::Target;

/// Largest head of an answer, in bytes, and what is read of a body at a time.
const HEAD_BYTES: usize = 64 * 1024;
/// Most headers of an answer.
const HEADERS: usize = 128;
/// Headers that belong to the connection, not to the caller.
const OURS: [HeaderName; 9] = [
    HOST,
    CONNECTION,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    TE,
    TRAILER,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// What is sent to an agent.
#[derive(Debug, Clone)]
pub struct AgentRequest {
    /// The method.
    pub method: Method,
    /// The agent's URL, as it is stored; judged when it is dialled.
    pub url: String,
    /// Headers; those of the connection itself (`host`, `content-length`, ...) are
    /// replaced.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

pub(crate) type Driver = Connection<TokioIo<Watched>, Full<Bytes>>;

/// The head of an answer, and where its body comes from.
pub(crate) struct Begun {
    pub(crate) head: Response<Incoming>,
    /// None once the connection has ended.
    pub(crate) driver: Option<Pin<Box<Driver>>>,
}

/// The request as it is written: path and query, our own `host`, and the wish that
/// the connection ends with the answer.
pub(crate) fn written(
    request: AgentRequest,
    target: &Target,
) -> Result<Request<Full<Bytes>>, Refusal> {
    let host = HeaderValue::from_str(target.authority()).map_err(|_| Refusal::NotUrl)?;
    let mut head = Request::new(Full::new(request.body));
    *head.method_mut() = request.method;
    *head.uri_mut() = target.path()?;
    let mut headers = request.headers;
    for name in OURS {
        headers.remove(name);
    }
    headers.insert(HOST, host);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    *head.headers_mut() = headers;
    Ok(head)
}

/// Writes a request and waits for the head of its answer. Whoever drops the future
/// closes the connection: nothing runs beside it.
pub(crate) async fn exchange(
    request: Request<Full<Bytes>>,
    transport: Transport,
    progress: &Progress,
) -> Result<Begun, DialError> {
    let stream = TokioIo::new(Watched::new(transport, progress.clone()));
    let (mut sender, driver) = Builder::new()
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .handshake(stream)
        .await
        .map_err(|error| ended(&error, progress))?;
    let mut driver = Some(Box::pin(driver));
    let mut answer = pin!(sender.send_request(request));
    let head = poll_fn(|cx| {
        if let Some(running) = &mut driver
            && running.as_mut().poll(cx).is_ready()
        {
            driver = None;
        }
        answer.as_mut().poll(cx)
    })
    .await
    .map_err(|error| ended(&error, progress))?;
    if let Some(detail) = unwanted(&head) {
        return Err(DialError::BadResponse {
            detail: detail.to_owned(),
        });
    }
    Ok(Begun { head, driver })
}

/// Why a head is not taken although it is HTTP.
fn unwanted(head: &Response<Incoming>) -> Option<&'static str> {
    // The parser's limit is one of its buffer, which may hold more for a moment.
    let size: usize = head
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    if size > HEAD_BYTES {
        return Some("its head is too large");
    }
    (head.status() == StatusCode::SWITCHING_PROTOCOLS)
        .then_some("another protocol, which was not asked for")
}

/// What went over the connection says how it ended, not the error.
fn ended(error: &hyper::Error, progress: &Progress) -> DialError {
    let detail = chain(error);
    match (progress.flushed(), progress.response_begun()) {
        (false, _) => DialError::ClosedBeforeWrite { detail },
        (true, false) => DialError::ClosedAfterWrite { detail },
        (true, true) => DialError::BadResponse { detail },
    }
}

/// An error and its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn a_connection_that_ended_before_the_request_is_told_apart() {
        for reset in [false, true] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let stream = TcpStream::connect(address).await.unwrap();
            let (agent, _) = listener.accept().await.unwrap();
            if reset {
                agent.set_zero_linger().unwrap();
            }
            drop(agent);
            stream.readable().await.unwrap();

            let target = Target::parse(&format!("http://{address}/")).unwrap();
            let request = AgentRequest {
                method: Method::POST,
                url: String::new(),
                headers: HeaderMap::new(),
                body: Bytes::from_static(b"{}"),
            };
            let request = written(request, &target).unwrap();
            let progress = Progress::new();
            let outcome = exchange(request, Transport::Plain(stream), &progress).await;
            let error = outcome.err().unwrap();
            assert!(
                matches!(error, DialError::ClosedBeforeWrite { .. }),
                "{error:?}"
            );
            assert!(!error.was_written() && !progress.flushed());
        }
    }
}
