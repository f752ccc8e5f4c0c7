//! Files of workspaces (contract/neighbours.md, "Files API").

use std::sync::Arc;

use bytes::Bytes;
use candor_identity::Call;
use candor_kernel::Error;
use candor_proto::provisioner::v1 as pb;

use super::workspace;
use crate::app::App;
use crate::backend::Root;
use crate::files::{MOST_BYTES, MOST_FILES, Path, View, root};

/// Folders below each other in one list, at most.
const DEEPEST: usize = 5;
/// Files that one configuration shares, at most.
const MOST_SHARED: usize = 100;

pub(super) async fn list(
    app: Arc<App>,
    call: Call,
    request: pb::ListFilesRequest,
) -> Result<pb::ListFilesResponse, Error> {
    let id = workspace("workspace_id", &request.workspace_id)?;
    let root = root(&request.root)?;
    let below = match request.path.as_str() {
        "" => None,
        path => Some(Path::of_file(root, path)?),
    };
    let depth = match usize::try_from(request.depth) {
        Ok(0) => 1,
        Ok(depth) if depth <= DEEPEST => depth,
        _ => return Err(Error::field("depth", "depth must be 1-5")),
    };
    let view = View::of(&app, &call, id).await?;
    let below = below.as_ref().map_or("", Path::as_str);
    let entries = view.list(root, below, depth).await?;
    let files = entries.into_iter().map(|entry| pb::FileEntry {
        path: entry.path,
        size: i64::try_from(entry.size).unwrap_or(i64::MAX),
        dir: entry.is_folder,
    });
    Ok(pb::ListFilesResponse {
        files: files.collect(),
    })
}

pub(super) async fn read(
    app: Arc<App>,
    call: Call,
    request: pb::ReadFileRequest,
) -> Result<pb::ReadFileResponse, Error> {
    let id = workspace("workspace_id", &request.workspace_id)?;
    let root = root(&request.root)?;
    let path = Path::of_file(root, &request.path)?;
    let view = View::of(&app, &call, id).await?;
    let content = view.read(root, &path).await?;
    Ok(pb::ReadFileResponse {
        path: path.into_string(),
        content,
    })
}

pub(super) async fn write(
    app: Arc<App>,
    call: Call,
    request: pb::WriteFilesRequest,
) -> Result<pb::WriteFilesResponse, Error> {
    let id = workspace("workspace_id", &request.workspace_id)?;
    let count = request.files.len();
    if count > MOST_FILES {
        let text = format!("too many files ({count}), max {MOST_FILES}");
        return Err(Error::field("files", text));
    }
    let bytes: usize = request.files.values().map(Bytes::len).sum();
    if bytes > MOST_BYTES {
        let text = format!("the files of one request are at most {MOST_BYTES} bytes together");
        return Err(Error::field("files", text));
    }
    let mut files = request
        .files
        .into_iter()
        .map(|(path, content)| Ok((Path::of_file(Root::Configs, &path)?, content)))
        .collect::<Result<Vec<_>, Error>>()?;
    files.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
    if files.windows(2).any(|two| two[0].0 == two[1].0) {
        return Err(Error::field("path", "invalid path"));
    }
    let view = View::of(&app, &call, id).await?;
    Ok(pb::WriteFilesResponse {
        source: view.write(files).await?.to_owned(),
    })
}

pub(super) async fn delete(
    app: Arc<App>,
    call: Call,
    request: pb::DeleteFileRequest,
) -> Result<pb::DeleteFileResponse, Error> {
    let id = workspace("workspace_id", &request.workspace_id)?;
    let path = Path::of_file(Root::Configs, &request.path)?;
    let view = View::of(&app, &call, id).await?;
    view.delete(&path).await?;
    Ok(pb::DeleteFileResponse {})
}

/// The files that its configuration names; what is not there, or no text, is left out.
pub(super) async fn shared_context(
    app: Arc<App>,
    call: Call,
    request: pb::GetSharedContextRequest,
) -> Result<pb::GetSharedContextResponse, Error> {
    let id = workspace("workspace_id", &request.workspace_id)?;
    let view = View::of(&app, &call, id).await?;
    let declared = view.declared().await?.unwrap_or_default();
    let too_much = || {
        let text = format!(
            "shared_context names more than {MOST_SHARED} files, or {MOST_BYTES} bytes together"
        );
        Error::field("shared_context", text)
    };
    if declared.shared_context.len() > MOST_SHARED {
        return Err(too_much());
    }
    let mut files = Vec::new();
    let mut bytes = 0;
    for given in declared.shared_context {
        let Ok(path) = Path::of_file(Root::Configs, &given) else {
            continue;
        };
        let content = match view.read(Root::Configs, &path).await {
            Ok(content) => content,
            Err(error) if error.kind() == candor_kernel::ErrorKind::Unavailable => {
                return Err(error);
            }
            Err(_) => continue,
        };
        let Ok(content) = String::from_utf8(content.to_vec()) else {
            continue;
        };
        bytes += content.len();
        if bytes > MOST_BYTES {
            return Err(too_much());
        }
        files.push(pb::SharedFile {
            path: given,
            content,
        });
    }
    Ok(pb::GetSharedContextResponse { files })
}
