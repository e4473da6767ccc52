//! Sums over two runs of values, place by place.

use pulp::{Arch, Simd, WithSimd};

use crate::PrefixKey;

/// Values that are added side by side: two vectors of the widest kind.
const LANES: usize = 16;

type Lanes = [f64; LANES];

/// What is added up over pairs of values `a` and `b`.
///
/// Push runs whose lengths are multiples of 16 (but for the last): sums then do not depend on how the runs are cut.
/// All sums are in `f64`; a value that is not finite makes those it enters not finite.
#[derive(Clone, Debug, Default)]
pub struct PairSums {
    pairs: u64,
    /// Squares of b - a, of a and of b; a b; magnitudes of b - a. Narrow vectors use the first lanes alone.
    sums: [Lanes; 5],
    largest: Lanes,
    flips: Lanes,
    differing: Lanes,
}

/// What [`PairSums`] found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairTotals {
    /// How many pairs.
    pub pairs: u64,
    /// Sum of `(b - a)^2`.
    pub difference_energy: f64,
    /// Sums of `a^2` and of `b^2`.
    pub energies: [f64; 2],
    /// Sum of `a b`.
    pub product: f64,
    /// Sum of `|b - a|`.
    pub absolute: f64,
    /// Largest `|b - a|`; NaN are passed over.
    pub largest: f64,
    /// Pairs with opposite signs, zeros having none.
    pub flips: u64,
    /// Pairs whose bits differ.
    pub differing: u64,
}

impl PairTotals {
    /// Cosine of the angle between the two, in `-1..=1`; `None` when one of them is zero or not finite.
    pub fn cosine(&self) -> Option<f64> {
        let scale = self.energies[0].sqrt() * self.energies[1].sqrt();
        let cosine = self.product / scale;
        cosine.is_finite().then(|| cosine.clamp(-1.0, 1.0))
    }
}

impl PairSums {
    /// Adds a run of pairs; what one slice has more than the other is left out.
    pub fn push<T: PrefixKey>(&mut self, a: &[T], b: &[T]) {
        Arch::new().dispatch(Push { sums: self, a, b });
    }

    /// The sums of everything pushed.
    pub fn finish(&self) -> PairTotals {
        let total = |lanes: &Lanes| lanes.iter().sum::<f64>();
        let [difference_energy, a, b, product, absolute] =
            [0, 1, 2, 3, 4].map(|i| total(&self.sums[i]));
        PairTotals {
            pairs: self.pairs,
            difference_energy,
            energies: [a, b],
            product,
            absolute,
            largest: self.largest.iter().copied().fold(0.0, f64::max),
            flips: total(&self.flips) as u64,
            differing: total(&self.differing) as u64,
        }
    }
}

/// One run: a structure, because a closure would not be compiled into the vector code that calls it.
struct Push<'a, T> {
    sums: &'a mut PairSums,
    a: &'a [T],
    b: &'a [T],
}

impl<T: PrefixKey> WithSimd for Push<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { sums, a, b } = self;
        let count = a.len().min(b.len());
        let (a, a_rest) = a[..count].as_chunks::<LANES>();
        let (b, b_rest) = b[..count].as_chunks::<LANES>();
        let [mut even, mut odd] = [0, 1].map(|place| Totals::<S>::load(sums, place));
        for (a, b) in a.iter().zip(b) {
            let (a, b) = (a.map(T::into), b.map(T::into));
            step(simd, [&mut even, &mut odd], &a, &b);
        }
        if !a_rest.is_empty() {
            // Zeros add nothing.
            let (mut a, mut b) = ([0.0; LANES], [0.0; LANES]);
            for (lane, (x, y)) in a_rest.iter().zip(b_rest).enumerate() {
                (a[lane], b[lane]) = ((*x).into(), (*y).into());
            }
            step(simd, [&mut even, &mut odd], &a, &b);
        }
        even.store(sums, 0);
        odd.store(sums, 1);
        sums.pairs += count as u64;
    }
}

/// Adds two vectors at a time.
#[inline(always)]
fn step<S: Simd>(simd: S, [even, odd]: [&mut Totals<S>; 2], a: &Lanes, b: &Lanes) {
    let ((a, _), (b, _)) = (S::as_simd_f64s(a), S::as_simd_f64s(b));
    for (a, b) in a.as_chunks::<2>().0.iter().zip(b.as_chunks::<2>().0) {
        even.add(simd, a[0], b[0]);
        odd.add(simd, a[1], b[1]);
    }
}

/// The totals of one vector, in registers.
struct Totals<S: Simd> {
    sums: [S::f64s; 5],
    largest: S::f64s,
    flips: S::f64s,
    differing: S::f64s,
}

impl<S: Simd> Totals<S> {
    #[inline(always)]
    fn load(from: &PairSums, place: usize) -> Self {
        let vector = |lanes: &Lanes| S::as_simd_f64s(lanes).0[place];
        Self {
            sums: std::array::from_fn(|i| vector(&from.sums[i])),
            largest: vector(&from.largest),
            flips: vector(&from.flips),
            differing: vector(&from.differing),
        }
    }

    #[inline(always)]
    fn store(self, to: &mut PairSums, place: usize) {
        for (lanes, sum) in to.sums.iter_mut().zip(self.sums) {
            S::as_mut_simd_f64s(lanes).0[place] = sum;
        }
        S::as_mut_simd_f64s(&mut to.largest).0[place] = self.largest;
        S::as_mut_simd_f64s(&mut to.flips).0[place] = self.flips;
        S::as_mut_simd_f64s(&mut to.differing).0[place] = self.differing;
    }

    #[inline(always)]
    fn add(&mut self, simd: S, a: S::f64s, b: S::f64s) {
        let difference = simd.sub_f64s(b, a);
        let magnitude = simd.abs_f64s(difference);
        let product = simd.mul_f64s(a, b);
        let [differences, first, second, products, absolute] = &mut self.sums;
        *differences = simd.mul_add_f64s(difference, difference, *differences);
        *first = simd.mul_add_f64s(a, a, *first);
        *second = simd.mul_add_f64s(b, b, *second);
        *products = simd.add_f64s(product, *products);
        *absolute = simd.add_f64s(magnitude, *absolute);
        self.largest = simd.max_f64s(magnitude, self.largest);
        let (zero, one) = (simd.splat_f64s(0.0), simd.splat_f64s(1.0));
        let is_flip = simd.less_than_f64s(product, zero);
        self.flips = simd.add_f64s(self.flips, simd.select_f64s(is_flip, one, zero));
        let bits = simd.xor_u64s(simd.transmute_u64s_f64s(a), simd.transmute_u64s_f64s(b));
        let differ = simd.less_than_u64s(simd.splat_u64s(0), bits);
        self.differing = simd.add_f64s(self.differing, simd.select_f64s(differ, one, zero));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: usize, seed: u64) -> Vec<f64> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(seed | 1);
            (state >> 11) as f64 / (1u64 << 53) as f64 - 0.5
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn sums_are_those_of_the_definition() {
        for count in [0, 1, 15, 16, 17, 1000] {
            let (a, b) = (values(count, 3), values(count, 8));
            let mut sums = PairSums::default();
            sums.push(&a, &b);
            let totals = sums.finish();
            let sum = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(&b).map(|(a, b)| f(*a, *b)).sum();
            let near = |x: f64, y: f64| (x - y).abs() <= 1e-12 * y.abs();
            assert!(near(totals.difference_energy, sum(&|a, b| (b - a) * (b - a))));
            assert!(near(totals.energies[0], sum(&|a, _| a * a)));
            assert!(near(totals.energies[1], sum(&|_, b| b * b)));
            assert!((totals.product - sum(&|a, b| a * b)).abs() < 1e-12);
            assert!(near(totals.absolute, sum(&|a, b| (b - a).abs())));
            let flips: f64 = sum(&|a, b| f64::from(u8::from((a < 0.0) != (b < 0.0))));
            assert_eq!((totals.flips as f64, totals.pairs), (flips, count as u64));
            let mut c = a.clone();
            c.iter_mut().step_by(3).for_each(|x| *x = -*x);
            let mut flipped = PairSums::default();
            flipped.push(&a, &c);
            assert_eq!(flipped.finish().differing, count.div_ceil(3) as u64);
            let largest = a.iter().zip(&b).map(|(a, b)| (b - a).abs()).fold(0.0, f64::max);
            assert_eq!(totals.largest, largest);
            // Cut at multiples of the lanes, the bits are the same.
            let mut cut = PairSums::default();
            for (a, b) in a.chunks(32).zip(b.chunks(32)) {
                cut.push(a, b);
            }
            assert_eq!(cut.finish(), totals);
        }
    }

    #[test]
    fn what_is_not_finite_shows_in_its_sums() {
        let mut sums = PairSums::default();
        sums.push(&[1.0f32, 0.0], &[f32::NAN, -0.0]);
        let totals = sums.finish();
        assert!(totals.difference_energy.is_nan() && totals.energies[0] == 1.0);
        assert_eq!((totals.flips, totals.differing, totals.cosine()), (0, 2, None));
        assert_eq!(PairSums::default().finish().cosine(), None);
    }
}
