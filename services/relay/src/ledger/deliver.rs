//! One attempt at an accepted message.

use std::time::Duration;

use bytes::Bytes;
use candor_egress::DialError;
use candor_kernel::Error;
use http::StatusCode;

use super::{report, retry};
use crate::app::App;
use crate::deliver::attempt::{Attempt, Head, Letter, attempt};
use crate::deliver::clock::Clock;
use crate::deliver::reply;
use crate::record::Ending;
use crate::store::leases::{self, Leased, Postponed};
use crate::store::within;
use crate::target::Target;

/// How an attempt ended for the ledger.
enum Verdict {
    Delivered(Ending, Option<(Head, Bytes)>),
    Failed(Ending, Option<Bytes>),
    Later {
        after: Duration,
        error: String,
        maybe_delivered: bool,
        /// It counts against the attempts that may end so.
        is_fruitless: bool,
    },
}

impl Verdict {
    /// With how long it took, where no answer says it.
    fn timed(mut self, took: Duration) -> Self {
        if let Self::Delivered(ending, _) | Self::Failed(ending, _) = &mut self {
            let millis = i32::try_from(took.as_millis()).unwrap_or(i32::MAX);
            ending.duration_ms.get_or_insert(millis);
        }
        self
    }
}

/// A delegation is given up when its agent cannot be reached twice, so long apart
/// (contract/a2a.md, "Background run").
const DELEGATION_RETRY: Duration = Duration::from_secs(8);

/// Sends a message and writes down what became of it.
pub(super) async fn deliver(app: &App, message: Leased, target: &Target) {
    let watch = app.progressing.watch(target.id);
    let idle = target.idle_timeout.unwrap_or(app.config.idle_timeout);
    let mut clock = Clock::start(idle, None, watch);
    let letter = Letter {
        url: target.url.clone(),
        body: Bytes::from(message.body.clone()),
        attempt: message.attempts,
        a2a_version: message.a2a_version.clone(),
        a2a_extensions: String::new(),
        streams: false,
    };
    report::dispatched(app, &message).await;
    let dialled = attempt(app, letter, &mut clock).await;
    app.health.dialled(app, target, &clock, &dialled).await;
    let verdict = judge(dialled, &message, target).timed(clock.elapsed());
    let written = match &verdict {
        Verdict::Delivered(ending, answer) => {
            app.waker.answered(target.id);
            let answer = answer.as_ref().map(|(head, body)| (head, body));
            within(report::delivered(
                app,
                &message,
                target,
                ending.clone(),
                answer,
            ))
            .await
        }
        Verdict::Failed(ending, body) => {
            within(report::failed(app, &message, ending.clone(), body.as_ref())).await
        }
        Verdict::Later { .. } => within(postpone(app, &message, &verdict)).await,
    };
    if let Err(error) = written {
        // The lease ends by itself, and the message is sent again.
        tracing::warn!(
            entry = %message.id,
            internal = error.internal_text(),
            "what became of a message was not written down, it will be sent again"
        );
    }
}

async fn postpone(app: &App, message: &Leased, verdict: &Verdict) -> Result<(), Error> {
    let Verdict::Later {
        after,
        error,
        maybe_delivered,
        is_fruitless,
    } = verdict
    else {
        return Ok(());
    };
    report::waits(app, message).await;
    let mut connection = app.store.connection().await?;
    let how = Postponed {
        id: message.id,
        owner: app.me,
        delay_seconds: after.as_secs_f64(),
        error,
        maybe_delivered: *maybe_delivered,
        is_fruitless: *is_fruitless,
        untried: false,
    };
    leases::postpone(&mut connection, how).await
}

fn judge(attempt: Attempt, message: &Leased, target: &Target) -> Verdict {
    match attempt {
        Attempt::Answered(head, body) => answered(head, body, message, target),
        // Not asked for: an attempt here reads answers whole.
        Attempt::Streams(head, _) => Verdict::Delivered(reply::ending(&head, &Bytes::new()), None),
        Attempt::NotReached(error) => not_reached(&error, message, target),
        Attempt::Closed(error) => Verdict::Later {
            after: retry::pause(message.attempts),
            error: error.to_string(),
            maybe_delivered: error.was_written(),
            is_fruitless: false,
        },
        Attempt::Expired(expired, sent) => fruitless(message, &expired.text(), sent, target),
        Attempt::Lost(head, why) if head.confirms() => Verdict::Delivered(
            Ending {
                status: "ok",
                error: Some(why),
                duration_ms: Some(reply::millis(&head)),
                ..Ending::default()
            },
            None,
        ),
        Attempt::Lost(_, why) => fruitless(message, &why, true, target),
        Attempt::TooLarge(head) if !head.confirms() => {
            let why = format!("the agent answered {}", head.status.as_u16());
            Verdict::Failed(Ending::failed(&target.name, &why), None)
        }
        Attempt::TooLarge(head) => Verdict::Delivered(
            Ending {
                duration_ms: Some(reply::millis(&head)),
                status: "ok",
                error: Some("agent response too large".to_owned()),
                ..Ending::default()
            },
            None,
        ),
    }
}

/// An attempt that must not be repeated for ever.
fn fruitless(message: &Leased, why: &str, maybe_delivered: bool, target: &Target) -> Verdict {
    if message.fruitless + 1 >= retry::MOST_FRUITLESS || message.is_task() {
        return Verdict::Failed(Ending::failed(&target.name, why), None);
    }
    Verdict::Later {
        after: retry::pause(message.attempts),
        error: why.to_owned(),
        maybe_delivered,
        is_fruitless: true,
    }
}

/// An answer is a delivery, unless it says to come again. A refusal is final: the
/// same message would be refused again (contract/flaws.md 76).
fn answered(head: Head, body: Bytes, message: &Leased, target: &Target) -> Verdict {
    let again = matches!(
        head.status,
        StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_EARLY
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::SERVICE_UNAVAILABLE
    );
    if again {
        let why = format!("the agent answered {}", head.status.as_u16());
        return match head.retry_after.as_deref() {
            // It did not begin, and says when to come again: as busy as one that closes
            // the connection, a task's agent too.
            Some(pause) => Verdict::Later {
                after: retry::asked(pause, message.attempts).max(retry::pause(message.attempts)),
                error: why,
                maybe_delivered: false,
                is_fruitless: false,
            },
            None => fruitless(message, &why, false, target),
        };
    }
    let ending = reply::ending(&head, &body);
    if head.confirms() && !head.status.is_redirection() {
        return Verdict::Delivered(ending, Some((head, body)));
    }
    let why = format!("the agent answered {}", head.status.as_u16());
    Verdict::Failed(
        Ending {
            status: "error",
            error: Some(why),
            ..ending
        },
        Some(body),
    )
}

fn not_reached(error: &DialError, message: &Leased, target: &Target) -> Verdict {
    let why = error.to_string();
    let twice = message.is_task() && message.fruitless > 0;
    if twice && !matches!(error, DialError::Overloaded { .. }) {
        return Verdict::Failed(Ending::failed(&target.name, &why), None);
    }
    Verdict::Later {
        after: match message.is_task() {
            true => DELEGATION_RETRY,
            false => retry::pause(message.attempts),
        },
        error: why,
        maybe_delivered: false,
        // An agent that is away may come back: its messages wait until they expire.
        is_fruitless: message.is_task(),
    }
}
