//! A stream of server-sent events, read while it passes (WHATWG HTML, section 9.2.6):
//! which of its bytes the agent has said, and which only keep a connection open.

/// Of one event so much is read; what is longer is passed over.
const READ: usize = 1024 * 1024;
/// What the lines begin with that say something.
const DATA: &[u8] = b"data:";

/// What is known of the line that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// It began as [`DATA`] does, for so many bytes.
    Begins(usize),
    /// It is data.
    Data,
    /// A comment, or a field that says nothing without data.
    Other,
}

/// Reads a stream.
#[derive(Debug)]
pub(super) struct Events {
    line: Line,
    /// The last byte was a carriage return: a line feed belongs to it.
    is_after_return: bool,
    /// The data of the event that has begun.
    data: Vec<u8>,
    is_longer: bool,
}

impl Events {
    pub(super) fn new() -> Self {
        Self {
            line: Line::Begins(0),
            is_after_return: false,
            data: Vec::new(),
            is_longer: false,
        }
    }

    /// The next bytes; `told` is given the data of each event that ends in them.
    /// Answers whether there was any data in these bytes, be it a part of an event.
    pub(super) fn push(&mut self, chunk: &[u8], mut told: impl FnMut(&[u8])) -> bool {
        let (mut rest, mut has_data) = (chunk, false);
        while let Some((first, after)) = rest.split_first() {
            if std::mem::take(&mut self.is_after_return) && *first == b'\n' {
                rest = after;
                continue;
            }
            let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
            let Some(end) = rest.iter().position(is_end) else {
                return self.keep(rest) || has_data;
            };
            has_data |= self.keep(&rest[..end]);
            self.is_after_return = rest[end] == b'\r';
            self.end_of_line(&mut told);
            rest = &rest[end + 1..];
        }
        has_data
    }

    /// The stream is over; an event may have lacked its empty line.
    pub(super) fn end(&mut self, told: impl FnMut(&[u8])) {
        self.end_of_event(told);
    }

    /// More of one line; answers whether it is data.
    fn keep(&mut self, mut piece: &[u8]) -> bool {
        while let Line::Begins(known) = self.line {
            let Some((first, rest)) = piece.split_first() else {
                return false;
            };
            self.line = match DATA[known] == *first {
                true if known + 1 == DATA.len() => Line::Data,
                true => Line::Begins(known + 1),
                false => Line::Other,
            };
            piece = rest;
            if self.line == Line::Data && !self.data.is_empty() {
                self.add(b"\n");
            }
        }
        if self.line != Line::Data {
            return false;
        }
        self.add(piece);
        !piece.trim_ascii().is_empty()
    }

    fn add(&mut self, bytes: &[u8]) {
        let room = READ - self.data.len();
        self.is_longer |= bytes.len() > room;
        self.data.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end_of_line(&mut self, told: impl FnMut(&[u8])) {
        if self.line == Line::Begins(0) {
            self.end_of_event(told);
        }
        self.line = Line::Begins(0);
    }

    fn end_of_event(&mut self, mut told: impl FnMut(&[u8])) {
        let data = self.data.trim_ascii();
        if !data.is_empty() && !self.is_longer {
            told(data);
        }
        self.data.clear();
        self.is_longer = false;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a stream tells, given in pieces of at most so many bytes, and whether each
    /// of them had data in it.
    fn read(stream: &str, most: usize) -> (Vec<String>, Vec<bool>) {
        let (mut events, mut told) = (Events::new(), Vec::new());
        let mut tell = |data: &[u8]| told.push(String::from_utf8_lossy(data).into_owned());
        let pieces = stream.as_bytes().chunks(most);
        let had_data = pieces.map(|piece| events.push(piece, &mut tell)).collect();
        events.end(&mut tell);
        (told, had_data)
    }

    #[test]
    fn only_data_is_something_said() {
        for nothing in [
            ": ping - 2026-01-01\r\n\r\n",
            "\n\n\r\n\r\r",
            "event: ping\nid: 7\nretry: 10\n\n",
            "data:\n\ndata: \r\n\r\ndata\n\n",
            "database: x\n\n",
            ":data: x\n\n",
        ] {
            for most in [1, 3, 1000] {
                let (told, had_data) = read(nothing, most);
                assert!(told.is_empty(), "{nothing:?}: {told:?}");
                assert!(!had_data.contains(&true), "{nothing:?}");
            }
        }
        let (told, had_data) = read("id: 1\ndata:x", 9);
        assert_eq!((told, had_data), (vec!["x".to_owned()], vec![false, true]));
        // A long event says something from its first byte.
        let (_, had_data) = read("data: {\"result\": {", 8);
        assert_eq!(had_data, [true, true, true]);
    }

    #[test]
    fn a_long_event_is_not_kept() {
        let mut events = Events::new();
        assert!(!events.push(b"data: ", |_| {}));
        let (long, mut told) = ("x".repeat(READ), Vec::new());
        for _ in 0..2 {
            assert!(events.push(long.as_bytes(), |data| told.push(data.to_vec())));
        }
        assert_eq!(events.data.len(), READ);
        events.push(b"\n\ndata: y\n\n", |data| told.push(data.to_vec()));
        assert_eq!(told, [b"y".to_vec()]);
    }

    proptest! {
        #[test]
        fn events_are_the_same_however_they_are_cut_and_their_lines_end(
            events in prop::collection::vec(prop::collection::vec("[a-z:]{1,9}", 1..4), 0..9),
            end in prop_oneof![Just("\n"), Just("\r"), Just("\r\n")],
            most in 1_usize..40
        ) {
            let mut stream = String::new();
            for lines in &events {
                stream.push_str(&format!(": ping{end}{end}event: e{end}"));
                for line in lines {
                    stream.push_str(&format!("data:{line}{end}"));
                }
                stream.push_str(end);
            }
            let wanted: Vec<String> = events.iter().map(|lines| lines.join("\n")).collect();
            prop_assert_eq!(read(&stream, most).0, wanted);
        }
    }
}
