//! `lf.a2a.v1.A2AService`: the same door over gRPC, the tenant being a workspace.
#![allow(clippy::unwrap_used)]

use candor_proto::a2a::v1;
use candor_proto::a2a::v1::a2a_service_client::A2aServiceClient;
use candor_testkit::a2a_agent::{A2aAgent, Behaviour, Gate};
use candor_testkit::agent::{FakeAgent, with_bearer};
use candor_testkit::grpc_reflect::{ReflectionVersion, describe_method, list_services};
use candor_testkit::http::{Call, Client};
use candor_testkit::platform::{Binaries, DataDir, Platform};
use serde_json::{Value, json};
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

const SERVICE: &str = "lf.a2a.v1.A2AService";
const ADMIN: &str = "the-admin-token-of-this-test";

async fn up(data: &DataDir, env: &[(&str, &str)]) -> Platform {
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    binaries.up(data, env).await.unwrap()
}

/// A workspace with this agent and card; its id.
async fn enrol(client: &mut Client, agent: &A2aAgent, card: &Value) -> String {
    let id = FakeAgent::create(client, "target").await.unwrap().id;
    let url = format!("http://localhost:{}", agent.address().port());
    let body = json!({"id": id, "url": url, "agent_card": card});
    let registered = client.send(Call::post("/registry/register", &body)).await;
    assert_eq!(registered.unwrap().status, 200);
    id
}

fn new_card() -> Value {
    json!({"name": "new", "supportedInterfaces": [{"url": "http://localhost:1/",
        "protocolBinding": "JSONRPC", "protocolVersion": "1.0", "tenant": "blue"}]})
}

fn send(tenant: &str) -> v1::SendMessageRequest {
    let part = v1::Part {
        content: Some(v1::part::Content::Text("hello".to_owned())),
        ..v1::Part::default()
    };
    v1::SendMessageRequest {
        tenant: tenant.to_owned(),
        message: Some(v1::Message {
            message_id: "m".to_owned(),
            role: v1::Role::User.into(),
            parts: vec![part],
            ..v1::Message::default()
        }),
        ..v1::SendMessageRequest::default()
    }
}

fn get(tenant: &str) -> v1::GetTaskRequest {
    v1::GetTaskRequest {
        tenant: tenant.to_owned(),
        id: "t1".to_owned(),
        ..v1::GetTaskRequest::default()
    }
}

fn text(part: &v1::Part) -> &str {
    match &part.content {
        Some(v1::part::Content::Text(text)) => text,
        _ => "",
    }
}

type Service = A2aServiceClient<Channel>;

async fn status_update(events: &mut tonic::Streaming<v1::StreamResponse>) -> Option<v1::TaskState> {
    let event = events.message().await.unwrap()?;
    match event.payload {
        Some(v1::stream_response::Payload::StatusUpdate(update)) => Some(update.status?.state()),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_of_both_versions_are_sent_to_streamed_from_and_asked() {
    let data = DataDir::new().unwrap();
    let candor = up(&data, &[]).await;
    let mut client = Client::new(candor.http());
    let mut service = Service::new(candor.channel().await.unwrap());
    let agent = A2aAgent::start().await.unwrap();
    let old = enrol(&mut client, &agent, &json!({"protocolVersion": "0.3.0"})).await;

    let answer = service.send_message(send(&old)).await.unwrap().into_inner();
    let Some(v1::send_message_response::Payload::Message(message)) = answer.payload else {
        panic!("{answer:?}")
    };
    assert_eq!(text(&message.parts[0]), "echo: hello");
    let received = agent.requests().pop().unwrap();
    assert_eq!(received.json()["method"], "message/send");
    assert_eq!(received.header("authorization"), None);

    agent.set(Behaviour::Task);
    let task = service.get_task(get(&old)).await.unwrap().into_inner();
    assert_eq!(
        (&*task.id, task.status.unwrap().state()),
        ("t1", v1::TaskState::Completed)
    );

    // Events come one by one, as they are made.
    let gate = Gate::closed();
    agent.set(Behaviour::Stream(2, gate.clone()));
    gate.raise();
    let stream = service.send_streaming_message(send(&old)).await;
    let mut events = stream.unwrap().into_inner();
    assert_eq!(
        status_update(&mut events).await,
        Some(v1::TaskState::Working)
    );
    gate.open();
    assert_eq!(
        status_update(&mut events).await,
        Some(v1::TaskState::Completed)
    );
    assert!(events.message().await.unwrap().is_none());

    // An agent of 1.0 is asked by its own tenant, never by ours.
    let new = enrol(&mut client, &agent, &new_card()).await;
    let task = json!({"jsonrpc": "2.0", "id": 1, "result": {"id": "t1", "contextId": "c",
        "status": {"state": "TASK_STATE_WORKING"}}});
    agent.set(Behaviour::status(200, &task));
    let mut request = Request::new(get(&new));
    request
        .metadata_mut()
        .insert("a2a-version", "1.0".parse().unwrap());
    request
        .metadata_mut()
        .insert("a2a-extensions", "urn:x".parse().unwrap());
    let task = service.get_task(request).await.unwrap().into_inner();
    assert_eq!(task.status.unwrap().state(), v1::TaskState::Working);
    let received = agent.requests().pop().unwrap();
    assert_eq!(
        received.json()["params"],
        json!({"id": "t1", "tenant": "blue"})
    );
    assert_eq!(received.header("a2a-extensions"), Some("urn:x"));

    let card = json!({"jsonrpc": "2.0", "id": 1, "result": {"name": "more", "url": agent.url()}});
    agent.set(Behaviour::status(200, &card));
    let request = v1::GetExtendedAgentCardRequest {
        tenant: old.clone(),
    };
    let card = service
        .get_extended_agent_card(request)
        .await
        .unwrap()
        .into_inner();
    let address = format!("http://{}/a2a/{old}", candor.http());
    assert_eq!(card.name, "more");
    assert!(
        card.supported_interfaces
            .iter()
            .all(|interface| interface.url == address)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_the_codes_and_reasons_of_the_binding() {
    let data = DataDir::new().unwrap();
    let candor = up(&data, &[]).await;
    let mut client = Client::new(candor.http());
    let mut service = Service::new(candor.channel().await.unwrap());
    for tenant in ["", "nope"] {
        let refused = service.get_task(get(tenant)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{tenant}");
    }
    let agent = A2aAgent::start().await.unwrap();
    let id = enrol(&mut client, &agent, &json!({"protocolVersion": "0.3.0"})).await;
    let mut reason = async |behaviour: Behaviour| {
        agent.set(behaviour);
        let status = service.get_task(get(&id)).await.unwrap_err();
        let info = status.get_details_error_info();
        let info = info.map(|info| (info.reason, info.domain));
        let (reason, domain) = info.unwrap_or_default();
        (status.code(), reason, domain)
    };
    let error = json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32001, "message": "no"}});
    let (ours, protocols) = ("candor".to_owned(), "a2a-protocol.org".to_owned());
    assert_eq!(
        reason(Behaviour::status(200, &error)).await,
        (
            Code::NotFound,
            "TASK_NOT_FOUND".to_owned(),
            protocols.clone()
        )
    );
    assert_eq!(
        reason(Behaviour::NotJson).await,
        (
            Code::Internal,
            "INVALID_AGENT_RESPONSE".to_owned(),
            protocols
        )
    );
    assert_eq!(
        reason(Behaviour::Eof).await,
        (Code::Unavailable, "AGENT_BUSY".to_owned(), ours)
    );
    agent.set(Behaviour::NotJson);
    let stream = service.send_streaming_message(send(&id)).await;
    let status = stream.unwrap().into_inner().message().await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);

    let mut request = Request::new(get(&id));
    request
        .metadata_mut()
        .insert("a2a-version", "0.3".parse().unwrap());
    let refused = service.get_task(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let unknown = "01a20000-0000-4000-8000-0000000000aa";
    let refused = service.get_task(get(unknown)).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_prove_themselves_as_everywhere_and_strangers_find_the_service() {
    let data = DataDir::new().unwrap();
    let settings = [
        ("ADMIN_TOKEN", ADMIN),
        ("CANDOR_AGENT_ADDRESSES", "loopback"),
    ];
    let candor = up(&data, &settings).await;
    let channel = candor.channel().await.unwrap();
    for version in [ReflectionVersion::V1, ReflectionVersion::V1Alpha] {
        let services = list_services(channel.clone(), version).await.unwrap();
        assert!(services.iter().any(|name| name == SERVICE), "{services:?}");
        let found = describe_method(channel.clone(), version, SERVICE, "SendMessage").await;
        assert_eq!(found.unwrap().input_type(), ".lf.a2a.v1.SendMessageRequest");
    }
    let mut client = Client::new(candor.http());
    let create = Call::post("/workspaces", &json!({"name": "a", "tier": 1})).bearer(ADMIN);
    let created = client.send(create).await.unwrap().json();
    let id = created["id"].as_str().unwrap();
    let mint = Call::post(format!("/workspaces/{id}/tokens"), &json!({})).bearer(ADMIN);
    let minted = client.send(mint).await.unwrap().json();
    let token = minted["auth_token"].as_str().unwrap();
    let agent = A2aAgent::start().await.unwrap();
    let url = format!("http://localhost:{}", agent.address().port());
    let body = json!({"id": id, "url": url, "agent_card": {"protocolVersion": "0.3.0"}});
    let call = Call::post("/registry/register", &body).bearer(token);
    assert_eq!(client.send(call).await.unwrap().status, 200);

    let mut service = Service::new(channel);
    let refused = service.send_message(send(id)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    for bearer in [ADMIN, token] {
        let request = with_bearer(send(id), bearer).unwrap();
        service.send_message(request).await.unwrap();
    }
    for received in agent.requests() {
        assert_eq!(received.header("authorization"), None);
    }
}
