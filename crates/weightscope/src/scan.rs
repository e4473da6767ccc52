//! From paths to a report.

use std::path::{Path, PathBuf};

use weightscope_core::{
    Analyzer, ErrorRecord, ErrorScope, Event, Key, ModelGraph, PairSource, Report, ReportKind,
    SeriesDetail, Settings, Stack, Status, TensorSource,
};
use weightscope_engine::{EngineError, RunOptions, join};
use weightscope_graph::{WalkOptions, pair, regrouping, walk};
use weightscope_load::{Checkpoint, LoadError, Part, parts};

use crate::{Registry, RegistryError, builtin_registry};

/// A checkpoint whose headers were read, and what its tensors are.
#[derive(Debug)]
pub struct Opened {
    /// The files.
    pub checkpoint: Checkpoint,
    /// The model.
    pub graph: ModelGraph,
}

/// Opens a checkpoint and walks its graph. Reads headers only. A folder whose only part lies in a folder below is that
/// part.
///
/// # Errors
/// [`LoadError`] when nothing can be used, or when a folder holds several parts, see [`open_parts`].
pub fn open(paths: &[PathBuf], options: WalkOptions, mapped: bool) -> Result<Opened, LoadError> {
    let [path] = paths else { return open_files(paths, options, mapped) };
    let found = parts(path)?;
    match &found[..] {
        [part] => open_files(std::slice::from_ref(&part.path), options, mapped),
        _ => Err(LoadError::SeveralParts {
            path: path.clone(),
            names: found.into_iter().map(|part| part.name).collect(),
        }),
    }
}

/// Opens every part of a model, see [`parts`](weightscope_load::parts), with the name of each.
///
/// # Errors
/// [`LoadError`] when one of them cannot be used.
pub fn open_parts(
    path: &Path,
    options: WalkOptions,
    mapped: bool,
) -> Result<Vec<(String, Opened)>, LoadError> {
    let open = |part: Part| Ok((part.name, open_files(&[part.path], options, mapped)?));
    parts(path)?.into_iter().map(open).collect()
}

fn open_files(paths: &[PathBuf], options: WalkOptions, mapped: bool) -> Result<Opened, LoadError> {
    let checkpoint =
        if mapped { weightscope_load::open_mapped(paths)? } else { weightscope_load::open(paths)? };
    let graph = walk(checkpoint.entries(), checkpoint.metadata(), &options);
    Ok(Opened { checkpoint, graph })
}

/// Why a scan gave no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// The checkpoint cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The measuring could not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// An analyzer or parameter does not exist.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// Above this many weights long series are thinned unless asked otherwise.
const MANY_WEIGHTS: usize = 1000;

/// What a run is about: one checkpoint.
#[derive(Debug)]
pub struct One(Vec<PathBuf>);

/// What a run is about: BASE, and TUNED that is held against it.
#[derive(Debug)]
pub struct Two([PathBuf; 2]);

/// A scan of one checkpoint, to be run.
pub type Scan = Run<One>;

/// A comparison of two checkpoints, to be run.
///
/// ```no_run
/// let report = weightscope::Compare::new("base/", "tuned/").run()?;
/// for conclusion in &report.conclusions {
///     println!("{}", conclusion.message);
/// }
/// # Ok::<(), weightscope::ScanError>(())
/// ```
pub type Compare = Run<Two>;

/// A run with its settings: see [`Scan`] and [`Compare`].
#[derive(Debug)]
pub struct Run<Input> {
    input: Input,
    registry: Registry,
    choice: Vec<String>,
    settings: Settings,
    series: Option<SeriesDetail>,
    options: RunOptions,
    mapped: bool,
}

impl Run<One> {
    /// A scan of a file, a folder, or the shards of one checkpoint, with every built-in analyzer of scans.
    pub fn new(paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        Self::of(One(paths.into_iter().map(Into::into).collect()))
    }

    /// Runs the scan.
    ///
    /// # Errors
    /// [`ScanError`] when nothing could be measured; what goes wrong on the way is in the report.
    pub fn run(self) -> Result<Report, ScanError> {
        self.run_with(&mut |_| {})
    }

    /// Runs the scan and tells `observe` how it goes, on this thread.
    ///
    /// # Errors
    /// As [`Scan::run`].
    pub fn run_with(self, observe: &mut dyn FnMut(Event<'_>)) -> Result<Report, ScanError> {
        self.registry.choose(ReportKind::Scan, &self.choice)?;
        let parts = match &self.input.0[..] {
            [path] => parts(path)?,
            _ => Vec::new(),
        };
        if let [_, _, ..] = &parts[..] {
            return self.scan_parts(parts, observe);
        }
        let opened = self.open(&self.input.0)?;
        self.measure(ReportKind::Scan, &opened.checkpoint, &opened.graph, observe)
    }

    /// Scans one part after the other. One that cannot be used is an error of the report; the others stay.
    fn scan_parts(
        &self,
        parts: Vec<Part>,
        observe: &mut dyn FnMut(Event<'_>),
    ) -> Result<Report, ScanError> {
        let mut reports = Vec::new();
        let mut rejected = Vec::new();
        let mut stopped = false;
        for Part { name, path } in parts {
            // What was not begun is missing from a report that says so.
            if self.options.cancel.is_cancelled() {
                stopped = true;
                break;
            }
            let opened = match open_files(&[path], self.walk_options(), self.mapped) {
                Ok(opened) => opened,
                Err(error) => {
                    rejected.push((name, error));
                    continue;
                }
            };
            let own = self.options.journal.as_ref().map(|journal| journal.of_part(&name));
            let options = RunOptions { journal: own, ..self.options.clone() };
            let scan = (&opened.checkpoint as &dyn TensorSource, &opened.graph);
            reports.push((name, self.measure_with(ReportKind::Scan, scan, &options, observe)?));
        }
        let Some(mut report) = join(reports) else {
            let error = rejected.into_iter().next().map(|(_, error)| error);
            return Err(error.unwrap_or(LoadError::NoInput).into());
        };
        for (name, error) in rejected {
            let message = error.to_string();
            let code = Key::Borrowed(error.code());
            let (scope, analyzer, name) = (ErrorScope::Shard, None, format!("{name}/"));
            report.errors.push(ErrorRecord { scope, name, analyzer, code, message });
            if report.status == Status::Complete {
                report.status = Status::Partial;
            }
        }
        if stopped {
            report.status = Status::Interrupted;
        }
        Ok(report)
    }
}

impl Run<Two> {
    /// A comparison of two checkpoints, each a file or a folder, with every built-in analyzer of comparisons.
    pub fn new(base: impl Into<PathBuf>, tuned: impl Into<PathBuf>) -> Self {
        Self::of(Two([base.into(), tuned.into()]))
    }

    /// Runs the comparison.
    ///
    /// # Errors
    /// [`ScanError`] when nothing could be measured; what goes wrong on the way is in the report.
    pub fn run(self) -> Result<Report, ScanError> {
        self.run_with(&mut |_| {})
    }

    /// Runs the comparison and tells `observe` how it goes, on this thread.
    ///
    /// # Errors
    /// As [`Compare::run`].
    pub fn run_with(self, observe: &mut dyn FnMut(Event<'_>)) -> Result<Report, ScanError> {
        self.registry.choose(ReportKind::Compare, &self.choice)?;
        let Two([base, tuned]) = &self.input;
        let (mut base, mut tuned) =
            (self.open(std::slice::from_ref(base))?, self.open(std::slice::from_ref(tuned))?);
        self.walk_alike(&mut base, &mut tuned);
        let graph = pair(&base.graph, &tuned.graph, base.checkpoint.entries().len());
        let source = PairSource::new(&base.checkpoint, &tuned.checkpoint);
        self.measure(ReportKind::Compare, &source, &graph, observe)
    }

    /// Walks both anew where one lacks what the other's config.json says, or joins what the other keeps apart.
    fn walk_alike(&self, base: &mut Opened, tuned: &mut Opened) {
        let heads = |opened: &Opened| {
            let mut text = opened.graph.weights.iter().filter(|w| w.stack != Some(Stack::Vision));
            text.find_map(|weight| weight.heads)
        };
        let known = [heads(base), heads(tuned)];
        let split_fused = self.settings.split_fused;
        let options = |split_fused, heads| WalkOptions { split_fused, heads };
        if let [Some(lent), None] | [None, Some(lent)] = known {
            let poor = if known[0].is_none() { &mut *base } else { &mut *tuned };
            poor.walk(options(split_fused, Some(lent)));
        }
        if !split_fused && regrouping(&base.graph, &tuned.graph) {
            base.walk(options(true, known[1]));
            tuned.walk(options(true, known[0]));
        }
    }
}

impl Opened {
    fn walk(&mut self, options: WalkOptions) {
        self.graph = walk(self.checkpoint.entries(), self.checkpoint.metadata(), &options);
    }
}

impl<Input> Run<Input> {
    fn of(input: Input) -> Self {
        Self {
            input,
            registry: builtin_registry(),
            choice: Vec::new(),
            settings: Settings::default(),
            series: None,
            options: RunOptions::default(),
            mapped: false,
        }
    }

    /// Uses these analyzers instead of the built-in ones.
    #[must_use]
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = registry;
        self
    }

    /// Runs only some of the analyzers, see [`Registry::choose`].
    #[must_use]
    pub fn analyzers(mut self, choice: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.choice = choice.into_iter().map(Into::into).collect();
        self
    }

    /// Globs, parameters and everything else that changes numbers.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// How much of long series to keep; unless set, everything up to 1,000 weights.
    #[must_use]
    pub fn series(mut self, series: SeriesDetail) -> Self {
        self.series = Some(series);
        self
    }

    /// Threads, memory, journal, cancellation.
    #[must_use]
    pub fn options(mut self, options: RunOptions) -> Self {
        self.options = options;
        self
    }

    /// Reads through memory maps. A file that shrinks meanwhile ends the process; the default does not.
    #[must_use]
    pub fn mapped(mut self, mapped: bool) -> Self {
        self.mapped = mapped;
        self
    }

    fn walk_options(&self) -> WalkOptions {
        WalkOptions { split_fused: self.settings.split_fused, ..WalkOptions::default() }
    }

    fn open(&self, paths: &[PathBuf]) -> Result<Opened, LoadError> {
        open(paths, self.walk_options(), self.mapped)
    }

    fn measure(
        &self,
        kind: ReportKind,
        source: &dyn TensorSource,
        graph: &ModelGraph,
        observe: &mut dyn FnMut(Event<'_>),
    ) -> Result<Report, ScanError> {
        self.measure_with(kind, (source, graph), &self.options, observe)
    }

    fn measure_with(
        &self,
        kind: ReportKind,
        (source, graph): (&dyn TensorSource, &ModelGraph),
        options: &RunOptions,
        observe: &mut dyn FnMut(Event<'_>),
    ) -> Result<Report, ScanError> {
        let mut analyzers = self.registry.choose(kind, &self.choice)?;
        let companions = self.registry.companions(&analyzers);
        analyzers.extend(companions.iter().map(|companion| companion as &dyn Analyzer));
        let many = graph.weights.len() > MANY_WEIGHTS;
        let automatic = if many { SeriesDetail::Summary } else { SeriesDetail::Full };
        let mut settings = self.settings.clone();
        settings.series = self.series.unwrap_or(automatic);
        let mut report =
            weightscope_engine::scan(source, graph, &analyzers, &settings, options, observe)?;
        // They were not asked for.
        for companion in &companions {
            let id = companion.descriptor().id;
            report.settings.analyzers.shift_remove(id);
            // Having parameters without being named is what tells them from others.
            report.settings.parameters.0.entry(Key::Borrowed(id)).or_default();
        }
        Ok(report)
    }
}
