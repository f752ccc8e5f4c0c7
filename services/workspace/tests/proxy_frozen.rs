//! A real process that is stopped (SIGSTOP) and goes on (SIGCONT): its kernel takes
//! connections for it all the time, and nobody answers. The test is the process, when
//! it is called so; hence it has a `main` of its own.
#![allow(clippy::unwrap_used)]

mod proxy_support;

use std::process::Command;
use std::time::Duration;

use candor_testkit::a2a_agent::A2aAgent;
use candor_testkit::process::Process;
use candor_testkit::wait::wait_until;
use candor_workspace::proxy::ProxySettings;
use nix::sys::signal::Signal;
use proxy_support::{SOON, Sidecar, patient, send, told};
use serde_json::json;

/// What the process is called with to be the agent.
const AGENT: &str = "be-the-agent";

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match std::env::args().nth(1).as_deref() {
        Some(AGENT) => runtime.block_on(be_the_agent()),
        // Asked by a runner of tests what there is.
        Some("--list") => println!("a_frozen_process_is_wedged_until_it_goes_on: test"),
        _ => {
            runtime.block_on(a_frozen_process_is_wedged_until_it_goes_on());
            runtime.block_on(a_process_that_was_killed_is_wedged());
            println!("test result: ok. 2 passed");
        }
    }
}

async fn be_the_agent() {
    let agent = A2aAgent::start().await.unwrap();
    println!("{}", json!({"ready": true, "url": agent.url()}));
    std::future::pending().await
}

async fn agent() -> Process {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(AGENT);
    Process::start("agent", command, SOON).await.unwrap()
}

async fn sidecar_of(agent: &Process, idle_timeout: Duration) -> Sidecar {
    let tick = Duration::from_millis(100);
    let mut sidecar = Sidecar::start(ProxySettings {
        canary_every: tick,
        canary_timeout: tick,
        idle_timeout,
        unanswered_limit: 1_000,
        ..patient(&agent.announced("url"))
    })
    .await;
    sidecar.watch();
    sidecar
}

async fn a_frozen_process_is_wedged_until_it_goes_on() {
    let mut agent = agent().await;
    let sidecar = sidecar_of(&agent, SOON).await;
    assert_eq!(sidecar.ask(send("m1")).await.status, 200);
    for round in 0..2 {
        agent.signal(Signal::SIGSTOP);
        let reason = sidecar.wait_for_wedge().await;
        assert!(
            reason.ends_with("no answer within 0.1 s"),
            "{round}: {reason}"
        );
        agent.signal(Signal::SIGCONT);
        sidecar.wait_for_health().await;
        assert_eq!(sidecar.ask(send("m2")).await.status, 200);
    }
    // With messages given to it: once its budget is over, and then as well.
    let sidecar = sidecar_of(&agent, Duration::from_millis(700)).await;
    agent.signal(Signal::SIGSTOP);
    let (mut client, call) = (sidecar.client(), send("m3"));
    let asking = tokio::spawn(async move { client.send(call).await.unwrap() });
    sidecar.wait_for_wedge().await;
    agent.signal(Signal::SIGCONT);
    // Whether it was wedged before or after its message's time was over is a race
    // between the two clocks of a real process; that it is told either way is not.
    let asked = asking.await.unwrap();
    assert!(
        asked.status == 200 || told(&asked).1 == "NO_ANSWER",
        "{asked:?}"
    );
    sidecar.wait_for_health().await;
}

async fn a_process_that_was_killed_is_wedged() {
    let mut agent = agent().await;
    let sidecar = sidecar_of(&agent, SOON).await;
    assert!(wait_until(SOON, || !sidecar.vitals.is_wedged()).await);
    assert_eq!(sidecar.ask(send("m1")).await.status, 200);
    agent.kill9();
    let reason = sidecar.wait_for_wedge().await;
    assert!(
        reason.starts_with("nobody listens at http://127.0.0.1:"),
        "{reason}"
    );
}
