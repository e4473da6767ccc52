//! Findings on single tensors' values.

use std::collections::BTreeMap;

use weightscope_core::{
    Finding, Kind, Part, Report, Role, Severity, Value, Verdicts, WeightRecord,
};

use crate::factors::Factors;
use crate::{ID, init_like};

pub(crate) fn judge(report: &Report, out: &mut Verdicts) {
    for weight in &report.weights {
        non_finite(weight, out);
        zero_scale(weight, out);
        constant(weight, out);
    }
    all_zero(report, out);
}

/// Whether verdicts look at the values of this kind of tensor at all.
fn is_table(kind: Kind) -> bool {
    matches!(kind, Kind::Matrix | Kind::Embedding | Kind::Head | Kind::Position)
}

fn count(weight: &WeightRecord, metric: &str) -> f64 {
    weight.number(ID, metric).unwrap_or(0.0)
}

pub(crate) fn is_zero(weight: &WeightRecord) -> bool {
    let elements = weight.elements() as f64;
    elements > 0.0 && weight.number(ID, "zero_count") == Some(elements)
}

pub(crate) fn is_constant(weight: &WeightRecord) -> bool {
    weight.metric(ID, "constant").and_then(Value::as_bool) == Some(true)
}

fn non_finite(weight: &WeightRecord, out: &mut Verdicts) {
    let (nan, infinite) = (count(weight, "nan_count"), count(weight, "inf_count"));
    if nan + infinite == 0.0 {
        return;
    }
    let is_mask = nan == 0.0 && weight.part == Part::Buffer;
    let severity = if is_mask { Severity::Info } else { Severity::Critical };
    let (metric, value) = if nan > 0.0 { ("nan_count", nan) } else { ("inf_count", infinite) };
    let factors = Factors::of(weight).filter(|factors| factors.nan + factors.infinite > 0);
    let message = if is_mask {
        format!("{infinite} infinite values in a buffer, as masks have")
    } else if let Some(factors) = &factors {
        spoiled(weight, factors)
    } else {
        format!(
            "{nan} NaN and {infinite} infinite values of {}: everything computed from it is NaN or infinite",
            weight.elements()
        )
    };
    let advice = if is_mask {
        "nothing to do"
    } else if factors.is_some() {
        "export it again with factors clamped to what their type holds; the weights it was made from may be sound"
    } else {
        "do not use the checkpoint: go back to the last one before the values broke"
    };
    out.push(
        finding("integrity.non-finite", severity, weight, message)
            .metric(metric, value)
            .threshold(0.0)
            .advice(advice),
    );
}

/// Which factors are not finite, and what they spoil.
fn spoiled(weight: &WeightRecord, factors: &Factors) -> String {
    let kinds = match (factors.nan, factors.infinite) {
        (n, 0) => format!("{n} of {} factors are NaN", factors.count),
        (0, n) => format!("{n} of {} factors are infinite", factors.count),
        (n, m) => format!("{n} of {} factors are NaN and {m} infinite", factors.count),
    };
    let block = weight.stored.as_ref().and_then(|stored| stored.factor_block);
    let size = block.map_or_else(String::new, |[high, wide]| format!(" of {} values", high * wide));
    format!(
        "{kinds}: the blocks{size} they scale ({}) decode to NaN or infinity, and so does everything computed from them",
        factors.spoiled
    )
}

fn zero_scale(weight: &WeightRecord, out: &mut Verdicts) {
    if let Some(factors) = Factors::of(weight).filter(|f| f.zero > 0 && f.zero < f.count) {
        let message = format!(
            "{} of {} factors are zero: the blocks they scale ({}) decode to zero",
            factors.zero, factors.count, factors.zeroed
        );
        out.push(
            finding("integrity.zero-scale", Severity::Warning, weight, message)
                .metric("factors", factors.zero as f64)
                .threshold(0.0)
                .advice("compare with the weights it was made from; export again if they are not zero there"),
        );
    }
    let zeros = count(weight, "zero_count");
    if weight.part == Part::Scale && zeros > 0.0 {
        let message = format!(
            "{zeros} of {} scales are zero: the blocks they scale decode to zero",
            weight.elements()
        );
        out.push(
            finding("integrity.zero-scale", Severity::Warning, weight, message)
                .metric("zero_count", zeros)
                .threshold(0.0)
                .advice("quantise again; a block of zeros usually gets scale 1"),
        );
    }
}

fn constant(weight: &WeightRecord, out: &mut Verdicts) {
    if is_table(weight.kind()) && is_constant(weight) && !is_zero(weight) {
        let value = weight.number("distribution", "mean");
        let value = value.map_or_else(String::new, |v| format!(" {v}"));
        let message = format!("all {} values are the same number{value}", weight.elements());
        out.push(
            finding("integrity.constant", Severity::Warning, weight, message)
                .metric("constant", 1.0)
                .advice("reload it from its source, or check the conversion"),
        );
    }
}

/// Zero tables, judged against the same role elsewhere.
fn all_zero(report: &Report, out: &mut Verdicts) {
    let mut roles: BTreeMap<_, Vec<&WeightRecord>> = BTreeMap::new();
    for weight in report.weights.iter().filter(|w| is_table(w.kind()) && w.part == Part::Weight) {
        roles.entry((weight.role, weight.stack)).or_default().push(weight);
    }
    for members in roles.values().filter(|members| members.iter().any(|w| is_zero(w))) {
        // The only one of its tower has the other towers' for siblings.
        let mut siblings = members.clone();
        if let [lone] = members.as_slice() {
            let others = roles.values().flatten().filter(|w| w.role == lone.role);
            siblings = others.copied().collect();
        }
        let whole_role = siblings.len() >= 2 && siblings.iter().all(|w| is_zero(w));
        for weight in members.iter().filter(|w| is_zero(w)) {
            let (severity, meaning) = if !whole_role {
                (Severity::Critical, without(weight))
            } else if init_like::share_of_others(report, weight) > 0.9 {
                (
                    Severity::Info,
                    "like its whole role, in a model that is only initialised: a zero-initialised projection",
                )
            } else {
                (
                    Severity::Warning,
                    "like its whole role: an adapter or projection that was never trained",
                )
            };
            let message = format!("all {} values are zero, {meaning}", weight.elements());
            out.push(
                finding("integrity.all-zero", severity, weight, message)
                    .metric("zero_count", count(weight, "zero_count"))
                    .advice(if severity == Severity::Info {
                        "nothing to do before training"
                    } else {
                        "reload it from its source, or train it"
                    }),
            );
        }
    }
}

/// What follows from a table of zeros.
fn without(weight: &WeightRecord) -> &'static str {
    if weight.name.contains("relative_attention_bias") {
        return "attention does not know how far apart positions are";
    }
    match weight.role {
        Role::PositionEmbedding => "all positions look the same",
        Role::TypeEmbedding => "the types of tokens (first and second text, say) look the same",
        Role::TokenEmbedding => "all tokens look the same",
        Role::Head => "all answers are equally likely",
        Role::Router => "all experts are equally likely",
        Role::AttentionQ | Role::AttentionK | Role::AttentionQDown | Role::AttentionQUp => {
            "its attention looks at all positions alike"
        }
        Role::AttentionV | Role::AttentionO | Role::AttentionQkv => "its attention adds nothing",
        Role::MlpGate | Role::MlpUp | Role::MlpGateUp | Role::MlpDown => "its MLP adds nothing",
        _ => "what it computes from its input is nothing (or its bias alone)",
    }
}

fn finding(
    code: &'static str,
    severity: Severity,
    weight: &WeightRecord,
    message: String,
) -> Finding {
    Finding::new(code, severity, Some(&weight.name), message)
}
