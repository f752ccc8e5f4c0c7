//! A workspace with a written-down platform.
#![allow(dead_code, clippy::unwrap_used)]

use std::sync::{Arc, OnceLock};

use candor_kernel::WorkspaceId;
use candor_process::telemetry::{Telemetry, TelemetrySettings};
use candor_testkit::fake_platform::{FakePlatform, Received, Scripted};
use candor_workspace::executor::echo::Echo;
use candor_workspace::platform::Platform;
use candor_workspace::token::TokenStore;
use candor_workspace::vitals::Vitals;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

pub const WORKSPACE: &str = "11111111-1111-4111-8111-111111111111";
pub const PEER: &str = "22222222-2222-4222-8222-222222222222";
pub const TOKEN: &str = "the-workspace-token";

/// Traces exist where telemetry does: once in a process.
fn traced() {
    static TELEMETRY: OnceLock<Telemetry> = OnceLock::new();
    TELEMETRY
        .get_or_init(|| Telemetry::start(&TelemetrySettings::new("candor-workspace")).unwrap());
}

pub struct World {
    pub fake: FakePlatform,
    pub configs: TempDir,
    pub platform: Platform,
    pub vitals: Arc<Vitals>,
}

impl World {
    pub async fn start() -> Self {
        traced();
        let fake = FakePlatform::start().await.unwrap();
        let configs = tempfile::tempdir().unwrap();
        std::fs::write(configs.path().join(".auth_token"), TOKEN).unwrap();
        let tokens = Arc::new(TokenStore::open(configs.path()).unwrap());
        let base = Url::parse(&fake.url()).unwrap();
        let workspace: WorkspaceId = WORKSPACE.parse().unwrap();
        let platform = Platform::new(base, workspace, tokens).unwrap();
        Self {
            fake,
            configs,
            platform,
            vitals: Vitals::new(&Echo),
        }
    }

    /// Every call so far proved who made it.
    pub fn assert_proven(&self) {
        let unproven = self.fake.unproven(WORKSPACE, TOKEN);
        assert!(unproven.is_empty(), "{unproven:#?}");
        assert!(!self.fake.requests().is_empty());
    }

    /// The self-messages so far.
    pub fn self_messages(&self) -> Vec<Received> {
        self.fake.requests_to("POST", &own("a2a"))
    }

    pub async fn wait_for_self_messages(&self, number: usize) -> Vec<Received> {
        let route = own("a2a");
        let found = self.fake.wait_for_requests("POST", &route, number);
        found.await.unwrap()
    }
}

/// One of the workspace's own routes.
pub fn own(route: &str) -> String {
    format!("/workspaces/{WORKSPACE}/{route}")
}

/// The text of a message.
pub fn text(message: &Received) -> String {
    let message = message.json();
    assert_eq!(message["jsonrpc"], "2.0");
    assert_eq!(message["method"], "message/send");
    let message = &message["params"]["message"];
    assert_eq!(message["role"], "user");
    assert_eq!(message["parts"][0]["kind"], "text");
    message["parts"][0]["text"].as_str().unwrap().to_owned()
}

/// The id of a message.
pub fn message_id(message: &Received) -> String {
    let id = &message.json()["params"]["message"]["messageId"];
    id.as_str().unwrap().to_owned()
}

/// An agent's answer.
pub fn answered(words: &str) -> Scripted {
    Scripted::ok(said(words))
}

pub fn said(words: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": "1", "result": {
        "kind": "message", "role": "agent", "messageId": "m",
        "parts": [{"kind": "text", "text": words}],
    }})
}
