//! Errors that know nothing of a transport.
//!
//! The public text goes to callers; the internal text goes to logs only, and
//! has no `Display`, so that it cannot leak by accident. HTTP and gRPC each map
//! an [`Error`] in one file.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// What kind of failure it is; decides the status code of every transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request itself is wrong, whatever the state.
    InvalidArgument,
    /// No such thing.
    NotFound,
    /// It existed, and was removed for ever.
    Gone,
    /// The state forbids it now.
    Conflict,
    /// No credential, or one that proves nothing.
    Unauthenticated,
    /// A proven caller that may not do this.
    PermissionDenied,
    /// A limit is reached.
    ResourceExhausted,
    /// A part of the platform does not answer; try again.
    Unavailable,
    /// The agent behind the platform failed, or cannot be reached.
    Upstream,
    /// The feature does not exist on this platform.
    Unimplemented,
    /// A defect of ours.
    Internal,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal => $kind:ident,)*) => {
        /// The machine-readable reason (`google.rpc.ErrorInfo.reason`).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)* }
        impl Reason {
            /// Every reason, for tables and tests.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
            /// The code on the wire, upper snake case.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }
            /// The kind that every error of this reason has.
            #[must_use]
            pub const fn kind(self) -> ErrorKind {
                match self { $(Self::$name => ErrorKind::$kind,)* }
            }
        }
    };
}

reasons! {
    /// A field has a wrong form or value.
    InvalidField = "INVALID_FIELD" => InvalidArgument,
    /// The agent's address is refused by the address policy.
    InvalidUrl = "INVALID_URL" => InvalidArgument,
    /// `parent_id` names a workspace below the one that is changed.
    ParentCycle = "PARENT_CYCLE" => InvalidArgument,
    /// `parent_id` names no workspace.
    ParentNotFound = "PARENT_NOT_FOUND" => InvalidArgument,
    /// No workspace has this id.
    WorkspaceNotFound = "WORKSPACE_NOT_FOUND" => NotFound,
    /// The workspace has no file of this path.
    FileNotFound = "FILE_NOT_FOUND" => NotFound,
    /// The workspace was removed.
    WorkspaceRemoved = "WORKSPACE_REMOVED" => Gone,
    /// No live token has this id.
    TokenNotFound = "TOKEN_NOT_FOUND" => NotFound,
    /// The workspace has as many live tokens as it may have.
    TooManyTokens = "TOO_MANY_TOKENS" => ResourceExhausted,
    /// The workspace has children and the caller did not confirm the cascade.
    ConfirmationRequired = "CONFIRMATION_REQUIRED" => Conflict,
    /// The state machine refuses this event in this status.
    TransitionRefused = "TRANSITION_REFUSED" => Conflict,
    /// The workspace works on something; fact `active_tasks`.
    ActiveTasks = "ACTIVE_TASKS" => Conflict,
    /// The workspace exists, but has no address to reach it by.
    NoAddress = "NO_ADDRESS" => Conflict,
    /// An event with this id exists with other contents.
    EventConflict = "EVENT_CONFLICT" => Conflict,
    /// No activity row has this id.
    ActivityNotFound = "ACTIVITY_NOT_FOUND" => NotFound,
    /// An activity row with this id exists with other contents, or is final.
    ActivityConflict = "ACTIVITY_CONFLICT" => Conflict,
    /// The cursor is older than what is kept.
    CursorExpired = "CURSOR_EXPIRED" => Gone,
    /// A credential is needed.
    MissingCredential = "MISSING_CREDENTIAL" => Unauthenticated,
    /// The credential proves nothing, or not this.
    InvalidCredential = "INVALID_CREDENTIAL" => Unauthenticated,
    /// The credentials changed after the proof was checked; check again.
    CredentialChanged = "CREDENTIAL_CHANGED" => Unauthenticated,
    /// The caller id has a reserved prefix.
    InvalidCallerId = "INVALID_CALLER_ID" => PermissionDenied,
    /// The caller is known, and may not do this.
    NotAllowed = "NOT_ALLOWED" => PermissionDenied,
    /// A bounded queue is full.
    Overloaded = "OVERLOADED" => Unavailable,
    /// Postgres does not answer.
    StoreUnavailable = "STORE_UNAVAILABLE" => Unavailable,
    /// Another writer won too often in a row.
    Contention = "CONTENTION" => Unavailable,
    /// A peer process does not answer.
    PeerUnavailable = "PEER_UNAVAILABLE" => Unavailable,
    /// No backend runs instances of this workspace.
    NoBackend = "NO_BACKEND" => Unavailable,
    /// An instance that is to end has not ended yet.
    InstanceStillRuns = "INSTANCE_STILL_RUNS" => Unavailable,
    /// What runs a workspace's instance does not answer: nothing is known of it.
    InstanceUnreachable = "INSTANCE_UNREACHABLE" => Unavailable,
    /// The process is shutting down.
    Draining = "DRAINING" => Unavailable,
    /// The workspace has no address to send a message to; fact `status`.
    NoUrl = "WORKSPACE_HAS_NO_URL" => Unavailable,
    /// The workspace is hibernated, and is being woken.
    Waking = "WORKSPACE_WAKING" => Unavailable,
    /// The workspace says that it cannot answer; facts `runtime_state`, `status`.
    Wedged = "WORKSPACE_WEDGED" => Unavailable,
    /// The agent did not take the message now; fact `native_session` when it keeps
    /// a queue of its own.
    AgentBusy = "AGENT_BUSY" => Unavailable,
    /// The deadline passed after the message was sent: it may have been delivered.
    DeliveryUnknown = "DELIVERY_UNKNOWN" => Unavailable,
    /// The workspace has spent what it may spend this month.
    BudgetExceeded = "BUDGET_EXCEEDED" => ResourceExhausted,
    /// The agent's address may not be dialled.
    AddressRefused = "ADDRESS_REFUSED" => Upstream,
    /// The agent cannot be reached.
    AgentUnreachable = "AGENT_UNREACHABLE" => Upstream,
    /// The agent began to answer, and the answer did not arrive; fact
    /// `delivery_confirmed`.
    AnswerLost = "ANSWER_LOST" => Upstream,
    /// The agent's answer is not one of the protocol.
    InvalidAnswer = "INVALID_ANSWER" => Upstream,
    /// No accepted message has this id.
    QueueEntryNotFound = "QUEUE_ENTRY_NOT_FOUND" => NotFound,
    /// The message is delivered, or on its way.
    QueueEntrySettled = "QUEUE_ENTRY_SETTLED" => Conflict,
    /// No secret has this name.
    SecretNotFound = "SECRET_NOT_FOUND" => NotFound,
    /// Stored secrets do not open with the keys of now; fact `failed_keys`, a JSON list.
    SecretUnreadable = "SECRET_UNREADABLE" => Internal,
    /// Secrets cannot be sealed: no key is set.
    NoEncryptionKey = "NO_ENCRYPTION_KEY" => Conflict,
    /// The feature does not exist on this platform.
    NotAvailable = "NOT_AVAILABLE" => Unimplemented,
    /// A defect of ours.
    Internal = "INTERNAL" => Internal,
}

impl Reason {
    /// The reason with this code, if there is one.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.code() == code)
    }
}

/// A failure with a public text and, apart from it, an internal one.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    reason: Reason,
    public: Cow<'static, str>,
    internal: Option<String>,
    field: Option<Cow<'static, str>>,
    retry_after: Option<Duration>,
    facts: Vec<(Cow<'static, str>, String)>,
}

impl Error {
    /// An error with the text that callers may read.
    #[must_use]
    pub fn new(reason: Reason, public: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            reason,
            public: public.into(),
            internal: None,
            field: None,
            retry_after: None,
            facts: Vec::new(),
        }))
    }
    /// A wrong field: its name, and what is wrong with it.
    #[must_use]
    pub fn field(
        name: impl Into<Cow<'static, str>>,
        problem: impl Into<Cow<'static, str>>,
    ) -> Self {
        let mut error = Self::new(Reason::InvalidField, problem);
        error.0.field = Some(name.into());
        error
    }
    /// The error every lost database gives (promise P9).
    #[must_use]
    pub fn store_unavailable(internal: impl fmt::Display) -> Self {
        Self::new(
            Reason::StoreUnavailable,
            "platform datastore unavailable — retry shortly",
        )
        .with_internal(internal)
        .with_retry_after(Duration::from_secs(1))
    }
    /// A defect of ours; callers learn nothing but that.
    #[must_use]
    pub fn internal(internal: impl fmt::Display) -> Self {
        Self::new(Reason::Internal, "internal error").with_internal(internal)
    }
    /// Adds the text for logs.
    #[must_use]
    pub fn with_internal(mut self, internal: impl fmt::Display) -> Self {
        self.0.internal = Some(internal.to_string());
        self
    }
    /// Adds when it is worth trying again.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }
    /// Adds a public fact that clients may act on, for instance the status
    /// (`google.rpc.ErrorInfo.metadata`).
    #[must_use]
    pub fn with_fact(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Self {
        self.0.facts.push((name.into(), value.into()));
        self
    }
    /// The public facts beside the text.
    pub fn facts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .facts
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_str()))
    }
    /// The value of a public fact.
    #[must_use]
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts()
            .find_map(|(known, value)| (known == name).then_some(value))
    }
    /// The machine-readable reason.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.0.reason
    }
    /// The kind, from the reason.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.reason.kind()
    }
    /// The text for callers.
    #[must_use]
    pub fn public(&self) -> &str {
        &self.0.public
    }
    /// The text for logs.
    #[must_use]
    pub fn internal_text(&self) -> Option<&str> {
        self.0.internal.as_deref()
    }
    /// What an operator should read: the text for logs, else the public one.
    #[must_use]
    pub fn for_operators(&self) -> &str {
        self.internal_text().unwrap_or_else(|| self.public())
    }
    /// The wrong field's name, if one is to blame.
    #[must_use]
    pub fn field_name(&self) -> Option<&str> {
        self.0.field.as_deref()
    }
    /// When to try again, for `Retry-After` and `google.rpc.RetryInfo`.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("reason", &self.0.reason.code())
            .field("public", &self.0.public)
            .field("internal", &self.0.internal)
            .field("field", &self.0.field)
            .finish()
    }
}

/// Shows the public text only.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.public)
    }
}

impl std::error::Error for Error {}
