//! Numbers of a position table.

use realfft::RealFftPlanner;
use weightscope_core::{Output, Value, stats};

use crate::copies::{Copies, between, copies};
use crate::periods::{Line, strongest_line};

/// A table in memory: positions of `width` values each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table<'a> {
    pub(crate) values: &'a [f64],
    pub(crate) width: usize,
}

/// What is measured on it. NaN stands for what does not exist.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) neighbours: Vec<f64>,
    pub(crate) variances: Vec<f64>,
    /// Dimensions by variance, smallest first.
    pub(crate) order: Vec<usize>,
    /// The strongest line of every dimension's periodogram.
    pub(crate) lines: Vec<Line>,
    dominant_share: f64,
    toeplitz_r2: f64,
    effective_rank: f64,
    tail: (u64, u64),
    copies: Copies,
    /// Positions between others; None where rounding is not known.
    between: Option<u64>,
}

/// Correlations below this many standard errors are none.
const NOISE: f64 = 5.0;
/// Share of the squares of inner products below which their variance says nothing.
const EQUAL: f64 = 1e-10;

impl Table<'_> {
    pub(crate) fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.values.chunks_exact(self.width)
    }

    /// One dimension over all positions.
    pub(crate) fn dimension(&self, index: usize) -> impl Iterator<Item = f64> {
        self.values.iter().skip(index).step_by(self.width).copied()
    }

    /// Everything, given the singular values and the unit roundoff of the storage.
    pub(crate) fn measure(&self, sigma: &[f64], roundoff: Option<f64>) -> Measured {
        let n = self.rows().len();
        let rows: Vec<&[f64]> = self.rows().collect();
        let neighbours: Vec<f64> = rows.windows(2).map(|pair| pearson(pair[0], pair[1])).collect();
        let waves = self.waves();
        let mut order: Vec<usize> = (0..self.width).collect();
        order.sort_by(|a, b| waves.variances[*a].total_cmp(&waves.variances[*b]));
        let whole: f64 = sigma.iter().sum();
        let entropy: f64 =
            sigma.iter().map(|s| s / whole).filter(|p| *p > 0.0).map(|p| -p * p.ln()).sum();
        let all: f64 = waves.variances.iter().sum();
        Measured {
            tail: untrained_tail(&neighbours, NOISE / (self.width as f64).sqrt(), n),
            neighbours,
            order,
            toeplitz_r2: self.toeplitz_r2(sigma, &waves.autocorrelation),
            variances: waves.variances,
            lines: waves.lines,
            dominant_share: waves.dominant_energy / all,
            copies: copies(self),
            between: roundoff.map(|roundoff| between(self, roundoff)),
            effective_rank: if whole > 0.0 { entropy.exp() } else { f64::NAN },
        }
    }

    /// Goes over the dimensions once, in the frequency domain.
    ///
    /// The autocorrelation of a dimension is the inverse transform of its power spectrum when the signal is
    /// padded to twice its length (Wiener-Khinchin); the periodogram needs the signal as it is.
    fn waves(&self) -> Waves {
        let n = self.rows().len();
        let mut planner = RealFftPlanner::<f64>::new();
        let (plain, padded) = (planner.plan_fft_forward(n), planner.plan_fft_forward(2 * n));
        let back = planner.plan_fft_inverse(2 * n);
        let (mut signal, mut spectrum) = (plain.make_input_vec(), plain.make_output_vec());
        let (mut long, mut power) = (padded.make_input_vec(), padded.make_output_vec());
        let mut total = padded.make_output_vec();
        let mut waves = Waves::default();
        for index in 0..self.width {
            let mut sum = 0.0;
            for (place, value) in signal.iter_mut().zip(self.dimension(index)) {
                *place = value;
                sum += value;
            }
            long[..n].copy_from_slice(&signal);
            long[n..].fill(0.0);
            let mean = sum / n as f64;
            // The mean of equal numbers need not be that number.
            let is_constant = signal.windows(2).all(|pair| pair[0] == pair[1]);
            for value in &mut signal {
                *value = if is_constant { 0.0 } else { *value - mean };
            }
            let variance = signal.iter().map(|x| x * x).sum::<f64>() / n as f64;
            waves.variances.push(variance);
            // Buffers are made by the plan, so that their lengths fit.
            let transformed = plain.process(&mut signal, &mut spectrum).is_ok()
                && padded.process(&mut long, &mut power).is_ok();
            if !transformed {
                waves.lines.push(Line::None);
                continue;
            }
            let powers: Vec<f64> =
                spectrum.iter().map(realfft::num_complex::Complex::norm_sqr).collect();
            let line = strongest_line(&powers, self.width);
            waves.lines.push(line);
            if let Line::Wave(frequency) = line {
                // A frequency stands for itself and its mirror image, but for the highest of an even length.
                let mirrored = if 2 * frequency == n { 1.0 } else { 2.0 };
                waves.dominant_energy += mirrored * powers[frequency] / (n as f64).powi(2);
            }
            for (total, value) in total.iter_mut().zip(&power) {
                total.re += value.norm_sqr();
            }
        }
        let mut autocorrelation = back.make_output_vec();
        if back.process(&mut total, &mut autocorrelation).is_ok() {
            let length = autocorrelation.len() as f64;
            waves.autocorrelation = autocorrelation.iter().take(n).map(|x| x / length).collect();
        }
        waves
    }

    /// R^2 of P P^T by distance, without forming it: the sum over a diagonal is the autocorrelation at that lag,
    /// and the sum of all squares is that of the fourth powers of the singular values.
    fn toeplitz_r2(&self, sigma: &[f64], autocorrelation: &[f64]) -> f64 {
        let n = self.rows().len() as f64;
        let count = |lag: usize| if lag == 0 { n } else { 2.0 * (n - lag as f64) };
        let diagonal_mean = |(lag, sum): (usize, &f64)| (lag, sum / (n - lag as f64));
        let means: Vec<(usize, f64)> =
            autocorrelation.iter().enumerate().map(diagonal_mean).collect();
        let mean = means.iter().map(|(lag, m)| count(*lag) * m).sum::<f64>() / (n * n);
        let between: f64 = means.iter().map(|(lag, m)| count(*lag) * (m - mean).powi(2)).sum();
        let squares = sigma.iter().map(|s| s.powi(4)).sum::<f64>();
        let whole = squares - n * n * mean * mean;
        // Less than that is a difference of rounding errors: all inner products are equal.
        let is_resolved = whole > EQUAL * squares;
        if is_resolved { (between / whole).clamp(0.0, 1.0) } else { f64::NAN }
    }
}

#[derive(Debug, Default)]
struct Waves {
    variances: Vec<f64>,
    lines: Vec<Line>,
    /// Variance at the dominant periods, summed over dimensions.
    dominant_energy: f64,
    /// Inner products of positions at every distance, summed over positions and dimensions.
    autocorrelation: Vec<f64>,
}

/// Pearson's correlation; NaN when one side is constant.
fn pearson(a: &[f64], b: &[f64]) -> f64 {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        let (x, y) = (x - mean_a, y - mean_b);
        aa += x * x;
        bb += y * y;
        ab += x * y;
    }
    (ab / (aa.sqrt() * bb.sqrt())).clamp(-1.0, 1.0)
}

/// How many positions at the end, and from where on: those beyond the last correlation above `line`, the noise of one,
/// where all of them together are zero within theirs. None unless at least half of the correlations are above it: then
/// the whole table looks untrained.
fn untrained_tail(neighbours: &[f64], line: f64, rows: usize) -> (u64, u64) {
    let is_alike = |r: &f64| r.abs() > line;
    let alike = neighbours.iter().filter(|r| is_alike(r)).count();
    let last = neighbours.iter().rposition(is_alike);
    let behind = last.map_or(&[][..], |last| &neighbours[last + 1..]);
    let known: Vec<f64> = behind.iter().copied().filter(|r| r.is_finite()).collect();
    // In a narrow table correlations of 0.7 are noise one by one, and none as a rule.
    let is_noise = known.iter().sum::<f64>().abs() <= line * (known.len() as f64).sqrt();
    // Correlation i ties position i to i + 1.
    match last {
        Some(last) if 2 * alike >= neighbours.len() && is_noise => {
            ((rows - last - 2) as u64, last as u64 + 2)
        }
        _ => (0, rows as u64),
    }
}

impl Measured {
    pub(crate) fn record(&self, out: &mut Output) {
        let list = |values: &[f64]| values.iter().copied().collect::<Value>();
        let dimension = |index: Option<&usize>| {
            let index = index.copied().unwrap_or(0);
            let variance = self.variances.get(index).copied().unwrap_or(f64::NAN);
            Value::map([("dimension", (index as u64).into()), ("variance", variance.into())])
        };
        let known: Vec<f64> = self.neighbours.iter().copied().filter(|r| r.is_finite()).collect();
        out.metric("neighbour_correlation", list(&self.neighbours));
        out.metric_or(
            "neighbour_correlation_median",
            stats::median(&known),
            "every position is constant",
        );
        let variances = Value::map([
            ("lowest", dimension(self.order.first())),
            ("middle", dimension(self.order.get(self.order.len() / 2))),
            ("highest", dimension(self.order.last())),
            ("values", list(&self.variances)),
        ]);
        out.metric("dimension_variance", variances);
        self.record_waves(out);
        let number = |x: f64| Some(x).filter(|x| x.is_finite());
        out.metric_or("dominant_share", number(self.dominant_share), "all positions are equal");
        out.metric_or("toeplitz_r2", number(self.toeplitz_r2), "all inner products are equal");
        out.metric_or("effective_rank", number(self.effective_rank), "the table is zero");
        let (count, first) = self.tail;
        let tail = Value::map([("count", count.into()), ("first", first.into())]);
        out.metric("untrained_tail", tail);
        let Copies { count, first, distance } = self.copies;
        let numbers = [("count", count), ("first", first), ("distance", distance)];
        out.metric("copies", Value::map(numbers.map(|(key, n)| (key, (n as u64).into()))));
        let between = self.between.map(|count| count as f64);
        out.metric_or("between", between, "what rounding leaves is not known of this stored form");
    }

    /// The period of every dimension that has a wave.
    pub(crate) fn periods(&self) -> impl Iterator<Item = f64> {
        let rows = self.neighbours.len() as f64 + 1.0;
        self.lines.iter().map(move |line| match line {
            Line::Wave(frequency) => rows / *frequency as f64,
            Line::Trend(_) | Line::Chance(_) | Line::None => f64::NAN,
        })
    }

    fn record_waves(&self, out: &mut Output) {
        let count = |is_it: fn(&Line) -> bool| self.lines.iter().filter(|line| is_it(line)).count();
        let waves = count(|line| matches!(line, Line::Wave(_)));
        let trends = count(|line| matches!(line, Line::Trend(_)));
        let chance = count(|line| matches!(line, Line::Chance(_)));
        let constant = count(|line| matches!(line, Line::None));
        let kinds =
            [("waves", waves), ("trends", trends), ("chance", chance), ("constant", constant)];
        out.metric("strongest_line", Value::map(kinds.map(|(key, n)| (key, (n as u64).into()))));
        if waves > 0 {
            return out.metric("dominant_period", self.periods().collect::<Value>());
        }
        let why = if constant == self.lines.len() {
            "all positions are equal".to_owned()
        } else {
            format!(
                "no dimension has a wave: {trends} are trends, less than two waves over all positions, and in {chance} no period stands out"
            )
        };
        out.undefined("dominant_period", why);
    }
}
