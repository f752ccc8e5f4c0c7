//! What kind of address an IP address is, in whatever notation it comes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::refusal::Refusal;

/// Who can be at an address. What no rule knows is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressClass {
    /// Anybody.
    Public,
    /// Hosts of this network.
    Private,
    /// This machine.
    Loopback,
    /// No agent.
    Refused(Refusal),
}

/// Judges an address; IPv4 inside IPv6 (mapped, 6to4, NAT64) is unfolded first.
#[must_use]
pub fn classify(address: IpAddr) -> AddressClass {
    match address {
        IpAddr::V4(v4) => classify_v4(v4),
        IpAddr::V6(v6) => match (v6.to_ipv4_mapped(), tunnelled(v6)) {
            (Some(v4), _) => classify_v4(v4),
            (None, Some(v4)) => match classify_v4(v4) {
                // A gateway is somewhere else: what it calls local is not ours.
                AddressClass::Private | AddressClass::Loopback => {
                    AddressClass::Refused(Refusal::Tunnel)
                }
                class => class,
            },
            (None, None) => classify_v6(v6),
        },
    }
}

/// The IPv4 address that a gateway would translate an IPv6 one to: NAT64
/// (RFC 6052), 6to4 (RFC 3056), compatible (RFC 4291).
fn tunnelled(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match v6.segments() {
        [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => Some(join(high, low)),
        [0x2002, high, low, ..] => Some(join(high, low)),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(join(high, low)),
        _ => None,
    }
}

fn classify_v4(v4: Ipv4Addr) -> AddressClass {
    use AddressClass::{Loopback, Private, Public, Refused};
    match v4.octets() {
        [0, ..] => Refused(Refusal::Unspecified),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Private,
        [100, 64..=127, ..] => Refused(Refusal::CarrierNat),
        [127, ..] => Loopback,
        [169, 254, ..] => Refused(Refusal::LinkLocal),
        // A large provider's service for its guests, in the middle of the internet.
        [168, 63, 129, 16] => Refused(Refusal::Metadata),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Refused(Refusal::Documentation),
        // Protocol assignments (RFC 6890), relays of 6to4 (RFC 7526).
        [192, 0, 0, _] | [192, 88, 99, _] => Refused(Refusal::Reserved),
        [198, 18..=19, ..] => Refused(Refusal::Benchmarking),
        [224..=239, ..] | [255, 255, 255, 255] => Refused(Refusal::Multicast),
        [240..=255, ..] => Refused(Refusal::Reserved),
        _ => Public,
    }
}

/// Deny by default: of all the space only `2000::/3` is given to hosts.
fn classify_v6(v6: Ipv6Addr) -> AddressClass {
    use AddressClass::{Loopback, Private, Public, Refused};
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Refused(Refusal::Unspecified),
        [0, 0, 0, 0, 0, 0, 0, 1] => Loopback,
        // NAT64 with a prefix of the network's own (RFC 8215), Teredo (RFC 4380).
        [0x0064, 0xff9b, 1, ..] | [0x2001, 0, ..] => Refused(Refusal::Tunnel),
        [0x2001, 2, 0, ..] => Refused(Refusal::Benchmarking),
        // Protocol assignments (RFC 2928).
        [0x2001, 0..=0x01ff, ..] => Refused(Refusal::Reserved),
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Refused(Refusal::Documentation),
        [0x2000..=0x3fff, ..] => Public,
        // Where large providers keep metadata and credentials for their guests.
        [0xfd00, 0x0ec2, ..]
        | [0xfd00, 0x00c1, 0, 0, 0, 0, 0xa9fe, 0xa9fe]
        | [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254] => Refused(Refusal::Metadata),
        [0xfc00..=0xfcff, ..] => Refused(Refusal::UnassignedLocal),
        [0xfd00..=0xfdff, ..] => Private,
        [0xfe80..=0xfeff, ..] => Refused(Refusal::LinkLocal),
        [0xff00..=0xffff, ..] => Refused(Refusal::Multicast),
        _ => Refused(Refusal::Reserved),
    }
}
