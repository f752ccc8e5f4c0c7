//! One function a kind of value; each error shows the text and the way to write it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use candor_process::config::parse_duration;

use super::Kind;
use crate::backend::kubernetes::{Access, Pull};

/// The entries of a list, separated by commas.
fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
}

pub(super) fn kinds(text: &str) -> Result<Vec<Kind>, String> {
    let mut chosen = Vec::new();
    for name in entries(text) {
        let kind = match name {
            "process" => Kind::Process,
            "docker" => Kind::Docker,
            "kubernetes" => Kind::Kubernetes,
            // For who wants a platform that runs nothing.
            "none" if text.trim() == "none" => return Ok(chosen),
            _ => {
                return Err(format!(
                    "`{name}` is no backend: write process, docker, kubernetes, or none"
                ));
            }
        };
        if !chosen.contains(&kind) {
            chosen.push(kind);
        }
    }
    Ok(chosen)
}

pub(super) fn images(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut images = BTreeMap::new();
    for entry in entries(text) {
        let pair = entry.split_once('=').filter(|(runtime, image)| {
            let is_word = |word: &str| !word.is_empty() && !word.contains(char::is_whitespace);
            is_word(runtime) && is_word(image)
        });
        let Some((runtime, image)) = pair else {
            return Err(format!("`{entry}` names no image: write runtime=image"));
        };
        if images
            .insert(runtime.to_owned(), image.to_owned())
            .is_some()
        {
            return Err(format!("`{runtime}` has two images"));
        }
    }
    Ok(images)
}

#[allow(clippy::unnecessary_wraps)]
pub(super) fn words(text: &str) -> Result<Vec<String>, String> {
    Ok(entries(text).map(str::to_owned).collect())
}

pub(super) fn runtimes(text: &str) -> Result<BTreeSet<String>, String> {
    Ok(words(text)?.into_iter().collect())
}

pub(super) fn folders(text: &str) -> Result<Vec<PathBuf>, String> {
    let folder = |entry: &str| {
        let folder = PathBuf::from(entry);
        if folder.is_absolute() {
            return Ok(folder);
        }
        Err(format!("`{entry}` is no absolute path"))
    };
    entries(text).map(folder).collect()
}

pub(super) fn platform(text: &str) -> Result<String, String> {
    let parts = text.split('/').count();
    if (2..=3).contains(&parts) && text.split('/').all(|part| !part.is_empty()) {
        return Ok(text.to_owned());
    }
    Err(format!("`{text}` is no platform: write linux/amd64"))
}

/// A time that is not over before it begins.
pub(super) fn some_time(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(Duration::ZERO) => Err(format!("`{text}` is no time at all")),
        Ok(time) => Ok(time),
        Err(error) => Err(error.to_string()),
    }
}

pub(super) fn count(text: &str) -> Result<usize, String> {
    // More would be no budget.
    let parsed: Option<usize> = text.parse().ok().filter(|count| *count <= 100);
    parsed.ok_or_else(|| format!("`{text}` is no number from 0 to 100"))
}

pub(super) fn port(text: &str) -> Result<u16, String> {
    let parsed: Option<u16> = text.parse().ok().filter(|port| *port > 0);
    parsed.ok_or_else(|| format!("`{text}` is no port"))
}

pub(super) fn account(text: &str) -> Result<i64, String> {
    let parsed: Option<u32> = text.parse().ok().filter(|account| *account > 0);
    parsed
        .map(i64::from)
        .ok_or_else(|| format!("`{text}` is no account by number above 0"))
}

pub(super) fn pull(text: &str) -> Result<Pull, String> {
    match text {
        "always" => Ok(Pull::Always),
        "if-not-present" => Ok(Pull::IfNotPresent),
        "never" => Ok(Pull::Never),
        _ => Err(format!("`{text}` is none of always, if-not-present, never")),
    }
}

pub(super) fn access(text: &str) -> Result<Access, String> {
    match text {
        "one-node" => Ok(Access::OneNode),
        "one-pod" => Ok(Access::OnePod),
        _ => Err(format!("`{text}` is neither one-node nor one-pod")),
    }
}

pub(super) fn quantity(text: &str) -> Result<String, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = &text[number.len()..];
    let is_unit = ["", "M", "G", "T", "Mi", "Gi", "Ti"].contains(&unit);
    match number.parse::<u32>() {
        Ok(number) if number > 0 && is_unit => Ok(text.to_owned()),
        _ => Err(format!("`{text}` is no size: write 10Gi")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn lists_are_read_with_their_blanks_and_refused_with_the_entry() {
        assert_eq!(kinds(" process , docker,").unwrap().len(), 2);
        assert_eq!(kinds("none").unwrap(), []);
        assert!(kinds("process,none").unwrap_err().contains("`none`"));
        assert_eq!(images("").unwrap().len(), 0);
        assert!(images("a=b,a=c").unwrap_err().contains("two images"));
        for wrong in ["a", "=b", "a=", "a b=c"] {
            assert!(images(wrong).unwrap_err().contains("runtime=image"));
        }
        assert_eq!(folders("/a,/b").unwrap().len(), 2);
        assert!(folders("/a,b").unwrap_err().contains("`b`"));
    }

    #[test]
    fn numbers_and_sizes_that_would_let_nothing_run_are_refused() {
        assert_eq!(count("0").unwrap(), 0, "nothing restarts by itself");
        assert!(count("101").is_err());
        assert!(port("0").is_err() && account("0").is_err() && some_time("0").is_err());
        assert_eq!(quantity("10Gi").unwrap(), "10Gi");
        for wrong in ["", "Gi", "0Gi", "10 Gi", "10KiB", "1.5Gi"] {
            assert!(quantity(wrong).is_err(), "{wrong}");
        }
        for right in ["linux/amd64", "linux/arm/v7"] {
            assert_eq!(platform(right).unwrap(), right);
        }
        for wrong in ["linux", "linux/", "a/b/c/d"] {
            assert!(platform(wrong).is_err(), "{wrong}");
        }
    }
}
