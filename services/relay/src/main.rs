//! `candor-relay`: the relay as a process of its own.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use candor_identity::{Authenticator, Keys, Signer, Verifier, Watermark};
use candor_peers::{ActivityClient, Peer, RegistryClient, RemoteCredentials, connect};
use candor_process::admin::Admin;
use candor_process::config::{Secret, SharedArgs, ports};
use candor_process::drain::Drain;
use candor_process::grpc::{GrpcLimits, GrpcServer};
use candor_process::program;
use candor_process::telemetry::Telemetry;
use candor_proto::{DESCRIPTOR_SET, a2a};
use candor_relay::{Relay, RelayArgs, Services, serve};
use clap::Parser;
use tonic::service::Routes;

/// What this part of the platform is called.
const NAME: &str = "relay";

/// Messages between people, workspaces and systems, over gRPC.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    shared: SharedArgs,
    #[command(flatten)]
    relay: RelayArgs,
    /// The registry's gRPC address, http://host:port.
    #[arg(
        long,
        env = "CANDOR_REGISTRY",
        value_name = "URL",
        default_value = "http://127.0.0.1:50051"
    )]
    registry: String,
    /// The activity log's gRPC address, http://host:port.
    #[arg(
        long,
        env = "CANDOR_ACTIVITY_LOG",
        value_name = "URL",
        default_value = "http://127.0.0.1:50053"
    )]
    activity_log: String,
    /// One line of JSON on standard output when ready.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    program::run("candor-relay", run(Args::parse()))
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let config = args.shared.clone().resolve()?;
    let signer = Arc::new(Signer::new(Keys::of(&config.security)?));
    let verifier = Arc::new(Verifier::new(Keys::of(&config.security)?));
    let database = config
        .database
        .clone()
        .ok_or("pass --database-url or set DATABASE_URL, and run `candor migrate up` first")?;
    let telemetry = Telemetry::start(&config.telemetry("candor-relay"))?;
    let drain = Drain::new(config.drain_deadline);
    drain.on_signals()?;
    let (listener, admin) =
        program::bind_service(&config.listen, ports::RELAY_GRPC, ports::RELAY_ADMIN).await?;
    let grpc = listener.local_addr()?;

    let services = services(&args, &signer)?;
    let authenticator = Authenticator::new(
        Arc::new(RemoteCredentials::new(services.registry.clone(), NAME)),
        config.security.admin_token.as_ref().map(Secret::expose),
        Watermark::default(),
    );
    let relay = Relay::start(
        Relay::pool_settings("candor-relay").open(database),
        services,
        args.relay.config(&config, grpc),
        &drain.token(),
    )?;
    let mode = config.security.exposure.mode(grpc).into();
    let authenticator = Arc::new(authenticator);
    let verify = || Some(Arc::clone(&verifier));
    let service = serve::authenticated(&relay, Arc::clone(&authenticator), verify(), mode);
    let a2a_service = serve::authenticated_a2a(&relay, authenticator, verify(), mode);
    let server = GrpcServer::new(
        Routes::new(service).add_service(a2a_service),
        &[DESCRIPTOR_SET, a2a::DESCRIPTOR_SET],
        &[serve::SERVICE, serve::A2A_SERVICE],
        GrpcLimits {
            concurrent_streams: 4096,
            patient: vec![serve::A2A_PATIENCE],
            ..GrpcLimits::default()
        },
    )
    .await?;
    program::announce_service("candor-relay", args.json, grpc, admin.address());
    drain.spawn("grpc", server.serve(listener, drain.token()));
    let health =
        Admin::new(telemetry.metrics(), drain.token()).check("postgres", relay.readiness());
    drain.spawn("admin", health.serve(admin));

    let finished = drain.finished().await;
    relay.drained().await;
    telemetry.shutdown().await;
    finished.map_err(Into::into)
}

fn services(args: &Args, signer: &Arc<Signer>) -> Result<Services, Box<dyn Error>> {
    let registry = connect(Peer::Registry, &args.registry, Arc::clone(signer))?;
    let activity = connect(Peer::ActivityLog, &args.activity_log, Arc::clone(signer))?;
    Ok(Services {
        registry: RegistryClient::new(registry),
        activity: ActivityClient::new(activity),
    })
}
