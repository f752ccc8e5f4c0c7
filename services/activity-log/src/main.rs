//! `candor-activity-log`: the activity log as a process of its own.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;

use candor_activity_log::{ActivityLog, serve};
use candor_identity::{Authenticator, Keys, Signer, Verifier, Watermark};
use candor_peers::{Peer, RegistryClient, RemoteCredentials, connect};
use candor_process::admin::{Admin, AdminListener};
use candor_process::config::{Secret, SharedArgs, SharedConfig, ports};
use candor_process::drain::Drain;
use candor_process::grpc::{GrpcLimits, GrpcServer};
use candor_process::pool::PoolSettings;
use candor_process::program;
use candor_process::telemetry::Telemetry;
use candor_proto::DESCRIPTOR_SET;
use clap::Parser;
use tokio::net::TcpListener;
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
    let (listener, admin) = bind(&config).await?;

    let registry = RegistryClient::new(connect(Peer::Registry, &args.registry, signer)?);
    let authenticator = Authenticator::new(
        Arc::new(RemoteCredentials::new(registry.clone(), NAME)),
        config.security.admin_token.as_ref().map(Secret::expose),
        Watermark::default(),
    );
    let activity_log = ActivityLog::start(
        PoolSettings::new("candor-activity-log")
            .planned_by_value()
            .open(database),
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
    announce(args.json, grpc, admin.address());
    drain.spawn("grpc", server.serve(listener, drain.token()));
    let health =
        Admin::new(telemetry.metrics(), drain.token()).check("postgres", activity_log.readiness());
    drain.spawn("admin", health.serve(admin));

    let finished = drain.finished().await;
    activity_log.drained().await;
    telemetry.shutdown().await;
    finished.map_err(Into::into)
}

async fn bind(config: &SharedConfig) -> Result<(TcpListener, AdminListener), Box<dyn Error>> {
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let address = config
        .listen
        .grpc
        .unwrap_or_else(|| local(ports::ACTIVITY_LOG_GRPC));
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| format!("--grpc {address}: {error}"))?;
    let admin = config.listen.admin;
    let admin = AdminListener::bind(
        admin.unwrap_or_else(|| local(ports::ACTIVITY_LOG_ADMIN)),
        admin.is_none(),
    )
    .await?;
    Ok((listener, admin))
}

fn announce(json: bool, grpc: SocketAddr, admin: SocketAddr) {
    if json {
        println!("{{\"ready\":true,\"grpc\":\"{grpc}\",\"admin\":\"{admin}\"}}");
    }
    tracing::info!(%grpc, %admin, "candor-activity-log is ready");
}
