//! A long-lived call's credential, looked at again while it lasts: a revocation
//! ends a socket as it ends calls (design: section 3).

use std::sync::Arc;
use std::time::Duration;

use candor_identity::{Authenticator, ListenerMode, Presented, Refusal, Who};
use candor_kernel::{AuthMethod, Caller, WorkspaceId};

use super::App;

/// Between two looks.
pub(crate) const CHECK_EVERY: Duration = Duration::from_secs(2);

/// What a caller came with; nothing for who came with nothing.
pub(crate) struct Proof(Option<Evidence>);

struct Evidence {
    identity: Arc<Authenticator>,
    presented: Presented,
    mode: ListenerMode,
    who: Who,
    subject: Option<WorkspaceId>,
}

impl Proof {
    /// Keeps what `caller` was authenticated by.
    pub fn of(
        app: &App,
        caller: &Caller,
        presented: &Presented,
        mode: ListenerMode,
        who: Who,
        subject: Option<WorkspaceId>,
    ) -> Self {
        let nothing = matches!(
            caller,
            Caller::User {
                auth: AuthMethod::None
            }
        );
        Self((!nothing).then(|| Evidence {
            identity: Arc::clone(&app.identity),
            presented: presented.clone(),
            mode,
            who,
            subject,
        }))
    }

    /// False once it proves nothing any more. A store that does not answer
    /// revokes nothing.
    pub async fn is_good(&self) -> bool {
        let Some(evidence) = &self.0 else {
            return true;
        };
        let outcome = evidence
            .identity
            .authenticate(
                evidence.mode,
                &evidence.presented,
                evidence.who,
                evidence.subject,
            )
            .await;
        !matches!(outcome, Err(refusal) if !matches!(refusal, Refusal::Store(_)))
    }
}
