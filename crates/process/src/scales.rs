//! Queues are bounded by bytes as well as by number: one message may bring a
//! megabyte of text.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Weighs what waits; clones share what is on the scales.
#[derive(Debug, Clone)]
pub struct Scales {
    load: Arc<AtomicUsize>,
    most: usize,
}

/// The weight of one thing that waits, taken off the scales when it is dropped.
#[derive(Debug)]
pub struct Weight {
    scales: Scales,
    bytes: usize,
}

impl Scales {
    /// Scales that bear so many bytes.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            load: Arc::default(),
            most,
        }
    }

    /// Puts so many bytes on the scales; none if they are too much.
    #[must_use]
    pub fn weigh(&self, bytes: usize) -> Option<Weight> {
        let before = self.load.fetch_add(bytes, Ordering::Relaxed);
        let weight = Weight {
            scales: self.clone(),
            bytes,
        };
        (before + bytes <= self.most).then_some(weight)
    }

    /// Bytes on the scales now.
    #[must_use]
    pub fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }
}

impl Weight {
    /// Puts so many bytes more on the scales; false if they are too much.
    #[must_use]
    pub fn add(&mut self, bytes: usize) -> bool {
        let before = self.scales.load.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > self.scales.most {
            self.scales.load.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.bytes += bytes;
        true
    }

    /// In bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.scales.load.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_too_much_is_refused_until_something_leaves() {
        let scales = Scales::new(64);
        let first = scales.weigh(40).unwrap();
        assert!(scales.weigh(40).is_none());
        assert!(scales.weigh(1).is_some());
        drop(first);
        let mut grows = scales.weigh(40).unwrap();
        assert!(grows.add(24) && !grows.add(1));
        assert_eq!((grows.bytes(), scales.load()), (64, 64));
        drop(grows);
        assert_eq!(scales.load(), 0);
    }
}
