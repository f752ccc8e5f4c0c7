//! How instances are made in a cluster, as the operator wants it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::Tier;

/// Settings of the backend. Everything but the first three has a default.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The installation's id: the mark on everything that is made.
    pub installation: String,
    /// The namespace of the instances, and of nothing else if that is possible: who may
    /// make Pods in a namespace may read its Secrets.
    pub namespace: String,
    /// The image of each runtime. What has none is not claimed.
    pub images: BTreeMap<String, String>,
    /// When images are pulled.
    pub pull: Pull,
    /// Names of the Secrets with credentials for the image registry.
    pub pull_secrets: Vec<String>,
    /// The class of the volumes; the cluster's default without one.
    pub storage_class: Option<String>,
    /// Who may mount a volume at a time.
    pub access: Access,
    /// Size of `/configs`, as Kubernetes writes quantities.
    pub configs_size: String,
    /// Size of `/workspace`, as Kubernetes writes quantities.
    pub workspace_size: String,
    /// The account and the group that instances run as, by number, never 0.
    pub account: i64,
    /// What each tier may use; a tier that is not listed has its default.
    pub limits: BTreeMap<Tier, Limits>,
    /// Whether tiers 3 and 4 are made at all: they are root on their node.
    pub allow_privileged: bool,
    /// Whether a folder of a node may be mounted as `/workspace`.
    pub allow_node_folders: bool,
    /// The platform's pods, for the network policy.
    pub platform: PlatformPods,
    /// Further networks that instances may call, as `10.1.0.0/16`. Without an entry the
    /// cluster's own networks are closed to them.
    pub reachable: Vec<String>,
    /// Longest time for one call to the API.
    pub call_deadline: Duration,
    /// Longest time until a new instance runs, with its image pulled and its node found.
    pub start_deadline: Duration,
    /// How long after its grace a Pod may take to go, before that is reported; the same for
    /// volumes that are removed.
    pub margin: Duration,
    /// Time between two looks at something that is waited for.
    pub poll: Duration,
    /// Whether a Pod that is still there after grace and margin is struck from the API
    /// without its node's word. Its processes may go on; that is why it is off.
    pub force_after_grace: bool,
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pull {
    /// At each start: what a moving tag names now.
    Always,
    /// If the node does not have it.
    IfNotPresent,
    /// Never: the node has it, or the instance does not start.
    Never,
}

/// Who may mount a volume at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Pods of one node. Every driver knows it.
    OneNode,
    /// One Pod in the whole cluster: an old instance that survives keeps a new one
    /// out. The storage driver must know `ReadWriteOncePod`.
    OnePod,
}

/// What an instance may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Mebibytes of memory; over it the kernel kills.
    pub memory_mib: u32,
    /// Thousandths of a CPU; over it the instance is slowed down.
    pub cpu_milli: u32,
    /// Mebibytes of the node's disk for what it writes outside of its volumes; over it
    /// the kubelet evicts.
    pub disk_mib: u32,
}

/// Which pods are the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformPods {
    /// Their namespace.
    pub namespace: String,
    /// The values of `app.kubernetes.io/name` that they carry.
    pub names: Vec<String>,
    /// The port, of the pod, where instances call it.
    pub port: u16,
}

/// Settings that cannot be used; names the setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadSettings(pub String);

impl Settings {
    /// With defaults for the rest.
    #[must_use]
    pub fn new(
        installation: impl Into<String>,
        namespace: impl Into<String>,
        images: BTreeMap<String, String>,
    ) -> Self {
        Self {
            installation: installation.into(),
            namespace: namespace.into(),
            images,
            pull: Pull::IfNotPresent,
            pull_secrets: Vec::new(),
            storage_class: None,
            access: Access::OneNode,
            configs_size: "1Gi".into(),
            workspace_size: "10Gi".into(),
            account: 10_001,
            limits: BTreeMap::new(),
            allow_privileged: false,
            allow_node_folders: false,
            platform: PlatformPods {
                namespace: "candor".into(),
                names: [
                    "candor",
                    "candor-gateway",
                    "candor-registry",
                    "candor-relay",
                ]
                .map(str::to_owned)
                .into(),
                port: 8080,
            },
            reachable: Vec::new(),
            call_deadline: Duration::from_secs(10),
            start_deadline: Duration::from_secs(180),
            margin: Duration::from_secs(30),
            poll: Duration::from_millis(500),
            force_after_grace: false,
        }
    }

    /// What an instance of this tier may use (contract/provisioner.md, "Tiers"; tier 1
    /// has limits here).
    #[must_use]
    pub fn limits(&self, tier: Tier) -> Limits {
        let default = |memory_mib, cpu_milli| Limits {
            memory_mib,
            cpu_milli,
            disk_mib: 4_096,
        };
        self.limits.get(&tier).copied().unwrap_or(match tier {
            Tier::T1 | Tier::T2 => default(512, 1_000),
            Tier::T3 => default(2_048, 2_000),
            Tier::T4 => default(4_096, 4_000),
        })
    }

    /// Checks what would otherwise fail with the first instance.
    pub(crate) fn check(&self) -> Result<(), BadSettings> {
        let wrong = |text: String| Err(BadSettings(text));
        if !is_label(&self.installation) {
            return wrong(format!(
                "the installation's id {:?} cannot mark an object: up to 63 letters, digits, `-`, `_` and `.`",
                self.installation
            ));
        }
        if !is_label(&self.namespace) || self.namespace.contains(['.', '_']) {
            return wrong(format!("{:?} is no name of a namespace", self.namespace));
        }
        if self.account <= 0 {
            return wrong("instances do not run as root: name an account above 0".into());
        }
        if let Some(network) = self.reachable.iter().find(|text| !is_network(text)) {
            return wrong(format!("{network:?} is no network: write 10.1.0.0/16"));
        }
        let has_nothing = |limits: &Limits| {
            limits.memory_mib == 0 || limits.cpu_milli == 0 || limits.disk_mib == 0
        };
        if self.limits.values().any(has_nothing) {
            return wrong("a tier's limit of 0 lets nothing run".into());
        }
        Ok(())
    }
}

/// Whether a text may be the value of a label, and is not empty.
fn is_label(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric();
    (1..=63).contains(&text.len())
        && text.chars().all(|c| is_plain(c) || "-_.".contains(c))
        && text.starts_with(is_plain)
        && text.ends_with(is_plain)
}

fn is_network(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    let longest = match address.parse() {
        Ok(std::net::IpAddr::V4(_)) => 32,
        Ok(std::net::IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= longest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_cannot_be_used_is_named_before_the_first_instance() {
        let good = Settings::new("0198c0de-1", "candor-instances", BTreeMap::new());
        assert_eq!(good.check(), Ok(()));
        type Change = fn(&mut Settings);
        let wrong: [(&str, Change); 6] = [
            ("installation", |s| s.installation = "a b".into()),
            ("installation", |s| s.installation = "-a".into()),
            ("namespace", |s| s.namespace = "a.b".into()),
            ("root", |s| s.account = 0),
            ("network", |s| s.reachable = vec!["10.0.0.0/33".into()]),
            ("limit", |s| {
                let none = Limits {
                    memory_mib: 0,
                    cpu_milli: 1,
                    disk_mib: 1,
                };
                s.limits.insert(Tier::T2, none);
            }),
        ];
        for (named, change) in wrong {
            let mut settings = good.clone();
            change(&mut settings);
            let refusal = settings.check().unwrap_err().to_string();
            assert!(refusal.contains(named), "{refusal}");
        }
    }
}
