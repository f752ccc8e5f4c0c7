//! One dial of an agent, from its connection to the end of its answer.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use candor_egress::{AgentBody, AgentRequest, AgentResponse, DialError, Progress};
use candor_process::scales::Scales;
use candor_process::telemetry::propagation::TraceParent;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::clock::{Clock, Expired};
use crate::app::App;

/// The largest answer that is read (deviation D5).
pub const MOST_ANSWER: usize = 10 * 1024 * 1024;
/// The number of the attempt, for agents that want to know.
const ATTEMPT: HeaderName = HeaderName::from_static("x-candor-attempt");
/// The A2A version of what is sent.
const A2A_VERSION: HeaderName = HeaderName::from_static("a2a-version");
/// URIs of A2A extensions.
const A2A_EXTENSIONS: HeaderName = HeaderName::from_static("a2a-extensions");

/// What an agent is sent.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Letter {
    pub url: String,
    pub body: Bytes,
    /// From 1 on.
    pub attempt: i32,
    /// Empty for a legacy call.
    pub a2a_version: String,
    pub a2a_extensions: String,
    pub streams: bool,
}

/// An answer's head.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Head {
    pub status: StatusCode,
    pub content_type: String,
    pub retry_after: Option<String>,
    pub a2a_extensions: Option<String>,
    /// From the start of the dial to the head.
    pub took: Duration,
}

impl Head {
    /// Of an answer that has none.
    fn none(took: Duration) -> Self {
        Self {
            status: StatusCode::BAD_GATEWAY,
            content_type: String::new(),
            retry_after: None,
            a2a_extensions: None,
            took,
        }
    }

    /// The head of a body of JSON-RPC, which has its own words for errors.
    #[must_use]
    pub fn json() -> Self {
        Self {
            status: StatusCode::OK,
            content_type: "application/json".to_owned(),
            retry_after: None,
            a2a_extensions: None,
            took: Duration::ZERO,
        }
    }

    /// The same for what an agent answered.
    #[must_use]
    pub fn of_json_rpc(self) -> Self {
        Self {
            a2a_extensions: self.a2a_extensions,
            ..Self::json()
        }
    }

    fn of(response: &AgentResponse, took: Duration) -> Self {
        let text = |name: &HeaderName| {
            let value = response.headers.get(name)?;
            Some(value.to_str().ok()?.to_owned())
        };
        Self {
            status: response.status,
            content_type: text(&CONTENT_TYPE).unwrap_or_default(),
            retry_after: text(&http::header::RETRY_AFTER),
            a2a_extensions: text(&A2A_EXTENSIONS),
            took,
        }
    }

    /// The agent took the message, whatever became of its answer
    /// (contract/a2a.md, step 10).
    #[must_use]
    pub fn confirms(&self) -> bool {
        self.status.as_u16() < 400
    }

    /// The answer is a stream of events.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        let kind = self.content_type.split(';').next().unwrap_or_default();
        self.status.is_success() && kind.trim().eq_ignore_ascii_case("text/event-stream")
    }
}

/// How an attempt ended.
#[derive(Debug)]
pub enum Attempt {
    /// With an answer.
    Answered(Head, Bytes),
    /// With an answer that comes as a stream, to be read on.
    Streams(Head, AgentBody),
    /// The agent was not reached, and knows nothing of it.
    NotReached(DialError),
    /// The agent ended the connection, perhaps after it read the message.
    Closed(DialError),
    /// A deadline passed; the flag says whether the message may have been read.
    Expired(Expired, bool),
    /// The answer began and did not arrive whole.
    Lost(Head, String),
    /// The answer is larger than what is read.
    TooLarge(Head),
}

/// Dials once.
pub(crate) async fn attempt(app: &App, letter: Letter, clock: &mut Clock) -> Attempt {
    let progress = Progress::new();
    let streams = letter.streams;
    let request = request(letter);
    let response = match clock.within(app.egress.send(request, &progress)).await {
        Ok(Ok(response)) => response,
        // It answered, but nothing that can be passed on.
        Ok(Err(error @ DialError::BadResponse { .. })) => {
            return Attempt::Lost(Head::none(clock.elapsed()), error.to_string());
        }
        Ok(Err(error)) if error.was_written() => return Attempt::Closed(error),
        Ok(Err(error @ DialError::ClosedBeforeWrite { .. })) => return Attempt::Closed(error),
        Ok(Err(error)) => return Attempt::NotReached(error),
        Err(expired) => return Attempt::Expired(expired, progress.flushed()),
    };
    clock.moved();
    let head = Head::of(&response, clock.elapsed());
    if head.is_stream() && streams {
        return Attempt::Streams(head, response.body);
    }
    match whole(response.body, clock, &app.answers).await {
        Ok(Some(body)) => Attempt::Answered(head, body),
        Ok(None) => Attempt::TooLarge(head),
        Err(why) => Attempt::Lost(head, why),
    }
}

/// Reads an answer to its end; none if it is too large, by itself or beside those
/// that are read now.
async fn whole(
    mut body: AgentBody,
    clock: &mut Clock,
    answers: &Scales,
) -> Result<Option<Bytes>, String> {
    let (mut first, mut rest, mut weights) = (Bytes::new(), BytesMut::new(), Vec::new());
    loop {
        let chunk = match clock.within(body.next_chunk()).await {
            Ok(Some(Ok(chunk))) => chunk,
            Ok(None) => break,
            Ok(Some(Err(error))) => return Err(error.to_string()),
            Err(expired) => return Err(expired.text()),
        };
        clock.moved();
        let Some(weight) = answers.weigh(chunk.len()) else {
            return Ok(None);
        };
        weights.push(weight);
        if first.is_empty() && rest.is_empty() {
            first = chunk;
            continue;
        }
        if rest.is_empty() {
            rest.extend_from_slice(&first);
        }
        if rest.len() + chunk.len() > MOST_ANSWER {
            return Ok(None);
        }
        rest.extend_from_slice(&chunk);
    }
    Ok(Some(match rest.is_empty() {
        true => first,
        false => rest.freeze(),
    }))
}

fn request(letter: Letter) -> AgentRequest {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        ACCEPT,
        match letter.streams {
            true => HeaderValue::from_static("application/json, text/event-stream"),
            false => HeaderValue::from_static("application/json"),
        },
    );
    headers.insert(USER_AGENT, HeaderValue::from_static("candor"));
    headers.insert(ATTEMPT, HeaderValue::from(letter.attempt));
    let mut add = |name: HeaderName, value: &str| {
        if let (false, Ok(value)) = (value.is_empty(), HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    };
    add(A2A_VERSION, &letter.a2a_version);
    add(A2A_EXTENSIONS, &letter.a2a_extensions);
    if let Some(parent) = TraceParent::current() {
        add(HeaderName::from_static("traceparent"), &parent.to_string());
    }
    AgentRequest {
        method: Method::POST,
        url: letter.url,
        headers,
        body: letter.body,
    }
}
