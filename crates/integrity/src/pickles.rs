//! Findings on what a checkpoint would run in a program that unpickles it.

use std::collections::{BTreeMap, BTreeSet};

use weightscope_core::{Danger, Finding, GlobalRecord, Report, Severity, Verdicts};

/// Signs that a file shows one thing to a scanner and another to a loader.
pub(crate) const TRICKS: [&str; 4] =
    ["crc-mismatch", "flagged-member", "second-pickle", "nested-archive"];

/// So many names are told, and so many characters of each.
const NAMED: usize = 8;
const SHOWN: usize = 100;

const CODE: &str = "integrity.unsafe-pickle";

pub(crate) fn judge(report: &Report, out: &mut Verdicts) {
    for danger in [Danger::Runs, Danger::Unknown, Danger::Inert] {
        let globals: Vec<&GlobalRecord> = report
            .sources
            .iter()
            .flat_map(|source| &source.globals)
            .filter(|global| global.danger == danger)
            .collect();
        if !globals.is_empty() {
            out.push(finding(danger, &globals));
        }
    }
    for error in report.errors.iter().filter(|error| TRICKS.contains(&&*error.code)) {
        let message = format!("{}: {}", escaped(&error.name), error.message);
        out.push(
            Finding::new(CODE, Severity::Critical, None, message)
                .metric("tricks", 1.0)
                .advice("do not load it: files of torch.save are never like this; get the weights as safetensors, from their author"),
        );
    }
}

fn finding(danger: Danger, globals: &[&GlobalRecord]) -> Finding {
    let mut names: BTreeMap<String, (u64, BTreeSet<String>)> = BTreeMap::new();
    for global in globals {
        let name = escaped(&format!("{}.{}", global.module, global.name));
        let (count, places) = names.entry(name).or_default();
        *count = count.saturating_add(global.count);
        places.insert(format!("{} ({})", escaped(&global.file), escaped(&global.place)));
    }
    let places: BTreeSet<&String> = names.values().flat_map(|(_, places)| places).collect();
    let place = match places.first() {
        Some(place) if places.len() == 1 => (*place).clone(),
        _ => format!("{} pickles", places.len()),
    };
    let mut shown: Vec<String> = names.keys().take(NAMED).cloned().collect();
    let more = names.len().saturating_sub(NAMED);
    if more > 0 {
        shown.push(format!("{more} more"));
    }
    let shown = shown.join(", ");
    let (severity, message, advice) = match danger {
        Danger::Runs => (
            Severity::Critical,
            format!(
                "{place} would import {shown} when it is loaded, which can run any program; nothing of it was run here"
            ),
            "do not load it; if you must, with torch.load(..., weights_only=True), which refuses this; ask its author for safetensors",
        ),
        Danger::Unknown => (
            Severity::Warning,
            format!(
                "{place} would import {shown} when it is loaded, and what that runs is not known; nothing of it was run here"
            ),
            "load it with torch.load(..., weights_only=True), or use the weights as safetensors; allow these names only if you know them",
        ),
        Danger::Inert => (
            Severity::Info,
            format!(
                "{place} holds values of {shown} beside its tensors; they do nothing but hold data, and were not made here"
            ),
            "torch.load(..., weights_only=True) refuses them until they are allowed by torch.serialization.add_safe_globals",
        ),
    };
    Finding::new(CODE, severity, None, message).metric("names", names.len() as f64).advice(advice)
}

/// A name of a file or of Python as it is fit for a message.
fn escaped(name: &str) -> String {
    let mut text: String = name.chars().take(SHOWN).collect::<String>().escape_debug().to_string();
    if name.chars().nth(SHOWN).is_some() {
        text.push('…');
    }
    text
}
