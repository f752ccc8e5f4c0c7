//! `candor-activity-log`: the activity log as a process of its own.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use candor_activity_log::{ActivityLog, serve};
use candor_identity::{Authenticator, Keys, Signer, Verifier, Watermark};
use candor_peers::{Peer, RegistryClient, RemoteCredentials, connect};
use candor_process::admin::Admin;
use candor_process::config::{Secret, SharedArgs, ports};
use candor_process::drain::Drain;
use candor_process::grpc::{GrpcLimits, GrpcServer};
use candor_process::program;
use candor_process::telemetry::Telemetry;
use candor_proto::DESCRIPTOR_SET;
use clap::Parser;
use tonic::service::Routes;

/// What this part of the platform is called.
const NAME: &str = "activity-log";

/// Who said what to whom, over gRPC.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    shared: SharedArgs,
    /// The registry's gRPC address, http://host:port.
    #[arg(
        long,
        env = "CANDOR_REGISTRY",
        value_name = "URL",
        default_value = "http://127.0.0.1:50051"
    )]
    registry: String,
    /// One line of JSON on standard output when ready.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    program::run("candor-activity-log", run(Args::parse()))
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let config = args.shared.resolve()?;
    let signer = Arc::new(Signer::new(Keys::of(&config.security)?));
    let verifier = Arc::new(Verifier::new(Keys::of(&config.security)?));
    let database = config
        .database
        .clone()
        .ok_or("pass --database-url or set DATABASE_URL, and run `candor migrate up` first")?;
    let telemetry = Telemetry::start(&config.telemetry("candor-activity-log"))?;
    let drain = Drain::new(config.drain_deadline);
    drain.on_signals()?;
    let (listener, admin) = program::bind_service(
        &config.listen,
        ports::ACTIVITY_LOG_GRPC,
        ports::ACTIVITY_LOG_ADMIN,
    )
    .await?;

    let registry = RegistryClient::new(connect(Peer::Registry, &args.registry, signer)?);
    let authenticator = Authenticator::new(
        Arc::new(RemoteCredentials::new(registry.clone(), NAME)),
        config.security.admin_token.as_ref().map(Secret::expose),
        Watermark::default(),
    );
    let activity_log = ActivityLog::start(
        ActivityLog::pool_settings("candor-activity-log").open(database),
        registry,
        config.legacy.activity_retention_days,
        &drain.token(),
    );
    let grpc = listener.local_addr()?;
    let mode = config.security.exposure.mode(grpc).into();
    let service =
        serve::authenticated(&activity_log, Arc::new(authenticator), Some(verifier), mode);
    let server = GrpcServer::new(
        Routes::new(service),
        &[DESCRIPTOR_SET],
        &[serve::SERVICE],
        GrpcLimits::default(),
    )
    .await?;
    program::announce_service("candor-activity-log", args.json, grpc, admin.address());
    drain.spawn("grpc", server.serve(listener, drain.token()));
    let health =
        Admin::new(telemetry.metrics(), drain.token()).check("postgres", activity_log.readiness());
    drain.spawn("admin", health.serve(admin));

    let finished = drain.finished().await;
    activity_log.drained().await;
    telemetry.shutdown().await;
    finished.map_err(Into::into)
}
