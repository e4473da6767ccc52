//! Normal values straight as stored bits: one table look-up each, fast enough to keep up with any disk.
//!
//! A 16-bit type has few enough values that the probability of each is known: the mass of the normal law
//! between the midpoints to its neighbours, which is the exact law of a normal number rounded to that type.
//! Walker's alias method (1977) in Vose's form draws from it. F32 draws the upper half the same way, by the
//! mass between two neighbouring bfloat16 values, and the lower half uniformly.

use anyhow::{Result, ensure};
use weightscope::DType;
use weightscope_stats::normal_cdf;
use weightscope_testkit::Random;

/// Cells of less mass than this are left out; together they weigh less than 10^-7.
const LEAST_MASS: f64 = 1.0 / (1u64 << 38) as f64;

/// A generator of N(0, deviation^2) in one element type.
#[derive(Debug)]
pub(super) struct Normal {
    dtype: DType,
    /// A power of two of them.
    cells: Vec<Cell>,
    /// Bits of a cell's number.
    bits: u32,
}

/// Magnitude `own` when the coin is below `threshold`, `alias` otherwise.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    threshold: u32,
    own: u16,
    alias: u16,
}

impl Normal {
    /// For BF16, F16 and F32.
    pub(super) fn new(dtype: DType, deviation: f64) -> Result<Self> {
        ensure!(matches!(dtype, DType::BF16 | DType::F16 | DType::F32), "{dtype} is no float type");
        let table = if dtype == DType::F16 { DType::F16 } else { DType::BF16 };
        let values = weightscope_codec::pattern_values(table).unwrap_or_default();
        // The finite magnitudes, in ascending order: their patterns are their ranks.
        let magnitudes: Vec<f64> =
            values[..0x8000].iter().filter(|v| v.is_finite()).map(|v| f64::from(*v)).collect();
        let value = |pattern: usize| magnitudes.get(pattern).copied().unwrap_or(f64::INFINITY);
        let bounds = |pattern: usize| match (dtype, pattern) {
            (DType::F32, _) => [value(pattern), value(pattern + 1)],
            (_, 0) => [0.0, value(1) / 2.0],
            _ => [pattern - 1, pattern].map(|p| f64::midpoint(value(p), value(p + 1))),
        };
        let masses: Vec<(u16, f64)> = (0..magnitudes.len())
            .map(|pattern| {
                let [low, high] = bounds(pattern);
                let mass = 2.0 * (normal_cdf(-low / deviation) - normal_cdf(-high / deviation));
                (pattern as u16, mass)
            })
            .filter(|(_, mass)| *mass >= LEAST_MASS)
            .collect();
        let (cells, bits) = alias_table(&masses);
        Ok(Self { dtype, cells, bits })
    }

    pub(super) fn dtype(&self) -> DType {
        self.dtype
    }

    /// Fills `bytes`, whole elements, little-endian.
    pub(super) fn fill(&self, random: &mut Random, bytes: &mut [u8]) {
        if self.dtype == DType::F32 {
            let (values, _) = bytes.as_chunks_mut::<4>();
            for value in values {
                let draw = random.next_u64();
                let upper = u32::from(self.pattern(draw as u32));
                *value = (upper << 16 | (draw >> 48) as u32).to_le_bytes();
            }
            return;
        }
        let (pairs, rest) = bytes.as_chunks_mut::<4>();
        for pair in pairs {
            let draw = random.next_u64();
            let [low, high] = [draw as u32, (draw >> 32) as u32].map(|half| self.pattern(half));
            *pair = (u32::from(high) << 16 | u32::from(low)).to_le_bytes();
        }
        if let [low, high] = rest {
            [*low, *high] = self.pattern(random.next_u64() as u32).to_le_bytes();
        }
    }

    /// The value of 32 random bits: a sign, a cell and a coin.
    #[inline(always)]
    fn pattern(&self, draw: u32) -> u16 {
        let sign = (draw >> 16) as u16 & 0x8000;
        let cell = self.cells[draw as usize & (self.cells.len() - 1)];
        let coin = (draw & 0x7fff_ffff) >> self.bits;
        sign | if coin < cell.threshold { cell.own } else { cell.alias }
    }
}

/// Vose's table (1991) of a power of two of cells, and the number of bits that choose one.
fn alias_table(masses: &[(u16, f64)]) -> (Vec<Cell>, u32) {
    let count = masses.len().next_power_of_two();
    let bits = count.trailing_zeros();
    let coin = f64::from(1u32 << (31 - bits));
    let total: f64 = masses.iter().map(|(_, mass)| mass).sum();
    // In units of one cell; what fills up to a power of two has no mass and always yields its alias.
    let mut shares: Vec<f64> = masses.iter().map(|(_, mass)| mass / total * count as f64).collect();
    shares.resize(count, 0.0);
    let pattern = |index: usize| masses.get(index).map_or(0, |(pattern, _)| *pattern);
    let (mut poor, mut rich): (Vec<usize>, Vec<usize>) =
        (0..count).partition(|index| shares[*index] < 1.0);
    let mut cells = vec![Cell::default(); count];
    while let (Some(low), Some(&high)) = (poor.pop(), rich.last()) {
        let threshold = (shares[low] * coin).round() as u32;
        cells[low] = Cell { threshold, own: pattern(low), alias: pattern(high) };
        shares[high] -= 1.0 - shares[low];
        if shares[high] < 1.0 {
            rich.pop();
            poor.push(high);
        }
    }
    // Left with a share of one but for rounding. A poor one that was popped last is among them only when
    // it stands for nothing, since shares add up.
    for index in poor.into_iter().chain(rich) {
        let own = pattern(index);
        cells[index] = Cell { threshold: u32::MAX, own, alias: own };
    }
    (cells, bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use weightscope_codec::decode_f64;

    #[test]
    fn every_type_is_normal() {
        const COUNT: usize = 1 << 18;
        for dtype in [DType::BF16, DType::F16, DType::F32] {
            let mut bytes = vec![0; COUNT * dtype.bytes()];
            Normal::new(dtype, 0.02).unwrap().fill(&mut Random::new(5), &mut bytes);
            let mut values = vec![0.0; COUNT];
            decode_f64(dtype, &bytes, &mut values).unwrap();
            values.sort_by(f64::total_cmp);
            // The largest distance between distribution functions, at the ends of runs of equal values.
            let mut distance = 0f64;
            let mut first = 0;
            for run in values.chunk_by(|a, b| a == b) {
                let end = first + run.len();
                // Half a step of rounding on either side is not the generator's fault.
                let middle = (first + end) as f64 / 2.0 / COUNT as f64;
                distance = distance.max((middle - normal_cdf(run[0] / 0.02)).abs());
                first = end;
            }
            // sqrt(n) D is below 1.95 in 999 of 1000 samples.
            assert!(distance * (COUNT as f64).sqrt() < 1.95, "{dtype} {distance}");
            // The largest of 2^18 normal numbers lies between 4 and 6 deviations.
            assert!((0.08..0.12).contains(&values[COUNT - 1]), "{dtype} {}", values[COUNT - 1]);
        }
    }

    #[test]
    fn tables_hold_the_masses() {
        let masses: [(u16, f64); 5] = [(1, 0.1), (2, 0.5), (7, 0.25), (8, 0.125), (9, 0.025)];
        let (cells, bits) = alias_table(&masses);
        assert_eq!((cells.len(), bits), (8, 3));
        let coin = f64::from(1u32 << 28);
        for (pattern, mass) in masses {
            let of = |cell: &Cell| {
                let share = (f64::from(cell.threshold) / coin).min(1.0);
                f64::from(u8::from(cell.own == pattern)) * share
                    + f64::from(u8::from(cell.alias == pattern)) * (1.0 - share)
            };
            let found = cells.iter().map(of).sum::<f64>() / 8.0;
            assert!((found - mass).abs() < 1e-8, "{pattern}: {found}");
        }
    }
}
