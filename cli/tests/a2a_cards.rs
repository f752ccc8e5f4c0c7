//! Agent cards as readers of A2A 0.3 and of 1.0 find them: the platform's addresses
//! only, at both addresses of a workspace.
#![allow(clippy::unwrap_used)]

use candor_proto::relay::v1::GetAgentCardRequest;
use candor_proto::relay::v1::relay_service_client::RelayServiceClient;
use candor_testkit::agent::FakeAgent;
use candor_testkit::http::{Answer, Call, Client};
use candor_testkit::platform::{Binaries, DataDir, Platform};
use serde_json::{Value, json};
use tonic::Code;

const ADMIN: &str = "the-admin-token-of-this-test";

async fn up(data: &DataDir, env: &[(&str, &str)]) -> Platform {
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    binaries.up(data, env).await.unwrap()
}

/// A workspace whose agent showed this card.
async fn with_card(client: &mut Client, name: &str, card: &Value) -> String {
    let id = FakeAgent::create(client, name).await.unwrap().id;
    let body = json!({"id": id, "url": "http://localhost:8123/a2a", "agent_card": card});
    let answer = client.send(Call::post("/registry/register", &body)).await;
    assert_eq!(answer.unwrap().status, 200);
    id
}

async fn get(client: &mut Client, target: String) -> Answer {
    client.send(Call::get(target)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_find_their_members_and_no_address_but_the_platforms() {
    let data = DataDir::new().unwrap();
    let candor = up(&data, &[]).await;
    let mut client = Client::new(candor.http());
    let card = json!({
        "name": "Ada", "description": "digs, at http://localhost:8123", "version": "2",
        "protocolVersion": "0.3.0", "url": "http://localhost:8123/a2a",
        "additionalInterfaces": [{"url": "http://10.1.2.3:9", "transport": "GRPC"}],
        "capabilities": {"streaming": true}, "skills": [],
        "signatures": [{"protected": "p", "signature": "s"}],
    });
    let id = with_card(&mut client, "ada", &card).await;
    let address = format!("http://{}/a2a/{id}", candor.http());

    let mut bodies = Vec::new();
    for (root, file) in [
        ("a2a", "agent-card.json"),
        ("a2a", "agent.json"),
        ("workspaces", "agent-card.json"),
        ("workspaces", "agent.json"),
    ] {
        let answer = get(&mut client, format!("/{root}/{id}/.well-known/{file}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("content-type"), "application/json");
        assert!(answer.header("cache-control").contains("max-age="));
        bodies.push((answer.text(), answer.header("etag")));
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    let (text, etag) = &bodies[0];
    let told: Value = serde_json::from_str(text).unwrap();
    assert_eq!(told["name"], "Ada");
    assert_eq!(told["url"], address);
    assert_eq!(told["additionalInterfaces"][0]["url"], address);
    let interfaces = told["supportedInterfaces"].as_array().unwrap();
    let versions: Vec<&str> = interfaces
        .iter()
        .map(|interface| {
            assert_eq!(interface["url"], address);
            interface["protocolVersion"].as_str().unwrap()
        })
        .collect();
    assert_eq!(versions, ["1.0", "0.3"]);
    assert!(told.get("signatures").is_none(), "a broken signature");
    for private in ["8123", "10.1.2.3"] {
        assert!(!text.contains(private), "{private} in {text}");
    }

    // Who has it is not sent it again.
    let target = format!("/a2a/{id}/.well-known/agent-card.json");
    let call = Call::get(target.as_str()).header("if-none-match", etag.as_str());
    let again = client.send(call).await.unwrap();
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(&again.header("etag"), etag);
    let call = Call::get(target.as_str()).header("if-none-match", "\"other\"");
    assert_eq!(client.send(call).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_is_there_while_its_workspace_is() {
    let data = DataDir::new().unwrap();
    let candor = up(&data, &[]).await;
    let mut client = Client::new(candor.http());
    // One that never showed a card speaks for itself.
    let id = FakeAgent::create(&mut client, "plain").await.unwrap().id;
    let target = format!("/workspaces/{id}/.well-known/agent-card.json");
    let card = get(&mut client, target.clone()).await.json();
    assert_eq!(card["name"], "plain");

    let confirmed = format!("/workspaces/{id}?confirm=true");
    let deleted = client
        .send(Call::new(http::Method::DELETE, confirmed))
        .await;
    assert_eq!(deleted.unwrap().status, 200);
    assert_eq!(get(&mut client, target).await.status, 404);
    for unknown in ["01a20000-0000-4000-8000-0000000000aa", "nope"] {
        let target = format!("/a2a/{unknown}/.well-known/agent-card.json");
        let answer = get(&mut client, target).await;
        assert_eq!(answer.status, 404);
        assert_eq!(answer.json(), json!({"error": "workspace not found"}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_asks_for_tokens_says_so_in_its_cards_and_asks() {
    let data = DataDir::new().unwrap();
    let settings = [
        ("ADMIN_TOKEN", ADMIN),
        ("EXTERNAL_PLATFORM_URL", "https://candor.example/"),
        ("CANDOR_A2A_GRPC_URL", "https://grpc.candor.example"),
    ];
    let candor = up(&data, &settings).await;
    let mut client = Client::new(candor.http());
    let create = Call::post("/workspaces", &json!({"name": "w", "tier": 1})).bearer(ADMIN);
    let created = client.send(create).await.unwrap().json();
    let id = created["id"].as_str().unwrap();

    let target = format!("/a2a/{id}/.well-known/agent-card.json");
    assert_eq!(get(&mut client, target.clone()).await.status, 401);
    let call = Call::get(target).bearer(ADMIN);
    let card = client.send(call).await.unwrap().json();
    assert_eq!(card["url"], format!("https://candor.example/a2a/{id}"));
    assert_eq!(card["securitySchemes"]["bearer"]["scheme"], "bearer");
    let grpc = &card["supportedInterfaces"][2];
    assert_eq!(grpc["url"], "https://grpc.candor.example");
    assert_eq!(grpc["tenant"], id);

    let mut relay = RelayServiceClient::new(candor.channel().await.unwrap());
    let request = GetAgentCardRequest {
        workspace_id: id.to_owned(),
        ..GetAgentCardRequest::default()
    };
    let refused = relay.get_agent_card(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}
