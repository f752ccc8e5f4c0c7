//! What a caller may do, and what a text may hold.

pub(super) use candor_kernel::json::{is_json, storable as json};
pub(super) use candor_kernel::text::storable as text;
use candor_kernel::{Caller, Error, Reason, WorkspaceCaller, WorkspaceId};

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

/// The answer for an id that names no workspace.
pub(super) fn not_found() -> Error {
    Error::new(Reason::WorkspaceNotFound, "workspace not found")
}
