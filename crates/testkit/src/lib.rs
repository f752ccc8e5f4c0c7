//! Fakes as code, and judges of what the real binaries do.
//!
//! Nothing here is mocked: [`process`] starts the real programs, [`postgres`] a
//! real server, [`http`] and [`grpc_reflect`] speak over real sockets. The
//! judges are [`replay`] (what the original platform answered), [`legacy`]
//! (what a real legacy agent sent) and [`history`] (what was acknowledged must
//! be there after a crash).
//!
//! Every wait is bounded and level triggered: it asks for a condition until a
//! deadline, and never sleeps for a guessed time.

pub mod a2a_agent;
pub mod a2a_workspace;
pub mod agent;
pub mod chat;
pub mod claude_stand_in;
pub mod clock;
pub mod fake_platform;
pub mod grpc_reflect;
pub mod history;
pub mod http;
pub mod kube_api;
pub mod legacy;
pub mod load;
pub mod otlp;
pub mod peer;
pub mod platform;
pub mod postgres;
pub mod process;
pub mod replay;
pub mod runtime;
pub mod wait;
