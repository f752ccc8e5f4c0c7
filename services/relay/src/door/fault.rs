//! Why a call at this door has no answer, in the words of its binding.

use bytes::Bytes;
use candor_a2a::ErrorKind;
use candor_a2a::jsonrpc::{Id, error_body};
use candor_kernel::{Error, Reason};
use candor_process::grpc::to_status;

use super::Binding;
use crate::deliver::Out;
use crate::deliver::attempt::Head;

/// What went wrong.
#[derive(Debug)]
pub(super) enum Fault {
    /// The request, or the agent's answer, by the protocol.
    Protocol(candor_a2a::Error),
    /// Anything between caller and agent.
    Platform(Error),
}

impl From<candor_a2a::Error> for Fault {
    fn from(error: candor_a2a::Error) -> Self {
        Self::Protocol(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error.reason() {
            Reason::InvalidAnswer => {
                let text = error.public().to_owned();
                Self::Protocol(candor_a2a::Error::new(
                    ErrorKind::InvalidAgentResponse,
                    text,
                ))
            }
            _ => Self::Platform(error),
        }
    }
}

impl Fault {
    /// The value of the label `outcome`.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Protocol(error) => error.kind().reason(),
            Self::Platform(error) => error.reason().code(),
        }
    }
}

/// Who the caller is was not proven: that is for HTTP to say, not for JSON-RPC.
fn is_about_identity(error: &Error) -> bool {
    matches!(
        error.reason(),
        Reason::MissingCredential
            | Reason::InvalidCredential
            | Reason::CredentialChanged
            | Reason::InvalidCallerId
    )
}

/// Tells the caller, in a stream as its last event.
pub(super) async fn tell(out: &Out, binding: Binding, id: &Id<'_>, fault: Fault) {
    let error = match (binding, fault) {
        (Binding::Grpc, Fault::Protocol(error)) => return out.status(error.to_status()).await,
        (Binding::Grpc, Fault::Platform(error)) => return out.fail(&error).await,
        (Binding::JsonRpc, Fault::Platform(error)) if is_about_identity(&error) => {
            return out.fail(&error).await;
        }
        (Binding::JsonRpc, Fault::Platform(error)) => {
            candor_a2a::Error::from_status(&to_status(&error))
        }
        (Binding::JsonRpc, Fault::Protocol(error)) => error,
    };
    let body = error_body(id, &error);
    if out.has_begun() {
        // An event may have been cut off.
        out.data(Bytes::from(format!("\n\ndata: {body}\n\n"))).await;
    } else if out.head(&Head::json()).await {
        out.data(body.into()).await;
    }
}
