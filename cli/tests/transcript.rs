//! GET /workspaces/:id/transcript: from the agent, without a word of who asks.
#![allow(clippy::unwrap_used)]

use candor_identity::scoped;
use candor_testkit::a2a_agent::{A2aAgent, Behaviour};
use candor_testkit::agent::FakeAgent;
use candor_testkit::http::{Answer, Call, Client};
use candor_testkit::platform::{Binaries, DataDir};
use candor_testkit::postgres;
use serde_json::{Value, json};

const ADMIN: &str = "the-admin-token-of-this-test";

async fn card(url: &str, id: &str, card: &Value) {
    let statement = format!("UPDATE workspaces SET agent_card = '{card}' WHERE id = '{id}'");
    postgres::execute(url, &statement).await.unwrap();
}

async fn get(client: &mut Client, id: &str, query: &str) -> Answer {
    let target = format!("/workspaces/{id}/transcript{query}");
    client.send(Call::get(target)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_the_agents_and_bounded() {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(&data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    let agent = A2aAgent::start().await.unwrap();
    let id = FakeAgent::create(&mut client, "a").await.unwrap().id;
    let none = get(&mut client, &id, "").await;
    assert_eq!(
        (none.status, none.json()),
        (404, json!({"error": "workspace not found"}))
    );

    let url = format!("http://localhost:{}/a2a?x=1", agent.address().port());
    let database = candor.database_url();
    card(&database, &id, &json!({"name": "a", "url": url})).await;
    agent.set(Behaviour::status(203, &json!({"lines": [1]})));
    let told = get(&mut client, &id, "?since=5&limit=2&token=secret").await;
    assert_eq!((told.status, told.json()), (203, json!({"lines": [1]})));
    assert_eq!(told.header("content-type"), "application/json");
    let received = agent.requests().pop().unwrap();
    assert_eq!(
        (&*received.method, &*received.target),
        ("GET", "/transcript?since=5&limit=2")
    );

    // What would be a page of the platform's is none.
    agent.set(Behaviour::Status {
        code: 200,
        body: "<script>".into(),
        content_type: "text/html".to_owned(),
        headers: vec![("set-cookie".to_owned(), "a=b".to_owned())],
    });
    let told = get(&mut client, &id, "").await;
    assert_eq!(told.header("content-type"), "application/octet-stream");
    assert_eq!(told.header("set-cookie"), "");
    agent.set(Behaviour::Huge(3 * 1024 * 1024));
    assert_eq!(get(&mut client, &id, "").await.body.len(), 1024 * 1024);
    agent.set(Behaviour::Redirect("http://localhost:1/".to_owned()));
    let told = get(&mut client, &id, "").await;
    assert_eq!(
        (told.status, told.json()),
        (502, json!({"error": "workspace unreachable"}))
    );

    for (url, status, text) in [
        ("", 503, "workspace not registered (no URL on file)"),
        ("nope", 400, "invalid workspace URL"),
        ("http://169.254.169.254/", 400, "workspace URL not allowed"),
        ("http://no-such-host.invalid/", 502, "workspace unreachable"),
    ] {
        card(&database, &id, &json!({"url": url})).await;
        let told = get(&mut client, &id, "").await;
        assert_eq!(
            (told.status, told.json()),
            (status, json!({"error": text})),
            "{url}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_credential_but_its_own_word_reaches_the_agent() {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let settings = [
        ("ADMIN_TOKEN", ADMIN),
        ("CANDOR_AGENT_ADDRESSES", "loopback"),
    ];
    let candor = binaries.up(&data, &settings).await.unwrap();
    let mut client = Client::new(candor.http());
    let agent = A2aAgent::start().await.unwrap();
    let create = Call::post("/workspaces", &json!({"name": "a", "tier": 1})).bearer(ADMIN);
    let created = client.send(create).await.unwrap().json();
    let id = created["id"].as_str().unwrap();
    let mint = Call::post(format!("/workspaces/{id}/tokens"), &json!({})).bearer(ADMIN);
    let minted = client.send(mint).await.unwrap().json();
    let token = minted["auth_token"].as_str().unwrap();
    let url = format!("http://localhost:{}", agent.address().port());
    card(&candor.database_url(), id, &json!({"url": url})).await;

    let target = format!("/workspaces/{id}/transcript?since={ADMIN}");
    assert_eq!(
        client
            .send(Call::get(target.as_str()))
            .await
            .unwrap()
            .status,
        401
    );
    assert_eq!(agent.counts().requests, 0);
    for bearer in [ADMIN, token] {
        let call = Call::get(format!("/workspaces/{id}/transcript"))
            .bearer(bearer)
            .header("cookie", "session=secret")
            .header("x-workspace-id", if bearer == token { id } else { "" });
        assert_eq!(client.send(call).await.unwrap().status, 200);
    }
    for received in agent.requests() {
        let names: Vec<&str> = received.headers.iter().map(|(name, _)| &**name).collect();
        for (name, value) in &received.headers {
            assert!(!value.contains(ADMIN) && !value.contains(token), "{name}");
        }
        for name in ["cookie", "x-workspace-id"] {
            assert!(!names.contains(&name), "{names:?}");
        }
        // The agent can check that the platform asks, and for what.
        let bearer = received.header("authorization").unwrap();
        let word = bearer.strip_prefix("Bearer ").unwrap();
        let (id, now) = (id.parse().unwrap(), chrono::Utc::now());
        assert!(scoped::verify(word, token, scoped::TRANSCRIPT, id, now));
        assert!(!scoped::verify(word, ADMIN, scoped::TRANSCRIPT, id, now));
    }
}
