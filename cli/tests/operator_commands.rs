//! What an operator sees in the terminal when an agent is wedged.
#![allow(clippy::unwrap_used)]

use std::process::Output;

use candor_testkit::agent::{FakeAgent, Mood};
use candor_testkit::http::{Call, Client};
use candor_testkit::platform::{Binaries, DataDir};
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

#[test]
fn without_a_platform_every_command_says_what_to_do() {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    for args in [
        &["ps"][..],
        &["explain", "x"],
        &["activity", "ls", "x"],
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
