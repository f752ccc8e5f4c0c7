//! Workspaces below a workspace, made from its configuration (contract/workspaces.md,
//! "Hierarchy and canvas").

use std::sync::Arc;

use candor_identity::Call;
use candor_kernel::{Error, Reason, Status, WorkspaceId};
use candor_peers::time;
use candor_proto::provisioner::v1 as pb;
use candor_proto::registry::v1 as registry;
use serde_json::json;
use uuid::Uuid;

use super::{provisioner, workspace};
use crate::app::App;
use crate::blueprint::is;
use crate::files::View;
use crate::store::{Store, files};
use crate::templates::{Declared, SubWorkspace, Templates, unread};

/// Workspaces that one configuration makes, at most.
const MOST: usize = 50;

/// Makes what is not there yet; what has its name already below the workspace stays.
pub(super) async fn expand(
    app: Arc<App>,
    call: Call,
    request: pb::ExpandWorkspaceRequest,
) -> Result<pb::ExpandWorkspaceResponse, Error> {
    let id = workspace("id", &request.id)?;
    let view = View::of(&app, &call, id).await?;
    if is(&view.blueprint.status, Status::Removed) {
        return Err(Error::new(Reason::WorkspaceNotFound, "workspace not found"));
    }
    let none = || Error::field("id", "no config found for workspace");
    let declared = view.declared_by_people().await?.ok_or_else(none)?;
    let wanted = wanted(declared)?;
    // Two at once would make everything twice.
    let mut held = app.store.begin().await?;
    if !files::hold_team(&mut held, id).await? {
        return Err(Error::new(
            Reason::Contention,
            "this workspace is being expanded already",
        )
        .with_retry_after(std::time::Duration::from_secs(1)));
    }
    let there = children(&app, id).await?;
    let mut made = false;
    let mut shown = Vec::new();
    for sub in wanted {
        let known = there.iter().find(|child| child.name == sub.name);
        let child = match known {
            Some(child) => child.id.clone(),
            None => {
                made = true;
                create(&app, id, view.blueprint.tier, &sub).await?
            }
        };
        shown.push(pb::ExpandedChild {
            id: child,
            name: sub.name,
            role: sub.role,
        });
    }
    if made {
        let children: Vec<_> = shown
            .iter()
            .map(|child| json!({"id": child.id, "name": child.name, "role": child.role}))
            .collect();
        tell(
            &app,
            id,
            "WORKSPACE_EXPANDED",
            &json!({"children": children}),
        )
        .await?;
    }
    Store::commit(held).await?;
    Ok(pb::ExpandWorkspaceResponse { children: shown })
}

/// Removes the workspaces below, each with everything that is below it.
pub(super) async fn collapse(
    app: Arc<App>,
    call: Call,
    request: pb::CollapseWorkspaceRequest,
) -> Result<pb::CollapseWorkspaceResponse, Error> {
    let id = workspace("id", &request.id)?;
    call.self_or_operator(id)?;
    let mut removed = Vec::new();
    for child in children(&app, id).await? {
        let request = registry::DeleteWorkspaceRequest {
            id: child.id,
            confirm: true,
            purge: false,
        };
        let deleted = app
            .services
            .registry
            .call(&provisioner(), request, |mut c, r| async move {
                c.delete_workspace(r).await
            })
            .await;
        match deleted {
            // Somebody else purged it meanwhile.
            Err(error) if error.reason() == Reason::WorkspaceNotFound => {}
            deleted => {
                deleted?;
                removed.push(child.name);
            }
        }
    }
    if !removed.is_empty() {
        let payload = json!({"removed_children": removed});
        tell(&app, id, "WORKSPACE_COLLAPSED", &payload).await?;
    }
    app.due.notify_one();
    Ok(pb::CollapseWorkspaceResponse { removed })
}

/// The workspaces that a configuration names, each with a name.
fn wanted(declared: Declared) -> Result<Vec<SubWorkspace>, Error> {
    let mut wanted: Vec<SubWorkspace> = Vec::new();
    for mut sub in declared.sub_workspaces {
        if sub.name.is_empty() {
            sub.name = sub.config.clone();
        }
        // One without a name, or named twice, could not be known again.
        if !sub.name.is_empty() && wanted.iter().all(|known| known.name != sub.name) {
            wanted.push(sub);
        }
    }
    match wanted.len() {
        0 => Err(Error::field(
            "id",
            "workspace has no sub_workspaces defined in config",
        )),
        many if many > MOST => Err(Error::field(
            "id",
            format!("the config defines {many} sub_workspaces, max {MOST}"),
        )),
        _ => Ok(wanted),
    }
}

/// The workspaces directly below one.
async fn children(app: &App, id: WorkspaceId) -> Result<Vec<registry::Relative>, Error> {
    let request = registry::GetFamilyRequest { id: id.to_string() };
    let family = app
        .services
        .registry
        .call(&provisioner(), request, |mut c, r| async move {
            c.get_family(r).await
        })
        .await?;
    let parent = id.to_string();
    let below = family.descendants.into_iter();
    Ok(below.filter(|one| one.parent_id == parent).collect())
}

/// Makes one of the parent's tier, from its template.
async fn create(
    app: &App,
    parent: WorkspaceId,
    tier: i32,
    sub: &SubWorkspace,
) -> Result<String, Error> {
    let (templates, config) = (Templates::of(app), sub.config.clone());
    let read = tokio::task::spawn_blocking(move || templates.run_by(&config));
    let (runtime, model) = read.await.map_err(Error::internal)?.map_err(unread)?;
    let request = registry::CreateWorkspaceRequest {
        name: sub.name.clone(),
        role: Some(sub.role.clone()).filter(|role| !role.is_empty()),
        template: sub.config.clone(),
        tier: tier_below(tier),
        runtime,
        model,
        parent_id: Some(parent.to_string()),
        ..registry::CreateWorkspaceRequest::default()
    };
    let created = app
        .services
        .registry
        .call(&provisioner(), request, |mut c, r| async move {
            c.create_workspace(r).await
        })
        .await?;
    Ok(created.id)
}

/// The parent's tier; what is none of the four runs as 2, and its children are that.
const fn tier_below(tier: i32) -> i32 {
    match tier {
        1..=4 => tier,
        _ => 2,
    }
}

/// Writes an event of the workspace.
async fn tell(
    app: &App,
    id: WorkspaceId,
    event_type: &str,
    payload: &serde_json::Value,
) -> Result<(), Error> {
    let event = registry::Event {
        id: Uuid::now_v7().to_string(),
        event_type: event_type.to_owned(),
        workspace_id: id.to_string(),
        payload: payload.to_string(),
        created_at: Some(time::timestamp(chrono::Utc::now())),
        ..registry::Event::default()
    };
    let request = registry::AppendEventsRequest {
        events: vec![event],
    };
    app.services
        .registry
        .call(&provisioner(), request, |mut c, r| async move {
            c.append_events(r).await
        })
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_that_is_none_is_not_handed_down() {
        assert_eq!([-1, 0, 1, 4, 5].map(tier_below), [2, 2, 1, 4, 2]);
    }
}
