//! The documentation says what is there: links, tests, metrics.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regex::Regex;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn files(folder: &Path, ending: &str, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                files(&path, ending, into);
            }
        } else if name.ends_with(ending) {
            into.push(path);
        }
    }
}

fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    files(&root(), ".md", &mut pages);
    assert!(pages.len() > 10, "{pages:?}");
    pages
}

#[test]
fn links_between_pages_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)#\s]+)(#[^)]*)?\)").unwrap();
    let mut broken = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for found in link.captures_iter(&text) {
            let target = &found[1];
            if !target.contains("://") && !page.parent().unwrap().join(target).exists() {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn files_that_pages_name_exist() {
    // `crates/x/y.rs`, `scripts/z`: names in code quotes that look like paths.
    let name = Regex::new(
        r"`((?:crates|services|gateway|cli|proto|migrations|scripts|deploy|docs)/[A-Za-z0-9_./-]+)`",
    )
    .unwrap();
    let root = root();
    let mut missing = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for found in name.captures_iter(&text) {
            if !root.join(&found[1]).exists() {
                missing.push(format!("{}: {}", page.display(), &found[1]));
            }
        }
    }
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
}

#[test]
fn every_test_that_a_promise_names_exists() {
    let named = Regex::new(r"`([a-z/-]+[a-z0-9_/]*\.rs)`\s+`(\w+)`").unwrap();
    let promises = read("docs/PROMISES.md");
    let mut count = 0;
    for found in named.captures_iter(&promises) {
        let (file, test) = (&found[1], &found[2]);
        let attribute = Regex::new(&format!(
            r"#\[(tokio::)?test[^\]]*\]\s*(#\[[^\]]*\]\s*)*(async )?fn {test}\("
        ))
        .unwrap();
        let in_proptest = Regex::new(&format!(r"(?s)proptest! \{{.*fn {test}\(")).unwrap();
        let text = read(file);
        assert!(
            attribute.is_match(&text) || in_proptest.is_match(&text),
            "docs/PROMISES.md names {test} in {file}, which has no such test"
        );
        count += 1;
    }
    assert!(count >= 15, "only {count} tests found in docs/PROMISES.md");
    for promise in 1..=10 {
        assert!(
            promises.contains(&format!("| P{promise} |")),
            "P{promise} is missing"
        );
    }
}

#[test]
fn every_metric_is_documented_and_every_documented_metric_exists() {
    let root = root();
    let mut sources = Vec::new();
    for folder in ["crates", "services", "gateway", "cli"] {
        files(&root.join(folder), ".rs", &mut sources);
    }
    let emitted = Regex::new(r#"(?:counter|gauge|histogram)!\(\s*"(candor_[a-z0-9_]+)""#).unwrap();
    let in_code: BTreeSet<String> = sources
        .iter()
        .filter(|path| !path.to_string_lossy().contains("/tests/"))
        .flat_map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            emitted
                .captures_iter(&text)
                .map(|m| m[1].to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    let row = Regex::new(r"(?m)^\| `(candor_[a-z0-9_]+)` \|").unwrap();
    let operations = read("docs/OPERATIONS.md");
    let documented: BTreeSet<String> = row
        .captures_iter(&operations)
        .map(|m| m[1].to_owned())
        .collect();
    assert!(!in_code.is_empty());
    let unknown: Vec<_> = in_code.symmetric_difference(&documented).collect();
    assert!(
        unknown.is_empty(),
        "in the code or in docs/OPERATIONS.md only: {unknown:?}"
    );
}

#[test]
fn every_make_target_that_a_page_names_exists() {
    let makefile = read("Makefile");
    let named = Regex::new(r"`make ([a-z-]+)").unwrap();
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for found in named.captures_iter(&text) {
            assert!(
                makefile.contains(&format!("\n{}:", &found[1])),
                "{}: make {}",
                page.display(),
                &found[1]
            );
        }
    }
}
