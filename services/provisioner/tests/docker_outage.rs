//! An engine that stands still, and one that is stopped and comes back: nothing is
//! concluded about instances, and they go on.
//!
//! One test, since everything on the engine feels it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod conformance;
mod engine;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use candor_kernel::Epoch;
use candor_provisioner::backend::docker::DockerBackend;
use candor_provisioner::backend::{Backend, BackendError, Mount, Observed, Plan, Remove, Tier};
use candor_testkit::wait::wait_for;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use self::conformance::inside::{Inside, program};
use self::conformance::{GRACE, Unheard, a_workspace};
use self::engine::{Image, engine};

/// Where `scripts/with-docker` says which process its own engine is.
const PIDFILE: &str = "CANDOR_TEST_DOCKER_PIDFILE";
const SOON: Duration = Duration::from_secs(60);

struct Process(Pid);

impl Process {
    fn of(file: &PathBuf) -> Self {
        let text = std::fs::read_to_string(file).unwrap();
        Self(Pid::from_raw(text.trim().parse().unwrap()))
    }

    fn words(&self) -> Vec<String> {
        let words = std::fs::read_to_string(format!("/proc/{}/cmdline", self.0)).unwrap();
        words.split_terminator('\0').map(str::to_owned).collect()
    }

    /// A zombie is its parent's, and runs no more.
    fn runs(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0));
        stat.is_ok_and(|stat| !stat.rsplit(") ").next().unwrap().starts_with('Z'))
    }
}

async fn nothing_is_known(backend: &DockerBackend, plan: &Plan) {
    let said = [
        backend.observe(plan.workspace).await.err(),
        backend.list().await.err(),
    ];
    for said in said {
        assert!(
            matches!(said, Some(BackendError::Unavailable(_))),
            "{said:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_is_away_ends_nothing_and_says_nothing() {
    let Some(engine) = engine().await else { return };
    let Some(file) = std::env::var_os(PIDFILE).map(PathBuf::from) else {
        println!("NOT RUN: an engine that is not the tests' own is not stopped");
        return;
    };
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
        epoch: Epoch(7),
        name: "ada".to_owned(),
        runtime: "candor-echo".to_owned(),
        tier: Tier::T2,
        image: Some(engine.image(&image).await),
        platform_url: "http://127.0.0.1:9".to_owned(),
        env: [].into(),
        files: Vec::new(),
        token: candor_process::config::Secret::new("a-token-of-this-test"),
        mount: Mount::None,
        reset_session: false,
    };
    let backend = DockerBackend::new(engine.settings());
    backend.write(&plan).await.unwrap();
    let running = backend.start(&plan, &Unheard).await.unwrap();
    let Observed::Running { url: Some(url), .. } = &running else {
        panic!("{running:?}")
    };
    let inside = Inside::at(url).unwrap().listening().await;

    let daemon = Process::of(&file);
    kill(daemon.0, Signal::SIGSTOP).unwrap();
    nothing_is_known(&backend, &plan).await;
    assert!(inside.answers().await);
    kill(daemon.0, Signal::SIGCONT).unwrap();
    assert_eq!(backend.observe(plan.workspace).await.as_ref(), Ok(&running));

    let words = daemon.words();
    kill(daemon.0, Signal::SIGTERM).unwrap();
    let ended = wait_for("the engine's end", SOON, || async {
        (!daemon.runs()).then_some(())
    });
    ended.await.unwrap();
    nothing_is_known(&backend, &plan).await;
    assert!(backend.stop(plan.workspace, GRACE).await.is_err());
    // It outlives this test; `scripts/with-docker` ends it.
    let again = Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    drop(again.unwrap());
    let back = wait_for("the engine", SOON, || async {
        backend.observe(plan.workspace).await.ok()
    });
    assert_eq!(back.await.unwrap(), running);
    assert!(inside.answers().await);
    backend.stop(plan.workspace, GRACE).await.unwrap();
    backend
        .remove(plan.workspace, Remove::Everything)
        .await
        .unwrap();
}
