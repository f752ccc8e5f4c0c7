//! `candor migrate up`, `down` and `status`, as an operator runs them.
#![allow(clippy::unwrap_used)]

use candor_testkit::platform::Binaries;
use candor_testkit::postgres::{self, Postgres};

fn run(binaries: &Binaries, url: &str, args: &[&str]) -> (bool, String) {
    let mut command = binaries.command("candor");
    command.arg("migrate").args(args).env("DATABASE_URL", url);
    let output = command.output().unwrap();
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    let trouble = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), words + &trouble)
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_go_up_and_down_and_tell_where_they_are() {
    let postgres = Postgres::start_new().await.unwrap();
    let url = postgres.create_database().await.unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let (done, words) = run(&binaries, &url, &["up"]);
    assert!(done && words.contains("9 migration(s) applied"), "{words}");
    let (done, words) = run(&binaries, &url, &["up"]);
    assert!(done && words.contains("0 migration(s) applied"), "{words}");
    let (done, words) = run(&binaries, &url, &["status"]);
    assert!(done && words.contains("workspace status enum"), "{words}");
    postgres::execute(
        &url,
        "INSERT INTO workspaces (name, status) VALUES ('row', 'degraded')",
    )
    .await
    .unwrap();

    let (done, words) = run(&binaries, &url, &["down", "--to", "1"]);
    assert!(done && words.contains("8 migration(s) reverted"), "{words}");
    let kept = "SELECT status || ' ' || pg_typeof(status)::text FROM workspaces";
    assert_eq!(postgres::text(&url, kept).await.unwrap(), "degraded text");
    let strange = "UPDATE workspaces SET status = 'half-alive'";
    postgres::execute(&url, strange).await.unwrap();
    let (done, words) = run(&binaries, &url, &["up"]);
    assert!(!done && words.contains("half-alive"), "{words}");
    assert_eq!(postgres::text(&url, kept).await.unwrap(), "half-alive text");
    postgres::execute(&url, "UPDATE workspaces SET status = 'degraded'")
        .await
        .unwrap();
    let (done, words) = run(&binaries, &url, &["up"]);
    assert!(done, "{words}");
    let kept = "SELECT status::text || ' ' || pg_typeof(status)::text FROM workspaces";
    assert_eq!(
        postgres::text(&url, kept).await.unwrap(),
        "degraded workspace_status"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn activity_rows_keep_their_meaning_up_and_down() {
    const WORKSPACE: &str = "00000000-0000-4000-8000-0000000000aa";
    let postgres = Postgres::start_new().await.unwrap();
    let url = postgres.create_database().await.unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    assert!(run(&binaries, &url, &["up"]).0);
    assert!(run(&binaries, &url, &["down", "--to", "44"]).0);
    // As an older platform wrote them: a person's, and an agent's.
    let legacy = format!(
        "INSERT INTO workspaces (id, name) VALUES ('{WORKSPACE}', 'w');
         INSERT INTO activity_logs (workspace_id, activity_type, source_id, summary, request_body)
         VALUES ('{WORKSPACE}', 'a2a_receive', NULL, 'person', '{{\"a\": 1}}'),
                ('{WORKSPACE}', 'agent_log', '{WORKSPACE}', 'agent', NULL)"
    );
    postgres::execute(&url, &legacy).await.unwrap();
    assert!(run(&binaries, &url, &["up"]).0);
    let canvas = "SELECT string_agg(summary, ',') FROM activity_logs
        WHERE coalesce(conversation, source_id IS NULL)";
    assert_eq!(postgres::text(&url, canvas).await.unwrap(), "person");
    let placed = "SELECT count(*) FROM activity_logs WHERE seq = 0";
    assert_eq!(postgres::count(&url, placed).await.unwrap(), 2);

    // As Candor writes them: JSON, a text, what jsonb cannot hold, an intent, and
    // a row whose workspace is gone.
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    let ours = format!(
        r#"INSERT INTO activity_logs
               (workspace_id, activity_type, summary, request_text, request_is_json, phase)
           VALUES ('{WORKSPACE}', 'agent_log', 'json', '{{"b":[1.0]}}', true, 'final'),
                  ('{WORKSPACE}', 'agent_log', 'text', 'plain', false, 'final'),
                  ('{WORKSPACE}', 'agent_log', 'nul', '{{"c":"\u0000"}}', true, 'final'),
                  ('{WORKSPACE}', 'agent_log', 'very deep', '{deep}', true, 'final'),
                  ('{WORKSPACE}', 'a2a_receive', 'intent', NULL, NULL, 'intent'),
                  (gen_random_uuid(), 'agent_log', 'orphan', NULL, NULL, 'final')"#
    );
    postgres::execute(&url, &ours).await.unwrap();
    let places = "SELECT count(DISTINCT seq) FROM activity_logs WHERE seq > 0";
    assert_eq!(postgres::count(&url, places).await.unwrap(), 5);
    let (done, words) = run(&binaries, &url, &["down", "--to", "44"]);
    assert!(done, "{words}");
    let kept = "SELECT string_agg(summary || '=' || coalesce(request_body::text, '-'), ' '
                                  ORDER BY summary) FROM activity_logs";
    assert_eq!(
        postgres::text(&url, kept).await.unwrap(),
        r#"agent=- json={"b": [1.0]} nul=- person={"a": 1} text="plain" very deep=-"#
    );
    let orphan = "INSERT INTO activity_logs (workspace_id, activity_type)
        VALUES (gen_random_uuid(), 'agent_log')";
    assert!(
        postgres::execute(&url, orphan).await.is_err(),
        "the key is back"
    );
    let (done, words) = run(&binaries, &url, &["up"]);
    assert!(done, "{words}");
}
