//! The report as text for a terminal.

use weightscope_core::{ErrorRecord, Finding, Report, Severity};

use crate::RenderOptions;
use crate::escape::{MESSAGE_LIMIT, terminal, terminal_within};
use crate::grid::{Align, Grid, GridColumn, GridRow, INDENT, WIDEST};
use crate::overview::{self, COMMAND, FindingGroup, more};
use crate::page::{Page, Span, Style, bold, dim, ending, plain, shortened, width};
use crate::scope::{self, no_findings};
use crate::stored::stored_as;
use crate::tables::{AnalyzerTable, tables};
use crate::{columns, numbers, schemes};

/// Column at which the facts of the header begin.
const FACTS: usize = 14;

pub(crate) fn render(report: &Report, options: &RenderOptions<'_>) -> String {
    let mut page = Page::new(options.width, options.color);
    status(&mut page, report);
    header(&mut page, report);
    counts(&mut page, report);
    findings(&mut page, report, options);
    errors(&mut page, report, options);
    unmeasured(&mut page, report, options);
    conclusions(&mut page, report, options);
    for table in tables(report, options) {
        analyzer_table(&mut page, &table);
        if table.analyzer == schemes::ANALYZER {
            scheme_table(&mut page, report);
        }
    }
    footer(&mut page, report);
    page.finish()
}

pub(crate) fn severity_style(severity: Severity) -> Style {
    match severity {
        Severity::Info => Style::Blue,
        Severity::Warning => Style::Yellow,
        Severity::Critical => Style::Red,
    }
}

pub(crate) const fn severity_symbol(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "•",
        Severity::Warning => "▲",
        Severity::Critical => "✗",
    }
}

fn status(page: &mut Page, report: &Report) {
    let Some(word) = overview::status_word(report.status) else { return };
    let label = format!("{word}: ");
    let sentence = overview::status_sentence(report);
    let sentence = terminal_within(&sentence, MESSAGE_LIMIT).into_owned();
    page.flow(&[Span::new(Style::Red, &label)], width(&label), &[bold(sentence)]);
    page.blank();
}

/// What was read: a path line and the facts of its model.
fn header(page: &mut Page, report: &Report) {
    // Of two checkpoints the scope is a matter of the pair, so it stands above both.
    let is_one = report.sources.len() == 1;
    if !is_one {
        scope(page, report);
    }
    for (i, source) in report.sources.iter().enumerate() {
        page.title(&terminal(&source.path), &[dim(overview::source_facts(source))]);
        if is_one {
            scope(page, report);
        }
        let Some(model) = report.models.get(i) else { continue };
        page.blank();
        fact(page, "family", &model.family);
        fact(page, "parameters", &overview::parameters(model));
        fact(page, "layout", &overview::architecture(model));
        fact(page, "stored as", &stored_as(report, i));
        page.blank();
    }
}

/// What was not measured, before anything is said of what was.
fn scope(page: &mut Page, report: &Report) {
    let lines = scope::scope(report);
    for line in &lines {
        let line = terminal_within(line, MESSAGE_LIMIT).into_owned();
        page.text(0, &[Span::new(Style::Yellow, line)]);
    }
    if !lines.is_empty() {
        page.blank();
    }
}

pub(crate) fn fact(page: &mut Page, name: &str, value: &str) {
    if !value.is_empty() {
        let value = terminal_within(value, MESSAGE_LIMIT).into_owned();
        page.flow(&[plain("  "), dim(name)], FACTS, &[plain(value)]);
    }
}

fn counts(page: &mut Page, report: &Report) {
    page.blank();
    let (counts, known) = overview::severity_counts(report);
    if counts.is_empty() {
        let text = no_findings(report);
        let good = text == "no findings";
        let style = if good { Style::Green } else { Style::Bold };
        let symbol = if good { "✓ " } else { "" };
        page.text(0, &[Span::new(style, format!("{symbol}{text}"))]);
        return;
    }
    let mut spans = Vec::new();
    for (severity, text) in counts {
        if !spans.is_empty() {
            spans.push(plain("   ").solid());
        }
        let symbol = severity_symbol(severity);
        spans.push(Span::new(severity_style(severity), format!("{symbol} {text}")).solid());
    }
    if known > 0 {
        let known = format!("   ({} known)", numbers::grouped(known));
        spans.push(dim(known).solid());
    }
    page.text(0, &spans);
}

fn findings(page: &mut Page, report: &Report, options: &RenderOptions<'_>) {
    for group in overview::finding_groups(&report.findings) {
        page.blank();
        finding_group(page, &group, options.top);
    }
}

fn finding_group(page: &mut Page, group: &FindingGroup<'_>, top: usize) {
    let (symbol, severity) = (severity_symbol(group.severity), group.severity);
    let style = if group.known { Style::Dim } else { severity_style(severity) };
    let title = if group.known { Style::Dim } else { Style::Bold };
    let count = if group.members.len() > 1 {
        format!("  {}", numbers::plural(group.members.len() as u64, "weight"))
    } else {
        String::new()
    };
    page.line(&[
        Span::new(style, format!("{symbol} {severity}")),
        plain("  "),
        Span::new(title, terminal(group.code)),
        dim(count),
        dim(if group.known { "  known" } else { "" }),
    ]);
    let style = if group.known { Style::Dim } else { Style::Plain };
    let shown: Vec<&Finding> = group.members.iter().copied().take(top).collect();
    let rows = shown.iter().map(|f| (f.weight.as_deref(), f.message.as_str(), f.advice.as_str()));
    entries(page, rows.collect(), style, group.advice.is_none());
    if group.members.len() > shown.len() {
        page.text(4, &[dim(more(group.members.len() - shown.len()))]);
    }
    if let Some(advice) = group.advice {
        arrow(page, 4, advice);
    }
}

/// Names with their messages: side by side where the names leave room, else one below the other.
fn entries(
    page: &mut Page,
    rows: Vec<(Option<&str>, &str, &str)>,
    style: Style,
    with_advice: bool,
) {
    let names: Vec<String> =
        rows.iter().map(|(name, ..)| terminal(name.unwrap_or("")).into_owned()).collect();
    let longest = names.iter().map(|name| width(name)).max().unwrap_or(0);
    // Beside the names there is a column worth reading.
    let beside = 4 + longest + 2 <= page.width() / 2;
    let hang = match (longest, beside) {
        (0, _) => 4,
        (_, true) => 4 + longest + 2,
        (_, false) => 6,
    };
    for ((_, message, advice), name) in rows.into_iter().zip(names) {
        let message = terminal_within(message, MESSAGE_LIMIT).into_owned();
        let has_message = !message.is_empty();
        let body = [Span::new(style, message)];
        let name_style = if style == Style::Dim { Style::Dim } else { Style::Blue };
        if name.is_empty() {
            page.text(hang.min(4), &body);
        } else if beside {
            page.flow(&[plain("    "), Span::new(name_style, name)], hang, &body);
        } else {
            let name = shortened(&name, page.width().saturating_sub(4));
            page.line(&[plain("    "), Span::new(name_style, name)]);
            if has_message {
                page.text(hang, &body);
            }
        }
        if with_advice && !advice.is_empty() {
            arrow(page, hang, advice);
        }
    }
}

fn arrow(page: &mut Page, indent: usize, advice: &str) {
    let advice = terminal_within(advice, MESSAGE_LIMIT).into_owned();
    page.flow(&[plain(" ".repeat(indent)), dim("→ ")], indent + 2, &[dim(advice)]);
}

fn errors(page: &mut Page, report: &Report, options: &RenderOptions<'_>) {
    error_section(page, &report.errors, options.top);
}

/// What could not be read, by code.
pub(crate) fn error_section(page: &mut Page, errors: &[ErrorRecord], top: usize) {
    if errors.is_empty() {
        return;
    }
    page.section("Errors", "");
    for (code, members) in overview::error_groups(errors) {
        let same = overview::same_message(&members);
        let count = same
            .map_or_else(String::new, |_| format!("  {}", numbers::grouped(members.len() as u64)));
        page.line(&[plain("  "), Span::new(Style::Red, terminal(code)), dim(count)]);
        if let Some(message) = same {
            page.text(4, &[plain(terminal_within(message, MESSAGE_LIMIT).into_owned())]);
        }
        let top = if same.is_some() { top.min(overview::NAMES) } else { top };
        let shown: Vec<&ErrorRecord> = members.iter().copied().take(top).collect();
        let names: Vec<String> = shown
            .iter()
            .map(|e| match &e.analyzer {
                Some(analyzer) => format!("{} ({analyzer})", e.name),
                None => e.name.clone(),
            })
            .collect();
        let rows = shown.iter().zip(&names).map(|(e, name)| {
            (Some(name.as_str()), if same.is_some() { "" } else { e.message.as_str() }, "")
        });
        entries(page, rows.collect(), Style::Plain, false);
        if members.len() > shown.len() {
            page.text(4, &[dim(more(members.len() - shown.len()))]);
        }
    }
}

fn unmeasured(page: &mut Page, report: &Report, options: &RenderOptions<'_>) {
    let groups = overview::unmeasured(report);
    if groups.is_empty() {
        return;
    }
    page.section("Not measured", "");
    for (reason, names) in groups {
        let count = numbers::plural(names.len() as u64, "weight");
        let reason = terminal_within(reason, MESSAGE_LIMIT);
        page.text(2, &[plain(format!("{reason} ")), dim(format!("({count})"))]);
        for name in names.iter().take(options.top) {
            page.text(4, &[Span::new(Style::Blue, terminal(name))]);
        }
        if names.len() > options.top {
            page.text(4, &[dim(more(names.len() - options.top))]);
        }
    }
}

fn conclusions(page: &mut Page, report: &Report, options: &RenderOptions<'_>) {
    if report.conclusions.is_empty() {
        return;
    }
    page.section("Conclusions", "");
    for conclusion in report.conclusions.iter().take(options.top) {
        let message = terminal_within(&conclusion.message, MESSAGE_LIMIT).into_owned();
        page.flow(&[plain("  • ")], 4, &[plain(message)]);
    }
    if report.conclusions.len() > options.top {
        page.text(4, &[dim(more(report.conclusions.len() - options.top))]);
    }
}

fn analyzer_table(page: &mut Page, table: &AnalyzerTable<'_>) {
    page.section(&terminal(table.analyzer), &table.note);
    if table.rows.is_empty() || table.columns.is_empty() {
        return;
    }
    let mut columns = vec![
        GridColumn { title: "shape".to_owned(), align: Align::Left, rank: 20 },
        GridColumn { title: "type".to_owned(), align: Align::Left, rank: 21 },
    ];
    columns.extend(table.columns.iter().map(|c: &columns::Column| GridColumn {
        title: c.title.clone().into_owned(),
        align: Align::Right,
        rank: c.rank,
    }));
    let rows = table.rows.iter().map(|row| {
        let shape = numbers::shape(&row.weight.shape);
        let mut cells = vec![Some(shape), Some(terminal(&row.weight.stored_type()).into_owned())];
        cells.extend(row.cells.iter().cloned());
        GridRow {
            mark: row.severity.map(|s| Span::new(severity_style(s), severity_symbol(s))),
            name: row.weight.name.clone(),
            style: Style::Plain,
            cells,
        }
    });
    Grid { title: "weight", columns, rows: rows.collect() }.draw(page);
}

/// What every quantization scheme does to the model.
fn scheme_table(page: &mut Page, report: &Report) {
    let Some(summary) = schemes::summary(report) else { return };
    page.section(schemes::TITLE, &summary.note());
    let column = |title: &str, align, rank| GridColumn { title: title.to_owned(), align, rank };
    let columns = vec![
        column("bits", Align::Right, 3),
        column("lowest dB", Align::Right, 0),
        column("median dB", Align::Right, 1),
        column("worst excess", Align::Right, 4),
        column("lowest of", Align::Left, 2),
    ];
    let rows = summary.schemes.iter().map(|scheme| {
        let lowest = scheme.lowest.and_then(|(_, place)| report.weights.get(place));
        // The end of a name tells blocks and modules apart.
        let room = page.width().saturating_sub(INDENT) / WIDEST;
        let name = lowest.map(|weight| ending(&terminal(&weight.name), room));
        GridRow {
            mark: None,
            name: scheme.name.to_owned(),
            style: Style::Plain,
            cells: scheme.cells().into_iter().chain([name]).collect(),
        }
    });
    let rows: Vec<GridRow> = rows.collect();
    if !rows.is_empty() {
        Grid { title: "scheme", columns, rows }.draw(page);
    }
}

fn footer(page: &mut Page, report: &Report) {
    page.blank();
    let totals = overview::totals_sentence(report);
    let timing = report.timings.as_ref().map(overview::timing_sentence).unwrap_or_default();
    let sentence = format!("{totals}, {timing}");
    if timing.is_empty() || width(&sentence) > page.width() {
        page.text(0, &[plain(totals)]);
        if !timing.is_empty() {
            page.text(0, &[plain(timing)]);
        }
    } else {
        page.text(0, &[plain(sentence)]);
    }
    if let Some(ignored) = overview::ignore_sentence(report) {
        page.text(0, &[dim(ignored)]);
    }
    if let Some(worst) = overview::finding_groups(&report.findings).first() {
        let code = terminal(worst.code);
        page.text(0, &[dim(format!("{COMMAND} explain {code} says what a finding means"))]);
    }
}
