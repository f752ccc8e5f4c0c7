//! When a workspace counts as alive, and what Candor concludes about it now
//! (design: section 6).
//!
//! All times are Postgres'; durations come from the configuration.

mod verdict;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::decision::MAX_QUIET_SECONDS;

pub use verdict::{Verdict, VitalFacts, verdict};

/// How long a beat is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeasePolicy {
    /// From a beat to *suspect* (`CANDOR_LEASE_TTL`).
    pub ttl: Duration,
    /// From *suspect* to *dead* (`CANDOR_LEASE_GRACE`).
    pub grace: Duration,
    /// The same for external workspaces.
    pub external_ttl: Duration,
    /// The same for external workspaces.
    pub external_grace: Duration,
}

impl Default for LeasePolicy {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(60),
            grace: Duration::from_secs(120),
            external_ttl: Duration::from_secs(60),
            external_grace: Duration::from_secs(60),
        }
    }
}

/// What the lease alone says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Liveness {
    /// Within its lease, or it never had one.
    Alive,
    /// The lease ended; the grace runs.
    Suspect,
    /// The grace is over too.
    Dead,
}

impl LeasePolicy {
    /// The lease of one beat.
    #[must_use]
    pub const fn ttl_of(&self, external: bool) -> Duration {
        if external {
            self.external_ttl
        } else {
            self.ttl
        }
    }
    /// The grace after the lease.
    #[must_use]
    pub const fn grace_of(&self, external: bool) -> Duration {
        if external {
            self.external_grace
        } else {
            self.grace
        }
    }
    /// When the next beat is asked for: half a lease, so that one lost beat
    /// does no harm.
    #[must_use]
    pub fn next_heartbeat_after(&self, external: bool) -> Duration {
        self.ttl_of(external) / 2
    }
    /// When a workspace whose lease ends then is dead. None means: beyond what
    /// a time can say, so never.
    #[must_use]
    pub fn dead_at(&self, lease_until: DateTime<Utc>, external: bool) -> Option<DateTime<Utc>> {
        later(lease_until, self.grace_of(external))
    }
    /// What the lease says now. `None`: it never beat, has no lease, and is
    /// not swept.
    #[must_use]
    pub fn liveness(
        &self,
        lease_until: Option<DateTime<Utc>>,
        external: bool,
        now: DateTime<Utc>,
    ) -> Liveness {
        let Some(until) = lease_until else {
            return Liveness::Alive;
        };
        if now < until {
            return Liveness::Alive;
        }
        match self.dead_at(until, external) {
            Some(dead) if now >= dead => Liveness::Dead,
            _ => Liveness::Suspect,
        }
    }
}

fn later(time: DateTime<Utc>, by: Duration) -> Option<DateTime<Utc>> {
    time.checked_add_signed(TimeDelta::from_std(by).ok()?)
}

/// Until when a beat that arrives now is good; announced silence extends it,
/// at most [`MAX_QUIET_SECONDS`] from now.
#[must_use]
pub fn lease_until(
    now: DateTime<Utc>,
    policy: &LeasePolicy,
    external: bool,
    expect_quiet_until: Option<DateTime<Utc>>,
) -> DateTime<Utc> {
    let regular = later(now, policy.ttl_of(external)).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let longest = later(now, Duration::from_secs(MAX_QUIET_SECONDS.unsigned_abs()));
    let quiet = expect_quiet_until.map(|until| longest.map_or(until, |most| until.min(most)));
    quiet.map_or(regular, |until| until.max(regular))
}
