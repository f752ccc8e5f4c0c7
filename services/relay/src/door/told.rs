//! An agent's answer in its caller's version.

use bytes::{Bytes, BytesMut};
use candor_a2a::error::code_of_http;
use candor_a2a::jsonrpc::{self, Response, error_body, parse_response};
use candor_a2a::{Error, translate};
use serde_json::Value;

use super::request::Strict;
use super::sse::{Event, Sse};
use crate::card::published;
use crate::deliver::attempt::Head;
use crate::target::Target;

impl Strict {
    /// The body of the answer.
    ///
    /// # Errors
    /// What the protocol says of an answer that is none.
    pub(super) fn answer(&self, target: &Target, head: &Head, body: Bytes) -> Result<Bytes, Error> {
        match self.told(target, &body) {
            Ok(Some(told)) => Ok(told.into()),
            Ok(None) => Ok(body),
            Err(error) if head.status.is_success() => Err(error),
            Err(_) => Err(refused(head)),
        }
    }

    /// One response of JSON-RPC; none if it is to pass as it is.
    fn told(&self, target: &Target, response: &[u8]) -> Result<Option<String>, Error> {
        let versions = (self.agent, self.caller);
        match parse_response(response)? {
            Response::Error(_) if self.as_is => Ok(None),
            Response::Error(error) => {
                let error: Value = serde_json::from_str(error.get()).unwrap_or_default();
                let error = Error::from_json(&translate::error(versions, error))?;
                Ok(Some(error_body(&self.id, &error)))
            }
            Response::Result(_) if self.as_is && self.reader.is_none() => Ok(None),
            Response::Result(result) => {
                let result = translate::result(self.method, versions, result)?;
                let result = match &self.reader {
                    Some(reader) => published(Some(&result), target, reader).json.into(),
                    None => result,
                };
                Ok(Some(jsonrpc::result_body(&self.id, &result)))
            }
        }
    }

    /// What reads the events of a stream; none if they are to pass as they are.
    pub(crate) fn events(&self) -> Option<Sse> {
        (!self.as_is).then(Sse::default)
    }

    /// Events as the caller gets them.
    ///
    /// # Errors
    /// `InvalidAgentResponse` for one that is no response.
    pub(crate) fn tell(&self, target: &Target, events: &[Event]) -> Result<Bytes, Error> {
        let mut told = BytesMut::new();
        for event in events {
            told.extend_from_slice(event.others.as_bytes());
            if let Some(data) = &event.data {
                let line = self.told(target, data.as_bytes())?;
                // JSON that passes as it is may stand on several lines.
                for line in line.as_deref().unwrap_or(data).lines() {
                    told.extend_from_slice(b"data: ");
                    told.extend_from_slice(line.as_bytes());
                    told.extend_from_slice(b"\n");
                }
            }
            told.extend_from_slice(b"\n");
        }
        Ok(told.freeze())
    }
}

/// The agent, or what stands before it, answered without a word of JSON-RPC.
fn refused(head: &Head) -> Error {
    let status = head.status.as_u16();
    let text = format!("the agent answered with HTTP status {status}");
    let error = Error::platform(code_of_http(status), "AGENT_HTTP_STATUS", text)
        .with("http_status", status.to_string());
    match &head.retry_after {
        Some(after) => error.with("retry_after", after.as_str()),
        None => error,
    }
}
