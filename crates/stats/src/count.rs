//! Counting values: per bit pattern, and per key prefix.

use std::marker::PhantomData;

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

/// Counts and energy of the magnitudes with one key prefix.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cell {
    pub(crate) energy: f64,
    /// Values at or above zero, and below.
    pub(crate) signs: [u32; 2],
}

/// First pass over a wide format: counts and energies per leading key bits.
///
/// Two interleaved cells for every prefix, so that runs of one value do not wait for their own additions;
/// 8 MiB for many values, of which weights of one tensor touch little. Energies depend on the order of values
/// in their last bits: push an even number at a time (but for the last time).
#[derive(Clone, Debug)]
pub struct PrefixCounter<T> {
    cells: Vec<[Cell; 2]>,
    bits: u32,
    /// Counts from before the 32-bit ones could overflow; empty until then.
    totals: Vec<[u64; 2]>,
    pending: u32,
    of: PhantomData<T>,
}

/// Leading key bits that tell rungs apart at first: few for few values, because every cell is looked at in the
/// end.
pub(crate) fn prefix_bits(values: u64) -> u32 {
    if values <= 1 << 20 { 15 } else { 18 }
}

impl<T: PrefixKey> PrefixCounter<T> {
    /// Bytes of scratch that counting `values` takes at most.
    pub fn scratch(values: u64) -> u64 {
        let overflows = if values > u32::MAX.into() { size_of::<[u64; 2]>() } else { 0 };
        ((size_of::<[Cell; 2]>() + overflows) << prefix_bits(values)) as u64
    }

    /// For a tensor of so many `values`.
    pub fn new(values: u64) -> Self {
        let bits = prefix_bits(values);
        let cells = vec![<[Cell; 2]>::default(); 1 << bits];
        Self { cells, bits, totals: Vec::new(), pending: 0, of: PhantomData }
    }

    /// Counts finite values; others are passed over.
    pub fn push(&mut self, values: &[T]) {
        for part in values.chunks(1 << 20) {
            self.flush_before(part.len() as u32);
            let shift = T::KEY_BITS - self.bits;
            let (pairs, rest) = part.as_chunks::<2>();
            // Values that are not finite have cells of their own, which nobody looks at.
            for pair in pairs {
                for (lane, value) in pair.iter().enumerate() {
                    self.cells[(value.key() >> shift) as usize][lane].add(*value);
                }
            }
            for value in rest {
                self.cells[(value.key() >> shift) as usize][0].add(*value);
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
        for (total, cells) in self.totals.iter_mut().zip(&mut self.cells) {
            for cell in cells {
                for (total, count) in total.iter_mut().zip(&mut cell.signs) {
                    *total += u64::from(std::mem::take(count));
                }
            }
        }
    }

    /// The coarse ladder of everything pushed.
    pub fn finish(self) -> Ladder {
        let shift = T::KEY_BITS - self.bits;
        let infinite = (T::INFINITE_KEY >> shift) as usize;
        let rung = |(prefix, [even, odd]): (usize, &[Cell; 2])| {
            let [before, before_negative] = self.totals.get(prefix).copied().unwrap_or_default();
            let sum = |sign: usize| u64::from(even.signs[sign]) + u64::from(odd.signs[sign]);
            let (positive, negative) = (before + sum(0), before_negative + sum(1));
            let first = (prefix as u64) << shift;
            let last = first | ((1 << shift) - 1);
            (positive + negative > 0).then(|| Rung {
                low: T::magnitude_of(first),
                high: T::magnitude_of(last),
                negative,
                positive,
                energy: even.energy + odd.energy,
                first,
                last,
                place: None,
            })
        };
        Ladder::from_rungs(self.cells.iter().enumerate().take(infinite).filter_map(rung).collect())
    }
}

impl Cell {
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
    fn patterns_are_counted_at_any_length() {
        let elements: Vec<u16> = (0..1001).map(|i| i % 7).collect();
        let bytes: Vec<u8> = elements.iter().flat_map(|e| e.to_le_bytes()).collect();
        let mut counter = PatternCounter::default();
        bytes.chunks(30).for_each(|part| counter.push_16(part));
        let counts = counter.finish();
        assert_eq!(counts[..8], [143, 143, 143, 143, 143, 143, 143, 0]);
    }
}
