//! What is known of a workspace before a message is sent to it.

use candor_kernel::Reason;
use candor_proto::registry::v1 as pb;
use tonic::Code;

use super::lab::Lab;

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_told_with_all_that_sending_depends_on() {
    let lab = Lab::new().await;
    let id = lab.workspace("online").await;
    let plain = lab.target(&id, "").await.unwrap();
    let expected = pb::Target {
        name: "w".to_owned(),
        status: "online".to_owned(),
        may_call: true,
        max_concurrent_tasks: plain.max_concurrent_tasks,
        runtime: "external".to_owned(),
        ..pb::Target::default()
    };
    assert_eq!(plain, expected);

    lab.execute(&format!(
        r#"UPDATE workspaces SET url = 'http://a.example/x', agent_card = '{{"name": "c", "n": 1.50}}',
               max_concurrent_tasks = 3, status = 'degraded' WHERE id = '{id}';
           UPDATE registry.workspace_vitals SET epoch = 4, fence_epoch = 5, active_tasks = 2,
               runtime_metadata = '{{"capabilities": {{"session": true}}, "idle_timeout_seconds": 900}}',
               causes = '{{"wedged": {{"since": "2026-01-01T00:00:00Z", "evidence": "init timeout"}},
                           "unresponsive": {{"since": "2026-01-01T00:00:00Z", "evidence": "x"}}}}'
           WHERE id = '{id}'"#
    ))
    .await;
    let told = lab.target(&id, "").await.unwrap();
    let expected = pb::Target {
        url: "http://a.example/x".to_owned(),
        status: "degraded".to_owned(),
        epoch: 4,
        wedge_reason: Some("init timeout".to_owned()),
        unresponsive: true,
        native_session: true,
        idle_timeout: Some(prost_types::Duration {
            seconds: 900,
            nanos: 0,
        }),
        active_tasks: 2,
        max_concurrent_tasks: 3,
        agent_card: r#"{"n": 1.50, "name": "c"}"#.to_owned(),
        ..expected
    };
    assert_eq!(told, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_is_the_stored_one_and_what_was_set_online_has_no_cause() {
    let lab = Lab::new().await;
    let id = lab.workspace("provisioning").await;
    for status in ["hibernating", "awaiting_agent", "paused", "offline"] {
        lab.execute(&format!(
            "UPDATE workspaces SET status = '{status}' WHERE id = '{id}'"
        ))
        .await;
        assert_eq!(lab.target(&id, "").await.unwrap().status, status);
    }
    lab.execute(&format!(
        r#"UPDATE workspaces SET status = 'online' WHERE id = '{id}';
           UPDATE registry.workspace_vitals
           SET causes = '{{"wedged": {{"since": "2026-01-01T00:00:00Z", "evidence": "old"}}}}'
           WHERE id = '{id}'"#
    ))
    .await;
    assert_eq!(lab.target(&id, "").await.unwrap().wedge_reason, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_runtime_declares_and_a_wedged_beat_are_in_the_next_answer() {
    let lab = Lab::new().await;
    let id = lab.workspace("online").await;
    let mut beat = pb::HeartbeatRequest {
        workspace_id: id.clone(),
        error_rate: Some(0.0),
        uptime_seconds: Some(60),
        active_tasks: Some(1),
        runtime_state: Some("wedged".to_owned()),
        sample_error: Some("Control request timeout: initialize".to_owned()),
        runtime_metadata: Some(pb::RuntimeMetadata {
            capabilities: [("session".to_owned(), true)].into(),
            idle_timeout_seconds: Some(30),
        }),
        ..pb::HeartbeatRequest::default()
    };
    lab.client.clone().heartbeat(beat.clone()).await.unwrap();
    let told = lab.target(&id, "").await.unwrap();
    assert_eq!(
        (told.status.as_str(), told.wedge_reason.as_deref()),
        ("degraded", Some("Control request timeout: initialize"))
    );
    assert!(told.native_session);
    assert_eq!(
        (told.idle_timeout.unwrap().seconds, told.active_tasks),
        (30, 1)
    );

    beat.runtime_metadata = Some(pb::RuntimeMetadata {
        idle_timeout_seconds: Some(-1),
        ..pb::RuntimeMetadata::default()
    });
    beat.runtime_state = Some("ok".to_owned());
    lab.client.clone().heartbeat(beat).await.unwrap();
    let told = lab.target(&id, "").await.unwrap();
    assert_eq!((told.status.as_str(), told.wedge_reason), ("online", None));
    assert_eq!((told.native_session, told.idle_timeout), (false, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hierarchy_answers_with_the_target_as_check_access_does() {
    let lab = Lab::new().await;
    let root = lab.workspace("online").await;
    let child = lab.child_of(Some(&root), "online").await;
    let sibling = lab.child_of(Some(&root), "removed").await;
    let grandchild = lab.child_of(Some(&child), "paused").await;
    let nephew = lab.child_of(Some(&sibling), "online").await;
    let other = lab.workspace("online").await;
    let unknown = uuid::Uuid::now_v7().to_string();
    let callers = [
        &root,
        &child,
        &sibling,
        &grandchild,
        &nephew,
        &other,
        &unknown,
    ];
    for target in [&root, &child, &grandchild, &nephew, &other] {
        let mut answers = String::new();
        for caller in callers {
            let access = pb::CheckAccessRequest {
                caller_id: caller.clone(),
                target_id: target.clone(),
            };
            let access = lab.client.clone().check_access(access).await.unwrap();
            let told = lab.target(target, caller).await.unwrap();
            assert_eq!(told.may_call, access.into_inner().allowed);
            answers.push(if told.may_call { 'y' } else { 'n' });
        }
        let row = match target {
            target if *target == root => "yyyyyyn",
            target if *target == child => "yyyynnn",
            target if *target == grandchild => "yynynnn",
            target if *target == nephew => "ynynynn",
            _ => "ynnnnyn",
        };
        assert_eq!(answers, row);
        let told = lab.target(target, "not-a-uuid").await.unwrap();
        assert!(!told.may_call);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cycle_of_parents_ends_the_walk() {
    let lab = Lab::new().await;
    let (a, b, c) = (
        lab.workspace("online").await,
        lab.workspace("online").await,
        lab.workspace("online").await,
    );
    lab.execute(&format!(
        "UPDATE workspaces SET parent_id = '{b}' WHERE id = '{a}';
         UPDATE workspaces SET parent_id = '{a}' WHERE id = '{b}'"
    ))
    .await;
    assert!(lab.target(&a, &b).await.unwrap().may_call);
    assert!(!lab.target(&a, &c).await.unwrap().may_call);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_was_what_was_removed_and_what_was_purged_is_not_found() {
    let lab = Lab::new().await;
    let caller = lab.workspace("online").await;
    let removed = lab.workspace("removed").await;
    let far = lab.child_of(Some(&removed), "online").await;
    let purged = uuid::Uuid::now_v7().to_string();
    lab.execute(&format!(
        "INSERT INTO registry.tombstones (id) VALUES ('{purged}')"
    ))
    .await;
    let unknown = uuid::Uuid::now_v7().to_string();
    // The hierarchy is asked first: a caller that may not call reads it there.
    for (target, caller, may_call) in [
        (&unknown, "", None),
        (&unknown, &*caller, Some("false")),
        (&unknown, &*unknown, None),
        (&purged, "", None),
        (&removed, "", None),
        (&removed, &*caller, None),
        (&removed, &*far, None),
        (&removed, "not-a-uuid", Some("false")),
    ] {
        let error = lab.target(target, caller).await.unwrap_err();
        assert_eq!(
            (error.reason(), error.public(), error.fact("may_call")),
            (Reason::WorkspaceNotFound, "workspace not found", may_call),
            "{caller} -> {target}"
        );
    }
    let error = lab.target("nonsense", "").await.unwrap_err();
    assert_eq!(error.reason(), Reason::InvalidField);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_over_when_this_month_has_spent_it() {
    let lab = Lab::new().await;
    let id = lab.workspace("online").await;
    let month = "date_trunc('month', now() AT TIME ZONE 'UTC')::date";
    for (limit, spend, since, over, shown) in [
        ("NULL", 900, month, false, 900),
        ("100", 99, month, false, 99),
        ("100", 100, month, true, 100),
        ("100", 101, month, true, 101),
        ("0", 0, "NULL", true, 0),
        (
            "100",
            900,
            &format!("({month} - interval '1 month')"),
            false,
            0,
        ),
        ("100", 900, "NULL", true, 900),
    ] {
        lab.execute(&format!(
            "UPDATE workspaces SET budget_limit = {limit} WHERE id = '{id}';
             UPDATE registry.workspace_vitals SET monthly_spend = {spend}, spend_month = {since}
             WHERE id = '{id}'"
        ))
        .await;
        let what = format!("{spend} of {limit} since {since}");
        assert_eq!(
            lab.target(&id, "").await.unwrap().over_budget,
            over,
            "{what}"
        );
        // The same number wherever it is read.
        let budget = pb::GetBudgetRequest {
            workspace_id: id.clone(),
        };
        let budget = lab.client.clone().get_budget(budget).await.unwrap();
        assert_eq!(budget.into_inner().monthly_spend, shown, "{what}");
        let row = pb::GetWorkspaceRequest { id: id.clone() };
        let row = lab.client.clone().get_workspace(row).await.unwrap();
        assert_eq!(row.into_inner().monthly_spend, shown, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_polls_by_choice_and_only_without_an_address() {
    let lab = Lab::new().await;
    let id = lab.workspace("online").await;
    for (mode, url, polls) in [
        ("poll", "NULL", true),
        ("poll", "''", true),
        ("poll", "'http://a.example/'", false),
        ("push", "NULL", false),
    ] {
        lab.execute(&format!(
            "UPDATE workspaces SET delivery_mode = '{mode}', url = {url} WHERE id = '{id}'"
        ))
        .await;
        assert_eq!(
            lab.target(&id, "").await.unwrap().polls,
            polls,
            "{mode} {url}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_platform_asks() {
    let lab = Lab::new().await;
    let id = lab.workspace("online").await;
    let mut client = lab.client.clone();
    let resolved = client
        .resolve_target(pb::ResolveTargetRequest {
            workspace_id: id.clone(),
            ..pb::ResolveTargetRequest::default()
        })
        .await
        .map(drop);
    let reported = client
        .report_observation(pb::ReportObservationRequest {
            workspace_id: id.clone(),
            unresponsive_evidence: "x".to_owned(),
            ..pb::ReportObservationRequest::default()
        })
        .await
        .map(drop);
    let noted = client
        .note_outbound(pb::NoteOutboundRequest {
            workspace_ids: vec![id.clone()],
        })
        .await
        .map(drop);
    for refused in [resolved, reported, noted] {
        assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    }
    assert_eq!(lab.version(&id).await, "0");
}
