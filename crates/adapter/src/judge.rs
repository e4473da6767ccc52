//! What was never trained, and what the configuration says otherwise.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use weightscope_core::{
    AdapterRecord, Conclusion, Evidence, Finding, Key, Report, Severity, Value, Verdicts,
    WeightRecord,
};

use crate::ID;

/// Names of one message.
const NAMED: usize = 4;

pub(crate) fn judge(report: &Report, out: &mut Verdicts) {
    let is_product = |w: &&WeightRecord| w.metric(ID, "module").is_some();
    let products: Vec<&WeightRecord> = report.weights.iter().filter(is_product).collect();
    untrained(&products, out);
    ranks(&products, out);
    let adapter = report.models.first().and_then(|model| model.adapter.as_ref());
    // Where nothing was looked at, nothing is said.
    let Some(adapter) = adapter.filter(|_| report.weights.iter().any(|w| !w.analyses.is_empty()))
    else {
        return;
    };
    contradictions(adapter, out);
    magnitudes(adapter, out);
}

/// The module's name as it is told.
pub(crate) fn module(record: &WeightRecord) -> Option<&str> {
    record.metric(ID, "module").and_then(Value::as_str)
}

/// What modules of this kind are called, as `q_proj`.
pub(crate) fn target(record: &WeightRecord) -> Option<&str> {
    last_word(module(record)?)
}

/// `q_proj (second)` of `layers.0.q_proj (second)`; an adapter's own name may have dots.
pub(crate) fn last_word(module: &str) -> Option<&str> {
    let end = module.find(" (").unwrap_or(module.len());
    let start = module.get(..end)?.rfind('.').map_or(0, |dot| dot + 1);
    module.get(start..)
}

/// `modules` where there are several.
fn modules(count: usize) -> &'static str {
    if count == 1 { "module" } else { "modules" }
}

fn untrained(products: &[&WeightRecord], out: &mut Verdicts) {
    let measured: Vec<&WeightRecord> =
        products.iter().copied().filter(|w| w.number(ID, "frobenius_norm").is_some()).collect();
    let is_zero = |w: &&WeightRecord| w.number(ID, "frobenius_norm") == Some(0.0);
    let zero: Vec<&WeightRecord> = measured.iter().copied().filter(is_zero).collect();
    if zero.is_empty() {
        return;
    }
    let all_of = |metric| zero.iter().all(|w| w.number(ID, metric) == Some(0.0));
    let (which, is_start) = match (all_of("b_norm"), all_of("a_norm")) {
        (true, true) => ("A and B are zero", false),
        (true, false) => ("B is zero", true),
        (false, true) => ("A is zero", false),
        (false, false) => ("A or B is zero", false),
    };
    let names = zero.iter().map(|w| if is_start { factor_b(&w.name) } else { w.name.clone() });
    let count = zero.len();
    let finding = if count == measured.len() {
        let message = format!(
            "{which} in all {count} {}: the adapter adds nothing{}",
            modules(count),
            if is_start { ", as when its training begins" } else { "" }
        );
        let advice = if is_start { "nothing to do before training" } else { "train it again" };
        Finding::new("adapter.untrained", Severity::Info, None, message).advice(advice)
    } else {
        let places = places(&zero, &measured);
        let these = if count == 1 { "this module was" } else { "these modules were" };
        let message = format!("{places} the adapter adds nothing ({which}): {these} not trained");
        Finding::new("adapter.untrained", Severity::Warning, None, message)
            .advice("check which modules the optimiser was given, or leave them out of the adapter")
    };
    out.push(finding.metric("frobenius_norm", 0.0).threshold(0.0).weights(names));
}

/// The name of the other factor.
fn factor_b(name: &str) -> String {
    let pairs =
        [("lora_embedding_A", "lora_embedding_B"), ("lora_A", "lora_B"), ("lora_a", "lora_b")];
    let found = pairs.iter().find_map(|(a, b)| name.rfind(a).map(|at| (at, a.len(), b)));
    found.map_or_else(
        || name.to_owned(),
        |(at, length, b)| {
            let (before, rest) = name.split_at(at);
            format!("{before}{b}{}", rest.get(length..).unwrap_or_default())
        },
    )
}

/// Where some of all products are: `in blocks 5 to 7`, `in q_proj of blocks 1 and 3`, `in lm_head`.
fn places(some: &[&WeightRecord], all: &[&WeightRecord]) -> String {
    let blocks_of = |records: &[&WeightRecord]| {
        let mut found: IndexMap<String, BTreeSet<Option<u32>>> = IndexMap::new();
        for record in records {
            if let Some(target) = target(record) {
                found.entry(target.to_owned()).or_default().insert(record.block);
            }
        }
        found
    };
    let found = blocks_of(some);
    let blocks: BTreeSet<Option<u32>> = found.values().flatten().copied().collect();
    let is_whole = !blocks.contains(&None)
        && all.iter().filter(|w| blocks.contains(&w.block)).count() == some.len();
    if is_whole {
        return format!("in {}", ranges(&blocks));
    }
    let mut groups: BTreeMap<BTreeSet<Option<u32>>, Vec<String>> = BTreeMap::new();
    for (target, blocks) in found {
        groups.entry(blocks).or_default().push(target);
    }
    let shown = groups.iter().take(NAMED).map(|(blocks, targets)| {
        let targets = targets.join(" and ");
        let blocks = ranges(blocks);
        if blocks.is_empty() {
            format!("in {targets}")
        } else {
            format!("in {targets} of {blocks}")
        }
    });
    let shown: Vec<String> = shown.collect();
    let more = groups.len().saturating_sub(NAMED);
    let more = if more > 0 { " and elsewhere" } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// `block 3`, `blocks 5 to 7`, `blocks 1, 3 and 5 to 7`; empty outside of blocks.
fn ranges(blocks: &BTreeSet<Option<u32>>) -> String {
    let mut runs: Vec<[u32; 2]> = Vec::new();
    for block in blocks.iter().flatten() {
        match runs.last_mut() {
            Some([_, last]) if last.checked_add(1) == Some(*block) => *last = *block,
            _ => runs.push([*block, *block]),
        }
    }
    let words: Vec<String> = runs
        .iter()
        .map(
            |[first, last]| {
                if first == last { format!("{first}") } else { format!("{first} to {last}") }
            },
        )
        .collect();
    let noun = if blocks.len() == 1 { "block" } else { "blocks" };
    match words.split_last() {
        None => String::new(),
        Some((only, [])) => format!("{noun} {only}"),
        Some((last, rest)) => format!("{noun} {} and {last}", rest.join(", ")),
    }
}

/// Modules whose tensors have another rank than the configuration says, one finding for each two ranks.
fn ranks(products: &[&WeightRecord], out: &mut Verdicts) {
    let mut groups: BTreeMap<[u64; 2], Vec<&WeightRecord>> = BTreeMap::new();
    for record in products {
        let rank = |metric| record.metric(ID, metric).and_then(Value::as_u64);
        if let (Some(is), Some(should)) = (rank("rank"), rank("configured_rank"))
            && is != should
        {
            groups.entry([should, is]).or_default().push(record);
        }
    }
    for ([should, is], members) in groups {
        let from = members.iter().find_map(|w| w.metric(ID, "scale_from").and_then(Value::as_str));
        let from = from.unwrap_or_default();
        let (formula, ratio) = match (from.starts_with("alpha"), from.contains("sqrt")) {
            (true, true) => ("alpha/sqrt(r)", (is as f64 / should as f64).sqrt()),
            (true, false) => ("alpha/r", is as f64 / should as f64),
            (false, _) => ("", 1.0),
        };
        let scale = if formula.is_empty() || should == 0 {
            String::new()
        } else {
            format!(", or the scale {formula} is {} what was trained", times(ratio))
        };
        let where_to = if members.len() == products.len() {
            "the tensors have".to_owned()
        } else {
            let targets: BTreeSet<&str> = members.iter().filter_map(|w| target(w)).collect();
            let targets: Vec<&str> = targets.into_iter().take(NAMED).collect();
            let count = members.len();
            let noun = modules(count);
            format!("the tensors of {count} {noun} ({}) have", targets.join(", "))
        };
        let source = if members.len() == products.len() { "r" } else { "rank" };
        let message = format!(
            "adapter_config.json says {source} = {should}, {where_to} {is}: loading fails{scale}"
        );
        out.push(
            Finding::new("adapter.rank-mismatch", Severity::Critical, None, message)
                .metric("rank", is as f64)
                .threshold(should as f64)
                .weights(members.iter().map(|w| w.name.as_str()))
                .advice("write the rank of the tensors into r (or rank_pattern)"),
        );
    }
}

/// `half of`, `twice`, `0.71 times`.
fn times(ratio: f64) -> String {
    if ratio == 0.5 {
        "half of".to_owned()
    } else if ratio == 2.0 {
        "twice".to_owned()
    } else {
        format!("{} times", (ratio * 1000.0).round() / 1000.0)
    }
}

fn contradictions(adapter: &AdapterRecord, out: &mut Verdicts) {
    for sentence in &adapter.contradictions {
        out.push(
            Finding::new("adapter.config", Severity::Warning, None, sentence.clone()).advice(
                "save the adapter again with save_pretrained, or correct adapter_config.json",
            ),
        );
    }
}

/// DoRA sets the length of every row of W + scale B A; without W there is only the product.
fn magnitudes(adapter: &AdapterRecord, out: &mut Verdicts) {
    if adapter.magnitudes == 0 {
        return;
    }
    let count = adapter.magnitudes;
    let have =
        if count == 1 { "module has a magnitude vector" } else { "modules have magnitude vectors" };
    out.conclude(Conclusion {
        code: Key::Borrowed("adapter.magnitudes"),
        analyzer: Key::Borrowed(ID),
        scope: "model".to_owned(),
        message: format!(
            "{count} {have} (DoRA, arXiv 2402.09353), which set the lengths of W + scale B A: what is measured is the product B A alone, since W is the base model's"
        ),
        evidence: vec![Evidence {
            weight: None,
            metric: Key::Borrowed("magnitudes"),
            value: count as f64,
        }],
        nothing: false,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_in_words() {
        let check = |blocks: &[u32], expected: &str| {
            let blocks = blocks.iter().map(|block| Some(*block)).collect();
            assert_eq!(ranges(&blocks), expected);
        };
        check(&[3], "block 3");
        check(&[5, 6, 7], "blocks 5 to 7");
        check(&[1, 3], "blocks 1 and 3");
        check(&[0, 2, 5, 6, u32::MAX], "blocks 0, 2, 5 to 6 and 4294967295");
        assert_eq!(ranges(&BTreeSet::from([None])), "");
    }

    #[test]
    fn names_of_factors_and_modules() {
        assert_eq!(factor_b("lora_A.q.lora_A.weight"), "lora_A.q.lora_B.weight");
        assert_eq!(factor_b("wte.lora_embedding_A"), "wte.lora_embedding_B");
        assert_eq!(factor_b("blk.0.attn_q.weight.lora_a"), "blk.0.attn_q.weight.lora_b");
        assert_eq!(last_word("model.layers.0.q_proj"), Some("q_proj"));
        assert_eq!(last_word("layers.0.q_proj (v1.2)"), Some("q_proj (v1.2)"));
        assert_eq!(last_word("lm_head"), Some("lm_head"));
        assert_eq!((times(0.5), times(2.0)), ("half of".to_owned(), "twice".to_owned()));
        assert_eq!(times(1.0 / 3.0), "0.333 times");
    }
}
