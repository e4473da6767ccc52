//! The lines that verdicts are drawn at.

use weightscope_core::ParameterSpec;

macro_rules! parameters {
    ($($name:ident = $key:literal, $default:expr, $doc:literal;)*) => {
        $(pub(crate) const $name: ParameterSpec = ParameterSpec { key: $key, default: $default, doc: $doc };)*
        /// All of them.
        pub(crate) const ALL: &[ParameterSpec] = &[$($name),*];
    };
}

parameters! {
    INT8 = "int8_db", 30.0, "Signal-to-noise ratio of per-channel int8 below which is a warning.";
    INT8_CRITICAL = "int8_db_critical", 20.0, "The same for critical.";
    OUTLIERS = "outlier_share", 0.01, "Share of values beyond 3 interquartile ranges that is a warning.";
    OUTLIERS_CRITICAL = "outlier_share_critical", 0.1, "The same for critical.";
    EXCESS = "outlier_excess_db", 4.0, "Decibels worse than normal weights that outliers must cost.";
    COLUMN_RATIO = "column_ratio", 8.0, "Column norm over the median above which a column is an outlier.";
    COLUMN_SHARE = "column_share", 0.05, "Share of columns above 3 times the median beyond which no column is one.";
    COLUMN_Z = "column_z", 1.5, "How many times the normal quantile of the chance the robust z of a column must exceed.";
    CHANCE = "chance", 1e-3, "Chance of a false alarm over all columns of all judged matrices.";
    CREST = "crest", 150.0, "Crest factor that is worth saying.";
    CREST_ALONE = "crest_alone", 30.0, "The same where the largest value stands alone.";
    ALONE = "alone", 3.0, "Largest over second largest magnitude that is alone.";
    NEXT = "next", 2.0, "Largest over second largest magnitude below which the largest is not told.";
    SPIKE_RATIO = "spike_ratio", 500.0, "Largest over median reach of an MLP's neurons above which one may change the model.";
    SPIKE_RMS = "spike_rms", 20.0, "Root mean squares that its output weight must have for that.";
    ABSOLUTE_LINES = "absolute_lines", 0.0, "1 judges by the customary absolute lines instead.";
    ABSOLUTE_INT8 = "absolute_int8_db", 40.0, "Absolute line: per-tensor int8 below which is a warning.";
    ABSOLUTE_INT8_CRITICAL = "absolute_int8_db_critical", 30.0, "The same for critical.";
    ABSOLUTE_OUTLIERS_INFO = "absolute_outlier_share_info", 0.001, "Absolute line: share of values beyond 3 interquartile ranges worth a note.";
}
