//! When background work last ran, for operators.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;

/// The last turn of each background task of this process; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Ticks(Arc<Mutex<BTreeMap<&'static str, DateTime<Utc>>>>);

impl Ticks {
    /// Says that a task just had a turn that went well.
    pub fn tick(&self, name: &'static str) {
        self.0.lock().insert(name, Utc::now());
    }

    /// Every task that ever had one.
    #[must_use]
    pub fn all(&self) -> BTreeMap<&'static str, DateTime<Utc>> {
        self.0.lock().clone()
    }
}
