//! The kinds that are known, and their published shapes.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// One kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) kind: &'static str,
    pub(super) resource: &'static str,
    /// Refuses what has another shape.
    pub(super) fits: fn(&Value) -> Result<(), String>,
}

const KINDS: [Kind; 5] = [
    Kind {
        group: "",
        version: "v1",
        kind: "Pod",
        resource: "pods",
        fits: fits::<Pod>,
    },
    Kind {
        group: "",
        version: "v1",
        kind: "Secret",
        resource: "secrets",
        fits: fits::<Secret>,
    },
    Kind {
        group: "",
        version: "v1",
        kind: "Service",
        resource: "services",
        fits: fits::<Service>,
    },
    Kind {
        group: "",
        version: "v1",
        kind: "PersistentVolumeClaim",
        resource: "persistentvolumeclaims",
        fits: fits::<PersistentVolumeClaim>,
    },
    Kind {
        group: "networking.k8s.io",
        version: "v1",
        kind: "NetworkPolicy",
        resource: "networkpolicies",
        fits: fits::<NetworkPolicy>,
    },
];

impl Kind {
    pub(super) fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }
}

pub(super) fn find(resource: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.resource == resource)
}

/// Reads it as its published type and writes it again: what is lost on the way is a
/// field that the type does not have.
fn fits<T: DeserializeOwned + Serialize>(object: &Value) -> Result<(), String> {
    let read: T = serde_json::from_value(object.clone()).map_err(|error| error.to_string())?;
    let written = serde_json::to_value(read).map_err(|error| error.to_string())?;
    match lost(object, &written, "") {
        Some(field) => Err(format!("unknown field {field}")),
        None => Ok(()),
    }
}

/// The first field of `sent` that `kept` does not have as it was.
fn lost(sent: &Value, kept: &Value, at: &str) -> Option<String> {
    match (sent, kept) {
        (Value::Object(sent), Value::Object(kept)) => sent
            .iter()
            .filter(|(_, value)| !value.is_null())
            .find_map(|(name, value)| {
                let at = format!("{at}.{name}");
                match kept.get(name) {
                    Some(kept) => lost(value, kept, &at),
                    None => Some(at),
                }
            }),
        (Value::Array(sent), Value::Array(kept)) if sent.len() == kept.len() => sent
            .iter()
            .zip(kept)
            .enumerate()
            .find_map(|(number, (sent, kept))| lost(sent, kept, &format!("{at}[{number}]"))),
        _ => (sent != kept).then(|| at.to_owned()),
    }
}
