//! Whom an instance may talk to: it asks the cluster's DNS, calls the platform and the
//! internet, and is called by the platform alone. Other pods, the cluster's API and the
//! clouds' metadata are closed to it. A network plugin that enforces policies must run;
//! tier 4, on its node's network, is outside of all policies.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    LabelSelector, LabelSelectorRequirement, ObjectMeta,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::super::names::{PORT, owned_by};
use super::Made;

/// Not the internet: this host, private, shared and link-local networks, and the
/// addresses at which clouds give credentials to whoever asks.
const NOT_THE_INTERNET_V4: [&str; 9] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
];
/// The same for version 6, with the one way to reach version 4 through it.
const NOT_THE_INTERNET_V6: [&str; 5] = [
    "::/127",
    "64:ff9b::/96",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
];

/// The policy of the workspace's instances. It goes when the workspace's Service goes.
pub(in super::super) fn policy(made: &Made<'_>, anchor: &ObjectMeta) -> NetworkPolicy {
    let names = made.names;
    let mut metadata = names.meta(names.anchor());
    metadata.owner_references = owned_by(anchor);
    NetworkPolicy {
        metadata,
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(names.marks()),
                ..LabelSelector::default()
            }),
            policy_types: Some(vec!["Ingress".into(), "Egress".into()]),
            ingress: Some(vec![NetworkPolicyIngressRule {
                from: Some(vec![platform(made)]),
                ports: Some(vec![port("TCP", PORT)]),
            }]),
            egress: Some(egress(made)),
        }),
    }
}

fn egress(made: &Made<'_>) -> Vec<NetworkPolicyEgressRule> {
    let dns = NetworkPolicyPeer {
        namespace_selector: Some(namespace("kube-system")),
        pod_selector: Some(LabelSelector {
            match_labels: Some(BTreeMap::from([("k8s-app".into(), "kube-dns".into())])),
            ..LabelSelector::default()
        }),
        ..NetworkPolicyPeer::default()
    };
    let mut anywhere = vec![
        block("0.0.0.0/0", &NOT_THE_INTERNET_V4),
        block("::/0", &NOT_THE_INTERNET_V6),
    ];
    anywhere.extend(made.settings.reachable.iter().map(|net| block(net, &[])));
    vec![
        NetworkPolicyEgressRule {
            to: Some(vec![dns]),
            ports: Some(vec![port("UDP", 53), port("TCP", 53)]),
        },
        NetworkPolicyEgressRule {
            to: Some(vec![platform(made)]),
            ports: Some(vec![port("TCP", made.settings.platform.port)]),
        },
        NetworkPolicyEgressRule {
            to: Some(anywhere),
            ports: None,
        },
    ]
}

fn platform(made: &Made<'_>) -> NetworkPolicyPeer {
    let platform = &made.settings.platform;
    NetworkPolicyPeer {
        namespace_selector: Some(namespace(&platform.namespace)),
        pod_selector: Some(LabelSelector {
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: "app.kubernetes.io/name".into(),
                operator: "In".into(),
                values: Some(platform.names.clone()),
            }]),
            ..LabelSelector::default()
        }),
        ..NetworkPolicyPeer::default()
    }
}

/// A namespace by the label that Kubernetes itself gives it.
fn namespace(name: &str) -> LabelSelector {
    let label = "kubernetes.io/metadata.name".to_owned();
    LabelSelector {
        match_labels: Some(BTreeMap::from([(label, name.to_owned())])),
        ..LabelSelector::default()
    }
}

fn block(cidr: &str, except: &[&str]) -> NetworkPolicyPeer {
    let except: Vec<String> = except.iter().map(|&net| net.to_owned()).collect();
    NetworkPolicyPeer {
        ip_block: Some(IPBlock {
            cidr: cidr.to_owned(),
            except: (!except.is_empty()).then_some(except),
        }),
        ..NetworkPolicyPeer::default()
    }
}

fn port(protocol: &str, number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.into()),
        port: Some(IntOrString::Int(i32::from(number))),
        ..NetworkPolicyPort::default()
    }
}
