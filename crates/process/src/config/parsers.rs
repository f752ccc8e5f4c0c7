//! One function a kind of value; each error shows the text and the way to write it.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr as _;

use sqlx::postgres::PgConnectOptions;
use tracing_subscriber::EnvFilter;

use crate::telemetry::LogFormat;

pub(super) fn database(text: &str) -> Result<PgConnectOptions, String> {
    // The text may hold a password: it is not repeated.
    PgConnectOptions::from_str(text).map_err(|error| format!("no Postgres URL: {error}"))
}

/// Reads an address; `localhost` is 127.0.0.1, so that nothing is looked up.
///
/// # Errors
/// The text, and how addresses are written.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    numeric
        .parse()
        .map_err(|_| format!("`{text}` is no address: write 127.0.0.1:8080 or [::1]:8080"))
}

/// An address, or a port alone (the legacy `PORT`). A port says nothing about
/// who may reach it, so it stays on loopback; other interfaces are asked for by
/// address.
pub(super) fn http_address(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<u16>() {
        Ok(port) => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        Err(_) => address(text),
    }
}

pub(super) fn web_url(text: &str) -> Result<String, String> {
    let host = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    match host {
        Some(host) if !host.is_empty() && !host.starts_with('/') => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err(format!("`{text}` is no http:// or https:// URL")),
    }
}

pub(super) fn collector_url(text: &str) -> Result<String, String> {
    if text.starts_with("https://") {
        return Err(format!(
            "`{text}`: traces go to a collector over http:// only, put one beside Candor"
        ));
    }
    web_url(text)
}

pub(super) fn positive(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|n| *n > 0)
        .ok_or_else(|| format!("`{text}` is no positive number"))
}

pub(super) fn share(text: &str) -> Result<f64, String> {
    let parsed: Option<f64> = text.parse().ok();
    parsed
        .filter(|n| (0.0..=1.0).contains(n))
        .ok_or_else(|| format!("`{text}` is no share from 0 to 1"))
}

pub(super) fn log_filter(text: &str) -> Result<String, String> {
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("`{text}` is no log filter: {error}")),
    }
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("`{text}` is neither text nor json")),
    }
}
