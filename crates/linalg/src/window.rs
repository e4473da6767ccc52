//! Reflectors on windows of a band: the inner loops of both chases.
//!
//! A window has `V * lanes` rows; its columns lie `stride` values apart. One column fits in the registers
//! of AVX-512 for the widths in use, so that a window is read twice and written once per reflector pair.

use pulp::Simd;

use crate::vector::{dot_with, reflect_with};

/// A Householder reflector `I - tau v v^T`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reflector {
    pub(crate) v: Vec<f64>,
    pub(crate) tau: f64,
}

impl Reflector {
    /// A reflector of `length` values that is the identity.
    pub(crate) fn identity(length: usize) -> Self {
        Self { v: vec![0.0; length], tau: 0.0 }
    }

    /// Takes the reflector that annihilates all of `x` but its first value, and does so to `x`.
    #[inline(always)]
    pub(crate) fn annihilate<S: Simd>(&mut self, simd: S, x: &mut [f64]) {
        self.v.copy_from_slice(x);
        let (tau, beta) = reflect_with(simd, &mut self.v);
        self.tau = tau;
        x.fill(0.0);
        x[0] = beta;
    }

    /// The same for a row, whose values lie `stride` apart.
    #[inline(always)]
    pub(crate) fn annihilate_row<S: Simd>(&mut self, simd: S, x: &mut [f64], stride: usize) {
        for (column, v) in self.v.iter_mut().enumerate() {
            *v = std::mem::take(&mut x[column * stride]);
        }
        let (tau, beta) = reflect_with(simd, &mut self.v);
        self.tau = tau;
        x[0] = beta;
    }
}

/// The first `V` vectors of `values`.
#[inline(always)]
fn vectors<S: Simd, const V: usize>(values: &[f64]) -> &[S::f64s; V] {
    &S::as_simd_f64s(values).0.as_chunks::<V>().0[0]
}

/// [`vectors`], to change.
#[inline(always)]
fn vectors_mut<S: Simd, const V: usize>(values: &mut [f64]) -> &mut [S::f64s; V] {
    &mut S::as_mut_simd_f64s(values).0.as_chunks_mut::<V>().0[0]
}

/// `factor * window * x`: one value per row.
#[inline(always)]
fn times<S: Simd, const V: usize>(
    simd: S,
    window: &[f64],
    stride: usize,
    x: &[f64],
    factor: f64,
) -> [S::f64s; V] {
    let mut sums = [simd.splat_f64s(0.0); V];
    for (column, x) in x.iter().enumerate() {
        let x = simd.splat_f64s(*x);
        let column = vectors::<S, V>(&window[column * stride..]);
        for r in 0..V {
            sums[r] = simd.mul_add_e_f64s(column[r], x, sums[r]);
        }
    }
    let factor = simd.splat_f64s(factor);
    sums.map(|sum| simd.mul_f64s(factor, sum))
}

/// The sum over all lanes of `a * b`.
#[inline(always)]
fn inner<S: Simd, const V: usize>(simd: S, a: &[S::f64s; V], b: &[S::f64s; V]) -> f64 {
    let mut sums = [simd.splat_f64s(0.0); 4];
    for r in 0..V {
        sums[r % 4] = simd.mul_add_e_f64s(a[r], b[r], sums[r % 4]);
    }
    let pairs = [simd.add_f64s(sums[0], sums[1]), simd.add_f64s(sums[2], sums[3])];
    simd.reduce_sum_f64s(simd.add_f64s(pairs[0], pairs[1]))
}

/// Applies `reflector` from the right, replaces it by the one that annihilates the first column below its
/// first entry, and applies that from the left. `scratch` is for the old one.
#[inline(always)]
pub(crate) fn right_then_left<S: Simd, const V: usize>(
    simd: S,
    window: &mut [f64],
    stride: usize,
    reflector: &mut Reflector,
    scratch: &mut Reflector,
) {
    let rows = V * S::F64_LANES;
    let w = times::<S, V>(simd, window, stride, &reflector.v, reflector.tau);
    std::mem::swap(reflector, scratch);
    let right = &*scratch;
    {
        let first = vectors_mut::<S, V>(window);
        let factor = simd.splat_f64s(right.v[0]);
        for r in 0..V {
            first[r] = simd.negate_mul_add_e_f64s(factor, w[r], first[r]);
        }
    }
    reflector.annihilate(simd, &mut window[..rows]);
    let v = *vectors::<S, V>(&reflector.v);
    for (column, x) in right.v.iter().enumerate().skip(1) {
        let x = simd.splat_f64s(*x);
        let target = vectors_mut::<S, V>(&mut window[column * stride..]);
        let mut values = *target;
        for r in 0..V {
            values[r] = simd.negate_mul_add_e_f64s(x, w[r], values[r]);
        }
        let factor = simd.splat_f64s(reflector.tau * inner::<S, V>(simd, &values, &v));
        for r in 0..V {
            target[r] = simd.negate_mul_add_e_f64s(factor, v[r], values[r]);
        }
    }
}

/// Applies `reflector` from the left, replaces it by the one that annihilates the first row behind its first
/// entry, and applies that from the right. `scratch` is for the old one.
#[inline(always)]
pub(crate) fn left_then_right<S: Simd, const V: usize>(
    simd: S,
    window: &mut [f64],
    stride: usize,
    reflector: &mut Reflector,
    scratch: &mut Reflector,
) {
    std::mem::swap(reflector, scratch);
    let left_tau = scratch.tau;
    let u = *vectors::<S, V>(&scratch.v);
    // y = tau window^T u, and the first row as u leaves it.
    let y = &mut scratch.v;
    for column in 0..y.len() {
        let values = vectors::<S, V>(&window[column * stride..]);
        y[column] = left_tau * inner::<S, V>(simd, values, &u);
        // u[0] is 1, or tau is 0.
        reflector.v[column] = window[column * stride] - y[column];
    }
    let (tau, _) = reflect_with(simd, &mut reflector.v);
    reflector.tau = tau;
    // (window - u y^T) v = window v - u (y . v)
    let mut w = times::<S, V>(simd, window, stride, &reflector.v, tau);
    let overlap = simd.splat_f64s(tau * dot_with(simd, y, &reflector.v));
    for r in 0..V {
        w[r] = simd.negate_mul_add_e_f64s(overlap, u[r], w[r]);
    }
    for (column, (y, v)) in y.iter().zip(&reflector.v).enumerate() {
        let (y, v) = (simd.splat_f64s(*y), simd.splat_f64s(*v));
        let target = vectors_mut::<S, V>(&mut window[column * stride..]);
        for r in 0..V {
            let value = simd.negate_mul_add_e_f64s(y, u[r], target[r]);
            target[r] = simd.negate_mul_add_e_f64s(v, w[r], value);
        }
    }
    for column in 1..reflector.v.len() {
        window[column * stride] = 0.0;
    }
}

/// Applies `reflector` from both sides to the symmetric matrix in the lower triangle of a window, whose
/// first diagonal entry is at `origin`. Up to a vector's length of values above each diagonal entry are
/// read, which must be finite, and stay as they are.
#[inline(always)]
pub(crate) fn both_sides<S: Simd, const V: usize>(
    simd: S,
    band: &mut [f64],
    origin: usize,
    stride: usize,
    reflector: &Reflector,
) {
    if reflector.tau == 0.0 {
        return;
    }
    let lanes = S::F64_LANES;
    let zero = simd.splat_f64s(0.0);
    let v = vectors::<S, V>(&reflector.v);
    // y = D v, as many columns at a time as a vector has lanes: each entry below the diagonal serves its row
    // and, mirrored, its column.
    let mut y = [zero; V];
    let mut across = [0.0; MAX_ROWS];
    for block in 0..V {
        let first = block * lanes;
        let factors = splats::<S>(simd, &reflector.v[first..]);
        let mut sums = [zero; MAX_LANES];
        for lane in 0..lanes {
            let entry = column::<S>(band, origin, stride, first + lane, first);
            let on = simd.mul_f64s(entry, mask::<S>(lane));
            let under = simd.mul_f64s(entry, mask::<S>(lane + 1));
            y[block] = simd.mul_add_e_f64s(on, factors[lane], y[block]);
            sums[lane] = simd.mul_f64s(under, v[block]);
        }
        for r in block + 1..V {
            let (v, mut sum) = (v[r], y[r]);
            for lane in 0..lanes {
                let entry = column::<S>(band, origin, stride, first + lane, r * lanes);
                sum = simd.mul_add_e_f64s(entry, factors[lane], sum);
                sums[lane] = simd.mul_add_e_f64s(entry, v, sums[lane]);
            }
            y[r] = sum;
        }
        for lane in 0..lanes {
            across[first + lane] = simd.reduce_sum_f64s(sums[lane]);
        }
    }
    let tau = simd.splat_f64s(reflector.tau);
    let across = vectors::<S, V>(&across);
    let mut w = [zero; V];
    for r in 0..V {
        w[r] = simd.mul_f64s(tau, simd.add_f64s(y[r], across[r]));
    }
    // w = tau (y - 1/2 tau (v . y) v): then D - v w^T - w v^T.
    let half = simd.splat_f64s(-0.5 * reflector.tau * inner::<S, V>(simd, v, &w));
    for r in 0..V {
        w[r] = simd.mul_add_e_f64s(half, v[r], w[r]);
    }
    let mut w_values = [0.0; MAX_ROWS];
    *vectors_mut::<S, V>(&mut w_values) = w;
    for block in 0..V {
        let first = block * lanes;
        let by_v = splats::<S>(simd, &reflector.v[first..]);
        let by_w = splats::<S>(simd, &w_values[first..]);
        for lane in 0..lanes {
            let entry = column_mut::<S>(band, origin, stride, first + lane, first);
            let change =
                simd.mul_add_e_f64s(by_w[lane], v[block], simd.mul_f64s(by_v[lane], w[block]));
            *entry = simd.negate_mul_add_e_f64s(mask::<S>(lane), change, *entry);
        }
        for r in block + 1..V {
            let (v, w) = (v[r], w[r]);
            for lane in 0..lanes {
                let entry = column_mut::<S>(band, origin, stride, first + lane, r * lanes);
                let value = simd.negate_mul_add_e_f64s(by_v[lane], w, *entry);
                *entry = simd.negate_mul_add_e_f64s(by_w[lane], v, value);
            }
        }
    }
}

/// One vector of a diagonal window: rows `row..` of column `column`.
#[inline(always)]
fn column<S: Simd>(
    band: &[f64],
    origin: usize,
    stride: usize,
    column: usize,
    row: usize,
) -> S::f64s {
    S::as_simd_f64s(&band[origin + column * stride + row..][..S::F64_LANES]).0[0]
}

/// [`column`], to change.
#[inline(always)]
fn column_mut<S: Simd>(
    band: &mut [f64],
    origin: usize,
    stride: usize,
    column: usize,
    row: usize,
) -> &mut S::f64s {
    let place = &mut band[origin + column * stride + row..][..S::F64_LANES];
    &mut S::as_mut_simd_f64s(place).0[0]
}

/// A vector of each of as many values as there are lanes.
#[inline(always)]
fn splats<S: Simd>(simd: S, values: &[f64]) -> [S::f64s; MAX_LANES] {
    let mut vectors = [simd.splat_f64s(0.0); MAX_LANES];
    for (vector, value) in vectors.iter_mut().zip(&values[..S::F64_LANES]) {
        *vector = simd.splat_f64s(*value);
    }
    vectors
}

/// Most lanes of a vector.
const MAX_LANES: usize = 8;

/// Most rows of a window.
pub(crate) const MAX_ROWS: usize = 64;

/// A vector with zeros in the first `lane` lanes and ones in the rest.
#[inline(always)]
fn mask<S: Simd>(lane: usize) -> S::f64s {
    const STEPS: [f64; 17] = [0., 0., 0., 0., 0., 0., 0., 0., 1., 1., 1., 1., 1., 1., 1., 1., 1.];
    S::as_simd_f64s(&STEPS[8 - lane..16 - lane]).0[0]
}
