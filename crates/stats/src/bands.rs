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
    /// Sum per stored row.
    pub row_sums: Vec<f64>,
    /// Sum per stored column.
    pub column_sums: Vec<f64>,
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

/// Sums and sums of squares of many lines.
#[derive(Clone, Debug)]
struct Lines {
    sums: Vec<f64>,
    squares: Vec<f64>,
}

/// The same of one row, by lanes.
#[derive(Clone, Copy, Debug, Default)]
struct Lanes {
    sums: [f64; LANES],
    squares: [f64; LANES],
}

/// Streams a matrix in bands of up to four rows, each band in column blocks from left to right.
///
/// Every sum runs in an order that is fixed by the matrix alone: entry `j` of a row goes to lane
/// `j mod 8`, and columns add the four rows of a band pairwise. So results do not depend on how wide
/// the caller's blocks are, provided that they start at multiples of 32. Entries must be finite: the
/// caller puts [`PrefixKey::TINY`] in place of others.
#[derive(Clone, Debug)]
pub struct Bands {
    grouping: Grouping,
    columns: Lines,
    rows: Lines,
    lanes: [Lanes; 4],
    pruned: [f64; LANES],
    fours: Fours,
}

impl Bands {
    /// For a matrix of `rows` x `columns` stored entries.
    pub fn new(rows: usize, columns: usize, grouping: Grouping) -> Self {
        Self {
            grouping,
            columns: Lines { sums: vec![0.0; columns], squares: vec![0.0; columns] },
            rows: Lines { sums: Vec::with_capacity(rows), squares: Vec::with_capacity(rows) },
            lanes: [Lanes::default(); 4],
            pruned: [0.0; LANES],
            fours: Fours::default(),
        }
    }

    /// Adds columns `first..` of the current band; `band` holds one to four row slices of one length.
    pub fn push<T: PrefixKey>(&mut self, first: usize, band: &[&[T]]) {
        let Some(range) = band.first().map(|row| first..first + row.len()) else { return };
        let (Some(sums), Some(squares)) =
            (self.columns.sums.get_mut(range.clone()), self.columns.squares.get_mut(range))
        else {
            return;
        };
        let (lanes, pruned, fours) = (&mut self.lanes, &mut self.pruned, &mut self.fours);
        let grouping = self.grouping;
        Arch::new().dispatch(
            #[inline(always)]
            || {
                if let [a, b, c, d] = band {
                    four_rows(sums, squares, [a, b, c, d], lanes);
                    if grouping == Grouping::AcrossRows {
                        fours.groups += a.len() as u64;
                        fours.sparse += fours_across([a, b, c, d], pruned);
                    }
                } else {
                    for (row, lanes) in band.iter().zip(lanes) {
                        one_row(sums, squares, row, lanes);
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
            self.rows.sums.push(lanes.sums.iter().sum());
            self.rows.squares.push(lanes.squares.iter().sum());
            *lanes = Lanes::default();
        }
    }

    /// The finished sums.
    pub fn finish(self) -> (Norms, Fours) {
        let fours = Fours { pruned_energy: self.pruned.iter().sum(), ..self.fours };
        let (rows, columns) = (self.rows, self.columns);
        let norms = Norms {
            rows: rows.squares,
            columns: columns.squares,
            row_sums: rows.sums,
            column_sums: columns.sums,
        };
        (norms, fours)
    }
}

/// Square of an entry.
#[inline(always)]
fn square<T: PrefixKey>(value: T) -> f64 {
    let x: f64 = value.into();
    x * x
}

/// Eight entries. Whole arrays at a time, here and below, so that each step is one vector operation; the same
/// sums written lane by lane run at half the speed.
#[inline(always)]
fn widened<T: PrefixKey>(values: &[T; LANES]) -> [f64; LANES] {
    let mut out = [0.0; LANES];
    for lane in 0..LANES {
        out[lane] = values[lane].into();
    }
    out
}

#[inline(always)]
fn squares(values: &[f64; LANES]) -> [f64; LANES] {
    let mut out = [0.0; LANES];
    for lane in 0..LANES {
        out[lane] = values[lane] * values[lane];
    }
    out
}

impl Lanes {
    #[inline(always)]
    fn add(&mut self, values: &[f64; LANES], squares: &[f64; LANES]) {
        for lane in 0..LANES {
            self.sums[lane] += values[lane];
        }
        for lane in 0..LANES {
            self.squares[lane] += squares[lane];
        }
    }
}

/// Adds four rows pairwise.
#[inline(always)]
fn accumulate(sums: &mut [f64; LANES], rows: [&[f64; LANES]; 4]) {
    let [a, b, c, d] = rows;
    for lane in 0..LANES {
        sums[lane] += (a[lane] + b[lane]) + (c[lane] + d[lane]);
    }
}

#[inline(always)]
fn four_rows<T: PrefixKey>(
    column_sums: &mut [f64],
    column_squares: &mut [f64],
    rows: [&[T]; 4],
    lanes: &mut [Lanes; 4],
) {
    let n = column_sums.len();
    let [a, b, c, d] = rows.map(|row| row[..n].as_chunks::<LANES>());
    let (sum_chunks, sum_rest) = column_sums.as_chunks_mut::<LANES>();
    let (square_chunks, square_rest) = column_squares[..n].as_chunks_mut::<LANES>();
    let [mut lanes_a, mut lanes_b, mut lanes_c, mut lanes_d] = *lanes;
    let columns = sum_chunks.iter_mut().zip(square_chunks);
    for (((((sum, square), a), b), c), d) in columns.zip(a.0).zip(b.0).zip(c.0).zip(d.0) {
        let [a, b, c, d] = [a, b, c, d].map(widened);
        let [a2, b2, c2, d2] = [squares(&a), squares(&b), squares(&c), squares(&d)];
        lanes_a.add(&a, &a2);
        lanes_b.add(&b, &b2);
        lanes_c.add(&c, &c2);
        lanes_d.add(&d, &d2);
        accumulate(sum, [&a, &b, &c, &d]);
        accumulate(square, [&a2, &b2, &c2, &d2]);
    }
    *lanes = [lanes_a, lanes_b, lanes_c, lanes_d];
    for (lane, (sum, column)) in sum_rest.iter_mut().zip(square_rest).enumerate() {
        let values: [f64; 4] = [a.1[lane], b.1[lane], c.1[lane], d.1[lane]].map(Into::into);
        let squares = values.map(|x| x * x);
        *sum += (values[0] + values[1]) + (values[2] + values[3]);
        *column += (squares[0] + squares[1]) + (squares[2] + squares[3]);
        for (row, lanes) in lanes.iter_mut().enumerate() {
            lanes.sums[lane] += values[row];
            lanes.squares[lane] += squares[row];
        }
    }
}

#[inline(always)]
fn one_row<T: PrefixKey>(
    column_sums: &mut [f64],
    column_squares: &mut [f64],
    row: &[T],
    lanes: &mut Lanes,
) {
    let columns = column_sums.iter_mut().zip(column_squares);
    for (index, ((sum, column), value)) in columns.zip(row).enumerate() {
        let (value, square): (f64, f64) = ((*value).into(), square(*value));
        *sum += value;
        *column += square;
        lanes.sums[index % LANES] += value;
        lanes.squares[index % LANES] += square;
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
        assert_eq!(norms.row_sums, [12.0, 4.5, 0.0, 7.0]);
        assert_eq!(norms.column_sums, [8.0, 1.5, 0.0, 5.0, 9.0]);
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
