//! The wire of Candor: messages, clients, server traits and the descriptor set
//! that reflection serves. Generated from the `.proto` files beside this crate.

/// Who said what to whom.
pub mod activity {
    /// `candor.activity.v1`.
    #[allow(clippy::all, missing_docs)]
    pub mod v1 {
        tonic::include_proto!("candor.activity.v1");
    }
}

/// Workspaces, beats, status, tokens, events.
pub mod registry {
    /// `candor.registry.v1`.
    #[allow(clippy::all, missing_docs)]
    pub mod v1 {
        tonic::include_proto!("candor.registry.v1");
    }
}

/// The encoded `FileDescriptorSet` of every service, for gRPC reflection.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/candor.bin"));
