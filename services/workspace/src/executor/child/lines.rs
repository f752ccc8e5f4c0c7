//! Lines of at most so many bytes.

use std::io;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// Why there is no next line.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It is longer than is read; the value is the bound in bytes.
    #[error("a line of more than {0} bytes")]
    TooLong(usize),
    /// The pipe.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads lines; a future that is dropped loses nothing.
#[derive(Debug)]
pub struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    most: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Lines of at most `most` bytes.
    pub fn new(reader: R, most: usize) -> Self {
        Self {
            reader: BufReader::new(reader),
            line: Vec::new(),
            most,
        }
    }

    /// The next line without its end; nothing after the last one.
    ///
    /// # Errors
    /// [`LineError`], after which there is no other line.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, LineError> {
        loop {
            let read = self.reader.fill_buf().await?;
            if read.is_empty() {
                let last = std::mem::take(&mut self.line);
                return Ok((!last.is_empty()).then_some(last));
            }
            let end = read.iter().position(|byte| *byte == b'\n');
            let length = end.unwrap_or(read.len());
            if self.line.len() + length > self.most {
                return Err(LineError::TooLong(self.most));
            }
            self.line.extend_from_slice(&read[..length]);
            self.reader.consume(length + usize::from(end.is_some()));
            if end.is_some() {
                return Ok(Some(std::mem::take(&mut self.line)));
            }
        }
    }

    /// Reads what is left, and forgets it.
    pub async fn drain(&mut self) {
        self.line = Vec::new();
        while let Ok(read @ [_, ..]) = self.reader.fill_buf().await {
            let length = read.len();
            self.reader.consume(length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_end_where_they_end_and_one_that_is_too_long_is_an_error() {
        let mut lines = Lines::new(&b"one\n\nthree"[..], 5);
        assert_eq!(lines.next().await.unwrap(), Some(b"one".to_vec()));
        assert_eq!(lines.next().await.unwrap(), Some(Vec::new()));
        assert_eq!(lines.next().await.unwrap(), Some(b"three".to_vec()));
        assert_eq!(lines.next().await.unwrap(), None);
        let mut lines = Lines::new(&b"123456\n"[..], 5);
        assert!(matches!(lines.next().await, Err(LineError::TooLong(5))));
    }
}
