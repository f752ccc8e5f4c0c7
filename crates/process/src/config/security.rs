//! Who is trusted, and the keys.

use super::Exposure;
use super::args::SharedArgs;
use super::key_file::key_in;
use super::problems::{ConfigError, Problems, Secret};

/// Who is trusted, and the keys.
#[derive(Debug, Clone)]
pub struct Security {
    /// The admin's bearer token.
    pub admin_token: Option<Secret>,
    /// What decides whether a listener is open.
    pub exposure: Exposure,
    /// Signs callers between processes.
    pub identity_key: Option<Secret>,
    /// Still accepted.
    pub identity_key_previous: Option<Secret>,
    /// Seals stored secrets.
    pub secrets_encryption_key: Option<Secret>,
    /// Still opens them.
    pub secrets_encryption_key_previous: Option<Secret>,
}

impl Security {
    /// The key that seals stored secrets and the one before; empty where there is none.
    ///
    /// # Errors
    /// In production there must be one (contract/auth.md, "MOLECULE_ENV values").
    pub fn sealing_keys(&self) -> Result<(&str, &str), ConfigError> {
        fn text(key: &Option<Secret>) -> &str {
            key.as_ref().map(Secret::expose).unwrap_or_default()
        }
        let mut problems = Problems::new(&|_| None);
        if self.exposure.production && self.secrets_encryption_key.is_none() {
            problems.add(
                "--secrets-encryption-key",
                "needed in production, where secrets are not stored in the clear",
            );
        }
        problems.finish((
            text(&self.secrets_encryption_key),
            text(&self.secrets_encryption_key_previous),
        ))
    }
}

impl SharedArgs {
    pub(super) fn security(&self, problems: &mut Problems<'_>, environment: &str) -> Security {
        let (key, previous) = self.secrets_keys(problems);
        let secret = |name, given: &Option<String>, legacy: &[&'static str]| {
            problems
                .first(name, given.clone(), legacy)
                .map(|(_, value)| Secret::new(value.trim()))
        };
        let admin_token = secret("--admin-token", &self.admin_token, &["ADMIN_TOKEN"]);
        Security {
            exposure: Exposure {
                has_admin_token: admin_token.is_some(),
                production: ["production", "prod"]
                    .contains(&environment.to_ascii_lowercase().as_str()),
                insecure_open: self.insecure_open,
            },
            admin_token,
            identity_key: secret("--identity-key", &self.identity_key, &[]),
            identity_key_previous: secret(
                "--identity-key-previous",
                &self.identity_key_previous,
                &[],
            ),
            secrets_encryption_key: key,
            secrets_encryption_key_previous: previous,
        }
    }

    /// The key that seals stored secrets, and the one before.
    fn secrets_keys(&self, problems: &mut Problems<'_>) -> (Option<Secret>, Option<Secret>) {
        const KEY: (&str, &str) = ("--secrets-encryption-key", "--secrets-encryption-key-file");
        const PREVIOUS: (&str, &str) = (
            "--secrets-encryption-key-previous",
            "--secrets-encryption-key-previous-file",
        );
        let key = given(
            problems,
            KEY,
            (
                &self.secrets_encryption_key,
                &self.secrets_encryption_key_file,
            ),
            &["SECRETS_ENCRYPTION_KEY"],
        );
        let previous = given(
            problems,
            PREVIOUS,
            (
                &self.secrets_encryption_key_previous,
                &self.secrets_encryption_key_previous_file,
            ),
            &[],
        );
        if previous.is_some() && key.is_none() {
            problems.add(PREVIOUS.0, format!("useless without {}", KEY.0));
        }
        (key, previous)
    }
}

/// A key that is given by itself or by its file's name.
fn given(
    problems: &mut Problems<'_>,
    names: (&'static str, &'static str),
    (value, file): (&Option<String>, &Option<String>),
    legacy: &[&'static str],
) -> Option<Secret> {
    let by_file = problems.first(names.1, file.clone(), &[]);
    let Some((_, path)) = by_file else {
        let (_, value) = problems.first(names.0, value.clone(), legacy)?;
        return Some(Secret::new(value.trim()));
    };
    if problems.first(names.0, value.clone(), legacy).is_some() {
        problems.add(names.1, format!("{} is given too: one of them", names.0));
    }
    match key_in(path.trim().as_ref()) {
        Ok(key) => Some(key),
        Err(problem) => {
            problems.add(names.1, problem);
            None
        }
    }
}
