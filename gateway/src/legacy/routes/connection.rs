//! What the owner of an external agent needs to connect it, shown once
//! (contract/workspaces.md, "connection keys").

use crate::GatewayConfig;
use crate::edge::address::platform_url;
use crate::legacy::call::Call;
use crate::legacy::json::encode::{Map, Members as _};

/// Shell commands that register an agent.
const CURL: &str = include_str!("connection/register.sh.txt");
/// A program that is an agent.
const PYTHON: &str = include_str!("connection/agent.py.txt");
/// Placeholders in both.
const PLATFORM: &str = "{platform_url}";
const WORKSPACE: &str = "{workspace_id}";

/// The `connection` object.
pub(super) fn connection(config: &GatewayConfig, call: &Call, id: &str, token: &str) -> String {
    let platform = platform_url(config.external_platform_url.as_deref(), &call.headers);
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
