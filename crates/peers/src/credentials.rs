//! Credentials, asked of a registry in another process.

use async_trait::async_trait;
use candor_identity::{CredentialStore, StoredCredential, StoredToken, WorkspaceStanding};
use candor_kernel::token::{TokenHash, TokenKind, TokenState};
use candor_kernel::{AuthVersion, Caller, Epoch, Error, WorkspaceId};
use candor_proto::registry::v1 as pb;

use crate::RegistryClient;
use crate::time::datetime;

/// Asks the registry what a hash proves.
#[derive(Debug, Clone)]
pub struct RemoteCredentials {
    registry: RegistryClient,
    caller: Caller,
}

impl RemoteCredentials {
    /// Asks as the part of the platform called `name`.
    #[must_use]
    pub fn new(registry: RegistryClient, name: &str) -> Self {
        Self {
            registry,
            caller: Caller::system(name),
        }
    }

    async fn ask(&self, request: pb::VerifyTokenRequest) -> Result<pb::VerifyTokenResponse, Error> {
        self.registry
            .call(&self.caller, request, |mut client, request| async move {
                client.verify_token(request).await
            })
            .await
    }

    /// A readiness check: the registry answers, and its Postgres does.
    ///
    /// # Errors
    /// Why it does not, in words for operators.
    pub async fn is_ready(&self) -> Result<(), String> {
        match self.ask(pb::VerifyTokenRequest::default()).await {
            Ok(_) => Ok(()),
            Err(error) => Err(error.for_operators().to_owned()),
        }
    }
}

#[async_trait]
impl CredentialStore for RemoteCredentials {
    async fn token(&self, hash: &TokenHash) -> Result<Option<StoredCredential>, Error> {
        let answer = self
            .ask(pb::VerifyTokenRequest {
                token_hash: hash.0.to_vec().into(),
                workspace_id: String::new(),
            })
            .await?;
        if let Some(record) = answer.token {
            return Ok(Some(StoredCredential::Workspace(stored(&record)?)));
        }
        Ok(answer
            .org_token
            .map(|record| StoredCredential::Org { id: record.id }))
    }

    async fn workspace(&self, id: WorkspaceId) -> Result<Option<WorkspaceStanding>, Error> {
        let answer = self
            .ask(pb::VerifyTokenRequest {
                token_hash: bytes::Bytes::new(),
                workspace_id: id.to_string(),
            })
            .await?;
        Ok(answer
            .workspace
            .filter(|standing| standing.exists)
            .map(|standing| WorkspaceStanding {
                removed: standing.removed,
                purged: standing.purged,
                has_live_tokens: standing.has_live_tokens,
                auth_version: AuthVersion(standing.auth_version),
                fence_epoch: Epoch(standing.fence_epoch),
            }))
    }
}

fn stored(record: &pb::TokenRecord) -> Result<StoredToken, Error> {
    let unknown =
        |what: &str, text: &str| Error::internal(format!("the registry says {what} {text:?}"));
    Ok(StoredToken {
        workspace: record
            .workspace_id
            .parse()
            .map_err(|_| unknown("workspace", &record.workspace_id))?,
        kind: match record.kind.as_str() {
            "instance" => TokenKind::Instance,
            "manual" => TokenKind::Manual,
            other => return Err(unknown("kind", other)),
        },
        state: match record.state.as_str() {
            "pending" => TokenState::Pending,
            "active" => TokenState::Active,
            "retired" => TokenState::Retired,
            "revoked" => TokenState::Revoked,
            other => return Err(unknown("state", other)),
        },
        epoch: record.epoch.map(Epoch),
        fence_epoch: Epoch(record.fence_epoch),
        auth_version: AuthVersion(record.auth_version),
        workspace_removed: record.workspace_removed,
        revoked_at: record.revoked_at.as_ref().and_then(datetime),
    })
}
