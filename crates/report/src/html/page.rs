//! What a page says without scripts: the words and tables that the template lays out.

use std::collections::HashMap;

use serde::Serialize;
use weightscope_core::{Finding, ModelSummary, Report, ReportKind, Severity, SourceRecord};

use super::data::places;
use crate::numbers::{self, bytes, grouped, plural, share, short};
use crate::overview::FindingGroup;
use crate::stored::stored_as;
use crate::{RenderOptions, overview, scope};

/// Findings of one code that are shown at once, and that are shown on request; the rest is in the table.
const SHOWN: usize = 8;
const FOLDED: usize = 200;

/// What the page is about and how it stands.
#[derive(Debug, Serialize)]
pub(crate) struct Page {
    pub(crate) title: String,
    tool: String,
    status: Option<&'static str>,
    status_sentence: String,
    scope: Vec<String>,
    tone: &'static str,
    verdict: String,
    advice: &'static str,
    counts: Vec<Count>,
    known: u64,
    models: Vec<Model>,
    totals: String,
    timings: Option<String>,
    ignored: Option<String>,
    groups: Vec<Group>,
    /// What follows from nothing and asks for nothing.
    facts: Vec<Group>,
    fact_count: String,
    is_comparison: bool,
    /// Of a comparison: what its conclusions say beyond the verdict.
    rest_of_verdict: Vec<String>,
    conclusions: Vec<Statement>,
    errors: Vec<ErrorGroup>,
    unmeasured: Vec<(String, u64, String)>,
}

#[derive(Debug, Serialize)]
struct Count {
    severity: &'static str,
    number: String,
    is_zero: bool,
    noun: &'static str,
}

#[derive(Debug, Serialize)]
struct Model {
    path: String,
    /// Whose facts these are, of two models.
    whose: String,
    source: String,
    facts: Vec<(&'static str, String, String)>,
    trouble: Vec<(&'static str, u64, String)>,
}

#[derive(Debug, Serialize)]
struct Group {
    code: String,
    severity: &'static str,
    known: bool,
    count: String,
    advice: Option<String>,
    doc: Option<&'static str>,
    /// `explains 7 other findings`, and those.
    explains: Option<String>,
    follows: Vec<Group>,
    shown: Vec<Item>,
    folded: Vec<Item>,
    rest: Vec<Item>,
}

#[derive(Debug, Serialize)]
struct Item {
    /// Its weight, or several in a few words.
    weight: Option<String>,
    /// Index of the weight.
    w: Option<usize>,
    message: String,
    /// Value, line and reference in words.
    numbers: String,
    /// When the group has none in common.
    advice: Option<String>,
}

#[derive(Debug, Serialize)]
struct Statement {
    code: String,
    scope: String,
    message: String,
    evidence: Vec<(Option<String>, Option<usize>, String, String)>,
}

#[derive(Debug, Serialize)]
struct ErrorGroup {
    code: String,
    members: Vec<(String, Option<usize>, String)>,
    more: usize,
}

/// The words of `report`.
pub(crate) fn page(report: &Report, title: &str, options: &RenderOptions<'_>) -> Page {
    let places = places(report);
    let (tone, verdict, advice) = verdict(report);
    let facts = overview::free_facts(report);
    let fact_count: usize = facts.iter().map(|group| group.members.len()).sum();
    let maker = Maker { places: &places, docs: docs(options), facts: &report.facts };
    let count = |severity: Severity| {
        let count = report.findings.iter().filter(|f| f.severity == severity).count() as u64;
        let noun = match severity {
            Severity::Critical => "critical",
            Severity::Warning if count == 1 => "warning",
            Severity::Warning => "warnings",
            Severity::Info => "info",
        };
        Count { severity: severity.name(), number: grouped(count), is_zero: count == 0, noun }
    };
    let (_, known) = overview::severity_counts(report);
    Page {
        title: title.to_owned(),
        tool: format!("{} {}", report.tool.name, report.tool.version),
        status: overview::status_word(report.status),
        status_sentence: overview::status_sentence(report),
        scope: scope::scope(report),
        tone,
        verdict,
        advice,
        counts: Severity::ALL.into_iter().rev().map(count).collect(),
        known,
        models: models(report),
        totals: overview::totals_sentence(report),
        timings: report.timings.as_ref().map(overview::timing_sentence),
        ignored: overview::ignore_sentence(report),
        groups: overview::finding_groups(&report.findings).iter().map(|g| maker.cause(g)).collect(),
        facts: facts.iter().map(|group| maker.group(group)).collect(),
        fact_count: grouped(fact_count as u64),
        is_comparison: report.kind == ReportKind::Compare,
        rest_of_verdict: rest_of_verdict(report),
        conclusions: conclusions(report, &places),
        errors: errors(report, &places),
        unmeasured: unmeasured(report),
    }
}

/// Colour, sentence, and what to do.
fn verdict(report: &Report) -> (&'static str, String, &'static str) {
    // A comparison is told by its conclusion, and what is wrong with the change beside it.
    if report.kind == ReportKind::Compare {
        let verdict = overview::verdict(report);
        let tone = verdict.severity.map_or("none", Severity::name);
        let sentence = if verdict.matter.is_empty() { verdict.lead } else { verdict.matter };
        return (tone, capital(&sentence), "");
    }
    let new = |severity| {
        let findings = report.findings.iter().filter(|f| f.severity == severity && !f.known);
        findings.count() as u64
    };
    let (critical, warning, info) =
        (new(Severity::Critical), new(Severity::Warning), new(Severity::Info));
    if critical > 0 {
        let s = if critical == 1 { "" } else { "s" };
        let sentence = format!("{} critical finding{s}", grouped(critical));
        ("critical", sentence, "This checkpoint is broken or will break.")
    } else if warning > 0 {
        ("warning", plural(warning, "warning"), "Look before relying on this checkpoint.")
    } else if info > 0 && report.totals.measured > 0 {
        let things = plural(info, "thing");
        match scope::looked_at(report) {
            None => {
                let sentence = format!("Nothing wrong, {things} worth knowing");
                ("info", sentence, "Nothing needs to be done.")
            }
            Some(part) => ("info", format!("Nothing wrong in {part}, {things} worth knowing"), ""),
        }
    } else {
        let text = scope::no_findings(report);
        let tone = if text == "no findings" { "good" } else { "none" };
        (tone, capital(&text), "")
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// Conclusions of a comparison that are told with its verdict.
const TOLD: usize = 3;

/// The first conclusions without the clause that is the verdict.
fn rest_of_verdict(report: &Report) -> Vec<String> {
    if report.kind != ReportKind::Compare {
        return Vec::new();
    }
    let sentences = report.conclusions.iter().take(TOLD).enumerate().filter_map(|(i, c)| {
        let rest = if i == 0 { c.message.split_once("; ")?.1 } else { &c.message };
        Some(capital(rest))
    });
    sentences.collect()
}

fn models(report: &Report) -> Vec<Model> {
    let nothing = ModelSummary::default();
    let model = |(i, source): (usize, &SourceRecord)| Model {
        path: super::last_part(&source.path).to_owned(),
        whose: match source.part.as_deref() {
            Some(part) if !part.is_empty() => part.to_owned(),
            _ => super::last_part(&source.path).to_owned(),
        },
        source: overview::source_facts(source),
        facts: report.models.get(i).map_or_else(Vec::new, |m| facts(m, stored_as(report, i))),
        trouble: trouble(report.models.get(i).unwrap_or(&nothing)),
    };
    let mut models: Vec<Model> = report.sources.iter().enumerate().map(model).collect();
    // What two models have in common is said once.
    if let [first, second] = models.as_mut_slice()
        && first.facts == second.facts
    {
        "Both".clone_into(&mut first.whose);
        second.facts.clear();
    }
    models
}

/// Name, value and a detail.
fn facts(model: &ModelSummary, stored_as: String) -> Vec<(&'static str, String, String)> {
    let mut facts = vec![("Family", overview::family(model), String::new())];
    let mut fact = |name, value: String, detail: String| facts.push((name, value, detail));
    if model.adapter.is_some() {
        fact("Adapter", overview::adapter(model), String::new());
    }
    let copies = model.parameters_with_tied_copies;
    let detail = if copies == model.parameters {
        grouped(model.parameters)
    } else {
        format!("{}; {} with tied copies", grouped(model.parameters), short(copies))
    };
    fact("Parameters", short(model.parameters), detail);
    if model.blocks > 0 {
        let hidden =
            model.hidden_size.map_or_else(String::new, |n| format!("hidden {}", grouped(n)));
        fact("Blocks", grouped(model.blocks), hidden);
    }
    if let Some(heads) = model.heads {
        let kv = model.kv_heads.filter(|kv| *kv != heads);
        let kv = kv.map_or_else(String::new, |kv| format!(", {} key-value", grouped(kv)));
        let dim = model.head_dim.map_or_else(String::new, |n| format!("of {}", grouped(n)));
        fact("Heads", grouped(heads), format!("{dim}{kv}"));
    }
    if let Some(vocabulary) = model.vocab_size {
        fact("Vocabulary", grouped(vocabulary), String::new());
    }
    fact("Stored as", stored_as, String::new());
    fact("Size", bytes(model.bytes), plural(model.tensors, "tensor"));
    facts
}

/// What config.json and the tensors disagree on.
fn trouble(model: &ModelSummary) -> Vec<(&'static str, u64, String)> {
    let misshapen: Vec<String> = model.misshapen.iter().map(|m| m.name.clone()).collect();
    let tied: Vec<String> = model.tied.iter().map(|(a, b)| format!("{a} is {b}")).collect();
    let lists = [
        ("missing", &model.missing),
        ("unexpected", &model.unexpected),
        ("of another shape than config.json says", &misshapen),
        ("tied", &tied),
    ];
    let some = lists.into_iter().filter(|(_, names)| !names.is_empty());
    some.map(|(word, names)| {
        let mut text = names.iter().take(6).cloned().collect::<Vec<_>>().join(", ");
        if names.len() > 6 {
            text.push_str(", …");
        }
        (word, names.len() as u64, text)
    })
    .collect()
}

/// What findings of a code mean.
fn docs(options: &RenderOptions<'_>) -> HashMap<&'static str, &'static str> {
    options.descriptors.iter().flat_map(|d| d.findings).map(|f| (f.code, f.doc)).collect()
}

/// Makes groups of a page from those of a report.
struct Maker<'a> {
    places: &'a HashMap<&'a str, usize>,
    docs: HashMap<&'static str, &'static str>,
    facts: &'a [Finding],
}

impl Maker<'_> {
    /// A group with what follows from it.
    fn cause(&self, group: &FindingGroup<'_>) -> Group {
        let follows = group.consequences(self.facts);
        let follows = follows.iter().map(|group| self.group(group)).collect();
        Group { follows, ..self.group(group) }
    }

    fn group(&self, group: &FindingGroup<'_>) -> Group {
        let mut items = group.members.iter();
        let mut next = |count| items.by_ref().take(count).map(|f| self.item(group, f)).collect();
        let (shown, folded, rest) = (next(SHOWN), next(FOLDED), next(usize::MAX));
        let sibling =
            group.code.ends_with(".unlike-siblings").then_some("siblings.unlike-siblings");
        Group {
            code: group.code.to_owned(),
            severity: group.severity.name(),
            known: group.known,
            count: group.count(),
            advice: group.advice.map(str::to_owned),
            doc: self.docs.get(sibling.unwrap_or(group.code)).copied(),
            explains: group.explains(),
            follows: Vec::new(),
            shown,
            folded,
            rest,
        }
    }

    fn item<'b>(&self, group: &FindingGroup<'b>, finding: &'b Finding) -> Item {
        let several = || Some(overview::names_of(&finding.weights)).filter(|s| !s.is_empty());
        Item {
            w: finding.weight.as_deref().and_then(|name| self.places.get(name).copied()),
            weight: finding.weight.clone().or_else(several),
            message: finding.message.clone(),
            numbers: finding_numbers(finding),
            advice: Some(group.advice_on(finding).to_owned()).filter(|advice| !advice.is_empty()),
        }
    }
}

/// `dead_rows 1234, line 1, siblings 0.3`.
fn finding_numbers(finding: &Finding) -> String {
    let mut parts = Vec::new();
    if let Some(value) = finding.value.filter(|_| !finding.metric.is_empty()) {
        parts.push(format!("{} {}", finding.metric, numbers::significant(value)));
    }
    if let Some(threshold) = finding.threshold {
        parts.push(format!("line {}", numbers::significant(threshold)));
    }
    if let Some(reference) = finding.reference
        && let Some(value) = reference.value
    {
        let word = match reference.kind {
            weightscope_core::ReferenceKind::Gaussian => "random",
            weightscope_core::ReferenceKind::Siblings => "siblings",
            weightscope_core::ReferenceKind::Limit => "limit",
        };
        parts.push(format!("{word} {}", numbers::significant(value)));
    }
    parts.join(" · ")
}

fn conclusions(report: &Report, places: &HashMap<&str, usize>) -> Vec<Statement> {
    let statement = |c: &weightscope_core::Conclusion| Statement {
        code: c.code.to_string(),
        scope: c.scope.clone(),
        message: c.message.clone(),
        evidence: c
            .evidence
            .iter()
            .map(|e| {
                let place = e.weight.as_deref().and_then(|name| places.get(name).copied());
                (e.weight.clone(), place, e.metric.to_string(), numbers::significant(e.value))
            })
            .collect(),
    };
    overview::conclusions(report, false).into_iter().map(statement).collect()
}

fn errors(report: &Report, places: &HashMap<&str, usize>) -> Vec<ErrorGroup> {
    let groups = overview::error_groups(&report.errors).into_iter().map(|(code, members)| {
        let shown = members.iter().take(FOLDED).map(|e| {
            let analyzer = e.analyzer.as_deref().map_or_else(String::new, |a| format!(" ({a})"));
            let place = places.get(e.name.as_str()).copied();
            (e.name.clone(), place, format!("{}{analyzer}", e.message))
        });
        ErrorGroup {
            code: code.to_owned(),
            members: shown.collect(),
            more: members.len().saturating_sub(FOLDED),
        }
    });
    groups.collect()
}

fn unmeasured(report: &Report) -> Vec<(String, u64, String)> {
    let groups = overview::unmeasured(report).into_iter().map(|(reason, names)| {
        let first = names.first().copied().unwrap_or("");
        (reason.to_owned(), names.len() as u64, first.to_owned())
    });
    groups.collect()
}

/// A share for a page.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    share(part as f64 / whole.max(1) as f64)
}
