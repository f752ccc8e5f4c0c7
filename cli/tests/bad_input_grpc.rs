//! The same over gRPC: typed errors, and nothing changed.
#![allow(clippy::unwrap_used)]

use candor_proto::registry::v1::registry_service_client::RegistryServiceClient;
use candor_proto::registry::v1::{
    GetWorkspaceRequest, HeartbeatRequest, RegisterRequest, UpdateWorkspaceRequest,
};
use candor_testkit::agent::{FakeAgent, with_bearer};
use candor_testkit::http::Client;
use candor_testkit::platform::{Binaries, DataDir};
use candor_testkit::postgres;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

type Registry = RegistryServiceClient<Channel>;

const FINGERPRINT: &str = "SELECT md5(concat(
    (SELECT string_agg(w::text, ';' ORDER BY w.id) FROM workspaces w),
    (SELECT string_agg(v::text, ';' ORDER BY v.id) FROM registry.workspace_vitals v),
    (SELECT string_agg(e.id::text, ';' ORDER BY e.id) FROM structure_events e)))";

fn full_beat(agent: &FakeAgent) -> HeartbeatRequest {
    HeartbeatRequest {
        workspace_id: agent.id.clone(),
        error_rate: Some(0.0),
        uptime_seconds: Some(60),
        ..HeartbeatRequest::default()
    }
}

async fn code_of(registry: &mut Registry, beat: HeartbeatRequest, token: &str) -> Code {
    let request = with_bearer(beat, token).unwrap();
    code(registry.heartbeat(request).await)
}

fn code<T>(answer: Result<T, Status>) -> Code {
    answer.err().map_or(Code::Ok, |status| status.code())
}

fn with_header<T>(mut request: Request<T>, name: &'static str, value: &str) -> Request<T> {
    request.metadata_mut().insert(name, value.parse().unwrap());
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_rpcs_are_refused_by_their_code_and_change_nothing() {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(&data, &[]).await.unwrap();
    let url = candor.database_url();
    let mut client = Client::new(candor.http());
    let mut registry = Registry::new(candor.channel().await.unwrap());
    let victim = FakeAgent::enrolled(&mut client, "victim").await.unwrap();
    let stranger = FakeAgent::enrolled(&mut client, "stranger").await.unwrap();
    let before = postgres::text(&url, FINGERPRINT).await.unwrap();

    let beat = || full_beat(&victim);
    let nan = HeartbeatRequest {
        error_rate: Some(f64::NAN),
        ..beat()
    };
    let infinite = HeartbeatRequest {
        error_rate: Some(f64::INFINITY),
        ..beat()
    };
    let nul = HeartbeatRequest {
        sample_error: Some("\0".into()),
        ..beat()
    };
    let no_uuid = HeartbeatRequest {
        workspace_id: "nope".into(),
        ..beat()
    };
    let no_id = HeartbeatRequest {
        workspace_id: String::new(),
        ..beat()
    };
    let own = victim.token.as_str();
    for (what, beat, token, wanted) in [
        ("NaN", nan, own, Code::InvalidArgument),
        ("infinite", infinite, own, Code::InvalidArgument),
        ("NUL", nul, own, Code::InvalidArgument),
        ("no UUID", no_uuid, own, Code::InvalidArgument),
        ("no id", no_id, own, Code::InvalidArgument),
        ("made-up token", beat(), "x", Code::Unauthenticated),
        (
            "another's token",
            beat(),
            stranger.token.as_str(),
            Code::Unauthenticated,
        ),
    ] {
        assert_eq!(code_of(&mut registry, beat, token).await, wanted, "{what}");
    }
    let huge = HeartbeatRequest {
        current_task: Some("x".repeat(5 << 20)),
        ..beat()
    };
    let refused = code_of(&mut registry, huge, own).await;
    assert!(
        matches!(refused, Code::OutOfRange | Code::ResourceExhausted),
        "{refused:?}"
    );

    let tokenless = registry.heartbeat(beat()).await;
    assert_eq!(code(tokenless), Code::Unauthenticated);
    let forged = with_bearer(beat(), &stranger.token).unwrap();
    let forged = with_header(forged, "x-workspace-id", &victim.id);
    assert_eq!(
        code(registry.heartbeat(forged).await),
        Code::Unauthenticated
    );
    let system = with_header(
        with_bearer(beat(), own).unwrap(),
        "x-workspace-id",
        "system:x",
    );
    assert_eq!(
        code(registry.heartbeat(system).await),
        Code::PermissionDenied
    );
    let mut asserted = Request::new(beat());
    let junk = tonic::metadata::MetadataValue::from_bytes(b"system");
    asserted
        .metadata_mut()
        .insert_bin("x-candor-identity-bin", junk);
    assert_eq!(
        code(registry.heartbeat(asserted).await),
        Code::Unauthenticated
    );

    let register = RegisterRequest {
        id: victim.id.clone(),
        url: Some("http://localhost:6".into()),
        agent_card: "{}".into(),
        delivery_mode: None,
    };
    let register = with_bearer(register, &stranger.token).unwrap();
    assert_eq!(
        code(registry.register(register).await),
        Code::Unauthenticated
    );
    let rename = UpdateWorkspaceRequest {
        id: victim.id.clone(),
        name: Some("mine".into()),
        ..UpdateWorkspaceRequest::default()
    };
    let rename = registry
        .update_workspace(with_bearer(rename, &stranger.token).unwrap())
        .await;
    let refused = code(rename);
    assert!(
        matches!(refused, Code::Unauthenticated | Code::PermissionDenied),
        "{refused:?}"
    );
    let get = GetWorkspaceRequest { id: "nope".into() };
    assert_eq!(
        code(registry.get_workspace(get).await),
        Code::InvalidArgument
    );
    let nobody = "00000000-0000-4000-8000-000000000000";
    let get = GetWorkspaceRequest { id: nobody.into() };
    assert_eq!(code(registry.get_workspace(get).await), Code::NotFound);
    let after = postgres::text(&url, FINGERPRINT).await.unwrap();
    assert_eq!(after, before);
}
