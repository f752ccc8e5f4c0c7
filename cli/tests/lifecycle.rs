//! Restart, pause, resume, hibernate and removal as their callers see them, before any
//! instance is made: a backend is announced that nobody runs, so what is wanted of
//! instances waits.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use candor_proto::provisioner::v1 as pb;
use candor_testkit::a2a_agent::{A2aAgent, Behaviour};
use candor_testkit::a2a_workspace::{A2aWorkspace, message};
use candor_testkit::agent::with_bearer;
use candor_testkit::http::{Answer, Call, Client};
use candor_testkit::platform::{Binaries, DataDir, Platform};
use candor_testkit::postgres::{self, Postgres};
use candor_testkit::wait::wait_for;
use http::Method;
use pb::provisioner_service_client::ProvisionerServiceClient;
use serde_json::{Value, json};
use tonic::Code;

/// What is changed as if a provisioner had seen it.
const INSTANCES_ENDED: &str = "UPDATE registry.placements SET taken = true;
                               DELETE FROM provisioner.instances";
/// Longest wait for what another task does.
const SOON: Duration = Duration::from_secs(20);

struct World {
    client: Client,
    url: String,
    candor: Platform,
    _data: DataDir,
}

impl World {
    /// A platform with a backend for these runtimes.
    async fn start(runtimes: &[&str]) -> Self {
        let data = DataDir::new().unwrap();
        let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
        let candor = binaries.up(&data, &[]).await.unwrap();
        let world = Self {
            client: Client::new(candor.http()).with_deadline(Duration::from_secs(60)),
            url: candor.database_url(),
            candor,
            _data: data,
        };
        world.announce(runtimes).await;
        world
    }

    async fn announce(&self, runtimes: &[&str]) {
        let runtimes = runtimes.join(",");
        self.execute(&format!(
            "INSERT INTO registry.backends (name, runtimes, announced_until)
             VALUES ('nobody', '{{{runtimes}}}', now() + interval '1 hour')"
        ))
        .await;
    }

    async fn execute(&self, statements: &str) {
        postgres::execute(&self.url, statements).await.unwrap();
    }

    async fn becomes(&self, query: &str, wanted: &str) {
        postgres::becomes(&self.url, query, wanted).await.unwrap();
    }

    async fn post(&mut self, path: &str) -> Answer {
        self.client
            .send(Call::new(Method::POST, path))
            .await
            .unwrap()
    }

    /// Status and body of a POST without a body.
    async fn told(&mut self, path: &str) -> (u16, String) {
        let answer = self.post(path).await;
        (answer.status, answer.text())
    }

    async fn create(&mut self, members: Value) -> String {
        let answer = self.client.send(Call::post("/workspaces", &members)).await;
        let answer = answer.unwrap();
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    async fn shown(&mut self, id: &str) -> Value {
        let shown = self
            .client
            .send(Call::get(format!("/workspaces/{id}")))
            .await;
        shown.unwrap().json()
    }

    /// As a beat, or a provisioner, would have left it.
    async fn set_status(&self, id: &str, status: &str) {
        let set = format!("UPDATE workspaces SET status = '{status}' WHERE id = '{id}'");
        self.execute(&set).await;
    }

    async fn status_becomes(&self, id: &str, status: &str) {
        let query = format!("SELECT status::text FROM workspaces WHERE id = '{id}'");
        self.becomes(&query, status).await;
    }

    /// What is wanted of its instance.
    async fn wanted(&self, id: &str) -> String {
        let query = format!(
            "SELECT concat_ws(' ', want, epoch, reset_session, automatic)
             FROM registry.placements WHERE workspace_id = '{id}'"
        );
        postgres::text(&self.url, &query).await.unwrap()
    }

    async fn events(&self, id: &str, event_type: &str) -> i64 {
        let query = format!(
            "SELECT count(*) FROM structure_events
             WHERE workspace_id = '{id}' AND event_type = '{event_type}'"
        );
        postgres::count(&self.url, &query).await.unwrap()
    }

    /// A DELETE whose answer is awaited elsewhere.
    fn deletes(&self, id: &str) -> tokio::task::JoinHandle<(u16, String)> {
        let call = Call::new(Method::DELETE, format!("/workspaces/{id}?confirm=true"));
        self.asks(call)
    }

    fn asks(&self, call: Call) -> tokio::task::JoinHandle<(u16, String)> {
        let mut client = Client::new(self.candor.http()).with_deadline(Duration::from_secs(60));
        tokio::spawn(async move {
            let answer = client.send(call).await.unwrap();
            (answer.status, answer.text())
        })
    }
}

fn error(text: &str) -> String {
    json!({"error": text}).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_asks_for_a_new_instance_and_says_of_what() {
    let mut world = World::start(&["candor-echo"]).await;
    let id = world
        .create(json!({"name": "a", "runtime": "candor-echo"}))
        .await;
    assert_eq!(world.wanted(&id).await, "running 1 f f");
    let minted = world.post(&format!("/workspaces/{id}/tokens")).await.json();
    let token = minted["auth_token"].as_str().unwrap().to_owned();
    let told = world
        .told(&format!("/workspaces/{id}/restart?reset=true"))
        .await;
    let body = r#"{"config_dir":"existing-volume","reset_session":true,"status":"provisioning"}"#;
    assert_eq!(told, (200, body.to_owned()));
    assert_eq!(world.wanted(&id).await, "running 2 t f");
    // What cannot be read asks for nothing.
    let call = Call::new(Method::POST, format!("/workspaces/{id}/restart")).body("{\"reset\":");
    let answer = world.client.send(call).await.unwrap();
    assert_eq!(
        (answer.status, answer.text()),
        (200, body.replace("true", "false"))
    );
    assert_eq!(world.wanted(&id).await, "running 3 f f");

    // D63: what people minted is theirs.
    let state = Call::get(format!("/workspaces/{id}/state")).bearer(&token);
    assert_eq!(world.client.send(state).await.unwrap().status, 200);

    world.set_status(&id, "hibernating").await;
    assert_eq!(
        world.told(&format!("/workspaces/{id}/restart")).await.0,
        409
    );
    world.set_status(&id, "removed").await;
    let told = world.told(&format!("/workspaces/{id}/restart")).await;
    assert_eq!(told, (404, error("workspace not found")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_family_is_paused_and_comes_back_together() {
    let mut world = World::start(&["candor-echo"]).await;
    let echo = |name: &str, parent: &str| json!({"name": name, "runtime": "candor-echo", "parent_id": parent});
    let p = world
        .create(json!({"name": "p", "runtime": "candor-echo"}))
        .await;
    let c = world.create(echo("c", &p)).await;
    let paused = world.create(echo("paused before", &p)).await;
    let below = world.create(echo("below it", &paused)).await;
    let x =
        json!({"name": "x", "runtime": "external", "url": "http://localhost:9009", "parent_id": c});
    let x = world.create(x).await;
    world.set_status(&paused, "paused").await;

    let told = world.told(&format!("/workspaces/{p}/pause")).await;
    assert_eq!(
        told,
        (200, r#"{"paused_count":3,"status":"paused"}"#.to_owned())
    );
    assert_eq!(world.wanted(&p).await, "stopped 1 f f");
    assert_eq!(world.wanted(&c).await, "stopped 1 f f");
    assert_eq!(world.shown(&x).await["url"], "http://localhost:9009", "D54");
    assert_eq!(
        world.shown(&below).await["status"],
        "provisioning",
        "out of reach"
    );
    let told = world.told(&format!("/workspaces/{p}/pause")).await;
    assert_eq!(told, (404, error("workspace not found or already paused")));
    for path in ["restart", "resume"] {
        let told = world.told(&format!("/workspaces/{x}/{path}")).await;
        let external = "external workspaces cannot be restarted by the platform";
        let parent = "parent workspace \"c\" is paused — resume it first";
        let text = if path == "restart" { external } else { parent };
        assert_eq!(told, (409, error(text)), "{path}");
    }

    let told = world.told(&format!("/workspaces/{p}/resume")).await;
    // The one that was paused before comes back with them.
    assert_eq!(
        told,
        (
            200,
            r#"{"resumed_count":4,"status":"provisioning"}"#.to_owned()
        )
    );
    for (id, wanted) in [
        (&p, "running 2 f f"),
        (&c, "running 2 f f"),
        (&below, "running 1 f f"),
    ] {
        assert_eq!(world.wanted(id).await, wanted);
    }
    world.status_becomes(&x, "awaiting_agent").await;
    let told = world.told(&format!("/workspaces/{p}/resume")).await;
    assert_eq!(told, (404, error("workspace not found or not paused")));
}

#[tokio::test(flavor = "multi_thread")]
async fn hibernation_answers_with_what_became_of_it() {
    let mut world = World::start(&["candor-echo"]).await;
    let id = world
        .create(json!({"name": "h", "runtime": "candor-echo"}))
        .await;
    let path = format!("/workspaces/{id}/hibernate");
    let refused = "workspace not found or not in a hibernatable state (must be online or degraded)";
    assert_eq!(world.told(&path).await, (404, error(refused)));

    world.set_status(&id, "online").await;
    let busy = format!("UPDATE registry.workspace_vitals SET active_tasks = 2 WHERE id = '{id}'");
    world.execute(&busy).await;
    let text = r#"{"active_tasks":2,"error":"workspace has active tasks; use ?force=true to terminate them"}"#;
    assert_eq!(world.told(&path).await, (409, text.to_owned()));
    for (outcome, told) in [("online", 503), ("hibernated", 200)] {
        let asked = world.asks(Call::new(Method::POST, format!("{path}?force=true")));
        world.status_becomes(&id, "hibernating").await;
        assert_eq!(world.wanted(&id).await, "stopped 1 f f");
        assert!(!asked.is_finished(), "nothing has ended yet");
        world.set_status(&id, outcome).await;
        let (status, body) = asked.await.unwrap();
        assert_eq!(status, told, "{body}");
        if told == 200 {
            assert_eq!(body, r#"{"status":"hibernated"}"#);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_moves_itself_and_no_other() {
    let mut world = World::start(&["candor-echo"]).await;
    let mut tokens = Vec::new();
    for name in ["a", "b"] {
        let id = world
            .create(json!({"name": name, "runtime": "candor-echo"}))
            .await;
        let minted = world.post(&format!("/workspaces/{id}/tokens")).await.json();
        tokens.push((id, minted["auth_token"].as_str().unwrap().to_owned()));
    }
    let [(a, token), (b, _)] = &tokens[..] else {
        panic!("two workspaces");
    };
    for path in ["restart", "pause", "resume", "hibernate"] {
        let call = Call::new(Method::POST, format!("/workspaces/{b}/{path}")).bearer(token);
        let answer = world.client.send(call).await.unwrap();
        let told = (answer.status, answer.text());
        assert_eq!(told, (401, error("invalid workspace auth token")), "{path}");
    }
    let mut direct = ProvisionerServiceClient::new(world.candor.channel().await.unwrap());
    let other = pb::RestartWorkspaceRequest {
        id: b.clone(),
        ..pb::RestartWorkspaceRequest::default()
    };
    let refused = direct.restart_workspace(with_bearer(other, token).unwrap());
    assert_eq!(refused.await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(world.shown(b).await["status"], "provisioning");
    assert_eq!(world.wanted(b).await, "running 1 f f");
    let own = Call::new(Method::POST, format!("/workspaces/{a}/pause")).bearer(token);
    let answer = world.client.send(own).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_answers_when_nothing_runs_any_more() {
    let mut world = World::start(&["candor-echo"]).await;
    let p = world
        .create(json!({"name": "p", "runtime": "candor-echo"}))
        .await;
    let c = json!({"name": "c", "runtime": "candor-echo", "parent_id": p});
    let c = world.create(c).await;
    let minted = world.post(&format!("/workspaces/{c}/tokens")).await.json();
    let token = minted["auth_token"].as_str().unwrap().to_owned();

    let deleted = world.deletes(&p);
    world.status_becomes(&c, "removed").await;
    // Promise P1: nothing that still runs, or still asks, brings it back.
    let beat = json!({"workspace_id": c, "error_rate": 0.0, "uptime_seconds": 60});
    let beat = Call::post("/registry/heartbeat", &beat).bearer(&token);
    world.client.send(beat).await.unwrap();
    let register = json!({"id": c, "url": "http://localhost:8001", "agent_card": {"name": "c"}});
    let register = Call::post("/registry/register", &register).bearer(&token);
    assert_eq!(world.client.send(register).await.unwrap().status, 401);
    for path in ["restart", "pause", "resume", "hibernate"] {
        assert_eq!(
            world.told(&format!("/workspaces/{c}/{path}")).await.0,
            404,
            "{path}"
        );
    }
    assert_eq!(world.wanted(&c).await, "gone 1 f f");
    assert!(!deleted.is_finished(), "its end waits for somebody");

    let told = deleted.await.unwrap();
    let mut ids = [&p, &c];
    ids.sort();
    let why = ids
        .map(|id| format!("{id}: its instance has not ended yet"))
        .join("\n");
    let text = format!("workspace marked removed, but 2 stop call(s) failed — please retry: {why}");
    let body = json!({"error": text, "removed_count": 2, "stop_failures": 2});
    assert_eq!(told.0, 500);
    assert_eq!(serde_json::from_str::<Value>(&told.1).unwrap(), body);

    let again = world.deletes(&p);
    world.execute(INSTANCES_ENDED).await;
    let body = r#"{"cascade_deleted":0,"status":"removed"}"#;
    assert_eq!(again.await.unwrap(), (200, body.to_owned()));
    for id in [&p, &c] {
        assert_eq!(world.shown(id).await["status"], "removed");
        assert_eq!(world.events(id, "WORKSPACE_REMOVED").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_is_asked_for_again_until_its_instance_is_gone() {
    let mut world = World::start(&["candor-echo"]).await;
    let id = world
        .create(json!({"name": "p", "runtime": "candor-echo"}))
        .await;
    let call = || Call::new(Method::DELETE, format!("/workspaces/{id}?purge=true"));
    let first = world.asks(call());
    let rows = format!("SELECT count(*)::text FROM workspaces WHERE id = '{id}'");
    world.becomes(&rows, "0").await;
    assert_eq!(world.wanted(&id).await, "purged 1 f f");
    let second = world.asks(call());
    world.execute(INSTANCES_ENDED).await;
    let body = r#"{"cascade_deleted":0,"status":"purged"}"#;
    for told in [first, second] {
        assert_eq!(told.await.unwrap(), (200, body.to_owned()));
    }
}

/// A workspace whose agent echoes.
async fn agent(world: &mut World) -> A2aWorkspace {
    let agent = A2aAgent::start().await.unwrap();
    let members = json!({"name": "sleeper"});
    A2aWorkspace::with(&mut world.client, agent, &members)
        .await
        .unwrap()
}

/// The answer of one that is being woken.
async fn meets_it_waking(world: &mut World, sleeper: &A2aWorkspace, id: &str) {
    let answer = sleeper.send(&mut world.client, id).await.unwrap();
    let text = r#"{"error":"workspace is waking from hibernation — retry in ~15 seconds","retry_after":15,"waking":true}"#;
    assert_eq!((answer.status, answer.text().as_str()), (503, text));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_wakes_a_hibernated_workspace_once() {
    let mut world = World::start(&[]).await;
    let sleeper = agent(&mut world).await;
    let id = sleeper.id().to_owned();
    world
        .execute("UPDATE registry.backends SET runtimes = '{langgraph}'")
        .await;
    world.set_status(&id, "hibernated").await;
    let before = world.events(&id, "WORKSPACE_PROVISIONING").await;
    meets_it_waking(&mut world, &sleeper, "m-1").await;
    let calls: Vec<_> = (0..8)
        .map(|n| world.asks(sleeper.call(&message(&format!("m-2-{n}")))))
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap().0, 503);
    }
    world.status_becomes(&id, "provisioning").await;
    assert_eq!(world.wanted(&id).await, "running 1 f f");
    assert_eq!(
        world.events(&id, "WORKSPACE_PROVISIONING").await,
        before + 1
    );
    // It is on its way: nobody wakes it again.
    let answer = sleeper.send(&mut world.client, "m-3").await.unwrap();
    let text = r#"{"error":"workspace has no URL","status":"provisioning"}"#;
    assert_eq!((answer.status, answer.text().as_str()), (503, text));
    assert_eq!(world.wanted(&id).await, "running 1 f f");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_is_enough_while_it_still_falls_asleep() {
    let mut world = World::start(&[]).await;
    let sleeper = agent(&mut world).await;
    let id = sleeper.id().to_owned();
    world.set_status(&id, "hibernating").await;
    meets_it_waking(&mut world, &sleeper, "m-1").await;
    world.set_status(&id, "hibernated").await;
    // No backend runs it: it is its agent that is waited for (D38).
    world.status_becomes(&id, "awaiting_agent").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_message_wakes_its_workspace_and_is_delivered() {
    let mut world = World::start(&[]).await;
    let mut sleeper = agent(&mut world).await;
    let id = sleeper.id().to_owned();
    sleeper.agent.set(Behaviour::Eof);
    let answer = sleeper.send(&mut world.client, "m-1").await.unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
    world.set_status(&id, "hibernated").await;
    sleeper.agent.set(Behaviour::Echo);
    world.status_becomes(&id, "awaiting_agent").await;
    sleeper.beats.register(&mut world.client).await.unwrap();
    let state = format!("SELECT state FROM relay.entries WHERE workspace_id = '{id}'");
    world.becomes(&state, "delivered").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn below_a_paused_workspace_nothing_is_woken() {
    let mut world = World::start(&[]).await;
    let p = world.create(json!({"name": "p"})).await;
    let sleeper = agent(&mut world).await;
    let id = sleeper.id().to_owned();
    let adopt = format!("UPDATE workspaces SET parent_id = '{p}' WHERE id = '{id}'");
    world.execute(&adopt).await;
    world.set_status(&p, "paused").await;
    world.set_status(&id, "hibernated").await;
    meets_it_waking(&mut world, &sleeper, "m-1").await;
    let admin = world.candor.admin();
    wait_for("a wake that was left", SOON, || async {
        let mut admin = Client::new(admin);
        let metrics = admin.send(Call::get("/metrics")).await.ok()?.text();
        let left = r#"candor_relay_wakes_total{outcome="left"} 1"#;
        metrics.contains(left).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(world.shown(&id).await["status"], "hibernated");
    // Its parent's return is not its own: the next message is.
    world.set_status(&p, "online").await;
    meets_it_waking(&mut world, &sleeper, "m-2").await;
    world.status_becomes(&id, "awaiting_agent").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_stands_and_is_not_called_done_while_nobody_can_tell() {
    let postgres = Postgres::start_new().await.unwrap();
    let url = postgres.create_database().await.unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    binaries.migrate(&url).unwrap();
    let registry = binaries.registry(&url, &[]).await.unwrap();
    // Nobody listens there.
    let nobody = [("CANDOR_PROVISIONER", "http://127.0.0.1:9")];
    let gateway = binaries.gateway(registry.grpc(), &nobody).await.unwrap();
    let mut client = Client::new(gateway.http()).with_deadline(Duration::from_secs(60));
    let backend = "INSERT INTO registry.backends VALUES ('nobody', '{candor-echo}', 'infinity')";
    postgres::execute(&url, backend).await.unwrap();
    for (runtime, told) in [("candor-echo", 500), ("langgraph", 200)] {
        let members = json!({"name": "w", "runtime": runtime});
        let created = client.send(Call::post("/workspaces", &members)).await;
        let id = created.unwrap().json()["id"].as_str().unwrap().to_owned();
        let call = Call::new(Method::DELETE, format!("/workspaces/{id}"));
        let answer = client.send(call).await.unwrap();
        assert_eq!(answer.status, told, "{}", answer.text());
        let shown = client.send(Call::get(format!("/workspaces/{id}"))).await;
        assert_eq!(shown.unwrap().json()["status"], "removed");
        if told == 500 {
            let text = format!(
                "workspace marked removed, but 1 stop call(s) failed — please retry: {id}: whether its instance ended is not known"
            );
            let body = json!({"error": text, "removed_count": 1, "stop_failures": 1});
            assert_eq!(answer.json(), body);
        }
    }
}
