//! Rules about sources that neither the compiler nor clippy knows.
//!
//! Each has its reason beside it, which is what a failure prints. They are
//! heuristics over text: cheap, and strict enough to be noticed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

use regex::Regex;

/// A source may not be longer than this, in lines.
const LONGEST: usize = 700;
/// A function of the product may not be longer than this, in lines of code.
const LONGEST_FUNCTION: usize = 60;
/// This file spells what it forbids.
const ITSELF: &str = "crates/testkit/tests/house_rules.rs";

/// A pattern that a source must not contain, and where it may.
struct Rule {
    pattern: &'static str,
    reason: &'static str,
    /// Whether the rule speaks about the source at this path.
    applies: fn(&str) -> bool,
    /// Whether it holds in the unit tests at the end of a source as well.
    unit_tests: bool,
}

const RULES: &[Rule] = &[
    Rule {
        pattern: r"#\[ignore",
        reason: "a test that does not run proves nothing: fix or delete it",
        applies: everywhere,
        unit_tests: true,
    },
    Rule {
        pattern: r"\b(todo|unimplemented|dbg)!",
        reason: "what does not exist answers the contract's \"not available\"",
        applies: everywhere,
        unit_tests: true,
    },
    Rule {
        pattern: r"^\s*(pub(\([a-z]+\))? )?mod (common|utils?|helpers?|misc)\b",
        reason: "a shared thing gets a name that says what it is",
        applies: everywhere,
        unit_tests: true,
    },
    Rule {
        pattern: r"\bsqlx::(query|raw_sql)|\bquery(_as|_scalar|_file)?(_unchecked)?!|\bQueryBuilder\b",
        reason: "SQL lives in a service's store, and where a process makes and migrates its database",
        applies: outside_of_stores,
        unit_tests: false,
    },
    Rule {
        pattern: r"\breqwest::|\bhyper_util::client|\bhyper::client|\bTcpStream::connect",
        reason: "only crates/egress dials: address policy, pinned resolver and caps are there",
        applies: not_allowed_to_dial,
        unit_tests: false,
    },
    Rule {
        pattern: r"\bjson!|\bderive\([^)]*\bSerialize\b",
        reason: "legacy JSON shapes live in gateway/src/legacy/, all of them",
        applies: gateway_outside_legacy,
        unit_tests: false,
    },
    Rule {
        pattern: r"\bunbounded(_channel)?\b",
        reason: "every queue is bounded: a flood must be refused, not stored",
        applies: production,
        unit_tests: false,
    },
    Rule {
        pattern: r"\b(thread|time)::sleep\b|[^_.]\bsleep\(",
        reason: "tests wait for a condition with a deadline (candor_testkit::wait), they do not sleep",
        applies: in_tests,
        unit_tests: true,
    },
];

fn everywhere(_: &str) -> bool {
    true
}

fn in_tests(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("_tests.rs") || path.ends_with("/tests.rs")
}

fn production(path: &str) -> bool {
    !in_tests(path)
        && !path.starts_with("crates/testkit/")
        && !path.starts_with("bench/")
        && !path.contains("/examples/")
}

fn outside_of_stores(path: &str) -> bool {
    let process = "crates/process/src/";
    production(path)
        && !(path.starts_with("services/")
            && (path.contains("/src/store/") || path.ends_with("/src/store.rs")))
        && !["migrate", "pool", "postgres"].iter().any(|module| {
            path.strip_prefix(process)
                .is_some_and(|rest| rest.starts_with(module))
        })
}

fn not_allowed_to_dial(path: &str) -> bool {
    // The agent's runtime calls the platform, which its operator names, as a client.
    production(path)
        && !["crates/egress/", "services/workspace/src/platform/"]
            .iter()
            .any(|room| path.starts_with(room))
}

fn gateway_outside_legacy(path: &str) -> bool {
    production(path) && path.starts_with("gateway/src/") && !path.starts_with("gateway/src/legacy/")
}

/// Every breach in one source: `path:line: reason: text`.
fn breaches(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > LONGEST {
        found.push(format!(
            "{path}: {lines} lines, {LONGEST} at most: split it by subject"
        ));
    }
    if production(path) {
        found.extend(long_functions(path, text));
    }
    for rule in RULES.iter().filter(|rule| (rule.applies)(path)) {
        let pattern = Regex::new(rule.pattern).expect("a pattern of this file");
        let stop = match text.find("\n#[cfg(test)]\nmod tests {") {
            Some(start) if !rule.unit_tests => start,
            _ => text.len(),
        };
        for (number, line) in text[..stop].lines().enumerate() {
            if !line.trim_start().starts_with("//") && pattern.is_match(line) {
                found.push(format!(
                    "{path}:{}: {}: `{}`",
                    number + 1,
                    rule.reason,
                    line.trim()
                ));
            }
        }
    }
    found
}

/// Functions over the limit. rustfmt closes a function with a brace at the
/// indentation it began with, which is all that has to be known.
fn long_functions(path: &str, text: &str) -> Vec<String> {
    let head = Regex::new(r"^(\s*)(pub(\([a-z]+\))? )?(const )?(async )?fn (\w+)").unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let Some(parts) = head.captures(line) else {
            continue;
        };
        let (indent, name) = (&parts[1], &parts[6]);
        let rest = &lines[number..];
        let opening = rest
            .iter()
            .position(|line| line.ends_with('{') || line.ends_with(';'));
        let closing = rest.iter().position(|line| *line == format!("{indent}}}"));
        let (Some(opening), Some(closing)) = (opening, closing) else {
            continue;
        };
        if rest[opening].ends_with(';') || closing <= opening {
            continue;
        }
        let code = lines_of_code(&rest[opening + 1..closing]);
        if code > LONGEST_FUNCTION {
            found.push(format!(
                "{path}:{}: fn {name} has {code} lines of code, {LONGEST_FUNCTION} at most: give its steps names",
                number + 1
            ));
        }
    }
    found
}

/// Without blank lines, comments, and the text of a statement: one SQL
/// statement is not made clearer by cutting it.
fn lines_of_code(body: &[&str]) -> usize {
    let mut in_statement = false;
    let mut count = 0;
    for line in body.iter().map(|line| line.trim()) {
        if in_statement {
            in_statement = !line.contains("\"#");
        } else if line.contains("r#\"") && !line.contains("\"#,") && !line.ends_with("\"#") {
            in_statement = true;
        } else if !line.is_empty() && !line.starts_with("//") {
            count += 1;
        }
    }
    count
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') && name != "node_modules" {
                sources(&path, into);
            }
        } else if name.ends_with(".rs") {
            into.push(path);
        }
    }
}

#[test]
fn the_sources_keep_the_house_rules() {
    let root = root();
    let mut paths = Vec::new();
    for folder in ["proto", "crates", "services", "gateway", "cli", "bench"] {
        if root.join(folder).is_dir() {
            sources(&root.join(folder), &mut paths);
        }
    }
    assert!(paths.len() > 50, "only {} sources found", paths.len());
    let wrong: Vec<String> = paths
        .iter()
        .flat_map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
            if name == ITSELF {
                return Vec::new();
            }
            breaches(name, &std::fs::read_to_string(path).unwrap())
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn each_rule_catches_what_it_forbids_and_spares_what_it_allows() {
    let caught = [
        ("gateway/src/edge/x.rs", concat!("    #[", "ignore]")),
        ("crates/kernel/src/x.rs", "    todo!()"),
        ("cli/src/main.rs", "mod utils;"),
        ("cli/src/main.rs", "pub(crate) mod common {"),
        (
            "services/registry/src/service/x.rs",
            "sqlx::query!(\"SELECT 1\")",
        ),
        ("gateway/src/x.rs", "query_as!(Row, \"SELECT 1\")"),
        ("gateway/src/x.rs", "let client = reqwest::Client::new();"),
        ("services/registry/src/x.rs", "TcpStream::connect(address)"),
        ("gateway/src/edge/x.rs", "Json(json!({\"status\": \"ok\"}))"),
        ("gateway/src/edge/x.rs", "#[derive(Debug, Serialize)]"),
        (
            "services/registry/src/x.rs",
            "let (a, b) = mpsc::unbounded_channel();",
        ),
        ("cli/tests/x.rs", "tokio::time::sleep(second).await;"),
    ];
    for (path, line) in caught {
        assert_eq!(
            breaches(path, line).len(),
            1,
            "{path}: {line}: {:?}",
            breaches(path, line)
        );
    }
    let spared = [
        (
            "services/registry/src/store/x.rs",
            "sqlx::query!(\"SELECT 1\")",
        ),
        (
            "crates/process/src/migrate/mod.rs",
            "sqlx::query(\"SELECT 1\")",
        ),
        ("crates/egress/src/x.rs", "TcpStream::connect(address)"),
        ("gateway/src/legacy/x.rs", "json!({})"),
        ("gateway/src/edge/x.rs", "// json! lives elsewhere"),
        (
            "crates/testkit/src/http.rs",
            "hyper_util::client::legacy::Client",
        ),
    ];
    for (path, line) in spared {
        assert_eq!(breaches(path, line), Vec::<String>::new(), "{path}: {line}");
    }
    let long = "x\n".repeat(LONGEST + 1);
    assert_eq!(breaches("cli/src/long.rs", &long).len(), 1);
    let function = |lines: usize| {
        format!(
            "    pub async fn f(\n        a: u8,\n    ) {{\n{}    }}\n",
            "        a;\n\n".repeat(lines)
        )
    };
    assert_eq!(
        breaches("cli/src/x.rs", &function(LONGEST_FUNCTION + 1)).len(),
        1
    );
    assert_eq!(
        breaches("cli/src/x.rs", &function(LONGEST_FUNCTION)).len(),
        0
    );
}
