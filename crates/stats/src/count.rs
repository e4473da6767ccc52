//! Counting values: per bit pattern, per key prefix, and inside chosen prefixes.

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

/// Counts and energies of one coarse interval of magnitudes.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    signs: [u64; 2],
    energy: f64,
}

impl Cell {
    #[inline(always)]
    fn add<T: PrefixKey>(&mut self, value: T) {
        let x: f64 = value.into();
        self.signs[usize::from(value.is_negative())] += 1;
        self.energy += x * x;
    }

    /// The rung of the `2^shift` keys from `key` on; `None` when nothing fell there.
    fn rung<T: PrefixKey>(&self, key: u64, shift: u32) -> Option<Rung> {
        let [positive, negative] = self.signs;
        if positive + negative == 0 {
            return None;
        }
        let low = T::magnitude_of(key);
        if shift == 0 {
            return Some(Rung::exact(low, negative, positive));
        }
        let high = T::magnitude_of(key | ((1 << shift) - 1));
        Some(Rung { low, high, negative, positive, energy: self.energy, key, shift })
    }
}

/// Leading key bits that a coarse ladder distinguishes: for `f32` the exponent and 7 mantissa bits.
const PREFIX_BITS: u32 = 15;
/// Key bits that one refinement resolves. Small steps keep the tables in cache and the ladder short; a pass
/// over the bytes costs less than a table of every remaining bit.
const STEP_BITS: u32 = 8;

/// First pass over a wide format: counts and energies per magnitude prefix, 768 KiB.
#[derive(Clone, Debug)]
pub struct PrefixCounter {
    cells: Vec<Cell>,
}

impl Default for PrefixCounter {
    fn default() -> Self {
        Self { cells: vec![Cell::default(); 1 << PREFIX_BITS] }
    }
}

impl PrefixCounter {
    /// Counts finite values; others are passed over.
    pub fn push<T: PrefixKey>(&mut self, values: &[T]) {
        for value in values.iter().filter(|v| v.is_finite()) {
            self.cells[(value.key() >> (T::KEY_BITS - PREFIX_BITS)) as usize].add(*value);
        }
    }

    /// The coarse ladder of everything pushed.
    pub fn finish<T: PrefixKey>(&self) -> Ladder {
        let shift = T::KEY_BITS - PREFIX_BITS;
        let rungs = self
            .cells
            .iter()
            .enumerate()
            .filter_map(|(prefix, cell)| cell.rung::<T>((prefix as u64) << shift, shift));
        Ladder::from_rungs(rungs.collect())
    }
}

/// A further pass: splits chosen coarse rungs by their next 8 key bits.
#[derive(Clone, Debug)]
pub struct RefineCounter {
    /// Index of the first slot with a leading prefix, or `NONE`.
    first_slot: Vec<u16>,
    slots: Vec<Slot>,
}

#[derive(Clone, Debug)]
struct Slot {
    rung: usize,
    key: u64,
    shift: u32,
    cells: Vec<Cell>,
}

const NONE: u16 = u16::MAX;

impl RefineCounter {
    /// Rungs one pass refines at most; 6 KiB each.
    pub const MAX_RUNGS: usize = 1024;

    /// Bytes of scratch a pass takes at most.
    pub const MAX_BYTES: u64 = (Self::MAX_RUNGS << STEP_BITS) as u64 * size_of::<Cell>() as u64;

    /// Prepares to refine the first [`Self::MAX_RUNGS`] of `wanted`, which index coarse rungs of `ladder`.
    pub fn new<T: PrefixKey>(ladder: &Ladder, wanted: &[usize]) -> Self {
        let mut rungs: Vec<usize> = wanted.iter().copied().take(Self::MAX_RUNGS).collect();
        rungs.sort_unstable();
        let slots: Vec<Slot> = rungs
            .into_iter()
            .filter_map(|index| {
                let rung = ladder.rungs().get(index).filter(|r| r.shift > 0)?;
                let cells = vec![Cell::default(); 1 << rung.shift.min(STEP_BITS)];
                Some(Slot { rung: index, key: rung.key, shift: rung.shift, cells })
            })
            .collect();
        let mut first_slot = vec![NONE; 1 << PREFIX_BITS];
        for (index, slot) in slots.iter().enumerate().rev() {
            first_slot[(slot.key >> (T::KEY_BITS - PREFIX_BITS)) as usize] = index as u16;
        }
        Self { first_slot, slots }
    }

    /// Counts the finite values that fall in a chosen rung.
    pub fn push<T: PrefixKey>(&mut self, values: &[T]) {
        for value in values.iter().filter(|v| v.is_finite()) {
            let key = value.key();
            let prefix = key >> (T::KEY_BITS - PREFIX_BITS);
            let mut index = usize::from(self.first_slot[prefix as usize]);
            while let Some(slot) = self.slots.get_mut(index) {
                if slot.key >> (T::KEY_BITS - PREFIX_BITS) != prefix {
                    break;
                }
                if (key ^ slot.key) >> slot.shift == 0 {
                    let step = slot.shift - slot.shift.min(STEP_BITS);
                    slot.cells[((key ^ slot.key) >> step) as usize].add(*value);
                    break;
                }
                index += 1;
            }
        }
    }

    /// Replaces each chosen rung by its finer ones.
    pub fn finish<T: PrefixKey>(self, ladder: &Ladder) -> Ladder {
        let mut rungs = Vec::with_capacity(ladder.rungs().len());
        let mut slots = self.slots.into_iter().peekable();
        for (index, rung) in ladder.rungs().iter().enumerate() {
            match slots.next_if(|slot| slot.rung == index) {
                None => rungs.push(*rung),
                Some(slot) => {
                    let step = slot.shift - slot.shift.min(STEP_BITS);
                    let finer = slot.cells.iter().enumerate();
                    rungs.extend(finer.filter_map(|(i, cell)| {
                        cell.rung::<T>(slot.key | (i as u64) << step, step)
                    }));
                }
            }
        }
        Ladder::from_rungs(rungs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Demands;

    #[test]
    fn patterns_are_counted_at_any_length() {
        let elements: Vec<u16> = (0..1001).map(|i| i % 7).collect();
        let bytes: Vec<u8> = elements.iter().flat_map(|e| e.to_le_bytes()).collect();
        let mut counter = PatternCounter::default();
        bytes.chunks(30).for_each(|part| counter.push_16(part));
        let counts = counter.finish();
        assert_eq!(counts[..8], [143, 143, 143, 143, 143, 143, 143, 0]);
    }

    /// Every pass that the demands ask for, over values in memory.
    fn refined<T: PrefixKey>(values: &[T], demands: &Demands) -> Ladder {
        let mut counter = PrefixCounter::default();
        counter.push(values);
        let mut ladder = counter.finish::<T>();
        loop {
            let wanted = ladder.unresolved(demands);
            if wanted.is_empty() {
                return ladder;
            }
            let mut pass = RefineCounter::new::<T>(&ladder, &wanted);
            pass.push(values);
            ladder = pass.finish::<T>(&ladder);
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
        #[test]
        fn refinement_answers_like_the_sorted_values(
            values in proptest::collection::vec(-3.0f64..3.0, 1..300),
            repeated in proptest::collection::vec(-1i8..=1, 0..50),
        ) {
            let mut values = values;
            values.extend(repeated.iter().map(|v| f64::from(*v)));
            let exact = Ladder::from_values(values.clone());
            let demands = Demands::of(exact.moments().as_ref());
            check(&exact, &refined(&values, &demands), &demands);
            let narrow: Vec<f32> = values.iter().map(|v| *v as f32).collect();
            let exact = Ladder::from_values(narrow.iter().map(|v| f64::from(*v)).collect());
            let demands = Demands::of(exact.moments().as_ref());
            check(&exact, &refined(&narrow, &demands), &demands);
        }
    }

    fn check(exact: &Ladder, refined: &Ladder, demands: &Demands) {
        assert_eq!(exact.len(), refined.len());
        assert_eq!(exact.extremes(), refined.extremes());
        assert_eq!(exact.quantiles(&demands.quantiles), refined.quantiles(&demands.quantiles));
        let p = &demands.magnitude_quantiles;
        assert_eq!(exact.magnitude_quantiles(p), refined.magnitude_quantiles(p));
        for t in &demands.thresholds {
            assert_eq!(exact.count_below(*t), refined.count_below(*t), "below {t}");
            assert_eq!(exact.count_up_to(*t), refined.count_up_to(*t), "up to {t}");
        }
        for k in &demands.pruned_counts {
            let (a, b) = (exact.energy_of_smallest(*k), refined.energy_of_smallest(*k));
            assert!((a - b).abs() <= 1e-12 * a.abs(), "{k}: {a} {b}");
        }
        if let Some((mean, std)) = demands.normal {
            assert_eq!(exact.ks_statistic(mean, std), refined.ks_statistic(mean, std));
        }
    }
}
