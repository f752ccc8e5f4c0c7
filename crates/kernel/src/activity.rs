//! Who an activity row is attributed to, and what kinds of rows there are
//! (design: section 8; contract/activity.md).

use crate::{AuthMethod, Caller, Error, Reason, WorkspaceId};

/// What agents may report; the platform itself writes others as well.
pub const REPORTED_TYPES: [&str; 7] = [
    "a2a_send",
    "a2a_receive",
    "task_update",
    "agent_log",
    "skill_promotion",
    "memory_write",
    "error",
];

/// The method of an agent's words to the person.
pub const NOTIFY: &str = "notify";
/// The status of a listed row that waits for its outcome.
pub const QUEUED: &str = "queued";

/// Checks the type of a row that `caller` reports.
///
/// # Errors
/// `INVALID_FIELD` that names the types there are.
pub fn reported_type(caller: &Caller, activity_type: &str) -> Result<(), Error> {
    let known = REPORTED_TYPES.contains(&activity_type);
    let platform = matches!(caller, Caller::System { .. }) && !activity_type.is_empty();
    if known || platform {
        return Ok(());
    }
    Err(Error::field(
        "activity_type",
        format!(
            "invalid activity_type, must be one of: {}",
            REPORTED_TYPES.join(", ")
        ),
    ))
}

/// The kinds of sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// A person, or a tool that acts for one.
    User,
    /// An agent's workspace.
    Workspace,
    /// A part of the platform, a webhook, a channel, a schedule.
    System,
    /// Nobody in particular.
    Anonymous,
    /// An older platform wrote the row and did not say.
    Legacy,
}

impl SourceKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::User,
        Self::Workspace,
        Self::System,
        Self::Anonymous,
        Self::Legacy,
    ];

    /// The word that is stored.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Workspace => "workspace",
            Self::System => "system",
            Self::Anonymous => "anonymous",
            Self::Legacy => "legacy",
        }
    }

    /// The kind with this word.
    #[must_use]
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.label() == label)
    }
}

/// Who a row is attributed to: always the authenticated caller (promise P5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A person.
    User {
        /// How the person proved it.
        auth: AuthMethod,
    },
    /// A workspace.
    Workspace {
        /// Which.
        id: WorkspaceId,
        /// How it proved it: by a token, or not at all on an open listener.
        auth: AuthMethod,
    },
    /// A part of the platform, or what it speaks for: `webhook:github`.
    System {
        /// Its name; no UUID.
        name: String,
    },
    /// Nobody in particular.
    Anonymous,
}

impl Source {
    /// The source that a caller is.
    #[must_use]
    pub fn of(caller: &Caller) -> Self {
        match caller {
            Caller::User { auth } => Self::User { auth: *auth },
            Caller::Workspace(workspace) => Self::Workspace {
                id: workspace.id,
                auth: workspace.auth,
            },
            Caller::System { name } => Self::System { name: name.clone() },
            Caller::Anonymous => Self::Anonymous,
        }
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> SourceKind {
        match self {
            Self::User { .. } => SourceKind::User,
            Self::Workspace { .. } => SourceKind::Workspace,
            Self::System { .. } => SourceKind::System,
            Self::Anonymous => SourceKind::Anonymous,
        }
    }

    /// How it was proved, if anything had to be.
    #[must_use]
    pub const fn auth(&self) -> Option<AuthMethod> {
        match self {
            Self::User { auth } | Self::Workspace { auth, .. } => Some(*auth),
            Self::System { .. } | Self::Anonymous => None,
        }
    }
}

/// Whether a row is part of the conversation with a person, the legacy filter
/// `source=canvas`: a person's messages, and an agent's words to the person.
/// Nothing else that an agent does ever is.
#[must_use]
pub fn is_conversation(source: &Source, is_notify: bool) -> bool {
    is_notify || matches!(source, Source::User { .. })
}

/// Refuses a claimed source that is not `workspace`; returns it if it was made.
///
/// # Errors
/// `NOT_ALLOWED`.
pub fn claimed_source(claim: &str, workspace: WorkspaceId) -> Result<Option<String>, Error> {
    if claim.is_empty() {
        return Ok(None);
    }
    match claim.parse() {
        Ok(id) if workspace == id => Ok(Some(claim.to_owned())),
        _ => Err(Error::new(
            Reason::NotAllowed,
            "source_id must match authenticated workspace",
        )),
    }
}

/// The summary of an agent's words to the person: their first 80 bytes.
#[must_use]
pub fn notify_summary(message: &str) -> String {
    const MOST: usize = 80;
    let mut end = message.len().min(MOST);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    let more = if end < message.len() { "…" } else { "" };
    // The message itself is kept as it is; a summary cannot hold a NUL.
    let head = message.get(..end).unwrap_or_default();
    format!("Agent message: {}{more}", head.replace('\0', "\u{fffd}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn workspace() -> WorkspaceId {
        "00000000-0000-4000-8000-0000000000aa".parse().unwrap()
    }

    #[test]
    fn only_people_and_words_to_them_are_the_conversation() {
        let id = workspace();
        let auth = AuthMethod::Token;
        assert!(is_conversation(&Source::User { auth }, false));
        assert!(is_conversation(&Source::Workspace { id, auth }, true));
        for other in [
            Source::Workspace { id, auth },
            Source::System {
                name: "cron".to_owned(),
            },
            Source::Anonymous,
        ] {
            assert!(!is_conversation(&other, false), "{other:?}");
        }
    }

    #[test]
    fn a_claim_must_be_the_workspace_itself() {
        let id = workspace();
        assert_eq!(claimed_source("", id).unwrap(), None);
        assert!(claimed_source(&id.to_string(), id).unwrap().is_some());
        for other in ["nope", "00000000-0000-4000-8000-0000000000bb"] {
            let error = claimed_source(other, id).unwrap_err();
            assert_eq!(error.reason(), Reason::NotAllowed);
        }
    }

    #[test]
    fn agents_report_seven_types_and_the_platform_any() {
        let agent = Caller::User {
            auth: AuthMethod::None,
        };
        assert!(reported_type(&agent, "agent_log").is_ok());
        assert!(reported_type(&agent, "delegation").is_err());
        assert!(reported_type(&Caller::system("relay"), "delegation").is_ok());
        assert!(reported_type(&Caller::system("relay"), "").is_err());
    }

    #[test]
    fn summaries_end_at_a_whole_character() {
        assert_eq!(notify_summary("hi\0"), "Agent message: hi\u{fffd}");
        let long = notify_summary(&"é".repeat(60));
        assert_eq!(long, format!("Agent message: {}…", "é".repeat(40)));
        let odd = notify_summary(&format!("x{}", "é".repeat(60)));
        assert_eq!(odd, format!("Agent message: x{}…", "é".repeat(39)));
    }

    #[test]
    fn every_kind_has_a_word_of_its_own() {
        for kind in SourceKind::ALL {
            assert_eq!(SourceKind::from_label(kind.label()), Some(kind));
        }
    }
}
