//! Findings from saved numbers.
//!
//! Rows and columns that are dead (zero ones among them) are left out of a matrix's sides before anything is
//! compared: their singular values are told by `sparsity`, and a padding row is no lost rank.

use weightscope_core::{
    DType, Finding, Kind, ParameterSpec, ReferenceKind, Report, Severity, Value, Verdicts,
    WeightRecord,
};

use weightscope_linalg::above;

use crate::measure::{Bulk, median, negligible};
use crate::parameters::{
    ABSOLUTE_KAPPA, ABSOLUTE_KAPPA_CRITICAL, ABSOLUTE_KAPPA_INFO, ABSOLUTE_LINES,
    ABSOLUTE_STABLE_RANK, ALPHA_HIGH, ALPHA_LOW, ALPHA_MAX_KS, ALPHA_MIN_GOF, ALPHA_MIN_TAIL,
    CHANCE, DOMINANT, DOMINANT_INFO, KAPPA, KAPPA_CRITICAL, KAPPA_TRIMMED, KAPPA_TRIMMED_CRITICAL,
    LOW_RANK, NOISE_MARGIN, RANK_MARGIN, RANK_SHARE, RANK_SHARE_CRITICAL, RANK_SHARE_SMOOTH,
};
use crate::record::stable_rank_null;
use weightscope_linalg::independent_norm;

use crate::{ID, MarchenkoPastur, condition, gavish_donoho, storage_noise, trimmed};

pub(crate) fn judge(report: &Report, out: &mut Verdicts) {
    let line = |spec: &ParameterSpec| report.settings.parameters.value(ID, spec);
    let judged: Vec<Judged<'_>> = report.weights.iter().filter_map(Judged::of).collect();
    let context = Context { line: &line, matrices: judged.len() as f64 };
    for matrix in &judged {
        if line(&ABSOLUTE_LINES) != 0.0 {
            context.absolute(matrix, out);
            continue;
        }
        // What is said of lost directions says enough of the smallest values and of the energy's spread.
        let deficient = context.rank_deficient(matrix);
        let dominant = context.dominant_direction(matrix);
        if deficient.is_none() {
            match context.ill_conditioned(matrix) {
                // What chance or storage explains asks for nothing.
                Some(finding) if finding.severity == Severity::Info => out.fact(finding),
                finding => out.findings.extend(finding),
            }
            if dominant.is_none() {
                out.facts.extend(context.low_rank(matrix));
            }
        }
        match deficient {
            // A few smallest values below rounding are a fact of storage.
            Some(finding) if finding.severity == Severity::Info => out.fact(finding),
            finding => out.findings.extend(finding),
        }
        out.findings.extend(dominant);
        out.facts.extend(context.alpha(matrix));
    }
}

/// A matrix large enough for verdicts, without its dead rows and columns.
struct Judged<'a> {
    weight: &'a WeightRecord,
    /// Live output units and input features.
    live: [f64; 2],
    /// As many of the largest singular values as the shorter live side has.
    sigma: Vec<f64>,
    largest: f64,
    smallest: f64,
    /// Type or scheme whose rounding is the noise; `None` for codes of 8 bits without factors, where it is not known.
    grid: Option<&'a str>,
    /// Root mean square of the live entries, without the largest.
    rms: f64,
    noise: f64,
    /// Root mean square of the rounding errors, where steps tell it.
    errors: Option<f64>,
}

/// A singular value is so many times the next one where a rank ends. Of 211 matrices of a language model in 4 bits, and of
/// random ones of full rank in 2 to 8 bits, none has such a break above the last few percent of its values.
const BREAK: f64 = 1.5;
/// What lies below the break has no more than so many times the energy of the rounding errors.
const ERROR_ENERGY: f64 = 1.5;

/// A spectrum that ends at a rank falls by so much there, at most [`BREAK_PLACES`] values beside the line of rounding.
/// Small trained matrices whose smallest values lie below rounding fall without a break, by 1.6 at most.
const EXACT_BREAK: f64 = 2.0;
const BREAK_PLACES: usize = 2;

impl<'a> Judged<'a> {
    fn of(weight: &'a WeightRecord) -> Option<Self> {
        if weight.kind() != Kind::Matrix || !weight.is_statistical() {
            return None;
        }
        let [out, input] = weight.matrix?;
        // Without these numbers nothing is said: a padding row would look like a lost direction.
        let dead = |metric| weight.metric("sparsity", metric)?.get("count")?.as_u64();
        let live =
            [out.saturating_sub(dead("dead_rows")?), input.saturating_sub(dead("dead_columns")?)];
        let short = live[0].min(live[1]);
        if short < 16 || live[0] * live[1] < 4096 {
            return None;
        }
        let values = weight.metric(ID, "singular_values")?.items().iter();
        let sigma: Vec<f64> = values.filter_map(Value::as_f64).take(short as usize).collect();
        let (largest, smallest) = (*sigma.first()?, *sigma.last()?);
        if sigma.len() as u64 != short || largest == 0.0 {
            return None;
        }
        let live = live.map(|side| side as f64);
        let name = weight.metric(ID, "storage_grid").and_then(Value::as_str);
        let dtype = name.and_then(|name| name.parse::<DType>().ok());
        // The steps of blocks and of codes with factors are measured.
        let has_steps = weight.stored.is_some();
        let grid = name.filter(|_| has_steps || dtype.is_some_and(|dtype| dtype.bits() > 8));
        // One huge value can hold most of the energy; its rounding is its own, not that of the others.
        let huge = weight.number("distribution", "abs_max")?;
        let energy = weight.number(ID, "frobenius_norm")?.powi(2) - huge * huge;
        let rms = (energy.max(0.0) / (live[0] * live[1])).sqrt();
        let errors = has_steps.then(|| {
            let whole = independent_norm(1.0, out as f64, input as f64);
            weight.number(ID, "storage_noise").unwrap_or(0.0) / whole
        });
        let noise = if let Some(errors) = errors {
            independent_norm(errors, live[0], live[1])
        } else {
            let u = dtype.filter(|_| grid.is_some()).and_then(DType::unit_roundoff);
            storage_noise(u.unwrap_or(0.0), rms, live[0], live[1])
        };
        Some(Self { weight, live, sigma, largest, smallest, grid, rms, noise, errors })
    }

    fn law(&self) -> MarchenkoPastur {
        MarchenkoPastur::new(self.live[0], self.live[1])
    }

    fn long(&self) -> f64 {
        self.live[0].max(self.live[1])
    }

    fn is_square(&self) -> bool {
        self.live[0] == self.live[1]
    }

    /// `896 x 896`, the live sides.
    fn shape(&self) -> String {
        format!("{} x {}", self.live[0], self.live[1])
    }

    fn grid_name(&self) -> &'a str {
        self.grid.unwrap_or("the stored type")
    }

    fn finding(&self, code: &'static str, severity: Severity, message: String) -> Finding {
        Finding::new(code, severity, Some(&self.weight.name), message)
    }

    /// How many singular values are above rounding.
    ///
    /// Steps of a few bits are coarse: a tenth of a sound matrix's directions lies below the norm of all errors together,
    /// in a spectrum that falls without a break. Where directions are missing there is a break, and what lies below it
    /// holds no more energy than the errors have.
    fn kept(&self) -> u64 {
        let Some(errors) = self.errors else { return above(&self.sigma, self.noise) };
        let line = ERROR_ENERGY * errors * errors * self.live[0] * self.live[1];
        let mut below: f64 = self.sigma.iter().map(|sigma| sigma * sigma).sum();
        for (kept, (before, next)) in (1..).zip(self.sigma.iter().zip(self.sigma.iter().skip(1))) {
            below -= before * before;
            if *before > BREAK * next && below <= line {
                return kept;
            }
        }
        self.sigma.len() as u64
    }

    /// Whether the spectrum ends where `kept` says, or falls on smoothly.
    fn ends(&self, kept: u64) -> bool {
        // Of steps of blocks and codes, `kept` is such an end.
        let first = (kept as usize).saturating_sub(BREAK_PLACES + 1);
        self.errors.is_some()
            || self
                .sigma
                .windows(2)
                .skip(first)
                .take(2 * BREAK_PLACES + 1)
                .any(|pair| matches!(pair, [before, next] if *before > EXACT_BREAK * next))
    }

    /// Rank in f64, dead lines left out.
    fn numerical_rank(&self) -> u64 {
        above(&self.sigma, negligible(self.largest, self.long()))
    }

    fn lines(&self) -> f64 {
        self.sigma.len() as f64
    }
}

/// What applies to all matrices.
struct Context<'a> {
    line: &'a dyn Fn(&ParameterSpec) -> f64,
    /// How many are judged.
    matrices: f64,
}

impl Context<'_> {
    fn line(&self, spec: &ParameterSpec) -> f64 {
        (self.line)(spec)
    }

    fn rank_deficient(&self, m: &Judged<'_>) -> Option<Finding> {
        m.grid?;
        let count = m.lines();
        let in_rms = if m.rms > 0.0 { m.noise / m.rms } else { 0.0 };
        let expected = count * m.law().share_below(in_rms);
        let kept = m.kept();
        let lost = count - kept as f64;
        let rank = m.numerical_rank();
        let singular = count - rank as f64;
        let is_lost =
            lost > expected + self.line(&RANK_MARGIN) && lost >= self.line(&RANK_SHARE) * count;
        if !is_lost && singular == 0.0 {
            return None;
        }
        let missing = if is_lost { lost } else { singular };
        let is_critical = missing > self.line(&RANK_SHARE_CRITICAL) * count;
        let is_rank = !is_lost || m.ends(kept) || lost > self.line(&RANK_SHARE_SMOOTH) * count;
        let severity = match (is_critical, is_rank) {
            (true, _) => Severity::Critical,
            (false, true) => Severity::Warning,
            (false, false) => Severity::Info,
        };
        let finding = if is_lost {
            let message = format!(
                "{kept} of {count} singular values are above what {} rounding of this matrix leaves ({}); a random matrix keeps {}",
                m.grid_name(),
                short(m.noise),
                (count - expected).round()
            );
            m.finding("spectral.rank-deficient", severity, message)
                .metric("rank_above_storage_noise", kept as f64)
                .threshold(((1.0 - self.line(&RANK_SHARE)) * count).floor())
                .reference(ReferenceKind::Gaussian, (count - expected).round())
        } else {
            let message = format!(
                "singular: rank {rank} of {count}; {missing} directions are exact combinations of the others"
            );
            m.finding("spectral.rank-deficient", severity, message)
                .metric("numerical_rank", rank as f64)
                .threshold(count)
                .reference(ReferenceKind::Gaussian, count)
        };
        Some(finding.advice(if is_rank {
            "prune to that rank without loss; a merged low-rank factor looks like this"
        } else {
            "nothing to do: the smallest values fall below rounding one by one, and there is no rank at which they end"
        }))
    }

    fn ill_conditioned(&self, m: &Judged<'_>) -> Option<Finding> {
        m.grid?;
        let count = m.sigma.len();
        let d = trimmed(count);
        let trimmed_smallest = *m.sigma.get(count.checked_sub(d + 1)?)?;
        let kappa = m.largest / m.smallest;
        let kappa_trimmed = m.largest / trimmed_smallest;
        let p = condition::exceedance(m.live[0], m.live[1], kappa);
        let by_chance = self.matrices * p >= self.line(&CHANCE);
        let resolved = |sigma: f64| sigma > self.line(&NOISE_MARGIN) * m.noise;
        let by_trimmed = kappa_trimmed > self.line(&KAPPA_TRIMMED);
        // The smallest value alone says nothing of a square matrix: its law has too heavy a tail.
        let is_alone_in_square = m.is_square() && resolved(m.smallest);
        let may_be_alone = !by_chance && !is_alone_in_square;
        let is_above = by_trimmed || (kappa > self.line(&KAPPA) && may_be_alone);
        let holds = |trimmed_line, line| {
            (kappa_trimmed > self.line(trimmed_line) && resolved(trimmed_smallest))
                || (kappa > self.line(line) && may_be_alone && resolved(m.smallest))
        };
        let law = m.law();
        let random = law.edges().1 / law.quantile((d as f64 + 0.5) / count as f64);
        let opening = format!(
            "condition number {} (p {} for a random {}; trimmed {}, random {})",
            short(kappa),
            short(p),
            m.shape(),
            short(kappa_trimmed),
            short(random)
        );
        let (severity, message, advice) = if holds(&KAPPA_TRIMMED_CRITICAL, &KAPPA_CRITICAL) {
            let (place, advice) = cause(m, trimmed_smallest);
            (Severity::Critical, format!("{opening}. {place}"), advice)
        } else if holds(&KAPPA_TRIMMED, &KAPPA) {
            let (place, advice) = cause(m, trimmed_smallest);
            (Severity::Warning, format!("{opening}. {place}"), advice)
        } else if is_above {
            let message = format!(
                "{opening}, from values below what {} stores: it resolves {} here, a larger number is a fact of storage",
                m.grid_name(),
                short(m.largest / m.noise)
            );
            (Severity::Info, message, "nothing to do; look at the weights before they were rounded")
        } else if kappa > self.line(&KAPPA_CRITICAL) {
            let square = match (m.is_square(), by_chance) {
                (true, true) => ", as square ones often do",
                (true, false) => ", but one direction alone says little of a square one",
                _ => "",
            };
            let message = format!(
                "condition number {}: of random {} matrices {} exceed it{square}; without the {d} smallest values it is {}",
                short(kappa),
                m.shape(),
                share(p),
                short(kappa_trimmed)
            );
            let advice = if by_chance {
                "nothing to do: chance explains it"
            } else {
                "nothing to do: all other directions are as they should be"
            };
            (Severity::Info, message, advice)
        } else {
            return None;
        };
        let finding = m.finding("spectral.ill-conditioned", severity, message).advice(advice);
        let is_critical = severity == Severity::Critical;
        Some(if by_trimmed {
            let line = if is_critical && kappa_trimmed > self.line(&KAPPA_TRIMMED_CRITICAL) {
                &KAPPA_TRIMMED_CRITICAL
            } else {
                &KAPPA_TRIMMED
            };
            finding
                .metric("condition_number_trimmed", kappa_trimmed)
                .threshold(self.line(line))
                .reference(ReferenceKind::Gaussian, random)
        } else {
            let line = if is_above && !is_critical { &KAPPA } else { &KAPPA_CRITICAL };
            finding
                .metric("condition_number", kappa)
                .threshold(self.line(line))
                .reference(ReferenceKind::Gaussian, condition::median(m.live[0], m.live[1]))
        })
    }

    fn dominant_direction(&self, m: &Judged<'_>) -> Option<Finding> {
        let stable_rank = m.weight.number(ID, "stable_rank")?;
        let null = stable_rank_null(m.live[0], m.live[1]);
        let ratio = stable_rank / null;
        let (severity, line) = if ratio < self.line(&DOMINANT) {
            (Severity::Warning, self.line(&DOMINANT))
        } else if ratio < self.line(&DOMINANT_INFO) {
            (Severity::Info, self.line(&DOMINANT_INFO))
        } else {
            return None;
        };
        let message = format!(
            "stable rank {} where a random {} has {}: one direction holds {} of the energy",
            short(stable_rank),
            m.shape(),
            short(null),
            share(1.0 / stable_rank)
        );
        let finding = m.finding("spectral.dominant-direction", severity, message);
        Some(
            finding
                .metric("stable_rank", stable_rank)
                .threshold(line * null)
                .reference(ReferenceKind::Gaussian, null)
                .advice("keep the direction (often a mean) in higher precision, or subtract it before quantising"),
        )
    }

    fn low_rank(&self, m: &Judged<'_>) -> Option<Finding> {
        let needed = m.weight.number(ID, "energy_rank_99")?;
        let random = m.lines() * m.law().rank_share_of_energy(0.99);
        let line = self.line(&LOW_RANK) * random;
        if needed >= line {
            return None;
        }
        let message = format!(
            "{needed} of {} directions hold 99 % of the energy, a random matrix needs {}: energy, not function",
            m.sigma.len(),
            random.round()
        );
        let finding = m.finding("spectral.low-rank", Severity::Info, message);
        Some(
            finding
                .metric("energy_rank_99", needed)
                .threshold(line)
                .reference(ReferenceKind::Gaussian, random.round())
                .advice(
                    "nothing by itself: what a lower rank costs shows in the model's answers alone",
                ),
        )
    }

    fn alpha(&self, m: &Judged<'_>) -> Option<Finding> {
        let number = |metric| m.weight.number(ID, metric);
        let (alpha, tail) = (number("alpha")?, number("alpha_tail")?);
        // Without the bootstrap the distance alone says what is plainly no power law.
        let is_unlikely = match number("alpha_gof_p") {
            Some(p) => p < self.line(&ALPHA_MIN_GOF),
            None => number("alpha_ks")? * tail.sqrt() > self.line(&ALPHA_MAX_KS),
        };
        let (low, high) = (self.line(&ALPHA_LOW), self.line(&ALPHA_HIGH));
        if (low..=high).contains(&alpha) || tail < self.line(&ALPHA_MIN_TAIL) || is_unlikely {
            return None;
        }
        let meaning = if alpha < low {
            "a tail heavier than trained layers usually have"
        } else {
            "the tail falls as fast as that of random values"
        };
        let message = format!(
            "alpha {} over {tail} eigenvalues, outside of {low} to {high}: {meaning}",
            short(alpha)
        );
        let finding = m.finding("spectral.alpha", Severity::Info, message);
        let line = if alpha < low { low } else { high };
        let advice = "nothing by itself; compare it with the same role at other depths";
        Some(finding.metric("alpha", alpha).threshold(line).advice(advice))
    }

    /// The customary lines, which know neither shape nor storage.
    fn absolute(&self, m: &Judged<'_>, out: &mut Verdicts) {
        let rank = m.weight.number(ID, "numerical_rank").unwrap_or(0.0);
        let lines = [
            (Severity::Critical, &ABSOLUTE_KAPPA_CRITICAL),
            (Severity::Warning, &ABSOLUTE_KAPPA),
            (Severity::Info, &ABSOLUTE_KAPPA_INFO),
        ];
        // Singular: an infinite condition number.
        let kappa = m.weight.number(ID, "condition_number").unwrap_or(f64::INFINITY);
        let advice = "an absolute line: compare it with what a random matrix of the shape has";
        if let Some((severity, spec)) = lines.into_iter().find(|(_, spec)| kappa > self.line(spec))
        {
            let message = if kappa.is_finite() {
                format!("condition number {}, above {}", short(kappa), short(self.line(spec)))
            } else {
                format!("singular: rank {rank} of {}, an infinite condition number", m.sigma.len())
            };
            let finding = m.finding("spectral.ill-conditioned", severity, message);
            out.push(
                finding.metric("condition_number", kappa).threshold(self.line(spec)).advice(advice),
            );
        }
        let stable_rank = m.weight.number(ID, "stable_rank").unwrap_or(f64::INFINITY);
        let line = self.line(&ABSOLUTE_STABLE_RANK) * rank;
        if stable_rank < line {
            let message = format!(
                "stable rank {}, below {} of the rank {rank}",
                short(stable_rank),
                share(self.line(&ABSOLUTE_STABLE_RANK))
            );
            let finding = m.finding("spectral.low-rank", Severity::Warning, message);
            out.push(finding.metric("stable_rank", stable_rank).threshold(line).advice(advice));
        }
    }
}

/// Which end of the spectrum makes it ill-conditioned, and what to do then.
fn cause(m: &Judged<'_>, trimmed_smallest: f64) -> (String, &'static str) {
    let middle = median(&m.sigma).unwrap_or(m.largest);
    if m.largest / middle > middle / trimmed_smallest {
        let omega = gavish_donoho::threshold(m.live[0], m.live[1]);
        let bulk = Bulk::of(&m.sigma, m.law(), omega, 0.0);
        let ratio = bulk.map_or(f64::INFINITY, |bulk| m.largest / bulk.high);
        let place = format!(
            "The top of the spectrum causes it: sigma_1 is {} x the edge of a random one",
            short(ratio)
        );
        let advice = "keep the top direction in higher precision; see dominant-direction";
        return (place, advice);
    }
    let small = m.sigma.len() as u64 - above(&m.sigma, m.largest / 1000.0);
    let values = if small == 1 { "value lies" } else { "values lie" };
    let place = format!(
        "The bottom of the spectrum causes it: {small} {values} below a thousandth of sigma_1"
    );
    (
        place,
        "directions that hold next to no energy; whether they are of use the spectrum does not say",
    )
}

/// Three or four significant digits.
fn short(x: f64) -> String {
    let magnitude = x.abs();
    if magnitude == 0.0 || x.is_infinite() {
        format!("{x}")
    } else if !(1e-3..1e5).contains(&magnitude) {
        format!("{x:.1e}")
    } else {
        let decimals = (2 - magnitude.log10().floor() as i32).max(0) as usize;
        let text = format!("{x:.decimals$}");
        match text.split_once('.') {
            Some(_) => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            None => text,
        }
    }
}

/// A share in percent.
fn share(x: f64) -> String {
    format!("{} %", short(100.0 * x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_messages() {
        let texts = [0.0, 2.375e5, 0.007, 2087.4, 25.5, 1.0, 3e-9, 0.25].map(short);
        assert_eq!(texts, ["0", "2.4e5", "0.007", "2087", "25.5", "1", "3.0e-9", "0.25"]);
        assert_eq!((share(0.77), short(f64::INFINITY)), ("77 %".to_owned(), "inf".to_owned()));
    }
}
