//! The gRPC server over a real socket: health, both reflections, a graceful end.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::SocketAddr;
use std::time::Duration;

use candor_process::grpc::{GrpcLimits, GrpcServer};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};

const SERVICE: &str = "candor.registry.v1.RegistryService";

struct Running {
    channel: Channel,
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<Result<(), candor_process::grpc::GrpcError>>,
}

async fn run(limits: GrpcLimits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let server = GrpcServer::new(
        Routes::default(),
        &[candor_proto::DESCRIPTOR_SET],
        &[SERVICE],
        limits,
    )
    .await
    .unwrap();
    let serving = tokio::spawn(server.serve(listener, stop.clone()));
    let channel = Endpoint::try_from(format!("http://{address}"))
        .unwrap()
        .connect()
        .await
        .unwrap();
    Running {
        channel,
        address,
        stop,
        serving,
    }
}

fn check(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

#[tokio::test]
async fn health_answers_for_the_process_and_for_each_service() {
    let running = run(GrpcLimits::default()).await;
    let mut health = HealthClient::new(running.channel.clone());
    for service in ["", SERVICE] {
        let answer = health.check(check(service)).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let unknown = health.check(check("no.such.Service")).await.unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::NotFound);
}

#[tokio::test]
async fn both_reflections_list_the_services() {
    let running = run(GrpcLimits::default()).await;
    let request = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    };
    let mut answers =
        v1::server_reflection_client::ServerReflectionClient::new(running.channel.clone())
            .server_reflection_info(tokio_stream::once(request))
            .await
            .unwrap()
            .into_inner();
    let new = format!("{:?}", answers.next().await.unwrap().unwrap());
    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::ListServices(String::new()),
        ),
    };
    let mut answers =
        v1alpha::server_reflection_client::ServerReflectionClient::new(running.channel)
            .server_reflection_info(tokio_stream::once(request))
            .await
            .unwrap()
            .into_inner();
    let old = format!("{:?}", answers.next().await.unwrap().unwrap());
    for listing in [new, old] {
        assert!(
            listing.contains(SERVICE) && listing.contains("grpc.health.v1.Health"),
            "{listing}"
        );
    }
}

#[tokio::test]
async fn the_order_to_stop_is_announced_and_open_streams_do_not_hold_it_up() {
    let limits = GrpcLimits {
        grace: Duration::from_millis(100),
        ..GrpcLimits::default()
    };
    let running = run(limits).await;
    let mut watch = HealthClient::new(running.channel.clone())
        .watch(check(SERVICE))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        watch.next().await.unwrap().unwrap().status(),
        ServingStatus::Serving
    );
    running.stop.cancel();
    assert_eq!(
        watch.next().await.unwrap().unwrap().status(),
        ServingStatus::NotServing
    );
    // The watch never ends by itself; the grace does end.
    tokio::time::timeout(Duration::from_secs(10), running.serving)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let refused = Endpoint::try_from(format!("http://{}", running.address))
        .unwrap()
        .connect()
        .await;
    assert!(refused.is_err(), "nobody listens any more");
}
