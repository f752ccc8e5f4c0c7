//! What kind of address an IP address is, in whatever notation it comes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How far an address may be trusted to be an agent's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressClass {
    /// Anybody can be there.
    Public,
    /// Only hosts of this network can be there; the word says which kind.
    Local(&'static str),
    /// No agent can be there; the word says why.
    Refused(&'static str),
}

/// Judges an address; IPv4 inside IPv6 (mapped, 6to4, NAT64) is unfolded first.
#[must_use]
pub fn classify(address: IpAddr) -> AddressClass {
    match address {
        IpAddr::V4(v4) => classify_v4(v4),
        IpAddr::V6(v6) => match embedded(v6) {
            Some(v4) => classify_v4(v4),
            None => classify_v6(v6),
        },
    }
}

/// The IPv4 address inside an IPv6 one: mapped (RFC 4291), compatible, 6to4
/// (RFC 3056), NAT64 (RFC 6052).
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = v6.segments();
    let join = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match s {
        [0, 0, 0, 0, 0, 0xffff, high, low] => Some(join(high, low)),
        [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => Some(join(high, low)),
        [0x2002, high, low, ..] => Some(join(high, low)),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(join(high, low)),
        _ => None,
    }
}

fn classify_v4(v4: Ipv4Addr) -> AddressClass {
    use AddressClass::{Local, Public, Refused};
    match v4.octets() {
        [0, ..] => Refused("unspecified"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Local("private"),
        [100, 64..=127, ..] => Local("carrier-grade NAT"),
        [127, ..] => Local("loopback"),
        [169, 254, ..] => Refused("link-local or metadata"),
        [192, 0, 0, _] => Refused("reserved"),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Refused("documentation"),
        [198, 18..=19, ..] => Refused("benchmarking"),
        [224..=239, ..] => Refused("multicast"),
        [240..=255, ..] => Refused("reserved"),
        _ => Public,
    }
}

fn classify_v6(v6: Ipv6Addr) -> AddressClass {
    use AddressClass::{Local, Public, Refused};
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Refused("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Local("loopback"),
        [0x0064, 0xff9b, ..] => Refused("local NAT64"),
        [0x0100, 0, 0, 0, ..] => Refused("discard"),
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Refused("documentation"),
        // The metadata service of one large provider has a fixed local address.
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254] => Refused("metadata"),
        [0xfc00..=0xfdff, ..] => Local("private"),
        [0xfe80..=0xfebf, ..] => Refused("link-local"),
        [0xfec0..=0xfeff, ..] => Refused("site-local"),
        [0xff00..=0xffff, ..] => Refused("multicast"),
        _ => Public,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn class(text: &str) -> AddressClass {
        classify(text.parse().unwrap())
    }

    #[test]
    fn every_row_of_the_legacy_rules_and_their_gaps() {
        for refused in [
            "169.254.169.254",
            "fe80::1",
            "192.0.2.5",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "2001:db8::1",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "240.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "2002:a9fe:a9fe::1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::1",
            "::169.254.169.254",
        ] {
            assert!(
                matches!(class(refused), AddressClass::Refused(_)),
                "{refused}"
            );
        }
        for local in [
            "127.0.0.1",
            "127.8.8.8",
            "::1",
            "10.0.0.5",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.4",
            "100.64.0.1",
            "fd00::1",
            "fc00::1",
            "::ffff:127.0.0.1",
            "2002:7f00:1::",
            "64:ff9b::10.0.0.1",
        ] {
            assert!(matches!(class(local), AddressClass::Local(_)), "{local}");
        }
        for public in [
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1111",
            "192.0.3.1",
        ] {
            assert_eq!(class(public), AddressClass::Public, "{public}");
        }
    }

    proptest! {
        #[test]
        fn wrapping_an_ipv4_address_never_improves_its_class(bits: u32) {
            let v4 = Ipv4Addr::from(bits);
            let [a, b, c, d] = v4.octets();
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            let plain = classify(IpAddr::V4(v4));
            for wrapped in [
                v4.to_ipv6_mapped(),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            ] {
                prop_assert_eq!(classify(IpAddr::V6(wrapped)), plain);
            }
        }
    }
}
