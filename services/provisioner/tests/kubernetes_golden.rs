//! What is made for each tier, as files that people read and that
//! `scripts/check-kubernetes-objects` holds against the schemas of Kubernetes.
//! `UPDATE_GOLDEN=1` writes them anew.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod conformance;
mod pods;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use candor_process::config::Secret;
use candor_provisioner::backend::kubernetes::Settings;
use candor_provisioner::backend::{Backend as _, Mount, Plan, Tier};
use candor_testkit::kube_api::{Does, KubeApi};
use serde_json::{Value, json};

use conformance::{Unheard, config_file};

/// The plan of the files, with nothing in it that changes.
fn plan(tier: Tier) -> Plan {
    let number = tier_number(tier);
    let env = [
        ("ANTHROPIC_API_KEY", "not-a-key"),
        ("PLATFORM_URL", "http://candor-gateway.candor.svc:8080"),
        ("TIER", number),
        ("WORKSPACE_ID", "550e8400-e29b-41d4-a716-446655440000"),
    ];
    Plan {
        workspace: "550e8400-e29b-41d4-a716-446655440000".parse().unwrap(),
        epoch: candor_kernel::Epoch(3),
        name: "Ada".into(),
        runtime: "candor-claude-code".into(),
        tier,
        image: None,
        platform_url: "http://candor-gateway.candor.svc:8080".into(),
        env: env
            .map(|(name, value)| (name.to_owned(), Secret::new(value)))
            .into(),
        files: vec![
            config_file("config.yaml", "name: Ada\n"),
            config_file("skills/read/SKILL.md", "# Read\n"),
        ],
        token: Secret::new("not-a-token"),
        mount: match tier {
            Tier::T1 => Mount::None,
            Tier::T4 => Mount::Host {
                path: "/srv/ada".into(),
                read_only: true,
            },
            _ => Mount::Volume,
        },
        reset_session: false,
    }
}

fn tier_number(tier: Tier) -> &'static str {
    match tier {
        Tier::T1 => "1",
        Tier::T2 => "2",
        Tier::T3 => "3",
        Tier::T4 => "4",
    }
}

/// All objects as they were sent: what the API adds is left out.
async fn made(tier: Tier) -> String {
    let api = KubeApi::start(Arc::new(|_| Does::default())).await.unwrap();
    let settings = Settings {
        allow_privileged: true,
        allow_node_folders: true,
        pull_secrets: vec!["registry".into()],
        ..pods::settings("installation-1")
    };
    // A folder of the node is the test's own.
    let backend = pods::backend(&api.url(), settings);
    let plan = plan(tier);
    backend.write(&plan).await.unwrap();
    backend.start(&plan, &Unheard).await.unwrap();
    let resources = [
        "services",
        "networkpolicies",
        "persistentvolumeclaims",
        "secrets",
        "pods",
    ];
    let objects = resources.iter().flat_map(|resource| api.objects(resource));
    let texts = objects.map(|(_, object)| serde_yaml_ng::to_string(&as_sent(object)).unwrap());
    texts.collect::<Vec<_>>().join("---\n")
}

fn as_sent(mut object: Value) -> Value {
    let take = |object: &mut Value, fields: &[&str]| {
        if let Some(object) = object.as_object_mut() {
            fields.iter().for_each(|field| drop(object.remove(*field)));
        }
    };
    take(&mut object, &["status"]);
    take(
        &mut object["metadata"],
        &["uid", "resourceVersion", "creationTimestamp", "finalizers"],
    );
    take(
        &mut object["spec"],
        &["nodeName", "clusterIP", "sessionAffinity"],
    );
    if object["spec"].is_null() {
        take(&mut object, &["spec"]);
    }
    object
}

#[tokio::test]
async fn each_tier_is_made_as_its_file_says() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for tier in [Tier::T1, Tier::T2, Tier::T3, Tier::T4] {
        let file = folder.join(format!("kubernetes-tier-{}.yaml", tier_number(tier)));
        let made = made(tier).await;
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&file, &made).unwrap();
        }
        let golden = fs::read_to_string(&file).unwrap();
        assert!(
            golden == made,
            "{} says something else:\n{made}",
            file.display()
        );
    }
}

/// What must hold whatever the files say.
#[tokio::test]
async fn no_tier_below_three_has_a_right_over_its_node() {
    for tier in [Tier::T1, Tier::T2] {
        let world = pods::Pods::new().await;
        let mut plan = plan(tier);
        plan.mount = Mount::Volume;
        world.backend.write(&plan).await.unwrap();
        world.backend.start(&plan, &Unheard).await.unwrap();
        let pod = world.api.objects("pods").into_values().next().unwrap();
        let spec = &pod["spec"];
        assert_eq!(spec["automountServiceAccountToken"], false);
        assert_eq!(spec["restartPolicy"], "Never");
        assert_eq!(spec["securityContext"]["runAsUser"], 10_001);
        for container in ["initContainers", "containers"] {
            let container = &spec[container][0];
            assert_eq!(container["resources"]["limits"]["memory"], "512Mi");
            assert_eq!(container["resources"]["limits"]["cpu"], "1000m");
            let read_only = &container["securityContext"]["readOnlyRootFilesystem"];
            let expected = if tier == Tier::T1 {
                json!(true)
            } else {
                Value::Null
            };
            assert_eq!(read_only, &expected);
        }
        let has_work = spec.to_string().contains("\"/workspace\"");
        assert_eq!(has_work, tier == Tier::T2, "tier 1 has no /workspace");
        // Kubernetes replaces `$(NAME)` in a command and `$$` by `$`.
        let script = spec["initContainers"][0]["command"][2].as_str().unwrap();
        assert!(!script.contains("$(") && !script.contains("$$"));
    }
}
