//! A tonic server with health, reflection, limits and a graceful end.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::deadline::{AnswerDeadlineLayer, Patience};
use super::trace::ServerTraceLayer;

/// The largest message, in bytes, that services and clients should accept: an
/// activity body of 1 MiB with room for what is around it. Generated servers and
/// clients take it through `max_decoding_message_size`.
pub const MESSAGE_LIMIT: usize = 2 * 1024 * 1024;

/// The largest answer that clients of ours take, in bytes: pages of lists end at
/// [`PAGE_LIMIT`] or after their first item, which may be an agent card of 1 MiB
/// with texts as large beside it.
pub const ANSWER_LIMIT: usize = 16 * 1024 * 1024;

/// Where a server ends a page of a list, in bytes.
pub const PAGE_LIMIT: usize = 1024 * 1024;

/// What one connection may do.
#[derive(Debug, Clone)]
pub struct GrpcLimits {
    /// Calls at a time on one connection.
    pub concurrent_streams: u32,
    /// Longest time until the head of an answer; streams may go on.
    pub answer_deadline: Duration,
    /// Services that have longer.
    pub patient: Vec<Patience>,
    /// Silence after which the peer is asked whether it still lives.
    pub keepalive_interval: Duration,
    /// Longest wait for that answer.
    pub keepalive_timeout: Duration,
    /// Longest wait, after the order to stop, for calls in progress.
    pub grace: Duration,
}

impl Default for GrpcLimits {
    fn default() -> Self {
        Self {
            concurrent_streams: 1024,
            answer_deadline: Duration::from_secs(60),
            patient: Vec::new(),
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            grace: Duration::from_secs(10),
        }
    }
}

/// Why a gRPC server did not run.
#[derive(Debug, thiserror::Error)]
pub enum GrpcError {
    /// The descriptor set for reflection is damaged.
    #[error("gRPC reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The transport failed.
    #[error("gRPC server: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// A server that is put together, then served.
#[derive(Debug)]
pub struct GrpcServer {
    routes: Routes,
    health: HealthReporter,
    services: Vec<&'static str>,
    limits: GrpcLimits,
}

impl GrpcServer {
    /// Adds health, and reflection v1 and v1alpha over `descriptor_sets`, to the
    /// services in `routes`. `services` are the names (as
    /// `candor.registry.v1.RegistryService`) that health answers for; they serve
    /// from the start.
    ///
    /// # Errors
    /// [`GrpcError::Reflection`] if a descriptor set cannot be read.
    pub async fn new(
        routes: Routes,
        descriptor_sets: &[&'static [u8]],
        services: &[&'static str],
        limits: GrpcLimits,
    ) -> Result<Self, GrpcError> {
        let (health, health_service) = tonic_health::server::health_reporter();
        for service in services {
            health
                .set_service_status(service, ServingStatus::Serving)
                .await;
        }
        let reflection = || {
            let builder = tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
            descriptor_sets.iter().fold(builder, |builder, set| {
                builder.register_encoded_file_descriptor_set(set)
            })
        };
        let routes = routes
            .add_service(health_service)
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?);
        Ok(Self {
            routes,
            health,
            services: services.to_vec(),
            limits,
        })
    }

    /// Where a process says that a service does not serve.
    #[must_use]
    pub fn health(&self) -> HealthReporter {
        self.health.clone()
    }

    /// Serves until `stop`; then health says so, no new connection is taken,
    /// and calls in progress have the grace to end.
    ///
    /// # Errors
    /// [`GrpcError::Transport`].
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> Result<(), GrpcError> {
        let Self {
            routes,
            health,
            services,
            limits,
        } = self;
        let incoming = TcpIncoming::from(listener)
            .with_nodelay(Some(true))
            .with_keepalive(Some(limits.keepalive_interval));
        let announced = stop.clone();
        let stopping = async move {
            announced.cancelled().await;
            for service in services.iter().chain(&[""]) {
                health
                    .set_service_status(service, ServingStatus::NotServing)
                    .await;
            }
        };
        let serving = Server::builder()
            .max_concurrent_streams(limits.concurrent_streams)
            .http2_keepalive_interval(Some(limits.keepalive_interval))
            .http2_keepalive_timeout(Some(limits.keepalive_timeout))
            .http2_max_header_list_size(32 * 1024)
            .layer(ServerTraceLayer)
            .layer(AnswerDeadlineLayer {
                usual: limits.answer_deadline,
                patient: limits.patient,
            })
            .serve_with_incoming_shutdown(routes.prepare(), incoming, stopping);
        let overdue = async {
            stop.cancelled().await;
            tokio::time::sleep(limits.grace).await;
        };
        tokio::select! {
            served = serving => Ok(served?),
            () = overdue => {
                tracing::warn!(grace = ?limits.grace, "ended gRPC calls that were still open");
                Ok(())
            }
        }
    }
}
