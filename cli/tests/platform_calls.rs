//! What only Candor's own processes may say to a registry: events of another
//! service, each once, and events that are not stored.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use candor_proto::registry::v1::registry_service_client::RegistryServiceClient;
use candor_proto::registry::v1::{
    AppendEventsRequest, Event, PublishTransientRequest, WatchEventsRequest,
};
use candor_testkit::peer;
use candor_testkit::platform::{Binaries, IDENTITY_KEY};
use candor_testkit::postgres::Postgres;
use tonic::{Code, Request};

const AUDIENCE: &str = "candor.registry.v1.RegistryService";
const EVENT: &str = "01a20000-0000-7000-8000-000000000001";
const WORKSPACE: &str = "01a20000-0000-4000-8000-0000000000aa";

/// A request of a process that holds `key`.
fn signed<T>(message: T, key: &str, audience: &str) -> Request<T> {
    peer::signed(message, "relay", audience, key)
}

fn event(payload: &str) -> Event {
    Event {
        id: EVENT.to_owned(),
        event_type: "DELEGATION_SENT".to_owned(),
        workspace_id: WORKSPACE.to_owned(),
        payload: payload.to_owned(),
        created_at: Some(prost_types::Timestamp {
            seconds: 1_700_000_000,
            nanos: 0,
        }),
        ..Event::default()
    }
}

fn append(payload: &str) -> AppendEventsRequest {
    AppendEventsRequest {
        events: vec![event(payload)],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_another_service_are_appended_once_and_by_nobody_else() {
    let postgres = Postgres::start_new().await.unwrap();
    let url = postgres.create_database().await.unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    binaries.migrate(&url).unwrap();
    let running = binaries.registry(&url, &[]).await.unwrap();
    let mut registry = RegistryServiceClient::new(running.channel().await.unwrap());
    let watch = WatchEventsRequest {
        since_seq: Some(0),
        include_transient: true,
        ..WatchEventsRequest::default()
    };
    let mut events = registry.watch_events(watch).await.unwrap().into_inner();

    for appended in [1, 0] {
        let request = signed(append(r#"{"n":1}"#), IDENTITY_KEY, AUDIENCE);
        let answer = registry.append_events(request).await.unwrap();
        assert_eq!(answer.into_inner().appended, appended);
    }
    let other = signed(append(r#"{"n":2}"#), IDENTITY_KEY, AUDIENCE);
    let conflict = registry.append_events(other).await.unwrap_err();
    assert_eq!(conflict.code(), Code::FailedPrecondition);
    let stored = next(&mut events).await;
    assert_eq!((stored.id.as_str(), stored.seq), (EVENT, 1));

    let transient = PublishTransientRequest {
        event: Some(event("{}")),
        ..PublishTransientRequest::default()
    };
    let offered = signed(transient, IDENTITY_KEY, AUDIENCE);
    let answer = registry.publish_transient(offered).await.unwrap();
    assert_eq!(answer.into_inner().receivers, 1);
    let told = next(&mut events).await;
    assert_eq!((told.event_type.as_str(), told.seq), ("DELEGATION_SENT", 0));

    let stranger = "another key that has more than 32 bytes";
    for refused in [
        Request::new(append("{}")),
        signed(append("{}"), stranger, AUDIENCE),
        signed(append("{}"), IDENTITY_KEY, "candor.relay.v1.RelayService"),
    ] {
        let refused = registry.append_events(refused).await.unwrap_err();
        let code = refused.code();
        assert!(
            matches!(code, Code::Unauthenticated | Code::PermissionDenied),
            "{code:?}"
        );
    }
}

async fn next(events: &mut tonic::Streaming<Event>) -> Event {
    let message = tokio::time::timeout(Duration::from_secs(5), events.message()).await;
    message.unwrap().unwrap().unwrap()
}
