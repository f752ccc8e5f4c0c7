//! What one HTTP listener of the gateway bears.

use std::io;
use std::time::Duration;

use candor_process::http::{self, Limits};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::edge::Edged;

/// Agents, browsers and proxies: each may keep a connection for a long time.
const LIMITS: Limits = Limits {
    connections: 16_384,
    head: Duration::from_secs(120),
    write: Duration::from_secs(30),
    grace: Duration::from_secs(15),
};

/// Serves until `stop`; then no new connection is taken, and requests in
/// progress have the grace to end.
///
/// # Errors
/// None at present; the signature is that of a part of a process.
pub async fn serve(
    listener: TcpListener,
    router: Edged,
    stop: CancellationToken,
) -> Result<(), io::Error> {
    http::serve(listener, router, LIMITS, stop).await
}
