//! Tables that were made longer: blocks of positions that are copies of others, and positions that lie between others.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};

use crate::measure::Table;

/// Positions that are copies of those `distance` before them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Copies {
    /// How many in a row.
    pub(crate) count: usize,
    /// The first of them.
    pub(crate) first: usize,
    /// How many positions before it the one lies that it is a copy of.
    pub(crate) distance: usize,
}

/// The longest run of positions that are equal to those at one distance before them. A distance of 1 is none: equal
/// neighbours are one value that was filled in, and no copy of a block.
///
/// Cost: every value is read twice, whatever the table repeats.
pub(crate) fn copies(table: &Table<'_>) -> Copies {
    let rows: Vec<&[f64]> = table.rows().collect();
    let mut latest: HashMap<u64, usize> = HashMap::with_capacity(rows.len());
    let (mut best, mut run) = (Copies::default(), Copies::default());
    for (index, row) in rows.iter().enumerate() {
        let mut hasher = DefaultHasher::new();
        // Zeros of both signs are equal.
        row.iter().for_each(|x| hasher.write_u64((x + 0.0).to_bits()));
        let earlier = latest.insert(hasher.finish(), index);
        let same = earlier.filter(|earlier| rows.get(*earlier) == Some(row));
        let distance = same.map_or(0, |earlier| index - earlier);
        run = match distance {
            0 | 1 => Copies::default(),
            _ if distance == run.distance => Copies { count: run.count + 1, ..run },
            _ => Copies { count: 1, first: index, distance },
        };
        if run.count > best.count {
            best = run;
        }
    }
    best
}

/// Rounding errors of the terms, in units of the unit roundoff, that a difference of zero may have.
const ROUNDING: f64 = 4.0;
/// Times that a difference has to be which is none of rounding.
const CLEAR: f64 = 16.0;

/// How many differences of positions next to each other are zero but for rounding, where these are no accident: of
/// the second order, x[i-1] - 2 x[i] + x[i+1], where position i lies halfway between its neighbours, as a table has that
/// was stretched with its own positions kept; else of the third order, as linear interpolation by two without aligned
/// corners has at every second place: there the positions lie at 1/4 and 3/4 between the original ones. Both orders
/// vanish everywhere on a straight line, which was not stretched: enough of the others have to be clear of zero.
///
/// `roundoff` is the unit roundoff of the storage.
pub(crate) fn between(table: &Table<'_>, roundoff: f64) -> u64 {
    let second = straight(table, &[1.0, -2.0, 1.0], roundoff);
    if second > 0 { second } else { straight(table, &[-1.0, 3.0, -3.0, 1.0], roundoff) }
}

fn straight(table: &Table<'_>, weights: &[f64], roundoff: f64) -> u64 {
    let rows: Vec<&[f64]> = table.rows().collect();
    let (mut zero, mut clear, mut all) = (0u64, 0u64, 0u64);
    for near in rows.windows(weights.len()) {
        let (mut energy, mut noise) = (0.0, 0.0);
        for dimension in 0..table.width {
            let terms =
                near.iter().zip(weights).filter_map(|(row, w)| Some(w * row.get(dimension)?));
            let (sum, size) =
                terms.fold((0.0, 0.0), |(sum, size): (f64, f64), x| (sum + x, size + x.abs()));
            energy += sum * sum;
            noise += size * size;
        }
        let line = ROUNDING * roundoff * f64::sqrt(noise);
        all += 1;
        zero += u64::from(f64::sqrt(energy) <= line && noise > 0.0);
        clear += u64::from(f64::sqrt(energy) > CLEAR * line);
    }
    // At most one in 16 is neither: the first and last, where interpolation repeats the edge.
    let is_regular = 3 * zero >= all && 16 * clear >= all && 16 * (zero + clear) >= 15 * all;
    if is_regular && all >= 16 { zero } else { 0 }
}
