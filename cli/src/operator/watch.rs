//! `candor watch`: status changes as they happen; resumes from its cursor.

use std::error::Error;
use std::time::Duration;

use candor_proto::registry::v1 as pb;
use clap::Args;
use serde_json::json;

use super::reach::{ReachArgs, told};
use super::show;

/// Pause before a lost stream is opened again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Follow status changes as they happen.
#[derive(Debug, Args)]
pub struct WatchArgs {
    #[command(flatten)]
    reach: ReachArgs,
    /// Only this workspace.
    #[arg(long)]
    workspace: Option<String>,
    /// Start after this event number instead of now; 0 for everything.
    #[arg(long)]
    since: Option<i64>,
    /// End after this many events.
    #[arg(long)]
    count: Option<u64>,
}

pub async fn watch(args: WatchArgs) -> Result<(), Box<dyn Error>> {
    let reach = &args.reach;
    let colour = show::wants_colour() && !reach.json;
    let mut cursor = args.since;
    let mut seen = 0_u64;
    loop {
        let request = reach.stream_request(pb::WatchEventsRequest {
            since_seq: cursor,
            workspace_id: args.workspace.clone(),
            include_transient: false,
        })?;
        let mut stream = match reach.connect().await?.watch_events(request).await {
            Ok(stream) => stream.into_inner(),
            Err(status) if is_passing(&status) && cursor.is_some() => {
                pause(&status).await;
                continue;
            }
            Err(status) => return Err(told(&status).into()),
        };
        if seen == 0 && !reach.json {
            eprintln!("watching {}; Ctrl-C ends", reach.address());
        }
        loop {
            match stream.message().await {
                Ok(Some(event)) => {
                    cursor = Some(event.seq.max(cursor.unwrap_or_default()));
                    print(&event, reach.json, colour);
                    seen += 1;
                    if args.count.is_some_and(|count| seen >= count) {
                        return Ok(());
                    }
                }
                Ok(None) => return Ok(()),
                Err(status) if is_passing(&status) && cursor.is_some() => {
                    pause(&status).await;
                    break;
                }
                Err(status) => return Err(told(&status).into()),
            }
        }
    }
}

fn is_passing(status: &tonic::Status) -> bool {
    matches!(
        status.code(),
        tonic::Code::Unavailable | tonic::Code::Unknown
    )
}

async fn pause(status: &tonic::Status) {
    eprintln!("lost the stream ({}); resuming", status.message());
    tokio::time::sleep(RETRY_AFTER).await;
}

fn print(event: &pb::Event, json: bool, colour: bool) {
    let at = event.created_at.as_ref().and_then(show::time);
    if json {
        let payload: serde_json::Value =
            serde_json::from_str(&event.payload).unwrap_or(serde_json::Value::Null);
        let line = json!({
            "seq": event.seq, "event": event.event_type, "workspace_id": event.workspace_id,
            "payload": payload, "timestamp": at.map(|at| at.to_rfc3339()),
            "traceparent": event.traceparent,
        });
        println!("{line}");
        return;
    }
    let at = at
        .map(|at| at.format("%H:%M:%S%.3f").to_string())
        .unwrap_or_default();
    let word = event
        .event_type
        .trim_start_matches("WORKSPACE_")
        .to_lowercase();
    let word = show::coloured(&word, colour);
    println!(
        "{at}  {:>6}  {}  {word}  {}",
        event.seq,
        event.workspace_id,
        show::line(&event.payload)
    );
}
