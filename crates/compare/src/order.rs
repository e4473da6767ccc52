//! The same rows or columns in another order, or a matrix stored the other way round.
//!
//! Lines are matched by sketches: products with a few vectors of random signs, which a permutation takes along and whose
//! distances are those of the lines themselves (Johnson-Lindenstrauss; signs: Achlioptas 2003). A matching counts only
//! once the values were held against each other in that order.

use weightscope_core::{AnalyzeError, Axis, Unit, WeightView};

use crate::probe::{Line, Probe, each_band};

/// Products of a line that are kept.
const SKETCH: usize = 16;
/// Least and largest distance of two lines that are taken for one, as a share of their norm.
const CLOSE: f64 = 1e-3;
const NEAR: f64 = 0.3;
/// Multiple of the expected rounding within which a sketch is looked for.
const ROUNDINGS: f64 = 4.0;
/// Sketches that are compared at most.
const COMPARISONS: f64 = 1e8;
/// Share of the lines out of place that must be found again.
const FOUND: f64 = 0.95;
/// Values that are held against each other at a time.
const BAND_VALUES: u64 = 64 * 1024;
/// Fewest values of a vector whose order can be told.
const FEWEST: usize = 16;

type Sketch = [f32; SKETCH];

/// What was done to the order of a weight.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reordered {
    pub(crate) kind: &'static str,
    /// Sum of squares of what is left, over the values in the new order.
    pub(crate) residual: f64,
    /// Lines that are in another place.
    pub(crate) moved: u64,
    /// How they moved, as far as that has a name.
    pub(crate) order: Option<Order>,
    /// The same for weights that were put into the same order.
    pub(crate) id: Option<u64>,
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
    // Signs and sketches of both sides, of rows and of columns; orders.
    let line = (4 * SKETCH * 3 + 64) as u64;
    rows.saturating_add(columns).saturating_mul(line).saturating_add(16 * BAND_VALUES)
}

/// Looks for an order of rows or columns, or for the transposed matrix, that explains what `probe` saw.
///
/// # Errors
/// When the bytes cannot be read or decoded, or the run is stopped.
pub(crate) fn reordered(
    unit: &Unit<'_>,
    base: &WeightView<'_>,
    tuned: &WeightView<'_>,
    probe: &Probe,
) -> Result<Option<Reordered>, AnalyzeError> {
    let [rows, columns] = base.size();
    if rows.min(columns) <= 1 {
        return vector(unit, base, tuned);
    }
    let moved = |lines: &[Line]| -> Vec<usize> {
        (0..).zip(lines).filter(|(_, line)| line.has_moved()).map(|(index, _)| index).collect()
    };
    let out_of_place = [moved(&probe.rows), moved(&probe.columns)];
    if out_of_place.iter().all(|lines| lines.len() < 2) {
        return Ok(None);
    }
    let [of_base, of_tuned] = sketches(unit, base, tuned)?;
    let noise = (probe.floor() / probe.whole.energies[1]).sqrt();
    let tolerances = [CLOSE.max(ROUNDINGS * noise).min(NEAR), NEAR];
    for (axis, kind) in [(0, "rows-permuted"), (1, "columns-permuted")] {
        let (Some(lines), Some(a), Some(b)) =
            (out_of_place.get(axis), of_base.get(axis), of_tuned.get(axis))
        else {
            continue;
        };
        for tolerance in tolerances {
            let Some(order) = matched(a, b, lines, tolerance) else { continue };
            let along = if axis == 0 { Axis::Rows } else { Axis::Columns };
            let residual = left_over(unit, base, tuned, along, &order)?;
            let changes = order.iter().zip(0..).filter(|(to, from)| **to != *from).count() as u64;
            // Lines that found themselves say nothing.
            if changes < 2 || residual > 0.1 * probe.whole.difference {
                continue;
            }
            return Ok(Some(Reordered {
                kind,
                residual,
                moved: changes,
                order: pattern(&order),
                id: Some(fingerprint(&order)),
            }));
        }
    }
    if rows == columns && nearly(&of_base[0], &of_tuned[1]) && nearly(&of_base[1], &of_tuned[0]) {
        let residual = transposed(unit, base, tuned)?;
        if residual <= 0.01 * probe.whole.difference {
            let kind = "transposed";
            return Ok(Some(Reordered { kind, residual, moved: rows, order: None, id: None }));
        }
    }
    Ok(None)
}

/// The same values of a vector in another order.
fn vector(
    unit: &Unit<'_>,
    base: &WeightView<'_>,
    tuned: &WeightView<'_>,
) -> Result<Option<Reordered>, AnalyzeError> {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    each_band(unit, base, tuned, |of_a, of_b, _| {
        a.extend_from_slice(of_a);
        b.extend_from_slice(of_b);
    })?;
    let moved = a.iter().zip(&b).filter(|(a, b)| a != b).count();
    a.sort_by(f64::total_cmp);
    b.sort_by(f64::total_cmp);
    let distinct = 1 + a.windows(2).filter(|pair| pair.first() != pair.last()).count();
    // Of few values on a coarse grid any change may look like another order.
    let tells = a.len() >= FEWEST && 4 * distinct >= a.len() && 8 * moved >= a.len();
    let kind = "values-permuted";
    Ok((tells && a == b).then_some(Reordered {
        kind,
        residual: 0.0,
        moved: moved as u64,
        order: None,
        id: None,
    }))
}

/// Sketches of BASE's rows and columns, and of TUNED's.
fn sketches(
    unit: &Unit<'_>,
    base: &WeightView<'_>,
    tuned: &WeightView<'_>,
) -> Result<[[Vec<Sketch>; 2]; 2], AnalyzeError> {
    let [rows, columns] = base.size().map(|side| side as usize);
    let signs: Vec<Sketch> = (0..rows.max(columns) as u64).map(signs).collect();
    let new = || [Vec::with_capacity(rows), vec![[0.0; SKETCH]; columns]];
    let mut both = [new(), new()];
    each_band(unit, base, tuned, |a, b, width| {
        for ([of_rows, of_columns], values) in both.iter_mut().zip([a, b]) {
            for values in values.chunks_exact(width) {
                let own = signs.get(of_rows.len()).copied().unwrap_or_default();
                let mut row = [0.0; SKETCH];
                for ((value, sign), column) in values.iter().zip(&signs).zip(of_columns.iter_mut())
                {
                    let value = *value as f32;
                    for lane in 0..SKETCH {
                        row[lane] += value * sign[lane];
                        column[lane] += value * own[lane];
                    }
                }
                of_rows.push(row);
            }
        }
    })?;
    Ok(both)
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

/// Whether the sketches of two matrices are about the same, line by line.
fn nearly(a: &[Sketch], b: &[Sketch]) -> bool {
    let apart: f64 = a.iter().zip(b).map(|(a, b)| distance(a, b)).sum();
    let size: f64 = a.iter().map(energy).sum();
    apart <= 0.1 * size
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
    for index in moved {
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

/// Sum of squares of `B[order] - A`, line by line along `axis`.
fn left_over(
    unit: &Unit<'_>,
    base: &WeightView<'_>,
    tuned: &WeightView<'_>,
    axis: Axis,
    order: &[u32],
) -> Result<f64, AnalyzeError> {
    let [rows, columns] = base.size();
    let (lines, length) = match axis {
        Axis::Rows => (rows, columns),
        Axis::Columns => (columns, rows),
    };
    let mut residual = 0.0;
    let (mut a, mut b) = (Vec::new(), Vec::new());
    // Whole lines where they are stored one after the other; else parts of all lines.
    if (axis == Axis::Rows) != tuned.weight().transposed {
        a.resize(length as usize, 0.0f64);
        b.resize(length as usize, 0.0f64);
        for (line, place) in (0..lines).zip(order) {
            unit.advance(0.0)?;
            let place = u64::from(*place);
            base.panel(axis, line..line + 1, &mut a)?;
            tuned.panel(axis, place..place + 1, &mut b)?;
            residual += a.iter().zip(&b).map(|(a, b)| (b - a) * (b - a)).sum::<f64>();
        }
        return Ok(residual);
    }
    let across = if axis == Axis::Rows { Axis::Columns } else { Axis::Rows };
    let height = (BAND_VALUES / lines.max(1)).clamp(1, length.max(1));
    for first in (0..length).step_by(height as usize) {
        unit.advance(0.0)?;
        let band = first..length.min(first + height);
        let count = ((band.end - band.start) * lines) as usize;
        a.resize(count, 0.0f64);
        b.resize(count, 0.0f64);
        base.panel(across, band.clone(), &mut a)?;
        tuned.panel(across, band, &mut b)?;
        let width = (lines as usize).max(1);
        for (a, b) in a.chunks_exact(width).zip(b.chunks_exact(width)) {
            for (a, place) in a.iter().zip(order) {
                let b = b.get(*place as usize).copied().unwrap_or(0.0);
                residual += (b - a) * (b - a);
            }
        }
    }
    Ok(residual)
}

/// Sum of squares of `B^T - A` of square matrices.
fn transposed(
    unit: &Unit<'_>,
    base: &WeightView<'_>,
    tuned: &WeightView<'_>,
) -> Result<f64, AnalyzeError> {
    let [rows, columns] = base.size();
    let height = (BAND_VALUES / columns.max(1)).clamp(1, rows.max(1));
    let (mut a, mut b, mut residual) = (Vec::new(), Vec::new(), 0.0);
    for first in (0..rows).step_by(height as usize) {
        unit.advance(0.0)?;
        let band = first..rows.min(first + height);
        let count = ((band.end - band.start) * columns) as usize;
        a.resize(count, 0.0f64);
        b.resize(count, 0.0f64);
        base.panel(Axis::Rows, band.clone(), &mut a)?;
        tuned.panel(Axis::Columns, band, &mut b)?;
        residual += a.iter().zip(&b).map(|(a, b)| (b - a) * (b - a)).sum::<f64>();
    }
    Ok(residual)
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
