//! Running analyzers without files.

use weightscope_codec::DType;
use weightscope_core::{
    AnalyzeError, Analyzer, Cancel, MemorySource, Metadata, Output, Parameters, Report, Role,
    Settings, Shared, TensorSource, Unit, UnitSpec, Weight, WeightView,
};
use weightscope_engine::{RunOptions, scan};
use weightscope_graph::{WalkOptions, walk};

use crate::checkpoint::encode;
use crate::models::{Model, ModelTensor};

/// What an analyzer says of one tensor, as [`Analyzer::analyze`] leaves it.
///
/// ```
/// use weightscope_testkit::measure;
/// # use weightscope_core::*;
/// # #[derive(Debug)]
/// # struct Zeros;
/// # static DESCRIPTOR: Descriptor =
/// #     Descriptor { id: "zeros", metrics: &[MetricSpec::new("count", "", "")], ..Descriptor::EMPTY };
/// # impl Analyzer for Zeros {
/// #     fn descriptor(&self) -> &Descriptor { &DESCRIPTOR }
/// #     fn analyze(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
/// #         out.metric("count", unit.first().summary()?.tally.zero);
/// #         Ok(())
/// #     }
/// # }
///
/// let out = measure(&Zeros, DType::F32, &[2, 2], &[0.0, 1.0, 0.0, 3.0], false);
/// assert_eq!(out.metrics["count"].as_u64(), Some(2));
/// ```
///
/// # Panics
/// When the values do not fit the shape, the analyzer measures no such tensor, or fails.
pub fn measure(
    analyzer: &dyn Analyzer,
    dtype: DType,
    shape: &[u64],
    values: &[f32],
    transposed: bool,
) -> Output {
    measure_bytes(analyzer, dtype, shape, encode(dtype, values), transposed)
}

/// The same of stored bytes.
///
/// # Panics
/// As [`measure()`].
pub fn measure_bytes(
    analyzer: &dyn Analyzer,
    dtype: DType,
    shape: &[u64],
    bytes: Vec<u8>,
    transposed: bool,
) -> Output {
    let mut source = MemorySource::new(Metadata::default());
    source.push("w.weight", dtype, shape, bytes).expect("values fit the shape");
    let mut graph = walk(source.entries(), source.metadata(), &WalkOptions::default());
    let weight = graph.weights.first_mut().expect("there is one weight");
    if transposed {
        weight.transposed = true;
        weight.matrix = weight.matrix.map(|[a, b]| [b, a]);
    }
    let units: Vec<UnitSpec> = analyzer.units(&graph);
    assert_eq!(units.len(), 1, "the analyzer measures the tensor alone");
    let (shared, cancel, settings) = (Shared::default(), Cancel::default(), Settings::default());
    let weight = graph.weights.first().expect("there is one weight");
    let view = WeightView::new(weight, &source, &shared, &cancel);
    let unit = Unit::new(vec![view], analyzer.descriptor().id, &settings.parameters)
        .expect("there is one view");
    let mut out = Output::default();
    analyzer.analyze(&unit, &mut out).unwrap_or_else(|error| panic!("{error}"));
    out
}

/// A tensor that plays `role`, in a source of its own: no names have to be found for it, and head counts, cuts
/// and layout can be changed before it is measured.
///
/// # Panics
/// When the bytes do not fit the shape, or it is not a matrix.
pub fn weight_of(
    role: Role,
    dtype: DType,
    shape: [u64; 2],
    bytes: Vec<u8>,
    transposed: bool,
) -> (MemorySource, Weight) {
    let mut source = MemorySource::new(Metadata::default());
    source.push("w.weight", dtype, &shape, bytes).expect("the bytes fit the shape");
    let graph = walk(source.entries(), source.metadata(), &WalkOptions::default());
    let weight = graph.weights.into_iter().next().expect("there is one weight");
    let [rows, columns] = shape;
    let matrix = Some(if transposed { [columns, rows] } else { shape });
    (source, Weight { role, transposed, matrix, block: Some(0), ..weight })
}

/// What an analyzer says of one weight with these parameters.
///
/// # Errors
/// Those of [`Analyzer::analyze`].
///
/// # Panics
/// Never: there is one view.
pub fn measure_weight(
    analyzer: &dyn Analyzer,
    (source, weight): &(MemorySource, Weight),
    parameters: &Parameters,
) -> Result<Output, AnalyzeError> {
    let (shared, cancel, mut out) = (Shared::default(), Cancel::default(), Output::default());
    let view = WeightView::new(weight, source, &shared, &cancel);
    let unit =
        Unit::new(vec![view], analyzer.descriptor().id, parameters).expect("there is one view");
    analyzer.analyze(&unit, &mut out)?;
    Ok(out)
}

/// How an analyzer draws one weight.
///
/// # Errors
/// Those of [`Analyzer::portray`].
///
/// # Panics
/// Never: there is one view.
pub fn portray_weight(
    analyzer: &dyn Analyzer,
    (source, weight): &(MemorySource, Weight),
) -> Result<Output, AnalyzeError> {
    let (shared, cancel, mut out) = (Shared::default(), Cancel::default(), Output::default());
    let view = WeightView::new(weight, source, &shared, &cancel);
    let settings = Settings::default();
    let unit = Unit::new(vec![view], analyzer.descriptor().id, &settings.parameters)
        .expect("there is one view");
    analyzer.portray(&unit, &mut out)?;
    Ok(out)
}

/// The report of a scan of a model, without files and times.
///
/// # Panics
/// When the model is not sound enough for [`Model::to_source`].
pub fn report_of(analyzers: &[&dyn Analyzer], model: &Model) -> Report {
    report_of_source(analyzers, &model.to_source(), 1)
}

/// The same of any tensors, on so many threads.
///
/// # Panics
/// When there are no threads to be had.
pub fn report_of_source(
    analyzers: &[&dyn Analyzer],
    source: &dyn TensorSource,
    threads: usize,
) -> Report {
    let graph = walk(source.entries(), source.metadata(), &WalkOptions::default());
    let options = RunOptions { threads, timings: false, ..RunOptions::default() };
    scan(source, &graph, analyzers, &Settings::default(), &options, &mut |_| {})
        .unwrap_or_else(|error| panic!("{error}"))
}

/// A model of a few tensors, given by name, shape and values (F32), without a config.json worth the name.
pub fn model_of(tensors: &[(&str, &[u64], Vec<f32>)]) -> Model {
    let tensor = |(name, shape, values): &(&str, &[u64], Vec<f32>)| ModelTensor {
        name: (*name).to_owned(),
        dtype: DType::F32,
        shape: shape.to_vec(),
        values: values.clone(),
        transposed: false,
    };
    Model { tensors: tensors.iter().map(tensor).collect(), config: "{}".to_owned() }
}
