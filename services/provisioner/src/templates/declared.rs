//! What a `config.yaml` declares, as far as the platform has to know it. A value of the
//! wrong kind breaks the whole file, as it does for the legacy platform; but what only a
//! tier, a team or its shared files are read from is left out alone.

use serde_yaml_ng::{Mapping, Value};

/// What a `config.yaml` declares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Declared {
    pub name: String,
    pub description: String,
    pub tier: i32,
    pub runtime: String,
    /// Of the top level, else of `runtime_config`.
    pub model: String,
    pub models: Vec<Model>,
    pub required_env: Vec<String>,
    pub skills: Vec<String>,
    /// Nothing if it says nothing, or 0.
    pub provision_timeout_seconds: Option<i64>,
    /// Files that are shown to the workspaces below.
    pub shared_context: Vec<String>,
    pub sub_workspaces: Vec<SubWorkspace>,
}

/// A model that a template offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Model {
    pub id: String,
    pub name: String,
    pub required_env: Vec<String>,
}

/// A workspace that belongs below the one of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SubWorkspace {
    /// The template's folder.
    pub config: String,
    pub name: String,
    pub role: String,
}

/// The file is no YAML, or a value has the wrong kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

impl Declared {
    /// Reads a file. An empty one declares nothing.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn read(yaml: &[u8]) -> Result<Self, Broken> {
        let value: Value = serde_yaml_ng::from_slice(yaml).map_err(|_| Broken)?;
        let top = Keys::of(Some(&value))?;
        let runtime = Keys::of(top.get("runtime_config"))?;
        let model = top.text("model")?;
        Ok(Self {
            name: top.text("name")?,
            description: top.text("description")?,
            tier: top
                .integer("tier")
                .map_or(0, |tier| i32::try_from(tier).unwrap_or(0)),
            runtime: top.text("runtime")?,
            model: match model.is_empty() {
                true => runtime.text("model")?,
                false => model,
            },
            models: runtime.list("models", |value| {
                let keys = Keys::of(Some(value))?;
                Ok(Model {
                    id: keys.text("id")?,
                    name: keys.text("name")?,
                    required_env: keys.list("required_env", text)?,
                })
            })?,
            required_env: runtime.list("required_env", text)?,
            skills: top.list("skills", text)?,
            provision_timeout_seconds: Some(runtime.integer("provision_timeout_seconds")?)
                .filter(|seconds| *seconds != 0),
            shared_context: top.fitting("shared_context", text),
            sub_workspaces: top.fitting("sub_workspaces", |value| {
                let keys = Keys::of(Some(value))?;
                Ok(SubWorkspace {
                    config: keys.text("config")?,
                    name: keys.text("name")?,
                    role: keys.text("role")?,
                })
            }),
        })
    }
}

/// The runtime and the model that a file names, line by line as the legacy platform reads
/// them for a workspace that is made of it: what is wrong elsewhere in it is not asked.
pub(crate) fn run_by(yaml: &[u8]) -> (String, String) {
    let yaml = String::from_utf8_lossy(yaml);
    let (mut runtime, mut model, mut inner) = (None, None, None);
    let mut section = "";
    for line in yaml.lines() {
        let is_indented = line.starts_with([' ', '\t']);
        let Some((key, value)) = line.trim().split_once(':') else {
            continue;
        };
        let value = || scalar(value);
        match (is_indented, key) {
            (false, "runtime") => runtime = runtime.or_else(value),
            (false, "model") => model = model.or_else(value),
            (true, "model") if section == "runtime_config" => inner = inner.or_else(value),
            _ => {}
        }
        if !is_indented && !key.starts_with('#') {
            section = key;
        }
    }
    let text = Option::unwrap_or_default;
    (text(runtime), text(model.or(inner)))
}

/// A value on its key's line.
fn scalar(value: &str) -> Option<String> {
    let read: Value = serde_yaml_ng::from_str(value).ok()?;
    text(&read).ok().filter(|text| !text.is_empty())
}

/// The members of a mapping; of none, if there is nothing.
struct Keys<'a>(Option<&'a Mapping>);

impl<'a> Keys<'a> {
    fn of(value: Option<&'a Value>) -> Result<Self, Broken> {
        match value {
            None | Some(Value::Null) => Ok(Self(None)),
            Some(Value::Mapping(members)) => Ok(Self(Some(members))),
            Some(_) => Err(Broken),
        }
    }

    fn get(&self, key: &str) -> Option<&'a Value> {
        self.0.and_then(|members| members.get(key))
    }

    fn text(&self, key: &str) -> Result<String, Broken> {
        self.get(key).map_or_else(|| Ok(String::new()), text)
    }

    fn integer(&self, key: &str) -> Result<i64, Broken> {
        match self.get(key) {
            None | Some(Value::Null) => Ok(0),
            Some(value) => value.as_i64().ok_or(Broken),
        }
    }

    /// The items of a list that are what they should be.
    fn fitting<T>(&self, key: &str, read: impl Fn(&Value) -> Result<T, Broken>) -> Vec<T> {
        match self.get(key) {
            Some(Value::Sequence(items)) => items.iter().flat_map(read).collect(),
            _ => Vec::new(),
        }
    }

    fn list<T>(
        &self,
        key: &str,
        read: impl Fn(&Value) -> Result<T, Broken>,
    ) -> Result<Vec<T>, Broken> {
        match self.get(key) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Sequence(items)) => items.iter().map(read).collect(),
            Some(_) => Err(Broken),
        }
    }
}

/// A scalar as text.
fn text(value: &Value) -> Result<String, Broken> {
    match value {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(Broken),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_template_of_the_legacy_platform_is_read() {
        let yaml = b"name: PM\ntier: 2\nruntime: claude-code\nskills: [plan, 7]\nruntime_config:\n  model: sonnet\n  required_env: [KEY]\n  provision_timeout_seconds: 1200\n  models:\n  - id: opus\n    name: Opus\n    required_env: [OTHER]\nsub_workspaces:\n- config: dev\n  role: writes code\nshared_context: [rules.md]\nunknown: {a: [1]}\n";
        let read = Declared::read(yaml).unwrap();
        assert_eq!(
            (read.name.as_str(), read.tier, read.model.as_str()),
            ("PM", 2, "sonnet")
        );
        assert_eq!(read.skills, ["plan", "7"]);
        assert_eq!(read.required_env, ["KEY"]);
        assert_eq!(read.provision_timeout_seconds, Some(1200));
        assert_eq!(read.models[0].required_env, ["OTHER"]);
        assert_eq!(read.sub_workspaces[0].config, "dev");
        assert_eq!(read.shared_context, ["rules.md"]);
    }

    #[test]
    fn an_odd_tier_or_team_hides_nothing_else() {
        let yaml =
            b"name: n\ntier: two\nshared_context: [a.md, [b]]\nsub_workspaces: [{name: x}, 7]\n";
        let read = Declared::read(yaml).unwrap();
        assert_eq!((read.name.as_str(), read.tier), ("n", 0));
        assert_eq!(read.shared_context, ["a.md"]);
        assert_eq!(read.sub_workspaces.len(), 1);
        let read = Declared::read(b"tier: 9000000000\nsub_workspaces: none\n").unwrap();
        assert_eq!(read, Declared::default());
    }

    #[test]
    fn what_runs_it_is_read_of_a_file_that_is_broken_elsewhere() {
        for (yaml, runtime, model) in [
            (
                "runtime: crewai\nmodel: \"a:b\" # why\nname: [\n",
                "crewai",
                "a:b",
            ),
            (
                "runtime_config:\n  model: sonnet\nruntime: 'x'\n",
                "x",
                "sonnet",
            ),
            ("model: top\nruntime_config:\n  model: inner\n", "", "top"),
            ("other:\n  model: no\n  runtime: no\n", "", ""),
            ("runtime: [a]\nmodel:\n", "", ""),
            ("", "", ""),
        ] {
            let read = run_by(yaml.as_bytes());
            assert_eq!(read, (runtime.to_owned(), model.to_owned()), "{yaml:?}");
        }
    }

    #[test]
    fn nothing_declares_nothing_and_the_wrong_kind_is_broken() {
        for empty in ["", "# only words\n", "name:\nskills:\nruntime_config:\n"] {
            assert_eq!(Declared::read(empty.as_bytes()), Ok(Declared::default()));
        }
        for broken in ["[", "- a", "name: [a]", "skills: {a: b}", "\u{0}"] {
            assert_eq!(Declared::read(broken.as_bytes()), Err(Broken), "{broken:?}");
        }
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n";
        assert_eq!(Declared::read(bomb.as_bytes()), Err(Broken));
    }
}
