//! Keeps an agent's own address out of what is published.

use std::net::{Ipv4Addr, Ipv6Addr};

use aho_corasick::{AhoCorasick, MatchKind};
use serde_json::Value;
use url::{Host, Url};

use crate::object::Object;

/// Names that resolve inside of somebody's network only (RFC 6761, RFC 6762,
/// RFC 8375, and what ICANN reserved for it).
const INSIDE: [&str; 6] = ["local", "localhost", "internal", "lan", "svc", "arpa"];

/// Where the agent is, as texts to be looked for in any case.
pub(super) struct Addresses {
    texts: Vec<String>,
    search: AhoCorasick,
}

impl Addresses {
    /// The addresses in a card, and the one that the registry knows, without what
    /// is the public one's too. Nothing if they are too many to be looked for.
    pub(super) fn of(card: &Object, agent_url: Option<&str>, public: &str) -> Option<Self> {
        let listed = ["additionalInterfaces", "supportedInterfaces"];
        let listed = listed.iter().filter_map(|name| card.get(*name)?.as_array());
        let listed = listed.flatten().filter_map(|one| one.get("url")?.as_str());
        let own = card.get("url").and_then(Value::as_str);
        let every = own.into_iter().chain(listed).chain(agent_url);
        let mut texts: Vec<String> = every.flat_map(spellings).collect();
        let public = public.to_ascii_lowercase();
        texts.retain(|text| !public.contains(text.as_str()));
        texts.sort();
        texts.dedup();
        // Linear in the text, however many addresses a card lists.
        let search = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostLongest)
            .build(&texts)
            .ok()?;
        Some(Self { texts, search })
    }

    /// Takes out the card's links that lead inside, and writes the public address
    /// wherever else one of the agent's stands.
    pub(super) fn redact(&self, card: &mut Object, public: &str) {
        for link in ["documentationUrl", "iconUrl"] {
            if card
                .get(link)
                .and_then(Value::as_str)
                .is_some_and(|link| self.is_inside(link))
            {
                card.remove(link);
            }
        }
        if let Some(Value::Object(provider)) = card.get_mut("provider") {
            let link = provider.get("url").and_then(Value::as_str);
            // 1.0 requires the member.
            if link.is_none_or(|link| self.is_inside(link)) {
                provider.insert("url".to_owned(), Value::from(public));
            }
        }
        self.rewrite_members(card, public);
    }

    fn is_inside(&self, link: &str) -> bool {
        let Ok(url) = Url::parse(link) else {
            return true;
        };
        if self.search.is_match(link) {
            return true;
        }
        match url.host() {
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.');
                let last = name.rsplit_once('.').map(|(_, last)| last);
                last.is_none_or(|last| INSIDE.contains(&last))
            }
            Some(Host::Ipv4(address)) => is_inside_v4(address),
            Some(Host::Ipv6(address)) => is_inside_v6(address),
            // A picture may be in the card itself.
            None => url.scheme() != "data",
        }
    }

    fn rewrite(&self, value: &mut Value, public: &str) {
        match value {
            Value::String(text) => self.rewrite_text(text, public),
            Value::Array(items) => {
                items.iter_mut().for_each(|item| self.rewrite(item, public));
            }
            Value::Object(members) => self.rewrite_members(members, public),
            _ => {}
        }
    }

    fn rewrite_members(&self, members: &mut Object, public: &str) {
        let told = std::mem::take(members);
        members.extend(told.into_iter().map(|(mut name, mut value)| {
            self.rewrite_text(&mut name, public);
            self.rewrite(&mut value, public);
            (name, value)
        }));
    }

    fn rewrite_text(&self, text: &mut String, public: &str) {
        if !self.search.is_match(text.as_str()) {
            return;
        }
        let authority = public.split_once("://").map_or(public, |(_, rest)| rest);
        let mut told = String::with_capacity(text.len());
        self.search
            .replace_all_with(text, &mut told, |found, _, told| {
                let address = self.texts.get(found.pattern().as_usize());
                let has_scheme = address.is_some_and(|address| address.contains("://"));
                told.push_str(if has_scheme { public } else { authority });
                true
            });
        *text = told;
    }
}

/// The ways in which a text can name the place of a URL. A bare name is none:
/// it may be a word.
fn spellings(url: &str) -> Vec<String> {
    let Ok(url) = Url::parse(url) else {
        return Vec::new();
    };
    let Some(host) = url.host() else {
        return Vec::new();
    };
    let (scheme, bare) = (url.scheme(), host.to_string());
    let mut found = vec![format!("{scheme}://{bare}")];
    if let Some(port) = url.port_or_known_default() {
        found.push(format!("{scheme}://{bare}:{port}"));
        found.push(format!("{bare}:{port}"));
    }
    if !matches!(host, Host::Domain(name) if !name.contains('.')) {
        found.push(bare);
    }
    found
}

fn is_inside_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_unspecified()
        // Shared address space (RFC 6598).
        || (first == 100 && (64..128).contains(&second))
}

fn is_inside_v6(address: Ipv6Addr) -> bool {
    address.to_ipv4_mapped().is_some_and(is_inside_v4)
        || address.is_loopback()
        || address.is_unspecified()
        || address.is_unique_local()
        || address.is_unicast_link_local()
}
