//! The wire of Candor: messages, clients, server traits and the descriptor set
//! that reflection serves. Generated from the `.proto` files beside this crate.

/// The Agent2Agent protocol, in the words of its own project.
pub mod a2a {
    /// `lf.a2a.v1`: A2A 1.0 over gRPC.
    #[allow(clippy::all, missing_docs, deprecated)]
    pub mod v1 {
        tonic::include_proto!("lf.a2a.v1");
    }

    /// The encoded `FileDescriptorSet` of `lf.a2a.v1`, for gRPC reflection and
    /// for the mapping to ProtoJSON.
    pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/a2a.bin"));
}

/// Who said what to whom.
pub mod activity {
    /// `candor.activity.v1`.
    #[allow(clippy::all, missing_docs)]
    pub mod v1 {
        tonic::include_proto!("candor.activity.v1");
    }
}

/// Instances, and what they are made of.
pub mod provisioner {
    /// `candor.provisioner.v1`.
    #[allow(clippy::all, missing_docs)]
    pub mod v1 {
        tonic::include_proto!("candor.provisioner.v1");
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

/// Messages between people, workspaces and systems.
pub mod relay {
    /// `candor.relay.v1`.
    #[allow(clippy::all, missing_docs)]
    pub mod v1 {
        tonic::include_proto!("candor.relay.v1");
    }
}

/// The encoded `FileDescriptorSet` of every service of Candor, for gRPC reflection.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/candor.bin"));
