//! The stand-in refuses what the real one refuses.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use serde_json::{Value, json};

use super::kinds;
use super::store::{Going, Refusal, Store};

fn pod() -> Value {
    json!({"metadata": {"name": "a"}, "spec": {
        "containers": [{"name": "c", "image": "i", "env": [{"name": "A", "value": "1"}],
            "resources": {"requests": {"memory": "128Mi"}, "limits": {"memory": "512Mi"}},
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}],
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}}})
}

fn policy(cidr: &str, except: &str) -> Value {
    json!({"metadata": {"name": "a"}, "spec": {"podSelector": {},
        "egress": [{"to": [{"ipBlock": {"cidr": cidr, "except": [except]}}]}]}})
}

fn created(resource: &str, object: Value) -> Result<Value, Refusal> {
    let mut store = Store::default();
    store.is_restricted = true;
    store.create(kinds::find(resource).unwrap(), "n", object)
}

#[test]
fn shapes_and_rules_are_those_that_are_published() {
    created("pods", pod()).unwrap();
    created("networkpolicies", policy("0.0.0.0/0", "10.0.0.0/8")).unwrap();
    let wrong: [(u16, &str, &str, Value); 8] = [
        (
            400,
            "unknown field .spec.restartPolicies",
            "/spec/restartPolicies",
            json!("Never"),
        ),
        (
            400,
            "unknown field .spec.containers[0].envs",
            "/spec/containers/0/envs",
            json!([]),
        ),
        (400, "invalid type", "/spec/containers/0/env", json!({})),
        (
            422,
            "Duplicate",
            "/spec/containers/0/env/1",
            json!({"name": "A"}),
        ),
        (
            422,
            "Not found",
            "/spec/containers/0/volumeMounts",
            json!([{"name": "v", "mountPath": "/v"}]),
        ),
        (
            422,
            "its limit",
            "/spec/containers/0/resources/requests/memory",
            json!("1Gi"),
        ),
        (422, "metadata.name", "/metadata/name", json!("A b")),
        (403, "PodSecurity", "/spec/hostNetwork", json!(true)),
    ];
    for (code, says, at, value) in wrong {
        let mut object = pod();
        object["spec"]["dnsPolicy"] = json!("ClusterFirstWithHostNet");
        let (parent, field) = at.rsplit_once('/').unwrap();
        match object.pointer_mut(parent).unwrap() {
            Value::Array(items) => items.push(value),
            parent => parent[field] = value,
        }
        let refusal = created("pods", object).unwrap_err();
        assert!(
            refusal.code == code && refusal.message.contains(says),
            "{refusal:?}"
        );
    }
    for (cidr, except) in [
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("0.0.0.0/0", "10.0.0.1/8"),
        ("10.0.0.0/8", "192.168.0.0/16"),
        ("0.0.0.0/0", "fc00::/7"),
        ("::/0", "::ffff:0:0/96"),
    ] {
        let refusal = created("networkpolicies", policy(cidr, except)).unwrap_err();
        assert_eq!(refusal.code, 422, "{cidr} {except}");
    }
}

#[test]
fn versions_uids_and_immutable_fields_are_kept() {
    let mut store = Store::default();
    let kind = kinds::find("secrets").unwrap();
    let secret = json!({"metadata": {"name": "a"}, "immutable": true, "data": {"k": "YQ=="}});
    let made = store.create(kind, "n", secret.clone()).unwrap();
    let again = store.create(kind, "n", secret).unwrap_err();
    assert_eq!((again.code, again.reason), (409, "AlreadyExists"));

    let mut other = made.clone();
    other["metadata"]["annotations"] = json!({"a": "b"});
    let newer = store.update(kind, "n", "a", other.clone()).unwrap();
    assert_eq!(store.update(kind, "n", "a", other).unwrap_err().code, 409);
    let mut changed = newer.clone();
    changed["data"]["k"] = json!("Yg==");
    assert_eq!(store.update(kind, "n", "a", changed).unwrap_err().code, 422);

    let of_another = Going {
        uid: Some("another".into()),
        grace: None,
    };
    let refusal = store.delete(kind, "n", "a", &of_another).unwrap_err();
    assert_eq!(refusal.code, 409);
    store.delete(kind, "n", "a", &Going::default()).unwrap();
    assert_eq!(store.get(kind, "n", "a").unwrap_err().reason, "NotFound");
}
