//! Workspaces, credentials and a store of them in memory, for the tests beside.
#![allow(dead_code)] // each test binary uses a part

mod store;

use std::sync::Arc;

use candor_identity::{
    Authenticator, BeatStanding, CredentialStore, ListenerMode, Presented, Refusal, RejectedBeats,
    StoredToken, Watermark, Who, WorkspaceStanding,
};
use candor_kernel::token::{TokenKind, TokenState};
use candor_kernel::{
    AuthMethod, AuthVersion, Caller, Epoch, Error, Reason, WorkspaceCaller, WorkspaceId,
};
use chrono::{TimeDelta, Utc};
use uuid::Uuid;

pub use store::FakeStore;

/// Exists, and has live tokens; its fence is at [`FENCE`].
pub const LIVE: WorkspaceId = id(1);
/// Exists, and has live tokens as well.
pub const OTHER: WorkspaceId = id(2);
/// Exists, without a token.
pub const BARE: WorkspaceId = id(3);
/// Was removed; its token was revoked at that time.
pub const REMOVED: WorkspaceId = id(4);
/// Was removed so long ago that only the id is known.
pub const PURGED: WorkspaceId = id(5);
/// Never existed.
pub const UNKNOWN: WorkspaceId = id(6);

pub const FENCE: Epoch = Epoch(5);
/// The version of every credential at first.
pub const VERSION: AuthVersion = AuthVersion(7);

/// The admin credential of the installation.
pub const ADMIN: &str = "admin-credential";
/// A live organisation token.
pub const ORG: &str = "org-token";
/// What nobody minted.
pub const JUNK: &str = "junk-token";
/// Manual tokens that are in use.
pub const MANUAL: &str = "manual-token-of-live";
pub const MANUAL_OF_OTHER: &str = "manual-token-of-other";
/// Instance tokens of [`LIVE`]: in use, not yet used, replaced, below the fence.
pub const INSTANCE: &str = "instance-token-of-live";
pub const PENDING: &str = "pending-token-of-live";
pub const RETIRED: &str = "retired-token-of-live";
pub const BELOW: &str = "token-of-live-below-the-fence";
/// Ended though [`LIVE`] lives on.
pub const REVOKED: &str = "revoked-token-of-live";
/// Ended with [`REMOVED`], a day ago.
pub const EPITAPH: &str = "token-of-removed";

pub const EVERY: [Who; 17] = [
    Who::Health,
    Who::Register,
    Who::Beat,
    Who::UpdateCard,
    Who::OwnWorkspace,
    Who::WorkspaceOrOperator,
    Who::MintToken,
    Who::WorkspaceVoice,
    Who::Operator,
    Who::TestToken,
    Who::CanvasWrite,
    Who::Discover,
    Who::Peers,
    Who::PublicRead,
    Who::A2a,
    Who::WebSocket,
    Who::PlatformOnly,
];
pub const MODES: [ListenerMode; 2] = [ListenerMode::Open, ListenerMode::Enforced];

const fn id(number: u128) -> WorkspaceId {
    WorkspaceId::from_uuid(Uuid::from_u128(number))
}

/// What came of a call, without what no test here looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Is {
    /// A workspace, proven by a token in use.
    Proven(WorkspaceId),
    /// A workspace, on its own word.
    Claimed(WorkspaceId),
    /// A workspace's instance that was replaced.
    Stale(WorkspaceId),
    User(AuthMethod),
    Anonymous,
    Missing,
    Invalid,
    Mismatch,
    CallerId,
    NotAllowed,
    Gone,
    NoStore,
}

pub fn outcome(result: Result<Caller, Refusal>) -> Is {
    match result {
        Ok(Caller::Workspace(caller)) => workspace(&caller),
        Ok(Caller::User { auth }) => Is::User(auth),
        Ok(Caller::Anonymous) => Is::Anonymous,
        Ok(Caller::System { name }) => panic!("credentials made a system caller: {name}"),
        Err(Refusal::Missing) => Is::Missing,
        Err(Refusal::Invalid) => Is::Invalid,
        Err(Refusal::CallerMismatch) => Is::Mismatch,
        Err(Refusal::InvalidCallerId) => Is::CallerId,
        Err(Refusal::NotAllowed) => Is::NotAllowed,
        Err(Refusal::Gone) => Is::Gone,
        Err(Refusal::Store(_)) => Is::NoStore,
    }
}

pub fn workspace(caller: &WorkspaceCaller) -> Is {
    match caller.auth {
        AuthMethod::Claimed => Is::Claimed(caller.id),
        AuthMethod::Token if caller.stale => Is::Stale(caller.id),
        AuthMethod::Token => Is::Proven(caller.id),
        auth => panic!("a workspace is never proven by {auth:?}"),
    }
}

pub fn presented(bearer: Option<&str>, claim: Option<&str>) -> Presented {
    let mut headers = http::HeaderMap::new();
    if let Some(bearer) = bearer {
        let value = format!("Bearer {bearer}").parse().unwrap();
        headers.insert(http::header::AUTHORIZATION, value);
    }
    if let Some(claim) = claim {
        headers.insert("x-workspace-id", claim.parse().unwrap());
    }
    Presented::from_headers(&headers)
}

/// A token in use.
pub fn token_of(workspace: WorkspaceId) -> StoredToken {
    StoredToken {
        workspace,
        kind: TokenKind::Manual,
        state: TokenState::Active,
        epoch: None,
        fence_epoch: FENCE,
        auth_version: VERSION,
        workspace_removed: false,
        revoked_at: None,
    }
}

pub fn instance_of(workspace: WorkspaceId, state: TokenState, epoch: Epoch) -> StoredToken {
    StoredToken {
        kind: TokenKind::Instance,
        state,
        epoch: Some(epoch),
        ..token_of(workspace)
    }
}

/// A token that was revoked `ago`.
pub fn ended(workspace: WorkspaceId, workspace_removed: bool, ago: TimeDelta) -> StoredToken {
    StoredToken {
        state: TokenState::Revoked,
        workspace_removed,
        revoked_at: Some(Utc::now() - ago),
        ..token_of(workspace)
    }
}

pub fn standing(removed: bool, has_live_tokens: bool) -> WorkspaceStanding {
    WorkspaceStanding {
        removed,
        purged: false,
        has_live_tokens,
        auth_version: VERSION,
        fence_epoch: FENCE,
    }
}

/// An authenticator over a [`FakeStore`] that holds the credentials above.
pub struct World {
    pub store: Arc<FakeStore>,
    pub watermark: Watermark,
    pub rejected: RejectedBeats,
    pub authenticator: Arc<Authenticator>,
}

impl World {
    pub fn new() -> Self {
        let store = Arc::new(FakeStore::default());
        fill(&store);
        let (watermark, rejected) = (Watermark::default(), RejectedBeats::default());
        let authenticator = Authenticator::new(
            Arc::clone(&store) as Arc<dyn CredentialStore>,
            Some(ADMIN),
            watermark.clone(),
        );
        Self {
            store,
            watermark,
            authenticator: Arc::new(authenticator.counting(rejected.clone())),
            rejected,
        }
    }

    pub async fn call(&self, mode: ListenerMode, by: &Presented, who: Who, id: WorkspaceId) -> Is {
        let subject = Some(id);
        outcome(
            self.authenticator
                .authenticate(mode, by, who, subject)
                .await,
        )
    }

    pub async fn beat(
        &self,
        mode: ListenerMode,
        by: &Presented,
        id: WorkspaceId,
    ) -> Result<BeatStanding, Reason> {
        let standing = self.authenticator.beat(mode, by, id).await;
        standing.map_err(|refusal| Error::from(refusal).reason())
    }
}

fn fill(store: &FakeStore) {
    store.put_workspace(LIVE, standing(false, true));
    store.put_workspace(OTHER, standing(false, true));
    store.put_workspace(BARE, standing(false, false));
    store.put_workspace(REMOVED, standing(true, false));
    store.put_workspace(
        PURGED,
        WorkspaceStanding {
            purged: true,
            ..standing(true, false)
        },
    );
    let instance = |state, epoch| instance_of(LIVE, state, epoch);
    store.put_token(MANUAL, token_of(LIVE));
    store.put_token(MANUAL_OF_OTHER, token_of(OTHER));
    store.put_token(INSTANCE, instance(TokenState::Active, FENCE));
    store.put_token(PENDING, instance(TokenState::Pending, FENCE));
    store.put_token(RETIRED, instance(TokenState::Retired, Epoch(4)));
    store.put_token(BELOW, instance(TokenState::Active, Epoch(4)));
    store.put_token(REVOKED, ended(LIVE, false, TimeDelta::days(1)));
    store.put_token(EPITAPH, ended(REMOVED, true, TimeDelta::days(1)));
    store.put_org(ORG);
}
