//! What a checkpoint is, from its headers alone.

use std::borrow::Cow;

use indexmap::IndexMap;
use serde::Serialize;
use weightscope_core::{
    ErrorRecord, ModelGraph, ModelSummary, Part, Role, SourceRecord, Stack, StoredForm,
    StoredShare, TensorEntry, Weight, element_count,
};

use crate::escape::{markdown, markdown_block, markdown_code, terminal};
use crate::grid::{Align, Grid, GridColumn, GridRow};
use crate::markdown::Document;
use crate::overview::{
    adapter, architecture, family, imports, more, notes, parameters, source_facts,
};
use crate::page::{Page, Span, Style, dim, plain};
use crate::stored::{has_forms, model_stored_as};
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
    /// What they lie in, as their numbers say.
    pub entries: &'a [TensorEntry],
    /// Where it lies.
    pub source: &'a SourceRecord,
    /// What could not be read; the text says so first.
    pub errors: &'a [ErrorRecord],
    /// Whether a person is shown the stored tensors of weights that are stored in several.
    pub parts: bool,
}

impl<'a> Info<'a> {
    fn entry(&self, weight: &Weight) -> Option<&'a TensorEntry> {
        self.entries.get(weight.entry.0 as usize)
    }

    /// Type of the elements that are handed out, as the file spells it where it is not known.
    fn dtype(&self, weight: &Weight) -> &'a str {
        self.entry(weight).map_or("unknown", |entry| &entry.dtype_name)
    }

    fn stored_type(&self, weight: &Weight) -> Cow<'a, str> {
        self.entry(weight).map_or(Cow::Borrowed("unknown"), TensorEntry::stored_type)
    }

    fn form(&self, weight: &Weight) -> Option<&'a StoredForm> {
        self.entry(weight)?.stored.as_deref()
    }

    /// Bytes of a weight, which may be a piece of its tensor.
    fn stored_bytes(&self, weight: &Weight) -> Option<u64> {
        Some(self.entry(weight)?.stored_bytes(elements(weight)))
    }
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
    stored_type: Cow<'a, str>,
    shape: Cow<'a, [u64]>,
    matrix: Option<[u64; 2]>,
    transposed: bool,
    count: u64,
    /// Of all of them together; 0 for buffers.
    parameters: u64,
}

/// What makes weights the same kind.
type KindKey<'a> = (String, Role, Part, Option<Stack>, Cow<'a, str>, Cow<'a, [u64]>);

fn kinds<'a>(info: &Info<'a>) -> Vec<Kind<'a>> {
    let mut kinds: IndexMap<KindKey<'_>, Kind<'_>> = IndexMap::new();
    for weight in &info.graph.weights {
        let (name, stored) = (pattern(weight), info.stored_type(weight));
        let (shape, transposed) = weight.told_shape(info.entry(weight));
        let key =
            (name.clone(), weight.role, weight.part, weight.stack, stored.clone(), shape.clone());
        let kind = kinds.entry(key).or_insert_with(|| Kind {
            name,
            role: weight.role,
            part: weight.part,
            stack: weight.stack,
            dtype: info.dtype(weight),
            stored_type: stored,
            shape,
            matrix: weight.matrix,
            transposed,
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

fn elements(weight: &Weight) -> u64 {
    element_count(&weight.shape).unwrap_or(0)
}

fn trained(weight: &Weight) -> u64 {
    if weight.part.is_parameter() { elements(weight) } else { 0 }
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
    fact(&mut page, "family", &family(model));
    fact(&mut page, "adapter", &adapter(model));
    fact(&mut page, "parameters", &parameters(model));
    fact(&mut page, "size", &size(model));
    fact(&mut page, "layout", &architecture(model));
    fact(&mut page, "stored as", &model_stored_as(model));
    fact(&mut page, "imports", &imports(info.source));
    fact(&mut page, "files", &notes(std::slice::from_ref(info.source)));

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

    if has_forms(model) {
        page.section("Stored as", "");
        form_grid(model).draw(&mut page);
    }

    page.section("Weights", "* stands for every block and expert");
    let kinds = kinds(info);
    let hidden = kinds.len().saturating_sub(KINDS);
    kind_grid(kinds, has_forms(model)).draw(&mut page);
    if hidden > 0 {
        page.text(2, &[dim(more(hidden))]);
    }

    let parts = parts(info);
    if !parts.is_empty() {
        page.section("Parts", "the stored tensors of a weight, the one with its codes first");
        for (name, parts) in parts {
            page.text(2, &[Span::new(Style::Blue, terminal(&name))]);
            page.text(4, &[plain(terminal(&parts.join(", ")))]);
        }
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

/// Where there is more than plain numbers, the types outlive the roles, which names tell as well.
fn kind_grid(kinds: Vec<Kind<'_>>, has_forms: bool) -> Grid {
    let [role_rank, type_rank] = if has_forms { [3, 2] } else { [2, 3] };
    let column = |title: &str, align, rank| GridColumn { title: title.to_owned(), align, rank };
    let columns = vec![
        column("role", Align::Left, role_rank),
        column("shape", Align::Left, 0),
        column("type", Align::Left, type_rank),
        column("count", Align::Right, 0),
        column("parameters", Align::Right, 1),
    ];
    let rows = kinds.into_iter().take(KINDS).map(|kind| GridRow {
        mark: None,
        style: Style::Plain,
        cells: vec![
            Some(role(&kind)),
            Some(shape(&kind)),
            Some(terminal(&kind.stored_type).into_owned()),
            Some(numbers::grouped(kind.count)),
            Some(numbers::short(kind.parameters)).filter(|_| kind.part.is_parameter()),
        ],
        name: kind.name,
    });
    Grid { title: "weight", columns, rows: rows.collect() }
}

/// Titles of a table of stored forms; all but the first hold numbers.
const FORM_TITLES: [&str; 6] = ["type", "tensors", "values", "share", "bytes", "bits a weight"];

/// What a table says of each stored form after its name.
fn form_cells(model: &ModelSummary) -> Vec<(&str, [String; 5])> {
    let all = model.stored_as.iter().fold(0u64, |sum, part| sum.saturating_add(part.elements));
    let cells = |part: &StoredShare| {
        [
            numbers::grouped(part.tensors),
            numbers::grouped(part.elements),
            numbers::share(share_of(part.elements, all)),
            numbers::bytes(part.bytes),
            part.bits_per_weight.map_or_else(|| "–".to_owned(), |bits| format!("{bits:.2}")),
        ]
    };
    model.stored_as.iter().map(|part| (part.name.as_str(), cells(part))).collect()
}

fn form_grid(model: &ModelSummary) -> Grid {
    let columns = FORM_TITLES.iter().skip(1).zip(0..).map(|(title, rank)| GridColumn {
        title: (*title).to_owned(),
        align: Align::Right,
        rank,
    });
    let rows = form_cells(model).into_iter().map(|(name, cells)| GridRow {
        mark: None,
        style: Style::Plain,
        name: name.to_owned(),
        cells: cells.into_iter().map(Some).collect(),
    });
    Grid { title: "type", columns: columns.collect(), rows: rows.collect() }
}

/// The stored tensors of every weight that is stored in several, where they are asked for.
fn parts(info: &Info<'_>) -> Vec<(String, Vec<String>)> {
    let is_several = |entry: &&TensorEntry| {
        entry.stored.as_ref().is_some_and(|form| form.parts != [entry.name.as_str()])
    };
    let asked = info.entries.iter().filter(|_| info.parts);
    let of = |entry: &TensorEntry| {
        let parts = entry.stored.as_ref().map_or_else(Vec::new, |form| form.parts.clone());
        (entry.name.clone(), parts)
    };
    asked.filter(is_several).map(of).collect()
}

fn role(kind: &Kind<'_>) -> String {
    match kind.part {
        Part::Weight => kind.role.name().to_owned(),
        part => format!("{} {part}", kind.role),
    }
}

fn shape(kind: &Kind<'_>) -> String {
    let turned = if kind.transposed { " (in, out)" } else { "" };
    numbers::shape(&kind.shape) + turned
}

fn document(info: &Info<'_>, options: &RenderOptions<'_>) -> String {
    let mut out = Document::default();
    let model = &info.graph.summary;
    if let Some(text) = incomplete(info) {
        out.paragraph(&format!("**{text}**"));
    }
    out.paragraph(&format!("## WeightScope: {}", markdown_code(&info.source.path)));
    let facts = [
        ("family", family(model)),
        ("adapter", adapter(model)),
        ("parameters", parameters(model)),
        ("size", size(model)),
        ("layout", architecture(model)),
        ("stored as", model_stored_as(model)),
        ("imports", imports(info.source)),
        ("files", notes(std::slice::from_ref(info.source))),
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
    if has_forms(model) {
        let rows = form_cells(model).into_iter().map(|(name, cells)| {
            let cells = cells.iter().map(|cell| markdown(cell).into_owned());
            std::iter::once(markdown(name).into_owned()).chain(cells).collect()
        });
        let right = [false, true, true, true, true, true];
        out.table(&titles(&FORM_TITLES), &right, &rows.collect::<Vec<Vec<String>>>());
    }
    let rows = kinds(info).into_iter().take(KINDS).map(|kind| {
        vec![
            markdown_code(&kind.name),
            markdown(&role(&kind)).into_owned(),
            shape(&kind),
            markdown(&kind.stored_type).into_owned(),
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
    rows.push(csv::FIXED.iter().take(csv::FIXED.len() - 1).map(|title| (*title).to_owned()))?;
    for weight in &info.graph.weights {
        rows.push(csv::identity(&csv::Identity {
            name: &weight.name,
            role: weight.role,
            part: weight.part,
            stack: weight.stack,
            block: weight.block,
            expert: weight.expert,
            dtype: info.dtype(weight),
            shape: &weight.told_shape(info.entry(weight)).0,
            matrix: weight.matrix,
            parameters: trained(weight),
            stored_type: &info.stored_type(weight),
            stored_bits: info.entry(weight).and_then(TensorEntry::stored_bits),
            stored_bytes: info.stored_bytes(weight),
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
    shape: Cow<'a, [u64]>,
    matrix: Option<[u64; 2]>,
    transposed: bool,
    parameters: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<Stored<'a>>,
}

/// How a weight is stored that is not plain elements of one type.
#[derive(Debug, Serialize)]
struct Stored<'a> {
    scheme: &'a str,
    bits_per_weight: Option<f64>,
    bytes: Option<u64>,
    parts: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    factor_block: Option<[u64; 2]>,
    /// Why its values cannot be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<&'a str>,
}

impl<'a> Record<'a> {
    fn of(info: &Info<'a>) -> Self {
        let shapes = |weight: &'a Weight| weight.told_shape(info.entry(weight));
        let weights = info.graph.weights.iter().map(|weight| Entry {
            name: &weight.name,
            role: weight.role,
            part: weight.part,
            stack: weight.stack,
            block: weight.block,
            expert: weight.expert,
            dtype: info.dtype(weight),
            shape: shapes(weight).0,
            matrix: weight.matrix,
            transposed: shapes(weight).1,
            parameters: trained(weight),
            stored: info.form(weight).map(|form| Stored {
                scheme: &form.scheme,
                bits_per_weight: info.entry(weight).and_then(TensorEntry::stored_bits),
                bytes: info.stored_bytes(weight),
                parts: &form.parts,
                factor_block: form.factor_block,
                unreadable: form.unreadable.as_deref(),
            }),
        });
        Self {
            schema: Schema { name: "weightscope-info", major: 1, minor: 1 },
            source: info.source,
            model: &info.graph.summary,
            kinds: kinds(info),
            weights: weights.collect(),
            errors: info.errors,
        }
    }
}
