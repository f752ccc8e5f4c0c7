//! Files of a workspace that no backend runs: kept by the platform, for people and for the
//! workspace itself.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use candor_proto::provisioner::v1::provisioner_service_client::ProvisionerServiceClient;
use candor_proto::provisioner::v1::{DeleteFileRequest, ReadFileRequest, WriteFilesRequest};
use candor_testkit::agent::{FakeAgent, with_bearer};
use candor_testkit::http::{Answer, Call, Client};
use candor_testkit::platform::{Binaries, DataDir};
use candor_testkit::postgres;
use http::Method;
use serde_json::{Value, json};
use tonic::Code;

const MIB: usize = 1024 * 1024;

struct Files<'a> {
    client: &'a mut Client,
    agent: &'a FakeAgent,
}

impl Files<'_> {
    async fn ask(&mut self, method: Method, below: &str, body: Option<&Value>) -> Answer {
        let target = format!("/workspaces/{}{below}", self.agent.id);
        let call = Call::new(method, target).bearer(&self.agent.token);
        let call = match body {
            Some(body) => call.json(body),
            None => call,
        };
        self.client.send(call).await.unwrap()
    }

    /// What is answered to a GET.
    async fn get(&mut self, below: &str) -> (u16, String) {
        let answer = self.ask(Method::GET, below, None).await;
        (answer.status, answer.text())
    }

    /// What is answered to a PUT.
    async fn put(&mut self, below: &str, body: Value) -> (u16, String) {
        let answer = self.ask(Method::PUT, below, Some(&body)).await;
        (answer.status, answer.text())
    }
}

fn error(text: &str) -> String {
    json!({ "error": text }).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_write_is_kept_listed_and_read_back() {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(&data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    let agent = FakeAgent::enrolled(&mut client, "files").await.unwrap();
    let mut files = Files {
        client: &mut client,
        agent: &agent,
    };

    // Recorded: neighbours/canvas-and-catalogues 20, 21, 25.
    assert_eq!(files.get("/files").await, (200, "[]".to_owned()));
    let offline = error("file not found (container offline, no template)");
    assert_eq!(files.get("/files/config.yaml").await, (404, offline));
    assert_eq!(files.get("/shared-context").await, (200, "[]".to_owned()));

    let text = " a <b> & é\r\n";
    let saved = files.put("/files/skills/x/SKILL.md", json!({ "content": text }));
    let expected = r#"{"path":"skills/x/SKILL.md","status":"saved"}"#;
    assert_eq!(saved.await, (200, expected.to_owned()));
    let empty = files.put("/files/notes.md", json!({}));
    assert_eq!(empty.await.0, 200);
    let config =
        "name: f\nshared_context: [notes.md, missing.md, ../x, .auth_token, skills/x/SKILL.md]\n";
    let replaced = files.put(
        "/files",
        json!({"files": {"config.yaml": config, "notes.md": "n"}}),
    );
    let expected = format!(
        r#"{{"files":2,"source":"store","status":"replaced","workspace":"{}"}}"#,
        agent.id
    );
    assert_eq!(replaced.await, (200, expected));
    let read = files.get("/files/skills/x/SKILL.md").await.1;
    assert_eq!(
        read,
        r#"{"content":" a \u003cb\u003e \u0026 é\r\n","path":"skills/x/SKILL.md","size":13}"#
    );
    let size = config.len();
    let config_entry = format!(r#"{{"path":"config.yaml","size":{size},"dir":false}}"#);
    let notes = r#"{"path":"notes.md","size":1,"dir":false}"#;
    let skills = r#"{"path":"skills","size":0,"dir":true}"#;
    let listed = format!("[{config_entry},{notes},{skills}]");
    assert_eq!(files.get("/files").await, (200, listed.clone()));
    assert_eq!(files.get("/files?root=/configs&depth=1").await.1, listed);
    let deep = r#"[{"path":"x","size":0,"dir":true},{"path":"x/SKILL.md","size":13,"dir":false}]"#;
    assert_eq!(files.get("/files?path=skills&depth=5").await.1, deep);
    for empty in ["?root=/workspace", "?path=none", "?path=notes.md"] {
        assert_eq!(
            files.get(&format!("/files{empty}")).await.1,
            "[]",
            "{empty}"
        );
    }
    let shared = r#"[{"path":"notes.md","content":"n"},{"path":"skills/x/SKILL.md","content":" a \u003cb\u003e \u0026 é\r\n"}]"#;
    assert_eq!(files.get("/shared-context").await.1, shared);
    let nothing = files.put("/files", json!({"files": {}})).await;
    assert_eq!(nothing.0, 200, "{}", nothing.1);

    // A purge takes them.
    let kept = "SELECT count(*)::text FROM provisioner.files";
    let url = candor.database_url();
    assert_eq!(postgres::text(&url, kept).await.unwrap(), "3");
    let purge = Call::new(
        Method::DELETE,
        format!("/workspaces/{}?purge=true", agent.id),
    );
    assert_eq!(client.send(purge).await.unwrap().status, 200);
    assert_eq!(postgres::text(&url, kept).await.unwrap(), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_is_refused_with_its_reason_and_keeps_nothing() {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(&data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    let agent = FakeAgent::enrolled(&mut client, "strict").await.unwrap();
    let other = FakeAgent::enrolled(&mut client, "other").await.unwrap();
    let mut files = Files {
        client: &mut client,
        agent: &agent,
    };
    let roots = error("root must be one of: /configs, /workspace, /home, /plugins");
    for (below, text) in [
        ("/files?root=/etc", roots.clone()),
        ("/files?root=", roots.clone()),
        ("/files?root=/etc&depth=9", roots.clone()),
        ("/files/a?root=/", roots),
        ("/files?depth=0", error("depth must be 1-5")),
        ("/files?depth=6", error("depth must be 1-5")),
        ("/files?depth=x", error("depth must be 1-5")),
        ("/files?path=../x", error("invalid path")),
        ("/files?path=/etc", error("invalid path")),
        ("/files/a..b", error("invalid path")),
        ("/files/a%00b", error("invalid path")),
        ("/files/a%5Cb", error("invalid path")),
    ] {
        assert_eq!(files.get(below).await, (400, text), "{below}");
    }
    let token = error(".auth_token is neither shown nor written here");
    assert_eq!(files.get("/files/.auth_token").await, (403, token.clone()));
    let content = json!({"content": "x"});
    assert_eq!(
        files.put("/files/.auth_token", content.clone()).await,
        (403, token)
    );
    let malformed = error("invalid request body");
    for body in [json!([]), json!({"content": 7})] {
        let answer = files.put("/files/a", body.clone()).await;
        assert_eq!(answer, (400, malformed.clone()), "{body}");
    }
    let many: HashMap<String, String> = (0..201).map(|n| (n.to_string(), String::new())).collect();
    let too_many = error("too many files (201), max 200");
    for (body, text) in [
        (json!({}), &malformed),
        (json!({"files": null}), &malformed),
        (json!({"files": {"a": 1}}), &malformed),
        (json!({"files": {"ok": "", "../a": ""}}), &malformed),
        (json!({ "files": many }), &too_many),
    ] {
        assert_eq!(files.put("/files", body).await, (400, text.clone()));
    }
    assert_eq!(files.put("/files/a", content.clone()).await.0, 200);
    let clash = error("failed to write file: a/b would be a file and a folder");
    assert_eq!(files.put("/files/a/b", content.clone()).await, (400, clash));

    // Larger than other bodies may be (D4), and not without an end.
    let large = json!({"content": "x".repeat(3 * MIB)});
    for n in 0..10 {
        let answer = files.put(&format!("/files/large{n}"), large.clone()).await;
        assert_eq!(answer.0, 200, "{}", answer.1);
    }
    let full = files.put("/files/large10", large.clone()).await;
    assert!(
        full.0 == 400 && full.1.contains("33554432 bytes"),
        "{}",
        full.1
    );
    let too_large = json!({"content": "x".repeat(8 * MIB)});
    let answer = files.put("/files/b", too_large).await;
    assert_eq!(answer, (413, error("request body too large")));
    // As recorded: the original looks at the path with its slash.
    let answer = files.ask(Method::DELETE, "/files/a", None).await;
    let absolute = error("absolute paths not permitted");
    assert_eq!((answer.status, answer.text()), (400, absolute));
    let listed = files.ask(Method::GET, "/files", None).await.json();
    assert_eq!(listed.as_array().unwrap().len(), 11);

    let theirs = Call::get(format!("/workspaces/{}/files", agent.id)).bearer(&other.token);
    assert_eq!(client.send(theirs).await.unwrap().status, 401);
    let unknown = Call::get("/workspaces/00000000-0000-4000-8000-000000000000/files");
    let answer = client.send(unknown).await.unwrap();
    assert_eq!(
        (answer.status, answer.text()),
        (404, error("workspace not found"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn over_grpc_files_have_any_bytes_and_are_deleted() {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(&data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    let agent = FakeAgent::enrolled(&mut client, "bytes").await.unwrap();
    let mut grpc = ProvisionerServiceClient::new(candor.channel().await.unwrap());
    let bytes: Vec<u8> = (0..=255).collect();
    let files = [("bin/a", &bytes), ("bin/b", &bytes), ("bin-c", &bytes)];
    let request = WriteFilesRequest {
        workspace_id: agent.id.clone(),
        files: files
            .into_iter()
            .map(|(path, bytes)| (path.to_owned(), bytes.clone().into()))
            .collect(),
    };
    let request = with_bearer(request, &agent.token).unwrap();
    let written = grpc.write_files(request).await.unwrap().into_inner();
    assert_eq!(written.source, "store");
    let read = |path: &str| {
        let request = ReadFileRequest {
            workspace_id: agent.id.clone(),
            root: String::new(),
            path: path.to_owned(),
        };
        with_bearer(request, &agent.token).unwrap()
    };
    let content = grpc.read_file(read("bin/a")).await.unwrap().into_inner();
    assert_eq!(content.content, bytes);
    let over_http = Call::get(format!("/workspaces/{}/files/bin/a", agent.id));
    let answer = client.send(over_http.bearer(&agent.token)).await.unwrap();
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("no UTF-8 text"), "{}", answer.text());
    let request = DeleteFileRequest {
        workspace_id: agent.id.clone(),
        path: "bin".to_owned(),
    };
    let request = with_bearer(request, &agent.token).unwrap();
    grpc.delete_file(request).await.unwrap();
    let gone = grpc.read_file(read("bin/b")).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    assert!(grpc.read_file(read("bin-c")).await.is_ok());
}
