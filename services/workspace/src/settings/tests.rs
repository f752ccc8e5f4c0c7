#![allow(clippy::unwrap_used)]
use super::*;

const ID: &str = "0b5f8f6a-1d60-4d5e-9c5b-6b7f2f1f0a11";

fn args(folder: &std::path::Path) -> Args {
    Args {
        configs_dir: Some(folder.display().to_string()),
        ..Args::default()
    }
}

#[test]
fn the_legacy_environment_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.yaml"), "runtime: candor-echo\n").unwrap();
    let at = folder.path().display().to_string();
    let environment = |name: &str| match name {
        "WORKSPACE_ID" => Some(ID.to_owned()),
        "PLATFORM_URL" => Some("http://platform:8080".to_owned()),
        "CONFIGS_DIR" => Some(at.clone()),
        _ => None,
    };
    let settings = Args::default().resolve_with(&environment).unwrap();
    assert_eq!(settings.identity.workspace.to_string(), ID);
    assert_eq!(settings.identity.platform.as_str(), "http://platform:8080/");
    assert_eq!(settings.executor, ExecutorKind::Echo);
    assert_eq!(settings.listen.to_string(), "127.0.0.1:8000");
    assert_eq!(settings.heartbeat.interval, Duration::from_secs(30));
    assert_eq!(settings.claude.init_timeout, Duration::from_secs(60));
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = Args {
        workspace_id: Some("me".into()),
        platform: Some("ftp://x".into()),
        executor: Some("langgraph".into()),
        listen: Some("8000".into()),
        heartbeat_interval: Some("soon".into()),
        inbox_interval: Some("0".into()),
        drain_deadline: Some("25h".into()),
        platform_grpc: Some("https://x:1".into()),
        ..args(folder.path())
    };
    let problems = wrong.resolve_with(&|_| None).unwrap_err().to_string();
    for part in [
        "--workspace-id: `me` is no UUID",
        "--platform: `ftp://x`",
        "--executor: `langgraph`",
        "--listen: `8000`",
        "--heartbeat-interval: `soon`",
        "--inbox-interval: `0`",
        "--drain-deadline: `25h`",
        "--platform-grpc: `https://x:1`",
    ] {
        assert!(problems.contains(part), "{part} in {problems}");
    }
}

#[test]
fn what_an_executor_needs_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    for (executor, problem) in [
        ("command", "--program: "),
        ("proxy", "--agent-url: "),
        ("", "--executor: "),
    ] {
        let args = Args {
            workspace_id: Some(ID.into()),
            executor: Some(executor.into()),
            ..args(folder.path())
        };
        let said = args.resolve_with(&|_| None).unwrap_err().to_string();
        assert!(said.contains(problem), "{said}");
    }
}

#[test]
fn the_registered_address_is_one_that_a_platform_accepts() {
    let folder = tempfile::tempdir().unwrap();
    let mut args = Args {
        workspace_id: Some(ID.into()),
        executor: Some("echo".into()),
        ..args(folder.path())
    };
    let settings = args.resolve_with(&|_| None).unwrap();
    let url = |at: &str| settings.url(at.parse().unwrap());
    assert_eq!(url("127.0.0.1:9000"), "http://localhost:9000");
    assert_eq!(url("10.0.0.7:9000"), "http://10.0.0.7:9000");
    assert_eq!(url("[2001:db8::1]:9000"), "http://[2001:db8::1]:9000");
    assert!(url("0.0.0.0:9000").ends_with(":9000") && !url("0.0.0.0:9000").contains("0.0.0.0"));
    args.advertise = Some("https://agent.example/a/".into());
    let settings = args.resolve_with(&|_| None).unwrap();
    assert_eq!(
        settings.url("127.0.0.1:1".parse().unwrap()),
        "https://agent.example/a"
    );
}
