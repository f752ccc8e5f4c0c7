//! The wedge: whether this agent can no longer answer, and why (design section 11).
//!
//! It is set only by errors that are known to be beyond recovery, the first reason
//! stays, and no success of anything else takes it away: a heartbeat that outlives
//! its brain must not talk it healthy.

use std::sync::Arc;

use parking_lot::Mutex;

/// What ends a wedge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// Only a new process: the state that is stuck lives in this one.
    NewProcess,
    /// An answer that was seen: the state that is stuck lives in the agent beside us.
    ObservedSuccess,
}

/// Texts of errors after which an agent never answers again, in any case.
#[derive(Debug, Clone, Copy)]
pub struct Detector(pub &'static [&'static str]);

impl Detector {
    /// Whether this error, with everything that was said with it, is beyond recovery.
    #[must_use]
    pub fn finds(&self, error: &str) -> bool {
        let error = error.to_lowercase();
        self.0.iter().any(|known| error.contains(known))
    }
}

/// Whether the process is wedged; one for all its parts.
#[derive(Debug)]
pub struct Wedge {
    recovery: Recovery,
    reason: Mutex<Option<Arc<str>>>,
}

impl Wedge {
    /// Not wedged.
    #[must_use]
    pub fn new(recovery: Recovery) -> Self {
        Self {
            recovery,
            reason: Mutex::new(None),
        }
    }

    /// Whether it is set.
    #[must_use]
    pub fn is_wedged(&self) -> bool {
        self.reason.lock().is_some()
    }

    /// Why, in the words of the first error.
    #[must_use]
    pub fn wedge_reason(&self) -> Option<Arc<str>> {
        self.reason.lock().clone()
    }

    /// Sets it, unless it is set. True if this was the first reason.
    pub fn mark(&self, reason: &str) -> bool {
        let mut held = self.reason.lock();
        if held.is_some() {
            return false;
        }
        *held = Some(reason.into());
        true
    }

    /// The agent was seen to answer. Ends the wedge where that proves anything; true
    /// if it did.
    pub fn observed_success(&self) -> bool {
        self.recovery == Recovery::ObservedSuccess && self.reason.lock().take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAUDE: Detector = Detector(&["control request timeout"]);

    #[test]
    fn clean_by_default() {
        let wedge = Wedge::new(Recovery::NewProcess);
        assert!(!wedge.is_wedged());
        assert_eq!(wedge.wedge_reason(), None);
    }

    #[test]
    fn mark_sets_the_flag() {
        let wedge = Wedge::new(Recovery::NewProcess);
        assert!(wedge.mark("stuck"));
        assert!(wedge.is_wedged());
        assert_eq!(wedge.wedge_reason().as_deref(), Some("stuck"));
    }

    #[test]
    fn first_reason_sticks() {
        let wedge = Wedge::new(Recovery::NewProcess);
        assert!(wedge.mark("first"));
        assert!(!wedge.mark("second"));
        assert!(!wedge.observed_success(), "only a new process heals it");
        assert_eq!(wedge.wedge_reason().as_deref(), Some("first"));
    }

    #[test]
    fn control_request_timeout_initialize_flips_it() {
        for error in [
            "Control request timeout: initialize",
            "CONTROL REQUEST TIMEOUT: initialize",
            "exit status 1\nstderr: Error: Control request timeout: initialize\n    at x.js:1",
        ] {
            assert!(CLAUDE.finds(error), "{error}");
        }
    }

    #[test]
    fn unrelated_errors_do_not() {
        for error in [
            "",
            "request timeout",
            "429 rate limited",
            "control request: cancelled",
            "HTTP 500 from model",
        ] {
            assert!(!CLAUDE.finds(error), "{error}");
        }
    }

    #[test]
    fn an_observed_success_clears_where_the_executor_says_so() {
        let wedge = Wedge::new(Recovery::ObservedSuccess);
        assert!(!wedge.observed_success(), "there was nothing to clear");
        wedge.mark("no answer in 30 s");
        assert!(wedge.observed_success());
        assert!(!wedge.is_wedged());
        assert!(wedge.mark("again"), "a later wedge has a reason of its own");
    }
}
