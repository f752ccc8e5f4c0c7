//! Whatever the URL and whatever the name server says: no dial to a refused address.
//! The judge here is a list of networks, written apart from the code it judges.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod agent;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use candor_egress::{AddressClass, AddressPolicy, Egress, Lookup, classify};
use ipnet::IpNet;
use proptest::prelude::*;
use tokio::runtime::Runtime;

/// Nobody is dialled there, ever.
const NEVER: &[&str] = &[
    "0.0.0.0/8",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "3fff::/20",
    "5f00::/16",
    "fc00::/8",
    "fd00:ec2::/32",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];
const PRIVATE: &[&str] = &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8"];
const LOOPBACK: &[&str] = &["127.0.0.0/8", "::1/128"];

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

fn within(networks: &[&str], address: IpAddr) -> bool {
    networks
        .iter()
        .any(|network| network.parse::<IpNet>().unwrap().contains(&address))
}

/// The IPv4 address that an IPv6 one stands for, and whether it is behind a gateway.
fn inside(address: IpAddr) -> (IpAddr, bool) {
    let IpAddr::V6(v6) = address else {
        return (address, false);
    };
    let bytes = v6.octets();
    let v4 = |at: usize| {
        let four: [u8; 4] = bytes[at..at + 4].try_into().unwrap();
        IpAddr::V4(Ipv4Addr::from(four))
    };
    let network = |text: &str| text.parse::<IpNet>().unwrap().contains(&address);
    if network("::ffff:0:0/96") {
        (v4(12), false)
    } else if network("64:ff9b::/96") || (network("::/96") && bytes[12..14] != [0, 0]) {
        (v4(12), true)
    } else if network("2002::/16") {
        (v4(2), true)
    } else {
        (address, false)
    }
}

fn may_be_dialled(address: IpAddr, policy: AddressPolicy) -> bool {
    let (address, behind_gateway) = inside(address);
    let local = within(PRIVATE, address);
    let here = within(LOOPBACK, address);
    !within(NEVER, address)
        && !(behind_gateway && (local || here))
        && !(here && policy != AddressPolicy::Loopback)
        && !(local && policy == AddressPolicy::Public)
}

struct Says(Vec<IpAddr>);

impl Lookup for Says {
    fn lookup(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(self.0.clone())
    }
}

fn admitted(url: &str, policy: AddressPolicy, answer: &[IpAddr]) -> bool {
    let egress: Egress = agent::bounded(
        policy,
        Says(answer.to_vec()),
        candor_egress::Limits::default(),
    );
    RUNTIME.block_on(egress.check(url)).is_ok()
}

fn policies() -> impl Strategy<Value = AddressPolicy> {
    prop_oneof![
        Just(AddressPolicy::Loopback),
        Just(AddressPolicy::Private),
        Just(AddressPolicy::Public)
    ]
}

/// Addresses, the dangerous ones and their wrappings more often than by chance.
fn addresses() -> impl Strategy<Value = IpAddr> {
    let network = prop::sample::select([NEVER, PRIVATE, LOOPBACK].concat());
    let inner = (network, any::<u128>()).prop_map(|(network, bits)| {
        match network.parse::<IpNet>().unwrap() {
            IpNet::V4(net) => {
                let bits = u32::try_from(bits >> 96).unwrap();
                let host = bits & u32::from(net.hostmask());
                IpAddr::V4(Ipv4Addr::from(u32::from(net.network()) | host))
            }
            IpNet::V6(net) => {
                let host = bits & u128::from(net.hostmask());
                IpAddr::V6(Ipv6Addr::from(u128::from(net.network()) | host))
            }
        }
    });
    let plain = prop_oneof![
        inner,
        any::<u32>().prop_map(|bits| IpAddr::V4(bits.into())),
        any::<u128>().prop_map(|bits| IpAddr::V6(bits.into())),
    ];
    (plain, 0..5_u8, any::<u64>()).prop_map(|(address, wrapping, noise)| match address {
        IpAddr::V4(v4) => wrap(v4, wrapping, noise),
        IpAddr::V6(_) => address,
    })
}

fn wrap(v4: Ipv4Addr, wrapping: u8, noise: u64) -> IpAddr {
    let bits = u128::from(u32::from(v4));
    IpAddr::V6(Ipv6Addr::from(match wrapping {
        0 => 0xffff_0000_0000 | bits,
        1 => (0x0064_ff9b << 96) | bits,
        2 => (0x2002 << 112) | (bits << 80) | u128::from(noise),
        3 => bits,
        _ => return IpAddr::V4(v4),
    }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn an_address_is_dialled_only_where_the_networks_allow_it(
        address in addresses(),
        policy in policies(),
    ) {
        let host = match address {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("[{v6}]"),
        };
        if admitted(&format!("http://{host}/"), policy, &[]) {
            prop_assert!(may_be_dialled(address, policy), "{address}");
        }
    }

    #[test]
    fn an_ipv4_address_in_any_notation_is_judged_alike(
        bits: u32,
        parts in 1..=4_u32,
        bases in prop::array::uniform4(0..3_u8),
        policy in policies(),
    ) {
        let write = |number: u32, base: u8| match base {
            0 => number.to_string(),
            1 => format!("0x{number:X}"),
            _ => format!("0{number:o}"),
        };
        let mut host: Vec<String> = (0..parts - 1)
            .map(|part| write(bits >> (24 - 8 * part) & 0xff, bases[part as usize]))
            .collect();
        let rest = u32::try_from(u64::from(bits) & ((1 << (8 * (5 - parts))) - 1)).unwrap();
        host.push(write(rest, bases[3]));
        let plain = admitted(&format!("http://{}/", Ipv4Addr::from(bits)), policy, &[]);
        prop_assert_eq!(admitted(&format!("http://{}/", host.join(".")), policy, &[]), plain);
    }

    #[test]
    fn wrapping_an_ipv4_address_never_improves_its_class(bits: u32, noise: u64) {
        let plain = classify(IpAddr::V4(bits.into()));
        for wrapping in 0..4 {
            let wrapped = classify(wrap(bits.into(), wrapping, noise));
            let worse = matches!(wrapped, AddressClass::Refused(_));
            prop_assert!(wrapped == plain || worse, "{wrapping}: {wrapped:?}, {plain:?}");
        }
    }

    #[test]
    fn a_name_with_one_forbidden_address_is_not_dialled(
        answer in prop::collection::vec(addresses(), 1..6),
        policy in policies(),
    ) {
        let allowed = answer.iter().all(|address| may_be_dialled(*address, policy));
        prop_assert!(allowed || !admitted("http://agent.test/", policy, &answer));
    }

    #[test]
    fn no_text_panics_or_leads_to_a_forbidden_address(
        text in prop_oneof![
            any::<String>(),
            "(https?:/{0,3})?[0-9a-fA-FxX.:\\[\\]@%/\\\\?#]{0,40}",
            "https?://([a-z:@.]{0,8})?(0[xX]?)?[0-9a-f]{1,10}(\\.[0-9]{1,4}){0,3}\\.?(:[0-9]{0,5})?/.*",
            "https?://\\[[0-9a-f:.]{2,30}\\](:[0-9]{0,5})?",
        ],
        answer in addresses(),
        policy in policies(),
    ) {
        if !admitted(&text, policy, &[answer]) {
            return Ok(());
        }
        let url = url::Url::parse(&text).unwrap();
        prop_assert!(matches!(url.scheme(), "http" | "https"));
        prop_assert!(url.username().is_empty() && url.password().is_none());
        let dialled = match url.host().unwrap() {
            url::Host::Ipv4(v4) => IpAddr::V4(v4),
            url::Host::Ipv6(v6) => IpAddr::V6(v6),
            url::Host::Domain("localhost") => IpAddr::V4(Ipv4Addr::LOCALHOST),
            url::Host::Domain(_) => answer,
        };
        prop_assert!(may_be_dialled(dialled, policy), "{text}: {dialled}");
    }
}
