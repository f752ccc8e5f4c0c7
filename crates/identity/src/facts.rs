//! What was read about credentials, for as long as it may be believed.
//!
//! A revocation counts within two seconds everywhere, and at once on the replica
//! that did it: the replica moves the [`Watermark`]. Beats may use older facts,
//! because what they write compares the credentials' version in the same
//! statement.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use candor_kernel::token::TokenHash;
use candor_kernel::{Error, WorkspaceId};
use moka::sync::Cache;

use crate::store::{CredentialStore, StoredCredential, WorkspaceStanding};

/// How long a fact is believed.
const BELIEVED: Duration = Duration::from_secs(2);
/// How long the absence of a credential or a workspace is believed.
const ABSENCE_BELIEVED: Duration = Duration::from_secs(1);
/// Facts kept of each kind.
const KEPT: u64 = 100_000;

/// Moved by whoever changes credentials in this process: facts read before it
/// are read again.
#[derive(Debug, Clone, Default)]
pub struct Watermark(Arc<AtomicU64>);

impl Watermark {
    /// Says that credentials changed just now.
    pub fn credentials_changed(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
    fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Which facts are good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Two seconds at most, and not overtaken by a change in this process.
    Recent,
    /// Any age: the writer compares the version.
    Compared,
}

#[derive(Clone)]
struct Fact<T> {
    value: Option<T>,
    read: Instant,
    mark: u64,
}

impl<T> Fact<T> {
    fn is_good(&self, freshness: Freshness, mark: u64) -> bool {
        let recent = || self.mark == mark && self.read.elapsed() < BELIEVED;
        match (&self.value, freshness) {
            (None, _) => self.mark == mark && self.read.elapsed() < ABSENCE_BELIEVED,
            (Some(_), Freshness::Compared) => true,
            (Some(_), Freshness::Recent) => recent(),
        }
    }
}

/// The store, with what it said lately.
pub(crate) struct Facts {
    store: Arc<dyn CredentialStore>,
    watermark: Watermark,
    tokens: Cache<TokenHash, Fact<Arc<StoredCredential>>>,
    workspaces: Cache<WorkspaceId, Fact<WorkspaceStanding>>,
}

impl Facts {
    pub(crate) fn new(store: Arc<dyn CredentialStore>, watermark: Watermark) -> Self {
        Self {
            store,
            watermark,
            tokens: Cache::new(KEPT),
            workspaces: Cache::new(KEPT),
        }
    }

    pub(crate) async fn token(
        &self,
        hash: &TokenHash,
        freshness: Freshness,
    ) -> Result<Option<Arc<StoredCredential>>, Error> {
        let mark = self.watermark.now();
        if let Some(fact) = self
            .tokens
            .get(hash)
            .filter(|fact| fact.is_good(freshness, mark))
        {
            return Ok(fact.value);
        }
        // Mark and time are taken before the look: a change in between shows, and
        // a slow answer is not believed the longer for it.
        let read = Instant::now();
        let value = answered(self.store.token(hash)).await?.map(Arc::new);
        self.tokens.insert(
            *hash,
            Fact {
                value: value.clone(),
                read,
                mark,
            },
        );
        Ok(value)
    }

    pub(crate) async fn workspace(
        &self,
        id: WorkspaceId,
        freshness: Freshness,
    ) -> Result<Option<WorkspaceStanding>, Error> {
        let mark = self.watermark.now();
        if let Some(fact) = self
            .workspaces
            .get(&id)
            .filter(|fact| fact.is_good(freshness, mark))
        {
            return Ok(fact.value);
        }
        let read = Instant::now();
        let value = answered(self.store.workspace(id)).await?;
        self.workspaces.insert(id, Fact { value, read, mark });
        Ok(value)
    }

    pub(crate) fn forget(&self, hash: Option<&TokenHash>, id: WorkspaceId) {
        if let Some(hash) = hash {
            self.tokens.invalidate(hash);
        }
        self.workspaces.invalidate(&id);
    }
}

/// Longest wait for the store (promise P9).
const DEADLINE: Duration = Duration::from_secs(2);

async fn answered<T>(look: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout(DEADLINE, look).await {
        Ok(found) => found,
        Err(_) => Err(Error::store_unavailable(
            "no word about a credential within the deadline",
        )),
    }
}
