//! The registry's settings.

use std::time::Duration;

use candor_kernel::lease::LeasePolicy;
use candor_process::config::parse_duration;
use candor_secrets::Sealer;
use clap::Args;

/// What a registry needs to know beside its database.
#[derive(Debug, Clone, Default)]
pub struct RegistryConfig {
    /// How long a beat is good for.
    pub leases: LeasePolicy,
    /// Seals secrets of new workspaces; without a key they are stored as they are.
    pub sealer: Sealer,
    /// How long stored events are kept, in days.
    pub event_retention_days: u32,
}

/// How long stored events are kept, as a flag.
#[derive(Debug, Clone, Copy, Args)]
pub struct EventArgs {
    /// How long stored events are kept, in days.
    #[arg(long, env = "CANDOR_EVENT_RETENTION_DAYS", default_value_t = 30,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub event_retention_days: u32,
}

/// How long a beat is good for, as flags.
#[derive(Debug, Clone, Copy, Args)]
pub struct LeaseArgs {
    /// From a beat to suspect: 500ms, 60s, 5m; a bare number is seconds.
    #[arg(long, env = "CANDOR_LEASE_TTL", default_value = "60s", value_parser = parse_duration)]
    pub lease_ttl: Duration,
    /// From suspect to dead.
    #[arg(long, env = "CANDOR_LEASE_GRACE", default_value = "120s", value_parser = parse_duration)]
    pub lease_grace: Duration,
}

impl LeaseArgs {
    /// External workspaces share the ttl; their grace is never longer than it
    /// (design: section 6).
    #[must_use]
    pub fn policy(self) -> LeasePolicy {
        LeasePolicy {
            ttl: self.lease_ttl,
            grace: self.lease_grace,
            external_ttl: self.lease_ttl,
            external_grace: self.lease_grace.min(self.lease_ttl),
        }
    }
}
