//! From a host to the addresses that are dialled: looked up once, all judged.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::class::classify;
use crate::policy::AddressPolicy;
use crate::refusal::Refusal;
use crate::target::{Host, Target};

/// Asks name servers. Blocking: it runs on a thread for such calls.
pub trait Lookup: Send + Sync + 'static {
    /// All addresses of a name.
    ///
    /// # Errors
    /// When no name server has an answer.
    fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The system's resolver, with its hosts file.
#[derive(Debug, Clone, Copy)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let found = (name, 0).to_socket_addrs()?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// Why a name has no addresses.
#[derive(Debug)]
pub(crate) enum LookupError {
    /// Too many lookups at a time; this one was not made.
    Busy,
    /// No answer within the deadline.
    TooLong,
    /// The answer is an error.
    Failed(io::Error),
    /// The answer is empty.
    NoAddress,
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("its name was not looked up: too many lookups at a time"),
            Self::TooLong => f.write_str("looking up its name took too long"),
            Self::Failed(_) => f.write_str("its name does not resolve"),
            Self::NoAddress => f.write_str("its name has no address"),
        }
    }
}

/// Looks names up, a bounded number at a time and each for a bounded time.
pub(crate) struct Resolver {
    lookup: Arc<dyn Lookup>,
    permits: Arc<Semaphore>,
    deadline: Duration,
}

impl Resolver {
    pub(crate) fn new(lookup: Arc<dyn Lookup>, at_a_time: usize, deadline: Duration) -> Self {
        Self {
            lookup,
            permits: Arc::new(Semaphore::new(at_a_time)),
            deadline,
        }
    }

    /// The addresses of a host, not judged yet: at least one.
    pub(crate) async fn addresses(&self, host: &Host) -> Result<Vec<IpAddr>, LookupError> {
        let name = match host.addresses() {
            Ok(addresses) => return Ok(addresses),
            Err(name) => name.to_owned(),
        };
        let started = tokio::time::Instant::now();
        let permit = timeout(self.deadline, self.permits.clone().acquire_owned())
            .await
            .ok()
            .and_then(Result::ok)
            .ok_or(LookupError::Busy)?;
        let lookup = self.lookup.clone();
        // The permit goes with the thread: a lookup that nobody waits for any more
        // still counts until its thread is free.
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            lookup.lookup(&name)
        });
        let found = tokio::time::timeout_at(started + self.deadline, work)
            .await
            .map_err(|_| LookupError::TooLong)?
            .map_err(|died| LookupError::Failed(io::Error::other(died)))?
            .map_err(LookupError::Failed)?;
        if found.is_empty() {
            return Err(LookupError::NoAddress);
        }
        Ok(found)
    }
}

/// Addresses that a policy admits, all of one host. Connections are made to these
/// and to nothing else: whoever holds one needs no second lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judged(Vec<SocketAddr>);

impl Judged {
    /// Judges all addresses; one that is refused refuses the whole host.
    pub(crate) fn new(
        target: &Target,
        found: &[IpAddr],
        policy: AddressPolicy,
    ) -> Result<Self, Refusal> {
        for address in found {
            policy.admits(classify(*address))?;
        }
        let with_port = |address: &IpAddr| SocketAddr::new(*address, target.port);
        Ok(Self(found.iter().map(with_port).collect()))
    }

    pub(crate) fn as_slice(&self) -> &[SocketAddr] {
        &self.0
    }
}
