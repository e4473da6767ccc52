//! The model at a glance: a map of findings over roles and depth, shares of categories, and what there is.

use std::borrow::Cow;
use std::collections::HashMap;

use indexmap::IndexMap;
use serde::Serialize;
use weightscope_core::{
    Part, Report, ReportKind, Role, Severity, Stack, WeightRecord, WeightStatus,
};

use super::page::percent;
use crate::numbers::{self, grouped, plural, short};

#[derive(Debug, Serialize)]
pub(crate) struct Layout {
    /// Whether the maps show how far weights moved, and between which changes.
    is_movement: bool,
    low: String,
    high: String,
    maps: Vec<Map>,
    shares: Vec<Share>,
    listing: Vec<Line>,
}

/// One tower: a row per role, a column per block.
#[derive(Debug, Serialize)]
struct Map {
    name: String,
    /// Blocks that share a column.
    pooled: usize,
    blocks: Vec<Option<u32>>,
    rows: Vec<(String, Vec<Option<Cell>>)>,
}

#[derive(Debug, Serialize)]
struct Cell {
    /// The worst weight there.
    w: usize,
    /// `critical`, `warning`, `info`, `failed`, `skipped` or `good`.
    state: &'static str,
    label: String,
}

#[derive(Debug, Serialize)]
struct Share {
    name: &'static str,
    tensors: String,
    parameters: String,
    bytes: String,
    percent: String,
    /// Left edge and width in a bar of 1000.
    left: u64,
    width: u64,
}

#[derive(Debug, Serialize)]
struct Line {
    what: String,
    shape: String,
    dtype: String,
    count: String,
    each: String,
    parameters: String,
    share: String,
}

/// Role, part, whether they are experts, and the name without its numbers: `ln_1` and `ln_2` are two rows.
type Row = (Role, Part, bool, String);
/// Weights of a row by block.
type Members<'a> = IndexMap<u32, Vec<(usize, &'a WeightRecord)>>;

/// Blocks whose numbers stand over the map: every n-th, so that they do not touch.
const NUMBERED: usize = 24;
/// Columns that can be told apart; more blocks share them.
const COLUMNS: usize = 128;
/// Colours of movement.
const LEVELS: usize = 8;

pub(crate) fn layout(report: &Report) -> Layout {
    let states = States::of(report);
    let ends = (states.changes.first(), states.changes.last());
    let told = |change: Option<&f64>| change.map_or_else(String::new, |x| numbers::significant(*x));
    Layout {
        is_movement: states.is_movement,
        low: told(ends.0),
        high: told(ends.1),
        maps: maps(report, &states),
        shares: shares(report),
        listing: listing(report),
    }
}

/// What a map says of a weight.
struct States<'a> {
    findings: HashMap<&'a str, (Severity, u64)>,
    is_movement: bool,
    /// Of a comparison, ascending: the changes that are not zero.
    changes: Vec<f64>,
}

impl<'a> States<'a> {
    fn of(report: &'a Report) -> Self {
        let mut findings: HashMap<&str, (Severity, u64)> = HashMap::new();
        for finding in &report.findings {
            for weight in finding.weight.iter().chain(&finding.weights) {
                let entry = findings.entry(weight).or_insert((finding.severity, 0));
                entry.0 = entry.0.max(finding.severity);
                entry.1 += 1;
            }
        }
        let mut changes: Vec<f64> =
            report.weights.iter().filter_map(change).filter(|x| *x > 0.0).collect();
        changes.sort_by(f64::total_cmp);
        Self { findings, is_movement: report.kind == ReportKind::Compare, changes }
    }

    /// How bad it is and what it is called: of a comparison, how far it moved.
    fn state(&self, weight: &WeightRecord) -> (usize, &'static str) {
        const HEAT: [&str; LEVELS] =
            ["heat-0", "heat-1", "heat-2", "heat-3", "heat-4", "heat-5", "heat-6", "heat-7"];
        if self.is_movement {
            let Some(moved) = change(weight) else { return (0, "skipped") };
            let below = self.changes.partition_point(|x| *x < moved);
            let level = below * LEVELS / self.changes.len().max(1);
            let state = HEAT.get(level).copied().filter(|_| moved > 0.0).unwrap_or("good");
            return (1 + below, state);
        }
        match (weight.status, self.findings.get(weight.name.as_str())) {
            (WeightStatus::Failed, _) => (5, "failed"),
            (_, Some((Severity::Critical, _))) => (4, "critical"),
            (_, Some((Severity::Warning, _))) => (3, "warning"),
            (WeightStatus::Skipped, _) => (2, "skipped"),
            (_, Some((Severity::Info, _))) => (1, "info"),
            (WeightStatus::Ok, None) => (0, "good"),
        }
    }
}

/// How far a weight of a comparison moved.
fn change(weight: &WeightRecord) -> Option<f64> {
    weight.number("compare", "relative_l2").filter(|x| x.is_finite())
}

fn maps(report: &Report, states: &States<'_>) -> Vec<Map> {
    let mut towers: IndexMap<(u32, Option<Stack>), IndexMap<Row, Members<'_>>> = IndexMap::new();
    for (index, weight) in report.weights.iter().enumerate() {
        let Some(block) = weight.block.filter(|_| weight.part.is_parameter()) else { continue };
        let pattern = without_numbers(&weight.name);
        let row = (weight.role, weight.part, weight.expert.is_some(), pattern);
        let rows = towers.entry((weight.model, weight.stack)).or_default();
        rows.entry(row).or_default().entry(block).or_default().push((index, weight));
    }
    let maps = towers.into_iter().map(|((model, stack), rows)| {
        let part = report.sources.get(model as usize).and_then(|source| source.part.as_deref());
        let mut blocks: Vec<u32> = rows.values().flat_map(|r| r.keys().copied()).collect();
        blocks.sort_unstable();
        blocks.dedup();
        let pooled = blocks.len().div_ceil(COLUMNS).max(1);
        let mut shared: HashMap<(Role, Part, bool), usize> = HashMap::new();
        for (role, part, expert, _) in rows.keys() {
            *shared.entry((*role, *part, *expert)).or_default() += 1;
        }
        let lines = rows.into_iter().map(|((role, part, expert, pattern), members)| {
            let mut name = role.name().replace('_', " ");
            if part != Part::Weight {
                name = format!("{name} {part}");
            }
            if expert {
                name += " experts";
            }
            if shared.get(&(role, part, expert)).is_some_and(|n| *n > 1) {
                name = format!("{name}, {}", module(&pattern));
            }
            let cells = blocks.chunks(pooled).map(|blocks| {
                let members: Vec<_> =
                    blocks.iter().filter_map(|b| members.get(b)).flatten().copied().collect();
                (!members.is_empty()).then(|| cell(&members, states))
            });
            (name, cells.collect())
        });
        let rows = lines.collect();
        let columns: Vec<u32> =
            blocks.chunks(pooled).filter_map(|blocks| blocks.first().copied()).collect();
        let step = columns.len().div_ceil(NUMBERED).max(1);
        let numbered = columns.iter().enumerate();
        Map {
            name: part
                .filter(|part| !part.is_empty())
                .into_iter()
                .chain(stack.map(Stack::name))
                .collect::<Vec<_>>()
                .join(" "),
            pooled,
            // One at the very edge would be cut.
            blocks: numbered
                .map(|(i, b)| {
                    let is_shown =
                        i.is_multiple_of(step) && (step == 1 || i + step / 2 < columns.len());
                    is_shown.then_some(*b)
                })
                .collect(),
            rows,
        }
    });
    maps.collect()
}

/// `h.*.ln_1.weight` of `h.3.ln_1.weight`.
fn without_numbers(name: &str) -> String {
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    let words = name.split(['.', '#']).map(|word| if is_number(word) { "*" } else { word });
    words.collect::<Vec<_>>().join(".")
}

/// The last word that tells modules apart: `ln_1` of `h.*.ln_1.weight`.
fn module(pattern: &str) -> &str {
    let mut words = pattern.rsplit('.').filter(|w| !matches!(*w, "*" | "weight" | "bias"));
    words.next().unwrap_or(pattern)
}

/// The worst of some weights, or the one that moved most.
fn cell(members: &[(usize, &WeightRecord)], states: &States<'_>) -> Cell {
    let mut worst: Option<(usize, &'static str, usize, &WeightRecord)> = None;
    for (index, weight) in members {
        let (rank, state) = states.state(weight);
        if worst.is_none_or(|(most, ..)| rank > most) {
            worst = Some((rank, state, *index, weight));
        }
    }
    let Some((_, state, w, weight)) = worst else {
        return Cell { w: 0, state: "good", label: String::new() };
    };
    let findings = members.iter().filter_map(|(_, w)| states.findings.get(w.name.as_str()));
    let count: u64 = findings.map(|(_, count)| count).sum();
    let mut label = weight.name.clone();
    if members.len() > 1 {
        label = format!("{label} and {} more", members.len() - 1);
    }
    label = match (state, change(weight)) {
        (_, Some(moved)) if states.is_movement => {
            format!("{label}: relative L2 {}", numbers::significant(moved))
        }
        ("good", _) => label,
        ("failed" | "skipped", _) => format!("{label}: {state}"),
        _ => format!("{label}: {state}, {}", plural(count, "finding")),
    };
    Cell { w, state, label }
}

fn shares(report: &Report) -> Vec<Share> {
    let Some(model) = report.models.first() else { return Vec::new() };
    let total: u64 = model.categories.iter().fold(0, |sum, c| sum.saturating_add(c.parameters));
    let mut before = 0u64;
    let thousandth = |n: u64| (1000.0 * n as f64 / total.max(1) as f64).round() as u64;
    let share = |category: &weightscope_core::CategoryRecord| {
        let left = thousandth(before);
        before = before.saturating_add(category.parameters);
        Share {
            name: category.category.name(),
            tensors: grouped(category.tensors),
            parameters: grouped(category.parameters),
            bytes: numbers::bytes(category.bytes),
            percent: percent(category.parameters, total),
            left,
            width: thousandth(before).saturating_sub(left),
        }
    };
    model.categories.iter().map(share).collect()
}

/// Tower, role, part, whether within a block, whether an expert, shape, and how it is stored.
type Kind<'a> = (Option<Stack>, Role, Part, bool, bool, &'a [u64], Cow<'a, str>);

/// Every kind of weight there is, with how often.
fn listing(report: &Report) -> Vec<Line> {
    let mut kinds: IndexMap<Kind<'_>, (u64, u64)> = IndexMap::new();
    let mut total = 0u64;
    for weight in &report.weights {
        let kind = (
            weight.stack,
            weight.role,
            weight.part,
            weight.block.is_some(),
            weight.expert.is_some(),
            weight.shape.as_slice(),
            weight.stored_type(),
        );
        let (count, parameters) = kinds.entry(kind).or_default();
        *count += 1;
        *parameters = parameters.saturating_add(weight.parameters);
        total = total.saturating_add(weight.parameters);
    }
    let lines = kinds.into_iter().map(|(kind, (count, parameters))| {
        let (_, role, part, _, expert, shape, dtype) = kind;
        let mut what = role.name().replace('_', " ");
        if part != Part::Weight {
            what = format!("{what} {part}");
        }
        if expert {
            what += " (expert)";
        }
        Line {
            what,
            shape: numbers::shape(shape).replace(" x ", " × "),
            dtype: dtype.into_owned(),
            count: grouped(count),
            each: short(parameters / count.max(1)),
            parameters: grouped(parameters),
            share: percent(parameters, total),
        }
    });
    lines.collect()
}
