//! The legacy HTTP API: its routes, and every legacy JSON shape.
//!
//! A request enters by [`enter`]: body, caller, handler, answer. Which routes
//! there are, and who may call them, is the policy table of candor-identity;
//! [`routes`] has the handlers. A route without a handler answers that the
//! feature is not available.

pub(crate) mod answer;
pub(crate) mod call;
mod enter;
mod errors;
pub(crate) mod frame;
pub mod json;
mod metrics;
mod proof;
mod refusals;
pub(crate) mod routes;
mod shapes;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::routing::{MethodFilter, on};
use candor_identity::{Authenticator, ListenerMode, policy};
use candor_peers::{ActivityClient, ProvisionerClient, RegistryClient, RelayClient};
use candor_process::telemetry::Metrics;

use crate::GatewayConfig;
use crate::beats::BeatSink;
use crate::events::Hub;
use enter::{Entrance, enter};
pub(crate) use routes::Sockets;

/// What the handlers share.
pub(crate) struct App {
    pub config: GatewayConfig,
    pub registry: RegistryClient,
    pub activity: ActivityClient,
    pub relay: RelayClient,
    pub provisioner: ProvisionerClient,
    pub beats: Arc<dyn BeatSink>,
    pub identity: Arc<Authenticator>,
    pub metrics: Metrics,
    pub hub: Arc<Hub>,
    pub sockets: Sockets,
}

/// Every route of the policy table, for a listener of this mode.
pub(crate) fn router(app: &Arc<App>, mode: ListenerMode) -> Router {
    policy::HTTP.iter().fold(Router::new(), |router, row| {
        let entrance = Arc::new(Entrance::new(Arc::clone(app), mode, row));
        let handler = move |request: Request| enter(Arc::clone(&entrance), request);
        match filter(row.method) {
            Some(filter) => router.route(row.path, on(filter, handler)),
            // Not a method that HTTP clients of ours send: no route.
            None => router,
        }
    })
}

fn filter(method: &str) -> Option<MethodFilter> {
    Some(match method {
        "GET" => MethodFilter::GET,
        "POST" => MethodFilter::POST,
        "PUT" => MethodFilter::PUT,
        "PATCH" => MethodFilter::PATCH,
        "DELETE" => MethodFilter::DELETE,
        _ => return None,
    })
}

/// Whether any method is routed at this path.
pub(crate) fn is_route(path: &str) -> bool {
    policy::HTTP.iter().any(|row| matches(row.path, path))
}

fn matches(pattern: &str, path: &str) -> bool {
    let mut wanted = pattern.split('/');
    let mut given = path.split('/');
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(rest), Some(part)) if rest.starts_with("{*") => return !part.is_empty(),
            (Some(name), Some(part)) if name.starts_with('{') => {
                if part.is_empty() {
                    return false;
                }
            }
            (Some(fixed), Some(part)) if fixed == part => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_method_and_a_path_of_its_own() {
        let mut seen = std::collections::BTreeSet::new();
        for row in policy::HTTP {
            assert!(filter(row.method).is_some(), "{} {}", row.method, row.path);
            assert!(
                seen.insert((row.method, row.path)),
                "{} {}",
                row.method,
                row.path
            );
        }
        let is_of_a2a = |path: &str| path.starts_with("/a2a/") || path.contains("/.well-known/");
        let legacy = seen.iter().filter(|(_, path)| !is_of_a2a(path)).count();
        assert_eq!(legacy, 147, "the routes of the legacy API");
        assert_eq!(seen.len() - legacy, 5, "the routes of A2A");
    }

    #[test]
    fn every_handler_has_a_row() {
        for (method, path, _) in routes::HANDLERS {
            assert!(policy::http(method, path).is_some(), "{method} {path}");
        }
    }

    #[test]
    fn paths_match_their_routes_only() {
        for known in [
            "/workspaces",
            "/workspaces/x",
            "/workspaces/x/files/a/b",
            "/registry/discover/x",
        ] {
            assert!(is_route(known), "{known}");
        }
        for unknown in [
            "/",
            "/workspaces/",
            "/workspaces/x/files/",
            "/nope",
            "/workspaces/x/y",
        ] {
            assert!(!is_route(unknown), "{unknown}");
        }
    }
}
