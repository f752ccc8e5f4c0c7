//! Keys in files, as orchestrators mount them.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Secret;

/// Bytes of a key as it is.
const RAW: usize = 32;
/// A key in base64 has 44 characters; what is far longer is another file.
const LONGEST: u64 = 1024;

/// The key that a file holds: 32 bytes as they are, or a text that may end with a line.
pub(super) fn key_in(path: &Path) -> Result<Secret, String> {
    let told = |problem: &dyn std::fmt::Display| format!("{}: {problem}", path.display());
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| told(&error))?;
    file.take(LONGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| told(&error))?;
    if bytes.len() == RAW {
        return Ok(Secret::new(STANDARD.encode(&bytes)));
    }
    let text = std::str::from_utf8(&bytes).map_or("", str::trim);
    if text.is_empty() || bytes.len() as u64 > LONGEST {
        return Err(told(&"no key: 32 bytes, as they are or in base64"));
    }
    Ok(Secret::new(text))
}
