//! The registry as the gateway sees it: in this process or elsewhere, always by
//! its gRPC contract, always with a caller and a deadline.

mod beats;
mod credentials;
mod rejected;
mod remote;

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use candor_kernel::{Caller, Error, Reason};
use candor_process::grpc::{ANSWER_LIMIT, from_status};
use candor_proto::registry::v1::registry_service_client::RegistryServiceClient;
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt as _};

pub use beats::{BeatSink, RemoteBeats};
pub use credentials::RemoteCredentials;
pub use rejected::report_rejected;
pub use remote::{RemoteError, connect};

/// Longest wait for an answer; the registry's own deadline of 2 s ends before it.
const DEADLINE: Duration = Duration::from_millis(2_500);

/// The way to a registry, whatever lies between.
pub type GrpcChannel = BoxCloneSyncService<Request<Body>, Response<Body>, Status>;

/// A service of this process as a channel: no socket, and the caller travels by
/// value.
pub fn local<S>(service: S) -> GrpcChannel
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    GrpcChannel::new(service.map_err(|never: Infallible| match never {}))
}

/// A client that cannot forget the caller or the deadline; cheap to clone.
#[derive(Debug, Clone)]
pub struct RegistryClient(RegistryServiceClient<GrpcChannel>);

impl RegistryClient {
    /// Calls over `channel`.
    #[must_use]
    pub fn new(channel: GrpcChannel) -> Self {
        Self(RegistryServiceClient::new(channel).max_decoding_message_size(ANSWER_LIMIT))
    }

    /// One call on behalf of `caller`.
    ///
    /// # Errors
    /// What the registry answered; `PEER_UNAVAILABLE` if it did not.
    pub async fn call<Req, Res, F>(
        &self,
        caller: &Caller,
        message: Req,
        method: impl FnOnce(RegistryServiceClient<GrpcChannel>, tonic::Request<Req>) -> F,
    ) -> Result<Res, Error>
    where
        F: Future<Output = Result<tonic::Response<Res>, tonic::Status>>,
    {
        let mut request = tonic::Request::new(message);
        request.extensions_mut().insert(caller.clone());
        match tokio::time::timeout(DEADLINE, method(self.0.clone(), request)).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(from_status(&status)),
            Err(_) => Err(no_answer("no answer within the deadline")),
        }
    }

    /// The gateway itself, as a caller.
    #[must_use]
    pub fn gateway() -> Caller {
        Caller::System {
            name: "gateway".to_owned(),
        }
    }
}

/// The registry did not answer.
fn no_answer(internal: &str) -> Error {
    Error::new(
        Reason::PeerUnavailable,
        "platform datastore unavailable — retry shortly",
    )
    .with_internal(internal)
    .with_retry_after(Duration::from_secs(1))
}
