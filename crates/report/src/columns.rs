//! Which numbers of which analyzer a person is shown first.
//!
//! A report holds more metrics than fit on a screen. [`SPECS`] names, for the analyzers we know, the columns
//! worth a look, and what puts a weight at the top; an analyzer that is not listed shows its first scalar
//! metrics in model order. The JSON and CSV reports hold everything.

use std::borrow::Cow;

use weightscope_core::{Descriptor, Key, Report, Value, WeightRecord};

use crate::{numbers, schemes};
use Show::{Decibels, Number, Share};

/// Where in an analyzer's metrics a cell comes from.
#[derive(Clone, Debug)]
pub(crate) enum Pick {
    /// A scalar metric.
    Metric(Key),
    /// `count` of a `{count, first}` metric.
    Count(Key),
    /// `fraction` at a threshold of a `[{threshold, fraction}]` metric.
    At(Key, f64),
    /// `sqnr_db` of a scheme of the `[{scheme, sqnr_db, note}]` metric `schemes`; the note where there is none.
    Scheme(&'static str),
}

impl Pick {
    pub(crate) fn value<'a>(&self, weight: &'a WeightRecord, analyzer: &str) -> Option<&'a Value> {
        match self {
            Self::Metric(key) => weight.metric(analyzer, key),
            Self::Count(key) => weight.metric(analyzer, key)?.get("count"),
            Self::At(key, threshold) => {
                let items = weight.metric(analyzer, key)?.items();
                let wanted = |item: &&Value| {
                    item.get("threshold").and_then(Value::as_f64) == Some(*threshold)
                };
                items.iter().find(wanted)?.get("fraction")
            }
            Self::Scheme(name) => {
                let row = schemes::row(weight.metric(analyzer, schemes::METRIC)?, name)?;
                row.get("sqnr_db").filter(|v| **v != Value::Null).or_else(|| row.get("note"))
            }
        }
    }

    /// Key of the metric that it looks into.
    pub(crate) fn metric(&self) -> &str {
        match self {
            Self::Metric(key) | Self::Count(key) | Self::At(key, _) => key,
            Self::Scheme(_) => schemes::METRIC,
        }
    }

    pub(crate) fn number(&self, weight: &WeightRecord, analyzer: &str) -> Option<f64> {
        self.value(weight, analyzer)?.as_f64()
    }
}

/// How a cell is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// Four significant digits; counts in full.
    Number,
    /// Percent.
    Share,
    /// One decimal; `exact` where nothing is lost.
    Decibels,
}

/// One column of an analyzer's table.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// Heading; it may be broken at its spaces.
    pub(crate) title: Cow<'static, str>,
    pub(crate) pick: Pick,
    pub(crate) show: Show,
    /// Where space is short, the columns with the highest rank go first.
    pub(crate) rank: u8,
}

impl Column {
    pub(crate) fn cell(&self, weight: &WeightRecord, analyzer: &str) -> Option<String> {
        match self.pick.value(weight, analyzer)? {
            Value::Bool(b) => Some(if *b { "yes" } else { "no" }.to_owned()),
            Value::Text(note) if self.show == Decibels => Some(schemes::word(note).to_owned()),
            Value::Text(text) => Some(text.clone()),
            Value::Integer(n) if self.show == Number => Some(numbers::grouped(*n)),
            other => {
                let x = other.as_f64()?;
                Some(match self.show {
                    Number => numbers::significant(x),
                    Share => numbers::share(x),
                    Decibels => numbers::decibels(x),
                })
            }
        }
    }
}

/// What of an analyzer is shown.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) columns: Vec<Column>,
    pub(crate) order: Option<Order>,
    pub(crate) rows: Rows,
}

/// What weights are sorted by; those without it come last.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) pick: Pick,
    /// What it is called.
    pub(crate) name: &'static str,
    /// Otherwise the largest size comes first.
    pub(crate) lowest_first: bool,
}

/// Which weights are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rows {
    /// Every one that was measured.
    All,
    /// Those with rows and columns, and those with findings.
    Matrices,
    /// Those of which one of these is above zero, and those with findings; the others are fine.
    Above(&'static [Pick]),
    /// The same; the others did not change.
    Changed(&'static [Pick]),
}

/// One row of the declarative list below.
struct Known {
    analyzer: &'static str,
    columns: &'static [Column],
    order: Order,
    rows: Rows,
}

const fn metric(key: &'static str) -> Pick {
    Pick::Metric(Cow::Borrowed(key))
}

const fn count(key: &'static str) -> Pick {
    Pick::Count(Cow::Borrowed(key))
}

const fn at(key: &'static str, threshold: f64) -> Pick {
    Pick::At(Cow::Borrowed(key), threshold)
}

const fn scheme(name: &'static str) -> Pick {
    Pick::Scheme(name)
}

const fn largest(pick: Pick, name: &'static str) -> Order {
    Order { pick, name, lowest_first: false }
}

const fn lowest(pick: Pick, name: &'static str) -> Order {
    Order { pick, name, lowest_first: true }
}

const fn column(title: &'static str, pick: Pick, show: Show, rank: u8) -> Column {
    Column { title: Cow::Borrowed(title), pick, show, rank }
}

static KNOWN: &[Known] = &[
    Known {
        analyzer: "distribution",
        columns: &[
            column("mean", metric("mean"), Number, 2),
            column("std", metric("std"), Number, 0),
            column("min", metric("min"), Number, 4),
            column("max", metric("max"), Number, 4),
            column("skewness", metric("skewness"), Number, 3),
            column("excess kurtosis", metric("excess_kurtosis"), Number, 0),
            column("KS statistic", metric("ks_statistic"), Number, 1),
        ],
        order: largest(metric("excess_kurtosis"), "excess kurtosis"),
        rows: Rows::All,
    },
    Known {
        analyzer: "integrity",
        columns: &[
            column("NaN", metric("nan_count"), Number, 0),
            column("Inf", metric("inf_count"), Number, 0),
            column("zeros", metric("zero_count"), Number, 2),
            column("subnormal", metric("subnormal_count"), Number, 4),
            column("above F16", metric("f16_overflow_count"), Number, 1),
            column("flushed by F16", metric("f16_flush_count"), Number, 5),
            column("above E4M3", metric("e4m3_overflow_count"), Number, 5),
            column("constant", metric("constant"), Number, 3),
        ],
        order: largest(metric("nan_count"), "NaN"),
        rows: Rows::Above(&[
            metric("nan_count"),
            metric("inf_count"),
            metric("f16_overflow_count"),
        ]),
    },
    Known {
        analyzer: "sparsity",
        columns: &[
            column("zeros", metric("zero_fraction"), Share, 0),
            column("below rms/100", at("below_rms", 1e-2), Share, 2),
            column("dead rows", count("dead_rows"), Number, 1),
            column("dead columns", count("dead_columns"), Number, 1),
            column("2:4 groups", metric("nm_2_4_fraction"), Share, 4),
            column("hoyer", metric("hoyer"), Number, 3),
            column("prunable", metric("prunable"), Share, 0),
        ],
        order: largest(metric("prunable"), "prunable share"),
        rows: Rows::All,
    },
    Known {
        analyzer: "spectral",
        columns: &[
            column("spectral norm", metric("spectral_norm"), Number, 1),
            column("condition number", metric("condition_number"), Number, 0),
            column("trimmed", metric("condition_number_trimmed"), Number, 2),
            column("stable rank", metric("stable_rank"), Number, 0),
            column("effective rank", metric("effective_rank"), Number, 3),
            column("above noise", metric("rank_above_storage_noise"), Number, 4),
            column("alpha", metric("alpha"), Number, 1),
        ],
        order: largest(metric("condition_number_trimmed"), "trimmed condition number"),
        rows: Rows::All,
    },
    Known {
        analyzer: "attention",
        columns: &[column("head dissimilarity", metric("head_dissimilarity"), Number, 0)],
        order: largest(metric("head_dissimilarity"), "head dissimilarity"),
        rows: Rows::All,
    },
    Known {
        analyzer: "pca",
        columns: &[column("components for 90 %", metric("components_90"), Number, 0)],
        order: largest(metric("components_90"), "components"),
        rows: Rows::All,
    },
    Known {
        analyzer: "position",
        columns: &[
            column("neighbour correlation", metric("neighbour_correlation_median"), Number, 0),
            column("share of waves", metric("dominant_share"), Share, 1),
            column("by distance (R^2)", metric("toeplitz_r2"), Number, 0),
            column("effective rank", metric("effective_rank"), Number, 2),
            column("untrained tail", count("untrained_tail"), Number, 1),
        ],
        order: largest(metric("neighbour_correlation_median"), "neighbour correlation"),
        rows: Rows::All,
    },
    Known {
        analyzer: schemes::ANALYZER,
        columns: &[
            column("crest factor", metric("crest_factor"), Number, 5),
            column("beyond 3 IQR", metric("outliers_iqr_3"), Share, 2),
            column("int8 row dB", scheme("int8_channel"), Decibels, 0),
            column("fp8 row dB", scheme("fp8_e4m3_channel"), Decibels, 4),
            column("int4 g128 dB", scheme("int4_g128"), Decibels, 1),
            column("nf4 dB", scheme("nf4_b64"), Decibels, 3),
            column("q4_0 dB", scheme("gguf_q4_0"), Decibels, 1),
        ],
        order: lowest(scheme("int8_channel"), "lowest SQNR with one int8 scale a row"),
        rows: Rows::Matrices,
    },
    Known {
        analyzer: "compare",
        columns: &[
            column("relative L2", metric("relative_l2"), Number, 0),
            column("cosine", metric("cosine_similarity"), Number, 1),
            column("changed", metric("changed_fraction"), Share, 1),
            column("times rounding", metric("above_floor"), Number, 2),
            column("sign flips", metric("sign_flip_fraction"), Share, 4),
            column("largest change", metric("max_abs_difference"), Number, 4),
            column("rank of change", metric("delta_rank_above_rounding"), Number, 0),
            column("90 % rank", metric("delta_energy_rank_90"), Number, 1),
            column("stable rank", metric("delta_stable_rank"), Number, 3),
        ],
        order: largest(metric("relative_l2"), "relative L2"),
        rows: Rows::Changed(&[metric("changed_fraction"), metric("relative_l2")]),
    },
    Known {
        analyzer: "lineage",
        columns: &[
            column("matched neurons", metric("matched_neurons"), Number, 1),
            column("correlation", metric("match_correlation"), Number, 0),
            column("p value", metric("match_p_value"), Number, 0),
        ],
        order: largest(metric("match_correlation"), "correlation"),
        rows: Rows::All,
    },
];

/// Most columns of an analyzer that is not in the list.
const GENERIC_COLUMNS: usize = 6;

impl Spec {
    /// The listed columns, or the first scalar metrics of `descriptor`, or else of the records themselves.
    pub(crate) fn of(analyzer: &str, descriptor: Option<&Descriptor>, report: &Report) -> Self {
        if let Some(known) = KNOWN.iter().find(|k| k.analyzer == analyzer) {
            return Self {
                columns: known.columns.to_vec(),
                order: Some(known.order.clone()),
                rows: known.rows,
            };
        }
        let declared = descriptor.map(|d| {
            d.metrics.iter().map(|m| (Cow::Borrowed(m.key), m.unit)).collect::<Vec<(Key, _)>>()
        });
        let metrics = declared.unwrap_or_else(|| {
            let first = report.weights.iter().find_map(|w| w.analyses.get(analyzer));
            first.into_iter().flat_map(|m| m.keys().map(|key| (key.clone(), ""))).collect()
        });
        let is_scalar = |key: &str| {
            let mut values = report.weights.iter().filter_map(|w| w.metric(analyzer, key));
            values.next().is_some_and(|v| v.as_f64().is_some() || v.as_bool().is_some())
        };
        let scalars = metrics.into_iter().filter(|(key, _)| is_scalar(key)).take(GENERIC_COLUMNS);
        let columns = scalars.zip(0..).map(|((key, unit), rank)| Column {
            title: generic_title(&key, unit).into(),
            pick: Pick::Metric(key),
            show: Number,
            rank,
        });
        Self { columns: columns.collect(), order: None, rows: Rows::All }
    }
}

pub(crate) fn generic_title(key: &str, unit: &str) -> String {
    let words = key.replace('_', " ");
    if unit.is_empty() { words } else { format!("{words} ({unit})") }
}
