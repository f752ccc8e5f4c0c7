//! What another service wrote down first and hands on: rows with the source that
//! it authenticated, and their outcomes, each once, in their order.
#![allow(clippy::unwrap_used)]

mod lab;

use std::time::Duration;

use candor_kernel::{AuthMethod, AuthVersion, Caller, Reason, WorkspaceCaller};
use candor_proto::activity::v1 as pb;
use candor_testkit::postgres;
use candor_testkit::wait::wait_for;
use lab::{Lab, OTHER, WORKSPACE, body, id, item, outcome, row};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

const SOON: Duration = Duration::from_secs(40);
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn workspace(auth: AuthMethod, stale: bool) -> Caller {
    Caller::Workspace(WorkspaceCaller {
        id: WORKSPACE.parse().unwrap(),
        auth,
        epoch: None,
        stale,
        auth_version: AuthVersion::default(),
    })
}

fn source(kind: pb::SourceKind, id: &str, auth: &str) -> pb::Source {
    pb::Source {
        kind: kind.into(),
        id: id.to_owned(),
        auth: auth.to_owned(),
        ..pb::Source::default()
    }
}

async fn told(lab: &Lab, count: usize) -> Vec<Value> {
    wait_for("events", SOON, || async {
        let told = lab.told.lock();
        (told.len() >= count).then(|| told.clone())
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_keep_the_source_they_were_handed_on_with_and_are_told() {
    let lab = Lab::new().await;
    let sources = [
        source(pb::SourceKind::User, "", "admin"),
        source(pb::SourceKind::Workspace, OTHER, "token"),
        source(pb::SourceKind::System, "webhook:github", ""),
        pb::Source {
            claimed: "somebody".to_owned(),
            ..lab::anonymous()
        },
    ];
    let mut rows: Vec<_> = (1..)
        .zip(&sources)
        .map(|(n, source)| {
            let mut row = row(n, "");
            row.source = Some(source.clone());
            row
        })
        .collect();
    rows[1].tool_trace = Some(r#"[{"tool":"grep","n":1.0}]"#.to_owned());
    rows[1].traceparent = TRACE.to_owned();
    let second = rows[1].row.as_mut().unwrap();
    second.status = Some("error".to_owned());
    second.error_detail = Some("refused".to_owned());
    second.duration_ms = Some(12);
    second.source_id = "not looked at".to_owned();
    let items = rows.into_iter().map(item).collect();
    assert_eq!(lab.forward(items).await, [""; 4]);

    let listed = lab.listed().await;
    let kept: Vec<_> = listed
        .iter()
        .map(|row| row.source.clone().unwrap())
        .collect();
    assert_eq!(kept, sources);
    assert!(listed.iter().all(|row| row.r#final));
    let of_people: Vec<_> = listed.iter().map(|row| row.conversation).collect();
    assert_eq!(of_people, [true, false, false, false]);
    assert_eq!(listed[0].status.as_deref(), Some("ok"));
    assert_eq!(listed[0].request_body, body(r#"{"q":1}"#));
    assert_eq!(listed[1].status.as_deref(), Some("error"));
    assert_eq!(listed[1].error_detail.as_deref(), Some("refused"));
    assert_eq!(listed[1].traceparent, TRACE);
    let trace = r#"[{"tool":"grep","n":1.0}]"#;
    assert_eq!(listed[1].tool_trace.as_deref(), Some(trace));

    let told = told(&lab, 4).await;
    let of: Vec<_> = told
        .iter()
        .map(|event| event["source_id"].clone())
        .collect();
    assert_eq!(of, [json!(null), json!(OTHER), json!(null), json!(null)]);
    assert_eq!(told[1]["tool_trace"], json!([{"tool": "grep", "n": 1.0}]));
    assert_eq!(told[1]["duration_ms"], 12);
    assert_eq!(told[0].get("tool_trace"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_row_is_open_until_its_outcome_and_keeps_its_place() {
    let lab = Lab::new().await;
    let first = vec![
        item(row(1, "queued")),
        item(row(2, "queued")),
        item(row(3, "ok")),
        item(outcome(2, "ok")),
    ];
    assert_eq!(lab.forward(first.clone()).await, [""; 4]);
    let state = |rows: Vec<pb::Activity>| -> Vec<_> {
        let rows = rows.into_iter();
        rows.map(|row| (row.id, row.r#final, row.status.unwrap()))
            .collect()
    };
    let open = (id(1), false, "queued".to_owned());
    let done = |n| (id(n), true, "ok".to_owned());
    assert_eq!(state(lab.listed().await), [open, done(2), done(3)]);
    let told = told(&lab, 4).await;
    let said: Vec<_> = told.iter().map(|event| event["status"].clone()).collect();
    assert_eq!(said, ["queued", "queued", "ok", "ok"]);
    assert_eq!(told[3]["tool_trace"], json!([{"tool": "grep", "n": 1.0}]));

    assert_eq!(lab.forward(vec![item(outcome(1, "ok"))]).await, [""]);
    let rows = lab.listed().await;
    assert_eq!(rows[0].response_body, body(r#"{"a":1}"#));
    assert_eq!(state(rows), [done(1), done(2), done(3)]);

    // Everything again: it is there already, and nobody is told twice.
    let mut again = first;
    again.push(item(outcome(1, "ok")));
    assert_eq!(lab.forward(again).await, [""; 5]);
    assert_eq!(lab.forward(vec![item(row(4, "ok"))]).await, [""]);
    let told = self::told(&lab, 6).await;
    assert_eq!((told.len(), &told[5]["summary"]), (6, &json!("4")));
    assert_eq!(lab.listed().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_call_is_stored_in_few_commits_and_each_outcome_finds_its_row() {
    let lab = Lab::new().await;
    let items = (0..128).flat_map(|n| [item(row(n, "queued")), item(outcome(n, "ok"))]);
    let items: Vec<_> = items.collect();
    assert_eq!(lab.forward(items).await, [""; 256]);
    let closed = "SELECT count(*) FROM activity_logs WHERE phase = 'final'";
    assert_eq!(postgres::count(&lab.url, closed).await.unwrap(), 128);
    let commits = "SELECT count(DISTINCT xmin::text) FROM activity_logs";
    let commits = postgres::count(&lab.url, commits).await.unwrap();
    assert!(commits <= 16, "{commits}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_contradicts_is_refused_and_harms_no_neighbour() {
    let lab = Lab::new().await;
    lab.begin(9).await;
    let mut another = row(1, "ok");
    another.traceparent = TRACE.to_owned();
    let mut nul = row(3, "ok");
    nul.row.as_mut().unwrap().summary = Some("\0".to_owned());
    let mut nowhere = row(4, "ok");
    nowhere.row.as_mut().unwrap().workspace_id = id(4);
    let mut nobody = row(5, "ok");
    nobody.source = None;
    let mut without_id = row(6, "ok");
    without_id.row.as_mut().unwrap().id = String::new();
    let mut no_json = outcome(2, "ok");
    no_json.tool_trace = Some("no json".to_owned());
    let items = vec![
        (item(row(1, "ok")), ""),
        (item(another), "ACTIVITY_CONFLICT"),
        (item(row(2, "queued")), ""),
        (item(nul), "INVALID_FIELD"),
        (item(nowhere), "WORKSPACE_NOT_FOUND"),
        (item(nobody), "INVALID_FIELD"),
        (item(without_id), "INVALID_FIELD"),
        (item(no_json), "INVALID_FIELD"),
        (pb::ForwardItem::default(), "INVALID_FIELD"),
        (item(outcome(2, "queued")), "ACTIVITY_CONFLICT"),
        (item(outcome(2, "ok")), ""),
        (item(outcome(2, "error")), "ACTIVITY_CONFLICT"),
        (item(outcome(2, "ok")), ""),
        (item(outcome(8, "ok")), "ACTIVITY_NOT_FOUND"),
        (item(row(9, "queued")), "ACTIVITY_CONFLICT"),
        (item(row(10, "ok")), ""),
    ];
    let (items, expected): (Vec<_>, Vec<_>) = items.into_iter().unzip();
    assert_eq!(lab.forward(items).await, expected);
    let listed: Vec<_> = lab.listed().await.into_iter().map(|row| row.id).collect();
    assert_eq!(listed, [id(1), id(2), id(10)]);
}

/// Row 1 is refused; row 2 ends the connection, once, when its batch was cut in
/// halves for that.
const TROUBLE: &str = "CREATE SEQUENCE refused; CREATE SEQUENCE ended;
    CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.summary = '1' THEN
            PERFORM nextval('refused');
            RAISE EXCEPTION 'no';
        ELSIF (SELECT is_called FROM refused) AND nextval('ended') = 1 THEN
            PERFORM pg_terminate_backend(pg_backend_pid());
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER trouble BEFORE INSERT ON activity_logs FOR EACH ROW
        WHEN (NEW.summary IN ('1', '2')) EXECUTE FUNCTION trouble()";

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_waits_for_its_row_whatever_postgres_does_to_their_batch() {
    let lab = Lab::new().await;
    postgres::execute(&lab.url, TROUBLE).await.unwrap();
    // Somebody holds the log's end, so that the whole call becomes one batch.
    let mut holder = PgConnection::connect(&lab.url).await.unwrap();
    let mut held = holder.begin().await.unwrap();
    let hold = sqlx::query("SELECT 1 FROM activity.log_position FOR UPDATE");
    hold.execute(&mut *held).await.unwrap();
    let first = lab.forward(vec![item(row(100, "ok"))]);
    let mut items: Vec<_> = (1..=20).map(|n| item(row(n, "queued"))).collect();
    items.extend((2..=20).map(|n| item(outcome(n, "ok"))));
    let others = async {
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        wait_for("a batch that waits", SOON, || async {
            (postgres::count(&lab.url, waits).await.ok()? > 0).then_some(())
        })
        .await
        .unwrap();
        let (results, ()) = tokio::join!(lab.forward(items), async {
            held.commit().await.unwrap();
        });
        results
    };
    let (first, results) = tokio::join!(first, others);
    assert_eq!(first, [""]);
    let mut expected = vec![""; 39];
    expected[0] = "INTERNAL";
    assert_eq!(results, expected);
    let ended = "SELECT last_value FROM ended WHERE is_called";
    assert!(postgres::count(&lab.url, ended).await.unwrap() >= 1);
    assert!(lab.listed().await.iter().all(|row| row.r#final));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_platform_forwards_and_not_too_much_at_once() {
    let lab = Lab::new().await;
    let auth = AuthMethod::Admin;
    for caller in [
        Caller::Anonymous,
        Caller::User { auth },
        workspace(AuthMethod::Token, false),
    ] {
        let refused = lab.forward_as(&caller, vec![item(row(1, "ok"))]).await;
        assert_eq!(refused.unwrap_err(), Reason::NotAllowed, "{caller:?}");
    }
    let many = (0..257).map(|n| item(row(n, "ok"))).collect();
    let refused = lab.forward_as(&Caller::system("relay"), many).await;
    assert_eq!(refused.unwrap_err(), Reason::InvalidField);
    assert_eq!(lab.listed().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_that_asks_on_is_told_which_open_rows_it_has_seen() {
    let lab = Lab::new().await;
    let mut log = row(3, "queued");
    log.row.as_mut().unwrap().activity_type = "delegation".to_owned();
    let items = vec![
        item(row(1, "queued")),
        item(row(2, "ok")),
        item(log),
        item(row(4, "ok")),
        item(row(5, "queued")),
    ];
    assert_eq!(lab.forward(items).await, [""; 5]);
    let since = |n| pb::ListRequest {
        workspace_id: WORKSPACE.to_owned(),
        since_id: Some(id(n)),
        ..pb::ListRequest::default()
    };
    let itself = workspace(AuthMethod::Token, false);
    let seen = async |caller: &Caller, request| {
        let answer = lab.list(caller, request).await;
        answer.queued_before_cursor
    };
    assert_eq!(seen(&itself, since(2)).await, [id(1)]);
    // Delegations of its own that are not over are no messages for it.
    assert_eq!(seen(&itself, since(4)).await, [id(1)]);
    assert_eq!(seen(&itself, since(5)).await, [id(1), id(5)]);
    let from_the_start = pb::ListRequest {
        since_id: None,
        oldest_first: true,
        ..since(1)
    };
    assert_eq!(seen(&itself, from_the_start).await, [""; 0]);
    // What a filter hides was not seen.
    let filtered = pb::ListRequest {
        r#type: Some("a2a_receive".to_owned()),
        ..since(4)
    };
    assert_eq!(seen(&itself, filtered).await, [id(1)]);

    // Nobody else's look says anything about the workspace.
    let auth = AuthMethod::Admin;
    for other in [
        Caller::User { auth },
        Caller::system("gateway"),
        workspace(AuthMethod::Claimed, false),
    ] {
        assert_eq!(seen(&other, since(5)).await, [""; 0], "{other:?}");
    }
    let stale = workspace(AuthMethod::Token, true);
    let request = since(5);
    let refused = lab
        .client
        .call(&stale, request, |mut client, request| async move {
            client.list(request).await
        })
        .await;
    assert_eq!(refused.unwrap_err().reason(), Reason::NotAllowed);

    assert_eq!(lab.forward(vec![item(outcome(1, "ok"))]).await, [""]);
    assert_eq!(seen(&itself, since(4)).await, [""; 0]);
    for page in 0..2 {
        let more = (0..250).map(|n| item(row(100 + page * 250 + n, "queued")));
        assert_eq!(lab.forward(more.collect()).await, [""; 250]);
    }
    let seen = seen(&itself, since(599)).await;
    assert_eq!(seen.len(), 500);
    assert_eq!(
        (&seen[..3], &seen[499]),
        (&[id(5), id(100), id(101)][..], &id(598))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_row_waits_as_long_as_it_is_kept_and_late_outcomes_stand_beside() {
    let lab = Lab::new().await;
    lab.begin(1).await;
    assert_eq!(lab.forward(vec![item(row(2, "queued"))]).await, [""]);
    let old = format!(
        "UPDATE activity_logs SET deadline = now() - interval '2 hours' WHERE id = '{}';
         UPDATE activity_logs SET created_at = now() - interval '30 hours' WHERE id = '{}'",
        id(1),
        id(2)
    );
    postgres::execute(&lab.url, &old).await.unwrap();
    let reaped = "SELECT count(*) FROM activity_logs WHERE reaped_at IS NOT NULL";
    wait_for("the reaper", SOON, || async {
        (postgres::count(&lab.url, reaped).await.ok()? == 1).then_some(())
    })
    .await
    .unwrap();
    let rows = lab.listed().await;
    assert_eq!((&rows[0].id, rows[0].r#final), (&id(2), false));
    assert_eq!(rows[1].error_detail.as_deref(), Some("outcome unknown"));
    let late = vec![item(outcome(1, "ok")), item(outcome(1, "ok"))];
    assert_eq!(lab.forward(late).await, ["", ""]);
    let rows = lab.listed().await;
    assert_eq!(rows[1].late_outcome.as_ref().unwrap().status, "ok");

    let older = "UPDATE activity_logs SET created_at = now() - interval '3 days'
        WHERE phase = 'queued'";
    postgres::execute(&lab.url, older).await.unwrap();
    let open = "SELECT count(*) FROM activity_logs WHERE phase = 'queued'";
    wait_for("retention", SOON, || async {
        (postgres::count(&lab.url, open).await.ok()? == 0).then_some(())
    })
    .await
    .unwrap();
    let gone = lab.forward(vec![item(outcome(2, "ok"))]).await;
    assert_eq!(gone, ["ACTIVITY_NOT_FOUND"]);
}
