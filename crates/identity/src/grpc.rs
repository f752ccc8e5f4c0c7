//! The identity layer of a gRPC server, and its counterpart in a client.
//!
//! The server's layer removes every identity header and puts a [`Caller`] in
//! their place, so that no handler can read a header by mistake.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use candor_kernel::{Caller, Error, Reason, WorkspaceId};
use candor_process::grpc::to_status;
use chrono::Utc;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, Response};
use tonic::body::Body;
use tonic::server::NamedService;
use tower::{Layer, Service};

use crate::assertion::{METADATA, Signer, Verifier};
use crate::authenticator::{Authenticator, BeatStanding};
use crate::listener::ListenerMode;
use crate::policy::{self, Who};
use crate::presented::Presented;
use crate::refusal::Refusal;

/// Senders of `-bin` metadata pad or do not (gRPC over HTTP/2, "Custom-Metadata").
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, {
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent)
});

/// What a direct caller presented, kept so that a proof can be checked against
/// the workspace that the message names, or checked again.
#[derive(Clone)]
pub struct Inbound {
    /// Who checks.
    pub authenticator: Arc<Authenticator>,
    /// The listener it came by.
    pub mode: ListenerMode,
    /// What was presented.
    pub presented: Presented,
}

impl Inbound {
    /// How what was presented stands to a beat of `workspace`.
    ///
    /// # Errors
    /// As [`Authenticator::beat`].
    pub async fn standing(&self, workspace: WorkspaceId) -> Result<BeatStanding, Refusal> {
        let authenticator = &self.authenticator;
        authenticator
            .beat(self.mode, &self.presented, workspace)
            .await
    }
}

/// Puts the identity layer around a gRPC service.
#[derive(Clone)]
pub struct ServerIdentityLayer(Arc<Identity>);

struct Identity {
    authenticator: Arc<Authenticator>,
    verifier: Option<Arc<Verifier>>,
    mode: ListenerMode,
    audience: &'static str,
}

impl ServerIdentityLayer {
    /// `verifier` believes Candor's other processes; without one every
    /// assertion is refused. `audience` is what they must be made out to.
    #[must_use]
    pub fn new(
        authenticator: Arc<Authenticator>,
        verifier: Option<Arc<Verifier>>,
        mode: ListenerMode,
        audience: &'static str,
    ) -> Self {
        Self(Arc::new(Identity {
            authenticator,
            verifier,
            mode,
            audience,
        }))
    }
}

impl<S> Layer<S> for ServerIdentityLayer {
    type Service = ServerIdentity<S>;
    fn layer(&self, inner: S) -> Self::Service {
        ServerIdentity {
            identity: Arc::clone(&self.0),
            inner,
        }
    }
}

/// See [`ServerIdentityLayer`].
#[derive(Clone)]
pub struct ServerIdentity<S> {
    identity: Arc<Identity>,
    inner: S,
}

impl<S: NamedService> NamedService for ServerIdentity<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for ServerIdentity<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let identity = Arc::clone(&self.identity);
        // The clone that was polled ready is the one that is called.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            match identity.identify(&mut request).await {
                Ok(()) => inner.call(request).await,
                Err(error) => Ok(to_status(&error).into_http()),
            }
        })
    }
}

impl Identity {
    /// Replaces headers by a caller.
    async fn identify(&self, request: &mut Request<Body>) -> Result<(), Error> {
        let row = policy::rpc(request.uri().path())
            .ok_or_else(|| Error::new(Reason::NotAvailable, "no such method"))?;
        let headers = request.headers_mut();
        let assertion = headers.remove(METADATA);
        let presented = Presented::from_headers(headers);
        Presented::strip(headers);
        if let Some(assertion) = assertion {
            let caller = self.asserted(&assertion)?;
            request.extensions_mut().insert(caller);
            return Ok(());
        }
        // Who presents nothing on an open listener speaks as the workspace that the
        // message names (design: section 3).
        let presents_nothing = self.mode.is_open() && presented.bearer().is_none();
        let is_voice = row.who == Who::WorkspaceVoice && presents_nothing;
        let caller = if row.who.speaks_for_subject() || is_voice {
            // Whoever it is, the message says for which workspace.
            Caller::Anonymous
        } else {
            self.authenticator
                .authenticate(self.mode, &presented, row.who, None)
                .await?
        };
        request.extensions_mut().insert(caller);
        request.extensions_mut().insert(Inbound {
            authenticator: Arc::clone(&self.authenticator),
            mode: self.mode,
            presented,
        });
        Ok(())
    }

    fn asserted(&self, value: &HeaderValue) -> Result<Caller, Error> {
        let refused = |why: &dyn std::fmt::Display| {
            Error::new(Reason::InvalidCredential, "invalid identity assertion").with_internal(why)
        };
        let verifier = self
            .verifier
            .as_ref()
            .ok_or_else(|| refused(&"no identity key is set"))?;
        let bytes = BASE64
            .decode(value.as_bytes())
            .map_err(|error| refused(&error))?;
        verifier
            .verify(&bytes, self.audience, Utc::now())
            .map_err(|error| refused(&error))
    }
}

/// Signs the [`Caller`] in a request's extensions, for one audience.
#[derive(Clone)]
pub struct ClientIdentityLayer {
    signer: Arc<Signer>,
    audience: &'static str,
}

impl ClientIdentityLayer {
    /// Makes assertions out to `audience`.
    #[must_use]
    pub const fn new(signer: Arc<Signer>, audience: &'static str) -> Self {
        Self { signer, audience }
    }
}

impl<S> Layer<S> for ClientIdentityLayer {
    type Service = ClientIdentity<S>;
    fn layer(&self, inner: S) -> Self::Service {
        ClientIdentity {
            layer: self.clone(),
            inner,
        }
    }
}

/// See [`ClientIdentityLayer`].
#[derive(Clone)]
pub struct ClientIdentity<S> {
    layer: ClientIdentityLayer,
    inner: S,
}

impl<S, B> Service<Request<B>> for ClientIdentity<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // Without a caller nothing is sent, and the server refuses.
        if let Some(caller) = request.extensions_mut().remove::<Caller>() {
            let assertion = self
                .layer
                .signer
                .sign(&caller, self.layer.audience, Utc::now());
            put(request.headers_mut(), &assertion);
        }
        self.inner.call(request)
    }
}

fn put(headers: &mut HeaderMap, assertion: &[u8]) {
    let unpadded = GeneralPurpose::new(&STANDARD, NO_PAD);
    // base64 is always a header value.
    if let Ok(mut value) = HeaderValue::try_from(unpadded.encode(assertion)) {
        value.set_sensitive(true);
        headers.insert(METADATA, value);
    }
}
