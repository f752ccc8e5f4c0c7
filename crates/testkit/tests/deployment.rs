//! The Kubernetes manifests and the Dockerfile, checked for what would only be
//! noticed in a cluster. Schemas are `scripts/check-kustomize`'s part.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

const ACCOUNT: u32 = 10001;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every object that the base lists, by kind and name.
fn objects() -> BTreeMap<String, Value> {
    let base = root().join("deploy/kubernetes/base");
    let kustomization = parse(&base.join("kustomization.yaml")).remove(0);
    let mut objects = BTreeMap::new();
    for file in kustomization["resources"].as_array().expect("resources") {
        for object in parse(&base.join(file.as_str().expect("a file name"))) {
            let name = format!(
                "{}/{}",
                word(&object["kind"]),
                word(&object["metadata"]["name"])
            );
            assert!(
                objects.insert(name.clone(), object).is_none(),
                "{name} twice"
            );
        }
    }
    objects
}

fn parse(path: &Path) -> Vec<Value> {
    use serde::Deserialize as _;
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_yaml_ng::Deserializer::from_str(&text)
        .map(|document| {
            Value::deserialize(document).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        })
        .collect()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

fn workloads() -> Vec<(String, Value)> {
    let found: Vec<(String, Value)> = objects()
        .into_iter()
        .filter(|(name, _)| name.starts_with("Deployment/") || name.starts_with("Job/"))
        .collect();
    assert_eq!(
        found.len(),
        6,
        "registry, activity log, relay, provisioner, gateway, migration"
    );
    found
}

fn container(workload: &Value) -> &Value {
    let containers = workload["spec"]["template"]["spec"]["containers"].as_array();
    let containers = containers.expect("containers");
    assert_eq!(containers.len(), 1, "one program a pod");
    &containers[0]
}

#[test]
fn the_base_has_what_it_promises_and_one_replica_of_it() {
    let objects = objects();
    let names: Vec<&str> = objects.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "Deployment/candor-activity-log",
            "Deployment/candor-gateway",
            "Deployment/candor-provisioner",
            "Deployment/candor-registry",
            "Deployment/candor-relay",
            "Job/candor-migrate",
            "Namespace/candor",
            "Service/candor-activity-log",
            "Service/candor-gateway",
            "Service/candor-provisioner",
            "Service/candor-registry",
            "Service/candor-relay",
        ],
        "a Secret in particular is made by hand, never from the repository"
    );
    for (name, object) in &objects {
        if name.starts_with("Deployment/") {
            assert_eq!(object["spec"]["replicas"], 1, "{name}");
        }
    }
}

#[test]
fn nothing_runs_as_root_or_writes_to_its_image() {
    for (name, workload) in workloads() {
        let pod = &workload["spec"]["template"]["spec"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
        assert_eq!(pod["securityContext"]["runAsUser"], ACCOUNT, "{name}");
        assert_eq!(
            pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault",
            "{name}"
        );
        // The provisioner makes pods; nobody else asks the cluster anything.
        let asks = name == "Deployment/candor-provisioner";
        assert_eq!(pod["automountServiceAccountToken"], asks, "{name}");
        let account = asks.then_some("candor-provisioner");
        assert_eq!(pod["serviceAccountName"].as_str(), account, "{name}");
        assert_eq!(
            pod["enableServiceLinks"], false,
            "{name}: a Service called candor-x would set CANDOR_X_PORT, which is no setting of ours"
        );
        let rights = &container(&workload)["securityContext"];
        assert_eq!(rights["allowPrivilegeEscalation"], false, "{name}");
        assert_eq!(rights["readOnlyRootFilesystem"], true, "{name}");
        assert_eq!(rights["capabilities"], json!({"drop": ["ALL"]}), "{name}");
        let resources = &container(&workload)["resources"];
        assert!(resources["requests"]["cpu"].is_string(), "{name}");
        assert!(resources["requests"]["memory"].is_string(), "{name}");
        assert!(resources["limits"]["memory"].is_string(), "{name}");
    }
}

#[test]
fn ports_probes_and_services_fit_together() {
    let objects = objects();
    let expected = [
        ("candor-registry", json!({"grpc": 50051, "admin": 9465})),
        ("candor-activity-log", json!({"grpc": 50053, "admin": 9467})),
        ("candor-relay", json!({"grpc": 50054, "admin": 9468})),
        ("candor-provisioner", json!({"grpc": 50052, "admin": 9466})),
        ("candor-gateway", json!({"http": 8080, "admin": 9464})),
    ];
    for (name, ports) in expected {
        let workload = &objects[&format!("Deployment/{name}")];
        let opened = by_name(&container(workload)["ports"], "containerPort");
        assert_eq!(
            opened, ports,
            "{name}: the ports of design and documentation"
        );
        let service = &objects[&format!("Service/{name}")];
        assert_eq!(by_name(&service["spec"]["ports"], "port"), ports, "{name}");
        for port in service["spec"]["ports"].as_array().unwrap() {
            assert_eq!(port["targetPort"], port["name"], "{name}");
        }
        let labels = &workload["spec"]["template"]["metadata"]["labels"];
        assert_eq!(&service["spec"]["selector"], labels, "{name}");
        assert_eq!(
            &workload["spec"]["selector"]["matchLabels"], labels,
            "{name}"
        );
        for (probe, path) in [
            ("startupProbe", "/healthz"),
            ("livenessProbe", "/healthz"),
            ("readinessProbe", "/readyz"),
        ] {
            let asked = &container(workload)[probe]["httpGet"];
            assert_eq!(
                asked,
                &json!({"path": path, "port": "admin"}),
                "{name} {probe}"
            );
        }
        for variable in container(workload)["env"].as_array().unwrap() {
            let Some(address) = variable["value"]
                .as_str()
                .and_then(|v| v.strip_prefix("0.0.0.0:"))
            else {
                continue;
            };
            let port: u16 = address.parse().unwrap();
            let opened = ports.as_object().unwrap().values().any(|p| *p == port);
            assert!(opened, "{name}: listens on {port}, which is not opened");
        }
    }
}

fn by_name(ports: &Value, field: &str) -> Value {
    let ports = ports.as_array().expect("ports");
    ports
        .iter()
        .map(|port| (word(&port["name"]).to_owned(), port[field].clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[test]
fn credentials_come_from_the_secret_that_the_readme_makes() {
    let readme = std::fs::read_to_string(root().join("deploy/kubernetes/README.md")).unwrap();
    let mut keys = BTreeSet::new();
    for (name, workload) in workloads() {
        for variable in container(&workload)["env"].as_array().unwrap() {
            let variable_name = word(&variable["name"]);
            let secret = &variable["valueFrom"]["secretKeyRef"];
            let sensitive = ["DATABASE_URL", "TOKEN", "KEY"]
                .iter()
                .any(|part| variable_name.ends_with(part));
            if !sensitive {
                continue;
            }
            assert_eq!(
                secret["name"], "candor",
                "{name}: {variable_name} is not from the Secret"
            );
            if secret["optional"] != true {
                keys.insert(word(&secret["key"]).to_owned());
            }
        }
    }
    assert_eq!(keys.len(), 3, "{keys:?}");
    for key in keys {
        assert!(
            readme.contains(&format!("--from-literal={key}=")),
            "{key} is not in the README"
        );
    }
    let base = objects();
    let gateway = container(&base["Deployment/candor-gateway"]).to_string();
    assert!(
        !gateway.contains("DATABASE_URL"),
        "the gateway has no database"
    );
}

#[test]
fn the_image_holds_what_the_manifests_start() {
    let dockerfile = std::fs::read_to_string(root().join("deploy/Dockerfile")).unwrap();
    let runtime = dockerfile.split("\nFROM ").last().unwrap();
    assert!(runtime.contains(&format!("USER {ACCOUNT}:{ACCOUNT}")));
    assert!(dockerfile.contains("SQLX_OFFLINE=true"));
    assert!(dockerfile.contains("--locked"));
    for (name, workload) in workloads() {
        let program = word(&container(&workload)["command"][0]);
        assert!(
            dockerfile.contains(&format!("target/release/{program} ")),
            "{name}: {program} is not in the image"
        );
    }
}
