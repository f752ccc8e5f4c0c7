//! The agent's card, for readers of A2A 0.3 and of 1.0: each finds its members, and
//! ignores the other's.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use candor_a2a::Version;
use candor_a2a::card::{etag, is_known};
use serde_json::{Value, json};

use super::Server;

/// The one binding that is spoken.
const BINDING: &str = "JSONRPC";
/// A card changes with its process; a minute of the old one harms nobody.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=60");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What the agent tells of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// Its name.
    pub name: String,
    /// What it is, for people.
    pub description: String,
    /// Its own version, not the protocol's.
    pub version: String,
    /// What it does well.
    pub skills: Vec<Skill>,
    /// Whether it streams what comes of a message.
    pub streaming: bool,
    /// Where others reach it.
    pub url: String,
}

/// Something that the agent does well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skill {
    /// Unique within the card.
    pub id: String,
    /// For people.
    pub name: String,
    /// For people and for agents that choose.
    pub description: String,
    /// Words to find it by.
    pub tags: Vec<String>,
}

impl Card {
    /// The card as it is served, and as the platform is told at registration.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let url = &self.url;
        let interface = |version: Version| {
            let version = version.as_str();
            json!({"url": url, "protocolBinding": BINDING, "protocolVersion": version})
        };
        let skills: Vec<Value> = self.skills.iter().map(Skill::to_json).collect();
        json!({
            "name": self.name,
            "description": self.description,
            "version": self.version,
            "url": url,
            "protocolVersion": "0.3.0",
            "preferredTransport": BINDING,
            "additionalInterfaces": [{"url": url, "transport": BINDING}],
            "supportedInterfaces": [interface(Version::V10), interface(Version::V03)],
            "capabilities": {
                "streaming": self.streaming,
                "pushNotifications": false,
                "extendedAgentCard": false,
            },
            "supportsAuthenticatedExtendedCard": false,
            "defaultInputModes": ["text/plain"],
            "defaultOutputModes": ["text/plain"],
            "skills": skills,
        })
    }
}

impl Skill {
    fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "tags": self.tags,
        })
    }
}

/// A card as it goes out.
pub(super) struct Published {
    json: Bytes,
    /// A strong validator, with its quotes (RFC 9110, section 8.8.3).
    etag: String,
}

impl Published {
    pub(super) fn of(card: &Card) -> Self {
        let json = card.to_json().to_string();
        Self {
            etag: etag(&json),
            json: json.into(),
        }
    }
}

/// GET of either well-known path (A2A 1.0.1, section 8.6).
pub(super) async fn get(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response {
    let card = &server.card;
    let known = headers.get_all(IF_NONE_MATCH).into_iter();
    let known = known.filter_map(|value| value.to_str().ok());
    let mut response = if is_known(known, &card.etag) {
        let mut unchanged = Response::new(Body::empty());
        *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
        unchanged
    } else {
        let mut whole = Response::new(Body::from(card.json.clone()));
        whole.headers_mut().insert(CONTENT_TYPE, JSON);
        whole
    };
    response.headers_mut().insert(CACHE_CONTROL, CACHE);
    if let Ok(etag) = HeaderValue::from_str(&card.etag) {
        response.headers_mut().insert(ETAG, etag);
    }
    response
}
