//! Findings from saved numbers.

use std::collections::{BTreeMap, BTreeSet};

use weightscope_core::{
    Finding, Kind, ReferenceKind, Report, Role, Severity, Value, Verdicts, WeightRecord,
};

use crate::{DEAD_MIN_ENTRIES, DEAD_NORM, DEAD_SHARE, PRUNABLE_SHARE};

const ID: &str = "sparsity";

pub(crate) fn judge(report: &Report, out: &mut Verdicts) {
    let told = dead_neurons(report, out);
    for weight in &report.weights {
        // What is wrong with the values themselves is said by `integrity` and silences the rest.
        if is_void(weight) {
            continue;
        }
        match weight.kind() {
            Kind::Matrix => {
                dead_units(report, weight, &told, out);
                prunable(report, weight, out);
            }
            Kind::Embedding if weight.role == Role::TokenEmbedding => untrained_tokens(weight, out),
            _ => {}
        }
    }
}

/// Non-finite, all zero, or constant.
fn is_void(weight: &WeightRecord) -> bool {
    let count = |metric| weight.number("integrity", metric).unwrap_or(0.0);
    let finite = count("nan_count") + count("inf_count") == 0.0;
    let zero = weight.number(ID, "zero_fraction") == Some(1.0);
    let constant = weight.metric("integrity", "constant").and_then(Value::as_bool) == Some(true);
    !finite || zero || constant
}

/// `{count, first}` of a metric.
fn counted(weight: &WeightRecord, metric: &str) -> (u64, Vec<u64>) {
    let value = weight.metric(ID, metric);
    let count = value.and_then(|v| v.get("count")?.as_u64()).unwrap_or(0);
    let first = value.and_then(|v| v.get("first")).map_or(&[][..], Value::items);
    (count, first.iter().filter_map(Value::as_u64).collect())
}

/// Gated neurons: where the whole neuron is dead the finding is the neuron, on the gate; where one of the
/// three matrices alone has the dead lines, the finding is on that matrix. Returns the neuron-axis metrics
/// that are thereby told, by weight name.
fn dead_neurons<'a>(report: &'a Report, out: &mut Verdicts) -> BTreeSet<&'a str> {
    let mut told = BTreeSet::new();
    let mut mlps: BTreeMap<_, [Option<&WeightRecord>; 3]> = BTreeMap::new();
    for weight in report.weights.iter().filter(|w| w.kind() == Kind::Matrix && !is_void(w)) {
        if let Some(place) =
            [Role::MlpGate, Role::MlpUp, Role::MlpDown].iter().position(|role| *role == weight.role)
        {
            mlps.entry((weight.stack, weight.block, weight.expert)).or_default()[place] =
                Some(weight);
        }
    }
    for mlp in mlps.into_values() {
        let [Some(gate), Some(up), Some(down)] = mlp else { continue };
        let (count, first) = counted(gate, "coupled_dead");
        let alone = [
            counted(gate, "dead_rows").0,
            counted(up, "dead_rows").0,
            counted(down, "dead_columns").0,
        ];
        let one_matrix = alone.iter().filter(|n| **n > 0).count() == 1;
        if count == 0 || one_matrix || alone.iter().any(|n| *n > count) || !gate.is_statistical() {
            continue;
        }
        told.extend([gate.name.as_str(), up.name.as_str(), down.name.as_str()]);
        let meaning = "the product of gate, up and down norms vanishes beside the median";
        out.push(dead(
            report,
            gate,
            "coupled_dead",
            "neurons",
            gate.matrix.map_or(0, |[rows, _]| rows),
            &first,
            count,
            meaning,
        ));
    }
    told
}

fn dead_units(report: &Report, weight: &WeightRecord, told: &BTreeSet<&str>, out: &mut Verdicts) {
    let Some([rows, columns]) = weight.matrix.filter(|_| weight.is_statistical()) else { return };
    let line = |spec| report.settings.parameters.value(ID, spec);
    let neurons = if weight.role == Role::MlpDown { "dead_columns" } else { "dead_rows" };
    for (metric, units, total, entries) in [
        ("dead_rows", "output units", rows, columns),
        ("dead_columns", "input features", columns, rows),
    ] {
        let (count, first) = counted(weight, metric);
        let is_told = metric == neurons && told.contains(weight.name.as_str());
        if count > 0 && entries as f64 >= line(&DEAD_MIN_ENTRIES) && !is_told {
            let meaning = format!("their norm is at most {} of the median", line(&DEAD_NORM));
            out.push(dead(report, weight, metric, units, total, &first, count, &meaning));
        }
    }
}

fn dead(
    report: &Report,
    weight: &WeightRecord,
    metric: &'static str,
    units: &str,
    total: u64,
    first: &[u64],
    count: u64,
    meaning: &str,
) -> Finding {
    let share = count as f64 / total.max(1) as f64;
    let is_critical = share > report.settings.parameters.value(ID, &DEAD_SHARE);
    let severity = if is_critical { Severity::Critical } else { Severity::Warning };
    let message =
        format!("{count} of {total} {units} are dead ({}): {meaning}", listed(first, count));
    Finding::new("sparsity.dead-units", severity, Some(&weight.name), message)
        .metric(metric, count as f64)
        .threshold(0.0)
        .reference(ReferenceKind::Gaussian, 0.0)
        .advice("prune them without loss, or find out why training left them")
}

fn prunable(report: &Report, weight: &WeightRecord, out: &mut Verdicts) {
    if !weight.is_statistical() {
        return;
    }
    let limit = report.settings.parameters.value(ID, &PRUNABLE_SHARE);
    let finding = |message: String| {
        Finding::new("sparsity.prunable", Severity::Info, Some(&weight.name), message)
    };
    if weight.number(ID, "nm_2_4_fraction") == Some(1.0) {
        let message =
            "every group of four inputs has at least two zeros: 2:4 structured sparsity".to_owned();
        let advice = "use a 2:4 sparse kernel: half the bytes and up to twice the speed on hardware that has one";
        out.push(finding(message).metric("nm_2_4_fraction", 1.0).threshold(1.0).advice(advice));
    } else if let Some(share) = weight.number(ID, "prunable").filter(|share| *share >= limit) {
        let message = format!(
            "{:.0} % of the weights hold only 1 % of the energy (a normal: 26 %)",
            100.0 * share
        );
        let advice = "prune by magnitude, or store it sparse";
        out.push(finding(message).metric("prunable", share).threshold(limit).advice(advice));
    }
}

fn untrained_tokens(weight: &WeightRecord, out: &mut Verdicts) {
    let (count, first) = counted(weight, "dead_rows");
    if count > 0 {
        let total = weight.matrix.map_or(0, |[rows, _]| rows);
        let message = format!(
            "{count} of {total} tokens have zero or vanishing embeddings; {}",
            listed(&first, count)
        );
        let advice =
            "expected for padding and reserved tokens; keep them out of quantization statistics";
        let finding = Finding::new("tokens.untrained", Severity::Info, Some(&weight.name), message);
        out.push(finding.metric("dead_rows", count as f64).threshold(0.0).advice(advice));
    }
}

/// "number 3, 17, 40 and 5 more".
fn listed(first: &[u64], count: u64) -> String {
    let shown: Vec<String> = first.iter().take(8).map(u64::to_string).collect();
    let more = count - shown.len() as u64;
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("number {}{more}", shown.join(", "))
}
