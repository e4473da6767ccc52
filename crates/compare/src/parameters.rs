//! What a user may change.

use weightscope_core::ParameterSpec;

const fn spec(key: &'static str, default: f64, doc: &'static str) -> ParameterSpec {
    ParameterSpec { key, default, doc }
}

pub(crate) const SPECTRAL: ParameterSpec = spec(
    "spectral",
    0.0,
    "1 measures spectra of every pair that changed, and how far those of the weights shifted.",
);
pub(crate) const NO_SPECTRA: ParameterSpec = spec("no_spectra", 0.0, "1 measures no spectra.");
pub(crate) const BUDGET: ParameterSpec = spec(
    "delta_flops",
    5e12,
    "Floating-point operations from which on only the largest movers have spectra.",
);
pub(crate) const MOVERS: ParameterSpec =
    spec("delta_movers", 16.0, "How many largest movers those are.");
pub(crate) const UNRELATED: ParameterSpec = spec(
    "unrelated_cosine",
    0.1,
    "Median cosine of the matrices below which two checkpoints are unrelated.",
);
pub(crate) const ROUNDING: ParameterSpec = spec(
    "widened_rounding",
    0.2,
    "Least relative L2, in unit roundoffs of BASE, that BASE's rounding makes of a TUNED in a wider type; rounding weights makes 0.43.",
);
pub(crate) const STEPS: ParameterSpec = spec(
    "quantised_rounding",
    2.0,
    "Multiple of the rounding error that the steps of a quantised form are expected to make up to which a difference is quantisation: rounding to nearest makes about 1, formats that trade the error of one value for another's up to 1.6.",
);
pub(crate) const GAP: ParameterSpec = spec(
    "adapter_gap",
    2.0,
    "Factor by which the step after the last direction above the rounding exceeds the steps below it, for an exact rank.",
);
pub(crate) const SHARE: ParameterSpec =
    spec("adapter_share", 0.5, "Largest exact rank of an adapter, as a share of the shorter side.");
pub(crate) const DERIVED: ParameterSpec =
    spec("derived_p", 1e-6, "Chance below which matching neurons show common descent.");

/// Those of `compare`.
pub(crate) const COMPARE: &[ParameterSpec] =
    &[SPECTRAL, NO_SPECTRA, BUDGET, MOVERS, UNRELATED, ROUNDING, STEPS, GAP, SHARE, DERIVED];

pub(crate) const NEURONS: ParameterSpec =
    spec("neurons", 256.0, "Neurons of a block that are matched.");
/// Those of `lineage`.
pub(crate) const LINEAGE: &[ParameterSpec] = &[NEURONS];
