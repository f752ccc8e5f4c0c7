//! The status table as data (design: section 5).
//!
//! `docs/state-machine.md` is generated from [`TABLE`], and a property test
//! checks every decision that [`crate::decide`] makes against it.

mod diagram;
mod table;

use std::fmt;

use crate::decision::EventType;
use crate::status::Status;

pub use diagram::state_machine_markdown;
pub use table::TABLE;

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// The rules; ids appear in logs and in explanations.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum RuleId { $($(#[$doc])* $name,)* }
        impl RuleId {
            /// Every rule, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
            /// The id as logged and stored.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }
        }
    };
}

rules! {
    /// Register begins an incarnation.
    R1 = "R1",
    /// Register of a stopped workspace.
    R1b = "R1b",
    /// A beat without a cause brings it online.
    R2 = "R2",
    /// A beat with a cause brings it up degraded.
    R3 = "R3",
    /// It says that it is wedged.
    R4 = "R4",
    /// Its error rate is too high.
    R5 = "R5",
    /// It has recovered by its own word.
    R6 = "R6",
    /// A degraded one adds or repeats a cause.
    R7 = "R7",
    /// Candor saw that it does not answer.
    R8 = "R8",
    /// Candor saw it answer.
    R9 = "R9",
    /// It is lost.
    R10 = "R10",
    /// It could not be started.
    R11 = "R11",
    /// It is created.
    R12 = "R12",
    /// Restart.
    R13 = "R13",
    /// Pause.
    R14 = "R14",
    /// Resume.
    R15 = "R15",
    /// Hibernate.
    R16 = "R16",
    /// Remove.
    R17 = "R17",
    /// Removed is final.
    R18 = "R18",
    /// No row applies: the status stays.
    Steady = "steady",
}

impl RuleId {
    /// The rule with this code, if there is one.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.code() == code)
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Where a row leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The status stays what it was.
    Unchanged,
    /// One of these; which one, [`Row::effect`] says.
    OneOf(&'static [Status]),
}

/// One row of the status table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its id; some rules have several rows.
    pub rule: RuleId,
    /// The statuses it applies in; empty for a workspace that does not exist
    /// yet.
    pub from: &'static [Status],
    /// What happens.
    pub on: &'static str,
    /// Where it leads.
    pub to: Target,
    /// What it does, in words.
    pub effect: &'static str,
    /// The events it may write.
    pub events: &'static [EventType],
    /// Their payloads, in words.
    pub payload: &'static str,
}

impl Row {
    /// True if this row explains the change. `from` is none for a creation.
    #[must_use]
    pub fn explains(&self, rule: RuleId, from: Option<Status>, to: Status) -> bool {
        let applies = match from {
            Some(status) => self.from.contains(&status),
            None => self.from.is_empty(),
        };
        let leads = match self.to {
            Target::Unchanged => from == Some(to),
            Target::OneOf(statuses) => statuses.contains(&to),
        };
        self.rule == rule && applies && leads
    }
}
