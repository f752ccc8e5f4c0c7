//! How to ask the stand-in (`examples/stand_in.rs`) what it sees, over its own door.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use candor_testkit::http::{Answer, Call, Client};
use candor_testkit::wait::wait_for;
use serde_json::json;

use super::{Place, SOON, Seen};

/// The stand-in at an address.
#[derive(Debug, Clone, Copy)]
pub struct Inside(pub SocketAddr);

/// The stand-in's program; `cargo test` builds it with the tests.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test
        .ancestors()
        .nth(2)
        .map(|target| target.join("examples/stand_in"))
        .unwrap();
    assert!(
        program.exists(),
        "cargo build -p candor-provisioner --examples"
    );
    program
}

impl Inside {
    /// The stand-in at a URL that this machine can reach by number.
    pub fn at(url: &str) -> Option<Self> {
        let address = url.strip_prefix("http://")?.trim_end_matches('/');
        address.parse().ok().map(Self)
    }

    /// The same once it listens: a container that runs need not do so yet.
    pub async fn listening(self) -> Self {
        let answers = wait_for("a stand-in that answers", SOON, || async {
            self.answers().await.then_some(())
        });
        answers.await.unwrap();
        self
    }

    async fn ask(self, call: Call) -> Option<Answer> {
        Client::new(self.0).send(call).await.ok()
    }

    pub async fn answers(self) -> bool {
        let answer = self.ask(Call::get("/")).await;
        answer.is_some_and(|answer| answer.status == 200)
    }

    pub async fn env(self) -> BTreeMap<String, String> {
        let answer = self.ask(Call::get("/env")).await.expect("an answer");
        serde_json::from_slice(&answer.body).unwrap()
    }

    pub async fn file(self, place: Place, path: &str) -> Option<Seen> {
        let call = Call::post("/read", &json!({"place": name(place), "path": path}));
        let answer = self.ask(call).await.expect("an answer");
        let mode = answer.header("x-mode").parse().ok();
        (answer.status == 200).then(|| Seen {
            content: answer.body.to_vec(),
            mode,
        })
    }

    pub async fn leave(self, place: Place, path: &str, content: &str) {
        let body = json!({"place": name(place), "path": path, "content": content});
        let answer = self.ask(Call::post("/leave", &body)).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

fn name(place: Place) -> &'static str {
    match place {
        Place::Configs => "configs",
        Place::Workspace => "workspace",
        Place::Session => "session",
    }
}
