//! Heads that repeat each other, heads that do nothing, and whether heads specialise with depth.

use weightscope_core::{
    Conclusion, DepthQuestion, Finding, Key, Kind, ReferenceKind, Report, Role, Severity, Value,
    Verdicts, WeightRecord,
};

use crate::{COPY_COSINE, DEAD_NORM, DUPLICATE_COSINE, ID};

const SPECIALISATION: DepthQuestion = DepthQuestion {
    code: "attention.specialisation",
    analyzer: ID,
    metric: "head_dissimilarity",
    grows: "heads grow less alike with depth",
    falls: "heads grow more alike with depth",
    neither: "heads are about as alike at every depth",
};

/// Most heads or pairs that a message names.
const NAMED: usize = 4;

pub(crate) fn judge(report: &Report, out: &mut Verdicts) {
    for weight in &report.weights {
        if weight.kind() == Kind::Matrix && weight.is_statistical() {
            duplicates(report, weight, out);
            dead(report, weight, out);
        }
    }
    for role in [Role::AttentionQ, Role::AttentionQUp, Role::AttentionQkv] {
        SPECIALISATION.answer(report, role, out);
    }
    unknown(report, out);
}

/// Says so when no projection could be cut into heads: without sizes nothing else would be said of them.
fn unknown(report: &Report, out: &mut Verdicts) {
    let mut queries = report.weights.iter().filter(|w| {
        matches!(w.role, Role::AttentionQ | Role::AttentionQUp | Role::AttentionQkv)
            && w.kind() == Kind::Matrix
    });
    if queries.clone().next().is_some() && queries.all(|w| w.heads.is_none()) {
        out.conclude(Conclusion {
            code: Key::Borrowed("attention.unknown-heads"),
            analyzer: Key::Borrowed(ID),
            scope: "model".to_owned(),
            message: "attention heads are not measured: there is no config.json that says how many there are, or it does not fit the shapes".to_owned(),
            evidence: Vec::new(),
            nothing: false,
        });
    }
}

/// Two heads of one part whose slices have at least this cosine, as part, heads and cosine.
pub(crate) fn alike(
    part: &str,
    count: usize,
    line: f64,
    cosine: impl Fn(usize, usize) -> Option<f64>,
) -> Vec<(&str, [usize; 2], f64)> {
    let pairs = (0..count).flat_map(|a| (a + 1..count).map(move |b| [a, b]));
    let above = |[a, b]: [usize; 2]| {
        let cosine = cosine(a, b).filter(|c| *c > line)?;
        Some((part, [a, b], cosine))
    };
    pairs.filter_map(above).collect()
}

/// Heads of one part with at most `line` of the median norm, with their norms and the median.
pub(crate) fn faint(norms: &[f64], line: f64) -> (Vec<(usize, f64)>, f64) {
    let median = weightscope_core::stats::median(norms).unwrap_or(0.0);
    let faint = norms.iter().copied().enumerate().filter(|(_, norm)| *norm <= line * median);
    (if median > 0.0 { faint.collect() } else { Vec::new() }, median)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

fn duplicates(report: &Report, weight: &WeightRecord, out: &mut Verdicts) {
    let line = report.settings.parameters.value(ID, &DUPLICATE_COSINE);
    let mut pairs = Vec::new();
    for similarity in weight.metric(ID, "head_similarity").map_or(&[][..], Value::items) {
        let rows = similarity.get("matrix").map_or(&[][..], Value::items);
        let cosine = |a: usize, b: usize| rows.get(a)?.items().get(b)?.as_f64();
        pairs.extend(alike(text(similarity, "part"), rows.len(), line, cosine));
    }
    let Some(largest) = pairs.iter().map(|(_, _, cosine)| *cosine).reduce(f64::max) else { return };
    let named: Vec<String> = pairs
        .iter()
        .take(NAMED)
        .map(|(part, [a, b], cosine)| format!("{part}{a} and {part}{b} ({cosine:.4})"))
        .collect();
    let is_copy = largest > report.settings.parameters.value(ID, &COPY_COSINE);
    let (severity, what, advice) = if is_copy {
        let advice = "one of each pair can go (or the model was widened by copying heads)";
        (Severity::Warning, "copies of each other", advice)
    } else {
        let advice = "nothing by itself: weight decay makes heads of small models alike, and so do copies that were trained on";
        (Severity::Info, "nearly the same", advice)
    };
    let message = format!(
        "{} of heads are {what}: {}{}",
        counted(pairs.len(), "pair"),
        named.join(", "),
        if pairs.len() > NAMED { ", .." } else { "" }
    );
    out.push(
        Finding::new("attention.duplicate-heads", severity, Some(&weight.name), message)
            .metric("duplicate_heads", largest)
            .threshold(line)
            .reference(ReferenceKind::Gaussian, 0.0)
            .advice(advice),
    );
}

fn dead(report: &Report, weight: &WeightRecord, out: &mut Verdicts) {
    let line = report.settings.parameters.value(ID, &DEAD_NORM);
    let heads = weight.metric(ID, "heads").map_or(&[][..], Value::items);
    let mut named = Vec::new();
    let mut least: Option<(f64, f64)> = None;
    for part in ["q", "k", "v"] {
        let of_part = heads.iter().filter(|head| text(head, "part") == part);
        let norms: Vec<f64> =
            of_part.filter_map(|head| head.get("norm").and_then(Value::as_f64)).collect();
        let (faint, median) = faint(&norms, line);
        for (head, norm) in faint {
            named.push(format!("{part}{head}"));
            if least.is_none_or(|(smallest, _)| norm < smallest) {
                least = Some((norm, median));
            }
        }
    }
    let Some((norm, median)) = least else { return };
    let shown = named.get(..NAMED).unwrap_or(&named).join(", ");
    let more = if named.len() > NAMED { ", .." } else { "" };
    let message = format!(
        "{} with a norm of at most {line} of the median: {shown}{more}",
        counted(named.len(), "head"),
    );
    out.push(
        Finding::new("attention.dead-heads", Severity::Warning, Some(&weight.name), message)
            .metric("dead_heads", norm)
            .threshold(line * median)
            .reference(ReferenceKind::Siblings, median)
            .advice("prune the head, or find out why training left it"),
    );
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
