//! From paths to a report.

use std::path::PathBuf;

use weightscope_core::{Event, ModelGraph, Report, SeriesDetail, Settings, TensorSource};
use weightscope_engine::{EngineError, RunOptions};
use weightscope_graph::{WalkOptions, walk};
use weightscope_load::{Checkpoint, LoadError};

use crate::{Registry, RegistryError, builtin_registry};

/// A checkpoint whose headers were read, and what its tensors are.
#[derive(Debug)]
pub struct Opened {
    /// The files.
    pub checkpoint: Checkpoint,
    /// The model.
    pub graph: ModelGraph,
}

/// Opens a checkpoint and walks its graph. Reads headers only.
///
/// # Errors
/// [`LoadError`] when nothing can be used.
pub fn open(paths: &[PathBuf], options: WalkOptions, mapped: bool) -> Result<Opened, LoadError> {
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

/// A scan to be run.
#[derive(Debug)]
pub struct Scan {
    paths: Vec<PathBuf>,
    registry: Registry,
    choice: Vec<String>,
    settings: Settings,
    series: Option<SeriesDetail>,
    options: RunOptions,
    mapped: bool,
}

impl Scan {
    /// A scan of a file, a folder, or the shards of one checkpoint, with every built-in analyzer.
    pub fn new(paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        Self {
            paths: paths.into_iter().map(Into::into).collect(),
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
    pub fn run_with(mut self, observe: &mut dyn FnMut(Event<'_>)) -> Result<Report, ScanError> {
        let analyzers = self.registry.choose(&self.choice)?;
        let opened =
            open(&self.paths, WalkOptions { split_fused: self.settings.split_fused }, self.mapped)?;
        let many = opened.graph.weights.len() > MANY_WEIGHTS;
        let automatic = if many { SeriesDetail::Summary } else { SeriesDetail::Full };
        self.settings.series = self.series.unwrap_or(automatic);
        let (source, graph) = (&opened.checkpoint, &opened.graph);
        Ok(weightscope_engine::scan(
            source,
            graph,
            &analyzers,
            &self.settings,
            &self.options,
            observe,
        )?)
    }
}
