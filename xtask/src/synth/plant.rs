//! Defects, each exact: what a planted tensor holds is known, not estimated.

use std::ops::Range;

use weightscope::DType;
use weightscope_codec::decode_f32;
use weightscope_testkit::Random;

use super::DEVIATION;
use super::normal::Normal;
use super::orthogonal::Orthogonal;
use super::preset::Tensor;

/// A defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Plant {
    /// A geometric spectrum with condition number 10^7
    Kappa,
    /// An exact rank of a quarter of the shorter side
    Rank,
    /// A few input features with weights 20 times as large
    OutlierColumns,
    /// A few output units of zeros
    DeadRows,
    /// Three NaN in the token embedding
    Nan,
}

/// Largest over smallest singular value of [`Plant::Kappa`].
const CONDITION: f64 = 1e7;
/// What outlier columns are multiplied by.
const OUTLIER: f32 = 20.0;

/// A defect fitted to a tensor, which makes its rows.
#[derive(Debug)]
pub(super) enum Planted {
    Kappa { left: Orthogonal, spectrum: Vec<f64>, right: Orthogonal },
    Rank(LowRank),
    OutlierColumns { step: u64, transposed: bool },
    DeadRows { step: u64, transposed: bool },
    Nan { places: [u64; 3] },
}

impl Planted {
    /// `tensor` is a matrix; `random` decides what is random in all rows together.
    pub(super) fn new(plant: Plant, tensor: &Tensor, random: &mut Random) -> Self {
        let [rows, columns] = tensor.size();
        let [out, input] = if tensor.transposed { [columns, rows] } else { [rows, columns] };
        let transposed = tensor.transposed;
        match plant {
            Plant::Kappa => Self::Kappa {
                left: Orthogonal::new(rows as usize, random),
                spectrum: geometric(rows as usize, columns as usize),
                right: Orthogonal::new(columns as usize, random),
            },
            Plant::Rank => Self::Rank(LowRank::new(rows as usize, columns as usize, random)),
            Plant::OutlierColumns => {
                Self::OutlierColumns { step: (input / 2).clamp(1, 256), transposed }
            }
            Plant::DeadRows => Self::DeadRows { step: (out / 4).clamp(1, 64), transposed },
            Plant::Nan => Self::Nan { places: [1, 2, 3].map(|part| part * rows * columns / 4) },
        }
    }

    /// The type it is stored in: rounding to 16 bits would drown small singular values.
    pub(super) fn dtype(plant: Plant, others: DType) -> DType {
        if plant == Plant::Kappa { DType::F32 } else { others }
    }

    /// What was done, for people.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Kappa { spectrum, .. } => format!(
                "condition number 1e7: {} singular values from {:.6} down in equal ratios, between \
                 randomised Hadamard matrices, stored F32 lest rounding drown them",
                spectrum.len(),
                spectrum.first().unwrap_or(&0.0)
            ),
            Self::Rank(factors) => {
                format!(
                    "rank {}: product of two matrices of signs, exact in any type",
                    factors.rank
                )
            }
            Self::OutlierColumns { step, .. } => {
                format!("input features {}, then every {step}th, times {OUTLIER}", step / 2)
            }
            Self::DeadRows { step, .. } => {
                format!("output units {}, then every {step}th, zero", step / 2)
            }
            Self::Nan { places } => format!("NaN at elements {places:?}"),
        }
    }

    /// The stored rows `rows` of `columns` values each; `normal` and `random` give what is not planted.
    pub(super) fn rows(
        &self,
        rows: Range<u64>,
        columns: u64,
        normal: &Normal,
        random: &mut Random,
    ) -> Vec<f32> {
        let first = rows.start * columns;
        let mut values = vec![0.0; ((rows.end - rows.start) * columns) as usize];
        let by_row = rows.zip(values.chunks_exact_mut(columns.max(1) as usize));
        match self {
            Self::Kappa { left, spectrum, right } => {
                for (row, values) in by_row {
                    product_row(left, spectrum, right, row as usize, values);
                }
            }
            Self::Rank(factors) => by_row.for_each(|(row, values)| factors.row(row, values)),
            Self::OutlierColumns { step, transposed } => {
                normal_values(normal, random, &mut values);
                for_each_line(&mut values, first, columns, !transposed, |line, value| {
                    *value *= if line % step == step / 2 { OUTLIER } else { 1.0 };
                });
            }
            Self::DeadRows { step, transposed } => {
                normal_values(normal, random, &mut values);
                for_each_line(&mut values, first, columns, *transposed, |line, value| {
                    *value *= if line % step == step / 2 { 0.0 } else { 1.0 };
                });
            }
            Self::Nan { places } => {
                normal_values(normal, random, &mut values);
                for place in places.iter().filter_map(|place| place.checked_sub(first)) {
                    if let Some(value) = values.get_mut(place as usize) {
                        *value = f32::NAN;
                    }
                }
            }
        }
        values
    }
}

fn normal_values(normal: &Normal, random: &mut Random, values: &mut [f32]) {
    let mut bytes = vec![0; values.len() * normal.dtype().bytes()];
    normal.fill(random, &mut bytes);
    let decoded = decode_f32(normal.dtype(), &bytes, values);
    debug_assert!(decoded.is_ok(), "as many bytes as values need");
}

/// Visits stored values with their column (or row) number; the first of them has number `first`.
fn for_each_line(
    values: &mut [f32],
    first: u64,
    columns: u64,
    is_column: bool,
    visit: impl Fn(u64, &mut f32),
) {
    for (place, value) in (first..).zip(values) {
        visit(if is_column { place % columns } else { place / columns }, value);
    }
}

/// Singular values in equal ratios that give a matrix the mean square of the others.
fn geometric(rows: usize, columns: usize) -> Vec<f64> {
    let count = rows.min(columns);
    let ratio = |index| CONDITION.powf(-(index as f64) / count.saturating_sub(1).max(1) as f64);
    let mut spectrum: Vec<f64> = (0..count).map(ratio).collect();
    let squares: f64 = spectrum.iter().map(|s| s * s).sum();
    let scale = DEVIATION * ((rows * columns) as f64 / squares).sqrt();
    for value in &mut spectrum {
        *value *= scale;
    }
    spectrum
}

/// Row `row` of `left * diag(spectrum) * right^T`.
fn product_row(
    left: &Orthogonal,
    spectrum: &[f64],
    right: &Orthogonal,
    row: usize,
    values: &mut [f32],
) {
    let mut work = vec![0.0; left.size()];
    work[row] = 1.0;
    left.apply_transposed(&mut work);
    work.resize(values.len(), 0.0);
    // Past the spectrum, a wide matrix has zeros.
    let spectrum = spectrum.iter().copied().chain(std::iter::repeat(0.0));
    work.iter_mut().zip(spectrum).for_each(|(value, s)| *value *= s);
    right.apply(&mut work);
    values.iter_mut().zip(&work).for_each(|(value, exact)| *value = *exact as f32);
}

/// `A B^T` of two random matrices of signs, times a power of two.
///
/// The entries are even or odd integers like the rank, and few of them are larger than four times its
/// root: they have 8 significant bits up to rank 4096 and are exact even in BF16.
#[derive(Debug)]
pub(super) struct LowRank {
    rank: u64,
    seed: u64,
    scale: f32,
    /// Sign bits of B, so many words for a row.
    words: usize,
    right: Vec<u64>,
}

impl LowRank {
    fn new(rows: usize, columns: usize, random: &mut Random) -> Self {
        // An even rank makes even entries, which have one bit more to spare.
        let rank = (rows.min(columns) as u64 / 4).next_multiple_of(2);
        let words = rank.div_ceil(64) as usize;
        let seed = random.next_u64();
        let mut right: Vec<u64> = (0..columns * words).map(|_| random.next_u64()).collect();
        right.chunks_exact_mut(words).for_each(|row| cut(row, rank));
        let scale = 2f64.powi((DEVIATION / (rank as f64).sqrt()).log2().round() as i32) as f32;
        Self { rank, seed, scale, words, right }
    }

    fn row(&self, row: u64, values: &mut [f32]) {
        let mut random = Random::new(Random::new(self.seed ^ row).next_u64());
        let mut left: Vec<u64> = (0..self.words).map(|_| random.next_u64()).collect();
        cut(&mut left, self.rank);
        for (value, right) in values.iter_mut().zip(self.right.chunks_exact(self.words)) {
            let unequal: u32 = left.iter().zip(right).map(|(a, b)| (a ^ b).count_ones()).sum();
            *value = self.scale * (self.rank as i64 - 2 * i64::from(unequal)) as f32;
        }
    }
}

/// Clears the bits past `rank`.
fn cut(words: &mut [u64], rank: u64) {
    if let Some(last) = words.last_mut().filter(|_| !rank.is_multiple_of(64)) {
        *last &= (1 << (rank % 64)) - 1;
    }
}
