//! Secrets of workspaces, and the global ones (contract/neighbours.md, "Secrets and
//! model"). Values leave by one route only, for the workspace itself.

use std::sync::Arc;

use candor_kernel::Error;
use candor_proto::provisioner::v1 as pb;

use crate::legacy::App;
use crate::legacy::answer::{self, Answer};
use crate::legacy::call::{Call, bad_request};
use crate::legacy::json::encode::{Map, Members as _, array};
use crate::legacy::shapes::time;

const MALFORMED: &str = "invalid request body";

/// GET /workspaces/:id/secrets: names, with the global ones that are not overridden.
pub(crate) async fn list(app: Arc<App>, call: Call) -> Answer {
    let id = call.canonical_workspace_id()?;
    names(&app, &call, id.to_string()).await
}

/// GET /settings/secrets and /admin/secrets.
pub(crate) async fn list_global(app: Arc<App>, call: Call) -> Answer {
    names(&app, &call, String::new()).await
}

async fn names(app: &App, call: &Call, workspace_id: String) -> Answer {
    let request = pb::ListSecretsRequest { workspace_id };
    let listed = app
        .provisioner
        .call(&call.caller, request, |mut c, r| async move {
            c.list_secrets(r).await
        })
        .await?;
    let names = listed.secrets.iter().map(|secret| {
        Map::new()
            .member("created_at", |json| time(json, secret.created_at.as_ref()))
            .bool("has_value", true)
            .string("key", &secret.key)
            .string("scope", &secret.scope)
            .member("updated_at", |json| time(json, secret.updated_at.as_ref()))
            .finish()
    });
    Ok(answer::ok(array(names)))
}

/// POST and PUT /workspaces/:id/secrets.
pub(crate) async fn put(app: Arc<App>, call: Call) -> Answer {
    let id = call.canonical_workspace_id()?;
    let key = store(&app, &call, id.to_string()).await?;
    let body = Map::new().string("key", &key).string("status", "saved");
    Ok(answer::ok(body.finish()))
}

/// PUT and POST /settings/secrets, POST /admin/secrets.
pub(crate) async fn put_global(app: Arc<App>, call: Call) -> Answer {
    let key = store(&app, &call, String::new()).await?;
    Ok(answer::ok(global(&key, "saved")))
}

async fn store(app: &App, call: &Call, workspace_id: String) -> Result<String, Error> {
    let object = call.object(MALFORMED)?;
    let text = |name| {
        object
            .required_string(name)
            .map_err(|_| bad_request(MALFORMED))
    };
    let key = text("key")?;
    let request = pb::PutSecretRequest {
        workspace_id,
        key: key.clone(),
        value: text("value")?,
    };
    app.provisioner
        .call(&call.caller, request, |mut c, r| async move {
            c.put_secret(r).await
        })
        .await?;
    Ok(key)
}

/// DELETE /workspaces/:id/secrets/:key.
pub(crate) async fn delete(app: Arc<App>, call: Call) -> Answer {
    let id = call.canonical_workspace_id()?;
    forget(&app, &call, id.to_string(), &call.item).await?;
    let body = Map::new()
        .string("key", &call.item)
        .string("status", "deleted");
    Ok(answer::ok(body.finish()))
}

/// DELETE /settings/secrets/:key and /admin/secrets/:key.
pub(crate) async fn delete_global(app: Arc<App>, call: Call) -> Answer {
    forget(&app, &call, String::new(), &call.id).await?;
    Ok(answer::ok(global(&call.id, "deleted")))
}

async fn forget(app: &App, call: &Call, workspace_id: String, key: &str) -> Result<(), Error> {
    let request = pb::DeleteSecretRequest {
        workspace_id,
        key: key.to_owned(),
    };
    app.provisioner
        .call(&call.caller, request, |mut c, r| async move {
            c.delete_secret(r).await
        })
        .await?;
    Ok(())
}

fn global(key: &str, status: &str) -> String {
    Map::new()
        .string("key", key)
        .string("scope", "global")
        .string("status", status)
        .finish()
}

/// GET /workspaces/:id/secrets/values.
pub(crate) async fn values(app: Arc<App>, call: Call) -> Answer {
    let request = pb::GetSecretValuesRequest {
        workspace_id: call.canonical_workspace_id()?.to_string(),
    };
    let opened = app
        .provisioner
        .call(&call.caller, request, |mut c, r| async move {
            c.get_secret_values(r).await
        })
        .await?;
    let body = opened
        .values
        .iter()
        .fold(Map::new(), |body, (key, value)| body.string(key, value));
    Ok(answer::ok(body.finish()))
}
