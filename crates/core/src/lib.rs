//! The vocabulary of WeightScope: what a weight is, what a measurement is, what a report holds.
//!
//! A plugin author depends on this crate alone: implement [`Analyzer`], hand it to the engine. A reader of
//! reports deserialises [`Report`]. There is no I/O here; bytes come through [`TensorSource`].
//!
//! The way of one tensor: a loader offers [`TensorEntry`]s, the graph walker turns them into [`Weight`]s,
//! the engine lends [`Unit`]s of [`WeightView`]s to every [`Analyzer`], their [`Output`] becomes a
//! [`WeightRecord`], and when the last is done, judging turns the [`Report`]'s numbers into [`Finding`]s.
#![forbid(unsafe_code)]

mod analyzer;
mod architecture;
mod block;
mod event;
mod figure;
mod finding;
mod memory;
mod mlp;
mod pair;
mod parameters;
mod report;
mod role;
mod siblings;
mod source;
mod storage;
mod summarize;
mod tensor;
mod value;
mod view;
mod weight;

pub use analyzer::{
    AnalyzeError, Analyzer, CauseSpec, Cost, Descriptor, FindingSpec, MetricSpec, Output, Reach,
    UnitSpec, WeightId,
};
pub use architecture::{PORTRAITS, architecture_figures, portraits};
pub use event::Event;
pub use figure::{Axes, BoxStatistics, Cells, Figure, FigureData, HeatMap, Series, Ticks};
pub use finding::{
    CausedBy, Conclusion, Evidence, Finding, Reference, ReferenceKind, Severity, Verdicts,
};
pub use memory::MemorySource;
pub use mlp::{InputNorm, Mlp};
pub use pair::PairSource;
pub use parameters::{ParameterSpec, Parameters};
pub use report::{
    AdapterRecord, CategoryRecord, Danger, ErrorRecord, ErrorScope, FileRecord, FindingCounts,
    GlobalRecord, IgnoreRule, ModelSummary, NotMeasured, Report, ReportKind, SCHEMA_MAJOR,
    SCHEMA_MINOR, SCHEMA_NAME, SchemaRecord, SeriesDetail, Settings, ShapeMismatch, SourceRecord,
    Status, StoredRecord, StoredShare, Timings, ToolRecord, Totals, TowerRecord, WeightRecord,
    WeightStatus, WrapperRecord,
};
pub use role::{Category, Kind, Part, Role, Stack};
pub use siblings::{
    DepthQuestion, SIBLINGS, Siblings, judge_siblings, sibling_groups, trend_figures,
    without_numbers,
};
pub use source::{
    EntryId, Metadata, Orientation, SourceError, StoredForm, TensorEntry, TensorSource,
};
pub use storage::StorageGrid;
pub use summarize::{SUMMARY_WORK, summary_scratch, summary_work};
pub use tensor::{Tensor, TensorSizeError, element_count};
pub use value::{Key, Metrics, Value};
pub use view::{Axis, Cancel, Host, Order, Scalar, Shared, Unit, WeightView};
pub use weight::{
    Confidence, Factor, FusedPart, Heads, Layout, ModelGraph, Pairing, Unpaired, Weight,
};
pub use weightscope_codec::DType;
pub use weightscope_stats as stats;
