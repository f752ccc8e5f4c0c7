//! Binds before anything starts, so that a refused address costs nothing.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use candor_process::admin::AdminListener;
use candor_process::config::SharedConfig;
use tokio::net::TcpListener;

/// Everything `candor up` listens on.
pub struct Listeners {
    pub http: TcpListener,
    pub http_enforced: Option<TcpListener>,
    pub grpc: TcpListener,
    pub admin: AdminListener,
    /// Default ports that were busy.
    pub moved: Vec<&'static str>,
}

impl Listeners {
    /// Binds everything. A busy default port moves to a free one; a port that
    /// was asked for is refused.
    pub async fn bind(config: &SharedConfig, http_is_default: bool) -> io::Result<Self> {
        let mut moved = Vec::new();
        let http = bind("--http", config.listen.http, http_is_default, &mut moved).await?;
        let http_enforced = match config.listen.http_enforced {
            Some(address) => Some(bind("--http-enforced", address, false, &mut moved).await?),
            None => None,
        };
        let (grpc, is_default) = or_default(config.listen.grpc, 50051);
        let grpc = bind("--grpc", grpc, is_default, &mut moved).await?;
        let (admin, is_default) = or_default(config.listen.admin, 9464);
        let admin = AdminListener::bind(admin, is_default).await?;
        if is_default && admin.moved() {
            moved.push("--admin");
        }
        Ok(Self {
            http,
            http_enforced,
            grpc,
            admin,
            moved,
        })
    }

    /// Where the listener is that always asks for credentials.
    pub fn enforced(&self) -> io::Result<Option<SocketAddr>> {
        let enforced = self.http_enforced.as_ref();
        enforced.map(TcpListener::local_addr).transpose()
    }
}

fn or_default(given: Option<SocketAddr>, port: u16) -> (SocketAddr, bool) {
    match given {
        Some(address) => (address, false),
        None => (SocketAddr::from((Ipv4Addr::LOCALHOST, port)), true),
    }
}

async fn bind(
    flag: &'static str,
    address: SocketAddr,
    is_default: bool,
    moved: &mut Vec<&'static str>,
) -> io::Result<TcpListener> {
    let refused =
        |error: io::Error| io::Error::new(error.kind(), format!("{flag} {address}: {error}"));
    match TcpListener::bind(address).await {
        Err(error) if is_default && error.kind() == io::ErrorKind::AddrInUse => {
            moved.push(flag);
            TcpListener::bind((address.ip(), 0)).await.map_err(refused)
        }
        bound => bound.map_err(refused),
    }
}
