//! Answers of the A2A door as messages of `lf.a2a.v1`.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use candor_a2a::grpc::{self, Wire};
use candor_a2a::jsonrpc::{self, parse_response};
use candor_a2a::{Error, ErrorKind};
use candor_proto::a2a::v1::StreamResponse;
use candor_proto::relay::v1::AnswerHead;
use candor_proto::relay::v1::deliver_response::Part;
use futures::Stream;
use tonic::metadata::MetadataValue;
use tonic::{Response, Status};

use super::EXTENSIONS;
use crate::deliver::Parts;
use crate::door::Sse;

/// The one message of an answer.
pub(super) async fn message<M: Wire>(parts: Parts) -> Result<Response<M>, Status> {
    let (head, body) = whole(parts).await?;
    let message = read(&body, |result| grpc::result(result))?;
    Ok(activated(Response::new(message), &head))
}

/// An answer that says no more than that it is done.
pub(super) async fn nothing(parts: Parts) -> Result<Response<()>, Status> {
    let (head, body) = whole(parts).await?;
    read(&body, |_| Ok(()))?;
    Ok(activated(Response::new(()), &head))
}

/// The extensions that the agent activated.
fn activated<M>(mut response: Response<M>, head: &AnswerHead) -> Response<M> {
    let extensions = MetadataValue::try_from(&head.a2a_extensions);
    if let (false, Ok(extensions)) = (head.a2a_extensions.is_empty(), extensions) {
        response.metadata_mut().insert(EXTENSIONS, extensions);
    }
    response
}

async fn whole(mut parts: Parts) -> Result<(AnswerHead, Bytes), Status> {
    let (mut head, mut body) = (AnswerHead::default(), BytesMut::new());
    while let Some(part) = parts.recv().await {
        match part?.part {
            Some(Part::Head(first)) => head = first,
            Some(Part::Data(data)) => body.extend_from_slice(&data),
            Some(Part::Accepted(_)) | None => {}
        }
    }
    Ok((head, body.freeze()))
}

fn read<M>(response: &[u8], result: impl FnOnce(&str) -> Result<M, Error>) -> Result<M, Status> {
    let read = || match parse_response(response)? {
        jsonrpc::Response::Result(json) => result(json.get()),
        jsonrpc::Response::Error(json) => {
            let error = serde_json::from_str(json.get()).unwrap_or_default();
            Err(Error::from_json(&error)?)
        }
    };
    read().map_err(|error| error.to_status())
}

/// The messages of a stream, as they come.
pub(super) fn messages(
    parts: Parts,
) -> impl Stream<Item = Result<StreamResponse, Status>> + Send + 'static {
    let reading = Reading {
        parts,
        form: Form::Unknown,
        ready: VecDeque::new(),
    };
    futures::stream::unfold(Some(reading), |reading| async move {
        let mut reading = reading?;
        match reading.next().await {
            Ok(Some(message)) => Some((Ok(message), Some(reading))),
            Ok(None) => None,
            Err(status) => Some((Err(status), None)),
        }
    })
}

/// How an answer comes.
enum Form {
    Unknown,
    Events(Sse),
    /// An agent may answer with one response instead of a stream.
    Whole(BytesMut),
}

struct Reading {
    parts: Parts,
    form: Form,
    ready: VecDeque<StreamResponse>,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<StreamResponse>, Status> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(Some(message));
            }
            let Some(part) = self.parts.recv().await else {
                return self.last();
            };
            match part?.part {
                Some(Part::Head(head)) => self.form = Form::of(&head),
                Some(Part::Data(data)) => self.take(&data)?,
                Some(Part::Accepted(_)) | None => {}
            }
        }
    }

    fn take(&mut self, data: &[u8]) -> Result<(), Status> {
        match &mut self.form {
            Form::Unknown => {}
            Form::Whole(body) => body.extend_from_slice(data),
            Form::Events(sse) => {
                let events = sse.push(data).map_err(|error| error.to_status())?;
                for data in events.into_iter().filter_map(|event| event.data) {
                    let message = read(data.as_bytes(), grpc::result)?;
                    self.ready.push_back(message);
                }
            }
        }
        Ok(())
    }

    fn last(&mut self) -> Result<Option<StreamResponse>, Status> {
        match std::mem::replace(&mut self.form, Form::Events(Sse::default())) {
            Form::Unknown => {
                let text = "the relay gave no answer";
                Err(Error::new(ErrorKind::Internal, text).to_status())
            }
            Form::Whole(body) => read(&body, grpc::result).map(Some),
            Form::Events(mut sse) => {
                let event = sse.finish().map_err(|error| error.to_status())?;
                let data = event.and_then(|event| event.data);
                data.map(|data| read(data.as_bytes(), grpc::result))
                    .transpose()
            }
        }
    }
}

impl Form {
    fn of(head: &AnswerHead) -> Self {
        let kind = head.content_type.split(';').next().unwrap_or_default();
        match kind.trim().eq_ignore_ascii_case("text/event-stream") {
            true => Self::Events(Sse::default()),
            false => Self::Whole(BytesMut::new()),
        }
    }
}
