//! `config.yaml`: what the workspace is, under the legacy runtime's keys. Keys that
//! are not known here are left to whoever knows them.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Component, Path};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_yaml_ng::Value;

/// The file's name below `CONFIGS_DIR`.
pub const FILE: &str = "config.yaml";
/// Largest file that is read, in bytes.
const LARGEST: u64 = 1024 * 1024;
/// The prompt that is read where none is named.
const DEFAULT_PROMPT: &str = "system-prompt.md";
/// How long nothing happens before the idle prompt, unless the file says otherwise.
const IDLE: Duration = Duration::from_secs(600);

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ConfigYaml {
    /// The agent's name.
    #[serde(deserialize_with = "text")]
    pub name: String,
    /// What it is for.
    #[serde(deserialize_with = "text")]
    pub description: String,
    /// Its version.
    #[serde(deserialize_with = "text")]
    pub version: String,
    /// The model, perhaps as `provider:model`.
    #[serde(deserialize_with = "text")]
    pub model: String,
    /// Which runtime it is for.
    #[serde(deserialize_with = "text")]
    pub runtime: String,
    /// What is for the runtime alone.
    #[serde(deserialize_with = "or_default")]
    pub runtime_config: RuntimeConfig,
    /// Files with the agent's instructions, in order.
    #[serde(deserialize_with = "or_default")]
    pub prompt_files: Vec<String>,
    /// Names of what it can.
    #[serde(deserialize_with = "or_default")]
    pub skills: Vec<String>,
    /// What it is told once, when it starts for the first time.
    #[serde(deserialize_with = "text")]
    pub initial_prompt: String,
    /// The file with that.
    #[serde(deserialize_with = "text")]
    pub initial_prompt_file: String,
    /// What it is told when nothing happens.
    #[serde(deserialize_with = "text")]
    pub idle_prompt: String,
    /// How long nothing must have happened, in seconds.
    pub idle_interval_seconds: Option<u64>,
    /// How A2A is served.
    #[serde(deserialize_with = "or_default")]
    pub a2a: A2aConfig,
}

/// `runtime_config`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct RuntimeConfig {
    /// The model, if the top level names none.
    #[serde(deserialize_with = "text")]
    pub model: String,
    /// Longest turn, in seconds; 0 is the default.
    pub timeout: Option<u64>,
    /// Variables that must be set.
    #[serde(deserialize_with = "or_default")]
    pub required_env: Vec<String>,
}

/// `a2a`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct A2aConfig {
    /// The port, where no address is given.
    pub port: Option<u16>,
}

/// Numbers and words are texts too: people write `version: 1.0`.
fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    match Value::deserialize(from)? {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text),
        Value::Bool(word) => Ok(word.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(serde::de::Error::custom("a text is wanted here")),
    }
}

/// A key without a value is as good as none.
fn or_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(from).map(Option::unwrap_or_default)
}

impl ConfigYaml {
    /// Reads the file below `configs_dir`; a missing one says nothing.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn read(configs_dir: &Path) -> Result<Self, String> {
        match bounded(&configs_dir.join(FILE)) {
            Ok(text) => Self::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(format!("{FILE}: {error}")),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let read: Option<Self> =
            serde_yaml_ng::from_str(text).map_err(|error| format!("{FILE}: {error}"))?;
        Ok(read.unwrap_or_default())
    }

    /// The model without the provider before it; nothing if none is named.
    #[must_use]
    pub fn model_name(&self) -> Option<&str> {
        let model = if self.model.is_empty() {
            &self.runtime_config.model
        } else {
            &self.model
        };
        let model = model
            .rsplit_once(':')
            .map_or(model.as_str(), |(_, name)| name);
        (!model.is_empty()).then_some(model)
    }

    /// Longest turn, if the file says.
    #[must_use]
    pub fn turn_timeout(&self) -> Option<Duration> {
        let seconds = self.runtime_config.timeout.filter(|seconds| *seconds > 0);
        seconds.map(Duration::from_secs)
    }

    /// How long nothing must have happened before the idle prompt.
    #[must_use]
    pub fn idle_interval(&self) -> Duration {
        self.idle_interval_seconds
            .filter(|seconds| *seconds > 0)
            .map_or(IDLE, Duration::from_secs)
    }

    /// Variables that must be set and are not.
    #[must_use]
    pub fn missing_env(&self, environment: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
        let required = self.runtime_config.required_env.iter();
        required
            .filter(|name| environment(name).is_none_or(|value| value.is_empty()))
            .cloned()
            .collect()
    }

    /// The agent's instructions: its prompt files, one below the other.
    ///
    /// # Errors
    /// A file that is named and cannot be read.
    pub fn system_prompt(&self, configs_dir: &Path) -> Result<Option<String>, String> {
        if self.prompt_files.is_empty() {
            return match bounded(&configs_dir.join(DEFAULT_PROMPT)) {
                Ok(text) => Ok(Some(text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(format!("{DEFAULT_PROMPT}: {error}")),
            };
        }
        let files = self.prompt_files.iter();
        let texts: Result<Vec<_>, _> = files.map(|name| named(configs_dir, name)).collect();
        Ok(Some(texts?.join("\n\n")))
    }

    /// What the agent is told once.
    ///
    /// # Errors
    /// A file that is named and cannot be read.
    pub fn initial_prompt(&self, configs_dir: &Path) -> Result<Option<String>, String> {
        let text = if self.initial_prompt.is_empty() && !self.initial_prompt_file.is_empty() {
            named(configs_dir, &self.initial_prompt_file)?
        } else {
            self.initial_prompt.clone()
        };
        Ok((!text.trim().is_empty()).then_some(text))
    }

    /// What the agent is told when nothing happens.
    #[must_use]
    pub fn idle_prompt(&self) -> Option<&str> {
        let text = self.idle_prompt.as_str();
        (!text.trim().is_empty()).then_some(text)
    }
}

/// A file that `config.yaml` names. The agent writes that file: it must not lead out
/// of the folder.
fn named(configs_dir: &Path, name: &str) -> Result<String, String> {
    let path = Path::new(name);
    let stays = path
        .components()
        .all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if !stays {
        return Err(format!(
            "{FILE}: {name}: a file below the folder of {FILE} is wanted"
        ));
    }
    bounded(&configs_dir.join(path)).map_err(|error| format!("{FILE}: {name}: {error}"))
}

fn bounded(path: &Path) -> io::Result<String> {
    let file = fs::File::open(path)?;
    let mut text = String::new();
    let read = file.take(LARGEST + 1).read_to_string(&mut text)?;
    if read as u64 > LARGEST {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "more than 1 MiB",
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_legacy_keys_are_read() {
        let text = r#"
name: "scout"
description: looks around
version: 1.0
tier: 3
runtime: claude-code
model: anthropic:claude-opus-4-7
runtime_config:
  timeout: 0
  required_env: [ANTHROPIC_API_KEY]
prompt_files: [a.md, sub/b.md]
skills:
initial_prompt: |
  hello
idle_prompt: anything new?
idle_interval_seconds: 900
a2a: {port: 9000, streaming: true}
governance: {enabled: true}
"#;
        let config = ConfigYaml::parse(text).unwrap();
        assert_eq!(config.name, "scout");
        assert!(config.version.starts_with('1'), "{}", config.version);
        assert_eq!(config.model_name(), Some("claude-opus-4-7"));
        assert_eq!(config.turn_timeout(), None);
        assert_eq!(config.idle_interval(), Duration::from_secs(900));
        assert_eq!(config.idle_prompt(), Some("anything new?"));
        assert_eq!(config.a2a.port, Some(9000));
        assert_eq!(config.missing_env(&|_| None), ["ANTHROPIC_API_KEY"]);
        assert!(config.missing_env(&|_| Some("x".into())).is_empty());
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        fs::write(folder.path().join("a.md"), "A").unwrap();
        fs::write(folder.path().join("sub/b.md"), "B").unwrap();
        let prompt = config.system_prompt(folder.path()).unwrap();
        assert_eq!(prompt.as_deref(), Some("A\n\nB"));
        assert_eq!(
            config.initial_prompt(folder.path()).unwrap().as_deref(),
            Some("hello\n")
        );
    }

    #[test]
    fn nothing_is_something_too_and_what_is_wrong_is_said() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(
            ConfigYaml::read(folder.path()).unwrap(),
            ConfigYaml::default()
        );
        assert_eq!(ConfigYaml::parse("").unwrap(), ConfigYaml::default());
        assert_eq!(ConfigYaml::default().idle_interval(), IDLE);
        for wrong in ["name: [a]", "prompt_files: 7", "]", "- a"] {
            let error = ConfigYaml::parse(wrong).unwrap_err();
            assert!(error.starts_with("config.yaml: "), "{error}");
        }
    }

    #[test]
    fn a_named_file_does_not_lead_out_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["../secret", "/etc/passwd", "a/../../b"] {
            assert!(
                named(folder.path(), name)
                    .unwrap_err()
                    .contains("below the folder")
            );
        }
    }
}
