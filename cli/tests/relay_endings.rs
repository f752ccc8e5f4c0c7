//! How a call can end: what its caller is told, what its row says, and that nothing
//! is sent again that may have arrived.
#![allow(clippy::unwrap_used)]

use candor_testkit::a2a_agent::Behaviour;
use candor_testkit::a2a_workspace::{A2aWorkspace, message};
use candor_testkit::http::{Answer, Call, Client};
use candor_testkit::platform::{Binaries, DataDir, Platform};
use candor_testkit::postgres;
use serde_json::{Value, json};

struct World {
    client: Client,
    workspace: A2aWorkspace,
    url: String,
    _candor: Platform,
    _data: DataDir,
}

impl World {
    async fn start() -> Self {
        let data = DataDir::new().unwrap();
        let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
        let candor = binaries.up(&data, &[]).await.unwrap();
        let mut client = Client::new(candor.http());
        let workspace = A2aWorkspace::start(&mut client, "agent").await.unwrap();
        Self {
            client,
            workspace,
            url: candor.database_url(),
            _candor: candor,
            _data: data,
        }
    }

    /// Sends a message to an agent that behaves so.
    async fn meets(&mut self, behaviour: Behaviour, id: &str) -> Answer {
        self.workspace.agent.set(behaviour);
        self.send(self.workspace.call(&message(id))).await
    }

    async fn send(&mut self, call: Call) -> Answer {
        self.client.send(call).await.unwrap()
    }

    /// The row of a message becomes this: status and error.
    async fn row_becomes(&self, message_id: &str, wanted: &str) {
        let query = format!(
            "SELECT string_agg(phase || ' ' || status || ': ' || coalesce(error_detail, ''), '; ')
             FROM activity_logs
             WHERE request_text::jsonb #>> '{{params,message,messageId}}' = '{message_id}'"
        );
        postgres::becomes(&self.url, &query, wanted).await.unwrap();
    }

    /// Nothing waits, and the agent got each of these once.
    async fn is_over(&self, message_ids: &[&str]) {
        let entries = "SELECT count(*) FROM relay.entries";
        assert_eq!(postgres::count(&self.url, entries).await.unwrap(), 0);
        assert_eq!(self.workspace.agent.message_ids(), message_ids);
    }
}

/// Status and body of an answer.
fn is(answer: &Answer, status: u16, body: &Value) {
    assert_eq!((answer.status, &answer.json()), (status, body));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_arrived_is_not_sent_again() {
    let mut world = World::start().await;
    world.workspace.agent.set(Behaviour::Hang);
    let call = world.workspace.call(&message("hangs"));
    let answer = world.send(call.header("x-timeout", "1")).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["delivery_unknown"], true);
    let row = "final error: no answer within 1 s";
    world.row_becomes("hangs", row).await;

    let answer = world.meets(Behaviour::Broken, "broken").await;
    let lost = json!({"delivery_confirmed": true, "error": "failed to read agent response"});
    is(&answer, 502, &lost);
    let query = "SELECT status || ' ' || (error_detail <> '')::text FROM activity_logs
                 WHERE request_text LIKE '%\"broken\"%'";
    postgres::becomes(&world.url, query, "ok true")
        .await
        .unwrap();

    let answer = world.meets(Behaviour::Huge(11 * 1024 * 1024), "huge").await;
    let large = json!({"delivery_confirmed": true, "error": "agent response too large"});
    is(&answer, 502, &large);
    let row = "final ok: agent response too large";
    world.row_becomes("huge", row).await;
    // As much as is let through comes whole.
    let answer = world.meets(Behaviour::Huge(9 * 1024 * 1024), "large").await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.len() > 9 * 1000 * 1000);
    world.row_becomes("large", "final ok: ").await;
    world.is_over(&["hangs", "broken", "huge", "large"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_agents_are_passed_on_and_redirects_are_not_followed() {
    let mut world = World::start().await;
    let elsewhere = world.workspace.agent.url_of("/elsewhere");
    let answer = world.meets(Behaviour::Redirect(elsewhere), "moved").await;
    let why = "the agent answered with a redirect, which is not followed";
    is(&answer, 502, &json!({"error": why}));
    world
        .row_becomes("moved", &format!("final error: {why}"))
        .await;
    let body = json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32000}});
    let limited = Behaviour::Status {
        code: 429,
        body: body.to_string().into(),
        content_type: "application/json".to_owned(),
        headers: vec![("retry-after".to_owned(), "7".to_owned())],
    };
    let answer = world.meets(limited, "limited").await;
    is(&answer, 429, &body);
    assert_eq!(answer.header("retry-after"), "7");
    world.row_becomes("limited", "final error: ").await;
    let broken = Behaviour::Status {
        code: 500,
        body: "<html>".into(),
        content_type: "text/html".to_owned(),
        headers: Vec::new(),
    };
    let answer = world.meets(broken, "page").await;
    is(&answer, 500, &json!({"error": "Internal Server Error"}));
    world.is_over(&["moved", "limited", "page"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_queues_for_an_agent_that_queues_by_itself_or_is_not_there() {
    let mut world = World::start().await;
    let beat = json!({"workspace_id": world.workspace.id(), "error_rate": 0.0,
        "active_tasks": 1, "uptime_seconds": 10,
        "runtime_metadata": {"capabilities": {"session": true}}});
    let beat = Call::post("/registry/heartbeat", &beat).bearer(world.workspace.token());
    assert_eq!(world.send(beat).await.status, 200);
    let answer = world.meets(Behaviour::Eof, "native").await;
    let busy = json!({"busy": true, "native_session": true, "retry_after": 30,
        "error": "workspace agent busy — adapter handles retry (native_session)"});
    is(&answer, 503, &busy);
    assert_eq!(answer.header("retry-after"), "30");
    world.is_over(&["native"]).await;

    let mut gone = A2aWorkspace::start(&mut world.client, "gone")
        .await
        .unwrap();
    let other = candor_testkit::a2a_agent::A2aAgent::start().await.unwrap();
    std::mem::replace(&mut gone.agent, other)
        .stop()
        .await
        .unwrap();
    let answer = gone.send(&mut world.client, "refused").await.unwrap();
    is(
        &answer,
        502,
        &json!({"error": "failed to reach workspace agent"}),
    );
    let refused = "SELECT status FROM activity_logs WHERE request_text LIKE '%\"refused\"%'";
    postgres::becomes(&world.url, refused, "error")
        .await
        .unwrap();
    world.is_over(&["native"]).await;
}
