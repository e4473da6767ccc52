//! One look at the values of a pair that differs: what storing both cost, and whether factors or a constant explain the
//! rest.
//!
//! Conversions multiply weights by what belongs beside them (factors of a tensor, of rows, of blocks), or add a constant
//! (norms kept as `w` or as `1 + w`). Least squares gives each factor, and what it leaves is known without another look:
//! `|b|^2 - (a b)^2/|a|^2`.

use weightscope_core::{AnalyzeError, Axis, DType, StorageGrid, Unit, WeightView};

use crate::bands::{self, Arrangement, each_band};

/// Widths of groups along a row that may share a factor, narrowest first; the widest is the side of blocks, too.
const GROUPS: [usize; 3] = [32, 64, 128];
const BLOCK: usize = 128;
/// Values that there must be for every factor: with fewer, factors explain anything.
const VALUES_PER_FACTOR: u64 = 8;
/// Most that two roundings to nearest, one after the other, differ from one alone: F16 adds an eighth to BF16's.
const TWICE_ROUNDED: f64 = 1.13;

/// What a family of factors leaves of a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scaled {
    pub(crate) kind: &'static str,
    /// Sum of squares of what is left.
    pub(crate) residual: f64,
    /// Smallest and largest factor; of a mere constant, that.
    pub(crate) range: [f64; 2],
    /// What is added after it.
    pub(crate) shift: f64,
}

/// Sums over the values of one row or column.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Line {
    /// Squares of A and of B, and products.
    pub(crate) energies: [f64; 2],
    product: f64,
    pub(crate) difference: f64,
}

impl Line {
    fn add(&mut self, other: &Self) {
        for (sum, value) in self.energies.iter_mut().zip(other.energies) {
            *sum += value;
        }
        self.product += other.product;
        self.difference += other.difference;
    }

    fn push(&mut self, a: f64, b: f64) {
        self.energies[0] += a * a;
        self.energies[1] += b * b;
        self.product += a * b;
        self.difference += (b - a) * (b - a);
    }

    /// Whether the two have little to do with each other.
    pub(crate) fn has_moved(&self) -> bool {
        self.difference > 0.25 * self.energies[0].max(self.energies[1])
    }
}

/// Factors of one family, by least squares.
#[derive(Clone, Copy, Debug)]
struct Factors {
    kind: &'static str,
    residual: f64,
    range: [f64; 2],
    count: u64,
}

impl Factors {
    fn new(kind: &'static str) -> Self {
        Self { kind, residual: 0.0, range: [f64::INFINITY, f64::NEG_INFINITY], count: 0 }
    }

    fn push(&mut self, line: &Line) {
        let [a, b] = line.energies;
        self.count += 1;
        if a > 0.0 {
            let factor = line.product / a;
            self.residual += (b - factor * line.product).max(0.0);
            self.range = [self.range[0].min(factor), self.range[1].max(factor)];
        } else {
            self.residual += b;
        }
    }
}

/// What one look at a pair shows.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    /// Over all values.
    pub(crate) whole: Line,
    pub(crate) rows: Vec<Line>,
    pub(crate) columns: Vec<Line>,
    /// Sum of squares of the rounding errors to be expected of A's and of B's form.
    pub(crate) rounding: [f64; 2],
    /// Share of values that are farther apart than rounding a common source to the formats of both leaves them; `None`
    /// unless these are two number formats.
    pub(crate) beyond: Option<f64>,
    /// Whether codes in blocks stand for the values of one of them.
    pub(crate) has_steps: bool,
    /// Families of factors, from one for the tensor to one for a few values.
    scaled: Vec<Factors>,
    pub(crate) grids: Grids,
    /// Sums of A's values and of B's, and their number.
    sums: [f64; 2],
    count: u64,
}

/// Bytes of scratch for a weight of this size.
pub(crate) fn scratch([rows, columns]: [u64; 2]) -> u64 {
    let lines = rows.saturating_add(columns).saturating_mul(size_of::<Line>() as u64);
    // What was seen as it stands, and in an arrangement.
    lines
        .saturating_mul(2)
        .saturating_add(bands::scratch([rows, columns]))
        .saturating_add(32 * columns)
}

impl Probe {
    /// Looks at all values of both, which must be finite and of one size, with B's lines arranged like A's.
    ///
    /// # Errors
    /// When the bytes cannot be read or decoded, or the run is stopped.
    pub(crate) fn of(
        unit: &Unit<'_>,
        base: &WeightView<'_>,
        tuned: &WeightView<'_>,
        arrangement: &Arrangement,
    ) -> Result<Self, AnalyzeError> {
        let grids = [base.storage_grid()?, tuned.storage_grid()?];
        let [of_base, of_tuned] = grids;
        let formats = [Format::of(of_base, base.dtype()?), Format::of(of_tuned, tuned.dtype()?)];
        let along = arrangement.along(tuned);
        let [rows, columns] = base.size();
        let size = if along == Axis::Rows { [rows, columns] } else { [columns, rows] };
        let mut pass = Pass::new(size, formats);
        each_band(unit, [base, tuned], arrangement, |a, b, width| {
            for (a, b) in a.chunks_exact(width).zip(b.chunks_exact(width)) {
                pass.row(a, b);
            }
        })?;
        pass.close();
        if along == Axis::Columns {
            pass.turn();
        }
        Ok(pass.finish(grids))
    }

    /// Rows and columns.
    pub(crate) fn size(&self) -> [usize; 2] {
        [self.rows.len(), self.columns.len()]
    }

    /// What a matrix was rounded to and stored as before.
    pub(crate) fn rounded(&self) -> Option<&'static str> {
        self.grids.rounded().filter(|_| self.size().into_iter().min() > Some(1))
    }

    /// Sum of squares that storing both leaves where A is multiplied by `factor`.
    pub(crate) fn floor(&self) -> f64 {
        let [a, b] = self.whole.energies;
        let factor = if a > 0.0 { b / a } else { 1.0 };
        factor * self.rounding[0] + self.rounding[1]
    }

    /// What factors leave, families with fewest factors first; those that could explain anything are left out.
    pub(crate) fn scaled(&self) -> impl Iterator<Item = Scaled> {
        let values = self.count;
        let sound =
            move |f: &&Factors| f.count > 0 && f.count.saturating_mul(VALUES_PER_FACTOR) <= values;
        self.scaled.iter().filter(sound).map(|f| Scaled {
            kind: f.kind,
            residual: f.residual,
            range: f.range,
            shift: 0.0,
        })
    }

    /// Mean and standard deviation of A, and of B.
    pub(crate) fn spreads(&self) -> [[f64; 2]; 2] {
        let count = self.count.max(1) as f64;
        let of = |sum: f64, energy: f64| {
            let mean = sum / count;
            [mean, (energy / count - mean * mean).max(0.0).sqrt()]
        };
        [of(self.sums[0], self.whole.energies[0]), of(self.sums[1], self.whole.energies[1])]
    }

    /// What a constant leaves, and what a factor and a constant leave.
    pub(crate) fn shifted(&self) -> impl Iterator<Item = Scaled> {
        let count = self.count as f64;
        let shift = (self.sums[1] - self.sums[0]) / count;
        let residual = (self.whole.difference - count * shift * shift).max(0.0);
        let shifted = Scaled { kind: "shifted", residual, range: [shift; 2], shift };
        let [[of_a, spread_a], [of_b, spread_b]] = self.spreads();
        let covariance = self.whole.product / count - of_a * of_b;
        let factor = covariance / (spread_a * spread_a);
        let left = count * (spread_b * spread_b - factor * covariance);
        let both = Scaled {
            kind: "scaled-and-shifted",
            residual: left.max(0.0),
            range: [factor; 2],
            shift: of_b - factor * of_a,
        };
        let enough = self.count >= 2 * VALUES_PER_FACTOR && both.residual.is_finite();
        [shifted, both].into_iter().filter(move |_| enough)
    }
}

/// A number format as far as its steps go.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Format {
    roundoff: f64,
    /// Exponent of its smallest normal number, as `f64` stores it.
    least: u64,
    /// Half of the smallest step of the type that the values are stored in, which may end before.
    smallest: f64,
}

impl Format {
    /// The coarsest format that holds the values of a weight, and the type that it is stored in; `None` for integers,
    /// and for codes with factors.
    fn of(grid: StorageGrid, stored: DType) -> Option<Self> {
        let dtype: DType = grid.dtype()?;
        let normal = dtype.min_positive_normal()?;
        let smallest = stored.min_positive_normal()? * stored.unit_roundoff()?;
        Some(Self { roundoff: dtype.unit_roundoff()?, least: exponent(normal), smallest })
    }

    /// Half of the step at `x`.
    fn half_step(self, x: f64) -> f64 {
        let step = self.roundoff * f64::from_bits(exponent(x).max(self.least) << 52);
        step.max(self.smallest)
    }
}

fn exponent(x: f64) -> u64 {
    x.to_bits() >> 52 & 0x7ff
}

/// What the values of B are on, where they are not as free as A's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grids {
    /// Values that are zero in B and not in A.
    pub(crate) zeroed: u64,
    /// Sum of squared differences of those that are not zero in B.
    pub(crate) kept: f64,
    /// Whether every group of four in a row has two zeros at least.
    pub(crate) two_of_four: bool,
    /// Smallest and largest value of A, and of B.
    pub(crate) ranges: [[f64; 2]; 2],
    /// Values that differ by more than what is lost on the way through F16 below its normal range.
    beyond_f16: u64,
    /// Groups of 32 in a row with more than 16 values, of A and of B; all of them.
    varied: [u64; 2],
    groups: u64,
    /// Rows that are no multiples of 1/127 of their largest value.
    odd_rows: [u64; 2],
    rows: u64,
    /// Runs of up to 128 values of a row with more significands than floats of 8 bits have; all of them.
    fine: [u64; 2],
    runs: u64,
}

/// Significands of the widest float of 8 bits, E4M3: factors of a run leave their number as it is.
const SIGNIFICANDS: usize = 8;
/// Values of 4 bits, and steps to either side of zero of 8.
const VALUES_OF_4_BITS: usize = 16;
const STEPS_OF_8_BITS: f64 = 127.0;
/// What storing a multiple of a step, and the largest, in BF16 changes, as a share of it, and the least that counts.
const STORED: f64 = 1.0 / 120.0;
const NEAR_STEP: f64 = 0.02;
/// Values of a row that tell what it was rounded to, and how many of them must be within so many steps.
const TELLING_ROW: usize = 64;
const TELLING_VALUES: usize = 24;
const SMALL_STEPS: f64 = 40.0;

impl Grids {
    fn new() -> Self {
        Self {
            zeroed: 0,
            kept: 0.0,
            two_of_four: true,
            ranges: [[f64::INFINITY, f64::NEG_INFINITY]; 2],
            beyond_f16: 0,
            varied: [0; 2],
            groups: 0,
            odd_rows: [0; 2],
            rows: 0,
            fine: [0; 2],
            runs: 0,
        }
    }

    fn row(&mut self, a: &[f64], b: &[f64]) {
        let normal = DType::F16.min_positive_normal().unwrap_or(0.0);
        let smallest = normal * 2.0 * DType::F16.unit_roundoff().unwrap_or(0.0);
        for (a, b) in a.iter().zip(b) {
            if *b == 0.0 {
                self.zeroed += u64::from(*a != 0.0);
            } else {
                self.kept += (b - a) * (b - a);
            }
            let is_flushed = a.abs() < normal
                && (a - b).abs() <= 0.5 * smallest
                && (b / smallest).fract() == 0.0;
            self.beyond_f16 += u64::from(a != b && !is_flushed);
        }
        for ([low, high], values) in self.ranges.iter_mut().zip([a, b]) {
            *low = values.iter().copied().fold(*low, f64::min);
            *high = values.iter().copied().fold(*high, f64::max);
        }
        self.two_of_four &=
            b.chunks_exact(4).all(|four| four.iter().filter(|x| **x == 0.0).count() >= 2);
        for (a, b) in a.chunks_exact(GROUPS[0]).zip(b.chunks_exact(GROUPS[0])) {
            self.groups += 1;
            for (varied, values) in self.varied.iter_mut().zip([a, b]) {
                *varied += u64::from(has_more(values.iter().copied(), VALUES_OF_4_BITS));
            }
        }
        for (a, b) in a.chunks(BLOCK).zip(b.chunks(BLOCK)).filter(|(a, _)| a.len() >= TELLING_ROW) {
            self.runs += 1;
            for (fine, values) in self.fine.iter_mut().zip([a, b]) {
                let significands = values.iter().filter(|x| **x != 0.0);
                let significands = significands.map(|x| (x.to_bits() << 12) as f64);
                *fine += u64::from(has_more(significands, SIGNIFICANDS));
            }
        }
        if let [Some(of_a), Some(of_b)] = [a, b].map(is_on_steps) {
            self.rows += 1;
            self.odd_rows[0] += u64::from(!of_a);
            self.odd_rows[1] += u64::from(!of_b);
        }
    }

    /// Whether B is what a trip through F16 makes of A.
    pub(crate) fn is_flushed(&self) -> bool {
        self.beyond_f16 == 0
    }

    /// What B was rounded to and A was not, as conversions are called.
    fn rounded(&self) -> Option<&'static str> {
        let is = |[of_a, of_b]: [u64; 2], all: u64| of_b == 0 && 2 * of_a > all;
        [
            ("rounded-to-4-bits", is(self.varied, self.groups)),
            ("rounded-to-8-bit-floats", is(self.fine, self.runs)),
            ("rounded-to-8-bits", is(self.odd_rows, self.rows)),
        ]
        .into_iter()
        .find_map(|(kind, is)| is.then_some(kind))
    }
}

/// Whether there are more than `most` different values.
fn has_more(mut values: impl Iterator<Item = f64>, most: usize) -> bool {
    let mut seen: Vec<f64> = Vec::with_capacity(most);
    values.any(|value| {
        if !seen.contains(&value) {
            seen.push(value);
        }
        seen.len() > most
    })
}

/// Whether all values are multiples of the 127th part of the largest; `None` where too few are so small that rounding
/// could not hide it.
fn is_on_steps(values: &[f64]) -> Option<bool> {
    let largest = values.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
    let step = largest / STEPS_OF_8_BITS;
    let tell = values.iter().filter(|value| value.abs() <= SMALL_STEPS * step).count();
    (tell >= TELLING_VALUES).then(|| {
        values.iter().all(|value| {
            let at = value / step;
            (at - at.round()).abs() <= NEAR_STEP + STORED * at.abs()
        })
    })
}

struct Pass {
    formats: [Option<Format>; 2],
    grids: Grids,
    whole: Line,
    rows: Vec<Line>,
    columns: Vec<Line>,
    /// Groups of the narrowest width in the current row.
    groups: Vec<Line>,
    /// Blocks that the current rows belong to.
    blocks: Vec<Line>,
    in_blocks: Factors,
    in_groups: [Factors; 3],
    rounding: [f64; 2],
    beyond: [u64; 2],
    sums: [f64; 2],
    count: u64,
    /// Whether factors of groups are those of groups along a row.
    has_groups: bool,
}

impl Pass {
    fn new([rows, columns]: [u64; 2], formats: [Option<Format>; 2]) -> Self {
        let (rows, columns) = (rows as usize, columns as usize);
        Self {
            formats,
            grids: Grids::new(),
            whole: Line::default(),
            rows: Vec::with_capacity(rows),
            columns: vec![Line::default(); columns],
            groups: vec![Line::default(); columns.div_ceil(GROUPS[0])],
            blocks: vec![Line::default(); columns.div_ceil(BLOCK)],
            in_blocks: Factors::new("blocks-scaled"),
            in_groups: [
                Factors::new("groups-of-32-scaled"),
                Factors::new("groups-of-64-scaled"),
                Factors::new("groups-of-128-scaled"),
            ],
            rounding: [0.0; 2],
            beyond: [0; 2],
            sums: [0.0; 2],
            count: 0,
            has_groups: true,
        }
    }

    fn row(&mut self, a: &[f64], b: &[f64]) {
        let mut row = Line::default();
        let pairs = a.chunks(GROUPS[0]).zip(b.chunks(GROUPS[0]));
        for (((a, b), columns), slot) in
            pairs.zip(self.columns.chunks_mut(GROUPS[0])).zip(&mut self.groups)
        {
            let mut group = Line::default();
            for ((a, b), column) in a.iter().zip(b).zip(columns) {
                group.push(*a, *b);
                column.push(*a, *b);
                self.sums[0] += a;
                self.sums[1] += b;
            }
            self.count += a.len() as u64;
            row.add(&group);
            *slot = group;
        }
        for (factors, width) in self.in_groups.iter_mut().zip(GROUPS) {
            for groups in self.groups.chunks(width / GROUPS[0]) {
                factors.push(&sum(groups));
            }
        }
        for (block, groups) in self.blocks.iter_mut().zip(self.groups.chunks(BLOCK / GROUPS[0])) {
            block.add(&sum(groups));
        }
        self.grids.row(a, b);
        self.whole.add(&row);
        self.rows.push(row);
        if self.rows.len().is_multiple_of(BLOCK) {
            self.close_blocks();
        }
        self.steps(a, b);
    }

    /// Counts the blocks that the last rows belong to.
    fn close(&mut self) {
        if !self.rows.len().is_multiple_of(BLOCK) {
            self.close_blocks();
        }
    }

    /// Makes rows of what were columns.
    fn turn(&mut self) {
        std::mem::swap(&mut self.rows, &mut self.columns);
        self.has_groups = false;
    }

    fn close_blocks(&mut self) {
        for block in &mut self.blocks {
            self.in_blocks.push(block);
            *block = Line::default();
        }
    }

    /// Rounding errors to be expected, and values that are farther apart than these.
    fn steps(&mut self, a: &[f64], b: &[f64]) {
        let [of_a, of_b] = self.formats;
        for (a, b) in a.iter().zip(b) {
            let steps =
                [of_a.map_or(0.0, |f| f.half_step(*a)), of_b.map_or(0.0, |f| f.half_step(*b))];
            for (sum, step) in self.rounding.iter_mut().zip(steps) {
                *sum += step * step / 3.0;
            }
            let [coarse, fine] = if steps[0] > steps[1] { [a, b] } else { [b, a] };
            let distance = (a - b).abs();
            let nearest = distance <= TWICE_ROUNDED * (steps[0] + steps[1]);
            // Digits that were cut off, not rounded.
            let cut = distance < 2.0 * steps[0].max(steps[1]) && coarse.abs() <= fine.abs();
            self.beyond[0] += u64::from(!nearest);
            self.beyond[1] += u64::from(!cut);
        }
    }

    fn finish(mut self, grids: [StorageGrid; 2]) -> Probe {
        for (sum, grid) in self.rounding.iter_mut().zip(grids) {
            if let StorageGrid::Steps { rms } = grid {
                *sum = rms * rms * self.count as f64;
            }
        }
        let of_lines = |kind, lines: &[Line]| {
            let mut factors = Factors::new(kind);
            for line in lines {
                factors.push(line);
            }
            factors
        };
        let mut scaled = vec![of_lines("scaled", &[self.whole])];
        scaled.push(of_lines("rows-scaled", &self.rows));
        scaled.push(of_lines("columns-scaled", &self.columns));
        scaled.push(self.in_blocks);
        scaled.extend(self.in_groups.into_iter().rev().filter(|_| self.has_groups));
        scaled.sort_by_key(|factors| factors.count);
        let [a, b] = self.formats;
        let is_comparable = a.is_some() && b.is_some() && a != b && self.count > 0;
        let beyond = self.beyond[0].min(self.beyond[1]);
        Probe {
            whole: self.whole,
            rows: self.rows,
            columns: self.columns,
            rounding: self.rounding,
            beyond: is_comparable.then(|| beyond as f64 / self.count as f64),
            has_steps: grids.iter().any(|grid| matches!(grid, StorageGrid::Steps { .. })),
            scaled,
            grids: self.grids,
            sums: self.sums,
            count: self.count,
        }
    }
}

fn sum(lines: &[Line]) -> Line {
    let mut total = Line::default();
    for line in lines {
        total.add(line);
    }
    total
}
