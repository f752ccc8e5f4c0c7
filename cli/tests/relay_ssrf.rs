//! Where no agent may be, nothing is dialled: through the API, in every notation.
#![allow(clippy::unwrap_used)]

use candor_testkit::a2a_agent::A2aAgent;
use candor_testkit::a2a_workspace::{created, message};
use candor_testkit::http::{Call, Client};
use candor_testkit::platform::{Binaries, DataDir, Platform};
use candor_testkit::postgres;
use serde_json::json;

/// Refused under every policy, and the reason that is counted.
const NOWHERE: &[(&str, &str)] = &[
    ("http://169.254.169.254/latest/meta-data/", "link_local"),
    ("http://[::ffff:169.254.169.254]/", "link_local"),
    ("http://[::ffff:a9fe:a9fe]/", "link_local"),
    ("http://2852039166/", "link_local"),
    ("http://0xa9fea9fe/", "link_local"),
    ("http://0251.0376.0251.0376/", "link_local"),
    ("http://[2002:a9fe:a9fe::1]/", "link_local"),
    ("http://[64:ff9b::a9fe:a9fe]/", "link_local"),
    ("http://[2002:7f00:1::1]/", "tunnel"),
    ("http://[64:ff9b::a00:1]/", "tunnel"),
    ("http://[fd00:ec2::254]/", "metadata"),
    ("http://metadata.google.internal/", "metadata_name"),
    ("http://0.0.0.0:8000/", "unspecified"),
    ("http://224.0.0.1/", "multicast"),
    ("http://100.64.0.1/", "carrier_nat"),
    ("ftp://192.0.2.1/", "scheme"),
    ("http://user:word@8.8.8.8/", "userinfo"),
];

async fn up(data: &DataDir, policy: &str) -> Platform {
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let env = [("CANDOR_AGENT_ADDRESSES", policy)];
    binaries.up(data, &env).await.unwrap()
}

/// Sends a message to a workspace at this address; status and body.
async fn send(client: &mut Client, url: &str) -> (u16, serde_json::Value) {
    let members = json!({"name": "elsewhere", "runtime": "external", "external": true, "url": url});
    let id = created(client, &members).await.unwrap();
    let call = Call::post(format!("/workspaces/{id}/a2a"), &message("secret"));
    let answer = client.send(call).await.unwrap();
    (answer.status, answer.json())
}

async fn is_refused(client: &mut Client, url: &str) {
    let (status, body) = send(client, url).await;
    let refused = json!({"error": "workspace URL is not publicly routable"});
    assert_eq!((status, body), (502, refused), "{url}");
}

/// How many URLs were refused for a reason, as the metrics say.
async fn refused(candor: &Platform, reason: &str) -> usize {
    let mut admin = Client::new(candor.admin());
    let metrics = admin.send(Call::get("/metrics")).await.unwrap().text();
    let name = format!("candor_egress_refused_total{{reason=\"{reason}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.map_or(0, |count| count.parse().unwrap())
}

/// Nothing was written about what was not sent, and nothing waits.
async fn no_trace(candor: &Platform) {
    let url = candor.database_url();
    let intents = "SELECT count(*)::text FROM relay.intents";
    postgres::becomes(&url, intents, "0").await.unwrap();
    let traces = "SELECT (SELECT count(*) FROM activity_logs) +
                  (SELECT count(*) FROM relay.entries) + (SELECT count(*) FROM relay.outbox)";
    assert_eq!(postgres::count(&url, traces).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_dialled_where_no_agent_may_be() {
    let data = DataDir::new().unwrap();
    let candor = up(&data, "loopback").await;
    let mut client = Client::new(candor.http());
    for (url, _) in NOWHERE {
        is_refused(&mut client, url).await;
    }
    for (url, reason) in NOWHERE {
        let alike = NOWHERE.iter().filter(|(_, other)| other == reason);
        assert_eq!(
            refused(&candor, reason).await,
            alike.count(),
            "{url} {reason}"
        );
    }
    no_trace(&candor).await;
    // The same machine is where developers' agents are.
    let agent = A2aAgent::start().await.unwrap();
    assert_eq!(send(&mut client, &agent.url()).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_policy_reaches_neither_this_machine_nor_its_network() {
    let data = DataDir::new().unwrap();
    let candor = up(&data, "public").await;
    let mut client = Client::new(candor.http());
    let agent = A2aAgent::start().await.unwrap();
    let port = agent.address().port();
    let here = [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "[::ffff:127.0.0.1]",
        "[::1]",
    ];
    for host in here {
        is_refused(&mut client, &format!("http://{host}:{port}/")).await;
    }
    for host in ["10.0.0.1", "172.16.0.1", "192.168.1.1", "[fd12::1]"] {
        is_refused(&mut client, &format!("http://{host}/")).await;
    }
    assert_eq!(refused(&candor, "loopback").await, here.len());
    assert_eq!(refused(&candor, "private").await, 4);
    assert_eq!(agent.counts().connections, 0);
    no_trace(&candor).await;
}
