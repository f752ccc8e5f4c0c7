//! What the API server refuses beyond the shape of an object, as far as the product
//! could get it wrong.

use std::collections::BTreeSet;
use std::net::IpAddr;

use regex::Regex;
use serde_json::Value;

use super::kinds::Kind;
use super::store::text;

/// Bytes that a Secret holds at most.
const LARGEST_SECRET: usize = 1024 * 1024;

/// The first thing that is wrong with an object.
pub(super) fn check(kind: &Kind, object: &Value) -> Result<(), String> {
    metadata(kind, object)?;
    match kind.resource {
        "pods" => pod(object),
        "secrets" => secret(object),
        "networkpolicies" => policy(object),
        "persistentvolumeclaims" => claim(object),
        _ => Ok(()),
    }
}

fn is(pattern: &str, text: &str) -> bool {
    Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|regex| regex.is_match(text))
}

fn must(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn metadata(kind: &Kind, object: &Value) -> Result<(), String> {
    let name = text(object, "/metadata/name");
    // A Service's name is a label of a host name, and begins with a letter.
    let (pattern, longest) = match kind.resource {
        "services" => ("[a-z]([-a-z0-9]*[a-z0-9])?", 63),
        "pods" => ("[a-z0-9]([-a-z0-9]*[a-z0-9])?", 63),
        _ => ("[a-z0-9]([-a-z0-9.]*[a-z0-9])?", 253),
    };
    must(is(pattern, name) && name.len() <= longest, || {
        format!("metadata.name: Invalid value: {name:?}")
    })?;
    let selector = &object["spec"]["selector"];
    let labels = members(&object["metadata"]["labels"]).chain(members(selector));
    for (key, value) in labels {
        let value = value.as_str().unwrap_or("\0");
        let key_is_good = is(
            "([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?",
            key,
        );
        let value_is_good = is("([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?", value);
        must(key_is_good && value_is_good, || {
            format!("metadata.labels: Invalid value: {key:?}: {value:?}")
        })?;
    }
    let notes = members(&object["metadata"]["annotations"]);
    let size: usize = notes
        .map(|(key, value)| key.len() + value.to_string().len())
        .sum();
    must(size <= 256 * 1024, || {
        "metadata.annotations: Too long".into()
    })
}

fn secret(object: &Value) -> Result<(), String> {
    let mut size = 0;
    for (key, value) in members(&object["data"]) {
        must(
            is("[-._a-zA-Z0-9]{1,253}", key) && !key.starts_with(".."),
            || format!("data[{key}]: Invalid value"),
        )?;
        size += value.as_str().unwrap_or_default().len() / 4 * 3;
    }
    must(
        size <= LARGEST_SECRET + 3 * members(&object["data"]).count(),
        || format!("data: Too long: may not be more than {LARGEST_SECRET} bytes"),
    )
}

fn claim(object: &Value) -> Result<(), String> {
    let storage = text(object, "/spec/resources/requests/storage");
    must(
        is("[0-9]+(\\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?", storage),
        || format!("spec.resources[storage]: Required value: {storage:?}"),
    )
}

fn pod(object: &Value) -> Result<(), String> {
    let spec = &object["spec"];
    let volumes: BTreeSet<&str> = items(&spec["volumes"]).map(|v| text(v, "/name")).collect();
    must(volumes.len() == items(&spec["volumes"]).count(), || {
        "spec.volumes: Duplicate value".into()
    })?;
    for volume in items(&spec["volumes"]) {
        for item in items(&volume["secret"]["items"]) {
            let path = text(item, "/path");
            let leads_out = path.starts_with('/') || path.split('/').any(|part| part == "..");
            must(
                !path.is_empty() && !leads_out && !path.starts_with(".."),
                || format!("spec.volumes.secret.items.path: Invalid value: {path:?}"),
            )?;
        }
    }
    must(items(&spec["containers"]).count() > 0, || {
        "spec.containers: Required value".into()
    })?;
    let containers = || items(&spec["initContainers"]).chain(items(&spec["containers"]));
    let names: BTreeSet<&str> = containers().map(|c| text(c, "/name")).collect();
    must(names.len() == containers().count(), || {
        "spec.containers.name: Duplicate value".into()
    })?;
    containers().try_for_each(|one| container(one, &volumes))?;
    let is_on_node = spec["hostNetwork"] == true;
    must(
        !is_on_node || text(spec, "/dnsPolicy") == "ClusterFirstWithHostNet",
        || "a pod on its node's network would not find the cluster's names".into(),
    )
}

fn container(container: &Value, volumes: &BTreeSet<&str>) -> Result<(), String> {
    let name = text(container, "/name");
    must(is("[a-z0-9]([-a-z0-9]*[a-z0-9])?", name), || {
        format!("name: {name:?}")
    })?;
    must(!text(container, "/image").is_empty(), || {
        "image: Required value".into()
    })?;
    let mut variables = BTreeSet::new();
    for variable in items(&container["env"]) {
        let name = text(variable, "/name");
        must(is("[-._a-zA-Z][-._a-zA-Z0-9]*", name), || {
            format!("env.name: Invalid value: {name:?}")
        })?;
        must(variables.insert(name), || {
            format!("env: Duplicate value: {name:?}")
        })?;
    }
    let mut paths = BTreeSet::new();
    for mount in items(&container["volumeMounts"]) {
        let (volume, path) = (text(mount, "/name"), text(mount, "/mountPath"));
        must(volumes.contains(volume), || {
            format!("volumeMounts.name: Not found: {volume:?}")
        })?;
        must(paths.insert(path) && path.starts_with('/'), || {
            format!("volumeMounts.mountPath: Invalid value: {path:?}: must be unique")
        })?;
    }
    let rights = &container["securityContext"];
    must(
        !(rights["privileged"] == true && rights["allowPrivilegeEscalation"] == false),
        || {
            "securityContext: cannot set `allowPrivilegeEscalation` to false and `privileged` to true".into()
        },
    )?;
    for (resource, request) in members(&container["resources"]["requests"]) {
        let limit = &container["resources"]["limits"][resource];
        let fits =
            quantity(limit).is_none_or(|limit| quantity(request).is_some_and(|r| r <= limit));
        must(fits, || {
            format!("resources.requests[{resource}]: must be less than or equal to its limit")
        })?;
    }
    Ok(())
}

/// A quantity in thousandths of its unit.
fn quantity(value: &Value) -> Option<u64> {
    let text = value.as_str()?;
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match &text[digits..] {
        "m" => 1,
        "" => 1000,
        "Ki" => 1000 << 10,
        "Mi" => 1000 << 20,
        "Gi" => 1000 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}

fn policy(object: &Value) -> Result<(), String> {
    let spec = &object["spec"];
    let rules = items(&spec["ingress"]).chain(items(&spec["egress"]));
    let peers = rules.flat_map(|rule| items(&rule["from"]).chain(items(&rule["to"])));
    for peer in peers.filter(|peer| !peer["ipBlock"].is_null()) {
        let whole = text(peer, "/ipBlock/cidr");
        let around =
            network(whole).ok_or_else(|| format!("ipBlock.cidr: Invalid value: {whole:?}"))?;
        must(
            peer["podSelector"].is_null() && peer["namespaceSelector"].is_null(),
            || "ipBlock: may not be specified when another peer is specified".into(),
        )?;
        for except in items(&peer["ipBlock"]["except"]) {
            let except = except.as_str().unwrap_or_default();
            let is_within = network(except).is_some_and(|inner| is_strictly_within(inner, around));
            must(is_within, || {
                format!(
                    "ipBlock.except: Invalid value: {except:?}: must be a strict subset of `cidr`"
                )
            })?;
        }
    }
    Ok(())
}

/// A network whose address has no bit outside of its mask, and that is no way to write
/// version 4 in version 6: the API takes neither.
fn network(text: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = text.split_once('/')?;
    let (address, bits): (IpAddr, u32) = (address.parse().ok()?, bits.parse().ok()?);
    let fits = match address {
        IpAddr::V4(v4) => bits <= 32 && u32::from(v4).checked_shl(bits).unwrap_or(0) == 0,
        IpAddr::V6(v6) => {
            bits <= 128
                && v6.to_ipv4_mapped().is_none()
                && u128::from(v6).checked_shl(bits).unwrap_or(0) == 0
        }
    };
    fits.then_some((address, bits))
}

fn is_strictly_within(inner: (IpAddr, u32), around: (IpAddr, u32)) -> bool {
    if inner.1 <= around.1 {
        return false;
    }
    let head = |bits: u32, width: u32, a: u128, b: u128| {
        let off = width - bits;
        a.checked_shr(off).unwrap_or(0) == b.checked_shr(off).unwrap_or(0)
    };
    match (inner.0, around.0) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            head(around.1, 32, u32::from(a).into(), u32::from(b).into())
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => head(around.1, 128, a.into(), b.into()),
        _ => false,
    }
}

/// What may not change once it is there.
pub(super) fn may_become(kind: &Kind, there: &Value, wanted: &Value) -> Result<(), String> {
    let same = |pointer: &str| there.pointer(pointer) == wanted.pointer(pointer);
    match kind.resource {
        "pods" => must(same("/spec"), || {
            "spec: Forbidden: pod updates may not change it".into()
        }),
        "persistentvolumeclaims" => must(same("/spec"), || "spec: Forbidden: is immutable".into()),
        "services" => must(same("/spec/clusterIP"), || {
            "spec.clusterIP: field is immutable".into()
        }),
        "secrets" => must(there["immutable"] != true || same("/data"), || {
            "data: Forbidden: field is immutable when `immutable` is set".into()
        }),
        _ => Ok(()),
    }
}

/// The level `restricted` of pod security, as far as it concerns what is made here.
pub(super) fn restricted(pod: &Value) -> Result<(), String> {
    let spec = &pod["spec"];
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        must(spec[field] != true, || {
            format!("host namespaces ({field}=true)")
        })?;
    }
    let allowed = [
        "secret",
        "configMap",
        "emptyDir",
        "persistentVolumeClaim",
        "projected",
    ];
    for volume in items(&spec["volumes"]) {
        let mut sources = members(volume).filter(|(name, _)| *name != "name");
        must(
            sources.all(|(source, _)| allowed.contains(&&**source)),
            || format!("restricted volume types (volume {})", volume["name"]),
        )?;
    }
    let of_pod = &spec["securityContext"];
    for container in items(&spec["initContainers"]).chain(items(&spec["containers"])) {
        let rights = &container["securityContext"];
        let (name, either) = (&container["name"], |field: &str| {
            if rights[field].is_null() {
                &of_pod[field]
            } else {
                &rights[field]
            }
        });
        must(rights["privileged"] != true, || {
            format!("privileged (container {name})")
        })?;
        must(rights["allowPrivilegeEscalation"] == false, || {
            format!("allowPrivilegeEscalation != false (container {name})")
        })?;
        must(
            rights["capabilities"]["drop"] == serde_json::json!(["ALL"]),
            || format!("unrestricted capabilities (container {name})"),
        )?;
        must(*either("runAsNonRoot") == true, || {
            format!("runAsNonRoot != true (container {name})")
        })?;
        must(*either("runAsUser") != 0, || {
            format!("runAsUser=0 (container {name})")
        })?;
        must(either("seccompProfile")["type"] == "RuntimeDefault", || {
            format!("seccompProfile (container {name})")
        })?;
    }
    Ok(())
}
