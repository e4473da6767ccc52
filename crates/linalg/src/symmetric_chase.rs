//! A symmetric band to tridiagonal form.
//!
//! A reflector annihilates a column below its first off-diagonal entry; applied from both sides it fills a
//! triangle further down, whose first column the next reflector annihilates, and so on to the end. What is
//! left of each bulge is taken up by the next sweep, one column further (Murata and Horikoshi 1975; Bischof,
//! Lang and Sun, ACM TOMS 26, 2000). 6 n^2 b flops.

use pulp::Simd;

use crate::Monitor;
use crate::band::{Band, Windows};
use crate::chase::{Place, Step, chase};
use crate::window::{Reflector, both_sides, right_then_left};

/// Diagonal and off-diagonal of a tridiagonal matrix with the eigenvalues of `band`. `None` when the monitor
/// stops it.
pub(crate) fn reduce(mut band: Band, monitor: &dyn Monitor) -> Option<(Vec<f64>, Vec<f64>)> {
    let sweeps = band.size.saturating_sub(2);
    chase::<Symmetric>(&mut band, sweeps, monitor)?;
    Some((band.diagonal(), band.subdiagonal()))
}

struct Symmetric;

impl Step for Symmetric {
    const FLOPS: f64 = 12.0;

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
            reflector.annihilate(simd, &mut band.window(at.row, at.sweep)[..b]);
        } else {
            let window = band.window(at.row, at.row - b);
            right_then_left::<S, V>(simd, window, stride, reflector, scratch);
        }
        let (values, origin) = band.diagonal_window(at.row);
        both_sides::<S, V>(simd, values, origin, stride, reflector);
    }
}
