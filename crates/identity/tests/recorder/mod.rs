//! A gRPC service that records what reaches it, and assertions to send to it.
#![allow(dead_code)] // each test binary uses a part

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use candor_identity::assertion::METADATA;
use candor_identity::{Inbound, Keys, ListenerMode, ServerIdentityLayer, Signer, Verifier};
use candor_kernel::{Caller, Reason};
use candor_process::grpc::from_status;
use chrono::Utc;
use http::{HeaderMap, Request, Response, request};
use parking_lot::Mutex;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer as _, Service, ServiceExt as _};

use crate::world::World;

/// The service, and whom assertions must be made out to.
pub const SERVICE: &str = "candor.registry.v1.RegistryService";
pub const KEY: &str = "the key of these tests, 32 bytes at least";

pub fn path(method: &str) -> String {
    format!("/{SERVICE}/{method}")
}

pub fn request(path: &str) -> request::Builder {
    Request::post(path)
}

pub fn keys(current: &str) -> Keys {
    Keys::new(current, None).unwrap()
}

pub fn verifier() -> Option<Arc<Verifier>> {
    Some(Arc::new(Verifier::new(keys(KEY))))
}

pub fn gateway() -> Caller {
    Caller::System {
        name: "gateway".into(),
    }
}

/// An assertion of [`gateway`] that is good now.
pub fn system() -> Vec<u8> {
    Signer::new(keys(KEY)).sign(&gateway(), SERVICE, Utc::now())
}

pub fn with(call: request::Builder, assertion: &[u8]) -> request::Builder {
    call.header(METADATA, STANDARD_NO_PAD.encode(assertion))
}

/// What reached the service.
pub struct Seen {
    pub headers: HeaderMap,
    pub caller: Option<Caller>,
    pub inbound: Option<Inbound>,
}

impl Seen {
    /// How many identity headers are left.
    pub fn identity_headers(&self) -> usize {
        let names = ["authorization", "x-workspace-id", METADATA];
        let count = |name: &str| self.headers.get_all(name).iter().count();
        names.into_iter().map(count).sum()
    }
}

/// Records; a clone is not ready before it was asked, as tower has it.
#[derive(Default)]
pub struct Recorder {
    seen: Arc<Mutex<Vec<Seen>>>,
    ready: bool,
}

impl Clone for Recorder {
    fn clone(&self) -> Self {
        Self {
            seen: Arc::clone(&self.seen),
            ready: false,
        }
    }
}

impl Recorder {
    /// Sends a call through the server's layer; the reason if it is refused.
    pub async fn served(
        &self,
        world: &World,
        mode: ListenerMode,
        verifier: Option<Arc<Verifier>>,
        call: request::Builder,
    ) -> Result<(), Reason> {
        let service = layer(world, mode, verifier).layer(self.clone());
        let call = call.body(Body::empty()).unwrap();
        let Ok(response) = service.oneshot(call).await;
        answer(&response)
    }

    /// The one call that came since the last look.
    pub fn only(&self) -> Seen {
        let mut seen = std::mem::take(&mut *self.seen.lock());
        assert_eq!(seen.len(), 1, "calls that reached the service");
        seen.remove(0)
    }

    pub fn nothing_came(&self) {
        assert_eq!(self.seen.lock().len(), 0, "calls that reached the service");
    }
}

pub fn layer(
    world: &World,
    mode: ListenerMode,
    verifier: Option<Arc<Verifier>>,
) -> ServerIdentityLayer {
    ServerIdentityLayer::new(Arc::clone(&world.authenticator), verifier, mode, SERVICE)
}

/// What a response says; the code must be the one of the reason's kind.
pub fn answer(response: &Response<Body>) -> Result<(), Reason> {
    let Some(status) = Status::from_header_map(response.headers()) else {
        return Ok(());
    };
    let reason = from_status(&status).reason();
    let code = match reason {
        Reason::MissingCredential | Reason::InvalidCredential => Code::Unauthenticated,
        Reason::InvalidCallerId | Reason::NotAllowed => Code::PermissionDenied,
        Reason::StoreUnavailable => Code::Unavailable,
        Reason::NotAvailable => Code::Unimplemented,
        other => panic!("the identity layer never says {other:?}"),
    };
    assert_eq!(status.code(), code, "{status:?}");
    Err(reason)
}

impl Service<Request<Body>> for Recorder {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        assert!(self.ready, "called without being asked whether it is ready");
        self.ready = false;
        self.seen.lock().push(Seen {
            headers: std::mem::take(request.headers_mut()),
            caller: request.extensions_mut().remove(),
            inbound: request.extensions_mut().remove(),
        });
        ready(Ok(Response::new(Body::empty())))
    }
}
