//! Asking the platform for rows of delegations.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::Value;

use super::rows::{self, Row};
use crate::platform::{Call, CallError, Platform};

/// Rows of one answer: the most that the platform gives.
const MOST: usize = 500;
/// Answers that are read one after the other.
const PAGES: usize = 20;
/// The platform no longer has the cursor's row.
const GONE: u16 = 410;

/// What an answer to a cursor was.
pub(super) enum Answer {
    /// Rows, in the platform's order, and whether there may be more of them.
    Rows(Vec<Row>, bool),
    /// The cursor's row is no longer there.
    Gone,
}

/// Rows from a cursor on; a legacy platform answers its newest ones.
pub(super) async fn since(platform: &Platform, cursor: &str) -> Result<Answer, CallError> {
    page(platform, &format!("&since_id={cursor}")).await
}

/// Rows that were written at `bound` or later, all without one, oldest first.
///
/// # Errors
/// [`CallError`].
pub(super) async fn newest(
    platform: &Platform,
    bound: Option<DateTime<Utc>>,
) -> Result<Vec<Row>, CallError> {
    let mut found: Vec<Row> = Vec::new();
    let mut before = String::new();
    for _ in 0..PAGES {
        let Answer::Rows(rows, is_full) = page(platform, &before).await? else {
            break;
        };
        let known = found.len();
        for row in rows {
            if !found.iter().any(|other| other.id == row.id) {
                found.push(row);
            }
        }
        let oldest = found.last().and_then(|row| row.created_at);
        // A platform that does not know `before_ts` answers the same rows again.
        let has_more = is_full && found.len() > known;
        let Some(oldest) = oldest.filter(|at| has_more && bound.is_none_or(|to| *at >= to)) else {
            break;
        };
        // Those of the same time may not all have been on this page.
        let next = oldest + TimeDelta::microseconds(1);
        let next = next.to_rfc3339_opts(SecondsFormat::Micros, true);
        before = format!("&before_ts={next}");
    }
    found.retain(|row| match (row.created_at, bound) {
        (Some(at), Some(bound)) => at >= bound,
        _ => true,
    });
    found.reverse();
    Ok(found)
}

/// One answer. Rows carry whole results: where those are too long together, fewer are
/// asked for.
async fn page(platform: &Platform, query: &str) -> Result<Answer, CallError> {
    let mut limit = MOST;
    loop {
        let path = format!(
            "/workspaces/{}/activity?type=delegation&limit={limit}{query}",
            platform.workspace()
        );
        let reply = match platform.send(Call::get(path)).await {
            Err(CallError::TooLarge(_)) if limit > 1 => {
                limit = (limit / 8).max(1);
                continue;
            }
            other => other?,
        };
        if reply.status == GONE {
            return Ok(Answer::Gone);
        }
        let answer: Value = reply.expect_success()?.read()?;
        let Some(given) = answer.as_array().map(Vec::len) else {
            return Err(CallError::Unreadable("not a list of rows".to_owned()));
        };
        return Ok(Answer::Rows(rows::parse(&answer), given >= limit));
    }
}
