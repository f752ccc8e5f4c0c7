//! Pages of lists: they end at a size, so that no answer is too large for who
//! asked, and go on after their last item, whatever was removed meanwhile.

use candor_kernel::Error;
use candor_process::grpc::PAGE_LIMIT;
use chrono::{DateTime, Utc};
use prost::Message;
use uuid::Uuid;

/// The last item of a page: lists are ordered by time and id.
pub(super) type Cursor = (DateTime<Utc>, Uuid);

/// Reads a page token; an empty one is the beginning.
pub(super) fn read(token: &str) -> Result<Option<Cursor>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    let cursor = token.split_once('_').and_then(|(micros, id)| {
        let at = DateTime::from_timestamp_micros(micros.parse().ok()?)?;
        Some((at, id.parse().ok()?))
    });
    cursor
        .map(Some)
        .ok_or_else(|| Error::field("page_token", "page_token is not one of ours"))
}

fn write((at, id): Cursor) -> String {
    format!("{}_{id}", at.timestamp_micros())
}

/// Keeps items until the page is full, at least one, and says where the next
/// page begins if something was left, or may be: a full store page.
pub(super) fn cut<T: Message>(
    items: impl Iterator<Item = Result<(Cursor, T), Error>>,
    store_page_is_full: bool,
) -> Result<(Vec<T>, String), Error> {
    let (mut kept, mut bytes, mut last) = (Vec::new(), 0, None);
    for item in items {
        let (cursor, item) = item?;
        bytes += item.encoded_len();
        if let Some(last) = last
            && bytes > PAGE_LIMIT
        {
            return Ok((kept, write(last)));
        }
        kept.push(item);
        last = Some(cursor);
    }
    let next = last.filter(|_| store_page_is_full).map(write);
    Ok((kept, next.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn items(sizes: &[usize]) -> Vec<Result<(Cursor, String), Error>> {
        let at = DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap();
        let item =
            |(n, size): (usize, &usize)| Ok(((at, Uuid::from_u128(n as u128)), "x".repeat(*size)));
        sizes.iter().enumerate().map(item).collect()
    }

    #[test]
    fn a_page_ends_at_its_size_and_the_next_begins_after_its_last_item() {
        let (kept, next) = cut(items(&[600_000, 400_000, 600_000]).into_iter(), false).unwrap();
        assert_eq!(kept.len(), 2);
        let (at, id) = read(&next).unwrap().unwrap();
        assert_eq!(at.timestamp_micros(), 1_700_000_000_123_456);
        assert_eq!(id, Uuid::from_u128(1));
    }

    #[test]
    fn one_item_always_fits_and_the_last_page_has_no_successor() {
        let (kept, next) = cut(items(&[PAGE_LIMIT * 3]).into_iter(), false).unwrap();
        assert_eq!((kept.len(), next.as_str()), (1, ""));
        let (_, next) = cut(items(&[1]).into_iter(), true).unwrap();
        assert!(!next.is_empty());
        assert!(read("junk").is_err());
    }
}
