//! Singular values of weight matrices: norms, ranks and condition numbers, what chance makes of them, and power laws.
//!
//! A spectrum comes from `weightscope-linalg`; [`measure`] turns it into numbers, and the small modules hold the
//! theory those are held against: [`MarchenkoPastur`] (the bulk of a random matrix), [`condition`] (how large a
//! condition number chance makes), [`gavish_donoho`] (what stands out of noise), [`power_law`] (heavy tails).
//!
//! ```
//! use weightscope_core::{DType, StorageGrid};
//! use weightscope_linalg::{Dense, Options, Threads, singular_values};
//!
//! let values = [3.0, 0.0, 0.0, 4.0, 0.0, 0.0];
//! let matrix = Dense::new(&values, 3, 2).unwrap();
//! let spectrum = singular_values(&matrix, &Options::default(), &Threads(1))?;
//! let metrics = weightscope_spectral::measure(&spectrum, [3, 2], StorageGrid::Float(DType::F64));
//! assert!((metrics.spectral_norm - 4.0).abs() < 1e-12);
//! assert!((metrics.condition_number.unwrap() - 4.0 / 3.0).abs() < 1e-12);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod condition;
mod figures;
pub mod gavish_donoho;
mod judge;
mod marchenko_pastur;
mod matrix;
mod measure;
mod parameters;
pub mod power_law;
mod record;

use weightscope_core::{
    AnalyzeError, Analyzer, Cost, DType, Descriptor, FindingSpec, MetricSpec, ModelGraph, Output,
    Report, Severity, Unit, UnitSpec, Verdicts,
};
use weightscope_linalg::{Options, Watch, singular_values};
pub use weightscope_linalg::{SpectrumShape, storage_noise};

pub use marchenko_pastur::MarchenkoPastur;
pub use measure::{Bulk, ConditionReference, SpectralMetrics, measure, trimmed};
pub use power_law::PowerLaw;

use matrix::{ViewMatrix, analyze_error};

/// The analyzer `spectral`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spectral;

pub(crate) const ID: &str = "spectral";

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    version: 1,
    summary: "Singular values, condition numbers and ranks against chance, and power laws",
    metrics: &[
        MetricSpec::new("spectral_norm", "weight", "Largest singular value sigma_1 of the matrix [out, in]. (WeightWatcher calls its square spectral_norm.)").trend().siblings(),
        MetricSpec::new("min_singular_value", "weight", "Smallest singular value sigma_M; M is the shorter side, N the longer one."),
        MetricSpec::new("numerical_rank", "count", "Singular values above sigma_1 N 2^-52: numpy's rule in f64, on the values as stored. Rounding alone makes low-rank matrices full by this rule; see rank_above_storage_noise."),
        MetricSpec::new("rank_deficient", "", "Whether numerical_rank is less than M."),
        MetricSpec::new("condition_number", "", "kappa = sigma_1/sigma_M; undefined when rank deficient. Large values are ordinary for square matrices: see condition_number_p_value and condition_number_trimmed."),
        MetricSpec::new("frobenius_norm", "weight", "Root of the sum of the squares, from the singular values. (WeightWatcher's norm is its square.)"),
        MetricSpec::new("nuclear_norm", "weight", "Sum of the singular values."),
        MetricSpec::new("stable_rank", "", "sum lambda/lambda_1 with lambda = sigma^2, 1 to M: the energy in units of the strongest direction (Rudelson & Vershynin 2007).").trend().siblings(),
        MetricSpec::new("effective_rank", "", "exp(-sum p ln p) with p = sigma/sum sigma, 1 to M (Roy & Vetterli 2007).").trend(),
        MetricSpec::new("matrix_entropy", "", "-sum p ln p/ln rank with p = lambda/sum lambda, 0 to 1 (WeightWatcher's entropy); undefined for rank 1."),
        MetricSpec::new("participation_ratio", "", "(sum lambda)^2/sum lambda^2, 1 to M."),
        MetricSpec::new("rank_1pct", "count", "Singular values above 1 % of the largest."),
        MetricSpec::new("energy_rank_50", "count", "Fewest directions that hold 50 % of the energy sum lambda."),
        MetricSpec::new("energy_rank_90", "count", "The same for 90 %."),
        MetricSpec::new("energy_rank_95", "count", "The same for 95 %."),
        MetricSpec::new("energy_rank_99", "count", "The same for 99 %; a random square matrix needs 77 % of its directions."),
        MetricSpec::new("singular_values", "weight", "All of them, descending."),
        MetricSpec::new("method", "", "How they were computed: gram (eigenvalues of the Gram matrix, accepted when every value is certain to a relative error of 1e-6 or 1e-10 of the largest) or direct (bidiagonal reduction)."),
        MetricSpec::new("sigma_min_relative_error_bound", "", "Upper bound on the relative error of the smallest singular value, by measured constants; undefined when it is zero."),
        MetricSpec::new("storage_grid", "", "The coarsest of BF16, F16, F32 and the stored type that holds every value exactly: what the weights were once rounded to; for blocks and codes with factors, the scheme."),
        MetricSpec::new("storage_noise", "weight", "0.43 u rms (sqrt N + sqrt M), u the unit roundoff of storage_grid: about the spectral norm of the rounding errors. For blocks and codes with factors, the root mean square of step/sqrt(12) takes the place of 0.43 u rms. Smaller singular values say nothing about the weights before rounding."),
        MetricSpec::new("rank_above_storage_noise", "count", "Singular values above storage_noise: the rank of a low-rank matrix that was rounded once."),
        MetricSpec::new("condition_number_resolvable", "", "sigma_1/storage_noise: a condition number above it is a fact of storage (about 600 for a square BF16 matrix)."),
        MetricSpec::new("condition_number_null_median", "", "Median condition number of random matrices of the shape: 3.67 N for square ones."),
        MetricSpec::new("condition_number_p_value", "", "Chance that a random matrix of the shape has a larger condition number, an upper bound that is exact where small (after Edelman 1988); 2 N/kappa for square ones. Heavy-tailed entries exceed it."),
        MetricSpec::new("condition_number_trimmed", "", "sigma_1/sigma_(M-d), d = max(3, M/20): without the few smallest values, which chance makes tiny. At most 38 for random matrices, 25.5 for large square ones; undefined for M < 4 and where that value is zero."),
        MetricSpec::new("stable_rank_null", "", "Stable rank of a random matrix of the shape, N M/(sqrt N + sqrt M)^2."),
        MetricSpec::new("mp_edge_low", "weight", "Smallest singular value of a random matrix with the same median: s (sqrt N - sqrt M), s the median over that of the Marchenko-Pastur law."),
        MetricSpec::new("mp_edge_high", "weight", "Its largest: s (sqrt N + sqrt M). Undefined, like the next two, when half of the singular values are zero."),
        MetricSpec::new("mp_spikes", "count", "Singular values above mp_edge_high by more than s (1/sqrt N + 1/sqrt M)^(1/3)/2, the Tracy-Widom width (Johnstone 2001): about one random matrix in twenty has one."),
        MetricSpec::new("gavish_donoho_rank", "count", "Singular values above omega(M/N) times their median, omega(1) = 2.858: what stands out if the bulk is noise (arXiv 1305.5870)."),
        MetricSpec::new("alpha", "", "Exponent of the power law in the tail of lambda: maximum likelihood with every lambda as candidate xmin, the one with the least KS distance taken (arXiv 0706.1062). As WeightWatcher's alpha, which drops lambda <= 1e-5 first and corrects spectra of fewer than 20.").trend(),
        MetricSpec::new("alpha_xmin", "weight^2", "Where that tail begins."),
        MetricSpec::new("alpha_ks", "", "Kolmogorov-Smirnov distance of the tail to the fit (WeightWatcher's D)."),
        MetricSpec::new("alpha_tail", "count", "Eigenvalues in the tail."),
        MetricSpec::new("alpha_sigma", "", "Standard error (alpha - 1)/sqrt(alpha_tail)."),
        MetricSpec::new("alpha_gof_p", "", "Goodness of the fit: share of samples from the fitted law (semi-parametric bootstrap, seeded) that lie further from their own fit. Below 0.1 the tail is no power law. On request: parameter alpha_gof."),
        MetricSpec::new("log_norm", "", "log10 of the sum of lambda."),
        MetricSpec::new("alpha_weighted", "", "alpha log10 lambda_1.").trend(),
        MetricSpec::new("log_alpha_norm", "", "log10 of the sum of lambda^alpha."),
    ],
    parameters: parameters::ALL,
    findings: &[
        FindingSpec {
            code: "spectral.ill-conditioned",
            severities: &[Severity::Warning, Severity::Critical, Severity::Info],
            doc: "The trimmed condition number is above 1e3 (critical 1e4), or the condition number is above 1e4 (critical 1e5) and no random matrix of the shape would have it (chance below 1e-3 over all judged matrices; never for square ones, whose smallest value alone says little). Random matrices of any light-tailed law have trimmed ones below 38; healthy trained ones 15 in the median. Info: it comes from values below what the stored format resolves, or chance explains it, as it does for square matrices: a fact, shown with --all. Dead rows and columns are left out first. That the condition number predicts what quantization costs was looked for and not found: rank correlations with the damage within a role of 0.07, 0.21 and -0.10 (all-MiniLM-L6-v2, all-mpnet-base-v2, SmolLM2-135M).",
            advice: "top: see dominant-direction, and keep that direction in higher precision. Bottom: directions that hold next to no energy; whether they are of use the spectrum does not say",
        },
        FindingSpec {
            code: "spectral.rank-deficient",
            severities: &[Severity::Warning, Severity::Critical, Severity::Info],
            doc: "At least 5 % of the singular values (critical: half) are below the storage noise, and 6 more than random weights lose there, and the spectrum ends with a break (a factor 2) or loses a quarter; without either it is a fact (info). Or the matrix is singular in f64. The count of values above the noise is the rank that a low-rank matrix had before it was rounded. Random matrices lose 1.9 more than expected at most. Dead rows and columns are left out first; 8-bit types are not judged, since their scales are stored apart.",
            advice: "prune to that rank without loss; a merged low-rank factor looks like this",
        },
        FindingSpec {
            code: "spectral.dominant-direction",
            severities: &[Severity::Warning, Severity::Info],
            doc: "The stable rank is below 2 % (info: 5 %) of a random matrix's: one direction holds far more of the energy than chance gives it. Random matrices have at least 86 %.",
            advice: "keep the direction (often a mean) in higher precision, or subtract it before quantising",
        },
        FindingSpec {
            code: "spectral.low-rank",
            severities: &[Severity::Info, Severity::Warning],
            doc: "A fact, shown with --all: 99 % of the energy lies in less than half of the directions that a random matrix of the shape needs. Energy is not function: cut to that rank, SmolLM2-135M loses 8.2 nats a token where white noise of the same energy costs 0.95 (all-MiniLM-L6-v2: 0.080 against 0.050 of its cosine; in tiny-gpt2 it costs less than noise, 0.002 against 0.010). With absolute lines (a warning): the stable rank is below 30 % of the rank, which random matrices show too.",
            advice: "nothing by itself: what a lower rank costs shows in the model's answers alone",
        },
        FindingSpec {
            code: "spectral.alpha",
            severities: &[Severity::Info],
            doc: "A fact, shown with --all: the power-law exponent is outside of 2 to 6, with at least 50 eigenvalues in the tail and a goodness of fit of at least 0.1, or where that was not asked for a KS distance of at most 0.7/sqrt(tail), which is about the same. Bulks of random values, too, are often fitted with exponents above 6. That alpha predicts what quantization costs was looked for and not found: rank correlations with the damage within a role of 0.37, 0.12 and -0.09 (all-MiniLM-L6-v2, all-mpnet-base-v2, SmolLM2-135M).",
            advice: "nothing by itself; compare it with the same role at other depths",
        },
        FindingSpec {
            code: "spectral.unlike-siblings",
            severities: &[Severity::Warning],
            doc: "The spectral norm or the stable rank of a matrix is more than twice or less than half the median of the same role in other blocks, and more than 6 robust standard deviations of the logarithm away. Needs 6 siblings. No initialisation shows a factor 2.",
            advice: "compare it with its neighbours: a restored, rescaled or badly merged layer looks like this",
        },
    ],
    reads: &["integrity", "distribution", "sparsity"],
    ..Descriptor::EMPTY
};

/// Rows of a panel that are read at once, as far as raw bytes count.
const PANEL_ROWS: u64 = 512;

impl Analyzer for Spectral {
    fn descriptor(&self) -> &Descriptor {
        &DESCRIPTOR
    }

    fn units(&self, graph: &ModelGraph) -> Vec<UnitSpec> {
        UnitSpec::each(graph, |w| {
            w.part.is_parameter()
                && !w.role.is_factor()
                && w.dtype.is_some_and(DType::is_float)
                && w.matrix.is_some_and(|[out, input]| out.min(input) >= 2)
        })
    }

    fn cost(&self, unit: &UnitSpec, graph: &ModelGraph) -> Cost {
        let weight = unit.weights.first().and_then(|id| graph.weights.get(id.0 as usize));
        let Some((weight, [out, input])) = weight.and_then(|w| Some((w, w.matrix?))) else {
            return Cost::default();
        };
        let cost = weightscope_linalg::cost(out as usize, input as usize, &Options::default());
        let raw =
            out.min(input).saturating_mul(PANEL_ROWS * weight.dtype.map_or(8, DType::bytes) as u64);
        Cost { work: cost.flops, scratch_bytes: cost.bytes.saturating_add(raw) }
    }

    fn analyze(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
        let view = unit.first();
        let summary = view.summary()?;
        if summary.tally.finite() < summary.tally.values {
            for metric in DESCRIPTOR.metrics {
                out.undefined(metric.key, record::NOT_FINITE);
            }
            return Ok(());
        }
        let grid = view.storage_grid()?;
        let magnitude = summary.extremes.map_or(0.0, |(min, max)| min.abs().max(max.abs()));
        let matrix = ViewMatrix { view, magnitude };
        let options = Options { exact: unit.value(&parameters::EXACT) != 0.0 };
        let monitor = Watch(|| unit.threads(), |flops| unit.advance(flops).is_ok());
        let spectrum = singular_values(&matrix, &options, &monitor).map_err(analyze_error)?;
        let shape = view.size();
        let metrics = measure(&spectrum, shape, grid);
        let name = match (grid.dtype(), view.stored()) {
            (Some(dtype), _) => dtype.name(),
            (None, stored) => stored.map_or("", |stored| stored.scheme.as_str()),
        };
        record::record(&metrics, shape, name, &spectrum, out);
        goodness(unit, &metrics, &spectrum.singular_values, out)?;
        out.figures.extend(figures::figures(&metrics, &spectrum.singular_values, shape));
        Ok(())
    }

    fn measuring_parameters(&self) -> &'static [&'static str] {
        &[parameters::EXACT.key, parameters::ALPHA_GOF.key, parameters::SEED.key]
    }

    fn judge(&self, report: &Report, out: &mut Verdicts) {
        judge::judge(report, out);
    }
}

/// `alpha_gof_p`, when it was asked for.
fn goodness(
    unit: &Unit<'_>,
    metrics: &SpectralMetrics,
    sigma: &[f64],
    out: &mut Output,
) -> Result<(), AnalyzeError> {
    let samples = unit.value(&parameters::ALPHA_GOF) as u32;
    let Some(law) = metrics.power_law.filter(|_| samples > 0) else {
        let why = if samples > 0 { "there is no fit" } else { record::NOT_ASKED };
        out.undefined("alpha_gof_p", why);
        return Ok(());
    };
    let logs = measure::logs(sigma, metrics.numerical_rank);
    let seed = unit.value(&parameters::SEED) as u64;
    let go_on = || unit.advance(0.0).is_ok();
    let p = power_law::goodness_of_fit(&logs, &law, samples, seed, go_on);
    out.metric("alpha_gof_p", p.ok_or(AnalyzeError::Cancelled)?);
    Ok(())
}
