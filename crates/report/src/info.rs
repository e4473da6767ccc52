//! What a checkpoint is, from its headers alone.

use indexmap::IndexMap;
use serde::Serialize;
use weightscope_core::{
    ErrorRecord, ModelGraph, ModelSummary, Part, Role, SourceRecord, Stack, Weight, element_count,
};

use crate::escape::{markdown, markdown_block, markdown_code, terminal};
use crate::grid::{Align, Grid, GridColumn, GridRow};
use crate::markdown::Document;
use crate::overview::{architecture, dtype_mix, more, parameters, source_facts};
use crate::page::{Page, Span, Style, dim, plain};
use crate::table::{error_section, fact};
use crate::{Format, RenderError, RenderOptions, csv, json, numbers};

/// Cells of the longest bar.
const BAR: usize = 24;

/// Most kinds of weights that a person is shown; models whose names follow a pattern have far fewer.
const KINDS: usize = 200;

/// A checkpoint whose headers were read.
#[derive(Clone, Copy, Debug)]
pub struct Info<'a> {
    /// Its weights and what they add up to.
    pub graph: &'a ModelGraph,
    /// Where it lies.
    pub source: &'a SourceRecord,
    /// What could not be read; the text says so first.
    pub errors: &'a [ErrorRecord],
}

/// Writes the summary of a checkpoint: family, parameters, sizes, shares of categories, and one line for
/// each kind of weight.
///
/// # Errors
/// For [`Format::Html`], which is for scans; else only when a value cannot be written as text, which no
/// summary of a real checkpoint causes.
pub fn render_info(
    info: &Info<'_>,
    format: Format,
    options: &RenderOptions<'_>,
) -> Result<String, RenderError> {
    match format {
        Format::Table => Ok(table(info, options)),
        Format::Json => json::render(&Record::of(info)),
        Format::Markdown => Ok(document(info, options)),
        Format::Csv => rows(info),
        Format::Html => Err(RenderError::new(NoPage)),
    }
}

/// A page is for what was measured.
#[derive(Debug, thiserror::Error)]
#[error("a summary is written as table, json, markdown or csv; html is for scans")]
struct NoPage;

/// Weights that differ in nothing but their block and expert.
#[derive(Debug, Serialize)]
struct Kind<'a> {
    /// Their name with `*` for block and expert.
    name: String,
    role: Role,
    part: Part,
    stack: Option<Stack>,
    dtype: &'a str,
    shape: &'a [u64],
    matrix: Option<[u64; 2]>,
    transposed: bool,
    count: u64,
    /// Of all of them together; 0 for buffers.
    parameters: u64,
}

/// What makes weights the same kind.
type KindKey<'a> = (String, Role, Part, Option<Stack>, &'a str, &'a [u64]);

fn kinds(graph: &ModelGraph) -> Vec<Kind<'_>> {
    let mut kinds: IndexMap<KindKey<'_>, Kind<'_>> = IndexMap::new();
    for weight in &graph.weights {
        let (name, dtype) = (pattern(weight), dtype(weight));
        let key = (name.clone(), weight.role, weight.part, weight.stack, dtype, &*weight.shape);
        let kind = kinds.entry(key).or_insert_with(|| Kind {
            name,
            role: weight.role,
            part: weight.part,
            stack: weight.stack,
            dtype,
            shape: &weight.shape,
            matrix: weight.matrix,
            transposed: weight.transposed,
            count: 0,
            parameters: 0,
        });
        kind.count += 1;
        kind.parameters = kind.parameters.saturating_add(trained(weight));
    }
    kinds.into_values().collect()
}

/// The name with `*` for the block and the expert where they are parts of it.
fn pattern(weight: &Weight) -> String {
    let mut block = weight.block.map(|n| n.to_string());
    let mut expert = weight.expert.map(|n| n.to_string());
    // The block stands before the expert in every family's names.
    let star = |part: &str| {
        for number in [&mut block, &mut expert] {
            if number.as_deref() == Some(part) {
                *number = None;
                return "*".to_owned();
            }
        }
        part.to_owned()
    };
    let (tensor, slice) = weight.name.split_once('#').unwrap_or((&weight.name, ""));
    let mut name = tensor.split('.').map(star).collect::<Vec<_>>().join(".");
    if !slice.is_empty() {
        let is_expert = expert.as_deref() == Some(slice);
        name.push('#');
        name.push_str(if is_expert { "*" } else { slice });
    }
    name
}

fn dtype(weight: &Weight) -> &'static str {
    weight.dtype.map_or("unknown", |dtype| dtype.name())
}

fn elements(weight: &Weight) -> u64 {
    element_count(&weight.shape).unwrap_or(0)
}

fn trained(weight: &Weight) -> u64 {
    if weight.part.is_parameter() { elements(weight) } else { 0 }
}

fn dtypes(graph: &ModelGraph) -> String {
    dtype_mix(graph.weights.iter().map(|w| (dtype(w), elements(w))))
}

fn incomplete(info: &Info<'_>) -> Option<String> {
    let count = info.errors.len() as u64;
    (count > 0)
        .then(|| format!("PARTIAL: {} while reading, see below", numbers::plural(count, "problem")))
}

/// Lists of names that config.json and the tensors disagree about.
fn lists(model: &ModelSummary) -> Vec<(&'static str, Vec<String>)> {
    let tied = model.tied.iter().map(|(copy, original)| format!("{copy} = {original}")).collect();
    let misshapen = model.misshapen.iter().map(|m| {
        let (stored, expected) = (numbers::shape(&m.shape), numbers::shape(&m.expected));
        format!("{}: {stored}, config.json implies {expected}", m.name)
    });
    let lists = [
        ("tied", tied),
        ("missing", model.missing.clone()),
        ("unexpected", model.unexpected.clone()),
        ("misshapen", misshapen.collect()),
    ];
    lists.into_iter().filter(|(_, names)| !names.is_empty()).collect()
}

fn share_of(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn size(model: &ModelSummary) -> String {
    format!("{} in {}", numbers::bytes(model.bytes), numbers::plural(model.tensors, "tensor"))
}

fn table(info: &Info<'_>, options: &RenderOptions<'_>) -> String {
    let mut page = Page::new(options.width, options.color);
    let model = &info.graph.summary;
    if let Some(text) = incomplete(info) {
        page.text(0, &[Span::new(Style::Red, text)]);
        page.blank();
    }
    page.title(&terminal(&info.source.path), &[dim(source_facts(info.source))]);
    page.blank();
    fact(&mut page, "family", &model.family);
    fact(&mut page, "parameters", &parameters(model));
    fact(&mut page, "size", &size(model));
    fact(&mut page, "layout", &architecture(model));
    fact(&mut page, "stored as", &dtypes(info.graph));

    if !model.categories.is_empty() {
        page.section("Parameters by category", "");
        for category in &model.categories {
            let share = share_of(category.parameters, model.parameters);
            page.line(&[
                plain(format!("  {:<18}", category.category.name())),
                plain(format!("  {:>8}", numbers::short(category.parameters))),
                plain(format!("  {:>8}  ", numbers::share(share))),
                Span::new(Style::Blue, bar(share)),
            ]);
        }
    }

    page.section("Weights", "* stands for every block and expert");
    let kinds = kinds(info.graph);
    let hidden = kinds.len().saturating_sub(KINDS);
    kind_grid(kinds).draw(&mut page);
    if hidden > 0 {
        page.text(2, &[dim(more(hidden))]);
    }

    for (title, names) in lists(model) {
        page.section(&format!("{} {title}", numbers::grouped(names.len() as u64)), "");
        for name in names.iter().take(options.top) {
            page.text(2, &[plain(terminal(name))]);
        }
        if names.len() > options.top {
            page.text(2, &[dim(more(names.len() - options.top))]);
        }
    }
    error_section(&mut page, info.errors, options.top);
    page.finish()
}

/// A bar of eighths of a cell.
fn bar(share: f64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * (BAR * 8) as f64).round() as usize;
    // What is not nothing can be seen.
    let eighths = if share > 0.0 { eighths.max(1) } else { 0 };
    "█".repeat(eighths / 8) + EIGHTHS.get(eighths % 8).copied().unwrap_or("")
}

fn kind_grid(kinds: Vec<Kind<'_>>) -> Grid {
    let column = |title: &str, align, rank| GridColumn { title: title.to_owned(), align, rank };
    let columns = vec![
        column("role", Align::Left, 2),
        column("shape", Align::Left, 0),
        column("type", Align::Left, 3),
        column("count", Align::Right, 0),
        column("parameters", Align::Right, 1),
    ];
    let rows = kinds.into_iter().take(KINDS).map(|kind| GridRow {
        mark: None,
        style: Style::Plain,
        cells: vec![
            Some(role(&kind)),
            Some(shape(&kind)),
            Some(kind.dtype.to_owned()),
            Some(numbers::grouped(kind.count)),
            Some(numbers::short(kind.parameters)).filter(|_| kind.part.is_parameter()),
        ],
        name: kind.name,
    });
    Grid { title: "weight", columns, rows: rows.collect() }
}

fn role(kind: &Kind<'_>) -> String {
    match kind.part {
        Part::Weight => kind.role.name().to_owned(),
        part => format!("{} {part}", kind.role),
    }
}

fn shape(kind: &Kind<'_>) -> String {
    let turned = if kind.transposed { " (in, out)" } else { "" };
    numbers::shape(kind.shape) + turned
}

fn document(info: &Info<'_>, options: &RenderOptions<'_>) -> String {
    let mut out = Document::default();
    let model = &info.graph.summary;
    if let Some(text) = incomplete(info) {
        out.paragraph(&format!("**{text}**"));
    }
    out.paragraph(&format!("## WeightScope: {}", markdown_code(&info.source.path)));
    let facts = [
        ("family", model.family.clone()),
        ("parameters", parameters(model)),
        ("size", size(model)),
        ("layout", architecture(model)),
        ("stored as", dtypes(info.graph)),
    ];
    out.facts(&facts);

    let titles = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let categories = model.categories.iter().map(|c| {
        let share = numbers::share(share_of(c.parameters, model.parameters));
        let name = markdown(c.category.name()).into_owned();
        vec![
            name,
            numbers::grouped(c.tensors),
            numbers::grouped(c.parameters),
            markdown(&share).into_owned(),
        ]
    });
    out.table(
        &titles(&["category", "tensors", "parameters", "share"]),
        &[false, true, true, true],
        &categories.collect::<Vec<_>>(),
    );
    let rows = kinds(info.graph).into_iter().take(KINDS).map(|kind| {
        vec![
            markdown_code(&kind.name),
            markdown(&role(&kind)).into_owned(),
            shape(&kind),
            markdown(kind.dtype).into_owned(),
            numbers::grouped(kind.count),
            numbers::grouped(kind.parameters),
        ]
    });
    out.table(
        &titles(&["weight", "role", "shape", "type", "count", "parameters"]),
        &[false, false, false, false, true, true],
        &rows.collect::<Vec<_>>(),
    );
    for (title, names) in lists(model) {
        out.paragraph(&format!("### {} {title}", numbers::grouped(names.len() as u64)));
        let mut items: Vec<String> =
            names.iter().take(options.top).map(|name| markdown_code(name)).collect();
        if names.len() > options.top {
            items.push(more(names.len() - options.top));
        }
        out.list(&items);
    }
    let errors = info.errors.iter().map(|error| {
        let (code, name) = (markdown_code(&error.code), markdown_code(&error.name));
        format!("{code} {name}: {}", markdown_block(&error.message))
    });
    if !info.errors.is_empty() {
        out.paragraph("### Errors");
        out.list(&errors.collect::<Vec<_>>());
    }
    out.text
}

fn rows(info: &Info<'_>) -> Result<String, RenderError> {
    let mut rows = csv::Rows::new();
    rows.push(csv::FIXED.iter().take(10).map(|title| (*title).to_owned()))?;
    for weight in &info.graph.weights {
        rows.push(csv::identity(&csv::Identity {
            name: &weight.name,
            role: weight.role,
            part: weight.part,
            stack: weight.stack,
            block: weight.block,
            expert: weight.expert,
            dtype: dtype(weight),
            shape: &weight.shape,
            matrix: weight.matrix,
            parameters: trained(weight),
        }))?;
    }
    rows.finish()
}

/// The machine-readable summary.
#[derive(Debug, Serialize)]
struct Record<'a> {
    schema: Schema,
    source: &'a SourceRecord,
    model: &'a ModelSummary,
    kinds: Vec<Kind<'a>>,
    weights: Vec<Entry<'a>>,
    errors: &'a [ErrorRecord],
}

#[derive(Debug, Serialize)]
struct Schema {
    name: &'static str,
    major: u32,
    minor: u32,
}

#[derive(Debug, Serialize)]
struct Entry<'a> {
    name: &'a str,
    role: Role,
    part: Part,
    stack: Option<Stack>,
    block: Option<u32>,
    expert: Option<u32>,
    dtype: &'a str,
    shape: &'a [u64],
    matrix: Option<[u64; 2]>,
    transposed: bool,
    parameters: u64,
}

impl<'a> Record<'a> {
    fn of(info: &Info<'a>) -> Self {
        let weights = info.graph.weights.iter().map(|weight| Entry {
            name: &weight.name,
            role: weight.role,
            part: weight.part,
            stack: weight.stack,
            block: weight.block,
            expert: weight.expert,
            dtype: dtype(weight),
            shape: &weight.shape,
            matrix: weight.matrix,
            transposed: weight.transposed,
            parameters: trained(weight),
        });
        Self {
            schema: Schema { name: "weightscope-info", major: 1, minor: 0 },
            source: info.source,
            model: &info.graph.summary,
            kinds: kinds(info.graph),
            weights: weights.collect(),
            errors: info.errors,
        }
    }
}
