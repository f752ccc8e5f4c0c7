//! One HTTP listener: connections with limits, and a graceful end.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::edge::Edged;

/// Connections at a time; one more waits in the system's queue.
const MOST_CONNECTIONS: usize = 16_384;
/// Longest wait for the head of a request, idle time between two included.
const HEAD_DEADLINE: Duration = Duration::from_secs(120);
/// Longest wait for a client to take a part of an answer.
const WRITE_DEADLINE: Duration = Duration::from_secs(30);
/// Pause after the system had no file or memory for a connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Longest wait, after the order to stop, for requests in progress.
const GRACE: Duration = Duration::from_secs(15);

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
    let mut http = http1::Builder::new();
    // Counts from the accept on: who says nothing leaves its place.
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE);
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let service = TowerToHyperService::new(router);
    let connections = TaskTracker::new();
    while let Some((stream, place)) = next(&listener, &places, &stop).await {
        let connection = http
            .serve_connection(TokioIo::new(bounded(stream)), service.clone())
            .with_upgrades();
        connections.spawn(drive(connection, place, stop.clone()));
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(GRACE, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!(grace = ?GRACE, "ended HTTP requests that were still open");
    }
    Ok(())
}

type Stream = Pin<Box<TimeoutStream<TcpStream>>>;
type Connection = http1::UpgradeableConnection<TokioIo<Stream>, TowerToHyperService<Edged>>;

/// Who does not read what it asked for leaves its place.
fn bounded(stream: TcpStream) -> Stream {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_DEADLINE));
    Box::pin(stream)
}

/// Serves a connection to its end; after the order to stop, the request that is
/// in progress is its last.
async fn drive(connection: Connection, place: Place, stop: CancellationToken) {
    let mut connection = pin!(connection);
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
}

type Place = tokio::sync::OwnedSemaphorePermit;

/// The next connection with its place; none after the order to stop.
async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, Place)> {
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
