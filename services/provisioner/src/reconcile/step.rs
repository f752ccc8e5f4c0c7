//! The next step of one workspace.

use candor_kernel::Epoch;

use crate::backend::{Observed, Remove};

/// What is wanted of a workspace's instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// One runs, of the desired epoch.
    Running,
    /// None runs; what it keeps stays.
    Stopped,
    /// None runs, and what outlives it goes as well.
    Gone(Remove),
}

/// How far the hand-over of the desired epoch's token is (design section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handed {
    /// Nothing was written for this epoch.
    Nothing,
    /// Files and token are written, and the token was read back by its hash.
    Verified,
    /// An instance was started with it.
    Started,
}

/// What is wanted, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Desired {
    /// What.
    pub want: Want,
    /// Of which epoch: the fence that was raised for it.
    pub epoch: Epoch,
    /// How far it is.
    pub handed: Handed,
}

/// What else a decision depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Whether the instance called with its token: the registry's epoch is the desired one.
    pub called: bool,
    /// Whether it had its time to call.
    pub overdue: bool,
}

/// One step. Each is idempotent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Everything is as it is wanted.
    Nothing,
    /// It starts; look again later.
    Wait,
    /// End whatever runs, and see that nothing is found.
    Stop,
    /// Write files and token, and read the token back.
    HandOver,
    /// Start the instance.
    Start,
    /// The instance of the desired epoch is gone or ended: fail it, or raise a new fence
    /// for another one within the budget.
    Replace {
        /// Why, for people.
        why: String,
    },
    /// It did not call in its time: the same.
    TimedOut,
    /// Take away what outlives instances.
    TakeAway(Remove),
}

/// Decides. An instance of another epoch is always stopped before anything else is done:
/// a token is never rotated without replacing the instance.
#[must_use]
pub fn next(desired: &Desired, observed: &Observed, facts: Facts) -> Step {
    match desired.want {
        Want::Running => towards_running(desired, observed, facts),
        Want::Stopped => match observed {
            Observed::NotFound => Step::Nothing,
            _ => Step::Stop,
        },
        Want::Gone(what) => match observed {
            Observed::NotFound => Step::TakeAway(what),
            _ => Step::Stop,
        },
    }
}

fn towards_running(desired: &Desired, observed: &Observed, facts: Facts) -> Step {
    match observed {
        Observed::NotFound => match desired.handed {
            Handed::Nothing => Step::HandOver,
            Handed::Verified => Step::Start,
            Handed::Started => Step::Replace {
                why: "the instance is gone".to_owned(),
            },
        },
        Observed::Starting { epoch } | Observed::Running { epoch, .. }
            if *epoch == desired.epoch =>
        {
            match (facts.called, facts.overdue, observed) {
                (true, _, Observed::Running { .. }) => Step::Nothing,
                // Its token was replaced before it was known to run: it would be refused
                // for ever.
                (false, _, _) if desired.handed == Handed::Nothing => Step::Stop,
                (false, true, _) => Step::TimedOut,
                _ => Step::Wait,
            }
        }
        Observed::Exited { epoch, why } if *epoch == desired.epoch => {
            Step::Replace { why: why.clone() }
        }
        Observed::Starting { .. } | Observed::Running { .. } | Observed::Exited { .. } => {
            Step::Stop
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Epoch = Epoch(3);
    const NEW: Epoch = Epoch(4);

    fn desired(want: Want, handed: Handed) -> Desired {
        Desired {
            want,
            epoch: NEW,
            handed,
        }
    }

    fn running(epoch: Epoch) -> Observed {
        Observed::Running { epoch, url: None }
    }

    fn exited(epoch: Epoch) -> Observed {
        let why = "exit status 1".to_owned();
        Observed::Exited { epoch, why }
    }

    const QUIET: Facts = Facts {
        called: false,
        overdue: false,
    };

    #[test]
    fn an_instance_comes_up_in_the_order_of_the_hand_over() {
        let want = |handed| desired(Want::Running, handed);
        let seen = [
            (Handed::Nothing, running(OLD), Step::Stop),
            (Handed::Nothing, exited(OLD), Step::Stop),
            (Handed::Nothing, Observed::NotFound, Step::HandOver),
            (Handed::Verified, Observed::NotFound, Step::Start),
            (Handed::Verified, running(NEW), Step::Wait),
            (Handed::Nothing, running(NEW), Step::Stop),
            (
                Handed::Started,
                Observed::Starting { epoch: NEW },
                Step::Wait,
            ),
        ];
        for (handed, observed, step) in seen {
            assert_eq!(next(&want(handed), &observed, QUIET), step, "{observed:?}");
        }
        let called = Facts {
            called: true,
            overdue: true,
        };
        assert_eq!(
            next(&want(Handed::Started), &running(NEW), called),
            Step::Nothing
        );
        let late = Facts {
            called: false,
            overdue: true,
        };
        assert_eq!(
            next(&want(Handed::Started), &running(NEW), late),
            Step::TimedOut
        );
    }

    #[test]
    fn nothing_is_handed_over_or_started_while_another_epoch_is_seen() {
        for handed in [Handed::Nothing, Handed::Verified, Handed::Started] {
            for observed in [running(OLD), exited(OLD), Observed::Starting { epoch: OLD }] {
                let step = next(&desired(Want::Running, handed), &observed, QUIET);
                assert_eq!(step, Step::Stop, "{handed:?} {observed:?}");
            }
        }
    }

    #[test]
    fn what_ended_is_replaced_and_says_why() {
        let gone = next(
            &desired(Want::Running, Handed::Started),
            &Observed::NotFound,
            QUIET,
        );
        assert!(matches!(gone, Step::Replace { .. }), "{gone:?}");
        let ended = next(
            &desired(Want::Running, Handed::Started),
            &exited(NEW),
            QUIET,
        );
        let why = "exit status 1".to_owned();
        assert_eq!(ended, Step::Replace { why });
    }

    #[test]
    fn what_is_to_go_is_stopped_first() {
        for want in [Want::Stopped, Want::Gone(Remove::Everything)] {
            for observed in [running(NEW), running(OLD), exited(NEW)] {
                assert_eq!(
                    next(&desired(want, Handed::Started), &observed, QUIET),
                    Step::Stop
                );
            }
        }
        let stopped = desired(Want::Stopped, Handed::Started);
        assert_eq!(next(&stopped, &Observed::NotFound, QUIET), Step::Nothing);
        let gone = desired(Want::Gone(Remove::Configs), Handed::Started);
        let step = next(&gone, &Observed::NotFound, QUIET);
        assert_eq!(step, Step::TakeAway(Remove::Configs));
    }
}
