//! `docs/state-machine.md` says what the table says.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use candor_kernel::rules::{RuleId, TABLE, state_machine_markdown};

const DOC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/state-machine.md");

#[test]
fn the_document_is_generated_from_the_table() {
    let wanted = state_machine_markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(DOC, &wanted).expect("docs/ is writable");
    }
    let found = std::fs::read_to_string(DOC).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/state-machine.md is out of date; regenerate it:\n    \
         UPDATE_DOCS=1 cargo test -p candor-kernel --test state_machine_doc"
    );
}

#[test]
fn every_rule_has_a_row_and_a_code_of_its_own() {
    let codes: BTreeSet<&str> = RuleId::ALL.iter().map(|rule| rule.code()).collect();
    assert_eq!(codes.len(), RuleId::ALL.len());
    for rule in RuleId::ALL {
        assert!(
            TABLE.iter().any(|row| row.rule == *rule),
            "{rule} has no row"
        );
        assert_eq!(RuleId::from_code(rule.code()), Some(*rule));
    }
}

#[test]
fn the_diagram_draws_changes_only() {
    let text = state_machine_markdown();
    let diagram = text.split("```mermaid").nth(1).unwrap();
    assert!(
        diagram.contains("    online --> degraded: R4, R5, R8\n"),
        "{diagram}"
    );
    assert!(diagram.contains("    [*] --> failed: R12\n"), "{diagram}");
    assert!(
        !diagram.contains("R18") && !diagram.contains("R7"),
        "{diagram}"
    );
}
