//! The settings that every Candor process understands (design section 2).

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

use super::args::{SharedArgs, TelemetryArgs};
use super::parse_duration;
use super::parsers::{
    address, collector_url, database, http_address, log_filter, log_format, positive, share,
    web_url,
};
use super::problems::{ConfigError, Problems};
use super::security::Security;
use crate::postgres::PostgresSettings;
use crate::telemetry::TelemetrySettings;

/// Where `candor up` keeps its data unless told otherwise.
pub const DEFAULT_DATA_DIR: &str = ".candor";
/// The legacy platform's answer time for an agent that says nothing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// The legacy platform's retention of activity rows, in days.
const RETENTION_DAYS: u32 = 7;
/// The legacy platform's calls a minute and caller.
const RATE_LIMIT: u32 = 600;

/// The listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Open or enforced, by [`Security::exposure`].
    pub http: SocketAddr,
    /// Always enforced.
    pub http_enforced: Option<SocketAddr>,
    /// Open or enforced, by [`Security::exposure`]; `None` where nobody asked,
    /// so that each process takes its own default port.
    pub grpc: Option<SocketAddr>,
    /// As `grpc`; a default may move.
    pub admin: Option<SocketAddr>,
}

/// What legacy deployments set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacySettings {
    /// `MOLECULE_ENV` as given, trimmed; empty if unset.
    pub environment: String,
    /// Calls a minute and caller.
    pub rate_limit: u32,
    /// Browser origins; empty if unset.
    pub cors_origins: Vec<String>,
    /// The only organisation served.
    pub org_id: Option<String>,
    /// `saas`, `self-hosted` or another word.
    pub deploy_mode: Option<String>,
    /// How long an agent may say nothing.
    pub a2a_idle_timeout: Duration,
    /// How long activity is kept, in days.
    pub activity_retention_days: u32,
}

/// Everything above, typed.
#[derive(Debug, Clone)]
pub struct SharedConfig {
    /// Where Candor keeps its data.
    pub data_dir: PathBuf,
    /// The Postgres to use; `None` means a private one.
    pub database: Option<PgConnectOptions>,
    /// How the private one is run.
    pub postgres: PostgresSettings,
    /// The listeners.
    pub listen: Listen,
    /// Who is trusted.
    pub security: Security,
    /// Where instances find the platform; `None` means the backend's default.
    pub platform_url: Option<String>,
    /// Where external agents find it.
    pub external_platform_url: Option<String>,
    /// What legacy deployments set.
    pub legacy: LegacySettings,
    /// How long calls in progress may take to end.
    pub drain_deadline: Duration,
    /// Logs and traces; the service's name is added by [`SharedConfig::telemetry`].
    telemetry: TelemetrySettings,
}

impl SharedConfig {
    /// Logs and traces under this service's name.
    #[must_use]
    pub fn telemetry(&self, service_name: &'static str) -> TelemetrySettings {
        TelemetrySettings {
            service_name,
            ..self.telemetry.clone()
        }
    }
}

impl SharedArgs {
    /// Parses everything, with the legacy names from the process environment.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn resolve(self) -> Result<SharedConfig, ConfigError> {
        self.resolve_with(&|name| std::env::var(name).ok())
    }

    /// As [`SharedArgs::resolve`], with the legacy names from `environment`.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn resolve_with(
        self,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<SharedConfig, ConfigError> {
        let mut problems = Problems::new(environment);
        let environment_name =
            problems.first("--environment", self.environment.clone(), &["MOLECULE_ENV"]);
        let environment_name = environment_name
            .map(|(_, name)| name.trim().to_owned())
            .unwrap_or_default();
        let config = SharedConfig {
            data_dir: problems
                .first("--data-dir", self.data_dir.clone(), &[])
                .map_or_else(|| DEFAULT_DATA_DIR.into(), |(_, path)| path.into()),
            database: problems.parse(
                "--database-url",
                self.database_url.clone(),
                &["DATABASE_URL"],
                database,
            ),
            postgres: PostgresSettings {
                bin_dir: problems
                    .first("--pg-bin", self.pg_bin.clone(), &[])
                    .map(|(_, path)| path.into()),
                ..PostgresSettings::default()
            },
            listen: self.listen(&mut problems),
            security: self.security(&mut problems, &environment_name),
            platform_url: problems.parse(
                "--platform-url",
                self.platform_url.clone(),
                &["PLATFORM_URL"],
                web_url,
            ),
            external_platform_url: problems.parse(
                "--external-platform-url",
                self.external_platform_url.clone(),
                &["EXTERNAL_PLATFORM_URL"],
                web_url,
            ),
            telemetry: self.telemetry.resolve(&mut problems),
            drain_deadline: problems
                .parse(
                    "--drain-deadline",
                    self.drain_deadline.clone(),
                    &[],
                    parse_duration,
                )
                .unwrap_or(Duration::from_secs(20)),
            legacy: self.legacy(&mut problems, environment_name),
        };
        problems.finish(config)
    }

    fn listen(&self, problems: &mut Problems<'_>) -> Listen {
        let default = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
        Listen {
            http: problems
                .parse("--http", self.http.clone(), &["PORT"], http_address)
                .unwrap_or(default),
            http_enforced: problems.parse(
                "--http-enforced",
                self.http_enforced.clone(),
                &[],
                address,
            ),
            grpc: problems.parse("--grpc", self.grpc.clone(), &[], address),
            admin: problems.parse("--admin", self.admin.clone(), &[], address),
        }
    }

    fn legacy(&self, problems: &mut Problems<'_>, environment: String) -> LegacySettings {
        let text =
            |found: Option<(&'static str, String)>| found.map(|(_, value)| value.trim().to_owned());
        LegacySettings {
            environment,
            rate_limit: problems
                .parse(
                    "--rate-limit",
                    self.rate_limit.clone(),
                    &["RATE_LIMIT"],
                    positive,
                )
                .unwrap_or(RATE_LIMIT),
            cors_origins: text(problems.first(
                "--cors-origins",
                self.cors_origins.clone(),
                &["CORS_ORIGINS"],
            ))
            .map(|list| {
                list.split(',')
                    .map(str::trim)
                    .filter(|o| !o.is_empty())
                    .map(str::to_owned)
                    .collect()
            })
            .unwrap_or_default(),
            org_id: text(problems.first("--org-id", self.org_id.clone(), &["MOLECULE_ORG_ID"])),
            deploy_mode: text(problems.first(
                "--deploy-mode",
                self.deploy_mode.clone(),
                &["MOLECULE_DEPLOY_MODE"],
            )),
            a2a_idle_timeout: problems
                .parse(
                    "--a2a-idle-timeout",
                    self.a2a_idle_timeout.clone(),
                    &["A2A_IDLE_TIMEOUT_SECONDS"],
                    parse_duration,
                )
                .unwrap_or(IDLE_TIMEOUT),
            activity_retention_days: problems
                .parse(
                    "--activity-retention-days",
                    self.activity_retention_days.clone(),
                    &["ACTIVITY_RETENTION_DAYS"],
                    positive,
                )
                .unwrap_or(RETENTION_DAYS),
        }
    }
}

impl TelemetryArgs {
    /// Parses them; the service's name is the caller's to set.
    pub fn resolve(&self, problems: &mut Problems<'_>) -> TelemetrySettings {
        let defaults = TelemetrySettings::new("candor");
        TelemetrySettings {
            filter: problems
                .parse("--log", self.log.clone(), &[], log_filter)
                .unwrap_or(defaults.filter),
            format: problems
                .parse("--log-format", self.log_format.clone(), &[], log_format)
                .unwrap_or(defaults.format),
            otlp_endpoint: problems.parse(
                "--otlp-endpoint",
                self.otlp_endpoint.clone(),
                &["OTEL_EXPORTER_OTLP_ENDPOINT"],
                collector_url,
            ),
            trace_ratio: problems
                .parse("--trace-ratio", self.trace_ratio.clone(), &[], share)
                .unwrap_or(defaults.trace_ratio),
            ..defaults
        }
    }
}
