//! `candor-provisioner`: what runs instances, as a process of its own.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use candor_identity::{Authenticator, Keys, Signer, Verifier, Watermark};
use candor_peers::{ActivityClient, Peer, RegistryClient, RelayClient, RemoteCredentials, connect};
use candor_process::admin::Admin;
use candor_process::config::{ConfigError, Secret, SharedArgs, ports};
use candor_process::drain::Drain;
use candor_process::grpc::{GrpcLimits, GrpcServer};
use candor_process::program;
use candor_process::telemetry::Telemetry;
use candor_proto::DESCRIPTOR_SET;
use candor_provisioner::{Backends, Place, Provisioner, ProvisionerArgs, Services, serve};
use candor_secrets::Sealer;
use clap::Parser;
use tonic::service::Routes;

/// What this part of the platform is called.
const NAME: &str = "provisioner";
/// Longest wait for the registry before this says that it is ready all the same.
const ANNOUNCED: Duration = Duration::from_secs(5);

/// Instances of workspaces: processes, containers and pods, over gRPC.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    shared: SharedArgs,
    #[command(flatten)]
    provisioner: ProvisionerArgs,
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
    /// The relay's gRPC address, http://host:port.
    #[arg(
        long,
        env = "CANDOR_RELAY",
        value_name = "URL",
        default_value = "http://127.0.0.1:50054"
    )]
    relay: String,
    /// One line of JSON on standard output when ready.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    program::run("candor-provisioner", run(Args::parse()))
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let (config, instances) =
        ConfigError::both(args.shared.clone().resolve(), args.provisioner.resolve())?;
    let signer = Arc::new(Signer::new(Keys::of(&config.security)?));
    let verifier = Arc::new(Verifier::new(Keys::of(&config.security)?));
    let (key, previous) = config.security.sealing_keys()?;
    let sealer = Sealer::new(key, previous)?;
    let database = config
        .database
        .clone()
        .ok_or("pass --database-url or set DATABASE_URL, and run `candor migrate up` first")?;
    let telemetry = Telemetry::start(&config.telemetry("candor-provisioner"))?;
    let drain = Drain::new(config.drain_deadline);
    drain.on_signals()?;
    let (grpc_port, admin_port) = (ports::PROVISIONER_GRPC, ports::PROVISIONER_ADMIN);
    let (listener, admin) = program::bind_service(&config.listen, grpc_port, admin_port).await?;
    let grpc = listener.local_addr()?;

    let services = services(&args, &signer)?;
    let authenticator = Authenticator::new(
        Arc::new(RemoteCredentials::new(services.registry.clone(), NAME)),
        config.security.admin_token.as_ref().map(Secret::expose),
        Watermark::default(),
    );
    let pool = Provisioner::pool_settings("candor-provisioner").open(database);
    let backends = Backends::open(&pool, instances.backends, &Place::of(&config)).await?;
    let (config_of_it, stop) = (instances.config, drain.token());
    let provisioner = Provisioner::start(pool, services, backends, sealer, config_of_it, &stop);
    let mode = config.security.exposure.mode(grpc).into();
    let authenticator = Arc::new(authenticator);
    let service = serve::authenticated(&provisioner, authenticator, Some(verifier), mode);
    let limits = GrpcLimits {
        patient: vec![serve::PATIENCE],
        ..GrpcLimits::default()
    };
    let described = [DESCRIPTOR_SET];
    let server =
        GrpcServer::new(Routes::new(service), &described, &[serve::SERVICE], limits).await?;
    if !provisioner.announced(ANNOUNCED).await {
        tracing::warn!(within = ?ANNOUNCED, "the registry does not know yet what runs here");
    }
    program::announce_service("candor-provisioner", args.json, grpc, admin.address());
    drain.spawn("grpc", server.serve(listener, drain.token()));
    let health =
        Admin::new(telemetry.metrics(), drain.token()).check("postgres", provisioner.readiness());
    drain.spawn("admin", health.serve(admin));

    let finished = drain.finished().await;
    provisioner.drained().await;
    telemetry.shutdown().await;
    finished.map_err(Into::into)
}

fn services(args: &Args, signer: &Arc<Signer>) -> Result<Services, Box<dyn Error>> {
    let registry = connect(Peer::Registry, &args.registry, Arc::clone(signer))?;
    let activity = connect(Peer::ActivityLog, &args.activity_log, Arc::clone(signer))?;
    let relay = connect(Peer::Relay, &args.relay, Arc::clone(signer))?;
    Ok(Services {
        registry: RegistryClient::new(registry),
        activity: ActivityClient::new(activity),
        relay: RelayClient::new(relay),
    })
}
