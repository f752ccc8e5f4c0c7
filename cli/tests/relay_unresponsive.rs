//! An agent whose beats are green and which answers nothing is seen for what it is;
//! and nobody can make a healthy one look like it.
#![allow(clippy::unwrap_used)]

use candor_proto::registry::v1::ExplainStatusRequest;
use candor_proto::registry::v1::registry_service_client::RegistryServiceClient;
use candor_proto::relay::v1 as pb;
use candor_proto::relay::v1::relay_service_client::RelayServiceClient;
use candor_testkit::a2a_agent::{Behaviour, Gate, Pause};
use candor_testkit::a2a_workspace::{A2aWorkspace, message};
use candor_testkit::agent::Mood;
use candor_testkit::http::{Answer, Call, Client};
use candor_testkit::platform::{Binaries, DataDir, Platform};
use serde_json::{Value, json};
use tonic::transport::Channel;

/// Calls end, and count, after two seconds.
const IMPATIENT: &[(&str, &str)] = &[
    ("A2A_IDLE_TIMEOUT_SECONDS", "2"),
    ("CANDOR_UNRESPONSIVE_MIN_DEADLINE", "2s"),
];

struct World {
    candor: Platform,
    client: Client,
    workspace: A2aWorkspace,
    _data: DataDir,
}

impl World {
    /// A platform, and a workspace whose agent answers nothing.
    async fn start(env: &[(&str, &str)]) -> Self {
        let data = DataDir::new().unwrap();
        let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
        let candor = binaries.up(&data, env).await.unwrap();
        let mut client = Client::new(candor.http());
        let workspace = A2aWorkspace::start(&mut client, "green").await.unwrap();
        workspace.agent.set(Behaviour::Hang);
        Self {
            candor,
            client,
            workspace,
            _data: data,
        }
    }

    fn call(&self, id: &str) -> Call {
        self.workspace.call(&message(id))
    }

    /// So many calls at a time.
    async fn calls(&self, count: usize, call: impl Fn(String) -> Call) -> Vec<Answer> {
        let calls = (0..count).map(|n| {
            let call = call(format!("m-{n}"));
            let mut client = Client::new(self.candor.http());
            async move { client.send(call).await.unwrap() }
        });
        futures::future::join_all(calls).await
    }

    async fn silent_calls(&self, count: usize) {
        for answer in self.calls(count, |id| self.call(&id)).await {
            unknown(&answer);
        }
    }

    async fn status(&mut self) -> Value {
        let shown = self.workspace.shown(&mut self.client).await.unwrap();
        shown["status"].clone()
    }

    async fn relay(&self) -> RelayServiceClient<Channel> {
        RelayServiceClient::new(self.candor.channel().await.unwrap())
    }

    async fn observation(&self) -> pb::Observation {
        let request = pb::GetObservationRequest {
            workspace_id: self.workspace.id().to_owned(),
        };
        let observed = self.relay().await.get_observation(request).await;
        observed.unwrap().into_inner()
    }

    async fn observe(&self, enabled: bool) {
        let request = pb::SetObservationRequest {
            workspace_id: self.workspace.id().to_owned(),
            enabled: Some(enabled),
            canary: None,
        };
        let set = self.relay().await.set_observation(request).await.unwrap();
        assert_eq!(set.into_inner().enabled, enabled);
    }

    /// Type and payload of its events, oldest first.
    async fn events(&mut self) -> Vec<(Value, Value)> {
        let call = Call::get(format!("/events/{}", self.workspace.id()));
        let events = self.client.send(call).await.unwrap().json();
        let events = events.as_array().unwrap().iter().rev();
        events
            .map(|event| (event["event_type"].clone(), event["payload"].clone()))
            .collect()
    }
}

/// 503: nobody knows whether the agent has it (deviation D7).
fn unknown(answer: &Answer) {
    let body = answer.json();
    assert_eq!(answer.status, 503, "{body}");
    assert_eq!(body["delivery_unknown"], true, "{body}");
    assert_eq!(
        (&body["busy"], &body["retry_after"]),
        (&json!(true), &json!(30))
    );
    assert_eq!(answer.header("retry-after"), "30");
}

/// 503 at once: its agent is not dialled (deviation D9).
fn unwell(answer: &Answer, state: &str) -> String {
    let body = answer.json();
    assert_eq!(answer.status, 503, "{body}");
    assert_eq!(body["runtime_state"], state, "{body}");
    assert_eq!(body["status"], "degraded", "{body}");
    assert_eq!(answer.header("retry-after"), "30");
    body["error"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_silent_calls_degrade_it_and_one_answer_heals_it() {
    let mut world = World::start(IMPATIENT).await;
    world.silent_calls(2).await;
    assert_eq!(world.status().await, "online");
    world.silent_calls(1).await;
    assert_eq!(world.status().await, "degraded");
    world.workspace.beats.beat(&mut world.client).await.unwrap();
    assert_eq!(world.status().await, "degraded", "a beat proves nothing");

    let mut registry = RegistryServiceClient::new(world.candor.channel().await.unwrap());
    let request = ExplainStatusRequest {
        id: world.workspace.id().to_owned(),
        limit: 1,
    };
    let why = registry.explain_status(request).await.unwrap().into_inner();
    assert_eq!(why.causes[0].kind, "unresponsive");
    let evidence = "3 calls in a row ended without an answer or progress, the last one after 2 s";
    assert_eq!(why.causes[0].evidence, evidence);
    assert_eq!(why.decisions[0].rule, "R8");
    let (event, payload) = world.events().await.pop().unwrap();
    assert_eq!(event, "WORKSPACE_DEGRADED");
    assert_eq!(payload["runtime_state"], "unresponsive");
    assert_eq!(payload["sample_error"], evidence);

    // One call tries it; meanwhile every other one is answered at once.
    let gate = Gate::closed();
    let agent = &world.workspace.agent;
    agent.set(Behaviour::slow(Pause::Until(gate.clone())));
    let call = world.call("tries it");
    let mut client = Client::new(world.candor.http());
    let tries = tokio::spawn(async move { client.send(call).await.unwrap() });
    agent.wait_for_requests(4).await.unwrap();
    for answer in world.calls(3, |id| world.call(&id)).await {
        let error = unwell(&answer, "unresponsive");
        assert!(error.contains("without an answer"), "{error}");
    }
    assert_eq!(agent.counts().requests, 4);
    gate.open();
    assert_eq!(tries.await.unwrap().status, 200);
    assert_eq!(world.status().await, "online");
    assert_eq!(world.events().await.pop().unwrap().0, "WORKSPACE_ONLINE");
    let answer = world.client.send(world.call("after")).await.unwrap();
    assert_eq!(answer.status, 200);
    let observation = world.observation().await;
    assert_eq!(observation.silent_calls, 0);
    assert!(observation.last_answer_at.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn short_limits_of_callers_degrade_nobody() {
    let mut world = World::start(&[]).await;
    let call = |id: String| world.call(&id).header("x-timeout", "1");
    for answer in world.calls(5, call).await {
        unknown(&answer);
    }
    assert_eq!(world.workspace.agent.counts().requests, 5);
    assert_eq!(world.observation().await.silent_calls, 0);
    assert_eq!(world.status().await, "online");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_not_judged_while_its_owner_says_so_or_it_has_no_room() {
    let mut world = World::start(IMPATIENT).await;
    world.observe(false).await;
    world.silent_calls(3).await;
    assert_eq!(world.observation().await.silent_calls, 3);
    assert_eq!(world.status().await, "online");

    // Full, as it says: that it takes its time is no silence.
    let id = world.workspace.id();
    let full = json!({"workspace_id": id, "active_tasks": 1, "error_rate": 0.0,
        "sample_error": "", "current_task": "long", "uptime_seconds": 10});
    let beat = Call::post("/registry/heartbeat", &full).bearer(world.workspace.token());
    assert_eq!(world.client.send(beat).await.unwrap().status, 200);
    world.observe(true).await;
    world.silent_calls(1).await;
    assert_eq!(world.observation().await.silent_calls, 3);
    assert_eq!(world.status().await, "online");

    world.workspace.beats.uptime_seconds = 10;
    world.workspace.beats.beat(&mut world.client).await.unwrap();
    world.silent_calls(1).await;
    assert_eq!(world.status().await, "degraded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wedged_one_answers_at_once_with_its_own_words() {
    let mut world = World::start(&[]).await;
    world.workspace.beats.mood = Mood::Wedged {
        sample_error: "Control request timeout: initialize".to_owned(),
    };
    world.workspace.beats.beat(&mut world.client).await.unwrap();
    let answer = world.client.send(world.call("m")).await.unwrap();
    let error = unwell(&answer, "wedged");
    assert_eq!(
        error,
        "workspace agent is wedged: Control request timeout: initialize"
    );
    assert_eq!(world.workspace.agent.counts().connections, 0);
}
