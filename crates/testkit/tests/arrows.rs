//! The arrows between crates: who may depend on whom.
//!
//! What depends on too much cannot be moved to a process of its own, and a rule
//! that does I/O cannot be tested against a model. Both are found here, not in
//! a review.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// Where a crate stands, by its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ring {
    /// `proto/`: the wire.
    Wire,
    /// `crates/kernel`: the rules.
    Kernel,
    /// `crates/a2a`: another project's protocol, as functions.
    Protocol,
    /// `crates/testkit`: fakes and judges.
    Testkit,
    /// `crates/*`: named parts that two or more use.
    Part,
    /// `services/*`.
    Service,
    /// `gateway/`.
    Gateway,
    /// `cli/`, and what measures the whole: sees everything, seen by nobody.
    Assembly,
}

/// One dependency: who, on whom, and whether for tests only.
#[derive(Debug, Clone, Copy)]
struct Arrow {
    from: Ring,
    to: Ring,
    for_tests: bool,
}

/// Crates from outside that would break what a ring is for.
const FORBIDDEN_OUTSIDE: &[(Ring, &[&str], &str)] = &[
    (
        Ring::Kernel,
        &[
            "tokio", "sqlx", "tonic", "axum", "hyper", "reqwest", "prost", "tracing",
        ],
        "the kernel is pure: no I/O, no runtime, no wire",
    ),
    (
        Ring::Protocol,
        &["tokio", "sqlx", "axum", "hyper", "reqwest", "tracing"],
        "what a protocol says is pure: no I/O, no runtime",
    ),
    (
        Ring::Wire,
        &["sqlx", "axum", "hyper", "reqwest"],
        "the wire is messages only",
    ),
    (
        Ring::Gateway,
        &["sqlx"],
        "the gateway has no database: it asks the services",
    ),
];

/// Why this arrow must not be, if so.
fn refusal(arrow: Arrow) -> Option<&'static str> {
    use Ring::{Assembly, Gateway, Kernel, Part, Protocol, Service, Testkit, Wire};
    match (arrow.from, arrow.to) {
        (Assembly, Testkit) | (_, Testkit) if !arrow.for_tests => {
            Some("testkit is for tests: make it a dev-dependency")
        }
        (_, Testkit) | (Assembly, _) => None,
        (_, Assembly) => Some("only people depend on the assembly"),
        (Kernel, _) => Some("the kernel depends on no crate of ours"),
        (Wire, _) => Some("the wire depends on no crate of ours"),
        (Protocol, to) if to != Wire => Some("a protocol knows the wire only"),
        (Part | Testkit, Service | Gateway) => {
            Some("a named part does not know who uses it: not services, not the gateway")
        }
        (Service, Service) => Some("services speak over candor-proto, not through crates"),
        (Service, Gateway) => Some("services do not know the gateway"),
        (Gateway, Service) => Some("the gateway speaks to services over candor-proto"),
        _ => None,
    }
}

fn ring(folder: &str) -> Option<Ring> {
    Some(match folder {
        "proto" => Ring::Wire,
        "crates/kernel" => Ring::Kernel,
        "crates/a2a" => Ring::Protocol,
        "crates/testkit" => Ring::Testkit,
        "gateway" => Ring::Gateway,
        "cli" => Ring::Assembly,
        other if other.starts_with("bench") => Ring::Assembly,
        other if other.starts_with("crates/") => Ring::Part,
        other if other.starts_with("services/") => Ring::Service,
        _ => return None,
    })
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {words}");
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

#[test]
fn every_arrow_between_crates_is_allowed() {
    let metadata = metadata();
    let root = text(&metadata, "workspace_root").to_owned() + "/";
    let packages = metadata["packages"].as_array().expect("packages");
    let rings: BTreeMap<&str, Ring> = packages
        .iter()
        .map(|package| {
            let manifest = text(package, "manifest_path");
            let folder = manifest
                .strip_prefix(&root)
                .and_then(|path| path.strip_suffix("/Cargo.toml"))
                .expect("a member lies in the workspace");
            let place = ring(folder).unwrap_or_else(|| panic!("{folder}: not in the layout"));
            (text(package, "name"), place)
        })
        .collect();
    assert!(rings.len() >= 10, "{rings:?}");

    let mut wrong = Vec::new();
    for package in packages {
        let from = rings[text(package, "name")];
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let (name, on) = (text(package, "name"), text(dependency, "name"));
            let for_tests = dependency["kind"] == "dev";
            let reason = match rings.get(on) {
                Some(to) => refusal(Arrow {
                    from,
                    to: *to,
                    for_tests,
                }),
                None if for_tests => None,
                None => FORBIDDEN_OUTSIDE
                    .iter()
                    .find(|(place, names, _)| *place == from && names.contains(&on))
                    .map(|(_, _, reason)| *reason),
            };
            if let Some(reason) = reason {
                wrong.push(format!(
                    "{}: {name} -> {on}: {reason}",
                    text(package, "manifest_path")
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_rules_refuse_what_they_are_there_for() {
    let arrow = |from, to, for_tests| {
        refusal(Arrow {
            from,
            to,
            for_tests,
        })
    };
    let refused = [
        (Ring::Kernel, Ring::Wire),
        (Ring::Kernel, Ring::Part),
        (Ring::Protocol, Ring::Kernel),
        (Ring::Protocol, Ring::Part),
        (Ring::Protocol, Ring::Service),
        (Ring::Part, Ring::Service),
        (Ring::Part, Ring::Gateway),
        (Ring::Part, Ring::Assembly),
        (Ring::Service, Ring::Service),
        (Ring::Service, Ring::Gateway),
        (Ring::Gateway, Ring::Service),
        (Ring::Service, Ring::Testkit),
        (Ring::Assembly, Ring::Testkit),
        (Ring::Testkit, Ring::Service),
    ];
    for (from, to) in refused {
        assert!(arrow(from, to, false).is_some(), "{from:?} -> {to:?}");
    }
    let allowed = [
        (Ring::Service, Ring::Part),
        (Ring::Service, Ring::Wire),
        (Ring::Gateway, Ring::Kernel),
        (Ring::Protocol, Ring::Wire),
        (Ring::Gateway, Ring::Protocol),
        (Ring::Service, Ring::Protocol),
        (Ring::Part, Ring::Kernel),
        (Ring::Part, Ring::Part),
        (Ring::Assembly, Ring::Service),
        (Ring::Testkit, Ring::Wire),
    ];
    for (from, to) in allowed {
        assert!(arrow(from, to, false).is_none(), "{from:?} -> {to:?}");
    }
    assert!(arrow(Ring::Service, Ring::Testkit, true).is_none());
}
