//! What is said to the activity log over gRPC: the fields that are used here.

use futures::Stream;
use http::uri::PathAndQuery;
use prost::bytes::Bytes;
use tonic::client::Grpc;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;
use uuid::Uuid;

use crate::Result;
use crate::beat::Workspace;

const RECORD: &str = "/candor.activity.v1.ActivityLogService/Record";
const RECORD_STREAM: &str = "/candor.activity.v1.ActivityLogService/RecordStream";
/// Bytes of a request body.
const BODY: usize = 1024;

/// `RecordRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Row {
    /// Chosen by the writer.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Whose row it is.
    #[prost(string, tag = "2")]
    pub workspace_id: String,
    /// One of the types that agents may report.
    #[prost(string, tag = "3")]
    pub activity_type: String,
    /// In the words of the protocol that was spoken.
    #[prost(string, optional, tag = "4")]
    pub method: Option<String>,
    /// In people's words.
    #[prost(string, optional, tag = "5")]
    pub summary: Option<String>,
    /// What was asked.
    #[prost(message, optional, tag = "10")]
    pub request_body: Option<Body>,
}

/// `Body`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Body {
    /// Every byte.
    #[prost(bytes = "bytes", tag = "1")]
    pub content: Bytes,
}

/// `RecordStreamRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Rows {
    /// At most 256.
    #[prost(message, repeated, tag = "1")]
    pub rows: Vec<Row>,
}

/// `RecordResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Recorded {
    /// The row's.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// `RecordStreamResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Outcomes {
    /// One a row.
    #[prost(message, repeated, tag = "1")]
    pub results: Vec<Outcome>,
}

/// `RecordResult`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Outcome {
    /// The row's.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Empty if the row is durable.
    #[prost(string, tag = "2")]
    pub error_reason: String,
    /// For people.
    #[prost(string, tag = "3")]
    pub error_message: String,
}

/// JSON of exactly 1 KiB.
pub fn body() -> String {
    let (head, tail) = (r#"{"jsonrpc":"2.0","params":{"text":""#, r#""}}"#);
    format!("{head}{}{tail}", "x".repeat(BODY - head.len() - tail.len()))
}

/// A row with a new id.
pub fn row(workspace: &Workspace, summary: &str, body: Option<&Bytes>) -> (Uuid, Row) {
    let id = Uuid::now_v7();
    let row = Row {
        id: id.to_string(),
        workspace_id: workspace.id.clone(),
        activity_type: "agent_log".to_owned(),
        method: Some("message/send".to_owned()),
        summary: Some(summary.to_owned()),
        request_body: body.map(|content| Body {
            content: content.clone(),
        }),
    };
    (id, row)
}

/// Records one row with its workspace's token.
pub async fn record(
    channel: Channel,
    token: &AsciiMetadataValue,
    row: Row,
) -> std::result::Result<Recorded, Status> {
    let mut client = Grpc::new(channel);
    ready(&mut client).await?;
    let path = PathAndQuery::from_static(RECORD);
    let codec = ProstCodec::<Row, Recorded>::default();
    let answer = client.unary(with(token, row), path, codec).await?;
    Ok(answer.into_inner())
}

/// Opens a stream of rows, all of the token's workspace.
pub async fn record_stream(
    channel: Channel,
    token: &AsciiMetadataValue,
    rows: impl Stream<Item = Rows> + Send + 'static,
) -> std::result::Result<Streaming<Outcomes>, Status> {
    let mut client = Grpc::new(channel);
    ready(&mut client).await?;
    let path = PathAndQuery::from_static(RECORD_STREAM);
    let codec = ProstCodec::<Rows, Outcomes>::default();
    let answers = client.streaming(with(token, rows), path, codec).await?;
    Ok(answers.into_inner())
}

/// What a workspace proves itself with.
pub fn token(workspace: &Workspace) -> Result<AsciiMetadataValue> {
    Ok(format!("Bearer {}", workspace.token).parse()?)
}

/// Fails unless every row of a message is durable.
pub fn check(outcomes: &Outcomes, sent: &[Uuid]) -> Result<()> {
    if outcomes.results.len() != sent.len() {
        let count = outcomes.results.len();
        return Err(format!("{count} results for {} rows", sent.len()).into());
    }
    for (result, id) in outcomes.results.iter().zip(sent) {
        if !result.error_reason.is_empty() {
            let reason = &result.error_reason;
            return Err(format!("a row was refused: {reason}: {}", result.error_message).into());
        }
        if result.id != id.to_string() {
            return Err(format!("the result of {} stands at {id}'s place", result.id).into());
        }
    }
    Ok(())
}

fn with<T>(token: &AsciiMetadataValue, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("authorization", token.clone());
    request
}

async fn ready(client: &mut Grpc<Channel>) -> std::result::Result<(), Status> {
    let ready = client.ready().await;
    ready.map_err(|error| Status::unavailable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_json_of_a_kibibyte() {
        let body = body();
        assert_eq!(body.len(), BODY);
        assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok());
    }

    #[test]
    fn a_refusal_and_a_result_of_another_row_are_told() {
        let id = Uuid::now_v7();
        let outcomes = |id: &str, reason: &str| Outcomes {
            results: vec![Outcome {
                id: id.to_owned(),
                error_reason: reason.to_owned(),
                error_message: String::new(),
            }],
        };
        assert!(check(&outcomes(&id.to_string(), ""), &[id]).is_ok());
        assert!(check(&outcomes(&id.to_string(), "OVERLOADED"), &[id]).is_err());
        assert!(check(&outcomes("other", ""), &[id]).is_err());
        assert!(check(&Outcomes::default(), &[id]).is_err());
    }
}
