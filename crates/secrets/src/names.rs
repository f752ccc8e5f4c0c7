//! What may be stored under which name (deviation D64).

use candor_kernel::{Error, text};

/// Bytes of a name.
const MOST_NAME: usize = 256;
/// Bytes of a variable's name: the rest of a Kubernetes Secret's key is ours.
const MOST_VARIABLE: usize = 240;
/// Bytes of a value: the kernel gives one variable of a process not much more.
const MOST_VALUE: usize = 64 * 1024;
/// Secrets of one workspace, and of all workspaces together.
const MOST_SECRETS: usize = 200;
/// Bytes of all of them: they go into one Kubernetes Secret and into one environment.
const MOST_BYTES: usize = 384 * 1024;

/// Begins the names of the runtime's own settings.
const SETTING: &str = "CANDOR_";

/// Names by which a program is given other code to run, or told where to find it.
const CODE: &[&str] = &[
    "PATH",
    "ENV",
    "BASH_ENV",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PERL5OPT",
    "PERL5LIB",
    "RUBYOPT",
    "PYTHONSTARTUP",
    "PYTHONHOME",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_EXTERNAL_DIFF",
];

/// Names that secrets may not have, since the platform sets them itself.
const RESERVED: &[&str] = &[
    // Who the instance is: under another id it beats for another workspace.
    "WORKSPACE_ID",
    "WORKSPACE_NAME",
    "PARENT_ID",
    "TIER",
    "HOSTNAME",
    "CANDOR_WORKSPACE_ID",
    "CANDOR_INSTANCE",
    "CANDOR_EXECUTOR",
    // Where it finds the platform, and the platform it.
    "PLATFORM_URL",
    "MOLECULE_URL",
    "CANDOR_PLATFORM_URL",
    "CANDOR_PLATFORM_GRPC",
    "CANDOR_LISTEN",
    "CANDOR_ADVERTISE",
    "AWARENESS_NAMESPACE",
    "AWARENESS_URL",
    // Where its token, configuration, session and program are.
    "CONFIGS_DIR",
    "WORKSPACE_CONFIG_PATH",
    "CANDOR_CONFIGS_DIR",
    "PLUGINS_DIR",
    "WORKSPACE_DIR",
    "HOME",
    "CLAUDE_CONFIG_DIR",
    "PYTHONPATH",
    // Code of others in the program that reads the token.
    "LD_PRELOAD",
    "LD_AUDIT",
    "LD_LIBRARY_PATH",
];

/// Whether the platform sets a variable of this name itself.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// Whether it is a setting of the runtime, such as the command that it runs, or of what
/// the runtime starts: people may store one, a workspace's token may not.
#[must_use]
pub fn is_setting(name: &str) -> bool {
    name.starts_with(SETTING) || CODE.contains(&name)
}

/// Whether an instance can be given a variable of this name and value, whatever runs it:
/// Kubernetes takes fewer names than a process does.
#[must_use]
pub fn fits_environment(name: &str, value: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let begins = name.starts_with(|c: char| is_plain(c) && !c.is_ascii_digit());
    begins && name.len() <= MOST_VARIABLE && name.chars().all(is_plain) && !value.contains('\0')
}

/// Refuses what cannot be stored, and names that would override the platform's own
/// variables.
///
/// # Errors
/// A field error, in words that people read.
pub fn check(name: &str, value: &str) -> Result<(), Error> {
    text::storable("key", name)?;
    text::storable("value", value)?;
    if name.len() > MOST_NAME {
        let problem = format!("key is longer than {MOST_NAME} bytes");
        return Err(Error::field("key", problem));
    }
    if is_reserved(name) {
        return Err(Error::field("key", format!("reserved name: {name}")));
    }
    if value.len() > MOST_VALUE {
        let problem = format!("value of {name} is longer than {MOST_VALUE} bytes");
        return Err(Error::field("value", problem));
    }
    Ok(())
}

/// Refuses more secrets than one workspace, or all of them together, may have: so many,
/// with so many bytes of values.
///
/// # Errors
/// A field error, in words that people read.
pub fn check_amount(secrets: usize, bytes: usize) -> Result<(), Error> {
    if secrets > MOST_SECRETS {
        let problem = format!("too many secrets, at most {MOST_SECRETS}");
        return Err(Error::field("key", problem));
    }
    if bytes > MOST_BYTES {
        let problem = format!("too many secrets, at most {MOST_BYTES} bytes of values");
        return Err(Error::field("value", problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(name: &str, value: &str) -> String {
        check(name, value).map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn the_platforms_own_names_are_refused_and_named() {
        for name in ["WORKSPACE_ID", "MOLECULE_URL", "HOME", "LD_PRELOAD"] {
            assert_eq!(refusal(name, "v"), format!("reserved name: {name}"));
        }
        for name in [
            "OPENAI_API_KEY",
            "MODEL_PROVIDER",
            "workspace_id",
            "PATH",
            "CANDOR_COMMAND",
        ] {
            assert_eq!(refusal(name, "v"), "", "{name}");
        }
    }

    #[test]
    fn what_names_code_is_a_setting() {
        for name in ["CANDOR_COMMAND", "PATH", "NODE_OPTIONS", "GIT_SSH_COMMAND"] {
            assert!(is_setting(name), "{name}");
        }
        for name in ["OPENAI_API_KEY", "MODEL_PROVIDER", "MY_PATH", "path"] {
            assert!(!is_setting(name), "{name}");
        }
    }

    #[test]
    fn what_is_too_long_or_no_text_is_refused_without_its_value() {
        assert_eq!(refusal("a key=1", &"v".repeat(MOST_VALUE)), "");
        assert_eq!(
            refusal("K", &"v".repeat(MOST_VALUE + 1)),
            "value of K is longer than 65536 bytes"
        );
        assert_eq!(
            refusal(&"k".repeat(257), "v"),
            "key is longer than 256 bytes"
        );
        assert_eq!(refusal("a\0b", "v"), "key must not contain NUL characters");
        assert_eq!(refusal("a", "v\0"), "value must not contain NUL characters");
    }

    #[test]
    fn there_are_so_many_and_no_more() {
        assert!(check_amount(MOST_SECRETS, MOST_BYTES).is_ok());
        assert!(check_amount(MOST_SECRETS + 1, 0).is_err());
        assert!(check_amount(1, MOST_BYTES + 1).is_err());
    }

    #[test]
    fn an_environment_holds_plain_names_and_no_nul() {
        for name in ["OPENAI_API_KEY", "_a", "spring.profile-x"] {
            assert!(fits_environment(name, "v=1 \n"), "{name:?}");
        }
        for name in ["", "a=b", "a\0", "bad key", "1st", "schl\u{fc}ssel"] {
            assert!(!fits_environment(name, "v"), "{name:?}");
        }
        assert!(!fits_environment("a", "\0"));
    }
}
