//! What stands beside weights: adapters, scales, zero points, packed values, buffers. Told from the last
//! segments of a name, in any family.

use weightscope_core::{Part, Role};

/// A tensor that belongs to a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Side {
    /// Which part of the module it is.
    pub(crate) part: Part,
    /// Whether it holds several values per element, so that its shape is not the matrix's.
    pub(crate) packed: bool,
}

/// Last segments of tensors that belong to a quantised weight.
const SIDES: &[(&str, Part)] = &[
    ("scales", Part::Scale),
    ("SCB", Part::Scale),
    ("absmax", Part::Scale),
    ("nested_absmax", Part::Scale),
    ("scale_inv", Part::Scale),
    ("weight_scale_inv", Part::Scale),
    ("weight_scale_2", Part::Scale),
    ("qscale_weight", Part::Scale),
    ("qscale_act", Part::Scale),
    ("scale_weight", Part::Scale),
    ("scale_input", Part::Scale),
    ("qzeros", Part::ZeroPoint),
    ("zero_point", Part::ZeroPoint),
    ("zero_points", Part::ZeroPoint),
    ("g_idx", Part::Buffer),
    ("weight_g_idx", Part::Buffer),
    ("weight_shape", Part::Buffer),
    ("quant_map", Part::Buffer),
    ("nested_quant_map", Part::Buffer),
];

/// Last segments of quantised values with several to an element.
const PACKED: &[&str] = &["qweight", "weight_packed"];

/// Ends of the same where the name goes on from a stack's.
const STACK_SIDES: &[(&str, Part, bool)] =
    &[("_blocks", Part::Weight, true), ("_scales", Part::Scale, false)];

/// Trained scales in spite of their name.
const TRAINED_SCALES: &[&str] = &["logit_scale", "layer_scale", "residual_scale", "attn_scale"];

/// Last segments of what is stored but not trained.
const BUFFERS: &[&str] = &[
    "inv_freq",
    "position_ids",
    "token_type_ids",
    "masked_bias",
    "attn_mask",
    "attention_mask",
    "causal_mask",
    "mask",
    "running_mean",
    "running_var",
    "num_batches_tracked",
    "cos_cached",
    "sin_cached",
    "freqs_cis",
    "A_log",
];

/// The module a low-rank adapter is for, and which factor it is.
pub(crate) fn adapter(name: &str) -> Option<(&str, Role)> {
    let find = |word: &str| {
        let at = name.rfind(word)?;
        let (module, end) = (name.get(..at)?, name.get(at + word.len()..)?);
        (end.is_empty() || end.starts_with('.')).then_some(module)
    };
    let factor = |words: &[&str], role| words.iter().find_map(|w| find(w)).map(|m| (m, role));
    factor(&[".lora_A", ".lora_embedding_A", ".lora_a"], Role::AdapterA)
        .or_else(|| factor(&[".lora_B", ".lora_embedding_B", ".lora_b"], Role::AdapterB))
}

/// Whether it is DoRA's length of a module's rows, which stands beside two factors (PEFT; `m` in MLX is too short a name
/// to tell).
pub(crate) fn is_magnitude(name: &str) -> bool {
    name.split('.').any(|segment| segment == "lora_magnitude_vector")
}

/// The module (or tensor) that a tensor beside a weight belongs to, and what it is.
pub(crate) fn side(name: &str) -> Option<(&str, Side)> {
    let (module, last) = name.rsplit_once('.')?;
    if PACKED.contains(&last) {
        return Some((module, Side { part: Part::Weight, packed: true }));
    }
    if let Some(part) = side_part(last) {
        // `<module>.weight.absmax` as well as `<module>.scales`.
        let module = module.strip_suffix(".weight").unwrap_or(module);
        return Some((module, Side { part, packed: false }));
    }
    if last.starts_with("bitsandbytes__") {
        let module = module.strip_suffix(".weight.quant_state")?;
        return Some((module, Side { part: Part::Buffer, packed: false }));
    }
    STACK_SIDES.iter().find_map(|(end, part, packed)| {
        Some((name.strip_suffix(end)?, Side { part: *part, packed: *packed }))
    })
}

fn side_part(last: &str) -> Option<Part> {
    let listed = SIDES.iter().find(|(word, _)| *word == last).map(|(_, part)| *part);
    let scale = || {
        let is_scale = last.ends_with("_scale") || last.ends_with("_scale_inv");
        (is_scale && !TRAINED_SCALES.contains(&last)).then_some(Part::Scale)
    };
    let zero_point = || last.ends_with("_zero_point").then_some(Part::ZeroPoint);
    listed.or_else(scale).or_else(zero_point)
}

/// The part a name tells without a family: its last segment, with the number of dimensions where a name is
/// used for two things.
pub(crate) fn part(name: &str, dimensions: usize) -> Part {
    if let Some((_, side)) = side(name) {
        return side.part;
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    let buffer = BUFFERS.contains(&last)
        || last.ends_with("_lambdas")
        || last.ends_with("_mask")
        || name.contains("rotary_emb.");
    match last {
        // A causal mask goes by the name of a bias in several families.
        "bias" if dimensions > 2 => Part::Buffer,
        _ if buffer => Part::Buffer,
        "bias" | "beta" => Part::Bias,
        _ if last.ends_with("_bias") && dimensions < 2 => Part::Bias,
        _ => Part::Weight,
    }
}

/// Whether the values of a tensor of integers may be those of a quantised weight.
pub(crate) fn holds_quantised_weights(name: &str) -> bool {
    name.ends_with("weight") || side(name).is_some_and(|(_, side)| side.packed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adapters_name_their_module() {
        assert_eq!(adapter("a.q_proj.lora_A.weight"), Some(("a.q_proj", Role::AdapterA)));
        assert_eq!(adapter("a.q_proj.lora_B.default.weight"), Some(("a.q_proj", Role::AdapterB)));
        assert_eq!(adapter("wte.lora_embedding_A"), Some(("wte", Role::AdapterA)));
        assert_eq!(
            adapter("blk.0.attn_q.weight.lora_a"),
            Some(("blk.0.attn_q.weight", Role::AdapterA))
        );
        assert_eq!(adapter("a.lora_Alpha.weight"), None);
        assert_eq!(adapter("a.lora_alpha"), None);
    }

    #[test]
    fn parts_from_names() {
        let check = |name, dimensions, expected| {
            assert_eq!(part(name, dimensions), expected, "{name}");
        };
        check("a.weight", 2, Part::Weight);
        check("a.bias", 1, Part::Bias);
        check("h.0.attn.bias", 4, Part::Buffer);
        check("a.weight_scale", 1, Part::Scale);
        check("a.weight.absmax", 1, Part::Scale);
        check("a.scales", 2, Part::Scale);
        check("a.input_scale", 0, Part::Scale);
        check("a.input_scale_inv", 0, Part::Scale);
        check("a.qscale_act", 0, Part::Scale);
        check("a.k_scale", 1, Part::Scale);
        check("logit_scale", 0, Part::Weight);
        check("a.logit_scale", 0, Part::Weight);
        check("a.qzeros", 2, Part::ZeroPoint);
        check("a.weight_zero_point", 1, Part::ZeroPoint);
        check("a.rotary_emb.inv_freq", 1, Part::Buffer);
        check("resid_lambdas", 1, Part::Buffer);
        check("b.relative_attention_bias.weight", 2, Part::Weight);
        check("experts.down_proj_bias", 2, Part::Weight);
        check("in_proj_bias", 1, Part::Bias);
        check("", 0, Part::Weight);
    }
}
