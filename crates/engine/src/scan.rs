//! One scan from plan to report.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use rayon::ThreadPoolBuilder;
use weightscope_core::{
    AnalyzeError, Analyzer, Cancel, ErrorRecord, ErrorScope, Event, Figure, Key, ModelGraph,
    Output, Report, SIBLINGS, Settings, TensorSource, Timings, ToolRecord, Unit, Weight, WeightId,
    WeightRecord, WeightStatus, WeightView,
};

use crate::JournalError;
use crate::finish::Measured;
use crate::journal::{Finished, Header, Journal, VERSION};
use crate::plan::{Plan, Task, globs};
use crate::queue::Queue;

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
        Self { threads: 0, memory, cancel, journal: None, timings: true, tool }
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
        let source = source.metadata().fingerprint.clone();
        let header = Header {
            journal: VERSION,
            tool: options.tool.clone(),
            settings: settings.clone(),
            source,
        };
        let (opened, done) = if file.resume {
            Journal::resume(&file.path, &header)?
        } else {
            (Journal::create(&file.path, &header)?, Vec::new())
        };
        journal = Some(opened);
        measured.take_over(done);
    }
    let tasks =
        admit(plan.tasks, graph, source, options.memory, &mut measured, journal.as_mut(), observe)?;
    let bytes = |id: &WeightId| graph.weights.get(id.0 as usize).map_or(0, stored_bytes);
    let open: Vec<WeightId> =
        plan.weights.iter().copied().filter(|id| !measured.has(*id)).collect();
    let total_bytes: u64 = open.iter().map(bytes).sum();
    let total_work: f64 = tasks.iter().map(|t| t.work).sum();
    observe(Event::Started {
        weights: open.len() as u64,
        bytes: total_bytes,
        work: total_work,
        resumed: (plan.weights.len() - open.len()) as u64,
    });

    let covered = Arc::new(AtomicU64::new(0));
    let queue = Queue::new(tasks, graph.weights.len(), options.memory, Arc::clone(&covered));
    let worker = Worker {
        source,
        graph,
        analyzers,
        settings: &settings,
        cancel: &options.cancel,
        queue: &queue,
    };
    let (sender, receiver) = mpsc::channel();
    let mut told = 0u64;
    let mut tell_progress = |observe: &mut dyn FnMut(Event<'_>)| {
        // A tensor that is read again (a group task, a refining pass) is not more progress.
        let now = covered.load(Ordering::Relaxed).min(total_bytes);
        if now > told {
            let share = (now - told) as f64 / total_bytes.max(1) as f64;
            observe(Event::Progress { bytes: now - told, work: share * total_work });
            told = now;
        }
    };
    pool.in_place_scope(|scope| -> Result<(), EngineError> {
        for _ in 0..pool.current_num_threads() {
            let (worker, sender) = (&worker, sender.clone());
            scope.spawn(move |_| worker.run(&sender));
        }
        drop(sender);
        let mut parts = Parts::new(graph.weights.len());
        loop {
            match receiver.recv_timeout(TICK) {
                Ok(Message::Part { first, part }) => parts.add(first, part),
                Ok(Message::Last(id)) => {
                    let Some(weight) = graph.weights.get(id.0 as usize) else { continue };
                    let finished = parts.finish(id, record_of(weight, source), analyzers);
                    if let Some(journal) = &mut journal
                        && let Err(error) = journal.push(&finished)
                    {
                        options.cancel.cancel();
                        return Err(error.into());
                    }
                    for error in &finished.errors {
                        observe(Event::Error { error });
                    }
                    observe(Event::Finished { weight: &finished.weight });
                    measured.add(id, finished);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            tell_progress(observe);
        }
    })?;

    observe(Event::Judging);
    let mut report = measured.into_report(analyzers, settings, options);
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

/// Drops tasks of weights that are already done and records those that can never fit in memory.
fn admit(
    tasks: Vec<Task>,
    graph: &ModelGraph,
    source: &dyn TensorSource,
    budget: u64,
    measured: &mut Measured<'_>,
    mut journal: Option<&mut Journal>,
    observe: &mut dyn FnMut(Event<'_>),
) -> Result<Vec<Task>, EngineError> {
    let mut admitted = Vec::with_capacity(tasks.len());
    let mut too_large: Vec<(WeightId, u64)> = Vec::new();
    for task in tasks {
        let Some(first) = task.unit.weights.first().copied() else { continue };
        if measured.has(first) {
            continue;
        }
        if task.bytes > budget {
            too_large.push((first, task.bytes));
        } else {
            admitted.push(task);
        }
    }
    for (id, bytes) in too_large {
        let Some(weight) = graph.weights.get(id.0 as usize).filter(|_| !measured.has(id)) else {
            continue;
        };
        let reason = format!("needs {bytes} bytes of memory, --memory allows {budget}");
        let mut record = record_of(weight, source);
        record.status = WeightStatus::Skipped;
        record.reason = Some(reason.clone());
        let error = tensor_error(&weight.name, None, "no-memory", reason);
        observe(Event::Error { error: &error });
        let finished = Finished { weight: record, figures: Vec::new(), errors: vec![error] };
        if let Some(journal) = journal.as_deref_mut() {
            journal.push(&finished)?;
        }
        measured.add(id, finished);
    }
    admitted.retain(|task| task.unit.weights.first().is_some_and(|id| !measured.has(*id)));
    Ok(admitted)
}

/// Stored size of a weight, which may be a part of a tensor.
pub(crate) fn stored_bytes(weight: &Weight) -> u64 {
    weight.elements().saturating_mul(weight.dtype.map_or(0, |d| d.bytes() as u64))
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
}

impl Worker<'_> {
    /// Takes tasks until there are none.
    fn run(&self, sender: &Sender<Message>) {
        while let Some(taken) = self.queue.take(self.cancel) {
            let first = taken.task.unit.weights.first().copied();
            // Results are sent before the task ends, so that a group's come after its members'. A closed
            // channel means that the coordinator gave up: there is nobody left to tell.
            let part = self.measure(&taken);
            let measured = part.is_some();
            if let (Some(first), Some(part)) = (first, part)
                && sender.send(Message::Part { first, part }).is_err()
            {
                self.cancel.cancel();
            }
            // Without results the run was stopped: the weight stays unmeasured.
            let last = self.queue.done(&taken.task).filter(|_| measured);
            if let Some(id) = last {
                let _ = sender.send(Message::Last(id));
            }
        }
    }

    /// Runs every analyzer of a task; `None` when the scan was stopped meanwhile.
    fn measure(&self, taken: &crate::queue::Taken) -> Option<Part> {
        let mut part = Part::default();
        let weights = taken.task.unit.weights.iter().zip(&taken.shared);
        let views: Vec<WeightView<'_>> = weights
            .filter_map(|(id, shared)| {
                Some(WeightView::new(
                    self.graph.weights.get(id.0 as usize)?,
                    self.source,
                    shared,
                    self.cancel,
                ))
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
        mut record: WeightRecord,
        analyzers: &[&dyn Analyzer],
    ) -> Finished {
        let mut outputs =
            self.0.get_mut(id.0 as usize).map(std::mem::take).unwrap_or_default().outputs;
        outputs.sort_by_key(|(index, _)| *index);
        let (mut figures, mut errors): (Vec<Figure>, Vec<ErrorRecord>) = (Vec::new(), Vec::new());
        for (index, result) in outputs {
            let Some(descriptor) = analyzers.get(index).map(|a| a.descriptor()) else { continue };
            match result {
                Ok(output) => {
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
        Finished { weight: record, figures, errors }
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
pub(crate) fn record_of(weight: &Weight, source: &dyn TensorSource) -> WeightRecord {
    let entry = source.entries().get(weight.entry.0 as usize);
    WeightRecord {
        name: weight.name.clone(),
        source_tensor: weight.source_tensor.clone(),
        role: weight.role,
        part: weight.part,
        stack: weight.stack,
        block: weight.block,
        expert: weight.expert,
        dtype: entry.map_or_else(String::new, |e| e.dtype_name.clone()),
        shape: weight.shape.clone(),
        matrix: weight.matrix,
        transposed: weight.transposed,
        heads: weight.heads,
        confidence: weight.confidence,
        parameters: if weight.part.is_parameter() { weight.elements() } else { 0 },
        status: WeightStatus::Ok,
        reason: None,
        analyses: IndexMap::new(),
        undefined: IndexMap::new(),
    }
}
