//! Flags and variables: `docs/OPERATIONS.md` and `candor up --help` agree.
//!
//! The built `candor` is asked, the one beside this test; `make test` builds it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use regex::Regex;

fn help(arguments: &[&str]) -> String {
    let test = std::env::current_exe().unwrap();
    let candor = test.parent().and_then(Path::parent).unwrap().join("candor");
    let output = Command::new(&candor)
        .args(arguments)
        .arg("--help")
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}: build it first", candor.display()));
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn names(pattern: &str, text: &str) -> BTreeSet<String> {
    let pattern = Regex::new(pattern).unwrap();
    pattern
        .captures_iter(text)
        .map(|found| found[1].to_owned())
        .collect()
}

fn operations() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/OPERATIONS.md");
    std::fs::read_to_string(page).unwrap()
}

#[test]
fn every_setting_of_up_is_documented_and_every_documented_one_exists() {
    let (help, page) = (help(&["up"]), operations());
    let settings = page
        .split("\n## Settings")
        .nth(1)
        .and_then(|s| s.split("\n## ").next())
        .unwrap();
    let mut real = names(r"(?m)^\s+(?:-\w, )?--([a-z][a-z0-9-]+)", &help);
    // `--help` and `--version` explain themselves.
    real.retain(|flag| flag != "help" && flag != "version");
    let documented = names(r"`(?:candor up )?--([a-z][a-z0-9-]+)", settings);
    let missing: Vec<_> = real.difference(&documented).collect();
    assert!(missing.is_empty(), "not in docs/OPERATIONS.md: {missing:?}");
    let invented: Vec<_> = documented.difference(&real).collect();
    assert!(
        invented.is_empty(),
        "only in docs/OPERATIONS.md: {invented:?}"
    );

    let real = names(r"\[env: ([A-Z_]+)", &help);
    let documented = names(r"`(CANDOR_[A-Z_]+)`", settings);
    let invented: Vec<_> = documented.difference(&real).collect();
    assert!(invented.is_empty(), "no such variable: {invented:?}");
}

#[test]
fn every_command_and_its_flags_exist() {
    let page = operations();
    let programs = page
        .split("\n## Programs")
        .nth(1)
        .and_then(|s| s.split("\n## ").next())
        .unwrap();
    let commands = names(r"`candor ([a-z]+)", programs);
    let real = names(r"(?m)^  ([a-z]+)\s", &help(&[]));
    assert!(
        commands.is_subset(&real),
        "{commands:?} are not all in {real:?}"
    );
    for (command, row) in programs.lines().filter_map(|line| {
        let words = Regex::new(r"^\| `candor ([a-z]+)(?: ([a-z]+))?").unwrap();
        let words = words.captures(line)?;
        let subcommand = words.get(2).map(|word| word.as_str().to_owned());
        Some(((words[1].to_owned(), subcommand), line))
    }) {
        let (command, subcommand) = command;
        let asked: Vec<&str> = match (command.as_str(), &subcommand) {
            ("migrate", _) => vec!["migrate", "down"],
            (command, Some(subcommand)) => vec![command, subcommand],
            (command, None) => vec![command],
        };
        let help = help(&asked);
        for flag in names(r"--([a-z][a-z-]+)", row) {
            assert!(
                help.contains(&format!("--{flag}")),
                "candor {command} has no --{flag}"
            );
        }
    }
    let ps = help(&["ps"]);
    for flag in ["--data-dir", "--grpc", "--admin-token", "--json"] {
        assert!(ps.contains(flag), "{flag}");
    }
}
