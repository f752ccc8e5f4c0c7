//! What the owner of an external agent needs to connect it, shown once
//! (contract/workspaces.md, "connection keys").

use axum::http::header::HOST;
use axum::http::{HeaderMap, HeaderName};

use crate::GatewayConfig;
use crate::legacy::call::Call;
use crate::legacy::json::encode::{Map, Members as _};

/// Shell commands that register an agent.
const CURL: &str = include_str!("connection/register.sh.txt");
/// A program that is an agent.
const PYTHON: &str = include_str!("connection/agent.py.txt");
/// Placeholders in both.
const PLATFORM: &str = "{platform_url}";
const WORKSPACE: &str = "{workspace_id}";

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The `connection` object.
pub(super) fn connection(config: &GatewayConfig, call: &Call, id: &str, token: &str) -> String {
    let platform = config.external_platform_url.as_deref().map_or_else(
        || as_called(&call.headers),
        |url| url.trim_end_matches('/').to_owned(),
    );
    let fill = |template: &str| template.replace(PLATFORM, &platform).replace(WORKSPACE, id);
    Map::new()
        .string("workspace_id", id)
        .string("platform_url", &platform)
        .string("auth_token", token)
        .string(
            "registry_endpoint",
            &format!("{platform}/registry/register"),
        )
        .string(
            "heartbeat_endpoint",
            &format!("{platform}/registry/heartbeat"),
        )
        .string("curl_register_template", &fill(CURL))
        .string("python_snippet", &fill(PYTHON))
        .finish()
}

/// The address by which this request found us.
fn as_called(headers: &HeaderMap) -> String {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = text(&FORWARDED_PROTO).unwrap_or("http");
    let host = text(&FORWARDED_HOST).or_else(|| text(&HOST));
    format!("{scheme}://{}", host.unwrap_or("localhost"))
        .trim_end_matches('/')
        .to_owned()
}
