//! Which task a worker takes next, and what is done with a weight when its last task ends.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use weightscope_core::{Cancel, Shared, WeightId};

use crate::plan::Task;

/// A task taken from the queue, with what its weights share.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) task: Task,
    pub(crate) shared: Vec<Arc<Shared>>,
}

/// Tasks waiting, and what is known of every weight's progress.
///
/// Single weights go longest first. A task of several weights waits until each of its members that is
/// measured alone is done, and then goes first: their summaries are still there and are freed after it.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    budget: u64,
}

#[derive(Debug)]
struct State {
    ready: VecDeque<Task>,
    /// Tasks of several weights with how many members they still wait for, and where each weight occurs.
    waiting: Vec<Option<(usize, Task)>>,
    waiting_for: Vec<Vec<usize>>,
    /// Memory of running tasks.
    used: u64,
    running: usize,
    /// What the views of a weight share, while a task needs it.
    shared: Vec<Option<Arc<Shared>>>,
    /// Tasks per weight that still read it, and those whose results are its own.
    readers: Vec<u32>,
    owners: Vec<u32>,
    covered: Arc<AtomicU64>,
}

impl Queue {
    /// A queue of `tasks` (longest first) over `weights` weights.
    pub(crate) fn new(
        tasks: Vec<Task>,
        weights: usize,
        budget: u64,
        covered: Arc<AtomicU64>,
    ) -> Self {
        let mut readers = vec![0u32; weights];
        let mut owners = vec![0u32; weights];
        let mut alone = vec![false; weights];
        for task in &tasks {
            for id in &task.unit.weights {
                bump(&mut readers, *id);
            }
            if let Some(first) = task.unit.weights.first() {
                bump(&mut owners, *first);
            }
            if let ([only], Some(flag)) = (
                &task.unit.weights[..],
                task.unit.weights.first().and_then(|id| alone.get_mut(id.0 as usize)),
            ) {
                let _ = only;
                *flag = true;
            }
        }
        let is_alone = |id: &WeightId| alone.get(id.0 as usize).copied().unwrap_or(false);
        let (mut ready, mut waiting) = (VecDeque::new(), Vec::new());
        let mut waiting_for = vec![Vec::new(); weights];
        for task in tasks {
            let members = task.unit.weights.iter().filter(|id| is_alone(id)).count();
            if task.unit.weights.len() > 1 && members > 0 {
                for id in task.unit.weights.iter().filter(|id| is_alone(id)) {
                    if let Some(places) = waiting_for.get_mut(id.0 as usize) {
                        places.push(waiting.len());
                    }
                }
                waiting.push(Some((members, task)));
            } else {
                ready.push_back(task);
            }
        }
        let shared = (0..weights).map(|_| None).collect();
        let state = State {
            ready,
            waiting,
            waiting_for,
            used: 0,
            running: 0,
            shared,
            readers,
            owners,
            covered,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), budget }
    }

    /// The next task that fits in memory; waits for one, and returns `None` when none will come.
    pub(crate) fn take(&self, cancel: &Cancel) -> Option<Taken> {
        let mut state = self.lock();
        loop {
            if cancel.is_cancelled() {
                return None;
            }
            let free = self.budget.saturating_sub(state.used);
            let fits = state.ready.iter().position(|task| task.bytes <= free);
            if let Some(task) = fits.and_then(|index| state.ready.remove(index)) {
                state.used += task.bytes;
                state.running += 1;
                let shared = task.unit.weights.iter().map(|id| state.share(*id)).collect();
                return Some(Taken { task, shared });
            }
            // Tasks above the budget never enter the queue, so one that does not fit waits for another's end.
            if state.running == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends a task. Returns the weight its results belong to when that was the last such task.
    pub(crate) fn done(&self, task: &Task) -> Option<WeightId> {
        let mut state = self.lock();
        state.used = state.used.saturating_sub(task.bytes);
        state.running -= 1;
        if let [only] = task.unit.weights[..] {
            state.release_waiting(only);
        }
        for id in &task.unit.weights {
            state.end_reader(*id);
        }
        self.changed.notify_all();
        let first = *task.unit.weights.first()?;
        let left = state.owners.get_mut(first.0 as usize)?;
        *left -= 1;
        (*left == 0).then_some(first)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while holding the lock; even so, the state would be consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn share(&mut self, id: WeightId) -> Arc<Shared> {
        let covered = Arc::clone(&self.covered);
        let fresh = || Arc::new(Shared::counting(covered));
        match self.shared.get_mut(id.0 as usize) {
            Some(slot) => Arc::clone(slot.get_or_insert_with(fresh)),
            None => fresh(),
        }
    }

    /// Moves tasks of several weights to the front when `done` was the last member they waited for.
    fn release_waiting(&mut self, done: WeightId) {
        let places =
            self.waiting_for.get_mut(done.0 as usize).map(std::mem::take).unwrap_or_default();
        for place in places {
            let Some(slot) = self.waiting.get_mut(place) else { continue };
            if let Some((members, _)) = slot {
                *members -= 1;
            }
            if let Some((_, task)) = slot.take_if(|(members, _)| *members == 0) {
                self.ready.push_front(task);
            }
        }
    }

    /// Frees what the views of a weight share when no task will read it again.
    fn end_reader(&mut self, id: WeightId) {
        if let (Some(left), Some(slot)) =
            (self.readers.get_mut(id.0 as usize), self.shared.get_mut(id.0 as usize))
        {
            *left -= 1;
            if *left == 0 {
                *slot = None;
            }
        }
    }
}

fn bump(counts: &mut [u32], id: WeightId) {
    if let Some(count) = counts.get_mut(id.0 as usize) {
        *count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weightscope_core::UnitSpec;

    fn task(weights: &[u32], work: f64, bytes: u64) -> Task {
        let unit = UnitSpec { weights: weights.iter().map(|w| WeightId(*w)).collect() };
        Task { unit, analyzers: vec![0], work, bytes }
    }

    fn take(queue: &Queue) -> Taken {
        queue.take(&Cancel::default()).unwrap()
    }

    #[test]
    fn a_group_follows_its_last_member() {
        let tasks =
            vec![task(&[0], 3.0, 1), task(&[1], 2.0, 1), task(&[2], 1.0, 1), task(&[0, 1], 0.5, 1)];
        let queue = Queue::new(tasks, 3, 10, Arc::default());
        let (a, b) = (take(&queue), take(&queue));
        assert_eq!(queue.done(&b.task), Some(WeightId(1)));
        assert_eq!(queue.done(&a.task), None, "weight 0 still owns the group");
        let group = take(&queue);
        assert_eq!(group.task.unit.weights.len(), 2);
        assert!(Arc::ptr_eq(&group.shared[0], &a.shared[0]), "members' summaries are reused");
        assert_eq!(queue.done(&group.task), Some(WeightId(0)));
        let last = take(&queue);
        assert_eq!(queue.done(&last.task), Some(WeightId(2)));
        assert!(queue.take(&Cancel::default()).is_none());
    }

    #[test]
    fn memory_is_never_overcommitted() {
        let queue = Queue::new(
            vec![task(&[0], 3.0, 8), task(&[1], 2.0, 8), task(&[2], 1.0, 2)],
            3,
            10,
            Arc::default(),
        );
        let a = take(&queue);
        let c = take(&queue);
        assert_eq!(
            (a.task.bytes, c.task.bytes),
            (8, 2),
            "the second 8 does not fit beside the first"
        );
        queue.done(&a.task);
        assert_eq!(take(&queue).task.bytes, 8);
    }
}
