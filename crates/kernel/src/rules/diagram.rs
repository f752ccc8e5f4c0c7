//! `docs/state-machine.md` from the table.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Row, TABLE, Target};
use crate::status::Status;

const HEAD: &str = "\
# The status of a workspace

Generated from `crates/kernel/src/rules/table.rs`; a test compares. To regenerate:
`UPDATE_DOCS=1 cargo test -p candor-kernel --test state_machine_doc`.

A workspace is *alive* as long as its lease counts. Alive with no cause is `online`, alive with causes is
`degraded`. One pure function decides (`candor_kernel::decide`); its decision is persisted by compare-and-set
together with its events. Rule ids appear in logs and in `candor explain`.

* **Fence**: a beat or a register leads out of `provisioning` and `failed` only if its caller carries the fence epoch,
  or no epoch where nothing was ever provisioned. Callers below the fence are stale: answered, without any effect.
* **Full and partial beats**: a typed beat is full iff `error_rate` and `uptime_seconds` are both present. A legacy beat is
  partial iff `uptime_seconds` is present and 0, `runtime_state` and `runtime_metadata` are absent, and a full beat with
  an uptime above 0 was already seen from this instance. A partial beat may add a cause and never removes one.
* **Incarnation**: a full beat whose uptime is lower than the last one drops self-reported causes before it is weighed.
* **Set by hand**: a row that somebody set to `degraded` without a cause carries cause `unknown`, which only R1 and R6
  clear; one that somebody set to `online` drops the causes that were left.
* **Events**: at most one for each change (creation: two), in the transaction of the change.
";

/// The whole document.
#[must_use]
pub fn state_machine_markdown() -> String {
    let mut text = String::from(HEAD);
    text.push_str("\n## States\n\n| status | shown in legacy JSON as |\n|---|---|\n");
    for status in Status::ALL {
        line(
            &mut text,
            format_args!("| {} | {} |", status.label(), status.legacy_label()),
        );
    }
    text.push_str("\n## Rules\n\n| rule | from | on | to | what it does | event | payload |\n");
    text.push_str("|---|---|---|---|---|---|---|\n");
    for row in TABLE {
        rule(&mut text, row);
    }
    text.push_str("\n## Diagram\n\nRules that lead back to the same status are left out.\n\n");
    text.push_str("```mermaid\nstateDiagram-v2\n");
    for ((from, to), rules) in edges() {
        line(
            &mut text,
            format_args!("    {from} --> {to}: {}", rules.join(", ")),
        );
    }
    text.push_str("    removed --> [*]\n```\n");
    text
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{arguments}");
}

fn labels(statuses: &[Status]) -> String {
    statuses
        .iter()
        .map(|status| status.label())
        .collect::<Vec<_>>()
        .join(", ")
}

fn rule(text: &mut String, row: &Row) {
    let from = if row.from.is_empty() {
        "(new)".to_owned()
    } else {
        labels(row.from)
    };
    let to = match row.to {
        Target::Unchanged => "unchanged".to_owned(),
        Target::OneOf(statuses) => labels(statuses),
    };
    let events = row
        .events
        .iter()
        .map(|event| event.label())
        .collect::<Vec<_>>()
        .join(", ");
    line(
        text,
        format_args!(
            "| {} | {from} | {} | {to} | {} | {events} | {} |",
            row.rule, row.on, row.effect, row.payload
        ),
    );
}

/// Every change of status, with the codes of the rules that make it.
fn edges() -> BTreeMap<(&'static str, &'static str), Vec<&'static str>> {
    let mut edges: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in TABLE {
        let Target::OneOf(targets) = row.to else {
            continue;
        };
        let sources: Vec<&str> = if row.from.is_empty() {
            vec!["[*]"]
        } else {
            row.from.iter().map(|status| status.label()).collect()
        };
        for source in sources {
            for target in targets.iter().map(|status| status.label()) {
                let rules = edges.entry((source, target)).or_default();
                if source != target && !rules.contains(&row.rule.code()) {
                    rules.push(row.rule.code());
                }
            }
        }
    }
    edges.retain(|_, rules| !rules.is_empty());
    edges
}
