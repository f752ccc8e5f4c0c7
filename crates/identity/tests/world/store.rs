//! A store of credentials in memory, that does as it is told.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use candor_identity::{CredentialStore, StoredCredential, StoredToken, WorkspaceStanding};
use candor_kernel::token::TokenHash;
use candor_kernel::{Error, WorkspaceId};
use parking_lot::Mutex;
use tokio::sync::Notify;

#[derive(Default)]
struct Kept {
    tokens: HashMap<TokenHash, StoredCredential>,
    workspaces: HashMap<WorkspaceId, WorkspaceStanding>,
    down: bool,
    look_ups: usize,
    slow: Option<Arc<Notify>>,
}

/// Credentials in memory, that may be changed, fail, or answer slowly.
#[derive(Default)]
pub struct FakeStore(Mutex<Kept>);

impl FakeStore {
    pub fn put_token(&self, text: &str, token: StoredToken) {
        let credential = StoredCredential::Workspace(token);
        self.0.lock().tokens.insert(TokenHash::of(text), credential);
    }
    pub fn put_org(&self, text: &str) {
        let credential = StoredCredential::Org { id: "o".into() };
        self.0.lock().tokens.insert(TokenHash::of(text), credential);
    }
    pub fn put_workspace(&self, id: WorkspaceId, standing: WorkspaceStanding) {
        self.0.lock().workspaces.insert(id, standing);
    }
    pub fn set_down(&self, down: bool) {
        self.0.lock().down = down;
    }
    /// How often it was asked.
    pub fn look_ups(&self) -> usize {
        self.0.lock().look_ups
    }
    /// The next look gets its answer at once, and hands it out when told to.
    pub fn delay_next(&self) -> Arc<Notify> {
        let told = Arc::new(Notify::new());
        self.0.lock().slow = Some(Arc::clone(&told));
        told
    }

    async fn look<T>(&self, read: impl FnOnce(&Kept) -> T) -> Result<T, Error> {
        let (answer, slow) = {
            let mut kept = self.0.lock();
            kept.look_ups += 1;
            if kept.down {
                return Err(Error::store_unavailable("told to fail"));
            }
            (read(&kept), kept.slow.take())
        };
        if let Some(told) = slow {
            told.notified().await;
        }
        Ok(answer)
    }
}

#[async_trait]
impl CredentialStore for FakeStore {
    async fn token(&self, hash: &TokenHash) -> Result<Option<StoredCredential>, Error> {
        self.look(|kept| kept.tokens.get(hash).cloned()).await
    }
    async fn workspace(&self, id: WorkspaceId) -> Result<Option<WorkspaceStanding>, Error> {
        self.look(|kept| kept.workspaces.get(&id).copied()).await
    }
}
