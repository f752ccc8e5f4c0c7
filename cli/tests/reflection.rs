//! A stranger with only an address learns what the gRPC listener offers.
#![allow(clippy::unwrap_used)]

use candor_testkit::grpc_reflect::{ReflectionVersion, describe_method, list_services};
use candor_testkit::platform::{Binaries, DataDir};

const REGISTRY: &str = "candor.registry.v1.RegistryService";

#[tokio::test(flavor = "multi_thread")]
async fn both_reflection_versions_tell_about_registry_and_health() {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(&data, &[]).await.unwrap();
    let channel = candor.channel().await.unwrap();
    for version in [ReflectionVersion::V1, ReflectionVersion::V1Alpha] {
        let services = list_services(channel.clone(), version).await.unwrap();
        for service in [REGISTRY, "grpc.health.v1.Health"] {
            assert!(services.iter().any(|name| name == service), "{services:?}");
        }
        for (method, input, streams) in [
            ("Heartbeat", "HeartbeatRequest", false),
            ("HeartbeatStream", "HeartbeatStreamRequest", true),
            ("WatchEvents", "WatchEventsRequest", true),
        ] {
            let found = describe_method(channel.clone(), version, REGISTRY, method)
                .await
                .unwrap();
            let input = format!(".candor.registry.v1.{input}");
            assert_eq!(found.input_type(), input);
            assert_eq!(found.server_streaming(), streams, "{method}");
        }
    }
}
