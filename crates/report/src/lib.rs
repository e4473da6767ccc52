//! Reports: one [`Report`], written for a terminal, a program, a pull request or a spreadsheet.
//!
//! Everything here turns a value into text and returns it; nothing is printed and no setting is read from
//! the environment. Names and messages that come from a checkpoint are untrusted and are made harmless by
//! [`escape`] on their way into any format.
//!
//! ```
//! use weightscope_core::*;
//! use weightscope_report::{Format, RenderOptions, read_report, render};
//!
//! let report = Report {
//!     schema: SchemaRecord::default(),
//!     tool: ToolRecord { name: "weightscope".into(), version: "0.1.0".into() },
//!     kind: ReportKind::Scan,
//!     status: Status::Complete,
//!     sources: vec![],
//!     models: vec![],
//!     settings: Settings::default(),
//!     weights: vec![],
//!     findings: vec![],
//!     facts: vec![],
//!     conclusions: vec![],
//!     figures: vec![],
//!     errors: vec![],
//!     totals: Totals::default(),
//!     timings: None,
//! };
//! let json = render(&report, Format::Json, &RenderOptions::default())?;
//! assert_eq!(read_report(&json)?, report);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::string_slice)]

use weightscope_core::{Descriptor, Figure, Report};

mod columns;
mod csv;
pub mod escape;
mod explain;
mod file;
mod format;
mod grid;
mod html;
mod info;
mod json;
mod markdown;
mod names;
mod nearest;
mod numbers;
mod overview;
mod page;
pub mod pieces;
mod schema;
mod schemes;
mod scope;
mod stored;
mod table;
mod tables;
pub mod text;

pub use explain::{Topic, UnknownTopic, render_analyzers, render_explain};
pub use file::{WriteError, write_atomic};
pub use format::{Format, FormatError};
pub use html::render_figure_page;
pub use info::{Info, render_info};
pub use json::{ReadError, read_report};
pub use nearest::nearest;
pub use schema::schema;

/// How a report is written.
#[derive(Clone, Copy, Debug)]
pub struct RenderOptions<'a> {
    /// Columns of the terminal; no line of a table is longer (but 40 is the least).
    pub width: usize,
    /// Whether tables are coloured with ANSI sequences.
    pub color: bool,
    /// Weights per analyzer, and findings or errors per code, that a person is shown. JSON and CSV hold all.
    pub top: usize,
    /// Most lines of a terminal's answer: where it would have more, long lists and minor findings are shortened.
    /// Without one nothing is, but by `top`.
    pub lines: Option<usize>,
    /// Whether a person is shown facts, too: what follows from findings, and what asks for nothing.
    pub all: bool,
    /// Whether a terminal's answer has a table of numbers for each analyzer.
    pub tables: bool,
    /// What the analyzers of the report mean; one that is missing here is shown by what it measured.
    pub descriptors: &'a [&'a Descriptor],
}

impl Default for RenderOptions<'_> {
    /// 80 columns, no colour, ten of each, findings alone, however many lines it takes; no descriptors.
    fn default() -> Self {
        Self {
            width: 80,
            color: false,
            top: 10,
            lines: None,
            all: false,
            tables: false,
            descriptors: &[],
        }
    }
}

/// Writes `report` in `format`. The same report and options give the same bytes.
///
/// # Errors
/// Only when a value cannot be written in the format, which no report of a finished run causes.
pub fn render(
    report: &Report,
    format: Format,
    options: &RenderOptions<'_>,
) -> Result<String, RenderError> {
    match format {
        Format::Table => Ok(table::render(report, options)),
        Format::Json => json::render(report),
        Format::Markdown => Ok(markdown::render(report, options)),
        Format::Csv => csv::render(report, options),
        Format::Html => html::render(report, options),
    }
}

/// Figures alone as JSON: `{"figures": [..]}`, each as in the JSON report.
///
/// # Errors
/// As [`render`].
pub fn render_figures_json(figures: &[Figure]) -> Result<String, RenderError> {
    json::render(&std::collections::BTreeMap::from([("figures", figures)]))
}

/// A report that cannot be written in a format.
#[derive(Debug, thiserror::Error)]
#[error("report cannot be written: {source}")]
pub struct RenderError {
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl RenderError {
    fn new(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { source: Box::new(source) }
    }
}
