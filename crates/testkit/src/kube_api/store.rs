//! What the API server keeps, and how it changes.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::kinds::{self, Kind};
use super::rules;

/// A refusal, as the API says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
        }
    }
}

/// Resource, namespace, name.
type Key = (String, String, String);

/// The objects of all kinds.
pub(super) struct Store {
    objects: BTreeMap<Key, Value>,
    version: u64,
    /// Objects a page of a list holds at most.
    pub(super) page: usize,
    /// Pods are held to the level `restricted`.
    pub(super) is_restricted: bool,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            version: 0,
            page: 500,
            is_restricted: false,
        }
    }
}

/// How an object is asked to go.
#[derive(Debug, Clone, Default)]
pub(super) struct Going {
    pub(super) grace: Option<i64>,
    pub(super) uid: Option<String>,
}

fn key(kind: &Kind, namespace: &str, name: &str) -> Key {
    (kind.resource.into(), namespace.into(), name.into())
}

fn not_found(kind: &Kind, name: &str) -> Refusal {
    let message = format!("{} \"{name}\" not found", kind.resource);
    Refusal::new(404, "NotFound", message)
}

pub(super) fn now() -> String {
    time(Utc::now())
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Whether the labels of an object have all of these.
pub(super) fn has_labels<'a>(
    object: &Value,
    mut labels: impl Iterator<Item = (&'a str, &'a str)>,
) -> bool {
    labels.all(|(key, value)| object["metadata"]["labels"][key] == value)
}

impl Store {
    fn next_version(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }

    pub(super) fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Result<Value, Refusal> {
        let found = self.objects.get(&key(kind, namespace, name));
        found.cloned().ok_or_else(|| not_found(kind, name))
    }

    /// Everything of a resource, by name, in whichever namespace.
    pub(super) fn of(&self, resource: &str) -> BTreeMap<String, Value> {
        let of_resource = self.objects.iter().filter(|(key, _)| key.0 == resource);
        of_resource
            .map(|(key, object)| (key.2.clone(), object.clone()))
            .collect()
    }

    /// The objects of a namespace that a selector finds, by name.
    pub(super) fn list(&self, kind: &Kind, namespace: &str, selector: &str) -> Vec<Value> {
        let pairs = || selector.split(',').filter_map(|pair| pair.split_once('='));
        let mut found = Vec::new();
        for ((resource, of, _), object) in &self.objects {
            if resource == kind.resource && of == namespace && has_labels(object, pairs()) {
                found.push(object.clone());
            }
        }
        found
    }

    pub(super) fn resource_version(&self) -> String {
        self.version.to_string()
    }

    pub(super) fn create(
        &mut self,
        kind: &Kind,
        namespace: &str,
        mut object: Value,
    ) -> Result<Value, Refusal> {
        let name = text(&object, "/metadata/name").to_owned();
        self.check(kind, &name, &object)?;
        let key = key(kind, namespace, &name);
        if self.objects.contains_key(&key) {
            let message = format!("{} \"{name}\" already exists", kind.resource);
            return Err(Refusal::new(409, "AlreadyExists", message));
        }
        let version = self.next_version();
        object["apiVersion"] = json!(kind.api_version());
        object["kind"] = json!(kind.kind);
        let meta = &mut object["metadata"];
        meta["namespace"] = json!(namespace);
        meta["uid"] = json!(format!("00000000-0000-4000-8000-{:012x}", self.version));
        meta["resourceVersion"] = json!(version);
        meta["creationTimestamp"] = json!(now());
        match kind.resource {
            "pods" => object["status"] = json!({"phase": "Pending"}),
            "persistentvolumeclaims" => {
                object["metadata"]["finalizers"] = json!(["kubernetes.io/pvc-protection"]);
                object["status"] = json!({"phase": "Bound"});
            }
            "services" => {
                let spec = &mut object["spec"];
                spec["clusterIP"] = json!(format!("10.96.0.{}", self.version % 250 + 1));
                spec["sessionAffinity"] = json!("None");
            }
            _ => {}
        }
        self.objects.insert(key, object.clone());
        Ok(object)
    }

    fn check(&self, kind: &Kind, name: &str, object: &Value) -> Result<(), Refusal> {
        (kind.fits)(object).map_err(|problem| Refusal::new(400, "BadRequest", problem))?;
        rules::check(kind, object).map_err(|problem| {
            let message = format!("{} \"{name}\" is invalid: {problem}", kind.kind);
            Refusal::new(422, "Invalid", message)
        })?;
        if self.is_restricted && kind.resource == "pods" {
            rules::restricted(object).map_err(|problem| {
                let message = format!(
                    "pods \"{name}\" is forbidden: violates PodSecurity \"restricted:latest\": {problem}"
                );
                Refusal::new(403, "Forbidden", message)
            })?;
        }
        Ok(())
    }

    pub(super) fn update(
        &mut self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        object: Value,
    ) -> Result<Value, Refusal> {
        let there = self.get(kind, namespace, name)?;
        let version = text(&object, "/metadata/resourceVersion");
        if !version.is_empty() && version != text(&there, "/metadata/resourceVersion") {
            let message = format!(
                "Operation cannot be fulfilled on {} \"{name}\": the object has been modified",
                kind.resource
            );
            return Err(Refusal::new(409, "Conflict", message));
        }
        self.check(kind, name, &object)?;
        rules::may_become(kind, &there, &object).map_err(|problem| {
            let message = format!("{} \"{name}\" is invalid: {problem}", kind.kind);
            Refusal::new(422, "Invalid", message)
        })?;
        self.set(kind, namespace, name, object)
    }

    /// Changes what is there, past the rules: the node's and the server's own way.
    pub(super) fn set(
        &mut self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        mut object: Value,
    ) -> Result<Value, Refusal> {
        let version = self.next_version();
        let there = self
            .objects
            .get_mut(&key(kind, namespace, name))
            .ok_or_else(|| not_found(kind, name))?;
        object["metadata"]["resourceVersion"] = json!(version);
        *there = object.clone();
        Ok(object)
    }

    /// Asks an object to go: at once, or by a time until which somebody holds it.
    pub(super) fn delete(
        &mut self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        going: &Going,
    ) -> Result<Value, Refusal> {
        let mut object = self.get(kind, namespace, name)?;
        let uid = text(&object, "/metadata/uid").to_owned();
        if going.uid.as_ref().is_some_and(|meant| *meant != uid) {
            let message = format!(
                "Precondition failed: UID in precondition: {:?}, UID in object meta: {uid}",
                going.uid
            );
            return Err(Refusal::new(409, "Conflict", message));
        }
        let held = match kind.resource {
            "pods" => grace_of(&object, going.grace),
            "persistentvolumeclaims" if self.is_mounted(namespace, name) => Some(0),
            _ => None,
        };
        let Some(grace) = held else {
            self.remove(kind, namespace, name);
            return Ok(object);
        };
        let left = object["metadata"]["deletionGracePeriodSeconds"].as_i64();
        if left.is_none_or(|left| grace < left) {
            let end = Utc::now() + Duration::seconds(grace);
            object["metadata"]["deletionTimestamp"] = json!(time(end));
            object["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
            object = self.set(kind, namespace, name, object)?;
        }
        Ok(object)
    }

    /// Takes an object out, and what hung on it alone.
    pub(super) fn remove(&mut self, kind: &Kind, namespace: &str, name: &str) {
        if self.objects.remove(&key(kind, namespace, name)).is_none() {
            return;
        }
        self.next_version();
        let alive: BTreeSet<String> = self
            .objects
            .values()
            .map(|object| text(object, "/metadata/uid").to_owned())
            .collect();
        let hangs_on_nothing = |object: &Value| {
            let owners = object["metadata"]["ownerReferences"].as_array();
            owners.is_some_and(|owners| {
                !owners.is_empty() && owners.iter().all(|o| !alive.contains(text(o, "/uid")))
            })
        };
        self.objects.retain(|_, object| !hangs_on_nothing(object));
        self.release_claims();
    }

    /// Claims that were asked to go and that no Pod uses any more.
    fn release_claims(&mut self) {
        let Some(kind) = kinds::find("persistentvolumeclaims") else {
            return;
        };
        let going: Vec<Key> = self
            .objects
            .iter()
            .filter(|(key, object)| {
                key.0 == kind.resource
                    && object["metadata"].get("deletionTimestamp").is_some()
                    && !self.is_mounted(&key.1, &key.2)
            })
            .map(|(key, _)| key.clone())
            .collect();
        for key in going {
            self.objects.remove(&key);
        }
    }

    fn is_mounted(&self, namespace: &str, claim: &str) -> bool {
        let pods = self.objects.iter();
        pods.filter(|(key, _)| key.0 == "pods" && key.1 == namespace)
            .flat_map(|(_, pod)| pod["spec"]["volumes"].as_array().into_iter().flatten())
            .any(|volume| text(volume, "/persistentVolumeClaim/claimName") == claim)
    }

    /// Whom a Service's address leads to: its selector, and the uids of the Pods that are there.
    pub(super) fn selector_of(
        &self,
        url: &str,
    ) -> Option<(BTreeMap<String, String>, BTreeSet<String>)> {
        let host = url.strip_prefix("http://")?.split(':').next()?;
        let (name, rest) = host.split_once('.')?;
        let namespace = rest.strip_suffix(".svc")?;
        let service = self.get(kinds::find("services")?, namespace, name).ok()?;
        let empty = Map::new();
        let selector = service["spec"]["selector"].as_object().unwrap_or(&empty);
        let selector = selector
            .iter()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect();
        let pods = self.of("pods").into_values();
        let uids = pods.map(|pod| text(&pod, "/metadata/uid").to_owned());
        Some((selector, uids.collect()))
    }
}

/// How long a Pod is given; nothing if it goes at once.
fn grace_of(pod: &Value, asked: Option<i64>) -> Option<i64> {
    let is_over = ["Failed", "Succeeded"].contains(&text(pod, "/status/phase"));
    if text(pod, "/spec/nodeName").is_empty() || is_over {
        return None;
    }
    let default = pod["spec"]["terminationGracePeriodSeconds"].as_i64();
    let grace = asked.or(default).unwrap_or(30);
    (grace > 0).then_some(grace)
}
