//! One batch in one transaction.

use std::collections::{HashMap, HashSet};

use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::{Job, Write};
use crate::row::{NewRow, Outcome};
use crate::store::write::{self, Known, Told};

/// What a batch did.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Rows that are new.
    pub inserted: HashSet<Uuid>,
    /// Rows that were completed, with what they say.
    pub completed: HashMap<Uuid, Told>,
    /// What is known of the others.
    pub known: HashMap<Uuid, Known>,
}

/// Writes a batch; all of it or nothing.
pub(super) async fn execute(
    connection: &mut PgConnection,
    jobs: &[Job],
) -> Result<Done, sqlx::Error> {
    let (rows, outcomes) = split(jobs);
    let mut done = Done::default();
    let mut tx = connection.begin().await?;
    let listed = write::listed(&rows);
    let count = listed + i64::try_from(outcomes.len()).unwrap_or(i64::MAX - listed);
    // Also for a batch of intents alone: it costs little, and is rare.
    let places = write::draw(&mut tx, count).await?;
    if !rows.is_empty() {
        let of_rows = write::Places {
            last: places.last - (count - listed),
            at: places.at - chrono::TimeDelta::microseconds(count - listed),
        };
        done.inserted = write::insert(&mut tx, &rows, of_rows)
            .await?
            .into_iter()
            .collect();
    }
    if !outcomes.is_empty() {
        let told = write::complete(&mut tx, &outcomes, places).await?;
        done.completed = told.into_iter().map(|row| (row.id, row)).collect();
    }
    tx.commit().await?;
    let unsettled = unsettled(jobs, &done);
    if !unsettled.is_empty() {
        let known = write::known(connection, &unsettled).await?;
        done.known = known.into_iter().map(|row| (row.id, row)).collect();
    }
    Ok(done)
}

fn split(jobs: &[Job]) -> (Vec<&NewRow>, Vec<&Outcome>) {
    let (mut rows, mut outcomes) = (Vec::with_capacity(jobs.len()), Vec::new());
    for job in jobs {
        match &job.write {
            Write::Row(row) => rows.push(row.as_ref()),
            Write::Outcome(outcome) => outcomes.push(outcome.as_ref()),
        }
    }
    (rows, outcomes)
}

/// Ids whose writes changed nothing: repeated, refused, or too late.
fn unsettled(jobs: &[Job], done: &Done) -> Vec<Uuid> {
    let mut ids = Vec::new();
    for job in jobs {
        let id = job.write.id().as_uuid();
        let settled = match &job.write {
            Write::Row(_) => done.inserted.contains(&id),
            Write::Outcome(_) => done.completed.contains_key(&id),
        };
        if !settled {
            ids.push(id);
        }
    }
    ids
}

/// What a new row says to who watches, if it says anything.
pub(super) fn told(row: &NewRow) -> Option<Told> {
    row.beginning.is_announced().then(|| Told {
        id: row.id.as_uuid(),
        workspace_id: row.workspace.as_uuid(),
        activity_type: row.activity_type.clone(),
        method: row.method.clone(),
        summary: row.summary.clone(),
        status: row.status.clone(),
        source_id: row.source_id().map(|id| id.as_uuid()),
        target_id: row.target.map(|id| id.as_uuid()),
        duration_ms: row.duration_ms,
        tool_trace: row.tool_trace.clone(),
    })
}
