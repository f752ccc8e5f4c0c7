//! The handlers, one module a resource.

pub(crate) mod a2a;
mod activity;
mod admin;
mod agents;
mod configs;
mod connection;
mod create;
mod delegations;
mod discovery;
mod events;
mod files;
mod heartbeat;
mod lifecycle;
mod models;
mod notify;
mod relay;
mod secrets;
mod socket;
mod stream;
mod team;
mod templates;
mod tokens;
mod transcript;
mod unavailable;
mod update;
mod workspaces;

use std::sync::Arc;

use futures::future::BoxFuture;
pub(crate) use socket::Sockets;

use super::App;
use super::answer::Answer;
use super::call::Call;
use crate::a2a::{cards, rpc};

/// Serves one route.
pub(crate) type Handler = fn(Arc<App>, Call) -> BoxFuture<'static, Answer>;

macro_rules! handlers {
    ($($method:ident $path:literal $handler:path;)*) => {
        /// Every route that is served: method, path, handler.
        pub(crate) const HANDLERS: &[(&str, &str, Handler)] = &[
            $((stringify!($method), $path, |app, call| Box::pin($handler(app, call))),)*
        ];
    };
}

handlers! {
    GET "/health" admin::health;
    GET "/metrics" admin::metrics;
    GET "/admin/liveness" admin::liveness;
    GET "/admin/workspaces/{id}/test-token" tokens::test_token;
    GET "/canvas/viewport" admin::viewport;
    PUT "/canvas/viewport" admin::save_viewport;
    GET "/workspaces" workspaces::list;
    POST "/workspaces" create::create;
    GET "/workspaces/{id}" workspaces::get;
    PATCH "/workspaces/{id}" update::update;
    DELETE "/workspaces/{id}" lifecycle::delete;
    POST "/workspaces/{id}/restart" lifecycle::restart;
    POST "/workspaces/{id}/pause" lifecycle::pause;
    POST "/workspaces/{id}/resume" lifecycle::resume;
    POST "/workspaces/{id}/hibernate" lifecycle::hibernate;
    POST "/admin/workspaces/{id}/bootstrap-failed" lifecycle::bootstrap_failed;
    GET "/workspaces/{id}/console" lifecycle::console;
    GET "/workspaces/{id}/state" workspaces::state;
    GET "/workspaces/{id}/budget" workspaces::budget;
    PATCH "/workspaces/{id}/budget" workspaces::set_budget;
    POST "/workspaces/{id}/a2a" a2a::send;
    POST "/workspaces/{id}/delegate" delegations::delegate;
    GET "/workspaces/{id}/delegations" delegations::list;
    POST "/workspaces/{id}/delegations/record" delegations::record;
    POST "/workspaces/{id}/delegations/{item}/update" delegations::update;
    GET "/workspaces/{id}/metrics" relay::usage;
    POST "/admin/a2a-queue/drop-stale" relay::drop_stale;
    GET "/workspaces/{id}/transcript" transcript::get;
    POST "/workspaces/{id}/expand" team::expand;
    POST "/workspaces/{id}/collapse" team::collapse;
    GET "/templates" templates::list;
    GET "/workspaces/{id}/shared-context" files::shared_context;
    GET "/workspaces/{id}/files" files::list;
    PUT "/workspaces/{id}/files" files::replace;
    GET "/workspaces/{id}/files/{*path}" files::read;
    PUT "/workspaces/{id}/files/{*path}" files::write;
    DELETE "/workspaces/{id}/files/{*path}" files::delete;
    GET "/workspaces/{id}/tokens" tokens::list;
    POST "/workspaces/{id}/tokens" tokens::mint;
    DELETE "/workspaces/{id}/tokens/{item}" tokens::revoke;
    GET "/workspaces/{id}/secrets" secrets::list;
    POST "/workspaces/{id}/secrets" secrets::put;
    PUT "/workspaces/{id}/secrets" secrets::put;
    DELETE "/workspaces/{id}/secrets/{item}" secrets::delete;
    GET "/workspaces/{id}/secrets/values" secrets::values;
    GET "/settings/secrets" secrets::list_global;
    PUT "/settings/secrets" secrets::put_global;
    POST "/settings/secrets" secrets::put_global;
    DELETE "/settings/secrets/{id}" secrets::delete_global;
    GET "/admin/secrets" secrets::list_global;
    POST "/admin/secrets" secrets::put_global;
    DELETE "/admin/secrets/{id}" secrets::delete_global;
    GET "/workspaces/{id}/model" models::get;
    PUT "/workspaces/{id}/model" models::set;
    GET "/workspaces/{id}/config" configs::get;
    PATCH "/workspaces/{id}/config" configs::merge;
    GET "/workspaces/{id}/activity" activity::list;
    POST "/workspaces/{id}/activity" activity::report;
    POST "/workspaces/{id}/notify" notify::notify;
    GET "/workspaces/{id}/session-search" activity::search;
    GET "/workspaces/{id}/events/stream" stream::stream;
    GET "/ws" socket::socket;
    GET "/events" events::newest;
    GET "/events/{id}" events::newest_of;
    POST "/registry/register" agents::register;
    POST "/registry/heartbeat" heartbeat::heartbeat;
    POST "/registry/update-card" agents::update_card;
    GET "/registry/discover/{id}" discovery::discover;
    GET "/registry/{id}/peers" discovery::peers;
    POST "/registry/check-access" discovery::check_access;
    POST "/a2a/{id}" rpc::call;
    GET "/a2a/{id}/.well-known/agent-card.json" cards::card;
    GET "/a2a/{id}/.well-known/agent.json" cards::card;
    GET "/workspaces/{id}/.well-known/agent-card.json" cards::card;
    GET "/workspaces/{id}/.well-known/agent.json" cards::card;
}

/// The handler of a route; what is not served says so.
pub(crate) fn handler(method: &str, path: &str) -> Handler {
    HANDLERS
        .iter()
        .find(|(m, p, _)| (*m, *p) == (method, path))
        .map_or(
            |app, call| Box::pin(unavailable::unavailable(app, call)),
            |(_, _, handler)| *handler,
        )
}
