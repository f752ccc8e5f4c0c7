//! Every RPC that the wire has stands in the policy table, and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use candor_identity::policy::{HTTP, RPCS, http, rpc};
use candor_identity::{RateClass, Who};
use prost::Message as _;
use prost_types::{FileDescriptorSet, MethodDescriptorProto};

/// Every method of every service, by its path on the wire.
fn methods() -> Vec<(String, MethodDescriptorProto)> {
    let sets = [
        candor_proto::DESCRIPTOR_SET,
        candor_proto::a2a::DESCRIPTOR_SET,
    ];
    let files = sets.map(|set| FileDescriptorSet::decode(set).unwrap().file);
    let mut found = Vec::new();
    for file in files.iter().flatten() {
        for service in &file.service {
            for method in &service.method {
                let (package, service) = (file.package(), service.name());
                let path = format!("/{package}.{service}/{}", method.name());
                found.push((path, method.clone()));
            }
        }
    }
    found
}

/// What stands in `list` more than once.
fn repeated<T: Ord + Clone>(list: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut seen = BTreeSet::new();
    let again = |item: &T| !seen.insert(item.clone());
    list.into_iter().filter(again).collect()
}

#[test]
fn every_rpc_has_one_row_and_every_row_is_an_rpc() {
    let wire: BTreeSet<String> = methods().into_iter().map(|(path, _)| path).collect();
    let rows: BTreeSet<String> = RPCS.iter().map(|row| row.path.to_owned()).collect();
    assert!(wire.len() > 20, "only {} methods found", wire.len());
    let without_row: Vec<_> = wire.difference(&rows).collect();
    let without_rpc: Vec<_> = rows.difference(&wire).collect();
    assert!(without_row.is_empty(), "no policy for {without_row:?}");
    assert!(
        without_rpc.is_empty(),
        "policy for nothing: {without_rpc:?}"
    );
    assert_eq!(repeated(RPCS.iter().map(|row| row.path)), [""; 0]);
}

#[test]
fn an_rpc_is_found_by_its_path_and_nothing_by_another() {
    for row in RPCS {
        assert_eq!(rpc(row.path), Some(row));
        for near in [
            row.path.to_lowercase(),
            format!("{}/", row.path),
            row.path[1..].to_owned(),
        ] {
            assert_eq!(rpc(&near), None, "{near}");
        }
    }
    assert_eq!(rpc(""), None);
}

#[test]
fn no_rpc_is_called_without_any_look_at_the_caller() {
    for row in RPCS {
        assert_ne!(row.who, Who::Health, "{}", row.path);
        assert_ne!(row.rate, RateClass::Free, "{}", row.path);
    }
}

#[test]
fn exactly_the_streaming_rpcs_are_limited_as_streams() {
    for (path, method) in methods() {
        let streams = method.client_streaming() || method.server_streaming();
        let limited = rpc(&path).map(|row| row.rate == RateClass::Stream);
        assert_eq!(limited, Some(streams), "{path}");
    }
}

#[test]
fn every_http_route_has_one_row() {
    assert!(HTTP.len() > 100, "only {} rows", HTTP.len());
    assert_eq!(repeated(HTTP.iter().map(|row| (row.method, row.path))), []);
    for row in HTTP {
        assert_eq!(http(row.method, row.path), Some(row));
        assert_eq!(http("TRACE", row.path), None);
    }
}

#[test]
fn no_two_http_rows_are_the_same_route_under_other_names() {
    let shape = |path: &str| {
        let parts = path.split('/');
        let parts = parts.map(|part| if part.starts_with('{') { "{}" } else { part });
        parts.collect::<Vec<_>>().join("/")
    };
    let shapes = HTTP
        .iter()
        .map(|row| format!("{} {}", row.method, shape(row.path)));
    assert_eq!(repeated(shapes), [""; 0]);
}

#[test]
fn http_rows_are_spelled_as_the_router_spells_them() {
    const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];
    for row in HTTP {
        assert!(METHODS.contains(&row.method), "{row:?}");
        assert!(
            row.path.starts_with('/') && !row.path.ends_with('/'),
            "{row:?}"
        );
        let first = row.path.split('/').find(|part| part.starts_with('{'));
        assert!(matches!(first, None | Some("{id}")), "{row:?}");
    }
}

#[test]
fn only_health_and_metrics_are_free() {
    for row in HTTP {
        let free = ["/health", "/metrics"].contains(&row.path);
        assert_eq!(row.who == Who::Health, free, "{row:?}");
        assert_eq!(row.rate == RateClass::Free, free, "{row:?}");
    }
}
