//! Workspaces below a workspace (contract/workspaces.md, "Hierarchy and canvas").

use std::sync::Arc;
use std::time::Duration;

use candor_proto::provisioner::v1 as pb;

use super::files::LOOK;
use crate::legacy::App;
use crate::legacy::answer::{self, Answer};
use crate::legacy::call::Call;
use crate::legacy::json::encode::{Map, Members as _, Writer, array};

/// Longest wait until all of a team is removed; the provisioner's own ends before it.
const ENDING: Duration = Duration::from_secs(37);

/// POST /workspaces/:id/expand.
pub(crate) async fn expand(app: Arc<App>, call: Call) -> Answer {
    let request = pb::ExpandWorkspaceRequest {
        id: call.workspace_id()?.to_string(),
    };
    let done = app
        .provisioner
        .call_within(LOOK, &call.caller, request, |mut c, r| async move {
            c.expand_workspace(r).await
        })
        .await?;
    let children = done.children.iter().map(|child| {
        Map::new()
            .string("id", &child.id)
            .string("name", &child.name)
            .string("role", &child.role)
            .finish()
    });
    let body = Map::new()
        .encoded("children", &array(children))
        .string("status", "expanded");
    Ok(answer::ok(body.finish()))
}

/// POST /workspaces/:id/collapse.
pub(crate) async fn collapse(app: Arc<App>, call: Call) -> Answer {
    let request = pb::CollapseWorkspaceRequest {
        id: call.workspace_id()?.to_string(),
    };
    let done = app
        .provisioner
        .call_within(ENDING, &call.caller, request, |mut c, r| async move {
            c.collapse_workspace(r).await
        })
        .await?;
    let removed = done.removed.iter().map(|name| {
        let mut writer = Writer::new();
        writer.string(name);
        writer.finish()
    });
    let body = Map::new()
        .encoded("removed", &array(removed))
        .string("status", "collapsed");
    Ok(answer::ok(body.finish()))
}
