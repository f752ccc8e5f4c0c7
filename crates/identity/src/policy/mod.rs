//! Who may call what: one row for every HTTP route and every RPC.
//!
//! The gateway builds its router from [`HTTP`] and the identity layer looks RPCs
//! up in [`RPCS`], so a route without a row does not exist, and an RPC without
//! one is refused.

mod http;
mod rpc;

pub use self::http::{HTTP, HttpRow, http};
pub use rpc::{RPCS, RpcRow, rpc};

/// Who may call, and how a caller without a credential is taken on an open
/// listener (contract/auth.md; design: section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who {
    /// Health and metrics: no credential is read.
    Health,
    /// Register: the workspace itself.
    Register,
    /// A beat: the workspace itself, with facts of any age.
    Beat,
    /// update-card: the workspace itself.
    UpdateCard,
    /// The workspace's own token, once it has one.
    OwnWorkspace,
    /// The legacy `WorkspaceAuth`: the workspace of the path, or a user.
    WorkspaceOrOperator,
    /// As [`Who::WorkspaceOrOperator`]; on enforced listeners users only (D22).
    MintToken,
    /// What only a workspace says: a user, or else the workspace of the path.
    WorkspaceVoice,
    /// The legacy `AdminAuth`: users.
    Operator,
    /// As [`Who::Operator`], on enforced listeners only where test tokens are on.
    TestToken,
    /// Users; a workspace is known and still refused.
    CanvasWrite,
    /// Resolve a peer.
    Discover,
    /// List peers.
    Peers,
    /// Public on an open listener, any authenticated caller elsewhere (D39).
    PublicRead,
    /// Send a message to a workspace.
    A2a,
    /// Open the event socket.
    WebSocket,
    /// Candor's own processes.
    PlatformOnly,
}

impl Who {
    /// True where the workspace that a message names is itself the principal:
    /// nothing can be said before the message is read.
    #[must_use]
    pub const fn speaks_for_subject(self) -> bool {
        matches!(
            self,
            Self::Register | Self::Beat | Self::UpdateCard | Self::OwnWorkspace
        )
    }
}

/// Which limit a call counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RateClass {
    /// Not limited: probes and scrapes.
    Free,
    /// Beats: 4 a second and burst 20, for each workspace.
    Beat,
    /// Everything else, by principal.
    Call,
    /// Minting credentials.
    Mint,
    /// Long-lived streams.
    Stream,
}
