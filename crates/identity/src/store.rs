//! What the identity layer asks of whoever keeps the credentials.

use async_trait::async_trait;
use candor_kernel::token::{TokenHash, TokenKind, TokenState};
use candor_kernel::{AuthVersion, Epoch, Error, WorkspaceId};
use chrono::{DateTime, Utc};

/// A workspace token as stored, ended ones included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredToken {
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// Bound to an instance, or not.
    pub kind: TokenKind,
    /// Where it stands in its life.
    pub state: TokenState,
    /// The instance it is bound to.
    pub epoch: Option<Epoch>,
    /// Instance tokens below it are stale.
    pub fence_epoch: Epoch,
    /// The credentials' version this was read at.
    pub auth_version: AuthVersion,
    /// The workspace was removed.
    pub workspace_removed: bool,
    /// When it was revoked, if it was.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// What a credential's hash belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredCredential {
    /// A workspace token.
    Workspace(StoredToken),
    /// A live organisation token.
    Org {
        /// Its id.
        id: String,
    },
}

/// Where a workspace stands as a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkspaceStanding {
    /// It was removed, or purged.
    pub removed: bool,
    /// It was purged: nothing can prove to have been it.
    pub purged: bool,
    /// At least one of its tokens authenticates.
    pub has_live_tokens: bool,
    /// The credentials' version this was read at.
    pub auth_version: AuthVersion,
    /// Instance tokens below it are stale.
    pub fence_epoch: Epoch,
}

/// Keeps the credentials.
#[async_trait]
pub trait CredentialStore: Send + Sync + 'static {
    /// Looks a credential up by hash.
    ///
    /// # Errors
    /// When the store does not answer; never taken for "no such credential".
    async fn token(&self, hash: &TokenHash) -> Result<Option<StoredCredential>, Error>;
    /// Looks a workspace up; none for ids that never existed.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn workspace(&self, id: WorkspaceId) -> Result<Option<WorkspaceStanding>, Error>;
}
