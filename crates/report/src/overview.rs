//! What the renderers for people share: the sentences and groups that a report boils down to.

use std::cmp::Reverse;
use std::collections::HashSet;

use indexmap::{IndexMap, IndexSet};
use weightscope_core::{
    AdapterRecord, Conclusion, Danger, ErrorRecord, ErrorScope, Finding, ModelSummary, Report,
    ReportKind, Severity, SourceRecord, Status, StoredShare, Timings, WeightStatus,
};

use crate::names;
use crate::numbers::{bytes, grouped, plural, seconds, short};
use crate::scope::{self, is_word};

/// Name of the command in hints.
pub(crate) const COMMAND: &str = "ws-cli";

/// Findings that have code, severity and being known in common.
#[derive(Debug)]
pub(crate) struct FindingGroup<'a> {
    pub(crate) code: &'a str,
    pub(crate) severity: Severity,
    /// Whether the baseline has them already.
    pub(crate) known: bool,
    pub(crate) members: Vec<&'a Finding>,
    /// What to do, when it is the same for all.
    pub(crate) advice: Option<&'a str>,
    /// Whether they are facts, which come without advice: nothing is to be done, or something about their cause.
    is_fact: bool,
}

impl<'a> FindingGroup<'a> {
    /// Every weight that it is about, once.
    pub(crate) fn weights(&self) -> Vec<&str> {
        let own = self.members.iter().flat_map(|f| f.weight.iter().chain(&f.weights));
        own.map(String::as_str).collect::<IndexSet<_>>().into_iter().collect()
    }

    /// What to do about one of them where the group has no advice in common; may be empty.
    pub(crate) fn advice_on(&self, finding: &'a Finding) -> &'a str {
        if self.is_fact || self.advice.is_some() { "" } else { &finding.advice }
    }

    /// The same as facts.
    fn into_facts(self) -> Self {
        Self { advice: None, is_fact: true, ..self }
    }

    /// `12 weights`; of findings that are about no single one, `12 findings`.
    pub(crate) fn count(&self) -> String {
        let is_of_weights = self.members.iter().all(|f| f.weight.is_some());
        plural(self.members.len() as u64, if is_of_weights { "weight" } else { "finding" })
    }

    /// `explains 7 other findings`, when it does.
    pub(crate) fn explains(&self) -> Option<String> {
        let count: u64 = self.members.iter().map(|f| f.explains).sum();
        (count > 0).then(|| format!("explains {}", plural(count, "other finding")))
    }

    /// What follows from its findings, by code, worst first.
    pub(crate) fn consequences<'b>(&self, facts: &'b [Finding]) -> Vec<FindingGroup<'b>> {
        let own: HashSet<Option<&str>> =
            self.members.iter().map(|finding| finding.weight.as_deref()).collect();
        let follows = |fact: &&Finding| {
            let cause = fact.caused_by.as_ref();
            cause.is_some_and(|c| c.code == self.code && own.contains(&c.weight.as_deref()))
        };
        let groups = grouped_by_code(facts.iter().filter(follows));
        groups.into_iter().map(FindingGroup::into_facts).collect()
    }
}

/// Facts that follow from no finding of the report, by code.
pub(crate) fn free_facts(report: &Report) -> Vec<FindingGroup<'_>> {
    let causes: HashSet<(&str, Option<&str>)> =
        report.findings.iter().map(|f| (f.code.as_ref(), f.weight.as_deref())).collect();
    let is_free = |fact: &&Finding| {
        let cause = fact.caused_by.as_ref();
        !cause.is_some_and(|c| causes.contains(&(c.code.as_ref(), c.weight.as_deref())))
    };
    let groups = grouped_by_code(report.facts.iter().filter(is_free));
    groups.into_iter().map(FindingGroup::into_facts).collect()
}

/// A report in one sentence, and how bad it is.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// The worst severity; `None` without findings.
    pub(crate) severity: Option<Severity>,
    /// Whether it says that all is well.
    pub(crate) is_good: bool,
    /// Of findings: how many of each severity there are. Without them all there is to say.
    pub(crate) lead: String,
    /// What matters most; may be empty.
    pub(crate) matter: String,
}

/// The verdict on a report. A comparison is told by its first conclusion.
pub(crate) fn verdict(report: &Report) -> Verdict {
    let (counts, known) = severity_counts(report);
    let mut matter = Vec::new();
    if let Some(worst) = finding_groups(&report.findings).first() {
        matter.push(match (place(&worst.weights()), worst.members.as_slice()) {
            (Some(place), _) => format!("{} in {place}", worst.code),
            (None, [one]) => format!("{}: {}", worst.code, in_brief(worst.code, &one.message)),
            (None, [first, more @ ..]) => {
                let first = in_brief(worst.code, &first.message);
                format!("{}: {first}, and {} more", worst.code, grouped(more.len() as u64))
            }
            (None, []) => worst.code.to_owned(),
        });
    }
    let is_comparison = report.kind == ReportKind::Compare;
    if let Some(first) = report.conclusions.first().filter(|_| is_comparison) {
        matter.push(first_clause(&first.message).to_owned());
    }
    let severity = counts.first().map(|(severity, _)| *severity);
    let counts: Vec<String> = counts.into_iter().map(|(_, text)| text).collect();
    let known = if known > 0 { format!(" ({} known)", grouped(known)) } else { String::new() };
    if severity.is_some() {
        let lead = format!("{}{known}", counts.join(", "));
        return Verdict { severity, is_good: false, lead, matter: matter.join("; ") };
    }
    if let Some(conclusion) = matter.pop() {
        return Verdict { severity, is_good: false, lead: conclusion, matter: String::new() };
    }
    let mut lead = scope::no_findings(report);
    let is_complete = lead == "no findings";
    // Two checkpoints are not well for nothing being wrong with what changed.
    let is_good = is_complete && !is_comparison;
    if is_complete && is_comparison {
        lead = format!("{} compared, nothing concluded", plural(report.totals.measured, "weight"));
    } else if is_complete {
        lead = format!("no findings in {}", plural(report.totals.measured, "weight"));
        if let [model] = report.models.as_slice() {
            lead = format!("{lead}, {} parameters", short(model.parameters));
        }
        if let Some(timings) = &report.timings {
            lead = format!("{lead}, {}", seconds(timings.seconds.max(0.0)));
        }
    }
    Verdict { severity, is_good, lead, matter: String::new() }
}

/// What stands before the first semicolon that is not in brackets.
fn first_clause(message: &str) -> &str {
    let mut depth = 0u32;
    for (at, c) in message.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ';' if depth == 0 => return message.get(..at).unwrap_or(message),
            _ => {}
        }
    }
    message
}

/// The first clause of a message that stands after its code, without the words that the code says already.
fn in_brief<'a>(code: &str, message: &'a str) -> &'a str {
    let clause = first_clause(message);
    let condition = code.split_once('.').map_or(code, |(_, condition)| condition);
    let rest = clause.strip_prefix(condition).and_then(|rest| rest.strip_prefix(": "));
    rest.unwrap_or(clause)
}

/// Where something is: one weight, one name for several blocks, or how many weights.
fn place(weights: &[&str]) -> Option<String> {
    match names::folded(weights).as_slice() {
        [] => None,
        [one] => Some(one.name.clone()),
        _ => Some(plural(weights.len() as u64, "weight")),
    }
}

/// Findings by code, worst first; of equal severity the new ones before the known ones.
pub(crate) fn finding_groups(findings: &[Finding]) -> Vec<FindingGroup<'_>> {
    grouped_by_code(findings.iter())
}

fn grouped_by_code<'a>(findings: impl Iterator<Item = &'a Finding>) -> Vec<FindingGroup<'a>> {
    let mut groups: IndexMap<(Reverse<Severity>, bool, &str), Vec<&Finding>> = IndexMap::new();
    for finding in findings {
        let key = (Reverse(finding.severity), finding.known, finding.code.as_ref());
        groups.entry(key).or_default().push(finding);
    }
    groups.sort_by(|(a, known_a, _), _, (b, known_b, _), _| (a, known_a).cmp(&(b, known_b)));
    let groups = groups.into_iter().map(|((Reverse(severity), known, code), members)| {
        let advice = members.first().map(|f| f.advice.as_str());
        let advice = advice.filter(|a| !a.is_empty() && members.iter().all(|f| f.advice == **a));
        FindingGroup { code, severity, known, members, advice, is_fact: false }
    });
    groups.collect()
}

/// Several names in a few words.
pub(crate) fn names_of(weights: &[String]) -> String {
    let all: Vec<&str> = weights.iter().map(String::as_str).collect();
    let folds = names::folded(&all);
    let shown: Vec<&str> = folds.iter().take(NAMES).map(|fold| fold.name.as_str()).collect();
    let rest: usize = folds.iter().skip(NAMES).map(|fold| fold.members.len()).sum();
    match rest {
        0 => shown.join(", "),
        rest => format!("{} and {} more", shown.join(", "), grouped(rest as u64)),
    }
}

/// Errors by code, in the order they came.
pub(crate) fn error_groups(errors: &[ErrorRecord]) -> Vec<(&str, Vec<&ErrorRecord>)> {
    let mut groups: IndexMap<&str, Vec<&ErrorRecord>> = IndexMap::new();
    for error in errors {
        groups.entry(error.code.as_ref()).or_default().push(error);
    }
    groups.into_iter().collect()
}

/// Names of one message that a person is shown.
pub(crate) const NAMES: usize = 3;

/// What all of several errors say, when it is the same and there are more than a few.
pub(crate) fn same_message<'a>(errors: &[&'a ErrorRecord]) -> Option<&'a str> {
    let first = errors.first().filter(|_| errors.len() > NAMES)?;
    let is_same = |e: &&ErrorRecord| e.message == first.message && e.analyzer == first.analyzer;
    errors.iter().all(is_same).then_some(first.message.as_str())
}

/// Weights without numbers that no error entry mentions, by reason.
pub(crate) fn unmeasured(report: &Report) -> Vec<(&str, Vec<&str>)> {
    let mentioned: HashSet<&str> = report.errors.iter().map(|e| e.name.as_str()).collect();
    let mut groups: IndexMap<&str, Vec<&str>> = IndexMap::new();
    for weight in report.weights.iter().filter(|w| w.status != WeightStatus::Ok) {
        if !mentioned.contains(weight.name.as_str()) {
            let reason = weight.reason.as_deref().unwrap_or("no reason given");
            groups.entry(reason).or_default().push(&weight.name);
        }
    }
    groups.into_iter().collect()
}

/// The word in front of a status sentence; a complete report needs none.
pub(crate) fn status_word(status: Status) -> Option<&'static str> {
    match status {
        Status::Complete => None,
        Status::Partial => Some("PARTIAL"),
        Status::Interrupted => Some("INTERRUPTED"),
        Status::Rejected => Some("REJECTED"),
    }
}

/// What is missing from a report that is not complete.
pub(crate) fn status_sentence(report: &Report) -> String {
    let totals = &report.totals;
    let declared = plural(totals.declared, "weight");
    match report.status {
        Status::Complete => String::new(),
        Status::Interrupted => {
            format!("stopped after {} of {declared}", grouped(totals.measured))
        }
        Status::Rejected => {
            let first = report.errors.first();
            first.map_or_else(
                || "nothing could be measured".to_owned(),
                |e| format!("{}: {}", e.name, e.message),
            )
        }
        Status::Partial => {
            let mut parts = Vec::new();
            if totals.failed > 0 {
                parts.push(format!(
                    "{} of {declared} could not be measured",
                    grouped(totals.failed)
                ));
            }
            if totals.skipped > 0 {
                let of = if parts.is_empty() { format!(" of {declared}") } else { String::new() };
                parts.push(format!("{}{of} skipped", grouped(totals.skipped)));
            }
            let scopes = [
                (ErrorScope::Shard, "problem", " with files"),
                (ErrorScope::SideFile, "problem", " with side files"),
                (ErrorScope::Analyzer, "analyzer", " failed"),
            ];
            for (scope, noun, rest) in scopes {
                let count = report.errors.iter().filter(|e| e.scope == scope).count() as u64;
                if count > 0 {
                    parts.push(format!("{}{rest}", plural(count, noun)));
                }
            }
            if parts.is_empty() {
                parts.push(plural(report.errors.len() as u64, "problem"));
            }
            parts.join(", ")
        }
    }
}

/// What a reader of the last line alone has to know: that this is not the whole checkpoint. A word to put before
/// the verdict, and what to put behind it where the verdict does not say it itself.
pub(crate) fn missing(report: &Report) -> [String; 2] {
    let missed = scope::scope(report).into_iter().next();
    let word = status_word(report.status).or(missed.as_ref().map(|_| "PARTIAL"));
    let missed = missed.filter(|_| !report.findings.is_empty());
    let missed = missed.as_deref().and_then(|line| line.split_once(": ")).map(|(share, _)| share);
    [
        word.map_or_else(String::new, |word| format!("{word}: ")),
        missed.map_or_else(String::new, |share| format!("; {share}")),
    ]
}

/// How many findings of each severity there are, worst first, and how many of all are known.
pub(crate) fn severity_counts(report: &Report) -> (Vec<(Severity, String)>, u64) {
    let count = |severity| report.findings.iter().filter(|f| f.severity == severity).count() as u64;
    let counts = Severity::ALL.into_iter().rev().filter_map(|severity| match count(severity) {
        0 => None,
        n if severity == Severity::Warning => Some((severity, plural(n, "warning"))),
        n => Some((severity, format!("{} {severity}", grouped(n)))),
    });
    let known = report.findings.iter().filter(|f| f.known).count() as u64;
    (counts.collect(), known)
}

/// `safetensors, 2 files, 548.1 MB`.
pub(crate) fn source_facts(source: &SourceRecord) -> String {
    let size: u64 = source.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes));
    let mut facts = Vec::new();
    if !source.format.is_empty() {
        facts.push(source.format.clone());
    }
    if !source.files.is_empty() {
        facts.push(plural(source.files.len() as u64, "file"));
        facts.push(bytes(size));
    }
    facts.join(", ")
}

/// What was chosen of the files, and what else lies there.
pub(crate) fn notes(sources: &[SourceRecord]) -> String {
    let notes = sources.iter().flat_map(|source| &source.notes);
    notes.map(String::as_str).collect::<Vec<_>>().join("; ")
}

/// What the pickles of a checkpoint would import that is more than values.
pub(crate) fn imports(source: &SourceRecord) -> String {
    let name = |danger, what: &str| {
        let globals = source.globals.iter().filter(move |global| global.danger == danger);
        let mut names: Vec<String> =
            globals.map(|global| format!("{}.{}", global.module, global.name)).collect();
        names.sort();
        names.dedup();
        let more = names.len().saturating_sub(NAMES);
        names.truncate(NAMES);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!names.is_empty()).then(|| format!("{}{more} ({what})", names.join(", ")))
    };
    let told = [
        name(Danger::Runs, "can run any program, not run here"),
        name(Danger::Unknown, "not known what that runs, not run here"),
    ];
    told.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// The conclusions that a person is shown: of those that conclude nothing, none unless `all` are asked for.
pub(crate) fn conclusions(report: &Report, all: bool) -> Vec<&Conclusion> {
    report.conclusions.iter().filter(|conclusion| all || !conclusion.nothing).collect()
}

/// `qwen3_vl (by the rules of llama)`.
pub(crate) fn family(model: &ModelSummary) -> String {
    match model.rules_of.as_deref() {
        Some("generic") => {
            format!("{} (its names are guessed at, no table has them)", model.family)
        }
        Some(rules) => format!("{} (by the rules of {rules})", model.family),
        None => model.family.clone(),
    }
}

/// The low-rank adapter that it is or has; empty without one.
pub(crate) fn adapter(model: &ModelSummary) -> String {
    model.adapter.as_ref().map_or_else(String::new, AdapterRecord::told)
}

/// `12 blocks, hidden 768, 12 heads of 64, vocabulary 50,257`; of several towers each with its own.
pub(crate) fn architecture(model: &ModelSummary) -> String {
    let mut parts: Vec<String> = model
        .towers
        .iter()
        .map(|tower| {
            let heads = [tower.heads, tower.kv_heads, tower.head_dim];
            format!("{}: {}", tower.name, sizes(tower.blocks, tower.hidden_size, heads))
        })
        .collect();
    if parts.is_empty() {
        let heads = [model.heads, model.kv_heads, model.head_dim];
        parts.push(sizes(model.blocks, model.hidden_size, heads));
        parts.retain(|part| !part.is_empty());
    }
    let vocabulary = model.vocab_size.map(|size| format!("vocabulary {}", grouped(size)));
    let separator = if model.towers.is_empty() { ", " } else { "; " };
    parts.into_iter().chain(vocabulary).collect::<Vec<_>>().join(separator)
}

fn sizes(
    blocks: u64,
    hidden: Option<u64>,
    [heads, kv_heads, head_dim]: [Option<u64>; 3],
) -> String {
    let mut facts = Vec::new();
    if blocks > 0 {
        facts.push(plural(blocks, "block"));
    }
    if let Some(hidden) = hidden {
        facts.push(format!("hidden {}", grouped(hidden)));
    }
    if let Some(heads) = heads {
        let of = head_dim.map_or_else(String::new, |dim| format!(" of {}", grouped(dim)));
        facts.push(format!("{}{of}", plural(heads, "head")));
        if let Some(kv) = kv_heads.filter(|kv| *kv != heads) {
            facts.push(plural(kv, "key-value head"));
        }
    }
    facts.join(", ")
}

/// `124.4 M (124,439,808; 163,037,184 if tied copies are counted)`.
pub(crate) fn parameters(model: &ModelSummary) -> String {
    let mut once = grouped(model.parameters);
    let is_stored = |part: &&StoredShare| {
        let bits = 8.0 * part.bytes as f64 / part.elements.max(1) as f64;
        part.bits_per_weight.is_none() && is_word(bits)
    };
    if model.stored_as.iter().any(|part| is_stored(&part)) {
        once.push_str("; codes that are not decoded count as stored");
    }
    let detail = if model.parameters_with_tied_copies == model.parameters {
        (model.parameters >= 1000).then_some(once)
    } else {
        let copies = grouped(model.parameters_with_tied_copies);
        Some(format!("{once}; {copies} if tied copies are counted"))
    };
    let short = short(model.parameters);
    detail.map_or_else(|| short.clone(), |detail| format!("{short} ({detail})"))
}

/// `148 weights measured`, with what was declared, skipped and failed where that differs.
pub(crate) fn totals_sentence(report: &Report) -> String {
    let totals = &report.totals;
    if totals.measured == totals.declared && totals.skipped == 0 && totals.failed == 0 {
        return format!("{} measured", plural(totals.declared, "weight"));
    }
    let mut parts = vec![format!(
        "{} of {} measured",
        grouped(totals.measured),
        plural(totals.declared, "weight")
    )];
    for (count, word) in [(totals.skipped, "skipped"), (totals.failed, "failed")] {
        if count > 0 {
            parts.push(format!("{} {word}", grouped(count)));
        }
    }
    parts.join(", ")
}

/// `498.0 MB in 310 ms (1.61 GB/s, 2 threads)`.
pub(crate) fn timing_sentence(timings: &Timings) -> String {
    let rate = timings.bytes as f64 / timings.seconds;
    let threads = plural(timings.threads, "thread");
    let detail = if rate.is_finite() && timings.bytes > 0 {
        format!("{}/s, {threads}", bytes(rate as u64))
    } else {
        threads
    };
    format!("{} in {} ({detail})", bytes(timings.bytes), seconds(timings.seconds.max(0.0)))
}

/// Says that findings were left out on request.
pub(crate) fn ignore_sentence(report: &Report) -> Option<String> {
    let rules = report.settings.ignore.len() as u64;
    (rules > 0).then(|| format!("{} may have left findings out", plural(rules, "ignore rule")))
}

/// `and 12 more, see --format json`.
pub(crate) fn more(hidden: usize) -> String {
    format!("and {} more, see --format json", grouped(hidden as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_grouped_worst_first() {
        let finding =
            |code, severity, known| Finding { known, ..Finding::new(code, severity, None, "") };
        let findings = [
            finding("a.x", Severity::Info, false),
            finding("b.x", Severity::Critical, true),
            finding("c.x", Severity::Critical, false),
            finding("a.x", Severity::Info, false),
        ];
        let groups = finding_groups(&findings);
        let shown: Vec<_> = groups.iter().map(|g| (g.code, g.known, g.members.len())).collect();
        assert_eq!(shown, [("c.x", false, 1), ("b.x", true, 1), ("a.x", false, 2)]);
    }

    #[test]
    fn a_verdict_says_what_and_where() {
        assert_eq!(in_brief("a.missing", "missing: x.weight"), "x.weight");
        assert_eq!(in_brief("a.empty", "29 of 75 are empty; nothing else"), "29 of 75 are empty");
        assert_eq!(place(&[]), None);
        assert_eq!(place(&["h.0.a", "h.1.a"]).as_deref(), Some("h.{0,1}.a"));
        assert_eq!(place(&["h.0.a", "h.1.b"]).as_deref(), Some("2 weights"));
    }

    #[test]
    fn architectures_say_what_is_known() {
        let model = ModelSummary {
            blocks: 1,
            heads: Some(32),
            kv_heads: Some(8),
            head_dim: Some(128),
            ..ModelSummary::default()
        };
        assert_eq!(architecture(&model), "1 block, 32 heads of 128, 8 key-value heads");
        assert_eq!(architecture(&ModelSummary::default()), "");
    }
}
