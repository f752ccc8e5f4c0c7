//! The Host header of open listeners (design section 3): a page of another site whose name was rebound to a loopback
//! address must not reach routes that ask for no credential.

use super::error_response;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::response::Response;
use std::net::IpAddr;
use std::sync::Arc;

/// Which hosts a request to an open listener may name, whatever the port.
#[derive(Debug, Clone)]
pub struct HostPolicy {
    listener: IpAddr,
    names: Arc<[String]>,
}

impl HostPolicy {
    /// Loopback addresses, `localhost`, names below it, and the address the listener is bound to.
    #[must_use]
    pub fn new(listener: IpAddr) -> Self {
        Self {
            listener,
            names: Arc::default(),
        }
    }

    /// Also these names, such as the one under which containers know this machine.
    #[must_use]
    pub fn with_names(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.names = names.into_iter().map(Into::into).collect();
        self
    }

    /// 403 for a foreign host. A request that names none passes: browsers always name one.
    pub(super) fn refuse(&self, request: &Request) -> Option<Response> {
        let target = request
            .uri()
            .authority()
            .map(|authority| authority.as_str().as_bytes());
        let headers = request
            .headers()
            .get_all(HOST)
            .iter()
            .map(|value| value.as_bytes());
        let host = target
            .into_iter()
            .chain(headers)
            .map(String::from_utf8_lossy)
            .find(|authority| !self.allows(authority))?;
        tracing::debug!(%host, "refused a Host header on an open listener");
        Some(error_response(
            StatusCode::FORBIDDEN,
            &format!("host not allowed: {host}"),
        ))
    }

    fn allows(&self, authority: &str) -> bool {
        // An authority with user information would let the name before `@` pass for the host.
        let Ok(parsed) = authority.parse::<Authority>() else {
            return false;
        };
        if authority.contains('@') {
            return false;
        }
        let host = parsed.host();
        if let Ok(ip) = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>()
        {
            // A rebound name is a name: an address as Host was typed by who sent it.
            return ip.is_loopback() || ip == self.listener || self.listener.is_unspecified();
        }
        let name = host.to_ascii_lowercase();
        name == "localhost"
            || name.ends_with(".localhost")
            || self.names.iter().any(|own| own.eq_ignore_ascii_case(&name))
    }
}

/// The host and port the request names: of the target if it has them (HTTP/2), else of the Host header.
#[must_use]
pub fn named(request: &Request) -> Option<&str> {
    let target = request.uri().authority().map(Authority::as_str);
    target.or_else(|| request.headers().get(HOST)?.to_str().ok())
}
