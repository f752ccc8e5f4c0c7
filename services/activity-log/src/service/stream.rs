//! Many rows on one stream.

use std::pin::Pin;
use std::sync::Arc;

use candor_identity::Call;
use candor_kernel::Error;
use candor_process::grpc::to_status;
use candor_proto::activity::v1 as pb;
use futures::{Stream, StreamExt as _, future};
use tonic::{Status, Streaming};

use super::write;
use crate::activity_log::App;
use crate::writer::Written;

/// Rows of one message, at most.
const MOST_ROWS: usize = 256;
/// Messages of one stream that may wait for their commits.
const IN_FLIGHT: usize = 8;

type Answers = Pin<Box<dyn Stream<Item = Result<pb::RecordStreamResponse, Status>> + Send>>;

/// Answers each message when its rows are durable, in the order they came. Who
/// does not read the answers is not read.
pub(super) async fn record(
    app: Arc<App>,
    call: Call,
    messages: Streaming<pb::RecordStreamRequest>,
) -> Result<Answers, Error> {
    let call = Arc::new(call);
    let stop = app.stop.clone();
    let answers = messages
        .take_until(stop.cancelled_owned())
        .map(move |message| {
            let (app, call) = (Arc::clone(&app), Arc::clone(&call));
            async move { rows(&app, &call, message?).await }
        })
        .buffered(IN_FLIGHT);
    Ok(Box::pin(answers))
}

async fn rows(
    app: &App,
    call: &Call,
    message: pb::RecordStreamRequest,
) -> Result<pb::RecordStreamResponse, Status> {
    if message.rows.len() > MOST_ROWS {
        let error = Error::field("rows", format!("at most {MOST_ROWS} rows in one message"));
        return Err(to_status(&error));
    }
    let results = message.rows.into_iter().map(|row| one(app, call, row));
    Ok(pb::RecordStreamResponse {
        results: future::join_all(results).await,
    })
}

async fn one(app: &App, call: &Call, row: pb::RecordRequest) -> pb::RecordResult {
    let mut id = row.id.clone();
    let written = async {
        let row = write::reported(app, call, row).await?;
        id = row.id.to_string();
        app.writer.insert(row).await
    };
    let written = written.await;
    result(id, written)
}

/// What became of one write of several.
pub(super) fn result(id: String, written: Result<Written, Error>) -> pb::RecordResult {
    match written {
        Ok(_) => pb::RecordResult {
            id,
            ..pb::RecordResult::default()
        },
        Err(error) => {
            if let Some(internal) = error.internal_text() {
                tracing::warn!(reason = error.reason().code(), internal, "{error}");
            }
            pb::RecordResult {
                id,
                error_reason: error.reason().code().to_owned(),
                error_message: error.public().to_owned(),
            }
        }
    }
}
