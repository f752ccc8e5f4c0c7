//! What a caller wrote, in 32 bytes: an id that a caller chose says nothing of who it
//! was or what was meant.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// SHA-256 of a message as its caller wrote it, whatever the order of its members.
pub(super) type Digest = [u8; 32];

/// The digest.
pub(super) fn of(written: &Value) -> Digest {
    let mut hash = Sha256::new();
    feed(&mut hash, written);
    hash.finalize().into()
}

/// Each value with its kind and its length before it, so that no two read the same.
fn feed(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Null => hash.update(b"n"),
        Value::Bool(truth) => hash.update([b'b', u8::from(*truth)]),
        Value::Number(number) => bytes(hash, b'd', number.to_string().as_bytes()),
        Value::String(text) => bytes(hash, b's', text.as_bytes()),
        Value::Array(items) => {
            begin(hash, b'a', items.len());
            for item in items {
                feed(hash, item);
            }
        }
        Value::Object(members) => {
            begin(hash, b'o', members.len());
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_unstable_by_key(|(name, _)| *name);
            for (name, member) in sorted {
                bytes(hash, b's', name.as_bytes());
                feed(hash, member);
            }
        }
    }
}

fn begin(hash: &mut Sha256, kind: u8, length: usize) {
    hash.update([kind]);
    hash.update((length as u64).to_be_bytes());
}

fn bytes(hash: &mut Sha256, kind: u8, bytes: &[u8]) {
    begin(hash, kind, bytes.len());
    hash.update(bytes);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(json: &str) -> Digest {
        of(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn the_order_of_members_is_nothing_and_all_else_is_something() {
        let one = read(r#"{"a":[1,"x"],"b":{"c":null,"d":true}}"#);
        assert_eq!(one, read(r#"{"b":{"d":true,"c":null},"a":[1,"x"]}"#));
        let others = [
            r#"{"a":["x",1],"b":{"c":null,"d":true}}"#,
            r#"{"a":[1,"x"],"b":{"c":null,"d":false}}"#,
            r#"{"a":["1","x"],"b":{"c":null,"d":true}}"#,
            r#"{"a":[1,"x"],"b":{"c":null},"d":true}"#,
            r#"{"a":[1],"b":{"c":null,"d":true}}"#,
        ];
        for other in others {
            assert_ne!(one, read(other), "{other}");
        }
        assert_ne!(read(r#"["ab","c"]"#), read(r#"["a","bc"]"#));
    }
}
