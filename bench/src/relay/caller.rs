//! A caller that knows what it must be answered.

use std::sync::Arc;

use super::targets::Target;
use crate::Result;
use crate::connection::Connection;
use crate::rate::Sender;

/// One of a load's callers; one call at a time.
#[derive(Debug)]
pub struct Caller {
    target: Arc<Target>,
    connection: Option<Connection>,
    request: String,
    expected: String,
}

impl Caller {
    /// So many, connected if they keep their connections.
    pub fn some(target: &Arc<Target>, count: usize) -> Result<Vec<Self>> {
        let one = |_| {
            let connected = target.kind.keeps();
            Ok(Self {
                target: Arc::clone(target),
                connection: match connected {
                    true => Some(Connection::open(target.http)?),
                    false => None,
                },
                request: String::new(),
                expected: String::new(),
            })
        };
        (0..count).map(one).collect()
    }
}

impl Sender for Caller {
    fn prepare(&mut self, _: usize) {
        let message = self.target.next();
        self.request = self.target.request(message);
        self.expected = message.answer();
    }

    fn send(&mut self) -> Result<()> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.target.http)?,
        };
        let answer = connection.call(self.request.as_bytes())?;
        let (code, body) = (answer.code, answer.body());
        if code != 200 || body != self.expected.as_bytes() {
            let (kind, got) = (self.target.kind, String::from_utf8_lossy(body));
            let expected = &self.expected;
            return Err(format!("{kind} answers {code} {got}, and not {expected}").into());
        }
        if self.target.kind.keeps() {
            self.connection = Some(connection);
        }
        Ok(())
    }
}
