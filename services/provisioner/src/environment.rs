//! The variables that people give to a workspace's instance (contract/provisioner.md,
//! "Container environment").

use std::collections::BTreeMap;

use candor_kernel::{Error, Reason, WorkspaceId};
use candor_process::config::Secret;
use candor_secrets::{Sealer, fits_environment, is_reserved};

use crate::app::App;
use crate::store::secrets::{self, Sealed};

/// Characters of a value that is taken out of texts.
const SHORTEST: usize = 8;

/// Global secrets, overridden by the workspace's own. What no environment can hold, and
/// what an older platform stored under a name of ours, is left out.
///
/// # Errors
/// `SECRET_UNREADABLE` in the words that the workspace's failure shows; which one it is
/// stands in the text for operators.
pub(crate) async fn environment(
    app: &App,
    workspace: WorkspaceId,
) -> Result<BTreeMap<String, Secret>, Error> {
    let mut connection = app.store.connection().await?;
    let globals = secrets::globals(&mut connection).await?;
    let own = secrets::of(&mut connection, workspace).await?;
    let (variables, left_out) = compose(&app.sealer, &globals, &own)?;
    if !left_out.is_empty() {
        tracing::warn!(
            %workspace,
            ?left_out,
            "secrets are left out: reserved names, or what no variable can hold"
        );
    }
    Ok(variables)
}

/// A text that may hold what an instance said, for people: without the values of its
/// secrets, as far as these can be read.
pub(crate) async fn shown(app: &App, workspace: WorkspaceId, text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let values = values(app, workspace).await.unwrap_or_default();
    without(text, &values)
}

/// Every secret that can be read, by its name.
async fn values(app: &App, workspace: WorkspaceId) -> Result<Vec<(String, String)>, Error> {
    let mut connection = app.store.connection().await?;
    let globals = secrets::globals(&mut connection).await?;
    let own = secrets::of(&mut connection, workspace).await?;
    let all = globals.into_iter().chain(own);
    let opened = all.filter_map(|secret| {
        let value = app.sealer.open(&secret.key, &secret.value, secret.version);
        value.ok().map(|value| (secret.key, value))
    });
    Ok(opened.collect())
}

/// The text with the names of values in their place. Shorter ones are words, and one that
/// holds another goes first.
fn without(text: &str, values: &[(String, String)]) -> String {
    let mut values: Vec<_> = values
        .iter()
        .map(|(name, value)| (name, value.trim()))
        .filter(|(_, value)| value.chars().count() >= SHORTEST)
        .collect();
    values.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
    let mut text = text.to_owned();
    for (name, value) in values {
        if text.contains(value) {
            text = text.replace(value, &format!("[REDACTED:{name}]"));
        }
    }
    text
}

/// The variables, and the names that are left out.
fn compose(
    sealer: &Sealer,
    globals: &[Sealed],
    own: &[Sealed],
) -> Result<(BTreeMap<String, Secret>, Vec<String>), Error> {
    let mut all = BTreeMap::new();
    let mut left_out = Vec::new();
    for (scope, secrets) in [("global", globals), ("workspace", own)] {
        for secret in secrets {
            let opened = sealer.open(&secret.key, &secret.value, secret.version);
            let value = opened.map_err(|error| {
                let text = format!("failed to decrypt {scope} secret");
                Error::new(Reason::SecretUnreadable, text)
                    .with_internal(format_args!("{error}, {scope}"))
            })?;
            if is_reserved(&secret.key) || !fits_environment(&secret.key, &value) {
                left_out.push(secret.key.clone());
            } else {
                all.insert(secret.key.clone(), Secret::new(value));
            }
        }
    }
    Ok((all, left_out))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn sealed(sealer: &Sealer, key: &str, value: &str) -> Sealed {
        let (bytes, version) = sealer.seal(key, value).unwrap();
        Sealed {
            key: key.to_owned(),
            value: bytes,
            version,
        }
    }

    #[test]
    fn the_workspaces_own_secrets_win_and_what_is_plain_or_sealed_is_read() {
        let (plain, sealer) = (Sealer::default(), Sealer::new(KEY, "").unwrap());
        let globals = [
            sealed(&plain, "A", "global"),
            sealed(&sealer, "B", "global"),
        ];
        let own = [
            sealed(&sealer, "A", "own"),
            sealed(&sealer, "MODEL_PROVIDER", "m"),
        ];
        let (all, left_out) = compose(&sealer, &globals, &own).unwrap();
        let all: Vec<_> = all.iter().map(|(k, v)| (k.as_str(), v.expose())).collect();
        assert_eq!(
            all,
            [("A", "own"), ("B", "global"), ("MODEL_PROVIDER", "m")]
        );
        assert!(left_out.is_empty());
    }

    #[test]
    fn no_value_of_a_secret_stays_in_a_text() {
        let values = [
            ("SHORT", "online"),
            ("PART", "hunter22"),
            ("WHOLE", "hunter22-and-more\n"),
        ];
        let values = values.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let text = "exit status 1: online hunter22-and-more, hunter22";
        assert_eq!(
            without(text, &values),
            "exit status 1: online [REDACTED:WHOLE], [REDACTED:PART]"
        );
    }

    #[test]
    fn what_would_break_an_instance_is_left_out_and_named() {
        let plain = Sealer::default();
        let own = ["WORKSPACE_ID", "bad key", "a=b", "1st", "GOOD"];
        let own = own.map(|key| sealed(&plain, key, "v"));
        let (all, left_out) = compose(&plain, &[], &own).unwrap();
        assert_eq!(all.into_keys().collect::<Vec<_>>(), ["GOOD"]);
        assert_eq!(left_out, ["WORKSPACE_ID", "bad key", "a=b", "1st"]);
    }

    #[test]
    fn what_cannot_be_opened_is_told_in_the_recorded_words_and_by_name_to_operators() {
        let stored = [sealed(&Sealer::new(KEY, "").unwrap(), "K", "hunter2")];
        let other = Sealer::default();
        for (globals, own, words) in [
            (&stored[..], &[][..], "failed to decrypt global secret"),
            (&[][..], &stored[..], "failed to decrypt workspace secret"),
        ] {
            let error = compose(&other, globals, own).unwrap_err();
            assert_eq!(error.public(), words);
            assert!(error.for_operators().contains("secret: K"), "{error:?}");
        }
    }
}
