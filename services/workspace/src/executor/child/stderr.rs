//! The end of what a program writes to its standard error.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::AsyncReadExt as _;
use tokio::process::ChildStderr;
use tokio::task::JoinHandle;

/// Bytes that are kept, the last ones.
const KEPT: usize = 8 * 1024;

/// The last bytes, while more may come.
#[derive(Debug, Clone, Default)]
pub(super) struct Tail(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    bytes: VecDeque<u8>,
    dropped: bool,
}

impl Tail {
    /// Reads on until the pipe is closed, or the task is ended.
    pub(super) fn of(mut pipe: ChildStderr) -> (Self, JoinHandle<()>) {
        let tail = Self::default();
        let ours = tail.clone();
        let listener = tokio::spawn(async move {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = pipe.read(&mut piece).await {
                ours.push(&piece[..length]);
            }
        });
        (tail, listener)
    }

    fn push(&self, piece: &[u8]) {
        let mut kept = self.0.lock();
        kept.bytes.extend(piece);
        let over = kept.bytes.len().saturating_sub(KEPT);
        kept.bytes.drain(..over);
        kept.dropped |= over > 0;
    }

    /// As text, from the beginning of a line.
    pub(super) fn text(&self) -> String {
        let mut kept = self.0.lock();
        let dropped = kept.dropped;
        let text = String::from_utf8_lossy(kept.bytes.make_contiguous());
        let whole_lines = match text.split_once('\n') {
            Some((_, rest)) if dropped && !rest.is_empty() => rest,
            _ => &text,
        };
        whole_lines.trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept() {
        let tail = Tail::default();
        for number in 0..10_000 {
            tail.push(format!("line {number}\n").as_bytes());
        }
        let text = tail.text();
        assert!(
            text.len() <= KEPT && text.len() > KEPT - 20,
            "{}",
            text.len()
        );
        assert!(
            text.starts_with("line ") && text.ends_with("line 9999"),
            "{text}"
        );
        assert!(tail.0.lock().bytes.len() <= KEPT);
    }

    #[test]
    fn one_long_line_is_cut_in_front() {
        let tail = Tail::default();
        tail.push(&vec![b'x'; 3 * KEPT]);
        assert_eq!(tail.text().len(), KEPT);
    }
}
