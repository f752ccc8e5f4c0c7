//! The one client that calls agents.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use metrics::counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::body::AgentBody;
use crate::connect::{connect, secure, system_roots, tls_config};
use crate::error::DialError;
use crate::exchange::{AgentRequest, exchange, written};
use crate::policy::AddressPolicy;
use crate::progress::Progress;
use crate::refusal::Refusal;
use crate::resolve::{Judged, Lookup, LookupError, Resolver, SystemLookup};
use crate::target::Target;

/// Bounds of the dialler.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Dials at a time, until the end of their answers.
    pub dials: usize,
    /// Dials that wait for one of those to end; one more is refused at once.
    pub waiting: usize,
    /// Longest such wait.
    pub wait: Duration,
    /// Lookups of names at a time.
    pub lookups: usize,
    /// Longest lookup, with its wait for its turn.
    pub lookup: Duration,
    /// Longest time for a connection, over all addresses of a name.
    pub connect: Duration,
    /// Longest TLS handshake.
    pub handshake: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            dials: 2048,
            waiting: 2048,
            wait: Duration::from_secs(2),
            lookups: 64,
            lookup: Duration::from_secs(5),
            connect: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
        }
    }
}

/// Calls agents: HTTP/1.1, a connection for each call, no redirects, no proxies,
/// and no address that the policy does not admit. Cheap to clone.
#[derive(Clone)]
pub struct Egress(Arc<Parts>);

struct Parts {
    policy: AddressPolicy,
    resolver: Resolver,
    tls: Arc<ClientConfig>,
    limits: Limits,
    dials: Arc<Semaphore>,
    waiting: Semaphore,
}

/// An agent's answer: its head, and the body as it comes. A redirect is an answer
/// like any other.
#[derive(Debug)]
pub struct AgentResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: AgentBody,
}

impl Egress {
    /// A dialler with the system's resolver and root certificates. Reads files:
    /// made once, when a process starts.
    ///
    /// # Errors
    /// [`DialError::Tls`] when TLS cannot be set up.
    pub fn new(policy: AddressPolicy) -> Result<Self, DialError> {
        Self::with(
            policy,
            Limits::default(),
            Arc::new(SystemLookup),
            system_roots(),
        )
    }

    /// A dialler with bounds, resolver and root certificates of the caller's.
    ///
    /// # Errors
    /// [`DialError::Tls`] when TLS cannot be set up.
    pub fn with(
        policy: AddressPolicy,
        limits: Limits,
        lookup: Arc<dyn Lookup>,
        roots: RootCertStore,
    ) -> Result<Self, DialError> {
        Ok(Self(Arc::new(Parts {
            policy,
            resolver: Resolver::new(lookup, limits.lookups, limits.lookup),
            tls: Arc::new(tls_config(roots)?),
            dials: Arc::new(Semaphore::new(limits.dials)),
            waiting: Semaphore::new(limits.waiting),
            limits,
        })))
    }

    /// How far an agent may be.
    #[must_use]
    pub fn policy(&self) -> AddressPolicy {
        self.0.policy
    }

    /// Whether a dial of this URL would be made, as far as its address goes.
    ///
    /// # Errors
    /// [`DialError::AddressRefused`], [`DialError::Unresolvable`],
    /// [`DialError::Overloaded`].
    pub async fn check(&self, url: &str) -> Result<(), DialError> {
        self.judge(url).await.map(|_| ())
    }

    /// Sends a request and waits for the head of the answer. It has no deadline for
    /// that: the caller's clocks drop the future, which closes the connection, and
    /// `progress` tells what may have happened by then.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn send(
        &self,
        request: AgentRequest,
        progress: &Progress,
    ) -> Result<AgentResponse, DialError> {
        let mut count = Count("abandoned");
        let answer = self.attempt(request, progress).await;
        count.0 = match &answer {
            Ok(_) => "answered",
            Err(error) => error.label(),
        };
        answer
    }

    async fn attempt(
        &self,
        request: AgentRequest,
        progress: &Progress,
    ) -> Result<AgentResponse, DialError> {
        let room = self.room().await?;
        let (target, judged) = self.judge(&request.url).await?;
        let request = written(request, &target).map_err(refused)?;
        let stream = connect(&judged, self.0.limits.connect).await?;
        let transport = secure(stream, &target, &self.0.tls, self.0.limits.handshake).await?;
        let begun = exchange(request, transport, progress).await?;
        let (head, incoming) = begun.head.into_parts();
        Ok(AgentResponse {
            status: head.status,
            headers: head.headers,
            body: AgentBody::new(incoming, begun.driver, room),
        })
    }

    /// Room for one dial, waited for within bounds.
    async fn room(&self) -> Result<OwnedSemaphorePermit, DialError> {
        let overloaded = |detail: &str| DialError::Overloaded {
            detail: detail.to_owned(),
        };
        if let Ok(room) = self.0.dials.clone().try_acquire_owned() {
            return Ok(room);
        }
        let Ok(_place) = self.0.waiting.try_acquire() else {
            return Err(overloaded("too many dials wait"));
        };
        match timeout(self.0.limits.wait, self.0.dials.clone().acquire_owned()).await {
            Ok(Ok(room)) => Ok(room),
            _ => Err(overloaded("no dial ended in time")),
        }
    }

    async fn judge(&self, url: &str) -> Result<(Target, Judged), DialError> {
        let target = Target::parse(url).map_err(refused)?;
        if target.has_userinfo() {
            return Err(refused(Refusal::Userinfo));
        }
        let found = self.0.resolver.addresses(&target.host).await;
        let found = found.map_err(|error| match &error {
            LookupError::Busy => DialError::Overloaded {
                detail: error.to_string(),
            },
            LookupError::Failed(cause) => DialError::Unresolvable {
                detail: format!("{error}: {cause}"),
            },
            LookupError::TooLong | LookupError::NoAddress => DialError::Unresolvable {
                detail: error.to_string(),
            },
        })?;
        let judged = Judged::new(&target, &found, self.0.policy).map_err(refused)?;
        Ok((target, judged))
    }
}

/// Counts a refusal.
fn refused(why: Refusal) -> DialError {
    counter!("candor_egress_refused_total", "reason" => why.label()).increment(1);
    DialError::AddressRefused(why)
}

/// Counts a dial by what became of it, also when nobody waited for it to end.
struct Count(&'static str);

impl Drop for Count {
    fn drop(&mut self) {
        counter!("candor_egress_dials_total", "outcome" => self.0).increment(1);
    }
}
