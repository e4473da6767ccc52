//! An upper band to upper bidiagonal form.
//!
//! A reflector from the right annihilates a row behind its first superdiagonal entry, which fills the
//! diagonal window below it; one from the left annihilates that window's first column, which fills the
//! window to its right, and so on to the end (Lang, Parallel Computing 22, 1996). 8 n^2 b flops.

use pulp::Simd;

use crate::Monitor;
use crate::band::{Band, Windows};
use crate::chase::{Place, Step, chase};
use crate::window::{Reflector, left_then_right, right_then_left};

/// Diagonal and superdiagonal of a bidiagonal matrix with the singular values of `band`. `None` when the
/// monitor stops it.
pub(crate) fn reduce(mut band: Band, monitor: &dyn Monitor) -> Option<(Vec<f64>, Vec<f64>)> {
    let sweeps = band.size.saturating_sub(1);
    chase::<Bidiagonal>(&mut band, sweeps, monitor)?;
    Some((band.diagonal(), band.superdiagonal()))
}

struct Bidiagonal;

impl Step for Bidiagonal {
    const FLOPS: f64 = 16.0;

    #[inline(always)]
    fn step<S: Simd, const V: usize>(
        simd: S,
        band: &mut Windows<'_>,
        at: Place,
        reflector: &mut Reflector,
        scratch: &mut Reflector,
    ) {
        let (b, stride) = (band.width, band.stride());
        if at.is_first() {
            reflector.annihilate_row(simd, band.window(at.sweep, at.row), stride);
        } else {
            let window = band.window(at.row - b, at.row);
            left_then_right::<S, V>(simd, window, stride, reflector, scratch);
        }
        let window = band.window(at.row, at.row);
        right_then_left::<S, V>(simd, window, stride, reflector, scratch);
    }
}
