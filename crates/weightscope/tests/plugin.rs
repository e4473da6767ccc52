//! Analyzers that do not come with WeightScope, good and bad.

use weightscope::{
    AnalyzeError, Analyzer, Axes, Descriptor, ErrorScope, Figure, FigureData, MetricSpec, Output,
    Report, Scan, Series, Status, Unit, Verdicts, WeightStatus, builtin_registry,
};
use weightscope_testkit::models::{Architecture, ModelSpec};

/// Share of weights that are exactly powers of two, and where they are.
#[derive(Debug)]
struct PowersOfTwo;

static POWERS_OF_TWO: Descriptor = Descriptor {
    id: "powers_of_two",
    summary: "How many weights are powers of two",
    metrics: &[
        MetricSpec::new("share", "", "Share of values that are a power of two, 0 to 1."),
        MetricSpec::new("share_below_one", "", "The same among magnitudes below 1."),
    ],
    ..Descriptor::EMPTY
};

impl Analyzer for PowersOfTwo {
    fn descriptor(&self) -> &Descriptor {
        &POWERS_OF_TWO
    }

    fn analyze(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
        let mut shares: Vec<Option<f64>> = Vec::new();
        unit.first().for_each_row(|_, row: &[f64]| {
            let hits = row.iter().filter(|w| w.is_normal() && w.to_bits() << 12 == 0).count();
            shares.push(Some(hits as f64 / row.len() as f64));
        })?;
        let mean = shares.iter().flatten().sum::<f64>() / shares.len() as f64;
        out.metric_or("share", (!shares.is_empty()).then_some(mean), "no values");
        out.undefined("share_below_one", "not asked for");
        let x = (0u32..).zip(&shares).map(|(row, _)| f64::from(row)).collect();
        let series = vec![Series { name: "share".to_owned(), x, y: shares }];
        out.figure(Figure {
            id: "powers_of_two.rows".into(),
            weight: None,
            analyzer: "".into(),
            title: "Powers of two by row".to_owned(),
            axes: Axes::new("row", "share"),
            data: FigureData::Line { series },
        });
        Ok(())
    }
}

/// Fails on one weight in a way of its choice.
#[derive(Debug)]
struct Fragile {
    panics: bool,
    weight: &'static str,
}

static FRAGILE: Descriptor = Descriptor {
    id: "fragile",
    summary: "Fails on purpose",
    metrics: &[MetricSpec::new("rows", "count", "Rows.")],
    ..Descriptor::EMPTY
};

impl Analyzer for Fragile {
    fn descriptor(&self) -> &Descriptor {
        &FRAGILE
    }

    fn analyze(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
        if unit.first().weight().name == self.weight {
            assert!(!self.panics, "a bug of mine");
            return Err(AnalyzeError::Other("not today".into()));
        }
        out.metric("rows", unit.first().size()[0]);
        Ok(())
    }

    fn judge(&self, _: &Report, _: &mut Verdicts) {
        assert!(!self.weight.is_empty(), "no judgement");
    }
}

/// A scan of a small model by the built-in analyzers and another one.
fn scan(analyzer: impl Analyzer + 'static) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let mut model = ModelSpec::new(Architecture::Llama).blocks(2).build();
    model.tensor_mut("model.layers.0.mlp.up_proj.weight").values.fill(0.25);
    model.to_checkpoint().write(folder.path()).unwrap();
    Scan::new([folder.path()]).registry(builtin_registry().with(analyzer)).run().unwrap()
}

#[test]
fn conforms() {
    weightscope_testkit::conformance(&PowersOfTwo);
}

#[test]
fn metrics_reasons_and_figures_reach_the_report() {
    let report = scan(PowersOfTwo);
    assert_eq!((report.status, report.errors.len()), (Status::Complete, 0));
    assert_eq!(
        report.settings.analyzers.last().map(|(id, v)| (&**id, *v)),
        Some(("powers_of_two", 1))
    );
    let name = "model.layers.0.mlp.up_proj.weight";
    let weight = report.weights.iter().find(|w| w.name == name).unwrap();
    assert_eq!(weight.number("powers_of_two", "share"), Some(1.0));
    assert_eq!(weight.undefined["powers_of_two.share_below_one"], "not asked for");
    assert!(weight.number("distribution", "mean").is_some(), "the built-in analyzers ran too");
    let figure = report
        .figures
        .iter()
        .find(|f| f.id == "powers_of_two.rows" && f.weight.as_deref() == Some(name))
        .unwrap();
    assert_eq!(figure.analyzer, "powers_of_two");
    let FigureData::Line { series } = &figure.data else { panic!("{figure:?}") };
    assert_eq!((series[0].y.len(), series[0].y[9]), (176, Some(1.0)));
}

#[test]
fn a_failure_is_one_weights_and_the_rest_goes_on() {
    let weight = "model.layers.1.self_attn.q_proj.weight";
    for (panics, code, message) in
        [(true, "panic", "internal error: a bug of mine"), (false, "analysis-failed", "not today")]
    {
        let report = scan(Fragile { panics, weight });
        assert_eq!(report.status, Status::Partial);
        let [error] = report.errors.as_slice() else { panic!("{:?}", report.errors) };
        assert_eq!((error.scope, error.name.as_str()), (ErrorScope::Tensor, weight));
        assert_eq!((error.analyzer.as_deref(), &*error.code), (Some("fragile"), code));
        assert_eq!(error.message, message);
        for record in &report.weights {
            let expected =
                if record.name == weight { WeightStatus::Failed } else { WeightStatus::Ok };
            assert_eq!(record.status, expected, "{}", record.name);
            assert!(record.number("distribution", "mean").is_some(), "{}", record.name);
            let measured = record.number("fragile", "rows").is_some();
            assert_eq!(measured, record.matrix.is_some() && record.name != weight);
        }
        assert_eq!((report.totals.failed, report.totals.skipped), (1, 0));
    }
}

#[test]
fn a_panic_while_judging_is_an_entry() {
    let report = scan(Fragile { panics: true, weight: "" });
    assert_eq!(report.status, Status::Partial);
    let [error] = report.errors.as_slice() else { panic!("{:?}", report.errors) };
    assert_eq!(
        (error.scope, error.name.as_str(), &*error.code),
        (ErrorScope::Analyzer, "fragile", "panic")
    );
    assert_eq!(error.message, "internal error while judging: no judgement");
    // What the others found is still there.
    let constant = report.findings.iter().find(|f| f.code == "integrity.constant").unwrap();
    assert_eq!(constant.weight.as_deref(), Some("model.layers.0.mlp.up_proj.weight"));
}
