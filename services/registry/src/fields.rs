//! Rules for the texts of a workspace (contract/workspaces.md, "POST
//! /workspaces"). Lengths are bytes.

use candor_kernel::Error;
use candor_kernel::text::storable as no_nul;

/// Characters that would break generated configuration files.
const FORBIDDEN: &[char] = &['{', '}', '[', ']', '|', '>', '*', '&', '!'];
/// Directories of the system below `/`, which no workspace may be given.
const SYSTEM: &[&str] = &[
    "etc", "var", "proc", "sys", "dev", "boot", "sbin", "bin", "lib", "usr",
];

fn line(field: &'static str, text: &str, most: usize) -> Result<(), Error> {
    no_nul(field, text)?;
    if text.len() > most {
        return Err(Error::field(
            field,
            format!("{field} must be at most {most} characters"),
        ));
    }
    if text.contains(['\n', '\r']) {
        return Err(Error::field(
            field,
            format!("{field} must not contain newline characters"),
        ));
    }
    Ok(())
}

fn plain(field: &'static str, text: &str, most: usize) -> Result<(), Error> {
    line(field, text, most)?;
    if text.contains(FORBIDDEN) {
        return Err(Error::field(
            field,
            format!("{field} contains invalid characters"),
        ));
    }
    Ok(())
}

/// A name: at most 255 bytes on one line.
///
/// # Errors
/// A field error with the broken rule.
pub fn name(field: &'static str, text: &str) -> Result<(), Error> {
    plain(field, text, 255)
}

/// A role: at most 1000 bytes on one line.
///
/// # Errors
/// A field error with the broken rule.
pub fn role(text: &str) -> Result<(), Error> {
    plain("role", text, 1000)
}

/// A model: at most 100 bytes on one line.
///
/// # Errors
/// A field error with the broken rule.
pub fn model(text: &str) -> Result<(), Error> {
    line("model", text, 100)
}

/// A runtime: at most 100 bytes on one line.
///
/// # Errors
/// A field error with the broken rule.
pub fn runtime(text: &str) -> Result<(), Error> {
    line("runtime", text, 100)
}

/// A directory on the host: absolute, without `..`, not the system's.
///
/// # Errors
/// A field error.
pub fn directory(text: &str) -> Result<(), Error> {
    no_nul("workspace_dir", text)?;
    let parts = text.split('/').filter(|part| !matches!(*part, "" | "."));
    let parts: Vec<&str> = parts.collect();
    let climbs = parts.contains(&"..");
    // The root is above all of them.
    let system = parts.first().is_none_or(|first| SYSTEM.contains(first));
    if !text.starts_with('/') || climbs || system {
        return Err(Error::field("workspace_dir", "invalid workspace directory"));
    }
    Ok(())
}

/// How a workspace may use its directory.
///
/// # Errors
/// A field error.
pub fn access(access: &str, directory: Option<&str>) -> Result<(), Error> {
    let fits = match access {
        "none" => true,
        "read_only" | "read_write" => directory.is_some_and(|dir| !dir.is_empty()),
        _ => false,
    };
    if fits {
        Ok(())
    } else {
        Err(Error::field("workspace_access", "invalid workspace access"))
    }
}

/// A template's name: it must stay inside the templates' directory.
///
/// # Errors
/// A field error.
pub fn template(text: &str) -> Result<(), Error> {
    no_nul("template", text)?;
    let mut depth = 0_i32;
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => depth -= 1,
            _ => depth += 1,
        }
        if depth < 0 {
            break;
        }
    }
    if depth < 0 || text.starts_with('/') {
        return Err(Error::field("template", "invalid template"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_one_plain_line() {
        for good in [" ", "a<b", "a\tb", "日本", "", &"a".repeat(255)] {
            assert!(name("name", good).is_ok(), "{good:?}");
        }
        for bad in ["a\nb", "a\rb", "a{b", "a!b", "nul\0", &"a".repeat(256)] {
            assert!(name("name", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn directories_are_absolute_and_not_the_systems() {
        for good in ["/etcx", "/home/a"] {
            assert!(directory(good).is_ok(), "{good}");
        }
        for bad in [
            "rel",
            "",
            "/a/../b",
            "/etc",
            "/etc/x",
            "/usr/local",
            "//etc",
            "/./etc/x",
            "/",
            "//.",
        ] {
            assert!(directory(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn templates_stay_inside() {
        for good in ["", "x", "a/../b", "no-such"] {
            assert!(template(good).is_ok(), "{good}");
        }
        for bad in ["../x", "a/../../b", "/etc"] {
            assert!(template(bad).is_err(), "{bad}");
        }
    }
}
