//! Messages that an older platform had accepted (table `a2a_queue`, deviation D55).
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use candor_testkit::a2a_agent::A2aAgent;
use candor_testkit::platform::{Binaries, DataDir};
use candor_testkit::postgres::{self, Postgres};
use candor_testkit::wait::wait_for;
use serde_json::{Value, json};

const TARGET: &str = "00000000-0000-4000-8000-0000000000aa";
const CALLER: &str = "00000000-0000-4000-8000-0000000000bb";
/// Before the relay's tables.
const BEFORE: &str = "46";

fn entry(n: u32) -> String {
    format!("00000000-0000-4000-8000-00000000000{n}")
}

fn migrate(binaries: &Binaries, url: &str, args: &[&str]) {
    let mut command = binaries.command("candor");
    let output = command
        .arg("migrate")
        .args(args)
        .env("DATABASE_URL", url)
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{words}");
}

/// A database as an older platform left it, with two workspaces and five messages:
/// a person's, another workspace's that was on its way, one that is too old, and two
/// that are settled.
async fn left(binaries: &Binaries, postgres: &Postgres, agent_url: &str) -> String {
    let url = postgres.create_database().await.unwrap();
    migrate(binaries, &url, &["up"]);
    migrate(binaries, &url, &["down", "--to", BEFORE]);
    let row = |n: u32, rest: &str| {
        let body = json!({"jsonrpc": "2.0", "id": n, "method": "message/send", "params": {
            "message": {"messageId": format!("m-{n}"), "role": "user",
                        "parts": [{"kind": "text", "text": "schön"}]}}});
        format!(
            "('{}', '{TARGET}', '{body}', 'message/send', 'm-{n}', {rest})",
            entry(n)
        )
    };
    let rows = [
        row(
            1,
            "NULL, 50, 'queued', 1, 'busy', now() - interval '2 minutes', NULL",
        ),
        row(
            2,
            &format!("'{CALLER}', 100, 'dispatched', 2, NULL, now(), now() + interval '1 hour'"),
        ),
        row(
            3,
            "NULL, 50, 'queued', 0, NULL, now(), now() - interval '1 second'",
        ),
        row(4, "NULL, 50, 'completed', 1, NULL, now(), NULL"),
        row(5, "NULL, 50, 'dropped', 1, 'stale', now(), NULL"),
    ];
    let statements = format!(
        "INSERT INTO workspaces (id, name, status, url) VALUES
             ('{TARGET}', 'target', 'online', '{agent_url}'), ('{CALLER}', 'caller', 'online', '');
         INSERT INTO a2a_queue (id, workspace_id, body, method, idempotency_key, caller_id,
                                priority, status, attempts, last_error, enqueued_at, expires_at)
         VALUES {}",
        rows.join(", ")
    );
    postgres::execute(&url, &statements).await.unwrap();
    url
}

async fn legacy_rows(url: &str) -> String {
    let rows = "SELECT string_agg(to_jsonb(q)::text, E'\n' ORDER BY id) FROM a2a_queue q";
    postgres::text(url, rows).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_platform_accepted_is_delivered_or_reported() {
    let postgres = Postgres::start_new().await.unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let agent = A2aAgent::start().await.unwrap();
    let url = left(&binaries, &postgres, &agent.url()).await;
    let data = DataDir::new().unwrap();
    let env = [("CANDOR_DATABASE_URL", url.as_str())];
    let candor = binaries.up(&data, &env).await.unwrap();

    let received = agent.wait_for_requests(2).await.unwrap();
    let first = received[0].json();
    assert_eq!(
        first["params"]["message"]["messageId"], "m-2",
        "by priority"
    );
    assert_eq!(first["params"]["message"]["parts"][0]["text"], "schön");
    assert_eq!(received[0].header("x-candor-attempt"), Some("3"));
    // Each has one row, whole and final, with the source that was known of it.
    let rows = wait_for("three rows", Duration::from_secs(20), || async {
        let mut command = binaries.command("candor");
        command.args(["activity", "ls", TARGET, "--json", "--data-dir"]);
        let output = command.arg(data.path()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let rows: Vec<Value> = text
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        (rows.len() == 3).then_some(rows)
    })
    .await
    .unwrap();
    let mut told: Vec<String> = rows
        .iter()
        .map(|row| {
            assert_eq!(row["final"], true, "{row}");
            let source = &row["source"];
            let all = [
                &source["kind"],
                &source["id"],
                &source["auth"],
                &row["status"],
            ];
            let words = all.map(|word| word.as_str().unwrap_or_default());
            words.join(" ") + " " + row["error_detail"].as_str().unwrap_or_default()
        })
        .collect();
    told.sort();
    let expected = [
        "anonymous   error expired: it waited for too long".to_owned(),
        "anonymous   ok ".to_owned(),
        format!("workspace {CALLER} claimed ok "),
    ];
    assert_eq!(told, expected);
    assert_eq!(agent.requests().len(), 2);

    drop(candor);
    migrate(&binaries, &url, &["down", "--to", BEFORE]);
    let ends = "SELECT string_agg(status, ' ' ORDER BY id) FROM a2a_queue";
    assert_eq!(
        postgres::text(&url, ends).await.unwrap(),
        "completed completed dropped completed dropped",
        "nothing is sent again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_still_waits_goes_back_to_an_older_platform() {
    let postgres = Postgres::start_new().await.unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let url = left(&binaries, &postgres, "http://127.0.0.1:9").await;
    let before = legacy_rows(&url).await;
    migrate(&binaries, &url, &["up"]);
    assert_eq!(
        legacy_rows(&url).await,
        before,
        "its own table stays as it was"
    );
    let count = "SELECT count(*) FROM relay.entries WHERE NOT listed AND state = 'accepted'";
    assert_eq!(postgres::count(&url, count).await.unwrap(), 3);
    migrate(&binaries, &url, &["down", "--to", BEFORE]);
    assert_eq!(legacy_rows(&url).await, before);

    migrate(&binaries, &url, &["up"]);
    // Of ours: the same message id by two senders, what jsonb cannot hold, one that is
    // fetched, one whose workspace is gone; and another attempt at an adopted one.
    let nul = r#"{"text": "\\u0000"}"#;
    let ours = format!(
        "INSERT INTO relay.entries (id, workspace_id, caller, source, message_id, method, priority,
                                    body, state, polled, attempts, expires_at, activity_id)
         SELECT e.id::uuid, e.workspace::uuid, e.caller, '', e.message, 'message/send', 50,
                e.body::bytea, e.state, e.polled, 1, now(), gen_random_uuid()
         FROM (VALUES
             ('{}', '{TARGET}', 'user', 'm-1', '{{}}', 'accepted', false),
             ('{}', '{TARGET}', '{CALLER}', 'm-7', '{{}}', 'accepted', false),
             ('{}', '{TARGET}', 'user', 'm-7', '{{}}', 'leased', false),
             ('{}', '{TARGET}', 'user', NULL, '{nul}', 'accepted', false),
             (gen_random_uuid()::text, '{TARGET}', 'user', 'm-8', '{{}}', 'accepted', true),
             (gen_random_uuid()::text, gen_random_uuid()::text, 'user', 'm-9', '{{}}', 'accepted', false)
         ) e (id, workspace, caller, message, body, state, polled);
         UPDATE relay.entries SET attempts = attempts + 1, last_error = 'again' WHERE id = '{}'",
        entry(6), entry(7), entry(8), entry(9), entry(2)
    );
    postgres::execute(
        &url,
        "UPDATE relay.entries SET message_id = 'm-0' WHERE message_id = 'm-1'",
    )
    .await
    .unwrap();
    postgres::execute(&url, &ours).await.unwrap();
    migrate(&binaries, &url, &["down", "--to", BEFORE]);
    let rows = "SELECT string_agg(concat_ws(' ', right(id::text, 1), status, attempts, last_error,
                                            caller_id, idempotency_key), ', ' ORDER BY id)
        FROM a2a_queue WHERE status IN ('queued', 'dispatched')";
    assert_eq!(
        postgres::text(&url, rows).await.unwrap(),
        format!(
            "1 queued 1 busy m-1, 2 queued 3 again {CALLER} m-2, 3 queued 0 m-3, \
             6 queued 1, 7 queued 1 {CALLER} m-7, 8 queued 1"
        )
    );
}
