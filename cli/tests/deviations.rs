//! The rows of the deviations' table that exist already, on an open and on an
//! enforced listener. Each function is one row or a few that belong together.
#![allow(clippy::unwrap_used)]

use candor_testkit::a2a_agent::{A2aAgent, Behaviour};
use candor_testkit::agent::FakeAgent;
use candor_testkit::http::{Answer, Call, Client};
use candor_testkit::platform::{Binaries, DataDir, Platform};
use candor_testkit::postgres;
use http::Method;
use serde_json::{Value, json};

const ADMIN: &str = "deviations-admin";
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

/// A platform, seen by a user: nobody in particular on an open listener, the
/// admin on an enforced one.
struct World {
    candor: Platform,
    client: Client,
    enforced: bool,
    _data: DataDir,
}

impl World {
    async fn new(enforced: bool) -> Self {
        let data = DataDir::new().unwrap();
        let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
        // Agents of tests listen on this machine.
        let admin = [
            ("ADMIN_TOKEN", ADMIN),
            ("CANDOR_AGENT_ADDRESSES", "loopback"),
        ];
        let settings = if enforced { &admin[..] } else { &[] };
        let candor = binaries.up(&data, settings).await.unwrap();
        Self {
            client: Client::new(candor.http()),
            candor,
            enforced,
            _data: data,
        }
    }

    /// Sends a call as it is.
    async fn send(&mut self, call: Call) -> Answer {
        self.client.send(call).await.unwrap()
    }

    /// Sends a call as the user.
    async fn user(&mut self, call: Call) -> Answer {
        let call = if self.enforced {
            call.bearer(ADMIN)
        } else {
            call
        };
        self.send(call).await
    }

    async fn create(&mut self, body: Value) -> String {
        let created = self.user(Call::post("/workspaces", &body)).await;
        assert_eq!(created.status, 201, "{}", created.text());
        created.json()["id"].as_str().unwrap().to_owned()
    }

    /// A workspace with a token that a user minted, registered with it.
    async fn agent(&mut self, name: &str) -> FakeAgent {
        let id = self.create(json!({"name": name, "tier": 1})).await;
        let tokens = Call::new(Method::POST, format!("/workspaces/{id}/tokens"));
        let minted = self.user(tokens).await;
        assert_eq!(minted.status, 201, "{}", minted.text());
        let token = minted.json()["auth_token"].as_str().unwrap().to_owned();
        let mut agent = FakeAgent {
            id,
            token,
            ..FakeAgent::default()
        };
        agent.register(&mut self.client).await.unwrap();
        agent
    }

    async fn beat(&mut self, agent: &FakeAgent, mut body: Value) -> Answer {
        body["workspace_id"] = json!(agent.id);
        let call = Call::post("/registry/heartbeat", &body);
        self.send(call.bearer(&agent.token)).await
    }

    async fn status(&mut self, id: &str) -> String {
        let shown = self.user(Call::get(format!("/workspaces/{id}"))).await;
        shown.json()["status"].as_str().unwrap().to_owned()
    }

    async fn force(&mut self, id: &str, status: &str) {
        let statement = format!("UPDATE workspaces SET status='{status}' WHERE id='{id}'");
        let url = self.candor.database_url();
        postgres::execute(&url, &statement).await.unwrap();
    }

    async fn events(&mut self, id: &str) -> usize {
        let events = self.user(Call::get(format!("/events/{id}"))).await;
        events.json().as_array().unwrap().len()
    }
}

#[track_caller]
fn is(answer: &Answer, status: u16, body: &Value) {
    let found = (answer.status, answer.json());
    assert_eq!(found, (status, body.clone()), "{}", answer.text());
}

fn error(text: &str) -> Value {
    json!({"error": text})
}

async fn all_rows(world: &mut World) {
    d4_too_big(world).await;
    d11_addresses(world).await;
    d12_unknown_id(world).await;
    d13_paused(world).await;
    d14_d15_d47_removed(world).await;
    d16_d32_delete(world).await;
    d18_d19_d40_patch(world).await;
    d22_d23_tokens(world).await;
    d25_d30_d31_d42_d46_d56_beats(world).await;
    d35_d43_discover(world).await;
    d36_methods(world).await;
    d37_malformed(world).await;
    d39_public_reads(world).await;
    d41_external_without_url(world).await;
    d20_d21_d38_d54_lifecycle(world).await;
    d57_spend(world).await;
    d60_d61_addresses(world).await;
    d1_d2_d4_d43_senders(world).await;
    d5_d6_d28_d45_answers(world).await;
    d9_d48_d49_d59_refusals(world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_on_an_open_listener() {
    all_rows(&mut World::new(false).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_on_an_enforced_listener() {
    all_rows(&mut World::new(true).await).await;
}

async fn d4_too_big(world: &mut World) {
    let body = json!({"name": "x".repeat(1 << 20)});
    let answer = world.user(Call::post("/workspaces", &body)).await;
    is(&answer, 413, &error("request body too large"));
    world.client = Client::new(world.candor.http());
}

async fn d11_addresses(world: &mut World) {
    let agent = world.agent("addresses").await;
    let register = |url: Option<&str>| {
        let body = json!({"id": agent.id, "agent_card": {}, "url": url});
        Call::post("/registry/register", &body).bearer(&agent.token)
    };
    for url in [
        Some("http://10.0.0.5:8000"),
        Some("remote://no-inbound"),
        None,
    ] {
        let call = register(url);
        is(
            &world.send(call).await,
            200,
            &json!({"status": "registered"}),
        );
    }
    let metadata = register(Some("http://169.254.169.254/"));
    is(
        &world.send(metadata).await,
        400,
        &error("invalid request body"),
    );
}

async fn d12_unknown_id(world: &mut World) {
    let id = "5d12aaaa-0000-4000-8000-000000000001";
    let body = json!({"id": id, "url": "http://localhost:1", "agent_card": {}});
    let answer = world.send(Call::post("/registry/register", &body)).await;
    let shown = world
        .user(Call::get(format!("/workspaces/{id}")))
        .await
        .status;
    let wanted = if world.enforced {
        (401, 404)
    } else {
        (200, 200)
    };
    assert_eq!((answer.status, shown), wanted, "{}", answer.text());
}

async fn d13_paused(world: &mut World) {
    let mut agent = world.agent("paused").await;
    world.force(&agent.id, "paused").await;
    agent.register(&mut world.client).await.unwrap();
    assert_eq!(world.status(&agent.id).await, "paused");
}

async fn d14_d15_d47_removed(world: &mut World) {
    let agent = world.agent("removed").await;
    let (id, token) = (agent.id.clone(), agent.token.clone());
    let path = format!("/workspaces/{id}");
    let removed = world.user(Call::new(Method::DELETE, path.clone())).await;
    assert_eq!(removed.status, 200);
    let late = world.beat(&agent, json!({"uptime_seconds": 9})).await;
    assert_eq!(late.json()["workspace"], "removed", "{}", late.text());
    let state = world
        .send(Call::get(format!("{path}/state")).bearer(&token))
        .await;
    let gone = json!({"deleted": true, "status": "removed", "workspace_id": id});
    is(&state, 404, &gone);
    let register = json!({"id": id, "url": "http://localhost:1", "agent_card": {}});
    let register = Call::post("/registry/register", &register);
    let with_bearer = world.send(register.clone().bearer(&token)).await;
    is(&with_bearer, 401, &error("invalid workspace auth token"));
    is(
        &world.send(register).await,
        410,
        &error("workspace was removed"),
    );
    let test_token = format!("/admin/workspaces/{id}/test-token");
    assert_eq!(world.user(Call::get(test_token)).await.status, 404);
}

async fn d16_d32_delete(world: &mut World) {
    let remove = |id: &str| Call::new(Method::DELETE, format!("/workspaces/{id}"));
    let answer = world.user(remove(NOBODY)).await;
    is(&answer, 404, &error("workspace not found"));
    let id = world.create(json!({"name": "twice", "tier": 1})).await;
    world.user(remove(&id)).await;
    let before = world.events(&id).await;
    world.user(remove(&id)).await;
    assert_eq!(world.events(&id).await, before);
}

async fn d18_d19_d40_patch(world: &mut World) {
    let agent = world.agent("patched").await;
    let child = json!({"name": "child", "tier": 1, "parent_id": agent.id});
    let child = world.create(child).await;
    let patch =
        |body: &Value| Call::new(Method::PATCH, format!("/workspaces/{}", agent.id)).json(body);
    let own = patch(&json!({"tier": 2})).bearer(&agent.token);
    let refused = world.send(own).await;
    is(&refused, 403, &error("admin credential required for: tier"));
    let by_user = world.user(patch(&json!({"tier": 2}))).await;
    is(&by_user, 200, &json!({"status": "updated"}));
    let cycle = world.user(patch(&json!({"parent_id": child}))).await;
    is(&cycle, 400, &error("parent_id would create a cycle"));
    let typed = world
        .user(patch(&json!({"name": "new", "tier": "x"})))
        .await;
    assert_eq!(typed.status, 400);
    let text = typed.json()["error"].as_str().unwrap().to_owned();
    assert!(text.contains("tier"), "{text}");
    let path = format!("/workspaces/{}", agent.id);
    let shown = world.user(Call::get(path)).await.json();
    assert_eq!(shown["name"], "patched", "nothing changed");
}

async fn d22_d23_tokens(world: &mut World) {
    let agent = world.agent("tokens").await;
    let path = format!("/workspaces/{}/tokens", agent.id);
    let own = Call::new(Method::POST, path).bearer(&agent.token);
    let minted = world.send(own).await.status;
    assert_eq!(minted, if world.enforced { 403 } else { 201 });
    let path = format!("/admin/workspaces/{}/test-token", agent.id);
    let test_token = world.user(Call::get(path)).await.status;
    assert_eq!(test_token, if world.enforced { 404 } else { 200 });
}

async fn d25_d30_d31_d42_d46_d56_beats(world: &mut World) {
    let agent = world.agent("beats").await;
    let id = agent.id.clone();
    world.force(&id, "provisioning").await;
    let before = world.events(&id).await;
    let both = json!({"error_rate": 0.9, "sample_error": "both", "runtime_state": "wedged",
        "uptime_seconds": 5});
    world.beat(&agent, both).await;
    assert_eq!(world.status(&id).await, "degraded");
    assert_eq!(
        world.events(&id).await,
        before + 1,
        "one event with both facts"
    );
    world
        .beat(&agent, json!({"current_task": "t", "uptime_seconds": 0}))
        .await;
    assert_eq!(world.status(&id).await, "degraded", "partial");
    world
        .beat(&agent, json!({"runtime_state": "ok", "uptime_seconds": 6}))
        .await;
    assert_eq!(world.status(&id).await, "online", "ok is healthy");
    world.force(&id, "failed").await;
    world.beat(&agent, json!({"uptime_seconds": 7})).await;
    assert_eq!(
        world.status(&id).await,
        "online",
        "failed is left by a beat"
    );
    let owns = json!({"capabilities": {"status_mgmt": true}});
    let own_rate = json!({"error_rate": 0.9, "uptime_seconds": 8, "runtime_metadata": owns});
    world.beat(&agent, own_rate).await;
    assert_eq!(world.status(&id).await, "online", "counts in its own beat");
}

async fn d35_d43_discover(world: &mut World) {
    let (seeker, target) = (world.agent("seeker").await, world.agent("target").await);
    let discover = || Call::get(format!("/registry/discover/{}", target.id));
    let nameless = world.user(discover()).await;
    is(&nameless, 400, &error("X-Workspace-ID header is required"));
    let named = discover().header("x-workspace-id", &seeker.id);
    assert_eq!(world.user(named).await.status, 200);
    let own = discover()
        .header("x-workspace-id", &seeker.id)
        .bearer(&seeker.token);
    assert_eq!(world.send(own).await.status, 200);
    let peers = Call::get(format!("/registry/{}/peers", seeker.id));
    assert_eq!(world.user(peers).await.status, 200);
    let nobody = world
        .send(discover().header("x-workspace-id", NOBODY))
        .await;
    assert_eq!(nobody.status, if world.enforced { 401 } else { 403 });
}

async fn d36_methods(world: &mut World) {
    let wrong = world.user(Call::new(Method::DELETE, "/workspaces")).await;
    assert_eq!(wrong.status, 405);
    assert!(
        wrong.header("allow").contains("POST"),
        "{:?}",
        wrong.headers
    );
    let head = world.send(Call::new(Method::HEAD, "/health")).await;
    assert_eq!((head.status, head.text()), (200, String::new()));
    let options = world.user(Call::new(Method::OPTIONS, "/workspaces")).await;
    assert_eq!(options.status, 204);
    assert!(options.header("allow").contains("GET"));
}

async fn d37_malformed(world: &mut World) {
    for path in [
        "/events/nope",
        "/registry/nope/peers",
        "/workspaces/nope/budget",
    ] {
        let answer = world.user(Call::get(path)).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
    }
    let parent = json!({"name": "orphan", "parent_id": NOBODY});
    let answer = world.user(Call::post("/workspaces", &parent)).await;
    assert!(matches!(answer.status, 400 | 404), "{}", answer.text());
}

async fn d39_public_reads(world: &mut World) {
    let agent = world.agent("reader").await;
    let get = Call::get(format!("/workspaces/{}", agent.id));
    let anonymous = world.send(get.clone()).await.status;
    assert_eq!(anonymous, if world.enforced { 401 } else { 200 });
    assert_eq!(world.send(get.bearer(&agent.token)).await.status, 200);
    let viewport = json!({"x": 1.5, "y": 2, "zoom": 1});
    let put = || Call::new(Method::PUT, "/canvas/viewport").json(&viewport);
    is(&world.user(put()).await, 200, &json!({"status": "saved"}));
    if world.enforced {
        let by_agent = world.send(put().bearer(&agent.token)).await;
        assert_eq!(by_agent.status, 403);
    }
    let saved = world.user(Call::get("/canvas/viewport")).await;
    assert_eq!(saved.text(), r#"{"x":1.5,"y":2,"zoom":1}"#);
}

async fn d41_external_without_url(world: &mut World) {
    let body = json!({"name": "awaited", "external": true});
    let id = world.create(body).await;
    let shown = world
        .user(Call::get(format!("/workspaces/{id}")))
        .await
        .json();
    let seen = (&shown["runtime"], &shown["status"]);
    assert_eq!(seen, (&json!("external"), &json!("provisioning")));
    let query = format!("SELECT status::text FROM workspaces WHERE id = '{id}'");
    let url = world.candor.database_url();
    let stored = postgres::text(&url, &query).await.unwrap();
    assert_eq!(stored, "awaiting_agent");
}

async fn d20_d21_d38_d54_lifecycle(world: &mut World) {
    let to = |id: &str, verb: &str| Call::new(Method::POST, format!("/workspaces/{id}/{verb}"));
    let url = "http://localhost:9009";
    let external = json!({"name": "x", "tier": 1, "external": true, "url": url});
    let external = world.create(external).await;
    let text = "external workspaces cannot be restarted by the platform";
    is(
        &world.user(to(&external, "restart")).await,
        409,
        &error(text),
    );
    let paused = json!({"paused_count": 1, "status": "paused"});
    is(&world.user(to(&external, "pause")).await, 200, &paused);
    let shown = world
        .user(Call::get(format!("/workspaces/{external}")))
        .await;
    assert_eq!(shown.json()["url"], url, "D54");

    let agent = world.agent("nobody's").await;
    let absent = error("provisioner not available");
    is(&world.user(to(&agent.id, "hibernate")).await, 503, &absent);
    assert_eq!(world.status(&agent.id).await, "online");
    is(&world.user(to(&agent.id, "restart")).await, 503, &absent);
    is(&world.user(to(&agent.id, "pause")).await, 200, &paused);
    let resumed = json!({"resumed_count": 1, "status": "provisioning"});
    is(&world.user(to(&agent.id, "resume")).await, 200, &resumed);
    assert_eq!(
        world.status(&agent.id).await,
        "provisioning",
        "awaiting its agent"
    );
    let beat = json!({"uptime_seconds": 60, "error_rate": 0.0});
    assert_eq!(world.beat(&agent, beat).await.status, 200);
    assert_eq!(world.status(&agent.id).await, "online");

    let gone = Call::new(Method::DELETE, format!("/workspaces/{}", agent.id));
    assert_eq!(world.user(gone).await.status, 200);
    let missing = error("workspace not found");
    is(&world.user(to(&agent.id, "restart")).await, 404, &missing);
}

async fn d57_spend(world: &mut World) {
    let agent = world.agent("spender").await;
    for (sent, kept) in [(500, 500), (300, 500), (0, 500), (700, 700)] {
        world
            .beat(&agent, json!({"monthly_spend": sent, "uptime_seconds": 3}))
            .await;
        let budget = Call::get(format!("/workspaces/{}/budget", agent.id));
        let budget = world.user(budget).await.json();
        assert_eq!(budget["monthly_spend"], kept, "after {sent}");
    }
}

async fn d60_d61_addresses(world: &mut World) {
    let seeker = world.agent("asks").await;
    let local = json!({"name": "local", "external": true, "url": "http://localhost:9000/x"});
    let local = world.create(local).await;
    let ask = |id: &str| {
        let call = Call::get(format!("/registry/discover/{id}"));
        call.header("x-workspace-id", &seeker.id)
            .bearer(&seeker.token)
    };
    let found = world.send(ask(&local)).await;
    let wanted = json!({"id": local, "name": "local", "url": "http://localhost:9000/x"});
    is(&found, 200, &wanted);
    let cold = world.create(json!({"name": "cold", "tier": 1})).await;
    world.force(&cold, "online").await;
    let missing = world.send(ask(&cold)).await;
    assert_eq!(missing.status, 503);
    assert_eq!(missing.json()["error"], "workspace not available");
}

/// A message for a workspace.
fn message(id: &str) -> Call {
    let body = json!({"method": "message/send", "params": {"message": {
        "role": "user", "parts": [{"kind": "text", "text": "hi"}]}}});
    Call::post(format!("/workspaces/{id}/a2a"), &body)
}

/// An external workspace whose agent answers like this.
async fn answering(world: &mut World, behaviour: Behaviour) -> (A2aAgent, String) {
    let agent = A2aAgent::start().await.unwrap();
    agent.set(behaviour);
    let url = format!("http://localhost:{}/", agent.address().port());
    let body = json!({"name": "answers", "tier": 1, "runtime": "external", "url": url});
    let id = world.create(body).await;
    (agent, id)
}

async fn d1_d2_d4_d43_senders(world: &mut World) {
    let (_agent, id) = answering(world, Behaviour::Echo).await;
    let own = world.agent("own").await;
    let itself = message(&own.id).header("x-workspace-id", &own.id);
    is(
        &world.send(itself.clone()).await,
        401,
        &error("missing caller auth token"),
    );
    let foreign = itself.bearer("not-a-token");
    is(
        &world.send(foreign).await,
        401,
        &error("invalid caller auth token"),
    );
    let nobody = world.send(message(&id)).await;
    assert_eq!(nobody.status, if world.enforced { 401 } else { 200 });
    // A bearer alone says who speaks.
    let bare = world.send(message(&id).bearer(&own.token)).await;
    assert_eq!(bare.status, 200, "{}", bare.text());
    let unknown = message(&id).header("x-workspace-id", NOBODY);
    let refused = world.send(unknown).await.status;
    assert_eq!(refused, if world.enforced { 401 } else { 403 });
    let large = message(&id).body("x".repeat(1024 * 1024 + 1));
    is(
        &world.user(large).await,
        413,
        &error("request body too large"),
    );
}

async fn d5_d6_d28_d45_answers(world: &mut World) {
    let huge = Behaviour::Huge(11 * 1024 * 1024);
    let (agent, id) = answering(world, huge).await;
    let lost = json!({"delivery_confirmed": true, "error": "agent response too large"});
    is(&world.user(message(&id)).await, 502, &lost);
    let boom = json!({"error": "boom", "detail": "inner"});
    agent.set(Behaviour::status(500, &boom));
    is(&world.user(message(&id)).await, 500, &boom);
    agent.set(Behaviour::Status {
        code: 400,
        body: "no".into(),
        content_type: "text/plain".to_owned(),
        headers: Vec::new(),
    });
    is(&world.user(message(&id)).await, 400, &error("Bad Request"));
    agent.set(Behaviour::Redirect("/elsewhere".to_owned()));
    let redirected = world.user(message(&id)).await;
    assert_eq!(redirected.status, 502);
    assert_eq!(agent.requests().len(), 4, "nobody follows");
    agent.set(Behaviour::NotJson);
    let text = world.user(message(&id)).await;
    assert_eq!((text.status, text.text().as_str()), (200, "hello"));
}

async fn d9_d48_d49_d59_refusals(world: &mut World) {
    let (agent, id) = answering(world, Behaviour::Echo).await;
    let wedged = world.agent("wedged").await;
    let words = "Control request timeout: initialize";
    let beat = json!({"runtime_state": "wedged", "sample_error": words, "uptime_seconds": 5});
    assert_eq!(world.beat(&wedged, beat).await.status, 200);
    let refused = world.user(message(&wedged.id)).await;
    let body = json!({"error": format!("workspace agent is wedged: {words}"),
        "runtime_state": "wedged", "status": "degraded"});
    is(&refused, 503, &body);
    assert_eq!(refused.header("retry-after"), "30");

    let task = json!({"target_id": id, "task": "t"});
    let delegate = Call::post(format!("/workspaces/{NOBODY}/delegate"), &task);
    let nobody = world.user(delegate).await;
    is(&nobody, 404, &error("workspace not found"));

    let without = world.create(json!({"name": "no url", "tier": 1})).await;
    let transcript = Call::get(format!("/workspaces/{without}/transcript"));
    let transcript = world.user(transcript).await;
    assert!(
        matches!(transcript.status, 404 | 503),
        "{}",
        transcript.text()
    );
    let before = agent.requests().len();
    let gone = Call::new(Method::DELETE, format!("/workspaces/{id}"));
    assert_eq!(world.user(gone).await.status, 200);
    is(
        &world.user(message(&id)).await,
        404,
        &error("workspace not found"),
    );
    assert_eq!(
        agent.requests().len(),
        before,
        "what is removed is not called"
    );
}
