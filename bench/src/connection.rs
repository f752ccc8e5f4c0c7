//! A blocking HTTP/1.1 connection: one request, one answer, and so on.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Result;

/// Longest wait for a part of an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const LARGEST: usize = 1024 * 1024;

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub code: u16,
    bytes: Vec<u8>,
    body: usize,
}

/// Of an answer whose head is there.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    code: u16,
    /// Where its body begins.
    body: usize,
    /// Where it ends.
    end: usize,
}

impl Connection {
    /// Opens one.
    pub fn open(http: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(http)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream })
    }

    /// Writes a whole request and reads a whole answer.
    pub fn call(&mut self, request: &[u8]) -> Result<Answer> {
        self.stream.write_all(request)?;
        let mut bytes = [0; 4096];
        let mut read = Vec::new();
        loop {
            let count = self.stream.read(&mut bytes)?;
            if count == 0 {
                return Err("the connection was closed in an answer".into());
            }
            read.extend_from_slice(&bytes[..count]);
            if let Some(head) = parse(&read)?
                && read.len() >= head.end
            {
                return Ok(Answer {
                    code: head.code,
                    bytes: read,
                    body: head.body,
                });
            }
            if read.len() > LARGEST {
                return Err("an answer without an end".into());
            }
        }
    }
}

impl Answer {
    /// Its body.
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.body..]
    }
}

/// Of the answer that begins here, once its head is there.
fn parse(read: &[u8]) -> Result<Option<Head>> {
    let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&read[..end])?;
    let mut lines = head.split("\r\n");
    let code = lines.next().and_then(|line| line.split(' ').nth(1));
    let code = code.ok_or("an answer without a code")?.parse()?;
    let length: usize = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .ok_or("an answer without Content-Length")?
        .1
        .trim()
        .parse()?;
    let body = end + 4;
    Ok(Some(Head {
        code,
        body,
        end: body + length,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let head = |code, body, end| Some(Head { code, body, end });
        let text = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        assert_eq!(parse(&text[..20]).unwrap(), None);
        assert_eq!(parse(text).unwrap(), head(200, text.len() - 2, text.len()));
        let refused = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(
            parse(refused).unwrap(),
            head(401, refused.len(), refused.len())
        );
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(parse(b"nonsense\r\n\r\n").is_err());
    }
}
