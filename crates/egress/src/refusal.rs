//! Why a URL or an address is not dialled.

use std::fmt;

/// Why something is not dialled. The texts name no address (deviation D49).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The text is not a URL, or its path cannot stand in a request.
    NotUrl,
    /// Another scheme than `http` and `https`.
    Scheme,
    /// A URL without a host.
    NoHost,
    /// The URL carries a user name or a password, which would become credentials.
    Userinfo,
    /// A name that only a metadata service has.
    MetadataName,
    /// The metadata service of a cloud.
    Metadata,
    /// `0.0.0.0/8`, `::`.
    Unspecified,
    /// Link-local, where metadata services are; site-local.
    LinkLocal,
    /// Documentation and example ranges (RFC 5737, 3849, 9637).
    Documentation,
    /// Benchmarking (RFC 2544, 5180).
    Benchmarking,
    /// Multicast and broadcast.
    Multicast,
    /// Not assigned to hosts.
    Reserved,
    /// The space that carriers share, `100.64.0.0/10` (RFC 6598).
    CarrierNat,
    /// `fc00::/8`, the half of the unique local space that nobody assigns (RFC 4193).
    UnassignedLocal,
    /// A tunnel or translator that leads to an address which is not public.
    Tunnel,
    /// This machine, where the policy refuses it.
    Loopback,
    /// This network, where the policy refuses it.
    Private,
}

impl Refusal {
    /// The value of the label `reason` of `candor_egress_refused_total`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotUrl => "not_url",
            Self::Scheme => "scheme",
            Self::NoHost => "no_host",
            Self::Userinfo => "userinfo",
            Self::MetadataName => "metadata_name",
            Self::Metadata => "metadata",
            Self::Unspecified => "unspecified",
            Self::LinkLocal => "link_local",
            Self::Documentation => "documentation",
            Self::Benchmarking => "benchmarking",
            Self::Multicast => "multicast",
            Self::Reserved => "reserved",
            Self::CarrierNat => "carrier_nat",
            Self::UnassignedLocal => "unassigned_local",
            Self::Tunnel => "tunnel",
            Self::Loopback => "loopback",
            Self::Private => "private",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotUrl => "not a URL",
            Self::Scheme => "the scheme must be http or https",
            Self::NoHost => "no host",
            Self::Userinfo => "the URL carries credentials",
            Self::MetadataName => "the host is refused",
            Self::Metadata => "a metadata address",
            Self::Unspecified => "an unspecified address",
            Self::LinkLocal => "a link-local or metadata address",
            Self::Documentation => "a documentation address",
            Self::Benchmarking => "a benchmarking address",
            Self::Multicast => "a multicast address",
            Self::Reserved => "a reserved address",
            Self::CarrierNat => "a carrier-grade NAT address",
            Self::UnassignedLocal => "an unassigned local address",
            Self::Tunnel => "a tunnelled local address",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
        })
    }
}
