//! The parts of a running agent, put together.

mod own_account;
mod work;

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use candor_process::admin::{Admin, AdminListener};
use candor_process::drain::Drain;
use candor_process::http::{self, Limits};
use candor_process::telemetry::Metrics;
use tokio::net::TcpListener;

use self::work::Work;
use crate::heartbeat::Heartbeat;
use crate::platform::Platform;
use crate::registration::Registration;
use crate::settings::{Identity, Settings};
use crate::token::TokenStore;
use crate::vitals::{Standing, Vitals};

/// Connections to the agent at a time. The platform, probes and a few callers: each turn
/// and each stream is one, and there are far fewer of those.
const CONNECTIONS: usize = 1024;
/// Longest wait for the head of a request, idle time between two included. No caller of
/// an agent needs longer, and one that comes back makes a new connection.
const HEAD: Duration = Duration::from_secs(60);
/// Longest wait for a caller to take a part of an answer.
const WRITE: Duration = Duration::from_secs(30);
/// What requests in progress have beyond the drain's deadline, which names them first.
const BEYOND: Duration = Duration::from_secs(1);

/// A running agent.
#[derive(Debug)]
pub struct Runtime {
    drain: Drain,
    vitals: Arc<Vitals>,
    listening: SocketAddr,
    admin: Option<SocketAddr>,
    url: String,
}

/// The platform, as this process speaks to it.
///
/// # Errors
/// A token's file that cannot be read; TLS that cannot be set up.
pub fn platform(identity: &Identity) -> Result<Platform, Box<dyn Error>> {
    let folder = &identity.configs_dir;
    let tokens = TokenStore::open(folder)
        .map_err(|error| format!("the token below {}: {error}", folder.display()))?;
    let base = identity.platform.clone();
    Ok(Platform::new(base, identity.workspace, Arc::new(tokens))?)
}

impl Runtime {
    /// Starts every part.
    ///
    /// # Errors
    /// What cannot be had: an address, the token's file, TLS, the folder for what must
    /// outlive the process.
    pub async fn start(settings: Settings, metrics: Metrics) -> Result<Self, Box<dyn Error>> {
        let drain = Drain::new(settings.drain_deadline);
        drain.on_signals()?;
        let platform = platform(&settings.identity)?;
        let listener = TcpListener::bind(settings.listen)
            .await
            .map_err(|error| format!("--listen {}: {error}", settings.listen))?;
        let listening = listener.local_addr()?;
        let url = settings.url(listening);

        let work = Work::of(&settings, &platform, &url, &drain)?;
        let vitals = Arc::clone(&work.vitals);
        let admin = health(&settings, metrics, &vitals, &drain).await?;
        let (registration, wanted) = Registration::new(
            platform.clone(),
            Arc::clone(&vitals),
            url.clone(),
            work.card,
        );
        let announced = registration.announced();
        own_account::start(&settings, &platform, &vitals, announced.clone(), &drain)?;
        let heartbeat = Heartbeat::new(platform, Arc::clone(&vitals), &settings.heartbeat, wanted);
        let stop = drain.token();
        let limits = limits(settings.drain_deadline);
        let served = http::serve(listener, work.router, limits, stop.clone());
        drain.spawn("a2a", served);
        drain.spawn("registration", endless(registration.run(stop.clone())));
        drain.spawn(
            "heartbeat",
            endless(heartbeat.run(announced, settings.drain_deadline, stop)),
        );
        Ok(Self {
            drain,
            vitals,
            listening,
            admin,
            url,
        })
    }

    /// Says that the agent is ready, to a program that asked for `json` too.
    pub fn announce(&self, json: bool) {
        let Self { listening, url, .. } = self;
        if json {
            let admin = self
                .admin
                .map_or_else(String::new, |a| format!(",\"admin\":\"{a}\""));
            println!("{{\"ready\":true,\"listen\":\"{listening}\"{admin}}}");
        }
        tracing::info!(%listening, %url, "candor-workspace is ready");
    }

    /// Waits for the end. Once the order is given, no new turn begins; those that run
    /// have until the deadline.
    ///
    /// # Errors
    /// What ended it, if it was no signal.
    pub async fn finished(self) -> Result<(), Box<dyn Error>> {
        let stop = self.drain.token();
        let vitals = self.vitals;
        tokio::spawn(async move {
            stop.cancelled().await;
            vitals.stand(Standing::Draining);
        });
        self.drain.finished().await.map_err(Into::into)
    }
}

const fn limits(drain_deadline: Duration) -> Limits {
    Limits {
        connections: CONNECTIONS,
        head: HEAD,
        write: WRITE,
        grace: drain_deadline.saturating_add(BEYOND),
    }
}

async fn health(
    settings: &Settings,
    metrics: Metrics,
    vitals: &Arc<Vitals>,
    drain: &Drain,
) -> Result<Option<SocketAddr>, Box<dyn Error>> {
    let Some(address) = settings.admin else {
        return Ok(None);
    };
    let listener = AdminListener::bind(address, false).await?;
    let bound = listener.address();
    let vitals = Arc::clone(vitals);
    let health = Admin::new(metrics, drain.token()).check("agent", move || {
        let ready = vitals.readiness();
        async { ready }
    });
    drain.spawn("admin", health.serve(listener));
    Ok(Some(bound))
}

/// A part that cannot fail.
async fn endless(part: impl Future<Output = ()>) -> Result<(), Infallible> {
    part.await;
    Ok(())
}
