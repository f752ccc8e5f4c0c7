//! `candor activity ls|tail ID`: who said what, and who that was.

use std::error::Error;
use std::time::Duration;

use candor_process::grpc::ANSWER_LIMIT;
use candor_proto::activity::v1 as pb;
use candor_proto::activity::v1::activity_log_service_client::ActivityLogServiceClient;
use clap::{Args, Subcommand};
use serde_json::json;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::reach::{ReachArgs, told, workspace_id};
use super::show;

/// Between two looks for new rows.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Rows of one look, at most.
const PAGE: i32 = 500;

/// Show who said what to whom.
#[derive(Debug, Args)]
pub struct ActivityArgs {
    #[command(subcommand)]
    command: ActivityCommand,
}

#[derive(Debug, Subcommand)]
enum ActivityCommand {
    /// The newest rows of a workspace, newest first.
    Ls(LsArgs),
    /// The last rows of a workspace, then new ones as they are listed.
    Tail(TailArgs),
}

/// Which rows.
#[derive(Debug, Args)]
struct WhichArgs {
    /// The workspace's id, or its name if only one has it.
    workspace: String,
    /// Only rows of this type, for instance a2a_receive.
    #[arg(long = "type")]
    activity_type: Option<String>,
    /// Only `canvas` (the conversation with a person) or `agent` (all else).
    #[arg(long, value_parser = ["canvas", "agent"])]
    source: Option<String>,
    #[command(flatten)]
    reach: ReachArgs,
}

#[derive(Debug, Args)]
struct LsArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// How many.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i32).range(1..))]
    limit: i32,
}

#[derive(Debug, Args)]
struct TailArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// How many of the last rows first; 0 for new ones only.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(i32).range(0..))]
    lines: i32,
    /// Go on after this row instead.
    #[arg(long)]
    since: Option<String>,
    /// End after this many rows.
    #[arg(long)]
    count: Option<u64>,
}

type Client = ActivityLogServiceClient<Channel>;

pub async fn activity(args: ActivityArgs) -> Result<(), Box<dyn Error>> {
    match args.command {
        ActivityCommand::Ls(args) => ls(args).await,
        ActivityCommand::Tail(args) => tail(args).await,
    }
}

async fn ls(args: LsArgs) -> Result<(), Box<dyn Error>> {
    let (mut client, request) = open(&args.which).await?;
    let rows = newest(&mut client, &args.which.reach, request, args.limit).await?;
    for row in &rows {
        print(row, args.which.reach.json);
    }
    if rows.is_empty() && !args.which.reach.json {
        eprintln!("no rows");
    }
    Ok(())
}

async fn tail(args: TailArgs) -> Result<(), Box<dyn Error>> {
    let reach = &args.which.reach;
    let (mut client, request) = open(&args.which).await?;
    let mut seen = 0_u64;
    let mut cursor = args.since.clone();
    if cursor.is_none() {
        // One at least: what comes is what is listed after it.
        let rows = newest(&mut client, reach, request.clone(), args.lines.max(1)).await?;
        cursor = rows.first().map(|row| row.id.clone());
        let shown = usize::try_from(args.lines).unwrap_or(0);
        for row in rows.iter().take(shown).rev() {
            print(row, reach.json);
            seen += 1;
            if args.count.is_some_and(|count| seen >= count) {
                return Ok(());
            }
        }
    }
    loop {
        let request = pb::ListRequest {
            since_id: cursor.clone(),
            oldest_first: true,
            limit: PAGE,
            ..request.clone()
        };
        let listed = match client.list(reach.request(request)?).await {
            Ok(listed) => listed.into_inner(),
            Err(status) if status.code() == Code::Unavailable => {
                eprintln!("no answer ({}); trying again", status.message());
                tokio::time::sleep(LOOK_EVERY).await;
                continue;
            }
            Err(status) => return Err(refused(&status).into()),
        };
        for row in &listed.activities {
            print(row, reach.json);
            cursor = Some(row.id.clone());
            seen += 1;
            if args.count.is_some_and(|count| seen >= count) {
                return Ok(());
            }
        }
        if listed.activities.is_empty() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// A client, and what to ask it for.
async fn open(which: &WhichArgs) -> Result<(Client, pb::ListRequest), Box<dyn Error>> {
    let reach = &which.reach;
    let channel = reach.channel().await?;
    let client = Client::new(channel).max_decoding_message_size(ANSWER_LIMIT);
    let request = pb::ListRequest {
        workspace_id: workspace_id(reach, &which.workspace).await?,
        r#type: which.activity_type.clone(),
        source: which.source.clone(),
        ..pb::ListRequest::default()
    };
    Ok((client, request))
}

/// So many of the newest rows, page by page.
async fn newest(
    client: &mut Client,
    reach: &ReachArgs,
    mut request: pb::ListRequest,
    limit: i32,
) -> Result<Vec<pb::Activity>, Box<dyn Error>> {
    let mut rows = Vec::new();
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    loop {
        let left = wanted.saturating_sub(rows.len());
        request.limit = i32::try_from(left).unwrap_or(PAGE).min(PAGE);
        let listed = client.list(reach.request(request.clone())?).await;
        let page = listed.map_err(|status| refused(&status))?.into_inner();
        rows.extend(page.activities);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() || rows.len() >= wanted {
            return Ok(rows);
        }
    }
}

fn refused(status: &Status) -> String {
    match status.code() {
        Code::Unimplemented => "this process is no activity log: pass --grpc with its address \
             (its own default port is 50053)"
            .to_owned(),
        _ => told(status),
    }
}

/// Who spoke, and how that is known: `workspace 5b0e... (token)`.
fn source(row: &pb::Activity) -> String {
    let Some(source) = &row.source else {
        return "unknown".to_owned();
    };
    let kind = kind(source);
    let mut text = match source.id.as_str() {
        "" => kind,
        id if id == row.workspace_id => format!("{kind} itself"),
        id => format!("{kind} {}", show::line(id)),
    };
    if !source.auth.is_empty() {
        text = format!("{text} ({})", source.auth);
    }
    text
}

fn kind(source: &pb::Source) -> String {
    pb::SourceKind::try_from(source.kind)
        .unwrap_or(pb::SourceKind::Unspecified)
        .as_str_name()
        .trim_start_matches("SOURCE_KIND_")
        .to_lowercase()
}

fn print(row: &pb::Activity, as_json: bool) {
    let at = row.created_at.as_ref().and_then(show::time);
    if as_json {
        let source = row.source.clone().unwrap_or_default();
        let line = json!({
            "id": row.id, "workspace_id": row.workspace_id, "activity_type": row.activity_type,
            "source": {"kind": kind(&source), "id": source.id, "auth": source.auth,
                       "claimed": source.claimed},
            "target_id": row.target_id, "method": row.method, "summary": row.summary,
            "status": row.status, "error_detail": row.error_detail,
            "duration_ms": row.duration_ms, "conversation": row.conversation,
            "final": row.r#final, "created_at": at.map(|at| at.to_rfc3339()),
            "traceparent": row.traceparent,
            "late_status": row.late_outcome.as_ref().map(|late| late.status.clone()),
        });
        println!("{line}");
        return;
    }
    let at = at.map(|at| at.format("%m-%d %H:%M:%S%.3f").to_string());
    let text = |field: &Option<String>| field.as_deref().map(show::line).unwrap_or_default();
    let error = text(&row.error_detail);
    println!(
        "{}  {}  {:<14} {:<7} {}{}{}{}",
        at.unwrap_or_default(),
        row.id,
        row.activity_type,
        text(&row.status),
        source(row),
        row.target_id
            .as_ref()
            .map(|id| format!(" -> {id}"))
            .unwrap_or_default(),
        [&row.method, &row.summary]
            .iter()
            .filter(|field| field.is_some())
            .map(|field| format!("  {}", text(field)))
            .collect::<String>(),
        if error.is_empty() {
            error
        } else {
            format!("  error: {error}")
        },
    );
}
