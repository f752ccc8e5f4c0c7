//! Server-sent events as they come in chunks (HTML living standard, section
//! 9.2.6), with a limit for each.

use candor_a2a::{Error, ErrorKind};

/// The largest event, in bytes.
const MOST_EVENT: usize = 1024 * 1024;

/// One event, or a comment between two.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Every other line, with its end.
    pub others: String,
    /// The lines of `data`, if there are any.
    pub data: Option<String>,
}

/// A stream up to now.
#[derive(Debug, Default)]
pub(crate) struct Sse {
    /// The beginning of a line.
    line: Vec<u8>,
    /// The last line ended with a carriage return; a line feed belongs to it.
    after_return: bool,
    event: Event,
}

impl Sse {
    /// The events that end in this chunk.
    ///
    /// # Errors
    /// `InvalidAgentResponse` for an event that is too large, or no UTF-8.
    pub fn push(&mut self, chunk: &[u8]) -> Result<Vec<Event>, Error> {
        let mut events = Vec::new();
        let mut rest = chunk;
        if self.after_return && !rest.is_empty() {
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            self.after_return = false;
        }
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.extend(&rest[..end])?;
            let is_return = rest[end] == b'\r';
            rest = &rest[end + 1..];
            if is_return {
                self.after_return = rest.is_empty();
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
            events.extend(self.end_of_line()?);
        }
        self.extend(rest)?;
        Ok(events)
    }

    /// What stands there at the end of the stream, for agents that leave out the
    /// last empty line.
    ///
    /// # Errors
    /// As [`Sse::push`].
    pub fn finish(&mut self) -> Result<Option<Event>, Error> {
        self.end_of_line()?;
        let event = std::mem::take(&mut self.event);
        Ok(Some(event).filter(|event| event.data.is_some()))
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let data = self.event.data.as_ref().map_or(0, String::len);
        if self.line.len() + data + self.event.others.len() + bytes.len() > MOST_EVENT {
            return Err(invalid("an event of more than 1 MiB"));
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    /// The event that this line ended, if it was empty.
    fn end_of_line(&mut self) -> Result<Option<Event>, Error> {
        let line = std::mem::take(&mut self.line);
        let line = std::str::from_utf8(&line).map_err(|_| invalid("an event that is no text"))?;
        let line = line.strip_prefix('\u{feff}').unwrap_or(line);
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return Ok(Some(event).filter(|event| *event != Event::default()));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        if field != "data" {
            self.event.others.push_str(line);
            self.event.others.push('\n');
            return Ok(None);
        }
        let value = value.strip_prefix(' ').unwrap_or(value);
        match &mut self.event.data {
            Some(data) => {
                data.push('\n');
                data.push_str(value);
            }
            None => self.event.data = Some(value.to_owned()),
        }
        Ok(None)
    }
}

fn invalid(what: &str) -> Error {
    let text = format!("the agent's stream has {what}");
    Error::new(ErrorKind::InvalidAgentResponse, text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn event(others: &str, data: Option<&str>) -> Event {
        Event {
            others: others.to_owned(),
            data: data.map(str::to_owned),
        }
    }

    fn read(chunks: &[&[u8]]) -> Vec<Event> {
        let mut sse = Sse::default();
        let mut events: Vec<Event> = chunks
            .iter()
            .flat_map(|chunk| sse.push(chunk).unwrap())
            .collect();
        events.extend(sse.finish().unwrap());
        events
    }

    #[test]
    fn events_comments_and_every_end_of_line_are_read() {
        let text = b"\xef\xbb\xbf: hello\n\ndata: {\"a\":1}\r\n\r\nid: 7\rdata:b\rdata: c\r\r\n\ndata: last";
        let expected = [
            event(": hello\n", None),
            event("", Some("{\"a\":1}")),
            event("id: 7\n", Some("b\nc")),
            event("", Some("last")),
        ];
        assert_eq!(read(&[text]), expected);
    }

    #[test]
    fn an_event_has_a_limit_and_a_stream_has_none() {
        let mut sse = Sse::default();
        let piece = vec![b'x'; MOST_EVENT / 2];
        for _ in 0..5 {
            sse.push(b"data:").unwrap();
            sse.push(&piece).unwrap();
            assert_eq!(sse.push(b"\n\n").unwrap().len(), 1);
        }
        for line in ["data:", "", "\ndata:"] {
            sse.push(line.as_bytes()).unwrap();
        }
        sse.push(&piece).unwrap();
        let refused = sse.push(&piece).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidAgentResponse);
        assert!(Sse::default().push(b"data: \xff\n").is_err());
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_chunks_end(
            text in "(data: ?[a-z:]{0,4}|: c|id: 1|)(\n|\r\n|\r){0,3}(data: ?[a-z:]{0,4}|: c|)(\n|\r\n|\r){0,3}",
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
        ) {
            let whole = read(&[text.as_bytes()]);
            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            ends.sort_unstable();
            ends.push(text.len());
            let mut from = 0;
            let chunks: Vec<&[u8]> = ends.iter().map(|end| {
                let chunk = &text.as_bytes()[from..*end];
                from = *end;
                chunk
            }).collect();
            prop_assert_eq!(read(&chunks), whole);
        }
    }
}
