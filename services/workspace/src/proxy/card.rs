//! The agent's card as the sidecar shows it: its addresses are the sidecar's, so that
//! whoever follows them is counted.

use std::time::Duration;

use bytes::Bytes;
use candor_egress::{AgentRequest, Collected, DialError, Progress};
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Map, Value};
use url::Url;

use super::outcome::is_of_gateway;
use super::{Parts, Proxy};

/// Where a card is: A2A since 0.3, and before.
pub(super) const WELL_KNOWN: [&str; 2] =
    ["/.well-known/agent-card.json", "/.well-known/agent.json"];
/// Largest card, in bytes.
const CARD: usize = 1024 * 1024;

/// Why there is no card.
#[derive(Debug, thiserror::Error)]
pub enum CardError {
    /// The agent was not reached, or gave no answer that is HTTP.
    #[error("the agent's card cannot be read: {0}")]
    Dial(#[from] DialError),
    /// No whole answer in time.
    #[error("the agent's card did not come within {} s", .0.as_secs_f64())]
    Deadline(Duration),
    /// The connection ended in the middle of it.
    #[error("the agent's card was cut off")]
    Cut,
    /// What stands before the agent got no answer from it.
    #[error("the agent's card cannot be read: HTTP {0}")]
    Gateway(u16),
    /// The agent has no card where cards are.
    #[error("the agent has no card: HTTP {0}")]
    Status(u16),
    /// It is none.
    #[error("the agent's card {0}")]
    NotACard(&'static str),
    /// It offers only what is not passed on, such as gRPC.
    #[error("the agent's card offers neither JSON-RPC nor HTTP+JSON")]
    NoInterface,
}

impl Proxy {
    /// The agent's card with the addresses of this process in it, which callers find
    /// at `own_url`. Takes [`super::ProxySettings::canary_timeout`] at most.
    ///
    /// # Errors
    /// [`CardError`].
    pub async fn card(&self, own_url: &Url) -> Result<Value, CardError> {
        let card = self.fetch_card().await?;
        rewrite(card, &self.0.settings.agent, own_url)
    }

    /// The agent's card as it is.
    pub(super) async fn fetch_card(&self) -> Result<Value, CardError> {
        let within = self.0.settings.canary_timeout;
        let card = tokio::time::timeout(within, self.find_card()).await;
        let card = card.map_err(|_| CardError::Deadline(within))??;
        *self.0.spoken.lock() = Some(candor_a2a::card::spoken(Some(&card.to_string())));
        Ok(card)
    }

    async fn find_card(&self) -> Result<Value, CardError> {
        let known = self.0.card_url.lock().clone();
        let mut missing = None;
        let places = known.into_iter().chain(places(&self.0.settings.agent));
        for url in places {
            match get(&self.0, url.clone()).await {
                Ok(card) => {
                    *self.0.card_url.lock() = Some(url);
                    return Ok(card);
                }
                // It may be elsewhere.
                Err(error @ (CardError::Status(_) | CardError::NotACard(_))) => {
                    missing.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(missing.unwrap_or(CardError::Status(404)))
    }
}

/// Where the card may be: below the agent's address, and at the top.
fn places(agent: &Url) -> Vec<String> {
    let mut places = Vec::new();
    for path in WELL_KNOWN {
        let top = format!("{}{path}", origin(agent));
        places.push(format!("{}{path}", base(agent)));
        if !places.contains(&top) {
            places.push(top);
        }
    }
    places
}

async fn get(parts: &Parts, url: String) -> Result<Value, CardError> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let request = AgentRequest {
        method: Method::GET,
        url,
        headers,
        body: Bytes::new(),
    };
    let response = parts.egress.send(request, &Progress::new()).await?;
    if is_of_gateway(response.status) {
        return Err(CardError::Gateway(response.status.as_u16()));
    }
    let body = match response.body.collect(CARD).await {
        Ok(Collected::Whole(body)) => body,
        Ok(Collected::Larger(_)) => return Err(CardError::NotACard("is larger than 1 MiB")),
        Err(_) => return Err(CardError::Cut),
    };
    if !response.status.is_success() {
        return Err(CardError::Status(response.status.as_u16()));
    }
    match serde_json::from_slice(&body) {
        Ok(card @ Value::Object(_)) => Ok(card),
        _ => Err(CardError::NotACard("is no JSON object")),
    }
}

/// Scheme, host and port.
pub(super) fn origin(url: &Url) -> &str {
    &url[..url::Position::BeforePath]
}

/// Without a slash at the end, and without what follows a path.
pub(super) fn base(url: &Url) -> &str {
    url[..url::Position::AfterPath].trim_end_matches('/')
}

/// Puts the sidecar's addresses in the place of the agent's. Signatures are dropped:
/// they cover the addresses (RFC 7515 over RFC 8785).
pub(super) fn rewrite(card: Value, agent: &Url, own_url: &Url) -> Result<Value, CardError> {
    let Value::Object(mut card) = card else {
        return Err(CardError::NotACard("is no JSON object"));
    };
    card.remove("signatures");
    let moved = |url: &str| moved(url, agent, own_url);
    let mut interfaces = Vec::new();
    for (name, binding) in [
        ("supportedInterfaces", "protocolBinding"),
        ("supported_interfaces", "protocol_binding"),
        ("additionalInterfaces", "transport"),
        ("additional_interfaces", "transport"),
    ] {
        let Some(Value::Array(given)) = card.get_mut(name) else {
            continue;
        };
        given.retain_mut(|interface| pointed(interface, binding, &moved).is_some());
        interfaces.extend(given.iter().map(|interface| {
            let text = |member: &str| interface[member].as_str().unwrap_or_default().to_owned();
            (text("url"), text(binding))
        }));
    }
    let first = interfaces.into_iter().next();
    point_top(&mut card, first.as_ref(), &moved)?;
    Ok(Value::Object(card))
}

/// The address of 0.3, in the top level of a card.
fn point_top(
    card: &mut Map<String, Value>,
    first: Option<&(String, String)>,
    moved: &impl Fn(&str) -> Option<String>,
) -> Result<(), CardError> {
    let transport = ["preferredTransport", "preferred_transport"]
        .into_iter()
        .find(|name| card.get(*name).is_some_and(Value::is_string));
    let preferred = transport.and_then(|name| card[name].as_str());
    let is_passed = preferred.is_none_or(is_passed);
    let url = card.get("url").and_then(Value::as_str).map(str::to_owned);
    let (url, binding) = match (url, first) {
        (None, None) => return Err(CardError::NoInterface),
        // A card of 1.0 has none.
        (None, Some(_)) => return Ok(()),
        (Some(url), _) if is_passed => match moved(&url) {
            Some(url) => (url, None),
            None => return Err(CardError::NoInterface),
        },
        (Some(_), None) => return Err(CardError::NoInterface),
        (Some(_), Some((url, binding))) => (url.clone(), Some(binding.clone())),
    };
    card.insert("url".to_owned(), Value::from(url));
    if let (Some(name), Some(binding)) = (transport, binding) {
        card.insert(name.to_owned(), Value::from(binding));
    }
    Ok(())
}

/// Whether calls in a binding can be passed on: those over HTTP/1.1.
fn is_passed(binding: &str) -> bool {
    binding.eq_ignore_ascii_case("JSONRPC") || binding.eq_ignore_ascii_case("HTTP+JSON")
}

/// Points an interface here; nothing if it is not passed on.
fn pointed(
    interface: &mut Value,
    binding: &str,
    moved: &impl Fn(&str) -> Option<String>,
) -> Option<()> {
    let url = moved(interface["url"].as_str()?)?;
    if !interface[binding].as_str().is_none_or(is_passed) {
        return None;
    }
    interface["url"] = Value::from(url);
    Some(())
}

/// Where an address of the agent is found here. The agent may name its host in any
/// way; a part of it that listens at another port of this machine is not passed on.
fn moved(url: &str, agent: &Url, own_url: &Url) -> Option<String> {
    let url = Url::parse(url).ok()?;
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let is_here = match url.host()? {
        url::Host::Domain(name) => name == "localhost",
        url::Host::Ipv4(ip) => ip.is_loopback() || ip.is_unspecified(),
        url::Host::Ipv6(ip) => ip.is_loopback() || ip.is_unspecified(),
    };
    if (is_here || url.host() == agent.host())
        && url.port_or_known_default() != agent.port_or_known_default()
    {
        return None;
    }
    let prefix = agent.path().trim_end_matches('/');
    // What is not below the agent's address is the agent itself, for want of better.
    let rest = match url.path().strip_prefix(prefix) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => "/",
    };
    let rest = if rest.is_empty() { "/" } else { rest };
    Some(format!("{}{rest}", base(own_url)))
}

#[cfg(test)]
#[path = "card_tests.rs"]
mod tests;
