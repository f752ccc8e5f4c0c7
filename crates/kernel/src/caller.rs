//! Who is calling, after credentials have been checked.

use serde::{Deserialize, Serialize};

use crate::{AuthVersion, Epoch, WorkspaceId};

/// How a caller proved who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// No credential at all, on an open listener.
    None,
    /// A workspace id without a credential, on an open listener.
    Claimed,
    /// A live workspace token.
    Token,
    /// The installation's admin token.
    Admin,
    /// An organisation token.
    OrgToken,
    /// A browser session.
    Session,
}

impl AuthMethod {
    /// Every method.
    pub const ALL: [Self; 6] = [
        Self::None,
        Self::Claimed,
        Self::Token,
        Self::Admin,
        Self::OrgToken,
        Self::Session,
    ];
    /// The method with this word.
    #[must_use]
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|auth| auth.label() == label)
    }
    /// The word stored with activity rows and shown to operators.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Claimed => "claimed",
            Self::Token => "token",
            Self::Admin => "admin",
            Self::OrgToken => "org_token",
            Self::Session => "session",
        }
    }
}

/// A workspace that calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceCaller {
    /// Which workspace.
    pub id: WorkspaceId,
    /// How it proved it: `Token` or `Claimed`.
    pub auth: AuthMethod,
    /// The instance the token belongs to; none for manual tokens, which speak
    /// for the current instance.
    pub epoch: Option<Epoch>,
    /// True for a retired token or one below the fence: answered, without any
    /// effect (design: section 4).
    pub stale: bool,
    /// The credentials' version when the proof was checked. Whoever acts on
    /// the proof compares it in the same statement.
    pub auth_version: AuthVersion,
}

/// The authenticated principal of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Caller {
    /// An agent's workspace.
    Workspace(WorkspaceCaller),
    /// A person, or a tool acting for one.
    User {
        /// How the person proved it.
        auth: AuthMethod,
    },
    /// A part of the platform; exists only inside signed assertions and inside
    /// the process.
    System {
        /// Which part, for instance `gateway` or `sweeper`.
        name: String,
    },
    /// Nobody in particular: public routes only.
    Anonymous,
}

impl Caller {
    /// A part of the platform, for instance `gateway`.
    #[must_use]
    pub fn system(name: &str) -> Self {
        Self::System {
            name: name.to_owned(),
        }
    }
    /// The calling workspace, if it is one.
    #[must_use]
    pub const fn workspace(&self) -> Option<&WorkspaceCaller> {
        match self {
            Self::Workspace(caller) => Some(caller),
            _ => None,
        }
    }
    /// True for people and for the platform itself.
    #[must_use]
    pub const fn is_operator(&self) -> bool {
        matches!(self, Self::User { .. } | Self::System { .. })
    }
    /// A short text for logs: kind and id, never a credential.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Workspace(w) => format!("workspace:{}", w.id),
            Self::User { auth } => format!("user({})", auth.label()),
            Self::System { name } => format!("system:{name}"),
            Self::Anonymous => "anonymous".to_owned(),
        }
    }
}
