//! How a Candor process runs: typed configuration, telemetry, the admin, the
//! gRPC and the HTTP server, drain, the Postgres pool, migrations, and the private Postgres.
//!
//! Every binary is the same few steps: parse [`config`], start [`telemetry`],
//! open the [`pool`] (after [`postgres`] and [`migrate`] where asked), serve
//! [`grpc`], [`http`] and [`admin`], and leave through [`drain`].

pub mod admin;
pub mod config;
pub mod data_dir;
pub mod dedicated;
pub mod drain;
pub mod grpc;
pub mod http;
pub mod migrate;
pub mod pool;
pub mod postgres;
pub mod program;
pub mod scales;
pub mod telemetry;
