//! What the agent may do, and what the CLI is answered when it asks.

use std::str::FromStr;

use serde_json::{Value, json};

/// The CLI's permission modes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PermissionMode {
    /// What needs leave is denied: there is nobody to ask.
    #[default]
    Default,
    /// The same, but files of the working directory may be changed.
    AcceptEdits,
    /// The CLI's own judge decides.
    Auto,
    /// What is not allowed beforehand is denied.
    DontAsk,
    /// Nothing is changed, only planned.
    Plan,
    /// Everything is allowed.
    BypassPermissions,
}

/// A name that is no permission mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown permission mode {0:?}: default, acceptEdits, auto, dontAsk, plan or bypassPermissions"
)]
pub struct UnknownPermissionMode(String);

/// What asks a person, and waits for what nobody would answer.
const ASKS_A_PERSON: &str = "AskUserQuestion";

impl FromStr for PermissionMode {
    type Err = UnknownPermissionMode;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Ok(match name {
            "default" | "manual" => Self::Default,
            "acceptEdits" => Self::AcceptEdits,
            "auto" => Self::Auto,
            "dontAsk" => Self::DontAsk,
            "plan" => Self::Plan,
            "bypassPermissions" => Self::BypassPermissions,
            other => return Err(UnknownPermissionMode(other.to_owned())),
        })
    }
}

impl PermissionMode {
    /// The mode that the CLI is given. `bypassPermissions` is not handed on: the CLI
    /// refuses it for root, as whom containers run. It asks instead, and is allowed.
    pub(super) fn handed_on(self) -> &'static str {
        match self {
            Self::Default | Self::BypassPermissions => "default",
            Self::AcceptEdits => "acceptEdits",
            Self::Auto => "auto",
            Self::DontAsk => "dontAsk",
            Self::Plan => "plan",
        }
    }

    /// The answer to what the CLI asks: the response's body, or why there is none.
    pub(super) fn answer(self, request: &Value) -> Result<Value, String> {
        let subtype = request["subtype"].as_str().unwrap_or_default();
        if subtype != "can_use_tool" {
            return Err(format!("not supported by this client: {subtype}"));
        }
        let tool = request["tool_name"].as_str().unwrap_or_default();
        Ok(if tool == ASKS_A_PERSON {
            denied("nobody is here to answer: decide yourself, or say what you need to know")
        } else if self == Self::BypassPermissions {
            json!({"behavior": "allow", "updatedInput": request["input"]})
        } else {
            denied("this needs a permission that this agent does not have")
        })
    }
}

fn denied(why: &str) -> Value {
    json!({"behavior": "deny", "message": why})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_has_an_answer() {
        let bash =
            json!({"subtype": "can_use_tool", "tool_name": "Bash", "input": {"command": "ls"}});
        let allowed = PermissionMode::BypassPermissions.answer(&bash).unwrap();
        assert_eq!(
            allowed,
            json!({"behavior": "allow", "updatedInput": {"command": "ls"}})
        );
        for mode in ["default", "acceptEdits", "auto", "dontAsk", "plan"] {
            let mode: PermissionMode = mode.parse().unwrap();
            assert_eq!(mode.answer(&bash).unwrap()["behavior"], "deny");
        }
        let question = json!({"subtype": "can_use_tool", "tool_name": "AskUserQuestion"});
        let answer = PermissionMode::BypassPermissions.answer(&question);
        assert_eq!(answer.unwrap()["behavior"], "deny");
        for subtype in ["hook_callback", "mcp_message", ""] {
            let unknown = json!({"subtype": subtype});
            assert!(PermissionMode::BypassPermissions.answer(&unknown).is_err());
        }
        assert!("everything".parse::<PermissionMode>().is_err());
    }
}
