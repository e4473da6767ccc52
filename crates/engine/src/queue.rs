//! Which task a worker takes next, and what is done with a weight when its last task ends.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weightscope_core::{Cancel, Shared, WeightId};

use crate::plan::Task;

/// A task taken from the queue, with what its weights share.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) task: Task,
    pub(crate) shared: Vec<Arc<Shared>>,
}

/// What the queue has for a worker.
#[derive(Debug)]
pub(crate) enum Next {
    /// Something to measure.
    Task(Taken),
    /// Nothing before another task ends: too little memory is free, or a group waits for its members.
    Later,
    /// Nothing any more.
    Never,
}

/// Tasks waiting, and what is known of every weight's progress.
///
/// Single weights go longest first. A task of several weights waits until each of its members that is
/// measured alone is done, and then goes first: their summaries are still there and are freed after it.
///
/// Tasks that fit in the free memory overtake the first one while it does not, but by no more work than it
/// has itself: a large task is not put off to the end, where it would run alone.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    budget: u64,
    threads: usize,
    running: AtomicUsize,
}

#[derive(Debug)]
struct State {
    ready: VecDeque<Task>,
    /// Tasks of several weights with how many members they still wait for, and where each weight occurs.
    waiting: Vec<Option<(usize, Task)>>,
    waiting_for: Vec<Vec<usize>>,
    /// How many of them wait.
    groups: usize,
    /// Work of tasks that overtook the first one that is ready.
    overtook: u64,
    /// Memory of running tasks.
    used: u64,
    running: usize,
    /// What the views of a weight share, while a task needs it.
    shared: Vec<Option<Arc<Shared>>>,
    /// Tasks per weight that still read it, and those whose results are its own.
    readers: Vec<u32>,
    owners: Vec<u32>,
}

impl Queue {
    /// A queue of `tasks` (longest first) over `weights` weights, for so many threads.
    pub(crate) fn new(tasks: Vec<Task>, weights: usize, budget: u64, threads: usize) -> Self {
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
            if let [only] = task.unit.weights[..]
                && let Some(flag) = alone.get_mut(only.0 as usize)
            {
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
            groups: waiting.len(),
            waiting,
            waiting_for,
            overtook: 0,
            used: 0,
            running: 0,
            shared,
            readers,
            owners,
        };
        let running = AtomicUsize::new(0);
        Self { state: Mutex::new(state), changed: Condvar::new(), budget, threads, running }
    }

    /// The next task that fits in memory. Never waits.
    pub(crate) fn take(&self, cancel: &Cancel) -> Next {
        let mut state = self.lock();
        if cancel.is_cancelled() || (state.ready.is_empty() && state.groups == 0) {
            return Next::Never;
        }
        let free = self.budget.saturating_sub(state.used);
        if let Some(task) = state.next_within(free) {
            state.used += task.bytes;
            state.running += 1;
            self.running.store(state.running, Ordering::Relaxed);
            let shared = task.unit.weights.iter().map(|id| state.share(*id)).collect();
            return Next::Task(Taken { task, shared });
        }
        // Tasks above the budget never enter the queue, so one that does not fit waits for another's end.
        if state.running == 0 { Next::Never } else { Next::Later }
    }

    /// Waits until a task ends, but not longer than this.
    pub(crate) fn wait(&self, at_most: Duration) {
        // An end between `take` and here is missed: the time is short.
        drop(self.changed.wait_timeout(self.lock(), at_most));
    }

    /// Threads that a running task may use just now: its own and a fair share, rounded up, of those that run
    /// no task. A helper that is asked for and does not come costs next to nothing.
    pub(crate) fn threads_for_one(&self) -> usize {
        let running = self.running.load(Ordering::Relaxed).max(1);
        1 + self.threads.saturating_sub(running).div_ceil(running)
    }

    /// Ends a task. Returns the weight its results belong to when that was the last such task.
    pub(crate) fn done(&self, task: &Task) -> Option<WeightId> {
        let mut state = self.lock();
        state.used = state.used.saturating_sub(task.bytes);
        state.running -= 1;
        self.running.store(state.running, Ordering::Relaxed);
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
    /// Takes the first task, or while that does not fit, one that does and may overtake it.
    fn next_within(&mut self, free: u64) -> Option<Task> {
        let first = self.ready.front()?;
        if first.bytes <= free {
            self.overtook = 0;
            return self.ready.pop_front();
        }
        let left = first.work.saturating_sub(self.overtook);
        let index = self.ready.iter().position(|t| t.bytes <= free && t.work <= left)?;
        let task = self.ready.remove(index)?;
        self.overtook = self.overtook.saturating_add(task.work);
        Some(task)
    }

    fn share(&mut self, id: WeightId) -> Arc<Shared> {
        match self.shared.get_mut(id.0 as usize) {
            Some(slot) => Arc::clone(slot.get_or_insert_with(Arc::default)),
            None => Arc::default(),
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
                self.groups -= 1;
                self.overtook = 0;
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

    fn task(weights: &[u32], work: u64, bytes: u64) -> Task {
        let unit = UnitSpec { weights: weights.iter().map(|w| WeightId(*w)).collect() };
        Task { unit, analyzers: vec![0], work, stored_bytes: 0, bytes }
    }

    fn queue(tasks: Vec<Task>, budget: u64) -> Queue {
        let weights = tasks.iter().flat_map(|t| &t.unit.weights).map(|id| id.0 as usize + 1);
        let weights = weights.max().unwrap_or(0);
        Queue::new(tasks, weights, budget, 2)
    }

    fn next(queue: &Queue) -> Next {
        queue.take(&Cancel::default())
    }

    fn take(queue: &Queue) -> Taken {
        match next(queue) {
            Next::Task(taken) => taken,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_group_follows_its_last_member() {
        let queue = queue(
            vec![task(&[0], 3, 1), task(&[1], 2, 1), task(&[2], 1, 1), task(&[0, 1], 0, 1)],
            10,
        );
        let (a, b) = (take(&queue), take(&queue));
        assert_eq!(queue.done(&b.task), Some(WeightId(1)));
        assert_eq!(queue.done(&a.task), None, "weight 0 still owns the group");
        let group = take(&queue);
        assert_eq!(group.task.unit.weights.len(), 2);
        assert!(Arc::ptr_eq(&group.shared[0], &a.shared[0]), "members' summaries are reused");
        assert_eq!(queue.done(&group.task), Some(WeightId(0)));
        let last = take(&queue);
        assert_eq!(queue.done(&last.task), Some(WeightId(2)));
        assert!(matches!(next(&queue), Next::Never));
    }

    #[test]
    fn memory_is_never_overcommitted() {
        let queue = queue(vec![task(&[0], 3, 8), task(&[1], 2, 8), task(&[2], 1, 2)], 10);
        let a = take(&queue);
        let c = take(&queue);
        assert_eq!(
            (a.task.bytes, c.task.bytes),
            (8, 2),
            "the second 8 does not fit beside the first"
        );
        assert!(matches!(next(&queue), Next::Later));
        queue.done(&a.task);
        assert_eq!(take(&queue).task.bytes, 8);
        assert!(matches!(next(&queue), Next::Never), "both that are left are running");
    }

    #[test]
    fn a_worker_waits_for_a_group_and_leaves_when_nothing_will_come() {
        let queue = queue(vec![task(&[0], 2, 1), task(&[1], 1, 1), task(&[0, 1], 0, 1)], 10);
        let (a, b) = (take(&queue), take(&queue));
        assert!(matches!(next(&queue), Next::Later), "the group is still to come");
        queue.done(&a.task);
        assert!(matches!(next(&queue), Next::Later));
        queue.done(&b.task);
        let group = take(&queue);
        assert!(matches!(next(&queue), Next::Never));
        queue.done(&group.task);
        let stopped = Cancel::default();
        stopped.cancel();
        assert!(matches!(queue.take(&stopped), Next::Never));
    }

    #[test]
    fn a_large_task_is_overtaken_by_no_more_work_than_its_own() {
        let mut tasks = vec![task(&[0], 100, 8), task(&[1], 90, 8)];
        tasks.extend((2..12).map(|id| task(&[id], 40, 1)));
        let queue = queue(tasks, 10);
        let first = take(&queue);
        let (a, b) = (take(&queue), take(&queue));
        assert_eq!((a.task.work, b.task.work), (40, 40));
        queue.done(&a.task);
        assert!(matches!(next(&queue), Next::Later), "it fits, but 80 of 90 have overtaken");
        queue.done(&b.task);
        queue.done(&first.task);
        assert_eq!(take(&queue).task.work, 90);
    }

    #[test]
    fn idle_threads_are_shared_out() {
        let tasks = (0..5).map(|id| task(&[id], 1, 1)).collect();
        let queue = Queue::new(tasks, 5, 10, 4);
        let mut answers = vec![queue.threads_for_one()];
        let mut taken = Vec::new();
        for _ in 0..4 {
            taken.push(take(&queue));
            answers.push(queue.threads_for_one());
        }
        assert_eq!(answers, [4, 4, 2, 2, 1]);
        for one in &taken[1..] {
            queue.done(&one.task);
        }
        assert_eq!(queue.threads_for_one(), 4);
    }

    /// Random tasks, groups, memory and order of ends: all are measured once, groups after their members,
    /// within the budget, and there is always something to take when nothing runs.
    #[test]
    fn no_task_is_lost() {
        for seed in 0..300u64 {
            let mut state = seed;
            let mut random = |below: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(seed | 1);
                (state >> 33) % below
            };
            let (weights, threads, budget) = (1 + random(20) as u32, 1 + random(6) as usize, 50);
            let mut tasks = Vec::new();
            for id in 0..weights {
                if random(5) > 0 {
                    tasks.push(task(&[id], random(100), random(51)));
                }
            }
            for _ in 0..random(6) {
                let members: Vec<u32> =
                    (0..2 + random(3)).map(|_| random(u64::from(weights)) as u32).collect();
                let mut distinct = members.clone();
                distinct.sort_unstable();
                distinct.dedup();
                if distinct.len() == members.len() {
                    tasks.push(task(&members, random(20), random(51)));
                }
            }
            tasks.sort_by_key(|t| std::cmp::Reverse(t.work));
            let total = tasks.len();
            let single = |id: &WeightId| tasks.iter().any(|t| t.unit.weights[..] == [*id]);
            let alone: Vec<bool> = (0..weights).map(|id| single(&WeightId(id))).collect();
            let queue = Queue::new(tasks.clone(), weights as usize, budget, threads);
            let (mut running, mut ended, mut last) = (Vec::new(), 0, 0);
            let mut is_done = vec![false; weights as usize];
            loop {
                while running.len() < threads
                    && let Next::Task(taken) = next(&queue)
                {
                    if taken.task.unit.weights.len() > 1 {
                        let mut members = taken.task.unit.weights.iter().map(|id| id.0 as usize);
                        assert!(members.all(|id| is_done[id] || !alone[id]));
                    }
                    running.push(taken);
                }
                let used: u64 = running.iter().map(|t: &Taken| t.task.bytes).sum();
                assert!(used <= budget);
                if running.is_empty() {
                    break;
                }
                let taken = running.swap_remove(random(running.len() as u64) as usize);
                if let [only] = taken.task.unit.weights[..] {
                    is_done[only.0 as usize] = true;
                }
                last += usize::from(queue.done(&taken.task).is_some());
                ended += 1;
            }
            assert_eq!(ended, total, "seed {seed}");
            assert!(matches!(next(&queue), Next::Never));
            let mut owners: Vec<_> = tasks.iter().map(|t| t.unit.weights[0]).collect();
            owners.sort_unstable();
            owners.dedup();
            assert_eq!(last, owners.len(), "each weight is finished once");
        }
    }
}
