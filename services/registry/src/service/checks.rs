//! What a caller may do, and what a text may hold.

use candor_kernel::{Caller, Error, Reason, WorkspaceCaller, WorkspaceId};
use serde_json::value::RawValue;

use super::Call;

/// The answer for a known caller that may not do this.
pub(super) fn not_allowed() -> Error {
    Error::new(Reason::NotAllowed, "this caller may not do that")
}

/// People and the platform itself.
pub(super) fn operator(call: &Call) -> Result<(), Error> {
    if call.caller.is_operator() {
        Ok(())
    } else {
        Err(not_allowed())
    }
}

/// The platform itself only.
pub(super) fn platform(call: &Call) -> Result<(), Error> {
    match call.caller {
        Caller::System { .. } => Ok(()),
        _ => Err(not_allowed()),
    }
}

/// The workspace itself, a person, or the platform.
pub(super) fn self_or_operator(call: &Call, id: WorkspaceId) -> Result<(), Error> {
    match &call.caller {
        Caller::Workspace(caller) if caller.id == id && !caller.stale => Ok(()),
        _ => operator(call),
    }
}

/// The workspace itself, nobody else: beats, registers and cards are an agent's
/// own words.
pub(super) fn only_self(caller: &Caller, id: WorkspaceId) -> Result<&WorkspaceCaller, Error> {
    match caller.workspace() {
        Some(caller) if caller.id == id => Ok(caller),
        _ => Err(Error::new(
            Reason::InvalidCredential,
            "invalid workspace auth token",
        )),
    }
}

/// Refuses texts that Postgres cannot hold.
pub(super) fn text(field: &'static str, text: &str) -> Result<(), Error> {
    if text.contains('\0') {
        return Err(Error::field(
            field,
            format!("{field} must not contain NUL characters"),
        ));
    }
    Ok(())
}

/// Refuses what is no JSON, or JSON that Postgres' `jsonb` cannot hold.
pub(super) fn json(field: &'static str, text: &str) -> Result<(), Error> {
    let raw: &RawValue = serde_json::from_str(text)
        .map_err(|_| Error::field(field, format!("{field} is not JSON")))?;
    // The escape may itself be escaped; then a full look is worth its price.
    if raw.get().contains("\\u0000") {
        let value: serde_json::Value = serde_json::from_str(text)
            .map_err(|_| Error::field(field, format!("{field} is not JSON")))?;
        if holds_nul(&value) {
            return Err(Error::field(
                field,
                format!("{field} must not contain NUL characters"),
            ));
        }
    }
    Ok(())
}

fn holds_nul(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::String(text) => text.contains('\0'),
        serde_json::Value::Array(items) => items.iter().any(holds_nul),
        serde_json::Value::Object(members) => members
            .iter()
            .any(|(name, value)| name.contains('\0') || holds_nul(value)),
        _ => false,
    }
}

/// The answer for an id that names no workspace.
pub(super) fn not_found() -> Error {
    Error::new(Reason::WorkspaceNotFound, "workspace not found")
}

#[cfg(test)]
mod tests {
    use super::json;

    #[test]
    fn nul_is_found_in_every_place_and_nowhere_else() {
        for bad in [
            r#"{"a":"\u0000"}"#,
            r#"["x\u0000"]"#,
            r#"{"\u0000":1}"#,
            "{",
            "",
        ] {
            assert!(json("f", bad).is_err(), "{bad}");
        }
        for good in ["null", r#"{"a":"\\u0000"}"#, "[1.0]"] {
            assert!(json("f", good).is_ok(), "{good}");
        }
    }
}
