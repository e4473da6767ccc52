//! Vector operations that every stage uses, on the widest instructions that the machine has.

use pulp::{Arch, Simd, WithSimd};

/// Accumulators of a sum: enough independent chains to hide the latency of a fused multiply-add.
const CHAINS: usize = 4;

/// The sum of `a[i] * b[i]`, over the shorter length.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    struct Dot<'a>(&'a [f64], &'a [f64]);
    impl WithSimd for Dot<'_> {
        type Output = f64;
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> f64 {
            dot_with(simd, self.0, self.1)
        }
    }
    Arch::new().dispatch(Dot(a, b))
}

/// [`dot`] inside of vector code.
#[inline(always)]
pub(crate) fn dot_with<S: Simd>(simd: S, a: &[f64], b: &[f64]) -> f64 {
    let length = a.len().min(b.len());
    let (a, a_tail) = S::as_simd_f64s(&a[..length]);
    let (b, b_tail) = S::as_simd_f64s(&b[..length]);
    let mut sums = [simd.splat_f64s(0.0); CHAINS];
    let (a_blocks, a_rest) = a.as_chunks::<CHAINS>();
    let (b_blocks, b_rest) = b.as_chunks::<CHAINS>();
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for chain in 0..CHAINS {
            sums[chain] = simd.mul_add_e_f64s(a[chain], b[chain], sums[chain]);
        }
    }
    for (chain, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
        sums[chain] = simd.mul_add_e_f64s(*a, *b, sums[chain]);
    }
    let pairs = [simd.add_f64s(sums[0], sums[1]), simd.add_f64s(sums[2], sums[3])];
    let tail: f64 = a_tail.iter().zip(b_tail).map(|(a, b)| a * b).sum();
    simd.reduce_sum_f64s(simd.add_f64s(pairs[0], pairs[1])) + tail
}

/// `y += factor * x`, over the shorter length.
pub(crate) fn add_multiple(factor: f64, x: &[f64], y: &mut [f64]) {
    struct Add<'a>(f64, &'a [f64], &'a mut [f64]);
    impl WithSimd for Add<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let Self(factor, x, y) = self;
            let length = x.len().min(y.len());
            let (x, x_tail) = S::as_simd_f64s(&x[..length]);
            let (y, y_tail) = S::as_mut_simd_f64s(&mut y[..length]);
            let factors = simd.splat_f64s(factor);
            for (x, y) in x.iter().zip(y) {
                *y = simd.mul_add_e_f64s(factors, *x, *y);
            }
            for (x, y) in x_tail.iter().zip(y_tail) {
                *y += factor * x;
            }
        }
    }
    Arch::new().dispatch(Add(factor, x, y));
}

/// Turns `x` into the Householder reflector that maps it to a multiple of the first unit vector.
///
/// With `(tau, beta)` returned and v the new content, `v[0] = 1` and `(I - tau v v^T) x = beta e_1`. A
/// tail of zeros (or of values whose squares vanish) gives `tau = 0`: the identity. As LAPACK's `dlarfg`,
/// without its rescaling: callers keep values near 1.
#[inline(always)]
pub(crate) fn reflect_with<S: Simd>(simd: S, x: &mut [f64]) -> (f64, f64) {
    let Some((first, tail)) = x.split_first_mut() else { return (0.0, 0.0) };
    let alpha = *first;
    *first = 1.0;
    let tail_energy = dot_with(simd, tail, tail);
    if tail_energy == 0.0 {
        tail.fill(0.0);
        return (0.0, alpha);
    }
    let beta = -(alpha * alpha + tail_energy).sqrt().copysign(alpha);
    let scale = 1.0 / (alpha - beta);
    let factors = simd.splat_f64s(scale);
    let (vectors, rest) = S::as_mut_simd_f64s(tail);
    for vector in vectors {
        *vector = simd.mul_f64s(*vector, factors);
    }
    for value in rest {
        *value *= scale;
    }
    ((beta - alpha) / beta, beta)
}

/// [`reflect_with`] outside of vector code.
pub(crate) fn reflect(x: &mut [f64]) -> (f64, f64) {
    struct Reflect<'a>(&'a mut [f64]);
    impl WithSimd for Reflect<'_> {
        type Output = (f64, f64);
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> (f64, f64) {
            reflect_with(simd, self.0)
        }
    }
    Arch::new().dispatch(Reflect(x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_every_length() {
        for length in 0..70 {
            let a: Vec<f64> = (0..length).map(|i| f64::from(i) - 3.0).collect();
            let mut b: Vec<f64> = (0..length).map(|i| 2.0 * f64::from(i)).collect();
            let expected: f64 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            assert_eq!(dot(&a, &b), expected, "{length}");
            let sum: Vec<f64> = a.iter().zip(&b).map(|(a, b)| b - 2.0 * a).collect();
            add_multiple(-2.0, &a, &mut b);
            assert_eq!(b, sum, "{length}");
        }
    }

    #[test]
    fn a_reflector_maps_to_the_first_axis() {
        for length in 1..40 {
            let x: Vec<f64> = (0..length).map(|i| f64::from(i * i % 7) - 2.5).collect();
            let mut v = x.clone();
            let (tau, beta) = reflect(&mut v);
            let w = tau * dot(&v, &x);
            for (i, (x, v)) in x.iter().zip(&v).enumerate() {
                let expected = if i == 0 { beta } else { 0.0 };
                assert!((x - w * v - expected).abs() < 1e-14 * beta.abs(), "{length} {i}");
            }
        }
        let mut zeros = [-3.0, 0.0, 0.0];
        assert_eq!(reflect(&mut zeros), (0.0, -3.0));
    }
}
