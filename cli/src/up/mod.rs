//! `candor up`: everything in one process.

mod beats;
mod config;
mod database;
mod listeners;
mod progress;
mod whereabouts;

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use candor_activity_log::ActivityLog;
use candor_gateway::{Gateway, GatewayConfig, Services};
use candor_identity::{Authenticator, ListenerMode};
use candor_peers::{ActivityClient, ProvisionerClient, RegistryClient, RelayClient, local};
use candor_process::admin::Admin;
use candor_process::config::{ConfigError, Secret, SharedConfig};
use candor_process::drain::Drain;
use candor_process::grpc::{GrpcLimits, GrpcServer};
use candor_process::telemetry::{Metrics, Telemetry};
use candor_proto::{DESCRIPTOR_SET, a2a};
use candor_provisioner::{Backends, Place, Provisioner, ProvisionerConfig, ProvisionerSettings};
use candor_registry::{Registry, RegistryConfig};
use candor_relay::{Relay, RelayConfig};
use candor_secrets::Sealer;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use beats::LocalBeats;
pub use config::UpArgs;
use database::Database;
use listeners::Listeners;
use progress::{Progress, Summary};
pub use whereabouts::Whereabouts;

/// Longest wait until the registry knows what runs instances here.
const ANNOUNCED: Duration = Duration::from_secs(5);

/// Runs until told to stop.
pub fn main(args: UpArgs) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(run(args));
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

async fn run(args: UpArgs) -> Result<(), Box<dyn Error>> {
    let http_is_default = args.shared.http.is_none() && std::env::var_os("PORT").is_none();
    let (config, instances) =
        ConfigError::both(args.shared.clone().resolve(), args.provisioner.resolve())?;
    let sealer = sealer(&config)?;
    let telemetry = Telemetry::start(&config.telemetry("candor"))?;
    let progress = Progress::new(args.json);
    let drain = Drain::new(config.drain_deadline);
    drain.on_signals()?;

    let listeners = Listeners::bind(&config, http_is_default).await?;
    let database = Database::open(&config, &progress).await?;
    progress.step("starting the services and the gateway");
    let instances = settled(&config, instances, &database, &listeners).await?;
    let started = start(
        &args, &config, sealer, &database, &listeners, instances, &drain,
    )?;
    let Started {
        registry,
        activity_log,
        relay,
        provisioner,
    } = &started;
    let services = Services {
        registry: RegistryClient::new(local(registry.service())),
        activity: ActivityClient::new(local(activity_log.service())),
        relay: RelayClient::new(local(relay.service())),
        provisioner: ProvisionerClient::new(local(provisioner.service())),
    };
    let running = Running {
        registry,
        activity_log,
        relay,
        provisioner,
        services,
    };
    let parts = assemble(
        &args,
        &config,
        running,
        &listeners,
        telemetry.metrics(),
        drain.token(),
    )
    .await?;
    let admin = started.admin(telemetry.metrics(), drain.token()).await;
    let addresses = Addresses::of(&listeners)?;
    spawn_all(&drain, listeners, parts, admin)?;
    announce(&args, &config, &database, &addresses, &progress)?;

    let finished = drain.finished().await;
    Whereabouts::forget(database.data_dir.path());
    started.drained().await;
    database.close().await;
    telemetry.shutdown().await;
    finished.map_err(Into::into)
}

/// What runs instances, on this database and for these listeners.
async fn settled(
    config: &SharedConfig,
    settings: ProvisionerSettings,
    database: &Database,
    listeners: &Listeners,
) -> Result<(Backends, ProvisionerConfig), Box<dyn Error>> {
    let place = Place {
        data_dir: database.data_dir.path().to_owned(),
        http: listeners.http.local_addr()?,
        http_enforced: listeners.enforced()?,
        ..Place::of(config)
    };
    let pool = &database.for_provisioner;
    let backends = Backends::open(pool, settings.backends, &place).await?;
    Ok((backends, settings.config))
}

/// The services that run in this process.
struct Started {
    registry: Registry,
    activity_log: ActivityLog,
    relay: Relay,
    provisioner: Provisioner,
}

impl Started {
    /// Health, once the registry knows what runs instances here.
    async fn admin(&self, metrics: Metrics, stop: CancellationToken) -> Admin {
        if !self.provisioner.announced(ANNOUNCED).await {
            tracing::warn!(within = ?ANNOUNCED, "the registry does not know yet what runs here");
        }
        Admin::new(metrics, stop)
            .check("postgres", self.registry.readiness())
            .check("activity-log", self.activity_log.readiness())
            .check("relay", self.relay.readiness())
            .check("provisioner", self.provisioner.readiness())
    }

    /// First who writes and tells: the registry hands its last words on.
    async fn drained(self) {
        self.provisioner.drained().await;
        self.relay.drained().await;
        self.activity_log.drained().await;
        self.registry.drained().await;
    }
}

/// Starts the services, each calling the others without a socket.
fn start(
    args: &UpArgs,
    config: &SharedConfig,
    sealer: Sealer,
    database: &Database,
    listeners: &Listeners,
    (backends, instances): (Backends, ProvisionerConfig),
    drain: &Drain,
) -> Result<Started, Box<dyn Error>> {
    let registry = Registry::start(
        database.pool.clone(),
        RegistryConfig {
            leases: args.leases.policy(),
            sealer: sealer.clone(),
            event_retention_days: args.events.event_retention_days,
        },
        None,
        &drain.token(),
    );
    let activity_log = ActivityLog::start(
        database.for_activity.clone(),
        RegistryClient::new(local(registry.service())),
        config.legacy.activity_retention_days,
        &drain.token(),
    );
    let relay = Relay::start(
        database.for_relay.clone(),
        candor_relay::Services {
            registry: RegistryClient::new(local(registry.service())),
            activity: ActivityClient::new(local(activity_log.service())),
        },
        relay_config(args, config, listeners.http.local_addr()?),
        &drain.token(),
    )?;
    let provisioner = Provisioner::start(
        database.for_provisioner.clone(),
        candor_provisioner::Services {
            registry: RegistryClient::new(local(registry.service())),
            activity: ActivityClient::new(local(activity_log.service())),
            relay: RelayClient::new(local(relay.service())),
        },
        backends,
        sealer,
        instances,
        &drain.token(),
    );
    Ok(Started {
        registry,
        activity_log,
        relay,
        provisioner,
    })
}

fn sealer(config: &SharedConfig) -> Result<Sealer, Box<dyn Error>> {
    let (key, previous) = config.security.sealing_keys()?;
    Ok(Sealer::new(key, previous)?)
}

/// How callers without credentials are treated on an address.
fn listener_mode(config: &SharedConfig, address: SocketAddr) -> ListenerMode {
    config.security.exposure.mode(address).into()
}

/// What serves, put together.
struct Parts {
    grpc: GrpcServer,
    gateway: Gateway,
    http_mode: ListenerMode,
}

/// The services that run, and how the gateway calls them: as they are, no socket
/// between them, and the caller travels by value.
struct Running<'a> {
    registry: &'a Registry,
    activity_log: &'a ActivityLog,
    relay: &'a Relay,
    provisioner: &'a Provisioner,
    services: Services,
}

async fn assemble(
    args: &UpArgs,
    config: &SharedConfig,
    running: Running<'_>,
    listeners: &Listeners,
    metrics: Metrics,
    stop: CancellationToken,
) -> Result<Parts, Box<dyn Error>> {
    let authenticator = Authenticator::new(
        Arc::new(running.registry.credentials()),
        config.security.admin_token.as_ref().map(Secret::expose),
        running.registry.watermark(),
    );
    let authenticator = Arc::new(authenticator.counting(running.registry.rejected_beats()));
    let grpc_mode = listener_mode(config, listeners.grpc.local_addr()?);
    let grpc = grpc_server(&running, &authenticator, grpc_mode).await?;
    let gateway = Gateway::new(
        gateway_config(args, config),
        running.services,
        Arc::new(LocalBeats(running.registry.beats())),
        authenticator,
        metrics,
        stop,
    );
    let http_mode = listener_mode(config, listeners.http.local_addr()?);
    Ok(Parts {
        grpc,
        gateway,
        http_mode,
    })
}

/// Every service on one port.
async fn grpc_server(
    running: &Running<'_>,
    authenticator: &Arc<Authenticator>,
    mode: ListenerMode,
) -> Result<GrpcServer, Box<dyn Error>> {
    use candor_activity_log::serve as activity_log;
    use candor_provisioner::serve as provisioner;
    use candor_registry::serve as registry;
    use candor_relay::serve as relay;
    let identity = || Arc::clone(authenticator);
    let routes = Routes::new(registry::authenticated(
        running.registry,
        identity(),
        None,
        mode,
    ))
    .add_service(activity_log::authenticated(
        running.activity_log,
        identity(),
        None,
        mode,
    ))
    .add_service(relay::authenticated(running.relay, identity(), None, mode))
    .add_service(relay::authenticated_a2a(
        running.relay,
        identity(),
        None,
        mode,
    ))
    .add_service(provisioner::authenticated(
        running.provisioner,
        identity(),
        None,
        mode,
    ));
    let names = [
        registry::SERVICE,
        activity_log::SERVICE,
        relay::SERVICE,
        relay::A2A_SERVICE,
        provisioner::SERVICE,
    ];
    let limits = GrpcLimits {
        patient: vec![relay::A2A_PATIENCE, provisioner::PATIENCE],
        ..GrpcLimits::default()
    };
    let described = [DESCRIPTOR_SET, a2a::DESCRIPTOR_SET];
    Ok(GrpcServer::new(routes, &described, &names, limits).await?)
}

fn relay_config(args: &UpArgs, config: &SharedConfig, http: SocketAddr) -> RelayConfig {
    args.relay.config(config, http).reached_at(http)
}

fn gateway_config(args: &UpArgs, config: &SharedConfig) -> GatewayConfig {
    GatewayConfig {
        cors_origins: config.legacy.cors_origins.clone(),
        external_platform_url: config.external_platform_url.clone(),
        test_tokens: args.test_tokens,
    }
}

fn spawn_all(
    drain: &Drain,
    listeners: Listeners,
    parts: Parts,
    admin: Admin,
) -> std::io::Result<()> {
    let Parts {
        grpc,
        gateway,
        http_mode,
    } = parts;
    drain.spawn("grpc", grpc.serve(listeners.grpc, drain.token()));
    if let Some(enforced) = listeners.http_enforced {
        let router = gateway.router(ListenerMode::Enforced, enforced.local_addr()?.ip());
        drain.spawn(
            "http-enforced",
            candor_gateway::serve(enforced, router, drain.token()),
        );
    }
    let router = gateway.router(http_mode, listeners.http.local_addr()?.ip());
    drain.spawn(
        "http",
        candor_gateway::serve(listeners.http, router, drain.token()),
    );
    drain.spawn("admin", admin.serve(listeners.admin));
    Ok(())
}

/// Where everything really listens.
struct Addresses {
    http: SocketAddr,
    http_enforced: Option<SocketAddr>,
    grpc: SocketAddr,
    admin: SocketAddr,
    moved: Vec<&'static str>,
}

impl Addresses {
    fn of(listeners: &Listeners) -> std::io::Result<Self> {
        Ok(Self {
            http: listeners.http.local_addr()?,
            http_enforced: listeners.enforced()?,
            grpc: listeners.grpc.local_addr()?,
            admin: listeners.admin.address(),
            moved: listeners.moved.clone(),
        })
    }
}

/// Says that it is ready, to people or to a program, and where to find it.
fn announce(
    args: &UpArgs,
    config: &SharedConfig,
    database: &Database,
    addresses: &Addresses,
    progress: &Progress,
) -> Result<(), Box<dyn Error>> {
    let data_dir = database.data_dir.path();
    let whereabouts = Whereabouts {
        pid: std::process::id(),
        http: addresses.http.to_string(),
        grpc: addresses.grpc.to_string(),
        admin: addresses.admin.to_string(),
    };
    whereabouts.write(data_dir)?;
    let summary = Summary {
        http: addresses.http,
        http_enforced: addresses.http_enforced,
        grpc: addresses.grpc,
        admin: addresses.admin,
        data_dir,
        database_url: database.private_url(),
        mode: config.security.exposure.mode(addresses.http),
        moved: addresses.moved.clone(),
    };
    if args.json {
        println!("{}", summary.json());
    } else {
        eprintln!("{}", summary.text(progress));
    }
    Ok(())
}
