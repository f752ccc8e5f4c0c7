//! The checker must find what it is there to find.

use serde_json::json;

use super::*;
use crate::history::WorkspaceRow;

const W: &str = "w";

fn op(mark: &str, effect: Effect, outcome: Outcome) -> Operation {
    Operation {
        mark: mark.into(),
        effect,
        outcome,
    }
}

fn history(operations: &[Operation]) -> History {
    let mut history = History::default();
    for operation in operations {
        history.push(W, operation.clone());
    }
    history
}

fn row(status: &str, mark: &str) -> Observed {
    let row = WorkspaceRow {
        status: status.into(),
        sample_error: mark.into(),
    };
    Observed {
        workspaces: BTreeMap::from([(W.to_owned(), row)]),
        events: Vec::new(),
    }
}

fn event(observed: &mut Observed, event_type: &str, mark: &str) {
    let seq = i64::try_from(observed.events.len()).ok();
    let payload = match event_type {
        "WORKSPACE_DEGRADED" => json!({"sample_error": mark}),
        _ => json!({}),
    };
    observed.events.push(EventRow {
        id: format!("{event_type}{mark}{seq:?}"),
        seq,
        workspace: W.into(),
        event_type: event_type.into(),
        payload,
    });
}

fn wedged_once() -> (History, Observed) {
    let history = history(&[
        op("1", Effect::Healthy, Outcome::Acknowledged),
        op("2", Effect::Wedged, Outcome::Acknowledged),
    ]);
    let mut observed = row("degraded", "2");
    event(&mut observed, "WORKSPACE_DEGRADED", "2");
    (history, observed)
}

#[test]
fn a_kept_promise_is_no_violation() {
    let (history, observed) = wedged_once();
    assert_eq!(check(&history, &observed, LateEffects::Impossible), []);
}

#[test]
fn finds_a_lost_row_and_a_lost_update() {
    let (history, observed) = wedged_once();
    let nothing = Observed::default();
    let found = check(&history, &nothing, LateEffects::Impossible);
    assert!(found.contains(&Violation::Lost(W.into())));
    let mut older = row("online", "1");
    older.events = observed.events;
    let found = check(&history, &older, LateEffects::Impossible);
    assert!(matches!(found[..], [Violation::WrongWriter { .. }]));
}

#[test]
fn finds_green_for_a_wedged_agent() {
    let (history, mut observed) = wedged_once();
    observed.workspaces = row("online", "2").workspaces;
    let found = check(&history, &observed, LateEffects::Impossible);
    assert!(matches!(found[..], [Violation::WrongStatus { .. }]));
}

#[test]
fn finds_missing_and_doubled_events() {
    let (history, mut observed) = wedged_once();
    event(&mut observed, "WORKSPACE_DEGRADED", "2");
    let found = check(&history, &observed, LateEffects::Impossible);
    assert!(matches!(
        found[..],
        [
            Violation::EventCount { count: 2, .. },
            Violation::Repeated { .. }
        ]
    ));
    observed.events.clear();
    let found = check(&history, &observed, LateEffects::Impossible);
    assert!(matches!(
        found[..],
        [Violation::EventCount { count: 0, .. }]
    ));
}

#[test]
fn finds_a_revived_workspace() {
    let removed = history(&[op("1", Effect::Removed, Outcome::Acknowledged)]);
    let found = check(&removed, &row("online", ""), LateEffects::Impossible);
    assert_eq!(found, [Violation::Revived(W.into(), "online".into())]);
}

#[test]
fn finds_holes_and_doubles_in_the_log() {
    let (history, mut observed) = wedged_once();
    event(&mut observed, "WORKSPACE_ONLINE", "");
    observed.events[1].seq = Some(9);
    observed.events[1].id = observed.events[0].id.clone();
    let found = check(&history, &observed, LateEffects::Impossible);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|v| matches!(v, Violation::Log(_))));
}

#[test]
fn an_unanswered_operation_may_have_happened() {
    let history = history(&[
        op("1", Effect::Healthy, Outcome::Acknowledged),
        op("2", Effect::Wedged, Outcome::Unknown),
    ]);
    let mut happened = row("degraded", "2");
    event(&mut happened, "WORKSPACE_DEGRADED", "2");
    assert_eq!(check(&history, &happened, LateEffects::Impossible), []);
    let not = row("online", "1");
    assert_eq!(check(&history, &not, LateEffects::Impossible), []);
}

#[test]
fn after_a_death_an_older_operation_cannot_come_late() {
    let history = history(&[
        op("1", Effect::Wedged, Outcome::Unknown),
        op("2", Effect::Wedged, Outcome::Acknowledged),
    ]);
    let mut observed = row("degraded", "1");
    event(&mut observed, "WORKSPACE_DEGRADED", "1");
    let found = check(&history, &observed, LateEffects::Impossible);
    assert!(matches!(found[..], [Violation::WrongWriter { .. }]));
    assert_eq!(check(&history, &observed, LateEffects::Possible), []);
}
