//! Every number that a user may change.

use weightscope_core::ParameterSpec;

macro_rules! parameters {
    ($($name:ident = $key:literal, $default:literal, $doc:literal;)*) => {
        $(pub(crate) const $name: ParameterSpec =
            ParameterSpec { key: $key, default: $default, doc: $doc };)*
        /// All of them.
        pub(crate) const ALL: &[ParameterSpec] = &[$($name),*];
    };
}

parameters! {
    EXACT = "exact", 0.0, "1 takes the direct route for every matrix, which does not square the condition number (--exact).";
    ALPHA_GOF = "alpha_gof", 0.0, "Samples of the bootstrap for alpha_gof_p; 0 leaves it out (--alpha-gof). With n samples the error of p is at most 1/(2 sqrt n).";
    SEED = "seed", 0.0, "Seed of that bootstrap.";
    KAPPA_TRIMMED = "kappa_trimmed", 1e3, "Trimmed condition number above which a matrix is ill-conditioned.";
    KAPPA_TRIMMED_CRITICAL = "kappa_trimmed_critical", 1e4, "The same, critical.";
    KAPPA = "kappa", 1e4, "Condition number above which a matrix is ill-conditioned where chance does not explain it.";
    KAPPA_CRITICAL = "kappa_critical", 1e5, "The same, critical; where chance explains it, info.";
    CHANCE = "chance", 1e-3, "Largest chance of one false ill-conditioned matrix in a model.";
    NOISE_MARGIN = "noise_margin", 2.0, "A singular value is resolved above so many times the storage noise.";
    RANK_SHARE = "rank_share", 0.05, "Share of lost singular values that makes a matrix rank-deficient.";
    RANK_MARGIN = "rank_margin", 6.0, "And how many more than random weights lose.";
    RANK_SHARE_SMOOTH = "rank_share_smooth", 0.25, "Share of lost singular values that makes a matrix rank-deficient where its spectrum falls below rounding without a break.";
    RANK_SHARE_CRITICAL = "rank_share_critical", 0.5, "Share of lost singular values that is critical.";
    DOMINANT = "dominant", 0.02, "Stable rank over that of a random matrix below which one direction dominates.";
    DOMINANT_INFO = "dominant_info", 0.05, "The same, worth knowing.";
    LOW_RANK = "low_rank", 0.5, "Directions for 99 % of the energy, over those of a random matrix, below which a matrix is of low rank.";
    ALPHA_LOW = "alpha_low", 2.0, "Smallest exponent that is not remarked on.";
    ALPHA_HIGH = "alpha_high", 6.0, "Largest exponent that is not remarked on.";
    ALPHA_MIN_TAIL = "alpha_min_tail", 50.0, "Fewest eigenvalues in a tail whose exponent is judged.";
    ALPHA_MAX_KS = "alpha_max_ks", 0.7, "Without alpha_gof: largest KS distance, times the root of the tail, of an exponent that is judged. Of samples from power laws, fitted in the same way, 10 % are above (simulated: 0.66 to 0.71 for 60 to 600 values).";
    ALPHA_MIN_GOF = "alpha_min_gof", 0.1, "Least goodness of fit of an exponent that is judged.";
    ABSOLUTE_LINES = "absolute_lines", 0.0, "1 judges by the customary absolute lines alone, whatever chance makes of the shape (--thresholds absolute): condition number and stable rank, as follows.";
    ABSOLUTE_KAPPA_INFO = "absolute_kappa_info", 1e3, "Absolute line: condition number worth knowing.";
    ABSOLUTE_KAPPA = "absolute_kappa", 1e4, "Absolute line: condition number that is a warning.";
    ABSOLUTE_KAPPA_CRITICAL = "absolute_kappa_critical", 1e5, "Absolute line: condition number that is critical.";
    ABSOLUTE_STABLE_RANK = "absolute_stable_rank", 0.3, "Absolute line: stable rank over numerical rank below which a matrix is of low rank.";
}
