//! One HTTP/1 listener: connections with limits, and a graceful end.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

/// Pause after the system had no file or memory for a connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What one listener bears.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at a time; one more waits in the system's queue.
    pub connections: usize,
    /// Longest wait for the head of a request, idle time between two included.
    pub head: Duration,
    /// Longest wait for a client to take a part of an answer.
    pub write: Duration,
    /// Longest wait, after the order to stop, for requests in progress.
    pub grace: Duration,
}

/// Serves until `stop`; then no new connection is taken, and requests in
/// progress have the grace to end.
///
/// # Errors
/// None at present; the signature is that of a part of a process.
pub async fn serve<S>(
    listener: TcpListener,
    service: S,
    limits: Limits,
    stop: CancellationToken,
) -> io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let mut http = http1::Builder::new();
    // Counts from the accept on: who says nothing leaves its place.
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head);
    let places = Arc::new(Semaphore::new(limits.connections));
    let service = TowerToHyperService::new(service);
    let connections = TaskTracker::new();
    while let Some((stream, place)) = next(&listener, &places, &stop).await {
        let stream = TokioIo::new(bounded(stream, limits.write));
        let connection = http
            .serve_connection(stream, service.clone())
            .with_upgrades();
        let stop = stop.clone();
        connections.spawn(async move {
            let mut connection = pin!(connection);
            // After the order to stop, the request that is in progress is its last.
            let served = tokio::select! {
                served = connection.as_mut() => served,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            // A client that goes away, or speaks something else, is no event.
            if let Err(error) = served {
                tracing::debug!(%error, "connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(limits.grace, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!(grace = ?limits.grace, "ended HTTP requests that were still open");
    }
    Ok(())
}

/// Who does not read what it asked for leaves its place.
fn bounded(stream: TcpStream, write: Duration) -> Pin<Box<TimeoutStream<TcpStream>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(write));
    Box::pin(stream)
}

/// The next connection with its place; none after the order to stop.
async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let accepted = async {
        let place = Arc::clone(places).acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "TCP_NODELAY");
                    }
                    return Some((stream, place));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    };
    stop.run_until_cancelled(accepted).await.flatten()
}
