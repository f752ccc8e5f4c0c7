//! The recorded check-access matrix (story registry/discover-peers-access,
//! lines 14 to 62).
#![allow(clippy::unwrap_used, clippy::expect_used)]

use candor_kernel::WorkspaceId;
use candor_kernel::access::{Lineage, may_talk};

/// Names with the names above them, the parent first.
const TREE: [(&str, &[&str]); 7] = [
    ("root", &[]),
    ("ca", &["root"]),
    ("cb", &["root"]),
    ("ga", &["ca", "root"]),
    ("gb", &["cb", "root"]),
    ("other", &[]),
    ("ext", &["root"]),
];

/// Recorded: a row a caller, a column a target, in the order of `TREE`.
const RECORDED: [&str; 7] = [
    "yyyyyyy", // root
    "yyyynny", // ca
    "yyynyny", // cb
    "yynynnn", // ga
    "ynynynn", // gb
    "ynnnnyn", // other
    "yyynnny", // ext
];

fn id(name: &str) -> WorkspaceId {
    let index = TREE.iter().position(|(known, _)| *known == name).unwrap();
    WorkspaceId::from_uuid(uuid::Uuid::from_u128(index as u128 + 1))
}

fn allowed(caller: &str, target: &str) -> bool {
    let line = |name: &str| -> Vec<WorkspaceId> {
        let (_, ancestors) = TREE.iter().find(|(known, _)| *known == name).unwrap();
        let names = std::iter::once(name).chain(ancestors.iter().copied());
        names.map(id).collect()
    };
    let (of_caller, of_target) = (line(caller), line(target));
    may_talk(
        &Lineage::of(&of_caller).unwrap(),
        &Lineage::of(&of_target).unwrap(),
    )
}

#[test]
fn what_does_not_exist_has_no_lineage() {
    assert_eq!(Lineage::of(&[]), None);
    let root = Lineage::of(&[id("root")]).unwrap().parent();
    assert_eq!(root, None);
}

#[test]
fn the_recorded_matrix() {
    for ((caller, _), answers) in TREE.iter().zip(RECORDED) {
        for ((target, _), answer) in TREE.iter().zip(answers.chars()) {
            assert_eq!(
                allowed(caller, target),
                answer == 'y',
                "{caller} -> {target}"
            );
        }
    }
}

#[test]
fn talking_is_mutual() {
    for (caller, _) in TREE {
        for (target, _) in TREE {
            assert_eq!(
                allowed(caller, target),
                allowed(target, caller),
                "{caller}, {target}"
            );
        }
    }
}
