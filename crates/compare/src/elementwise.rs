//! A pair of weights value by value.

use std::ops::Range;

use weightscope_codec::{DType, encode_f32};
use weightscope_core::stats::{PairSums, PairTotals};
use weightscope_core::{AnalyzeError, Order, Scalar, Unit, WeightView};

/// Values that are decoded and added up at a time: they stay in the first two levels of cache.
const CHUNK_VALUES: u64 = 16 * 1024;
/// Values that are read at a time.
const READ_VALUES: u64 = 4 * CHUNK_VALUES;

/// Work for every value, in the units of [`weightscope_core::Cost::work`]: as many operations of a matrix product take
/// as long.
pub(crate) const WORK: f64 = 32.0;
/// Peak scratch, unless a row of a weight that is stored the other way is longer than [`READ_VALUES`].
pub(crate) const SCRATCH_BYTES: u64 = READ_VALUES * 4 * 16;

/// What a pair of weights shows value by value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Differences {
    /// Sums over all pairs of values.
    pub totals: PairTotals,
    /// Pairs whose bits differ, the wider type's after casting to the narrower.
    pub changed: u64,
    /// Sum of squares of what that cast loses; 0 for equal types.
    pub rounding_energy: f64,
    /// Values that are NaN or infinite: BASE's and TUNED's.
    pub not_finite: [u64; 2],
}

/// Whether the stored bytes of both are the same, read until they differ; `None` when element types, orientation or
/// shape differ, so that bytes say nothing.
///
/// # Errors
/// When the bytes cannot be read, or the run is stopped.
pub fn is_identical(
    unit: &Unit<'_>,
    base: &WeightView<'_>,
    tuned: &WeightView<'_>,
) -> Result<Option<bool>, AnalyzeError> {
    if base.dtype()? != tuned.dtype()? || !is_stored_alike(base, tuned) {
        return Ok(None);
    }
    let (mut a, mut b) = (Vec::new(), Vec::new());
    let mut same = true;
    each_block(base, |rows, columns| {
        if same {
            unit.advance(0.0)?;
            base.read_block(rows.clone(), columns.clone(), &mut a)?;
            tuned.read_block(rows, columns, &mut b)?;
            same = a == b;
        }
        Ok(())
    })?;
    Ok(Some(same))
}

/// Whether both have the same rows and columns as stored.
fn is_stored_alike(base: &WeightView<'_>, tuned: &WeightView<'_>) -> bool {
    let stored = |view: &WeightView<'_>| {
        let layout = &view.weight().layout;
        (layout.rows(), layout.columns())
    };
    let square = base.size()[0] == base.size()[1];
    stored(base) == stored(tuned)
        && (!square || base.weight().transposed == tuned.weight().transposed)
}

/// Measures a pair of weights of the same size `[out, in]`.
///
/// * Values are decoded to `f32`, or `f64` where one type is wider; all sums are in `f64` and depend on the shape alone.
/// * Cost: one read and one decode of both; the narrower cast is not vectorised. Scratch: a few chunks.
///
/// # Errors
/// When the bytes cannot be read or decoded, or the run is stopped.
pub fn differences(
    unit: &Unit<'_>,
    base: &WeightView<'_>,
    tuned: &WeightView<'_>,
) -> Result<Differences, AnalyzeError> {
    measure(unit, base, tuned, Cast::of(base.dtype()?, tuned.dtype()?))
}

/// The same with BASE cast to `grid` before bits are compared: how many values differ by more than that.
///
/// # Errors
/// As [`differences`].
pub fn changed_beyond(
    unit: &Unit<'_>,
    base: &WeightView<'_>,
    tuned: &WeightView<'_>,
    grid: DType,
) -> Result<u64, AnalyzeError> {
    Ok(measure(unit, base, tuned, Cast::Base(grid))?.changed)
}

fn measure(
    unit: &Unit<'_>,
    base: &WeightView<'_>,
    tuned: &WeightView<'_>,
    cast: Cast,
) -> Result<Differences, AnalyzeError> {
    let fits = |dtype: DType| dtype.bits() <= 16 || dtype == DType::F32;
    if fits(base.dtype()?) && fits(tuned.dtype()?) {
        Pass::<f32>::run(unit, base, tuned, cast)
    } else {
        Pass::<f64>::run(unit, base, tuned, cast)
    }
}

/// Values that can be cast to a narrower float type.
trait Value: Scalar + Into<f64> {
    /// The value as the nearest of 32 bits.
    fn narrow(self) -> f32;
}

impl Value for f32 {
    fn narrow(self) -> f32 {
        self
    }
}

impl Value for f64 {
    fn narrow(self) -> f32 {
        self as f32
    }
}

/// Which side is cast to the other's type before bits are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cast {
    /// Types are equal, or one of them is no float.
    Neither,
    Base(DType),
    Tuned(DType),
}

impl Cast {
    /// The wider type goes to the narrower; of two that do not hold each other, BASE's goes to TUNED's, as saving
    /// TUNED did.
    fn of(base: DType, tuned: DType) -> Self {
        let roundoff = |dtype: DType| dtype.unit_roundoff().unwrap_or(0.0);
        if base == tuned || !base.is_float() || !tuned.is_float() {
            Self::Neither
        } else if tuned.bits() > base.bits() || (tuned == DType::F16 && base.bits() == 8) {
            Self::Tuned(base)
        } else if base.bits() > tuned.bits() || roundoff(base) != roundoff(tuned) {
            Self::Base(tuned)
        } else {
            Self::Neither
        }
    }
}

/// Calls `visit` with the rows and columns of every block of the stored matrix, of [`READ_VALUES`] at most.
fn each_block(
    view: &WeightView<'_>,
    mut visit: impl FnMut(Range<u64>, Range<u64>) -> Result<(), AnalyzeError>,
) -> Result<(), AnalyzeError> {
    let (rows, columns) = (view.weight().layout.rows(), view.weight().layout.columns());
    if rows == 0 || columns == 0 {
        return Ok(());
    }
    let (height, width) = ((READ_VALUES / columns).clamp(1, rows), columns.min(READ_VALUES));
    for top in (0..rows).step_by(height as usize) {
        for left in (0..columns).step_by(width as usize) {
            visit(top..rows.min(top + height), left..columns.min(left + width))?;
        }
    }
    Ok(())
}

/// The state of one pass over both.
struct Pass<T> {
    cast: Cast,
    sums: PairSums,
    rounding: PairSums,
    /// The narrower one and the other after its cast.
    narrowed: PairSums,
    not_finite: [u64; 2],
    /// Decoded chunks, and the wider one's after its cast.
    a: Vec<T>,
    b: Vec<T>,
    narrow: Vec<T>,
    single: Vec<f32>,
    bytes: Vec<u8>,
}

impl<T: Value> Pass<T> {
    fn run(
        unit: &Unit<'_>,
        base: &WeightView<'_>,
        tuned: &WeightView<'_>,
        cast: Cast,
    ) -> Result<Differences, AnalyzeError> {
        let (base_dtype, tuned_dtype) = (base.dtype()?, tuned.dtype()?);
        let mut pass = Self {
            cast,
            sums: PairSums::default(),
            rounding: PairSums::default(),
            narrowed: PairSums::default(),
            not_finite: [0; 2],
            a: Vec::new(),
            b: Vec::new(),
            narrow: Vec::new(),
            single: Vec::new(),
            bytes: Vec::new(),
        };
        let (mut a, mut b) = (Vec::new(), Vec::new());
        let alike = is_stored_alike(base, tuned);
        let (a_size, b_size) = (base_dtype.bytes(), tuned_dtype.bytes());
        let mut turned: Vec<T> = Vec::new();
        each_block(base, |rows, columns| {
            let count = (rows.end - rows.start) * (columns.end - columns.start);
            unit.advance(count as f64 * WORK)?;
            base.read_block(rows.clone(), columns.clone(), &mut a)?;
            if alike {
                tuned.read_block(rows, columns, &mut b)?;
            } else {
                // In BASE's stored order, whatever TUNED's is.
                turned.resize(count as usize, T::default());
                let (order, out, input) = if base.weight().transposed {
                    (Order::ColumnMajor, columns, rows)
                } else {
                    (Order::RowMajor, rows, columns)
                };
                tuned.block(out, input, order, &mut turned)?;
            }
            for start in (0..count as usize).step_by(CHUNK_VALUES as usize) {
                let end = (count as usize).min(start + CHUNK_VALUES as usize);
                pass.a.resize(end - start, T::default());
                base.decode(base_dtype, &a[start * a_size..end * a_size], &mut pass.a)?;
                if alike {
                    pass.b.resize(end - start, T::default());
                    tuned.decode(tuned_dtype, &b[start * b_size..end * b_size], &mut pass.b)?;
                } else {
                    pass.b.clear();
                    pass.b.extend_from_slice(&turned[start..end]);
                }
                pass.add(base, tuned)?;
            }
            Ok(())
        })?;
        let totals = pass.sums.finish();
        let changed = match pass.cast {
            Cast::Neither => totals.differing,
            _ => pass.narrowed.finish().differing,
        };
        Ok(Differences {
            totals,
            changed,
            rounding_energy: pass.rounding.finish().difference_energy,
            not_finite: pass.not_finite,
        })
    }

    /// Adds the decoded chunks.
    fn add(&mut self, base: &WeightView<'_>, tuned: &WeightView<'_>) -> Result<(), AnalyzeError> {
        self.sums.push(&self.a, &self.b);
        let (wide, other, dtype, view) = match self.cast {
            Cast::Neither => {
                self.count_not_finite();
                return Ok(());
            }
            Cast::Base(dtype) => (&self.a, &self.b, dtype, base),
            Cast::Tuned(dtype) => (&self.b, &self.a, dtype, tuned),
        };
        self.single.clear();
        self.single.extend(wide.iter().map(|x| x.narrow()));
        self.bytes.resize(wide.len() * dtype.bytes(), 0);
        encode_f32(dtype, &self.single, &mut self.bytes)
            .map_err(|cause| AnalyzeError::Other(cause.to_string().into()))?;
        self.narrow.resize(wide.len(), T::default());
        view.decode(dtype, &self.bytes, &mut self.narrow)?;
        self.rounding.push(wide, &self.narrow);
        self.narrowed.push(&self.narrow, other);
        self.count_not_finite();
        Ok(())
    }

    /// Counts what is not finite, which is looked for only when the sums say that there is something.
    fn count_not_finite(&mut self) {
        let count = |values: &[T]| {
            values.iter().filter(|x| !Into::<f64>::into(**x).is_finite()).count() as u64
        };
        let totals = self.sums.finish();
        if !(totals.energies[0] + totals.energies[1]).is_finite() {
            let counts = [count(&self.a), count(&self.b)];
            for (total, count) in self.not_finite.iter_mut().zip(counts) {
                *total += count;
            }
        }
    }
}
