//! A beat as agents send it, and the workspaces that send them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::Result;

/// Where beats go.
pub const PATH: &str = "/registry/heartbeat";

/// The legacy fields of a beat; on the floors' wire as well.
#[derive(Clone, PartialEq, serde::Deserialize, prost::Message)]
#[serde(default)]
pub struct Beat {
    /// Who beats.
    #[prost(string, tag = "1")]
    pub workspace_id: String,
    /// Share of failed calls.
    #[prost(double, tag = "2")]
    pub error_rate: f64,
    /// An example of what failed.
    #[prost(string, tag = "3")]
    pub sample_error: String,
    /// Tasks that run now.
    #[prost(int32, tag = "4")]
    pub active_tasks: i32,
    /// Age of the agent's process.
    #[prost(int32, tag = "5")]
    pub uptime_seconds: i32,
    /// What it works on.
    #[prost(string, tag = "6")]
    pub current_task: String,
    /// Cents of this month.
    #[prost(int64, tag = "7")]
    pub monthly_spend: i64,
    /// The runtime's own word.
    #[prost(string, tag = "8")]
    pub runtime_state: String,
}

/// A workspace that may beat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// Its id.
    pub id: String,
    /// Its bearer token.
    pub token: String,
}

impl Workspace {
    /// The whole request of a beat. `beat.lua` writes the same bytes.
    pub fn request(&self, host: &str, uptime: u32) -> String {
        let body = format!(
            r#"{{"workspace_id":"{}","error_rate":0,"sample_error":"","active_tasks":0,"uptime_seconds":{uptime},"current_task":"","runtime_state":""}}"#,
            self.id
        );
        format!(
            "POST {PATH} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        )
    }
}

/// Writes `id token` lines.
pub fn write_workspaces(path: &Path, workspaces: &[Workspace]) -> Result<()> {
    let mut text = String::new();
    for workspace in workspaces {
        writeln!(text, "{} {}", workspace.id, workspace.token)?;
    }
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(())
}

/// Reads what [`write_workspaces`] wrote.
pub fn read_workspaces(path: &Path) -> Result<Vec<Workspace>> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let workspaces: Vec<Workspace> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(id, token)| Workspace {
            id: id.to_owned(),
            token: token.to_owned(),
        })
        .collect();
    if workspaces.is_empty() {
        return Err(format!("{}: no workspaces in it", path.display()).into());
    }
    Ok(workspaces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_is_read_with_and_without_its_optional_fields() {
        let whole = Workspace {
            id: "w".to_owned(),
            token: "t".to_owned(),
        }
        .request("h:1", 10_000_000);
        let (head, body) = whole.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
        let beat: Beat = serde_json::from_str(body).unwrap();
        assert_eq!(
            (beat.workspace_id.as_str(), beat.uptime_seconds),
            ("w", 10_000_000)
        );
        let bare: Beat = serde_json::from_str(r#"{"workspace_id":"w"}"#).unwrap();
        assert_eq!(bare.active_tasks, 0);
    }

    #[test]
    fn workspaces_survive_their_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("workspaces");
        let workspaces = vec![Workspace {
            id: "a".to_owned(),
            token: "b".to_owned(),
        }];
        write_workspaces(&path, &workspaces).unwrap();
        assert_eq!(read_workspaces(&path).unwrap(), workspaces);
        write_workspaces(&path, &[]).unwrap();
        assert!(read_workspaces(&path).is_err());
    }
}
