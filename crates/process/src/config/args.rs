//! The flags and variables of every Candor process, as text.

use clap::Args;

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
    /// A file that holds that key instead.
    #[arg(long, env = "CANDOR_SECRETS_ENCRYPTION_KEY_FILE", value_name = "FILE")]
    pub secrets_encryption_key_file: Option<String>,
    /// The key before: what it sealed still opens, until `candor secrets rotate` has run.
    #[arg(
        long,
        env = "CANDOR_SECRETS_ENCRYPTION_KEY_PREVIOUS",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub secrets_encryption_key_previous: Option<String>,
    /// A file that holds the key before instead.
    #[arg(
        long,
        env = "CANDOR_SECRETS_ENCRYPTION_KEY_PREVIOUS_FILE",
        value_name = "FILE"
    )]
    pub secrets_encryption_key_previous_file: Option<String>,
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
    /// Logs and traces.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}

/// Logs and traces of any process, as text.
#[derive(Debug, Clone, Default, Args)]
pub struct TelemetryArgs {
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
