//! Weights drawn whole: which ones, in which order, and what becomes of drawing that fails; and that judging a
//! report anew leaves it as it was.

use std::panic;

use weightscope_core::{
    AnalyzeError, Analyzer, Axes, Conclusion, Confidence, DType, Descriptor, EntryId, ErrorScope,
    Figure, FigureData, Finding, FindingSpec, Key, Layout, MemorySource, MetricSpec, ModelGraph,
    Output, ParameterSpec, Part, Report, Role, Series, SeriesDetail, Settings, Severity, Status,
    Unit, Verdicts, Weight,
};
use weightscope_engine::{RunOptions, rejudge, scan};

const ROLES: [Role; 4] = [Role::AttentionQ, Role::AttentionO, Role::MlpUp, Role::MlpDown];
const BLOCKS: u32 = 5;

/// Five blocks of four matrices: `w0` to `w19`.
fn model() -> (MemorySource, ModelGraph) {
    let (mut source, mut graph) = (MemorySource::default(), ModelGraph::default());
    for id in 0..BLOCKS * ROLES.len() as u32 {
        let name = format!("w{id}");
        let bytes = (0..8 * 8 * 2).map(|i| (i * 7 % 61) as u8).collect();
        source.push(&name, DType::BF16, &[8, 8], bytes).unwrap();
        graph.weights.push(Weight {
            name: name.clone(),
            entry: EntryId(id),
            source_tensor: name,
            role: ROLES[id as usize % ROLES.len()],
            part: Part::Weight,
            stack: None,
            block: Some(id / ROLES.len() as u32),
            expert: None,
            dtype: Some(DType::BF16),
            shape: vec![8, 8],
            layout: Layout::whole(8, 8),
            matrix: Some([8, 8]),
            transposed: false,
            heads: None,
            fused: Vec::new(),
            from_one: false,
            factor: None,
            confidence: Confidence::Known,
        });
    }
    (source, graph)
}

const LINE: ParameterSpec = ParameterSpec { key: "line", default: 0.5, doc: "Nothing." };
static DESCRIPTOR: Descriptor = Descriptor {
    id: "painter",
    version: 1,
    summary: "Made up",
    metrics: &[MetricSpec::new("number", "", "The number in the name.").trend()],
    parameters: &[LINE],
    findings: &[FindingSpec {
        code: "painter.found",
        severities: &Severity::ALL,
        doc: "",
        advice: "",
    }],
    ..Descriptor::EMPTY
};

/// Finds something in some weights, and draws all, but some in vain.
#[derive(Clone, Copy, Debug, Default)]
struct Painter {
    warned: &'static [u64],
    told: &'static [u64],
    errs: Option<u64>,
    panics: Option<u64>,
}

fn number(name: &str) -> u64 {
    name[1..].parse().unwrap()
}

fn figure(id: &str) -> Figure {
    let series = vec![Series { name: "a".to_owned(), x: vec![0.0], y: vec![Some(1.0)] }];
    Figure {
        id: Key::Owned(id.to_owned()),
        weight: None,
        analyzer: Key::Borrowed(""),
        title: "A figure".to_owned(),
        axes: Axes::new("x", "y"),
        data: FigureData::Line { series },
    }
}

impl Analyzer for Painter {
    fn descriptor(&self) -> &Descriptor {
        &DESCRIPTOR
    }

    fn analyze(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
        out.metric("number", number(&unit.first().weight().name));
        out.figure(figure("painter.measured"));
        Ok(())
    }

    fn portray(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
        let number = Some(number(&unit.first().weight().name));
        assert!(number != self.panics, "made up");
        if number == self.errs {
            out.figure(figure("painter.half"));
            return Err(AnalyzeError::Other("out of paint".into()));
        }
        unit.first().for_each_row(|_, _: &[f64]| ())?;
        out.figure(figure("painter.drawn"));
        Ok(())
    }

    fn judge(&self, report: &Report, out: &mut Verdicts) {
        let line = report.settings.parameters.value("painter", &LINE);
        for (severity, numbers) in [(Severity::Warning, self.warned), (Severity::Info, self.told)] {
            for weight in &report.weights {
                let value = weight.number("painter", "number");
                if let Some(n) = value.filter(|n| numbers.contains(&(*n as u64)) && *n > line) {
                    let finding =
                        Finding::new("painter.found", severity, Some(&weight.name), "made up");
                    out.push(finding.metric("number", n).threshold(line));
                }
            }
        }
        out.figure(figure("painter.judged"));
        out.conclude(Conclusion {
            code: Key::Borrowed("painter.concluded"),
            analyzer: Key::Borrowed("painter"),
            scope: "model".to_owned(),
            message: format!("above {line}"),
            evidence: Vec::new(),

            nothing: false,
        });
    }
}

fn run(painter: &Painter, portraits: usize, threads: usize, series: SeriesDetail) -> Report {
    let (source, graph) = model();
    let options = RunOptions { threads, portraits, timings: false, ..RunOptions::default() };
    let settings = Settings { series, ..Settings::default() };
    scan(&source, &graph, &[painter], &settings, &options, &mut |_| {}).unwrap()
}

/// Numbers of the weights with this figure, as they come.
fn with_figure(report: &Report, id: &str) -> Vec<u64> {
    let figures = report.figures.iter().filter(|f| f.id == id);
    figures.filter_map(|f| Some(number(f.weight.as_deref()?))).collect()
}

const FOUND: Painter = Painter { warned: &[17, 2], told: &[1, 6, 12], errs: None, panics: None };

#[test]
fn weights_with_findings_and_one_of_each_role_in_model_order() {
    for (limit, expected) in [
        (0, &[][..]),
        // Warnings come first, then the middle block's roles, then what is merely told.
        (1, &[2]),
        (2, &[2, 17]),
        (4, &[2, 8, 9, 17]),
        (6, &[2, 8, 9, 10, 11, 17]),
        (7, &[1, 2, 8, 9, 10, 11, 17]),
        (9, &[1, 2, 6, 8, 9, 10, 11, 12, 17]),
        (100, &[1, 2, 6, 8, 9, 10, 11, 12, 17]),
    ] {
        for threads in [1, 3] {
            let report = run(&FOUND, limit, threads, SeriesDetail::Full);
            assert_eq!(with_figure(&report, "painter.drawn"), expected, "limit {limit}");
            assert_eq!((report.status, report.errors.len()), (Status::Complete, 0));
            let drawn = report.figures.iter().filter(|f| f.id == "painter.drawn");
            assert!(drawn.clone().all(|f| f.analyzer == "painter"));
        }
    }
    // The middle of every role alone.
    let report = run(&Painter::default(), 100, 2, SeriesDetail::Full);
    assert_eq!(with_figure(&report, "painter.drawn"), [8, 9, 10, 11]);
}

#[test]
fn an_error_while_drawing_is_an_error_entry() {
    panic::set_hook(Box::new(|_| {}));
    let painter = Painter { errs: Some(8), panics: Some(10), ..FOUND };
    let report = run(&painter, 6, 2, SeriesDetail::Full);
    let _ = panic::take_hook();
    assert_eq!(report.status, Status::Partial);
    assert_eq!(with_figure(&report, "painter.drawn"), [2, 9, 11, 17]);
    assert_eq!(with_figure(&report, "painter.half"), [] as [u64; 0], "half a drawing is none");
    let errors: Vec<_> = report
        .errors
        .iter()
        .map(|e| {
            (e.scope, e.name.as_str(), e.analyzer.as_deref(), e.code.as_ref(), e.message.as_str())
        })
        .collect();
    let tensor = ErrorScope::Tensor;
    assert_eq!(
        errors,
        [
            (tensor, "w8", Some("painter"), "analysis-failed", "out of paint"),
            (tensor, "w10", Some("painter"), "panic", "internal error while drawing: made up"),
        ]
    );
    // What was measured stays, and so does what was judged.
    assert!(report.weights.iter().all(|w| w.number("painter", "number").is_some()));
    assert_eq!(report.findings.len(), 5);
}

#[test]
fn judging_anew_changes_nothing() {
    panic::set_hook(Box::new(|_| {}));
    for series in [SeriesDetail::Full, SeriesDetail::Summary] {
        for painter in [FOUND, Painter { errs: Some(8), panics: Some(10), ..FOUND }] {
            for portraits in [0, 3, 100] {
                let report = run(&painter, portraits, 2, series);
                let mut again = report.clone();
                rejudge(&mut again, &[&painter]);
                let ids = |report: &Report| -> Vec<String> {
                    let name = |f: &Figure| f.weight.clone().unwrap_or_default();
                    report.figures.iter().map(|f| format!("{} {}", f.id, name(f))).collect()
                };
                assert_eq!(ids(&again), ids(&report), "{series:?}, {portraits} portraits");
                assert!(again == report, "{series:?}, {portraits} portraits");
                // Also of a report that was saved and read.
                let text = serde_json::to_string(&report).unwrap();
                let mut read: Report = serde_json::from_str(&text).unwrap();
                rejudge(&mut read, &[&painter]);
                assert_eq!(serde_json::to_string(&read).unwrap(), text);
            }
        }
    }
    let _ = panic::take_hook();
}

#[test]
fn judging_anew_with_another_line_changes_verdicts_alone() {
    let report = run(&FOUND, 100, 1, SeriesDetail::Full);
    let mut again = report.clone();
    again.settings.parameters.set("painter", "line", 10.0);
    rejudge(&mut again, &[&FOUND]);
    let found: Vec<_> = again.findings.iter().filter_map(|f| f.weight.as_deref()).collect();
    assert_eq!(found, ["w17", "w12"]);
    assert_eq!(again.conclusions[0].message, "above 10");
    assert_eq!(again.weights, report.weights);
    assert_eq!(with_figure(&again, "painter.drawn"), with_figure(&report, "painter.drawn"));
}
