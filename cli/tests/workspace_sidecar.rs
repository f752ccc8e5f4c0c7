//! A sidecar beside a real agent process, on the real platform: the agent is frozen, and
//! its workspace is degraded with the reason; it is continued, and its workspace heals.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use candor_testkit::a2a_workspace::created;
use candor_testkit::chat::{becomes, chat};
use candor_testkit::http::{Call, Client};
use candor_testkit::platform::{Binaries, DataDir};
use candor_testkit::runtime::ConfigsDir;
use serde_json::json;

fn binaries() -> Binaries {
    Binaries::beside(env!("CARGO_BIN_EXE_candor"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_agent_is_amber_and_heals_when_it_goes_on() {
    let data = DataDir::new().unwrap();
    let candor = binaries().up(&data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    // The agent beside which the sidecar stands: any A2A server; here a runtime whose
    // own platform is not there.
    let (agent_configs, configs) = (ConfigsDir::new().unwrap(), ConfigsDir::new().unwrap());
    let id = created(&mut client, &json!({"name": "mine", "external": true}))
        .await
        .unwrap();
    let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
    let echo = [("CANDOR_EXECUTOR", "echo")];
    let mut agent = binaries()
        .workspace(nowhere, &id, &agent_configs, &echo)
        .await
        .unwrap();
    let url = format!("http://{}", agent.address());
    let env = [
        ("CANDOR_EXECUTOR", "proxy"),
        ("CANDOR_AGENT_URL", url.as_str()),
        ("CANDOR_CANARY_EVERY", "200ms"),
        ("CANDOR_CANARY_TIMEOUT", "1s"),
    ];
    // An external workspace without an address has its token from its creation.
    let minted = Call::get(format!("/admin/workspaces/{id}/test-token"));
    let minted = client.send(minted).await.unwrap().json();
    let token = minted["auth_token"].as_str().unwrap();
    configs.write(".auth_token", token).unwrap();
    let sidecar = binaries()
        .workspace(candor.http(), &id, &configs, &env)
        .await
        .unwrap();
    let shown = becomes(&client, &id, "online").await.unwrap();
    let own = format!("http://localhost:{}", sidecar.address().port());
    assert_eq!(shown["url"], own);
    assert_eq!(
        shown["agent_card"]["url"]
            .as_str()
            .map(|url| url.trim_end_matches('/')),
        Some(own.as_str())
    );
    let answer = chat(&mut client, &id, "hello").await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["result"]["parts"][0]["text"], "Echo: hello");

    agent.freeze();
    let shown = becomes(&client, &id, "degraded").await.unwrap();
    let error = shown["last_sample_error"].as_str().unwrap();
    assert!(error.contains("no answer"), "{error}");
    let asked = Instant::now();
    let refused = chat(&mut client, &id, "are you there?").await.unwrap();
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.text().contains("no answer"), "{}", refused.text());
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );

    agent.thaw();
    becomes(&client, &id, "online").await.unwrap();
    let answer = chat(&mut client, &id, "hello again").await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}
