//! `candor-registry`: the registry as a process of its own.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use candor_identity::{Authenticator, Keys, Verifier};
use candor_process::admin::Admin;
use candor_process::config::{Secret, SharedArgs, ports};
use candor_process::drain::Drain;
use candor_process::grpc::{GrpcLimits, GrpcServer};
use candor_process::pool::PoolSettings;
use candor_process::program;
use candor_process::telemetry::Telemetry;
use candor_proto::DESCRIPTOR_SET;
use candor_registry::{EventArgs, LeaseArgs, Registry, RegistryConfig, serve};
use candor_secrets::Sealer;
use clap::Parser;
use tonic::service::Routes;

/// Workspaces, honest heartbeats, status, leases, tokens and events, over gRPC.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    shared: SharedArgs,
    #[command(flatten)]
    leases: LeaseArgs,
    #[command(flatten)]
    events: EventArgs,
    /// One line of JSON on standard output when ready.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    program::run("candor-registry", run(Args::parse()))
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let config = args.shared.resolve()?;
    let verifier = Arc::new(Verifier::new(Keys::of(&config.security)?));
    let (key, previous) = config.security.sealing_keys()?;
    let sealer = Sealer::new(key, previous)?;
    let database = config
        .database
        .clone()
        .ok_or("pass --database-url or set DATABASE_URL, and run `candor migrate up` first")?;
    let telemetry = Telemetry::start(&config.telemetry("candor-registry"))?;
    let drain = Drain::new(config.drain_deadline);
    drain.on_signals()?;

    let (listener, admin) =
        program::bind_service(&config.listen, ports::REGISTRY_GRPC, ports::REGISTRY_ADMIN).await?;
    let registry = Registry::start(
        PoolSettings::new("candor-registry").open(database),
        RegistryConfig {
            leases: args.leases.policy(),
            sealer,
            event_retention_days: args.events.event_retention_days,
        },
        Some(Arc::clone(&verifier)),
        &drain.token(),
    );
    let authenticator = Authenticator::new(
        Arc::new(registry.credentials()),
        config.security.admin_token.as_ref().map(Secret::expose),
        registry.watermark(),
    );
    let authenticator = Arc::new(authenticator.counting(registry.rejected_beats()));
    let grpc = listener.local_addr()?;
    let mode = config.security.exposure.mode(grpc).into();
    let service = serve::authenticated(&registry, authenticator, Some(verifier), mode);
    let server = GrpcServer::new(
        Routes::new(service),
        &[DESCRIPTOR_SET],
        &[serve::SERVICE],
        GrpcLimits::default(),
    )
    .await?;
    program::announce_service("candor-registry", args.json, grpc, admin.address());
    drain.spawn("grpc", server.serve(listener, drain.token()));
    let health =
        Admin::new(telemetry.metrics(), drain.token()).check("postgres", registry.readiness());
    drain.spawn("admin", health.serve(admin));

    let finished = drain.finished().await;
    registry.drained().await;
    telemetry.shutdown().await;
    finished.map_err(Into::into)
}
