//! The A2A server alone, without a platform: to try clients against it.
//! `cargo run -p candor-workspace --example echo_server -- 127.0.0.1:8000`
//!
//! It says back what it is told, a word at a time. What begins with `wait` is waited
//! for until it is cancelled, what begins with `fail` fails, and what begins with
//! `wedge` is an error after which the agent never answers again. The workspace's token,
//! with which all tasks are listed, is `secret`.

use std::sync::Arc;

use async_trait::async_trait;
use candor_kernel::WorkspaceId;
use candor_workspace::a2a::{self, Card, Served, Skill};
use candor_workspace::executor::{Answer, Executor, Turn, TurnError, Update};
use candor_workspace::token::TokenStore;
use candor_workspace::turns::Turns;
use candor_workspace::vitals::Vitals;
use candor_workspace::wedge::Detector;

struct Words;

static DETECTOR: Detector = Detector(&["control request timeout"]);

#[async_trait]
impl Executor for Words {
    fn name(&self) -> &'static str {
        "words"
    }

    fn parallel(&self) -> usize {
        4
    }

    fn detector(&self) -> Option<&'static Detector> {
        Some(&DETECTOR)
    }

    async fn turn(&self, turn: Turn) -> Result<Answer, TurnError> {
        let prompt = &turn.prompt.text;
        match prompt.split_whitespace().next() {
            Some("wait") => {
                turn.cancel.cancelled().await;
                return Err(TurnError::Cancelled);
            }
            Some("fail") => return Err(TurnError::Failed(format!("this failed: {prompt}"))),
            Some("wedge") => {
                let error = "Control request timeout: initialize";
                return Err(TurnError::Failed(error.to_owned()));
            }
            _ => {}
        }
        let text = format!("Echo: {prompt}");
        for word in text.split_inclusive(' ') {
            turn.updates.tell(Update::Text(word.to_owned()));
            tokio::task::yield_now().await;
        }
        Ok(Answer {
            text,
            ..Answer::default()
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1);
    let address = address.unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = tokio::net::TcpListener::bind(address).await?;
    let url = format!("http://{}/", listener.local_addr()?);
    let skill = Skill {
        id: "echo".into(),
        name: "echo".into(),
        description: "Says back what it is told.".into(),
        tags: vec!["echo".into()],
    };
    let folder = tempfile::tempdir()?;
    let tokens = TokenStore::open(folder.path())?;
    tokens.save("secret")?;
    let served = Served {
        turns: Turns::new(Arc::new(Words), Vitals::new(&Words)),
        workspace: WorkspaceId::from_uuid(uuid::Uuid::new_v4()),
        tokens: Arc::new(tokens),
        card: Card {
            name: "echo".into(),
            description: "Says back what it is told.".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            skills: vec![skill],
            streaming: true,
            url: url.clone(),
        },
        limits: a2a::Limits::default(),
    };
    println!("{url}");
    axum::serve(listener, a2a::router(served)).await?;
    Ok(())
}
