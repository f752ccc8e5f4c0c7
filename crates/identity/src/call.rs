//! What a gRPC handler learns about its caller, and what that caller may do.

use std::future::Future;
use std::time::Duration;

use candor_kernel::{Caller, Error, Reason, WorkspaceCaller, WorkspaceId};
use candor_process::grpc::to_status;
use candor_process::telemetry::propagation::TraceParent;
use tonic::{Request, Response, Status};

use crate::grpc::Inbound;
use crate::policy::Who;

/// What the identity layer and the tracing layer learnt about a call.
#[derive(Clone)]
pub struct Call {
    /// Who calls.
    pub caller: Caller,
    /// What a direct caller presented, so that a proof can be checked again.
    pub inbound: Option<Inbound>,
    /// W3C traceparent of the call, if it is traced.
    pub traceparent: Option<TraceParent>,
}

/// Times that what was presented is looked at, when each look was overtaken by a change
/// of the workspace's credentials: a restart makes several within moments, and none of
/// them refuses anybody.
pub const MOST_LOOKS: u8 = 6;

/// Every look was overtaken: nothing was refused, and nothing is known.
#[must_use]
pub fn overtaken() -> Error {
    Error::new(
        Reason::Contention,
        "the workspace's credentials change too often right now — retry shortly",
    )
    .with_retry_after(Duration::from_secs(1))
}

impl Call {
    /// Reads what the layers left with a request.
    ///
    /// # Errors
    /// `MISSING_CREDENTIAL` without an identity layer.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Error> {
        let caller = request
            .extensions()
            .get::<Caller>()
            .cloned()
            .ok_or_else(|| {
                Error::new(
                    Reason::MissingCredential,
                    "no identity: authenticate with metadata `authorization`",
                )
            })?;
        let traceparent = TraceParent::current();
        let inbound = request.extensions().get::<Inbound>().cloned();
        Ok(Self {
            caller,
            inbound,
            traceparent,
        })
    }

    /// The workspace that speaks for itself: as Candor's other process
    /// authenticated it, or as what was presented proves for `id`.
    ///
    /// # Errors
    /// `MISSING_CREDENTIAL`, `INVALID_CREDENTIAL` and the other refusals.
    pub async fn agent(&self, who: Who, id: WorkspaceId) -> Result<WorkspaceCaller, Error> {
        match self.principal(who, id).await?.workspace() {
            // Beats, registers and cards are an agent's own words.
            Some(caller) if caller.id == id => Ok(caller.clone()),
            _ => Err(Error::new(
                Reason::InvalidCredential,
                "invalid workspace auth token",
            )),
        }
    }

    /// Who calls about workspace `id`: known already, or by what was presented.
    ///
    /// # Errors
    /// The refusals.
    pub async fn principal(&self, who: Who, id: WorkspaceId) -> Result<Caller, Error> {
        match &self.inbound {
            None => Ok(self.caller.clone()),
            Some(inbound) => Ok(inbound
                .authenticator
                .authenticate(inbound.mode, &inbound.presented, who, Some(id))
                .await?),
        }
    }

    /// True if a direct caller's proof was overtaken; it is looked at again then.
    pub fn is_outdated<T>(&self, outcome: &Result<T, Error>, id: &str) -> bool {
        let overtaken =
            matches!(outcome, Err(error) if error.reason() == Reason::CredentialChanged);
        match (&self.inbound, id.parse()) {
            (Some(inbound), Ok(id)) if overtaken => {
                inbound.authenticator.forget(&inbound.presented, id);
                true
            }
            _ => false,
        }
    }

    /// People and the platform itself.
    ///
    /// # Errors
    /// `NOT_ALLOWED`.
    pub fn operator(&self) -> Result<(), Error> {
        if self.caller.is_operator() {
            Ok(())
        } else {
            Err(not_allowed())
        }
    }

    /// The platform itself only.
    ///
    /// # Errors
    /// `NOT_ALLOWED`.
    pub fn platform(&self) -> Result<(), Error> {
        match self.caller {
            Caller::System { .. } => Ok(()),
            _ => Err(not_allowed()),
        }
    }

    /// The workspace itself, a person, or the platform.
    ///
    /// # Errors
    /// `NOT_ALLOWED`.
    pub fn self_or_operator(&self, id: WorkspaceId) -> Result<(), Error> {
        match &self.caller {
            Caller::Workspace(caller) if caller.id == id && !caller.stale => Ok(()),
            _ => self.operator(),
        }
    }
}

/// The answer for a known caller that may not do this.
#[must_use]
pub fn not_allowed() -> Error {
    Error::new(Reason::NotAllowed, "this caller may not do that")
}

/// Longest work on one call; a stream's begins with its answer (promise P9).
const DEADLINE: Duration = Duration::from_secs(2);

/// Answers one call of a gRPC service within its deadline: Postgres' own
/// deadlines do not help when nothing of it answers.
///
/// # Errors
/// The handler's error as a status.
pub async fn answer<Req, Res, F>(
    request: Request<Req>,
    handler: impl FnOnce(Call, Req) -> F,
) -> Result<Response<Res>, Status>
where
    F: Future<Output = Result<Res, Error>>,
{
    answer_within(DEADLINE, request, handler).await
}

/// The same for a call that waits for more than Postgres.
///
/// # Errors
/// The handler's error as a status.
pub async fn answer_within<Req, Res, F>(
    deadline: Duration,
    request: Request<Req>,
    handler: impl FnOnce(Call, Req) -> F,
) -> Result<Response<Res>, Status>
where
    F: Future<Output = Result<Res, Error>>,
{
    let call = Call::of(&request).map_err(|error| to_status(&error))?;
    let work = handler(call, request.into_inner());
    let outcome = match tokio::time::timeout(deadline, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::store_unavailable(
            "no answer within the deadline of a call",
        )),
    };
    outcome
        .map(Response::new)
        .map_err(|error| to_status(&error))
}
