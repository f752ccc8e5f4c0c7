//! Logs, traces and metrics of a process (design section 2).
//!
//! Logs go to standard error. Traces go to an OTLP collector if one is named;
//! without one, trace ids still exist, appear in log lines and travel on. Metrics
//! are scraped from the admin server.

mod format;
pub mod metrics;
pub mod propagation;

use std::io::IsTerminal as _;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{
    EnvFilter, FilterExt as _, LevelFilter, ParseError, Targets, dynamic_filter_fn,
};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Layer as _, Registry};

use self::format::WithTrace;
pub use self::metrics::Metrics;

/// Longest wait for the collector, for one batch and for the last one.
const EXPORT_DEADLINE: Duration = Duration::from_secs(3);
/// Chatter of the transport under us; it would describe its own export.
const QUIET: &[&str] = &[
    "h2",
    "hyper",
    "hyper_util",
    "tonic",
    "tower",
    "opentelemetry",
];

/// Libraries that log all that they send and receive below `info`: requests to a Docker
/// engine have the secrets of instances in them. No filter brings that into the log.
const TELLS_SECRETS: &[&str] = &["bollard"];

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people; coloured on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What a process logs and where its traces go.
#[derive(Debug, Clone)]
pub struct TelemetrySettings {
    /// `service.name`, for instance `candor-registry`.
    pub service_name: &'static str,
    /// `tracing` directives (`CANDOR_LOG`), for instance `info,sqlx=warn`.
    pub filter: String,
    /// `CANDOR_LOG_FORMAT`.
    pub format: LogFormat,
    /// The OTLP gRPC endpoint, plain `http://`; no export if `None`.
    pub otlp_endpoint: Option<String>,
    /// The share of traces begun here that are exported, 0 to 1.
    pub trace_ratio: f64,
}

impl TelemetrySettings {
    /// Text at `info`, no export; OpenTelemetry speaks of trouble only.
    #[must_use]
    pub fn new(service_name: &'static str) -> Self {
        Self {
            service_name,
            filter: "info,opentelemetry=warn".into(),
            format: LogFormat::default(),
            otlp_endpoint: None,
            trace_ratio: 1.0,
        }
    }
}

/// Why telemetry did not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `CANDOR_LOG` is wrong.
    #[error("log filter: {0}")]
    Filter(#[from] ParseError),
    /// The collector's address is wrong.
    #[error("OTLP exporter: {0}")]
    Exporter(#[from] ExporterBuildError),
    /// It was started before.
    #[error("telemetry was already started: {0}")]
    Twice(#[from] TryInitError),
    /// The metrics recorder was installed by somebody else.
    #[error("metrics: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
}

/// Running telemetry; [`Telemetry::shutdown`] sends what is left.
#[derive(Debug)]
pub struct Telemetry {
    provider: SdkTracerProvider,
    metrics: Metrics,
}

impl Telemetry {
    /// Starts logs, traces and metrics for the whole process. Must be called
    /// inside a tokio runtime if an endpoint is named.
    ///
    /// # Errors
    /// See [`TelemetryError`].
    pub fn start(settings: &TelemetrySettings) -> Result<Self, TelemetryError> {
        let filter = EnvFilter::builder().parse(&settings.filter)?;
        let provider = provider(settings)?;
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        opentelemetry::global::set_tracer_provider(provider.clone());
        let spans = Targets::new()
            .with_default(LevelFilter::INFO)
            .with_targets(QUIET.iter().map(|target| (*target, LevelFilter::OFF)));
        let traces = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("candor"))
            .with_location(false)
            .with_threads(false)
            .with_level(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(spans);
        Registry::default()
            .with(lines(settings.format, filter))
            .with(traces)
            .try_init()?;
        let metrics = Metrics::install(settings.service_name)?;
        Ok(Self { provider, metrics })
    }

    /// What the admin server renders.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Sends the spans that are left, within a deadline.
    pub async fn shutdown(self) {
        // The exporter blocks its caller while it needs the runtime to send.
        let provider = self.provider;
        let sent =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(EXPORT_DEADLINE));
        match sent.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last spans were not exported"),
            Err(error) => tracing::warn!(%error, "the last spans were not exported"),
        }
    }
}

fn provider(settings: &TelemetrySettings) -> Result<SdkTracerProvider, TelemetryError> {
    let resource = Resource::builder()
        .with_service_name(settings.service_name)
        .build();
    let builder = SdkTracerProvider::builder().with_resource(resource);
    let Some(endpoint) = &settings.otlp_endpoint else {
        // Ids without records: log lines and callees still learn the trace.
        return Ok(builder.with_sampler(Sampler::AlwaysOff).build());
    };
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(EXPORT_DEADLINE)
        .build()?;
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(settings.trace_ratio)));
    Ok(builder
        .with_sampler(sampler)
        .with_batch_exporter(exporter)
        .build())
}

fn may_tell_secrets(about: &Metadata<'_>) -> bool {
    let library = about.target().split("::").next().unwrap_or_default();
    *about.level() > Level::INFO && TELLS_SECRETS.contains(&library)
}

fn lines(
    format: LogFormat,
    filter: EnvFilter,
) -> Box<dyn tracing_subscriber::Layer<Registry> + Send + Sync> {
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // Lines name their trace, which has the spans: their fields need not be
    // formatted for each call that logs nothing.
    // Asked anew for each event: a library that only asks whether it would be logged,
    // as sqlx does, leaves its answer to the next event that is not asked about.
    let filter = filter.and(dynamic_filter_fn(|about: &Metadata<'_>, _| {
        about.is_event() && !may_tell_secrets(about)
    }));
    match format {
        LogFormat::Json => {
            let json = tracing_subscriber::fmt::format().json().flatten_event(true);
            layer
                .json()
                .event_format(WithTrace::json(json))
                .with_filter(filter)
                .boxed()
        }
        LogFormat::Text => {
            let ansi = std::io::stderr().is_terminal();
            let text = tracing_subscriber::fmt::format().with_ansi(ansi);
            layer
                .with_ansi(ansi)
                .event_format(WithTrace::text(text))
                .with_filter(filter)
                .boxed()
        }
    }
}
