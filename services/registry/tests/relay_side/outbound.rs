//! Who sent messages lately.

use candor_kernel::{Error, Reason};
use candor_proto::registry::v1 as pb;

use super::lab::Lab;

async fn note(lab: &Lab, ids: &[&str]) -> Result<(), Error> {
    let request = pb::NoteOutboundRequest {
        workspace_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
    };
    lab.relay(request, |mut client, request| async move {
        client.note_outbound(request).await
    })
    .await
    .map(drop)
}

/// The row's place and its time: any write of it moves the first.
async fn row(lab: &Lab, id: &str) -> String {
    lab.text(&format!(
        "SELECT ctid::text || coalesce(last_outbound_at::text, ' never') FROM workspaces WHERE id = '{id}'"
    ))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sent_is_shown_and_is_written_once_a_second_at_most() {
    let lab = Lab::new().await;
    let (sender, silent) = (lab.workspace("online").await, lab.workspace("online").await);
    let unknown = uuid::Uuid::now_v7().to_string();
    let before = chrono::Utc::now().timestamp();
    note(&lab, &[&sender, &unknown, &sender]).await.unwrap();
    note(&lab, &[]).await.unwrap();

    let one = pb::GetWorkspaceRequest { id: sender.clone() };
    let one = lab.client.clone().get_workspace(one).await.unwrap();
    let shown = one.into_inner().last_outbound_at.unwrap();
    assert!(shown.seconds >= before);
    let all = pb::ListWorkspacesRequest::default();
    let all = lab.client.clone().list_workspaces(all).await.unwrap();
    for workspace in all.into_inner().workspaces {
        let expected = (workspace.id == sender).then_some(shown);
        assert_eq!(workspace.last_outbound_at, expected);
    }

    // Noted in the last second, as far as Postgres' clock knows.
    let recent = "UPDATE workspaces SET last_outbound_at = now() + interval '1 minute'";
    lab.execute(&format!("{recent} WHERE id = '{sender}'"))
        .await;
    let (kept, other) = (row(&lab, &sender).await, row(&lab, &silent).await);
    note(&lab, &[&sender, &silent]).await.unwrap();
    assert_eq!(row(&lab, &sender).await, kept);
    assert_ne!(row(&lab, &silent).await, other);
    // It decides nothing.
    assert_eq!(lab.version(&silent).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_is_bounded_and_names_workspaces() {
    let lab = Lab::new().await;
    let id = lab.workspace("online").await;
    note(&lab, &vec![&*id; 1000]).await.unwrap();
    for refused in [vec![&*id; 1001], vec![&*id, "nonsense"]] {
        let error = note(&lab, &refused).await.unwrap_err();
        assert_eq!(error.reason(), Reason::InvalidField);
    }
}
