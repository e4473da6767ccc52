//! The report for a pull request comment: GitHub-flavoured Markdown that also reads well unrendered.

use std::fmt::Write as _;

use weightscope_core::{Report, ReportKind, Severity};

use crate::escape::{html, markdown, markdown_block, markdown_code};
use crate::overview::{self, COMMAND, FindingGroup, more};
use crate::tables::{AnalyzerTable, tables};
use crate::{RenderOptions, numbers, schemes, scope, stored};

pub(crate) fn render(report: &Report, options: &RenderOptions<'_>) -> String {
    let mut out = Document::default();
    if let Some(word) = overview::status_word(report.status) {
        let sentence = overview::status_sentence(report);
        out.paragraph(&format!("**{word}: {}**", markdown_block(&sentence)));
    }
    header(&mut out, report);
    // Of a comparison the conclusions are the answer.
    let is_comparison = report.kind == ReportKind::Compare;
    if is_comparison {
        conclusions(&mut out, report, options.top);
    }
    findings(&mut out, report, options);
    errors(&mut out, report, options.top);
    unmeasured(&mut out, report);
    if !is_comparison {
        conclusions(&mut out, report, options.top);
    }
    if options.all {
        let facts = overview::free_facts(report);
        fact_list(&mut out, "Facts that ask for nothing", &facts, options.top);
    }
    for table in tables(report, options) {
        analyzer_table(&mut out, &table);
        if table.analyzer == schemes::ANALYZER {
            scheme_table(&mut out, report);
        }
    }
    footer(&mut out, report);
    out.text
}

/// Blocks with an empty line between them.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) text: String,
}

impl Document {
    pub(crate) fn paragraph(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(text);
        self.text.push('\n');
    }

    pub(crate) fn list(&mut self, items: &[String]) {
        if !items.is_empty() {
            self.paragraph(&format!("- {}", items.join("\n- ")));
        }
    }

    /// A list of names and values; what has no value is left out.
    pub(crate) fn facts(&mut self, facts: &[(&str, String)]) {
        let facts = facts.iter().filter(|(_, value)| !value.is_empty());
        let items = facts.map(|(name, value)| format!("{name}: {}", markdown(value)));
        self.list(&items.collect::<Vec<_>>());
    }

    /// A table; `right` says which columns hold numbers.
    pub(crate) fn table(&mut self, titles: &[String], right: &[bool], rows: &[Vec<String>]) {
        if rows.is_empty() {
            return;
        }
        let line = |cells: &[String]| format!("| {} |", cells.join(" | "));
        let rule: Vec<String> =
            right.iter().map(|right| if *right { "---:" } else { "---" }.to_owned()).collect();
        let mut lines = vec![line(titles), line(&rule)];
        lines.extend(rows.iter().map(|row| line(row)));
        self.paragraph(&lines.join("\n"));
    }
}

const fn icon(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "🔵",
        Severity::Warning => "🟡",
        Severity::Critical => "🔴",
    }
}

fn header(out: &mut Document, report: &Report) {
    let names: Vec<String> = report.sources.iter().map(|s| markdown_code(&s.path)).collect();
    out.paragraph(&format!("## WeightScope: {}", names.join(" and ")));
    for line in scope::scope(report) {
        out.paragraph(&format!("**{}**", markdown_block(&line)));
    }
    let (counts, known) = overview::severity_counts(report);
    let mut line: Vec<String> =
        counts.iter().map(|(severity, text)| format!("{} {text}", icon(*severity))).collect();
    if known > 0 {
        line.push(format!("{} known", numbers::grouped(known)));
    }
    let matter = markdown_block(&overview::verdict(report).matter);
    let matter = if matter.is_empty() { matter } else { format!(": {matter}") };
    let line = match scope::no_findings(report).as_str() {
        _ if !line.is_empty() => format!("**{}**{matter}", line.join(", ")),
        "no findings" => "✅ **no findings**".to_owned(),
        other => format!("**{other}**"),
    };
    out.paragraph(&line);
    for (index, (source, model)) in report.sources.iter().zip(&report.models).enumerate() {
        let facts = [
            ("family", overview::family(model)),
            ("adapter", overview::adapter(model)),
            ("parameters", overview::parameters(model)),
            ("layout", overview::architecture(model)),
            ("stored as", stored::stored_as(report, index)),
            ("source", overview::source_facts(source)),
            ("files", overview::notes(std::slice::from_ref(source))),
        ];
        out.facts(&facts);
    }
}

fn findings(out: &mut Document, report: &Report, options: &RenderOptions<'_>) {
    if report.findings.is_empty() {
        return;
    }
    out.paragraph("### Findings");
    for group in overview::finding_groups(&report.findings) {
        finding_group(out, &group, options.top);
        if options.all {
            let follow = group.consequences(&report.facts);
            fact_list(out, "What follows from it", &follow, options.top);
        }
    }
}

/// Facts by code, folded away.
fn fact_list(out: &mut Document, title: &str, groups: &[FindingGroup<'_>], top: usize) {
    if groups.is_empty() {
        return;
    }
    let count: usize = groups.iter().map(|group| group.members.len()).sum();
    let count = numbers::grouped(count as u64);
    out.paragraph(&format!("<details><summary>{title}: {count}</summary>"));
    for group in groups {
        finding_group(out, group, top);
    }
    out.paragraph("</details>");
}

fn finding_group(out: &mut Document, group: &FindingGroup<'_>, top: usize) {
    let mut title =
        format!("{} **{}** {}", icon(group.severity), group.severity, markdown_code(group.code));
    if group.members.len() > 1 {
        let _ = write!(title, ", {}", group.count());
    }
    if let Some(explains) = group.explains() {
        let _ = write!(title, ", {explains}");
    }
    if group.known {
        title.push_str(" (known)");
    }
    out.paragraph(&title);
    let shown = group.members.iter().take(top);
    let mut items: Vec<String> = shown
        .map(|finding| {
            let mut item = match &finding.weight {
                Some(weight) => {
                    format!("{}: {}", markdown_code(weight), markdown_block(&finding.message))
                }
                None => match overview::names_of(&finding.weights) {
                    names if names.is_empty() => markdown_block(&finding.message),
                    names => {
                        format!("{}: {}", markdown_code(&names), markdown_block(&finding.message))
                    }
                },
            };
            let advice = group.advice_on(finding);
            if !advice.is_empty() {
                let _ = write!(item, ". *{}*", markdown_block(advice));
            }
            item
        })
        .collect();
    if group.members.len() > top {
        items.push(more(group.members.len() - top));
    }
    out.list(&items);
    if let Some(advice) = group.advice {
        out.paragraph(&format!("→ *{}*", markdown_block(advice)));
    }
}

fn errors(out: &mut Document, report: &Report, top: usize) {
    if report.errors.is_empty() {
        return;
    }
    out.paragraph("### Errors");
    let mut items = Vec::new();
    for (code, members) in overview::error_groups(&report.errors) {
        if let Some(message) = overview::same_message(&members) {
            let names = members.iter().take(overview::NAMES).map(|e| markdown_code(&e.name));
            let names = names.collect::<Vec<_>>().join(", ");
            let (count, text) = (numbers::grouped(members.len() as u64), markdown_block(message));
            items.push(format!("{} {count}: {text} ({names}, …)", markdown_code(code)));
            continue;
        }
        for error in members.iter().take(top) {
            let analyzer = error.analyzer.as_deref();
            let analyzer = analyzer.map_or_else(String::new, |a| format!(" ({})", markdown(a)));
            let name = markdown_code(&error.name);
            let text = markdown_block(&error.message);
            items.push(format!("{} {name}{analyzer}: {text}", markdown_code(code)));
        }
        if members.len() > top {
            items.push(format!("{} {}", markdown_code(code), more(members.len() - top)));
        }
    }
    out.list(&items);
}

fn unmeasured(out: &mut Document, report: &Report) {
    let groups = overview::unmeasured(report);
    if groups.is_empty() {
        return;
    }
    out.paragraph("### Not measured");
    let items = groups.iter().map(|(reason, names)| {
        let first = names.first().copied().unwrap_or("");
        let count = numbers::plural(names.len() as u64, "weight");
        let etc = if names.len() > 1 { ", …" } else { "" };
        format!("{count}: {} ({}{etc})", markdown_block(reason), markdown_code(first))
    });
    out.list(&items.collect::<Vec<_>>());
}

fn conclusions(out: &mut Document, report: &Report, top: usize) {
    let told = overview::conclusions(report, false);
    if told.is_empty() {
        return;
    }
    out.paragraph("### Conclusions");
    let mut items: Vec<String> =
        told.iter().take(top).map(|c| markdown_block(&c.message)).collect();
    if told.len() > top {
        items.push(more(told.len() - top));
    }
    out.list(&items);
}

fn analyzer_table(out: &mut Document, table: &AnalyzerTable<'_>) {
    if table.rows.is_empty() || table.columns.is_empty() {
        let name = markdown(table.analyzer);
        out.paragraph(&format!("**{name}**: {}", markdown(&table.note)));
        return;
    }
    out.paragraph(&format!(
        "<details><summary><b>{}</b>: {}</summary>",
        html(table.analyzer),
        html(&table.note)
    ));
    let mut titles = vec!["weight".to_owned(), "shape".to_owned(), "type".to_owned()];
    titles.extend(table.columns.iter().map(|c| markdown(&c.title).into_owned()));
    let mut right = vec![false; 3];
    right.resize(titles.len(), true);
    let rows = table.rows.iter().map(|row| {
        let mark = row.severity.map_or_else(String::new, |s| format!("{} ", icon(s)));
        let mut cells = vec![
            format!("{mark}{}", markdown_code(&row.weight.name)),
            numbers::shape(&row.weight.shape),
            markdown(&row.weight.stored_type()).into_owned(),
        ];
        let values = row.cells.iter();
        cells.extend(values.map(|c| markdown(c.as_deref().unwrap_or("–")).into_owned()));
        cells
    });
    out.table(&titles, &right, &rows.collect::<Vec<_>>());
    out.paragraph("</details>");
}

/// What every quantization scheme does to the model.
fn scheme_table(out: &mut Document, report: &Report) {
    let Some(summary) = schemes::summary(report) else { return };
    let note = html(&summary.note());
    out.paragraph(&format!("<details><summary><b>{}</b>: {note}</summary>", schemes::TITLE));
    let titles = ["scheme", "bits", "lowest dB", "median dB", "worst excess", "lowest of"];
    let rows = summary.schemes.iter().map(|scheme| {
        let mut cells = vec![markdown_code(scheme.name)];
        let numbers = scheme.cells().into_iter();
        cells.extend(numbers.map(|cell| cell.unwrap_or_else(|| "–".to_owned())));
        let lowest = scheme.lowest.and_then(|(_, place)| report.weights.get(place));
        cells.push(lowest.map_or_else(|| "–".to_owned(), |weight| markdown_code(&weight.name)));
        cells
    });
    let right = [false, true, true, true, true, false];
    out.table(&titles.map(str::to_owned), &right, &rows.collect::<Vec<_>>());
    out.paragraph("</details>");
}

fn footer(out: &mut Document, report: &Report) {
    let mut sentence = overview::totals_sentence(report);
    if let Some(timings) = &report.timings {
        sentence.push_str(", ");
        sentence.push_str(&overview::timing_sentence(timings));
    }
    if let Some(ignored) = overview::ignore_sentence(report) {
        let _ = write!(sentence, "; {ignored}");
    }
    let tool = markdown_block(&format!("{} {}", report.tool.name, report.tool.version));
    let mut line = format!("{sentence}. {tool}");
    if let Some(worst) = overview::finding_groups(&report.findings).first() {
        let hint = markdown_code(&format!("{COMMAND} explain {}", worst.code));
        let _ = write!(line, "; {hint} says what a finding means");
    }
    out.paragraph(&format!("<sub>{line}</sub>"));
}
