//! Tensors that occur twice.

use std::collections::BTreeMap;

use weightscope_core::stats::Sketch;
use weightscope_core::{
    Finding, Kind, Parameters, Part, ReferenceKind, Report, Role, Severity, Value, Verdicts,
    WeightRecord,
};

use crate::structure::blocks_in_words;
use crate::values::is_constant;
use crate::{COPY_COSINE, ID};

/// Fewest matrices of a block that is told as a whole.
const FEWEST: usize = 3;

/// Matrices of one role and shape that are compared with each other at most; beyond, only neighbours in
/// depth with the same expert number are, so that thousands of experts stay linear.
const ALL_PAIRS: usize = 1024;

pub(crate) fn judge(report: &Report, out: &mut Verdicts) {
    let candidates: Vec<&WeightRecord> =
        report.weights.iter().filter(|w| is_candidate(w)).collect();
    let same = same_bytes(report, &candidates, out);
    tied_mismatch(report, out);
    similar(report, &same, out);
}

fn is_candidate(weight: &WeightRecord) -> bool {
    matches!(weight.kind(), Kind::Matrix | Kind::Embedding | Kind::Head) && !is_constant(weight)
}

fn hash(weight: &WeightRecord) -> Option<&str> {
    weight.metric(ID, "content_hash")?.as_str()
}

/// Reports equal bytes; returns for each such weight that it is told.
fn same_bytes<'a>(
    report: &Report,
    candidates: &[&'a WeightRecord],
    out: &mut Verdicts,
) -> Vec<&'a str> {
    let mut by_content: BTreeMap<_, Vec<&WeightRecord>> = BTreeMap::new();
    for weight in candidates {
        if let Some(hash) = hash(weight) {
            by_content.entry((hash, &weight.dtype, weight.elements())).or_default().push(weight);
        }
    }
    let mut told = Vec::new();
    let mut pairs: Vec<(&'a WeightRecord, &'a WeightRecord)> = Vec::new();
    for members in by_content.values() {
        let Some((original, copies)) = members.split_first() else { continue };
        let copies = copies.iter().filter(|copy| !is_tied(report, original, copy));
        pairs.extend(copies.map(|copy| (*copy, *original)));
    }
    for (copies, originals, names) in whole_blocks(candidates, &pairs) {
        let message =
            format!("{copies} of {originals}: all {} matrices have the same bytes", names.len());
        out.push(
            Finding::new("integrity.duplicate", Severity::Warning, None, message)
                .metric("content_hash", f64::NAN)
                .reference(ReferenceKind::Siblings, f64::NAN)
                .weights(names.iter().copied())
                .advice("blocks were copied: merged or upscaled models do this on purpose, training does not"),
        );
        told.extend(names);
    }
    for (copy, original) in pairs {
        if !told.contains(&copy.name.as_str()) {
            let message = format!("its bytes are those of {}", original.name);
            out.push(
                Finding::new("integrity.duplicate", Severity::Warning, Some(&copy.name), message)
                    .metric("content_hash", f64::NAN)
                    .reference(ReferenceKind::Siblings, f64::NAN)
                    .advice("a tensor was copied: merged or upscaled models do this on purpose, training does not"),
            );
            told.push(copy.name.as_str());
        }
    }
    told
}

/// Runs of blocks all of whose matrices are those of an earlier block, in words, with the blocks they are copies of and
/// the names of the copies.
fn whole_blocks<'a>(
    candidates: &[&'a WeightRecord],
    pairs: &[(&'a WeightRecord, &'a WeightRecord)],
) -> Vec<(String, String, Vec<&'a str>)> {
    let mut sizes: BTreeMap<_, usize> = BTreeMap::new();
    for weight in candidates {
        *sizes.entry((weight.stack, weight.block)).or_default() += 1;
    }
    let mut copies: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for (copy, original) in pairs {
        if let (Some(to), Some(from)) = (copy.block, original.block)
            && (copy.stack, copy.role) == (original.stack, original.role)
        {
            copies.entry((copy.stack, to, from)).or_default().push(copy.name.as_str());
        }
    }
    let mut runs: Vec<(Option<_>, [u32; 2], u32, Vec<&str>)> = Vec::new();
    for ((stack, to, from), names) in copies {
        if names.len() < FEWEST || sizes.get(&(stack, Some(to))) != Some(&names.len()) {
            continue;
        }
        match runs.last_mut() {
            // The next block is a copy of the next one.
            Some((tower, [first, last], origin, all))
                if *tower == stack
                    && last.checked_add(1) == Some(to)
                    && from.checked_sub(*origin) == to.checked_sub(*first) =>
            {
                *last = to;
                all.extend(names);
            }
            _ => runs.push((stack, [to, to], from, names)),
        }
    }
    let told = |(_, [first, last], from, names): (_, [u32; 2], u32, _)| {
        let are = if first == last { "is a copy" } else { "are copies" };
        let end = from.saturating_add(last.saturating_sub(first));
        (format!("{} {are}", blocks_in_words(first, last)), blocks_in_words(from, end), names)
    };
    runs.into_iter().map(told).collect()
}

/// A head and a token embedding that are one parameter: said by config.json or the family, or not denied by
/// either; where they deny it, the finding is `tied-mismatch`.
fn is_tied(report: &Report, a: &WeightRecord, b: &WeightRecord) -> bool {
    let listed = report.models.iter().flat_map(|m| &m.tied).any(|(x, y)| {
        let names = [a.source_tensor.as_str(), b.source_tensor.as_str()];
        names == [x.as_str(), y.as_str()] || names == [y.as_str(), x.as_str()]
    });
    let roles = [a.role, b.role];
    listed
        || (roles.contains(&Role::Head) && roles.contains(&Role::TokenEmbedding))
        || roles == [Role::TokenEmbedding; 2]
}

fn tied_mismatch(report: &Report, out: &mut Verdicts) {
    let find = |name: &str| report.weights.iter().find(|w| w.name == name);
    for model in &report.models {
        for (copy, original) in &model.tied {
            let (Some(copy), Some(original)) = (find(copy), find(original)) else { continue };
            if let (Some(a), Some(b)) = (hash(copy), hash(original))
                && (a, &copy.dtype) != (b, &original.dtype)
            {
                let message = format!(
                    "tied to {} by the configuration, but their values differ",
                    original.name
                );
                out.push(mismatch(copy, message));
            }
        }
        if model.tie_word_embeddings != Some(false) {
            continue;
        }
        let of = |role| {
            report
                .weights
                .iter()
                .filter(move |w| w.role == role && w.part == Part::Weight && w.matrix.is_some())
        };
        for head in of(Role::Head).filter(|w| !is_constant(w)) {
            if let Some(embedding) = of(Role::TokenEmbedding)
                .find(|e| e.shape == head.shape && hash(e).is_some() && hash(e) == hash(head))
            {
                let message = format!(
                    "the configuration unties it from {}, but their bytes are the same",
                    embedding.name
                );
                out.push(mismatch(head, message));
            }
        }
    }
}

fn mismatch(weight: &WeightRecord, message: String) -> Finding {
    Finding::new("integrity.tied-mismatch", Severity::Warning, Some(&weight.name), message)
        .metric("content_hash", f64::NAN)
        .advice("a loader that ties them drops one of the two: correct tie_word_embeddings or the export")
}

/// Near-copies: the same role in two blocks, by the exact cosine of what the sketches found.
fn similar(report: &Report, told: &[&str], out: &mut Verdicts) {
    let line = report.settings.parameters.value(ID, &COPY_COSINE);
    for weight in report.weights.iter().filter(|w| !told.contains(&w.name.as_str())) {
        let Some(closest) = weight.metric(ID, "closest") else { continue };
        let other = closest.get("weight").and_then(Value::as_str);
        let cosine = closest.get("cosine").and_then(Value::as_f64);
        let Some((other, cosine)) = other.zip(cosine.filter(|cosine| cosine.abs() > line)) else {
            continue;
        };
        let message = format!("its cosine with {other} is {cosine:.4} (independent matrices: 0)");
        out.push(
            Finding::new("integrity.duplicate", Severity::Warning, Some(&weight.name), message)
                .metric("closest", cosine)
                .threshold(line)
                .reference(ReferenceKind::Siblings, 0.7)
                .advice("a block was copied and trained on little: merged or upscaled models do this on purpose"),
        );
    }
}

/// Weights with the earlier one of the same role in another block whose sketch is most like theirs, where the
/// cosine of the two sketches is beyond the line.
pub(crate) fn alike<'a>(
    weights: &[&'a WeightRecord],
    parameters: &Parameters,
) -> Vec<(&'a WeightRecord, &'a WeightRecord, f64)> {
    let line = parameters.value(ID, &COPY_COSINE);
    let mut groups: BTreeMap<_, Vec<(&WeightRecord, Sketch)>> = BTreeMap::new();
    let candidates = weights.iter().copied().filter(|w| is_candidate(w));
    for weight in candidates.filter(|w| w.block.is_some() && w.is_statistical()) {
        let sketch = weight.metric(ID, "sketch").and_then(|v| Sketch::from_hex(v.as_str()?));
        if let Some(sketch) = sketch {
            let group = (weight.role, weight.stack, weight.part, &weight.shape, weight.transposed);
            groups.entry(group).or_default().push((weight, sketch));
        }
    }
    let mut pairs = Vec::new();
    for members in groups.values() {
        let comparable =
            |a: &WeightRecord, b: &WeightRecord| members.len() <= ALL_PAIRS || a.expert == b.expert;
        for (index, (weight, sketch)) in members.iter().enumerate() {
            let earlier = members[..index]
                .iter()
                .filter(|(other, _)| other.block != weight.block && comparable(other, weight));
            let closest = earlier
                .filter_map(|(other, s)| Some((*other, sketch.cosine(s)?)))
                .max_by(|(_, a), (_, b)| a.abs().total_cmp(&b.abs()));
            pairs.extend(
                closest
                    .filter(|(other, cosine)| {
                        // The same bytes need no second look.
                        cosine.abs() > line && hash(other) != hash(weight)
                    })
                    .map(|(other, cosine)| (*weight, other, cosine)),
            );
        }
    }
    pairs
}
