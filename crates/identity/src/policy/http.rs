//! The rows of HTTP routes: every route of the legacy API, served or not
//! (contract/routes.md), and those of A2A at the end.

use super::{RateClass, Who};

/// One method of one route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpRow {
    /// The method, upper case.
    pub method: &'static str,
    /// The route as the router spells it; the first parameter is always `id`.
    pub path: &'static str,
    /// Who may call.
    pub who: Who,
    /// Which limit it counts against.
    pub rate: RateClass,
}

macro_rules! rows {
    ($($method:ident $path:literal $who:ident $rate:ident)*) => {
        &[$(HttpRow {
            method: stringify!($method),
            path: $path,
            who: Who::$who,
            rate: RateClass::$rate,
        },)*]
    };
}

/// Every route.
pub const HTTP: &[HttpRow] = rows! {
    GET "/health" Health Free
    GET "/metrics" Health Free
    GET "/admin/liveness" Operator Call
    GET "/workspaces" Operator Call
    POST "/workspaces" Operator Call
    GET "/workspaces/{id}" PublicRead Call
    PATCH "/workspaces/{id}" WorkspaceOrOperator Call
    DELETE "/workspaces/{id}" Operator Call
    POST "/admin/workspaces/{id}/bootstrap-failed" Operator Call
    GET "/workspaces/{id}/console" Operator Call
    POST "/workspaces/{id}/a2a" A2a Call
    GET "/workspaces/{id}/state" OwnWorkspace Call
    POST "/workspaces/{id}/restart" WorkspaceOrOperator Call
    POST "/workspaces/{id}/pause" WorkspaceOrOperator Call
    POST "/workspaces/{id}/resume" WorkspaceOrOperator Call
    POST "/workspaces/{id}/hibernate" WorkspaceOrOperator Call
    POST "/workspaces/{id}/delegate" WorkspaceVoice Call
    GET "/workspaces/{id}/delegations" WorkspaceOrOperator Call
    POST "/workspaces/{id}/delegations/record" WorkspaceVoice Call
    POST "/workspaces/{id}/delegations/{item}/update" WorkspaceVoice Call
    GET "/workspaces/{id}/traces" WorkspaceOrOperator Call
    GET "/workspaces/{id}/transcript" WorkspaceOrOperator Call
    POST "/workspaces/{id}/memories" WorkspaceVoice Call
    GET "/workspaces/{id}/memories" WorkspaceOrOperator Call
    DELETE "/workspaces/{id}/memories/{item}" WorkspaceOrOperator Call
    POST "/workspaces/{id}/approvals" WorkspaceOrOperator Call
    GET "/workspaces/{id}/approvals" WorkspaceOrOperator Call
    POST "/workspaces/{id}/approvals/{item}/decide" WorkspaceOrOperator Call
    GET "/approvals/pending" Operator Call
    POST "/workspaces/{id}/expand" WorkspaceOrOperator Call
    POST "/workspaces/{id}/collapse" WorkspaceOrOperator Call
    POST "/workspaces/{id}/agent" WorkspaceOrOperator Call
    PATCH "/workspaces/{id}/agent" WorkspaceOrOperator Call
    DELETE "/workspaces/{id}/agent" WorkspaceOrOperator Call
    POST "/workspaces/{id}/agent/move" WorkspaceOrOperator Call
    POST "/registry/register" Register Call
    POST "/registry/heartbeat" Beat Beat
    POST "/registry/update-card" UpdateCard Call
    GET "/registry/discover/{id}" Discover Call
    GET "/registry/{id}/peers" Peers Call
    POST "/registry/check-access" PublicRead Call
    POST "/webhooks/github" PublicRead Call
    POST "/webhooks/github/{id}" PublicRead Call
    POST "/webhooks/{id}" PublicRead Call
    GET "/events" Operator Call
    GET "/events/{id}" Operator Call
    GET "/workspaces/{id}/activity" WorkspaceOrOperator Call
    POST "/workspaces/{id}/activity" WorkspaceVoice Call
    GET "/workspaces/{id}/session-search" WorkspaceOrOperator Call
    POST "/workspaces/{id}/notify" WorkspaceVoice Call
    GET "/workspaces/{id}/config" WorkspaceOrOperator Call
    PATCH "/workspaces/{id}/config" WorkspaceOrOperator Call
    GET "/workspaces/{id}/schedules" WorkspaceOrOperator Call
    POST "/workspaces/{id}/schedules" WorkspaceOrOperator Call
    PATCH "/workspaces/{id}/schedules/{item}" WorkspaceOrOperator Call
    DELETE "/workspaces/{id}/schedules/{item}" WorkspaceOrOperator Call
    POST "/workspaces/{id}/schedules/{item}/run" WorkspaceOrOperator Call
    GET "/workspaces/{id}/schedules/{item}/history" WorkspaceOrOperator Call
    GET "/workspaces/{id}/schedules/health" PublicRead Call
    GET "/workspaces/{id}/budget" WorkspaceOrOperator Call
    PATCH "/workspaces/{id}/budget" Operator Call
    GET "/workspaces/{id}/tokens" WorkspaceOrOperator Call
    POST "/workspaces/{id}/tokens" MintToken Mint
    DELETE "/workspaces/{id}/tokens/{item}" WorkspaceOrOperator Call
    GET "/workspaces/{id}/memory" WorkspaceOrOperator Call
    GET "/workspaces/{id}/memory/{item}" WorkspaceOrOperator Call
    POST "/workspaces/{id}/memory" WorkspaceOrOperator Call
    DELETE "/workspaces/{id}/memory/{item}" WorkspaceOrOperator Call
    GET "/workspaces/{id}/secrets" WorkspaceOrOperator Call
    GET "/workspaces/{id}/secrets/values" OwnWorkspace Call
    POST "/workspaces/{id}/secrets" WorkspaceOrOperator Call
    PUT "/workspaces/{id}/secrets" WorkspaceOrOperator Call
    DELETE "/workspaces/{id}/secrets/{item}" WorkspaceOrOperator Call
    GET "/workspaces/{id}/model" WorkspaceOrOperator Call
    PUT "/workspaces/{id}/model" WorkspaceOrOperator Call
    GET "/workspaces/{id}/metrics" WorkspaceOrOperator Call
    POST "/workspaces/{id}/artifacts" WorkspaceOrOperator Call
    GET "/workspaces/{id}/artifacts" WorkspaceOrOperator Call
    POST "/workspaces/{id}/artifacts/fork" WorkspaceOrOperator Call
    POST "/workspaces/{id}/artifacts/token" WorkspaceOrOperator Call
    POST "/workspaces/{id}/checkpoints" WorkspaceOrOperator Call
    GET "/workspaces/{id}/checkpoints/latest" WorkspaceOrOperator Call
    GET "/workspaces/{id}/checkpoints/{item}" WorkspaceOrOperator Call
    DELETE "/workspaces/{id}/checkpoints/{item}" WorkspaceOrOperator Call
    GET "/workspaces/{id}/mcp/stream" WorkspaceOrOperator Stream
    POST "/workspaces/{id}/mcp" WorkspaceOrOperator Call
    GET "/settings/secrets" Operator Call
    PUT "/settings/secrets" Operator Call
    POST "/settings/secrets" Operator Call
    DELETE "/settings/secrets/{id}" Operator Call
    GET "/admin/secrets" Operator Call
    POST "/admin/secrets" Operator Call
    DELETE "/admin/secrets/{id}" Operator Call
    GET "/instructions" Operator Call
    POST "/instructions" Operator Call
    PUT "/instructions/{id}" Operator Call
    DELETE "/instructions/{id}" Operator Call
    GET "/workspaces/{id}/instructions/resolve" WorkspaceOrOperator Call
    GET "/admin/schedules/health" Operator Call
    POST "/admin/a2a-queue/drop-stale" Operator Call
    POST "/admin/workspace-images/refresh" Operator Call
    GET "/admin/workspaces/{id}/test-token" TestToken Mint
    GET "/admin/memories/export" Operator Call
    POST "/admin/memories/import" Operator Call
    GET "/admin/github-installation-token" Operator Call
    GET "/workspaces/{id}/github-installation-token" WorkspaceOrOperator Call
    GET "/workspaces/{id}/terminal" WorkspaceOrOperator Call
    GET "/canvas/viewport" PublicRead Call
    PUT "/canvas/viewport" CanvasWrite Call
    GET "/templates" Operator Call
    POST "/templates/import" Operator Call
    GET "/workspaces/{id}/shared-context" WorkspaceOrOperator Call
    PUT "/workspaces/{id}/files" WorkspaceOrOperator Call
    GET "/workspaces/{id}/files" WorkspaceOrOperator Call
    GET "/workspaces/{id}/files/{*path}" WorkspaceOrOperator Call
    PUT "/workspaces/{id}/files/{*path}" WorkspaceOrOperator Call
    DELETE "/workspaces/{id}/files/{*path}" WorkspaceOrOperator Call
    POST "/workspaces/{id}/chat/uploads" WorkspaceOrOperator Call
    GET "/workspaces/{id}/chat/download" WorkspaceOrOperator Call
    GET "/plugins" PublicRead Call
    GET "/plugins/sources" PublicRead Call
    GET "/workspaces/{id}/plugins" WorkspaceOrOperator Call
    GET "/workspaces/{id}/plugins/available" WorkspaceOrOperator Call
    GET "/workspaces/{id}/plugins/compatibility" WorkspaceOrOperator Call
    POST "/workspaces/{id}/plugins" WorkspaceOrOperator Call
    DELETE "/workspaces/{id}/plugins/{item}" WorkspaceOrOperator Call
    GET "/workspaces/{id}/plugins/{item}/download" OwnWorkspace Call
    GET "/bundles/export/{id}" Operator Call
    POST "/bundles/import" Operator Call
    GET "/org/templates" Operator Call
    POST "/org/import" Operator Call
    GET "/org/tokens" Operator Call
    POST "/org/tokens" Operator Mint
    DELETE "/org/tokens/{id}" Operator Call
    GET "/orgs/{id}/plugins/allowlist" Operator Call
    PUT "/orgs/{id}/plugins/allowlist" Operator Call
    GET "/channels/adapters" PublicRead Call
    GET "/workspaces/{id}/channels" WorkspaceOrOperator Call
    POST "/workspaces/{id}/channels" WorkspaceOrOperator Call
    PATCH "/workspaces/{id}/channels/{item}" WorkspaceOrOperator Call
    DELETE "/workspaces/{id}/channels/{item}" WorkspaceOrOperator Call
    POST "/workspaces/{id}/channels/{item}/send" WorkspaceOrOperator Call
    POST "/workspaces/{id}/channels/{item}/test" WorkspaceOrOperator Call
    POST "/channels/discover" Operator Call
    GET "/workspaces/{id}/audit" WorkspaceOrOperator Call
    GET "/workspaces/{id}/events/stream" WorkspaceOrOperator Stream
    GET "/ws" WebSocket Stream
    POST "/a2a/{id}" A2a Call
    GET "/a2a/{id}/.well-known/agent-card.json" PublicRead Call
    GET "/a2a/{id}/.well-known/agent.json" PublicRead Call
    GET "/workspaces/{id}/.well-known/agent-card.json" PublicRead Call
    GET "/workspaces/{id}/.well-known/agent.json" PublicRead Call
};

/// The row of a route.
#[must_use]
pub fn http(method: &str, path: &str) -> Option<&'static HttpRow> {
    HTTP.iter()
        .find(|row| row.method == method && row.path == path)
}
