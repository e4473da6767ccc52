//! Which weights of two checkpoints are the same.

use std::collections::{BTreeMap, BTreeSet};

use weightscope_core::{
    EntryId, FusedPart, ModelGraph, Pairing, Part, Role, Stack, Unpaired, Weight, WeightId,
};

use crate::wrapper;

/// What a weight does and where: the same in every layout of a model.
type Place = (Option<Stack>, Role, Part, Option<u32>, Option<u32>);

fn place(weight: &Weight) -> Place {
    (weight.stack, weight.role, weight.part, weight.block, weight.expert)
}

/// Holds `tuned` against `base`: one graph of both, with the [`Pairing`] of their weights.
///
/// * Weights pair by tower, role, part, block and expert, and where several share these by name, whatever is written
///   before it (`transformer.h.0.ln_1.weight` and `h.0.ln_1.weight`); the rest by equal names. How they are stored does
///   not matter: element types, shards and orientation may differ.
/// * Tables of tokens, positions and types, and heads, pair by their common rows when only the number of rows differs.
/// * `base_entries`: number of tensors in BASE; TUNED's are numbered after them, as
///   [`PairSource`](weightscope_core::PairSource) has them.
/// * Cost: n log n in the number of weights.
pub fn pair(base: &ModelGraph, tuned: &ModelGraph, base_entries: usize) -> ModelGraph {
    let shifted = |weight: &Weight| Weight {
        entry: EntryId(weight.entry.0 + base_entries as u32),
        ..weight.clone()
    };
    let mut weights: Vec<Weight> = base.weights.clone();
    weights.extend(tuned.weights.iter().map(shifted));
    let id = |index: usize| WeightId(index as u32);
    let split = base.weights.len();

    let matches = matches(&base.weights, &tuned.weights);
    let mut taken = vec![false; tuned.weights.len()];
    let mut pairing = Pairing { tuned: tuned.summary.clone(), ..Pairing::default() };
    for (index, (weight, partner)) in base.weights.iter().zip(matches).enumerate() {
        let mut alone = |other: Option<&Weight>, reason: String, is_error| {
            let other = other.map(|other| other.name.clone());
            let weight = id(index);
            pairing.unpaired.push(Unpaired { weight, other, reason, is_error });
        };
        let Some((place, other)) = partner.and_then(|i| Some((i, tuned.weights.get(i)?))) else {
            alone(None, missing(weight, tuned, "TUNED"), false);
            continue;
        };
        if let Some(flag) = taken.get_mut(place) {
            *flag = true;
        }
        if weight.dtype.is_none() || other.dtype.is_none() {
            let whose = if weight.dtype.is_none() { "BASE" } else { "TUNED" };
            alone(Some(other), format!("{whose} has it in a form that cannot be read"), true);
        } else if let Some(turned) = turned(weight, other) {
            if let Some(target) = weights.get_mut(split + place) {
                *target = turned;
                target.entry = EntryId(other.entry.0 + base_entries as u32);
            }
            pairing.pairs.push([id(index), id(split + place)]);
        } else if let Some(rows) = common_rows(weight, other) {
            for (cut, full) in [(index, weight), (split + place, other)] {
                if let Some(target) = weights.get_mut(cut).filter(|_| rows < extent(full)[0]) {
                    *target = first_outputs(target, rows);
                }
            }
            pairing.pairs.push([id(index), id(split + place)]);
        } else {
            let shapes = format!("shapes differ: {:?} against {:?}", weight.shape, other.shape);
            alone(Some(other), shapes, false);
        }
    }
    for (index, weight) in tuned.weights.iter().enumerate() {
        if taken.get(index) == Some(&false) {
            let (weight, reason) = (id(split + index), missing(weight, base, "BASE"));
            pairing.unpaired.push(Unpaired { weight, other: None, reason, is_error: false });
        }
    }
    ModelGraph { weights, summary: base.summary.clone(), pairing: Some(pairing) }
}

/// Why `other` lacks a counterpart of `weight`.
fn missing(weight: &Weight, other: &ModelGraph, whose: &str) -> String {
    let in_tower = other.weights.iter().filter(|w| w.stack == weight.stack);
    let depth = in_tower.filter_map(|w| w.block).max();
    match (weight.block, depth) {
        (Some(block), Some(last)) if block > last => {
            format!("{whose} has no block {block}: its last is {last}")
        }
        _ => format!("{whose} has no counterpart"),
    }
}

/// For every weight of `base` its counterpart in `tuned`.
fn matches(base: &[Weight], tuned: &[Weight]) -> Vec<Option<usize>> {
    let mut groups: BTreeMap<Place, [Vec<usize>; 2]> = BTreeMap::new();
    for (side, weights) in [base, tuned].into_iter().enumerate() {
        for (index, weight) in weights.iter().enumerate() {
            if let Some(members) = groups.entry(place(weight)).or_default().get_mut(side) {
                members.push(index);
            }
        }
    }
    let mut found = vec![None; base.len()];
    for ((_, role, ..), [mine, theirs]) in groups {
        // What nothing is known of pairs by name alone.
        if let ([a], [b], false) = (&mine[..], &theirs[..], role == Role::Other) {
            set(&mut found, *a, *b);
            continue;
        }
        by_name(base, tuned, &mine, theirs.clone(), &mut found);
        if role == Role::Norm {
            by_convention(base, tuned, &mine, &theirs, &mut found);
        }
    }
    by_equal_name(base, tuned, &mut found);
    found
}

/// Pairs what is left over by whole names: the same tensor as integers and as floats may be a buffer here and a weight
/// there.
fn by_equal_name(base: &[Weight], tuned: &[Weight], found: &mut [Option<usize>]) {
    let taken: BTreeSet<usize> = found.iter().flatten().copied().collect();
    let others = tuned.iter().enumerate().filter(|(index, _)| !taken.contains(index));
    // What a copy replaced is no counterpart of anything.
    let bare = |weight: &Weight| {
        let bare = wrapper::bare(&weight.name);
        (!bare.is_original).then(|| bare.name.into_owned())
    };
    let left: BTreeMap<String, usize> =
        others.filter_map(|(index, weight)| Some((bare(weight)?, index))).collect();
    for (slot, weight) in found.iter_mut().zip(base) {
        if slot.is_none() {
            *slot = bare(weight).and_then(|name| left.get(&name).copied());
        }
    }
}

fn set(found: &mut [Option<usize>], base: usize, tuned: usize) {
    if let Some(slot) = found.get_mut(base) {
        *slot = Some(tuned);
    }
}

/// What model families call the same norm of a block, most telling first. The norm before the MLP is
/// `post_attention_layernorm` in models that have none behind attention.
const NORMS: &[&[&str]] = &[
    &["attn_q_norm", "q_norm", "q_layernorm"],
    &["attn_k_norm", "k_norm", "k_layernorm"],
    &["post_attention_norm", "post_attention_layernorm"],
    &["post_ffw_norm", "post_feedforward_layernorm"],
    &["attn_norm", "input_layernorm", "ln_1", "attention_norm", "linear_qkv"],
    &[
        "ffn_norm",
        "pre_feedforward_layernorm",
        "post_attention_layernorm",
        "ln_2",
        "pre_mlp_layernorm",
        "linear_fc1",
    ],
    &["attn_output_norm", "attention.output.LayerNorm", "sa_layer_norm"],
    &["layer_output_norm", "output.LayerNorm", "output_layer_norm"],
];

/// Pairs norms of one block whose names are of two conventions.
fn by_convention(
    base: &[Weight],
    tuned: &[Weight],
    mine: &[usize],
    theirs: &[usize],
    found: &mut [Option<usize>],
) {
    let module = |weights: &[Weight], index: usize| {
        let name = weights.get(index).map_or("", |weight| &weight.name);
        name.rsplit_once('.').map_or(name, |(module, _)| module).to_owned()
    };
    let is_called = |name: &str, end: &str| {
        name.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    for names in NORMS {
        let taken: BTreeSet<usize> = found.iter().flatten().copied().collect();
        let called = |weights: &[Weight], members: &[usize], is_free: &dyn Fn(usize) -> bool| {
            names.iter().find_map(|end| {
                let mut free = members.iter().copied().filter(|index| is_free(*index));
                free.find(|index| is_called(&module(weights, *index), end))
            })
        };
        let a = called(base, mine, &|index| found.get(index) == Some(&None));
        let b = called(tuned, theirs, &|index| !taken.contains(&index));
        if let Some((a, b)) = a.zip(b) {
            set(found, a, b);
        }
    }
}

/// Whether one of two checkpoints joins what the other keeps apart, or joins it in another way: then both pair better
/// with [`WalkOptions::split_fused`](crate::WalkOptions::split_fused).
pub fn regrouping(base: &ModelGraph, tuned: &ModelGraph) -> bool {
    let joined = |graph: &ModelGraph| -> BTreeMap<Place, Vec<FusedPart>> {
        let is_joined = |w: &&Weight| matches!(w.role, Role::AttentionQkv | Role::MlpGateUp);
        let joined = graph.weights.iter().filter(is_joined);
        joined.filter(|w| w.part == Part::Weight).map(|w| (place(w), w.fused.clone())).collect()
    };
    let [of_base, of_tuned] = [joined(base), joined(tuned)];
    let [all_base, all_tuned] =
        [base, tuned].map(|graph| graph.weights.iter().map(place).collect::<BTreeSet<Place>>());
    let apart = |all: &BTreeSet<Place>, (stack, role, part, block, expert): &Place| {
        let first = if *role == Role::AttentionQkv { Role::AttentionQ } else { Role::MlpGate };
        all.contains(&(*stack, first, *part, *block, *expert))
    };
    // One is enough: a model does all its blocks alike.
    let other_way = of_base.iter().any(|(place, parts)| match of_tuned.get(place) {
        Some(others) => !parts.is_empty() && !others.is_empty() && parts != others,
        None => apart(&all_tuned, place),
    });
    other_way
        || of_tuned.keys().any(|place| !of_base.contains_key(place) && apart(&all_base, place))
}

/// Longest common ending that is looked for, in words: names come from files.
const MOST_WORDS: usize = 32;

/// Pairs weights of one place whose names are equal; then those of which one's name ends with the other's, or both with
/// all words that follow the block.
fn by_name(
    base: &[Weight],
    tuned: &[Weight],
    mine: &[usize],
    theirs: Vec<usize>,
    found: &mut [Option<usize>],
) {
    let name = |weights: &[Weight], i: usize| {
        weights.get(i).map_or_else(String::new, |w| wrapper::bare(&w.name).name.into_owned())
    };
    let mut left: BTreeMap<String, usize> =
        theirs.into_iter().map(|i| (name(tuned, i), i)).collect();
    let mut without = Vec::new();
    for index in mine {
        match left.remove(&name(base, *index)) {
            Some(partner) => set(found, *index, partner),
            None => without.push(*index),
        }
    }
    // By the last words, most of them first, so that the longest common ending wins; an ending that several share
    // says nothing.
    let most = without.iter().map(|i| words(&name(base, *i)).count()).max().unwrap_or(0);
    let most = most.min(MOST_WORDS);
    for count in (1..=most).rev() {
        let mut endings: BTreeMap<String, [Vec<usize>; 2]> = BTreeMap::new();
        let unmatched = without.iter().filter(|i| found.get(**i) == Some(&None));
        let sides = unmatched.map(|i| (0, name(base, *i), *i));
        for (side, name, index) in sides.chain(left.iter().map(|(n, i)| (1, n.clone(), *i))) {
            if let Some(ending) = ending(&name, count)
                && let Some(members) = endings.entry(ending).or_default().get_mut(side)
            {
                members.push(index);
            }
        }
        for [a, b] in endings.into_values() {
            if let ([a], [b]) = (&a[..], &b[..])
                && says_enough(&name(base, *a), &name(tuned, *b), count)
            {
                set(found, *a, *b);
                left.retain(|_, index| index != b);
            }
        }
    }
}

fn words(name: &str) -> impl DoubleEndedIterator<Item = &str> {
    name.split('.')
}

/// The last `count` words of a name that has so many.
fn ending(name: &str, count: usize) -> Option<String> {
    let words: Vec<&str> = words(name).collect();
    Some(words.get(words.len().checked_sub(count)?..)?.join("."))
}

/// Whether `count` common last words are one of the names, or all that follows its last number.
fn says_enough(a: &str, b: &str, count: usize) -> bool {
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|c| c.is_ascii_digit());
    let enough = |name: &str| {
        let all = words(name).count();
        let after = words(name).rev().take_while(|word| !is_number(word)).count();
        count == all || (after < all && count >= after)
    };
    enough(a) && enough(b) || count == words(a).count() || count == words(b).count()
}

/// `[out, in]`, of vectors `[n, 1]`, whatever way it is stored.
fn extent(weight: &Weight) -> [u64; 2] {
    let [rows, columns] = [weight.layout.rows(), weight.layout.columns()];
    if weight.shape.len() < 2 {
        [rows * columns, 1]
    } else if weight.transposed {
        [columns, rows]
    } else {
        [rows, columns]
    }
}

/// `other` seen the other way round, where that alone makes a matrix of the same size of it: one that is no square and is
/// not stored like its siblings.
fn turned(weight: &Weight, other: &Weight) -> Option<Weight> {
    let ([out, input], size) = (extent(weight), extent(other));
    let fits = weight.shape.len() == 2 && other.shape.len() == 2 && out != input;
    (fits && size == [input, out]).then(|| Weight {
        transposed: !other.transposed,
        matrix: Some([out, input]),
        ..other.clone()
    })
}

/// How many outputs the two have in common; `None` when they cannot be compared.
fn common_rows(a: &Weight, b: &Weight) -> Option<u64> {
    let ([rows, width], [other_rows, other_width]) = (extent(a), extent(b));
    // More dimensions than two must agree, because a matrix is not all that they are.
    let same_dimensions = a.shape.len() == b.shape.len()
        && (a.shape.len() < 3 || a.shape.get(1..) == b.shape.get(1..));
    let is_table = matches!(
        a.role,
        Role::TokenEmbedding | Role::PositionEmbedding | Role::TypeEmbedding | Role::Head
    );
    let common = rows.min(other_rows);
    // A head of one score is not the beginning of one over tokens.
    let is_most = is_table && (a.role != Role::Head || common >= rows.max(other_rows) / 2);
    let fits = width == other_width && (rows == other_rows || is_most);
    (same_dimensions && fits).then_some(common)
}

/// The same weight with the layout of its first `rows` outputs alone.
fn first_outputs(weight: &Weight, rows: u64) -> Weight {
    let mut weight = weight.clone();
    let layout = &mut weight.layout;
    if weight.transposed || weight.shape.len() < 2 && layout.columns() > 1 {
        layout.column_range.end = layout.column_range.start + rows;
    } else {
        let mut left = rows;
        layout.row_ranges.retain_mut(|range| {
            let count = left.min(range.end - range.start);
            range.end = range.start + count;
            left -= count;
            count > 0
        });
    }
    weight
}

#[cfg(test)]
mod tests {
    use weightscope_core::{DType, Metadata, TensorEntry};

    use super::*;
    use crate::{WalkOptions, walk};

    fn graph(tensors: &[(&str, &[u64])]) -> ModelGraph {
        let entry = |(name, shape): &(&str, &[u64])| TensorEntry::plain(name, DType::F32, shape);
        let entries: Vec<TensorEntry> = tensors.iter().map(entry).collect();
        walk(&entries, &Metadata::default(), &WalkOptions::default())
    }

    /// Pairs by name, and reasons by name.
    fn paired(
        base: &[(&str, &[u64])],
        tuned: &[(&str, &[u64])],
    ) -> (Vec<[String; 2]>, Vec<[String; 2]>) {
        let both = pair(&graph(base), &graph(tuned), base.len());
        let name = |id: &WeightId| both.weights[id.0 as usize].name.clone();
        let pairing = both.pairing.as_ref().unwrap();
        let pairs = pairing.pairs.iter().map(|pair| [name(&pair[0]), name(&pair[1])]);
        let alone = pairing.unpaired.iter().map(|u| [name(&u.weight), u.reason.clone()]);
        (pairs.collect(), alone.collect())
    }

    const BLOCK: [(&str, &[u64]); 6] = [
        ("wte.weight", &[50, 8]),
        ("h.0.ln_1.weight", &[8]),
        ("h.0.ln_2.weight", &[8]),
        ("h.0.attn.c_attn.weight", &[8, 24]),
        ("h.0.attn.c_proj.weight", &[8, 8]),
        ("h.0.mlp.c_fc.weight", &[8, 32]),
    ];

    #[test]
    fn norms_of_two_conventions_pair() {
        let model = [
            ("model.layers.0.input_layernorm.weight", &[8][..]),
            ("model.layers.0.post_attention_layernorm.weight", &[8]),
            ("model.layers.0.self_attn.q_proj.weight", &[8, 8]),
            ("model.layers.0.mlp.gate_proj.weight", &[16, 8]),
            ("model.norm.weight", &[8]),
        ];
        let gguf = [
            ("blk.0.attn_norm.weight", &[8][..]),
            ("blk.0.attn_q.weight", &[8, 8]),
            ("blk.0.ffn_gate.weight", &[16, 8]),
            ("blk.0.ffn_norm.weight", &[8]),
            ("output_norm.weight", &[8]),
        ];
        for (base, tuned) in [(model, gguf), (gguf, model)] {
            let (pairs, unpaired) = paired(&base, &tuned);
            assert_eq!((pairs.len(), unpaired.len()), (5, 0), "{unpaired:?}");
            let other = |name: &str| {
                let pair = pairs.iter().find(|pair| pair.iter().any(|side| side == name)).unwrap();
                pair.iter().find(|side| *side != name).unwrap().clone()
            };
            assert_eq!(other("blk.0.attn_norm.weight"), "model.layers.0.input_layernorm.weight");
            assert_eq!(
                other("blk.0.ffn_norm.weight"),
                "model.layers.0.post_attention_layernorm.weight"
            );
        }
    }

    #[test]
    fn a_prefix_and_the_order_do_not_matter() {
        let names: Vec<String> =
            BLOCK.iter().map(|(name, _)| format!("transformer.{name}")).collect();
        let mut tuned: Vec<(&str, &[u64])> =
            names.iter().zip(BLOCK).map(|(name, (_, shape))| (name.as_str(), shape)).collect();
        tuned.reverse();
        let (pairs, alone) = paired(&BLOCK, &tuned);
        assert_eq!((pairs.len(), alone), (6, Vec::new()));
        assert!(pairs.iter().all(|[a, b]| format!("transformer.{a}") == *b), "{pairs:?}");
    }

    #[test]
    fn tables_pair_by_common_rows_and_other_shapes_do_not() {
        let mut tuned = BLOCK;
        tuned[0].1 = &[60, 8];
        tuned[5].1 = &[8, 40];
        let both = pair(&graph(&BLOCK), &graph(&tuned), 6);
        let pairing = both.pairing.as_ref().unwrap();
        let [base, other] = pairing.pairs[0].map(|id| &both.weights[id.0 as usize]);
        assert_eq!((base.name.as_str(), base.shape.as_slice()), ("wte.weight", &[50, 8][..]));
        assert_eq!((other.layout.rows(), other.shape[0]), (50, 60));
        assert_eq!(other.entry.0, 6);
        let (pairs, alone) = paired(&BLOCK, &tuned);
        assert_eq!(pairs.len(), 5);
        let reason = "shapes differ: [8, 32] against [8, 40]".to_owned();
        assert_eq!(alone, [["h.0.mlp.c_fc.weight".to_owned(), reason]]);
    }

    #[test]
    fn what_is_missing_is_said_on_both_sides() {
        let mut deeper = BLOCK.to_vec();
        deeper.push(("h.1.ln_1.weight", &[8]));
        let reason = |text: &str| vec![["h.1.ln_1.weight".to_owned(), text.to_owned()]];
        assert_eq!(paired(&BLOCK, &deeper).1, reason("BASE has no block 1: its last is 0"));
        assert_eq!(paired(&deeper, &BLOCK).1, reason("TUNED has no block 1: its last is 0"));
        let (pairs, alone) = paired(&BLOCK[..5], &BLOCK[1..]);
        assert_eq!((pairs.len(), alone.len()), (4, 2));
    }

    #[test]
    fn names_without_roles_pair_by_their_endings() {
        let base: [(&str, &[u64]); 3] = [("a.x", &[4]), ("a.y", &[4]), ("b.x", &[4])];
        let tuned: [(&str, &[u64]); 3] = [("model.a.x", &[4]), ("model.a.y", &[4]), ("z", &[4])];
        let (pairs, alone) = paired(&base, &tuned);
        assert_eq!(pairs.len(), 2, "{pairs:?}");
        assert_eq!(alone.len(), 2, "{alone:?}");
        assert!(pairs.iter().all(|[a, b]| format!("model.{a}") == *b));
    }
}
