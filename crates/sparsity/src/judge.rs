//! Findings from saved numbers.

use std::collections::{BTreeMap, BTreeSet};

use weightscope_core::{
    Finding, Kind, ReferenceKind, Report, Role, Severity, Value, Verdicts, WeightRecord,
};

use crate::{COLLAPSED_GAP, DEAD_COUPLED, DEAD_MIN_ENTRIES, DEAD_NORM, DEAD_SHARE, PRUNABLE_SHARE};

const ID: &str = "sparsity";

/// Fewest values of a matrix whose lines are judged, zero ones among them.
const LEAST_VALUES: u64 = 4096;

pub(crate) fn judge(report: &Report, out: &mut Verdicts) {
    let told = neurons(report, out);
    for weight in &report.weights {
        // What is wrong with the values themselves is said by `integrity` and silences the rest.
        if is_void(weight) || is_complex(weight) {
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

/// Whether pairs of columns are real and imaginary parts: those that are zero make the others real.
fn is_complex(weight: &WeightRecord) -> bool {
    weight.stored.as_ref().is_some_and(|form| form.scheme == "C64")
}

/// Non-finite, all zero, or constant; or it is not known whether.
fn is_void(weight: &WeightRecord) -> bool {
    let count = |metric| weight.number("integrity", metric);
    let (Some(nan), Some(infinite)) = (count("nan_count"), count("inf_count")) else { return true };
    let zero = weight.number(ID, "zero_fraction") == Some(1.0);
    let constant = weight.metric("integrity", "constant").and_then(Value::as_bool) == Some(true);
    nan + infinite != 0.0 || zero || constant
}

/// Whether its lines are judged. Zero ones count: that there are many makes it no smaller.
fn is_large(weight: &WeightRecord) -> bool {
    weight.matrix.is_some_and(|[rows, columns]| {
        rows.min(columns) >= 16 && rows.saturating_mul(columns) >= LEAST_VALUES
    })
}

/// `{count, first}` of a metric.
fn counted(weight: &WeightRecord, metric: &str) -> (u64, Vec<u64>) {
    let value = weight.metric(ID, metric);
    let count = value.and_then(|v| v.get("count")?.as_u64()).unwrap_or(0);
    let first = value.and_then(|v| v.get("first")).map_or(&[][..], Value::items);
    (count, first.iter().filter_map(Value::as_u64).collect())
}

/// Fewest zero lines side by side that are lost data where the matrices beside theirs have values.
const RUN: u64 = 8;

/// First and last of the zero lines of a weight, where there are [`RUN`] or more in one run and nowhere else.
fn run(weight: &WeightRecord, metric: &str) -> Option<[u64; 2]> {
    let value = weight.metric(ID, metric)?;
    let count = value.get("count")?.as_u64()?;
    let first = value.get("first")?.items().first()?.as_u64()?;
    let last = value.get("last")?.as_u64()?;
    (count >= RUN && last.checked_sub(first)?.checked_add(1)? == count).then_some([first, last])
}

/// Zero lines in one run on the neurons of an MLP, which its other matrices do not share.
fn lost(weight: &WeightRecord, rows: bool, partners: &[&WeightRecord]) -> Option<Finding> {
    let (lines, what) = if rows { ("zero_rows", "rows") } else { ("zero_columns", "columns") };
    let [first, last] = run(weight, lines)?;
    let shares = |partner: &&&WeightRecord| {
        let lines = if partner.role == Role::MlpDown { "dead_columns" } else { "dead_rows" };
        counted(partner, lines).0 > 0
    };
    if partners.is_empty() || partners.iter().any(|partner| shares(&partner)) {
        return None;
    }
    let others: Vec<&str> = partners.iter().map(|partner| own_name(&partner.name)).collect();
    let count = last.saturating_sub(first).saturating_add(1);
    let have = if others.len() == 1 { "has" } else { "have" };
    let message = format!(
        "{what} {first} to {last} are all zero, in one run, and {} {have} values for these neurons: data that was lost, not pruned",
        others.join(" and ")
    );
    Some(
        Finding::new("sparsity.dead-units", Severity::Critical, Some(&weight.name), message)
            .metric(lines, count as f64)
            .threshold(0.0)
            .reference(ReferenceKind::Siblings, 0.0)
            .advice("compare it with its source, and get the file again: an interrupted write leaves such a hole"),
    )
}

/// The last two words of a module's name.
fn own_name(name: &str) -> &str {
    let module = name.strip_suffix(".weight").unwrap_or(name);
    let own = module.rmatch_indices('.').nth(1).and_then(|(dot, _)| module.get(dot + 1..));
    own.unwrap_or(module)
}

/// The matrices of one MLP, as far as it has them.
#[derive(Default)]
struct Mlp<'a> {
    gate: Option<&'a WeightRecord>,
    up: Option<&'a WeightRecord>,
    both: Option<&'a WeightRecord>,
    down: Option<&'a WeightRecord>,
}

/// Neurons of MLPs: where whole neurons are dead the finding is the neurons, on the gate (or up, where there is none);
/// where one of the matrices alone has the dead lines, the finding is on that matrix. Returns the weights whose
/// neuron-axis metrics are thereby told.
fn neurons<'a>(report: &'a Report, out: &mut Verdicts) -> BTreeSet<&'a str> {
    let mut told = BTreeSet::new();
    let mut mlps: BTreeMap<_, Mlp<'_>> = BTreeMap::new();
    let is_judged = |weight: &WeightRecord| !is_void(weight) && is_large(weight);
    for weight in report.weights.iter().filter(|weight| weight.kind() == Kind::Matrix) {
        let mlp = || (weight.stack, weight.block, weight.expert);
        match weight.role {
            Role::MlpGate => mlps.entry(mlp()).or_default().gate = Some(weight),
            Role::MlpUp => mlps.entry(mlp()).or_default().up = Some(weight),
            Role::MlpGateUp => mlps.entry(mlp()).or_default().both = Some(weight),
            Role::MlpDown => mlps.entry(mlp()).or_default().down = Some(weight),
            _ => {}
        }
    }
    for Mlp { gate, up, both, down } in mlps.into_values() {
        let (Some(first), Some(down)) = (gate.or(up).or(both), down) else { continue };
        let Some(total) = down.matrix.map(|[_, neurons]| neurons) else { continue };
        // Gate and up in one have two rows for a neuron.
        let rows = |weight: &WeightRecord| {
            let rows = counted(weight, "dead_rows").0;
            if weight.role == Role::MlpGateUp { rows.div_ceil(2) } else { rows }
        };
        let inputs = gate.into_iter().chain(up.or(both));
        if !inputs.clone().chain([down]).all(is_judged) {
            continue;
        }
        collapsed(report, first, total, out);
        let (count, listed) = counted(first, "coupled_dead");
        let mut alone: Vec<u64> = inputs.clone().map(rows).collect();
        alone.push(counted(down, "dead_columns").0);
        let all: Vec<&WeightRecord> = inputs.clone().chain([down]).collect();
        for weight in &all {
            let partners: Vec<&WeightRecord> =
                all.iter().copied().filter(|other| other.name != weight.name).collect();
            if let Some(finding) = lost(weight, weight.role != Role::MlpDown, &partners) {
                told.insert(weight.name.as_str());
                out.push(finding);
            }
        }
        let one_matrix = alone.iter().filter(|n| **n > 0).count() == 1;
        if count == 0 || one_matrix || alone.iter().any(|n| *n > count) {
            continue;
        }
        told.extend(inputs.chain([down]).map(|weight| weight.name.as_str()));
        let line = report.settings.parameters.value(ID, &DEAD_COUPLED);
        let meaning = format!(
            "the product of their norms is at most {line:e} of that of strong neurons (the 90th percentile)"
        );
        let advice = "remove them without loss, in all matrices of the MLP together, or find out why training left them";
        let found = Units { metric: "coupled_dead", name: "neurons", total, count, listed };
        out.push(dead(report, first, &found, &meaning, advice));
    }
    told
}

/// Neurons that are hardly there.
fn collapsed(report: &Report, first: &WeightRecord, total: u64, out: &mut Verdicts) {
    let (count, listed) = counted(first, "collapsed_units");
    let share = |key: &str| first.metric(ID, "collapsed_units")?.get(key)?.as_f64();
    let (Some(strongest), Some(next)) = (share("strongest"), share("next")) else { return };
    let gap = next / strongest;
    let line = report.settings.parameters.value(ID, &COLLAPSED_GAP);
    if count == 0 || gap < line {
        return;
    }
    let is_many = count as f64 > report.settings.parameters.value(ID, &DEAD_SHARE) * total as f64;
    let severity = if is_many { Severity::Warning } else { Severity::Info };
    let message = format!(
        "{count} of {total} neurons are hardly there ({}): the product of their norms is at most {} % of that of strong ones (the 90th percentile), that of the next is {gap:.1} x as large",
        self::listed(&listed, count),
        (1e4 * strongest).round() / 100.0
    );
    let finding = Finding::new("sparsity.collapsed-units", severity, Some(&first.name), message);
    out.push(finding.metric("collapsed_units", count as f64).threshold(0.0).advice(
        "try the model without them, all matrices of the MLP together; or find out why training left them (weight decay on units that no longer fire)",
    ));
}

/// Rows, columns or neurons.
struct Units {
    metric: &'static str,
    name: &'static str,
    total: u64,
    count: u64,
    listed: Vec<u64>,
}

fn dead_units(report: &Report, weight: &WeightRecord, told: &BTreeSet<&str>, out: &mut Verdicts) {
    let Some([rows, columns]) =
        weight.matrix.filter(|_| is_large(weight) || weight.role == Role::Router)
    else {
        return;
    };
    let line = |spec| report.settings.parameters.value(ID, spec);
    let neurons = if weight.role == Role::MlpDown { "dead_columns" } else { "dead_rows" };
    for (metric, name, total, entries) in [
        ("dead_rows", "output units", rows, columns),
        ("dead_columns", "input features", columns, rows),
    ] {
        let (count, listed) = counted(weight, metric);
        let is_told = metric == neurons && told.contains(weight.name.as_str());
        if count > 0 && entries as f64 >= line(&DEAD_MIN_ENTRIES) && !is_told {
            let meaning =
                format!("their norm is at most {} of the 90th percentile", line(&DEAD_NORM));
            let advice = advice(weight.role, metric == "dead_rows");
            let found = Units { metric, name, total, count, listed };
            out.push(dead(report, weight, &found, &meaning, advice));
        }
    }
}

/// What can be done about dead rows or columns, which is another thing for each place in a network.
fn advice(role: Role, is_rows: bool) -> &'static str {
    match (role, is_rows) {
        (Role::MlpDown, false) => {
            "these neurons are not read: remove them without loss, in all matrices of the MLP together"
        }
        (Role::MlpGate, true) => {
            "without a bias these neurons return zero: remove them without loss, in all matrices of the MLP together"
        }
        (Role::MlpUp | Role::MlpGateUp, true) => {
            "without a bias these neurons return zero: remove them, in all matrices of the MLP together; with one they may return a constant, which goes into the next bias"
        }
        (Role::AttentionQ | Role::AttentionK | Role::AttentionQkv, true) => {
            "rows of a head cannot be removed alone (the other of q and k, and rotary pairs, have them too): find out why training left them"
        }
        (Role::AttentionV, true) | (Role::AttentionO, false) => {
            "what v returns there is not used: v's rows and o's columns can be removed together, for whole heads only in common formats"
        }
        (Role::AttentionO | Role::MlpDown, true) => {
            "this block writes nothing to these features of the residual stream: they cannot be removed here alone; find out why training left them"
        }
        (Role::Router, true) => {
            "the scores of these experts do not depend on the input: compare it with its source, or take the experts out"
        }
        (_, false) => {
            "these inputs are not read here; they can be removed only where nothing else reads them: find out why training left them"
        }
        (_, true) => {
            "find out why training left them; removing them changes the shape that what reads them expects"
        }
    }
}

fn dead(
    report: &Report,
    weight: &WeightRecord,
    found: &Units,
    meaning: &str,
    advice: &'static str,
) -> Finding {
    let Units { metric, name, total, count, listed } = found;
    let share = *count as f64 / (*total).max(1) as f64;
    let is_critical = share > report.settings.parameters.value(ID, &DEAD_SHARE);
    let severity = if is_critical { Severity::Critical } else { Severity::Warning };
    let message =
        format!("{count} of {total} {name} are dead ({}): {meaning}", self::listed(listed, *count));
    Finding::new("sparsity.dead-units", severity, Some(&weight.name), message)
        .metric(*metric, *count as f64)
        .threshold(0.0)
        .reference(ReferenceKind::Gaussian, 0.0)
        .advice(advice)
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
        out.fact(finding(message).metric("nm_2_4_fraction", 1.0).threshold(1.0).advice(advice));
    } else if let Some(share) = weight.number(ID, "prunable").filter(|share| *share >= limit) {
        let message = format!(
            "{:.0} % of the weights hold 1 % of the energy (a normal: 26 %): energy, not function",
            100.0 * share
        );
        let advice = "nothing by itself: what pruning costs shows in the model's answers alone";
        out.fact(finding(message).metric("prunable", share).threshold(limit).advice(advice));
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
    let more = count.saturating_sub(shown.len() as u64);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("number {}{more}", shown.join(", "))
}
