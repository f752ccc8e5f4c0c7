//! Which versions the agent behind a card speaks.

use serde_json::Value;

use crate::object::{Object, camel_case};
use crate::version::Version;

/// What an agent speaks over JSON-RPC, by its own card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spoken {
    /// In the agent's order; never empty.
    pub versions: Vec<Version>,
    /// What the agent wants in `tenant` of every request of 1.0.
    pub tenant: Option<String>,
}

impl Spoken {
    /// The version to speak to the agent, for a caller that speaks this one:
    /// the same where the agent speaks it, so that nothing is translated.
    #[must_use]
    pub fn version_for(&self, caller: Version) -> Version {
        if self.versions.contains(&caller) {
            return caller;
        }
        self.versions.first().copied().unwrap_or(Version::V03)
    }
}

/// Reads a card as the agent gave it. Without a word about versions it is of
/// 0.3.
#[must_use]
pub fn spoken(stored: Option<&str>) -> Spoken {
    of_card(&stored.and_then(super::read).unwrap_or_default())
}

/// The version that the agent prefers, see [`spoken`].
#[must_use]
pub fn version_of(stored: &str) -> Version {
    let versions = spoken(Some(stored)).versions;
    versions.first().copied().unwrap_or(Version::V03)
}

pub(super) fn of_card(card: &Object) -> Spoken {
    let interfaces = json_rpc_interfaces(card);
    let mut versions = Vec::new();
    for interface in &interfaces {
        // 1.0 has these interfaces, so one without a version is of 1.0.
        let version = interface.get("protocolVersion").and_then(of_major);
        let version = version.unwrap_or(Version::V10);
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    if let Some(version) = card.get("protocolVersion").and_then(of_major)
        && !versions.contains(&version)
    {
        versions.push(version);
    }
    if versions.is_empty() {
        versions.push(Version::V03);
    }
    let tenant = interfaces
        .iter()
        .filter(|interface| {
            interface.get("protocolVersion").and_then(of_major) != Some(Version::V03)
        })
        .find_map(|interface| interface.get("tenant")?.as_str())
        .filter(|tenant| !tenant.is_empty())
        .map(str::to_owned);
    Spoken { versions, tenant }
}

fn json_rpc_interfaces(card: &Object) -> Vec<Object> {
    let all = card.get("supportedInterfaces").and_then(Value::as_array);
    let objects = all.into_iter().flatten().filter_map(Value::as_object);
    objects
        .cloned()
        .map(|mut interface| {
            camel_case(&mut interface, &["protocolBinding", "protocolVersion"]);
            interface
        })
        .filter(|interface| {
            let binding = interface.get("protocolBinding").and_then(Value::as_str);
            binding.is_none_or(|binding| binding.eq_ignore_ascii_case(super::JSONRPC))
        })
        .collect()
}

/// Minor versions of 1 promise to understand 1.0; whatever began with 0 and is
/// still registered speaks like 0.3.
fn of_major(version: &Value) -> Option<Version> {
    let (major, _) = version.as_str()?.split_once('.')?;
    match major {
        "0" => Some(Version::V03),
        "1" => Some(Version::V10),
        _ => None,
    }
}
