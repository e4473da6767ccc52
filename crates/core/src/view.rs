//! Reading a weight: panels on demand, and the summary that all analyzers share.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use weightscope_codec::{DecodeError, decode_f32, decode_f64};
use weightscope_stats::{PrefixKey, Summary};

use crate::summarize::summarize;
use crate::{AnalyzeError, DType, ParameterSpec, Parameters, TensorSource, Weight};

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

/// What all views of one weight share: the summary, computed at most once, and how far reading has come.
#[derive(Debug, Default)]
pub struct Shared {
    summary: OnceLock<Result<Arc<Summary>, AnalyzeError>>,
    covered: Arc<AtomicU64>,
}

impl Shared {
    /// Adds the stored bytes that a summary covers to `covered` while it runs, for progress.
    pub fn counting(covered: Arc<AtomicU64>) -> Self {
        Self { covered, ..Self::default() }
    }
}

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
}

impl std::fmt::Debug for WeightView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WeightView").field("weight", &self.weight.name).finish_non_exhaustive()
    }
}

/// Values of [`WeightView::for_each_row`]'s blocks at most, unless one row is longer.
const BLOCK_VALUES: u64 = 64 * 1024;

/// Stored lines that [`WeightView::block`] turns at a time: whole cache lines are written, and the lines
/// of a matrix of ordinary width stay in a core's cache.
const TURN_LINES: u64 = 16;

impl<'a> WeightView<'a> {
    /// A view of `weight` in `source`; views of one weight share `shared`.
    pub fn new(
        weight: &'a Weight,
        source: &'a dyn TensorSource,
        shared: &'a Shared,
        cancel: &'a Cancel,
    ) -> Self {
        Self { weight, source, shared, cancel }
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

    /// Decodes whole rows or columns of the matrix `[out, in]` into `into`, line after line.
    ///
    /// * `Axis::Rows`: `into.len() == lines.len() * in`; `Axis::Columns`: `lines.len() * out`.
    /// * Cheap along the stored rows (`Rows` unless the weight is transposed); across them every stored
    ///   row is touched.
    ///
    /// # Errors
    /// When the lines or the length do not fit the matrix, the bytes cannot be read or decoded, or the run is
    /// stopped.
    pub fn panel<T: Scalar>(
        &self,
        axis: Axis,
        lines: Range<u64>,
        into: &mut [T],
    ) -> Result<(), AnalyzeError> {
        self.check_cancelled()?;
        let [out, input] = self.size();
        let (count, length) = match axis {
            Axis::Rows => (out, input),
            Axis::Columns => (input, out),
        };
        let values = lines.end.checked_sub(lines.start).and_then(|n| n.checked_mul(length));
        if lines.end > count || values != Some(into.len() as u64) {
            let message = format!(
                "panel {lines:?} of {count} lines with {length} values into {} places",
                into.len()
            );
            return Err(self.shape_error(&message));
        }
        match axis {
            Axis::Rows => self.block(lines, 0..input, Order::RowMajor, into),
            Axis::Columns => self.block(0..out, lines, Order::ColumnMajor, into),
        }
    }

    /// Decodes a block of the matrix `[out, in]` into `into`.
    ///
    /// * `into.len() == rows.len() * columns.len()`.
    /// * Cost: one read per stored row that the block touches (one in all where it has whole stored rows),
    ///   one decode, and a turn in cache when `order` is not the stored one.
    ///
    /// # Errors
    /// When the block or the length does not fit the matrix, the bytes cannot be read or decoded, or the run
    /// is stopped.
    pub fn block<T: Scalar>(
        &self,
        rows: Range<u64>,
        columns: Range<u64>,
        order: Order,
        into: &mut [T],
    ) -> Result<(), AnalyzeError> {
        self.check_cancelled()?;
        let [out, input] = self.size();
        let extent = |range: &Range<u64>| range.end.checked_sub(range.start);
        let values = extent(&rows).zip(extent(&columns)).and_then(|(r, c)| r.checked_mul(c));
        if rows.end > out || columns.end > input || values != Some(into.len() as u64) {
            let message = format!(
                "rows {rows:?}, columns {columns:?} of a {out} x {input} matrix into {} places",
                into.len()
            );
            return Err(self.shape_error(&message));
        }
        // From here on in stored coordinates.
        let (lines, within) =
            if self.weight.transposed { (columns, rows) } else { (rows, columns) };
        let (dtype, mut bytes) = (self.dtype()?, Vec::new());
        let (count, length) = (lines.end - lines.start, (within.end - within.start) as usize);
        if (order == Order::RowMajor) != self.weight.transposed {
            self.read_block(lines, within, &mut bytes)?;
            return self.decode(dtype, &bytes, into);
        }
        let mut values = vec![T::default(); TURN_LINES as usize * length];
        for first in (0..count).step_by(TURN_LINES as usize) {
            let some = (count - first).min(TURN_LINES);
            let stored = lines.start + first..lines.start + first + some;
            self.read_block(stored, within.clone(), &mut bytes)?;
            let values = &mut values[..some as usize * length];
            self.decode(dtype, &bytes, values)?;
            turn(values, length, first as usize, count as usize, into);
        }
        Ok(())
    }

    /// Calls `visit` with the index and the `in` values of every row of the matrix `[out, in]`, in order.
    ///
    /// # Errors
    /// When the bytes cannot be read or decoded, or the run is stopped.
    pub fn for_each_row<T: Scalar>(
        &self,
        mut visit: impl FnMut(u64, &[T]),
    ) -> Result<(), AnalyzeError> {
        let [out, input] = self.size();
        let block = (BLOCK_VALUES / input.max(1)).clamp(1, out.max(1));
        let mut values = vec![T::default(); (block * input) as usize];
        for first in (0..out).step_by(block as usize) {
            let rows = first..out.min(first + block);
            let values = &mut values[..((rows.end - rows.start) * input) as usize];
            self.panel(Axis::Rows, rows.clone(), values)?;
            for (index, row) in rows.zip(values.chunks_exact(input.max(1) as usize)) {
                visit(index, row);
            }
        }
        Ok(())
    }

    /// Copies the stored bytes of rows `rows` and columns `columns` (as stored) into `into`.
    pub(crate) fn read_block(
        &self,
        rows: Range<u64>,
        columns: Range<u64>,
        into: &mut Vec<u8>,
    ) -> Result<(), AnalyzeError> {
        let element = self.dtype()?.bytes() as u64;
        let width = columns.end - columns.start;
        into.resize(((rows.end - rows.start) * width * element) as usize, 0);
        let layout = &self.weight.layout;
        let whole = width == layout.columns();
        let (mut row, mut filled) = (rows.start, 0usize);
        while row < rows.end {
            let count =
                if whole { layout.unbroken_rows(row).min(rows.end - row).max(1) } else { 1 };
            let span = layout
                .span(row, columns.clone())
                .ok_or_else(|| self.shape_error("block outside of the weight"))?;
            let length = (count * width * element) as usize;
            let target = into
                .get_mut(filled..filled + length)
                .ok_or_else(|| self.shape_error("block too long"))?;
            let start = span.start * element;
            self.source.read_at(self.weight.entry, start..start + length as u64, target)?;
            filled += length;
            row += count;
        }
        Ok(())
    }

    pub(crate) fn decode<T: Scalar>(
        &self,
        dtype: DType,
        bytes: &[u8],
        out: &mut [T],
    ) -> Result<(), AnalyzeError> {
        T::decode(dtype, bytes, out).map_err(|cause| AnalyzeError::Decode {
            tensor: self.weight.source_tensor.clone(),
            cause,
        })
    }

    pub(crate) fn check_cancelled(&self) -> Result<(), AnalyzeError> {
        if self.cancel.is_cancelled() { Err(AnalyzeError::Cancelled) } else { Ok(()) }
    }

    pub(crate) fn cover(&self, bytes: u64) {
        self.shared.covered.fetch_add(bytes, Ordering::Relaxed);
    }

    fn shape_error(&self, message: &str) -> AnalyzeError {
        AnalyzeError::Shape {
            tensor: self.weight.source_tensor.clone(),
            message: message.to_owned(),
        }
    }
}

/// Writes lines of `length` values as columns `first..` of a matrix with rows of `width` values.
fn turn<T: Copy>(lines: &[T], length: usize, first: usize, width: usize, into: &mut [T]) {
    let count = lines.len() / length.max(1);
    for (position, row) in into.chunks_exact_mut(width.max(1)).enumerate() {
        for (target, line) in row[first..first + count].iter_mut().zip(lines.chunks_exact(length)) {
            *target = line[position];
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
        1
    }

    /// Says that `work` (in the units of [`crate::Cost::work`]) is done, and asks whether to go on. Long
    /// analyses call it between stages.
    ///
    /// # Errors
    /// [`AnalyzeError::Cancelled`] when the run is being stopped: return it.
    pub fn advance(&self, work: f64) -> Result<(), AnalyzeError> {
        let _ = work;
        self.first.check_cancelled()
    }

    /// A parameter's value.
    pub fn value(&self, spec: &ParameterSpec) -> f64 {
        self.parameters.value(self.analyzer, spec)
    }
}
