//! Sentences on conversions: what lies in another order, is stored the other way round, was multiplied or shifted.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use weightscope_core::{Part, Role, WeightRecord, stats::median};

use crate::judge::number;
use crate::movement::{Conversion, Fate, Pair, role_of};
use crate::scope::{names, weights};

/// Factor of a scaling beyond which no training and no balancing of scales is likely: a factor was lost or applied
/// twice.
const LOST: f64 = 50.0;

/// Pairs that one kind of conversion explains.
pub(crate) fn of_kind<'a, 'b>(pairs: &'b [Pair<'a>], kind: Conversion) -> Vec<&'b Pair<'a>> {
    pairs.iter().filter(|pair| pair.fate == Fate::Converted(kind)).collect()
}

/// What is left of the differences, for the end of a sentence; empty where every bit is explained.
fn rest(pairs: &[&Pair<'_>]) -> String {
    let residuals: Vec<f64> =
        pairs.iter().filter_map(|pair| pair.number("conversion_residual")).collect();
    match median(&residuals).filter(|rest| *rest > 0.0) {
        None => String::new(),
        Some(rest) => {
            let types: BTreeSet<&str> = pairs.iter().map(|pair| pair.other_type()).collect();
            let recast = pairs.iter().all(|pair| pair.record.stored_type() != pair.other_type());
            let types = Vec::from_iter(types).join(", ");
            let how = if recast { format!("recast to {types} as well: ") } else { String::new() };
            format!("; {how}what is left has relative L2 {}", number(rest))
        }
    }
}

/// The blocks that some weights are in.
fn places(pairs: &[&Pair<'_>], all: &[Pair<'_>], towers: bool) -> String {
    let mut roles: IndexMap<String, Vec<&Pair<'_>>> = IndexMap::new();
    for pair in pairs {
        roles.entry(role_of(pair.record, towers)).or_default().push(pair);
    }
    // What stands outside of blocks is in none of them.
    let blocks = |of: &mut dyn Iterator<Item = &WeightRecord>| -> BTreeSet<Option<u32>> {
        of.map(|record| record.block).collect()
    };
    let mut told = Vec::new();
    for (role, members) in &roles {
        let own = blocks(&mut members.iter().map(|pair| pair.record));
        let every =
            blocks(&mut all.iter().map(|pair| pair.record).filter(|w| role_of(w, towers) == *role));
        if own == every || own.iter().any(Option::is_none) {
            told.push(role.clone());
        } else {
            let every = every.iter().flatten().count();
            told.push(format!("{role} of {} of {every} blocks", own.len()));
        }
    }
    format!("{} ({})", list(&told), names(pairs.iter().map(|pair| pair.record.name.as_str())))
}

/// `a, b and c`.
fn list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// What permuted weights are told as.
pub(crate) fn permuted(pairs: &[&Pair<'_>], all: &[Pair<'_>], towers: bool) -> String {
    let is_mlp = |pair: &&&Pair<'_>| {
        matches!(pair.record.role, Role::MlpGate | Role::MlpUp | Role::MlpDown | Role::MlpGateUp)
            && pair.record.block.is_some()
            && pair.text("conversion") != "rows-and-columns-permuted"
    };
    let (mlp, others): (Vec<&Pair<'_>>, Vec<&Pair<'_>>) = pairs.iter().partition(|p| is_mlp(p));
    let mut parts = Vec::new();
    // Pairs by how their lines moved.
    let mut groups: IndexMap<(&str, &str), Vec<&Pair<'_>>> = IndexMap::new();
    for pair in &others {
        let lines = match pair.text("conversion") {
            "columns-permuted" => "columns",
            "rows-and-columns-permuted" => "rows and columns",
            "values-permuted" => "values",
            _ => "rows",
        };
        groups.entry((lines, pair.text("conversion_order"))).or_default().push(pair);
    }
    for ((lines, order), members) in groups {
        let hold = if members.len() == 1 { "holds" } else { "hold" };
        let how = pattern(order, &members);
        let place = places(&members, all, towers);
        parts.push(format!("{place} {hold} the same {lines} in another order{how}"));
    }
    if !mlp.is_empty() {
        parts.push(neurons(&mlp, all, towers));
    }
    format!("{}{}{}", parts.join("; "), changed_too(pairs), rest(pairs))
}

/// What was done to the values of reordered weights as well, for the end of a sentence; empty where nothing was.
fn changed_too(pairs: &[&Pair<'_>]) -> String {
    let changed: Vec<&Pair<'_>> =
        pairs.iter().copied().filter(|pair| !pair.text("conversion_factors").is_empty()).collect();
    if changed.is_empty() {
        return String::new();
    }
    let of = if changed.len() == pairs.len() {
        String::new()
    } else {
        format!(" in {} of them", changed.len())
    };
    let shifted: Vec<&Pair<'_>> = changed
        .iter()
        .copied()
        .filter(|pair| pair.text("conversion_factors") == "shifted")
        .collect();
    let multiplied: Vec<&Pair<'_>> = changed
        .iter()
        .copied()
        .filter(|pair| pair.text("conversion_factors") != "shifted")
        .collect();
    let mut parts = Vec::new();
    if !multiplied.is_empty() {
        parts.push(format!("multiplied {} ({})", factors(&multiplied), each(&multiplied)));
    }
    if !shifted.is_empty() {
        parts.push(format!(
            "a constant of {} added",
            span(&shifted, "conversion_least", "conversion_least")
        ));
    }
    format!("; as well as {}{of}", list(&parts))
}

/// Least and most of some numbers, in words.
fn span(pairs: &[&Pair<'_>], least: &str, most: &str) -> String {
    let numbers = |metric: &str| -> Vec<f64> {
        pairs.iter().filter_map(|pair| pair.number(metric)).collect()
    };
    let low = numbers(least).into_iter().fold(f64::INFINITY, f64::min);
    let high = numbers(most).into_iter().fold(f64::NEG_INFINITY, f64::max);
    if (high - low).abs() <= 1e-3 * high.abs() {
        number(0.5 * (low + high))
    } else {
        format!("{} to {}", number(low), number(high))
    }
}

/// `by 2`, `by 0.5 to 2 and shifted by 1`.
fn factors(pairs: &[&Pair<'_>]) -> String {
    let by = format!("by {}", span(pairs, "conversion_least", "conversion_most"));
    let has_shift = pairs.iter().any(|pair| pair.number("conversion_shift").is_some());
    if has_shift {
        let shift = span(pairs, "conversion_shift", "conversion_shift");
        format!("{by} with {shift} added")
    } else {
        by
    }
}

/// How many values share a factor.
fn each(pairs: &[&Pair<'_>]) -> String {
    let mut kinds: IndexMap<&str, usize> = IndexMap::new();
    for pair in pairs {
        *kinds.entry(pair.text("conversion_factors")).or_default() += 1;
    }
    let each = |kind: &str| match kind {
        "rows-scaled" => "a factor for each row",
        "columns-scaled" => "a factor for each column",
        "blocks-scaled" => "a factor for each block of 128 x 128",
        "groups-of-32-scaled" => "a factor for each 32 values of a row",
        "groups-of-64-scaled" => "a factor for each 64 values of a row",
        "groups-of-128-scaled" => "a factor for each 128 values of a row",
        _ => "a factor for the whole",
    };
    let kinds: Vec<String> = match kinds.len() {
        1 => kinds.keys().map(|kind| each(kind).to_owned()).collect(),
        _ => kinds.iter().map(|(kind, count)| format!("{} in {count}", each(kind))).collect(),
    };
    kinds.join(", ")
}

/// An order of lines in words, with what is wrong with it.
fn pattern(order: &str, members: &[&Pair<'_>]) -> String {
    let Some((name, size)) = order.rsplit_once(" of ") else { return String::new() };
    let rotary = match name {
        "halves to pairs" => "half-split rotary features became interleaved ones",
        "pairs to halves" => "interleaved rotary features became half-split ones",
        "whole blocks" => return format!(" (whole blocks of {size})"),
        _ => return format!(" (within blocks of {size})"),
    };
    let Ok(width) = size.parse::<u64>() else { return String::new() };
    let mut wrong = String::new();
    for pair in members {
        let Some(heads) = pair.record.heads else { continue };
        let rows = pair.record.matrix.map_or(0, |[out, _]| out);
        let count = match pair.record.role {
            Role::AttentionK => heads.key_value,
            Role::AttentionQ => heads.query,
            _ => continue,
        };
        if width != u64::from(heads.head_dim) && rows > 0 {
            let done = rows / width.max(1);
            wrong = format!(
                ", as if there were {done} heads where there are {count}: that order is wrong"
            );
            break;
        }
    }
    format!(" (within heads of {width}: {rotary}{wrong})")
}

/// Neurons of MLPs in another order: the same in all matrices of a block, or not.
fn neurons(mlp: &[&Pair<'_>], all: &[Pair<'_>], towers: bool) -> String {
    let place = |record: &WeightRecord| (record.stack, record.block, record.expert);
    let mut broken: Vec<&WeightRecord> = Vec::new();
    let blocks: IndexMap<_, &Pair<'_>> =
        mlp.iter().map(|pair| (place(pair.record), *pair)).collect();
    for (block, first) in &blocks {
        let members = all.iter().filter(|pair| {
            let role = pair.record.role;
            place(pair.record) == *block
                && pair.record.part == Part::Weight
                && pair.record.matrix.is_some()
                && matches!(role, Role::MlpGate | Role::MlpUp | Role::MlpDown)
        });
        let orders: BTreeSet<(&str, bool)> = members
            .map(|pair| {
                let along = pair.text("conversion") == "columns-permuted";
                let fits = along == (pair.record.role == Role::MlpDown);
                (pair.text("conversion_order_id"), fits)
            })
            .collect();
        let is_joint = orders.len() == 1 && orders.iter().all(|(id, fits)| !id.is_empty() && *fits);
        if !is_joint {
            broken.push(first.record);
        }
    }
    let place = places(mlp, all, towers);
    let count = blocks.len();
    let of_blocks = if count == 1 { "1 block".to_owned() } else { format!("{count} blocks") };
    let found = format!("MLP neurons of {of_blocks} stand in another order, {place}");
    if broken.is_empty() {
        format!("{found}: the same in every matrix of a block, so that nothing else changes")
    } else {
        let names = names(broken.iter().map(|record| record.name.as_str()));
        format!(
            "{found}: not the same in every matrix of a block, which changes what the model computes (beside {names})"
        )
    }
}

/// What matrices stored the other way round are told as.
pub(crate) fn transposed(pairs: &[&Pair<'_>], all: &[Pair<'_>], towers: bool) -> String {
    let are = if pairs.len() == 1 { "is" } else { "are" };
    let reordered: Vec<&str> = pairs
        .iter()
        .filter_map(|pair| match pair.text("conversion") {
            "transposed-rows-permuted" => Some("rows"),
            "transposed-columns-permuted" => Some("columns"),
            _ => None,
        })
        .collect();
    let order = match reordered.first() {
        None => String::new(),
        Some(lines) if reordered.len() == pairs.len() => {
            format!(", and the {lines} stand in another order as well")
        }
        Some(lines) => {
            format!(
                ", and in {} of them the {lines} stand in another order as well",
                reordered.len()
            )
        }
    };
    format!(
        "{} {are} stored the other way round{order}{}{}",
        places(pairs, all, towers),
        changed_too(pairs),
        rest(pairs)
    )
}

/// Pairs by a metric in words, in the order of their first.
fn by<'a, 'b>(pairs: &[&'b Pair<'a>], metric: &str) -> IndexMap<&'a str, Vec<&'b Pair<'a>>> {
    let mut groups: IndexMap<&str, Vec<&Pair<'_>>> = IndexMap::new();
    for pair in pairs {
        groups.entry(pair.text(metric)).or_default().push(pair);
    }
    groups
}

/// What weights with values that are zero now are told as.
pub(crate) fn zeroed(pairs: &[&Pair<'_>], all: &[Pair<'_>], towers: bool) -> String {
    let mut groups = by(pairs, "conversion_order");
    // Many shares of one kind are one line.
    if groups.len() > PLACES {
        groups = IndexMap::from([("part of the values", pairs.to_vec())]);
    }
    let parts: Vec<String> = groups
        .into_iter()
        .map(|(place, members)| {
            let names = places(&members, all, towers);
            let are = if members.len() == 1 { "is" } else { "are" };
            match place {
                "all" => format!(
                    "{names} {are} zero in TUNED and {} not in BASE",
                    if members.len() == 1 { "was" } else { "were" }
                ),
                _ => format!(
                    "{place} of {names} are zero in TUNED alone, the others are as they were"
                ),
            }
        })
        .collect();
    format!("{}{}", parts.join("; "), rest(pairs))
}

/// Kinds of places that are told apart.
const PLACES: usize = 4;

/// Whether gains were reset to 1 and columns of matrices multiplied instead.
pub(crate) fn is_folded(pairs: &[Pair<'_>]) -> bool {
    let gains = of_kind(pairs, Conversion::Constant);
    let is_one = |pair: &&Pair<'_>| {
        pair.record.role == Role::Norm && pair.number("conversion_least") == Some(1.0)
    };
    let scaled = of_kind(pairs, Conversion::Scaled);
    gains.iter().any(is_one)
        && scaled.iter().any(|pair| pair.text("conversion_factors") == "columns-scaled")
}

/// What weights with one value everywhere are told as.
pub(crate) fn constant(pairs: &[&Pair<'_>], all: &[Pair<'_>], towers: bool) -> String {
    let has = if pairs.len() == 1 { "has" } else { "have" };
    let value = span(pairs, "conversion_least", "conversion_most");
    format!("{} {has} the value {value} everywhere in TUNED: reset", places(pairs, all, towers))
}

/// What weights that were rounded and stored as before are told as.
pub(crate) fn rounded(pairs: &[&Pair<'_>], all: &[Pair<'_>], towers: bool) -> String {
    let parts = by(pairs, "conversion").into_iter().map(|(kind, members)| {
        let names = places(&members, all, towers);
        let relatives: Vec<f64> = members.iter().filter_map(|p| p.relative()).collect();
        let middle = number(median(&relatives).unwrap_or(0.0));
        let are = if members.len() == 1 { "is" } else { "are" };
        match kind {
            "f16-flushed" => format!(
                "{names} {are} BASE's recast to F16 and back: only values below its range changed (relative L2 {middle})"
            ),
            "rounded-to-4-bits" => format!(
                "{names} {are} BASE's rounded to at most 16 values in each group of 32, as 4 bits have, and stored as before (relative L2 {middle} in the median)"
            ),
            "rounded-to-8-bit-floats" => format!(
                "{names} {are} BASE's rounded to the 8 significands of a float of 8 bits, and stored as before (relative L2 {middle} in the median)"
            ),
            _ => format!(
                "{names} {are} BASE's rounded to the 127 steps of 8 bits in each row, and stored as before (relative L2 {middle} in the median)"
            ),
        }
    });
    parts.collect::<Vec<_>>().join("; ")
}

/// What scaled weights are told as.
pub(crate) fn scaled(pairs: &[&Pair<'_>], all: &[Pair<'_>], towers: bool) -> String {
    let numbers = |metric| pairs.iter().filter_map(move |pair| pair.number(metric));
    let least = numbers("conversion_least").fold(f64::INFINITY, f64::min);
    let most = numbers("conversion_most").fold(f64::NEG_INFINITY, f64::max);
    let cosine = numbers("cosine_similarity").map(f64::abs).fold(1.0, f64::min);
    let lost = least.abs().max(most.abs()) > LOST || least.abs().min(most.abs()) < 1.0 / LOST;
    let why = if lost { ": a scale was lost or applied twice" } else { "" };
    let are = if pairs.len() == 1 { "is" } else { "are" };
    format!(
        "{} {are} multiplied {} ({}; cosine {} at least){why}{}",
        places(pairs, all, towers),
        factors(pairs),
        each(pairs),
        number(cosine),
        rest(pairs)
    )
}

/// What shifted weights are told as.
pub(crate) fn shifted(pairs: &[&Pair<'_>], all: &[Pair<'_>], towers: bool) -> String {
    let mut shifts: Vec<f64> = pairs.iter().filter_map(|p| p.number("conversion_least")).collect();
    shifts.sort_by(f64::total_cmp);
    let (least, most) =
        (shifts.first().copied().unwrap_or(0.0), shifts.last().copied().unwrap_or(0.0));
    let is_near = |x: f64| (least - x).abs() < 1e-2 && (most - x).abs() < 1e-2;
    let what = if is_near(1.0) {
        "BASE's plus 1 (gains stored as 1 + w against w)".to_owned()
    } else if is_near(-1.0) {
        "BASE's minus 1 (gains stored as w against 1 + w)".to_owned()
    } else if (most - least).abs() <= 1e-3 * most.abs() {
        format!("BASE's plus {}", number(most))
    } else {
        format!("BASE's plus a constant of {} to {}", number(least), number(most))
    };
    let are = if pairs.len() == 1 { "is" } else { "are" };
    format!("{} {are} {what}{}", places(pairs, all, towers), rest(pairs))
}

/// How a weight lies in its file, in words.
fn joined(how: &str) -> &'static str {
    match how {
        "first to last" => "joined one after the other",
        "in groups" => {
            "joined in groups (for each key-value head its queries, its key and its value)"
        }
        "one of a stack" => "stacked",
        _ => "in tensors of their own",
    }
}

/// What one checkpoint joins, splits or stacks otherwise than the other, and those pairs; empty where nothing is.
pub(crate) fn regrouped<'a, 'b>(all: &'b [Pair<'a>], towers: bool) -> (String, Vec<&'b Pair<'a>>) {
    let mut groups: IndexMap<[&str; 2], Vec<&Pair<'a>>> = IndexMap::new();
    for pair in all {
        let how = [pair.text("joined"), pair.text("other_joined")];
        if how[0] != how[1] {
            groups.entry(how).or_default().push(pair);
        }
    }
    let parts: Vec<String> = groups
        .iter()
        .map(|([of_base, of_tuned], members)| {
            let roles: BTreeSet<String> =
                members.iter().map(|pair| role_of(pair.record, towers)).collect();
            let blocks: BTreeSet<Option<u32>> =
                members.iter().map(|pair| pair.record.block).collect();
            let count =
                if blocks.len() == 1 { "1 block" } else { &format!("{} blocks", blocks.len()) };
            format!(
                "{} of {count}: {} in BASE, {} in TUNED",
                list(&Vec::from_iter(roles)),
                joined(of_base),
                joined(of_tuned)
            )
        })
        .collect();
    (parts.join("; "), groups.into_values().flatten().collect())
}

/// Pairs whose values were compared as they belong although one is stored the other way round.
pub(crate) fn stored_turned<'a, 'b>(all: &'b [Pair<'a>]) -> Vec<&'b Pair<'a>> {
    // How codes lie is a matter of their packing.
    let is_plain = |pair: &Pair<'a>| {
        pair.record.stored.is_none() && pair.text("other_stored") == pair.text("other_dtype")
    };
    let is_turned = |pair: &&Pair<'a>| {
        pair.number("stored_transposed") == Some(1.0)
            && is_plain(pair)
            && pair.fate != Fate::Converted(Conversion::Transposed)
    };
    all.iter().filter(is_turned).collect()
}

/// What they are told as.
pub(crate) fn turned(pairs: &[&Pair<'_>], all: &[Pair<'_>], towers: bool) -> String {
    let are = if pairs.len() == 1 { "is" } else { "are" };
    let were = if pairs.len() == 1 { "was" } else { "were" };
    format!(
        "{}: {} {are} stored the other way round ([in, out] against [out, in]), and {were} compared the right way round",
        counted(pairs, all),
        places(pairs, all, towers)
    )
}

/// The number of weights that a sentence on `pairs` is about, of all.
pub(crate) fn counted(pairs: &[&Pair<'_>], all: &[Pair<'_>]) -> String {
    if pairs.len() == all.len() {
        format!("all {} pairs", all.len())
    } else {
        format!("{} of {}", pairs.len(), weights(all.len()))
    }
}
