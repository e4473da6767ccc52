//! The same rows or columns in another order, or a matrix stored the other way round.
//!
//! Lines are matched by sketches: products with a few vectors of random signs, which a permutation takes along and whose
//! distances are those of the lines themselves (Johnson-Lindenstrauss; signs: Achlioptas 2003). A matching counts only
//! once the values were held against each other in that order.

use weightscope_core::{AnalyzeError, Axis, Unit, WeightView};

use crate::bands::{self, Arrangement, each_band};
use crate::probe::{Line, Probe};

/// Products of a line that are kept.
const SKETCH: usize = 16;
/// Least and largest distance of two lines that are taken for one, as a share of their norm.
const CLOSE: f64 = 1e-3;
const NEAR: f64 = 0.3;
/// Multiple of the expected rounding within which a sketch is looked for.
const ROUNDINGS: f64 = 4.0;
/// Sketches that are compared at most.
const COMPARISONS: f64 = 1e8;
/// Lines that are looked for first, and share of them that must be found before all are looked for.
const TRIED: usize = 64;
const TRIED_FOUND: f64 = 0.8;
/// Share of the lines out of place that must be found again.
const FOUND: f64 = 0.95;
/// Fewest lines, and values of one, that are told apart by their values alone, whatever order these are in.
const FEWEST_LINES: u64 = 32;
/// Share of B's energy, or of the change if that is less, that an arrangement may leave unexplained: lines that found
/// themselves say nothing.
const LEFT: f64 = 0.1;
/// Fewest values of a vector whose order can be told, distance of neighbours in roundings, and multiple of the squared
/// rounding that may be left.
const FEWEST: usize = 16;
const APART: f64 = 4.0;
const TWICE: f64 = 2.0;
/// Least difference of a factor from 1 that is looked at apart.
const SAME_FACTOR: f64 = 1e-3;

type Sketch = [f32; SKETCH];

/// How B's lines lie where A's are, and what both show beside each other then.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) arrangement: Arrangement,
    pub(crate) probe: Probe,
    /// How they moved, as far as that has a name.
    pub(crate) order: Option<Order>,
    /// The same for weights that were put into the same order.
    pub(crate) id: Option<u64>,
}

impl Found {
    /// Its name among the metrics.
    pub(crate) fn kind(&self) -> &'static str {
        match (&self.arrangement.orders, self.arrangement.turned) {
            ([Some(_), Some(_)], false) => "rows-and-columns-permuted",
            ([Some(_), None], false) => "rows-permuted",
            ([_, Some(_)], false) => "columns-permuted",
            ([Some(_), _], true) => "transposed-rows-permuted",
            ([_, Some(_)], true) => "transposed-columns-permuted",
            ([None, None], _) => "transposed",
        }
    }
}

/// A pattern of a permutation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) name: &'static str,
    /// Lines of a block that it repeats in.
    pub(crate) block: u64,
}

/// Bytes of scratch for a weight of this size.
pub(crate) fn scratch([rows, columns]: [u64; 2]) -> u64 {
    // Signs, weights and sketches of both sides, of rows and of columns; orders.
    let line = (4 * SKETCH * 5 + 96) as u64;
    let lines = rows.saturating_add(columns).saturating_mul(line);
    lines.saturating_add(bands::scratch([rows, columns]))
}

/// Looks for orders of rows or columns, or for the transposed matrix, that bring B near to A or to what factors and a
/// constant make of it. `widely`: also for what only looks far apart.
///
/// # Errors
/// When the bytes cannot be read or decoded, or the run is stopped.
pub(crate) fn reordered(
    unit: &Unit<'_>,
    views: [&WeightView<'_>; 2],
    probe: &Probe,
    widely: bool,
) -> Result<Option<Found>, AnalyzeError> {
    let search = Search { unit, views, probe };
    let moved = |lines: &[Line]| -> Vec<usize> {
        (0..).zip(lines).filter(|(_, line)| line.has_moved()).map(|(index, _)| index).collect()
    };
    let out_of_place = [moved(&probe.rows), moved(&probe.columns)];
    if out_of_place.iter().all(|lines| lines.len() < 2) && !widely {
        return Ok(None);
    }
    let plain = search.sketches(&Arrangement::default(), |_, _| ())?;
    if let Some(found) = search.permuted(&plain, &out_of_place)? {
        return Ok(Some(found));
    }
    if let Some(found) = search.turned(&plain)? {
        return Ok(Some(found));
    }
    if !widely {
        return Ok(None);
    }
    let [rows, columns] = probe.size();
    let all = [(0..rows).collect::<Vec<usize>>(), (0..columns).collect()];
    // The whole multiplied, or a constant added, and in another order.
    let [[mean_a, spread_a], [mean_b, spread_b]] = probe.spreads();
    let size = spread_b / spread_a;
    for factor in [size, -size] {
        let constant = mean_b - factor * mean_a;
        let changes = (factor - 1.0).abs() > SAME_FACTOR || constant.abs() > SAME_FACTOR * spread_b;
        if !changes || !size.is_finite() || size == 0.0 {
            continue;
        }
        let changed = plain.after(factor as f32, constant as f32);
        if let Some(found) = search.permuted(&changed, &all)? {
            return Ok(Some(found));
        }
        if let Some(found) = search.turned(&changed)? {
            return Ok(Some(found));
        }
    }
    // Factors of rows or columns, and in another order.
    let even = search.evened()?;
    if let Some(found) = search.permuted(&even, &all)? {
        return Ok(Some(found));
    }
    if (rows.min(columns) as u64) < FEWEST_LINES {
        return Ok(None);
    }
    search.both_permuted(&all)
}

/// The products of all lines: rows and columns of A, and of B.
struct Sketches {
    of: [[Vec<Sketch>; 2]; 2],
    /// The same of a matrix of ones: of its rows, and of its columns.
    of_ones: [Sketch; 2],
}

impl Sketches {
    /// What they are where A is multiplied by `factor` and `constant` added.
    fn after(&self, factor: f32, constant: f32) -> Self {
        let [of_a, of_b] = &self.of;
        let mut of_a = of_a.clone();
        for (lines, ones) in of_a.iter_mut().zip(&self.of_ones) {
            for sketch in lines {
                for (product, one) in sketch.iter_mut().zip(ones) {
                    *product = factor * *product + constant * one;
                }
            }
        }
        Self { of: [of_a, of_b.clone()], of_ones: self.of_ones }
    }
}

/// A pair whose arrangement is looked for.
struct Search<'a> {
    unit: &'a Unit<'a>,
    views: [&'a WeightView<'a>; 2],
    probe: &'a Probe,
}

impl Search<'_> {
    /// Distances of lines within which one is taken for the other, as shares of their norm.
    fn tolerances(&self) -> [f64; 2] {
        let noise = (self.probe.floor() / self.probe.whole.energies[1]).sqrt();
        [CLOSE.max(ROUNDINGS * noise).min(NEAR), NEAR]
    }

    /// What both show in an arrangement, if that explains most of the change.
    fn held(&self, arrangement: Arrangement, order: &[u32]) -> Result<Option<Found>, AnalyzeError> {
        let [base, tuned] = self.views;
        let probe = Probe::of(self.unit, base, tuned, &arrangement)?;
        let all = probe.scaled().chain(probe.shifted()).map(|found| found.residual);
        let least = all.fold(probe.whole.difference, f64::min);
        let before = self.probe.whole.difference.min(self.probe.whole.energies[1]);
        if least > LEFT * before {
            return Ok(None);
        }
        let moves = arrangement.moved() > 0;
        let id = moves.then(|| fingerprint(order));
        Ok(Some(Found { order: pattern(order).filter(|_| moves), id, arrangement, probe }))
    }

    /// Rows or columns in another order. `lines`: those of A that may have moved.
    fn permuted(
        &self,
        sketches: &Sketches,
        lines: &[Vec<usize>; 2],
    ) -> Result<Option<Found>, AnalyzeError> {
        let [of_base, of_tuned] = &sketches.of;
        for (axis, lines) in lines.iter().enumerate() {
            let (Some(a), Some(b)) = (of_base.get(axis), of_tuned.get(axis)) else { continue };
            for tolerance in self.tolerances() {
                let Some(order) = matched(a, b, lines, tolerance) else { continue };
                let arrangement = Arrangement::permuted(false, axis, order.clone());
                if arrangement.moved() >= 2
                    && let Some(found) = self.held(arrangement, &order)?
                {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    /// The other way round, perhaps with its lines in another order.
    fn turned(&self, sketches: &Sketches) -> Result<Option<Found>, AnalyzeError> {
        let [rows, columns] = self.probe.size();
        if rows != columns || rows < 2 {
            return Ok(None);
        }
        let [of_base, of_tuned] = &sketches.of;
        let all: Vec<usize> = (0..rows).collect();
        for axis in [0, 1] {
            let (Some(a), Some(b)) = (of_base.get(axis), of_tuned.get(1 - axis)) else { continue };
            for tolerance in self.tolerances() {
                let Some(order) = matched(a, b, &all, tolerance) else { continue };
                let mut arrangement = Arrangement::permuted(true, axis, order.clone());
                if arrangement.moved() == 0 {
                    arrangement.orders = [None, None];
                }
                if let Some(found) = self.held(arrangement, &order)? {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    /// Rows and columns in other orders: rows are told by their values whatever order these are in, columns then by
    /// sketches.
    fn both_permuted(&self, all: &[Vec<usize>; 2]) -> Result<Option<Found>, AnalyzeError> {
        let [all_rows, all_columns] = all;
        let [a, b] = self.contents()?;
        let Some(rows) = matched(&a, &b, all_rows, NEAR) else { return Ok(None) };
        let arrangement = Arrangement::permuted(false, 0, rows.clone());
        let [[mean_a, spread_a], [mean_b, spread_b]] = self.probe.spreads();
        let factor = spread_b / spread_a;
        let sketches = self.sketches(&arrangement, |_, _| ())?;
        let sketches = sketches.after(factor as f32, (mean_b - factor * mean_a) as f32);
        let [[_, of_base], [_, of_tuned]] = &sketches.of;
        let Some(columns) = matched(of_base, of_tuned, all_columns, NEAR) else { return Ok(None) };
        let orders = [Some(rows.clone()), Some(columns)];
        self.held(Arrangement { turned: false, orders }, &rows)
    }

    /// Sketches of both; `weigh` may change a line of A and of B before.
    fn sketches(
        &self,
        arrangement: &Arrangement,
        mut weigh: impl FnMut(&mut [f64], usize),
    ) -> Result<Sketches, AnalyzeError> {
        let [rows, columns] = self.probe.size();
        let is_by_rows = arrangement.along(self.views[1]) == Axis::Rows;
        let (count, length) = if is_by_rows { (rows, columns) } else { (columns, rows) };
        let signs: Vec<Sketch> = (0..rows.max(columns) as u64).map(signs).collect();
        let new = || [Vec::with_capacity(count), vec![[0.0; SKETCH]; length]];
        let mut both = [new(), new()];
        let mut line = Vec::new();
        each_band(self.unit, self.views, arrangement, |a, b, width| {
            for ((side, [of_lines, across]), values) in (0..).zip(&mut both).zip([a, b]) {
                for values in values.chunks_exact(width) {
                    let own = signs.get(of_lines.len()).copied().unwrap_or_default();
                    line.clear();
                    line.extend_from_slice(values);
                    weigh(&mut line, side);
                    let mut sketch = [0.0; SKETCH];
                    for ((value, sign), column) in line.iter().zip(&signs).zip(across.iter_mut()) {
                        let value = *value as f32;
                        for lane in 0..SKETCH {
                            sketch[lane] += value * sign[lane];
                            column[lane] += value * own[lane];
                        }
                    }
                    of_lines.push(sketch);
                }
            }
        })?;
        if !is_by_rows {
            for lines in &mut both {
                lines.swap(0, 1);
            }
        }
        let ones = |count: usize| {
            signs.iter().take(count).fold([0.0; SKETCH], |mut sum, sign| {
                sum.iter_mut().zip(sign).for_each(|(sum, sign)| *sum += sign);
                sum
            })
        };
        Ok(Sketches { of: both, of_ones: [ones(columns), ones(rows)] })
    }

    /// Sketches that positive factors of rows or of columns do not change: of rows, where every column of both has norm
    /// 1, and the other way round; and all sketches of norm 1.
    fn evened(&self) -> Result<Sketches, AnalyzeError> {
        let over = |lines: &[Line]| -> [Vec<f64>; 2] {
            [0, 1].map(|side| {
                let norms = lines.iter().map(|line| line.energies[side].sqrt());
                norms.map(|norm| if norm > 0.0 { 1.0 / norm } else { 0.0 }).collect()
            })
        };
        let (of_rows, of_columns) = (over(&self.probe.rows), over(&self.probe.columns));
        let mut next = [0usize; 2];
        let mut by_columns = self.sketches(&Arrangement::default(), |line, side| {
            for (value, weight) in line.iter_mut().zip(&of_columns[side]) {
                *value *= weight;
            }
        })?;
        let by_rows = self.sketches(&Arrangement::default(), |line, side| {
            let weight = of_rows[side].get(next[side]).copied().unwrap_or(0.0);
            next[side] += 1;
            for value in line {
                *value *= weight;
            }
        })?;
        for (side, of) in by_columns.of.iter_mut().zip(by_rows.of) {
            let [_, columns] = of;
            side[1] = columns;
            for sketch in side.iter_mut().flatten() {
                let norm = energy(sketch).sqrt() as f32;
                if norm > 0.0 {
                    for product in sketch {
                        *product /= norm;
                    }
                }
            }
        }
        Ok(by_columns)
    }

    /// What rows hold, whatever the order of their values: sums of triangle waves of several widths over the
    /// standardised values, less their mean over all rows. Of A's rows and of B's.
    fn contents(&self) -> Result<[Vec<Sketch>; 2], AnalyzeError> {
        let spreads = self.probe.spreads();
        let mut both: [Vec<Sketch>; 2] = [Vec::new(), Vec::new()];
        each_band(self.unit, self.views, &Arrangement::default(), |a, b, width| {
            for ((of_side, values), [mean, spread]) in both.iter_mut().zip([a, b]).zip(spreads) {
                for values in values.chunks_exact(width) {
                    let mut sums = [0.0f32; SKETCH];
                    for value in values {
                        let z = ((value - mean) / spread) as f32;
                        for (lane, sum) in sums.iter_mut().enumerate() {
                            let x = z * (0.3 + 0.15 * (lane / 2) as f32) + 0.25 * (lane % 2) as f32;
                            *sum += (x - x.floor() - 0.5).abs();
                        }
                    }
                    of_side.push(sums);
                }
            }
        })?;
        for lines in &mut both {
            let mut mean = [0.0f64; SKETCH];
            for line in lines.iter() {
                mean.iter_mut().zip(line).for_each(|(sum, value)| *sum += f64::from(*value));
            }
            let count = lines.len().max(1) as f64;
            for line in lines {
                line.iter_mut().zip(mean).for_each(|(value, sum)| *value -= (sum / count) as f32);
            }
        }
        Ok(both)
    }
}

/// The same values of a vector in another order, or what a factor and a constant make of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shuffled {
    /// Values that are in another place.
    pub(crate) moved: u64,
    /// Sum of squares of what is left.
    pub(crate) residual: f64,
    /// Factor and constant.
    pub(crate) change: [f64; 2],
}

/// Looks for the values of a vector in another order. Values are told apart where they are farther from their neighbours
/// than rounding could take them.
///
/// # Errors
/// When the bytes cannot be read or decoded, or the run is stopped.
pub(crate) fn shuffled(
    unit: &Unit<'_>,
    views: [&WeightView<'_>; 2],
    probe: &Probe,
    widely: bool,
) -> Result<Option<Shuffled>, AnalyzeError> {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    each_band(unit, views, &Arrangement::default(), |of_a, of_b, _| {
        a.extend_from_slice(of_a);
        b.extend_from_slice(of_b);
    })?;
    let moved = a.iter().zip(&b).filter(|(a, b)| a != b).count();
    a.sort_by(f64::total_cmp);
    b.sort_by(f64::total_cmp);
    let distinct = 1 + a.windows(2).filter(|pair| pair.first() != pair.last()).count();
    // Of few values on a coarse grid any change may look like another order.
    if a.len() < FEWEST || 4 * distinct < a.len() || 8 * moved < a.len() {
        return Ok(None);
    }
    let moved = moved as u64;
    if a == b {
        return Ok(Some(Shuffled { moved, residual: 0.0, change: [1.0, 0.0] }));
    }
    let floor = probe.floor();
    let middle = |values: &[f64]| {
        let at = |share: f64| values.get((share * values.len() as f64) as usize).copied();
        at(0.8).zip(at(0.2)).map_or(0.0, |(high, low)| (high - low) / (0.6 * values.len() as f64))
    };
    if !widely || middle(&b) < APART * (floor / b.len() as f64).sqrt() {
        return Ok(None);
    }
    let left = |[factor, constant]: [f64; 2]| -> f64 {
        let back = factor < 0.0;
        let of_a: Box<dyn Iterator<Item = &f64>> =
            if back { Box::new(a.iter().rev()) } else { Box::new(a.iter()) };
        of_a.zip(&b).map(|(a, b)| (b - factor * a - constant).powi(2)).sum()
    };
    let [[mean_a, spread_a], [mean_b, spread_b]] = probe.spreads();
    let size = spread_b / spread_a;
    let energies = probe.whole.energies;
    let plain = (energies[1] / energies[0]).sqrt();
    let changes = [
        [1.0, 0.0],
        [plain, 0.0],
        [-plain, 0.0],
        [1.0, mean_b - mean_a],
        [size, mean_b - size * mean_a],
        [-size, mean_b + size * mean_a],
    ];
    let found = changes.map(|change| (left(change), change));
    let fits = |(residual, _): &&(f64, [f64; 2])| *residual <= TWICE * floor;
    Ok(found.iter().find(fits).map(|(residual, change)| Shuffled {
        moved,
        residual: *residual,
        change: *change,
    }))
}

/// Random signs that depend on the index alone (SplitMix64, Steele et al. 2014).
fn signs(index: u64) -> Sketch {
    let mut x = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^= x >> 31;
    std::array::from_fn(|lane| if x >> (4 * lane) & 1 == 1 { 1.0 } else { -1.0 })
}

fn energy(sketch: &Sketch) -> f64 {
    sketch.iter().map(|x| f64::from(*x) * f64::from(*x)).sum()
}

fn distance(a: &Sketch, b: &Sketch) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}

/// For every line of A its place in B; those that are not `moved` stay. `None` when too few are found again.
fn matched(a: &[Sketch], b: &[Sketch], moved: &[usize], tolerance: f64) -> Option<Vec<u32>> {
    if moved.len() < 2 {
        return None;
    }
    let first = |sketch: &Sketch| sketch.first().copied().unwrap_or(0.0);
    let mut places: Vec<(f32, usize)> =
        moved.iter().filter_map(|index| Some((first(b.get(*index)?), *index))).collect();
    places.sort_by(|x, y| x.0.total_cmp(&y.0));
    let mut used = vec![false; places.len()];
    let mut order: Vec<u32> = (0..a.len() as u32).collect();
    let mut lost = Vec::new();
    let (mut found, mut comparisons) = (0usize, 0.0);
    for (tried, index) in moved.iter().enumerate() {
        if tried == TRIED && (found as f64) < TRIED_FOUND * tried as f64 {
            return None;
        }
        let own = a.get(*index)?;
        let size = energy(own);
        // Of one product the error is that of the whole line, on average; of their sum of squares SKETCH times.
        let reach = (2.0 * tolerance * (size / SKETCH as f64).sqrt()) as f32;
        let low = places.partition_point(|(value, _)| *value < first(own) - reach);
        let near = places.get(low..)?.iter().zip(low..);
        let near = near.take_while(|((value, _), _)| *value <= first(own) + reach);
        let mut best: Option<(f64, usize, usize)> = None;
        for ((_, place), slot) in near {
            comparisons += 1.0;
            if used.get(slot) != Some(&false) {
                continue;
            }
            let apart = distance(own, b.get(*place)?);
            if best.is_none_or(|(least, ..)| apart < least) {
                best = Some((apart, *place, slot));
            }
        }
        if comparisons > COMPARISONS {
            return None;
        }
        if let Some((apart, place, slot)) = best
            && apart <= tolerance * tolerance * size
        {
            *order.get_mut(*index)? = place as u32;
            *used.get_mut(slot)? = true;
            found += 1;
        } else {
            lost.push(*index);
        }
    }
    if (found as f64) < FOUND * moved.len() as f64 {
        return None;
    }
    // Lines without a partner take the places that are left, so that it stays a permutation.
    let free = places.iter().zip(&used).filter(|(_, used)| !**used);
    for (index, ((_, place), _)) in lost.into_iter().zip(free) {
        *order.get_mut(index)? = *place as u32;
    }
    Some(order)
}

/// FNV-1a over the places.
fn fingerprint(order: &[u32]) -> u64 {
    order.iter().flat_map(|place| place.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A name for an order of lines, where it has one: pairs of rotary features side by side against first and second half
/// of a head, whole heads, or something within heads.
fn pattern(order: &[u32]) -> Option<Order> {
    let count = order.len();
    let sizes = (2..=count).filter(|size| count.is_multiple_of(*size));
    let blocks = |size: usize| order.chunks_exact(size).zip((0u32..).step_by(size));
    let mut within = None;
    for size in sizes.clone().filter(|size| *size < count) {
        if within.is_none()
            && blocks(size).all(|(block, first)| {
                block.iter().all(|place| (first..first + size as u32).contains(place))
            })
        {
            within = Some(size);
        }
    }
    for size in sizes.clone().filter(|size| *size >= 4 && size.is_multiple_of(2)) {
        let half = size / 2;
        let interleaved = |index: usize| (index % half * 2 + index / half) as u32;
        let halved = |index: usize| (index / 2 + index % 2 * half) as u32;
        let is = |place: &dyn Fn(usize) -> u32| {
            blocks(size).all(|(block, first)| {
                let stays = block.iter().zip(first..).all(|(place, own)| *place == own);
                stays || block.iter().enumerate().all(|(i, to)| *to == first + place(i))
            })
        };
        if is(&interleaved) {
            return Some(Order { name: "halves to pairs", block: size as u64 });
        }
        if is(&halved) {
            return Some(Order { name: "pairs to halves", block: size as u64 });
        }
    }
    // Whole blocks, the largest that keep together.
    let whole = sizes.filter(|size| *size < count).rev().find(|size| {
        blocks(*size).all(|(block, _)| {
            let start = block.first().copied().unwrap_or(0);
            start.is_multiple_of(*size as u32)
                && block.iter().zip(start..).all(|(place, own)| *place == own)
        })
    });
    if let Some(size) = whole {
        return Some(Order { name: "whole blocks", block: size as u64 });
    }
    within.map(|size| Order { name: "within blocks", block: size as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order_of(count: u32, place: impl Fn(u32) -> u32) -> Option<Order> {
        pattern(&(0..count).map(place).collect::<Vec<_>>())
    }

    #[test]
    fn orders_have_names() {
        let named = |name, block| Some(Order { name, block });
        let pairs = |i: u32| i / 16 * 16 + i % 8 * 2 + i / 8 % 2;
        let halves = |i: u32| i / 16 * 16 + i % 2 * 8 + i % 16 / 2;
        assert_eq!(order_of(128, pairs), named("halves to pairs", 16));
        assert_eq!(order_of(128, halves), named("pairs to halves", 16));
        // In some heads alone.
        let some = |i: u32| if i < 64 { pairs(i) } else { i };
        assert_eq!(order_of(128, some), named("halves to pairs", 16));
        assert_eq!(order_of(64, |i| (i + 16) % 64), named("whole blocks", 16));
        assert_eq!(order_of(64, |i| i / 8 * 8 + (i + 3) % 8), named("within blocks", 8));
        assert_eq!(order_of(61, |i| i * 7 % 61), None);
    }

    #[test]
    fn lines_are_found_again() {
        let line = |i: u64| signs(1000 + i).map(|x| x + i as f32);
        let a: Vec<Sketch> = (0..50).map(line).collect();
        let order: Vec<u32> = (0..50).map(|i| i * 7 % 50).collect();
        let mut b = a.clone();
        for (line, place) in a.iter().zip(&order) {
            b[*place as usize] = *line;
        }
        let moved: Vec<usize> = (0..50).filter(|i| order[*i] as usize != *i).collect();
        assert_eq!(matched(&a, &b, &moved, 1e-3), Some(order));
        assert_eq!(matched(&a, &a[..25].repeat(2), &moved, 1e-3), None);
    }
}
