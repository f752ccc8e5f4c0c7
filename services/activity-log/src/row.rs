//! Rows and outcomes on their way into the log: everything a store needs, typed
//! and checked.

use std::time::Duration;

use candor_kernel::activity::is_conversation;
use candor_kernel::{ActivityId, Source, WorkspaceId};
use sha2::{Digest as _, Sha256};

use crate::body::StoredBody;

/// What a writer sent, so short that a repeated write is known again.
pub type Fingerprint = [u8; 16];

/// What a row takes without its texts, about, in bytes.
const EMPTY: usize = 768;

/// The fingerprint of an encoded message.
#[must_use]
pub fn fingerprint(encoded: &[u8]) -> Fingerprint {
    let hash = Sha256::digest(encoded);
    let mut short = Fingerprint::default();
    short.copy_from_slice(&hash[..16]);
    short
}

/// How a row begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// Hidden until its outcome; closed so long after it began without one.
    Intent(Duration),
    /// Listed at once and announced; open until its outcome, however long that takes.
    Queued {
        /// Tell watchers with ACTIVITY_LOGGED.
        announce: bool,
    },
    /// Final at once; announced to who watches, or as words to a person.
    Final {
        /// Tell watchers with ACTIVITY_LOGGED.
        announce: bool,
    },
}

impl Beginning {
    /// The word that is stored.
    #[must_use]
    pub const fn phase(self) -> &'static str {
        match self {
            Self::Intent(_) => "intent",
            Self::Queued { .. } => "queued",
            Self::Final { .. } => "final",
        }
    }

    /// Whether it has a place in the log from its beginning on.
    #[must_use]
    pub const fn is_listed(self) -> bool {
        !matches!(self, Self::Intent(_))
    }

    /// Whether who watches is told of it by ACTIVITY_LOGGED.
    #[must_use]
    pub const fn is_announced(self) -> bool {
        matches!(
            self,
            Self::Queued { announce: true } | Self::Final { announce: true }
        )
    }
}

/// A new row.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct NewRow {
    pub id: ActivityId,
    pub workspace: WorkspaceId,
    pub activity_type: String,
    pub source: Source,
    pub claimed_source: Option<String>,
    pub target: Option<WorkspaceId>,
    pub method: Option<String>,
    pub summary: Option<String>,
    pub status: Option<String>,
    pub error_detail: Option<String>,
    pub duration_ms: Option<i32>,
    pub request: Option<StoredBody>,
    pub response: Option<StoredBody>,
    /// JSON text.
    pub tool_trace: Option<String>,
    pub beginning: Beginning,
    /// An agent's words to the person.
    pub is_notify: bool,
    pub fingerprint: Fingerprint,
    pub traceparent: Option<String>,
}

/// What became of an intent or of a queued row.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Outcome {
    pub id: ActivityId,
    pub status: String,
    /// The row stays open.
    pub is_queued: bool,
    /// Watchers are told with ACTIVITY_LOGGED.
    pub announce: bool,
    pub error_detail: Option<String>,
    pub duration_ms: Option<i32>,
    pub response: Option<StoredBody>,
    pub tool_trace: Option<String>,
    pub summary: Option<String>,
    pub fingerprint: Fingerprint,
}

impl NewRow {
    /// Part of the conversation with a person.
    #[must_use]
    pub fn is_conversation(&self) -> bool {
        is_conversation(&self.source, self.is_notify)
    }

    /// The legacy column: the workspace that speaks, null in conversations.
    #[must_use]
    pub fn source_id(&self) -> Option<WorkspaceId> {
        match &self.source {
            Source::Workspace { id, .. } if !self.is_notify => Some(*id),
            _ => None,
        }
    }

    /// What the legacy column cannot say.
    #[must_use]
    pub fn source_ref(&self) -> Option<String> {
        match &self.source {
            Source::System { name } => Some(name.clone()),
            Source::Workspace { id, .. } if self.is_notify => Some(id.to_string()),
            _ => None,
        }
    }

    /// What it takes in memory, about, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        let texts = [
            &self.method,
            &self.summary,
            &self.status,
            &self.error_detail,
            &self.claimed_source,
            &self.tool_trace,
        ];
        size_of(texts, [&self.request, &self.response])
    }
}

impl Outcome {
    /// What it takes in memory, about, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        let texts = [&self.error_detail, &self.tool_trace, &self.summary];
        size_of(texts, [&self.response])
    }
}

fn size_of<'a>(
    texts: impl IntoIterator<Item = &'a Option<String>>,
    bodies: impl IntoIterator<Item = &'a Option<StoredBody>>,
) -> usize {
    let texts = texts.into_iter().flatten().map(String::len);
    let bodies = bodies.into_iter().flatten().map(StoredBody::size);
    EMPTY + texts.sum::<usize>() + bodies.sum::<usize>()
}
