//! A plan as figures: depth, schemes, sizes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use weightscope_core::{Axes, Cells, Figure, FigureData, HeatMap, Role, Series, Stack, Ticks};

use crate::plan::{Plan, PlannedTensor, size};

/// One block of a plan, or what lies outside of all blocks.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// `block 3`, with its tower where there are several; `outside of blocks`.
    pub name: String,
    /// Elements of its tensors.
    pub elements: u64,
    /// Their bytes in the plan.
    pub bytes: u64,
    /// Their bytes now.
    pub bytes_before: u64,
    /// The sum of their relative errors.
    pub error: f64,
}

impl Block {
    /// Bits for each element.
    pub fn bits_per_weight(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.elements.max(1) as f64
    }
}

/// A plan over depth: what lies outside of blocks first, then every block of every tower. Buffers are left out.
pub fn blocks(plan: &Plan) -> Vec<Block> {
    grouped(plan)
        .into_iter()
        .map(|(name, tensors)| {
            let sum = |of: fn(&PlannedTensor) -> u64| tensors.iter().map(|t| of(t)).sum();
            Block {
                name,
                elements: sum(|t| t.elements),
                bytes: sum(|t| t.bytes),
                bytes_before: sum(|t| t.bytes_before),
                error: tensors.iter().map(|t| t.error).sum(),
            }
        })
        .collect()
}

fn grouped(plan: &Plan) -> Vec<(String, Vec<&PlannedTensor>)> {
    let mut groups: BTreeMap<(Option<Stack>, Option<u32>), Vec<&PlannedTensor>> = BTreeMap::new();
    for tensor in plan.tensors.iter().filter(|t| t.class != crate::Class::Buffer) {
        let place = tensor.block.map_or((None, None), |block| (tensor.stack, Some(block)));
        groups.entry(place).or_default().push(tensor);
    }
    let mut towers: Vec<Option<Stack>> =
        groups.keys().filter(|(_, block)| block.is_some()).map(|(stack, _)| *stack).collect();
    towers.dedup();
    let name = |(stack, block): (Option<Stack>, Option<u32>)| match (stack, block) {
        (_, None) => "outside of blocks".to_owned(),
        (Some(stack), Some(block)) if towers.len() > 1 => format!("{stack} {block}"),
        (_, Some(block)) => format!("block {block}"),
    };
    groups.into_iter().map(|(place, tensors)| (name(place), tensors)).collect()
}

fn figure(id: &'static str, title: String, axes: Axes, data: FigureData) -> Figure {
    Figure {
        id: Cow::Borrowed(id),
        weight: None,
        analyzer: Cow::Borrowed("plan"),
        title,
        axes,
        data,
    }
}

/// Figures for a page: sizes before and after beside one scheme for all, bits over depth, bits by block and role,
/// and error against size.
pub fn figures(plan: &Plan) -> Vec<Figure> {
    let mut figures = vec![sizes(plan), depth(plan), roles(plan)];
    figures.push(trade(plan));
    figures
}

fn sizes(plan: &Plan) -> Figure {
    let mut labels = vec!["as stored".to_owned(), "this plan".to_owned()];
    let mut values = vec![plan.before.bytes as f64, plan.after.bytes as f64];
    for uniform in &plan.uniform {
        labels.push(uniform.scheme.name().to_owned());
        values.push(uniform.size.bytes as f64);
    }
    let megabytes = values.into_iter().map(|bytes| bytes / 1e6).collect();
    let (before, after) = (size(plan.before.bytes), size(plan.after.bytes));
    let title = format!("Size: {before} before, {after} after, and with one scheme for all");
    let data = FigureData::Bar { labels, values: megabytes };
    figure("plan.sizes", title, Axes::new("", "MB"), data)
}

fn depth(plan: &Plan) -> Figure {
    let blocks = blocks(plan);
    let labels = blocks.iter().map(|block| block.name.clone()).collect();
    let values = blocks.iter().map(Block::bits_per_weight).collect();
    let title = "Bits per weight over depth".to_owned();
    let data = FigureData::Bar { labels, values };
    figure("plan.depth", title, Axes::new("", "bits per weight"), data)
}

fn roles(plan: &Plan) -> Figure {
    let groups = grouped(plan);
    let is_matrix = |t: &&&PlannedTensor| t.class != crate::Class::Norm;
    let used = |role: &Role| {
        let mut all = groups.iter().flat_map(|(_, tensors)| tensors.iter().filter(is_matrix));
        all.any(|t| t.role == *role)
    };
    let roles: Vec<Role> = Role::ALL.iter().copied().filter(used).collect();
    let mut values = Vec::new();
    for (_, tensors) in &groups {
        for role in &roles {
            let of = tensors.iter().filter(is_matrix).filter(|t| t.role == *role);
            let (bytes, elements) = of.fold((0, 0), |(b, n), t| (b + t.bytes, n + t.elements));
            values.push(if elements == 0 {
                f64::NAN
            } else {
                bytes as f64 * 8.0 / elements as f64
            });
        }
    }
    let map = HeatMap {
        size: [groups.len() as u64, roles.len() as u64],
        rows: Ticks::Names { names: groups.into_iter().map(|(name, _)| name).collect() },
        columns: Ticks::Names { names: roles.iter().map(|role| role.name().to_owned()).collect() },
        pooling: Cow::Borrowed(""),
        cells: Cells::values(values),
    };
    let title = "Bits per weight by block and role".to_owned();
    figure("plan.roles", title, Axes::new("role", "block"), FigureData::Heatmap(map))
}

fn trade(plan: &Plan) -> Figure {
    let one = |name: String, bytes: u64, error: f64| Series {
        name,
        x: vec![bytes as f64 / 1e6],
        // A logarithm has no zero: what is lossless has no place here.
        y: vec![Some(error).filter(|error| *error > 0.0)],
    };
    let mut series = vec![one("this plan".to_owned(), plan.after.bytes, plan.error)];
    for uniform in &plan.uniform {
        series.push(one(uniform.scheme.name().to_owned(), uniform.size.bytes, uniform.error));
    }
    let title = "Error against size: this plan, and one scheme for all".to_owned();
    let axes = Axes { log_y: true, ..Axes::new("MB", "sum of relative errors") };
    figure("plan.trade", title, axes, FigureData::Scatter { series })
}
