//! Where the server listens: a socket in its own directory, or 127.0.0.1.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use sqlx::postgres::PgConnectOptions;

use super::{PostgresError, ROLE};

/// The longest path of a Unix socket, in bytes, without its closing NUL.
const SOCKET_PATH_LIMIT: usize = 107;
/// The port in the socket's name; nothing listens on it.
pub(super) const SOCKET_PORT: u16 = 5432;

/// Where the server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// A socket in this directory.
    Socket(PathBuf),
    /// 127.0.0.1, where a socket's path would be too long.
    Tcp(u16),
}

impl Endpoint {
    pub(super) fn choose(directory: &Path) -> Result<Self, PostgresError> {
        let socket = directory.join(format!(".s.PGSQL.{SOCKET_PORT}"));
        if socket.as_os_str().len() <= SOCKET_PATH_LIMIT {
            return Ok(Self::Socket(directory.into()));
        }
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .map(|address| Self::Tcp(address.port()))
            .map_err(|problem| PostgresError::Io {
                path: "127.0.0.1:0".into(),
                problem,
            })
    }

    pub(super) fn options(&self, password: &str) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass()
            .username(ROLE)
            .password(password)
            .database(ROLE);
        match self {
            Self::Socket(directory) => options.socket(directory).port(SOCKET_PORT),
            Self::Tcp(port) => options.host("127.0.0.1").port(*port),
        }
    }

    pub(super) fn url(&self, password: &str) -> String {
        match self {
            Self::Socket(directory) => format!(
                "postgres://{ROLE}:{password}@localhost:{SOCKET_PORT}/{ROLE}?host={}",
                percent_encoded(&directory.to_string_lossy())
            ),
            Self::Tcp(port) => format!("postgres://{ROLE}:{password}@127.0.0.1:{port}/{ROLE}"),
        }
    }
}

fn percent_encoded(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}
