//! One scan from plan to report.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use rayon::{ThreadPool, ThreadPoolBuilder, Yield};
use weightscope_core::{
    AnalyzeError, Analyzer, Cancel, ErrorRecord, ErrorScope, Event, Figure, Key, ModelGraph,
    Output, Report, SIBLINGS, Settings, Status, StoredRecord, TensorEntry, TensorSource, Timings,
    ToolRecord, Unit, Weight, WeightId, WeightRecord, WeightStatus, WeightView,
};

use crate::JournalError;
use crate::finish::Measured;
use crate::identity;
use crate::journal::{Finished, Header, Journal, VERSION};
use crate::meter::{Meter, Running};
use crate::plan::{Plan, Task, arrange, globs};
use crate::portray::Studio;
use crate::queue::{Next, Queue, Taken};

/// How to run, as opposed to what: nothing here changes a number.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Worker threads; 0 for one per core.
    pub threads: usize,
    /// Peak scratch memory of all workers together, in bytes.
    pub memory: u64,
    /// Asks the scan to stop; what was measured is kept.
    pub cancel: Cancel,
    /// Where to keep finished weights until the report is written.
    pub journal: Option<JournalFile>,
    /// How many weights are drawn whole, see [`weightscope_core::portraits`]; each is read once more.
    pub portraits: usize,
    /// Whether the report says how long it took.
    pub timings: bool,
    /// Who writes the report.
    pub tool: ToolRecord,
}

impl Default for RunOptions {
    fn default() -> Self {
        let tool = ToolRecord {
            name: "weightscope".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let (cancel, memory) = (Cancel::default(), crate::default_budget());
        Self { threads: 0, memory, cancel, journal: None, portraits: 0, timings: true, tool }
    }
}

/// A journal to write, and whether to take over what it has.
#[derive(Clone, Debug)]
pub struct JournalFile {
    /// Its path.
    pub path: PathBuf,
    /// Whether to resume; otherwise an old journal is replaced.
    pub resume: bool,
}

impl JournalFile {
    /// The journal of a part of a model of several: beside this one, with the part in its name.
    #[must_use]
    pub fn of_part(&self, part: &str) -> Self {
        if part.is_empty() {
            return self.clone();
        }
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".");
        name.push(part.replace(['/', '\\'], "."));
        Self { path: self.path.with_file_name(name), resume: self.resume }
    }
}

/// Why a scan could not run at all.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A glob is malformed.
    #[error("glob \"{pattern}\": {message}")]
    Glob {
        /// The glob.
        pattern: String,
        /// What is wrong with it.
        message: String,
    },
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The worker threads could not be started.
    #[error("cannot start worker threads: {0}")]
    Threads(String),
}

/// Progress is told this often.
const TICK: Duration = Duration::from_millis(100);

/// How long a worker without a task rests between looks for a task or for a piece of another's work: at
/// first, and when there was nothing for a while.
const REST: [Duration; 2] = [Duration::from_micros(50), Duration::from_millis(1)];

/// Measures every chosen weight with every analyzer and judges the result.
///
/// * `settings`: `include`, `exclude`, `ignore`, `series`, `split_fused` and changed `parameters` are the
///   caller's; the analyzers and all parameter values are filled in here.
/// * `observe` is called on the calling thread, in order.
/// * The report is complete, partial (its `errors` say why) or interrupted; only what prevents any
///   measuring is an error.
///
/// # Errors
/// [`EngineError`] for a malformed glob, an unusable journal, or when threads cannot be started.
pub fn scan(
    source: &dyn TensorSource,
    graph: &ModelGraph,
    analyzers: &[&dyn Analyzer],
    settings: &Settings,
    options: &RunOptions,
    observe: &mut dyn FnMut(Event<'_>),
) -> Result<Report, EngineError> {
    let started = Instant::now();
    let settings = complete(settings, analyzers);
    let plan = Plan::new(graph, analyzers, &settings.include, &settings.exclude)?;
    // Judging would take a malformed one for a name: better to say so before hours of measuring.
    let ignored: Vec<String> = settings.ignore.iter().map(|rule| rule.weight.clone()).collect();
    globs(&ignored)?;
    let pool = ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .thread_name(|index| format!("weightscope-{index}"))
        .build()
        .map_err(|cause| EngineError::Threads(cause.to_string()))?;

    let mut measured = Measured::new(graph, source, &plan);
    let mut journal = None;
    if let Some(file) = &options.journal {
        let sources = source.sources();
        let fingerprints: Vec<&str> = sources.iter().map(|m| m.fingerprint.as_str()).collect();
        let header = Header {
            journal: VERSION,
            tool: options.tool.clone(),
            settings: settings.clone(),
            source: format!("{}content {:032x}", fingerprints.join(" "), identity::sample(source)),
        };
        let (opened, done) = if file.resume {
            Journal::resume(&file.path, &header)?
        } else {
            (Journal::create(&file.path, &header)?, Vec::new())
        };
        journal = Some(opened);
        measured.take_over(done);
    }
    let mut rounds =
        Rounds { source, graph, settings: &settings, options, pool: &pool, measured, journal };
    let total_bytes = rounds.run(1, analyzers, plan.tasks, observe)?;
    let records = rounds.measured.records();
    let follow =
        |analyzer: &&dyn Analyzer| analyzer.follow_up(graph, &records, &settings.parameters);
    let follow_ups: Vec<Box<dyn Analyzer>> = analyzers.iter().filter_map(follow).collect();
    if !follow_ups.is_empty() {
        let follow_ups: Vec<&dyn Analyzer> = follow_ups.iter().map(AsRef::as_ref).collect();
        let plan = Plan::new(graph, &follow_ups, &settings.include, &settings.exclude)?;
        rounds.run(2, &follow_ups, plan.tasks, observe)?;
    }

    observe(Event::Judging);
    let measured = rounds.measured;
    let mut report = measured.into_report(analyzers, settings.clone(), options);
    if options.portraits > 0 && report.status != Status::Interrupted {
        let studio = Studio { source, graph, analyzers, cancel: &options.cancel };
        pool.install(|| studio.portray(&mut report, options.portraits));
        if options.cancel.is_cancelled() {
            report.status = Status::Interrupted;
        } else if !report.errors.is_empty() {
            report.status = Status::Partial;
        }
    }
    report.timings = options.timings.then(|| Timings {
        seconds: started.elapsed().as_secs_f64(),
        bytes: total_bytes,
        threads: pool.current_num_threads() as u64,
    });
    Ok(report)
}

/// The settings with every analyzer and every parameter's value.
fn complete(settings: &Settings, analyzers: &[&dyn Analyzer]) -> Settings {
    let mut settings = settings.clone();
    let chosen = std::mem::take(&mut settings.parameters);
    for analyzer in analyzers {
        let descriptor = analyzer.descriptor();
        settings.analyzers.insert(Key::Borrowed(descriptor.id), descriptor.version);
    }
    for descriptor in analyzers.iter().map(|a| a.descriptor()).chain([&SIBLINGS]) {
        for spec in descriptor.parameters {
            settings.parameters.set(descriptor.id, spec.key, chosen.value(descriptor.id, spec));
        }
    }
    settings
}

/// Rounds of measuring: what the analyzers want first, then their follow-ups.
struct Rounds<'a> {
    source: &'a dyn TensorSource,
    graph: &'a ModelGraph,
    settings: &'a Settings,
    options: &'a RunOptions,
    pool: &'a ThreadPool,
    measured: Measured<'a>,
    journal: Option<Journal>,
}

impl Rounds<'_> {
    /// Runs the tasks of one round, numbered from 1, and takes their results; the stored bytes that they read.
    fn run(
        &mut self,
        round: u32,
        analyzers: &[&dyn Analyzer],
        tasks: Vec<Task>,
        observe: &mut dyn FnMut(Event<'_>),
    ) -> Result<u64, EngineError> {
        let (source, graph, options) = (self.source, self.graph, self.options);
        let resumed = self.measured.chosen().filter(|id| self.measured.has(*id, round));
        let resumed = resumed.count() as u64;
        let mut tasks = self.admit(round, tasks, observe)?;
        arrange(&mut tasks, graph, source.entries());
        let weights: BTreeSet<_> = tasks.iter().filter_map(|t| t.unit.weights.first()).collect();
        let mut left = weights.len();
        let total_bytes: u64 = tasks.iter().map(|t| t.stored_bytes).sum();
        observe(Event::Started {
            weights: weights.len() as u64,
            bytes: total_bytes,
            work: tasks.iter().map(|t| t.work).sum(),
            resumed,
        });

        let threads = self.pool.current_num_threads();
        let queue = Queue::new(tasks, graph.weights.len(), options.memory, threads);
        let meter = Meter::default();
        let worker = Worker {
            source,
            graph,
            analyzers,
            settings: self.settings,
            cancel: &options.cancel,
            queue: &queue,
            meter: &meter,
            start: Barrier::new(threads),
        };
        let (sender, receiver) = mpsc::channel();
        let (mut told_bytes, mut told_work) = (0, 0);
        let mut tell_progress = |observe: &mut dyn FnMut(Event<'_>)| {
            let [bytes, work] =
                [&meter.bytes, &meter.work].map(|total| total.load(Ordering::Relaxed));
            if bytes > told_bytes || work > told_work {
                observe(Event::Progress { bytes: bytes - told_bytes, work: work - told_work });
                (told_bytes, told_work) = (bytes, work);
            }
        };
        self.pool.in_place_scope(|scope| -> Result<(), EngineError> {
            let (worker, own) = (&worker, sender.clone());
            scope.spawn_broadcast(move |_, _| worker.run(&own));
            drop(sender);
            let mut parts = Parts::new(graph.weights.len());
            loop {
                tell_progress(observe);
                match receiver.recv_timeout(TICK) {
                    Ok(Message::Part { first, part }) => parts.add(first, part),
                    Ok(Message::Last(id)) => {
                        let Some(earlier) = self.measured.take(id) else { continue };
                        let finished = parts.finish(id, earlier, round, analyzers);
                        if let Some(journal) = self.journal.as_mut()
                            && let Err(error) = journal.push(&finished)
                        {
                            options.cancel.cancel();
                            return Err(error.into());
                        }
                        for error in &finished.errors {
                            observe(Event::Error { error });
                        }
                        observe(Event::Finished { weight: &finished.weight });
                        self.measured.add(id, finished);
                        left = left.saturating_sub(1);
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            tell_progress(observe);
            Ok(())
        })?;
        if left > 0 {
            self.measured.interrupt();
        }
        Ok(total_bytes)
    }

    /// Drops tasks of weights that are already done and records those that can never fit in memory.
    fn admit(
        &mut self,
        round: u32,
        tasks: Vec<Task>,
        observe: &mut dyn FnMut(Event<'_>),
    ) -> Result<Vec<Task>, EngineError> {
        let budget = self.options.memory;
        let mut admitted = Vec::with_capacity(tasks.len());
        let mut too_large: BTreeMap<WeightId, u64> = BTreeMap::new();
        for task in tasks {
            let Some(first) = task.unit.weights.first().copied() else { continue };
            // What could not be measured is not followed up.
            let follows = round == 1
                || self.measured.get(first).is_some_and(|f| f.weight.status == WeightStatus::Ok);
            if !follows || self.measured.has(first, round) {
                continue;
            }
            if task.bytes > budget {
                let needs = too_large.entry(first).or_default();
                *needs = task.bytes.max(*needs);
            } else {
                admitted.push(task);
            }
        }
        for (id, bytes) in &too_large {
            let Some(mut finished) = self.measured.take(*id) else { continue };
            let reason = format!("needs {bytes} bytes of memory, --memory allows {budget}");
            let error = tensor_error(&finished.weight.name, None, "no-memory", reason.clone());
            observe(Event::Error { error: &error });
            // What an earlier round measured stays.
            if round == 1 {
                finished.weight.status = WeightStatus::Skipped;
                finished.weight.reason = Some(reason);
            }
            finished.errors.push(error);
            finished.rounds = round;
            if let Some(journal) = self.journal.as_mut() {
                journal.push(&finished)?;
            }
            self.measured.add(*id, finished);
        }
        admitted
            .retain(|task| task.unit.weights.first().is_some_and(|id| !too_large.contains_key(id)));
        Ok(admitted)
    }
}

/// What one task yields for the weight that its results belong to.
#[derive(Debug, Default)]
struct Part {
    /// Results by index of the analyzer.
    outputs: Vec<(usize, Result<Output, Failure>)>,
}

/// Why an analyzer has no results.
#[derive(Debug)]
struct Failure {
    code: &'static str,
    message: String,
}

#[derive(Debug)]
enum Message {
    Part { first: WeightId, part: Part },
    Last(WeightId),
}

/// One worker's view of the scan.
struct Worker<'a> {
    source: &'a dyn TensorSource,
    graph: &'a ModelGraph,
    analyzers: &'a [&'a dyn Analyzer],
    settings: &'a Settings,
    cancel: &'a Cancel,
    queue: &'a Queue,
    meter: &'a Meter,
    /// Holds the workers until each has its thread.
    start: Barrier,
}

impl Worker<'_> {
    /// Takes tasks until there are none; runs once on every thread of the pool.
    ///
    /// It stands at the bottom of its thread, never within a piece of a running task: that is what the barrier
    /// is for, and why no worker is started later. Between tasks it lends a hand to those that are running,
    /// and when no more will come it returns, and the pool lends its thread.
    fn run(&self, sender: &Sender<Message>) {
        self.start.wait();
        let [short, long] = REST;
        let mut rest = short;
        loop {
            match self.queue.take(self.cancel) {
                Next::Task(taken) => {
                    self.finish(&taken, sender);
                    rest = short;
                }
                Next::Later if rayon::yield_now() == Some(Yield::Executed) => rest = short,
                Next::Later => {
                    self.queue.wait(rest);
                    rest = long.min(rest * 2);
                }
                Next::Never => return,
            }
        }
    }

    /// Measures a task and sends what came of it.
    fn finish(&self, taken: &Taken, sender: &Sender<Message>) {
        let first = taken.task.unit.weights.first().copied();
        let running = Running::new(&taken.task, self.meter, self.queue);
        let part = self.measure(taken, &running);
        // Without results the run was stopped: the weight stays unmeasured.
        let measured = part.is_some();
        if measured {
            running.complete();
        }
        // Results are sent before the task ends, so that a group's come after its members'. A closed channel
        // means that the coordinator gave up: there is nobody left to tell.
        if let (Some(first), Some(part)) = (first, part)
            && sender.send(Message::Part { first, part }).is_err()
        {
            self.cancel.cancel();
        }
        let last = self.queue.done(&taken.task).filter(|_| measured);
        if let Some(id) = last {
            let _ = sender.send(Message::Last(id));
        }
    }

    /// Runs every analyzer of a task; `None` when the scan was stopped meanwhile.
    fn measure(&self, taken: &Taken, running: &Running<'_>) -> Option<Part> {
        let mut part = Part::default();
        let weights = taken.task.unit.weights.iter().zip(&taken.shared);
        let views: Vec<WeightView<'_>> = weights
            .filter_map(|(id, shared)| {
                let weight = self.graph.weights.get(id.0 as usize)?;
                let view = WeightView::new(weight, self.source, shared, self.cancel);
                Some(view.hosted(running))
            })
            .collect();
        for index in &taken.task.analyzers {
            let Some(analyzer) = self.analyzers.get(*index) else { continue };
            let unit =
                Unit::new(views.clone(), analyzer.descriptor().id, &self.settings.parameters)?;
            // The last net: a bug in one analyzer on one weight is one entry of the report.
            let result = catch_unwind(AssertUnwindSafe(|| {
                let mut output = Output::default();
                analyzer.analyze(&unit, &mut output).map(|()| output)
            }));
            let result = match result {
                Ok(Ok(output)) => Ok(output),
                Ok(Err(AnalyzeError::Cancelled)) => return None,
                Ok(Err(error)) => Err(Failure { code: error.code(), message: error.to_string() }),
                Err(panic) => Err(Failure {
                    code: "panic",
                    message: format!("internal error: {}", panic_text(panic.as_ref())),
                }),
            };
            part.outputs.push((*index, result));
        }
        Some(part)
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message")
}

/// Results of tasks until their weight's last one.
struct Parts(Vec<Part>);

impl Parts {
    fn new(weights: usize) -> Self {
        Self((0..weights).map(|_| Part::default()).collect())
    }

    fn add(&mut self, first: WeightId, part: Part) {
        if let Some(slot) = self.0.get_mut(first.0 as usize) {
            slot.outputs.extend(part.outputs);
        }
    }

    /// The finished record: analyzers in registry order, a group's metrics after the weight's own.
    fn finish(
        &mut self,
        id: WeightId,
        earlier: Finished,
        rounds: u32,
        analyzers: &[&dyn Analyzer],
    ) -> Finished {
        let Finished { weight: mut record, mut figures, mut errors, .. } = earlier;
        let mut outputs =
            self.0.get_mut(id.0 as usize).map(std::mem::take).unwrap_or_default().outputs;
        outputs.sort_by_key(|(index, _)| *index);
        for (index, result) in outputs {
            let Some(descriptor) = analyzers.get(index).map(|a| a.descriptor()) else { continue };
            match result {
                Ok(output) => {
                    // What an earlier round could not say may be known now.
                    for key in output.metrics.iter().filter(|(_, v)| !v.is_null()).map(|(k, _)| k) {
                        let place = format!("{}.{key}", descriptor.id);
                        record.undefined.shift_remove(place.as_str());
                    }
                    record
                        .analyses
                        .entry(Key::Borrowed(descriptor.id))
                        .or_default()
                        .extend(output.metrics);
                    let undefined = output.undefined.into_iter();
                    record.undefined.extend(
                        undefined.map(|(key, why)| {
                            (Key::Owned(format!("{}.{key}", descriptor.id)), why)
                        }),
                    );
                    figures.extend(output.figures.into_iter().map(|figure| Figure {
                        weight: Some(record.name.clone()),
                        analyzer: Key::Borrowed(descriptor.id),
                        ..figure
                    }));
                }
                Err(failure) => {
                    record.status = WeightStatus::Failed;
                    record.reason.get_or_insert_with(|| failure.message.clone());
                    let mut error = tensor_error(
                        &record.name,
                        Some(descriptor.id),
                        failure.code,
                        failure.message,
                    );
                    // What was read is shared: one unreadable tensor is one error, not one per analyzer.
                    let same =
                        |e: &&mut ErrorRecord| e.code == error.code && e.message == error.message;
                    if let Some(earlier) = errors.iter_mut().find(same) {
                        earlier.analyzer = None;
                    } else {
                        error.analyzer = error.analyzer.take().filter(|_| {
                            failure.code == "panic" || failure.code == "analysis-failed"
                        });
                        errors.push(error);
                    }
                }
            }
        }
        Finished { weight: record, figures, errors, rounds }
    }
}

pub(crate) fn tensor_error(
    name: &str,
    analyzer: Option<&'static str>,
    code: &'static str,
    message: String,
) -> ErrorRecord {
    let analyzer = analyzer.map(Key::Borrowed);
    ErrorRecord {
        scope: ErrorScope::Tensor,
        name: name.to_owned(),
        analyzer,
        code: Key::Borrowed(code),
        message,
    }
}

/// A record without measurements.
pub(crate) fn record_of(
    id: WeightId,
    graph: &ModelGraph,
    source: &dyn TensorSource,
) -> Option<WeightRecord> {
    let weight = graph.weights.get(id.0 as usize)?;
    let entry = source.entries().get(weight.entry.0 as usize);
    // Pairs are in the order of their first weights.
    let partner = graph.pairing.as_ref().and_then(|pairing| {
        let place = pairing.pairs.binary_search_by_key(&id, |[base, _]| *base).ok()?;
        let [_, tuned] = pairing.pairs.get(place)?;
        graph.weights.get(tuned.0 as usize)
    });
    let (shape, transposed) = weight.told_shape(entry);
    Some(WeightRecord {
        name: weight.name.clone(),
        other: partner.map(|partner| partner.name.clone()),
        source_tensor: weight.source_tensor.clone(),
        model: 0,
        role: weight.role,
        part: weight.part,
        stack: weight.stack,
        block: weight.block,
        expert: weight.expert,
        dtype: entry.map_or_else(String::new, |e| e.dtype_name.clone()),
        stored: entry.and_then(|entry| stored_record(entry, weight)),
        shape: shape.into_owned(),
        matrix: weight.matrix,
        transposed,
        heads: weight.heads,
        confidence: weight.confidence,
        parameters: if weight.part.is_parameter() { weight.elements() } else { 0 },
        status: WeightStatus::Ok,
        reason: None,
        analyses: IndexMap::new(),
        undefined: IndexMap::new(),
    })
}

/// How a weight is stored; `None` for plain ones.
fn stored_record(entry: &TensorEntry, weight: &Weight) -> Option<StoredRecord> {
    let (form, elements) = (entry.stored.as_ref()?, weight.elements());
    let turned = |[rows, columns]: [u64; 2]| {
        if weight.transposed { [columns, rows] } else { [rows, columns] }
    };
    let bits_per_weight = 8.0 * entry.bytes as f64 / entry.elements.max(1) as f64;
    Some(StoredRecord {
        scheme: form.scheme.clone(),
        bits_per_weight,
        bytes: entry.stored_bytes(elements),
        parts: form.parts.clone(),
        factor_block: form.factor_block.map(turned),
    })
}
