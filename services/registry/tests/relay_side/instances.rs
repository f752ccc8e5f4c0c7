//! What the provisioner asks a registry: moves along the status table, and the life of an
//! instance's token.

use candor_kernel::Reason;
use candor_proto::registry::v1 as pb;
use candor_testkit::agent::with_bearer;
use pb::move_workspace_request::Move;
use tonic::{Code, Status};

use super::lab::Lab;

type Client = pb::registry_service_client::RegistryServiceClient<tonic::transport::Channel>;

impl Lab {
    /// A workspace that a backend runs.
    async fn provisioned(&self, status: &str) -> String {
        let id = self.workspace(status).await;
        let backend = "INSERT INTO registry.backends VALUES ('nobody', '{candor-echo}', 'infinity')
                       ON CONFLICT DO NOTHING";
        self.execute(backend).await;
        let statement = format!(
            "UPDATE workspaces SET runtime = 'candor-echo', url = 'http://localhost:1' WHERE id = '{id}'"
        );
        self.execute(&statement).await;
        id
    }

    async fn moves(
        &self,
        id: &str,
        fence_epoch: Option<i64>,
        wanted: Move,
    ) -> Result<pb::MoveWorkspaceResponse, candor_kernel::Error> {
        let request = pb::MoveWorkspaceRequest {
            id: id.to_owned(),
            fence_epoch,
            evidence: "a test".to_owned(),
            r#move: Some(wanted),
        };
        let call =
            |mut client: Client, request| async move { client.move_workspace(request).await };
        self.relay(request, call).await
    }

    async fn issues(&self, id: &str, epoch: i64) -> Result<String, candor_kernel::Error> {
        let request = pb::IssueInstanceTokenRequest {
            workspace_id: id.to_owned(),
            epoch,
        };
        let call =
            |mut client: Client, request| async move { client.issue_instance_token(request).await };
        let answer = self.relay(request, call).await?;
        Ok(answer.auth_token)
    }

    /// A healthy beat with this token: whether it was a stale instance's.
    async fn beats(&self, id: &str, token: &str) -> Result<bool, Status> {
        let beat = pb::HeartbeatRequest {
            workspace_id: id.to_owned(),
            error_rate: Some(0.0),
            uptime_seconds: Some(60),
            ..pb::HeartbeatRequest::default()
        };
        let beat = with_bearer(beat, token).unwrap();
        let answer = self.client.clone().heartbeat(beat).await?;
        Ok(answer.into_inner().superseded)
    }

    async fn stands(&self, id: &str) -> String {
        let query = format!(
            "SELECT concat_ws(' ', w.status, v.epoch, v.fence_epoch) FROM workspaces w
             JOIN registry.workspace_vitals v USING (id) WHERE w.id = '{id}'"
        );
        self.text(&query).await
    }

    /// The states of the workspace's tokens, oldest first.
    async fn tokens(&self, id: &str) -> String {
        let query = format!(
            "SELECT coalesce(string_agg(concat_ws(':', epoch, CASE WHEN revoked_at IS NULL
                    THEN state ELSE 'revoked' END), ' ' ORDER BY created_at), '')
             FROM workspace_auth_tokens WHERE workspace_id = '{id}'"
        );
        self.text(&query).await
    }
}

fn restart() -> Move {
    Move::Restart(pb::RestartMove::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_raises_the_fence_and_only_its_token_brings_the_workspace_back() {
    let lab = Lab::new().await;
    let id = lab.provisioned("failed").await;
    let moved = lab.moves(&id, None, restart()).await.unwrap();
    let told = (
        moved.previous_status.as_str(),
        moved.status.as_str(),
        moved.rule.as_str(),
    );
    assert_eq!(told, ("failed", "provisioning", "R13"));
    assert_eq!((moved.epoch, moved.fence_epoch), (0, 1));
    let url = format!("SELECT url FROM workspaces WHERE id = '{id}'");
    assert_eq!(
        lab.text(&url).await,
        "",
        "the address of an instance goes with it"
    );

    let refused = lab.issues(&id, 2).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::TransitionRefused);
    let unused = lab.issues(&id, 1).await.unwrap();
    let first = lab.issues(&id, 1).await.unwrap();
    assert_eq!(lab.tokens(&id).await, "1:revoked 1:pending");
    assert!(
        lab.beats(&id, &unused).await.is_err(),
        "replaced before it was used"
    );
    assert!(!lab.beats(&id, &first).await.unwrap());
    assert_eq!(lab.stands(&id).await, "online 1 1");
    assert_eq!(lab.tokens(&id).await, "1:revoked 1:active");

    lab.moves(&id, None, restart()).await.unwrap();
    assert_eq!(lab.stands(&id).await, "provisioning 1 2");
    assert!(
        lab.beats(&id, &first).await.unwrap(),
        "answered, without effect"
    );
    let second = lab.issues(&id, 2).await.unwrap();
    assert!(
        lab.beats(&id, &first).await.unwrap(),
        "until the new one calls"
    );
    assert_eq!(lab.stands(&id).await, "provisioning 1 2");
    assert!(!lab.beats(&id, &second).await.unwrap());
    assert_eq!(lab.stands(&id).await, "online 2 2");
    assert_eq!(lab.tokens(&id).await, "1:revoked 1:retired 2:active");
    // Zero 401s, and no effect; elsewhere it proves nothing any more.
    assert!(lab.beats(&id, &first).await.unwrap());
    let list = pb::ListPeersRequest {
        id: id.clone(),
        q: None,
    };
    let peers = with_bearer(list, &first).unwrap();
    let refused = lab.client.clone().list_peers(peers).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(lab.stands(&id).await, "online 2 2");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_an_older_instance_moves_nothing() {
    let lab = Lab::new().await;
    let id = lab.provisioned("online").await;
    for _ in 0..2 {
        lab.moves(&id, None, restart()).await.unwrap();
    }
    let failed = || {
        Move::StartFailed(pb::StartFailedMove {
            error: "no image".to_owned(),
            missing: Vec::new(),
        })
    };
    let unmoved = lab.moves(&id, Some(1), failed()).await.unwrap();
    assert_eq!(
        (unmoved.status.as_str(), unmoved.rule.as_str()),
        ("provisioning", "")
    );
    let moved = lab.moves(&id, Some(2), failed()).await.unwrap();
    assert_eq!(
        (moved.status.as_str(), moved.rule.as_str()),
        ("failed", "R11")
    );
    let error =
        format!("SELECT last_sample_error FROM registry.workspace_vitals WHERE id = '{id}'");
    assert_eq!(lab.text(&error).await, "no image");
    let events = lab.events(&id).await;
    assert!(
        events.contains(r#"WORKSPACE_PROVISION_FAILED{"error": "no image"}"#),
        "{events}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_could_not_be_handed_over_is_withdrawn_and_the_old_one_is_not() {
    let lab = Lab::new().await;
    let id = lab.provisioned("online").await;
    lab.moves(&id, None, restart()).await.unwrap();
    let first = lab.issues(&id, 1).await.unwrap();
    lab.beats(&id, &first).await.unwrap();
    lab.moves(&id, None, restart()).await.unwrap();
    lab.issues(&id, 2).await.unwrap();
    for withdrawn in [true, false] {
        let request = pb::WithdrawInstanceTokenRequest {
            workspace_id: id.clone(),
            epoch: 2,
        };
        let call = |mut client: Client, request| async move {
            client.withdraw_instance_token(request).await
        };
        let answer = lab.relay(request, call).await.unwrap();
        assert_eq!(answer.withdrawn, withdrawn);
    }
    assert_eq!(lab.tokens(&id).await, "1:active 2:revoked");
    assert!(
        lab.beats(&id, &first).await.unwrap(),
        "stale, and still known"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pausing_and_hibernating_move_along_the_table() {
    let lab = Lab::new().await;
    let id = lab.provisioned("online").await;
    let steps = [
        (Move::Pause(pb::PauseMove {}), "paused"),
        (Move::Resume(pb::ResumeMove::default()), "provisioning"),
    ];
    for (wanted, status) in steps {
        assert_eq!(lab.moves(&id, None, wanted).await.unwrap().status, status);
    }
    let token = lab.issues(&id, 1).await.unwrap();
    lab.beats(&id, &token).await.unwrap();
    let steps = [
        (Move::Hibernate(pb::HibernateMove {}), "hibernating"),
        (Move::HibernateFailed(pb::HibernateFailedMove {}), "online"),
        (Move::Hibernate(pb::HibernateMove {}), "hibernating"),
        (Move::Hibernated(pb::HibernatedMove {}), "hibernated"),
        (Move::Resume(pb::ResumeMove::default()), "provisioning"),
    ];
    for (wanted, status) in steps {
        assert_eq!(lab.moves(&id, None, wanted).await.unwrap().status, status);
    }
    let refused = lab
        .moves(&id, None, Move::Hibernate(pb::HibernateMove {}))
        .await;
    assert_eq!(refused.unwrap_err().reason(), Reason::TransitionRefused);
    // An external workspace keeps its address (D54).
    let external = lab.workspace("online").await;
    let url = "http://agent.example";
    let statement = format!("UPDATE workspaces SET url = '{url}' WHERE id = '{external}'");
    lab.execute(&statement).await;
    lab.moves(&external, None, Move::Pause(pb::PauseMove {}))
        .await
        .unwrap();
    let kept = format!("SELECT url FROM workspaces WHERE id = '{external}'");
    assert_eq!(lab.text(&kept).await, url);
    let unknown = uuid::Uuid::nil().to_string();
    let refused = lab.moves(&unknown, None, restart()).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::WorkspaceNotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_a_removed_workspace_moves_nothing() {
    let lab = Lab::new().await;
    let id = lab.provisioned("failed").await;
    lab.moves(&id, None, restart()).await.unwrap();
    let token = lab.issues(&id, 1).await.unwrap();
    let deletes = |confirm, purge| pb::DeleteWorkspaceRequest {
        id: id.clone(),
        confirm,
        purge,
    };
    let call = |mut client: Client, request| async move { client.delete_workspace(request).await };
    let removed = lab.relay(deletes(true, false), call).await.unwrap();
    let ids = std::slice::from_ref(&id);
    assert_eq!(removed.removed_ids, ids, "an instance may run");
    let events = lab.events(&id).await;

    let late = [
        Move::StartFailed(pb::StartFailedMove::default()),
        Move::ProvisionTimeout(pb::ProvisionTimeoutMove::default()),
        Move::InstanceGone(pb::InstanceGoneMove::default()),
        Move::HibernateFailed(pb::HibernateFailedMove {}),
        Move::Resume(pb::ResumeMove::default()),
        restart(),
    ];
    for wanted in late {
        let refused = lab.moves(&id, None, wanted).await.unwrap_err();
        assert_eq!(refused.reason(), Reason::WorkspaceNotFound);
    }
    assert!(lab.issues(&id, 1).await.is_err());
    // D14: answered, without effect.
    lab.beats(&id, &token).await.unwrap();
    assert_eq!(lab.stands(&id).await, "removed 0 1");
    assert_eq!(lab.events(&id).await, events);
    let wanted = format!("SELECT want FROM registry.placements WHERE workspace_id = '{id}'");
    assert_eq!(lab.text(&wanted).await, "gone");
    // Who asks again is told the same, and gets no second event.
    let again = lab.relay(deletes(false, false), call).await.unwrap();
    assert_eq!(
        (again.status.as_str(), again.removed_ids),
        ("removed", vec![id.clone()])
    );
    assert_eq!(lab.events(&id).await, events);
}
