//! Whether the strongest line of a periodogram is a wave.

/// What the strongest line of a dimension's periodogram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// It stands above the lines around it: a wave with this many periods over the table.
    Wave(usize),
    /// It is the first: less than two whole waves, which no table can tell from a trend.
    Trend(usize),
    /// No higher than the spectrum around it makes likely: chance, or the slope of a trend.
    Chance(usize),
    /// The dimension is constant.
    None,
}

/// Probability that a table without waves is said to have one.
const FALSE: f64 = 0.01;
/// Fewest lines that a spectrum is fitted to.
const FEWEST: usize = 4;
/// The spectrum is fitted up to this many times the frequency in question.
const REACH: usize = 4;
/// Standard errors of the fit that are added to it.
const ERRORS: f64 = 2.0;
/// Euler's constant: the logarithm of an exponential variable is this much below that of its mean.
const EULER: f64 = 0.577_215_664_901_532_9;
/// Part of all power that rounding leaves at least in every line.
const FLOOR: f64 = 1e-30;

/// Judges the largest of the lines 1, 2, ... of a periodogram (line 0 is the mean), in a table of `dimensions`.
///
/// Learned positions drift, and the periodogram of a drift is highest at its slowest lines: of a random walk it falls
/// with the square of the frequency, and the first line is the largest in four of five. The test is Vaughan's (A&A 431,
/// 2005, section 3): a power law is fitted by least squares to the logarithms of the other lines, with the bias of
/// logarithms taken out, and a line without a wave is exponential with that mean. Here the fit is to lines up to
/// four times the frequency, without those next to it, which share the power of a wave that does not fit the table.
/// Of 80,000 simulated drifts, random walks summed once and twice, among them noisy ones, 0.03 % were called waves.
pub(crate) fn strongest_line(power: &[f64], dimensions: usize) -> Line {
    let lines = power.iter().copied().enumerate().skip(1);
    let (strongest, height) =
        lines.clone().fold((0, 0.0), |best, next| if next.1 > best.1 { next } else { best });
    match strongest {
        0 => return Line::None,
        1 => return Line::Trend(1),
        _ => {}
    }
    let whole: f64 = lines.clone().map(|(_, power)| power).sum();
    let around = lines
        .filter(|(k, _)| *k != strongest && (*k == 1 || k.abs_diff(strongest) > 1))
        .take_while(|(k, _)| *k <= REACH * strongest);
    // The frequency in question is at x = 0.
    let points: Vec<(f64, f64)> = around
        .map(|(k, power)| {
            let x = (k as f64 / strongest as f64).ln();
            (x, power.max(FLOOR * whole).ln() + EULER)
        })
        .collect();
    if points.len() < FEWEST {
        return Line::Chance(strongest);
    }
    let count = points.len() as f64;
    let x_mean = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let y_mean = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let xx: f64 = points.iter().map(|(x, _)| (x - x_mean).powi(2)).sum();
    let xy: f64 = points.iter().map(|(x, y)| (x - x_mean) * (y - y_mean)).sum();
    // A drift's spectrum falls. The error of a fitted value at 0, each logarithm having the variance pi^2/6.
    let slope = (xy / xx).min(0.0);
    let fitted = y_mean - slope * x_mean;
    let error = (std::f64::consts::PI.powi(2) / 6.0 * (1.0 / count + x_mean * x_mean / xx)).sqrt();
    let tests = (power.len() - 1) as f64 * dimensions as f64;
    let line = fitted + (tests / FALSE).ln().ln() + ERRORS * error;
    if height.ln() > line { Line::Wave(strongest) } else { Line::Chance(strongest) }
}
