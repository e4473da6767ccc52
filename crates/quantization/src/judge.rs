//! Findings from saved numbers.

use std::collections::{BTreeMap, BTreeSet};

use weightscope_core::stats::normal_quantile;
use weightscope_core::{
    Finding, Kind, ParameterSpec, ReferenceKind, Report, Severity, Value, Verdicts, WeightRecord,
};

use crate::ID;
use crate::figures::{saved, saved_db};
use crate::parameters::{
    ABSOLUTE_INT8, ABSOLUTE_INT8_CRITICAL, ABSOLUTE_LINES, ABSOLUTE_OUTLIERS_INFO, ALONE, CHANCE,
    COLUMN_RATIO, COLUMN_SHARE, COLUMN_Z, CREST, CREST_ALONE, EXCESS, INT8, INT8_CRITICAL, NEXT,
    OUTLIERS, OUTLIERS_CRITICAL, SPIKE_RATIO, SPIKE_RMS,
};

pub(crate) fn judge(report: &Report, out: &mut Verdicts) {
    let line = |spec: &ParameterSpec| report.settings.parameters.value(ID, spec);
    let judged: Vec<&WeightRecord> = report.weights.iter().filter(|w| is_judged(w)).collect();
    let context = Context { line: &line, matrices: judged.len() as f64 };
    if line(&ABSOLUTE_LINES) != 0.0 {
        for weight in judged {
            out.findings.extend(context.absolute_int8(weight));
            out.findings.extend(context.absolute_outliers(weight));
        }
        return;
    }
    for weight in &judged {
        let value = context.super_weight(weight);
        let columns = context.outlier_columns(weight, value.is_some());
        out.findings.extend(context.int8(weight));
        if columns.is_none() {
            out.findings.extend(context.outliers(weight));
        }
        out.findings.extend(columns);
        out.findings.extend(value);
    }
    context.spikes(&judged, out);
    context.per_tensor(&judged, out);
}

/// Matrices, embeddings and heads that are large enough.
fn is_judged(weight: &WeightRecord) -> bool {
    matches!(weight.kind(), Kind::Matrix | Kind::Embedding | Kind::Head) && weight.is_statistical()
}

/// What applies to all weights.
struct Context<'a> {
    line: &'a dyn Fn(&ParameterSpec) -> f64,
    /// How many are judged.
    matrices: f64,
}

fn finding(code: &'static str, severity: Severity, weight: &WeightRecord, text: String) -> Finding {
    Finding::new(code, severity, Some(&weight.name), text)
}

/// What normal weights show, as far as it is known.
fn against(finding: Finding, normal: Option<f64>) -> Finding {
    match normal {
        Some(value) => finding.reference(ReferenceKind::Gaussian, value),
        None => finding,
    }
}

/// What normal weights of the shape have in this scheme.
fn normal(weight: &WeightRecord, scheme: &str) -> Option<f64> {
    let row = saved(weight, scheme)?;
    Some(row.get("sqnr_db")?.as_f64()? + row.get("excess_db")?.as_f64()?)
}

impl Context<'_> {
    fn line(&self, spec: &ParameterSpec) -> f64 {
        (self.line)(spec)
    }

    fn int8(&self, weight: &WeightRecord) -> Option<Finding> {
        let db = saved_db(weight, "int8_channel")?;
        let (severity, line) = if db < self.line(&INT8_CRITICAL) {
            (Severity::Critical, self.line(&INT8_CRITICAL))
        } else if db < self.line(&INT8) {
            (Severity::Warning, self.line(&INT8))
        } else {
            return None;
        };
        let [_, input] = weight.matrix?;
        let normal = normal(weight, "int8_channel");
        let usual =
            normal.map_or_else(String::new, |n| format!(" (normal rows of {input}: {n:.1})"));
        let message = format!("per-channel int8 keeps {db:.1} dB{usual}");
        let advice = match best(weight, self.line(&INT8)) {
            Some((scheme, db)) => format!("keep it at 16 bits; {scheme} keeps {db:.1} dB"),
            None => "keep it at 16 bits: no smaller format keeps 30 dB".to_owned(),
        };
        let finding = finding("quantization.int8-unsafe", severity, weight, message);
        let finding = finding.metric("schemes", db).threshold(line).advice(advice);
        Some(against(finding, normal))
    }

    /// One line for the model.
    fn per_tensor(&self, judged: &[&WeightRecord], out: &mut Verdicts) {
        let line = self.line(&INT8);
        let weak = judged.iter().filter(|w| saved_db(w, "int8_tensor").is_some_and(|db| db < line));
        let count = weak.count();
        if count == 0 {
            return;
        }
        let matrices = if judged.len() == 1 { "matrix" } else { "matrices" };
        let need = if count == 1 { "needs" } else { "need" };
        let message = format!(
            "{count} of {} {matrices} {need} per-channel or group scales: one int8 scale for the tensor keeps less than {line} dB",
            judged.len()
        );
        let finding = Finding::new("quantization.int8-unsafe", Severity::Info, None, message);
        let advice = "quantise with a scale for every output unit or group, as all common tools do";
        out.push(finding.metric("schemes", count as f64).threshold(0.0).advice(advice));
    }

    fn outliers(&self, weight: &WeightRecord) -> Option<Finding> {
        let share = weight.number(ID, "outliers_iqr_3")?;
        // The lines were drawn by matrices of transformers: a dictionary of sparse features, say, has long tails on purpose.
        let is_known = weight.block.is_some() || weight.kind() != Kind::Matrix;
        let (severity, line) = if share > self.line(&OUTLIERS) && !is_known {
            (Severity::Info, self.line(&OUTLIERS))
        } else if share > self.line(&OUTLIERS_CRITICAL) {
            (Severity::Critical, self.line(&OUTLIERS_CRITICAL))
        } else if share > self.line(&OUTLIERS) {
            (Severity::Warning, self.line(&OUTLIERS))
        } else {
            return None;
        };
        let [_, input] = weight.matrix?;
        let (scheme, name) = if input >= 128 {
            ("int4_g128", "int4 in groups of 128")
        } else {
            ("int8_channel", "per-channel int8")
        };
        let excess = saved(weight, scheme)?.get("excess_db")?.as_f64()?;
        if excess <= self.line(&EXCESS) {
            return None;
        }
        let message = format!(
            "{:.1} % of the values lie beyond 3 interquartile ranges, and {name} loses {excess:.1} dB more than with normal weights",
            100.0 * share
        );
        let finer = ["int4_g32", "gguf_q5_0", "gguf_q5_1", "fp8_e4m3_channel"];
        let wanted = normal(weight, "int4_g128").unwrap_or(18.0);
        let cure = finer.into_iter().find_map(|name| {
            let db = saved_db(weight, name).filter(|db| *db >= wanted)?;
            Some(format!("{name} makes up for it ({db:.1} dB)"))
        });
        let advice = cure.unwrap_or_else(|| "keep it at 8 or more bits".to_owned());
        let finding = finding("quantization.outliers", severity, weight, message);
        let finding = finding.metric("outliers_iqr_3", share).threshold(line).advice(advice);
        Some(finding.reference(ReferenceKind::Gaussian, 2.3e-6))
    }

    /// Columns far larger than the others; `is_told` says that the largest value is a finding already.
    fn outlier_columns(&self, weight: &WeightRecord, is_told: bool) -> Option<Finding> {
        let columns = weight.metric(ID, "outlier_columns")?;
        let largest = columns.get("largest")?;
        let number = |key: &str| largest.get(key).and_then(Value::as_f64);
        let (column, ratio, z) = (number("column")?, number("ratio")?, number("z")?);
        let [out, input] = weight.matrix?;
        let line = self.line(&COLUMN_RATIO);
        let large = columns.get("above_3")?.as_f64()?;
        if ratio <= line || large > self.line(&COLUMN_SHARE) * input as f64 {
            return None;
        }
        let chance = self.line(&CHANCE) / (2.0 * input as f64 * self.matrices.max(1.0));
        if z <= self.line(&COLUMN_Z) * -normal_quantile(chance) {
            return None;
        }
        let count = columns.get("count").and_then(Value::as_u64).unwrap_or(1).max(1);
        // A column that one value alone makes large is no massive feature, but as much in the way.
        let is_one_value = count == 1 && without_largest(weight, column, ratio) <= line;
        if is_one_value && is_told {
            return None;
        }
        let others = match count {
            1 => String::new(),
            2 => ", and one more above 8 x".to_owned(),
            n => format!(", and {} more above 8 x", n - 1),
        };
        let severity = if is_one_value { Severity::Info } else { Severity::Warning };
        let meaning = if is_one_value {
            "one value of it makes up nearly all of that".to_owned()
        } else {
            format!("input feature {column} is massive")
        };
        let message =
            format!("column {column} has {ratio:.1} x the median norm{others}: {meaning}");
        let plural = if count == 1 { "column" } else { "columns" };
        let advice = if is_one_value {
            "hold it out where the tensor has one scale; scales for rows or groups hardly notice it"
                .to_owned()
        } else {
            format!("rotate, or hold the {count} {plural} out at 8 or more bits")
        };
        let finding = finding("quantization.outlier-columns", severity, weight, message);
        // What the largest of so many columns of random entries shows.
        let usual = (-normal_quantile(0.5 / input as f64) / (2.0 * out as f64).sqrt()).exp();
        let finding = finding.metric("outlier_columns", ratio).threshold(line).advice(advice);
        Some(finding.reference(ReferenceKind::Gaussian, usual))
    }

    fn super_weight(&self, weight: &WeightRecord) -> Option<Finding> {
        let crest = weight.number(ID, "crest_factor")?;
        let next = weight.number(ID, "largest_over_second")?;
        let is_alone = crest > self.line(&CREST_ALONE) && next > self.line(&ALONE);
        let line = if crest > self.line(&CREST) {
            self.line(&CREST)
        } else if is_alone {
            self.line(&CREST_ALONE)
        } else {
            return None;
        };
        if next < self.line(&NEXT) {
            return None;
        }
        let first = weight.metric(ID, "super_weights")?.items().first()?;
        let place = |key: &str| first.get(key).and_then(Value::as_u64);
        let (row, column) = (place("row")?, place("column")?);
        let message = format!(
            "w[{row}, {column}] is the largest value, {crest:.0} rms and {next:.1} x the next one: it sets the scale of per-tensor formats"
        );
        let advice = "hold it out there; scales for rows or groups hardly notice it";
        let finding = finding("quantization.super-weight", Severity::Info, weight, message);
        let finding = finding.metric("crest_factor", crest).threshold(line).advice(advice);
        Some(finding.reference(ReferenceKind::Gaussian, largest_of(weight)))
    }

    /// Neurons of gated MLPs that answer with one value of the residual stream far above all others.
    fn spikes(&self, judged: &[&WeightRecord], out: &mut Verdicts) {
        let found: Vec<(&WeightRecord, Spike)> = judged
            .iter()
            .filter_map(|weight| Some((*weight, Spike::of(weight)?)))
            .filter(|(_, spike)| {
                spike.ratio > self.line(&SPIKE_RATIO) && spike.rms > self.line(&SPIKE_RMS)
            })
            .collect();
        // Blocks write to one residual stream: the row that several of them raise is one feature of it.
        let mut blocks: BTreeMap<_, BTreeSet<Option<u32>>> = BTreeMap::new();
        for (weight, spike) in &found {
            blocks.entry((weight.stack, spike.row)).or_default().insert(weight.block);
        }
        for (weight, Spike { row, unit, ratio, rms }) in &found {
            let blocks = blocks.get(&(weight.stack, *row)).map_or(1, BTreeSet::len);
            let shared = match blocks.saturating_sub(1) {
                0 => "no other block has one in this row, which makes it less certain".to_owned(),
                1 => format!("one other block has one in row {row}, too"),
                others => format!("{others} other blocks have one in row {row}, too"),
            };
            let message = format!(
                "w[{row}, {unit}], {rms:.0} rms, may change the model: neuron {unit} can raise feature {row} of the residual stream {ratio:.0} x as far as the median pair; {shared}"
            );
            let finding = finding("quantization.mlp-spike", Severity::Warning, weight, message);
            out.push(
                finding
                    .metric("mlp_spike", *ratio)
                    .threshold(self.line(&SPIKE_RATIO))
                    .advice("measure this matrix before and after quantization; where it suffers, keep it at 8 or more bits: holding out the value or its row did not help, its column sometimes"),
            );
        }
    }

    /// The customary lines, which know neither shape nor group.
    fn absolute_int8(&self, weight: &WeightRecord) -> Option<Finding> {
        let db = saved_db(weight, "int8_tensor")?;
        let lines =
            [(Severity::Critical, &ABSOLUTE_INT8_CRITICAL), (Severity::Warning, &ABSOLUTE_INT8)];
        let (severity, spec) = lines.into_iter().find(|(_, spec)| db < self.line(spec))?;
        let line = self.line(spec);
        let message = format!("one int8 scale for the tensor keeps {db:.1} dB, below {line}");
        let advice = "an absolute line: compare it with what normal weights of the shape have";
        let finding = finding("quantization.int8-unsafe", severity, weight, message);
        let finding = finding.metric("schemes", db).threshold(line).advice(advice);
        Some(against(finding, normal(weight, "int8_tensor")))
    }

    fn absolute_outliers(&self, weight: &WeightRecord) -> Option<Finding> {
        let share = weight.number(ID, "outliers_iqr_3")?;
        let lines = [
            (Severity::Critical, &OUTLIERS_CRITICAL),
            (Severity::Warning, &OUTLIERS),
            (Severity::Info, &ABSOLUTE_OUTLIERS_INFO),
        ];
        let (severity, spec) = lines.into_iter().find(|(_, spec)| share > self.line(spec))?;
        let message =
            format!("{:.2} % of the values lie beyond 3 interquartile ranges", 100.0 * share);
        let advice = "an absolute line: look at what the schemes lose";
        let finding = finding("quantization.outliers", severity, weight, message);
        Some(finding.metric("outliers_iqr_3", share).threshold(self.line(spec)).advice(advice))
    }
}

/// `mlp_spike` of a record.
struct Spike {
    row: u64,
    unit: u64,
    ratio: f64,
    rms: f64,
}

impl Spike {
    fn of(weight: &WeightRecord) -> Option<Self> {
        let value = weight.metric(ID, "mlp_spike")?;
        let place = |key: &str| value.get(key).and_then(Value::as_u64);
        let number = |key: &str| value.get(key).and_then(Value::as_f64);
        Some(Self {
            row: place("row")?,
            unit: place("unit")?,
            ratio: number("ratio")?,
            rms: number("rms")?,
        })
    }
}

/// The norm of a column over the median, without the largest value of the matrix if that lies in it. The median
/// column is taken for the mean one, which is right within a tenth.
fn without_largest(weight: &WeightRecord, column: f64, ratio: f64) -> f64 {
    let largest = weight.metric(ID, "super_weights").and_then(|list| list.items().first());
    let number = |key: &str| largest.and_then(|value| value.get(key)?.as_f64());
    let (Some(place), Some(rms), Some([out, _])) =
        (number("column"), number("ratio"), weight.matrix)
    else {
        return ratio;
    };
    if place != column {
        return ratio;
    }
    // Squares of the value and of the column, in those of the root mean square.
    let value = rms * rms;
    let median = out as f64 * (1.0 - value / weight.elements() as f64).max(0.0);
    (0.9 * ratio * ratio - value / median).max(0.0).sqrt()
}

/// The smallest format that keeps so much.
fn best(weight: &WeightRecord, db: f64) -> Option<(&str, f64)> {
    let rows = weight.metric(ID, "schemes")?.items().iter();
    let fits = rows.filter_map(|row| {
        let kept = row.get("sqnr_db")?.as_f64().filter(|kept| *kept >= db)?;
        let bits = row.get("bits_per_weight")?.as_f64().filter(|bits| *bits < 15.0)?;
        Some((bits, row.get("scheme")?.as_str()?, kept))
    });
    fits.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, scheme, kept)| (scheme, kept))
}

/// The crest factor that as many normal values have in the median.
fn largest_of(weight: &WeightRecord) -> f64 {
    -normal_quantile(0.5 * std::f64::consts::LN_2 / weight.elements().max(2) as f64)
}
