//! Agent cards: what an agent said of itself, told by the gateway that stands
//! before it.
//!
//! One card serves readers of 0.3 and of 1.0, as those of the official SDKs do:
//! each finds its members, and ignores the other's. All addresses in it are the
//! gateway's.
//!
//! A signature covers the whole card (RFC 7515 over RFC 8785), so the card that
//! is published, with other addresses in it, cannot keep the agent's. Candor has
//! no key that a reader would know, so it does not sign either: `signatures` is
//! taken out. A card without a signature is valid; one whose signature does not
//! verify is broken.
//!
//! Security schemes are the gateway's too: an agent's say how to prove oneself
//! to the agent, and whoever follows them here would hand the agent's secrets to
//! the gateway.

mod members;
mod privacy;
mod spoken;
mod tag;

use serde_json::{Value, json};

use crate::object::{Object, camel_case};
use crate::version::Version;
pub use spoken::{Spoken, spoken, version_of};
pub use tag::{etag, is_known};

/// The binding that every workspace has.
const JSONRPC: &str = "JSONRPC";
/// The name of the one security scheme.
const SCHEME: &str = "bearer";

/// Members that speak of addresses, proofs and versions: never passed on.
const REPLACED: [&str; 10] = [
    "url",
    "preferredTransport",
    "protocolVersion",
    "protocolVersions",
    "additionalInterfaces",
    "supportedInterfaces",
    "signatures",
    "securitySchemes",
    "security",
    "securityRequirements",
];

/// Whose card it is.
#[derive(Debug, Clone, Copy)]
pub struct Workspace<'a> {
    /// Its id: the last segment of its address, the tenant over gRPC.
    pub id: &'a str,
    /// Its name, for agents that give none.
    pub name: &'a str,
    /// Where its agent is, if known. This is not told.
    pub agent_url: Option<&'a str>,
}

/// Where callers reach it.
#[derive(Debug, Clone, Copy)]
pub struct Door<'a> {
    /// The listener's address as callers know it, such as
    /// `https://candor.example`; the card points below it.
    pub base_url: &'a str,
    /// Where `lf.a2a.v1.A2AService` is, if it is offered.
    pub grpc_url: Option<&'a str>,
    /// Whether callers must prove who they are.
    pub access: Access,
}

/// What a listener asks of callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    Open,
    /// A bearer token.
    Bearer,
}

/// A card as it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedCard {
    /// The body.
    pub json: String,
    /// `ETag`: a strong validator of the body, with its quotes (RFC 9110,
    /// section 8.8.3).
    pub etag: String,
}

/// The address of a workspace's agent, without a slash at its end.
#[must_use]
pub fn address(base_url: &str, workspace_id: &str) -> String {
    format!("{}/a2a/{workspace_id}", base_url.trim_end_matches('/'))
}

/// The card to be published. `stored` is what the agent gave at its
/// registration: a card of either version, a part of one, or anything else,
/// which counts as none. The same goes for an extended card that the agent
/// answered with.
///
/// Members that the protocol requires and the agent did not give are filled
/// with what promises nothing.
#[must_use]
pub fn publish(stored: Option<&str>, workspace: &Workspace<'_>, door: &Door<'_>) -> PublishedCard {
    let mut card = stored.and_then(read).unwrap_or_default();
    let spoken = spoken::of_card(&card);
    let public = address(door.base_url, workspace.id);

    let private = privacy::Addresses::of(&card, workspace.agent_url, &public);
    if private.is_none() {
        card.clear();
    }
    for name in REPLACED {
        card.remove(name);
    }
    members::complete(&mut card, workspace.name);
    if let Some(private) = private {
        private.redact(&mut card, &public);
    }
    point(&mut card, &public, spoken.tenant.as_deref());
    if let Some(grpc_url) = door.grpc_url {
        point_grpc(&mut card, grpc_url, workspace.id);
    }
    if door.access == Access::Bearer {
        secure(&mut card);
    }

    let json = Value::Object(card).to_string();
    PublishedCard {
        etag: etag(&json),
        json,
    }
}

/// A card with its members in camel case; nothing if it is no object.
fn read(stored: &str) -> Option<Object> {
    let Ok(Value::Object(mut card)) = serde_json::from_str(stored) else {
        return None;
    };
    camel_case(&mut card, &REPLACED);
    camel_case(&mut card, &members::OF_A_CARD);
    Some(card)
}

/// Both versions over JSON-RPC, at the same address. The tenant is the agent's
/// own, if it has one: JSON-RPC params pass the gateway as they are, and the
/// workspace stands in the address.
fn point(card: &mut Object, public: &str, tenant: Option<&str>) {
    let interface = |version: Version| {
        let version = version.as_str();
        json!({"url": public, "protocolBinding": JSONRPC, "protocolVersion": version})
    };
    let mut newer = interface(Version::V10);
    if let Some(tenant) = tenant {
        newer["tenant"] = Value::from(tenant);
    }
    let mut add = |name: &str, value: Value| card.insert(name.to_owned(), value);
    add(
        "supportedInterfaces",
        json!([newer, interface(Version::V03)]),
    );
    add("url", Value::from(public));
    add("preferredTransport", Value::from(JSONRPC));
    add("protocolVersion", Value::from("0.3.0"));
    let same = json!([{"url": public, "transport": JSONRPC}]);
    add("additionalInterfaces", same);
}

/// gRPC is one address for every workspace; the tenant says which. 0.3 had
/// another service over gRPC, so only 1.0's readers are told.
fn point_grpc(card: &mut Object, url: &str, workspace_id: &str) {
    if let Some(Value::Array(interfaces)) = card.get_mut("supportedInterfaces") {
        let version = Version::V10.as_str();
        interfaces.push(json!({
            "url": url, "protocolBinding": "GRPC", "protocolVersion": version,
            "tenant": workspace_id,
        }));
    }
}

/// The scheme in the words of both versions.
fn secure(card: &mut Object) {
    let mut add = |name: &str, value: Value| card.insert(name.to_owned(), value);
    let scheme = json!({
        "type": "http", "scheme": "bearer", "httpAuthSecurityScheme": {"scheme": "Bearer"},
    });
    add("securitySchemes", json!({ SCHEME: scheme }));
    add("security", json!([{ SCHEME: [] }]));
    add(
        "securityRequirements",
        json!([{"schemes": {SCHEME: {"list": []}}}]),
    );
}
