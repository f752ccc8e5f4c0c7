//! What goes wrong when a test wants it.

use std::collections::VecDeque;

/// What a call meets instead of its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The API's own refusal: status code, reason, message.
    Status(u16, &'static str, &'static str),
    /// An answer of something in between: status code and text.
    Text(u16, &'static str),
    /// It is done, and the answer is lost: the connection is closed.
    DoneAndLost,
    /// No answer.
    Silence,
}

/// The faults that wait for their call.
#[derive(Debug, Default)]
pub(super) struct Faults(VecDeque<(String, String, Fault, usize)>);

impl Faults {
    pub(super) fn add(&mut self, verb: &str, resource: &str, fault: Fault, times: usize) {
        self.0
            .push_back((verb.to_owned(), resource.to_owned(), fault, times));
    }

    pub(super) fn left(&self) -> usize {
        self.0.iter().map(|fault| fault.3).sum()
    }

    /// The fault of this call, once less from now on.
    pub(super) fn take(&mut self, verb: &str, resource: &str) -> Option<Fault> {
        let meant = |fault: &(String, String, Fault, usize)| {
            fault.3 > 0 && fault.0 == verb && fault.1 == resource
        };
        let found = self.0.iter_mut().find(|fault| meant(fault))?;
        found.3 -= 1;
        Some(found.2.clone())
    }
}
