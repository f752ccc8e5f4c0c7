//! Files of workspaces (contract/neighbours.md, "Files API"): what an instance has, where
//! its backend can look into it, else what people wrote and what it was made from.
//!
//! What is written is always kept by the platform too ([`crate::store::files`]), so that
//! the next instance is given it. The token is neither shown, read nor written.

mod paths;
mod room;
mod view;

pub(crate) use paths::{Path, root};
pub(crate) use view::View;

/// Files in one request.
pub(crate) const MOST_FILES: usize = 200;
/// Bytes of the files of one request, and of what is shared with those below.
pub(crate) const MOST_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of the files that are kept of one workspace.
pub(crate) const MOST_KEPT_BYTES: i64 = 32 * 1024 * 1024;
/// Files that are kept of one workspace.
pub(crate) const MOST_KEPT: usize = 2000;
