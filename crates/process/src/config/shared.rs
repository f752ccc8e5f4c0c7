//! The settings that every Candor process understands (design section 2).

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use sqlx::postgres::PgConnectOptions;
use tracing_subscriber::EnvFilter;

use super::problems::{ConfigError, Problems, Secret};
use super::{Exposure, parse_duration};
use crate::postgres::PostgresSettings;
use crate::telemetry::{LogFormat, TelemetrySettings};

/// Where `candor up` keeps its data unless told otherwise.
pub const DEFAULT_DATA_DIR: &str = ".candor";
/// The legacy platform's answer time for an agent that says nothing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// The legacy platform's retention of activity rows, in days.
const RETENTION_DAYS: u32 = 7;
/// The legacy platform's calls a minute and caller.
const RATE_LIMIT: u32 = 600;

/// The flags and `CANDOR_*` variables, as text; [`SharedArgs::resolve`] parses.
#[derive(Debug, Clone, Default, Args)]
pub struct SharedArgs {
    /// Where Candor keeps its data.
    #[arg(long, env = "CANDOR_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<String>,
    /// The Postgres to use; without one, a private Postgres in the data directory [env alias: DATABASE_URL].
    #[arg(
        long,
        env = "CANDOR_DATABASE_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub database_url: Option<String>,
    /// The folder with initdb and postgres, for the private Postgres.
    #[arg(long, env = "CANDOR_PG_BIN", value_name = "DIR")]
    pub pg_bin: Option<String>,
    /// HTTP listener: open on loopback, enforced elsewhere [env alias: PORT].
    #[arg(long, env = "CANDOR_HTTP", value_name = "ADDR")]
    pub http: Option<String>,
    /// A second HTTP listener that always asks for credentials.
    #[arg(long, env = "CANDOR_HTTP_ENFORCED", value_name = "ADDR")]
    pub http_enforced: Option<String>,
    /// gRPC listener: open on loopback, enforced elsewhere.
    #[arg(long, env = "CANDOR_GRPC", value_name = "ADDR")]
    pub grpc: Option<String>,
    /// Admin listener: /healthz, /readyz, /metrics.
    #[arg(long, env = "CANDOR_ADMIN", value_name = "ADDR")]
    pub admin: Option<String>,
    /// The admin's bearer token; turns every listener enforced [env alias: ADMIN_TOKEN].
    #[arg(
        long,
        env = "CANDOR_ADMIN_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    pub admin_token: Option<String>,
    /// `production` turns every listener enforced [env alias: MOLECULE_ENV].
    #[arg(long, env = "CANDOR_ENV", value_name = "NAME")]
    pub environment: Option<String>,
    /// Leave listeners open that would be enforced. Anybody who reaches them is a user.
    #[arg(long, env = "CANDOR_INSECURE_OPEN", value_parser = clap::builder::BoolishValueParser::new())]
    pub insecure_open: bool,
    /// The key that signs callers between processes.
    #[arg(
        long,
        env = "CANDOR_IDENTITY_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub identity_key: Option<String>,
    /// The key before, still accepted while keys change.
    #[arg(
        long,
        env = "CANDOR_IDENTITY_KEY_PREVIOUS",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub identity_key_previous: Option<String>,
    /// Seals stored secrets [env alias: SECRETS_ENCRYPTION_KEY].
    #[arg(
        long,
        env = "CANDOR_SECRETS_ENCRYPTION_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub secrets_encryption_key: Option<String>,
    /// Where instances find the platform [env alias: PLATFORM_URL].
    #[arg(long, env = "CANDOR_PLATFORM_URL", value_name = "URL")]
    pub platform_url: Option<String>,
    /// Where external agents find the platform [env alias: EXTERNAL_PLATFORM_URL].
    #[arg(long, env = "CANDOR_EXTERNAL_PLATFORM_URL", value_name = "URL")]
    pub external_platform_url: Option<String>,
    /// Calls a minute and caller on enforced listeners [env alias: RATE_LIMIT].
    #[arg(long, env = "CANDOR_RATE_LIMIT", value_name = "N")]
    pub rate_limit: Option<String>,
    /// Browser origins that may call, separated by commas [env alias: CORS_ORIGINS].
    #[arg(long, env = "CANDOR_CORS_ORIGINS", value_name = "LIST")]
    pub cors_origins: Option<String>,
    /// Only requests of this organisation are served [env alias: MOLECULE_ORG_ID].
    #[arg(long, env = "CANDOR_ORG_ID", value_name = "ID")]
    pub org_id: Option<String>,
    /// saas or self-hosted: which agent addresses are refused [env alias: MOLECULE_DEPLOY_MODE].
    #[arg(long, env = "CANDOR_DEPLOY_MODE", value_name = "MODE")]
    pub deploy_mode: Option<String>,
    /// How long an agent may say nothing [env alias: A2A_IDLE_TIMEOUT_SECONDS].
    #[arg(long, env = "CANDOR_A2A_IDLE_TIMEOUT", value_name = "DURATION")]
    pub a2a_idle_timeout: Option<String>,
    /// How long activity is kept [env alias: ACTIVITY_RETENTION_DAYS].
    #[arg(long, env = "CANDOR_ACTIVITY_RETENTION_DAYS", value_name = "DAYS")]
    pub activity_retention_days: Option<String>,
    /// How long calls in progress may take to end after a signal.
    #[arg(long, env = "CANDOR_DRAIN_DEADLINE", value_name = "DURATION")]
    pub drain_deadline: Option<String>,
    /// What is logged, as `info,candor_registry=debug`.
    #[arg(long, env = "CANDOR_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// text or json.
    #[arg(long, env = "CANDOR_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// OTLP gRPC endpoint for traces [env alias: OTEL_EXPORTER_OTLP_ENDPOINT].
    #[arg(long, env = "CANDOR_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// The share of traces that are exported, 0 to 1.
    #[arg(long, env = "CANDOR_TRACE_RATIO", value_name = "SHARE")]
    pub trace_ratio: Option<String>,
}

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

/// Who is trusted, and the keys.
#[derive(Debug, Clone)]
pub struct Security {
    /// The admin's bearer token.
    pub admin_token: Option<Secret>,
    /// What decides whether a listener is open.
    pub exposure: Exposure,
    /// Signs callers between processes.
    pub identity_key: Option<Secret>,
    /// Still accepted.
    pub identity_key_previous: Option<Secret>,
    /// Seals stored secrets.
    pub secrets_encryption_key: Option<Secret>,
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
            telemetry: self.telemetry(&mut problems),
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

    fn security(&self, problems: &mut Problems<'_>, environment: &str) -> Security {
        let secret = |name, given: &Option<String>, legacy: &[&'static str]| {
            problems
                .first(name, given.clone(), legacy)
                .map(|(_, value)| Secret::new(value.trim()))
        };
        let admin_token = secret("--admin-token", &self.admin_token, &["ADMIN_TOKEN"]);
        Security {
            exposure: Exposure {
                has_admin_token: admin_token.is_some(),
                production: ["production", "prod"]
                    .contains(&environment.to_ascii_lowercase().as_str()),
                insecure_open: self.insecure_open,
            },
            admin_token,
            identity_key: secret("--identity-key", &self.identity_key, &[]),
            identity_key_previous: secret(
                "--identity-key-previous",
                &self.identity_key_previous,
                &[],
            ),
            secrets_encryption_key: secret(
                "--secrets-encryption-key",
                &self.secrets_encryption_key,
                &["SECRETS_ENCRYPTION_KEY"],
            ),
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

    fn telemetry(&self, problems: &mut Problems<'_>) -> TelemetrySettings {
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

// === parsers ===

fn database(text: &str) -> Result<PgConnectOptions, String> {
    // The text may hold a password: it is not repeated.
    PgConnectOptions::from_str(text).map_err(|error| format!("no Postgres URL: {error}"))
}

/// An address; `localhost` is 127.0.0.1, so that nothing is looked up.
fn address(text: &str) -> Result<SocketAddr, String> {
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    numeric
        .parse()
        .map_err(|_| format!("`{text}` is no address: write 127.0.0.1:8080 or [::1]:8080"))
}

/// An address, or a port alone (the legacy `PORT`). A port says nothing about
/// who may reach it, so it stays on loopback; other interfaces are asked for by
/// address.
fn http_address(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<u16>() {
        Ok(port) => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        Err(_) => address(text),
    }
}

fn web_url(text: &str) -> Result<String, String> {
    let host = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    match host {
        Some(host) if !host.is_empty() && !host.starts_with('/') => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err(format!("`{text}` is no http:// or https:// URL")),
    }
}

fn collector_url(text: &str) -> Result<String, String> {
    if text.starts_with("https://") {
        return Err(format!(
            "`{text}`: traces go to a collector over http:// only, put one beside Candor"
        ));
    }
    web_url(text)
}

fn positive(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|n| *n > 0)
        .ok_or_else(|| format!("`{text}` is no positive number"))
}

fn share(text: &str) -> Result<f64, String> {
    let parsed: Option<f64> = text.parse().ok();
    parsed
        .filter(|n| (0.0..=1.0).contains(n))
        .ok_or_else(|| format!("`{text}` is no share from 0 to 1"))
}

fn log_filter(text: &str) -> Result<String, String> {
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("`{text}` is no log filter: {error}")),
    }
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("`{text}` is neither text nor json")),
    }
}
