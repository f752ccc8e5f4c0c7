//! From what was presented to who calls (design: section 3).

use std::sync::Arc;

use candor_kernel::token::{TokenHash, TokenState};
use candor_kernel::{AuthMethod, AuthVersion, Caller, WorkspaceCaller, WorkspaceId};
use chrono::{TimeDelta, Utc};

use crate::facts::{Facts, Freshness, Watermark};
use crate::listener::ListenerMode;
use crate::policy::Who;
use crate::presented::{Claim, Presented};
use crate::refusal::Refusal;
use crate::rejected::RejectedBeats;
use crate::store::{CredentialStore, StoredCredential, StoredToken, WorkspaceStanding};

/// How long a removed workspace's revoked token may still read its state (D15).
const EPITAPH: TimeDelta = TimeDelta::days(30);

/// Who sends a beat, or why it has no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BeatStanding {
    /// A workspace that may beat.
    Caller(WorkspaceCaller),
    /// No workspace has this id.
    Unknown,
    /// The workspace was removed.
    Removed,
}

/// Turns credentials into callers; share one per process.
pub struct Authenticator {
    facts: Facts,
    admin: Option<TokenHash>,
    rejected: RejectedBeats,
}

/// What the bearer proves.
enum Proof {
    None,
    Admin,
    Org,
    Token(Arc<StoredCredential>),
    Nothing,
}

impl Authenticator {
    /// Asks `store`; `admin_token` is the installation's admin credential.
    #[must_use]
    pub fn new(
        store: Arc<dyn CredentialStore>,
        admin_token: Option<&str>,
        watermark: Watermark,
    ) -> Self {
        let admin = admin_token
            .filter(|token| !token.is_empty())
            .map(TokenHash::of);
        Self {
            facts: Facts::new(store, watermark),
            admin,
            rejected: RejectedBeats::default(),
        }
    }

    /// Counts refused beats there.
    #[must_use]
    pub fn counting(mut self, rejected: RejectedBeats) -> Self {
        self.rejected = rejected;
        self
    }

    /// Who calls a route of class `who`. `subject` is the workspace that the
    /// path or body names, where there is one.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn authenticate(
        &self,
        mode: ListenerMode,
        presented: &Presented,
        who: Who,
        subject: Option<WorkspaceId>,
    ) -> Result<Caller, Refusal> {
        if who == Who::Health {
            return Ok(Caller::Anonymous);
        }
        let claim = presented.claim();
        if claim == Claim::Reserved {
            return Err(Refusal::InvalidCallerId);
        }
        let proof = self.proof(presented, Freshness::Recent).await?;
        match who {
            Who::Register | Who::UpdateCard => self.agent(mode, proof, claim, subject).await,
            Who::OwnWorkspace => self.own(mode, proof, claim, subject).await,
            Who::Beat => match (
                self.beat(mode, presented, required(subject)?).await?,
                subject,
            ) {
                (BeatStanding::Caller(caller), _) => Ok(Caller::Workspace(caller)),
                _ => Ok(Caller::Anonymous),
            },
            _ => self.principal(mode, proof, claim, who, subject).await,
        }
    }

    /// Who beats for `workspace`; the facts may be old, since the beat's write
    /// compares the credentials' version.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn beat(
        &self,
        mode: ListenerMode,
        presented: &Presented,
        workspace: WorkspaceId,
    ) -> Result<BeatStanding, Refusal> {
        let seen = |freshness| self.standing_of_beat(mode, presented, workspace, freshness);
        // Old facts may let a beat pass, since its write compares them; nobody
        // is refused for them.
        let standing = match seen(Freshness::Compared).await {
            Ok(BeatStanding::Caller(caller)) => return Ok(BeatStanding::Caller(caller)),
            Err(Refusal::Store(error)) => return Err(Refusal::Store(error)),
            _ => seen(Freshness::Recent).await,
        };
        if let Err(Refusal::Missing | Refusal::Invalid | Refusal::CallerMismatch) = standing {
            self.rejected.record(workspace, Utc::now());
        }
        standing
    }

    async fn standing_of_beat(
        &self,
        mode: ListenerMode,
        presented: &Presented,
        workspace: WorkspaceId,
        freshness: Freshness,
    ) -> Result<BeatStanding, Refusal> {
        let claim = presented.claim();
        if claim == Claim::Reserved {
            return Err(Refusal::InvalidCallerId);
        }
        match self.proof(presented, freshness).await? {
            Proof::Token(credential) => match token_of(&credential, workspace) {
                Some(token) if token.workspace_removed => Ok(BeatStanding::Removed),
                Some(token) => {
                    let caller = caller_of(token).ok_or(Refusal::Invalid)?;
                    agrees(claim, &caller)?;
                    Ok(BeatStanding::Caller(caller))
                }
                None => Err(Refusal::Invalid),
            },
            // A purged workspace's credentials are gone with it.
            Proof::Nothing if self.is_purged(workspace).await? => Ok(BeatStanding::Removed),
            Proof::None if mode.is_open() => {
                Ok(match self.standing(workspace, freshness).await? {
                    None => BeatStanding::Unknown,
                    Some(standing) if standing.removed => BeatStanding::Removed,
                    Some(standing) if standing.has_live_tokens => return Err(Refusal::Missing),
                    Some(standing) => BeatStanding::Caller(claimed(workspace, &standing)),
                })
            }
            Proof::None => Err(Refusal::Missing),
            Proof::Admin | Proof::Org | Proof::Nothing => Err(Refusal::Invalid),
        }
    }

    /// Forgets what was read: the next look asks the store again.
    pub fn forget(&self, presented: &Presented, workspace: WorkspaceId) {
        self.facts.forget(presented.bearer(), workspace);
    }

    async fn proof(&self, presented: &Presented, freshness: Freshness) -> Result<Proof, Refusal> {
        let Some(hash) = presented.bearer() else {
            return Ok(Proof::None);
        };
        if self.admin.as_ref().is_some_and(|admin| presented.is(admin)) {
            return Ok(Proof::Admin);
        }
        let found = self
            .facts
            .token(hash, freshness)
            .await
            .map_err(Refusal::Store)?;
        Ok(match found {
            None => Proof::Nothing,
            Some(credential) if matches!(*credential, StoredCredential::Org { .. }) => Proof::Org,
            Some(credential) => Proof::Token(credential),
        })
    }

    async fn standing(
        &self,
        id: WorkspaceId,
        freshness: Freshness,
    ) -> Result<Option<WorkspaceStanding>, Refusal> {
        self.facts
            .workspace(id, freshness)
            .await
            .map_err(Refusal::Store)
    }

    async fn is_purged(&self, id: WorkspaceId) -> Result<bool, Refusal> {
        let standing = self.standing(id, Freshness::Recent).await?;
        Ok(standing.is_some_and(|standing| standing.purged))
    }

    /// Register and update-card: the workspace itself, nobody else.
    async fn agent(
        &self,
        mode: ListenerMode,
        proof: Proof,
        claim: Claim,
        subject: Option<WorkspaceId>,
    ) -> Result<Caller, Refusal> {
        let id = required(subject)?;
        match proof {
            Proof::Token(credential) => {
                let token = token_of(&credential, id).filter(|token| !token.workspace_removed);
                let caller = token.and_then(caller_of).ok_or(Refusal::Invalid)?;
                agrees(claim, &caller)?;
                Ok(Caller::Workspace(caller))
            }
            Proof::None => {
                let standing = self.standing(id, Freshness::Recent).await?;
                match standing {
                    Some(standing) if standing.removed => Err(Refusal::Gone),
                    Some(standing) if mode.is_open() && !standing.has_live_tokens => {
                        Ok(Caller::Workspace(claimed(id, &standing)))
                    }
                    // The route itself says what an unknown id means (D12, D48).
                    None if mode.is_open() => Ok(Caller::Workspace(stranger(id))),
                    _ => Err(Refusal::Missing),
                }
            }
            Proof::Admin | Proof::Org | Proof::Nothing => Err(Refusal::Invalid),
        }
    }

    /// GET /state: the workspace's own token, once it has one.
    async fn own(
        &self,
        mode: ListenerMode,
        proof: Proof,
        claim: Claim,
        subject: Option<WorkspaceId>,
    ) -> Result<Caller, Refusal> {
        let id = required(subject)?;
        match proof {
            Proof::Token(credential) => {
                let token = token_of(&credential, id).ok_or(Refusal::Invalid)?;
                let caller = caller_of(token).or_else(|| epitaph(token));
                let caller = caller.ok_or(Refusal::Invalid)?;
                agrees(claim, &caller)?;
                Ok(Caller::Workspace(caller))
            }
            Proof::None if mode.is_open() => match self.standing(id, Freshness::Recent).await? {
                Some(standing) if standing.has_live_tokens => Err(Refusal::Missing),
                _ => Ok(Caller::User {
                    auth: AuthMethod::None,
                }),
            },
            Proof::None => Err(Refusal::Missing),
            Proof::Admin | Proof::Org | Proof::Nothing => Err(Refusal::Invalid),
        }
    }

    /// Every other route: who calls first, then whether that caller may.
    async fn principal(
        &self,
        mode: ListenerMode,
        proof: Proof,
        claim: Claim,
        who: Who,
        subject: Option<WorkspaceId>,
    ) -> Result<Caller, Refusal> {
        let user = |auth| Caller::User { auth };
        let caller = match proof {
            Proof::Admin => user(AuthMethod::Admin),
            Proof::Org => user(AuthMethod::OrgToken),
            Proof::Nothing => return Err(Refusal::Invalid),
            Proof::Token(credential) => {
                let token = live_token(&credential).ok_or(Refusal::Invalid)?;
                agrees(claim, &token)?;
                Caller::Workspace(token)
            }
            Proof::None if mode.is_open() => self.unproven(claim, who, subject).await?,
            Proof::None => return Err(Refusal::Missing),
        };
        permitted(mode, caller, who, subject)
    }

    /// A caller without a credential, on an open listener.
    async fn unproven(
        &self,
        claim: Claim,
        who: Who,
        subject: Option<WorkspaceId>,
    ) -> Result<Caller, Refusal> {
        let user = Caller::User {
            auth: AuthMethod::None,
        };
        let claimed_id = match (who, claim) {
            // Routes that people call: a claim changes nothing.
            (
                Who::Operator
                | Who::WorkspaceOrOperator
                | Who::MintToken
                | Who::TestToken
                | Who::CanvasWrite
                | Who::PlatformOnly,
                _,
            ) => return Ok(user),
            // An agent's words never stand as a person's, whatever it forgot.
            (Who::WorkspaceVoice, Claim::None) => return self.voice(required(subject)?).await,
            (_, Claim::None) => return Ok(user),
            (_, Claim::Workspace(id)) => id,
            (_, Claim::Malformed | Claim::Reserved) => return Ok(Caller::Anonymous),
        };
        let Some(standing) = self.standing(claimed_id, Freshness::Recent).await? else {
            return Ok(Caller::Anonymous);
        };
        let reads = matches!(who, Who::Discover | Who::Peers | Who::PublicRead);
        if standing.removed {
            Ok(Caller::Anonymous)
        } else if standing.has_live_tokens && !reads {
            Err(Refusal::Missing)
        } else {
            Ok(Caller::Workspace(claimed(claimed_id, &standing)))
        }
    }

    /// The workspace of the path, on a route that only workspaces call; nobody
    /// if it is not there, which the route itself answers.
    async fn voice(&self, id: WorkspaceId) -> Result<Caller, Refusal> {
        let standing = self.standing(id, Freshness::Recent).await?;
        Ok(standing
            .filter(|standing| !standing.removed)
            .map_or(Caller::Anonymous, |standing| {
                Caller::Workspace(claimed(id, &standing))
            }))
    }
}

/// Whether a caller may use a route of this class.
fn permitted(
    mode: ListenerMode,
    caller: Caller,
    who: Who,
    subject: Option<WorkspaceId>,
) -> Result<Caller, Refusal> {
    let own = caller
        .workspace()
        .is_some_and(|workspace| subject.is_none_or(|id| id == workspace.id));
    match (who, &caller) {
        // The platform's own processes come with an assertion, never here.
        (Who::PlatformOnly, _) => Err(Refusal::NotAllowed),
        // The legacy development rule: any live workspace token is admin where
        // no admin token is set (contract/auth.md, AdminAuth 8).
        (Who::Operator | Who::TestToken, Caller::Workspace(_)) if mode.is_open() => {
            Ok(Caller::User {
                auth: AuthMethod::Token,
            })
        }
        (Who::Operator | Who::TestToken, Caller::Workspace(_)) => Err(Refusal::Invalid),
        // On enforced listeners the admin mints test tokens, nobody else (D23).
        (Who::TestToken, Caller::User { auth })
            if !mode.is_open() && *auth != AuthMethod::Admin =>
        {
            Err(Refusal::Invalid)
        }
        (Who::CanvasWrite, Caller::Workspace(_)) => Err(Refusal::NotAllowed),
        (Who::MintToken, Caller::Workspace(_)) if own && !mode.is_open() => {
            Err(Refusal::NotAllowed)
        }
        (
            Who::WorkspaceOrOperator | Who::MintToken | Who::Peers | Who::WorkspaceVoice,
            Caller::Workspace(_),
        ) if !own => {
            // A claim without proof never reads another workspace's neighbours
            // as somebody, but the legacy platform lets anybody read on open.
            if mode.is_open() && who == Who::Peers && caller.workspace().is_some_and(is_claimed) {
                Ok(Caller::User {
                    auth: AuthMethod::None,
                })
            } else {
                Err(Refusal::Invalid)
            }
        }
        (Who::A2a | Who::WebSocket, Caller::Anonymous) => Err(Refusal::NotAllowed),
        _ => Ok(caller),
    }
}

fn is_claimed(caller: &WorkspaceCaller) -> bool {
    caller.auth == AuthMethod::Claimed
}

/// The header is a check beside a token, never more. A stale caller has no
/// effect, whatever it claims: it is to learn that it was replaced.
fn agrees(claim: Claim, proven: &WorkspaceCaller) -> Result<(), Refusal> {
    match claim {
        Claim::None => Ok(()),
        Claim::Workspace(id) if id == proven.id => Ok(()),
        _ if proven.stale => Ok(()),
        _ => Err(Refusal::CallerMismatch),
    }
}

fn required(subject: Option<WorkspaceId>) -> Result<WorkspaceId, Refusal> {
    subject.ok_or(Refusal::Invalid)
}

fn token_of(credential: &StoredCredential, id: WorkspaceId) -> Option<&StoredToken> {
    match credential {
        StoredCredential::Workspace(token) if token.workspace == id => Some(token),
        _ => None,
    }
}

/// The caller a token proves; retired ones and those below the fence are stale.
fn caller_of(token: &StoredToken) -> Option<WorkspaceCaller> {
    let below = token.epoch.is_some_and(|epoch| epoch < token.fence_epoch);
    match token.state {
        TokenState::Revoked => None,
        state => Some(WorkspaceCaller {
            id: token.workspace,
            auth: AuthMethod::Token,
            epoch: token.epoch,
            stale: below || state == TokenState::Retired,
            auth_version: token.auth_version,
        }),
    }
}

/// The caller of a token that is good for everything.
fn live_token(credential: &StoredCredential) -> Option<WorkspaceCaller> {
    match credential {
        StoredCredential::Workspace(token) if !token.workspace_removed => {
            caller_of(token).filter(|caller| !caller.stale)
        }
        _ => None,
    }
}

/// A removed workspace's last token may learn that it was removed.
fn epitaph(token: &StoredToken) -> Option<WorkspaceCaller> {
    let lately = token.revoked_at.is_some_and(|at| Utc::now() - at < EPITAPH);
    (token.workspace_removed && lately).then_some(WorkspaceCaller {
        id: token.workspace,
        auth: AuthMethod::Token,
        epoch: token.epoch,
        stale: false,
        auth_version: token.auth_version,
    })
}

fn claimed(id: WorkspaceId, standing: &WorkspaceStanding) -> WorkspaceCaller {
    WorkspaceCaller {
        auth_version: standing.auth_version,
        ..stranger(id)
    }
}

/// A workspace id that nobody has heard of.
fn stranger(id: WorkspaceId) -> WorkspaceCaller {
    WorkspaceCaller {
        id,
        auth: AuthMethod::Claimed,
        epoch: None,
        stale: false,
        auth_version: AuthVersion(0),
    }
}
