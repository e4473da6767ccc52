//! What changed between two checkpoints: which weights moved, how far above the rounding of their formats, and in what
//! shape; and whether one descends from the other.
//!
//! A comparison pairs weights ([`weightscope_core::Pairing`]) and measures pairs with the engine of scans. Numbers are
//! TUNED against BASE: A is BASE's weight `[out, in]`, B is TUNED's.
#![forbid(unsafe_code)]

mod adapter;
mod bands;
mod conversion;
mod converted;
mod elementwise;
mod figures;
mod judge;
mod lineage;
mod movement;
mod order;
mod parameters;
mod probe;
mod recast;
mod scope;
mod spectra;

use weightscope_core::{
    AnalyzeError, Analyzer, Cost, DType, Descriptor, FindingSpec, MetricSpec, ModelGraph, Output,
    Parameters, Report, Severity, Shared, Unit, UnitSpec, Verdicts, Weight, WeightRecord,
    WeightView, element_count,
};

pub use elementwise::{Differences, changed_beyond, differences, is_identical};
pub use lineage::{Lineage, fisher};

/// The analyzer `compare`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Compare;

const ID: &str = "compare";

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    version: 1,
    summary: "What changed between two checkpoints, weight by weight",
    compares: true,
    metrics: &[
        MetricSpec::new(
            "l2_distance",
            "weight",
            "||B - A||, the root of the sum of squares of all differences. 0 for the same bytes, whatever they are.",
        ),
        MetricSpec::new(
            "relative_l2",
            "",
            "||B - A||/||A||. Undefined when A is zero and B is not.",
        )
        .trend(),
        MetricSpec::new(
            "cosine_similarity",
            "",
            "Cosine of the angle between A and B as vectors, -1 to 1; 1 for the same bytes. Independent matrices of n values have about 1/sqrt n.",
        ),
        MetricSpec::new("mean_abs_difference", "weight", "Mean of |B - A|."),
        MetricSpec::new("max_abs_difference", "weight", "Largest |B - A|."),
        MetricSpec::new(
            "changed_fraction",
            "",
            "Share of values whose bits differ after casting the wider element type to the narrower, 0 to 1.",
        ),
        MetricSpec::new(
            "rounding_floor",
            "",
            "Relative L2 that this cast alone makes: 0 for equal types. Of BF16 and F16, neither of which holds the other, A is cast to B's.",
        ),
        MetricSpec::new(
            "above_floor",
            "",
            "relative_l2/rounding_floor: 1 where rounding explains everything. Undefined where the floor is 0.",
        ),
        MetricSpec::new(
            "sign_flip_fraction",
            "",
            "Share of values whose sign is the opposite, 0 to 1; zeros have none.",
        ),
        MetricSpec::new(
            "storage_floor",
            "",
            "Relative L2 that storing both makes of one source: the root of both sums of squared rounding errors to be expected, over ||A||. A number format (the coarsest that holds all values) rounds by half a step at most, and its mean square is a third of that; codes in blocks say theirs. Not computed where a cast explains everything.",
        ),
        MetricSpec::new(
            "above_storage",
            "",
            "relative_l2/storage_floor: about 1 where rounding explains everything.",
        ),
        MetricSpec::new(
            "beyond_storage",
            "",
            "Share of values that are farther apart than rounding (or cutting) a common source to the formats of A and of B leaves them: 0 for siblings in two formats. Undefined within one format and for codes in blocks.",
        ),
        MetricSpec::new(
            "conversion",
            "",
            "What makes B of A without training: scaled, rows-scaled, columns-scaled, blocks-scaled (128 x 128), groups-of-32-scaled, -64- and -128-, shifted, scaled-and-shifted, rows-permuted, columns-permuted, rows-and-columns-permuted, values-permuted (vectors), transposed, transposed-rows-permuted, transposed-columns-permuted; zeroed (values that are zero in B alone, all others kept), constant (one value everywhere), f16-flushed (a trip through F16 below its range), rounded-to-4-bits (at most 16 values in each 32 of a row), rounded-to-8-bit-floats (at most 8 significands in each run of 128), rounded-to-8-bits (multiples of 1/127 of the largest value of a row). Found by least squares or by matching sketches of lines, and held against the values. Undefined where none is known.",
        ),
        MetricSpec::new(
            "conversion_residual",
            "",
            "Relative L2, over ||B||, of what that conversion leaves: 0 where it explains every bit, the rounding where it was recast as well.",
        ),
        MetricSpec::new(
            "conversion_factors",
            "",
            "What was done to the values, beside their order: one of the scalings or shifts above. Undefined where an order alone explains the change.",
        ),
        MetricSpec::new(
            "conversion_least",
            "",
            "Smallest factor of it, or the constant of a shift.",
        ),
        MetricSpec::new("conversion_most", "", "The largest one."),
        MetricSpec::new(
            "conversion_shift",
            "weight",
            "The constant that is added after the factor, of scaled-and-shifted.",
        ),
        MetricSpec::new(
            "conversion_lines",
            "count",
            "Rows, columns or values that are in another place.",
        ),
        MetricSpec::new(
            "conversion_order",
            "",
            "A name for their order: halves to pairs of n (rotary features of heads of n: first and second half against side by side), pairs to halves of n, whole blocks of n, within blocks of n. Of zeroed values which they are.",
        ),
        MetricSpec::new(
            "conversion_order_id",
            "",
            "A hash of the order: the same for matrices whose lines went the same ways.",
        ),
        MetricSpec::new(
            "other_stored",
            "",
            "How B is stored, in one word: an element type, or a scheme such as Q4_0.",
        ),
        MetricSpec::new("other_dtype", "", "Element type of B as its file spells it."),
        MetricSpec::new(
            "joined",
            "",
            "How A lies in a tensor that holds more: first to last, in groups (of several ranges), or as one of a stack of experts. Undefined where it has a tensor of its own.",
        ),
        MetricSpec::new("other_joined", "", "The same of B."),
        MetricSpec::new(
            "stored_transposed",
            "",
            "1 where one of the two is stored [out, in] and the other [in, out]; undefined elsewhere.",
        ),
        MetricSpec::new(
            "rounded_to",
            "",
            "A coarser type that holds every value of B although it is stored wider, as A is: B was cast there and back. Undefined where there is none.",
        ),
        MetricSpec::new(
            "changed_beyond_rounding",
            "",
            "Share of values whose bits differ after casting A to that type: 0 where the cast explains everything.",
        ),
        MetricSpec::new(
            "compared_rows",
            "count",
            "Rows that both have, where one table is longer (vocabularies): the first ones are compared. Undefined where all are.",
        ),
        MetricSpec::new("base_rows", "count", "Rows that A has in all, where one table is longer."),
        MetricSpec::new("other_rows", "count", "The same of B."),
        MetricSpec::new(
            "other_rows_equal",
            "",
            "1 where the rows that only one of the two has are all equal, as rows that were added and never trained are; else 0.",
        ),
        MetricSpec::new(
            "base_not_finite",
            "count",
            "Values of A that are NaN or infinite; undefined for the same bytes, which are not decoded.",
        ),
        MetricSpec::new("not_finite", "count", "The same of B."),
        MetricSpec::new(
            "delta_stable_rank",
            "",
            "sum lambda/lambda_1 of B - A, lambda its squared singular values: 1 for a single direction. Spectra are measured of all pairs that changed when that costs less than delta_flops, else of the delta_movers largest movers, with --spectral of all. Of the others the ranks alone are known, as far as they are low.",
        ),
        MetricSpec::new(
            "delta_effective_rank",
            "",
            "exp(-sum p ln p) of B - A, p = sigma/sum sigma (Roy & Vetterli 2007).",
        ),
        MetricSpec::new(
            "delta_energy_rank_90",
            "count",
            "Fewest directions that hold 90 % of the squared change: the rank of a LoRA that reproduces as much.",
        ),
        MetricSpec::new(
            "delta_rank_above_rounding",
            "count",
            "Singular values of B - A above 1.5 times the noise of storing B: 0.43 u (largest row norm + largest column norm), u the unit roundoff of the coarsest format that holds B (as storage_noise where all rows and columns are alike; Bandeira & van Handel 2016). The rank of a merged adapter.",
        ),
        MetricSpec::new(
            "delta_rank_at_least",
            "count",
            "Where only the largest movers have spectra, the low ranks of the other pairs are found by random projection (Halko et al. 2011); this many directions are above the rounding where no end was found. Undefined elsewhere.",
        ),
        MetricSpec::new(
            "delta_rank_gap",
            "",
            "The last of these over the next singular value: large where the rank is exact, near 1 where a full spectrum crosses the line. Undefined when all or none are above.",
        ),
        MetricSpec::new(
            "delta_rank_decay",
            "",
            "The larger ratio of two neighbours among the three singular values after the last above the rounding: near 1 in noise. An adapter's gap is far larger, that of a spectrum that merely falls off is not.",
        ),
        MetricSpec::new(
            "delta_rows",
            "count",
            "Rows of B - A that are not zero: an edit of few rows has low rank, too.",
        ),
        MetricSpec::new("delta_columns", "count", "The same of columns."),
        MetricSpec::new("delta_spectral_norm", "weight", "Largest singular value of B - A."),
        MetricSpec::new(
            "spectral_shift",
            "",
            "||sigma(A) - sigma(B)||/||sigma(A)||: how far the singular values moved, whatever the directions did. With --spectral.",
        ),
    ],
    parameters: parameters::COMPARE,
    findings: &[FindingSpec {
        code: "compare.not-finite",
        severities: &[Severity::Critical],
        doc: "A weight of TUNED has NaN or infinite values where BASE has none.",
        advice: "training or merging diverged here: go back to an earlier checkpoint",
    }],
    ..Descriptor::EMPTY
};

impl Analyzer for Compare {
    fn descriptor(&self) -> &Descriptor {
        &DESCRIPTOR
    }

    fn units(&self, graph: &ModelGraph) -> Vec<UnitSpec> {
        UnitSpec::pairs(graph)
    }

    fn cost(&self, unit: &UnitSpec, graph: &ModelGraph) -> Cost {
        let weight = unit.weights.first().and_then(|id| graph.weights.get(id.0 as usize));
        let elements = weight.map_or(0, Weight::elements);
        let size = weight.map_or([0; 2], |w| [w.layout.rows(), w.layout.columns()]);
        Cost {
            work: elements as f64 * elementwise::WORK,
            scratch_bytes: elementwise::SCRATCH_BYTES + conversion::scratch(size),
        }
    }

    fn analyze(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
        let [base, tuned] = unit.views() else { return Ok(()) };
        let found = if is_identical(unit, base, tuned)? == Some(true) {
            None
        } else {
            Some(differences(unit, base, tuned)?)
        };
        record(base.weight(), tuned.weight(), found.as_ref(), out);
        let why = "stored in no wider type than its values need";
        let wide = found.filter(|found| found.changed > 0 && found.not_finite == [0; 2]);
        let grid = match (wide, tuned.dtype()?) {
            (Some(_), dtype) if dtype.is_float() && base.dtype()? == dtype => {
                tuned.storage_grid()?.dtype().filter(|grid| Some(*grid) != tuned.weight().dtype)
            }
            _ => None,
        };
        out.metric_or("rounded_to", grid.map(DType::name), why);
        let beyond = match (grid, wide) {
            (Some(grid), Some(found)) => {
                let changed = changed_beyond(unit, base, tuned, grid)?;
                Some(changed as f64 / found.totals.pairs.max(1) as f64)
            }
            _ => None,
        };
        out.metric_or("changed_beyond_rounding", beyond, why);
        out.metric("other_stored", stored_name(tuned));
        for (key, view) in [("joined", base), ("other_joined", tuned)] {
            out.metric_or(key, joined(view.weight()), "a tensor of its own");
        }
        let turned = base.weight().transposed != tuned.weight().transposed;
        out.metric_or("stored_transposed", turned.then_some(1), "both are stored the same way");
        surplus(base, tuned, out)?;
        match found {
            Some(found) if found.not_finite != [0; 2] => {
                conversion::undefined("values that are NaN or infinite", out);
            }
            Some(found) if found.changed > 0 && beyond != Some(0.0) => {
                conversion::record(unit, base, tuned, out)?;
            }
            found => {
                let same = found.is_none_or(|found| found.totals.difference_energy == 0.0);
                let why = if same { spectra::UNCHANGED } else { spectra::ROUNDED };
                conversion::undefined(why, out);
            }
        }
        Ok(())
    }

    fn follow_up(
        &self,
        graph: &ModelGraph,
        weights: &[&WeightRecord],
        parameters: &Parameters,
    ) -> Option<Box<dyn Analyzer>> {
        let spectra = spectra::Spectra::of(graph, weights, parameters)?;
        Some(Box::new(spectra))
    }

    fn measuring_parameters(&self) -> &'static [&'static str] {
        &[
            parameters::SPECTRAL.key,
            parameters::NO_SPECTRA.key,
            parameters::BUDGET.key,
            parameters::MOVERS.key,
            parameters::STEPS.key,
        ]
    }

    fn judge(&self, report: &Report, out: &mut Verdicts) {
        judge::judge(report, out);
    }
}

/// How a weight lies in a tensor that holds others, too.
fn joined(weight: &Weight) -> Option<&'static str> {
    let part = weight.name.strip_prefix(weight.source_tensor.as_str())?;
    match part.rsplit('#').next() {
        Some(part) if part.parse::<u32>().is_ok() => Some("one of a stack"),
        Some("q" | "k" | "v" | "gate" | "up") if weight.layout.row_ranges.len() > 1 => {
            Some("in groups")
        }
        Some("q" | "k" | "v" | "gate" | "up") => Some("first to last"),
        _ => None,
    }
}

/// What the longer of two tables has beyond the rows that both have.
fn surplus(
    base: &WeightView<'_>,
    tuned: &WeightView<'_>,
    out: &mut Output,
) -> Result<(), AnalyzeError> {
    let all = |weight: &Weight| {
        let width = weight.matrix.map_or(1, |[_, input]| input).max(1);
        element_count(&weight.shape).unwrap_or(0) / width
    };
    let [of_base, of_tuned] = [base, tuned].map(|view| all(view.weight()));
    let why = "all of both are compared";
    let differ = of_base != of_tuned;
    out.metric_or("base_rows", differ.then_some(of_base), why);
    out.metric_or("other_rows", differ.then_some(of_tuned), why);
    let (longer, count) = if of_base > of_tuned { (base, of_base) } else { (tuned, of_tuned) };
    let mut rest = longer.weight().clone();
    let first = of_base.min(of_tuned);
    let layout = &mut rest.layout;
    let is_table = differ && rest.matrix.is_some() && layout.row_ranges.len() == 1;
    if !is_table {
        out.undefined("other_rows_equal", if differ { "no table" } else { why });
        return Ok(());
    }
    if rest.transposed {
        let start = layout.column_range.start;
        layout.column_range = start + first..start + count;
    } else if let Some(range) = layout.row_ranges.first_mut() {
        *range = range.start + first..range.start + count;
    }
    let shared = Shared::default();
    let rest = longer.beside(&rest, &shared);
    let (mut model, mut equal): (Option<Vec<f64>>, bool) = (None, true);
    rest.for_each_row(|_, row: &[f64]| match &model {
        Some(model) => equal &= model == row,
        None => model = Some(row.to_vec()),
    })?;
    out.metric("other_rows_equal", u64::from(equal));
    Ok(())
}

/// How a weight is stored, in one word.
fn stored_name(view: &WeightView<'_>) -> String {
    let dtype = view.weight().dtype.map_or("", DType::name);
    view.stored().map_or(dtype, |form| &form.scheme).to_owned()
}

/// What is not known where values are not finite.
const DISTANCES: [&str; 5] = [
    "l2_distance",
    "relative_l2",
    "cosine_similarity",
    "mean_abs_difference",
    "max_abs_difference",
];

/// What is said of a cast that makes values infinite.
const BEYOND: &str = "values are beyond the range of the other element type";

/// Records what was found of a pair; `None` stands for the same bytes.
fn record(base: &Weight, tuned: &Weight, found: Option<&Differences>, out: &mut Output) {
    let same = PairFacts::SAME;
    let facts = found.map_or(Ok(same), PairFacts::of);
    match &facts {
        Ok(facts) => {
            out.metric("l2_distance", facts.distance);
            out.metric_or("relative_l2", facts.relative, "every value of BASE is zero");
            out.metric_or("cosine_similarity", facts.cosine, "one of the two is zero");
            out.metric("mean_abs_difference", facts.mean);
            out.metric("max_abs_difference", facts.largest);
        }
        Err(why) => DISTANCES.into_iter().for_each(|key| out.undefined(key, why.as_str())),
    }
    let pairs = found.map_or(0, |found| found.totals.pairs);
    let share = |count: u64| if pairs == 0 { 0.0 } else { count as f64 / pairs as f64 };
    out.metric("changed_fraction", share(found.map_or(0, |found| found.changed)));
    match &facts {
        Ok(facts) => {
            let overflows = found.is_some_and(|found| !found.rounding_energy.is_finite());
            let why = if overflows { BEYOND } else { "every value of BASE is zero" };
            out.metric_or("rounding_floor", facts.floor, why);
            let why = if facts.floor.is_some() { "the rounding floor is 0" } else { why };
            out.metric_or("above_floor", facts.above_floor, why);
        }
        Err(why) => ["rounding_floor", "above_floor"]
            .into_iter()
            .for_each(|key| out.undefined(key, why.as_str())),
    }
    out.metric("sign_flip_fraction", share(found.map_or(0, |found| found.totals.flips)));
    out.metric("other_dtype", tuned.dtype.map_or("", |dtype| dtype.name()));
    let rows = base.layout.rows() * base.layout.columns();
    let full = |weight: &Weight| element_count(&weight.shape).unwrap_or(0);
    let width = base.matrix.map_or(1, |[_, input]| input).max(1);
    let is_part = rows < full(base) || rows < full(tuned);
    out.metric_or("compared_rows", is_part.then_some(rows / width), "all of both are compared");
    let not_finite = |side: usize| found.map(|found| found.not_finite[side]);
    out.metric_or("base_not_finite", not_finite(0), "the same bytes");
    out.metric_or("not_finite", not_finite(1), "the same bytes");
    let moved = facts.as_ref().is_ok_and(|facts| facts.distance > 0.0);
    let why = match &facts {
        Err(why) => why.as_str(),
        Ok(_) if !moved => spectra::UNCHANGED,
        Ok(_) if found.is_some_and(|found| found.changed == 0) => spectra::ROUNDED,
        Ok(_) if base.matrix.is_none_or(|[out, input]| out.min(input) < 2) => "not a matrix",
        Ok(_) => spectra::NOT_ASKED,
    };
    for key in spectra::METRICS {
        out.undefined(key, why);
    }
}

/// Numbers of one pair.
#[derive(Clone, Copy, Debug, PartialEq)]
struct PairFacts {
    distance: f64,
    relative: Option<f64>,
    cosine: Option<f64>,
    mean: f64,
    largest: f64,
    floor: Option<f64>,
    above_floor: Option<f64>,
}

impl PairFacts {
    /// Of a pair whose bytes are the same.
    const SAME: Self = Self {
        distance: 0.0,
        relative: Some(0.0),
        cosine: Some(1.0),
        mean: 0.0,
        largest: 0.0,
        floor: Some(0.0),
        above_floor: None,
    };

    /// The reason when the sums are not numbers.
    fn of(found: &Differences) -> Result<Self, String> {
        let totals = &found.totals;
        let [base, tuned] = found.not_finite;
        if base + tuned > 0 {
            return Err(format!(
                "values that are NaN or infinite: {base} of BASE, {tuned} of TUNED"
            ));
        }
        let distance = totals.difference_energy.sqrt();
        let norm = totals.energies[0].sqrt();
        if !(distance + norm).is_finite() {
            return Err("the sum of squares is out of the range of F64".to_owned());
        }
        let ratio = |x: f64| {
            if x == 0.0 { Some(0.0) } else { (norm > 0.0).then(|| x / norm) }
        };
        let relative = ratio(distance);
        let rounding = Some(found.rounding_energy).filter(|energy| energy.is_finite());
        let floor = rounding.and_then(|energy| ratio(energy.sqrt()));
        Ok(Self {
            distance,
            relative,
            cosine: totals.cosine(),
            mean: totals.absolute / totals.pairs.max(1) as f64,
            largest: totals.largest,
            floor,
            above_floor: relative.zip(floor).filter(|(_, floor)| *floor > 0.0).map(|(r, f)| r / f),
        })
    }
}
