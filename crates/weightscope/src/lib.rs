//! Look inside the weights of a language model.
//!
//! This crate joins the parts: it opens a checkpoint, works out what its tensors are, measures every weight
//! with the chosen analyzers and hands back one [`Report`].
//!
//! ```no_run
//! use weightscope::{Scan, Severity};
//!
//! let report = Scan::new(["model/"]).run()?;
//! println!("{} parameters", report.models[0].parameters);
//! for finding in report.findings.iter().filter(|f| f.severity >= Severity::Warning) {
//!     println!("{} {}: {}", finding.code, finding.weight.as_deref().unwrap_or("model"), finding.message);
//! }
//! # Ok::<(), weightscope::ScanError>(())
//! ```
//!
//! The parts can be used alone: `weightscope-load` reads files, `weightscope-graph` names weights,
//! `weightscope-stats` computes, `weightscope-report` renders, `weightscope-plan` plans a quantisation, and `weightscope-core` is all that the author
//! of an [`Analyzer`] needs.
#![forbid(unsafe_code)]

mod plot;
mod registry;
mod scan;

pub use plot::{MOST_EXACT, PlotError, PlotRequest, plot};
pub use registry::{Companion, Registry, RegistryError, builtin_registry};
pub use scan::{Compare, One, Opened, Run, Scan, ScanError, Two, open, open_parts};

pub use weightscope_core::*;
pub use weightscope_engine::{
    EngineError, JournalError, JournalFile, RunOptions, available_memory, check_globs,
    default_budget, rejudge,
};
pub use weightscope_graph::{WalkOptions, pair, walk};
pub use weightscope_load as load;
pub use weightscope_plan as plan;
pub use weightscope_report as report;
