//! Chasing bulges down a band: the order in which both chases do their steps.
//!
//! A sweep annihilates one column (or row) and follows the bulge that this makes to the end of the band,
//! one window of b rows at a time. Sweeps run in groups of [`GROUP`] with a lag of [`LAG`] windows (Haidar,
//! Ltaief and Dongarra, SC 2011), so that a window is still in cache when the next sweep comes to it. Groups
//! follow each other down the band, one per thread, each on columns of its own: the order of steps at any
//! place is always the same, and so is the result.

use std::marker::PhantomData;
use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use crate::Monitor;
use crate::band::{Band, Section};
use crate::parallel::for_each;
use crate::window::Reflector;

/// Sweeps under way at a time in a group.
const GROUP: usize = 4;
/// Windows between a sweep and the next: windows overlap those of the next sweep by all but one line.
const LAG: usize = 2;
/// Windows between a group's place at the beginning of a round and the next group's at its end. One less
/// than the group spans would overlap.
const GROUP_LAG: usize = GROUP * LAG;
/// Windows per round when several groups are under way.
const ROUND: usize = 16;

/// What a chase does at one place of one sweep.
pub(crate) trait Step {
    /// Floating-point operations of a step in units of the squared band width.
    const FLOPS: f64;

    /// Does the step at `at`. `reflector` is the sweep's: the last one on entry, the next on return.
    fn step<S: Simd, const V: usize>(
        simd: S,
        band: &mut Section<'_>,
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
pub(crate) fn chase<C: Step>(band: &mut Band, sweeps: usize, monitor: &dyn Monitor) -> Option<()> {
    let (size, width) = (band.size, band.width);
    let mut next = 0;
    // Under way, the one that is furthest down the band first.
    let mut groups: Vec<Group> = Vec::new();
    loop {
        let threads = monitor.threads().max(1);
        let room = groups.last().is_none_or(|last| last.time >= ROUND + GROUP_LAG);
        if next < sweeps && groups.len() < threads && room {
            groups.push(Group::new(next..sweeps.min(next + GROUP), size, width));
            next += GROUP;
        }
        if groups.is_empty() {
            return Some(());
        }
        let alone = groups.len() == 1 && (threads == 1 || next >= sweeps);
        let mut ahead = usize::MAX;
        for group in &mut groups {
            let round = if alone { usize::MAX } else { group.time + ROUND };
            group.until = round.min(ahead.saturating_sub(GROUP_LAG)).min(group.end);
            ahead = group.time;
        }
        let sections = band.sections(groups.iter().map(Group::first_column));
        let work = groups.iter_mut().zip(sections).collect();
        for_each(work, threads, |(group, section): (&mut Group, Section<'_>)| {
            Arch::new().dispatch(Round::<C> { group, section, step: PhantomData });
        });
        while groups.first().is_some_and(|group| group.time == group.end) {
            let done = groups.remove(0);
            let rows: usize = done.sweeps.map(|sweep| size - sweep).sum();
            if !monitor.advance(C::FLOPS * rows as f64 * width as f64) {
                return None;
            }
        }
    }
}

/// Successive sweeps that run together. At time t the one at place p does its step t - p LAG.
struct Group {
    sweeps: Range<usize>,
    size: usize,
    width: usize,
    reflectors: Vec<Reflector>,
    /// The next time, where this round ends, and where all sweeps are at the end of the band.
    time: usize,
    until: usize,
    end: usize,
}

impl Group {
    fn new(sweeps: Range<usize>, size: usize, width: usize) -> Self {
        let steps = |sweep: usize| (size - sweep - 2) / width + 1;
        let ends = sweeps.clone().enumerate().map(|(place, sweep)| steps(sweep) + LAG * place);
        let end = ends.max().unwrap_or(0);
        let reflectors = vec![Reflector::identity(width); sweeps.len()];
        Self { sweeps, size, width, reflectors, time: 0, until: 0, end }
    }

    /// A lower bound on the columns that it will touch from now on: those of its last sweep. The group behind
    /// it, [`GROUP_LAG`] windows back, stays below.
    fn first_column(&self) -> usize {
        let window = (self.time + 1).saturating_sub(GROUP_LAG);
        let behind = if window == 0 { 0 } else { GROUP };
        self.sweeps.start + behind + window * self.width
    }
}

/// What one group does in one round.
struct Round<'a, C> {
    group: &'a mut Group,
    section: Section<'a>,
    step: PhantomData<C>,
}

impl<C: Step> WithSimd for Round<'_, C> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Band widths are 16, 32, 48 or 64, and vectors have 8, 4, 2 or 1 lanes.
        match self.group.width / S::F64_LANES {
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

impl<C: Step> Round<'_, C> {
    #[inline(always)]
    fn run<S: Simd, const V: usize>(self, simd: S) {
        let Self { group, mut section, .. } = self;
        let mut scratch = Reflector::identity(group.width);
        for time in group.time..group.until {
            let sweeps = group.sweeps.clone().enumerate();
            for ((place, sweep), reflector) in sweeps.zip(&mut group.reflectors) {
                let Some(step) = time.checked_sub(LAG * place) else { break };
                let row = sweep + 1 + step * group.width;
                if row < group.size {
                    let at = Place { sweep, row };
                    C::step::<S, V>(simd, &mut section, at, reflector, &mut scratch);
                }
            }
        }
        group.time = group.until.max(group.time);
    }
}
