//! Traces from a caller through gRPC to an OTLP collector, and logs beside them.
//! One test: a process has one subscriber.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use candor_process::grpc::{GrpcLimits, GrpcServer, InjectTraceLayer};
use candor_process::telemetry::{Telemetry, TelemetrySettings, propagation};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::ServiceBuilder;
use tracing::Instrument as _;

struct Collector(mpsc::Sender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.send(request.into_inner()).await.unwrap();
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_one_trace_from_caller_to_server() {
    let (sender, mut received) = mpsc::channel(16);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    tokio::spawn(
        Server::builder()
            .add_service(TraceServiceServer::new(Collector(sender)))
            .serve_with_incoming(incoming),
    );
    let settings = TelemetrySettings {
        otlp_endpoint: Some(endpoint),
        ..TelemetrySettings::new("candor-test")
    };
    let telemetry = Telemetry::start(&settings).unwrap();
    assert!(Telemetry::start(&settings).is_err(), "only once");

    let stop = CancellationToken::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = GrpcServer::new(Routes::default(), &[], &[], GrpcLimits::default())
        .await
        .unwrap();
    let serving = tokio::spawn(server.serve(listener, stop.clone()));
    let channel = Endpoint::try_from(format!("http://{address}"))
        .unwrap()
        .connect_lazy();
    let channel = ServiceBuilder::new()
        .layer(InjectTraceLayer)
        .service(channel);

    let traceparent = async {
        HealthClient::new(channel)
            .check(HealthCheckRequest::default())
            .await
            .unwrap();
        propagation::TraceParent::current().unwrap().to_string()
    }
    .instrument(tracing::info_span!("caller"))
    .await;
    stop.cancel();
    serving.await.unwrap().unwrap();
    telemetry.shutdown().await;

    let mut spans = Vec::new();
    while let Ok(Some(export)) = tokio::time::timeout(Duration::from_secs(5), received.recv()).await
    {
        for resource in export.resource_spans {
            let attributes = resource.resource.unwrap().attributes;
            assert!(
                format!("{attributes:?}").contains("candor-test"),
                "{attributes:?}"
            );
            spans.extend(
                resource
                    .scope_spans
                    .into_iter()
                    .flat_map(|scope| scope.spans),
            );
        }
        if spans.len() >= 2 {
            break;
        }
    }
    let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let (caller, rpc) = (named("caller"), named("grpc.health.v1.Health/Check"));
    assert_eq!(rpc.trace_id, caller.trace_id);
    assert_eq!(rpc.parent_span_id, caller.span_id);
    let trace_id: String = caller
        .trace_id
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert!(traceparent.contains(&trace_id), "{traceparent} {trace_id}");
}
