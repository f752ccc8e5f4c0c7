//! How durations are written: `500ms`, `2s`, `5m`, `1h`; a bare number is seconds.

use std::time::Duration;

/// A text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no duration: write 500ms, 2s, 5m or 1h; a bare number is seconds")]
pub struct DurationError(String);

/// Reads a duration; also a clap value parser.
///
/// # Errors
/// [`DurationError`] shows how durations are written.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let wrong = || DurationError(text.to_owned());
    let trimmed = text.trim();
    let split = trimmed
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "ms" => return Ok(Duration::from_millis(number)),
        "" | "s" => Some(number),
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(3600),
        _ => None,
    };
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn every_way_to_write_one() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("2s", 2_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("180", 180_000),
            (" 0 ", 0),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_text_and_the_way() {
        for text in [
            "",
            "s",
            "5 m",
            "-1s",
            "1.5s",
            "2d",
            "1h30m",
            "99999999999999999999s",
        ] {
            let refusal = parse_duration(text).unwrap_err().to_string();
            assert!(
                refusal.contains(&format!("`{text}`")) && refusal.contains("500ms"),
                "{refusal}"
            );
        }
        assert!(
            parse_duration(&format!("{}h", u64::MAX)).is_err(),
            "no overflow"
        );
    }
}
