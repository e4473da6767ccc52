//! Reading a weight: panels on demand, and the summary that all analyzers share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use weightscope_codec::{DecodeError, decode_f32, decode_f64};
use weightscope_stats::{PrefixKey, Summary};

use crate::summarize::summarize;
use crate::{AnalyzeError, DType, ParameterSpec, Parameters, StoredForm, TensorSource, Weight};

/// Asks a running scan to stop. Clones share one flag.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A token over an existing flag, for signal handlers.
    pub fn from_flag(flag: Arc<AtomicBool>) -> Self {
        Self(flag)
    }

    /// Asks.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether someone asked.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What all views of one weight share: the summary, computed at most once.
#[derive(Debug, Default)]
pub struct Shared {
    summary: OnceLock<Result<Arc<Summary>, AnalyzeError>>,
}

/// Who runs a measurement: it lends threads and is told how far the measurement has come. Whatever it
/// answers changes no number.
pub trait Host: Sync {
    /// Threads that one unit may use just now, its own included: what [`Unit::threads`] answers.
    fn threads(&self) -> usize {
        1
    }

    /// `work`, in the units of [`crate::Cost::work`], is done.
    fn advance(&self, work: f64) {
        let _ = work;
    }

    /// A summary has covered so many more stored bytes.
    fn cover(&self, bytes: u64) {
        let _ = bytes;
    }
}

/// Nobody in particular: one thread, and no progress.
struct Nobody;

impl Host for Nobody {}

/// Which lines of a matrix `[out, in]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Rows: one per output unit, `in` values each.
    Rows,
    /// Columns: one per input feature, `out` values each.
    Columns,
}

/// How [`WeightView::block`] lays out its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Row after row.
    RowMajor,
    /// Column after column.
    ColumnMajor,
}

/// `f32` or `f64`, what panels are decoded to.
pub trait Scalar: PrefixKey + Default + Send + Sync {
    /// Decodes stored elements.
    ///
    /// # Errors
    /// [`DecodeError`] when the lengths do not agree.
    fn decode(dtype: DType, bytes: &[u8], out: &mut [Self]) -> Result<(), DecodeError>;
}

impl Scalar for f32 {
    fn decode(dtype: DType, bytes: &[u8], out: &mut [Self]) -> Result<(), DecodeError> {
        decode_f32(dtype, bytes, out)
    }
}

impl Scalar for f64 {
    fn decode(dtype: DType, bytes: &[u8], out: &mut [Self]) -> Result<(), DecodeError> {
        decode_f64(dtype, bytes, out)
    }
}

/// One weight, readable in panels. Never holds a tensor whole.
#[derive(Clone, Copy)]
pub struct WeightView<'a> {
    weight: &'a Weight,
    source: &'a dyn TensorSource,
    shared: &'a Shared,
    cancel: &'a Cancel,
    host: &'a dyn Host,
}

impl std::fmt::Debug for WeightView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WeightView").field("weight", &self.weight.name).finish_non_exhaustive()
    }
}

impl<'a> WeightView<'a> {
    /// A view of `weight` in `source`; views of one weight share `shared`.
    pub fn new(
        weight: &'a Weight,
        source: &'a dyn TensorSource,
        shared: &'a Shared,
        cancel: &'a Cancel,
    ) -> Self {
        Self { weight, source, shared, cancel, host: &Nobody }
    }

    /// The same view, run by `host`.
    #[must_use]
    pub fn hosted(self, host: &'a dyn Host) -> Self {
        Self { host, ..self }
    }

    /// A view of other elements of the same checkpoint, with a summary of its own: `shared` belongs to `weight` alone.
    #[must_use]
    pub fn beside<'b>(&self, weight: &'b Weight, shared: &'b Shared) -> WeightView<'b>
    where
        'a: 'b,
    {
        WeightView { weight, shared, ..*self }
    }

    /// The weight.
    pub fn weight(&self) -> &'a Weight {
        self.weight
    }

    /// Its element type.
    ///
    /// # Errors
    /// [`AnalyzeError::Shape`] when it is unknown; the engine skips such weights.
    pub fn dtype(&self) -> Result<DType, AnalyzeError> {
        self.weight.dtype.ok_or_else(|| self.shape_error("unknown element type"))
    }

    /// How it is stored, unless as plain elements of [`WeightView::dtype`].
    pub fn stored(&self) -> Option<&'a StoredForm> {
        self.source.entries().get(self.weight.entry.0 as usize)?.stored.as_deref()
    }

    /// `[out, in]`; a vector of n values is `[1, n]` and a scalar `[1, 1]`.
    pub fn size(&self) -> [u64; 2] {
        let [rows, columns] = [self.weight.layout.rows(), self.weight.layout.columns()];
        if self.weight.transposed { [columns, rows] } else { [rows, columns] }
    }

    /// Statistics of all values, rows, columns and groups of four: computed by whoever asks first.
    ///
    /// Cost: one pass over the bytes for 8- and 16-bit formats and small tensors; two, rarely more, for
    /// wider ones. Scratch: [`crate::summary_scratch`].
    ///
    /// # Errors
    /// When the bytes cannot be read or decoded, or the run is stopped.
    pub fn summary(&self) -> Result<Arc<Summary>, AnalyzeError> {
        self.shared.summary.get_or_init(|| summarize(self).map(Arc::new)).clone()
    }

    pub(crate) fn check_cancelled(&self) -> Result<(), AnalyzeError> {
        if self.cancel.is_cancelled() { Err(AnalyzeError::Cancelled) } else { Ok(()) }
    }

    pub(crate) fn host(&self) -> &'a dyn Host {
        self.host
    }

    /// Copies `into.len()` stored bytes from `start` on.
    pub(crate) fn read_at(&self, start: u64, into: &mut [u8]) -> Result<(), AnalyzeError> {
        let end = start + into.len() as u64;
        Ok(self.source.read_at(self.weight.entry, start..end, into)?)
    }

    /// Rounding errors to be expected of `into.len()` elements from the stored element `start` on.
    pub(crate) fn rounding_at(&self, start: u64, into: &mut [f32]) -> Result<(), AnalyzeError> {
        let end = start + into.len() as u64;
        Ok(self.source.rounding_at(self.weight.entry, start..end, into)?)
    }

    pub(crate) fn shape_error(&self, message: &str) -> AnalyzeError {
        AnalyzeError::Shape {
            tensor: self.weight.source_tensor.clone(),
            message: message.to_owned(),
        }
    }
}

/// Weights that are measured together, with the parameters that apply.
#[derive(Clone, Debug)]
pub struct Unit<'a> {
    views: Vec<WeightView<'a>>,
    first: WeightView<'a>,
    analyzer: &'a str,
    parameters: &'a Parameters,
}

impl<'a> Unit<'a> {
    /// A unit for `analyzer`; `None` without views.
    pub fn new(
        views: Vec<WeightView<'a>>,
        analyzer: &'a str,
        parameters: &'a Parameters,
    ) -> Option<Self> {
        let first = *views.first()?;
        Some(Self { views, first, analyzer, parameters })
    }

    /// The weight whose record the metrics land in.
    pub fn first(&self) -> WeightView<'a> {
        self.first
    }

    /// All weights of the unit, the first one first.
    pub fn views(&self) -> &[WeightView<'a>] {
        &self.views
    }

    /// Threads that this analysis may use just now, its own included: more than one only while other
    /// threads have nothing to do. Ask again before each long stage. Results must not depend on it.
    pub fn threads(&self) -> usize {
        self.first.host.threads().max(1)
    }

    /// Says that `work` (in the units of [`crate::Cost::work`], since the last call) is done, and asks whether
    /// to go on. Long analyses call it between stages, from any thread. What a unit says beyond its cost is
    /// not told, and what it leaves out is told when it ends.
    ///
    /// # Errors
    /// [`AnalyzeError::Cancelled`] when the run is being stopped: return it.
    pub fn advance(&self, work: f64) -> Result<(), AnalyzeError> {
        self.first.host.advance(work);
        self.first.check_cancelled()
    }

    /// A parameter's value.
    pub fn value(&self, spec: &ParameterSpec) -> f64 {
        self.parameters.value(self.analyzer, spec)
    }
}
