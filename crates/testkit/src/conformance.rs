//! What every analyzer must keep to.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use weightscope_codec::DType;
use weightscope_core::{
    AnalyzeError, Analyzer, Cancel, EntryId, Factor, Figure, MemorySource, Metadata, ModelGraph,
    Output, Report, Settings, Shared, SourceError, TensorEntry, TensorSource, Unit, UnitSpec,
    Value, Verdicts, WeightView,
};
use weightscope_engine::{RunOptions, scan};
use weightscope_graph::{WalkOptions, pair, walk};

use crate::Random;
use crate::checkpoint::encode;
use crate::models::{Architecture, ModelSpec};

/// Holds an analyzer against the contract of [`Analyzer`].
///
/// Checked are its descriptor; its units, costs and output on tensors of every element type and of awkward
/// shapes and values (empty, one value, one line, all NaN, all zero, constant, transposed); that every metric
/// is declared, finite or explained, and the same every time, also with 1 and 3 threads; that errors of
/// reading and cancelling come back as such; and that judging makes nothing of a report without its metrics. An
/// analyzer that compares is given pairs; one that finds nothing to measure in any case has not been tried, and fails.
///
/// ```
/// use weightscope_core::{AnalyzeError, Analyzer, Descriptor, MetricSpec, Output, Unit};
///
/// #[derive(Debug)]
/// struct Zeros;
///
/// static DESCRIPTOR: Descriptor = Descriptor {
///     id: "zeros",
///     summary: "How many weights are zero",
///     metrics: &[MetricSpec::new("count", "count", "Values that are zero.")],
///     ..Descriptor::EMPTY
/// };
///
/// impl Analyzer for Zeros {
///     fn descriptor(&self) -> &Descriptor {
///         &DESCRIPTOR
///     }
///     fn analyze(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
///         out.metric("count", unit.first().summary()?.tally.zero);
///         Ok(())
///     }
/// }
///
/// weightscope_testkit::conformance(&Zeros);
/// ```
///
/// # Panics
/// With a sentence on what is not kept to, and on which tensors.
pub fn conformance(analyzer: &dyn Analyzer) {
    descriptor(analyzer);
    let compares = analyzer.descriptor().compares;
    let mut units = 0;
    for case in cases() {
        let case = if compares { case.paired() } else { case };
        let contract = Contract { analyzer, case: &case };
        units += contract.units();
        contract.analyze();
        contract.broken_source();
        contract.cancelled();
        contract.judge_without_metrics();
        contract.scan();
    }
    assert!(units > 0, "{}: has no unit in any case", analyzer.descriptor().id);
    judge_nothing(analyzer, &empty_report(), "an empty report");
}

/// A checkpoint to try.
struct Case {
    name: String,
    source: MemorySource,
    graph: ModelGraph,
}

impl Case {
    /// The checkpoint against one that has the elements of every second tensor in reverse.
    fn paired(self) -> Self {
        let Self { name, source, graph } = self;
        let mut both = MemorySource::new(source.metadata().clone());
        for reverses in [false, true] {
            for (index, entry) in source.entries().iter().enumerate() {
                let mut bytes = vec![0; entry.bytes as usize];
                let id = EntryId(index as u32);
                source.read_at(id, 0..entry.bytes, &mut bytes).expect("the bytes are there");
                let dtype = entry.dtype.expect("the type is known");
                let size = dtype.bytes();
                if reverses && index % 2 == 1 {
                    bytes = bytes.chunks(size).rev().flatten().copied().collect();
                }
                both.push(&entry.name, dtype, &entry.shape, bytes).expect("the bytes fit");
            }
        }
        // Products are told apart by what their factors share, which two checkpoints do not.
        let mut other = graph.clone();
        let mut copies: BTreeMap<usize, Arc<Factor>> = BTreeMap::new();
        for weight in &mut other.weights {
            if let Some(factor) = weight.factor.as_ref() {
                let copy = copies.entry(Arc::as_ptr(factor) as usize);
                weight.factor = Some(copy.or_insert_with(|| Arc::new((**factor).clone())).clone());
            }
        }
        let graph = pair(&graph, &other, source.entries().len());
        Self { name: format!("{name}, in pairs"), source: both, graph }
    }
}

/// What the values of a case are.
#[derive(Clone, Copy, Debug)]
enum Fill {
    Normal,
    Nan,
    Zero,
    Constant,
    Infinite,
    Mixed,
    Huge,
    Tiny,
}

impl Fill {
    const ALL: [Self; 8] = [
        Self::Normal,
        Self::Nan,
        Self::Zero,
        Self::Constant,
        Self::Infinite,
        Self::Mixed,
        Self::Huge,
        Self::Tiny,
    ];

    fn values(self, count: usize) -> Vec<f32> {
        let mut random = Random::new(count as u64);
        let mut draw = |index: usize| {
            let normal = random.normal() as f32;
            match self {
                Self::Normal => 10.0 * normal,
                Self::Nan => f32::NAN,
                Self::Zero => 0.0,
                Self::Constant => 3.0,
                Self::Infinite => f32::INFINITY,
                Self::Mixed if index.is_multiple_of(5) => {
                    [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][index / 5 % 3]
                }
                Self::Mixed => normal,
                Self::Huge => normal.signum() * f32::MAX,
                Self::Tiny => normal * 1e-42,
            }
        };
        (0..count).map(&mut draw).collect()
    }
}

/// Names of every kind of tensor, and whether its shape is turned (so that MLPs fit together).
const NAMES: [(&str, bool); 14] = [
    ("model.embed_tokens.weight", false),
    ("model.layers.0.self_attn.q_proj.weight", false),
    ("model.layers.0.self_attn.k_proj.weight", false),
    ("model.layers.0.self_attn.v_proj.weight", false),
    ("model.layers.0.self_attn.o_proj.weight", true),
    ("model.layers.0.mlp.gate_proj.weight", false),
    ("model.layers.0.mlp.up_proj.weight", false),
    ("model.layers.0.mlp.down_proj.weight", true),
    ("model.layers.0.mlp.down_proj.weight_scale", false),
    ("model.layers.0.input_layernorm.weight", false),
    ("something.else", false),
    ("model.layers.0.self_attn.x_proj.lora_A.weight", false),
    ("model.layers.0.self_attn.x_proj.lora_B.weight", true),
    ("lm_head.weight", false),
];

fn cases() -> Vec<Case> {
    const SHAPE: &[u64] = &[16, 24];
    let mut cases = vec![adapter_alone()];
    for transposed in [false, true] {
        for dtype in DType::ALL {
            cases.push(case(dtype, SHAPE, Fill::Normal, transposed));
        }
        for fill in Fill::ALL {
            for dtype in [DType::F64, DType::F32, DType::BF16, DType::F16] {
                cases.push(case(dtype, SHAPE, fill, transposed));
            }
        }
        let shapes: [&[u64]; 15] = [
            &[],
            &[0],
            &[1],
            &[7],
            &[1, 1],
            &[1, 9],
            &[9, 1],
            &[0, 5],
            &[5, 0],
            &[0, 0],
            &[2, 2],
            &[4, 3],
            &[3, 5, 7],
            &[2, 3, 4, 5],
            &[150, 130],
        ];
        for shape in shapes {
            for fill in [Fill::Normal, Fill::Nan, Fill::Zero] {
                cases.push(case(DType::F32, shape, fill, transposed));
            }
            cases.push(case(DType::BF16, shape, Fill::Normal, transposed));
        }
    }
    for architecture in Architecture::ALL {
        let model = ModelSpec::new(architecture).blocks(2).seed(3).build();
        let name = format!("a small {architecture:?}");
        for split_fused in [false, true] {
            let source = model.to_source();
            let graph = walk(
                source.entries(),
                source.metadata(),
                &WalkOptions { split_fused, ..WalkOptions::default() },
            );
            let name =
                if split_fused { format!("{name}, fused tensors cut") } else { name.clone() };
            cases.push(Case { name, source, graph });
        }
    }
    cases
}

/// A checkpoint that is an adapter and nothing else.
fn adapter_alone() -> Case {
    let mut source = MemorySource::new(Metadata::default());
    for (name, turned) in NAMES.into_iter().filter(|(name, _)| name.contains("lora_")) {
        let shape = if turned { [24, 8] } else { [8, 24] };
        let bytes = encode(DType::F32, &Fill::Normal.values(8 * 24));
        source.push(name, DType::F32, &shape, bytes).expect("the bytes fit the shape");
    }
    let graph = walk(source.entries(), source.metadata(), &WalkOptions::default());
    Case { name: "an adapter alone".to_owned(), source, graph }
}

/// A checkpoint with a tensor of every kind, all alike.
fn case(dtype: DType, shape: &[u64], fill: Fill, transposed: bool) -> Case {
    let mut source = MemorySource::new(Metadata::default());
    let count: u64 = shape.iter().product();
    for (name, turned) in NAMES {
        let mut shape = shape.to_vec();
        if turned {
            shape.reverse();
        }
        let bytes = encode(dtype, &fill.values(count as usize));
        source.push(name, dtype, &shape, bytes).expect("the bytes fit the shape");
    }
    let mut graph = walk(source.entries(), source.metadata(), &WalkOptions::default());
    let mut name = format!("{dtype} tensors of shape {shape:?} with {fill:?} values");
    if transposed {
        name.push_str(", transposed");
        for weight in &mut graph.weights {
            weight.transposed = weight.matrix.is_some();
            weight.matrix = weight.matrix.map(|[a, b]| [b, a]);
        }
    }
    Case { name, source, graph }
}

/// Letters, digits and `separator`, beginning with a letter.
fn is_spelled(text: &str, separators: &[char]) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with(separators)
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || separators.contains(&c))
}

fn descriptor(analyzer: &dyn Analyzer) {
    let d = analyzer.descriptor();
    let id = d.id;
    assert!(is_spelled(id, &['_']), "the id \"{id}\" is not in snake_case");
    assert!(d.version >= 1, "{id}: versions begin with 1");
    assert!(!d.summary.trim().is_empty(), "{id}: the summary is empty");
    let mut keys = BTreeSet::new();
    for metric in d.metrics {
        let key = metric.key;
        assert!(is_spelled(key, &['_']), "{id}: the metric \"{key}\" is not in snake_case");
        assert!(keys.insert(key), "{id}: the metric \"{key}\" is declared twice");
        assert!(!metric.doc.trim().is_empty(), "{id}: the metric \"{key}\" has no doc");
    }
    let mut keys = BTreeSet::new();
    for parameter in d.parameters {
        let key = parameter.key;
        assert!(is_spelled(key, &['_']), "{id}: the parameter \"{key}\" is not in snake_case");
        assert!(keys.insert(key), "{id}: the parameter \"{key}\" is declared twice");
        assert!(!parameter.doc.trim().is_empty(), "{id}: the parameter \"{key}\" has no doc");
        assert!(parameter.default.is_finite(), "{id}: the parameter \"{key}\" has no default");
    }
    let mut codes = BTreeSet::new();
    for finding in d.findings {
        let code = finding.code;
        let parts: Vec<&str> = code.split('.').collect();
        let sane = matches!(parts.as_slice(), [area, condition]
            if is_spelled(area, &['_', '-']) && is_spelled(condition, &['-']));
        assert!(sane, "{id}: the finding code \"{code}\" is not like {id}.condition-in-kebab");
        assert!(codes.insert(code), "{id}: the finding \"{code}\" is declared twice");
        assert!(!finding.severities.is_empty(), "{id}: the finding \"{code}\" has no severity");
        assert!(!finding.doc.trim().is_empty(), "{id}: the finding \"{code}\" has no doc");
        assert!(!finding.advice.trim().is_empty(), "{id}: the finding \"{code}\" has no advice");
    }
}

/// An analyzer on a case.
struct Contract<'a> {
    analyzer: &'a dyn Analyzer,
    case: &'a Case,
}

impl Contract<'_> {
    /// What a broken promise is about.
    fn place(&self) -> String {
        format!("{} on {}", self.analyzer.descriptor().id, self.case.name)
    }

    fn units_of(&self, graph: &ModelGraph) -> Vec<UnitSpec> {
        self.calm("units", || self.analyzer.units(graph))
    }

    /// Returns how many there are.
    fn units(&self) -> usize {
        let (place, graph) = (self.place(), &self.case.graph);
        let units = self.units_of(graph);
        assert_eq!(units, self.units_of(graph), "{place}: units are not the same every time");
        let distinct: BTreeSet<&UnitSpec> = units.iter().collect();
        assert_eq!(distinct.len(), units.len(), "{place}: a unit is listed twice");
        for unit in &units {
            assert!(!unit.weights.is_empty(), "{place}: a unit has no weights");
            let known = unit.weights.iter().all(|id| graph.weights.get(id.0 as usize).is_some());
            assert!(known, "{place}: a unit has a weight that the model has not");
            let cost = self.calm("cost", || self.analyzer.cost(unit, graph));
            assert!(cost.work.is_finite() && cost.work >= 0.0, "{place}: the cost is {cost:?}");
        }
        let count = units.len();
        let mut unknown = graph.clone();
        unknown.weights.iter_mut().for_each(|w| w.dtype = None);
        // What cannot be read is no pair.
        unknown.pairing = None;
        let units = self.units_of(&unknown);
        assert!(units.is_empty(), "{place}: units with weights of unknown element type");
        assert!(self.units_of(&ModelGraph::default()).is_empty(), "{place}: units of no weights");
        count
    }

    /// Runs `f`, and names the case when it panics.
    fn calm<T>(&self, what: &str, f: impl FnOnce() -> T) -> T {
        catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
            panic!("{}: {what} panicked: {text}", self.place())
        })
    }

    fn run(
        &self,
        spec: &UnitSpec,
        source: &dyn TensorSource,
        cancel: &Cancel,
    ) -> Result<Output, AnalyzeError> {
        let weights: Vec<_> = spec
            .weights
            .iter()
            .filter_map(|id| self.case.graph.weights.get(id.0 as usize))
            .collect();
        let shared: Vec<Shared> = weights.iter().map(|_| Shared::default()).collect();
        let views = weights
            .iter()
            .zip(&shared)
            .map(|(weight, shared)| WeightView::new(weight, source, shared, cancel))
            .collect();
        let settings = Settings::default();
        let unit = Unit::new(views, self.analyzer.descriptor().id, &settings.parameters)
            .expect("units have weights");
        let mut out = Output::default();
        self.calm("analyze", || self.analyzer.analyze(&unit, &mut out)).map(|()| out)
    }

    fn name_of(&self, unit: &UnitSpec) -> &str {
        let first = unit.weights.first().and_then(|id| self.case.graph.weights.get(id.0 as usize));
        first.map_or("", |w| &w.name)
    }

    fn analyze(&self) {
        for unit in self.units_of(&self.case.graph) {
            let place = format!("{}, {}", self.place(), self.name_of(&unit));
            let run = || self.run(&unit, &self.case.source, &Cancel::default());
            let out = match run() {
                Ok(out) => out,
                // An impossible measurement may be refused, but the bytes are there.
                Err(AnalyzeError::Other(reason)) => {
                    assert!(!reason.trim().is_empty(), "{place}: refused without a reason");
                    continue;
                }
                Err(error) => panic!("{place}: {error}"),
            };
            self.check_output(&out, &place);
            let again = run().unwrap_or_else(|error| panic!("{place}: the second time {error}"));
            let same = format!("{out:?}") == format!("{again:?}");
            assert!(same, "{place}: the output is not the same every time");
        }
    }

    fn check_output(&self, out: &Output, place: &str) {
        let descriptor = self.analyzer.descriptor();
        for (key, value) in &out.metrics {
            assert!(
                descriptor.metric(key).is_some(),
                "{place}: the metric \"{key}\" is not declared"
            );
            let explained = out.undefined.iter().any(|(undefined, _)| undefined == key);
            assert_eq!(
                value.is_null(),
                explained,
                "{place}: the metric \"{key}\" is null without a reason, or a number with one"
            );
            assert!(is_finite(value), "{place}: the metric \"{key}\" holds {value:?}");
        }
        for (key, why) in &out.undefined {
            assert!(
                descriptor.metric(key).is_some(),
                "{place}: the metric \"{key}\" is not declared"
            );
            assert!(!why.trim().is_empty(), "{place}: \"{key}\" is undefined without a reason");
        }
        for figure in &out.figures {
            let text = serde_json::to_string(figure).expect("figures are data");
            let back: Option<Figure> = serde_json::from_str(&text).ok();
            assert_eq!(
                back.as_ref(),
                Some(figure),
                "{place}: the figure \"{}\" holds numbers that are not finite",
                figure.id
            );
        }
    }

    /// Reads that fail come back as errors, whichever read it is.
    fn broken_source(&self) {
        for unit in self.units_of(&self.case.graph) {
            for good in [0, 1, 3] {
                let source = Failing { inner: &self.case.source, good, reads: AtomicU64::new(0) };
                let result = self.run(&unit, &source, &Cancel::default());
                let failed = source.reads.load(Ordering::Relaxed) > good;
                assert!(
                    !failed || matches!(result, Err(AnalyzeError::Source(_))),
                    "{}, {}: a read failed and was not reported",
                    self.place(),
                    self.name_of(&unit)
                );
            }
        }
    }

    fn cancelled(&self) {
        let cancel = Cancel::default();
        cancel.cancel();
        for unit in self.units_of(&self.case.graph) {
            let source =
                Failing { inner: &self.case.source, good: u64::MAX, reads: AtomicU64::new(0) };
            let result = self.run(&unit, &source, &cancel);
            let read = source.reads.load(Ordering::Relaxed);
            assert!(
                read == 0 || matches!(result, Err(AnalyzeError::Cancelled)),
                "{}, {}: went on after it was asked to stop",
                self.place(),
                self.name_of(&unit)
            );
        }
    }

    /// The report of a scan with so many threads.
    fn report(&self, analyzers: &[&dyn Analyzer], threads: usize) -> Report {
        let Case { source, graph, .. } = self.case;
        let options = RunOptions { threads, timings: false, ..RunOptions::default() };
        scan(source, graph, analyzers, &Settings::default(), &options, &mut |_| {})
            .unwrap_or_else(|error| panic!("{}: {error}", self.place()))
    }

    /// Weights are there, and none of the analyzer's metrics.
    fn judge_without_metrics(&self) {
        let report = self.report(&[], 1);
        judge_nothing(self.analyzer, &report, &format!("{} without its metrics", self.place()));
    }

    fn scan(&self) {
        let place = self.place();
        let [one, three] = [1, 3].map(|threads| self.report(&[self.analyzer], threads));
        let text = |report: &Report| serde_json::to_string(report).expect("reports are data");
        assert!(text(&one) == text(&three), "{place}: 1 and 3 threads do not report the same");
        let panicked = one.errors.iter().find(|e| e.code == "panic");
        assert!(panicked.is_none(), "{place}: {}", panicked.map_or("", |e| &e.message));
        let descriptor = self.analyzer.descriptor();
        for finding in &one.findings {
            let code = &finding.code;
            let siblings = format!("{}.unlike-siblings", descriptor.id);
            let spec = descriptor.findings.iter().find(|spec| spec.code == *code);
            assert!(
                spec.is_some() || *code == siblings,
                "{place}: the finding \"{code}\" is not declared"
            );
            let foreseen = spec.is_none_or(|spec| spec.severities.contains(&finding.severity));
            assert!(
                foreseen,
                "{place}: the finding \"{code}\" is not declared {}",
                finding.severity
            );
            assert!(!finding.message.is_empty(), "{place}: the finding \"{code}\" says nothing");
            assert!(!finding.advice.is_empty(), "{place}: the finding \"{code}\" advises nothing");
            let known =
                finding.weight.as_ref().is_none_or(|n| one.weights.iter().any(|w| w.name == *n));
            assert!(known, "{place}: the finding \"{code}\" is about {:?}", finding.weight);
        }
    }
}

/// Whether no number in it is NaN or infinite.
fn is_finite(value: &Value) -> bool {
    match value {
        Value::Number(x) => x.is_finite(),
        Value::List(items) => items.iter().all(is_finite),
        Value::Map(entries) => entries.values().all(is_finite),
        _ => true,
    }
}

fn judge_nothing(analyzer: &dyn Analyzer, report: &Report, place: &str) {
    let mut verdicts = Verdicts::default();
    let judged = catch_unwind(AssertUnwindSafe(|| analyzer.judge(report, &mut verdicts)));
    assert!(judged.is_ok(), "{place}: judging panicked");
    let findings: Vec<&str> = verdicts.findings.iter().map(|f| &*f.code).collect();
    assert!(findings.is_empty(), "{place}: judged {findings:?} from nothing");
    // That there is nothing to measure may be concluded from names alone.
    let measured = verdicts.conclusions.iter().find(|c| !c.evidence.is_empty());
    assert!(measured.is_none(), "{place}: concluded {measured:?} from nothing");
}

/// A report about no weights.
fn empty_report() -> Report {
    let options = RunOptions { threads: 1, timings: false, ..RunOptions::default() };
    let (source, graph) = (MemorySource::default(), ModelGraph::default());
    let mut report = scan(&source, &graph, &[], &Settings::default(), &options, &mut |_| {})
        .expect("nothing is easily measured");
    report.models.clear();
    report.sources.clear();
    report
}

/// A source whose reads fail after the first `good` ones.
struct Failing<'a> {
    inner: &'a MemorySource,
    good: u64,
    reads: AtomicU64,
}

impl TensorSource for Failing<'_> {
    fn entries(&self) -> &[TensorEntry] {
        self.inner.entries()
    }

    fn metadata(&self) -> &Metadata {
        self.inner.metadata()
    }

    fn read_at(
        &self,
        entry: EntryId,
        range: Range<u64>,
        into: &mut [u8],
    ) -> Result<(), SourceError> {
        if self.reads.fetch_add(1, Ordering::Relaxed) >= self.good {
            let tensor = self.entries()[entry.0 as usize].name.clone();
            let (file, end, needs) = ("cut.safetensors".to_owned(), range.start, range.end);
            return Err(SourceError::Truncated { tensor, file, end, needs });
        }
        self.inner.read_at(entry, range, into)
    }
}

#[cfg(test)]
mod tests {
    use weightscope_core::{Descriptor, Finding, MetricSpec, Severity};

    use super::*;

    /// An analyzer that is wrong in one way.
    #[derive(Debug)]
    struct Wrong(Fault);

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Fault {
        None,
        Undeclared,
        NotANumber,
        Panics,
        SwallowsErrors,
        Changes,
        JudgesNothing,
    }

    static DESCRIPTOR: Descriptor = Descriptor {
        id: "wrong",
        summary: "Wrong on purpose",
        metrics: &[MetricSpec::new("first", "", "The first value.")],
        ..Descriptor::EMPTY
    };
    static RUNS: AtomicU64 = AtomicU64::new(0);

    impl Analyzer for Wrong {
        fn descriptor(&self) -> &Descriptor {
            &DESCRIPTOR
        }

        fn analyze(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
            let view = unit.first();
            let read = view.summary().map(|_| ());
            match self.0 {
                Fault::SwallowsErrors => {}
                _ => read?,
            }
            match self.0 {
                Fault::Undeclared => out.metric("second", 1.0),
                Fault::NotANumber => {
                    out.metrics.insert("first".into(), Value::List(vec![Value::Number(f64::NAN)]));
                }
                Fault::Panics => assert!(view.weight().elements() > 0, "no values"),
                Fault::Changes => out.metric("first", RUNS.fetch_add(1, Ordering::Relaxed)),
                _ => out.undefined("first", "not measured"),
            }
            Ok(())
        }

        fn judge(&self, _: &Report, out: &mut Verdicts) {
            if self.0 == Fault::JudgesNothing {
                out.push(Finding::new("wrong.always", Severity::Info, None, "so it is"));
            }
        }
    }

    fn says(fault: Fault) -> String {
        match catch_unwind(|| conformance(&Wrong(fault))) {
            Ok(()) => "conforms".to_owned(),
            Err(panic) => panic.downcast_ref::<String>().cloned().unwrap_or_default(),
        }
    }

    #[test]
    fn faults_are_found_and_named() {
        assert_eq!(says(Fault::None), "conforms");
        let check = |fault, words: &str| {
            let said = says(fault);
            assert!(said.contains(words), "{fault:?}: {said}");
        };
        check(Fault::Undeclared, "the metric \"second\" is not declared");
        check(Fault::NotANumber, "the metric \"first\" holds List([Number(NaN)])");
        check(Fault::Panics, "analyze panicked: no values");
        check(Fault::SwallowsErrors, "a read failed and was not reported");
        check(Fault::Changes, "not the same every time");
        check(Fault::JudgesNothing, "judged [\"wrong.always\"] from nothing");
    }
}
