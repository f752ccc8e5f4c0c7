//! The `config.yaml` of a workspace without a template (contract/provisioner.md,
//! "Generated config.yaml"), byte for byte as it was recorded.

use std::fmt::Write as _;

use candor_proto::registry::v1::Blueprint;

/// What the legacy platform has templates for, and writes into configurations.
const LEGACY: [&str; 10] = [
    "claude-code",
    "langgraph",
    "crewai",
    "autogen",
    "deepagents",
    "hermes",
    "gemini-cli",
    "openclaw",
    "external",
    "codex",
];
/// Candor's own.
const OWN: [&str; 3] = ["candor-echo", "candor-command", "candor-claude-code"];
/// Every other one is this to a configuration; the workspace keeps its word for it.
const OTHERWISE: &str = "langgraph";

/// The runtime as a configuration names it: one that is known.
pub(crate) fn allowed_runtime(runtime: &str) -> &'static str {
    let mut known = LEGACY.into_iter().chain(OWN);
    known.find(|known| *known == runtime).unwrap_or(OTHERWISE)
}

/// The file for a workspace.
pub(crate) fn config_yaml(blueprint: &Blueprint) -> String {
    let runtime = allowed_runtime(&blueprint.runtime);
    let is_claude = runtime.ends_with("claude-code");
    let model = match blueprint.model.as_str() {
        "" if is_claude => "sonnet",
        "" => "anthropic:claude-opus-4-7",
        model => model,
    };
    let mut yaml = format!(
        "name: {}\ndescription: {}\nversion: 1.0.0\ntier: {}\nruntime: {runtime}\nmodel: {}\n",
        quoted(&blueprint.name),
        quoted(&blueprint.role),
        blueprint.tier,
        quoted(model),
    );
    if !matches!(runtime, "langgraph" | "deepagents") {
        yaml.push_str("runtime_config:\n  timeout: 0\n");
    }
    yaml
}

/// A text as one quoted line that YAML reads as it was, line breaks taken out.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '\n' | '\r' => {}
            '"' | '\\' => out.extend(['\\', c]),
            // Line breaks to YAML, and what it does not take as it is.
            '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c if c.is_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn blueprint(name: &str, role: &str, tier: i32, runtime: &str, model: &str) -> Blueprint {
        Blueprint {
            name: name.to_owned(),
            role: role.to_owned(),
            tier,
            runtime: runtime.to_owned(),
            model: model.to_owned(),
            ..Blueprint::default()
        }
    }

    const RECORDING: &str = include_str!("../../../../crates/testkit/data/original-docker.jsonl");

    /// What was in the containers of the legacy platform.
    #[test]
    fn the_recorded_files_are_generated_byte_for_byte() {
        let mut made = std::collections::BTreeMap::new();
        let mut compared = 0;
        for line in RECORDING.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            if let Some(body) = line["body"]
                .as_str()
                .filter(|_| line["path"] == "/workspaces")
            {
                let asked: serde_json::Value = serde_json::from_str(body).unwrap();
                for (variable, _) in line["save"].as_object().unwrap() {
                    made.insert(variable.clone(), asked.clone());
                }
            }
            let found = &line["found"]["files"]["configs/config.yaml"]["text"];
            if let (Some(variable), Some(text)) = (line["docker"].as_str(), found.as_str()) {
                let asked = &made[variable];
                let of = |key: &str| asked[key].as_str().unwrap_or_default();
                let tier = i32::try_from(asked["tier"].as_i64().unwrap()).unwrap();
                let runtime = match of("runtime") {
                    "" => "langgraph",
                    runtime => runtime,
                };
                let of = blueprint(of("name"), of("role"), tier, runtime, of("model"));
                assert_eq!(config_yaml(&of), text, "{variable}");
                compared += 1;
            }
        }
        assert!(compared >= 10, "{compared} compared");
    }

    #[test]
    fn candors_own_runtimes_are_named_and_claude_has_its_model() {
        let echo = config_yaml(&blueprint("e", "", 2, "candor-echo", ""));
        assert!(echo.contains("\nruntime: candor-echo\n"), "{echo}");
        let claude = config_yaml(&blueprint("e", "", 2, "claude-code", ""));
        assert!(claude.contains("\nmodel: \"sonnet\"\n"), "{claude}");
    }

    proptest! {
        #[test]
        fn no_text_breaks_out_of_its_line(name in any::<String>(), role in any::<String>(), model in any::<String>(), runtime in any::<String>()) {
            let of = blueprint(&name, &role, 2, &runtime, &model);
            let read: serde_yaml_ng::Mapping =
                serde_yaml_ng::from_str(&config_yaml(&of)).unwrap();
            let plain = |text: &str| text.replace(['\n', '\r'], "");
            prop_assert_eq!(read["name"].as_str().unwrap(), plain(&name));
            prop_assert_eq!(read["description"].as_str().unwrap(), plain(&role));
            prop_assert!(read.len() <= 7);
            prop_assert_eq!(read["runtime"].as_str().unwrap(), allowed_runtime(&runtime));
        }
    }
}
