#![allow(clippy::unwrap_used)]
use std::fs;
use std::os::unix::fs::symlink;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

pub(super) fn folder() -> (TempDir, Templates) {
    let place = tempfile::tempdir().unwrap();
    let templates = Templates(Some(place.path().to_owned()));
    (place, templates)
}

pub(super) fn template(place: &TempDir, name: &str, yaml: &str) {
    let folder = place.path().join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(CONFIG), yaml).unwrap();
}

#[test]
fn templates_are_listed_by_name_and_broken_ones_are_left_out() {
    let (place, templates) = folder();
    template(&place, "b", "name: B\n");
    template(&place, "a", "name: A\n");
    template(&place, "broken", "name: [\n");
    fs::create_dir(place.path().join("empty")).unwrap();
    fs::write(place.path().join("file"), "x").unwrap();
    let names: Vec<String> = templates
        .list()
        .unwrap()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["a", "b"]);
    assert!(Templates(None).list().unwrap().is_empty());
    assert!(
        Templates(Some("/nowhere".into()))
            .list()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn files_come_without_links_tokens_and_other_systems_line_ends() {
    let (place, templates) = folder();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    template(&place, "t", "name: t\r\n");
    let at = |name: &str| place.path().join("t").join(name);
    fs::create_dir_all(at("skills/x")).unwrap();
    fs::create_dir_all(at(".git")).unwrap();
    fs::write(at(".git/config"), "x").unwrap();
    fs::write(at("skills/x/SKILL.md"), "a\r\nb\rc\n").unwrap();
    fs::write(at(".auth_token"), "stolen").unwrap();
    symlink(outside.path(), at("out")).unwrap();
    symlink(outside.path().join("secret"), at("link")).unwrap();
    let files = templates.files("t").unwrap().unwrap();
    let files: Vec<(&str, &[u8])> = files.iter().map(|f| (f.path(), &f.content[..])).collect();
    assert_eq!(
        files,
        [
            (CONFIG, &b"name: t\r\n"[..]),
            ("skills/x/SKILL.md", b"a\nb\rc\n"),
        ]
    );
    symlink(outside.path(), place.path().join("linked")).unwrap();
    assert!(!templates.has("linked").unwrap());
    assert_eq!(templates.files("t/out").unwrap(), None);
}

#[test]
fn what_is_inside_of_a_template_is_none_itself_and_what_is_hidden_is_not_read() {
    let (place, templates) = folder();
    template(&place, "t", "name: t\n");
    template(&place, "t/.git", "name: hidden\n");
    template(&place, ".git", "name: hidden\n");
    let at = |name: &str| place.path().join("t").join(name);
    fs::create_dir(at("skills")).unwrap();
    for path in ["skills/SKILL.md", ".git/config", ".auth_token"] {
        fs::write(at(path), "x").unwrap();
    }
    assert!(templates.has("t").unwrap());
    for none in ["t/skills", "t/.git", ".git", "t/../.git"] {
        assert!(!templates.has(none).unwrap(), "{none}");
        assert_eq!(templates.files(none).unwrap(), None, "{none}");
        assert_eq!(templates.declared(none).unwrap(), None, "{none}");
    }
    assert_eq!(templates.named("", "hidden").unwrap(), None);
    assert!(templates.read("t", "skills/SKILL.md").unwrap().is_some());
    for hidden in [".git/config", ".auth_token", "skills/../.git/config"] {
        assert_eq!(templates.read("t", hidden).unwrap(), None, "{hidden}");
    }
}

#[test]
fn a_template_that_is_too_much_is_refused() {
    let (place, templates) = folder();
    template(&place, "big", "name: b\n");
    let file = fs::File::create(place.path().join("big/large")).unwrap();
    file.set_len(MOST_BYTES + 1).unwrap();
    let refusal = templates.files("big").unwrap_err();
    assert!(matches!(refusal, BackendError::Refused(_)), "{refusal}");
    let refusal = templates.read("big", "large").unwrap_err();
    assert!(matches!(refusal, BackendError::Refused(_)), "{refusal}");
    fs::remove_file(place.path().join("big/large")).unwrap();
    for n in 0..=MOST_FILES {
        fs::write(place.path().join(format!("big/{n}")), "").unwrap();
    }
    let refusal = templates.files("big").unwrap_err();
    assert!(matches!(refusal, BackendError::Refused(_)), "{refusal}");
    let refusal = templates.sizes("big").unwrap_err();
    assert!(matches!(refusal, BackendError::Refused(_)), "{refusal}");
}

fn path() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("..".to_owned()),
        Just(".".to_owned()),
        Just(String::new()),
        Just("in".to_owned()),
        Just("out".to_owned()),
        "[a-z./\\\\]{0,6}",
        any::<String>(),
    ];
    proptest::collection::vec(part, 0..6).prop_map(|parts| parts.join("/"))
}

proptest! {
    #[test]
    fn no_name_ever_leaves_the_folder(name in path()) {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join(CONFIG), "name: outside\n").unwrap();
        let root = outside.path().join("templates");
        fs::create_dir_all(root.join("in")).unwrap();
        symlink(outside.path(), root.join("out")).unwrap();
        symlink(outside.path(), root.join("in/out")).unwrap();
        let templates = Templates(Some(root));
        let declared = templates.declared(&name);
        prop_assert_eq!(declared, Ok(None));
        let named = templates.named("", &name).unwrap();
        prop_assert_eq!(named, None);
        let files = templates.files(&name).unwrap().unwrap_or_default();
        prop_assert!(files.is_empty(), "{:?}", files);
    }
}
