//! Sums over rows, columns and groups of four of a matrix that streams by, four rows at a time.

use pulp::Arch;

use crate::PrefixKey;

/// Sums of squares of every row and column of a matrix, as stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Norms {
    /// Sum of squares per stored row.
    pub rows: Vec<f64>,
    /// Sum of squares per stored column.
    pub columns: Vec<f64>,
}

/// Groups of four consecutive entries along one axis, for 2:4 structured sparsity. A shorter last group
/// is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fours {
    /// Number of groups.
    pub groups: u64,
    /// Groups with at least two zeros.
    pub sparse: u64,
    /// Summed squares of the two smallest magnitudes of every group: what 2:4 pruning would take away.
    pub pruned_energy: f64,
}

/// Which consecutive entries make a group of four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// Along a stored row.
    AlongRow,
    /// Down a stored column (the matrix is stored transposed).
    AcrossRows,
}

const LANES: usize = 8;

/// Streams a matrix in bands of up to four rows, each band in column blocks from left to right.
///
/// Every sum runs in an order that is fixed by the matrix alone: entry `j` of a row goes to lane
/// `j mod 8`, and columns add the four rows of a band pairwise. So results do not depend on how wide
/// the caller's blocks are, provided that they start at multiples of 32. Entries must be finite: the
/// caller puts [`PrefixKey::TINY`] in place of others.
#[derive(Clone, Debug)]
pub struct Bands {
    grouping: Grouping,
    columns: Vec<f64>,
    rows: Vec<f64>,
    lanes: [[f64; LANES]; 4],
    pruned: [f64; LANES],
    fours: Fours,
}

impl Bands {
    /// For a matrix of `rows` x `columns` stored entries.
    pub fn new(rows: usize, columns: usize, grouping: Grouping) -> Self {
        Self {
            grouping,
            columns: vec![0.0; columns],
            rows: Vec::with_capacity(rows),
            lanes: [[0.0; LANES]; 4],
            pruned: [0.0; LANES],
            fours: Fours::default(),
        }
    }

    /// Adds columns `first..` of the current band; `band` holds one to four row slices of one length.
    pub fn push<T: PrefixKey>(&mut self, first: usize, band: &[&[T]]) {
        let Some(columns) =
            band.first().and_then(|row| self.columns.get_mut(first..first + row.len()))
        else {
            return;
        };
        let (lanes, pruned, fours) = (&mut self.lanes, &mut self.pruned, &mut self.fours);
        let grouping = self.grouping;
        Arch::new().dispatch(
            #[inline(always)]
            || {
                if let [a, b, c, d] = band {
                    four_rows(columns, [a, b, c, d], lanes);
                    if grouping == Grouping::AcrossRows {
                        fours.groups += a.len() as u64;
                        fours.sparse += fours_across([a, b, c, d], pruned);
                    }
                } else {
                    for (row, lanes) in band.iter().zip(lanes) {
                        one_row(columns, row, lanes);
                    }
                }
                if grouping == Grouping::AlongRow {
                    for row in band {
                        fours.groups += (row.len() / 4) as u64;
                        fours.sparse += fours_along(row, pruned);
                    }
                }
            },
        );
    }

    /// Ends the current band, which had `rows` rows.
    pub fn end_band(&mut self, rows: usize) {
        for lanes in self.lanes.iter_mut().take(rows) {
            self.rows.push(lanes.iter().sum());
            *lanes = [0.0; LANES];
        }
    }

    /// The finished sums.
    pub fn finish(self) -> (Norms, Fours) {
        let fours = Fours { pruned_energy: self.pruned.iter().sum(), ..self.fours };
        (Norms { rows: self.rows, columns: self.columns }, fours)
    }
}

/// Square of an entry.
#[inline(always)]
fn square<T: PrefixKey>(value: T) -> f64 {
    let x: f64 = value.into();
    x * x
}

/// Squares of eight entries. Whole arrays at a time, here and below, so that each step is one vector
/// operation; the same sums written lane by lane run at half the speed.
#[inline(always)]
fn squares<T: PrefixKey>(values: &[T; LANES]) -> [f64; LANES] {
    let mut out = [0.0; LANES];
    for lane in 0..LANES {
        out[lane] = square(values[lane]);
    }
    out
}

#[inline(always)]
fn accumulate(sums: &mut [f64; LANES], terms: &[f64; LANES]) {
    for lane in 0..LANES {
        sums[lane] += terms[lane];
    }
}

#[inline(always)]
fn four_rows<T: PrefixKey>(columns: &mut [f64], rows: [&[T]; 4], lanes: &mut [[f64; LANES]; 4]) {
    let n = columns.len();
    let [a, b, c, d] = rows.map(|row| row[..n].as_chunks::<LANES>());
    let (column_chunks, column_rest) = columns.as_chunks_mut::<LANES>();
    let [mut sum_a, mut sum_b, mut sum_c, mut sum_d] = *lanes;
    for ((((column, a), b), c), d) in column_chunks.iter_mut().zip(a.0).zip(b.0).zip(c.0).zip(d.0) {
        let (a, b, c, d) = (squares(a), squares(b), squares(c), squares(d));
        accumulate(&mut sum_a, &a);
        accumulate(&mut sum_b, &b);
        accumulate(&mut sum_c, &c);
        accumulate(&mut sum_d, &d);
        for lane in 0..LANES {
            column[lane] += (a[lane] + b[lane]) + (c[lane] + d[lane]);
        }
    }
    for (lane, column) in column_rest.iter_mut().enumerate() {
        let (a, b, c, d) =
            (square(a.1[lane]), square(b.1[lane]), square(c.1[lane]), square(d.1[lane]));
        *column += (a + b) + (c + d);
        sum_a[lane] += a;
        sum_b[lane] += b;
        sum_c[lane] += c;
        sum_d[lane] += d;
    }
    *lanes = [sum_a, sum_b, sum_c, sum_d];
}

#[inline(always)]
fn one_row<T: PrefixKey>(columns: &mut [f64], row: &[T], lanes: &mut [f64; LANES]) {
    for (index, (column, value)) in columns.iter_mut().zip(row).enumerate() {
        let square = square(*value);
        *column += square;
        lanes[index % LANES] += square;
    }
}

/// The two smallest magnitudes of four, the smaller first.
#[inline(always)]
fn two_smallest<T: PrefixKey>(a: T, b: T, c: T, d: T) -> (T, T) {
    let min = |x: T, y: T| if x < y { x } else { y };
    let max = |x: T, y: T| if x < y { y } else { x };
    let [a, b, c, d] = [a, b, c, d].map(T::magnitude);
    let (low1, high1) = (min(a, b), max(a, b));
    let (low2, high2) = (min(c, d), max(c, d));
    (min(low1, low2), min(max(low1, low2), min(high1, high2)))
}

/// One group into lane `lane`; returns whether it has two zeros.
#[inline(always)]
fn add_group<T: PrefixKey>(pruned: &mut f64, smallest: (T, T)) -> u64 {
    *pruned += square(smallest.0) + square(smallest.1);
    u64::from(smallest.1 == T::ZERO)
}

#[inline(always)]
fn fours_across<T: PrefixKey>(rows: [&[T]; 4], pruned: &mut [f64; LANES]) -> u64 {
    let [a, b, c, d] = rows.map(|row| row.as_chunks::<LANES>());
    let (mut sums, mut sparse) = (*pruned, [0u64; LANES]);
    for (((a, b), c), d) in a.0.iter().zip(b.0).zip(c.0).zip(d.0) {
        for lane in 0..LANES {
            sparse[lane] +=
                add_group(&mut sums[lane], two_smallest(a[lane], b[lane], c[lane], d[lane]));
        }
    }
    for (lane, (((a, b), c), d)) in a.1.iter().zip(b.1).zip(c.1).zip(d.1).enumerate() {
        sparse[lane] += add_group(&mut sums[lane], two_smallest(*a, *b, *c, *d));
    }
    *pruned = sums;
    sparse.iter().sum()
}

#[inline(always)]
fn fours_along<T: PrefixKey>(row: &[T], pruned: &mut [f64; LANES]) -> u64 {
    let (chunks, rest) = row.as_chunks::<{ 4 * LANES }>();
    let (mut sums, mut sparse) = (*pruned, [0u64; LANES]);
    for chunk in chunks {
        for lane in 0..LANES {
            let group =
                [chunk[4 * lane], chunk[4 * lane + 1], chunk[4 * lane + 2], chunk[4 * lane + 3]];
            sparse[lane] +=
                add_group(&mut sums[lane], two_smallest(group[0], group[1], group[2], group[3]));
        }
    }
    for (lane, group) in rest.as_chunks::<4>().0.iter().enumerate() {
        sparse[lane] +=
            add_group(&mut sums[lane], two_smallest(group[0], group[1], group[2], group[3]));
    }
    *pruned = sums;
    sparse.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(values: &[f32], columns: usize, block: usize, grouping: Grouping) -> (Norms, Fours) {
        let rows: Vec<&[f32]> = values.chunks(columns).collect();
        let mut bands = Bands::new(rows.len(), columns, grouping);
        for band in rows.chunks(4) {
            for first in (0..columns).step_by(block) {
                let parts: Vec<&[f32]> =
                    band.iter().map(|r| &r[first..columns.min(first + block)]).collect();
                bands.push(first, &parts);
            }
            bands.end_band(band.len());
        }
        bands.finish()
    }

    #[test]
    fn small_matrix_by_hand() {
        #[rustfmt::skip]
        let w = [
            1.0, 0.0, 0.0, 2.0, 9.0,
            3.0, 0.5, -1.0, 2.0, 0.0,
            0.0, 0.0, 0.0, 0.0, 0.0,
            4.0, 1.0, 1.0, 1.0, 0.0,
        ];
        let (norms, fours) = stream(&w, 5, 8, Grouping::AlongRow);
        assert_eq!(norms.rows, [86.0, 14.25, 0.0, 19.0]);
        assert_eq!(norms.columns, [26.0, 1.25, 2.0, 9.0, 81.0]);
        assert_eq!(
            (fours.groups, fours.sparse, fours.pruned_energy),
            (4, 2, 0.0 + 1.25 + 0.0 + 2.0)
        );
        let (_, fours) = stream(&w, 5, 8, Grouping::AcrossRows);
        assert_eq!(
            (fours.groups, fours.sparse, fours.pruned_energy),
            (5, 3, 1.0 + 0.0 + 0.0 + 1.0 + 0.0)
        );
    }

    #[test]
    fn block_width_changes_nothing() {
        let w: Vec<f32> =
            (0..37 * 203).map(|i| ((i * 7919) % 1009) as f32 / 1009.0 - 0.5).collect();
        for grouping in [Grouping::AlongRow, Grouping::AcrossRows] {
            let whole = stream(&w, 203, 203, grouping);
            assert_eq!(whole, stream(&w, 203, 32, grouping));
            assert_eq!(whole, stream(&w, 203, 64, grouping));
        }
    }
}
