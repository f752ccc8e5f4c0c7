//! Who may talk to whom: the hierarchy rule of check-access, discover and
//! calls between workspaces (contract/registry.md, "check-access").

use crate::id::WorkspaceId;

/// A workspace that exists, and what is above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lineage<'a> {
    /// The workspace.
    pub id: WorkspaceId,
    /// Its parent, the parent's parent and so on; empty for a root. The reader
    /// bounds the depth and cuts cycles.
    pub ancestors: &'a [WorkspaceId],
}

impl<'a> Lineage<'a> {
    /// A workspace with what is above it, itself first; none for an id that names
    /// no row.
    #[must_use]
    pub fn of(line: &'a [WorkspaceId]) -> Option<Self> {
        let (id, ancestors) = line.split_first()?;
        Some(Self { id: *id, ancestors })
    }

    /// The workspace directly above.
    #[must_use]
    pub fn parent(&self) -> Option<WorkspaceId> {
        self.ancestors.first().copied()
    }
}

/// True if the caller may discover and call the target: itself, a sibling (all
/// roots are siblings), an ancestor or a descendant at any distance. The
/// status plays no part.
///
/// For ids that name no row there is no lineage: only equal ids are allowed.
#[must_use]
pub fn may_talk(caller: &Lineage<'_>, target: &Lineage<'_>) -> bool {
    caller.id == target.id
        || caller.parent() == target.parent()
        || caller.ancestors.contains(&target.id)
        || target.ancestors.contains(&caller.id)
}
