//! What can happen to a workspace.

use crate::beat::Beat;
use crate::caller::WorkspaceCaller;

/// What `WORKSPACE_PROVISIONING` tells about a workspace.
#[derive(Debug, Clone, Copy)]
pub struct Profile<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its tier, 1 to 4.
    pub tier: i32,
    /// What runs it, for instance `langgraph` or `external`.
    pub runtime: &'a str,
}

/// A workspace comes into being.
#[derive(Debug, Clone, Copy)]
pub struct Creation<'a> {
    /// What is told about it.
    pub profile: Profile<'a>,
    /// Who is to run it.
    pub kind: CreationKind<'a>,
}

/// Who runs a new workspace.
#[derive(Debug, Clone, Copy)]
pub enum CreationKind<'a> {
    /// A backend makes an instance of it; the first provision attempt.
    Container,
    /// No backend claims it: it fails at once (R12, then R11), and its agent
    /// may revive it by a register or a beat.
    ContainerWithoutBackend {
        /// Why, in words for people.
        error: &'a str,
    },
    /// Somebody else runs it already.
    ExternalWithUrl,
    /// Somebody else will run it.
    ExternalAwaiting,
}

/// Something that may change a workspace's status.
#[derive(Debug, Clone, Copy)]
pub enum Occurrence<'a> {
    /// It is created; the state passed beside is ignored (R12).
    Created(Creation<'a>),
    /// Its agent registered (R1, R1b).
    Registered {
        /// The proven caller.
        caller: &'a WorkspaceCaller,
        /// The address as callers will see it; `""` without one.
        url: &'a str,
        /// The card as compact JSON text, checked by the caller; embedded
        /// without being read.
        agent_card: &'a str,
    },
    /// Its agent sent a beat (R2 to R7).
    Beat {
        /// The proven caller.
        caller: &'a WorkspaceCaller,
        /// What it said.
        beat: &'a Beat,
    },
    /// Candor saw that it does not answer (R8).
    ObservedUnresponsive {
        /// What was seen, in words for people.
        evidence: &'a str,
    },
    /// Candor saw it answer (R9).
    ObservedAnswer,
    /// Its lease and the grace after it ended, and no dial-back spoke against
    /// it (R10).
    LeaseDead,
    /// Its backend says that the instance is gone (R10).
    InstanceGone,
    /// The backend could not start an instance (R11).
    StartFailed {
        /// Why, in words for people.
        error: &'a str,
        /// Names of settings it lacks; left out of the event if empty.
        missing: &'a [String],
    },
    /// The instance did not call in time (R11).
    ProvisionTimeout {
        /// Why, in words for people.
        error: &'a str,
        /// What was to run it.
        runtime: &'a str,
        /// How long was waited, in seconds.
        timeout_secs: i64,
    },
    /// The instance's own start-up reported a failure (R11).
    BootstrapFailed {
        /// Why, in words for people.
        error: &'a str,
        /// The end of its log.
        log_tail: &'a str,
    },
    /// An operator wants a new instance (R13; R15 from paused or hibernated).
    RestartRequested {
        /// What is told about it.
        profile: Profile<'a>,
        /// True if a backend runs this workspace.
        backend: bool,
    },
    /// An operator stops it (R14).
    PauseRequested {
        /// The workspace's name, for the event.
        name: &'a str,
    },
    /// An operator, or a waiting call, wants it back (R15).
    ResumeRequested {
        /// What is told about it.
        profile: Profile<'a>,
        /// True if a backend runs this workspace.
        backend: bool,
    },
    /// It is to be stopped for idleness (R16).
    HibernateRequested,
    /// The backend stopped it (R16).
    Hibernated {
        /// The workspace's name, for the event.
        name: &'a str,
        /// Its tier, for the event.
        tier: i32,
    },
    /// The stop failed or timed out (R16).
    HibernateFailed,
    /// It is deleted, for ever (R17).
    Removed {
        /// How many descendants went with it, for the root of the deletion;
        /// none for a descendant.
        cascade: Option<u32>,
    },
}
