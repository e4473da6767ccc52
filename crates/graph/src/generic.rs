//! Guessing a role from the words of a name, when no family's table knows it.

use weightscope_core::{Role, Stack};

/// What the words of a name suggest.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Guess {
    pub(crate) role: GuessedRole,
    pub(crate) stack: Option<Stack>,
    /// Which of the name's numbers is the expert's.
    pub(crate) expert: Number,
    /// Whether three dimensions would be a stack of experts.
    pub(crate) stacked: bool,
}

/// One of the first two numbers of a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Number {
    #[default]
    None,
    First,
    Second,
}

/// A role that may depend on the number of dimensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GuessedRole(Role);

impl Default for GuessedRole {
    fn default() -> Self {
        Self(Role::Other)
    }
}

impl GuessedRole {
    /// The role of a tensor of this shape.
    pub(crate) fn with_shape(self, shape: &[u64]) -> Role {
        match (self.0, shape) {
            // A table has two dimensions; one is the norm or bias of an embedding module.
            (Role::TokenEmbedding | Role::PositionEmbedding | Role::TypeEmbedding, [] | [_]) => {
                Role::Other
            }
            // A kernel for each pair of channels; tables of one batch have one in front.
            (Role::Other | Role::PositionEmbedding, [outputs, _, _, _, ..]) if *outputs > 1 => {
                Role::Conv
            }
            (role, _) => role,
        }
    }
}

/// Names longer than this are not looked into: no program writes them.
const MAX_NAME: usize = 1024;

/// Module names that mean one thing wherever they stand.
const MODULES: &[(&[&str], Role)] = &[
    (
        &[
            "q_proj",
            "query",
            "wq",
            "q_lin",
            "to_q",
            "query_proj",
            "attn_q",
            "add_q_proj",
            "linear_q",
            "c_q",
        ],
        Role::AttentionQ,
    ),
    (
        &[
            "k_proj",
            "key",
            "wk",
            "k_lin",
            "to_k",
            "key_proj",
            "attn_k",
            "add_k_proj",
            "linear_k",
            "c_k",
        ],
        Role::AttentionK,
    ),
    (
        &[
            "v_proj",
            "value",
            "wv",
            "v_lin",
            "to_v",
            "value_proj",
            "attn_v",
            "add_v_proj",
            "linear_v",
            "c_v",
        ],
        Role::AttentionV,
    ),
    (
        &[
            "qkv",
            "qkv_proj",
            "query_key_value",
            "c_attn",
            "wqkv",
            "to_qkv",
            "attn_qkv",
            "linear_qkv",
            "w_pack",
            "in_proj_weight",
            "in_proj_bias",
        ],
        Role::AttentionQkv,
    ),
    (&["o_proj", "out_lin", "attn_output", "to_add_out"], Role::AttentionO),
    (&["q_a_proj"], Role::AttentionQDown),
    (&["q_b_proj"], Role::AttentionQUp),
    (&["kv_a_proj", "kv_a_proj_with_mqa"], Role::AttentionKvDown),
    (&["kv_b_proj"], Role::AttentionKvUp),
    (&["gate_up_proj"], Role::MlpGateUp),
    (&["gate_proj", "wi_0", "ffn_gate"], Role::MlpGate),
    (
        &[
            "up_proj",
            "fc1",
            "c_fc",
            "wi",
            "wi_1",
            "fc_in",
            "lin1",
            "linear1",
            "dense_h_to_4h",
            "ffn_up",
            "intermediate_dense",
            "linear_fc1",
            "pwconv1",
            "proj_mlp",
        ],
        Role::MlpUp,
    ),
    (
        &[
            "down_proj",
            "fc2",
            "fc_out",
            "lin2",
            "linear2",
            "dense_4h_to_h",
            "ffn_down",
            "output_dense",
            "linear_fc2",
            "pwconv2",
        ],
        Role::MlpDown,
    ),
    (&["router"], Role::Router),
    (
        &[
            "lm_head",
            "classifier",
            "score",
            "pooler",
            "embed_out",
            "head",
            "qa_outputs",
            "output_projection",
        ],
        Role::Head,
    ),
    (&["a_log", "dt_proj", "x_proj", "ssm", "dt_bias"], Role::Ssm),
];

/// The same inside of a module that is attention.
const IN_ATTENTION: &[(&[&str], Role)] = &[
    (&["q", "receptance"], Role::AttentionQ),
    (&["k"], Role::AttentionK),
    (&["v"], Role::AttentionV),
    (&["in_proj"], Role::AttentionQkv),
    (
        &[
            "o",
            "wo",
            "out",
            "output",
            "out_proj",
            "to_out",
            "linear_out",
            "c_proj",
            "dense",
            "proj",
        ],
        Role::AttentionO,
    ),
];

/// The same inside of a module that keeps a state.
const IN_STATE: &[&str] = &[
    "in_proj",
    "out_proj",
    "in_proj_qkvz",
    "in_proj_ba",
    "in_proj_qkv",
    "in_proj_z",
    "in_proj_a",
    "in_proj_b",
    "d",
];

/// How parameters of RWKV's sums over time begin.
const OF_TIME: &[&str] =
    &["time_mix", "time_maa", "time_decay", "time_first", "time_faaaa", "time_state"];

/// The same inside of a module that is an MLP.
const IN_MLP: &[(&[&str], Role)] = &[
    (&["w1"], Role::MlpGate),
    (&["w3"], Role::MlpUp),
    (&["w2", "wo", "c_proj", "proj_out"], Role::MlpDown),
    (&["gate"], Role::Router),
];

/// Of an MLP what elsewhere is of attention.
const ONLY_IN_MLP: &[(&[&str], Role)] =
    &[(&["key"], Role::MlpUp), (&["value"], Role::MlpDown), (&["receptance"], Role::MlpGate)];

/// Modules whose first layer and last are the two maps of an MLP.
const TWO_LAYERS: &[&str] = &["mlp", "ffn", "net", "feed_forward", "feedforward"];

/// Guesses from a template, in time linear in its length.
pub(crate) fn guess(template: &str) -> Guess {
    let mut guess = Guess::default();
    if template.len() > MAX_NAME {
        return guess;
    }
    let lower = template.to_ascii_lowercase();
    let segments: Vec<&str> = lower.split(['.', '/']).collect();
    let factor = crate::side::adapter(template).map(|(_, role)| role);
    guess.role = GuessedRole(factor.unwrap_or_else(|| role(&segments)));
    guess.stack = segments.iter().find_map(|segment| match *segment {
        "encoder" => Some(Stack::Encoder),
        "decoder" => Some(Stack::Decoder),
        "vision_model" | "vision_tower" | "visual" | "vision" => Some(Stack::Vision),
        "text_model" => Some(Stack::Text),
        _ => None,
    });
    // MLX calls stacked experts `switch_mlp`.
    let is_experts = |segment: &&str| ["experts", "switch_mlp"].contains(segment);
    if let Some(after) = segments.iter().skip_while(|s| !is_experts(s)).nth(1) {
        guess.expert = match *after {
            "{b}" => Number::First,
            "{e}" => Number::Second,
            _ => Number::None,
        };
        guess.stacked =
            guess.expert == Number::None && guess.role.0.category() == Role::MlpUp.category();
    }
    guess
}

fn role(segments: &[&str]) -> Role {
    let within = |words: &[&str]| segments.iter().any(|s| words.iter().any(|w| s.contains(w)));
    let attention = within(&["attn", "attention", "att"]);
    let mlp =
        within(&["mlp", "ffn", "feed_forward", "feedforward", "experts", "moe", "densereludense"])
            || segments.iter().any(|s| ["ff", "ff_context"].contains(s));
    let state = within(&["mamba", "ssm", "linear_attn"]);
    let mut inner = "";
    // The innermost module decides: a norm inside of attention is a norm.
    for segment in segments.iter().rev() {
        let listed = |table: &[(&[&str], Role)]| {
            table.iter().find(|(names, _)| names.contains(segment)).map(|(_, role)| *role)
        };
        let first = if mlp && !attention { listed(ONLY_IN_MLP) } else { None };
        if let Some(role) = first.or_else(|| listed(MODULES)) {
            return role;
        }
        if (state && IN_STATE.contains(segment))
            || OF_TIME.iter().any(|start| segment.starts_with(start))
        {
            return Role::Ssm;
        }
        // A map that gives the scales and shifts of a norm is none.
        if is_norm(segment) {
            return if inner == "linear" { Role::Other } else { Role::Norm };
        }
        if mlp && TWO_LAYERS.contains(segment) {
            match inner {
                "0" => return Role::MlpUp,
                "2" | "3" => return Role::MlpDown,
                _ => {}
            }
        }
        if let Some(role) = embedding(segment) {
            return role;
        }
        if segment.contains("conv") {
            return Role::Conv;
        }
        let inside = if mlp { listed(IN_MLP) } else { None };
        if let Some(role) = inside.or_else(|| if attention { listed(IN_ATTENTION) } else { None }) {
            return role;
        }
        if !["weight", "bias", "proj"].contains(segment) {
            inner = segment;
        }
    }
    match segments {
        // The original Llama's head, and what draws.
        ["output" | "proj_out", "weight" | "bias"] => Role::Head,
        _ => Role::Other,
    }
}

fn is_norm(segment: &str) -> bool {
    segment.contains("norm")
        || segment == "ln"
        || segment == "bn"
        || segment.starts_with("ln_")
        || segment.ends_with("_ln")
        || (segment.strip_prefix("ln").or_else(|| segment.strip_prefix("bn")))
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
}

fn embedding(segment: &str) -> Option<Role> {
    let named = match segment {
        "wte" | "shared" => Some(Role::TokenEmbedding),
        "wpe" => Some(Role::PositionEmbedding),
        _ => None,
    };
    if named.is_some() || !segment.contains("embed") {
        return named;
    }
    let is = |word| segment.contains(word);
    Some(match () {
        () if is("patch") => Role::Conv,
        () if is("pos") => Role::PositionEmbedding,
        () if is("type") || is("segment") => Role::TypeEmbedding,
        () if is("tok") || is("word") || segment.starts_with("embed") => Role::TokenEmbedding,
        () => Role::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_from_words() {
        let check = |name: &str, expected| assert_eq!(guess(name).role.0, expected, "{name}");
        check("decoder.block.{b}.layer.{e}.SelfAttention.q.weight", Role::AttentionQ);
        check("decoder.block.{b}.layer.{e}.SelfAttention.o.weight", Role::AttentionO);
        check("encoder.block.{b}.layer.{e}.DenseReluDense.wo.weight", Role::MlpDown);
        check("encoder.block.{b}.layer.{e}.layer_norm.weight", Role::Norm);
        check("shared.weight", Role::TokenEmbedding);
        check("layers.{b}.attention.wq.weight", Role::AttentionQ);
        check("layers.{b}.feed_forward.w2.weight", Role::MlpDown);
        check("layers.{b}.attention_norm.weight", Role::Norm);
        check("tok_embeddings.weight", Role::TokenEmbedding);
        check("output.weight", Role::Head);
        check("model.layers.{b}.self_attn.kv_a_proj_with_mqa.weight", Role::AttentionKvDown);
        check("model.layers.{b}.self_attn.kv_a_layernorm.weight", Role::Norm);
        check("model.layers.{b}.mlp.gate.weight", Role::Router);
        check("conv{b}.weight", Role::Conv);
        check("vision_model.embeddings.position_embedding.weight", Role::PositionEmbedding);
        check("visual.patch_embed.proj.weight", Role::Conv);
        check("backbone.layers.{b}.mixer.A_log", Role::Ssm);
        check("blocks.{b}.attn1.to_out.0.weight", Role::AttentionO);
        check("blocks.{b}.attn.add_k_proj.weight", Role::AttentionK);
        check("blocks.{b}.self_attn.q.weight", Role::AttentionQ);
        check("blocks.{b}.ffn.0.weight", Role::MlpUp);
        check("blocks.{b}.ffn.2.weight", Role::MlpDown);
        check("blocks.{b}.ff.net.0.proj.weight", Role::MlpUp);
        check("blocks.{b}.ff.net.2.bias", Role::MlpDown);
        check("blocks.{b}.norm1.linear.weight", Role::Other);
        check("blocks.{b}.norm1.weight", Role::Norm);
        check("blocks.{b}.att.receptance.weight", Role::AttentionQ);
        check("blocks.{b}.att.key.weight", Role::AttentionK);
        check("blocks.{b}.att.output.weight", Role::AttentionO);
        check("blocks.{b}.ffn.key.weight", Role::MlpUp);
        check("blocks.{b}.ffn.value.weight", Role::MlpDown);
        check("blocks.{b}.att.time_maa_x", Role::Ssm);
        check("time_embedding.linear_1.weight", Role::Other);
        check("layers.{b}.linear_attn.in_proj_z.weight", Role::Ssm);
        check("layers.{b}.mamba.in_proj.weight", Role::Ssm);
        check("layers.{b}.mamba.norm.weight", Role::Norm);
        check("down_blocks.{b}.resnets.0.conv_shortcut.weight", Role::Conv);
        check("proj_out.weight", Role::Head);
        check("a.lora_A.weight", Role::AdapterA);
        check("fc.weight", Role::Other);
        check("", Role::Other);
    }

    #[test]
    fn four_dimensions_are_a_convolution() {
        let role = |name: &str, shape: &[u64]| guess(name).role.with_shape(shape);
        assert_eq!(role("input_blocks.{b}.in_layers.2.weight", &[8, 4, 3, 3]), Role::Conv);
        assert_eq!(role("pos_embed.proj.weight", &[8, 4, 2, 2]), Role::Conv);
        assert_eq!(role("pos_embed", &[1, 8, 4, 4]), Role::PositionEmbedding);
        assert_eq!(role("gate_const", &[1, 4, 1, 1]), Role::Other);
        assert_eq!(role("pos_embed", &[16, 8]), Role::PositionEmbedding);
        assert_eq!(role("embed_tokens.bias", &[8]), Role::Other);
    }

    #[test]
    fn experts_from_words() {
        let expert = |name: &str| guess(name).expert;
        assert_eq!(expert("l.{b}.experts.{e}.w1.weight"), Number::Second);
        assert_eq!(expert("experts.{b}.w1.weight"), Number::First);
        assert!(guess("l.{b}.experts.down_proj").stacked);
        assert!(guess("l.{b}.mlp.switch_mlp.down_proj.weight").stacked);
        assert!(!guess("l.{b}.experts.{e}.down_proj.weight").stacked);
    }
}
