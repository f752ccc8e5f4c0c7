//! What should never have been sent: the contract's error, and nothing changed.
#![allow(clippy::unwrap_used)]

use candor_testkit::agent::FakeAgent;
use candor_testkit::http::{Call, Client};
use candor_testkit::platform::{Binaries, DataDir, Platform};
use candor_testkit::postgres;
use http::Method;
use serde_json::{Value, json};

const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

/// One wrong request and its answer; `{V}` in the body's place is the victim.
struct Case {
    what: &'static str,
    call: Call,
    status: u16,
    body: &'static str,
}

/// A victim with a token, and a stranger with one of his own.
struct Stage {
    candor: Platform,
    client: Client,
    victim: FakeAgent,
    stranger: FakeAgent,
    _data: DataDir,
}

async fn stage() -> Stage {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(&data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    let mut victim = FakeAgent::enrolled(&mut client, "victim").await.unwrap();
    let mut stranger = FakeAgent::enrolled(&mut client, "stranger").await.unwrap();
    victim.beat(&mut client).await.unwrap();
    stranger.beat(&mut client).await.unwrap();
    Stage {
        candor,
        client,
        victim,
        stranger,
        _data: data,
    }
}

impl Stage {
    /// A hash over everything that a bad request could have changed.
    async fn fingerprint(&self) -> String {
        let query = "SELECT md5(concat(
            (SELECT string_agg(w::text, ';' ORDER BY w.id) FROM workspaces w),
            (SELECT string_agg(v::text, ';' ORDER BY v.id) FROM registry.workspace_vitals v),
            (SELECT string_agg(concat(t.id, t.revoked_at), ';' ORDER BY t.id)
             FROM workspace_auth_tokens t),
            (SELECT string_agg(e.id::text, ';' ORDER BY e.id) FROM structure_events e)))";
        postgres::text(&self.candor.database_url(), query)
            .await
            .unwrap()
    }

    async fn refuses(&mut self, cases: Vec<Case>) {
        let before = self.fingerprint().await;
        let mut wrong = Vec::new();
        for case in cases {
            // A fresh connection: a refused body may end the one it came by.
            let mut client = Client::new(self.candor.http());
            let what = case.what;
            match client.send(case.call).await {
                Ok(answer) if answer.status != case.status || answer.text() != case.body => {
                    let (status, text) = (answer.status, answer.text());
                    wrong.push(format!(
                        "{what}: {status} {text}, not {} {}",
                        case.status, case.body
                    ));
                }
                Ok(_) => {}
                Err(error) => wrong.push(format!("{what}: {error}")),
            }
            if self.fingerprint().await != before {
                wrong.push(format!("{what}: something changed"));
                break;
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    fn beat(&self, body: impl Into<bytes::Bytes>) -> Call {
        Call::new(Method::POST, "/registry/heartbeat")
            .header("content-type", "application/json")
            .bearer(&self.victim.token)
            .body(body)
    }

    fn beat_with(&self, member: &str) -> Call {
        let id = &self.victim.id;
        self.beat(format!(r#"{{"workspace_id":"{id}",{member}}}"#))
    }
}

const MALFORMED: &str = r#"{"error":"invalid request body"}"#;
const INVALID_TOKEN: &str = r#"{"error":"invalid workspace auth token"}"#;
const MISSING_TOKEN: &str = r#"{"error":"missing workspace auth token"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn malformed_beats_are_refused_and_change_nothing() {
    let mut stage = stage().await;
    let id = stage.victim.id.clone();
    let case = |what, call, status, body| Case {
        what,
        call,
        status,
        body,
    };
    let too_big = format!(
        r#"{{"workspace_id":"{id}","current_task":"{}"}}"#,
        "x".repeat(2 << 20)
    );
    let cases = vec![
        case(
            "truncated",
            stage.beat(format!(r#"{{"workspace_id":"{id}","#)),
            400,
            MALFORMED,
        ),
        case("no body", stage.beat(""), 400, MALFORMED),
        case("a list", stage.beat("[]"), 400, MALFORMED),
        case("a text", stage.beat(r#""beat""#), 400, MALFORMED),
        case("no id", stage.beat(r#"{"error_rate":0}"#), 400, MALFORMED),
        case(
            "id a number",
            stage.beat(r#"{"workspace_id":7}"#),
            400,
            MALFORMED,
        ),
        case(
            "rate a text",
            stage.beat_with(r#""error_rate":"0.5""#),
            400,
            MALFORMED,
        ),
        case(
            "rate NaN",
            stage.beat_with(r#""error_rate":NaN"#),
            400,
            MALFORMED,
        ),
        case(
            "rate infinite",
            stage.beat_with(r#""error_rate":1e999"#),
            400,
            MALFORMED,
        ),
        case(
            "tasks half",
            stage.beat_with(r#""active_tasks":1.5"#),
            400,
            MALFORMED,
        ),
        case(
            "uptime a text",
            stage.beat_with(r#""uptime_seconds":"1""#),
            400,
            MALFORMED,
        ),
        case(
            "state a number",
            stage.beat_with(r#""runtime_state":1"#),
            400,
            MALFORMED,
        ),
        case(
            "metadata a list",
            stage.beat_with(r#""runtime_metadata":[]"#),
            400,
            MALFORMED,
        ),
        case(
            "raw NUL",
            stage.beat_with("\"sample_error\":\"\0\""),
            400,
            MALFORMED,
        ),
        case(
            "2 MiB",
            stage.beat(too_big),
            413,
            r#"{"error":"request body too large"}"#,
        ),
        case(
            "unknown id",
            Call::post("/registry/heartbeat", &json!({"workspace_id": NOBODY})),
            200,
            "",
        ),
    ];
    let (unknown, cases) = split_last(cases);
    stage.refuses(cases).await;
    let before = stage.fingerprint().await;
    let answer = stage.client.send(unknown.call).await.unwrap();
    assert_eq!(answer.status, unknown.status);
    assert_eq!(answer.json()["workspace"], "unknown");
    assert_eq!(stage.fingerprint().await, before);
}

fn split_last(mut cases: Vec<Case>) -> (Case, Vec<Case>) {
    let last = cases.pop().unwrap();
    (last, cases)
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_postgres_cannot_keep_are_400_with_a_reason() {
    let mut stage = stage().await;
    let before = stage.fingerprint().await;
    for member in [
        r#""sample_error":"nul\u0000byte""#,
        r#""current_task":"\u0000""#,
        r#""runtime_state":"wedged\u0000""#,
        r#""active_tasks":2147483648"#,
        r#""uptime_seconds":-2147483649"#,
    ] {
        let call = stage.beat_with(member);
        let answer = stage.client.send(call).await.unwrap();
        let text = answer.text();
        assert_eq!(answer.status, 400, "{member}: {text}");
        assert!(answer.json()["error"].is_string(), "{member}: {text}");
    }
    let malformed = Call::post("/registry/heartbeat", &json!({"workspace_id": "nope"}));
    assert_eq!(stage.client.send(malformed).await.unwrap().status, 400);
    assert_eq!(stage.fingerprint().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_identities_are_refused_and_change_nothing() {
    let mut stage = stage().await;
    let (victim, stranger) = (stage.victim.clone(), stage.stranger.clone());
    let case = |what, call, status, body| Case {
        what,
        call,
        status,
        body,
    };
    let beat = json!({"workspace_id": victim.id, "runtime_state": "wedged"});
    let register = json!({"id": victim.id, "url": "http://localhost:6", "agent_card": {}});
    let card = json!({"workspace_id": victim.id, "agent_card": {"name": "mine"}});
    let target = format!("/workspaces/{}", victim.id);
    let rename = |token: &str| {
        let call = Call::new(Method::PATCH, target.clone());
        call.json(&json!({"name": "mine"})).bearer(token)
    };
    let post = |target: &str, body: &Value| Call::post(target, body);
    let discover = Call::get(format!("/registry/discover/{}", victim.id));
    let cases = vec![
        case(
            "no token",
            post("/registry/heartbeat", &beat),
            401,
            MISSING_TOKEN,
        ),
        case(
            "another's token",
            post("/registry/heartbeat", &beat).bearer(&stranger.token),
            401,
            INVALID_TOKEN,
        ),
        case(
            "another's token, forged header",
            post("/registry/heartbeat", &beat)
                .bearer(&stranger.token)
                .header("x-workspace-id", &victim.id),
            401,
            INVALID_TOKEN,
        ),
        case(
            "made-up token",
            post("/registry/heartbeat", &beat).bearer("x"),
            401,
            INVALID_TOKEN,
        ),
        case(
            "register, none",
            post("/registry/register", &register),
            401,
            MISSING_TOKEN,
        ),
        case(
            "register, another's",
            post("/registry/register", &register).bearer(&stranger.token),
            401,
            INVALID_TOKEN,
        ),
        case(
            "card, another's",
            post("/registry/update-card", &card).bearer(&stranger.token),
            401,
            INVALID_TOKEN,
        ),
        case(
            "rename, another's",
            rename(&stranger.token),
            401,
            INVALID_TOKEN,
        ),
        case(
            "tokens, another's",
            Call::get(format!("{target}/tokens")).bearer(&stranger.token),
            401,
            INVALID_TOKEN,
        ),
        case(
            "system caller",
            discover
                .clone()
                .header("x-workspace-id", "system:restart-context"),
            403,
            r#"{"error":"invalid caller ID"}"#,
        ),
        case(
            "webhook caller on a beat",
            post("/registry/heartbeat", &beat)
                .bearer(&victim.token)
                .header("x-workspace-id", "webhook:github"),
            403,
            r#"{"error":"invalid caller ID"}"#,
        ),
    ];
    stage.refuses(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_beat_harms_no_neighbour() {
    let mut stage = stage().await;
    let addr = stage.candor.http();
    let mut agents = Vec::new();
    for number in 0..40 {
        let name = format!("neighbour {number}");
        agents.push(FakeAgent::enrolled(&mut stage.client, &name).await.unwrap());
    }
    let poison = [
        stage.beat_with(r#""sample_error":"\u0000""#),
        stage.beat_with(r#""error_rate":1e308,"monthly_spend":9223372036854775807"#),
        stage.beat_with(r#""error_rate":-0.0,"uptime_seconds":2147483647"#),
    ];
    let mut calls = tokio::task::JoinSet::new();
    for (number, mut agent) in agents.into_iter().enumerate() {
        agent.uptime_seconds = 4_000;
        let beat = agent.next_beat().unwrap();
        let poison = poison[number % poison.len()].clone();
        calls.spawn(async move {
            let (mut healthy, mut poisonous) = (Client::new(addr), Client::new(addr));
            let (beat, poison) = tokio::join!(healthy.send(beat), poisonous.send(poison));
            (beat.unwrap().status, poison.unwrap().status)
        });
    }
    while let Some(done) = calls.join_next().await {
        let (beat, poison) = done.unwrap();
        assert_eq!(beat, 200);
        assert!(poison == 400 || poison == 200, "{poison}");
    }
    let applied = "SELECT count(*) FROM registry.workspace_vitals WHERE uptime_seconds = 4001";
    let url = stage.candor.database_url();
    assert_eq!(postgres::count(&url, applied).await.unwrap(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_beat_never_revives_a_removed_workspace() {
    let mut stage = stage().await;
    let id = stage.victim.id.clone();
    let remove = Call::new(Method::DELETE, format!("/workspaces/{id}"));
    assert_eq!(stage.client.send(remove).await.unwrap().status, 200);
    let removed = stage.fingerprint().await;
    for _ in 0..3 {
        let late = stage.victim.beat(&mut stage.client).await.unwrap().unwrap();
        assert_eq!(late.status, 200);
        assert_eq!(late.json()["workspace"], "removed");
    }
    let tokenless = Call::post("/registry/heartbeat", &json!({"workspace_id": id}));
    let late = stage.client.send(tokenless).await.unwrap();
    assert_eq!(late.json()["workspace"], "removed");
    assert!(stage.victim.register(&mut stage.client).await.is_err());
    assert_eq!(stage.fingerprint().await, removed);
    let one = stage
        .client
        .send(Call::get(format!("/workspaces/{id}")))
        .await;
    assert_eq!(one.unwrap().json()["status"], "removed");
    let all = stage.client.send(Call::get("/workspaces")).await.unwrap();
    assert!(!all.text().contains(&id));
}
