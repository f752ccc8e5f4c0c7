//! What was seen of a workspace from outside (rules R8 and R9).

use std::sync::Arc;
use std::time::Duration;

use candor_kernel::rules::RuleId;
use candor_kernel::{Epoch, Error, Occurrence, Outcome, Reason, Status, WorkspaceId, decide};
use candor_proto::registry::v1 as pb;

use super::{Call, checks};
use crate::app::App;
use crate::store::decisions::{self, Cause};
use crate::store::{Store, state};
use crate::wire;

/// Times a decision is made again because somebody else was faster.
const MOST_ATTEMPTS: u8 = 5;

/// What was seen, of which instance.
struct Observation {
    id: WorkspaceId,
    epoch: Epoch,
    answered: bool,
    cause: Cause,
}

impl Observation {
    fn occurrence(&self) -> Occurrence<'_> {
        if self.answered {
            Occurrence::ObservedAnswer
        } else {
            Occurrence::ObservedUnresponsive {
                evidence: &self.cause.evidence,
            }
        }
    }
}

/// Decides about an observation. One that changes nothing costs one read.
pub(super) async fn report(
    app: Arc<App>,
    call: Call,
    request: pb::ReportObservationRequest,
) -> Result<pb::ReportObservationResponse, Error> {
    call.platform()?;
    let words = &request.unresponsive_evidence;
    checks::text("unresponsive_evidence", words)?;
    let answered = words.is_empty();
    let words = if answered { "answered" } else { words };
    let observation = Observation {
        id: wire::workspace_id("workspace_id", &request.workspace_id)?,
        epoch: Epoch(request.epoch),
        answered,
        cause: Cause {
            traceparent: call.traceparent,
            evidence: decisions::evidence(Some(words)),
        },
    };
    for _ in 0..MOST_ATTEMPTS {
        if let Some(answer) = attempt(&app, &observation).await? {
            return Ok(answer);
        }
    }
    Err(Error::new(
        Reason::Contention,
        "the workspace changes too often right now — retry shortly",
    )
    .with_retry_after(Duration::from_secs(1)))
}

/// None if somebody changed the workspace between the look and the write.
async fn attempt(
    app: &App,
    observation: &Observation,
) -> Result<Option<pb::ReportObservationResponse>, Error> {
    let mut connection = app.connection().await?;
    let found = state::load(&mut connection, observation.id).await?;
    drop(connection);
    let before = found.ok_or_else(checks::not_found)?;
    if before.state.status != Status::Removed && before.state.epoch != observation.epoch {
        return Ok(Some(answer(before.state.status, RuleId::Steady)));
    }
    let decision = decide(&before.state, &observation.occurrence(), chrono::Utc::now());
    match &decision.outcome {
        Outcome::Applied => {}
        // Nobody observes what was removed: it is gone for everybody (D49).
        Outcome::Removed | Outcome::Stale => return Err(checks::not_found()),
        Outcome::Refused(error) => return Err(error.clone()),
    }
    let next = decision.next.as_ref().filter(|_| decided(decision.rule));
    let Some(next) = next else {
        return Ok(Some(answer(before.state.status, decision.rule)));
    };
    let mut tx = app.store.begin().await?;
    if !decisions::persist(&mut tx, &before, &decision, &observation.cause).await? {
        return Ok(None);
    }
    Store::commit(tx).await?;
    app.events_written.notify_one();
    Ok(Some(answer(next.status, decision.rule)))
}

/// False if no row of the table applied; then nothing is written, not even what
/// the next decision has to reconcile anyway.
fn decided(rule: RuleId) -> bool {
    rule != RuleId::Steady
}

fn answer(status: Status, rule: RuleId) -> pb::ReportObservationResponse {
    let rule = if decided(rule) { rule.code() } else { "" };
    pb::ReportObservationResponse {
        status: status.label().to_owned(),
        rule: rule.to_owned(),
    }
}
