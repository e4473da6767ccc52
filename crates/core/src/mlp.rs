//! Which weights of a block are one MLP, and the norm that its input comes through.

use std::collections::BTreeMap;

use crate::{Category, ModelGraph, Part, Role, Stack, Weight, WeightId};

/// The matrices of an MLP, or of one expert, whose shapes fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mlp {
    /// Gate `[neurons, width]` of a gated one, unless it is stored in one with `up`.
    pub gate: Option<WeightId>,
    /// Up `[neurons, width]`; with the role [`Role::MlpGateUp`] gate and up in one.
    pub up: WeightId,
    /// Down `[width, neurons]`.
    pub down: WeightId,
    /// How many neurons it has.
    pub neurons: u64,
}

/// What an MLP's input was multiplied with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputNorm {
    /// These gains.
    Gains(WeightId),
    /// Nothing: the block has no norm before the MLP.
    Bare,
    /// Which of the block's norms stands there is not known.
    Unknown,
}

/// Names of norms before an MLP that stand nowhere else.
const BEFORE: [&str; 9] = [
    "pre_feedforward_layernorm",
    "pre_mlp_layernorm",
    "ffn_norm",
    "mlp_norm",
    "layer_norm_weight",
    "ln_2",
    "norm2",
    "norm_2",
    "layernorm_after",
];
/// The norm between attention and MLP: before the MLP, unless the block has one after it.
const BETWEEN: [&str; 2] = ["post_attention_layernorm", "post_attention_norm"];
/// Norms after an MLP.
const AFTER: [&str; 4] =
    ["post_feedforward_layernorm", "post_ffw_norm", "post_mlp_layernorm", "layer_output_norm"];
/// Where attention and MLP stand side by side, they share the block's one norm.
const SHARED: [&str; 4] = ["input_layernorm", "ln_1", "attn_norm", "attention_norm"];

impl ModelGraph {
    fn weight(&self, id: WeightId) -> Option<&Weight> {
        self.weights.get(id.0 as usize)
    }

    /// Every MLP whose matrices are all there, readable, and of sizes that fit.
    pub fn mlps(&self) -> Vec<Mlp> {
        let mut found: BTreeMap<_, [Option<WeightId>; 4]> = BTreeMap::new();
        for (id, weight) in (0..).map(WeightId).zip(&self.weights) {
            let place = match weight.role {
                Role::MlpGate => 0,
                Role::MlpUp => 1,
                Role::MlpGateUp => 2,
                Role::MlpDown => 3,
                _ => continue,
            };
            let is_matrix =
                weight.part == Part::Weight && weight.matrix.is_some() && weight.dtype.is_some();
            if let (true, Some(block)) = (is_matrix, weight.block) {
                // A second one in the same place (an unknown layout) makes the MLP ambiguous; the first stands.
                let mlp = found.entry((weight.stack, block, weight.expert)).or_default();
                mlp[place] = mlp[place].or(Some(id));
            }
        }
        let size = |id: WeightId| self.weight(id).and_then(|weight| weight.matrix);
        let fitting = |[gate, up, both, down]: [Option<WeightId>; 4]| {
            let down = down?;
            let [_, neurons] = size(down)?;
            let fits = |id: WeightId, rows: u64| size(id).is_some_and(|[out, _]| out == rows);
            let (gate, up) = match (gate, up, both) {
                (gate, Some(up), _) => (gate, up),
                (None, None, Some(both)) => {
                    return fits(both, neurons.checked_mul(2)?).then_some(Mlp {
                        gate: None,
                        up: both,
                        down,
                        neurons,
                    });
                }
                _ => return None,
            };
            let is_whole = fits(up, neurons) && gate.is_none_or(|gate| fits(gate, neurons));
            is_whole.then_some(Mlp { gate, up, down, neurons })
        };
        found.into_values().filter_map(fitting).collect()
    }

    /// What the input of each of these MLPs was multiplied with, by the names of the block's norms.
    pub fn input_norms(&self, mlps: &[Mlp]) -> Vec<InputNorm> {
        let mut blocks: BTreeMap<Place, Block<'_>> = BTreeMap::new();
        for (id, weight) in (0..).map(WeightId).zip(&self.weights) {
            let Some(place) = weight.block.map(|block| (weight.stack, block)) else { continue };
            let is_gain = weight.role == Role::Norm
                && weight.part == Part::Weight
                && weight.expert.is_none()
                && weight.dtype.is_some();
            if is_gain {
                blocks.entry(place).or_default().norms.push((id, weight));
            } else if weight.role.category() == Category::Attention {
                blocks.entry(place).or_default().attention.push(&weight.name);
            }
        }
        // The experts of a block share its norm.
        let mut known: BTreeMap<(Place, u64), InputNorm> = BTreeMap::new();
        let mut norm_of = |mlp: &Mlp| {
            let up = self.weight(mlp.up)?;
            let (place, [_, width]) = ((up.stack, up.block?), up.matrix?);
            let found = || blocks.get(&place).map_or(InputNorm::Bare, |b| b.norm_before(up, width));
            Some(*known.entry((place, width)).or_insert_with(found))
        };
        mlps.iter().map(|mlp| norm_of(mlp).unwrap_or(InputNorm::Unknown)).collect()
    }
}

type Place = (Option<Stack>, u32);

/// What a block has beside its MLP.
#[derive(Default)]
struct Block<'a> {
    norms: Vec<(WeightId, &'a Weight)>,
    attention: Vec<&'a str>,
}

/// A norm of the MLP's width: its module, and the last word of its name.
type Candidate<'a> = (WeightId, &'a str, &'a str);

impl Block<'_> {
    fn norm_before(&self, up: &Weight, width: u64) -> InputNorm {
        let wide = self.norms.iter().filter(|(_, norm)| norm.elements() == width);
        let candidates: Vec<Candidate<'_>> = wide
            .filter_map(|(id, norm)| {
                let name = norm.name.strip_suffix(".weight").unwrap_or(&norm.name);
                let (module, last) = name.rsplit_once('.')?;
                let is_of_heads = last.starts_with("q_") || last.starts_with("k_");
                (!is_of_heads).then_some((*id, module, last))
            })
            .collect();
        let named = |names: &[&str]| {
            names.iter().find_map(|name| candidates.iter().find(|(.., last)| last == name))
        };
        if let Some((id, ..)) = named(&BEFORE) {
            return InputNorm::Gains(*id);
        }
        let is_followed = named(&AFTER).is_some();
        if let Some((id, ..)) = named(&BETWEEN).filter(|_| !is_followed) {
            return InputNorm::Gains(*id);
        }
        // In a module of its own with the MLP, as T5 has it.
        let is_within = |name: &str, module: &str| {
            name.strip_prefix(module).is_some_and(|rest| rest.starts_with('.'))
        };
        let is_own = |(_, module, _): &&Candidate<'_>| {
            is_within(&up.name, module) && !self.attention.iter().any(|n| is_within(n, module))
        };
        if let Some((id, ..)) = candidates.iter().find(is_own) {
            return InputNorm::Gains(*id);
        }
        let is_after = |last: &str| AFTER.contains(&last) || BETWEEN.contains(&last);
        let mut others = candidates.iter().filter(|(.., last)| !is_after(last));
        match (others.next(), others.next()) {
            (None, _) => InputNorm::Bare,
            (Some((id, _, last)), None) if SHARED.contains(last) && !is_followed => {
                InputNorm::Gains(*id)
            }
            _ => InputNorm::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Confidence, DType, EntryId, Layout};

    fn graph(names: &[(&str, Role, [u64; 2])]) -> ModelGraph {
        let weight = |(name, role, [out, input]): &(&str, Role, [u64; 2])| Weight {
            name: (*name).to_owned(),
            entry: EntryId(0),
            source_tensor: (*name).to_owned(),
            role: *role,
            part: Part::Weight,
            stack: Some(Stack::Decoder),
            block: Some(3),
            expert: None,
            dtype: Some(DType::F32),
            shape: vec![*out, *input],
            layout: Layout::whole(*out, *input),
            matrix: (*out > 1).then_some([*out, *input]),
            transposed: false,
            heads: None,
            fused: Vec::new(),
            from_one: false,
            factor: None,
            confidence: Confidence::Known,
        };
        ModelGraph { weights: names.iter().map(weight).collect(), ..ModelGraph::default() }
    }

    const GATE: (&str, Role, [u64; 2]) = ("b.3.mlp.gate_proj.weight", Role::MlpGate, [12, 8]);
    const UP: (&str, Role, [u64; 2]) = ("b.3.mlp.up_proj.weight", Role::MlpUp, [12, 8]);
    const DOWN: (&str, Role, [u64; 2]) = ("b.3.mlp.down_proj.weight", Role::MlpDown, [8, 12]);

    #[test]
    fn matrices_that_fit_are_an_mlp() {
        let mlp = |names: &[_]| {
            let found = graph(names).mlps();
            found.first().map(|mlp| (mlp.gate.map(|id| id.0), mlp.up.0, mlp.down.0, mlp.neurons))
        };
        assert_eq!(mlp(&[GATE, UP, DOWN]), Some((Some(0), 1, 2, 12)));
        assert_eq!(mlp(&[UP, DOWN]), Some((None, 0, 1, 12)));
        assert_eq!(mlp(&[("b.3.gate_up", Role::MlpGateUp, [24, 8]), DOWN]), Some((None, 0, 1, 12)));
        for misfit in [
            &[GATE, UP][..],
            &[GATE, DOWN],
            &[("b.3.gate", Role::MlpGate, [11, 8]), UP, DOWN],
            &[("b.3.gate_up", Role::MlpGateUp, [23, 8]), DOWN],
            &[UP, ("b.3.down", Role::MlpDown, [8, u64::MAX])],
        ] {
            assert_eq!(mlp(misfit), None);
        }
    }

    #[test]
    fn the_norm_before_it_is_known_by_its_name() {
        let norm = |names: &[&str]| {
            let norms = names.iter().map(|name| (*name, Role::Norm, [1, 8]));
            let attention = ("b.3.layer.0.attn.q_proj.weight", Role::AttentionQ, [8, 8]);
            let all: Vec<_> = [GATE, UP, DOWN, attention].into_iter().chain(norms).collect();
            let graph = graph(&all);
            graph.input_norms(&graph.mlps())[0]
        };
        let gains = |place: u32| InputNorm::Gains(WeightId(4 + place));
        let (input, between) =
            ("b.3.input_layernorm.weight", "b.3.post_attention_layernorm.weight");
        assert_eq!(norm(&[input, between]), gains(1));
        assert_eq!(norm(&["b.3.attn_norm.weight", "b.3.ffn_norm.weight"]), gains(1));
        let (before, after) =
            ("b.3.pre_feedforward_layernorm.weight", "b.3.post_feedforward_layernorm.weight");
        assert_eq!(norm(&[input, between, before, after]), gains(2));
        // Norms of what attention and MLP return alone: nothing stands before the MLP.
        assert_eq!(norm(&[between, after, "b.3.self_attn.q_norm.weight"]), InputNorm::Bare);
        assert_eq!(norm(&[]), InputNorm::Bare);
        // Side by side they share one; in a module of its own it is the MLP's.
        assert_eq!(norm(&[input]), gains(0));
        assert_eq!(norm(&["b.3.layer.0.layer_norm.weight", "b.3.mlp.layer_norm.weight"]), gains(1));
        assert_eq!(norm(&["b.3.norm_a.weight", "b.3.norm_b.weight"]), InputNorm::Unknown);
    }
}
