//! `candor queue ls|show|drop|retry`: accepted messages that wait for their agents.

use std::error::Error;

use candor_proto::relay::v1 as pb;
use clap::{Args, Subcommand};
use comfy_table::{Table, presets};
use serde_json::json;

use super::reach::{ReachArgs, told_by_relay, workspace_id};
use super::show;

/// Show and settle accepted messages.
#[derive(Debug, Args)]
pub struct QueueArgs {
    #[command(subcommand)]
    command: QueueCommand,
}

#[derive(Debug, Subcommand)]
enum QueueCommand {
    /// What waits, in the order in which it will be delivered.
    Ls(LsArgs),
    /// One message, with its attempts and its body.
    Show(OneArgs),
    /// Give one up; its activity row says so.
    Drop(DropArgs),
    /// Deliver one as soon as possible, also if it was given up.
    Retry(OneArgs),
}

#[derive(Debug, Args)]
struct LsArgs {
    /// Only for this workspace: its id, or its name if only one has it.
    workspace: Option<String>,
    /// Also what was delivered or given up in the last seven days, newest first.
    #[arg(long)]
    all: bool,
    /// How many, at most 500.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i32).range(1..=500))]
    limit: i32,
    #[command(flatten)]
    reach: ReachArgs,
}

#[derive(Debug, Args)]
struct OneArgs {
    /// The message's id, as `candor queue ls` and the sender's answer have it.
    id: String,
    #[command(flatten)]
    reach: ReachArgs,
}

#[derive(Debug, Args)]
struct DropArgs {
    #[command(flatten)]
    one: OneArgs,
    /// Why, for who reads the activity row.
    #[arg(long, default_value = "")]
    reason: String,
}

pub async fn queue(args: QueueArgs) -> Result<(), Box<dyn Error>> {
    match args.command {
        QueueCommand::Ls(args) => ls(args).await,
        QueueCommand::Show(args) => show_one(args).await,
        QueueCommand::Drop(args) => drop_one(args).await,
        QueueCommand::Retry(args) => retry(args).await,
    }
}

async fn ls(args: LsArgs) -> Result<(), Box<dyn Error>> {
    let reach = &args.reach;
    let mut client = reach.relay().await?;
    let workspace_id = match &args.workspace {
        Some(given) => workspace_id(reach, given).await?,
        None => String::new(),
    };
    let request = reach.request(pb::ListQueueRequest {
        workspace_id,
        all: args.all,
        limit: args.limit,
    })?;
    let listed = client.list_queue(request).await;
    let entries = listed.map_err(|status| told_by_relay(&status))?;
    let entries = entries.into_inner().entries;
    if reach.json {
        for entry in &entries {
            println!("{}", to_json(entry));
        }
        return Ok(());
    }
    if entries.is_empty() {
        println!("nothing waits");
        return Ok(());
    }
    println!("{}", table(&entries));
    Ok(())
}

async fn show_one(args: OneArgs) -> Result<(), Box<dyn Error>> {
    let request = args
        .reach
        .request(pb::GetQueueEntryRequest { id: args.id })?;
    let entry = args.reach.relay().await?.get_queue_entry(request).await;
    let entry = entry.map_err(|status| told_by_relay(&status))?.into_inner();
    if args.reach.json {
        let mut told = to_json(&entry);
        told["body"] = String::from_utf8_lossy(&entry.body).into();
        println!("{told}");
        return Ok(());
    }
    print(&entry);
    println!(
        "  body          {}",
        show::line(&String::from_utf8_lossy(&entry.body))
    );
    Ok(())
}

async fn drop_one(args: DropArgs) -> Result<(), Box<dyn Error>> {
    let reach = &args.one.reach;
    let request = reach.request(pb::DropQueueEntryRequest {
        id: args.one.id,
        reason: args.reason,
    })?;
    let dropped = reach.relay().await?.drop_queue_entry(request).await;
    tell(
        reach,
        &dropped
            .map_err(|status| told_by_relay(&status))?
            .into_inner(),
    );
    Ok(())
}

async fn retry(args: OneArgs) -> Result<(), Box<dyn Error>> {
    let request = args
        .reach
        .request(pb::RetryQueueEntryRequest { id: args.id })?;
    let again = args.reach.relay().await?.retry_queue_entry(request).await;
    tell(
        &args.reach,
        &again.map_err(|status| told_by_relay(&status))?.into_inner(),
    );
    Ok(())
}

/// How an entry stands after a command.
fn tell(reach: &ReachArgs, entry: &pb::QueueEntry) {
    if reach.json {
        println!("{}", to_json(entry));
    } else {
        print(entry);
    }
}

fn table(entries: &[pb::QueueEntry]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header([
        "ID",
        "WORKSPACE",
        "STATE",
        "FROM",
        "METHOD",
        "AGE",
        "TRIES",
        "NEXT",
        "LAST ERROR",
    ]);
    for entry in entries {
        table.add_row([
            entry.id.clone(),
            entry.workspace_id.clone(),
            state(entry),
            show::line(&entry.caller),
            show::line(&entry.method),
            show::ago(entry.accepted_at.as_ref()),
            entry.attempts.to_string(),
            next(entry),
            show::line(&entry.last_error),
        ]);
    }
    table
}

fn print(entry: &pb::QueueEntry) {
    println!("{}  {}", entry.id, state(entry));
    println!("  workspace     {}", entry.workspace_id);
    println!("  from          {}", show::line(&entry.caller));
    println!(
        "  message       {}  {}",
        show::line(&entry.method),
        show::line(&entry.message_id)
    );
    if !entry.delegation_id.is_empty() {
        println!("  delegation    {}", show::line(&entry.delegation_id));
    }
    println!(
        "  accepted      {} ago",
        show::ago(entry.accepted_at.as_ref())
    );
    let maybe = match entry.maybe_delivered {
        true => ", the agent may have read it",
        false => "",
    };
    println!("  attempts      {}{maybe}", entry.attempts);
    if !entry.last_error.is_empty() {
        println!("  last error    {}", show::line(&entry.last_error));
    }
    match &entry.settled_at {
        Some(at) => println!("  settled       {} ago", show::ago(Some(at))),
        None => {
            println!("  next attempt  {}", next(entry));
            println!("  expires in    {}", show::until(entry.expires_at.as_ref()));
        }
    }
    println!("  activity row  {}", entry.activity_id);
}

/// When it is tried again.
fn next(entry: &pb::QueueEntry) -> String {
    match entry.state() {
        pb::QueueState::Accepted => show::until(entry.next_attempt_at.as_ref()),
        _ => "-".to_owned(),
    }
}

/// The state in lower case, as in the database.
fn state(entry: &pb::QueueEntry) -> String {
    let name = entry.state().as_str_name();
    name.trim_start_matches("QUEUE_STATE_").to_lowercase()
}

fn to_json(entry: &pb::QueueEntry) -> serde_json::Value {
    json!({
        "id": entry.id,
        "workspace_id": entry.workspace_id,
        "state": state(entry),
        "caller": entry.caller,
        "message_id": entry.message_id,
        "method": entry.method,
        "priority": entry.priority,
        "attempts": entry.attempts,
        "maybe_delivered": entry.maybe_delivered,
        "last_error": entry.last_error,
        "accepted_at": show::rfc3339(entry.accepted_at.as_ref()),
        "next_attempt_at": show::rfc3339(entry.next_attempt_at.as_ref()),
        "settled_at": show::rfc3339(entry.settled_at.as_ref()),
        "expires_at": show::rfc3339(entry.expires_at.as_ref()),
        "activity_id": entry.activity_id,
        "delegation_id": entry.delegation_id,
    })
}
