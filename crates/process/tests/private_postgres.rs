//! The private Postgres: created, refused, adopted, stopped (design section 2).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use candor_process::data_dir::DataDir;
use candor_process::postgres::{PostgresError, PostgresSettings, PrivatePostgres};
use sqlx::{Connection as _, PgConnection};
use support::{Fixture, KillOnDrop, data_dir};

async fn one_row(postgres: &PrivatePostgres, sql: &'static str) -> String {
    let mut connection = PgConnection::connect_with(&postgres.connect_options())
        .await
        .unwrap();
    sqlx::query_scalar(sql)
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

async fn write_mark(postgres: &PrivatePostgres) {
    let mut connection = PgConnection::connect_with(&postgres.connect_options())
        .await
        .unwrap();
    sqlx::raw_sql("CREATE TABLE mark (word text); INSERT INTO mark VALUES ('kept')")
        .execute(&mut connection)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_new_cluster_is_durable_local_and_locked_by_a_password() {
    let fixture = Fixture::start().await;
    assert!(!fixture.postgres.adopted());
    for (setting, value) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("jit", "off"),
    ] {
        let mut connection = PgConnection::connect_with(&fixture.postgres.connect_options())
            .await
            .unwrap();
        let found: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(setting)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(found, value, "{setting}");
    }
    let listen = one_row(&fixture.postgres, "SHOW listen_addresses").await;
    assert!(listen.is_empty() || listen == "127.0.0.1", "{listen}");
    let refusal =
        PgConnection::connect_with(&fixture.postgres.connect_options().password("wrong")).await;
    assert!(
        refusal
            .unwrap_err()
            .to_string()
            .contains("password authentication failed")
    );
    let mut by_url = PgConnection::connect(fixture.postgres.url()).await.unwrap();
    by_url.ping().await.unwrap();
}

#[tokio::test]
async fn a_stopped_cluster_starts_again_with_its_rows() {
    let Fixture {
        postgres,
        owned,
        dir,
        guard: _guard,
    } = Fixture::start().await;
    write_mark(&postgres).await;
    let first = postgres.pid();
    postgres.stop().await.unwrap();
    assert!(!dir.path().join("postgres/postmaster.pid").exists());
    let again = PrivatePostgres::start(&owned, &PostgresSettings::default())
        .await
        .unwrap();
    let _guard = KillOnDrop(again.pid());
    assert!(!again.adopted());
    assert_ne!(again.pid(), first);
    assert_eq!(one_row(&again, "SELECT word FROM mark").await, "kept");
    again.stop().await.unwrap();
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_falls_back_to_loopback() {
    let dir = data_dir();
    let long = dir.path().join("d".repeat(100));
    let owned = DataDir::open(&long).unwrap();
    let postgres = PrivatePostgres::start(&owned, &PostgresSettings::default())
        .await
        .unwrap();
    let _guard = KillOnDrop(postgres.pid());
    assert_eq!(
        one_row(&postgres, "SHOW listen_addresses").await,
        "127.0.0.1"
    );
    drop(postgres);
    let again = PrivatePostgres::start(&owned, &PostgresSettings::default())
        .await
        .unwrap();
    assert!(again.adopted(), "found again by the port in postmaster.pid");
    again.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_cannot_start_shows_the_end_of_its_log() {
    let Fixture {
        postgres,
        owned,
        dir,
        guard: _guard,
    } = Fixture::start().await;
    postgres.stop().await.unwrap();
    let conf = dir.path().join("postgres/postgresql.conf");
    let mut text = std::fs::read_to_string(&conf).unwrap();
    text.push_str("\nno_such_setting = on\n");
    std::fs::write(&conf, text).unwrap();
    let refusal = PrivatePostgres::start(&owned, &PostgresSettings::default())
        .await
        .unwrap_err();
    assert!(
        matches!(refusal, PostgresError::NotStarted { .. }),
        "{refusal}"
    );
    assert!(refusal.to_string().contains("no_such_setting"), "{refusal}");
}

#[tokio::test]
async fn an_interrupted_creation_is_begun_again() {
    let dir = data_dir();
    std::fs::create_dir_all(dir.path().join("postgres.new/base")).unwrap();
    std::fs::write(dir.path().join("postgres.new/PG_VERSION"), "15\n").unwrap();
    let owned = DataDir::open(dir.path()).unwrap();
    let postgres = PrivatePostgres::start(&owned, &PostgresSettings::default())
        .await
        .unwrap();
    postgres.stop().await.unwrap();
}

/// The example that owns a private Postgres in a process of its own.
fn owner_program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples/private_postgres");
    assert!(
        built.exists(),
        "{} is missing: build it with `cargo build --examples`",
        built.display()
    );
    built
}

#[tokio::test]
async fn postgres_survives_a_killed_owner_and_is_adopted() {
    let dir = data_dir();
    let mut owner = Command::new(owner_program())
        .arg(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let pid: i32 = lines.next().unwrap().unwrap().parse().unwrap();
    let _guard = KillOnDrop(pid);

    let refusal = DataDir::open(dir.path()).unwrap_err().to_string();
    assert!(
        refusal.contains(&format!("in use by process {}", owner.id())),
        "{refusal}"
    );

    owner.kill().unwrap();
    owner.wait().unwrap();
    let owned = DataDir::open(dir.path()).unwrap();
    let adopted = PrivatePostgres::start(&owned, &PostgresSettings::default())
        .await
        .unwrap();
    assert!(adopted.adopted());
    assert_eq!(adopted.pid(), pid);
    write_mark(&adopted).await;
    assert_eq!(one_row(&adopted, "SELECT word FROM mark").await, "kept");
    adopted.stop().await.unwrap();
    assert!(!dir.path().join("postgres/postmaster.pid").exists());
}

#[tokio::test]
async fn a_signal_reaches_the_owner_only_which_then_stops_postgres() {
    let dir = data_dir();
    let mut owner = Command::new(owner_program())
        .arg(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let pid: i32 = lines.next().unwrap().unwrap().parse().unwrap();
    let _guard = KillOnDrop(pid);
    let group = nix::unistd::getpgid(Some(nix::unistd::Pid::from_raw(pid))).unwrap();
    assert_eq!(
        group.as_raw(),
        pid,
        "Ctrl-C in a terminal goes to the group of Candor, not to this one"
    );
    let owner_pid = nix::unistd::Pid::from_raw(i32::try_from(owner.id()).unwrap());
    nix::sys::signal::kill(owner_pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(owner.wait().unwrap().success());
    assert!(!dir.path().join("postgres/postmaster.pid").exists());
}

#[tokio::test]
async fn a_killed_postgres_recovers_what_was_committed() {
    let Fixture {
        mut postgres,
        owned,
        dir: _dir,
        guard: _guard,
    } = Fixture::start().await;
    write_mark(&postgres).await;
    let pid = nix::unistd::Pid::from_raw(postgres.pid());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    postgres.gone().await;
    let again = PrivatePostgres::start(&owned, &PostgresSettings::default())
        .await
        .unwrap();
    let _guard = KillOnDrop(again.pid());
    assert!(!again.adopted());
    assert_eq!(one_row(&again, "SELECT word FROM mark").await, "kept");
    again.stop().await.unwrap();
}
