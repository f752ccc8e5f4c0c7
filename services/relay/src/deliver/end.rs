//! How a direct call ends: its row, what people see, what its caller is told.

use std::time::{Duration, Instant};

use bytes::Bytes;
use candor_egress::DialError;
use candor_kernel::{Error, Reason};
use candor_proto::activity::v1 as activity;
use uuid::Uuid;

use super::attempt::Head;
use super::direct::{busy, is_person};
use super::{Message, Reply, reply};
use crate::app::App;
use crate::forward::Ended;
use crate::ledger;
use crate::record::{self, Ending};
use crate::store::intents::{Forgotten, Usage};

/// A message whose intent is durable. Its end is told once.
pub(super) struct Sent<'a> {
    pub app: &'a App,
    pub intent: Uuid,
    row: activity::ForwardedRow,
    begun: Instant,
}

impl<'a> Sent<'a> {
    pub(super) fn new(app: &'a App, intent: Uuid, row: activity::ForwardedRow) -> Self {
        Self {
            app,
            intent,
            row,
            begun: Instant::now(),
        }
    }

    async fn end(self, ending: Ending) {
        self.ended(ending, None, None, None).await;
    }

    async fn ended(
        self,
        mut ending: Ending,
        shown: Option<candor_proto::registry::v1::Event>,
        outbound: Option<candor_kernel::WorkspaceId>,
        usage: Option<Usage>,
    ) {
        let took = i32::try_from(self.begun.elapsed().as_millis()).unwrap_or(i32::MAX);
        ending.duration_ms.get_or_insert(took);
        let ended = Ended {
            intent: self.intent,
            shown,
            item: record::ended(self.row, ending),
            outbound,
            usage,
        };
        self.app.forwarder.tell(ended).await;
    }

    /// The agent answered; `body` is what is kept of it.
    pub(super) async fn finish(self, message: &Message, head: &Head, body: &Bytes, ending: Ending) {
        let is_fine = head.confirms();
        let shown = (is_fine && is_person(&message.caller)).then(|| {
            let method = &message.envelope.method;
            reply::shown(self.intent, message.target.id, method, head, body)
        });
        let outbound = message.caller.workspace().filter(|_| is_fine);
        let outbound = outbound.map(|caller| caller.id);
        let usage = reply::usage(message.target.id, body);
        self.ended(ending, shown, outbound, usage).await;
    }

    pub(super) async fn answered(
        self,
        message: &Message,
        head: Head,
        body: Bytes,
    ) -> Result<Reply, Error> {
        if head.status.is_redirection() {
            // Deviation D28: a redirect would lead around the address policy.
            let why = "the agent answered with a redirect, which is not followed";
            let ending = Ending {
                response: Some(reply::kept(&body)),
                duration_ms: Some(reply::millis(&head)),
                ..Ending::failed(&message.target.name, why)
            };
            self.end(ending).await;
            return Err(Error::new(Reason::AgentUnreachable, why));
        }
        let ending = reply::ending(&head, &body);
        self.finish(message, &head, &body, ending).await;
        Ok(Reply::Whole(head, body))
    }

    pub(super) async fn not_reached(
        self,
        message: &Message,
        error: DialError,
    ) -> Result<Reply, Error> {
        if error.is_refused_address() {
            // No row: nothing was sent, and nothing ever is (recorded).
            let forgotten = Forgotten {
                id: self.intent,
                usage: None,
            };
            self.app.journal.forget(vec![forgotten]).await;
            return Err(Error::new(
                Reason::AddressRefused,
                "workspace URL is not publicly routable",
            )
            .with_internal(error.detail()));
        }
        let public = error.to_string();
        match error {
            DialError::ConnectTimeout { .. } => self.busy(message, &public, false).await,
            DialError::Overloaded { detail } => {
                self.end(Ending::failed(&message.target.name, &public))
                    .await;
                Err(Error::new(Reason::Overloaded, public)
                    .with_internal(detail)
                    .with_retry_after(Duration::from_secs(1)))
            }
            other => {
                self.end(Ending::failed(&message.target.name, &public))
                    .await;
                Err(
                    Error::new(Reason::AgentUnreachable, "failed to reach workspace agent")
                        .with_internal(other.detail()),
                )
            }
        }
    }

    /// The agent took no message: it waits in the ledger, where that makes sense.
    pub(super) async fn busy(
        self,
        message: &Message,
        why: &str,
        maybe_delivered: bool,
    ) -> Result<Reply, Error> {
        let native = message.target.native_session;
        let strict = message.strict.is_some();
        if native || strict || message.envelope.reads_only() {
            self.end(Ending::failed(&message.target.name, why)).await;
            return Err(busy(native));
        }
        let tried = ledger::Tried {
            intent: self.intent,
            why: why.to_owned(),
            maybe_delivered,
        };
        match ledger::accept_tried(self.app, message, self.row.clone(), tried).await {
            Ok(accepted) => Ok(Reply::Accepted(accepted)),
            Err(ledger::NotAccepted::Surely(error)) => {
                tracing::warn!(
                    internal = error.internal_text(),
                    "a message to a busy agent was not accepted: {error}"
                );
                self.end(Ending::failed(&message.target.name, why)).await;
                Err(busy(false))
            }
            Err(ledger::NotAccepted::Perhaps(error)) => {
                // The intent or the entry says it, once Postgres is back.
                tracing::warn!(
                    internal = error.internal_text(),
                    "whether a message was accepted is not known: {error}"
                );
                Err(busy(false))
            }
        }
    }

    /// The deadline passed after the message was sent (deviation D7).
    pub(super) async fn unanswered(self, message: &Message, why: &str) -> Result<Reply, Error> {
        self.end(Ending::failed(&message.target.name, why)).await;
        Err(Error::new(
            Reason::DeliveryUnknown,
            format!("workspace agent did not answer: {why}"),
        )
        .with_retry_after(Duration::from_secs(30)))
    }

    pub(super) async fn lost(
        self,
        message: &Message,
        head: &Head,
        why: &str,
    ) -> Result<Reply, Error> {
        self.broken(message, head, why).await;
        Err(answer_lost("failed to read agent response", head))
    }

    pub(super) async fn too_large(self, message: &Message, head: &Head) -> Result<Reply, Error> {
        let why = "agent response too large";
        self.broken(message, head, why).await;
        Err(answer_lost(why, head))
    }

    /// The row of an answer that began and is not there.
    pub(super) async fn broken(self, message: &Message, head: &Head, why: &str) {
        let ending = match head.confirms() {
            true => Ending {
                status: "ok",
                error: Some(why.to_owned()),
                ..Ending::default()
            },
            false => Ending::failed(&message.target.name, why),
        };
        let duration_ms = Some(reply::millis(head));
        self.end(Ending {
            duration_ms,
            ..ending
        })
        .await;
    }

    /// The caller of a call that only reads went away.
    pub(super) async fn abandoned(self) -> Error {
        let why = "the caller went away";
        self.end(Ending {
            status: "error",
            error: Some(why.to_owned()),
            ..Ending::default()
        })
        .await;
        Error::new(Reason::AgentBusy, why)
    }
}

/// The answer began and did not arrive (contract/a2a.md, step 10).
pub(super) fn answer_lost(text: &'static str, head: &Head) -> Error {
    Error::new(Reason::AnswerLost, text)
        .with_fact("delivery_confirmed", head.confirms().to_string())
}
