//! Tells the registry which beats were refused here, so that its operators see
//! them wherever they ask.

use std::time::Duration;

use candor_identity::{RejectedBeats, Rejection};
use candor_kernel::{Caller, WorkspaceId};
use candor_proto::registry::v1 as pb;
use tokio_util::sync::CancellationToken;

use crate::RegistryClient;
use crate::time::timestamp;

/// Between two reports.
const EVERY: Duration = Duration::from_secs(1);
/// Workspaces in one report, at most.
const MOST: usize = 1000;

/// Reports until stopped, as the part of the platform called `name`. What could not be told is kept for the next report.
///
/// # Errors
/// Never; the signature is that of a part of a process.
pub async fn report_rejected(
    registry: RegistryClient,
    name: &str,
    rejected: RejectedBeats,
    stop: CancellationToken,
) -> Result<(), std::convert::Infallible> {
    while stop
        .run_until_cancelled(tokio::time::sleep(EVERY))
        .await
        .is_some()
    {
        let counted = rejected.take();
        for part in counted.chunks(MOST) {
            let report = pb::ReportRejectedBeatsRequest {
                rejected: part.iter().map(message).collect(),
            };
            let caller = Caller::system(name);
            let told = registry
                .call(&caller, report, |mut client, request| async move {
                    client.report_rejected_beats(request).await
                })
                .await;
            if let Err(error) = told {
                tracing::debug!(%error, "refused beats were not reported");
                part.iter()
                    .for_each(|(id, known)| rejected.add(*id, *known));
            }
        }
    }
    Ok(())
}

fn message((id, rejection): &(WorkspaceId, Rejection)) -> pb::RejectedBeats {
    pb::RejectedBeats {
        workspace_id: id.to_string(),
        count: rejection.count,
        last: Some(timestamp(rejection.last)),
    }
}
