//! Both rule sets of the original (contract/a2a.md S, contract/registry.md V) with
//! their gaps, in every notation, under every policy.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod agent;

use agent::{Names, bounded, egress};
use candor_egress::{AddressClass, AddressPolicy, DialError, Limits, Refusal, classify};

const POLICIES: [AddressPolicy; 3] = [
    AddressPolicy::Loopback,
    AddressPolicy::Private,
    AddressPolicy::Public,
];

/// Hosts as they stand in a URL, and whether each policy dials them.
const TABLE: &[(&[&str], [bool; 3])] = &[
    (
        &[
            "127.0.0.1",
            "127.255.255.254",
            "[::1]",
            "localhost",
            "LOCALHOST",
            "localhost.",
            // Decimal, hexadecimal, octal, short, mapped.
            "2130706433",
            "0x7f.1",
            "0x7f000001",
            "0177.0.0.01",
            "127.1",
            "127.0.0.1.",
            "[::ffff:127.0.0.1]",
            "[0:0:0:0:0:ffff:7f00:1]",
            "%31%32%37.0.0.1",
            "①②⑦.0.0.1",
        ],
        [true, false, false],
    ),
    (
        &[
            "10.0.0.0",
            "10.255.255.255",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "192.168.255.255",
            "[fd00::1]",
            "[fdff:ffff::1]",
            "[::ffff:10.0.0.5]",
            "167772161",
        ],
        [true, true, false],
    ),
    (
        &[
            "8.8.8.8",
            "172.15.255.255",
            "172.32.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "192.0.3.1",
            "198.17.255.255",
            "198.20.0.1",
            "223.255.255.255",
            "[2606:4700::1111]",
            "[2001:200::1]",
            "[::ffff:8.8.8.8]",
            "[64:ff9b::8.8.8.8]",
            "[2002:808:808::1]",
        ],
        [true, true, true],
    ),
    (
        &[
            // Sets S and V.
            "169.254.0.1",
            "169.254.169.254",
            "[fe80::1]",
            "[febf::1]",
            "0.0.0.0",
            "[::]",
            "224.0.0.1",
            "[ff01::1]",
            "[ff02::1]",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "100.64.0.1",
            "100.127.255.255",
            "[fc00::1]",
            "[fcff::1]",
            "[2001:db8::1]",
            // Their gaps.
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "0.1.2.3",
            "198.18.0.1",
            "198.19.255.255",
            "[ff0e::1]",
            "[64:ff9b::169.254.169.254]",
            "[64:ff9b::127.0.0.1]",
            "[64:ff9b::10.0.0.1]",
            "[64:ff9b:1::1]",
            "[2002:a9fe:a9fe::1]",
            "[2002:7f00:1::]",
            "[2002:a00:1::]",
            "[::169.254.169.254]",
            "[::127.0.0.1]",
            "[::2]",
            "[::ffff:0:127.0.0.1]",
            // Teredo, site-local, discard, benchmarking, assignments, beyond 2000::/3.
            "[2001::1]",
            "[fec0::1]",
            "[100::1]",
            "[2001:2::1]",
            "[2001:10::1]",
            "[3fff::1]",
            "[4000::1]",
            "[5f00::1]",
            "192.0.0.192",
            "192.88.99.1",
            // Metadata services elsewhere.
            "168.63.129.16",
            "100.100.100.200",
            "[fd00:ec2::254]",
            "[fd00:ec2::23]",
            "[fd20:ce::254]",
            "[fd00:c1::a9fe:a9fe]",
            "metadata.google.internal",
            "Metadata.Google.Internal.",
            // The metadata address in other notations.
            "2852039166",
            "0xa9fea9fe",
            "0251.0376.0251.0376",
            "169.254.43518",
            "[::ffff:a9fe:a9fe]",
            "[::ffff:169.254.169.254]",
        ],
        [false, false, false],
    ),
];

#[tokio::test]
async fn every_row_under_every_policy() {
    for (column, policy) in POLICIES.into_iter().enumerate() {
        let names = Names::telling(&[]);
        let egress = egress(policy, names.clone());
        for (hosts, admitted) in TABLE {
            for host in *hosts {
                let verdict = egress.check(&format!("http://{host}:8000/a2a")).await;
                if admitted[column] {
                    assert_eq!(verdict, Ok(()), "{policy}: {host}");
                } else {
                    assert!(
                        matches!(verdict, Err(DialError::AddressRefused(_))),
                        "{policy}: {host}: {verdict:?}"
                    );
                }
            }
        }
        assert_eq!(names.asked(), 0, "an address was looked up");
    }
}

#[tokio::test]
async fn a_name_is_as_bad_as_its_worst_address() {
    for (hosts, admitted) in TABLE {
        let literals = hosts.iter().map(|host| host.trim_matches(['[', ']']));
        for address in literals.filter(|host| host.parse::<std::net::IpAddr>().is_ok()) {
            for (column, policy) in POLICIES.into_iter().enumerate() {
                for answer in [&[address][..], &["8.8.8.8", address], &[address, "8.8.8.8"]] {
                    let egress = egress(policy, Names::telling(&[answer]));
                    let verdict = egress.check("http://agent.test/").await;
                    assert_eq!(verdict.is_ok(), admitted[column], "{policy}: {answer:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_no_address_of_an_agent_is_refused_with_its_reason() {
    let egress = egress(AddressPolicy::Loopback, Names::telling(&[]));
    for (url, why) in [
        ("", Refusal::NotUrl),
        ("localhost", Refusal::NotUrl),
        ("http://", Refusal::NotUrl),
        ("http://256.256.256.256/", Refusal::NotUrl),
        ("http://127.0.0.1:99999/", Refusal::NotUrl),
        ("http://[fe80::1%25eth0]/", Refusal::NotUrl),
        ("localhost:8000", Refusal::Scheme),
        ("ftp://localhost/", Refusal::Scheme),
        ("file:///etc/passwd", Refusal::Scheme),
        ("remote://no-inbound", Refusal::Scheme),
        ("http://user:pw@localhost:8000/", Refusal::Userinfo),
        ("http://user@localhost:8000/", Refusal::Userinfo),
        ("http://:pw@localhost:8000/", Refusal::Userinfo),
        ("http://8.8.8.8@169.254.169.254/", Refusal::Userinfo),
        ("http://169.254.169.254#@8.8.8.8/", Refusal::LinkLocal),
        ("http://./", Refusal::MetadataName),
    ] {
        let verdict = egress.check(url).await;
        assert_eq!(verdict, Err(DialError::AddressRefused(why)), "{url}");
        assert!(verdict.unwrap_err().is_refused_address());
    }
}

#[tokio::test]
async fn a_name_without_addresses_does_not_resolve() {
    for names in [Names::telling(&[]), Names::telling(&[&[]])] {
        let egress = egress(AddressPolicy::Loopback, names);
        let error = egress.check("http://agent.test/").await.unwrap_err();
        assert!(matches!(error, DialError::Unresolvable { .. }), "{error:?}");
        assert!(error.is_refused_address() && !error.was_written());
    }
}

#[tokio::test]
async fn lookups_are_bounded_in_time_and_in_number() {
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = std::sync::Mutex::new(blocked);
    struct Slow(std::sync::Mutex<std::sync::mpsc::Receiver<()>>);
    impl candor_egress::Lookup for Slow {
        fn lookup(&self, _: &str) -> std::io::Result<Vec<std::net::IpAddr>> {
            let _released = self.0.lock().unwrap().recv();
            Ok(vec!["8.8.8.8".parse().unwrap()])
        }
    }
    let limits = Limits {
        lookups: 1,
        lookup: std::time::Duration::from_millis(50),
        ..Limits::default()
    };
    let egress = bounded(AddressPolicy::Public, Slow(blocked), limits);
    let slow = egress.check("http://slow.test/").await;
    assert!(
        matches!(slow, Err(DialError::Unresolvable { .. })),
        "{slow:?}"
    );
    // Its thread is still busy: that is nobody's fault but ours.
    let next = egress.check("http://next.test/").await;
    assert!(
        matches!(next, Err(DialError::Overloaded { .. })),
        "{next:?}"
    );
    assert_eq!(egress.check("http://8.8.8.8/").await, Ok(()));
    drop(release);
    let mut free = egress.check("http://next.test/").await;
    for _ in 0..100 {
        if free.is_ok() {
            break;
        }
        free = egress.check("http://next.test/").await;
    }
    assert_eq!(free, Ok(()));
}

#[test]
fn policies_are_written_as_they_are_read() {
    for policy in POLICIES {
        assert_eq!(policy.to_string().parse(), Ok(policy));
    }
    for wrong in ["", "Loopback", "all", "none"] {
        assert!(wrong.parse::<AddressPolicy>().is_err(), "{wrong}");
    }
    let nat = classify("100.64.0.1".parse().unwrap());
    assert_eq!(nat, AddressClass::Refused(Refusal::CarrierNat));
}
