//! Where a running Candor listens, for the commands that look for it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The file's name in the data directory.
const FILE: &str = "listening.json";

/// Addresses of a running Candor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Whereabouts {
    /// Its process.
    pub pid: u32,
    /// Legacy HTTP, host:port.
    pub http: String,
    /// gRPC, host:port.
    pub grpc: String,
    /// Health and metrics, host:port.
    pub admin: String,
}

impl Whereabouts {
    /// Reads what the last Candor on this data directory wrote. It removes the
    /// file when it leaves; after a crash a call to the address tells.
    pub fn read(data_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path(data_dir)).ok()?).ok()
    }

    /// Writes the file in one step.
    pub fn write(&self, data_dir: &Path) -> io::Result<()> {
        let draft = data_dir.join(".listening.json.new");
        fs::write(&draft, serde_json::to_vec(self)?)?;
        fs::rename(draft, path(data_dir))
    }

    /// Removes the file.
    pub fn forget(data_dir: &Path) {
        if let Err(error) = fs::remove_file(path(data_dir)) {
            tracing::debug!(%error, "no {FILE} to remove");
        }
    }
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}
