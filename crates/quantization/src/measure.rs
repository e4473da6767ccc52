//! Passes over the values of a weight: the errors of every scheme, and what stands out.
//!
//! Rows are read in bands that fit the second-level cache, in stored order, and blocks of sixteen laid side by side
//! ([`Lanes`]). All schemes see a block while it is in the first-level cache and share its extremes. What
//! does not depend on where a value lies (schemes with one scale for the tensor, counts of outliers) is
//! computed once per distinct value where the summary knows them: for 8- and 16-bit formats.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use weightscope_codec::{Block, CELL, Errors, Extent, Grain, LANES, Lanes, SCHEMES, SPAN, Scheme};
use weightscope_core::stats::{Ladder, Summary};
use weightscope_core::{AnalyzeError, Order, WeightView};

use crate::outliers::{Fences, Largest};

/// Values of a band, about: 1 MiB once decoded.
const BAND_VALUES: u64 = 256 * 1024;
/// Values of a band at most, that are decoded at once; longer rows are read twice.
const WHOLE_VALUES: u64 = 1024 * 1024;
/// Rows of a band of a matrix that is stored `[in, out]`, so that pieces of stored lines are worth a read.
const TURNED_ROWS: u64 = 2048;

/// What the passes found.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Errors of every scheme that applies, in the order of [`SCHEMES`].
    pub schemes: Vec<SchemeErrors>,
    /// How many values lie outside of each fence.
    pub outside: [u64; 4],
    /// Largest values; of matrices only.
    pub largest: Largest,
    /// Largest magnitude of every row; of matrices only.
    pub channel_abs_max: Vec<f32>,
}

/// Summed errors of one scheme.
#[derive(Clone, Copy, Debug)]
pub struct SchemeErrors {
    /// The scheme.
    pub scheme: &'static Scheme,
    /// Sum of `(w - restored)^2`; not finite where a value or a scale overflows.
    pub energy: f64,
    /// Sum of `w (w - restored)`.
    pub cross: f64,
    /// Largest `|w - restored|`.
    pub largest: f64,
}

impl SchemeErrors {
    fn nothing(scheme: &'static Scheme) -> Self {
        Self { scheme, energy: 0.0, cross: 0.0, largest: 0.0 }
    }

    fn add(&mut self, other: &Self) {
        self.energy += other.energy;
        self.cross += other.cross;
        self.largest = self.largest.max(other.largest);
    }
}

/// Who runs a measurement.
pub trait Run: Sync {
    /// Threads that may be used; no number depends on it.
    fn threads(&self) -> usize;

    /// So many values are done.
    ///
    /// # Errors
    /// When the run is to stop.
    fn advance(&self, values: u64) -> Result<(), AnalyzeError>;
}

/// Measures a weight of finite values that are not all zero.
///
/// `schemes`: of a matrix those with a scale for every row or group too; without one (`is_matrix` is false) those
/// that treat all values alike. Scratch: [`scratch_bytes`].
///
/// Cost: one pass over the bytes, two where rows are very long or stored across; about 3 ns per value of BF16.
///
/// # Errors
/// When the bytes cannot be read or decoded, or the run is stopped.
pub fn measure(
    view: &WeightView<'_>,
    is_matrix: bool,
    run: &dyn Run,
) -> Result<Measured, AnalyzeError> {
    let summary = view.summary()?;
    let fences = Fences::of(&summary);
    let abs_max = summary.extremes.map_or(0.0, |(low, high)| low.abs().max(high.abs())) as f32;
    let line = summary.moments.map_or(f64::INFINITY, |m| crate::outliers::line(m.rms()));
    let mut measured = Measured {
        schemes: Vec::new(),
        outside: [0; 4],
        largest: Largest::new(line),
        channel_abs_max: Vec::new(),
    };
    let is_local = |scheme: &Scheme| matches!(scheme.grain, Grain::Channel | Grain::Group(_));
    if let Some(ladder) = &summary.exact {
        measured.outside = fences.count(ladder);
    }
    let mut by_value = Vec::new();
    if let Some(ladder) = &summary.exact {
        let schemes = SCHEMES.iter().filter(|s| !is_local(s));
        by_value = of_values(ladder, &schemes.copied().collect::<Vec<_>>(), abs_max);
    }
    let by_place: Vec<&'static Scheme> = SCHEMES
        .iter()
        .copied()
        .filter(|s| if is_local(s) { is_matrix } else { summary.exact.is_none() })
        .collect();
    let mut found = Vec::new();
    if is_matrix || !by_place.is_empty() {
        let pass = Pass {
            view: *view,
            schemes: &by_place,
            abs_max,
            line,
            fences: summary.exact.is_none().then_some(fences),
        };
        for part in pass.run(run)? {
            measured.largest.merge(part.largest);
            measured.channel_abs_max.extend(part.channel_abs_max);
            measured.outside.iter_mut().zip(part.outside).for_each(|(a, b)| *a += b);
            if found.is_empty() {
                found = part.schemes;
            } else {
                found.iter_mut().zip(&part.schemes).for_each(|(a, b)| a.add(b));
            }
        }
    }
    let all = SCHEMES.iter().filter_map(|scheme| {
        let mut rows = by_value.iter().chain(&found);
        rows.find(|row: &&SchemeErrors| row.scheme.name == scheme.name).copied()
    });
    measured.schemes = all.collect();
    Ok(measured)
}

/// Threads that share one weight at most: each holds a band.
const MOST_THREADS: usize = 4;

/// Peak scratch of [`measure`], in bytes, of a weight `[out, in]`.
pub fn scratch_bytes([out, input]: [u64; 2], transposed: bool) -> u64 {
    let bands = Bands::new([out, input], transposed);
    // Decoded, and in stored bytes of at most as many.
    let band = bands.rows.saturating_mul(bands.columns).saturating_mul(12);
    let band = band.saturating_mul(bands.count().clamp(1, MOST_THREADS as u64));
    let errors =
        bands.count().saturating_mul(SCHEMES.len() as u64 * size_of::<SchemeErrors>() as u64);
    band.saturating_add(out.saturating_mul(4)).saturating_add(errors)
}

/// How a matrix is cut.
#[derive(Clone, Copy, Debug)]
struct Bands {
    size: [u64; 2],
    /// Rows of a band, a multiple of [`LANES`].
    rows: u64,
    /// Columns that are decoded at once: all, or a multiple of [`SPAN`].
    columns: u64,
}

impl Bands {
    fn new(size: [u64; 2], transposed: bool) -> Self {
        let [out, input] = size;
        let lanes = LANES as u64;
        let rows = if transposed { TURNED_ROWS } else { (BAND_VALUES / input.max(1)).max(lanes) };
        let rows = rows.min(out.next_multiple_of(lanes)).max(lanes) / lanes * lanes;
        let columns = if rows.saturating_mul(input) <= WHOLE_VALUES {
            input
        } else {
            (BAND_VALUES / rows / SPAN as u64).max(1) * SPAN as u64
        };
        Self { size, rows, columns: columns.min(input) }
    }

    fn count(&self) -> u64 {
        self.size[0].div_ceil(self.rows)
    }

    fn band(&self, index: u64) -> Range<u64> {
        let first = index * self.rows;
        first..self.size[0].min(first + self.rows)
    }

    fn segments(&self) -> impl Iterator<Item = Range<u64>> + use<> {
        let (input, columns) = (self.size[1], self.columns.max(1));
        (0..input).step_by(columns as usize).map(move |left| left..input.min(left + columns))
    }
}

/// One look at all values in place.
struct Pass<'a> {
    view: WeightView<'a>,
    schemes: &'a [&'static Scheme],
    abs_max: f32,
    line: f64,
    /// To be counted, unless counts of values are known.
    fences: Option<Fences>,
}

/// What a band yields.
struct Part {
    schemes: Vec<SchemeErrors>,
    outside: [u64; 4],
    largest: Largest,
    channel_abs_max: Vec<f32>,
}

impl Pass<'_> {
    /// The parts of all bands, in order.
    fn run(&self, run: &dyn Run) -> Result<Vec<Part>, AnalyzeError> {
        let bands = Bands::new(self.view.size(), self.view.weight().transposed);
        let count = bands.count() as usize;
        let (next, parts) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = || {
            let mut scratch = Scratch::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return;
                }
                let part = self.band(&bands, bands.band(index as u64), &mut scratch);
                let part = part.and_then(|part| {
                    let rows = bands.band(index as u64);
                    run.advance((rows.end - rows.start) * bands.size[1])?;
                    Ok(part)
                });
                if part.is_err() {
                    // Nobody begins another one.
                    next.store(count, Ordering::Relaxed);
                }
                parts.lock().unwrap_or_else(PoisonError::into_inner).push((index, part));
            }
        };
        let helpers = run.threads().clamp(1, count.clamp(1, MOST_THREADS)) - 1;
        std::thread::scope(|scope| {
            for _ in 0..helpers {
                scope.spawn(work);
            }
            work();
        });
        let mut parts = parts.into_inner().unwrap_or_else(PoisonError::into_inner);
        parts.sort_unstable_by_key(|(index, _)| *index);
        parts.into_iter().map(|(_, part)| part).collect()
    }

    fn band(
        &self,
        bands: &Bands,
        rows: Range<u64>,
        scratch: &mut Scratch,
    ) -> Result<Part, AnalyzeError> {
        let groups = (rows.end - rows.start).div_ceil(LANES as u64) as usize;
        let mut channels = vec![Extent::EMPTY; groups];
        let is_whole = bands.columns == bands.size[1];
        if !is_whole {
            for segment in bands.segments() {
                scratch.load(&self.view, &rows, &segment)?;
                for (group, channel) in channels.iter_mut().enumerate() {
                    channel.include(&scratch.extremes(group));
                }
            }
        }
        let mut part = Part {
            schemes: Vec::new(),
            outside: [0; 4],
            largest: Largest::new(self.line),
            channel_abs_max: Vec::new(),
        };
        let mut errors = vec![Errors::default(); self.schemes.len()];
        for segment in bands.segments() {
            scratch.load(&self.view, &rows, &segment)?;
            for (group, channel) in channels.iter_mut().enumerate() {
                if is_whole {
                    *channel = scratch.extremes(group);
                }
                let first = rows.start + (group * LANES) as u64;
                let lanes = LANES.min((rows.end - first) as usize);
                let may_be_large = part.largest.may_be_in(channel, lanes);
                for span in 0..scratch.spans() {
                    scratch.gather(group, span);
                    self.add_errors(scratch, channel, &mut errors);
                    if may_be_large {
                        let column = segment.start + (span * SPAN) as u64;
                        part.largest.look(scratch.block(), lanes, [first, column]);
                    }
                    if let Some(fences) = &self.fences {
                        fences.add_outside(scratch.block(), lanes, &mut part.outside);
                    }
                }
            }
        }
        let abs_max = channels.iter().flat_map(Extent::abs_max);
        part.channel_abs_max = abs_max.take((rows.end - rows.start) as usize).collect();
        let totals = self.schemes.iter().zip(&errors).map(|(scheme, errors)| SchemeErrors {
            scheme,
            energy: errors.energy(),
            cross: errors.cross(),
            largest: errors.largest(),
        });
        part.schemes = totals.collect();
        Ok(part)
    }

    /// All schemes over a block.
    fn add_errors(&self, scratch: &Scratch, channel: &Extent, errors: &mut [Errors]) {
        let (columns, cells) = scratch.block();
        let block = Block { columns, cells, channel, tensor: self.abs_max };
        for (scheme, errors) in self.schemes.iter().zip(errors.iter_mut()) {
            scheme.add_errors(&block, errors);
        }
    }
}

/// Buffers of one thread.
struct Scratch {
    /// Decoded values in stored order.
    values: Vec<f32>,
    /// Lines of `values`, and values of each.
    lines: usize,
    length: usize,
    transposed: bool,
    /// Up to [`SPAN`] columns of sixteen rows, and the extremes of their cells.
    columns: Vec<Lanes>,
    cells: [Extent; SPAN / CELL],
}

impl Scratch {
    fn new() -> Self {
        Self {
            values: Vec::new(),
            lines: 0,
            length: 0,
            transposed: false,
            columns: Vec::with_capacity(SPAN),
            cells: [Extent::EMPTY; SPAN / CELL],
        }
    }

    /// Reads a part of the matrix.
    fn load(
        &mut self,
        view: &WeightView<'_>,
        rows: &Range<u64>,
        columns: &Range<u64>,
    ) -> Result<(), AnalyzeError> {
        let [height, width] =
            [rows.end - rows.start, columns.end - columns.start].map(|n| n as usize);
        self.transposed = view.weight().transposed;
        (self.lines, self.length) = if self.transposed { (width, height) } else { (height, width) };
        let order = if self.transposed { Order::ColumnMajor } else { Order::RowMajor };
        self.values.resize(height * width, 0.0);
        view.block(rows.clone(), columns.clone(), order, &mut self.values)
    }

    /// Columns that are loaded.
    fn width(&self) -> usize {
        if self.transposed { self.lines } else { self.length }
    }

    /// Blocks of them.
    fn spans(&self) -> usize {
        self.width().div_ceil(SPAN)
    }

    /// The loaded lines that are rows `16 group ..`.
    fn rows(&self, group: usize) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.length.max(1)).skip(group * LANES).take(LANES)
    }

    /// Extremes of the loaded columns of rows `16 group ..`.
    fn extremes(&mut self, group: usize) -> Extent {
        if !self.transposed {
            return Extent::of_rows(self.rows(group));
        }
        let mut extent = Extent::EMPTY;
        for span in 0..self.spans() {
            self.gather(group, span);
            for cell in &self.cells {
                extent.include(cell);
            }
        }
        extent
    }

    /// Lays columns `128 span ..` of rows `16 group ..` side by side; zeros where there are no rows.
    fn gather(&mut self, group: usize, span: usize) {
        let (first, left) = (group * LANES, span * SPAN);
        let width = SPAN.min(self.width() - left);
        let mut columns = std::mem::take(&mut self.columns);
        columns.resize(width, Lanes::default());
        if self.transposed {
            let count = LANES.min(self.length - first);
            let lines = self.values.chunks_exact(self.length).skip(left);
            for (column, line) in columns.iter_mut().zip(lines) {
                let values = &line[first..first + count];
                if let Some(whole) = values.first_chunk::<LANES>() {
                    column.0 = *whole;
                } else {
                    column.0 = [0.0; LANES];
                    column.0[..count].copy_from_slice(values);
                }
            }
        } else {
            let mut rows: [&[f32]; LANES] = [&[]; LANES];
            for (row, line) in rows.iter_mut().zip(self.rows(group)) {
                *row = &line[left..left + width];
            }
            turn(&rows, &mut columns);
        }
        self.cells = Extent::cells(&columns);
        self.columns = columns;
    }

    /// What was gathered.
    fn block(&self) -> (&[Lanes], &[Extent]) {
        (&self.columns, &self.cells[..self.columns.len().div_ceil(CELL)])
    }
}

/// Rows, or nothing, into lanes. Four at a time, because sixteen lines a power of two apart share cache sets.
fn turn(rows: &[&[f32]; LANES], columns: &mut [Lanes]) {
    const QUAD: usize = 4;
    for (quad, rows) in rows.as_chunks::<QUAD>().0.iter().enumerate() {
        let lane = quad * QUAD;
        let [a, b, c, d] = rows;
        let is_whole = rows.iter().all(|row| row.len() == columns.len());
        if is_whole {
            let values = a.iter().zip(*b).zip(*c).zip(*d);
            for (column, (((a, b), c), d)) in columns.iter_mut().zip(values) {
                column.0[lane..lane + QUAD].copy_from_slice(&[*a, *b, *c, *d]);
            }
        } else {
            for (lane, row) in (lane..).zip(rows) {
                let values = row.iter().copied().chain(std::iter::repeat(0.0));
                columns.iter_mut().zip(values).for_each(|(column, w)| column.0[lane] = w);
            }
        }
    }
}

/// Errors of schemes that treat all values alike, from how often each magnitude occurs: they are odd functions.
fn of_values(ladder: &Ladder, schemes: &[&'static Scheme], abs_max: f32) -> Vec<SchemeErrors> {
    let mut sums: Vec<_> = schemes.iter().map(|scheme| SchemeErrors::nothing(scheme)).collect();
    let nowhere = Extent { low: Lanes::default(), high: Lanes::default() };
    for rungs in ladder.rungs().chunks(SPAN * LANES) {
        let values: Vec<f32> = rungs.iter().map(|rung| rung.low as f32).collect();
        let columns: Vec<Lanes> = values
            .chunks(LANES)
            .map(|part| Lanes(std::array::from_fn(|lane| part.get(lane).copied().unwrap_or(0.0))))
            .collect();
        let block = Block { columns: &columns, cells: &[], channel: &nowhere, tensor: abs_max };
        let mut deviations = vec![Lanes::default(); columns.len()];
        for sum in &mut sums {
            sum.scheme.deviations(&block, &mut deviations);
            let deviations = deviations.iter().flat_map(|lanes| lanes.0);
            for ((rung, w), deviation) in rungs.iter().zip(&values).zip(deviations) {
                let (w, deviation) = (f64::from(*w), f64::from(deviation));
                let count = rung.count() as f64;
                sum.energy += count * deviation * deviation;
                sum.cross += count * w * deviation;
                sum.largest = sum.largest.max(deviation.abs());
            }
        }
    }
    sums
}

/// What [`measure`] needs of a summary to be possible.
pub(crate) fn obstacle(summary: &Summary) -> Option<String> {
    let broken = summary.tally.values - summary.tally.finite();
    if broken > 0 {
        let values = if broken == 1 { "value is" } else { "values are" };
        Some(format!("{broken} {values} NaN or infinite"))
    } else if summary.tally.zero == summary.tally.values {
        Some("all values are zero".to_owned())
    } else {
        let (low, high) = summary.extremes?;
        let largest = low.abs().max(high.abs());
        if largest > f64::from(f32::MAX) {
            Some("some values are beyond the range of F32".to_owned())
        } else {
            (largest as f32 == 0.0).then(|| "all values are zero as F32".to_owned())
        }
    }
}
