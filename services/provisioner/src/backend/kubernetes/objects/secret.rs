//! The Secret of one instance: its token, its environment, its files.
//!
//! All of the environment is here, not only what is secret: Kubernetes would replace
//! `$(NAME)` in a value that stands in the Pod, and takes one from a Secret as it is.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::super::super::BackendError;
use super::super::names::{for_people, owned_by};
use super::Made;

/// The key of the token.
pub(in super::super) const TOKEN: &str = "token";
/// What Kubernetes lets a Secret hold, in bytes.
pub(in super::super) const LARGEST: usize = 1024 * 1024;
/// Characters of a key of a Secret.
const LONGEST_KEY: usize = 253;
/// Bytes of one part of a path on a node.
const LONGEST_PART: usize = 255;

/// The key of a variable.
pub(super) fn variable(name: &str) -> String {
    format!("env.{name}")
}

/// The key of a file, by its place in the plan.
pub(super) fn file(number: usize) -> String {
    format!("file.{number}")
}

/// The Secret of the plan's instance. It goes when the workspace's Service goes.
pub(in super::super) fn secret(
    made: &Made<'_>,
    anchor: &ObjectMeta,
) -> Result<Secret, BackendError> {
    let plan = made.plan;
    check_paths(made)?;
    let mut data = BTreeMap::from([(TOKEN.to_owned(), bytes(plan.token.expose()))]);
    for (name, value) in &plan.env {
        check_variable(name, value.expose())?;
        data.insert(variable(name), bytes(value.expose()));
    }
    for (number, config) in plan.files.iter().enumerate() {
        data.insert(file(number), ByteString(config.content.to_vec()));
    }
    let size: usize = data.values().map(|value| value.0.len()).sum();
    if size > LARGEST {
        return Err(BackendError::Refused(format!(
            "the files and the environment of an instance are {size} bytes, and a Secret holds {LARGEST}: \
             put what is large into the image or below /workspace"
        )));
    }
    let mut meta = made
        .names
        .meta_of(plan.epoch, made.names.instance(plan.epoch));
    meta.annotations = Some(for_people(&plan.name));
    meta.owner_references = owned_by(anchor);
    Ok(Secret {
        metadata: meta,
        type_: Some("Opaque".into()),
        // Nobody changes it under a running instance: another token is another Secret.
        immutable: Some(true),
        data: Some(data),
        ..Secret::default()
    })
}

fn bytes(text: &str) -> ByteString {
    ByteString(text.as_bytes().to_vec())
}

/// What Kubernetes takes as a variable's name in every version that is in use.
fn check_variable(name: &str, value: &str) -> Result<(), BackendError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let fits = variable(name).len() <= LONGEST_KEY
        && name.chars().all(is_plain)
        && name.starts_with(|c: char| !c.is_ascii_digit());
    if !fits {
        return Err(BackendError::Refused(format!(
            "Kubernetes takes no variable called {name:?}: use letters, digits, `_`, `-` and `.`, no digit first"
        )));
    }
    if value.contains('\0') {
        return Err(BackendError::Refused(format!(
            "the variable {name} has a NUL byte in its value, which no process can be given: take it out"
        )));
    }
    Ok(())
}

/// A path that is also another one's folder, or has a part that no node can hold, would
/// keep the Pod from starting without a word that people see.
fn check_paths(made: &Made<'_>) -> Result<(), BackendError> {
    let mut paths: Vec<Vec<&str>> = Vec::new();
    for config in &made.plan.files {
        let parts: Vec<&str> = config.path().split('/').collect();
        if parts.iter().any(|part| part.len() > LONGEST_PART) {
            return Err(BackendError::Refused(format!(
                "a part of the path {:?} is longer than {LONGEST_PART} bytes: shorten it",
                config.path()
            )));
        }
        paths.push(parts);
    }
    paths.sort_unstable();
    let in_the_way = paths.windows(2).find(|two| two[1].starts_with(&two[0]));
    match in_the_way {
        Some(two) => Err(BackendError::Refused(format!(
            "the file {:?} is there twice or stands where a folder is needed: leave one out",
            two[0].join("/")
        ))),
        None => Ok(()),
    }
}
