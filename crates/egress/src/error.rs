//! How a dial ends without an answer.

use crate::refusal::Refusal;

/// Why an agent gave no answer. What `Display` says may be told to anybody: it
/// names no address (deviation D49); [`DialError::detail`] is for operators.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// The address policy refuses the URL, or one of the addresses of its name.
    #[error("the agent's address is refused: {0}")]
    AddressRefused(Refusal),
    /// The name has no address, or no name server said so in time.
    #[error("the agent's name does not resolve")]
    Unresolvable {
        /// For operators.
        detail: String,
    },
    /// Candor has no room for another dial now; the agent was not asked.
    #[error("too many calls at a time")]
    Overloaded {
        /// For operators.
        detail: String,
    },
    /// No address of the agent takes connections.
    #[error("the agent refuses connections")]
    ConnectRefused {
        /// For operators.
        detail: String,
    },
    /// No address of the agent answered in time.
    #[error("connecting to the agent took too long")]
    ConnectTimeout {
        /// For operators.
        detail: String,
    },
    /// No encrypted connection: the certificate, the protocol, or the time it took.
    #[error("no secure connection to the agent")]
    Tls {
        /// For operators.
        detail: String,
    },
    /// The connection ended before a byte of the request was written.
    #[error("the agent closed the connection before the request")]
    ClosedBeforeWrite {
        /// For operators.
        detail: String,
    },
    /// The connection ended without a byte of an answer, after at least one byte of
    /// the request was written: the agent may have acted.
    #[error("the agent closed the connection without an answer")]
    ClosedAfterWrite {
        /// For operators.
        detail: String,
    },
    /// The agent answered, but not in HTTP/1.1, or with too large a head, or half
    /// of one.
    #[error("the agent's answer is not HTTP, or its head is too large")]
    BadResponse {
        /// For operators.
        detail: String,
    },
}

impl DialError {
    /// Whether bytes of the request may have reached the agent.
    #[must_use]
    pub const fn was_written(&self) -> bool {
        matches!(
            self,
            Self::ClosedAfterWrite { .. } | Self::BadResponse { .. }
        )
    }

    /// Whether the URL is refused, or its name does not resolve: the original
    /// answers both as `workspace URL is not publicly routable`.
    #[must_use]
    pub const fn is_refused_address(&self) -> bool {
        matches!(self, Self::AddressRefused(_) | Self::Unresolvable { .. })
    }

    /// What operators should see; may name addresses.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::AddressRefused(why) => why.to_string(),
            Self::Unresolvable { detail }
            | Self::Overloaded { detail }
            | Self::ConnectRefused { detail }
            | Self::ConnectTimeout { detail }
            | Self::Tls { detail }
            | Self::ClosedBeforeWrite { detail }
            | Self::ClosedAfterWrite { detail }
            | Self::BadResponse { detail } => detail.clone(),
        }
    }

    /// The value of the label `outcome` of `candor_egress_dials_total`.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::AddressRefused(_) => "address_refused",
            Self::Unresolvable { .. } => "unresolvable",
            Self::Overloaded { .. } => "overloaded",
            Self::ConnectRefused { .. } => "connect_refused",
            Self::ConnectTimeout { .. } => "connect_timeout",
            Self::Tls { .. } => "tls",
            Self::ClosedBeforeWrite { .. } => "closed_before_write",
            Self::ClosedAfterWrite { .. } => "closed_after_write",
            Self::BadResponse { .. } => "bad_response",
        }
    }
}
