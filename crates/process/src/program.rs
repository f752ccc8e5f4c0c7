//! A program, from its start to its exit code.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::admin::AdminListener;
use crate::config::Listen;

/// How long work that does not listen may hold up the exit.
const LAST_WORK: Duration = Duration::from_secs(1);

/// Runs `program` on a runtime of its own to its end, and tells `name`'s user
/// what went wrong.
pub fn run(name: &str, program: impl Future<Output = Result<(), Box<dyn Error>>>) -> ExitCode {
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| {
            let outcome = runtime.block_on(program);
            runtime.shutdown_timeout(LAST_WORK);
            outcome
        });
    exit_code(name, outcome)
}

/// The exit code of `outcome`; an error is told with all its causes.
pub fn exit_code(name: &str, outcome: Result<(), Box<dyn Error>>) -> ExitCode {
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    eprintln!("{name}: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        eprintln!("  because: {cause}");
        source = cause.source();
    }
    ExitCode::FAILURE
}

/// Binds what a service listens on: where it was told to, else on ports of
/// loopback; the admin server's default port moves when it is busy.
///
/// # Errors
/// An address that cannot be had, with the flag that names it.
pub async fn bind_service(
    listen: &Listen,
    grpc_port: u16,
    admin_port: u16,
) -> Result<(TcpListener, AdminListener), Box<dyn Error>> {
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let address = listen.grpc.unwrap_or_else(|| local(grpc_port));
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| format!("--grpc {address}: {error}"))?;
    let admin = listen.admin.unwrap_or_else(|| local(admin_port));
    let admin = AdminListener::bind(admin, listen.admin.is_none()).await?;
    Ok((listener, admin))
}

/// Says that a service is ready, to a program that asked for `json` too.
pub fn announce_service(name: &str, json: bool, grpc: SocketAddr, admin: SocketAddr) {
    if json {
        println!("{{\"ready\":true,\"grpc\":\"{grpc}\",\"admin\":\"{admin}\"}}");
    }
    tracing::info!(%grpc, %admin, "{name} is ready");
}
