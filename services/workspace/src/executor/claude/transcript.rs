//! The session's entries, as the legacy runtime's `/transcript` told them: `lines`,
//! `cursor`, `more`.
//!
//! The CLI keeps a session in `projects/<working directory>/<session>.jsonl` below its
//! folder. No other session's file is read.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::settings::ClaudeSettings;

/// Most entries of an answer.
const ENTRIES: usize = 1_000;
/// Bytes of an answer's entries: the platform passes on 1 MiB.
const ANSWER: usize = 900 * 1024;
/// Longest entry that is told whole, in bytes.
const ENTRY: usize = 256 * 1024;
/// What is told of an entry that cannot be, in characters.
const BEGINNING: usize = 200;
/// Bytes of a session that are looked through.
const LOOKED_THROUGH: u64 = 256 * 1024 * 1024;

/// Where the session's entries are, or would be; nothing where that cannot be said.
pub(super) fn source(settings: &ClaudeSettings, session: Option<&str>) -> Option<PathBuf> {
    let folder = settings
        .variable("CLAUDE_CONFIG_DIR")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(settings.variable("HOME")?).join(".claude")))?;
    // The CLI names what its system calls its directory, without links.
    let cwd = fs::canonicalize(&settings.working_dir).ok()?;
    let projects = folder.join("projects").join(slug(cwd.to_str()?));
    Some(projects.join(format!("{}.jsonl", session?)))
}

/// A path as the CLI makes a name of it: what is no ASCII letter or digit is a dash,
/// for each UTF-16 unit.
fn slug(path: &str) -> String {
    let name = |character: char| {
        let dashes = character.len_utf16();
        if character.is_ascii_alphanumeric() {
            character.to_string()
        } else {
            "-".repeat(dashes)
        }
    };
    path.chars().map(name).collect()
}

/// The entries from `since` on. A session that has said nothing yet has none.
pub(super) fn read(source: &Option<PathBuf>, since: u64, limit: usize) -> Value {
    let limit = limit.clamp(1, ENTRIES);
    let found = source.as_ref().map(|path| {
        // A link would lead to what is not this session's.
        let whole = fs::symlink_metadata(path)?.is_file();
        let file = whole.then(|| File::open(path)).transpose()?;
        file.map(|file| entries(BufReader::new(file.take(LOOKED_THROUGH)), since, limit))
            .transpose()
    });
    let (lines, cursor, more) = match found {
        Some(Ok(Some(page))) => (page.lines, page.cursor, page.more),
        _ => (Vec::new(), since, false),
    };
    json!({
        "runtime": "claude-code",
        "supported": true,
        "lines": lines,
        "cursor": cursor,
        "more": more,
        "source": source,
    })
}

struct Page {
    lines: Vec<Value>,
    cursor: u64,
    more: bool,
}

fn entries(mut file: impl BufRead, since: u64, limit: usize) -> io::Result<Page> {
    let mut page = Page {
        lines: Vec::new(),
        cursor: 0,
        more: false,
    };
    let mut bytes = 0;
    while let Some(line) = line(&mut file)? {
        if page.cursor >= since && !line.kept.trim_ascii().is_empty() {
            let entry = entry(&line);
            bytes += entry.to_string().len();
            if page.lines.len() == limit || (bytes > ANSWER && !page.lines.is_empty()) {
                page.more = true;
                return Ok(page);
            }
            page.lines.push(entry);
        }
        page.cursor += 1;
    }
    page.cursor = page.cursor.max(since);
    Ok(page)
}

/// A line, and how much of it was there.
struct Line {
    kept: Vec<u8>,
    bytes: usize,
}

/// The next line that is complete: of one that is still written nothing is told.
fn line(file: &mut impl BufRead) -> io::Result<Option<Line>> {
    let mut line = Line {
        kept: Vec::new(),
        bytes: 0,
    };
    loop {
        let read = file.fill_buf()?;
        if read.is_empty() {
            return Ok(None);
        }
        let end = read.iter().position(|byte| *byte == b'\n');
        let length = end.unwrap_or(read.len());
        let room = (ENTRY + 1).saturating_sub(line.kept.len());
        line.kept.extend_from_slice(&read[..length.min(room)]);
        line.bytes += length;
        file.consume(length + usize::from(end.is_some()));
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

fn entry(line: &Line) -> Value {
    let beginning = || -> String {
        let text = String::from_utf8_lossy(&line.kept);
        text.chars().take(BEGINNING).collect()
    };
    if line.bytes > ENTRY {
        return json!({"_too_long": line.bytes, "_raw": beginning()});
    }
    serde_json::from_slice(&line.kept)
        .unwrap_or_else(|_| json!({"_parse_error": true, "_raw": beginning()}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_named_as_the_cli_names_it() {
        assert_eq!(slug("/configs"), "-configs");
        assert_eq!(slug("/srv/my wörk.dir_x/a"), "-srv-my-w-rk-dir-x-a");
        assert_eq!(slug("/a😀"), "-a--");
    }

    #[test]
    fn entries_come_in_pages_and_an_unfinished_one_later() {
        let file = b"{\"n\":0}\n\nnope\n{\"n\":3}\n{\"n\":4".as_slice();
        let page = entries(file, 0, 2).unwrap();
        assert_eq!(
            page.lines,
            [
                json!({"n": 0}),
                json!({"_parse_error": true, "_raw": "nope"})
            ]
        );
        assert!(page.more);
        let rest = entries(file, page.cursor, 2).unwrap();
        assert_eq!((rest.lines, rest.more), (vec![json!({"n": 3})], false));
        assert_eq!(rest.cursor, 4);
        assert!(entries(file, 4, 2).unwrap().lines.is_empty());
        assert_eq!(entries(file, 99, 2).unwrap().cursor, 99);
    }

    #[test]
    fn an_answer_fits_what_the_platform_passes_on() {
        let long = format!("{}\n", json!({"x": "y".repeat(ENTRY)}));
        let fits = format!("{}\n", json!({"x": "y".repeat(ENTRY / 2)}));
        let file = long + &fits.repeat(20);
        let page = entries(file.as_bytes(), 0, 1_000).unwrap();
        assert!(page.more);
        assert!(page.lines[0]["_too_long"].is_u64());
        let told = Value::Array(page.lines).to_string().len();
        assert!(told < 1024 * 1024, "{told}");
    }
}
