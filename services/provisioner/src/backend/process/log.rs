//! What an instance says: a file, since it may go on without a platform that reads.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use crate::folder::Folder;
use serde::Deserialize;

/// The file's name.
const FILE: &str = "log";
/// What was said before.
const EARLIER: &str = "log.earlier";
/// The ready line is among so many bytes.
const HEAD: u64 = 64 * 1024;
/// What is shown of the end, in bytes.
const LAST_WORDS: u64 = 2 * 1024;

/// The line by which `candor-workspace --json` says that it is ready.
#[derive(Debug, Deserialize)]
struct Ready {
    ready: bool,
    listen: String,
}

/// A log for a new instance; the one before is kept.
///
/// # Errors
/// The operating system's.
pub(super) fn begin(folder: &Folder, most: u64, room: &Folder) -> io::Result<File> {
    keep(folder, most, room)?;
    folder.remove(FILE)?;
    folder.append_to(FILE)
}

/// Cuts a log of more than `most` bytes: its end is kept beside it.
///
/// # Errors
/// The operating system's.
pub(super) fn bound(folder: &Folder, most: u64, room: &Folder) -> io::Result<()> {
    let log = folder.append_to(FILE)?;
    if log.metadata()?.len() <= most {
        return Ok(());
    }
    keep(folder, most, room)?;
    // Whoever writes appends: the next word is the first.
    log.set_len(0)
}

fn keep(folder: &Folder, most: u64, room: &Folder) -> io::Result<()> {
    let end = tail(folder, most / 4)?;
    if end.is_empty() {
        return Ok(());
    }
    folder.write(EARLIER, &end, 0o600, room)
}

/// Where the instance answers, once it said so. Only this machine is believed.
///
/// # Errors
/// The operating system's.
pub(super) fn url(folder: &Folder) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    folder.append_to(FILE)?.take(HEAD).read_to_end(&mut head)?;
    let mut lines = head.split(|byte| *byte == b'\n');
    let ready = lines.find_map(|line| {
        let ready: Ready = serde_json::from_slice(line).ok()?;
        let address: std::net::SocketAddr = ready.listen.parse().ok()?;
        (ready.ready && address.ip().is_loopback()).then_some(address)
    });
    Ok(ready.map(|address| format!("http://{address}")))
}

/// The end, as text for people; empty if nothing was said.
///
/// # Errors
/// The operating system's.
pub(super) fn last_words(folder: &Folder) -> io::Result<String> {
    let end = tail(folder, LAST_WORDS)?;
    let text = String::from_utf8_lossy(&end);
    let shown: String = text
        .chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect();
    Ok(shown.trim().to_owned())
}

/// The last bytes, from the beginning of a line if there is one.
fn tail(folder: &Folder, most: u64) -> io::Result<Vec<u8>> {
    let mut log = folder.append_to(FILE)?;
    let start = log.metadata()?.len().saturating_sub(most);
    log.seek(SeekFrom::Start(start))?;
    let mut end = Vec::new();
    log.take(most).read_to_end(&mut end)?;
    let line = end.iter().position(|byte| *byte == b'\n');
    if let Some(line) = line.filter(|line| start > 0 && line + 1 < end.len()) {
        end.drain(..=line);
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_log_is_cut_while_it_is_written_and_its_end_is_kept() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::at(place.path()).unwrap();
        let mut writer = begin(&folder, 400, &folder).unwrap();
        for number in 0..100 {
            writeln!(writer, "line {number}").unwrap();
        }
        bound(&folder, 400, &folder).unwrap();
        writeln!(writer, "after").unwrap();
        assert_eq!(last_words(&folder).unwrap(), "after");
        let earlier = fs::read_to_string(place.path().join(EARLIER)).unwrap();
        assert!(earlier.starts_with("line ") && earlier.ends_with("line 99\n"));
        assert!(earlier.len() <= 100, "{}", earlier.len());
        bound(&folder, 400, &folder).unwrap();
        assert_eq!(last_words(&folder).unwrap(), "after");
        begin(&folder, 400, &folder).unwrap();
        assert_eq!(last_words(&folder).unwrap(), "");
        let earlier = fs::read_to_string(place.path().join(EARLIER)).unwrap();
        assert_eq!(earlier, "after\n");
    }

    #[test]
    fn only_an_address_of_this_machine_is_ready() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::at(place.path()).unwrap();
        for (said, url_of_it) in [
            ("", None),
            ("{\"ready\":true,\"listen\":\"127.0.0.1:80", None),
            ("{\"ready\":false,\"listen\":\"127.0.0.1:80\"}\n", None),
            ("{\"ready\":true,\"listen\":\"10.0.0.1:80\"}\n", None),
            (
                "warning\n{\"ready\":true,\"listen\":\"127.0.0.1:80\"}\nmore",
                Some("http://127.0.0.1:80"),
            ),
        ] {
            fs::write(place.path().join(FILE), said).unwrap();
            assert_eq!(url(&folder).unwrap().as_deref(), url_of_it, "{said}");
        }
    }

    #[test]
    fn last_words_are_short_and_plain() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::at(place.path()).unwrap();
        let said = "x".repeat(5_000) + "\n\u{1b}[31mred\u{7}\n";
        fs::write(place.path().join(FILE), said).unwrap();
        assert_eq!(last_words(&folder).unwrap(), "[31mred");
    }
}
