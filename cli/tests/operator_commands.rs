//! What an operator sees in the terminal when an agent is wedged.
#![allow(clippy::unwrap_used)]

use std::process::Output;
use std::time::Duration;

use candor_proto::relay::v1 as relay;
use candor_proto::relay::v1::relay_service_client::RelayServiceClient;
use candor_testkit::a2a_agent::{A2aAgent, Behaviour};
use candor_testkit::agent::{FakeAgent, Mood};
use candor_testkit::http::{Call, Client};
use candor_testkit::platform::{Binaries, DataDir, Platform};
use candor_testkit::postgres::Postgres;
use candor_testkit::wait::wait_for;
use serde_json::{Value, json};

const STUCK: &str = "Control request timeout: initialize";

/// Runs an operator command against a data directory; the command ends by
/// itself, because each of its calls has a deadline.
fn run(binaries: &Binaries, data: &DataDir, args: &[&str]) -> Output {
    let mut command = binaries.command("candor");
    command.args(args).arg("--data-dir").arg(data.path());
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn json_lines(output: &Output) -> Vec<Value> {
    text(output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn ps_explain_watch_and_doctor_tell_about_a_wedged_agent() {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(&data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    let mut agent = FakeAgent::enrolled(&mut client, "stuck").await.unwrap();
    agent.mood = Mood::Wedged {
        sample_error: STUCK.into(),
    };
    agent.beat(&mut client).await.unwrap();

    let listed = json_lines(&run(&binaries, &data, &["ps", "--json"]));
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["status"], "degraded");
    assert_eq!(listed[0]["verdict"], "wedged");
    assert_eq!(listed[0]["last_sample_error"], STUCK);
    let table = text(&run(&binaries, &data, &["ps"]));
    assert!(
        table.contains("degraded") && table.contains(STUCK),
        "{table}"
    );

    let why = &json_lines(&run(&binaries, &data, &["explain", &agent.id, "--json"]))[0];
    assert_eq!(why["causes"][0]["kind"], "wedged");
    assert_eq!(why["decisions"][0]["rule"], "R4");
    let by_name = text(&run(&binaries, &data, &["explain", "stuck"]));
    assert!(by_name.contains(STUCK), "{by_name}");

    let watch = ["watch", "--json", "--since", "0", "--count", "4"];
    let events = json_lines(&run(&binaries, &data, &watch));
    let numbers: Vec<i64> = events.iter().filter_map(|e| e["seq"].as_i64()).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    assert_eq!(events[3]["event"], "WORKSPACE_DEGRADED");
    assert_eq!(events[3]["payload"]["sample_error"], STUCK);

    let doctor = run(&binaries, &data, &["doctor", "--json"]);
    assert!(doctor.status.success(), "{}", text(&doctor));
    agent.token = "not-a-token".into();
    assert_eq!(agent.beat(&mut client).await.unwrap().unwrap().status, 401);
    let doctor = run(&binaries, &data, &["doctor"]);
    assert!(!doctor.status.success());
    assert!(text(&doctor).contains("refused beats"), "{}", text(&doctor));
}

#[tokio::test(flavor = "multi_thread")]
async fn activity_ls_and_tail_tell_who_said_what() {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(&data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    let agent = FakeAgent::enrolled(&mut client, "talks").await.unwrap();
    let target = format!("/workspaces/{}/activity", agent.id);
    for n in 0..12 {
        let row = json!({"activity_type": "agent_log", "summary": format!("line\n{n}")});
        let call = Call::post(target.clone(), &row).bearer(&agent.token);
        assert_eq!(client.send(call).await.unwrap().status, 200);
    }
    let listed = text(&run(
        &binaries,
        &data,
        &["activity", "ls", "talks", "--limit", "3"],
    ));
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 3, "{listed}");
    // Newest first, on one line each, with the source and how it is known.
    assert!(lines[0].contains("line 11") && lines[0].contains("workspace itself (token)"));
    let as_json = ["activity", "ls", &agent.id, "--json", "--limit", "1"];
    let row = &json_lines(&run(&binaries, &data, &as_json))[0];
    assert_eq!(row["source"]["kind"], "workspace");
    assert_eq!(row["source"]["id"], agent.id.as_str());

    let tail = [
        "activity", "tail", &agent.id, "--lines", "2", "--count", "2", "--json",
    ];
    let tailed = json_lines(&run(&binaries, &data, &tail));
    let summaries: Vec<_> = tailed.iter().map(|row| row["summary"].clone()).collect();
    assert_eq!(summaries, ["line\n10", "line\n11"]);
    let since = row["id"].as_str().unwrap();
    let late = json!({"activity_type": "error", "summary": "late"});
    let call = Call::post(target, &late).bearer(&agent.token);
    assert_eq!(client.send(call).await.unwrap().status, 200);
    let tail = [
        "activity", "tail", &agent.id, "--since", since, "--count", "1", "--json",
    ];
    assert_eq!(
        json_lines(&run(&binaries, &data, &tail))[0]["summary"],
        "late"
    );
    let canvas = ["activity", "ls", &agent.id, "--source", "canvas"];
    assert_eq!(text(&run(&binaries, &data, &canvas)), "");
}

/// Sends a message that its agent does not take; the id under which it waits.
async fn accepted(candor: &Platform, workspace: &str) -> String {
    let body = json!({"method": "message/send", "params": {"message": {
        "messageId": "m-1", "role": "user", "parts": [{"kind": "text", "text": "hello"}]}}});
    let request = relay::DeliverRequest {
        workspace_id: workspace.to_owned(),
        body: body.to_string().into(),
        ..relay::DeliverRequest::default()
    };
    let mut client = RelayServiceClient::new(candor.channel().await.unwrap());
    let mut parts = client.deliver(request).await.unwrap().into_inner();
    match parts.message().await.unwrap().unwrap().part {
        Some(relay::deliver_response::Part::Accepted(accepted)) => accepted.queue_id,
        other => panic!("{other:?}"),
    }
}

/// A workspace whose agent is `agent`.
async fn workspace(client: &mut Client, name: &str, agent: &A2aAgent) -> String {
    let body = json!({"name": name, "external": true, "url": agent.url()});
    let created = client.send(Call::post("/workspaces", &body)).await.unwrap();
    assert_eq!(created.status, 201);
    created.json()["id"].as_str().unwrap().to_owned()
}

/// The answer of a command once it is the wanted one.
async fn once(
    binaries: &Binaries,
    data: &DataDir,
    args: &[&str],
    wanted: impl Fn(&Output) -> bool,
) -> Value {
    let what = format!("{args:?}");
    wait_for(&what, Duration::from_secs(20), || async {
        let output = run(binaries, data, args);
        wanted(&output).then(|| json_lines(&output).swap_remove(0))
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn queue_shows_drops_and_retries_a_message_that_its_agent_does_not_take() {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(&data, &[]).await.unwrap();
    let agent = A2aAgent::start().await.unwrap();
    agent.set(Behaviour::Eof);
    let mut client = Client::new(candor.http());
    let id = workspace(&mut client, "busy", &agent).await;
    let entry = accepted(&candor, &id).await;

    let listed = json_lines(&run(&binaries, &data, &["queue", "ls", "busy", "--json"]));
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["id"], entry.as_str());
    assert_eq!(listed[0]["workspace_id"], id.as_str());
    assert_eq!(listed[0]["message_id"], "m-1");
    assert_eq!(listed[0]["maybe_delivered"], true);
    let table = text(&run(&binaries, &data, &["queue", "ls"]));
    assert!(
        table.contains(&entry) && table.contains("message/send"),
        "{table}"
    );
    let shown = &json_lines(&run(&binaries, &data, &["queue", "show", &entry, "--json"]))[0];
    assert!(shown["body"].as_str().unwrap().contains("hello"), "{shown}");
    let shown = text(&run(&binaries, &data, &["queue", "show", &entry]));
    assert!(shown.contains("the agent may have read it"), "{shown}");

    // Not while it is on its way.
    let drop = ["queue", "drop", &entry, "--reason", "not\nwanted", "--json"];
    let dropped = once(&binaries, &data, &drop, |output| output.status.success()).await;
    assert_eq!(dropped["state"], "dropped");
    let why = dropped["last_error"].as_str().unwrap();
    assert!(
        why.starts_with("dropped by") && why.ends_with("not\nwanted"),
        "{why}"
    );
    let rows = ["activity", "ls", &id, "--json"];
    let row = once(&binaries, &data, &rows, |output| {
        json_lines(output)
            .first()
            .is_some_and(|row| row["final"] == true)
    })
    .await;
    assert_eq!(
        (&row["status"], &row["error_detail"]),
        (&json!("error"), &json!(why))
    );
    assert_eq!(
        text(&run(&binaries, &data, &["queue", "ls"])),
        "nothing waits\n"
    );
    let all = text(&run(&binaries, &data, &["queue", "ls", "--all"]));
    assert!(all.contains("dropped"), "{all}");
    let again = run(&binaries, &data, &drop);
    assert!(!again.status.success());
    let words = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(words.contains("is dropped"), "{words}");

    agent.set(Behaviour::Echo);
    let retried = text(&run(&binaries, &data, &["queue", "retry", &entry]));
    assert!(retried.contains("accepted"), "{retried}");
    let show = ["queue", "show", &entry, "--json"];
    let delivered = once(&binaries, &data, &show, |output| {
        text(output).contains(r#""state":"delivered""#)
    })
    .await;
    assert_eq!(delivered["state"], "delivered");
    assert!(agent.message_ids().iter().all(|id| id == "m-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn observe_shows_and_switches_what_explain_tells() {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(&data, &[]).await.unwrap();
    let agent = A2aAgent::start().await.unwrap();
    let mut client = Client::new(candor.http());
    let id = workspace(&mut client, "seen", &agent).await;

    let told = &json_lines(&run(&binaries, &data, &["observe", "seen", "--json"]))[0];
    assert_eq!(told["workspace_id"], id.as_str());
    assert_eq!(
        (&told["enabled"], &told["canary"]),
        (&json!(true), &json!(false))
    );
    let told = text(&run(
        &binaries,
        &data,
        &["observe", &id, "off", "--canary", "on"],
    ));
    assert!(
        told.contains("observed off, canary on; 0 silent call(s)"),
        "{told}"
    );
    let why = &json_lines(&run(&binaries, &data, &["explain", &id, "--json"]))[0];
    assert_eq!(why["observation"]["enabled"], false);
    assert_eq!(why["observation"]["canary"], true);
    // What is not named stays.
    let told = text(&run(&binaries, &data, &["observe", "seen", "on"]));
    assert!(told.contains("observed on, canary on"), "{told}");
    let why = text(&run(&binaries, &data, &["explain", "seen"]));
    assert!(why.contains("observed      on, canary on"), "{why}");
    let unknown = "00000000-0000-4000-8000-0000000000ee";
    assert!(
        !run(&binaries, &data, &["observe", unknown, "off"])
            .status
            .success()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_services_apart_the_queue_is_asked_at_the_relay() {
    let postgres = Postgres::start_new().await.unwrap();
    let url = postgres.create_database().await.unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    binaries.migrate(&url).unwrap();
    let registry = binaries.registry(&url, &[]).await.unwrap();
    let log = binaries
        .activity_log(&url, registry.grpc(), &[])
        .await
        .unwrap();
    let relay = binaries
        .relay(&url, registry.grpc(), log.grpc(), &[])
        .await
        .unwrap();
    let data = DataDir::new().unwrap();
    let at = relay.grpc().to_string();
    let listed = run(&binaries, &data, &["queue", "ls", "--grpc", &at]);
    assert_eq!(text(&listed), "nothing waits\n");
    let at = registry.grpc().to_string();
    let elsewhere = run(&binaries, &data, &["queue", "ls", "--grpc", &at]);
    assert!(!elsewhere.status.success());
    let words = String::from_utf8_lossy(&elsewhere.stderr).into_owned();
    assert!(
        words.contains("no relay") && words.contains("50054"),
        "{words}"
    );
}

#[test]
fn without_a_platform_every_command_says_what_to_do() {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    for args in [
        &["ps"][..],
        &["explain", "x"],
        &["activity", "ls", "x"],
        &["queue", "ls"],
        &["observe", "x"],
        &["policy", "x"],
        &["watch"],
        &["doctor"],
    ] {
        let mut command = binaries.command("candor");
        command.args(args).args(["--grpc", "127.0.0.1:9"]);
        command.arg("--data-dir").arg(data.path());
        let output = command.output().unwrap();
        assert!(!output.status.success(), "{args:?}");
        let words = format!(
            "{}{}",
            text(&output),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(words.contains("127.0.0.1:9"), "{args:?}: {words}");
    }
}
