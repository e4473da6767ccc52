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
    /// The role of a tensor with this many dimensions.
    pub(crate) fn with_dimensions(self, dimensions: usize) -> Role {
        match self.0 {
            // A table has two dimensions; one is the norm or bias of an embedding module.
            Role::TokenEmbedding | Role::PositionEmbedding | Role::TypeEmbedding
                if dimensions < 2 =>
            {
                Role::Other
            }
            role => role,
        }
    }
}

/// Names longer than this are not looked into: no program writes them.
const MAX_NAME: usize = 1024;

/// Module names that mean one thing wherever they stand.
const MODULES: &[(&[&str], Role)] = &[
    (&["q_proj", "query", "wq", "q_lin", "to_q", "query_proj", "attn_q"], Role::AttentionQ),
    (&["k_proj", "key", "wk", "k_lin", "to_k", "key_proj", "attn_k"], Role::AttentionK),
    (&["v_proj", "value", "wv", "v_lin", "to_v", "value_proj", "attn_v"], Role::AttentionV),
    (
        &[
            "qkv",
            "qkv_proj",
            "query_key_value",
            "c_attn",
            "wqkv",
            "to_qkv",
            "attn_qkv",
            "in_proj_weight",
            "in_proj_bias",
        ],
        Role::AttentionQkv,
    ),
    (&["o_proj", "out_lin", "attn_output"], Role::AttentionO),
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
        ],
        Role::MlpUp,
    ),
    (
        &["down_proj", "fc2", "fc_out", "lin2", "linear2", "dense_4h_to_h", "ffn_down"],
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
    (&["q"], Role::AttentionQ),
    (&["k"], Role::AttentionK),
    (&["v"], Role::AttentionV),
    (&["in_proj"], Role::AttentionQkv),
    (&["o", "wo", "out_proj", "to_out", "c_proj", "dense", "proj"], Role::AttentionO),
];

/// The same inside of a module that is an MLP.
const IN_MLP: &[(&[&str], Role)] = &[
    (&["w1"], Role::MlpGate),
    (&["w3"], Role::MlpUp),
    (&["w2", "wo", "c_proj", "proj_out"], Role::MlpDown),
    (&["gate"], Role::Router),
];

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
        within(&["mlp", "ffn", "feed_forward", "feedforward", "experts", "moe", "densereludense"]);
    // The innermost module decides: a norm inside of attention is a norm.
    for segment in segments.iter().rev() {
        let listed = |table: &[(&[&str], Role)]| {
            table.iter().find(|(names, _)| names.contains(segment)).map(|(_, role)| *role)
        };
        if let Some(role) = listed(MODULES) {
            return role;
        }
        if is_norm(segment) {
            return Role::Norm;
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
    }
    match segments {
        // The original Llama's head.
        ["output", "weight"] => Role::Head,
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
        check("a.lora_A.weight", Role::AdapterA);
        check("fc.weight", Role::Other);
        check("", Role::Other);
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
