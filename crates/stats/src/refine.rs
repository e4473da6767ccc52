//! From a coarse ladder to exact answers: further looks at the values in those rungs that decide them.

use crate::count::prefix_bits;
use crate::ladder::Rung;
use crate::{Demands, Ladder, PrefixKey};

/// Splits rungs of a coarse [`Ladder`] until it answers its [`Demands`] exactly.
///
/// ```
/// use weightscope_stats::{Demands, Ladder, PrefixCounter, Refinement};
///
/// let values: Vec<f32> = (0..50_000).map(|i| (i as f32 * 0.37).sin()).collect();
/// let mut counter = PrefixCounter::new(values.len() as u64);
/// counter.push(&values);
/// let mut refinement = Refinement::new(counter.finish(), Demands::of(None));
/// while refinement.needs_pass() {
///     refinement.push(&values); // in chunks of any size
///     refinement.end_pass();
/// }
/// let ladder: Ladder = refinement.finish();
/// # let exact = Ladder::from_values(values.iter().map(|v| f64::from(*v)).collect());
/// # assert_eq!(ladder.quantile(0.5), exact.quantile(0.5));
/// ```
///
/// A pass keeps the values of all rungs in question, and the rest happens in memory. Where they are too many
/// ([`Refinement::kept`]), it counts them in up to 256 parts of each rung instead, and fewer are in question
/// at the next pass. Parts know the smallest and the largest value that came, so that a rung of one value is
/// exact at once, however often it occurs.
#[derive(Debug)]
pub struct Refinement<T> {
    ladder: Ladder,
    demands: Demands,
    /// Values that are kept at most.
    limit: u64,
    /// The values of these rungs, complete.
    kept: Vec<T>,
    kept_ranges: Vec<Keys>,
    pass: Option<Pass<T>>,
}

/// First and last magnitude key.
type Keys = [u64; 2];

/// What a pass over the values does.
#[derive(Debug)]
enum Pass<T> {
    Keep { sieve: Sieve, values: Vec<T> },
    Split(Split<T>),
}

impl<T: PrefixKey> Refinement<T> {
    /// Values of a tensor of so many that are kept at most.
    pub fn kept(values: u64) -> u64 {
        (values / 16).clamp(1 << 20, 1 << 23).min(values)
    }

    /// Bytes of scratch that refining `values` takes at most.
    pub fn scratch(values: u64) -> u64 {
        let rungs = (2u64 << prefix_bits(values)).min(values) + MAX_CELLS as u64;
        let sieves = 5u64 << prefix_bits(values);
        Self::kept(values) * size_of::<T>() as u64
            + rungs * 3 * size_of::<Rung>() as u64
            + (MAX_CELLS * size_of::<Part>()) as u64
            + sieves
    }

    /// Begins with what a first pass has counted.
    pub fn new(ladder: Ladder, demands: Demands) -> Self {
        let limit = Self::kept(ladder.len());
        Self::keeping(ladder, demands, limit)
    }

    fn keeping(ladder: Ladder, demands: Demands, limit: u64) -> Self {
        let mut refinement =
            Self { ladder, demands, limit, kept: Vec::new(), kept_ranges: Vec::new(), pass: None };
        refinement.advance();
        refinement
    }

    /// Whether all values must be pushed once more.
    pub fn needs_pass(&self) -> bool {
        self.pass.is_some()
    }

    /// Takes the next values of the pass; others than finite ones are passed over.
    pub fn push(&mut self, values: &[T]) {
        match &mut self.pass {
            None => {}
            Some(Pass::Split(split)) => split.push(values),
            Some(Pass::Keep { sieve, values: kept }) => sieve.each(values, |sieve, hits| {
                if sieve.whole {
                    kept.extend_from_slice(hits);
                } else {
                    kept.extend(hits.iter().filter(|v| sieve.find(v.key()).is_some()));
                }
            }),
        }
    }

    /// Ends a pass: all values have been pushed.
    pub fn end_pass(&mut self) {
        match self.pass.take() {
            None => return,
            Some(Pass::Split(split)) => self.ladder = split.finish(&self.ladder),
            Some(Pass::Keep { sieve, values }) => {
                self.kept = values;
                self.kept_ranges = sieve.ranges;
            }
        }
        self.advance();
    }

    /// The ladder; exact where it was asked for once no pass is needed.
    pub fn finish(self) -> Ladder {
        self.ladder
    }

    /// Refines in memory as far as possible and prepares the next pass.
    fn advance(&mut self) {
        loop {
            let wanted = self.ladder.unresolved(&self.demands);
            let rungs: Vec<&Rung> = wanted.iter().map(|index| &self.ladder.rungs[*index]).collect();
            if rungs.is_empty() {
                self.kept = Vec::new();
                return;
            }
            let mut ranges: Vec<Keys> = rungs.iter().map(|r| [r.first, r.last]).collect();
            ranges.sort_unstable();
            if ranges.iter().all(|range| is_within(*range, &self.kept_ranges)) {
                let mut split = Split::new(&self.ladder, &wanted);
                split.push(&self.kept);
                self.ladder = split.finish(&self.ladder);
                continue;
            }
            let count: u64 = rungs.iter().map(|r| r.count()).sum();
            self.pass = Some(if count <= self.limit {
                let sieve = Sieve::new::<T>(ranges, self.ladder.len());
                Pass::Keep { sieve, values: Vec::with_capacity(count as usize) }
            } else {
                Pass::Split(Split::new(&self.ladder, &wanted))
            });
            return;
        }
    }
}

/// Whether one of the ascending, disjoint `ranges` holds `keys`.
fn is_within(keys: Keys, ranges: &[Keys]) -> bool {
    ranges
        .get(ranges.partition_point(|range| range[1] < keys[0]))
        .is_some_and(|range| range[0] <= keys[0] && keys[1] <= range[1])
}

/// Finds the few values whose magnitude keys lie in given ranges.
#[derive(Debug)]
struct Sieve {
    /// Ascending and disjoint.
    ranges: Vec<Keys>,
    shift: u32,
    /// By key prefix: 1 when a range holds keys of it.
    flags: Vec<u8>,
    /// By key prefix: the first range that does not end before it.
    starts: Vec<u32>,
    /// Whether ranges end where prefixes do, so that a flag says all.
    whole: bool,
}

/// Values that are looked at together.
const BLOCK: usize = 1024;

impl Sieve {
    fn new<T: PrefixKey>(ranges: Vec<Keys>, values: u64) -> Self {
        let bits = prefix_bits(values);
        let shift = T::KEY_BITS - bits;
        let mut flags = vec![0; 1 << bits];
        let mut starts = Vec::with_capacity((1 << bits) + 1);
        for (index, range) in ranges.iter().enumerate() {
            let [first, last] = range.map(|key| (key >> shift) as usize);
            flags[first..=last].fill(1);
            starts.resize(starts.len().max(last + 1), index as u32);
        }
        starts.resize((1 << bits) + 1, ranges.len() as u32);
        let mask = (1 << shift) - 1;
        let whole = ranges.iter().all(|[first, last]| first & mask == 0 && last & mask == mask);
        Self { ranges, shift, flags, starts, whole }
    }

    /// Calls `take` with values of flagged prefixes, in their order.
    fn each<T: PrefixKey>(&self, values: &[T], mut take: impl FnMut(&Self, &[T])) {
        let mut hits = [T::ZERO; BLOCK];
        for block in values.chunks(BLOCK) {
            let mut len = 0;
            for value in block {
                // Written in any case and overwritten unless it counts: a branch would often be guessed
                // wrong.
                hits[len % BLOCK] = *value;
                len += usize::from(self.flags[(value.key() >> self.shift) as usize]);
            }
            take(self, &hits[..len]);
        }
    }

    /// The range that holds this key, which has a flagged prefix.
    #[inline(always)]
    fn find(&self, key: u64) -> Option<usize> {
        let prefix = (key >> self.shift) as usize;
        let first = self.starts[prefix] as usize;
        let end = (self.starts[prefix + 1] as usize + 1).min(self.ranges.len());
        let index = first + self.ranges[first..end].partition_point(|range| range[1] < key);
        self.ranges.get(index).filter(|range| range[0] <= key)?;
        Some(index)
    }
}

/// Counts the values of chosen rungs in finer parts, or sorts them when they are few.
#[derive(Debug)]
struct Split<T> {
    sieve: Sieve,
    slots: Vec<Slot<T>>,
    parts: Vec<Part>,
}

/// A rung that is being split, in the order of the sieve's ranges.
#[derive(Debug)]
struct Slot<T> {
    rung: usize,
    /// Its key range begins here; parts cover `2^step` keys each.
    key: u64,
    step: u32,
    /// The first of its parts, and how many; none when its values are sorted.
    first: usize,
    parts: usize,
    values: Vec<T>,
}

/// Values in a part of a rung.
#[derive(Clone, Copy, Debug)]
struct Part {
    signs: [u64; 2],
    energy: f64,
    keys: Keys,
}

const NO_VALUE: Part = Part { signs: [0; 2], energy: 0.0, keys: [u64::MAX, 0] };

/// Parts of one rung.
const PARTS: u64 = 256;
/// Parts of all rungs in one pass.
const MAX_CELLS: usize = 1 << 17;
/// Rungs of up to so many values are sorted.
const SORTED: u64 = 256;

impl<T: PrefixKey> Split<T> {
    /// For the first of `wanted`, coarse rungs of `ladder`, as many as a pass can split.
    fn new(ladder: &Ladder, wanted: &[usize]) -> Self {
        // Many rungs are split in fewer parts each, rather than few in many.
        let share = (MAX_CELLS / wanted.len().max(1)).max(1).ilog2().clamp(2, PARTS.ilog2());
        let mut left = MAX_CELLS as u64;
        let mut chosen: Vec<(usize, &Rung, u64)> = Vec::new();
        for index in wanted {
            let rung = &ladder.rungs[*index];
            let count = rung.count();
            let parts =
                if count <= SORTED { 0 } else { (count / 32).next_power_of_two().min(1 << share) };
            let Some(rest) = left.checked_sub(parts.max(count.min(SORTED) / 4)) else { break };
            left = rest;
            chosen.push((*index, rung, parts));
        }
        chosen.sort_unstable_by_key(|(index, ..)| *index);
        let ranges = chosen.iter().map(|(_, rung, _)| [rung.first, rung.last]).collect();
        let mut first = 0;
        let slots = chosen.into_iter().map(|(index, rung, parts)| {
            let span = rung.last - rung.first;
            let width = u64::BITS - span.leading_zeros();
            let step = width - width.min(parts.max(1).ilog2());
            let parts = if parts == 0 { 0 } else { (span >> step) as usize + 1 };
            first += parts;
            let values = Vec::with_capacity(if parts == 0 { rung.count() as usize } else { 0 });
            Slot { rung: index, key: rung.first, step, first: first - parts, parts, values }
        });
        let slots: Vec<Slot<T>> = slots.collect();
        let sieve = Sieve::new::<T>(ranges, ladder.len());
        Self { sieve, slots, parts: vec![NO_VALUE; first] }
    }

    fn push(&mut self, values: &[T]) {
        let (slots, parts) = (&mut self.slots, &mut self.parts);
        self.sieve.each(values, |sieve, hits| {
            for value in hits {
                let key = value.key();
                let Some(slot) = sieve.find(key).and_then(|index| slots.get_mut(index)) else {
                    continue;
                };
                if slot.parts == 0 {
                    slot.values.push(*value);
                } else {
                    parts[slot.first + ((key - slot.key) >> slot.step) as usize].add(*value, key);
                }
            }
        });
    }

    /// The ladder with every chosen rung replaced by its finer ones.
    fn finish(mut self, ladder: &Ladder) -> Ladder {
        let finer: usize = self.slots.iter().map(|slot| slot.parts + slot.values.len()).sum();
        let mut rungs = Vec::with_capacity(ladder.rungs().len() + finer);
        let mut slots = self.slots.iter_mut().peekable();
        for (index, rung) in ladder.rungs().iter().enumerate() {
            let Some(slot) = slots.next_if(|slot| slot.rung == index) else {
                rungs.push(*rung);
                continue;
            };
            let parts = &self.parts[slot.first..slot.first + slot.parts];
            rungs.extend(parts.iter().filter_map(Part::rung::<T>));
            slot.values.sort_unstable_by_key(|value| value.key());
            rungs.extend(slot.values.chunk_by(|a, b| a.key() == b.key()).map(|run| {
                let negative = run.iter().filter(|v| v.is_negative()).count();
                let magnitude = run[0].magnitude().into();
                Rung::exact(magnitude, negative as u64, (run.len() - negative) as u64)
            }));
        }
        Ladder::from_rungs(rungs)
    }
}

impl Part {
    #[inline(always)]
    fn add<T: PrefixKey>(&mut self, value: T, key: u64) {
        let x: f64 = value.into();
        self.signs[usize::from(value.is_negative())] += 1;
        self.energy += x * x;
        self.keys = [self.keys[0].min(key), self.keys[1].max(key)];
    }

    /// `None` when nothing fell there.
    fn rung<T: PrefixKey>(&self) -> Option<Rung> {
        let ([positive, negative], [first, last]) = (self.signs, self.keys);
        if positive + negative == 0 {
            return None;
        }
        let [low, high] = [first, last].map(T::magnitude_of);
        if first == last {
            return Some(Rung::exact(low, negative, positive));
        }
        Some(Rung { low, high, negative, positive, energy: self.energy, first, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PrefixCounter;

    /// Every pass that the demands ask for, over values in memory, of which up to `limit` are kept.
    fn refined<T: PrefixKey>(values: &[T], demands: &Demands, limit: u64) -> Ladder {
        let mut counter = PrefixCounter::new(values.len() as u64);
        counter.push(values);
        let mut refinement = Refinement::keeping(counter.finish(), demands.clone(), limit);
        let mut passes = 0;
        while refinement.needs_pass() {
            refinement.push(values);
            refinement.end_pass();
            passes += 1;
            assert!(passes < 20, "no end of passes");
        }
        refinement.finish()
    }

    fn check_all<T: PrefixKey>(values: &[T]) {
        let exact = Ladder::from_values(values.iter().map(|v| (*v).into()).collect());
        let demands = Demands::of(exact.moments().as_ref());
        for limit in [0, 100, u64::MAX] {
            check(&exact, &refined(values, &demands, limit), &demands);
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
            assert!(a == b || (a - b).abs() <= 1e-12 * a.abs(), "{k}: {a} {b}");
        }
        if let Some((mean, std)) = demands.normal {
            assert_eq!(exact.ks_statistic(mean, std), refined.ks_statistic(mean, std));
            assert_eq!(exact.histogram(mean, std), refined.histogram(mean, std));
        }
    }

    /// Checks F64 values and the same as F32.
    fn check_both(values: &[f64]) {
        check_all(values);
        check_all(&values.iter().map(|v| *v as f32).collect::<Vec<_>>());
    }

    fn uniform(state: &mut u64) -> f64 {
        *state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(state: &mut u64) -> f64 {
        let radius = (-2.0 * (1.0 - uniform(state)).ln()).sqrt();
        radius * (std::f64::consts::TAU * uniform(state)).cos()
    }

    #[test]
    fn odd_values_are_answered_exactly() {
        let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1e-42, -1e-310, 3e38];
        check_both(&special);
        check_both(&[0.1; 1000]);
        check_both(&[0.0; 1000]);
        let mut state = 3;
        let mut mixed: Vec<f64> = (0..3000).map(|_| normal(&mut state)).collect();
        mixed.extend(special.iter().cycle().take(500));
        check_both(&mixed);
        // Two values, one of them rare.
        check_both(&(0..2000).map(|i| if i % 97 == 0 { -3.0 } else { 0.7 }).collect::<Vec<_>>());
        // Values that differ in their low bits only.
        let low = |i: u64, bits: u32| f64::from_bits(0.3f64.to_bits() + (i * 7919) % (1 << bits));
        for bits in [1, 3, 9, 20] {
            check_all(&(0..5000).map(|i| low(i, bits)).collect::<Vec<f64>>());
        }
        let low = |i: u32| f32::from_bits(0.3f32.to_bits() + (i * 7919) % 512);
        check_all(&(0..5000).map(low).collect::<Vec<f32>>());
        // Heavy tails, subnormal and huge values.
        check_both(&(0..5000).map(|_| normal(&mut state) / normal(&mut state)).collect::<Vec<_>>());
        check_all(&(0..5000).map(|_| normal(&mut state) * 1e-310).collect::<Vec<f64>>());
        check_all(&(0..5000).map(|_| (normal(&mut state) * 1e-39) as f32).collect::<Vec<f32>>());
        check_all(&(0..5000).map(|_| normal(&mut state) * 1e150).collect::<Vec<f64>>());
        check_all(&(0..5000).map(|_| normal(&mut state).powi(9) as f32).collect::<Vec<f32>>());
    }

    #[test]
    fn many_values_are_answered_exactly() {
        let mut state = 5;
        // Normal ones: all of the body could hold the supremum of the KS distance at first.
        check_both(&(0..60_000).map(|_| normal(&mut state) * 0.02).collect::<Vec<_>>());
        // What a 4-bit file decodes to: sixteen levels times a scale for every 32 values.
        let levels: Vec<f64> = (0..60_000)
            .scan(0.0, |scale, i| {
                if i % 32 == 0 {
                    *scale = f64::from((normal(&mut state).abs() * 300.0) as u16) / 65_536.0;
                }
                Some(*scale * ((uniform(&mut state) * 16.0).floor() - 8.0))
            })
            .collect();
        check_both(&levels);
        // Values with few bits, as from BF16.
        let short = |v: f64| f64::from(f32::from_bits((v as f32).to_bits() & 0xffff_0000));
        check_both(&(0..60_000).map(|_| short(normal(&mut state) * 0.02)).collect::<Vec<_>>());
    }

    #[test]
    fn first_passes_of_many_bits_agree() {
        let mut state = 11;
        let values: Vec<f32> =
            (0..(1 << 20) + 1001).map(|_| (normal(&mut state) * 0.02 + 0.001) as f32).collect();
        let exact = Ladder::from_values(values.iter().map(|v| f64::from(*v)).collect());
        let demands = Demands::of(exact.moments().as_ref());
        for limit in [50_000, u64::MAX] {
            check(&exact, &refined(&values, &demands, limit), &demands);
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
        #[test]
        fn refinement_answers_like_the_sorted_values(
            values in proptest::collection::vec(-3.0f64..3.0, 1..300),
            repeated in proptest::collection::vec(-1i8..=1, 0..50),
            copies in 1usize..20,
        ) {
            let mut values = values.repeat(copies);
            values.extend(repeated.iter().map(|v| f64::from(*v)));
            check_both(&values);
        }

        #[test]
        fn any_bits_are_answered_like_the_sorted_values(
            bits in proptest::collection::vec(proptest::prelude::any::<u32>(), 1..2000),
            clear in 0u32..32,
            set in proptest::prelude::any::<u32>(),
        ) {
            // Random bits, with some of the leading ones the same in all values.
            let mask = u32::MAX.checked_shr(clear).unwrap_or(0);
            let narrow: Vec<f32> = bits.iter().map(|b| f32::from_bits(b & mask | set & !mask)).collect();
            check_all(&narrow);
            let wide: Vec<f64> = narrow.iter().map(|v| f64::from(*v)).collect();
            check_all(&wide);
        }
    }
}
