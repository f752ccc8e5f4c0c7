//! The gRPC server of a process: limits, health, reflection, graceful end; and
//! the one place where an error becomes a gRPC status and back.

mod deadline;
mod server;
mod status;
mod trace;

pub use deadline::Patience;
pub use server::{ANSWER_LIMIT, GrpcError, GrpcLimits, GrpcServer, MESSAGE_LIMIT, PAGE_LIMIT};
pub use status::{from_status, to_status};
pub use trace::{InjectTrace, InjectTraceLayer, ServerTrace, ServerTraceLayer};
