//! What a new call meets (design: section 9).

use std::time::Duration;

use candor_kernel::{Caller, Error, Reason, Status, WorkspaceId};
use candor_peers::time;
use candor_proto::registry::v1 as pb;

use crate::resolver::Resolver;

/// When a client that met a wedged or unresponsive workspace should come again.
const UNWELL_RETRY: Duration = Duration::from_secs(30);
/// And one that met a hibernated one (contract/a2a.md, "URL resolution").
const WAKING_RETRY: Duration = Duration::from_secs(15);

/// A workspace as the relay must know it.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Target {
    pub id: WorkspaceId,
    pub name: String,
    pub url: String,
    pub status: Status,
    pub epoch: i64,
    pub may_call: bool,
    pub over_budget: bool,
    pub wedge_reason: Option<String>,
    pub unresponsive: bool,
    pub native_session: bool,
    pub idle_timeout: Option<Duration>,
    pub active_tasks: i32,
    pub at_once: i32,
    pub polls: bool,
    pub agent_card: String,
}

/// What is done with a message for a workspace.
#[derive(Debug)]
pub enum Admission {
    /// It is sent at once.
    Dial,
    /// It waits until the workspace fetches it.
    Poll,
    /// Nothing is sent now.
    Refuse(Error),
}

impl Target {
    /// Asks the registry.
    ///
    /// # Errors
    /// `WORKSPACE_NOT_FOUND`; the registry's own.
    pub(crate) async fn resolve(
        resolver: &Resolver,
        id: WorkspaceId,
        caller: Option<WorkspaceId>,
    ) -> Result<Self, Error> {
        let asked = pb::ResolveTargetRequest {
            workspace_id: id.to_string(),
            caller_id: caller.map_or_else(String::new, |id| id.to_string()),
        };
        match resolver.ask(asked).await? {
            Ok(answer) => Self::of(id, answer),
            // The hierarchy is asked before the address, also about what is not there.
            Err(pb::TargetNotFound { may_call: false }) => Err(access_denied()),
            Err(_) => Err(not_found()),
        }
    }

    fn of(id: WorkspaceId, answer: pb::Target) -> Result<Self, Error> {
        let status = answer
            .status
            .parse()
            .map_err(|_| Error::internal(format_args!("status {}", answer.status)))?;
        Ok(Self {
            id,
            name: match answer.name.is_empty() {
                true => id.to_string(),
                false => answer.name,
            },
            url: answer.url,
            status,
            epoch: answer.epoch,
            may_call: answer.may_call,
            over_budget: answer.over_budget,
            wedge_reason: answer.wedge_reason,
            unresponsive: answer.unresponsive,
            native_session: answer.native_session,
            idle_timeout: answer.idle_timeout.and_then(time::span),
            active_tasks: answer.active_tasks,
            at_once: answer.max_concurrent_tasks.max(1),
            polls: answer.polls,
            agent_card: answer.agent_card,
        })
    }

    /// Whether `caller` may send it anything now: hierarchy, then budget
    /// (contract/a2a.md, steps 5 and 6).
    ///
    /// # Errors
    /// `NOT_ALLOWED`, `BUDGET_EXCEEDED`.
    pub fn may_be_sent(&self, caller: &Caller) -> Result<(), Error> {
        let is_other = |caller: &candor_kernel::WorkspaceCaller| caller.id != self.id;
        if caller.workspace().is_some_and(is_other) && !self.may_call {
            return Err(access_denied());
        }
        if self.over_budget {
            return Err(Error::new(
                Reason::BudgetExceeded,
                "workspace budget limit exceeded",
            ));
        }
        Ok(())
    }

    /// What a new message meets. One for a workspace that was observed not to answer
    /// may still be refused just before it is sent.
    #[must_use]
    pub fn admit(&self) -> Admission {
        match self.status {
            Status::Removed => Admission::Refuse(not_found()),
            Status::Hibernated | Status::Hibernating => Admission::Refuse(waking()),
            _ if self.polls && !matches!(self.status, Status::Paused) => Admission::Poll,
            Status::Paused | Status::Provisioning | Status::AwaitingAgent => {
                Admission::Refuse(self.no_url())
            }
            _ if self.url.is_empty() => Admission::Refuse(self.no_url()),
            _ => match &self.wedge_reason {
                Some(reason) => Admission::Refuse(self.unwell("wedged", reason)),
                None => Admission::Dial,
            },
        }
    }

    /// The answer while one call at a time tries whether it answers again.
    #[must_use]
    pub fn does_not_answer(&self) -> Error {
        self.unwell("unresponsive", "its last calls ended without an answer")
    }

    /// The answer of a workspace that no message can be sent to.
    #[must_use]
    pub fn no_url(&self) -> Error {
        Error::new(Reason::NoUrl, "workspace has no URL")
            .with_fact("status", self.status.legacy_label())
    }

    /// Deviation D9.
    fn unwell(&self, state: &'static str, why: &str) -> Error {
        Error::new(Reason::Wedged, format!("workspace agent is {state}: {why}"))
            .with_fact("runtime_state", state)
            .with_fact("status", self.status.label())
            .with_retry_after(UNWELL_RETRY)
    }

    /// True if the agent said that it can take another task.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.active_tasks < self.at_once
    }
}

/// The answer of the hierarchy.
#[must_use]
pub fn access_denied() -> Error {
    Error::new(
        Reason::NotAllowed,
        "access denied: workspaces cannot communicate per hierarchy rules",
    )
}

fn not_found() -> Error {
    Error::new(Reason::WorkspaceNotFound, "workspace not found")
}

fn waking() -> Error {
    Error::new(
        Reason::Waking,
        "workspace is waking from hibernation — retry in ~15 seconds",
    )
    .with_retry_after(WAKING_RETRY)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn target(status: &str) -> Target {
        let id = WorkspaceId::from_uuid(uuid::Uuid::from_u128(1));
        Target::of(
            id,
            pb::Target {
                name: "n".to_owned(),
                url: "http://agent/".to_owned(),
                status: status.to_owned(),
                max_concurrent_tasks: 1,
                ..pb::Target::default()
            },
        )
        .unwrap()
    }

    fn refused(target: &Target) -> Error {
        match target.admit() {
            Admission::Refuse(error) => error,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_status_meets_what_the_design_says() {
        for status in ["online", "offline", "degraded", "failed"] {
            assert!(
                matches!(target(status).admit(), Admission::Dial),
                "{status}"
            );
        }
        for (status, reason) in [
            ("removed", Reason::WorkspaceNotFound),
            ("paused", Reason::NoUrl),
            ("provisioning", Reason::NoUrl),
            ("awaiting_agent", Reason::NoUrl),
            ("hibernated", Reason::Waking),
            ("hibernating", Reason::Waking),
        ] {
            assert_eq!(refused(&target(status)).reason(), reason, "{status}");
        }
        let without = Target {
            url: String::new(),
            ..target("failed")
        };
        assert_eq!(refused(&without).fact("status"), Some("failed"));
    }

    #[test]
    fn a_wedged_one_is_not_dialled() {
        let wedged = Target {
            wedge_reason: Some("Control request timeout: initialize".to_owned()),
            ..target("degraded")
        };
        let error = refused(&wedged);
        assert_eq!(
            error.public(),
            "workspace agent is wedged: Control request timeout: initialize"
        );
        assert_eq!(error.fact("runtime_state"), Some("wedged"));
        let silent = Target {
            unresponsive: true,
            ..target("degraded")
        };
        assert_eq!(
            silent.does_not_answer().fact("runtime_state"),
            Some("unresponsive")
        );
    }

    #[test]
    fn one_that_polls_is_never_dialled() {
        let polls = Target {
            polls: true,
            url: String::new(),
            ..target("online")
        };
        assert!(matches!(polls.admit(), Admission::Poll));
    }
}
