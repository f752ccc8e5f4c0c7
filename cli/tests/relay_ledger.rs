//! What an agent could not take: it waits once, in its order, until it is delivered
//! or reported.
#![allow(clippy::unwrap_used)]

use candor_proto::relay::v1 as pb;
use candor_proto::relay::v1::relay_service_client::RelayServiceClient;
use candor_testkit::a2a_agent::{A2aAgent, Behaviour, Gate, Pause};
use candor_testkit::a2a_workspace::{A2aWorkspace, message};
use candor_testkit::agent::Mood;
use candor_testkit::http::{Call, Client};
use candor_testkit::platform::{Binaries, DataDir, Platform};
use candor_testkit::postgres;
use http::Method;
use serde_json::{Value, json};
use tonic::Code;
use tonic::transport::Channel;

struct World {
    client: Client,
    workspace: A2aWorkspace,
    relay: RelayServiceClient<Channel>,
    url: String,
    _candor: Platform,
    _data: DataDir,
}

impl World {
    /// A platform, and a workspace that does so many things at a time, of which its
    /// agent is too busy for any.
    async fn start(at_once: i32) -> Self {
        let data = DataDir::new().unwrap();
        let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
        let candor = binaries.up(&data, &[]).await.unwrap();
        let mut client = Client::new(candor.http());
        let agent = A2aAgent::start().await.unwrap();
        agent.set(Behaviour::Eof);
        let members = json!({"name": "busy", "max_concurrent_tasks": at_once});
        let workspace = A2aWorkspace::with(&mut client, agent, &members).await;
        Self {
            client,
            workspace: workspace.unwrap(),
            relay: RelayServiceClient::new(candor.channel().await.unwrap()),
            url: candor.database_url(),
            _candor: candor,
            _data: data,
        }
    }

    /// Sends a message that is accepted; answers its entry.
    async fn queue(&mut self, id: &str) -> String {
        let call = self.workspace.call(&message(id));
        self.accepted(call).await.0
    }

    /// The entry of an accepted call, and how many wait.
    async fn accepted(&mut self, call: Call) -> (String, i64) {
        let answer = self.client.send(call).await.unwrap();
        let body = answer.json();
        assert_eq!(answer.status, 202, "{body}");
        assert_eq!(body["queued"], true);
        let id = body["queue_id"].as_str().unwrap().to_owned();
        (id, body["queue_depth"].as_i64().unwrap())
    }

    async fn mood(&mut self, mood: Mood) {
        self.workspace.beats.mood = mood;
        self.workspace.beats.beat(&mut self.client).await.unwrap();
    }

    /// Its agent says that it is wedged; returns when its messages wait for that to
    /// end, and none is on its way.
    async fn wedge(&mut self) {
        let sample_error = "stuck".to_owned();
        self.mood(Mood::Wedged { sample_error }).await;
        self.held("workspace agent is wedged: stuck").await;
    }

    /// Nothing is on its way, and the first message says what all of them wait for.
    async fn held(&self, why: &str) {
        let waits = "SELECT (array_agg(last_error ORDER BY priority DESC, n))[1]
                     FROM relay.entries WHERE settled_at IS NULL
                     HAVING bool_and(state = 'accepted')";
        postgres::becomes(&self.url, waits, why).await.unwrap();
    }

    async fn set_status(&self, status: &str) {
        let id = self.workspace.id();
        let set = format!("UPDATE workspaces SET status = '{status}' WHERE id = '{id}'");
        postgres::execute(&self.url, &set).await.unwrap();
    }

    async fn state_becomes(&self, entry: &str, state: &str) {
        let query = format!("SELECT state FROM relay.entries WHERE id = '{entry}'");
        postgres::becomes(&self.url, &query, state).await.unwrap();
    }

    /// The rows of a message, oldest first: status and error.
    async fn rows_become(&self, message_id: &str, wanted: &str) {
        let query = format!(
            "SELECT string_agg(status || coalesce(': ' || error_detail, ''), '; ' ORDER BY seq)
             FROM activity_logs
             WHERE request_text::jsonb #>> '{{params,message,messageId}}' = '{message_id}'"
        );
        postgres::becomes(&self.url, &query, wanted).await.unwrap();
    }

    async fn get(&mut self, entry: &str) -> pb::QueueEntry {
        let request = pb::GetQueueEntryRequest {
            id: entry.to_owned(),
        };
        let entry = self.relay.get_queue_entry(request).await;
        entry.unwrap().into_inner()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_message_waits_once_for_each_of_its_senders() {
    let mut world = World::start(1).await;
    let peer = A2aWorkspace::start(&mut world.client, "peer")
        .await
        .unwrap();
    let own = world.workspace.call(&message("m"));
    let theirs = world.workspace.call_by(&peer, &message("m"));
    let (first, depth) = world.accepted(own.clone()).await;
    assert_eq!(depth, 1);
    assert_eq!(world.accepted(own.clone()).await, (first.clone(), 1));
    let (other, depth) = world.accepted(theirs.clone()).await;
    assert_ne!(other, first);
    assert_eq!(depth, 2);
    assert_eq!(world.accepted(theirs).await, (other.clone(), 2));
    let requests = world.workspace.agent.requests();
    let direct = requests
        .iter()
        .filter(|request| request.header("x-candor-attempt") == Some("1"));
    assert_eq!(direct.count(), 2, "who joins is not dialled for");

    // Rows say that they wait, where everybody looks (D33).
    world.rows_become("m", "queued; queued").await;
    let list = Call::get(format!("/workspaces/{}/activity", world.workspace.id()));
    let listed = world.client.send(list).await.unwrap().json();
    let statuses: Vec<&Value> = listed.as_array().unwrap().iter().collect();
    assert!(statuses.iter().all(|row| row["status"] == "queued"));
    world.workspace.agent.set(Behaviour::Echo);
    for entry in [&first, &other] {
        world.state_becomes(entry, "delivered").await;
    }
    world.rows_become("m", "ok; ok").await;
    assert_eq!(world.workspace.agent.answered_ids(), ["m", "m"]);

    // What was delivered is no entry any more: the same again is sent again.
    let again = world.client.send(own).await.unwrap();
    assert_eq!(again.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_wedged_or_paused_workspace_comes_after_in_order_and_measure() {
    let mut world = World::start(2).await;
    for n in 1..=5 {
        world.queue(&format!("m-{n}")).await;
    }
    world.wedge().await;
    let refused = world
        .workspace
        .send(&mut world.client, "new")
        .await
        .unwrap();
    assert_eq!(refused.json()["runtime_state"], "wedged");
    let gate = Gate::closed();
    let pause = Pause::Until(gate.clone());
    world.workspace.agent.set(Behaviour::slow(pause));
    let before = world.workspace.agent.counts().requests;

    world.mood(Mood::Healthy).await;
    let agent = &world.workspace.agent;
    agent.wait_for_requests(before + 2).await.unwrap();
    // The worker looks again, several times.
    for n in 0..3 {
        let other = format!("other-{n}");
        let other = A2aWorkspace::start(&mut world.client, &other)
            .await
            .unwrap();
        assert_eq!(
            other.send(&mut world.client, "m").await.unwrap().status,
            200
        );
    }
    let sent = |agent: &A2aAgent| agent.message_ids().split_off(before);
    let mut first = sent(agent);
    first.sort();
    assert_eq!(first, ["m-1", "m-2"], "two at a time");
    gate.open();
    let open = "SELECT count(*)::text FROM relay.entries WHERE settled_at IS NULL";
    postgres::becomes(&world.url, open, "0").await.unwrap();
    let order = sent(agent).split_off(2);
    let mut sorted = order.clone();
    sorted.sort();
    assert_eq!(sorted, ["m-3", "m-4", "m-5"]);
    // Which of two that are sent together comes first is nobody's.
    assert!(order[0] != "m-5" && order[2] != "m-3", "{order:?}");

    agent.set(Behaviour::Eof);
    let entry = world.queue("paused").await;
    world.set_status("paused").await;
    world.held("workspace has no URL").await;
    let refused = world
        .workspace
        .send(&mut world.client, "new")
        .await
        .unwrap();
    assert_eq!(
        (refused.status, &refused.json()["status"]),
        (503, &json!("paused"))
    );
    world.workspace.agent.set(Behaviour::Echo);
    world.set_status("online").await;
    world.mood(Mood::Healthy).await;
    world.state_becomes(&entry, "delivered").await;
    assert!(
        !world
            .workspace
            .agent
            .message_ids()
            .contains(&"new".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_what_waits_give_it_up_and_bring_it_back() {
    let mut world = World::start(1).await;
    let first = world.queue("m-1").await;
    let second = world.queue("m-2").await;
    world.wedge().await;
    let request = pb::ListQueueRequest {
        workspace_id: world.workspace.id().to_owned(),
        ..pb::ListQueueRequest::default()
    };
    let list = world.relay.list_queue(request).await.unwrap().into_inner();
    let listed: Vec<&str> = list.entries.iter().map(|e| e.message_id.as_str()).collect();
    assert_eq!(listed, ["m-1", "m-2"]);
    let entry = world.get(&first).await;
    assert_eq!(entry.body, message("m-1").to_string());
    assert_eq!(
        (entry.state(), entry.caller.as_str()),
        (pb::QueueState::Accepted, "user")
    );
    assert!(entry.maybe_delivered && entry.attempts >= 1, "{entry:?}");

    let drop = pb::DropQueueEntryRequest {
        id: first.clone(),
        reason: "not needed".to_owned(),
    };
    let dropped = world.relay.drop_queue_entry(drop.clone()).await.unwrap();
    assert_eq!(dropped.into_inner().state(), pb::QueueState::Dropped);
    let refused = world.relay.drop_queue_entry(drop).await.unwrap_err();
    assert!(
        matches!(refused.code(), Code::FailedPrecondition | Code::Aborted),
        "{refused:?}"
    );
    let why = "error: dropped by user(none): not needed";
    world.rows_become("m-1", why).await;

    let retry = pb::RetryQueueEntryRequest { id: first.clone() };
    let again = world
        .relay
        .retry_queue_entry(retry)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again.state(), pb::QueueState::Accepted);
    assert_ne!(again.activity_id, entry.activity_id);
    world.rows_become("m-1", &format!("{why}; queued")).await;

    let stale = |minutes: u32| {
        Call::new(
            Method::POST,
            format!("/admin/a2a-queue/drop-stale?max_age_minutes={minutes}"),
        )
    };
    let answer = world.client.send(stale(1)).await.unwrap();
    assert_eq!(answer.json(), json!({"dropped": 0}));
    let age = format!(
        "UPDATE relay.entries SET accepted_at = accepted_at - interval '2 minutes'
         WHERE id = '{second}'"
    );
    postgres::execute(&world.url, &age).await.unwrap();
    let answer = world.client.send(stale(1)).await.unwrap();
    assert_eq!(answer.json(), json!({"dropped": 1}));
    world.state_becomes(&second, "dropped").await;
    world
        .rows_become("m-2", "error: dropped: it waited for more than 60 s")
        .await;

    world.workspace.agent.set(Behaviour::Echo);
    world.mood(Mood::Healthy).await;
    world.state_becomes(&first, "delivered").await;
    world.rows_become("m-1", &format!("{why}; ok")).await;
    assert_eq!(world.workspace.agent.answered_ids(), ["m-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_too_long_or_for_nobody_is_reported() {
    let mut world = World::start(1).await;
    let late = world.queue("late").await;
    let left = world.queue("left").await;
    world.wedge().await;
    let age = format!("UPDATE relay.entries SET expires_at = now() WHERE id = '{late}'");
    postgres::execute(&world.url, &age).await.unwrap();
    world.state_becomes(&late, "expired").await;
    world
        .rows_become("late", "error: expired: it waited for too long")
        .await;
    world.state_becomes(&left, "accepted").await;

    let remove = format!("/workspaces/{}?confirm=true", world.workspace.id());
    let removed = world.client.send(Call::new(Method::DELETE, remove)).await;
    assert_eq!(removed.unwrap().status, 200);
    world.state_becomes(&left, "failed").await;
    world
        .rows_become("left", "error: workspace not found")
        .await;
    let answer = world
        .workspace
        .send(&mut world.client, "new")
        .await
        .unwrap();
    assert_eq!(answer.status, 404);
    assert_eq!(world.workspace.agent.counts().answered, 0);
}
