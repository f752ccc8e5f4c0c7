//! What a container is made of is in no log line, however much is asked for.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod conformance;
mod engine;

use std::process::Command;

use candor_kernel::Epoch;
use candor_process::config::Secret;
use candor_process::telemetry::{Telemetry, TelemetrySettings};
use candor_provisioner::backend::docker::DockerBackend;
use candor_provisioner::backend::{Backend, Mount, Plan, Tier};

use self::conformance::inside::program;
use self::conformance::{GRACE, Unheard, a_workspace};
use self::engine::{Image, engine};

/// Set for the process whose log is read: telemetry is of a whole process.
const LOGGED: &str = "CANDOR_TEST_LOGGED";
const SECRET: &str = "sk-nobody-reads-this";
const TOKEN: &str = "token-nobody-reads-this";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_logged_whatever_is_asked_for() {
    let Some(engine) = engine().await else { return };
    if std::env::var_os(LOGGED).is_none() {
        return the_log_is_clean();
    }
    let mut settings = TelemetrySettings::new("test");
    settings.filter = "trace,bollard=trace,bollard::docker=trace".to_owned();
    let telemetry = Telemetry::start(&settings).unwrap();
    let program = program();
    let image = Image {
        name: "stand-in-of-root",
        program: (&program, "/stand_in"),
        command: &["/stand_in"],
        user: "",
        files: &[],
    };
    let plan = Plan {
        workspace: a_workspace(),
        epoch: Epoch(1),
        name: "ada".to_owned(),
        runtime: "candor-echo".to_owned(),
        tier: Tier::T2,
        image: Some(engine.image(&image).await),
        platform_url: "http://127.0.0.1:9".to_owned(),
        env: [("API_KEY".to_owned(), Secret::new(SECRET))].into(),
        files: Vec::new(),
        token: Secret::new(TOKEN),
        mount: Mount::None,
        reset_session: false,
    };
    let backend = DockerBackend::new(engine.settings());
    backend.write(&plan).await.unwrap();
    backend.start(&plan, &Unheard).await.unwrap();
    backend.stop(plan.workspace, GRACE).await.unwrap();
    tracing::trace!("the end of the log");
    telemetry.shutdown().await;
}

fn the_log_is_clean() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "no_secret_is_logged_whatever_is_asked_for"])
        .env(LOGGED, "1")
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{log}");
    assert!(log.contains("the end of the log"), "nothing is logged");
    for secret in [SECRET, TOKEN] {
        let told: Vec<_> = log.lines().filter(|line| line.contains(secret)).collect();
        assert!(told.is_empty(), "{told:?}");
    }
}
