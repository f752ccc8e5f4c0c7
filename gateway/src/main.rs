//! `candor-gateway`: the HTTP edge as a process of its own.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;

use candor_gateway::beats::RemoteBeats;
use candor_gateway::{Gateway, GatewayConfig, Services, serve};
use candor_identity::{Authenticator, Keys, ListenerMode, RejectedBeats, Signer, Watermark};
use candor_peers::{
    ActivityClient, Peer, ProvisionerClient, RegistryClient, RelayClient, RemoteCredentials,
    connect, report_rejected,
};
use candor_process::admin::{Admin, AdminListener};
use candor_process::config::{AuthMode, Secret, SharedArgs, SharedConfig, ports};
use candor_process::drain::Drain;
use candor_process::program;
use candor_process::telemetry::Telemetry;
use clap::Parser;
use tokio::net::TcpListener;

/// Every legacy HTTP client, served from the registry over gRPC.
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
    /// The provisioner's gRPC address, http://host:port.
    #[arg(
        long,
        env = "CANDOR_PROVISIONER",
        value_name = "URL",
        default_value = "http://127.0.0.1:50052"
    )]
    provisioner: String,
    /// Mint test tokens on enforced listeners too.
    #[arg(long, env = "CANDOR_TEST_TOKENS", value_parser = clap::builder::FalseyValueParser::new())]
    test_tokens: bool,
    /// One line of JSON on standard output when ready.
    #[arg(long)]
    json: bool,
}

/// What this part of the platform is called.
const NAME: &str = "gateway";

fn main() -> ExitCode {
    program::run("candor-gateway", run(Args::parse()))
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let config = args.shared.clone().resolve()?;
    let signer = Arc::new(Signer::new(Keys::of(&config.security)?));
    let telemetry = Telemetry::start(&config.telemetry("candor-gateway"))?;
    let drain = Drain::new(config.drain_deadline);
    drain.on_signals()?;
    let (listeners, admin) = bind(&config).await?;

    let services = services(&args, &signer)?;
    let registry = services.registry.clone();
    let credentials = RemoteCredentials::new(registry.clone(), NAME);
    let rejected = RejectedBeats::default();
    let authenticator = Authenticator::new(
        Arc::new(credentials.clone()),
        config.security.admin_token.as_ref().map(Secret::expose),
        Watermark::default(),
    )
    .counting(rejected.clone());
    let gateway = Gateway::new(
        GatewayConfig {
            cors_origins: config.legacy.cors_origins.clone(),
            external_platform_url: config.external_platform_url.clone(),
            test_tokens: args.test_tokens,
        },
        services,
        Arc::new(RemoteBeats::start(registry.clone(), signer)),
        Arc::new(authenticator),
        telemetry.metrics(),
        drain.token(),
    );
    announce(
        &args,
        &config,
        listeners[0].0.local_addr()?,
        admin.address(),
    );
    for (listener, always_enforced) in listeners {
        let address = listener.local_addr()?;
        let mode = match config.security.exposure.mode(address) {
            AuthMode::Open if !always_enforced => ListenerMode::Open,
            _ => ListenerMode::Enforced,
        };
        let router = gateway.router(mode, address.ip());
        drain.spawn("http", serve(listener, router, drain.token()));
    }
    drain.spawn(
        "refused beats",
        report_rejected(registry, NAME, rejected, drain.token()),
    );
    let health = Admin::new(telemetry.metrics(), drain.token()).check("registry", move || {
        let credentials = credentials.clone();
        async move { credentials.is_ready().await }
    });
    drain.spawn("admin", health.serve(admin));

    let finished = drain.finished().await;
    telemetry.shutdown().await;
    finished.map_err(Into::into)
}

fn services(args: &Args, signer: &Arc<Signer>) -> Result<Services, Box<dyn Error>> {
    let registry = connect(Peer::Registry, &args.registry, Arc::clone(signer))?;
    let activity = connect(Peer::ActivityLog, &args.activity_log, Arc::clone(signer))?;
    let relay = connect(Peer::Relay, &args.relay, Arc::clone(signer))?;
    let provisioner = connect(Peer::Provisioner, &args.provisioner, Arc::clone(signer))?;
    Ok(Services {
        registry: RegistryClient::new(registry),
        activity: ActivityClient::new(activity),
        relay: RelayClient::new(relay),
        provisioner: ProvisionerClient::new(provisioner),
    })
}

type Listeners = Vec<(TcpListener, bool)>;

/// The HTTP listeners, each with whether it is always enforced, and admin's.
async fn bind(config: &SharedConfig) -> Result<(Listeners, AdminListener), Box<dyn Error>> {
    let mut listeners = Vec::new();
    let wanted = [
        ("--http", Some(config.listen.http), false),
        ("--http-enforced", config.listen.http_enforced, true),
    ];
    for (flag, address, always_enforced) in wanted {
        let Some(address) = address else { continue };
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| format!("{flag} {address}: {error}"))?;
        listeners.push((listener, always_enforced));
    }
    let admin = config.listen.admin;
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::GATEWAY_ADMIN));
    let admin = AdminListener::bind(admin.unwrap_or(default), admin.is_none()).await?;
    Ok((listeners, admin))
}

fn announce(args: &Args, config: &SharedConfig, http: SocketAddr, admin: SocketAddr) {
    if args.json {
        println!("{{\"ready\":true,\"http\":\"{http}\",\"admin\":\"{admin}\"}}");
    }
    let enforced = config.listen.http_enforced;
    tracing::info!(%http, ?enforced, %admin, registry = %args.registry, "candor-gateway is ready");
}
