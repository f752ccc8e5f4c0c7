//! What an operator decides about instances, and what the platform tells of them.
#![allow(clippy::unwrap_used)]

use std::process::Output;

use candor_proto::provisioner::v1 as pb;
use candor_proto::provisioner::v1::provisioner_service_client::ProvisionerServiceClient;
use candor_testkit::http::{Call, Client};
use candor_testkit::platform::{Binaries, DataDir, Platform};
use candor_testkit::postgres::{Postgres, count, execute, text};
use serde_json::{Value, json};

/// Something that is there to be run, and leaves nothing behind.
const PROGRAM: (&str, &str) = ("CANDOR_PROCESS_PROGRAM", "/bin/false");

fn binaries() -> Binaries {
    Binaries::beside(env!("CARGO_BIN_EXE_candor"))
}

fn run(data: &DataDir, args: &[&str]) -> Output {
    let mut command = binaries().command("candor");
    command.args(args).arg("--data-dir").arg(data.path());
    command.output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn parsed(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// The check of a backend, as `doctor --json` has it.
fn check(doctor: &Value, backend: &str) -> Value {
    let name = format!("backend {backend}");
    let checks = doctor["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["check"] == name.as_str());
    found.unwrap_or_else(|| panic!("{doctor}")).clone()
}

async fn created(candor: &Platform, runtime: &str) -> String {
    let new = json!({"name": runtime, "runtime": runtime, "tier": 2});
    let mut client = Client::new(candor.http());
    let answer = client.send(Call::post("/workspaces", &new)).await.unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_that_is_created_at_once_finds_its_backend() {
    let data = DataDir::new().unwrap();
    let candor = binaries().up(&data, &[PROGRAM]).await.unwrap();
    // Nothing is waited for: ready means that the registry knows.
    let id = created(&candor, "candor-echo").await;
    let placed = format!("SELECT backend FROM registry.placements WHERE workspace_id = '{id}'");
    assert_eq!(
        text(&candor.database_url(), &placed).await.unwrap(),
        "process"
    );
    let others = created(&candor, "langgraph").await;
    let placed =
        format!("SELECT count(*) FROM registry.placements WHERE workspace_id = '{others}'");
    assert_eq!(count(&candor.database_url(), &placed).await.unwrap(), 0);

    let doctor = run(&data, &["doctor", "--json"]);
    assert!(doctor.status.success(), "{}", stdout(&doctor));
    let doctor = parsed(&doctor);
    let process = check(&doctor, "process")["detail"].to_string();
    for word in [
        "candor-command, candor-echo",
        &format!("http://{}", candor.http()),
    ] {
        assert!(process.contains(word), "{process}");
    }
    let docker = check(&doctor, "docker");
    let detail = docker["detail"].to_string();
    assert!(
        docker["ok"] == true && detail.contains("runs nothing"),
        "{docker}"
    );
    assert!(detail.contains("--http-enforced 0.0.0.0:"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_names_what_is_missing_of_a_backend_that_is_to_run_something() {
    let data = DataDir::new().unwrap();
    // An engine that was there: nobody listens any more.
    let socket = data.path().join("docker.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let socket = socket.to_string_lossy().into_owned();
    let env = [
        ("CANDOR_PROCESS_PROGRAM", "/nowhere/candor-workspace"),
        ("CANDOR_DOCKER_SOCKET", &socket),
        ("CANDOR_HTTP_ENFORCED", "0.0.0.0:0"),
        ("CANDOR_IMAGES", "candor-echo=candor-workspace:1"),
    ];
    let candor = binaries().up(&data, &env).await.unwrap();
    let doctor = run(&data, &["doctor", "--json"]);
    assert!(!doctor.status.success(), "an engine that is wanted is away");
    let doctor = parsed(&doctor);
    let docker = check(&doctor, "docker");
    let detail = docker["detail"].to_string();
    assert!(
        docker["ok"] == false && detail.contains("candor-echo"),
        "{docker}"
    );
    assert!(detail.contains("docker.sock"), "{detail}");
    let process = check(&doctor, "process");
    let detail = process["detail"].to_string();
    assert!(
        process["ok"] == true && detail.contains("/nowhere/candor-workspace"),
        "{process}"
    );
    let id = created(&candor, "candor-echo").await;
    let placed = format!("SELECT backend FROM registry.placements WHERE workspace_id = '{id}'");
    assert_eq!(
        text(&candor.database_url(), &placed).await.unwrap(),
        "docker"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_shown_changed_and_kept() {
    let data = DataDir::new().unwrap();
    let candor = binaries()
        .up(&data, &[("CANDOR_BACKENDS", "none")])
        .await
        .unwrap();
    let id = created(&candor, "langgraph").await;
    let shown = stdout(&run(&data, &["policy", "langgraph"]));
    assert_eq!(
        shown,
        format!("{id}  restart on wedge off, hibernates never\n")
    );
    let set = [
        "policy",
        &id,
        "--restart-on-wedge=true",
        "--hibernate-after",
        "30m",
        "--json",
    ];
    let set = parsed(&run(&data, &set));
    assert_eq!(set["restart_on_wedge"], true);
    assert_eq!(set["hibernate_after_seconds"], 1800);
    // What is not named stays.
    run(&data, &["policy", &id, "--restart-on-wedge", "off"]);
    let shown = stdout(&run(&data, &["policy", &id]));
    assert_eq!(
        shown,
        format!("{id}  restart on wedge off, hibernates 1800s idle\n")
    );
    run(&data, &["policy", &id, "--hibernate-after", "never"]);
    let shown = stdout(&run(&data, &["policy", &id]));
    assert_eq!(
        shown,
        format!("{id}  restart on wedge off, hibernates never\n")
    );
    let unknown = run(&data, &["policy", "00000000-0000-4000-8000-0000000000ee"]);
    assert!(!unknown.status.success());
    assert!(
        stderr(&unknown).contains("not found"),
        "{}",
        stderr(&unknown)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_tells_how_far_an_instance_is() {
    let data = DataDir::new().unwrap();
    // Nobody moves what another provisioner would.
    let env = [("CANDOR_BACKENDS", "none"), ("CANDOR_RESTART_BUDGET", "5")];
    let candor = binaries().up(&data, &env).await.unwrap();
    let id = created(&candor, "langgraph").await;
    assert!(!stdout(&run(&data, &["explain", &id])).contains("instance"));
    let rows = format!(
        "INSERT INTO provisioner.instances
             (workspace_id, backend, want, epoch, version, handed, attempts, last_error,
              restarts, url, next_at)
         VALUES ('{id}', 'docker', 'running', 3, 1, 'verified', 2, 'no answer', \
                 ARRAY[now() - interval '1 minute', now() - interval '1 day'], \
                 'http://127.0.0.1:32768', now() + interval '1 hour');
         INSERT INTO provisioner.steps (workspace_id, epoch, step, outcome, detail, took_ms)
         VALUES ('{id}', 3, 'hand_over', 'done', '', 12),
                ('{id}', 3, 'start', 'failed', 'no answer', 2500)"
    );
    execute(&candor.database_url(), &rows).await.unwrap();
    let told = stdout(&run(&data, &["explain", &id]));
    for words in [
        "docker: running wanted, epoch 3; its token is written and read back",
        "2 failed attempt(s), the next in 59m",
        "reached at http://127.0.0.1:32768",
        "last error: no answer",
        "1 of 5 restarts that nobody asked for, within 10m",
        "epoch 3  start failed in 2500 ms  no answer",
    ] {
        assert!(told.contains(words), "{words:?} in {told}");
    }
    let told = &parsed(&run(&data, &["explain", &id, "--json"]))["instance"];
    let steps = told["steps"].as_array().unwrap();
    let steps: Vec<&Value> = steps.iter().map(|step| &step["step"]).collect();
    assert_eq!(steps, ["start", "hand_over"], "newest first");
    assert_eq!(told["restarts"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_provisioners_of_a_database_are_one_installation() {
    let postgres = Postgres::start_new().await.unwrap();
    let url = postgres.create_database().await.unwrap();
    let binaries = binaries();
    binaries.migrate(&url).unwrap();
    let registry = binaries.registry(&url, &[]).await.unwrap();
    let env = [PROGRAM, ("CANDOR_HTTP", "0.0.0.0:9")];
    let (one, other) = tokio::join!(
        binaries.provisioner(&url, registry.grpc(), &env),
        binaries.provisioner(&url, registry.grpc(), &env),
    );
    let (one, _other) = (one.unwrap(), other.unwrap());
    let installations = "SELECT count(*) FROM provisioner.installation";
    assert_eq!(count(&url, installations).await.unwrap(), 1);
    let announced = "SELECT count(*) FROM registry.backends WHERE announced_until > now()";
    assert_eq!(
        count(&url, announced).await.unwrap(),
        2,
        "process and docker"
    );

    let mut client = ProvisionerServiceClient::new(one.channel().await.unwrap());
    let told = client.list_backends(pb::ListBackendsRequest {}).await;
    let backends = told.unwrap().into_inner().backends;
    let names: Vec<&str> = backends
        .iter()
        .map(|backend| backend.name.as_str())
        .collect();
    assert_eq!(names, ["process", "docker"]);
    assert_eq!(backends[0].platform_url, "http://127.0.0.1:9");
    // The listener of the gateway is enforced there, so containers may call it.
    assert_eq!(backends[1].platform_url, "http://host.docker.internal:9");

    let data = DataDir::new().unwrap();
    let at = registry.grpc().to_string();
    let id = "00000000-0000-4000-8000-0000000000ee";
    let elsewhere = run(&data, &["policy", id, "--grpc", &at]);
    let words = stderr(&elsewhere);
    assert!(
        words.contains("no provisioner") && words.contains("50052"),
        "{words}"
    );
    let doctor = run(&data, &["doctor", "--grpc", &at]);
    assert!(
        doctor.status.success(),
        "a registry alone is no defect: {}",
        stdout(&doctor)
    );
}

#[test]
fn what_is_wrong_with_instances_is_told_with_everything_else() {
    let data = DataDir::new().unwrap();
    let mut command = binaries().command("candor");
    command.args(["up", "--data-dir"]).arg(data.path());
    command.args([
        "--http",
        "nowhere",
        "--backends",
        "podman",
        "--pull-deadline",
        "soon",
    ]);
    command.env("TIER2_MEMORY_MB", "lots");
    let output = command.output().unwrap();
    assert!(!output.status.success());
    let told = stderr(&output);
    for setting in [
        "--http: `nowhere`",
        "--backends: `podman`",
        "--pull-deadline: `soon`",
        "TIER2_MEMORY_MB: `lots`",
    ] {
        assert!(told.contains(setting), "{setting} in {told}");
    }
}
