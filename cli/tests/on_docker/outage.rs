//! An engine that is not there for a while.

use std::fs;
use std::process::{Command, Stdio};

use candor_testkit::wait::wait_for;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::answers::Answers;
use crate::engine::{SOON, World, container, docker, engine, not_run, try_docker};

/// Beats of half a minute.
const BEATS: i64 = 300;

/// An engine that is away until this is dropped.
enum Away {
    /// It holds its socket, and answers nobody.
    Frozen(Pid),
    /// It has ended; what it was started with.
    Ended(Vec<String>),
}

impl Away {
    fn frozen(pid: Pid) -> Self {
        kill(pid, Signal::SIGSTOP).unwrap();
        Self::Frozen(pid)
    }

    async fn ended(pid: Pid) -> Self {
        let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        let words = words.split_terminator('\0').map(str::to_owned).collect();
        kill(pid, Signal::SIGTERM).unwrap();
        let away = Self::Ended(words);
        wait_for("the engine's end", SOON, || async {
            (!runs(pid)).then_some(())
        })
        .await
        .unwrap();
        away
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        match self {
            Self::Frozen(pid) => kill(*pid, Signal::SIGCONT).unwrap(),
            // It outlives this test; `scripts/with-docker` ends it.
            Self::Ended(words) => drop(
                Command::new(&words[0])
                    .args(&words[1..])
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap(),
            ),
        }
    }
}

/// A zombie is its parent's, and runs no more.
fn runs(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit(") ").next().unwrap().starts_with('Z'))
}

/// Waits for half a minute of beats, and sees that nothing came of it.
async fn nothing_happens_for_half_a_minute(world: &World, id: &str) {
    let uptime =
        format!("SELECT uptime_seconds::text FROM registry.workspace_vitals WHERE id = '{id}'");
    let at = || async { world.text(&uptime).await.parse::<i64>().unwrap() };
    let before = at().await;
    wait_for("three hundred beats", SOON, || async {
        (at().await >= before + BEATS).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(world.shown(id).await["status"], "online");
}

#[tokio::test]
async fn an_engine_that_is_away_for_half_a_minute_restarts_nothing_and_kills_nobody() {
    if !engine() {
        return;
    }
    let Ok(pidfile) = std::env::var("CANDOR_TEST_DOCKER_PIDFILE") else {
        not_run("an engine that is not the tests' own is not stopped");
        return;
    };
    let world = World::alone().await;
    let id = world.create(&json!({"name": "w", "tier": 2})).await;
    let told = format!(
        "SELECT string_agg(event_type, ' ' ORDER BY seq) FROM structure_events WHERE workspace_id = '{id}'"
    );
    let format = "{{.Id}} {{.State.StartedAt}}";
    let instance = || docker(&["inspect", "--format", format, &container(&id)]);
    for (epoch, is_ended) in [(1, false), (2, true)] {
        world.runs(&id, epoch).await;
        let before = (instance(), world.text(&told).await);
        let pid = fs::read_to_string(&pidfile).unwrap();
        let pid = Pid::from_raw(pid.trim().parse().unwrap());
        let away = if is_ended {
            Away::ended(pid).await
        } else {
            Away::frozen(pid)
        };
        nothing_happens_for_half_a_minute(&world, &id).await;
        drop(away);
        wait_for("the engine", SOON, || async {
            try_docker(&["version"]).map(drop)
        })
        .await
        .unwrap();
        world.runs(&id, epoch).await;
        assert_eq!((instance(), world.text(&told).await), before);
        let answers = Answers::now(&id);
        answers.assert_well();
        assert!(answers.beats > 300, "{answers:?}");
        // It is looked at again: what is missing now is replaced.
        docker(&["rm", "-f", &container(&id)]);
    }
    world.runs(&id, 3).await;
}
