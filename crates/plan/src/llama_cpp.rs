//! Plans for llama-quantize.
//!
//! `llama-quantize --tensor-type REGEX=TYPE` sets the type of every tensor of a GGUF file in which the regular
//! expression (ECMAScript, searched, not matched whole) is found; the first that is found wins, and the option
//! is repeated for more of them. The program lowers the letters of the expression, so none here has capitals.
//! `--tensor-type-file FILE` reads the same entries from a file, apart by white space, which therefore has no
//! comments. Both are heeded only where the type of the whole file is a quantised one; `q8_0` is named here,
//! because its mixture changes nothing that is not listed. `--token-embedding-type` and `--output-tensor-type`
//! win over the expressions. Sources: the program's own usage text and `tools/quantize/quantize.cpp` and
//! `src/llama-quant.cpp` of llama.cpp; names as in the table `tensor_mapping.py` of the Python package `gguf`.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use indexmap::IndexMap;
use weightscope_core::{Part, Role, Stack};

use crate::names::{alternatives, plain};
use crate::plan::Plan;
use crate::tensor::Stored;
use crate::{Class, Scheme};

/// A tensor's name in a GGUF file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    /// `blk`, `enc.blk` or `dec.blk`; empty outside of blocks.
    pub(crate) tower: &'static str,
    pub(crate) block: Option<u32>,
    /// A regular expression without its `.weight`.
    pub(crate) stem: &'static str,
}

/// The name of a tensor in GGUF, from its role and block; `None` where none is known: biases and other vectors,
/// towers of images, and roles that the converters leave out.
pub(crate) fn name(tensor: &Stored) -> Option<Name> {
    if tensor.part != Part::Weight || tensor.class == Class::Norm {
        return None;
    }
    if matches!(tensor.stack, Some(Stack::Vision | Stack::Text)) {
        return None;
    }
    let leaf = tensor.name.strip_suffix(".weight").unwrap_or(&tensor.name);
    let leaf = leaf.rsplit('.').next().unwrap_or(leaf);
    let Some(block) = tensor.block else {
        let stem = match tensor.role {
            Role::TokenEmbedding => "token_embd",
            Role::PositionEmbedding => "position_embd",
            Role::TypeEmbedding => "token_types",
            Role::Head if OUTPUTS.contains(&leaf) => "output",
            _ => return None,
        };
        return Some(Name { tower: "", block: None, stem });
    };
    // Of T5 alone are both towers in one file.
    let t5 = tensor.name.contains("SelfAttention")
        || tensor.name.contains("EncDecAttention")
        || tensor.name.contains("DenseReluDense");
    let tower = match tensor.stack {
        Some(Stack::Encoder) if t5 => "enc.blk",
        Some(Stack::Decoder) if t5 => "dec.blk",
        _ => "blk",
    };
    let is_shared = tensor.name.contains("shared_expert");
    let cross = tensor.name.contains("EncDecAttention");
    let stem = match (tensor.role, tensor.expert) {
        (Role::AttentionQ, _) if cross => "cross_attn_q",
        (Role::AttentionK, _) if cross => "cross_attn_k",
        (Role::AttentionV, _) if cross => "cross_attn_v",
        (Role::AttentionO, _) if cross => "cross_attn_o",
        (Role::AttentionO, _) if t5 => "attn_o",
        (Role::AttentionQ, _) => "attn_q",
        (Role::AttentionK, _) => "attn_k",
        (Role::AttentionV, _) => "attn_v",
        (Role::AttentionQkv, _) => "attn_qkv",
        (Role::AttentionO, _) => "attn_output",
        (Role::AttentionKvDown, _) => "attn_kv_a_mqa",
        // The converter of newer files stores its halves apart.
        (Role::AttentionKvUp, _) => "attn_(kv_b|k_b|v_b)",
        (Role::AttentionQDown, _) => "attn_q_a",
        (Role::AttentionQUp, _) => "attn_q_b",
        (Role::MlpGate, true) => "ffn_gate_exps",
        (Role::MlpUp, true) => "ffn_up_exps",
        (Role::MlpGateUp, true) => "ffn_(gate|up|gate_up)_exps",
        (Role::MlpDown, true) => "ffn_down_exps",
        (Role::MlpGate, _) if is_shared => "ffn_gate_shexp",
        (Role::MlpUp, _) if is_shared => "ffn_up_shexp",
        (Role::MlpDown, _) if is_shared => "ffn_down_shexp",
        (Role::MlpGate, _) => "ffn_gate",
        // Fused gates and ups go by the name of the latter.
        (Role::MlpUp | Role::MlpGateUp, _) => "ffn_up",
        (Role::MlpDown, _) => "ffn_down",
        (Role::Router, _) if is_shared => "ffn_gate_inp_shexp",
        (Role::Router, _) => "ffn_gate_inp",
        (Role::Ssm, _) => match leaf {
            "in_proj" => "ssm_in",
            "x_proj" => "ssm_x",
            "dt_proj" => "ssm_dt",
            "out_proj" => "ssm_out",
            _ => return None,
        },
        _ => return None,
    };
    Some(Name { tower, block: Some(block), stem })
}

/// Modules that are a language model's head; other heads have no place in a GGUF file.
const OUTPUTS: [&str; 6] = ["lm_head", "embed_out", "output", "output_layer", "head", "linear"];

/// Whether a stored form is a type of GGUF, such as `Q4_K`.
pub(crate) fn is_type(form: &str) -> bool {
    let rest = form.trim_start_matches(['I', 'T']).strip_prefix('Q');
    rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) || form == "MXFP4"
}

/// llama.cpp's name of the type that a tensor gets.
fn type_of(scheme: Option<Scheme>, tensor: &Stored) -> Option<Cow<'static, str>> {
    let name = match scheme {
        Some(Scheme::GgufQ8_0) => "q8_0",
        Some(Scheme::GgufQ4_0) => "q4_0",
        Some(Scheme::GgufQ4_1) => "q4_1",
        Some(Scheme::GgufQ5_0) => "q5_0",
        Some(Scheme::GgufQ5_1) => "q5_1",
        Some(Scheme::F16) => "f16",
        Some(Scheme::Bf16) => "bf16",
        Some(_) => return None,
        None => match (tensor.quantised.as_deref(), tensor.dtype.as_str()) {
            // A type of its own is copied as it is.
            (Some(form), _) if is_type(form) => return Some(form.to_ascii_lowercase().into()),
            (Some(_), _) | (None, "F16") => "f16",
            (None, "BF16") => "bf16",
            (None, _) => "f32",
        },
    };
    Some(Cow::Borrowed(name))
}

/// What a file for llama-quantize says.
struct Types {
    embedding: Option<Cow<'static, str>>,
    output: Option<Cow<'static, str>>,
    /// `REGEX=TYPE`.
    lines: Vec<String>,
    /// Tensors without a name in GGUF, and what the plan says of them.
    unknown: Vec<String>,
}

fn types(plan: &Plan) -> Types {
    let mut types = Types { embedding: None, output: None, lines: Vec::new(), unknown: Vec::new() };
    let mut blocks: IndexMap<(&str, &str, Cow<'_, str>), BTreeSet<u32>> = IndexMap::new();
    let mut everywhere: IndexMap<(&str, &str), BTreeSet<u32>> = IndexMap::new();
    for (tensor, planned) in plan.stored.iter().zip(&plan.tensors) {
        // The program has no say over these, and needs none.
        if matches!(tensor.class, Class::Norm | Class::Router | Class::Position | Class::Buffer)
            || tensor.role == Role::TypeEmbedding
        {
            continue;
        }
        let (Some(name), Some(kind)) = (name(tensor), type_of(planned.scheme, tensor)) else {
            types.unknown.push(plain(&tensor.name));
            continue;
        };
        match (name.block, name.stem) {
            (None, "token_embd") => types.embedding = Some(kind),
            (None, "output") => types.output = Some(kind),
            (None, stem) => types.lines.push(format!("^{stem}\\.weight$={kind}")),
            (Some(block), stem) => {
                blocks.entry((name.tower, stem, kind)).or_default().insert(block);
                everywhere.entry((name.tower, stem)).or_default().insert(block);
            }
        }
    }
    for ((tower, stem, kind), blocks) in &blocks {
        let all = everywhere.get(&(*tower, *stem)).is_some_and(|all| all == blocks);
        let number = if all && blocks.len() > 1 {
            "[0-9]+".to_owned()
        } else {
            alternatives(&blocks.iter().copied().collect::<Vec<u32>>())
        };
        let tower = tower.replace('.', "\\.");
        types.lines.push(format!("^{tower}\\.{number}\\.{stem}\\.weight$={kind}"));
    }
    types
}

/// A shell script: `sh FILE IN.gguf OUT.gguf` runs llama-quantize with the plan's arguments.
pub(crate) fn script(plan: &Plan) -> String {
    let types = types(plan);
    let mut text = String::from("#!/bin/sh\n# Usage: sh THIS_FILE IN.gguf OUT.gguf\n");
    let _ = writeln!(text, "# {}", plain(&plan.summary()));
    for name in &types.unknown {
        let _ = writeln!(text, "# no GGUF name is known for {name}: not in this plan");
    }
    text.push_str("exec llama-quantize \\\n");
    let mut both = plan.stored.iter().zip(&plan.tensors);
    if both.any(|(tensor, planned)| tensor.quantised.is_some() && planned.scheme.is_some()) {
        text.push_str("  --allow-requantize \\\n");
    }
    for (option, kind) in
        [("--token-embedding-type", types.embedding), ("--output-tensor-type", types.output)]
    {
        if let Some(kind) = kind {
            let _ = writeln!(text, "  {option} {kind} \\");
        }
    }
    for line in &types.lines {
        let _ = writeln!(text, "  --tensor-type '{line}' \\");
    }
    text.push_str("  \"$1\" \"$2\" q8_0\n");
    text
}

/// What `llama-quantize --tensor-type-file` reads: an entry a line, and nothing else.
pub(crate) fn type_file(plan: &Plan) -> String {
    let types = types(plan);
    let mut text = String::new();
    for (stem, kind) in [("token_embd", types.embedding), ("output", types.output)] {
        if let Some(kind) = kind {
            let _ = writeln!(text, "^{stem}\\.weight$={kind}");
        }
    }
    for line in &types.lines {
        let _ = writeln!(text, "{line}");
    }
    text
}

#[cfg(test)]
mod tests {
    use Role::{
        AttentionK, AttentionKvDown, AttentionO, AttentionQ, AttentionQkv, Head, MlpDown, MlpGate,
        MlpUp, TokenEmbedding,
    };
    use Stack::{Decoder, Encoder, Vision};

    use super::*;

    /// Names of real checkpoints, and what the table of the package `gguf` makes of them.
    #[test]
    fn names_are_those_of_gguf() {
        let check = |name_in: &str, role, stack, expert, expected: &str| {
            let block = name_in.split('.').find_map(|part| part.parse().ok());
            let tensor = Stored {
                name: name_in.to_owned(),
                class: Class::of(role, Part::Weight, Some([64, 64])),
                role,
                part: Part::Weight,
                stack: Some(stack),
                block,
                expert,
                dtype: "BF16".to_owned(),
                quantised: None,
                codes: false,
                dimensions: 2,
                transposed: false,
                widths: vec![64],
                heights: vec![64],
                weights: 1,
                elements: 4096,
                bytes: 8192,
                measured: Vec::new(),
            };
            let found = name(&tensor).map(|n| match n.block {
                Some(block) => format!("{}.{block}.{}", n.tower, n.stem),
                None => n.stem.to_owned(),
            });
            assert_eq!(found.as_deref().unwrap_or("-"), expected, "{name_in}");
        };
        check("model.embed_tokens.weight", TokenEmbedding, Decoder, false, "token_embd");
        check("lm_head.weight", Head, Decoder, false, "output");
        check("score.weight", Head, Decoder, false, "-");
        check("h.3.attn.c_attn.weight", AttentionQkv, Decoder, false, "blk.3.attn_qkv");
        check("h.3.attn.c_proj.weight", AttentionO, Decoder, false, "blk.3.attn_output");
        check(
            "encoder.layer.2.attention.self.key.weight",
            AttentionK,
            Encoder,
            false,
            "blk.2.attn_k",
        );
        check(
            "model.layers.1.mlp.experts.7.w1.weight",
            MlpGate,
            Decoder,
            true,
            "blk.1.ffn_gate_exps",
        );
        check(
            "model.layers.1.mlp.shared_expert.up_proj.weight",
            MlpUp,
            Decoder,
            false,
            "blk.1.ffn_up_shexp",
        );
        check(
            "model.layers.1.self_attn.kv_a_proj_with_mqa.weight",
            AttentionKvDown,
            Decoder,
            false,
            "blk.1.attn_kv_a_mqa",
        );
        check(
            "encoder.block.1.layer.1.DenseReluDense.wo.weight",
            MlpDown,
            Encoder,
            false,
            "enc.blk.1.ffn_down",
        );
        check(
            "decoder.block.1.layer.1.EncDecAttention.q.weight",
            AttentionQ,
            Decoder,
            false,
            "dec.blk.1.cross_attn_q",
        );
        check("vision.layers.1.self_attn.q_proj.weight", AttentionQ, Vision, false, "-");
    }
}
