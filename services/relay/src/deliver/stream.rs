//! An answer that comes as a stream of events: passed on as it comes, at the pace of
//! its reader, with as much memory as a few chunks take.

use bytes::{Bytes, BytesMut};
use candor_egress::AgentBody;
use candor_kernel::{Error, Reason};
use sha2::{Digest as _, Sha256};

use super::attempt::Head;
use super::clock::Clock;
use super::end::{Sent, answer_lost};
use super::{Message, Out, Reply, reply};
use crate::app::App;
use crate::door::{Sse, Strict};
use crate::record::Ending;
use crate::target::Target;

/// What the log keeps of a stream.
const KEPT: usize = 16 * 1024;

/// What passed so far.
struct Passed {
    beginning: BytesMut,
    bytes: usize,
    digest: Sha256,
}

impl Passed {
    fn new() -> Self {
        Self {
            beginning: BytesMut::new(),
            bytes: 0,
            digest: Sha256::new(),
        }
    }

    fn add(&mut self, chunk: &[u8]) {
        let room = KEPT - self.beginning.len();
        self.beginning
            .extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
        self.bytes += chunk.len();
        self.digest.update(chunk);
    }

    /// How its row ends, and what is kept of it.
    fn ending(self, head: &Head) -> (Ending, Bytes) {
        let beginning = self.beginning.freeze();
        let response = match self.bytes > beginning.len() {
            true => reply::beginning(beginning.clone(), self.bytes, &self.digest.finalize()),
            false => reply::kept(&beginning),
        };
        let ending = Ending {
            response: Some(response),
            ..reply::ending(head, &Bytes::new())
        };
        (ending, beginning)
    }
}

/// What comes next of a stream.
enum Next {
    Chunk(Bytes),
    End,
    Broken(String),
    /// Its only reason, the caller, is gone.
    Left,
}

async fn next(
    app: &App,
    message: &Message,
    body: &mut AgentBody,
    clock: &Clock,
    out: &Out,
) -> Next {
    tokio::select! {
        () = app.stop.cancelled() => Next::Broken("the platform is shutting down".to_owned()),
        () = out.closed(), if message.envelope.reads_only() => Next::Left,
        next = clock.within(body.next_chunk()) => match next {
            Ok(Some(Ok(chunk))) => Next::Chunk(chunk),
            Ok(None) => Next::End,
            Ok(Some(Err(error))) => Next::Broken(error.to_string()),
            Err(expired) => Next::Broken(expired.text()),
        },
    }
}

/// Why a stream ended before its end.
enum Broken {
    Lost(String),
    /// It is none of the protocol.
    Misread(candor_a2a::Error),
}

/// Says a stream in the version of its caller; where that is the agent's, or at the
/// legacy door, its bytes pass.
struct Teller<'a> {
    target: &'a Target,
    telling: Option<(&'a Strict, Sse)>,
}

impl<'a> Teller<'a> {
    fn of(message: &'a Message) -> Self {
        let strict = message.strict.as_ref();
        Self {
            target: &message.target,
            telling: strict.and_then(|strict| Some((strict, strict.events()?))),
        }
    }

    fn tell(&mut self, chunk: Bytes) -> Result<Bytes, candor_a2a::Error> {
        match &mut self.telling {
            Some((strict, sse)) => strict.tell(self.target, &sse.push(&chunk)?),
            None => Ok(chunk),
        }
    }

    fn finish(&mut self) -> Result<Bytes, candor_a2a::Error> {
        match &mut self.telling {
            Some((strict, sse)) => strict.tell(self.target, sse.finish()?.as_slice()),
            None => Ok(Bytes::new()),
        }
    }
}

/// Passes a stream on to its end. Who goes away ends a stream that only reads; the
/// task behind any other one goes on, and so does its stream, unseen.
pub(super) async fn pump(
    sent: Sent<'_>,
    message: &Message,
    head: Head,
    mut body: AgentBody,
    mut clock: Clock,
    out: &Out,
) -> Result<Reply, Error> {
    let open = metrics::gauge!("candor_relay_streams");
    open.increment(1.0);
    let mut passed = Passed::new();
    let mut teller = Teller::of(message);
    let mut took = out.head(&head).await;
    let broken = loop {
        let (told, ended) = match next(sent.app, message, &mut body, &clock, out).await {
            Next::Chunk(chunk) => {
                clock.moved();
                passed.add(&chunk);
                (teller.tell(chunk), false)
            }
            Next::End => (teller.finish(), true),
            Next::Left => break None,
            Next::Broken(why) => break Some(Broken::Lost(why)),
        };
        match told {
            Ok(told) if took && !told.is_empty() => took = out.data(told).await,
            Ok(_) => {}
            Err(error) => break Some(Broken::Misread(error)),
        }
        if ended {
            break None;
        }
    };
    open.decrement(1.0);
    match broken {
        None => {}
        Some(Broken::Lost(why)) => {
            sent.broken(message, &head, &why).await;
            return Err(answer_lost("failed to read agent response", &head));
        }
        Some(Broken::Misread(error)) => {
            sent.broken(message, &head, error.message()).await;
            let text = error.message().to_owned();
            return Err(Error::new(Reason::InvalidAnswer, text));
        }
    }
    sent.app.waker.answered(message.target.id);
    let (ending, beginning) = passed.ending(&head);
    sent.finish(message, &head, &beginning, ending).await;
    match took {
        true => Ok(Reply::Sent),
        // What it missed must not look like the end.
        false => Err(answer_lost("the answer was not read in time", &head)),
    }
}
