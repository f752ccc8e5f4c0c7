//! Level-triggered, bounded waiting.

use std::future::Future;
use std::time::{Duration, Instant};

/// How often a condition is asked for.
const POLL: Duration = Duration::from_millis(10);

/// The condition did not hold within the time it was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("gave up after {within:?} waiting for {what}")]
pub struct TimedOut {
    /// What was waited for.
    pub what: String,
    /// How long.
    pub within: Duration,
}

/// Asks `probe` until it answers `Some`, at most for `within`.
///
/// # Errors
/// [`TimedOut`], naming `what`, when the deadline passes first.
pub async fn wait_for<T, F, Fut>(what: &str, within: Duration, mut probe: F) -> Result<T, TimedOut>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + within;
    loop {
        if let Some(value) = probe().await {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            return Err(TimedOut {
                what: what.to_owned(),
                within,
            });
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Asks `condition` until it is true, at most for `within`; false when it never
/// was.
pub async fn wait_until<F>(within: Duration, mut condition: F) -> bool
where
    F: FnMut() -> bool,
{
    wait_for("a condition", within, || {
        let held = condition();
        async move { held.then_some(()) }
    })
    .await
    .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn gives_up_and_names_what_it_waited_for() {
        let never = wait_for("godot", Duration::from_millis(30), || async { None::<()> }).await;
        assert_eq!(
            never.err().map(|gave_up| gave_up.what),
            Some("godot".into())
        );
    }

    #[tokio::test]
    async fn returns_as_soon_as_the_condition_holds() {
        let mut asked = 0;
        let held = wait_until(Duration::from_secs(5), || {
            asked += 1;
            asked == 3
        })
        .await;
        assert!(held);
        assert_eq!(asked, 3);
    }
}
