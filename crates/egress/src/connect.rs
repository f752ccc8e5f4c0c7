//! Connections to judged addresses, encrypted where the URL says so.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::error::DialError;
use crate::progress::Transport;
use crate::resolve::Judged;
use crate::target::{Host, Target};

/// Addresses of one name that are tried, in the resolver's order.
const TRIED: usize = 8;
/// An address gets at least this much of the time that is left, so that one silent
/// address does not take all of it (as Go's dialler does).
const LEAST_SHARE: Duration = Duration::from_secs(2);

/// Connects to the first address that takes the connection, one after the other:
/// an agent with one thread must not see two.
pub(crate) async fn connect(judged: &Judged, within: Duration) -> Result<TcpStream, DialError> {
    let deadline = Instant::now() + within;
    let tried = &judged.as_slice()[..judged.as_slice().len().min(TRIED)];
    let mut refusals = Vec::new();
    let mut silent = false;
    for (index, address) in tried.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let addresses_left = u32::try_from(tried.len() - index).unwrap_or(1);
        let share = (left / addresses_left).max(LEAST_SHARE).min(left);
        match timeout(share, TcpStream::connect(*address)).await {
            Ok(Ok(stream)) => match usable(&stream) {
                Ok(()) => return Ok(stream),
                Err(error) => refusals.push(format!("{address}: {error}")),
            },
            Ok(Err(error)) if is_exhaustion(&error, *address) => {
                let detail = format!("{address}: {error}");
                return Err(DialError::Overloaded { detail });
            }
            Ok(Err(error)) => {
                silent |= error.kind() == io::ErrorKind::TimedOut;
                refusals.push(format!("{address}: {error}"));
            }
            Err(_) => {
                silent = true;
                refusals.push(format!("{address}: no answer within {share:?}"));
            }
        }
    }
    let detail = refusals.join("; ");
    Err(if silent {
        DialError::ConnectTimeout { detail }
    } else {
        DialError::ConnectRefused { detail }
    })
}

/// A connection to a port of this machine that nobody listens on can meet itself.
fn usable(stream: &TcpStream) -> io::Result<()> {
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    stream.set_nodelay(true)
}

/// Whether this process or machine is out of files, ports or memory. A machine
/// without IPv6 says of every such address that it is not available.
fn is_exhaustion(error: &io::Error, address: SocketAddr) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    let files = matches!(error.raw_os_error(), Some(ENFILE | EMFILE));
    let ports = address.is_ipv4() && error.kind() == io::ErrorKind::AddrNotAvailable;
    files || ports || error.kind() == io::ErrorKind::OutOfMemory
}

/// Encrypts the connection where the URL is `https`.
pub(crate) async fn secure(
    stream: TcpStream,
    target: &Target,
    tls: &Arc<ClientConfig>,
    within: Duration,
) -> Result<Transport, DialError> {
    if !target.is_https() {
        return Ok(Transport::Plain(stream));
    }
    let failed = |detail: String| DialError::Tls { detail };
    let name = match &target.host {
        Host::Address(address) => ServerName::from(*address),
        Host::Localhost => server_name("localhost")?,
        Host::Name(name) => server_name(name)?,
    };
    let handshake = TlsConnector::from(tls.clone()).connect(name, stream);
    match timeout_at(Instant::now() + within, handshake).await {
        Ok(Ok(stream)) => Ok(Transport::Tls(Box::new(stream))),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed(format!("no handshake within {within:?}"))),
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>, DialError> {
    ServerName::try_from(name.to_owned()).map_err(|error| DialError::Tls {
        detail: error.to_string(),
    })
}

/// Certificates are judged by these roots; HTTP/1.1 is all that is offered.
pub(crate) fn tls_config(roots: RootCertStore) -> Result<ClientConfig, DialError> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| DialError::Tls {
            detail: error.to_string(),
        })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The roots that the system trusts, so that an operator adds an authority in one
/// place. A machine or an image without any gets Mozilla's, as compiled in.
pub(crate) fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "a root certificate of the system was not read");
    }
    let mut roots = RootCertStore::empty();
    let (added, _ignored) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        tracing::info!("the system trusts no root certificate: Mozilla's are used");
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}
