//! Files of workspaces (contract/neighbours.md, "Files API").

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use candor_kernel::Error;
use candor_proto::provisioner::v1 as pb;

use crate::legacy::App;
use crate::legacy::answer::{self, Answer};
use crate::legacy::call::{Call, bad_request};
use crate::legacy::json::bind::Malformed;
use crate::legacy::json::encode::{Map, Members as _, Struct, array};

/// Longest wait for what a backend is asked; the provisioner's own ends before it.
pub(super) const LOOK: Duration = Duration::from_secs(22);
const MALFORMED: &str = "invalid request body";
const ROOTS: &str = "root must be one of: /configs, /workspace, /home, /plugins";

/// GET /workspaces/:id/files?root=&path=&depth=.
pub(crate) async fn list(app: Arc<App>, call: Call) -> Answer {
    let root = root(&call)?;
    let path = call.query("path").unwrap_or_default().into_owned();
    let depth = match call.query("depth").unwrap_or_default().as_ref() {
        "" => 1,
        // What is no number is one out of range, so that it is judged after the others.
        given => match given.parse() {
            Ok(0) | Err(_) => i32::MAX,
            Ok(depth) => depth,
        },
    };
    let request = pb::ListFilesRequest {
        workspace_id: call.workspace_id()?.to_string(),
        root,
        path,
        depth,
    };
    let listed = app
        .provisioner
        .call_within(LOOK, &call.caller, request, |mut c, r| async move {
            c.list_files(r).await
        })
        .await?;
    let files = listed.files.iter().map(|entry| {
        Struct::new()
            .string("path", &entry.path)
            .int("size", entry.size)
            .bool("dir", entry.dir)
            .finish()
    });
    Ok(answer::ok(array(files)))
}

/// GET /workspaces/:id/files/*path?root=.
pub(crate) async fn read(app: Arc<App>, call: Call) -> Answer {
    let request = pb::ReadFileRequest {
        workspace_id: call.workspace_id()?.to_string(),
        root: root(&call)?,
        path: call.item.clone(),
    };
    let file = app
        .provisioner
        .call_within(LOOK, &call.caller, request, |mut c, r| async move {
            c.read_file(r).await
        })
        .await?;
    let Ok(content) = std::str::from_utf8(&file.content) else {
        return Err(bad_request(
            "the file is no UTF-8 text; ReadFile over gRPC gives its bytes",
        ));
    };
    let size = i64::try_from(content.len()).unwrap_or(i64::MAX);
    let body = Map::new()
        .string("content", content)
        .string("path", &file.path)
        .int("size", size);
    Ok(answer::ok(body.finish()))
}

/// PUT /workspaces/:id/files/*path.
pub(crate) async fn write(app: Arc<App>, call: Call) -> Answer {
    let object = call.object(MALFORMED)?;
    let content = object
        .string("content")
        .map_err(|Malformed| bad_request(MALFORMED))?
        .unwrap_or_default();
    let files = HashMap::from([(call.item.clone(), Bytes::from(content))]);
    put(&app, &call, files).await?;
    Ok(answer::ok(named(&call.item, "saved")))
}

/// PUT /workspaces/:id/files: adds and overwrites, never removes.
pub(crate) async fn replace(app: Arc<App>, call: Call) -> Answer {
    let object = call.object(MALFORMED)?;
    let given = object
        .string_map("files")
        .map_err(|Malformed| bad_request(MALFORMED))?
        .ok_or_else(|| bad_request(MALFORMED))?;
    let count = i64::try_from(given.len()).unwrap_or(i64::MAX);
    let given = given.into_iter();
    let files = given.map(|(path, content)| (path, Bytes::from(content)));
    let written = put(&app, &call, files.collect()).await;
    let written = written.map_err(|error| match error.public() {
        "invalid path" => bad_request(MALFORMED),
        _ => error,
    })?;
    let body = Map::new()
        .int("files", count)
        .string("source", &written.source)
        .string("status", "replaced")
        .string("workspace", &call.id);
    Ok(answer::ok(body.finish()))
}

/// DELETE /workspaces/:id/files/*path: what the original answers to every path, which it
/// looks at with a slash before it (recorded). `DeleteFile` over gRPC deletes.
pub(crate) async fn delete(_: Arc<App>, _: Call) -> Answer {
    Err(bad_request("absolute paths not permitted"))
}

/// GET /workspaces/:id/shared-context.
pub(crate) async fn shared_context(app: Arc<App>, call: Call) -> Answer {
    let request = pb::GetSharedContextRequest {
        workspace_id: call.workspace_id()?.to_string(),
    };
    let shared = app
        .provisioner
        .call_within(LOOK, &call.caller, request, |mut c, r| async move {
            c.get_shared_context(r).await
        })
        .await?;
    let files = shared.files.iter().map(|file| {
        Struct::new()
            .string("path", &file.path)
            .string("content", &file.content)
            .finish()
    });
    Ok(answer::ok(array(files)))
}

async fn put(
    app: &App,
    call: &Call,
    files: HashMap<String, Bytes>,
) -> Result<pb::WriteFilesResponse, Error> {
    let request = pb::WriteFilesRequest {
        workspace_id: call.workspace_id()?.to_string(),
        files,
    };
    app.provisioner
        .call_within(LOOK, &call.caller, request, |mut c, r| async move {
            c.write_files(r).await
        })
        .await
}

/// The root of the query: `/configs` if none is given; an empty one is none of them.
fn root(call: &Call) -> Result<String, Error> {
    match call.query("root") {
        None => Ok("/configs".to_owned()),
        Some(root) if root.is_empty() => Err(bad_request(ROOTS)),
        Some(root) => Ok(root.into_owned()),
    }
}

fn named(path: &str, status: &str) -> String {
    Map::new()
        .string("path", path)
        .string("status", status)
        .finish()
}
