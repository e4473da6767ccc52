//! The report as text for a terminal.

use weightscope_core::{
    Conclusion, ErrorRecord, Finding, ModelSummary, Report, ReportKind, Severity,
};

use crate::RenderOptions;
use crate::escape::{MESSAGE_LIMIT, terminal, terminal_within};
use crate::grid::{Align, Grid, GridColumn, GridRow, INDENT, WIDEST};
use crate::names::{folded, short_name};
use crate::overview::{self, COMMAND, FindingGroup, Verdict, more};
use crate::page::{Page, Span, Style, bold, dim, ending, plain, width};
use crate::scope;
use crate::stored::stored_as;
use crate::tables::{AnalyzerTable, tables};
use crate::{columns, numbers, schemes};

/// Column at which the facts of the header begin.
const FACTS: usize = 14;

/// How much of a report is told.
#[derive(Clone, Copy, Debug)]
struct Detail {
    /// Entries of one finding, error or reason.
    entries: usize,
    /// Kinds of findings that are told with their entries and advice; the others have a line each.
    full: usize,
    /// Conclusions.
    conclusions: usize,
}

/// What is tried, one after the other, until the answer has no more than the wanted lines.
const SHORTER: [Detail; 7] = [
    Detail { entries: 3, full: usize::MAX, conclusions: 3 },
    Detail { entries: 2, full: usize::MAX, conclusions: 2 },
    Detail { entries: 1, full: 5, conclusions: 2 },
    Detail { entries: 1, full: 3, conclusions: 1 },
    Detail { entries: 1, full: 2, conclusions: 1 },
    Detail { entries: 1, full: 1, conclusions: 1 },
    Detail { entries: 1, full: 1, conclusions: 0 },
];

/// Kinds of findings of which the shortest answer says anything.
const KINDS: usize = 8;

pub(crate) fn render(report: &Report, options: &RenderOptions<'_>) -> String {
    let conclusions = if options.all { usize::MAX } else { options.top };
    let whole = Detail { entries: options.top, full: usize::MAX, conclusions };
    let mut text = compose(report, options, whole);
    let Some(lines) = options.lines.filter(|_| !options.all && !options.tables) else {
        return text;
    };
    for shorter in SHORTER {
        if text.lines().count() <= lines {
            break;
        }
        let entries = shorter.entries.min(whole.entries);
        // Of a comparison they are the answer.
        let least = usize::from(report.kind == ReportKind::Compare);
        let conclusions = shorter.conclusions.max(least).min(whole.conclusions);
        text = compose(report, options, Detail { entries, conclusions, ..shorter });
    }
    text
}

fn compose(report: &Report, options: &RenderOptions<'_>, detail: Detail) -> String {
    let mut page = Page::new(options.width, options.color);
    let is_comparison = report.kind == ReportKind::Compare;
    status(&mut page, report);
    header(&mut page, report);
    page.blank();
    let verdict = overview::verdict(report);
    let told = overview::conclusions(report, options.all);
    if is_comparison && !told.is_empty() {
        conclusions(&mut page, &told, detail.conclusions);
        page.blank();
        if verdict.severity.is_some() {
            let counts = Verdict { matter: String::new(), ..overview::verdict(report) };
            verdict_line(&mut page, &counts, "");
        }
    } else {
        verdict_line(&mut page, &verdict, "");
    }
    findings(&mut page, report, options, detail);
    error_section(&mut page, &report.errors, detail.entries);
    unmeasured(&mut page, report, detail.entries);
    if !is_comparison && !told.is_empty() && detail.conclusions > 0 {
        page.section("Conclusions", "");
        conclusions(&mut page, &told, detail.conclusions);
    }
    if options.all {
        facts(&mut page, report, detail.entries);
    }
    if options.tables {
        for table in tables(report, options) {
            analyzer_table(&mut page, &table);
            if table.analyzer == schemes::ANALYZER {
                scheme_table(&mut page, report);
            }
        }
    }
    footer(&mut page, report, options);
    let [word, missed] = overview::missing(report);
    let last = Verdict { matter: [verdict.matter.as_str(), &missed].concat(), ..verdict };
    verdict_line(&mut page, &last, &word);
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

/// What was read: a line for each path, and the facts of the model. Of two models what they have in common is said once.
fn header(page: &mut Page, report: &Report) {
    if report.kind == ReportKind::Scan && report.models.len() > 1 {
        parts(page, report);
        return;
    }
    // Of two checkpoints the scope is a matter of the pair, so it stands above both.
    let is_one = report.sources.len() == 1;
    if !is_one {
        scope(page, report);
    }
    for source in &report.sources {
        page.title(&terminal(&source.path), &[dim(overview::source_facts(source))]);
    }
    if is_one {
        scope(page, report);
    }
    let each = |of: &dyn Fn(usize, &ModelSummary) -> String| {
        let mut values: Vec<String> =
            report.models.iter().enumerate().map(|(i, model)| of(i, model)).collect();
        values.retain(|value| !value.is_empty());
        values.dedup();
        values.join(" → ")
    };
    fact(page, "family", &each(&|_, model| overview::family(model)));
    fact(page, "adapter", &each(&|_, model| overview::adapter(model)));
    fact(page, "parameters", &each(&|_, model| overview::parameters(model)));
    fact(page, "layout", &each(&|_, model| overview::architecture(model)));
    fact(page, "stored as", &each(&|i, _| stored_as(report, i)));
    fact(page, "files", &overview::notes(&report.sources));
}

/// The parts of a model of several, each with its own facts.
fn parts(page: &mut Page, report: &Report) {
    let first = report.sources.first();
    let root = first.map_or("", |source| {
        let part = source.part.as_deref().unwrap_or("");
        source.path.strip_suffix(part).unwrap_or(&source.path).trim_end_matches('/')
    });
    let count = report.sources.len();
    page.title(&terminal(root), &[dim(format!("a model of {count} parts"))]);
    for (i, (source, model)) in report.sources.iter().zip(&report.models).enumerate() {
        let facts = [
            overview::family(model),
            format!("{} parameters", overview::parameters(model)),
            overview::architecture(model),
            stored_as(report, i),
            overview::source_facts(source),
        ];
        let facts: Vec<String> = facts.into_iter().filter(|fact| !fact.is_empty()).collect();
        let name = source.part.as_deref().filter(|name| !name.is_empty()).unwrap_or("model");
        fact(page, &terminal(name), &facts.join("; "));
    }
    page.blank();
    scope(page, report);
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

/// How it stands, in one sentence; `word` says that this is not all.
fn verdict_line(page: &mut Page, verdict: &Verdict, word: &str) {
    let (style, symbol) = match verdict.severity {
        Some(severity) => (severity_style(severity), severity_symbol(severity)),
        None if verdict.is_good => (Style::Green, "✓"),
        None => (Style::Bold, ""),
    };
    let lead = terminal_within(&verdict.lead, MESSAGE_LIMIT).into_owned();
    let mut line = Vec::new();
    if !symbol.is_empty() {
        line.push(Span::new(style, format!("{symbol} ")));
    }
    if !word.is_empty() {
        line.push(Span::new(Style::Red, word));
    }
    line.push(Span::new(style, lead));
    if !verdict.matter.is_empty() {
        let matter = terminal_within(&verdict.matter, MESSAGE_LIMIT).into_owned();
        line.extend([Span::new(style, ": "), bold(matter)]);
    }
    page.text(0, &line);
}

fn findings(page: &mut Page, report: &Report, options: &RenderOptions<'_>, detail: Detail) {
    let groups = overview::finding_groups(&report.findings);
    let is_shortest = detail.full == 1;
    let listed = if is_shortest { KINDS.min(groups.len()) } else { groups.len() };
    for (index, group) in groups.iter().take(listed).enumerate() {
        // Those of one line stand together.
        if index <= detail.full {
            page.blank();
        }
        let is_full = index < detail.full;
        finding_group(page, group, detail.entries, is_full);
        if options.all {
            consequences(page, &group.consequences(&report.facts), detail.entries);
        }
    }
    if listed < groups.len() {
        let more = numbers::plural((groups.len() - listed) as u64, "more kind");
        page.text(0, &[dim(format!("and {more} of findings"))]);
    }
}

fn finding_group(page: &mut Page, group: &FindingGroup<'_>, top: usize, is_full: bool) {
    let (symbol, severity) = (severity_symbol(group.severity), group.severity);
    let style = if group.known { Style::Dim } else { severity_style(severity) };
    let title = if group.known { Style::Dim } else { Style::Bold };
    let mut notes = Vec::new();
    if group.members.len() > 1 {
        notes.push(group.count());
    }
    notes.extend(group.explains());
    if group.known {
        notes.push("known".to_owned());
    }
    let mut line = vec![
        Span::new(style, format!("{symbol} {severity}")),
        plain("  "),
        Span::new(title, terminal(group.code)),
    ];
    if !is_full {
        let folds = folded(&group.weights());
        let names: Vec<&str> = folds.iter().map(|fold| fold.name.as_str()).collect();
        let message = group.members.first().map_or("", |f| f.message.as_str());
        let what = if names.is_empty() { message.to_owned() } else { names.join(", ") };
        if !notes.is_empty() {
            line.push(dim(format!("  {}", notes.join(", "))));
        }
        line.push(plain(format!("  {}", terminal_within(&what, MESSAGE_LIMIT))));
        page.line(&line);
        return;
    }
    if !notes.is_empty() {
        line.push(dim(format!("  {}", notes.join(", "))));
    }
    page.line(&line);
    let style = if group.known { Style::Dim } else { Style::Plain };
    members(page, 4, group, top, style);
    if let Some(advice) = group.advice {
        arrow(page, 4, advice);
    }
}

/// What is said of each weight of a group; where there are many, blocks are told together.
fn members(page: &mut Page, indent: usize, group: &FindingGroup<'_>, top: usize, style: Style) {
    let rows = rows(group, top);
    let shown = rows.len().min(top);
    entries(page, indent, rows.get(..shown).unwrap_or(&[]), style);
    let hidden: usize = rows.iter().skip(shown).map(|row| row.count).sum();
    if hidden > 0 {
        let hidden = numbers::grouped(hidden as u64);
        page.text(indent, &[dim(format!("and {hidden} more (--top {} shows them)", rows.len()))]);
    }
}

/// A name and what is said of it.
struct Entry<'a> {
    name: String,
    message: String,
    /// Where it differs from one entry to the next.
    advice: &'a str,
    /// How many findings or errors it stands for.
    count: usize,
}

/// Findings that are listed one by one; more are folded.
const ONE_BY_ONE: usize = 3;

fn rows<'a>(group: &FindingGroup<'a>, top: usize) -> Vec<Entry<'a>> {
    let advice = |f: &'a Finding| group.advice_on(f);
    let alone = |f: &'a Finding| {
        // One finding on several weights names them by their blocks.
        let name = match &f.weight {
            Some(name) => name.clone(),
            // Many that do not fold would crowd out what is said of them.
            None if folded(&f.weights.iter().map(String::as_str).collect::<Vec<_>>()).len()
                > overview::NAMES =>
            {
                String::new()
            }
            None => overview::names_of(&f.weights),
        };
        Entry { name, message: f.message.clone(), advice: advice(f), count: 1 }
    };
    let named: Option<Vec<&str>> = group.members.iter().map(|f| f.weight.as_deref()).collect();
    let Some(named) = named.filter(|names| names.len() > ONE_BY_ONE.min(top)) else {
        return group.members.iter().copied().map(alone).collect();
    };
    let folds = folded(&named).into_iter();
    folds
        .filter_map(|fold| {
            let mut of = fold.members.iter().filter_map(|place| group.members.get(*place).copied());
            let first = of.next()?;
            let is_same = of.all(|f| f.message == first.message);
            let count = fold.members.len();
            let message = if is_same {
                first.message.clone()
            } else {
                let block = first.weight.as_deref().and_then(block_of);
                let which =
                    block.map_or_else(String::new, |block| format!(", such as block {block}"));
                format!("{count} weights{which}: {}", first.message)
            };
            Some(Entry { name: fold.name, message, advice: advice(first), count })
        })
        .collect()
}

/// The first number of a name, which is its block's.
fn block_of(name: &str) -> Option<&str> {
    name.split('.').find(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

/// What follows from a finding.
fn consequences(page: &mut Page, groups: &[FindingGroup<'_>], top: usize) {
    if groups.is_empty() {
        return;
    }
    page.text(4, &[dim("from it follow")]);
    for group in groups {
        fact_group(page, 6, group, top);
    }
}

/// Facts that follow from nothing.
fn facts(page: &mut Page, report: &Report, top: usize) {
    let groups = overview::free_facts(report);
    if groups.is_empty() {
        return;
    }
    page.section("Facts", "true, and nothing to act on");
    for group in &groups {
        fact_group(page, 2, group, top);
    }
}

fn fact_group(page: &mut Page, indent: usize, group: &FindingGroup<'_>, top: usize) {
    let count = match group.members.len() {
        1 => String::new(),
        _ => format!("  {}", group.count()),
    };
    let code = terminal(group.code).into_owned();
    page.line(&[plain(" ".repeat(indent)), plain(code), dim(count)]);
    members(page, indent + 2, group, top, Style::Plain);
}

/// Names with their messages: side by side where the names leave room, else one after the other.
fn entries(page: &mut Page, indent: usize, rows: &[Entry<'_>], style: Style) {
    let names: Vec<String> = rows.iter().map(|row| terminal(&row.name).into_owned()).collect();
    let longest = names.iter().map(|name| width(name)).max().unwrap_or(0);
    let beside = indent + longest + 2;
    // Beside the names there is a column worth reading.
    let is_beside = longest > 0 && rows.len() > 1 && beside <= page.width() / 2;
    let name_style = if style == Style::Dim { Style::Dim } else { Style::Blue };
    let margin = plain(" ".repeat(indent));
    for (row, name) in rows.iter().zip(names) {
        let message = terminal_within(&row.message, MESSAGE_LIMIT).into_owned();
        let body = Span::new(style, message);
        let hang = if name.is_empty() {
            page.text(indent, &[body]);
            indent
        } else if is_beside {
            page.flow(&[margin.clone(), Span::new(name_style, name)], beside, &[body]);
            beside
        } else {
            let (bullet, hang) = if rows.len() > 1 { ("· ", indent + 2) } else { ("", indent) };
            let name = short_name(&name, page.width().saturating_sub(hang + 1));
            let mut line = vec![Span::new(name_style, name).solid()];
            if !row.message.is_empty() {
                line.extend([plain(": "), body]);
            }
            page.flow(&[margin.clone(), dim(bullet)], hang, &line);
            hang
        };
        if !row.advice.is_empty() {
            arrow(page, hang, row.advice);
        }
    }
}

fn arrow(page: &mut Page, indent: usize, advice: &str) {
    let advice = terminal_within(advice, MESSAGE_LIMIT).into_owned();
    page.flow(&[plain(" ".repeat(indent)), plain("→ ")], indent + 2, &[plain(advice)]);
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
        let rows = shown.iter().map(|e| Entry {
            name: match &e.analyzer {
                Some(analyzer) => format!("{} ({analyzer})", e.name),
                None => e.name.clone(),
            },
            message: if same.is_some() { String::new() } else { e.message.clone() },
            advice: "",
            count: 1,
        });
        entries(page, 4, &rows.collect::<Vec<_>>(), Style::Plain);
        if members.len() > shown.len() {
            page.text(4, &[dim(more(members.len() - shown.len()))]);
        }
    }
}

fn unmeasured(page: &mut Page, report: &Report, top: usize) {
    let groups = overview::unmeasured(report);
    if groups.is_empty() {
        return;
    }
    page.section("Not measured", "");
    for (reason, names) in groups {
        let count = numbers::plural(names.len() as u64, "weight");
        let reason = terminal_within(reason, MESSAGE_LIMIT);
        page.text(2, &[plain(format!("{reason} ")), dim(format!("({count})"))]);
        let folds = folded(&names);
        for fold in folds.iter().take(top) {
            let name = short_name(&terminal(&fold.name), page.width().saturating_sub(4));
            page.line(&[plain("    "), Span::new(Style::Blue, name)]);
        }
        let hidden: usize = folds.iter().skip(top).map(|fold| fold.members.len()).sum();
        if hidden > 0 {
            page.text(4, &[dim(more(hidden))]);
        }
    }
}

fn conclusions(page: &mut Page, told: &[&Conclusion], top: usize) {
    for conclusion in told.iter().take(top) {
        let message = terminal_within(&conclusion.message, MESSAGE_LIMIT).into_owned();
        page.flow(&[plain("  • ")], 4, &[plain(message)]);
    }
    if told.len() > top {
        let hidden = numbers::plural((told.len() - top) as u64, "more conclusion");
        page.text(4, &[dim(format!("and {hidden} (--all shows them)"))]);
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

/// What was done, and where there is more.
fn footer(page: &mut Page, report: &Report, options: &RenderOptions<'_>) {
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
    let mut hints = Vec::new();
    if let Some(worst) = overview::finding_groups(&report.findings).first() {
        let code = terminal(worst.code);
        hints.push(format!("{COMMAND} explain {code} says what it means"));
    }
    if !options.all && !report.facts.is_empty() {
        let facts = numbers::plural(report.facts.len() as u64, "fact");
        hints.push(format!("--all adds {facts}"));
    }
    if !options.tables && report.totals.measured > 0 {
        hints.push("--tables shows the numbers".to_owned());
    }
    page.text(0, &[dim(hints.join("; "))]);
}
