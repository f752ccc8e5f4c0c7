//! What each tier may use (contract/provisioner.md, "Tiers").

use crate::backend::Tier;

const MIB: i64 = 1024 * 1024;
/// Billionths of a CPU, as the engine counts.
const CPU: i64 = 1_000_000_000;
/// Shares that are one CPU, as the legacy variables count.
const SHARES: i64 = 1024;
/// The engine refuses less memory than this.
const LEAST_MEMORY_MB: i64 = 6;

/// A tier's limits. All are hard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Memory in bytes, swap included.
    pub memory: i64,
    /// Billionths of a CPU.
    pub nano_cpus: i64,
    /// Processes and threads.
    pub pids: i64,
}

/// The limits of all tiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierLimits([Limits; 4]);

impl Default for TierLimits {
    /// The legacy platform's, and for tier 1, which had none there, tier 2's.
    fn default() -> Self {
        let limits = |memory_mb: i64, cpus: i64, pids: i64| Limits {
            memory: memory_mb * MIB,
            nano_cpus: cpus * CPU,
            pids,
        };
        Self([
            limits(512, 1, 256),
            limits(512, 1, 1024),
            limits(2048, 2, 4096),
            limits(4096, 4, 8192),
        ])
    }
}

impl TierLimits {
    /// The limits of one tier.
    #[must_use]
    pub fn of(&self, tier: Tier) -> Limits {
        self.0[place(tier)]
    }

    /// Reads `TIERn_MEMORY_MB` and `TIERn_CPU_SHARES` (1024 shares are one CPU) over the
    /// defaults.
    ///
    /// # Errors
    /// A line for each value that cannot be used.
    pub fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<String>> {
        let mut limits = Self::default();
        let mut problems = Vec::new();
        let mut read = |name: String, least: i64| -> Option<i64> {
            let text = variable(&name).filter(|text| !text.trim().is_empty())?;
            match text.trim().parse::<i32>() {
                Ok(number) if i64::from(number) >= least => Some(i64::from(number)),
                _ => {
                    problems.push(format!("{name}: `{text}` is no number from {least} on"));
                    None
                }
            }
        };
        for tier in [Tier::T1, Tier::T2, Tier::T3, Tier::T4] {
            let at = place(tier);
            let number = at + 1;
            if let Some(mib) = read(format!("TIER{number}_MEMORY_MB"), LEAST_MEMORY_MB) {
                limits.0[at].memory = mib * MIB;
            }
            // The engine's least is a hundredth of a CPU.
            if let Some(shares) = read(format!("TIER{number}_CPU_SHARES"), SHARES / 100 + 1) {
                limits.0[at].nano_cpus = shares * CPU / SHARES;
            }
        }
        if problems.is_empty() {
            Ok(limits)
        } else {
            Err(problems)
        }
    }
}

impl Limits {
    /// An engine refuses more CPUs than it has; a machine with fewer gives what it has.
    pub(super) fn on_a_machine_of(self, cpus: Option<i64>) -> Self {
        let most = cpus
            .filter(|cpus| *cpus > 0)
            .map_or(i64::MAX, |cpus| cpus.saturating_mul(CPU));
        Self {
            nano_cpus: self.nano_cpus.min(most),
            ..self
        }
    }
}

fn place(tier: Tier) -> usize {
    match tier {
        Tier::T1 => 0,
        Tier::T2 => 1,
        Tier::T3 => 2,
        Tier::T4 => 3,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn variables_go_over_the_defaults_of_their_tier_only() {
        let variable = |name: &str| match name {
            "TIER1_MEMORY_MB" => Some("64".to_owned()),
            "TIER3_CPU_SHARES" => Some(" 512 ".to_owned()),
            "TIER4_MEMORY_MB" => Some(String::new()),
            _ => None,
        };
        let limits = TierLimits::from_variables(&variable).unwrap();
        let defaults = TierLimits::default();
        assert_eq!(limits.of(Tier::T1).memory, 64 * MIB);
        assert_eq!(limits.of(Tier::T3).nano_cpus, CPU / 2);
        assert_eq!(limits.of(Tier::T2), defaults.of(Tier::T2));
        assert_eq!(limits.of(Tier::T4), defaults.of(Tier::T4));
    }

    #[test]
    fn every_value_that_cannot_be_used_is_named() {
        let variable = |name: &str| match name {
            "TIER2_MEMORY_MB" => Some("1".to_owned()),
            "TIER3_MEMORY_MB" => Some("9999999999".to_owned()),
            "TIER4_CPU_SHARES" => Some("many".to_owned()),
            _ => None,
        };
        let problems = TierLimits::from_variables(&variable).unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[2].contains("TIER4_CPU_SHARES") && problems[2].contains("`many`"));
    }

    #[test]
    fn a_machine_with_fewer_cpus_gives_what_it_has() {
        let four = TierLimits::default().of(Tier::T4);
        assert_eq!(four.on_a_machine_of(Some(2)).nano_cpus, 2 * CPU);
        assert_eq!(four.on_a_machine_of(Some(8)), four);
        assert_eq!(four.on_a_machine_of(None), four);
    }
}
