//! Whole scans of made-up work: nothing is lost, memory is kept to, idle threads help, progress adds up.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use weightscope_core::{
    AnalyzeError, Analyzer, Cancel, Confidence, Cost, DType, Descriptor, EntryId, Event, Layout,
    MemorySource, MetricSpec, ModelGraph, Output, Part, Report, Role, Settings, Status, Unit,
    UnitSpec, Weight, WeightId, WeightStatus, summary_work,
};
use weightscope_engine::{JournalFile, RunOptions, scan};

/// A model of `count` weights of different sizes.
fn model(count: u64) -> (MemorySource, ModelGraph) {
    let (mut source, mut graph) = (MemorySource::default(), ModelGraph::default());
    for id in 0..count {
        let (rows, columns) = (3 + id % 7, 5 + id % 11);
        let name = format!("w{id}");
        let bytes = (0..rows * columns * 2).map(|i| (i * 7 % 61) as u8).collect();
        source.push(&name, DType::BF16, &[rows, columns], bytes).unwrap();
        graph.weights.push(Weight {
            name: name.clone(),
            entry: EntryId(id as u32),
            source_tensor: name,
            role: Role::Other,
            part: Part::Weight,
            stack: None,
            block: None,
            expert: None,
            dtype: Some(DType::BF16),
            shape: vec![rows, columns],
            layout: Layout::whole(rows, columns),
            matrix: Some([rows, columns]),
            transposed: false,
            heads: None,
            fused: Vec::new(),
            from_one: false,
            factor: None,
            confidence: Confidence::Known,
        });
    }
    (source, graph)
}

fn options(threads: usize, memory: u64) -> RunOptions {
    RunOptions { threads, memory, timings: false, ..RunOptions::default() }
}

/// What a run told.
#[derive(Debug, Default, PartialEq)]
struct Told {
    weights: u64,
    resumed: u64,
    /// Announced and told.
    work: [u64; 2],
    bytes: [u64; 2],
    finished: u64,
}

impl Told {
    fn observe(&mut self, event: Event<'_>) {
        match event {
            Event::Started { weights, bytes, work, resumed } => {
                (self.weights, self.resumed) = (weights, resumed);
                (self.work[0], self.bytes[0]) = (work, bytes);
            }
            Event::Progress { bytes, work } => {
                self.bytes[1] += bytes;
                self.work[1] += work;
                assert!(self.work[1] <= self.work[0] && self.bytes[1] <= self.bytes[0]);
            }
            Event::Finished { .. } => self.finished += 1,
            _ => {}
        }
    }

    fn is_exact(&self) -> bool {
        self.work[0] == self.work[1]
            && self.bytes[0] == self.bytes[1]
            && self.finished == self.weights
    }
}

fn run(analyzer: &dyn Analyzer, count: u64, options: &RunOptions) -> (Report, Told) {
    let (source, graph) = model(count);
    let mut told = Told::default();
    let report = scan(&source, &graph, &[analyzer], &Settings::default(), options, &mut |event| {
        told.observe(event);
    });
    (report.unwrap(), told)
}

static METRICS: [MetricSpec; 1] = [MetricSpec::new("sum", "", "A sum.")];
static FAKE: Descriptor = Descriptor {
    id: "fake",
    version: 1,
    summary: "Made up",
    metrics: &METRICS,
    ..Descriptor::EMPTY
};

/// Random costs, groups, failures and parallel sections.
#[derive(Debug)]
struct Fake {
    seed: u64,
    budget: u64,
    threads: usize,
    used: AtomicU64,
    over: AtomicBool,
    seen: Mutex<Vec<Vec<WeightId>>>,
}

impl Fake {
    fn new(seed: u64, budget: u64, threads: usize) -> Self {
        let (used, over, seen) = (AtomicU64::new(0), AtomicBool::new(false), Mutex::default());
        Self { seed, budget, threads, used, over, seen }
    }

    /// A number that depends on the unit alone.
    fn random(&self, unit: &[WeightId], salt: u64, below: u64) -> u64 {
        let mut hash = self.seed ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for id in unit {
            hash = (hash ^ u64::from(id.0)).wrapping_mul(0x2545_f491_4f6c_dd1d).rotate_left(29);
        }
        (hash >> 16) % below
    }

    fn scratch(&self, unit: &[WeightId]) -> u64 {
        self.random(unit, 1, self.budget - (1 << 20))
    }
}

/// The sum of 0..n in pieces.
fn sum(range: std::ops::Range<u64>) -> u64 {
    let length = range.end - range.start;
    if length <= 64 {
        return range.map(std::hint::black_box).sum();
    }
    let middle = range.start + length / 2;
    let (a, b) = rayon::join(|| sum(range.start..middle), || sum(middle..range.end));
    a + b
}

impl Analyzer for Fake {
    fn descriptor(&self) -> &Descriptor {
        &FAKE
    }

    fn units(&self, graph: &ModelGraph) -> Vec<UnitSpec> {
        let count = graph.weights.len() as u32;
        let mut units: Vec<UnitSpec> = (0..count)
            .map(|id| UnitSpec { weights: vec![WeightId(id)] })
            .filter(|unit| self.random(&unit.weights, 2, 6) > 0)
            .collect();
        for id in (0..count.saturating_sub(3)).step_by(4) {
            units
                .push(UnitSpec { weights: vec![WeightId(id), WeightId(id + 2), WeightId(id + 3)] });
        }
        units
    }

    fn cost(&self, unit: &UnitSpec, _: &ModelGraph) -> Cost {
        let work = self.random(&unit.weights, 3, 10_000) as f64 + 0.5;
        Cost { work, scratch_bytes: self.scratch(&unit.weights) }
    }

    fn analyze(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
        let ids: Vec<WeightId> =
            unit.views().iter().map(|v| WeightId(v.weight().entry.0)).collect();
        let mine = self.scratch(&ids);
        if self.used.fetch_add(mine, Ordering::SeqCst) + mine > self.budget {
            self.over.store(true, Ordering::SeqCst);
        }
        let threads = unit.threads();
        if threads < 1 || threads > self.threads {
            self.over.store(true, Ordering::SeqCst);
        }
        let terms = self.random(&ids, 4, 40_000);
        unit.advance(3000.7)?;
        let sum = sum(0..terms);
        unit.advance(f64::from(u32::try_from(self.random(&ids, 5, 20_000)).unwrap()))?;
        if self.random(&ids, 6, 2) == 0 {
            unit.first().summary()?;
        }
        self.used.fetch_sub(mine, Ordering::SeqCst);
        self.seen.lock().unwrap().push(ids.clone());
        match self.random(&ids, 7, 9) {
            0 => Err(AnalyzeError::Other("made up".into())),
            1 => panic!("made up"),
            _ => {
                out.metric("sum", sum as f64);
                Ok(())
            }
        }
    }
}

#[test]
fn random_work_is_done_once_within_memory_and_told_exactly() {
    std::panic::set_hook(Box::new(|_| {}));
    let budget = 64 << 20;
    for seed in 0..24 {
        let mut first: Option<(Report, Told)> = None;
        for threads in [1, 2, 3, 8] {
            let fake = Fake::new(seed, budget, threads);
            let (report, told) = run(&fake, 40, &options(threads, budget));
            assert!(!fake.over.load(Ordering::SeqCst), "seed {seed}, {threads} threads");
            assert!(told.is_exact(), "seed {seed}, {threads} threads: {told:?}");
            let mut seen = fake.seen.lock().unwrap().clone();
            let all = seen.len();
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), all, "something was measured twice");
            let (_, graph) = model(40);
            assert_eq!(all, fake.units(&graph).len());
            match &first {
                None => first = Some((report, told)),
                Some(first) => {
                    assert!(first.0 == report, "{threads} threads change the report");
                    assert_eq!(first.1, told);
                }
            }
        }
    }
    let _ = std::panic::take_hook();
}

#[test]
fn work_that_was_announced_is_the_analyzers_and_each_summary_once() {
    let fake = Fake::new(3, 64 << 20, 2);
    let (_, graph) = model(40);
    let units = fake.units(&graph);
    let own: u64 = units.iter().map(|u| fake.cost(u, &graph).work as u64).sum();
    let read: BTreeSet<WeightId> = units.iter().flat_map(|u| u.weights.clone()).collect();
    let weights = || read.iter().map(|id| &graph.weights[id.0 as usize]);
    let summaries: f64 = weights().map(summary_work).sum();
    let (_, told) = run(&fake, 40, &options(2, 64 << 20));
    assert_eq!(told.work[0], own + summaries as u64);
    assert_eq!(told.bytes[0], weights().map(|w| w.elements() * 2).sum::<u64>());
}

/// Waits until both sides of a join run at the same time; false when they do not within ten seconds.
fn meet() -> bool {
    let flags = [AtomicBool::new(false), AtomicBool::new(false)];
    let side = |mine: usize| {
        flags[mine].store(true, Ordering::SeqCst);
        let begun = Instant::now();
        while !flags[1 - mine].load(Ordering::SeqCst) {
            if begun.elapsed() > Duration::from_secs(10) {
                return false;
            }
            std::thread::yield_now();
        }
        true
    };
    let (a, b) = rayon::join(|| side(0), || side(1));
    a && b
}

/// Every unit needs a helper and more than half of the memory, so that one runs at a time.
#[derive(Debug, Default)]
struct Alone {
    threads: Mutex<Vec<usize>>,
    ran_on: Mutex<BTreeSet<Option<usize>>>,
    helped: bool,
}

impl Analyzer for Alone {
    fn descriptor(&self) -> &Descriptor {
        &FAKE
    }

    fn cost(&self, _: &UnitSpec, _: &ModelGraph) -> Cost {
        Cost { work: 1e6, scratch_bytes: 40 << 20 }
    }

    fn analyze(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
        self.threads.lock().unwrap().push(unit.threads());
        let mut ran_on = vec![rayon::current_thread_index()];
        ran_on.push(rayon::join(rayon::current_thread_index, || ()).0);
        self.ran_on.lock().unwrap().extend(ran_on);
        if self.helped {
            out.metric("sum", f64::from(u8::from(meet())));
        }
        Ok(())
    }
}

#[test]
fn who_finds_no_room_helps_who_is_running() {
    let alone = Alone { helped: true, ..Alone::default() };
    let (report, told) = run(&alone, 6, &options(2, 64 << 20));
    assert!(told.is_exact());
    assert_eq!(*alone.threads.lock().unwrap(), [2; 6]);
    for weight in &report.weights {
        let spread = weight.analyses["fake"]["sum"].as_f64();
        assert!(spread == Some(1.0), "{} had no help", weight.name);
    }
}

#[test]
fn one_thread_is_one_thread() {
    let alone = Alone::default();
    run(&alone, 6, &options(1, 1 << 30));
    assert_eq!(*alone.threads.lock().unwrap(), [1; 6]);
    assert_eq!(*alone.ran_on.lock().unwrap(), BTreeSet::from([Some(0)]));
}

/// The third unit stops the run halfway.
#[derive(Debug)]
struct Stops {
    cancel: Option<Cancel>,
    begun: AtomicU64,
}

impl Analyzer for Stops {
    fn descriptor(&self) -> &Descriptor {
        &FAKE
    }

    fn cost(&self, _: &UnitSpec, _: &ModelGraph) -> Cost {
        Cost { work: 1000.0, scratch_bytes: 0 }
    }

    fn analyze(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
        unit.advance(600.0)?;
        if let Some(cancel) = &self.cancel
            && self.begun.fetch_add(1, Ordering::SeqCst) == 2
        {
            cancel.cancel();
        }
        unit.advance(100.0)?;
        if self.cancel.is_some() && unit.first().weight().name == "w3" {
            return Err(AnalyzeError::Other("made up".into()));
        }
        out.metric("sum", 1.0);
        Ok(())
    }
}

#[test]
fn stopped_and_resumed_runs_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let options = |path: &Path, cancel: &Cancel, resume| RunOptions {
        cancel: cancel.clone(),
        journal: Some(JournalFile { path: path.to_owned(), resume }),
        ..options(1, 1 << 30)
    };
    let path = folder.path().join("journal");
    let cancel = Cancel::default();
    let stops = Stops { cancel: Some(cancel.clone()), begun: AtomicU64::new(0) };
    let (report, stopped) = run(&stops, 8, &options(&path, &cancel, false));
    assert_eq!(report.status, Status::Interrupted);
    assert_eq!((stopped.weights, stopped.finished), (8, 2));
    assert!(stopped.work[1] < stopped.work[0]);

    let goes_on = Stops { cancel: None, begun: AtomicU64::new(0) };
    let (report, resumed) = run(&goes_on, 8, &options(&path, &Cancel::default(), true));
    let failed = 2 - resumed.resumed;
    assert_eq!(resumed.weights, 6 + failed, "a weight that failed is tried again");
    assert!(resumed.is_exact());
    assert!(report.weights.iter().all(|w| w.status == WeightStatus::Ok));
    // What was done in the first run: finished tasks whole, and 700 of the third one.
    let (_, graph) = model(8);
    let whole: u64 = graph.weights.iter().map(|w| 1000 + summary_work(w) as u64).sum();
    assert_eq!(stopped.work[0], whole);
    if failed == 0 {
        assert_eq!(stopped.work[1] - 700 + resumed.work[1], whole);
    }
}

#[test]
fn a_weight_without_room_is_neither_announced_nor_told() {
    let alone = Alone::default();
    let (report, told) = run(&alone, 3, &options(2, 20 << 20));
    assert_eq!(told, Told::default());
    assert!(report.weights.iter().all(|w| w.status == WeightStatus::Skipped));
}
