//! The judge: which promises did the platform break?

use std::collections::{BTreeMap, BTreeSet};

use super::observed::{EventRow, Observed};
use super::{Effect, History, LateEffects, Operation, Outcome};

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// P10: a workspace with acknowledged operations has no row.
    #[error("{0}: no row")]
    Lost(String),
    /// P10: the row was not written by the last acknowledged operation, nor by
    /// one whose outcome is unknown.
    #[error("{workspace}: row says {found:?}, possible are {possible:?}")]
    WrongWriter {
        /// The workspace.
        workspace: String,
        /// The mark that the row has.
        found: String,
        /// The marks that it may have.
        possible: Vec<String>,
    },
    /// P2, P6: the status is not the one that the last operation means.
    #[error("{workspace}: {status} after {mark}")]
    WrongStatus {
        /// The workspace.
        workspace: String,
        /// The operation that wrote last.
        mark: String,
        /// The status that the row has.
        status: String,
    },
    /// P1: removed, acknowledged, and there again.
    #[error("{0}: visible again as {1}")]
    Revived(String, String),
    /// An acknowledged degradation has no event, or has several.
    #[error("{workspace}: {count} WORKSPACE_DEGRADED events for {mark}")]
    EventCount {
        /// The workspace.
        workspace: String,
        /// The operation.
        mark: String,
        /// How many.
        count: usize,
    },
    /// Two events in a row tell of the same change.
    #[error("{workspace}: {event_type} twice in a row, seq {seq:?}")]
    Repeated {
        /// The workspace.
        workspace: String,
        /// Which event.
        event_type: String,
        /// The second one's place.
        seq: Option<i64>,
    },
    /// An event id, or a place in the log, is there twice or is missing.
    #[error("event log: {0}")]
    Log(String),
}

/// Every promise that `observed` breaks, given what was acknowledged.
#[must_use]
pub fn check(history: &History, observed: &Observed, late: LateEffects) -> Vec<Violation> {
    let mut violations = check_log(observed);
    let mut events: BTreeMap<&str, Vec<&EventRow>> = BTreeMap::new();
    for event in &observed.events {
        events.entry(&event.workspace).or_default().push(event);
    }
    for (workspace, operations) in history.iter() {
        let events = events.get(workspace).map_or(&[][..], Vec::as_slice);
        violations.extend(check_row(workspace, operations, observed, late));
        violations.extend(check_degradations(workspace, operations, events));
        violations.extend(check_alternation(workspace, events));
    }
    violations
}

fn check_log(observed: &Observed) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut ids = BTreeSet::new();
    for event in &observed.events {
        if !ids.insert(&event.id) {
            violations.push(Violation::Log(format!("{} is there twice", event.id)));
        }
    }
    let drawn: Vec<i64> = observed
        .events
        .iter()
        .filter_map(|event| event.seq)
        .collect();
    for pair in drawn.windows(2) {
        if let [one, next] = pair
            && *next != one + 1
        {
            violations.push(Violation::Log(format!("seq {next} follows {one}")));
        }
    }
    violations
}

fn check_row(
    workspace: &str,
    operations: &[Operation],
    observed: &Observed,
    late: LateEffects,
) -> Option<Violation> {
    let last = operations
        .iter()
        .rposition(|operation| operation.outcome == Outcome::Acknowledged)?;
    let Some(row) = observed.workspaces.get(workspace) else {
        return Some(Violation::Lost(workspace.to_owned()));
    };
    let removed = operations.iter().any(|operation| {
        operation.effect == Effect::Removed && operation.outcome == Outcome::Acknowledged
    });
    if removed {
        let revived = row.status != "removed";
        return revived.then(|| Violation::Revived(workspace.to_owned(), row.status.clone()));
    }
    let possible: Vec<&Operation> = operations
        .iter()
        .enumerate()
        .filter(|(at, operation)| {
            let unknown = operation.outcome == Outcome::Unknown;
            *at == last || (unknown && (*at > last || late == LateEffects::Possible))
        })
        .map(|(_, operation)| operation)
        .collect();
    let writer = possible
        .iter()
        .find(|operation| operation.mark == row.sample_error);
    let Some(writer) = writer else {
        return Some(Violation::WrongWriter {
            workspace: workspace.to_owned(),
            found: row.sample_error.clone(),
            possible: possible.iter().map(|o| o.mark.clone()).collect(),
        });
    };
    (row.status != status_of(writer.effect)).then(|| Violation::WrongStatus {
        workspace: workspace.to_owned(),
        mark: writer.mark.clone(),
        status: row.status.clone(),
    })
}

fn status_of(effect: Effect) -> &'static str {
    match effect {
        Effect::Healthy => "online",
        Effect::Wedged => "degraded",
        Effect::Removed => "removed",
    }
}

/// Exactly one event for each wedged beat that surely turned online into
/// degraded, none for one that surely changed nothing, at most one otherwise.
fn check_degradations(
    workspace: &str,
    operations: &[Operation],
    events: &[&EventRow],
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut before: Option<&Operation> = None;
    for operation in operations.iter().filter(|o| o.outcome != Outcome::Refused) {
        if operation.effect == Effect::Wedged {
            let count = events
                .iter()
                .filter(|event| event.event_type == "WORKSPACE_DEGRADED")
                .filter(|event| event.payload["sample_error"] == operation.mark.as_str())
                .count();
            if !degradations_allowed(before, operation).contains(&count) {
                violations.push(Violation::EventCount {
                    workspace: workspace.to_owned(),
                    mark: operation.mark.clone(),
                    count,
                });
            }
        }
        before = Some(operation);
    }
    violations
}

fn degradations_allowed(before: Option<&Operation>, operation: &Operation) -> &'static [usize] {
    let certain = operation.outcome == Outcome::Acknowledged;
    match before {
        Some(before) if before.outcome == Outcome::Unknown => &[0, 1],
        Some(before) if before.effect == Effect::Wedged => &[0],
        _ if certain => &[1],
        _ => &[0, 1],
    }
}

/// Between two degradations lies a recovery, and the other way round.
fn check_alternation(workspace: &str, events: &[&EventRow]) -> Vec<Violation> {
    let changes: Vec<&&EventRow> = events
        .iter()
        .filter(|event| event.event_type == "WORKSPACE_DEGRADED" || is_recovery(event))
        .collect();
    changes
        .windows(2)
        .filter_map(|pair| match pair {
            [one, next] if one.event_type == next.event_type => Some(Violation::Repeated {
                workspace: workspace.to_owned(),
                event_type: next.event_type.clone(),
                seq: next.seq,
            }),
            _ => None,
        })
        .collect()
}

/// A register also says ONLINE, with the card; a beat's recovery says nothing more.
fn is_recovery(event: &EventRow) -> bool {
    event.event_type == "WORKSPACE_ONLINE" && event.payload.get("agent_card").is_none()
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
