//! Counting values: per bit pattern, and per key prefix.

use std::marker::PhantomData;

use pulp::NullaryFnOnce;

use crate::Ladder;
use crate::ladder::Rung;

/// Counts 16-bit patterns in stored (little-endian) bytes.
///
/// Two interleaved tables, so that runs of one value do not wait for their own increments; 512 KiB,
/// which stays in the second-level cache. About one element per clock cycle.
#[derive(Clone, Debug)]
pub struct PatternCounter {
    even: Vec<u32>,
    odd: Vec<u32>,
    totals: Vec<u64>,
    pending: u32,
}

const PATTERNS: usize = 1 << 16;

impl Default for PatternCounter {
    fn default() -> Self {
        Self {
            even: vec![0; PATTERNS],
            odd: vec![0; PATTERNS],
            totals: vec![0; PATTERNS],
            pending: 0,
        }
    }
}

impl PatternCounter {
    /// Counts 16-bit elements; an odd last byte is passed over (tensors have none).
    pub fn push_16(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(1 << 20) {
            self.flush_before(part.len());
            let (Ok(even), Ok(odd)) = (table(&mut self.even), table(&mut self.odd)) else { return };
            let (words, rest) = part.as_chunks::<8>();
            for word in words {
                let word = u64::from_le_bytes(*word);
                even[usize::from(word as u16)] += 1;
                odd[usize::from((word >> 16) as u16)] += 1;
                even[usize::from((word >> 32) as u16)] += 1;
                odd[usize::from((word >> 48) as u16)] += 1;
            }
            for element in rest.as_chunks::<2>().0 {
                even[usize::from(u16::from_le_bytes(*element))] += 1;
            }
        }
    }

    /// Counts 8-bit elements.
    pub fn push_8(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(1 << 20) {
            self.flush_before(part.len());
            let (Ok(even), Ok(odd)) = (table(&mut self.even), table(&mut self.odd)) else { return };
            let (pairs, rest) = part.as_chunks::<2>();
            for [a, b] in pairs {
                even[usize::from(*a)] += 1;
                odd[usize::from(*b)] += 1;
            }
            for element in rest {
                even[usize::from(*element)] += 1;
            }
        }
    }

    /// Moves the 32-bit counts out before they could overflow.
    fn flush_before(&mut self, more: usize) {
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        if let Some(pending) = self.pending.checked_add(more) {
            self.pending = pending;
        } else {
            self.flush();
            self.pending = more;
        }
    }

    fn flush(&mut self) {
        for table in [&mut self.even, &mut self.odd] {
            for (total, count) in self.totals.iter_mut().zip(table.iter_mut()) {
                *total += u64::from(*count);
                *count = 0;
            }
        }
    }

    /// How often each pattern occurred; 65 536 entries (the first 256 for 8-bit elements).
    pub fn finish(mut self) -> Vec<u64> {
        self.flush();
        self.totals
    }
}

/// The table as an array: an index below 65 536 then needs no check.
fn table(counts: &mut [u32]) -> Result<&mut [u32; PATTERNS], std::array::TryFromSliceError> {
    counts.try_into()
}

/// A floating-point value with an order-preserving integer key for its magnitude.
pub trait PrefixKey: Copy + Into<f64> + PartialOrd {
    /// Bits of a magnitude key, which is the stored pattern without its sign.
    const KEY_BITS: u32;
    /// Zero.
    const ZERO: Self;
    /// A magnitude that is not zero but adds nothing to a sum of squares: stands in for a value that is not
    /// finite where such a value must not count as a zero.
    const TINY: Self;
    /// Not a number.
    const NAN: Self;
    /// Infinity.
    const INFINITY: Self;
    /// Magnitude key of infinity: those of finite values are smaller.
    const INFINITE_KEY: u64;
    /// The nearest value.
    fn from_f64(x: f64) -> Self;
    /// Whether the value is neither NaN nor infinite.
    fn is_finite(self) -> bool;
    /// The value without its sign.
    #[must_use]
    fn magnitude(self) -> Self;
    /// Magnitude key: larger for larger magnitudes.
    fn key(self) -> u64;
    /// The leading bits of the magnitude key, without the last `shift`; at most 32.
    fn prefix(self, shift: u32) -> u32;
    /// Whether the value is below zero (not -0).
    fn is_negative(self) -> bool;
    /// The magnitude that has this key.
    fn magnitude_of(key: u64) -> f64;
}

macro_rules! prefix_key {
    ($float:ty, $bits:ty, $width:expr, $tiny:expr) => {
        impl PrefixKey for $float {
            const KEY_BITS: u32 = $width - 1;
            const ZERO: Self = 0.0;
            const TINY: Self = $tiny;
            const NAN: Self = <$float>::NAN;
            const INFINITY: Self = <$float>::INFINITY;
            const INFINITE_KEY: u64 = <$float>::INFINITY.to_bits() as u64;

            fn from_f64(x: f64) -> Self {
                x as Self
            }

            #[inline(always)]
            fn is_finite(self) -> bool {
                self.abs() < Self::INFINITY
            }

            #[inline(always)]
            fn magnitude(self) -> Self {
                self.abs()
            }

            #[inline(always)]
            fn key(self) -> u64 {
                self.abs().to_bits().into()
            }

            #[inline(always)]
            fn prefix(self, shift: u32) -> u32 {
                (self.abs().to_bits() >> shift) as u32
            }

            #[inline(always)]
            fn is_negative(self) -> bool {
                self < 0.0
            }

            fn magnitude_of(key: u64) -> f64 {
                <$float>::from_bits(key as $bits).into()
            }
        }
    };
}

prefix_key!(f32, u32, 32, 1e-45);
prefix_key!(f64, u64, 64, 1e-150);

/// Counts and energy of an interval of magnitudes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cell {
    pub(crate) energy: f64,
    /// Values at or above zero, and below.
    pub(crate) signs: [u32; 2],
}

/// Values whose prefixes are prepared together.
pub(crate) const BLOCK: usize = 1024;

/// First pass over a wide format: counts and energies per leading key bits.
///
/// A cell of 16 bytes for every prefix: up to 32 MiB for many values, of which weights of one tensor touch little.
/// The thread keeps the table for its next tensor. Energies depend on the order of values in their last bits.
#[derive(Clone, Debug)]
pub struct PrefixCounter<T> {
    /// By prefix.
    cells: Vec<Cell>,
    bits: u32,
    /// Counts from before the 32-bit ones could overflow; empty until then.
    totals: Vec<[u64; 2]>,
    pending: u32,
    of: PhantomData<T>,
}

/// Leading key bits that tell rungs apart at first: few for few values, because every cell is looked at in the
/// end; so many for many that a rung holds less than the KS distance of a sample of the normal, or nearly all rungs
/// could hold its supremum and would be looked at again. Measured on normal values of each size.
pub(crate) fn prefix_bits(values: u64) -> u32 {
    // Finer ones than the last would make more rungs than are kept.
    let sizes = [(16, 15), (18, 17), (21, 18), (22, 19), (23, 20)];
    let fits = sizes.iter().find(|(size, _)| values <= 1 << *size);
    fits.map_or(21, |(_, bits)| *bits)
}

/// Rungs of a first pass at most.
pub(crate) const MAX_RUNGS: usize = 1 << 17;

impl<T: PrefixKey> PrefixCounter<T> {
    /// Bytes of scratch that counting `values` takes at most.
    pub fn scratch(values: u64) -> u64 {
        let overflows = if values > u32::MAX.into() { 16 } else { 0 };
        (size_of::<Cell>() as u64 + overflows + 4) << prefix_bits(values)
    }

    /// For a tensor of so many `values`.
    pub fn new(values: u64) -> Self {
        let bits = prefix_bits(values);
        let mut cells = CELLS.take();
        if cells.len() < 1 << bits {
            cells.resize(1 << bits, Cell::default());
        }
        Self { cells, bits, totals: Vec::new(), pending: 0, of: PhantomData }
    }

    /// Counts finite values; others are passed over.
    pub fn push(&mut self, values: &[T]) {
        let shift = T::KEY_BITS - self.bits;
        for values in values.chunks(1 << 20) {
            self.flush_before(values.len() as u32);
            // Values that are not finite have cells of their own, which nobody looks at.
            for value in values {
                self.cells[value.prefix(shift) as usize].add(*value);
            }
        }
    }

    /// Moves the 32-bit counts out before they could overflow.
    fn flush_before(&mut self, more: u32) {
        if let Some(pending) = self.pending.checked_add(more) {
            self.pending = pending;
            return;
        }
        self.pending = more;
        self.totals.resize(self.cells.len(), [0; 2]);
        for (total, cell) in self.totals.iter_mut().zip(&mut self.cells) {
            for (total, count) in total.iter_mut().zip(&mut cell.signs) {
                *total += u64::from(std::mem::take(count));
            }
        }
    }

    /// The coarse ladder of everything pushed.
    pub fn finish(mut self) -> Ladder {
        // Bits of all kinds would make a rung of almost every prefix: then several are one.
        let infinite = (T::INFINITE_KEY >> (T::KEY_BITS - self.bits)) as usize;
        let cells = &self.cells[..infinite];
        let counts = |prefix: usize| {
            let total = self.totals.get(prefix).copied().unwrap_or_default();
            let signs = cells[prefix].signs.map(u64::from);
            [signs[0] + total[0], signs[1] + total[1]]
        };
        let mut seen: Vec<u32> = Vec::new();
        for start in (0..infinite).step_by(64) {
            let range = start..infinite.min(start + 64);
            // Most of the table is empty.
            if self.totals.is_empty() && cells[range.clone()].iter().all(Cell::is_empty) {
                continue;
            }
            seen.extend(range.filter(|p| counts(*p) != [0; 2]).map(|p| p as u32));
        }
        let mut occupied = seen.clone();
        let mut merged = 0;
        while occupied.len() > MAX_RUNGS {
            merged += 1;
            for prefix in &mut occupied {
                *prefix >>= 1;
            }
            occupied.dedup();
        }
        let shift = T::KEY_BITS - self.bits + merged;
        let rung = |prefix: u32| {
            let range = (prefix as usize) << merged..(prefix as usize + 1) << merged;
            let (mut positive, mut negative, mut energy) = (0, 0, 0.0);
            for prefix in range.start..range.end.min(infinite) {
                let signs = counts(prefix);
                positive += signs[0];
                negative += signs[1];
                energy += cells[prefix].energy;
            }
            let first = u64::from(prefix) << shift;
            let last = (first | ((1 << shift) - 1)).min(T::INFINITE_KEY - 1);
            let [low, high] = [first, last].map(T::magnitude_of);
            Rung { low, high, negative, positive, energy, first, last, place: None }
        };
        let ladder = Ladder::from_rungs(occupied.into_iter().map(rung).collect());
        for prefix in seen {
            self.cells[prefix as usize] = Cell::default();
        }
        // The table may be that of a larger tensor, and is empty beyond this one's prefixes.
        self.cells[infinite..1 << self.bits].fill(Cell::default());
        CELLS.set(self.cells);
        ladder
    }
}

thread_local! {
    /// The cells of the thread's last [`PrefixCounter`], all empty again: fresh memory costs a page fault every 256
    /// cells, more than a tensor needs to be counted.
    static CELLS: std::cell::Cell<Vec<Cell>> = const { std::cell::Cell::new(Vec::new()) };
}

/// Key prefixes of values, as vector code.
pub(crate) struct Prefixes<'a, T> {
    pub(crate) values: &'a [T],
    pub(crate) shift: u32,
    pub(crate) out: &'a mut [u32],
}

impl<T: PrefixKey> NullaryFnOnce for Prefixes<'_, T> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (value, prefix) in self.values.iter().zip(self.out) {
            *prefix = value.prefix(self.shift);
        }
    }
}

impl Cell {
    fn is_empty(&self) -> bool {
        self.signs == [0; 2]
    }

    #[inline(always)]
    pub(crate) fn add<T: PrefixKey>(&mut self, value: T) {
        let x: f64 = value.into();
        self.signs[usize::from(value.is_negative())] += 1;
        self.energy += x * x;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_prefixes_do_not_overflow() {
        let mut counter = PrefixCounter::new(10);
        counter.push(&[1.0f32, -1.0, 2.0]);
        counter.pending = u32::MAX - 2;
        counter.push(&[1.0f32, 1.0, f32::NAN, -4.0]);
        assert_eq!(counter.totals.len(), counter.cells.len());
        let ladder = counter.finish();
        let counts: Vec<_> =
            ladder.rungs().iter().map(|r| (r.low, r.negative, r.positive)).collect();
        assert_eq!(counts, [(1.0, 1, 3), (2.0, 0, 1), (4.0, 1, 0)]);
    }

    #[test]
    fn wild_bits_share_rungs() {
        let values: Vec<f32> =
            (0..=1u32 << 20).map(|i| f32::from_bits(i.wrapping_mul(2_654_435_761))).collect();
        let mut counter = PrefixCounter::new(values.len() as u64);
        counter.push(&values);
        let ladder = counter.finish();
        assert!(ladder.rungs().len() <= MAX_RUNGS && ladder.rungs().len() > MAX_RUNGS / 2);
        assert_eq!(ladder.len(), values.iter().filter(|v| v.is_finite()).count() as u64);
        assert!(ladder.rungs().iter().all(|r| r.low <= r.high && r.high.is_finite()));
    }

    #[test]
    fn patterns_are_counted_at_any_length() {
        let elements: Vec<u16> = (0..1001).map(|i| i % 7).collect();
        let bytes: Vec<u8> = elements.iter().flat_map(|e| e.to_le_bytes()).collect();
        let mut counter = PatternCounter::default();
        bytes.chunks(30).for_each(|part| counter.push_16(part));
        let counts = counter.finish();
        assert_eq!(counts[..8], [143, 143, 143, 143, 143, 143, 143, 0]);
    }
}
