//! Chasing bulges down a band: the order in which both chases do their steps.
//!
//! A sweep annihilates one column (or row) and follows the bulge that this makes to the end of the band,
//! one window of b rows at a time. Sweeps run in groups of [`GROUP`] with a lag of [`LAG`] windows (Haidar,
//! Ltaief and Dongarra, SC 2011), so that a window is still in cache when the next sweep comes to it.

use std::marker::PhantomData;
use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use crate::Monitor;
use crate::band::{Band, Windows};
use crate::window::Reflector;

/// Sweeps under way at a time.
const GROUP: usize = 4;
/// Windows between a sweep and the next: windows overlap those of the next sweep by all but one line.
const LAG: usize = 2;

/// What a chase does at one place of one sweep.
pub(crate) trait Step {
    /// Floating-point operations of a step in units of the squared band width.
    const FLOPS: f64;

    /// Does the step at `at`. `reflector` is the sweep's: the last one on entry, the next on return.
    fn step<S: Simd, const V: usize>(
        simd: S,
        band: &mut Windows<'_>,
        at: Place,
        reflector: &mut Reflector,
        scratch: &mut Reflector,
    );
}

/// Where a step works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The line that the sweep annihilates.
    pub(crate) sweep: usize,
    /// First row of the step's diagonal window.
    pub(crate) row: usize,
}

impl Place {
    /// Whether the sweep begins here.
    pub(crate) fn is_first(self) -> bool {
        self.row == self.sweep + 1
    }
}

/// Runs `sweeps` sweeps over `band`; `None` when the monitor stops them.
///
/// On one thread: a second one that follows down the band gains less than handing over costs.
pub(crate) fn chase<C: Step>(band: &mut Band, sweeps: usize, monitor: &dyn Monitor) -> Option<()> {
    for first in (0..sweeps).step_by(GROUP) {
        let sweeps = first..sweeps.min(first + GROUP);
        let rows: usize = sweeps.clone().map(|sweep| band.size - sweep).sum();
        let flops = C::FLOPS * rows as f64 * band.width as f64;
        Arch::new().dispatch(Group::<C> { band, sweeps, step: PhantomData });
        if !monitor.advance(flops) {
            return None;
        }
    }
    Some(())
}

/// Successive sweeps that run together.
struct Group<'a, C> {
    band: &'a mut Band,
    sweeps: Range<usize>,
    step: PhantomData<C>,
}

impl<C: Step> WithSimd for Group<'_, C> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Band widths are 16, 32, 48 or 64, and vectors have 8, 4, 2 or 1 lanes.
        match self.band.width / S::F64_LANES {
            2 => self.run::<S, 2>(simd),
            4 => self.run::<S, 4>(simd),
            6 => self.run::<S, 6>(simd),
            8 => self.run::<S, 8>(simd),
            12 => self.run::<S, 12>(simd),
            16 => self.run::<S, 16>(simd),
            24 => self.run::<S, 24>(simd),
            32 => self.run::<S, 32>(simd),
            48 => self.run::<S, 48>(simd),
            _ => self.run::<S, 64>(simd),
        }
    }
}

impl<C: Step> Group<'_, C> {
    #[inline(always)]
    fn run<S: Simd, const V: usize>(self, simd: S) {
        let Self { band, sweeps, .. } = self;
        let (size, width) = (band.size, band.width);
        let mut windows = band.whole();
        let mut reflectors = vec![Reflector::identity(width); sweeps.len()];
        let mut scratch = Reflector::identity(width);
        let steps = |sweep: usize| (size - sweep - 2) / width + 1;
        let ends = sweeps.clone().enumerate().map(|(place, sweep)| steps(sweep) + LAG * place);
        // At time t the sweep at place p does its step t - p LAG.
        for time in 0..ends.max().unwrap_or(0) {
            for ((place, sweep), reflector) in sweeps.clone().enumerate().zip(&mut reflectors) {
                let Some(step) = time.checked_sub(LAG * place) else { break };
                let row = sweep + 1 + step * width;
                if row < size {
                    let at = Place { sweep, row };
                    C::step::<S, V>(simd, &mut windows, at, reflector, &mut scratch);
                }
            }
        }
    }
}
