//! Findings on the checkpoint as a whole: what is missing, misshapen or broken.

use std::collections::{BTreeMap, BTreeSet};

use weightscope_core::{
    ErrorScope, FileRecord, Finding, Kind, Report, ReportKind, Role, Severity, ShapeMismatch,
    Verdicts, WeightRecord, without_numbers,
};

use crate::pickles::TRICKS;

/// Faults of a shard that leave all of its tensors readable.
const HARMLESS: [&str; 4] = ["unlisted-shard", "duplicate-shard", "invalid-metadata", "changed"];

/// Missing tensors that get a finding each; the rest share one.
const LISTED: usize = 20;

pub(crate) fn judge(report: &Report, out: &mut Verdicts) {
    let broken = shards(report, out);
    // Tensors of a shard that is not there are missing for a reason that was just told.
    let mut told = if broken { BTreeSet::new() } else { missing(report, out) };
    towers(report, out);
    told.extend(empty(report, out));
    let slice = slice(report, &told, out);
    shapes(report, &told, slice, out);
    turned(report, out);
    unexpected(report, out);
    second_copy(report, out);
    wrapped(report, out);
    unread(report, out);
}

/// Empty tensors that are enough without full siblings.
const EMPTY: usize = 3;

/// Tensors without values where others have some; returns their names.
fn empty<'a>(report: &'a Report, out: &mut Verdicts) -> BTreeSet<&'a str> {
    let weights = || report.weights.iter().filter(|w| w.part.is_parameter());
    let is_empty = |w: &WeightRecord| !w.shape.is_empty() && w.elements() == 0;
    let full: BTreeSet<String> =
        weights().filter(|w| !is_empty(w)).map(|w| without_numbers(&w.name)).collect();
    let empty: Vec<&WeightRecord> = weights().filter(|w| is_empty(w)).collect();
    let with_siblings = empty.iter().any(|w| full.contains(&without_numbers(&w.name)));
    if full.is_empty() || !(with_siblings || empty.len() >= EMPTY) {
        return BTreeSet::new();
    }
    let shapes: BTreeSet<String> = empty.iter().map(|w| format!("{:?}", w.shape)).collect();
    let shape = match shapes.first() {
        Some(shape) if shapes.len() == 1 => format!(" (shape {shape})"),
        _ => String::new(),
    };
    let count = weights().count();
    let message = format!(
        "{} of {count} tensors are empty{shape} though others like them are not: a partitioned model (ZeRO-3, FSDP) was saved without gathering it",
        empty.len()
    );
    let names = empty.iter().map(|w| w.name.as_str());
    out.push(
        Finding::new("integrity.empty", Severity::Critical, None, message)
            .metric("empty", empty.len() as f64)
            .weights(names.clone())
            .advice("save it again with gathered weights (stage3_gather_16bit_weights_on_model_save, or zero_to_fp32.py on the optimizer's shards)"),
    );
    names.collect()
}

/// Files that are named in a sentence.
const NAMED: usize = 3;

/// Files with weights that were not looked at.
fn unread(report: &Report, out: &mut Verdicts) {
    let files: Vec<&FileRecord> = report.sources.iter().flat_map(|source| &source.unread).collect();
    if report.kind != ReportKind::Scan || files.is_empty() {
        return;
    }
    let bytes = files.iter().fold(0, |sum: u64, file| sum.saturating_add(file.bytes));
    let mut names: Vec<String> = files
        .iter()
        .take(NAMED)
        .map(|file| format!("{} ({})", file.name, size(file.bytes)))
        .collect();
    if files.len() > NAMED {
        names.push(format!("{} more", files.len() - NAMED));
    }
    let (noun, are) = if files.len() == 1 { ("file", "is") } else { ("files", "are") };
    let message = format!(
        "{} {noun} with weights {are} under this path and not read: {}",
        files.len(),
        names.join(", ")
    );
    out.push(
        Finding::new("integrity.unread-file", Severity::Info, None, message)
            .metric("bytes", bytes as f64)
            .advice("name the file or its folder to look at it"),
    );
}

/// `1.5 GB`.
fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB"] {
        if value < 1000.0 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.3} {unit}") }
}

/// Names that wrappers of training tools have changed, and what these left beside the weights.
fn wrapped(report: &Report, out: &mut Verdicts) {
    let Some(model) = report.models.first() else { return };
    // An adapter alone is saved under PEFT's names.
    let is_adapter = model.adapter_on_weights().is_none() && model.replaced.is_empty();
    let own = |name: &str| !(is_adapter && name == "base_model.model");
    let tools: Vec<&str> =
        model.wrappers.iter().filter(|w| own(&w.name)).map(|w| tool(&w.name)).collect();
    let mut tools: Vec<&str> = BTreeSet::from_iter(tools).into_iter().collect();
    if report.kind != ReportKind::Scan || tools.is_empty() {
        return;
    }
    tools.retain(|tool| !tool.is_empty());
    let words: Vec<&str> = model.wrappers.iter().map(|w| w.name.as_str()).collect();
    let mut parts = Vec::new();
    if let Some(adapter) = model.adapter_on_weights() {
        let [least, most] = adapter.ranks;
        let rank = if least == most { format!("{least}") } else { format!("{least} to {most}") };
        parts.push(format!(
            "{} modules carry an unmerged adapter of rank {rank} ({}), whose {} parameters are not counted among the model's",
            adapter.modules,
            adapter.targets.join(", "),
            adapter.parameters
        ));
    }
    if !model.replaced.is_empty() {
        let modules: BTreeSet<&str> = model
            .replaced
            .iter()
            .map(|name| name.split(".original_module").next().unwrap_or(name))
            .map(|name| name.strip_prefix("base_model.model.").unwrap_or(name))
            .collect();
        parts.push(format!(
            "{} trained apart (modules_to_save; the {} values of the original stand beside it)",
            match Vec::from_iter(modules).as_slice() {
                [one] => format!("{one} was"),
                many => format!("{} were", many.join(", ")),
            },
            model.replaced_parameters
        ));
    }
    parts.push(format!(
        "names carry what {} put into them ({}): plain loaders will not find them",
        tools.join(", "),
        words.join(", ")
    ));
    let advice = if model.adapter_on_weights().is_some() {
        "merge the adapter (merge_and_unload) and save that, or save the adapter alone (save_pretrained)"
    } else {
        "save the module inside of the wrapper, or strip these words from the names"
    };
    let tensors: u64 = model.wrappers.iter().map(|w| w.tensors).max().unwrap_or(0);
    out.push(
        Finding::new("integrity.wrapped", Severity::Info, None, parts.join("; "))
            .metric("tensors", tensors as f64)
            .advice(advice),
    );
}

/// The tool that a wrapper is of.
fn tool(wrapper: &str) -> &'static str {
    match wrapper {
        "_orig_mod" => "torch.compile",
        "module" => "data-parallel training",
        "_fsdp_wrapped_module" | "_fpw_module" => "fully sharded training (FSDP)",
        "_checkpoint_wrapped_module" => "activation checkpointing",
        "_forward_module" => "Lightning Fabric",
        "base_model.model" | "base_layer" | "modules_to_save" | "original_module" => "PEFT",
        _ => "",
    }
}

/// Fewest matrices that tell a slice.
const SLICED: usize = 2;
/// Ranks that share a model at most.
const RANKS: u64 = 128;

/// Matrices that are all the same part of what config.json implies; whether they are the reason for every shape.
fn slice(report: &Report, told: &BTreeSet<&str>, out: &mut Verdicts) -> bool {
    let part = |m: &ShapeMismatch| {
        let mut ratio = None;
        if m.shape.len() != m.expected.len() || m.shape.len() < 2 {
            return None;
        }
        for (is, should) in m.shape.iter().zip(&m.expected).filter(|(is, should)| is != should) {
            let whole = *is > 0 && should % is == 0;
            if !whole || ratio.is_some() {
                return None;
            }
            ratio = Some(should / is);
        }
        ratio.filter(|ratio| (2..=RANKS).contains(ratio))
    };
    let mismatches: Vec<&ShapeMismatch> = report
        .models
        .iter()
        .flat_map(|m| &m.misshapen)
        .filter(|m| !told.contains(m.name.as_str()))
        .collect();
    let parts: Vec<(&str, u64)> =
        mismatches.iter().filter_map(|m| Some((m.name.as_str(), part(m)?))).collect();
    let matrices = mismatches.iter().filter(|m| m.shape.len() >= 2).count();
    let Some((_, ranks)) = parts.first().copied() else { return false };
    let same = parts.iter().all(|(_, other)| *other == ranks);
    if !same || parts.len() < SLICED || parts.len() != matrices || is_whole(report, &parts) {
        return false;
    }
    let message = format!(
        "{} matrices are exactly 1/{ranks} of what config.json says along one axis: one rank of {ranks} of a tensor-parallel model, saved alone",
        parts.len()
    );
    out.push(
        Finding::new("integrity.slice", Severity::Critical, None, message)
            .metric("ranks", ranks as f64)
            .weights(mismatches.iter().map(|m| m.name.as_str()))
            .advice("join the files of all ranks before use"),
    );
    true
}

/// Whether some of what tensor parallelism cuts in every rank has the shape that config.json implies.
fn is_whole(report: &Report, parts: &[(&str, u64)]) -> bool {
    let cut = |role| {
        matches!(
            role,
            Role::AttentionQ
                | Role::AttentionQkv
                | Role::AttentionO
                | Role::MlpGate
                | Role::MlpUp
                | Role::MlpGateUp
                | Role::MlpDown
        )
    };
    let sliced: BTreeSet<&str> = parts.iter().map(|(name, _)| *name).collect();
    report.weights.iter().any(|w| {
        cut(w.role) && w.kind() == Kind::Matrix && !sliced.contains(w.source_tensor.as_str())
    })
}

/// Towers that config.json declares and of which there is no tensor.
fn towers(report: &Report, out: &mut Verdicts) {
    for tower in report.models.iter().flat_map(|m| &m.missing_towers) {
        let message = format!("config.json has a {tower}, and there is no tensor of it");
        out.push(
            Finding::new("integrity.missing-tower", Severity::Critical, None, message)
                .metric("missing", 1.0)
                .advice("download or export the checkpoint again, or use the configuration of the part that is there"),
        );
    }
}

/// Words of a name that stand for an average over training steps.
const AVERAGES: [&str; 6] =
    ["ema", "model_ema", "ema_model", "state_dict_ema", "shadow_params", "averaged"];

/// A second copy of the model inside, such as its running average.
fn second_copy(report: &Report, out: &mut Verdicts) {
    if report.kind == ReportKind::Compare {
        return;
    }
    let average =
        |name: &str| name.split('.').find(|word| AVERAGES.contains(word)).map(str::to_owned);
    // The rest of a name, however the model itself is called in it.
    let rest = |name: &str| {
        let own = ["model", "module", "net", "state_dict"];
        let words = name.split('.').filter(|word| !AVERAGES.contains(word));
        words.skip_while(|word| own.contains(word)).collect::<Vec<_>>().join(".")
    };
    let weights = || report.weights.iter().filter(|w| w.part.is_parameter());
    let plain: BTreeSet<String> =
        weights().filter(|w| average(&w.name).is_none()).map(|w| rest(&w.name)).collect();
    let mut copies: BTreeMap<String, [u64; 3]> = BTreeMap::new();
    for weight in weights() {
        let Some(word) = average(&weight.name) else { continue };
        let [tensors, parameters, twins] = copies.entry(word).or_default();
        *tensors += 1;
        *parameters = parameters.saturating_add(weight.parameters);
        *twins += u64::from(plain.contains(&rest(&weight.name)));
    }
    for (word, [tensors, parameters, twins]) in copies {
        if twins * 2 < tensors {
            continue;
        }
        let message = format!(
            "{tensors} tensors under \"{word}\" ({parameters} parameters) are a second copy of the model, an average over training steps"
        );
        out.push(
            Finding::new("integrity.second-copy", Severity::Info, None, message)
                .metric("tensors", tensors as f64)
                .advice("look at one of the two alone with --include or --exclude"),
        );
    }
}

/// Broken shards and truncated files; whether any shard's tensors are absent because of it.
fn shards(report: &Report, out: &mut Verdicts) -> bool {
    let mut absent = false;
    for error in &report.errors {
        let (code, metric) = match (error.scope, &*error.code) {
            // Told with what its pickles would run.
            (_, code) if TRICKS.contains(&code) => continue,
            (_, "truncated") => ("integrity.truncated", "truncated"),
            (_, "stale-index") => ("integrity.stale-index", "index"),
            (ErrorScope::Shard, _) => ("integrity.shard", "shard"),
            _ => continue,
        };
        absent |= error.scope == ErrorScope::Shard && !HARMLESS.contains(&&*error.code);
        let advice = match &*error.code {
            "unlisted-shard" => "repair the index, or remove the file",
            "stale-index" => {
                "write the index of these files, or remove it: loaders that follow it find nothing"
            }
            _ => "download or export the file again",
        };
        // A truncated tensor is a weight; a shard is not.
        let weight = (error.scope == ErrorScope::Tensor).then_some(error.name.as_str());
        let message = if error.code == "stale-index" {
            format!("{}: {}", error.name, error.message)
        } else {
            error.message.clone()
        };
        let finding = Finding::new(code, Severity::Critical, weight, message);
        out.push(finding.metric(metric, 1.0).advice(advice));
    }
    absent
}

/// What is missing; returns the names of misshapen tensors that this explains.
fn missing<'a>(report: &'a Report, out: &mut Verdicts) -> BTreeSet<&'a str> {
    let advice =
        "download or export the checkpoint again; loaders would fill the gap with random values";
    let mut names: Vec<&str> =
        report.models.iter().flat_map(|m| &m.missing).map(String::as_str).collect();
    let unlisted =
        report.errors.iter().filter(|e| e.code == "missing-tensor").map(|e| e.name.as_str());
    for name in unlisted {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let routers = experts(report, &mut names, out);
    let listed = &names[..names.len().min(LISTED)];
    for name in listed {
        let message = format!("missing: {name}");
        out.push(
            Finding::new("integrity.missing", Severity::Critical, None, message)
                .metric("missing", 1.0)
                .advice(advice),
        );
    }
    let rest = names.len() - listed.len();
    if rest > 0 {
        let message = format!("missing: {rest} more");
        out.push(
            Finding::new("integrity.missing", Severity::Critical, None, message)
                .metric("missing", rest as f64)
                .advice(advice),
        );
    }
    routers
}

/// The number behind `experts` in a name.
fn expert_of(name: &str) -> Option<u64> {
    let mut words = name.split('.');
    words.find(|word| *word == "experts")?;
    words.next()?.parse().ok()
}

/// One finding for experts of which every block lacks everything, whose names are taken out; returns the routers whose
/// shapes say the same.
fn experts<'a>(report: &'a Report, names: &mut Vec<&str>, out: &mut Verdicts) -> BTreeSet<&'a str> {
    let found: BTreeSet<u64> = report
        .weights
        .iter()
        .filter(|w| w.part.is_parameter())
        .filter_map(|w| expert_of(&w.source_tensor))
        .collect();
    let absent: BTreeSet<u64> =
        names.iter().filter_map(|name| expert_of(name)).filter(|e| !found.contains(e)).collect();
    if found.is_empty() || absent.is_empty() {
        return BTreeSet::new();
    }
    let is_told = |name: &str| expert_of(name).is_some_and(|expert| absent.contains(&expert));
    let tensors = names.iter().filter(|name| is_told(name)).count();
    names.retain(|name| !is_told(name));
    let listed: Vec<String> = absent.iter().map(u64::to_string).collect();
    let which = match listed.as_slice() {
        [one] => format!("expert {one}"),
        [few @ .., last] => format!("experts {} and {last}", few.join(", ")),
        [] => return BTreeSet::new(),
    };
    let message = format!(
        "missing: {which} of every block ({tensors} tensors); config.json says {} experts, the files have {}",
        found.len() + absent.len(),
        found.len()
    );
    // Routers that are as wide as there are experts say that config.json is wrong, not the files.
    let fits = |m: &&ShapeMismatch| m.shape.first() == Some(&(found.len() as u64));
    let routers: BTreeSet<&str> = report
        .models
        .iter()
        .flat_map(|model| &model.misshapen)
        .filter(fits)
        .filter(|m| {
            report.weights.iter().any(|w| w.source_tensor == m.name && w.role == Role::Router)
        })
        .map(|m| m.name.as_str())
        .collect();
    let advice = if routers.is_empty() {
        "download or export the checkpoint again; loaders would fill the gap with random values"
    } else {
        "correct the number of experts in config.json: the routers choose among as many as the files have"
    };
    out.push(
        Finding::new("integrity.missing", Severity::Critical, None, message)
            .metric("missing", tensors as f64)
            .advice(advice),
    );
    routers
}

fn shapes(report: &Report, told: &BTreeSet<&str>, sliced: bool, out: &mut Verdicts) {
    if sliced {
        return;
    }
    let mismatches: Vec<&ShapeMismatch> = report
        .models
        .iter()
        .flat_map(|m| &m.misshapen)
        .filter(|m| !told.contains(m.name.as_str()))
        .collect();
    if vocabulary(report, &mismatches, out) || heads(report, &mismatches, out) {
        return;
    }
    for mismatch in mismatches {
        let message = format!(
            "its shape is {:?}, config.json implies {:?}",
            mismatch.shape, mismatch.expected
        );
        out.push(
            Finding::new("integrity.shape", Severity::Critical, Some(&mismatch.name), message)
                .metric("shape", f64::NAN)
                .advice("config.json or the tensor belongs to another model"),
        );
    }
}

/// Matrices that are stored the other way around than all their siblings.
fn turned(report: &Report, out: &mut Verdicts) {
    let mut groups: BTreeMap<String, Vec<&WeightRecord>> = BTreeMap::new();
    let is_judged = |w: &&WeightRecord| {
        w.kind() == Kind::Matrix && w.shape.len() == 2 && w.shape.first() != w.shape.last()
    };
    for weight in report.weights.iter().filter(is_judged) {
        groups.entry(without_numbers(&weight.name)).or_default().push(weight);
    }
    for members in groups.values() {
        let turned: Vec<&&WeightRecord> = members.iter().filter(|w| w.transposed).collect();
        let rest = members.len() - turned.len();
        let (odd, others) = if turned.len() * 2 < members.len() {
            (turned, rest)
        } else {
            (members.iter().filter(|w| !w.transposed).collect(), turned.len())
        };
        if others < SIBLINGS || odd.len() * 2 >= members.len() {
            continue;
        }
        for weight in odd {
            let mut usual = weight.shape.clone();
            usual.reverse();
            let message = format!(
                "it is stored as {:?}, and its {others} siblings as {usual:?}: it was transposed",
                weight.shape
            );
            out.push(
                Finding::new("integrity.shape", Severity::Critical, Some(&weight.name), message)
                    .metric("shape", f64::NAN)
                    .advice("transpose it back, or export it again: loaders refuse the shape"),
            );
        }
    }
}

/// Fewest siblings that tell which way around is right.
const SIBLINGS: usize = 2;

/// What the tensors of these mismatches do.
fn roles(report: &Report, mismatches: &[&ShapeMismatch]) -> Vec<Role> {
    let role = |m: &&ShapeMismatch| {
        report.weights.iter().find(|w| w.source_tensor == m.name).map_or(Role::Other, |w| w.role)
    };
    mismatches.iter().map(role).collect()
}

/// How many rows all of them have, and how many config.json implies, where nothing else differs.
fn same_rows(mismatches: &[&ShapeMismatch]) -> Option<[u64; 2]> {
    let rows = |m: &ShapeMismatch| {
        let (is, rest) = m.shape.split_first()?;
        let (should, expected) = m.expected.split_first()?;
        (rest == expected).then_some([*is, *should])
    };
    let first = rows(mismatches.first()?)?;
    mismatches.iter().all(|m| rows(m) == Some(first)).then_some(first)
}

/// One finding where tables of tokens alone have another number of rows, and the same one; whether it is that.
fn vocabulary(report: &Report, mismatches: &[&ShapeMismatch], out: &mut Verdicts) -> bool {
    let Some([is, should]) = same_rows(mismatches) else { return false };
    let roles = roles(report, mismatches);
    let is_table = |role: &Role| matches!(role, Role::TokenEmbedding | Role::Head);
    if !roles.contains(&Role::TokenEmbedding) || !roles.iter().all(is_table) {
        return false;
    }
    let (tables, have) = if mismatches.len() == 1 { ("table", "has") } else { ("tables", "have") };
    let message =
        format!("config.json's vocab_size is {should}, the {tables} of tokens {have} {is} rows");
    out.push(
        Finding::new("integrity.shape", Severity::Critical, None, message)
            .metric("shape", f64::NAN)
            .weights(mismatches.iter().map(|m| m.name.as_str()))
            .advice("set vocab_size to what the tables have (tokens were added or cut after config.json was written), and look whether the tokenizer agrees"),
    );
    true
}

/// `1 head`, `2 heads`.
fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// `block 3`, `blocks 3 and 4`, `blocks 3 to 6`.
pub(crate) fn blocks_in_words(first: u32, last: u32) -> String {
    match last.saturating_sub(first) {
        0 => format!("block {first}"),
        1 => format!("blocks {first} and {last}"),
        _ => format!("blocks {first} to {last}"),
    }
}

/// Narrower heads than this are no reading of a shape.
const HEAD: u64 = 8;

/// One finding where keys and values alone have another number of rows, and the same one; whether it is that.
fn heads(report: &Report, mismatches: &[&ShapeMismatch], out: &mut Verdicts) -> bool {
    let Some([is, should]) = same_rows(mismatches) else { return false };
    let roles = roles(report, mismatches);
    if !roles.iter().all(|role| matches!(role, Role::AttentionK | Role::AttentionV)) {
        return false;
    }
    let [model] = report.models.as_slice() else { return false };
    let (Some(heads), Some(width)) = (model.heads, model.head_dim.filter(|width| *width > 0))
    else {
        return false;
    };
    let key_values = model.kv_heads.unwrap_or(should / width).max(1);
    let mut readings = Vec::new();
    if is > 0 && is % width == 0 {
        readings.push(format!("{} of {width}", counted(is / width, "key-value head")));
    }
    let narrower = is / key_values;
    if is % key_values == 0 && narrower >= HEAD && (heads * width) % narrower == 0 {
        readings.push(format!(
            "{} heads of {narrower} with {key_values} key-value heads",
            heads * width / narrower
        ));
    }
    if readings.is_empty() {
        return false;
    }
    let message = format!(
        "config.json says {heads} heads of {width} and {key_values} key-value heads ({should} rows); keys and values have {is} rows, which fits {}",
        readings.join(", or ")
    );
    out.push(
        Finding::new("integrity.shape", Severity::Critical, None, message)
            .metric("shape", f64::NAN)
            .weights(mismatches.iter().map(|m| m.name.as_str()))
            .advice("correct num_attention_heads or num_key_value_heads: the other matrices fit, so nothing is missing"),
    );
    true
}

/// Blocks of which everything is unexpected, with their tensors, where they are the last ones of a single tower:
/// first block beyond, and last.
fn beyond(report: &Report, unexpected: &BTreeSet<&str>) -> Option<(u32, u32, Vec<String>)> {
    let mut blocks: BTreeMap<u32, (bool, Vec<String>)> = BTreeMap::new();
    let in_blocks = report.weights.iter().filter(|w| w.part.is_parameter());
    for (weight, block) in in_blocks.filter_map(|w| Some((w, w.block?))) {
        let (all, names) = blocks.entry(block).or_insert((true, Vec::new()));
        *all &= unexpected.contains(weight.source_tensor.as_str());
        names.push(weight.source_tensor.clone());
    }
    let first =
        blocks.iter().rev().take_while(|(_, (all, _))| *all).map(|(block, _)| *block).last()?;
    let last = *blocks.keys().next_back()?;
    let kept = blocks.range(..first).all(|(_, (all, _))| !all);
    let names: Vec<String> =
        blocks.range(first..).flat_map(|(_, (_, names))| names.iter().cloned()).collect();
    (first > 0 && kept).then_some((first, last, names))
}

fn unexpected(report: &Report, out: &mut Verdicts) {
    for model in report.models.iter().filter(|m| !m.unexpected.is_empty()) {
        let mut names: Vec<&str> = model.unexpected.iter().map(String::as_str).collect();
        let all: BTreeSet<&str> = names.iter().copied().collect();
        // Towers have blocks of their own, which config.json counts apart.
        if model.towers.len() < 2
            && let Some((first, last, tensors)) = beyond(report, &all)
        {
            let which = blocks_in_words(first, last);
            let is = if first == last { "is" } else { "are" };
            let message = format!(
                "{which} ({} tensors) {is} beyond config.json's {first} blocks: loaders leave {} out",
                tensors.len(),
                if first == last { "it" } else { "them" }
            );
            out.push(
                Finding::new("integrity.unexpected", Severity::Warning, None, message)
                    .metric("unexpected", tensors.len() as f64)
                    .weights(tensors.iter().map(String::as_str))
                    .advice("correct num_hidden_layers if the blocks belong to the model"),
            );
            names.retain(|name| !tensors.iter().any(|other| other == name));
            if names.is_empty() {
                continue;
            }
        }
        let shown: Vec<&str> = names.iter().take(5).copied().collect();
        let count = names.len();
        let more = if count > shown.len() {
            format!(" and {} more", count - shown.len())
        } else {
            String::new()
        };
        let message = format!(
            "{count} tensors that the model of config.json does not have: {}{more}",
            shown.join(", ")
        );
        out.push(
            Finding::new("integrity.unexpected", Severity::Info, None, message)
                .metric("unexpected", count as f64)
                .advice("harmless when a loader ignores them; otherwise config.json names the wrong family"),
        );
    }
}
