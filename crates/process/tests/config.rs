//! Flags, then legacy names; everything wrong at once (design section 2).
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use candor_process::config::{AuthMode, SharedArgs, SharedConfig};
use clap::Parser;

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    shared: SharedArgs,
}

fn resolve(flags: &[&str], legacy: &[(&str, &str)]) -> Result<SharedConfig, String> {
    let program =
        Program::try_parse_from([&["candor"], flags].concat()).map_err(|e| e.to_string())?;
    let environment = |name: &str| {
        legacy
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| (*value).to_owned())
    };
    program
        .shared
        .resolve_with(&environment)
        .map_err(|error| error.to_string())
}

#[test]
fn defaults_are_those_of_the_design() {
    let config = resolve(&[], &[]).unwrap();
    assert_eq!(config.data_dir.to_str(), Some(".candor"));
    assert!(config.database.is_none());
    assert_eq!(config.listen.http.to_string(), "127.0.0.1:8080");
    assert_eq!(config.listen.grpc, None);
    assert_eq!(
        config.security.exposure.mode(config.listen.http),
        AuthMode::Open
    );
    assert_eq!(config.legacy.rate_limit, 600);
    assert_eq!(config.legacy.a2a_idle_timeout, Duration::from_secs(300));
    assert_eq!(config.legacy.activity_retention_days, 7);
}

#[test]
fn legacy_names_are_aliases() {
    let config = resolve(
        &[],
        &[
            ("DATABASE_URL", "postgres://u:p@db.example:6543/legacy"),
            ("PORT", "9090"),
            ("ADMIN_TOKEN", " hunter2 "),
            ("RATE_LIMIT", "42"),
            ("CORS_ORIGINS", "http://a, http://b"),
            ("MOLECULE_ENV", "development"),
            ("MOLECULE_ORG_ID", "org"),
            ("MOLECULE_DEPLOY_MODE", "saas"),
            ("A2A_IDLE_TIMEOUT_SECONDS", "120"),
            ("ACTIVITY_RETENTION_DAYS", "30"),
            ("SECRETS_ENCRYPTION_KEY", "k"),
            ("PLATFORM_URL", "http://p/"),
            ("EXTERNAL_PLATFORM_URL", "https://e"),
        ],
    )
    .unwrap();
    let database = config.database.unwrap();
    assert_eq!(
        (database.get_host(), database.get_port()),
        ("db.example", 6543)
    );
    assert_eq!(config.listen.http.to_string(), "127.0.0.1:9090");
    assert_eq!(config.security.admin_token.unwrap().expose(), "hunter2");
    assert_eq!(
        config.security.exposure.mode(config.listen.http),
        AuthMode::Enforced
    );
    assert_eq!(config.legacy.rate_limit, 42);
    assert_eq!(config.legacy.cors_origins, ["http://a", "http://b"]);
    assert_eq!(config.legacy.environment, "development");
    assert_eq!(config.legacy.org_id.as_deref(), Some("org"));
    assert_eq!(config.legacy.deploy_mode.as_deref(), Some("saas"));
    assert_eq!(config.legacy.a2a_idle_timeout, Duration::from_secs(120));
    assert_eq!(config.legacy.activity_retention_days, 30);
    assert_eq!(
        config.security.secrets_encryption_key.unwrap().expose(),
        "k"
    );
    assert_eq!(config.platform_url.as_deref(), Some("http://p"));
    assert_eq!(config.external_platform_url.as_deref(), Some("https://e"));
}

#[test]
fn a_flag_beats_a_legacy_name_and_a_blank_name_is_unset() {
    let config = resolve(
        &["--http", "0.0.0.0:80"],
        &[("PORT", "9090"), ("ADMIN_TOKEN", " ")],
    )
    .unwrap();
    assert_eq!(config.listen.http.to_string(), "0.0.0.0:80");
    assert!(config.security.admin_token.is_none());
    assert_eq!(
        config.security.exposure.mode(config.listen.http),
        AuthMode::Enforced
    );
}

#[test]
fn production_is_enforced_on_loopback_too() {
    let config = resolve(&[], &[("MOLECULE_ENV", "Production")]).unwrap();
    assert_eq!(
        config.security.exposure.mode(config.listen.http),
        AuthMode::Enforced
    );
}

#[test]
fn everything_wrong_is_reported_together_under_the_name_it_came_from() {
    let report = resolve(
        &[
            "--http",
            "nowhere",
            "--drain-deadline",
            "soon",
            "--log",
            "a=b=c",
            "--trace-ratio",
            "7",
        ],
        &[
            ("RATE_LIMIT", "0"),
            ("PLATFORM_URL", "ftp://x"),
            ("DATABASE_URL", "mysql:secret"),
        ],
    )
    .unwrap_err();
    for part in [
        "--http: `nowhere`",
        "--drain-deadline: `soon`",
        "--log: `a=b=c`",
        "--trace-ratio: `7`",
        "RATE_LIMIT: `0`",
        "PLATFORM_URL: `ftp://x`",
    ] {
        assert!(report.contains(part), "{part} is missing in {report}");
    }
    assert!(!report.contains("secret"), "{report}");
}

#[test]
fn secrets_are_not_shown() {
    let config = resolve(
        &["--admin-token", "hunter2", "--identity-key", "hunter3"],
        &[],
    )
    .unwrap();
    assert!(!format!("{config:?}").contains("hunter"), "{config:?}");
}

#[test]
fn a_key_may_stand_in_a_file_as_text_or_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (text, raw) = (path("text"), path("raw"));
    std::fs::write(&text, "a key\n").unwrap();
    std::fs::write(&raw, [0xff; 32]).unwrap();
    let flags = [
        "--secrets-encryption-key-file",
        &text,
        "--secrets-encryption-key-previous-file",
        &raw,
    ];
    let security = resolve(&flags, &[]).unwrap().security;
    let base64 = "//////////////////////////////////////////8=";
    assert_eq!(security.sealing_keys().unwrap(), ("a key", base64));
    assert!(!format!("{security:?}").contains("a key"));
}

#[test]
fn a_key_that_is_not_clear_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let path = file.to_str().unwrap();
    let by_file = ["--secrets-encryption-key-file", path];
    let report = resolve(&by_file, &[]).unwrap_err();
    assert!(report.contains("No such file"), "{report}");
    for wrong in ["", "\n", &"k".repeat(2000)] {
        std::fs::write(&file, wrong).unwrap();
        let report = resolve(&by_file, &[]).unwrap_err();
        assert!(report.contains("no key: 32 bytes"), "{report}");
    }
    std::fs::write(&file, "k").unwrap();
    let twice = resolve(&by_file, &[("SECRETS_ENCRYPTION_KEY", "hunter2")]).unwrap_err();
    assert!(
        twice.contains("one of them") && !twice.contains("hunter"),
        "{twice}"
    );
    let alone = resolve(&["--secrets-encryption-key-previous", "k"], &[]).unwrap_err();
    assert!(alone.contains("useless without"), "{alone}");
}

#[test]
fn production_needs_a_key_for_secrets() {
    for (environment, key, fine) in [
        ("production", "", false),
        ("prod", "", false),
        ("production", "k", true),
        ("staging", "", true),
    ] {
        let names = [
            ("MOLECULE_ENV", environment),
            ("SECRETS_ENCRYPTION_KEY", key),
        ];
        let security = resolve(&[], &names).unwrap().security;
        assert_eq!(security.sealing_keys().is_ok(), fine, "{environment}");
    }
}
