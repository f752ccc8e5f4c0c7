//! `echo`: says back what it is told. To try a platform without an agent.

use async_trait::async_trait;

use super::{Answer, Executor, Turn, TurnError, Update};

/// Says back what it is told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Echo;

/// Nothing is waited for: as many as the platform sends.
const PARALLEL: usize = 16;

#[async_trait]
impl Executor for Echo {
    fn name(&self) -> &'static str {
        "echo"
    }

    fn parallel(&self) -> usize {
        PARALLEL
    }

    async fn turn(&self, turn: Turn) -> Result<Answer, TurnError> {
        let text = format!("Echo: {}", turn.prompt.text);
        turn.updates.tell(Update::Text(text.clone()));
        Ok(Answer {
            text,
            ..Answer::default()
        })
    }
}
