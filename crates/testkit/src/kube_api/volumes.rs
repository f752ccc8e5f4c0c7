//! Volumes as folders of this machine, laid out as a kubelet does it.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Pod, Secret, SecretVolumeSource, Volume};

use super::kinds;
use super::store::Store;

/// What is mounted where: by the volume's name.
pub(super) type Folders = BTreeMap<String, PathBuf>;

/// Makes a Pod's volumes; what is missing, as a kubelet's event would say it.
pub(super) fn make(
    store: &Store,
    node: &Path,
    namespace: &str,
    pod: &Pod,
) -> Result<Folders, String> {
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let volumes = pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten());
    let mut folders = Folders::new();
    for volume in volumes {
        let own = node.join("pods").join(&uid).join(&volume.name);
        let folder = one(store, node, namespace, volume, own)?;
        folders.insert(volume.name.clone(), folder);
    }
    Ok(folders)
}

fn one(
    store: &Store,
    node: &Path,
    namespace: &str,
    volume: &Volume,
    own: PathBuf,
) -> Result<PathBuf, String> {
    let io = |error: io::Error| format!("MountVolume.SetUp failed: {error}");
    if let Some(source) = &volume.secret {
        let name = source.secret_name.clone().unwrap_or_default();
        let secret = secret(store, namespace, &name)?;
        // A mount that was not finished is made anew.
        let _none = fs::remove_dir_all(&own);
        secret_folder(source, &secret, &own)?;
        return Ok(own);
    }
    let folder = if let Some(claim) = &volume.persistent_volume_claim {
        let kind = kinds::find("persistentvolumeclaims").ok_or("no claims")?;
        let object = store
            .get(kind, namespace, &claim.claim_name)
            .map_err(|refusal| refusal.message)?;
        // A claim of the same name that is made again is another volume.
        let uid = super::store::text(&object, "/metadata/uid").to_owned();
        node.join("claims").join(uid)
    } else if let Some(host) = &volume.host_path {
        return Ok(PathBuf::from(&host.path));
    } else {
        own
    };
    fs::create_dir_all(&folder).map_err(io)?;
    Ok(folder)
}

pub(super) fn secret(store: &Store, namespace: &str, name: &str) -> Result<Secret, String> {
    let kind = kinds::find("secrets").ok_or("no secrets")?;
    let found = store.get(kind, namespace, name);
    let object = found.map_err(|_| format!("secret {name:?} not found"))?;
    serde_json::from_value(object).map_err(|error| error.to_string())
}

/// A hidden folder with the files, a link to it, and links to what is in it.
fn secret_folder(
    source: &SecretVolumeSource,
    secret: &Secret,
    folder: &Path,
) -> Result<(), String> {
    let io = |error: io::Error| format!("MountVolume.SetUp failed: {error}");
    let data = folder.join("..2026_01_01_00_00_00.1");
    fs::create_dir_all(&data).map_err(io)?;
    let mode = source.default_mode.unwrap_or(0o644);
    for item in source.items.iter().flatten() {
        let content = secret.data.as_ref().and_then(|data| data.get(&item.key));
        let content =
            content.ok_or_else(|| format!("references non-existent secret key: {}", item.key))?;
        let path = data.join(&item.path);
        fs::create_dir_all(path.parent().unwrap_or(&data)).map_err(io)?;
        fs::write(&path, &content.0).map_err(io)?;
        let mode = u32::try_from(item.mode.unwrap_or(mode)).unwrap_or(0);
        fs::set_permissions(&path, Permissions::from_mode(mode)).map_err(io)?;
    }
    symlink("..2026_01_01_00_00_00.1", folder.join("..data")).map_err(io)?;
    for entry in fs::read_dir(&data).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        symlink(Path::new("..data").join(&name), folder.join(&name)).map_err(io)?;
    }
    Ok(())
}
