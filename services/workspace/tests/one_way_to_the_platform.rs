//! What is said to the platform is said through `src/platform/`, which proves who says
//! it: nothing else in this crate may dial, or write a credential.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use regex::Regex;

/// A pattern, and the folders of `src/` in which it may stand.
struct Rule {
    pattern: &'static str,
    allowed: &'static [&'static str],
}

const RULES: &[Rule] = &[
    // A way out.
    Rule {
        pattern: r"\breqwest\b|\bhyper(_util)?::client|\bRequestBuilder\b|\b(Tcp|Unix)Stream::connect|\bTcpSocket\b",
        allowed: &["platform/"],
    },
    // A channel of gRPC is one, too.
    Rule {
        pattern: r"\bEndpoint::(from|new|try_from)|\bChannel::(from|builder)|\bconnect_lazy\b",
        allowed: &["platform/"],
    },
    // A credential that is written.
    Rule {
        pattern: r#"(insert|append|header|bearer_auth|basic_auth)\(\s*(http::header::|header::)?("(?i:authorization)"|AUTHORIZATION)|\b(bearer|basic)_auth\("#,
        allowed: &["platform/"],
    },
    Rule {
        pattern: r#"format!\(\s*"(?i:bearer) "#,
        allowed: &["platform/"],
    },
    // Whose words these are is said where it is proved; the sidecar strips it.
    Rule {
        pattern: r#"(?i)"x-workspace-id""#,
        allowed: &["platform/", "proxy/asked.rs"],
    },
    // The header is named at all only where inbound callers are judged.
    Rule {
        pattern: r#"\bAUTHORIZATION\b|"(?i:authorization)"|"(?i:bearer) "#,
        allowed: &["platform/", "a2a/", "proxy/"],
    },
    // The token leaves its store for the headers, and to be compared with an inbound one.
    Rule {
        pattern: r"\.expose\(\)",
        allowed: &["platform/", "a2a/", "proxy/", "token.rs"],
    },
];

/// Every breach in one source, whose path is below `src/`.
fn breaches(path: &str, text: &str) -> Vec<String> {
    let code = text
        .find("\n#[cfg(test)]\nmod tests {")
        .unwrap_or(text.len());
    let uncommented: String = text[..code]
        .lines()
        .map(|line| {
            if line.trim_start().starts_with("//") {
                "\n"
            } else {
                line
            }
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let rules = RULES
        .iter()
        .filter(|rule| !rule.allowed.iter().any(|place| path.starts_with(place)));
    rules
        .filter_map(|rule| {
            let pattern = Regex::new(rule.pattern).unwrap();
            let found = pattern.find(&uncommented)?;
            Some(format!("{path}: `{}`", found.as_str()))
        })
        .collect()
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn nothing_else_speaks_to_the_platform() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&src, &mut paths);
    assert!(paths.len() > 20, "only {} sources found", paths.len());
    let wrong: Vec<String> = paths
        .iter()
        .flat_map(|path| {
            let name = path.strip_prefix(&src).unwrap().to_str().unwrap();
            breaches(name, &std::fs::read_to_string(path).unwrap())
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "speak through platform/:\n{}",
        wrong.join("\n")
    );
    // The rules find what they look for where it is.
    let client = std::fs::read_to_string(src.join("platform/client.rs")).unwrap();
    assert!(breaches("elsewhere.rs", &client).len() >= 4);
}

#[test]
fn each_way_around_is_found_and_judging_callers_is_not_one() {
    let caught = [
        ("inbox/mod.rs", "let client = reqwest::Client::new();"),
        ("inbox/mod.rs", "use hyper_util::client::legacy::Client;"),
        (
            "a2a/x.rs",
            "let stream = TcpStream::connect(address).await?;",
        ),
        (
            "heartbeat/x.rs",
            "let channel = Endpoint::from_shared(url)?;",
        ),
        ("a2a/x.rs", "headers.insert(AUTHORIZATION, value);"),
        ("proxy/x.rs", "request.header(\"Authorization\", value)"),
        ("a2a/x.rs", "let value = format!(\"Bearer {token}\");"),
        ("proxy/x.rs", "headers.insert(\"x-workspace-id\", id);"),
        ("mcp/x.rs", "let given = headers.get(AUTHORIZATION);"),
        ("mcp/x.rs", "let token = store.token()?.expose();"),
    ];
    for (path, line) in caught {
        assert!(!breaches(path, line).is_empty(), "{path}: {line}");
    }
    let spared = [
        ("platform/x.rs", "headers.insert(AUTHORIZATION, bearer);"),
        (
            "a2a/x.rs",
            "let given = headers.get(AUTHORIZATION)?.to_str().ok()?;",
        ),
        ("a2a/x.rs", "let given = given.strip_prefix(\"Bearer \")?;"),
        ("proxy/x.rs", "headers.remove(\"authorization\");"),
        ("inbox/x.rs", "// a reqwest::Client would be a second way"),
        (
            "inbox/x.rs",
            "x();\n#[cfg(test)]\nmod tests {\n    use reqwest;\n}",
        ),
    ];
    for (path, line) in spared {
        assert_eq!(breaches(path, line), Vec::<String>::new(), "{path}: {line}");
    }
}
