//! From a coarse ladder to exact answers: further looks at the values in those rungs that decide them.

use pulp::Arch;

use crate::count::{BLOCK, Cell, MAX_RUNGS, Prefixes, prefix_bits};
use crate::ladder::{KS_BOUND_BYTES, Rung};
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
/// A pass keeps the values of all rungs in question, side by side, and the rest happens in memory. Where they
/// are too many ([`Refinement::kept`]), it counts them in up to 256 parts of each rung instead, and fewer are
/// in question at the next pass.
#[derive(Debug)]
pub struct Refinement<T> {
    ladder: Ladder,
    demands: Demands,
    /// Values that are kept at most.
    limit: u64,
    /// Values of the rungs that know their place here.
    kept: Vec<T>,
    pass: Option<Pass<T>>,
}

/// What a pass over the values does.
#[derive(Debug)]
enum Pass<T> {
    Keep(Keep<T>),
    Split(Split),
}

impl<T: PrefixKey> Refinement<T> {
    /// Values of a tensor of so many that are kept at most.
    pub fn kept(values: u64) -> u64 {
        (values / 8).clamp(1 << 21, 1 << 23).min(values)
    }

    /// Bytes of scratch that refining `values` takes at most.
    pub fn scratch(values: u64) -> u64 {
        let kept = Self::kept(values);
        let prefixes = 1 << prefix_bits(values);
        // Rungs of the first pass, and what a pass and a round in memory make of them.
        let rungs = (MAX_RUNGS as u64).min(values) + (2 * MAX_PARTS).min(kept);
        // Once more while a ladder is rewritten, and bounds for both signs.
        let each = 2 * Ladder::BYTES_PER_RUNG + 2 * KS_BOUND_BYTES;
        let parts = size_of::<Part>().max(size_of::<Cell>()) as u64;
        kept * size_of::<T>() as u64
            + rungs * each
            + MAX_PARTS.min(values) * parts
            + prefixes
            + (prefixes >> GROUP) * size_of::<u32>() as u64
    }

    /// Begins with what a first pass has counted.
    pub fn new(ladder: Ladder, demands: Demands) -> Self {
        let limit = Self::kept(ladder.len());
        Self::keeping(ladder, demands, limit)
    }

    fn keeping(ladder: Ladder, demands: Demands, limit: u64) -> Self {
        let mut refinement = Self { ladder, demands, limit, kept: Vec::new(), pass: None };
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
            Some(Pass::Keep(keep)) => keep.push(values),
        }
    }

    /// Ends a pass: all values have been pushed.
    pub fn end_pass(&mut self) {
        match self.pass.take() {
            None => return,
            Some(Pass::Split(split)) => self.ladder = split.finish::<T>(&self.ladder),
            Some(Pass::Keep(keep)) => {
                self.kept = keep.finish(&mut self.ladder);
                // As many values as before are in question.
                let placed = self.ladder.rungs.iter().enumerate();
                let placed = placed.filter(|(_, rung)| rung.place.is_some());
                self.split_kept(placed.map(|(index, _)| index).collect());
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
            if wanted.is_empty() {
                self.kept = Vec::new();
                return;
            }
            let rungs = || wanted.iter().map(|index| &self.ladder.rungs[*index]);
            if rungs().all(|rung| rung.place.is_some()) {
                self.split_kept(wanted);
                continue;
            }
            let count: u64 = rungs().map(Rung::count).sum();
            self.pass = Some(if count <= self.limit {
                Pass::Keep(Keep::new(&self.ladder, wanted))
            } else {
                Pass::Split(Split::new::<T>(&self.ladder, &wanted))
            });
            return;
        }
    }

    /// Splits rungs in question whose values have been kept, the first of them if they are many, and puts the
    /// values in the order of the finer ones.
    fn split_kept(&mut self, mut wanted: Vec<usize>) {
        let (ladder, kept) = (&self.ladder, &mut self.kept);
        let all: u64 = wanted.iter().map(|index| ladder.rungs[*index].count()).sum();
        let mut sorter = Sorter { sorted: Vec::new(), up_to: SORTED };
        if all <= MAX_PARTS {
            // Exact rungs for all of them: then the supremum and the histogram need no other look, since bounds
            // of exact rungs exclude no fewer of the others.
            sorter.up_to = usize::MAX;
            self.demands.normal = None;
        } else {
            let mut parts = 0;
            let first = wanted.iter().take_while(|index| {
                let before = parts;
                parts += ladder.rungs[**index].count().min(SORTED as u64);
                before < MAX_PARTS
            });
            wanted.truncate(first.count());
        }
        self.ladder = ladder.replacing(wanted, |rung, finer| {
            let Some(place) = rung.place else { return };
            let start = place as usize;
            if let Some(values) = kept.get_mut(start..start + rung.count() as usize) {
                sorter.split(rung, place, values, finer);
            }
        });
    }
}

impl Ladder {
    /// With each of the `chosen` rungs replaced by what `finer` appends for it; it is called in the order of
    /// rungs.
    fn replacing(
        &self,
        mut chosen: Vec<usize>,
        mut finer: impl FnMut(&Rung, &mut Vec<Rung>),
    ) -> Self {
        chosen.sort_unstable();
        let mut rungs = Vec::with_capacity(self.rungs.len());
        let mut next = 0;
        for index in chosen {
            rungs.extend_from_slice(&self.rungs[next..index]);
            finer(&self.rungs[index], &mut rungs);
            next = index + 1;
        }
        rungs.extend_from_slice(&self.rungs[next..]);
        Self::from_rungs(rungs)
    }
}

/// First and last magnitude key.
type Keys = [u64; 2];

/// Finds the values whose magnitude keys lie in given ranges.
#[derive(Debug)]
struct Sieve {
    /// Ascending and disjoint.
    ranges: Vec<Keys>,
    shift: u32,
    /// By key prefix: 1 when a range holds keys of it.
    flags: Vec<u8>,
    /// By groups of [`GROUP`] key prefixes: the first range that does not end before them.
    starts: Vec<u32>,
    /// Whether so few prefixes are flagged that most looks at eight values find nothing.
    rare: bool,
}

/// Binary logarithm of the key prefixes that share a start in [`Sieve`].
const GROUP: u32 = 4;

impl Sieve {
    /// For rungs of `ladder`, in ascending order.
    fn new<T: PrefixKey>(ladder: &Ladder, rungs: &[usize]) -> Self {
        let bits = prefix_bits(ladder.len());
        let shift = T::KEY_BITS - bits;
        let mut flags = vec![0; 1 << bits];
        let groups = (1 << (bits - GROUP)) + 1;
        let mut starts = Vec::with_capacity(groups);
        let keys = |index: &usize| [ladder.rungs[*index].first, ladder.rungs[*index].last];
        let ranges: Vec<Keys> = rungs.iter().map(keys).collect();
        for (index, range) in ranges.iter().enumerate() {
            let [first, last] = range.map(|key| (key >> shift) as usize);
            flags[first..=last].fill(1);
            starts.resize(starts.len().max((last >> GROUP) + 1), index as u32);
        }
        starts.resize(groups, ranges.len() as u32);
        let values: u64 = rungs.iter().map(|index| ladder.rungs[*index].count()).sum();
        Self { ranges, shift, flags, starts, rare: values < ladder.len() / 32 }
    }

    /// Calls `take` with each value that a range holds, and the range's index.
    #[inline(always)]
    fn each<T: PrefixKey>(&self, values: &[T], mut take: impl FnMut(T, u64, usize)) {
        let mut prefixes = [0; BLOCK];
        let mut hits = [0u32; BLOCK];
        for values in values.chunks(BLOCK) {
            let prefixes = &mut prefixes[..values.len()];
            Arch::new().dispatch(Prefixes { values, shift: self.shift, out: &mut *prefixes });
            let len = self.hits(prefixes, &mut hits);
            for hit in &hits[..len] {
                let value = values[*hit as usize];
                let key = value.key();
                if let Some(index) = self.find(key) {
                    take(value, key, index);
                }
            }
        }
    }

    /// Writes down where flagged prefixes are, and returns how many there are.
    #[inline(always)]
    fn hits(&self, prefixes: &[u32], hits: &mut [u32; BLOCK]) -> usize {
        let mut len = 0;
        let mut note = |first: usize, prefixes: &[u32]| {
            for (index, prefix) in (first as u32..).zip(prefixes) {
                // Written in any case and overwritten unless it counts: a branch would often be guessed
                // wrong.
                hits[len % BLOCK] = index;
                len += usize::from(self.flags[*prefix as usize]);
            }
        };
        if !self.rare {
            note(0, prefixes);
            return len;
        }
        let (eights, rest) = prefixes.as_chunks::<8>();
        for (index, eight) in eights.iter().enumerate() {
            if eight.iter().fold(0, |any, prefix| any | self.flags[*prefix as usize]) != 0 {
                note(8 * index, eight);
            }
        }
        note(8 * eights.len(), rest);
        len
    }

    /// The range that holds this key, which has a flagged prefix.
    #[inline(always)]
    fn find(&self, key: u64) -> Option<usize> {
        let group = (key >> self.shift >> GROUP) as usize;
        let first = self.starts[group] as usize;
        let end = (self.starts[group + 1] as usize + 1).min(self.ranges.len());
        let index = first + self.ranges[first..end].partition_point(|range| range[1] < key);
        self.ranges.get(index).filter(|range| range[0] <= key)?;
        Some(index)
    }
}

/// Keeps the values of chosen rungs, those of one rung side by side.
#[derive(Debug)]
struct Keep<T> {
    sieve: Sieve,
    rungs: Vec<usize>,
    /// Where the next value of each rung goes, and where the next rung begins.
    places: Vec<[u32; 2]>,
    values: Vec<T>,
}

impl<T: PrefixKey> Keep<T> {
    fn new(ladder: &Ladder, mut rungs: Vec<usize>) -> Self {
        rungs.sort_unstable();
        let mut end = 0;
        let places = rungs.iter().map(|index| {
            let start = end;
            end += ladder.rungs[*index].count() as u32;
            [start, end]
        });
        let places = places.collect();
        let sieve = Sieve::new::<T>(ladder, &rungs);
        Self { sieve, rungs, places, values: vec![T::ZERO; end as usize] }
    }

    fn push(&mut self, values: &[T]) {
        let (places, kept) = (&mut self.places, &mut self.values);
        self.sieve.each(values, |value, _, index| {
            let [next, end] = &mut places[index];
            // Only a file that is being written to has more values than were counted.
            if *next < *end {
                kept[*next as usize] = value;
                *next += 1;
            }
        });
    }

    /// Tells the chosen rungs the place of their values, and returns these.
    fn finish(self, ladder: &mut Ladder) -> Vec<T> {
        let Self { rungs, places, values, .. } = self;
        let mut fewer = false;
        for (index, [next, end]) in rungs.iter().zip(&places) {
            let rung = &mut ladder.rungs[*index];
            rung.place = Some(end - rung.count() as u32);
            fewer |= next < end;
        }
        if fewer {
            // As above: fewer values than were counted.
            let mut places = places.into_iter();
            *ladder = ladder.replacing(rungs, |rung, finer| {
                let (Some(start), Some([next, _])) = (rung.place, places.next()) else { return };
                let mut part = NO_VALUE;
                for value in &values[start as usize..next as usize] {
                    part.add(*value, value.key());
                }
                finer.extend(part.rung::<T>(Some(start)));
            });
        }
        values
    }
}

/// Counts the values of chosen rungs in finer parts.
#[derive(Debug)]
struct Split {
    sieve: Sieve,
    rungs: Vec<usize>,
    slots: Vec<Slot>,
    /// Parts of rungs that hold few of all values.
    cells: Vec<Cell>,
    /// Parts of the others, which may be one value: they know the smallest and the largest that came.
    parts: Vec<Part>,
}

/// How a rung is split.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Its key range begins here; parts cover `2^step` keys each.
    key: u64,
    step: u32,
    /// The first of its cells, or parts.
    first: u32,
    count: u32,
    has_cells: bool,
}

/// Values in a part of a rung.
#[derive(Clone, Copy, Debug)]
struct Part {
    signs: [u64; 2],
    energy: f64,
    keys: Keys,
}

const NO_VALUE: Part = Part { signs: [0; 2], energy: 0.0, keys: [u64::MAX, 0] };

/// Parts of one rung at most.
const PARTS: usize = 256;
/// Parts of all rungs in one pass at most.
const MAX_PARTS: u64 = 1 << 16;
/// Rungs with less than this share of all values are counted in cells.
const LIGHT: u64 = 1024;

/// How many steps of how many keys (a binary logarithm) cut `first..=last` in at most `parts`, a power of two.
fn steps(first: u64, last: u64, parts: usize) -> (u32, usize) {
    let span = last - first;
    let width = u64::BITS - span.leading_zeros();
    let step = width - width.min(parts.ilog2());
    (step, (span >> step) as usize + 1)
}

impl Split {
    /// For the first of `wanted`, coarse rungs of `ladder`, as many as a pass can split.
    fn new<T: PrefixKey>(ladder: &Ladder, wanted: &[usize]) -> Self {
        let all: u64 = wanted.iter().map(|index| ladder.rungs[*index].count()).sum();
        // In proportion to the values: about as many in every part.
        let parts = |rung: &Rung| {
            let share = rung.count() as f64 / all as f64 * (MAX_PARTS / 2) as f64;
            (share as usize).next_power_of_two().clamp(2, PARTS)
        };
        let mut left = MAX_PARTS as usize;
        let mut rungs: Vec<usize> = wanted
            .iter()
            .copied()
            .take_while(|index| {
                let rest = left.checked_sub(parts(&ladder.rungs[*index]));
                left = rest.unwrap_or(left);
                rest.is_some()
            })
            .collect();
        rungs.sort_unstable();
        let (mut cells, mut tight) = (0, 0);
        let slots = rungs.iter().map(|index| {
            let rung = &ladder.rungs[*index];
            let (step, count) = steps(rung.first, rung.last, parts(rung));
            let has_cells = rung.count() < (ladder.len() / LIGHT).min(u32::MAX.into());
            let total = if has_cells { &mut cells } else { &mut tight };
            *total += count;
            let first = (*total - count) as u32;
            Slot { key: rung.first, step, first, count: count as u32, has_cells }
        });
        let slots = slots.collect();
        Self {
            sieve: Sieve::new::<T>(ladder, &rungs),
            rungs,
            slots,
            cells: vec![Cell::default(); cells],
            parts: vec![NO_VALUE; tight],
        }
    }

    fn push<T: PrefixKey>(&mut self, values: &[T]) {
        let Self { sieve, slots, cells, parts, .. } = self;
        sieve.each(values, |value, key, index| {
            let slot = &slots[index];
            let part = slot.first as usize + ((key - slot.key) >> slot.step) as usize;
            if slot.has_cells {
                cells[part].add(value);
            } else {
                parts[part].add(value, key);
            }
        });
    }

    /// The ladder with every chosen rung replaced by its finer ones.
    fn finish<T: PrefixKey>(self, ladder: &Ladder) -> Ladder {
        let mut slots = self.slots.iter();
        ladder.replacing(self.rungs, |rung, finer| {
            let Some(slot) = slots.next() else { return };
            let range = slot.first as usize..(slot.first + slot.count) as usize;
            if !slot.has_cells {
                finer.extend(self.parts[range].iter().filter_map(|part| part.rung::<T>(None)));
                return;
            }
            finer.extend((0..).zip(&self.cells[range]).filter_map(|(part, cell)| {
                let first = slot.key + (part << slot.step);
                let last = rung.last.min(first + ((1 << slot.step) - 1));
                let [positive, negative] = cell.signs.map(u64::from);
                rung_of::<T>([first, last], negative, positive, cell.energy, None)
            }));
        })
    }
}

/// A rung that covers these keys; `None` when no value is there.
fn rung_of<T: PrefixKey>(
    [first, last]: Keys,
    negative: u64,
    positive: u64,
    energy: f64,
    place: Option<u32>,
) -> Option<Rung> {
    if positive + negative == 0 {
        return None;
    }
    let [low, high] = [first, last].map(T::magnitude_of);
    if first == last {
        return Some(Rung::exact(low, negative, positive));
    }
    Some(Rung { low, high, negative, positive, energy, first, last, place })
}

impl Part {
    #[inline(always)]
    fn add<T: PrefixKey>(&mut self, value: T, key: u64) {
        let x: f64 = value.into();
        self.signs[usize::from(value.is_negative())] += 1;
        self.energy += x * x;
        self.keys = [self.keys[0].min(key), self.keys[1].max(key)];
    }

    fn rung<T: PrefixKey>(&self, place: Option<u32>) -> Option<Rung> {
        let [positive, negative] = self.signs;
        rung_of::<T>(self.keys, negative, positive, self.energy, place)
    }
}

/// Splits rungs in memory.
#[derive(Debug)]
struct Sorter<T> {
    sorted: Vec<T>,
    /// Rungs of up to so many values become exact ones.
    up_to: usize,
}

/// Up to so many values are sorted rather than split, when many are in question.
const SORTED: usize = 64;
/// Others are split in parts of about so many values.
const PART_VALUES: u64 = 128;

impl<T: PrefixKey> Sorter<T> {
    /// Appends the parts of `rung`, whose `values` begin at `place`, and puts these in their order.
    fn split(&mut self, rung: &Rung, place: u32, values: &mut [T], finer: &mut Vec<Rung>) {
        if values.len() <= self.up_to {
            values.sort_unstable_by_key(|value| value.key());
            finer.extend(values.chunk_by(|a, b| a.key() == b.key()).map(|run| {
                let negative = run.iter().filter(|value| value.is_negative()).count();
                let magnitude = run[0].magnitude().into();
                Rung::exact(magnitude, negative as u64, (run.len() - negative) as u64)
            }));
            return;
        }
        let wish = (values.len() / PART_VALUES as usize).next_power_of_two().clamp(4, PARTS);
        let (step, count) = steps(rung.first, rung.last, wish);
        let part_of = |value: &T| ((value.key() - rung.first) >> step) as usize;
        let mut parts = [NO_VALUE; PARTS];
        for value in &*values {
            parts[part_of(value)].add(*value, value.key());
        }
        let mut places = [0; PARTS];
        let mut next = 0;
        for (start, part) in places.iter_mut().zip(&parts[..count]) {
            *start = next;
            next += part.signs.iter().sum::<u64>() as usize;
            finer.extend(part.rung::<T>(Some(place + *start as u32)));
        }
        self.sorted.clear();
        self.sorted.extend_from_slice(values);
        for value in &self.sorted {
            let place = &mut places[part_of(value)];
            values[*place] = *value;
            *place += 1;
        }
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
