//! The queue is bounded by bytes as well as by number: a beat may bring a
//! megabyte of text.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use candor_kernel::Beat;

/// Bytes of text in beats that wait, about.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// What a beat takes without its texts, about.
const EMPTY: usize = 512;

/// Weighs beats; clones share what is on the scales.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scales(Arc<AtomicUsize>);

/// The weight of one beat, taken off the scales when it is dropped.
#[derive(Debug)]
pub(crate) struct Weight {
    scales: Scales,
    bytes: usize,
}

impl Scales {
    /// Puts a beat on the scales; none if it is too much.
    pub(crate) fn weigh(&self, beat: &Beat) -> Option<Weight> {
        let texts = [
            beat.sample_error.as_ref(),
            beat.current_task.as_ref(),
            beat.runtime_state.as_ref().map(|state| &state.0),
        ];
        let metadata = beat.runtime_metadata.iter();
        let names = metadata.flat_map(|metadata| metadata.capabilities.keys());
        let bytes = texts.into_iter().flatten().chain(names).map(String::len);
        let bytes = EMPTY + bytes.sum::<usize>();
        let before = self.0.fetch_add(bytes, Ordering::Relaxed);
        let weight = Weight {
            scales: self.clone(),
            bytes,
        };
        (before + bytes <= MOST_BYTES).then_some(weight)
    }
}

impl Weight {
    /// In bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.scales.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_too_much_is_refused_until_something_leaves() {
        let scales = Scales::default();
        let heavy = Beat {
            current_task: Some("x".repeat(40 * 1024 * 1024)),
            ..Beat::default()
        };
        let first = scales.weigh(&heavy).unwrap();
        assert!(scales.weigh(&heavy).is_none());
        assert!(scales.weigh(&Beat::default()).is_some());
        drop(first);
        assert!(scales.weigh(&heavy).is_some());
        assert_eq!(scales.0.load(Ordering::Relaxed), 0);
    }
}
