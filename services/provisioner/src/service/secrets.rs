//! Secrets (contract/neighbours.md, "Secrets and model").

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use candor_identity::{Call, Who};
use candor_kernel::{AuthMethod, Caller, Error, Reason, WorkspaceId};
use candor_peers::time;
use candor_proto::provisioner::v1 as pb;

use super::{no_workspace, workspace};
use crate::app::App;
use crate::store::secrets::{self, Amount, Name, Sealed};
use crate::store::{Store, Tx, restarts};

/// Bytes of names that are told of secrets that cannot be read.
const MOST_TOLD: usize = 4096;

/// Whose secrets a request is about.
pub(super) enum Scope {
    Global,
    Workspace(WorkspaceId),
}

impl Scope {
    /// Checks that the caller may see and change them.
    fn of(call: &Call, workspace_id: &str) -> Result<Self, Error> {
        if workspace_id.is_empty() {
            call.operator()?;
            return Ok(Self::Global);
        }
        let id = workspace("workspace_id", workspace_id)?;
        call.self_or_operator(id)?;
        Ok(Self::Workspace(id))
    }
}

pub(super) async fn list(
    app: Arc<App>,
    call: Call,
    request: pb::ListSecretsRequest,
) -> Result<pb::ListSecretsResponse, Error> {
    let scope = Scope::of(&call, &request.workspace_id)?;
    let mut connection = app.store.connection().await?;
    let own = match scope {
        Scope::Global => Vec::new(),
        Scope::Workspace(id) => secrets::names(&mut connection, id).await?,
    };
    let mut globals = secrets::global_names(&mut connection).await?;
    let overridden: HashSet<&str> = own.iter().map(|name| name.key.as_str()).collect();
    globals.retain(|name| !overridden.contains(name.key.as_str()));
    let own = own.into_iter().map(|name| told(name, "workspace"));
    let globals = globals.into_iter().map(|name| told(name, "global"));
    Ok(pb::ListSecretsResponse {
        secrets: own.chain(globals).collect(),
    })
}

fn told(name: Name, scope: &str) -> pb::SecretName {
    pb::SecretName {
        key: name.key,
        scope: scope.to_owned(),
        created_at: Some(time::timestamp(name.created_at)),
        updated_at: Some(time::timestamp(name.updated_at)),
    }
}

pub(super) async fn put(
    app: Arc<App>,
    call: Call,
    request: pb::PutSecretRequest,
) -> Result<pb::PutSecretResponse, Error> {
    let scope = Scope::of(&call, &request.workspace_id)?;
    for (field, text) in [("key", &request.key), ("value", &request.value)] {
        if text.is_empty() {
            return Err(Error::field(field, format!("{field} must not be empty")));
        }
    }
    may_change(&call, &request.key)?;
    let restarts = store(&app, &scope, &request.key, &request.value).await?;
    Ok(pb::PutSecretResponse { restarts })
}

/// A setting may name a command that the instance runs: it is for people to set, and to
/// take away.
fn may_change(call: &Call, key: &str) -> Result<(), Error> {
    if candor_secrets::is_setting(key) && call.operator().is_err() {
        return Err(Error::field("key", format!("reserved name: {key}")));
    }
    Ok(())
}

/// Stores a secret and asks for the restarts: how many.
pub(super) async fn store(app: &App, scope: &Scope, key: &str, value: &str) -> Result<i32, Error> {
    candor_secrets::check(key, value)?;
    let (sealed, version) = app.sealer.seal(key, value)?;
    let secret = Sealed {
        key: key.to_owned(),
        value: sealed,
        version,
    };
    let mut tx = app.store.begin().await?;
    let beside = match scope {
        Scope::Global => {
            secrets::hold_globals(&mut tx).await?;
            secrets::globals_beside(&mut tx, key).await?
        }
        Scope::Workspace(id) => {
            if !secrets::hold_workspace(&mut tx, *id).await? {
                return Err(no_workspace());
            }
            secrets::beside(&mut tx, *id, key).await?
        }
    };
    has_room(beside, value)?;
    match scope {
        Scope::Global => secrets::put_global(&mut tx, &secret).await?,
        Scope::Workspace(id) => secrets::put(&mut tx, *id, &secret).await?,
    }
    changed(app, tx, scope, key).await
}

fn has_room(beside: Amount, value: &str) -> Result<(), Error> {
    let number = |count: i64| usize::try_from(count).unwrap_or(usize::MAX);
    candor_secrets::check_amount(
        number(beside.secrets).saturating_add(1),
        number(beside.bytes).saturating_add(value.len()),
    )
}

pub(super) async fn delete(
    app: Arc<App>,
    call: Call,
    request: pb::DeleteSecretRequest,
) -> Result<pb::DeleteSecretResponse, Error> {
    let scope = Scope::of(&call, &request.workspace_id)?;
    may_change(&call, &request.key)?;
    let restarts = match forget(&app, &scope, &request.key).await? {
        Some(restarts) => restarts,
        None => return Err(Error::new(Reason::SecretNotFound, "secret not found")),
    };
    Ok(pb::DeleteSecretResponse { restarts })
}

/// Takes a secret away and asks for the restarts: how many, if there was one.
pub(super) async fn forget(app: &App, scope: &Scope, key: &str) -> Result<Option<i32>, Error> {
    // A name that no column can hold names nothing.
    if key.contains('\0') {
        return Ok(None);
    }
    let mut tx = app.store.begin().await?;
    let was_there = match scope {
        Scope::Global => {
            secrets::hold_globals(&mut tx).await?;
            secrets::delete_global(&mut tx, key).await?
        }
        Scope::Workspace(id) => secrets::delete(&mut tx, *id, key).await?,
    };
    if !was_there {
        return Ok(None);
    }
    changed(app, tx, scope, key).await.map(Some)
}

/// Asks for the restarts of what runs with the secret, and commits: how many.
async fn changed(app: &App, mut tx: Tx, scope: &Scope, key: &str) -> Result<i32, Error> {
    let reason = format!("secret {key} changed");
    let restarts = match scope {
        Scope::Global => restarts::ask_users_of(&mut tx, key, &reason).await?,
        Scope::Workspace(id) => restarts::ask(&mut tx, &[id.as_uuid()], &reason).await?,
    };
    Store::commit(tx).await?;
    app.due.notify_one();
    Ok(i32::try_from(restarts).unwrap_or(i32::MAX))
}

pub(super) async fn values(
    app: Arc<App>,
    call: Call,
    request: pb::GetSecretValuesRequest,
) -> Result<pb::GetSecretValuesResponse, Error> {
    let id = workspace("workspace_id", &request.workspace_id)?;
    let caller = call.principal(Who::OwnWorkspace, id).await?;
    let invalid = || Error::new(Reason::InvalidCredential, "invalid workspace auth token");
    let mut connection = app.store.connection().await?;
    let lives = secrets::lives(&mut connection, id).await?;
    match &caller {
        Caller::Workspace(caller) if caller.id == id && !caller.stale && lives => {}
        // On an open listener, of a workspace without a token.
        Caller::User {
            auth: AuthMethod::None,
        } if lives => {}
        Caller::User {
            auth: AuthMethod::None,
        } => return Err(no_workspace()),
        _ => return Err(invalid()),
    }
    let globals = secrets::globals(&mut connection).await?;
    let own = secrets::of(&mut connection, id).await?;
    let mut values = HashMap::new();
    let mut failed = Vec::new();
    for (scope, secrets) in [("global", globals), ("workspace", own)] {
        for secret in secrets {
            match app.sealer.open(&secret.key, &secret.value, secret.version) {
                Ok(value) => drop(values.insert(secret.key, value)),
                Err(_) => failed.push(format!("{scope}:{}", secret.key)),
            }
        }
    }
    if failed.is_empty() {
        return Ok(pb::GetSecretValuesResponse { values });
    }
    let text = "one or more secrets failed to decrypt; refusing to return partial bundle";
    Err(unreadable(text, &failed))
}

/// The failure that names what cannot be read, as far as an answer holds it.
pub(super) fn unreadable(text: impl Into<String>, failed: &[String]) -> Error {
    let mut bytes = 0;
    let named: Vec<_> = failed
        .iter()
        .take_while(|name| {
            bytes += name.len();
            bytes <= MOST_TOLD
        })
        .map(String::as_str)
        .collect();
    let list = serde_json::Value::from(named).to_string();
    Error::new(Reason::SecretUnreadable, text.into())
        .with_internal(format_args!("{} cannot be decrypted: {list}", failed.len()))
        .with_fact("failed_keys", list)
}
