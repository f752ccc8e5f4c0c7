//! Answers the identity layer from the registry's own tables.

use async_trait::async_trait;
use candor_identity::{CredentialStore, StoredCredential, StoredToken, WorkspaceStanding};
use candor_kernel::token::{TokenHash, TokenKind, TokenState};
use candor_kernel::{AuthVersion, Epoch, Error, WorkspaceId};
use candor_process::pool::store_error;

use crate::store::{Store, instance_tokens, tokens};

/// Credentials as stored.
#[derive(Debug, Clone)]
pub struct StoredCredentials(pub Store);

#[async_trait]
impl CredentialStore for StoredCredentials {
    async fn token(&self, hash: &TokenHash) -> Result<Option<StoredCredential>, Error> {
        let mut connection = self.0.pool().acquire().await.map_err(store_error)?;
        if let Some(row) = instance_tokens::proved(&mut connection, hash).await? {
            return Ok(Some(StoredCredential::Workspace(StoredToken {
                workspace: WorkspaceId::from_uuid(row.workspace_id),
                kind: if row.kind == "instance" {
                    TokenKind::Instance
                } else {
                    TokenKind::Manual
                },
                state: match (row.revoked_at, row.state.as_str()) {
                    (Some(_), _) => TokenState::Revoked,
                    (None, "pending") => TokenState::Pending,
                    (None, "active") => TokenState::Active,
                    (None, "retired") => TokenState::Retired,
                    (None, other) => return Err(Error::internal(format!("token state {other}"))),
                },
                epoch: row.epoch.map(Epoch),
                fence_epoch: Epoch(row.fence_epoch),
                auth_version: AuthVersion(row.auth_version),
                workspace_removed: row.removed,
                revoked_at: row.revoked_at,
            })));
        }
        let org = tokens::org_by_hash(&mut connection, hash).await?;
        Ok(org.map(|(id, _)| StoredCredential::Org { id: id.to_string() }))
    }

    async fn workspace(&self, id: WorkspaceId) -> Result<Option<WorkspaceStanding>, Error> {
        let mut connection = self.0.pool().acquire().await.map_err(store_error)?;
        let row = tokens::standing(&mut connection, id).await?;
        Ok(row.map(|row| WorkspaceStanding {
            removed: row.removed,
            purged: row.purged,
            has_live_tokens: row.has_live_tokens,
            auth_version: AuthVersion(row.auth_version),
            fence_epoch: Epoch(row.fence_epoch),
        }))
    }
}
