//! The names of states and roles in both versions.

use serde_json::Value;

/// 0.3, 1.0; the place is the number in the `.proto` file.
const STATES: [(&str, &str); 9] = [
    ("unknown", "TASK_STATE_UNSPECIFIED"),
    ("submitted", "TASK_STATE_SUBMITTED"),
    ("working", "TASK_STATE_WORKING"),
    ("completed", "TASK_STATE_COMPLETED"),
    ("failed", "TASK_STATE_FAILED"),
    ("canceled", "TASK_STATE_CANCELED"),
    ("input-required", "TASK_STATE_INPUT_REQUIRED"),
    ("rejected", "TASK_STATE_REJECTED"),
    ("auth-required", "TASK_STATE_AUTH_REQUIRED"),
];

/// 0.3, 1.0. 0.3 has no word for the number 0.
const ROLES: [(&str, &str); 2] = [("user", "ROLE_USER"), ("agent", "ROLE_AGENT")];

/// The states of 0.3 after which nothing follows.
const TERMINAL: [&str; 4] = ["completed", "failed", "canceled", "rejected"];

/// Whether a task in this state of 0.3 has ended.
pub(super) fn is_terminal(state: &Value) -> bool {
    TERMINAL.iter().any(|terminal| state == terminal)
}

/// 1.0's name of a state of 0.3. What is none stays for the receiver to refuse.
pub(super) fn state_up(state: &mut Value) {
    if state == "cancelled" {
        *state = Value::from("canceled");
    }
    up(state, &STATES);
}

/// 0.3's name of a state of 1.0, which may be a number too.
pub(super) fn state_down(state: &mut Value) {
    down(state, &STATES, 0);
}

/// 1.0's name of a role of 0.3.
pub(super) fn role_up(role: &mut Value) {
    up(role, &ROLES);
}

/// 0.3's name of a role of 1.0, which may be a number too.
pub(super) fn role_down(role: &mut Value) {
    down(role, &ROLES, 1);
}

fn up(name: &mut Value, table: &[(&str, &str)]) {
    let row = table.iter().find(|(old, _)| name == old);
    if let Some((_, new)) = row {
        *name = Value::from(*new);
    }
}

fn down(name: &mut Value, table: &[(&str, &str)], first: u64) {
    let numbered = |number: u64| {
        let place = usize::try_from(number.checked_sub(first)?).ok()?;
        table.get(place)
    };
    let row = match name.as_u64() {
        Some(number) => numbered(number),
        None => table.iter().find(|(_, new)| name == new),
    };
    if let Some((old, _)) = row {
        *name = Value::from(*old);
    }
}
