//! How far a run has come.

use std::sync::atomic::{AtomicU64, Ordering};

use weightscope_core::Host;

use crate::plan::Task;
use crate::queue::Queue;

/// Work done and bytes read by all tasks, for whoever draws progress.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    pub(crate) work: AtomicU64,
    pub(crate) bytes: AtomicU64,
}

/// One task's part of the meter, and its host while it runs.
#[derive(Debug)]
pub(crate) struct Running<'a> {
    queue: &'a Queue,
    work: Share<'a>,
    bytes: Share<'a>,
}

impl<'a> Running<'a> {
    pub(crate) fn new(task: &Task, meter: &'a Meter, queue: &'a Queue) -> Self {
        let share = |total, size| Share { total, size, told: AtomicU64::new(0) };
        Self {
            queue,
            work: share(&meter.work, task.work),
            bytes: share(&meter.bytes, task.stored_bytes),
        }
    }

    /// Tells what the task did not tell while it ran.
    pub(crate) fn complete(&self) {
        self.work.add(u64::MAX);
        self.bytes.add(u64::MAX);
    }
}

impl Host for Running<'_> {
    fn threads(&self) -> usize {
        self.queue.threads_for_one()
    }

    fn advance(&self, work: f64) {
        // Negative numbers and NaN become 0.
        self.work.add(work as u64);
    }

    fn cover(&self, bytes: u64) {
        self.bytes.add(bytes);
    }
}

/// A part of a total, of which no more is told than it has.
#[derive(Debug)]
struct Share<'a> {
    total: &'a AtomicU64,
    size: u64,
    told: AtomicU64,
}

impl Share<'_> {
    fn add(&self, amount: u64) {
        let now = |told: u64| told.saturating_add(amount).min(self.size);
        let (Ok(told) | Err(told)) =
            self.told.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |told| Some(now(told)));
        self.total.fetch_add(now(told) - told, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_told_once_whoever_tells() {
        let total = AtomicU64::new(5);
        let share = Share { total: &total, size: 1000, told: AtomicU64::new(0) };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..300).for_each(|_| share.add(1)));
            }
        });
        assert_eq!(total.load(Ordering::Relaxed), 1005);
        share.add(u64::MAX);
        assert_eq!(total.load(Ordering::Relaxed), 1005);
    }
}
