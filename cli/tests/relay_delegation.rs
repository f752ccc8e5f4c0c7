//! A task that was handed over has one result, whatever happens on its way.
#![allow(clippy::unwrap_used)]

use candor_testkit::a2a_agent::{A2aAgent, Behaviour};
use candor_testkit::a2a_workspace::{A2aWorkspace, message};
use candor_testkit::http::{Answer, Call, Client};
use candor_testkit::platform::{Binaries, DataDir, Platform};
use candor_testkit::postgres;
use serde_json::{Value, json};

struct World {
    binaries: Binaries,
    data: DataDir,
    candor: Platform,
    client: Client,
    url: String,
    source: A2aWorkspace,
    target: A2aWorkspace,
}

impl World {
    async fn start() -> Self {
        let data = DataDir::new().unwrap();
        let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
        let candor = binaries.up(&data, &[]).await.unwrap();
        let mut client = Client::new(candor.http());
        Self {
            source: A2aWorkspace::start(&mut client, "source").await.unwrap(),
            target: A2aWorkspace::start(&mut client, "target").await.unwrap(),
            url: candor.database_url(),
            binaries,
            data,
            candor,
            client,
        }
    }

    /// POST to one of the source's routes, by its own token.
    fn own(&self, route: &str, body: &Value) -> Call {
        let target = format!("/workspaces/{}/{route}", self.source.id());
        Call::post(target, body).bearer(self.source.token())
    }

    fn delegate(&self, target: &str, key: &str) -> Call {
        let body = json!({"target_id": target, "task": "do it", "idempotency_key": key});
        self.own("delegate", &body)
    }

    async fn send(&mut self, call: Call) -> Answer {
        self.client.send(call).await.unwrap()
    }

    /// Hands a task over; answers its id.
    async fn delegated(&mut self, target: &str, key: &str) -> String {
        let answer = self.send(self.delegate(target, key)).await;
        let body = answer.json();
        assert_eq!((answer.status, &body["status"]), (202, &json!("delegated")));
        body["delegation_id"].as_str().unwrap().to_owned()
    }

    /// The source's rows about delegations become these: method, status, error and
    /// the result's text, oldest first.
    async fn rows_become(&self, wanted: &str) {
        let id = self.source.id();
        let query = format!(
            "SELECT string_agg(concat_ws(' ', method, status, error_detail,
                    response_text::jsonb ->> 'text'), ', ' ORDER BY seq)
             FROM activity_logs WHERE workspace_id = '{id}' AND activity_type = 'delegation'"
        );
        postgres::becomes(&self.url, &query, wanted).await.unwrap();
    }

    /// The source's events about delegations become these.
    async fn events_become(&self, wanted: &str) {
        let id = self.source.id();
        let query = format!(
            "SELECT string_agg(concat_ws(' ', replace(event_type, 'DELEGATION_', ''),
                    payload ->> 'status', payload ->> 'error'), ', ' ORDER BY seq)
             FROM structure_events
             WHERE workspace_id = '{id}' AND event_type LIKE 'DELEGATION%' AND seq IS NOT NULL"
        );
        postgres::becomes(&self.url, &query, wanted).await.unwrap();
    }

    /// GET /workspaces/:id/delegations: status, error and preview, newest first.
    async fn listed(&mut self) -> Vec<(Value, Value, Value)> {
        let target = format!("/workspaces/{}/delegations", self.source.id());
        let list = Call::get(target).bearer(self.source.token());
        let rows = self.send(list).await.json();
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| {
            let member = |name: &str| row[name].clone();
            (
                member("status"),
                member("error"),
                member("response_preview"),
            )
        })
        .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_survives_kill_9_and_an_absent_agent_and_has_one_result() {
    let mut world = World::start().await;
    let address = world.target.agent.address();
    let other = A2aAgent::start().await.unwrap();
    let agent = std::mem::replace(&mut world.target.agent, other);
    agent.stop().await.unwrap();
    let target = world.target.id().to_owned();

    // The same key at the same time is one task.
    let calls = (0..5).map(|_| {
        let call = world.delegate(&target, "the-key");
        let mut client = Client::new(world.candor.http());
        async move { client.send(call).await.unwrap() }
    });
    let answers = futures::future::join_all(calls).await;
    let made = answers.iter().filter(|answer| answer.status == 202);
    assert_eq!(made.count(), 1);
    let id = answers[0].json()["delegation_id"].clone();
    for answer in &answers {
        let body = answer.json();
        assert_eq!(body["delegation_id"], id, "{body}");
        assert_eq!(
            body["idempotent_hit"] == true,
            answer.status == 200,
            "{body}"
        );
    }
    // Its agent is not there, which is seen once; then the platform ends.
    let tried = "SELECT string_agg(concat_ws(' ', state, attempts, fruitless), ',')
                 FROM relay.entries";
    postgres::becomes(&world.url, tried, "accepted 1 1")
        .await
        .unwrap();
    world.candor.process().kill9();

    world.target.agent = A2aAgent::start_at(address, false).await.unwrap();
    let again = world.binaries.up(&world.data, &[]).await.unwrap();
    world.candor = again;
    world.client = Client::new(world.candor.http());
    let hurry = "UPDATE relay.entries SET next_attempt_at = now()";
    postgres::execute(&world.url, hurry).await.unwrap();
    world
        .rows_become("delegate completed, delegate_result completed echo: do it")
        .await;
    world
        .events_become("SENT, STATUS dispatched, STATUS queued, COMPLETE")
        .await;
    assert_eq!(world.target.agent.message_ids(), [id.as_str().unwrap()]);
    let request = &world.target.agent.requests()[0];
    assert_eq!(
        request.json()["params"]["message"]["metadata"]["delegation_id"],
        id
    );
    let hit = world.send(world.delegate(&target, "the-key")).await;
    let body = hit.json();
    assert_eq!((hit.status, &body["status"]), (200, &json!("completed")));
    let listed = world.listed().await;
    let completed = json!("completed");
    assert_eq!(
        listed[0],
        (completed.clone(), Value::Null, json!("echo: do it"))
    );
    assert_eq!(listed[1], (completed, Value::Null, Value::Null));
    assert_eq!(listed.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_refused_or_goes_wrong_says_why() {
    let mut world = World::start().await;
    world.target.agent.set(Behaviour::RpcError);
    let target = world.target.id().to_owned();
    let first = world.delegated(&target, "again").await;
    let failed = "delegate failed model exploded, delegate_result failed model exploded";
    world.rows_become(failed).await;
    let told = "SENT, STATUS dispatched, FAILED model exploded";
    world.events_become(told).await;
    assert_eq!(world.listed().await[0].1, json!("model exploded"));

    // The key of one that failed is free again.
    world.target.agent.set(Behaviour::Task);
    assert_ne!(world.delegated(&target, "again").await, first);
    let done = "delegate completed, delegate_result completed artifact: do it";
    world.rows_become(&format!("{failed}, {done}")).await;

    // A grandchild of somebody else's is none of its business.
    let agent = A2aAgent::start().await.unwrap();
    let child = json!({"name": "child", "parent_id": target});
    let child = A2aWorkspace::with(&mut world.client, agent, &child)
        .await
        .unwrap();
    let child_id = child.id().to_owned();
    world.delegated(&child_id, "").await;
    let denied = "access denied: workspaces cannot communicate per hierarchy rules";
    let refused = format!("delegate failed {denied}, delegate_result failed {denied}");
    world
        .rows_become(&format!("{failed}, {done}, {refused}"))
        .await;
    assert_eq!(child.agent.counts().connections, 0);
    let own = world.source.id().to_owned();
    let itself = world.send(world.delegate(&own, "")).await;
    assert_eq!(
        (itself.status, itself.json()["error"].clone()),
        (400, json!("self-delegation not permitted"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_full_and_says_when_to_come_again_is_come_to_again() {
    let mut world = World::start().await;
    let full = Behaviour::Status {
        code: 503,
        body: r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"busy"}}"#.into(),
        content_type: "application/json".into(),
        headers: vec![("retry-after".into(), "1".into())],
    };
    world.target.agent.set(full);
    let target = world.target.id().to_owned();
    world.delegated(&target, "patient").await;
    world.target.agent.wait_for_requests(2).await.unwrap();
    world.target.agent.set(Behaviour::Task);
    let done = "delegate completed, delegate_result completed artifact: do it";
    world.rows_become(done).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_noted_is_completed_by_its_queued_message() {
    let mut world = World::start().await;
    world.target.agent.set(Behaviour::Eof);
    let id = "4e5e4d4b-0000-4000-8000-000000000001";
    let body = json!({"target_id": world.target.id(), "task": "do it", "delegation_id": id});
    for _ in 0..2 {
        let answer = world.send(world.own("delegations/record", &body)).await;
        assert_eq!(
            (answer.status, &answer.json()["status"]),
            (202, &json!("recorded"))
        );
    }
    let mut task = message("the task");
    task["params"]["message"]["metadata"] = json!({"delegation_id": id});
    let call = world.target.call_by(&world.source, &task);
    assert_eq!(world.send(call).await.status, 202);
    let waits = "SELECT count(*)::text FROM activity_logs WHERE activity_type = 'a2a_receive'
                 AND status = 'queued'";
    postgres::becomes(&world.url, waits, "1").await.unwrap();

    world.target.agent.set(Behaviour::Echo);
    let done = "delegate completed, delegate_result completed echo: the task";
    world.rows_become(done).await;
    world.events_become("SENT, COMPLETE").await;
    // Its own word comes too late, and changes nothing.
    let own = json!({"status": "failed", "error": "gave up"});
    let update = format!("delegations/{id}/update");
    let answer = world.send(world.own(&update, &own)).await;
    assert_eq!(answer.status, 200);
    let untold = "SELECT count(*)::text FROM relay.outbox";
    postgres::becomes(&world.url, untold, "0").await.unwrap();
    world.rows_become(done).await;
    world.events_become("SENT, COMPLETE").await;
    assert_eq!(world.target.agent.answered_ids(), ["the task"]);
}
