//! Keys change: what was sealed opens, everything is sealed anew, and what opens no more
//! is said by name.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use candor_testkit::http::Client;
use candor_testkit::platform::{DataDir, Platform};
use candor_testkit::postgres;
use candor_testkit::wait::wait_for;

use super::{binaries, created, get, put};

const OLD: &str = "0123456789abcdef0123456789abcdef";
const NEW: &str = "fedcba9876543210fedcba9876543210";
const MINUTE: Duration = Duration::from_secs(60);

async fn up(data: &DataDir, env: &[(&str, &str)]) -> (Platform, Client) {
    let candor = binaries().up(data, env).await.unwrap();
    let client = Client::new(candor.http());
    (candor, client)
}

fn rotate(data: &Path) -> Output {
    let mut command = binaries().command("candor");
    command.args(["secrets", "rotate", "--data-dir"]).arg(data);
    command.output().unwrap()
}

fn words(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

async fn count(candor: &Platform, query: &str) -> i64 {
    postgres::count(&candor.database_url(), query)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_sealed_anew_with_a_key_from_a_file() {
    let data = DataDir::new().unwrap();
    let (mut candor, mut client) = up(&data, &[]).await;
    let id = created(&mut client, "w").await;
    let secrets = format!("/workspaces/{id}/secrets");
    let values = format!("{secrets}/values");
    put(&mut client, &secrets, "PLAIN", "1").await;
    let refused = words(&rotate(data.path()));
    assert!(refused.contains("no key is set"), "{refused}");
    candor.process().stop(MINUTE);

    let (mut candor, mut client) = up(&data, &[("SECRETS_ENCRYPTION_KEY", OLD)]).await;
    put(&mut client, &secrets, "OLD", "2").await;
    put(&mut client, "/settings/secrets", "GLOBAL", "3").await;
    candor.process().stop(MINUTE);

    let file = data.path().join("key");
    std::fs::write(&file, format!("{NEW}\n")).unwrap();
    let file = ("CANDOR_SECRETS_ENCRYPTION_KEY_FILE", file.to_str().unwrap());
    let previous = ("CANDOR_SECRETS_ENCRYPTION_KEY_PREVIOUS", OLD);
    let (mut candor, mut client) = up(&data, &[file, previous]).await;
    let all = r#"{"GLOBAL":"3","OLD":"2","PLAIN":"1"}"#;
    assert_eq!(get(&mut client, &values).await, (200, all.to_owned()));
    let shown = format!(
        "SELECT count(*) FROM workspace_secrets WHERE updated_at > created_at
           AND workspace_id = '{id}'"
    );
    for wanted in ["3 secrets sealed", "0 secrets sealed"] {
        let told = rotate(data.path());
        assert!(told.status.success() && words(&told).starts_with(wanted));
    }
    assert_eq!(count(&candor, &shown).await, 0, "nobody changed them");
    candor.process().stop(MINUTE);

    let (mut candor, mut client) = up(&data, &[file]).await;
    assert_eq!(get(&mut client, &values).await, (200, all.to_owned()));
    candor.process().stop(MINUTE);

    let (_candor, mut client) = up(&data, &[("SECRETS_ENCRYPTION_KEY", OLD)]).await;
    let unreadable = r#"{"error":"one or more secrets failed to decrypt; refusing to return partial bundle","failed_keys":["global:GLOBAL","workspace:OLD","workspace:PLAIN"]}"#;
    assert_eq!(
        get(&mut client, &values).await,
        (500, unreadable.to_owned())
    );
    put(&mut client, &secrets, "MODEL_PROVIDER", "m").await;
    assert_eq!(get(&mut client, &secrets).await.0, 200);
    let told = rotate(data.path());
    assert!(!told.status.success());
    for part in [
        "3 secrets open with neither key",
        "global:GLOBAL",
        &format!("workspace:{id}:OLD"),
    ] {
        assert!(words(&told).contains(part), "{}", words(&told));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_is_killed_loses_nothing_and_goes_on() {
    let data = DataDir::new().unwrap();
    let (mut candor, mut client) = up(&data, &[("SECRETS_ENCRYPTION_KEY", NEW)]).await;
    let id = created(&mut client, "w").await;
    let rows = format!(
        "INSERT INTO workspace_secrets (workspace_id, key, encrypted_value)
         SELECT '{id}', 'K' || i, 'v' FROM generate_series(1, 20000) i"
    );
    postgres::execute(&candor.database_url(), &rows)
        .await
        .unwrap();
    let path = data.path().to_owned();
    let rotation = tokio::task::spawn_blocking(move || rotate(&path));
    let sealed = "SELECT count(*) FROM workspace_secrets WHERE encryption_version = 1";
    let some = wait_for("some to be sealed", MINUTE, || async {
        Some(count(&candor, sealed).await).filter(|some| *some > 0)
    });
    some.await.unwrap();
    candor.process().kill9();
    assert!(!rotation.await.unwrap().status.success());

    let (candor, mut client) = up(&data, &[("SECRETS_ENCRYPTION_KEY", NEW)]).await;
    let done = count(&candor, sealed).await;
    assert!((1..20_000).contains(&done), "{done}");
    let told = words(&rotate(data.path()));
    assert!(
        told.starts_with(&format!("{} secrets", 20_000 - done)),
        "{told}"
    );
    assert_eq!(count(&candor, sealed).await, 20_000);
    let (code, values) = get(&mut client, &format!("/workspaces/{id}/secrets/values")).await;
    assert_eq!((code, values.matches(r#""v""#).count()), (200, 20_000));
}
