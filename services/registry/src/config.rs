//! The registry's settings.

use candor_kernel::lease::LeasePolicy;

use crate::secrets::Sealer;

/// What a registry needs to know beside its database.
#[derive(Debug, Clone, Default)]
pub struct RegistryConfig {
    /// How long a beat is good for.
    pub leases: LeasePolicy,
    /// Seals secrets of new workspaces; without a key they are stored as they are.
    pub sealer: Sealer,
}
