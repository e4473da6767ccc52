//! One look at a weight's values for every analyzer.
//!
//! The stored matrix streams by in chunks of whole rows that stay in the second-level cache. Each chunk is
//! hashed, counted (by bit pattern up to 16 bits, by key prefix beyond, or collected when the tensor is
//! small), decoded once, and summed by rows, columns and groups of four. How a tensor is cut depends on its
//! shape alone, and no sum depends on the cut, so results are the same for any number of threads.

use std::ops::Range;

use weightscope_codec::pattern_values;
use weightscope_stats::{
    Bands, ContentHasher, Demands, Grouping, Ladder, MomentSums, PatternCounter, PrefixCounter,
    PrefixKey, Refinement, Sketch, Summary, Tally,
};

use crate::view::{Scalar, WeightView};
use crate::{AnalyzeError, DType, Weight};

/// Values a chunk holds, about: 32 KiB of BF16 and 64 KiB once decoded.
const CHUNK_VALUES: u64 = 16 * 1024;
/// Values that are read at a time, about.
const READ_VALUES: u64 = 8 * CHUNK_VALUES;
/// Above this many values in four rows, rows are cut into column blocks.
const WIDE_VALUES: u64 = 4 * 1024 * 1024;
/// Up to this many values, the values themselves are sorted: cheaper than a table of 65 536 counts.
const SMALL_VALUES: u64 = 16 * 1024;
/// Rows that the sketch samples, about.
const SKETCH_ROWS: u64 = 16;

/// Work of a summary for every value of an 8- or 16-bit format, in the units of [`crate::Cost::work`]: as
/// many floating-point operations of a matrix product take as long.
pub const SUMMARY_WORK: f64 = 32.0;

/// What [`WeightView::summary`] costs, in the units of [`crate::Cost::work`]. Analyzers leave it out of
/// [`crate::Analyzer::cost`]: whoever plans a run adds it once for every weight.
pub fn summary_work(weight: &Weight) -> f64 {
    let Some(dtype) = weight.dtype else { return 0.0 };
    let elements = weight.elements();
    let [first, second] = Counting::of(dtype, elements).work();
    elements as f64 * (first + second)
}

/// Peak scratch of [`WeightView::summary`], in bytes.
pub fn summary_scratch(weight: &Weight) -> u64 {
    let Some(dtype) = weight.dtype.filter(|_| weight.elements() > 0) else { return 0 };
    let chunks = Chunks::of(weight, READ_VALUES);
    let element = dtype.bytes() as u64 + if dtype.bits() > 32 { 8 } else { 4 };
    let lines = 16 * (weight.layout.rows() + weight.layout.columns());
    let tables = match Counting::of(dtype, weight.elements()) {
        Counting::Values => SMALL_VALUES * 24,
        Counting::Patterns => 8 << 20,
        Counting::Prefixes if dtype == DType::F32 => prefix_scratch::<f32>(weight.elements()),
        Counting::Prefixes => prefix_scratch::<f64>(weight.elements()),
    };
    chunks.values() * element + lines + tables
}

/// Scratch of counting by key prefix, and of refining.
fn prefix_scratch<T: PrefixKey>(values: u64) -> u64 {
    PrefixCounter::<T>::scratch(values) + Refinement::<T>::scratch(values)
}

/// How many times longer than a value of 16 bits one of 32 or 64 bits takes, when it is counted, when the ladder
/// is refined, and when it is sorted.
const WIDE_FIRST: f64 = 4.0;
const WIDE_SECOND: f64 = 3.0;
const SORTED: f64 = 8.0;

/// How values are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counting {
    /// Collected and sorted.
    Values,
    /// One counter per bit pattern.
    Patterns,
    /// One counter per key prefix, then refined.
    Prefixes,
}

impl Counting {
    fn of(dtype: DType, elements: u64) -> Self {
        if elements <= SMALL_VALUES {
            Self::Values
        } else if dtype.bits() <= 16 {
            Self::Patterns
        } else {
            Self::Prefixes
        }
    }

    /// Work for every value: while the bytes are read for the first time, and for the second.
    fn work(self) -> [f64; 2] {
        match self {
            Self::Patterns => [SUMMARY_WORK, 0.0],
            Self::Values => [SORTED * SUMMARY_WORK, 0.0],
            Self::Prefixes => [WIDE_FIRST * SUMMARY_WORK, WIDE_SECOND * SUMMARY_WORK],
        }
    }
}

/// How a stored matrix is cut: `rows` at a time (a multiple of four), `columns` at a time (all of them, or
/// a multiple of 64).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Chunks {
    rows: u64,
    columns: u64,
}

impl Chunks {
    fn of(weight: &Weight, values: u64) -> Self {
        let width = weight.layout.columns().max(1);
        let band = weight.layout.rows().clamp(1, 4);
        if width.saturating_mul(band) > WIDE_VALUES {
            return Self { rows: 4, columns: (values / 64).max(1) * 64 };
        }
        Self { rows: (values / width / 4).max(1) * 4, columns: width }
    }

    fn values(self) -> u64 {
        self.rows.saturating_mul(self.columns)
    }

    /// Calls `visit` with the rows and columns of every chunk, bands from top to bottom, blocks from left
    /// to right.
    fn each(
        self,
        weight: &Weight,
        mut visit: impl FnMut(Range<u64>, Range<u64>) -> Result<(), AnalyzeError>,
    ) -> Result<(), AnalyzeError> {
        let (rows, columns) = (weight.layout.rows(), weight.layout.columns());
        for top in (0..rows).step_by(self.rows as usize) {
            for left in (0..columns).step_by(self.columns as usize) {
                visit(top..rows.min(top + self.rows), left..columns.min(left + self.columns))?;
            }
        }
        Ok(())
    }
}

/// Computes the summary of a weight.
pub(crate) fn summarize(view: &WeightView<'_>) -> Result<Summary, AnalyzeError> {
    summarize_in(view, READ_VALUES)
}

/// The same with another chunk size, which changes nothing but speed.
fn summarize_in(view: &WeightView<'_>, chunk_values: u64) -> Result<Summary, AnalyzeError> {
    let dtype = view.dtype()?;
    if dtype.bits() <= 16 || dtype == DType::F32 {
        Pass::<f32>::run(view, dtype, chunk_values)
    } else {
        Pass::<f64>::run(view, dtype, chunk_values)
    }
}

/// The state of the first pass.
struct Pass<'a, T> {
    view: &'a WeightView<'a>,
    dtype: DType,
    chunks: Chunks,
    counting: Counting,
    hasher: ContentHasher,
    tally: Tally,
    values: Vec<f64>,
    patterns: Option<PatternCounter>,
    prefixes: Option<PrefixCounter<T>>,
    moments: Option<MomentSums>,
    bands: Option<Bands>,
    sketch: Sketch,
    decoded: Vec<T>,
}

impl<'a, T: Scalar> Pass<'a, T> {
    fn run(
        view: &'a WeightView<'a>,
        dtype: DType,
        chunk_values: u64,
    ) -> Result<Summary, AnalyzeError> {
        let weight = view.weight();
        let counting = Counting::of(dtype, weight.elements());
        let pass = Self {
            view,
            dtype,
            chunks: Chunks::of(weight, chunk_values),
            counting,
            hasher: ContentHasher::default(),
            tally: Tally::default(),
            values: Vec::new(),
            patterns: (counting == Counting::Patterns).then(PatternCounter::default),
            prefixes: (counting == Counting::Prefixes)
                .then(|| PrefixCounter::new(weight.elements())),
            moments: None,
            bands: weight.matrix.filter(|_| weight.elements() > 0).map(|_| bands(weight)),
            sketch: Sketch::default(),
            decoded: Vec::new(),
        };
        pass.measure()
    }

    fn measure(mut self) -> Result<Summary, AnalyzeError> {
        let (view, weight) = (self.view, self.view.weight());
        let [first_work, _] = self.counting.work();
        let mut bytes = Vec::new();
        let width = weight.layout.columns();
        let whole_rows = self.chunks.columns >= width;
        self.chunks.each(weight, |rows, columns| {
            view.check_cancelled()?;
            view.read_block(rows.clone(), columns.clone(), &mut bytes)?;
            if whole_rows || weight.layout.rows() == 1 {
                self.hasher.update(&bytes);
            }
            // Read much at a time, because each call costs; look at little, so that it stays in cache.
            let width = columns.end - columns.start;
            let step = (CHUNK_VALUES / width.max(1) / 4).max(1) * 4;
            let part_bytes = (step * width) as usize * self.dtype.bytes();
            for (top, part) in
                (rows.start..).step_by(step as usize).zip(bytes.chunks(part_bytes.max(1)))
            {
                self.decoded.resize(part.len() / self.dtype.bytes(), T::default());
                view.decode(self.dtype, part, &mut self.decoded)?;
                self.count(part, width as usize);
                self.sum(&(top..rows.end.min(top + step)), &columns);
            }
            view.host().cover(bytes.len() as u64);
            view.host().advance((bytes.len() / self.dtype.bytes()) as f64 * first_work);
            Ok(())
        })?;
        if !whole_rows && weight.layout.rows() > 1 {
            // Column blocks came out of stored order, and the hash is of the bytes in stored order.
            self.hash_rows(&mut bytes)?;
        }
        self.finish()
    }

    fn hash_rows(&mut self, bytes: &mut Vec<u8>) -> Result<(), AnalyzeError> {
        let layout = &self.view.weight().layout;
        for row in 0..layout.rows() {
            for left in (0..layout.columns()).step_by(self.chunks.columns as usize) {
                self.view.read_block(
                    row..row + 1,
                    left..layout.columns().min(left + self.chunks.columns),
                    bytes,
                )?;
                self.hasher.update(bytes);
            }
        }
        Ok(())
    }

    /// Counts the decoded chunk, whose rows are `width` long.
    fn count(&mut self, bytes: &[u8], width: usize) {
        if let Some(patterns) = &mut self.patterns {
            if self.dtype.bits() == 8 {
                patterns.push_8(bytes);
            } else {
                patterns.push_16(bytes);
            }
            return;
        }
        let normal = self.dtype.min_positive_normal().unwrap_or(0.0);
        self.tally.push_all(&self.decoded, normal);
        match &mut self.prefixes {
            None => self.values.extend(self.decoded.iter().map(|v| -> f64 { (*v).into() })),
            Some(prefixes) => {
                prefixes.push(&self.decoded);
                let moments =
                    self.moments.get_or_insert_with(|| MomentSums::new(centre(&self.decoded)));
                self.decoded.chunks(width.max(1)).for_each(|row| moments.push(row));
            }
        }
    }

    /// Adds the decoded chunk to the sums over rows, columns and groups, and to the sketch.
    fn sum(&mut self, rows: &Range<u64>, columns: &Range<u64>) {
        let row_length = self.view.weight().layout.columns();
        let width = (columns.end - columns.start) as usize;
        let Some(bands) = &mut self.bands else { return };
        let lines: Vec<&[T]> = self.decoded.chunks_exact(width.max(1)).collect();
        for band in lines.chunks(4) {
            bands.push(columns.start as usize, band);
            if columns.end == row_length {
                bands.end_band(band.len());
            }
        }
        let stride = (self.view.weight().layout.rows() / SKETCH_ROWS).max(1);
        for (row, line) in rows.clone().zip(lines).filter(|(row, _)| row % stride == 0) {
            // Rows start at multiples of 64 of the sketched vector: the same lanes whatever the cut.
            let start = row / stride * row_length.next_multiple_of(64) + columns.start;
            self.sketch.push(start, line);
        }
    }

    /// The sums once more with next to nothing in place of every value that is not finite: such tensors are
    /// rare, and the first pass is faster without the test.
    fn sum_finite(&mut self) -> Result<(), AnalyzeError> {
        let (view, weight) = (self.view, self.view.weight());
        self.bands = weight.matrix.map(|_| bands(weight));
        self.sketch = Sketch::default();
        let mut bytes = Vec::new();
        self.chunks.each(weight, |rows, columns| {
            view.check_cancelled()?;
            self.load(&rows, &columns, &mut bytes)?;
            for value in self.decoded.iter_mut().filter(|v| !v.is_finite()) {
                *value = T::TINY;
            }
            self.sum(&rows, &columns);
            Ok(())
        })
    }

    /// Reads and decodes one chunk.
    fn load(
        &mut self,
        rows: &Range<u64>,
        columns: &Range<u64>,
        bytes: &mut Vec<u8>,
    ) -> Result<(), AnalyzeError> {
        self.view.read_block(rows.clone(), columns.clone(), bytes)?;
        self.decoded.resize(
            ((rows.end - rows.start) * (columns.end - columns.start)) as usize,
            T::default(),
        );
        self.view.decode(self.dtype, bytes, &mut self.decoded)
    }

    fn finish(mut self) -> Result<Summary, AnalyzeError> {
        let mut summary = match self.counting {
            Counting::Values => {
                let ladder = Ladder::from_values(std::mem::take(&mut self.values));
                Summary::new(self.tally, &ladder, ladder.moments()).with_exact(ladder)
            }
            Counting::Patterns => {
                let counts = self.patterns.take().map(PatternCounter::finish).unwrap_or_default();
                let values = pattern_values(self.dtype).unwrap_or_default();
                let normal = self.dtype.min_positive_normal().unwrap_or(0.0);
                for (value, count) in values.iter().zip(&counts) {
                    self.tally.push(f64::from(*value), *count, normal);
                }
                let ladder = Ladder::from_patterns(&values, &counts);
                Summary::new(self.tally, &ladder, ladder.moments()).with_exact(ladder)
            }
            Counting::Prefixes => self.refine()?,
        };
        if self.bands.is_some() && !summary.all_finite() {
            self.sum_finite()?;
        }
        if let Some(bands) = self.bands.take() {
            let (norms, fours) = bands.finish();
            summary.norms = Some(norms);
            summary.fours = Some(fours).filter(|f| f.groups > 0);
        }
        summary.content_hash = self.hasher.finish();
        summary.sketch = self.sketch.to_hex();
        Ok(summary)
    }

    /// Further passes over a wide format until the ladder answers everything exactly.
    fn refine(&mut self) -> Result<Summary, AnalyzeError> {
        let moments = self.moments.as_ref().and_then(MomentSums::finish);
        let ladder = self.prefixes.take().map(PrefixCounter::finish).unwrap_or_default();
        let mut refinement = Refinement::<T>::new(ladder, Demands::of(moments.as_ref()));
        let (view, weight) = (self.view, self.view.weight());
        let [_, second_work] = self.counting.work();
        let mut untold = weight.elements() as f64 * second_work;
        let mut bytes = Vec::new();
        while refinement.needs_pass() {
            self.chunks.each(weight, |rows, columns| {
                view.check_cancelled()?;
                view.read_block(rows, columns, &mut bytes)?;
                // A little at a time, as in the first pass.
                for part in bytes.chunks(CHUNK_VALUES as usize * self.dtype.bytes()) {
                    self.decoded.resize(part.len() / self.dtype.bytes(), T::default());
                    view.decode(self.dtype, part, &mut self.decoded)?;
                    refinement.push(&self.decoded);
                }
                let work = untold.min((bytes.len() / self.dtype.bytes()) as f64 * second_work);
                view.host().advance(work);
                untold -= work;
                Ok(())
            })?;
            refinement.end_pass();
        }
        view.host().advance(untold);
        let ladder = refinement.finish();
        // The sums kept about 1e-16 of the largest value: a constant has exactly no variance.
        let moments = match ladder.extremes() {
            Some((min, max)) if min == max => ladder.moments(),
            _ => moments,
        };
        Ok(Summary::new(self.tally, &ladder, moments))
    }
}

/// Empty sums for a matrix.
fn bands(weight: &Weight) -> Bands {
    let grouping = if weight.transposed { Grouping::AcrossRows } else { Grouping::AlongRow };
    Bands::new(weight.layout.rows() as usize, weight.layout.columns() as usize, grouping)
}

/// A provisional centre for power sums: the mean of the first finite values.
fn centre<T: Scalar>(values: &[T]) -> f64 {
    let first: Vec<f64> =
        values.iter().filter(|v| v.is_finite()).take(64).map(|v| (*v).into()).collect();
    first.iter().sum::<f64>() / first.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cancel, Confidence, Layout, MemorySource, Part, Role, Shared, TensorSource};
    use proptest::prelude::*;

    fn weight(source: &MemorySource, transposed: bool) -> Weight {
        let entry = &source.entries()[0];
        let [rows, columns] = [entry.shape[0], entry.shape[1]];
        Weight {
            name: entry.name.clone(),
            entry: crate::EntryId(0),
            source_tensor: entry.name.clone(),
            role: Role::Other,
            part: Part::Weight,
            stack: None,
            block: None,
            expert: None,
            dtype: entry.dtype,
            shape: entry.shape.clone(),
            layout: Layout::whole(rows, columns),
            matrix: Some(if transposed { [columns, rows] } else { [rows, columns] }),
            transposed,
            heads: None,
            fused: Vec::new(),
            from_one: false,
            factor: None,
            confidence: Confidence::Known,
        }
    }

    /// A summary of `bytes` read in chunks of about `chunk` values.
    fn summary(
        dtype: DType,
        shape: [u64; 2],
        bytes: &[u8],
        transposed: bool,
        chunk: u64,
    ) -> Summary {
        let mut source = MemorySource::default();
        source.push("w", dtype, &shape, bytes.to_vec()).unwrap();
        let (shared, cancel) = (Shared::default(), Cancel::default());
        let weight = weight(&source, transposed);
        summarize_in(&WeightView::new(&weight, &source, &shared, &cancel), chunk).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn chunking_changes_nothing(
            seed in any::<u64>(),
            rows in 1u64..90,
            columns in 1u64..700,
            dtype in prop::sample::select(vec![DType::F64, DType::F32, DType::BF16, DType::F16, DType::F8E4M3, DType::I8]),
            transposed in any::<bool>(),
        ) {
            let mut state = seed;
            let bytes: Vec<u8> = (0..rows * columns * dtype.bytes() as u64).map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            }).collect();
            let reference = summary(dtype, [rows, columns], &bytes, transposed, READ_VALUES);
            for chunk in [64, 1000, 8192] {
                // Infinite sums of wild F64 values are not equal to themselves, so compare as text.
                let other = summary(dtype, [rows, columns], &bytes, transposed, chunk);
                prop_assert_eq!(format!("{reference:?}"), format!("{other:?}"));
            }
        }
    }

    #[test]
    fn very_wide_matrices_are_cut_by_columns() {
        let [rows, columns] = [3u64, 2_000_003];
        let bytes: Vec<u8> =
            (0..rows * columns * 2).map(|i| ((i * 2_654_435_761) >> 13) as u8 & 0x3f).collect();
        let view = summary(DType::BF16, [rows, columns], &bytes, false, READ_VALUES);
        let mut hasher = ContentHasher::default();
        hasher.update(&bytes);
        assert_eq!(view.content_hash, hasher.finish());
        let energy: f64 = view.norms.as_ref().unwrap().rows.iter().sum();
        assert!((energy / view.moments.unwrap().energy - 1.0).abs() < 1e-12);
        assert_eq!(view.fours.unwrap().groups, 3 * (columns / 4));
    }

    /// Compares what 100 x 500 values give with what they give when sorted.
    fn check_sorted(name: &str, dtype: DType, values: &[f64]) {
        let bytes: Vec<u8> = match dtype {
            DType::F32 => values.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect(),
            _ => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        };
        let refined = summary(dtype, [100, 500], &bytes, false, READ_VALUES);
        let stored: Vec<f64> = match dtype {
            DType::F32 => values.iter().map(|v| f64::from(*v as f32)).collect(),
            _ => values.to_vec(),
        };
        let ladder = Ladder::from_values(stored);
        let (ours, exact) = (refined.moments, ladder.moments());
        if let (Some(ours), Some(exact)) = (ours, exact) {
            assert!((ours.mean - exact.mean).abs() <= 1e-12 * exact.rms(), "{name}");
            assert!((ours.std() - exact.std()).abs() <= 1e-7 * exact.rms(), "{name}");
        }
        let exact = Summary::new(refined.tally, &ladder, ours);
        assert_eq!(refined.extremes, exact.extremes, "{name}");
        assert_eq!(refined.quantiles, exact.quantiles, "{name}");
        assert_eq!(refined.magnitude_quantiles, exact.magnitude_quantiles, "{name}");
        assert_eq!(refined.ks_statistic, exact.ks_statistic, "{name}");
        assert_eq!(refined.histogram, exact.histogram, "{name}");
        assert_eq!((refined.below, refined.below_rms), (exact.below, exact.below_rms), "{name}");
        assert_eq!(
            (refined.above_f16, refined.flushed_by_f16, refined.above_e4m3, refined.prunable),
            (exact.above_f16, exact.flushed_by_f16, exact.above_e4m3, exact.prunable),
            "{name}"
        );
        for (a, b) in refined.pruned_energy.iter().zip(exact.pruned_energy) {
            assert!((a - b).abs() <= 1e-12 * b.abs(), "{name}: {a} {b}");
        }
    }

    #[test]
    fn large_wide_tensors_equal_their_sorted_values() {
        let uniform = |i: u32| f64::from(i.wrapping_mul(2_654_435_761) >> 8) / 1.6e7 - 0.5;
        let check = |name: &str, value: &dyn Fn(u32) -> f64| {
            let values: Vec<f64> = (0..50_000).map(value).collect();
            for dtype in [DType::F32, DType::F64] {
                check_sorted(name, dtype, &values);
            }
        };
        check("cubes", &|i| uniform(i).powi(3));
        check("constant", &|_| 0.1);
        check("zero", &|_| 0.0);
        check("two values", &|i| if i % 7 == 0 { 0.3 } else { -0.1 });
        check("special", &|i| match i % 11 {
            0 => f64::NAN,
            1 => f64::NEG_INFINITY,
            2 => -0.0,
            3 => 1e-42,
            _ => uniform(i),
        });
        check("levels", &|i| (uniform(i) * 15.0).floor() * (0.01 + uniform(i / 32).powi(2)));
        check("heavy tail", &|i| uniform(i) / (uniform(i.wrapping_mul(977)).abs() + 1e-6));
        check("low bits", &|i| f64::from_bits(0.3f64.to_bits() + u64::from(i * 7919 % 1024)));
    }

    #[test]
    fn a_constant_has_no_variance() {
        let bytes: Vec<u8> = std::iter::repeat_n(0.1f64.to_le_bytes(), 20_000).flatten().collect();
        let summary = summary(DType::F64, [100, 200], &bytes, false, READ_VALUES);
        assert!(summary.is_constant() && summary.histogram.is_none());
        assert_eq!(summary.moments.map(|m| m.m2), Some(0.0));
    }
}
