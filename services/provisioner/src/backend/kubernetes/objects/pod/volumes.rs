//! What a Pod mounts, and where.

use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, HostPathVolumeSource, KeyToPath, PersistentVolumeClaimVolumeSource,
    SecretVolumeSource, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::super::super::super::{Mount, Tier};
use super::super::{Made, secret};

/// The instance's Secret, for what lays out alone.
pub(super) const GENERATION: &str = "/candor/generation";
/// The token's own file, in memory, of this Pod alone.
pub(super) const TOKEN_DIR: &str = "/candor/token";
/// The workspace's configuration.
pub(super) const CONFIGS: &str = "/configs";
/// Its work.
const WORK: &str = "/workspace";

pub(super) fn volumes(made: &Made<'_>) -> Vec<Volume> {
    let mut volumes = vec![
        generation(made),
        in_memory("token", "1Mi"),
        claimed("configs", made.names.configs()),
    ];
    if made.has_work() {
        volumes.push(claimed("workspace", made.names.work()));
    } else if let Some(path) = node_folder(made) {
        volumes.push(Volume {
            name: "workspace".into(),
            host_path: Some(HostPathVolumeSource {
                path,
                type_: Some("Directory".into()),
            }),
            ..Volume::default()
        });
    }
    if made.plan.tier == Tier::T1 {
        volumes.push(in_memory("tmp", "64Mi"));
    }
    volumes
}

/// The Secret as a folder: `token`, and the files by their paths below `files`.
fn generation(made: &Made<'_>) -> Volume {
    let item = |key: String, path: String| KeyToPath {
        key,
        path,
        mode: None,
    };
    let mut items = vec![item(secret::TOKEN.into(), "token".into())];
    let files = made.plan.files.iter().enumerate();
    items.extend(
        files.map(|(number, file)| item(secret::file(number), format!("files/{}", file.path()))),
    );
    Volume {
        name: "generation".into(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(made.names.instance(made.plan.epoch)),
            items: Some(items),
            // For its owner and the Pod's group.
            default_mode: Some(0o440),
            optional: Some(false),
        }),
        ..Volume::default()
    }
}

fn in_memory(name: &str, size: &str) -> Volume {
    Volume {
        name: name.into(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: Some("Memory".into()),
            size_limit: Some(Quantity(size.into())),
        }),
        ..Volume::default()
    }
}

fn claimed(name: &str, claim: String) -> Volume {
    Volume {
        name: name.into(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim,
            read_only: None,
        }),
        ..Volume::default()
    }
}

fn node_folder(made: &Made<'_>) -> Option<String> {
    match &made.plan.mount {
        Mount::Host { path, .. } if made.plan.tier != Tier::T1 => path.to_str().map(str::to_owned),
        _ => None,
    }
}

pub(super) fn of_agent(made: &Made<'_>) -> Vec<VolumeMount> {
    let mut mounts = vec![mount("configs", CONFIGS), mount("token", TOKEN_DIR)];
    if made.has_work() {
        mounts.push(mount("workspace", WORK));
    } else if node_folder(made).is_some() {
        let read_only = matches!(
            made.plan.mount,
            Mount::Host {
                read_only: true,
                ..
            }
        );
        mounts.push(VolumeMount {
            read_only: read_only.then_some(true),
            ..mount("workspace", WORK)
        });
    }
    if made.plan.tier == Tier::T1 {
        mounts.push(mount("tmp", "/tmp"));
    }
    mounts
}

pub(super) fn of_layer_out() -> Vec<VolumeMount> {
    let generation = VolumeMount {
        read_only: Some(true),
        ..mount("generation", GENERATION)
    };
    vec![
        generation,
        mount("configs", CONFIGS),
        mount("token", TOKEN_DIR),
    ]
}

fn mount(volume: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: volume.into(),
        mount_path: path.into(),
        ..VolumeMount::default()
    }
}
