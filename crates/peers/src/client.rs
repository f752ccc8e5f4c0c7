//! Clients that cannot forget the caller or the deadline.

use std::future::Future;
use std::time::Duration;

use candor_kernel::{Caller, Error, Reason};
use candor_process::grpc::{ANSWER_LIMIT, from_status};
use candor_proto::activity::v1::activity_log_service_client::ActivityLogServiceClient;
use candor_proto::provisioner::v1::provisioner_service_client::ProvisionerServiceClient;
use candor_proto::registry::v1::registry_service_client::RegistryServiceClient;
use candor_proto::relay::v1::relay_service_client::RelayServiceClient;

use crate::GrpcChannel;

/// Longest wait for an answer; a service's own deadline of 2 s ends before it.
pub const DEADLINE: Duration = Duration::from_millis(2_500);

macro_rules! clients {
    ($($(#[$doc:meta])* $name:ident($client:ident);)*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name($client<GrpcChannel>);

        impl $name {
            /// Calls over `channel`.
            #[must_use]
            pub fn new(channel: GrpcChannel) -> Self {
                Self($client::new(channel).max_decoding_message_size(ANSWER_LIMIT))
            }

            /// One call on behalf of `caller`.
            ///
            /// # Errors
            /// What the service answered; `PEER_UNAVAILABLE` if it did not.
            pub async fn call<Req, Res, F>(
                &self,
                caller: &Caller,
                message: Req,
                method: impl FnOnce($client<GrpcChannel>, tonic::Request<Req>) -> F,
            ) -> Result<Res, Error>
            where
                F: Future<Output = Result<tonic::Response<Res>, tonic::Status>>,
            {
                self.call_within(DEADLINE, caller, message, method).await
            }

            /// The same for a call that takes longer than others.
            ///
            /// # Errors
            /// What the service answered; `PEER_UNAVAILABLE` if it did not.
            pub async fn call_within<Req, Res, F>(
                &self,
                deadline: Duration,
                caller: &Caller,
                message: Req,
                method: impl FnOnce($client<GrpcChannel>, tonic::Request<Req>) -> F,
            ) -> Result<Res, Error>
            where
                F: Future<Output = Result<tonic::Response<Res>, tonic::Status>>,
            {
                let mut request = tonic::Request::new(message);
                request.extensions_mut().insert(caller.clone());
                answered(deadline, method(self.0.clone(), request)).await
            }
        }
    )* };
}

clients! {
    /// The registry as its callers see it; cheap to clone.
    RegistryClient(RegistryServiceClient);
    /// The activity log as its callers see it; cheap to clone.
    ActivityClient(ActivityLogServiceClient);
    /// The relay as its callers see it; cheap to clone.
    RelayClient(RelayServiceClient);
    /// The provisioner as its callers see it; cheap to clone.
    ProvisionerClient(ProvisionerServiceClient);
}

async fn answered<Res>(
    deadline: Duration,
    call: impl Future<Output = Result<tonic::Response<Res>, tonic::Status>>,
) -> Result<Res, Error> {
    match tokio::time::timeout(deadline, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(from_status(&status)),
        Err(_) => Err(no_answer("no answer within the deadline")),
    }
}

/// A service did not answer.
#[must_use]
pub fn no_answer(internal: &str) -> Error {
    Error::new(
        Reason::PeerUnavailable,
        "platform datastore unavailable — retry shortly",
    )
    .with_internal(internal)
    .with_retry_after(Duration::from_secs(1))
}
