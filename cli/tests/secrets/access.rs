//! Who may, on open and on enforced listeners, over HTTP and gRPC; and that no value is
//! ever told but to its own workspace.

use std::process::Command;
use std::time::Duration;

use candor_proto::provisioner::v1 as pb;
use candor_testkit::agent::{FakeAgent, with_bearer};
use candor_testkit::http::{Call, Client};
use candor_testkit::platform::{DataDir, Platform};
use candor_testkit::process::Process;
use http::Method;
use serde_json::json;
use tonic::Code;

use super::{VALUE, binaries, created, get, grpc, put};

const ADMIN: &str = "the-admin-token";

/// What a caller with this bearer is told, route by route.
async fn http_codes(client: &mut Client, id: &str, bearer: &str) -> Vec<u16> {
    let of = |rest: &str| format!("/workspaces/{id}{rest}");
    let mut codes = Vec::new();
    for (method, path) in [
        (Method::GET, of("/secrets")),
        (Method::POST, of("/secrets")),
        (Method::PUT, of("/secrets")),
        (Method::DELETE, of("/secrets/NONE")),
        (Method::GET, of("/secrets/values")),
        (Method::GET, of("/model")),
        (Method::PUT, of("/model")),
        (Method::GET, of("/config")),
        (Method::PATCH, of("/config")),
    ] {
        let body = json!({"key": "STOLEN", "value": "v", "model": "stolen"});
        let call = Call::new(method, path).json(&body).bearer(bearer);
        codes.push(client.send(call).await.unwrap().status);
    }
    codes
}

async fn grpc_codes(candor: &Platform, id: &str, bearer: &str) -> Vec<Code> {
    let mut client = grpc(candor).await;
    let workspace_id = id.to_owned();
    macro_rules! codes {
        ($($method:ident($request:ident { $($field:ident: $value:expr),* });)*) => {
            vec![$({
                let request = pb::$request {
                    workspace_id: workspace_id.clone(),
                    $($field: $value.to_owned()),*
                };
                let request = with_bearer(request, bearer).unwrap();
                client.$method(request).await.err().map_or(Code::Ok, |status| status.code())
            }),*]
        };
    }
    codes! {
        list_secrets(ListSecretsRequest {});
        put_secret(PutSecretRequest { key: "STOLEN", value: "v" });
        delete_secret(DeleteSecretRequest { key: "NONE" });
        get_secret_values(GetSecretValuesRequest {});
        get_model(GetModelRequest {});
        set_model(SetModelRequest { model: "stolen" });
        get_config(GetConfigRequest {});
        merge_config(MergeConfigRequest { data: "{}" });
    }
}

/// Everything that is stored of a workspace.
async fn stored(candor: &Platform, id: &str) -> String {
    let query = format!(
        "SELECT concat((SELECT string_agg(s::text, ';' ORDER BY s.id) FROM workspace_secrets s
                        WHERE workspace_id = '{id}'),
                       (SELECT data FROM workspace_config WHERE workspace_id = '{id}'))"
    );
    let url = candor.database_url();
    candor_testkit::postgres::text(&url, &query).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_sees_and_changes_its_own_secrets_and_nobody_elses() {
    for env in [&[][..], &[("ADMIN_TOKEN", ADMIN)]] {
        let data = DataDir::new().unwrap();
        // Workspaces are made while it is open; the second round is enforced.
        let open = binaries().up(&data, &[]).await.unwrap();
        let mut client = Client::new(open.http());
        let victim = FakeAgent::enrolled(&mut client, "victim").await.unwrap();
        let thief = FakeAgent::enrolled(&mut client, "thief").await.unwrap();
        let path = format!("/workspaces/{}/secrets", victim.id);
        assert_eq!(put(&mut client, &path, "K", VALUE).await.0, 200);
        let candor = match env {
            [] => open,
            env => {
                let mut open = open;
                open.process().stop(Duration::from_secs(20));
                drop(open);
                binaries().up(&data, env).await.unwrap()
            }
        };
        let mut client = Client::new(candor.http());
        let before = stored(&candor, &victim.id).await;
        assert_eq!(
            http_codes(&mut client, &victim.id, &thief.token).await,
            [401; 9]
        );
        for code in grpc_codes(&candor, &victim.id, &thief.token).await {
            assert!(matches!(
                code,
                Code::PermissionDenied | Code::Unauthenticated
            ));
        }
        assert_eq!(stored(&candor, &victim.id).await, before);

        let own = [200, 200, 200, 404, 200, 200, 200, 200, 200];
        assert_eq!(
            http_codes(&mut client, &victim.id, &victim.token).await,
            own
        );
        let codes = grpc_codes(&candor, &victim.id, &victim.token).await;
        let refused: Vec<_> = codes.into_iter().filter(|code| *code != Code::Ok).collect();
        assert_eq!(refused, [Code::NotFound]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_for_the_workspaces_own_token_and_for_no_admin() {
    let data = DataDir::new().unwrap();
    let candor = binaries()
        .up(&data, &[("ADMIN_TOKEN", ADMIN)])
        .await
        .unwrap();
    let mut client = Client::new(candor.http());
    let admin = |method, path: &str, body| Call::new(method, path).json(&body).bearer(ADMIN);
    let call = admin(Method::POST, "/workspaces", json!({"name": "w"}));
    let id = client.send(call).await.unwrap().json()["id"].clone();
    let of = format!("/workspaces/{}", id.as_str().unwrap());
    let call = admin(Method::POST, &format!("{of}/tokens"), json!({}));
    let minted = client.send(call).await.unwrap().json();
    let own = minted["auth_token"].as_str().unwrap().to_owned();
    for (path, key) in [
        (format!("{of}/secrets"), "K"),
        ("/settings/secrets".into(), "G"),
    ] {
        let call = admin(Method::PUT, &path, json!({"key": key, "value": VALUE}));
        assert_eq!(client.send(call).await.unwrap().status, 200);
    }
    let values = format!("{of}/secrets/values");
    for (bearer, wanted) in [
        (None, r#"{"error":"missing workspace auth token"}"#),
        (Some(ADMIN), r#"{"error":"invalid workspace auth token"}"#),
        (
            Some("nonsense"),
            r#"{"error":"invalid workspace auth token"}"#,
        ),
    ] {
        let call = Call::get(&values);
        let call = match bearer {
            Some(bearer) => call.bearer(bearer),
            None => call,
        };
        let answer = client.send(call).await.unwrap();
        assert_eq!((answer.status, &*answer.text()), (401, wanted));
    }
    let answer = client.send(Call::get(&values).bearer(&own)).await.unwrap();
    assert_eq!(answer.text(), format!(r#"{{"G":"{VALUE}","K":"{VALUE}"}}"#));
    // A workspace's token is no operator's where there is one.
    let global = Call::get("/settings/secrets").bearer(&own);
    assert_eq!(client.send(global).await.unwrap().status, 401);
    // Nor does it choose what the runtime executes.
    let body = json!({"key": "CANDOR_COMMAND", "value": "sh"});
    let path = format!("{of}/secrets");
    let setting = Call::post(&path, &body);
    let answer = client.send(setting.clone().bearer(&own)).await.unwrap();
    assert_eq!(
        answer.text(),
        r#"{"error":"reserved name: CANDOR_COMMAND"}"#
    );
    assert_eq!(
        client.send(setting.bearer(ADMIN)).await.unwrap().status,
        200
    );
    // Nor does it take away what people chose.
    let setting = Call::new(Method::DELETE, format!("{of}/secrets/CANDOR_COMMAND"));
    let answer = client.send(setting.clone().bearer(&own)).await.unwrap();
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (400, r#"{"error":"reserved name: CANDOR_COMMAND"}"#)
    );
    assert_eq!(
        client.send(setting.bearer(ADMIN)).await.unwrap().status,
        200
    );

    let call = admin(Method::DELETE, &of, json!({}));
    assert_eq!(client.send(call).await.unwrap().status, 200);
    let late = client.send(Call::get(&values).bearer(&own)).await.unwrap();
    assert_eq!(late.status, 401, "{}", late.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_is_logged_even_where_everything_is() {
    let data = DataDir::new().unwrap();
    let log = data.path().join("log");
    let program = binaries().command("candor");
    let mut command = Command::new("sh");
    command.arg("-c").arg(r#"exec "$0" "$@" 2> "$LOG""#);
    command.arg(program.get_program());
    command.args(["up", "--json", "--http", "127.0.0.1:0", "--log", "trace"]);
    command.args(["--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    command.arg("--data-dir").arg(data.path());
    command.env_clear();
    for (name, value) in program.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command.env("LOG", &log);
    command.env("SECRETS_ENCRYPTION_KEY", "0123456789abcdef0123456789abcdef");
    let minute = Duration::from_secs(60);
    let mut candor = Process::start("candor up", command, minute).await.unwrap();
    let http = candor.announced("http");
    let mut client = Client::new(http.trim_start_matches("http://").parse().unwrap());
    let id = created(&mut client, "w").await;
    let of = format!("/workspaces/{id}");
    let secrets = format!("{of}/secrets");
    assert_eq!(put(&mut client, &secrets, "K", VALUE).await.0, 200);
    assert_eq!(
        put(&mut client, "/settings/secrets", "G", VALUE).await.0,
        200
    );
    // A value that is refused, one at creation, and one as a model.
    let reserved = put(&mut client, &secrets, "HOME", VALUE).await;
    assert_eq!(reserved.0, 400);
    let body = json!({"name": "x", "secrets": {"K": VALUE}});
    let call = Call::post("/workspaces", &body);
    assert_eq!(client.send(call).await.unwrap().status, 201);
    let body = json!({"model": VALUE});
    let call = Call::new(Method::PUT, format!("{of}/model")).json(&body);
    assert_eq!(client.send(call).await.unwrap().status, 200);
    let (code, values) = get(&mut client, &format!("{secrets}/values")).await;
    assert!(code == 200 && values.contains(VALUE));
    candor.stop(Duration::from_secs(20));
    let logged = std::fs::read(&log).unwrap();
    let logged = String::from_utf8_lossy(&logged);
    assert!(logged.contains("TRACE"), "{} bytes", logged.len());
    let told: Vec<_> = logged.lines().filter(|l| l.contains(VALUE)).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}
