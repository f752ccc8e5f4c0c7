//! What a person sees while Candor starts and when it is ready.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use candor_process::config::AuthMode;
use serde_json::json;

/// Tells what goes on, on standard error.
pub struct Progress {
    since: Instant,
    quiet: bool,
}

impl Progress {
    pub fn new(quiet: bool) -> Self {
        Self {
            since: Instant::now(),
            quiet,
        }
    }
    /// Something that may take a moment begins.
    pub fn step(&self, what: &str) {
        if !self.quiet {
            eprintln!("[{:>5.1}s] {what}", self.since.elapsed().as_secs_f32());
        }
    }
}

/// Everything there is to say when Candor is ready.
pub struct Summary<'a> {
    pub http: SocketAddr,
    pub http_enforced: Option<SocketAddr>,
    pub grpc: SocketAddr,
    pub admin: SocketAddr,
    pub data_dir: &'a Path,
    pub database_url: Option<&'a str>,
    pub mode: AuthMode,
    /// Default ports that were busy.
    pub moved: Vec<&'static str>,
}

impl Summary<'_> {
    /// One line for programs.
    pub fn json(&self) -> String {
        json!({
            "ready": true,
            "http": self.http.to_string(),
            "http_enforced": self.http_enforced.map(|address| address.to_string()),
            "grpc": self.grpc.to_string(),
            "admin": self.admin.to_string(),
            "database_url": self.database_url,
            "data_dir": self.data_dir.display().to_string(),
            "mode": mode(self.mode),
        })
        .to_string()
    }

    /// A screen for people: addresses, and three commands to paste.
    pub fn text(&self, took: &Progress) -> String {
        let mut lines = vec![
            String::new(),
            format!(
                "Candor is ready ({:.1} s)",
                took.since.elapsed().as_secs_f32()
            ),
            format!("  http      http://{}   ({})", self.http, mode(self.mode)),
        ];
        if let Some(enforced) = self.http_enforced {
            lines.push(format!("  http      http://{enforced}   (enforced)"));
        }
        lines.push(format!(
            "  grpc      {}   (reflection and health)",
            self.grpc
        ));
        lines.push(format!(
            "  admin     http://{}/healthz /readyz /metrics",
            self.admin
        ));
        lines.push(format!("  data      {}", self.data_dir.display()));
        if !self.moved.is_empty() {
            lines.push(format!(
                "  note      busy default ports were moved: {}",
                self.moved.join(", ")
            ));
        }
        lines.push(String::new());
        lines.push("Try, in another terminal:".to_owned());
        lines.push(format!(
            "  curl -s http://{}/workspaces -d '{{\"name\":\"first\",\"runtime\":\"external\"}}'",
            self.http
        ));
        lines.push(format!("  candor watch --grpc {}", self.grpc));
        lines.push(format!("  candor ps --grpc {}", self.grpc));
        lines.push(String::new());
        lines.join("\n")
    }
}

fn mode(mode: AuthMode) -> &'static str {
    match mode {
        AuthMode::Open => "open",
        AuthMode::Enforced => "enforced",
    }
}
