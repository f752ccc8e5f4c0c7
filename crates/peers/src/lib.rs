//! How Candor's processes call each other: always by the gRPC contract, always
//! with a caller and a deadline, in one process or across several.

mod channel;
mod client;
mod credentials;
mod rejected;
pub mod time;

pub use channel::{GrpcChannel, Peer, RemoteError, connect, local};
pub use client::{
    ActivityClient, DEADLINE, ProvisionerClient, RegistryClient, RelayClient, no_answer,
};
pub use credentials::RemoteCredentials;
pub use rejected::report_rejected;
