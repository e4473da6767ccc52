//! What the metadata say of the model, in the words of a config.json.
//!
//! Sizes that differ between blocks are left out: a config.json has one number for all. What the tensors alone tell
//! (rows of the vocabulary, whether there is a head) is added when those of all files are known.

use weightscope_core::{Key, Metrics, Value};

use crate::container::StoredTensor;

/// The key that holds what only a GGUF says: `architecture`, `type`, `name`, `file_type`, heads by block, and of an
/// adapter `adapter_alpha` and `base_model`.
pub(super) const OWN: &str = "gguf";

/// Names of architectures that config.json spells otherwise; the others are the same in both.
const MODEL_TYPES: &[(&str, &str)] = &[
    ("command-r", "cohere"),
    ("gemma3", "gemma3_text"),
    ("gemma3n", "gemma3n_text"),
    ("glm4moe", "glm4_moe"),
    ("gpt-oss", "gpt_oss"),
    ("gptneox", "gpt_neox"),
    ("jina-bert-v2", "jina_bert_v2"),
    ("modern-bert", "modernbert"),
    ("nomic-bert", "nomic_bert"),
    ("phi2", "phi"),
    ("qwen2moe", "qwen2_moe"),
    ("qwen2vl", "qwen2_vl"),
    ("qwen35", "qwen3_5"),
    ("qwen35moe", "qwen3_5_moe"),
    ("qwen3moe", "qwen3_moe"),
    ("qwen3next", "qwen3_next"),
    ("qwen3vl", "qwen3_vl"),
    ("qwen3vlmoe", "qwen3_vl_moe"),
    ("starcoder", "gpt_bigcode"),
    ("t5encoder", "t5"),
];

/// Architectures that predict no next token, so that no head is missing.
const ENCODERS: &[&str] = &[
    "bert",
    "modern-bert",
    "nomic-bert",
    "nomic-bert-moe",
    "neo-bert",
    "jina-bert-v2",
    "jina-bert-v3",
    "eurobert",
    "gemma-embedding",
    "llama-embed",
    "t5encoder",
    "clip",
    "wavtokenizer-dec",
];

/// Names of `general.file_type`.
const FILE_TYPES: &[(u64, &str)] = &[
    (0, "F32"),
    (1, "F16"),
    (2, "Q4_0"),
    (3, "Q4_1"),
    (7, "Q8_0"),
    (8, "Q5_0"),
    (9, "Q5_1"),
    (10, "Q2_K"),
    (11, "Q3_K_S"),
    (12, "Q3_K_M"),
    (13, "Q3_K_L"),
    (14, "Q4_K_S"),
    (15, "Q4_K_M"),
    (16, "Q5_K_S"),
    (17, "Q5_K_M"),
    (18, "Q6_K"),
    (19, "IQ2_XXS"),
    (20, "IQ2_XS"),
    (21, "Q2_K_S"),
    (22, "IQ3_XS"),
    (23, "IQ3_XXS"),
    (24, "IQ1_S"),
    (25, "IQ4_NL"),
    (26, "IQ3_S"),
    (27, "IQ3_M"),
    (28, "IQ2_S"),
    (29, "IQ2_M"),
    (30, "IQ4_XS"),
    (31, "IQ1_M"),
    (32, "BF16"),
    (36, "TQ1_0"),
    (37, "TQ2_0"),
    (38, "MXFP4_MOE"),
];

/// Counts that config.json has under one key and a GGUF under the other, after the architecture's name.
const COUNTS: &[(&str, &str)] = &[
    ("hidden_size", "embedding_length"),
    ("num_experts", "expert_count"),
    ("num_experts_per_tok", "expert_used_count"),
    ("moe_intermediate_size", "expert_feed_forward_length"),
    ("shared_expert_intermediate_size", "expert_shared_feed_forward_length"),
    ("n_shared_experts", "expert_shared_count"),
    ("q_lora_rank", "attention.q_lora_rank"),
    ("kv_lora_rank", "attention.kv_lora_rank"),
    ("relative_attention_num_buckets", "attention.relative_buckets_count"),
    ("num_decoder_layers", "decoder_block_count"),
    ("conv_kernel", "ssm.conv_kernel"),
    ("state_size", "ssm.state_size"),
    ("time_step_rank", "ssm.time_step_rank"),
    ("n_groups", "ssm.group_count"),
];

/// The same of the part that sees.
const VISION_COUNTS: &[(&str, &str)] = &[
    ("hidden_size", "vision.embedding_length"),
    ("intermediate_size", "vision.feed_forward_length"),
    ("num_hidden_layers", "vision.block_count"),
    ("num_attention_heads", "vision.attention.head_count"),
    ("image_size", "vision.image_size"),
    ("patch_size", "vision.patch_size"),
    ("projection_dim", "vision.projection_dim"),
];

/// The metadata of one architecture.
struct Source<'a> {
    pairs: &'a Metrics,
    architecture: &'a str,
}

impl<'a> Source<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.pairs.get(format!("{}.{key}", self.architecture).as_str())
    }

    /// A count above zero; of a list when all its items are equal.
    fn count(&self, key: &str) -> Option<u64> {
        uniform(self.get(key)?).filter(|count| *count > 0)
    }
}

/// A count, or what all items of a list are.
fn uniform(value: &Value) -> Option<u64> {
    match value.items() {
        [] => value.as_u64(),
        [first, rest @ ..] => first.as_u64().filter(|_| rest.iter().all(|other| other == first)),
    }
}

/// What the metadata say; `None` when they are of a later part of a split model and say nothing.
pub(super) fn of(pairs: &Metrics) -> Option<Value> {
    let text = |key: &str| pairs.get(key).and_then(Value::as_str);
    let architecture = text("general.architecture");
    let mut own = Metrics::default();
    for key in ["architecture", "type", "name", "size_label"] {
        if let Some(text) = text(&format!("general.{key}")) {
            own.insert(key.into(), Value::Text(text.to_owned()));
        }
    }
    if let Some(file_type) = pairs.get("general.file_type").and_then(Value::as_u64) {
        let name = FILE_TYPES.iter().find(|(known, _)| *known == file_type);
        let value = name.map_or(Value::Integer(file_type), |(_, name)| Value::from(*name));
        own.insert("file_type".into(), value);
    }
    let texts = [("base_model", "general.base_model.0.name"), ("adapter_type", "adapter.type")];
    for (key, stored) in texts {
        if let Some(text) = text(stored) {
            own.insert(key.into(), Value::Text(text.to_owned()));
        }
    }
    if let Some(alpha) = pairs.get("adapter.lora.alpha").and_then(Value::as_f64) {
        own.insert("adapter_alpha".into(), Value::Number(alpha));
    }
    let Some(architecture) = architecture else {
        own.get("type")?;
        return Some(Value::map([(OWN, Value::Map(own))]));
    };
    let source = Source { pairs, architecture };
    for (key, stored) in
        [("head_count", "attention.head_count"), ("head_count_kv", "attention.head_count_kv")]
    {
        if let Some(heads) = source.get(stored) {
            own.insert(key.into(), heads.clone());
        }
    }
    let mut config = Metrics::default();
    let mut put = |key: &'static str, value: Option<Value>| {
        if let Some(value) = value {
            config.insert(Key::Borrowed(key), value);
        }
    };
    put("model_type", Some(Value::Text(model_type(&source))));
    for (key, stored) in COUNTS {
        put(key, source.count(stored).map(Value::Integer));
    }
    if source.count("expert_count").is_some() {
        // Zero is a number here: no block goes without experts.
        let first = source.count("leading_dense_block_count").unwrap_or(0);
        put("first_k_dense_replace", Some(Value::Integer(first)));
    }
    sizes(&source, &mut put);
    put("rope_theta", source.get("rope.freq_base").filter(|v| v.as_f64().is_some()).cloned());
    let token_types = pairs.get("tokenizer.ggml.token_type_count").and_then(Value::as_u64);
    put("type_vocab_size", token_types.map(Value::Integer));
    if architecture == "clip" {
        let mut vision = Metrics::default();
        for (key, stored) in VISION_COUNTS {
            if let Some(count) = source.count(stored) {
                vision.insert(Key::Borrowed(key), Value::Integer(count));
            }
        }
        put("vision_config", Some(Value::Map(vision)));
    }
    put("max_position_embeddings", source.count("context_length").map(Value::Integer));
    put(OWN, Some(Value::Map(own)));
    Some(Value::Map(config))
}

fn model_type(source: &Source<'_>) -> String {
    match source.architecture {
        // Mistral and Mixtral go by the name of Llama.
        "llama" if source.count("expert_count").is_some() => "mixtral".to_owned(),
        // 2 is the sigmoid, which came with the third generation.
        "deepseek2" if source.count("expert_gating_func") == Some(2) => "deepseek_v3".to_owned(),
        "deepseek2" => "deepseek_v2".to_owned(),
        other => MODEL_TYPES
            .iter()
            .find(|(known, _)| *known == other)
            .map_or(other, |(_, name)| name)
            .to_owned(),
    }
}

/// Sizes that take more than another name.
fn sizes(source: &Source<'_>, put: &mut impl FnMut(&'static str, Option<Value>)) {
    let count = |key: &str| source.count(key);
    let mut put = |key, count: Option<u64>| put(key, count.map(Value::Integer));

    let next = count("nextn_predict_layers");
    put("num_nextn_predict_layers", next);
    put("num_hidden_layers", count("block_count").and_then(|n| n.checked_sub(next.unwrap_or(0))));

    let inner = count("feed_forward_length").or_else(|| count("ssm.inner_size"));
    // The first Qwen counts gate and up together.
    let shared = if source.architecture == "qwen" { 2 } else { 1 };
    put("intermediate_size", inner.and_then(|n| n.checked_div(shared)));

    if source.architecture == "mamba2" {
        // The state has as many heads as rates.
        let heads = count("ssm.time_step_rank");
        put("num_attention_heads", heads);
        let width = count("ssm.inner_size").zip(heads);
        put("head_dim", width.and_then(|(inner, heads)| inner.checked_div(heads)));
        return;
    }
    let heads = count("attention.head_count");
    let key_value = source.get("attention.head_count_kv");
    // With another number in every block, no number is right.
    if key_value.is_some_and(|value| uniform(value).is_none()) {
        return;
    }
    put("num_attention_heads", heads);
    let turned = count("rope.dimension_count");
    if count("attention.kv_lora_rank").is_some() {
        // Keys and values come out of a common one for every head; newer files describe them as they are cached.
        put("num_key_value_heads", heads);
        let width = count("attention.key_length_mla").or_else(|| count("attention.key_length"));
        put("qk_rope_head_dim", turned);
        put("qk_nope_head_dim", width.zip(turned).and_then(|(all, part)| all.checked_sub(part)));
        put(
            "v_head_dim",
            count("attention.value_length_mla").or_else(|| count("attention.value_length")),
        );
        return;
    }
    put("num_key_value_heads", key_value.and_then(uniform).filter(|n| *n > 0));
    put("head_dim", count("attention.key_length"));
}

/// Adds what the tensors tell.
pub(super) fn complete(config: &mut Value, tensors: &[StoredTensor]) {
    let Value::Map(config) = config else { return };
    let Some(architecture) =
        config.get(OWN).and_then(|own| own.get("architecture")).and_then(Value::as_str)
    else {
        return;
    };
    let is_decoder = !ENCODERS.contains(&architecture);
    let find = |name: &str| tensors.iter().find(|tensor| tensor.name == name);
    let any = |end: &str| tensors.iter().any(|tensor| tensor.name.ends_with(end));
    let tokens = find("token_embd.weight");
    let is_tied = find("output.weight").is_none();
    let mut put = |key: &'static str, value: Value| config.insert(Key::Borrowed(key), value);
    if let Some(rows) = tokens.and_then(|tensor| tensor.shape.first()) {
        put("vocab_size", Value::Integer(*rows));
        if is_decoder {
            put("tie_word_embeddings", Value::Bool(is_tied));
        }
    }
    // Some converters join q, k and v, or stack experts, and some do not.
    put("has_fused_attention", Value::Bool(any(".attn_qkv.weight")));
    put("has_stacked_experts", Value::Bool(any("_exps.weight")));
    put("has_gated_mlp", Value::Bool(any(".ffn_gate.weight")));
    if tensors.iter().any(|tensor| tensor.name.starts_with("dec.blk."))
        && !config.contains_key("num_decoder_layers")
        && let Some(layers) = config.get("num_hidden_layers").cloned()
    {
        config.insert("num_decoder_layers".into(), layers);
    }
    if find("position_embd.weight").is_none() {
        // What is no table has no size.
        config.shift_remove("max_position_embeddings");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&'static str, Value)]) -> Value {
        of(&pairs.iter().map(|(key, value)| (Key::Borrowed(*key), value.clone())).collect())
            .unwrap()
    }

    fn list(items: &[u64]) -> Value {
        Value::List(items.iter().copied().map(Value::Integer).collect())
    }

    #[test]
    fn equal_numbers_of_heads_are_one() {
        let of = |heads: &[u64], key_value: &[u64]| {
            let config = config(&[
                ("general.architecture", "llama".into()),
                ("llama.attention.head_count", list(heads)),
                ("llama.attention.head_count_kv", list(key_value)),
            ]);
            ["num_attention_heads", "num_key_value_heads"]
                .map(|key| config.get(key).and_then(Value::as_u64))
        };
        assert_eq!(of(&[8, 8], &[2, 2]), [Some(8), Some(2)]);
        assert_eq!(of(&[8, 8], &[2, 4]), [None, None]);
        assert_eq!(of(&[8, 4], &[2, 2]), [None, Some(2)]);
        assert_eq!(of(&[0, 0], &[0, 0]), [None, None]);
    }

    #[test]
    fn blocks_that_look_further_are_no_layers() {
        let config = config(&[
            ("general.architecture", "deepseek2".into()),
            ("deepseek2.block_count", 62.into()),
            ("deepseek2.nextn_predict_layers", 1.into()),
            ("deepseek2.expert_gating_func", 2.into()),
            ("deepseek2.attention.head_count", 128.into()),
            ("deepseek2.attention.head_count_kv", 1.into()),
            ("deepseek2.attention.kv_lora_rank", 512.into()),
            ("deepseek2.attention.key_length", 576.into()),
            ("deepseek2.attention.key_length_mla", 192.into()),
            ("deepseek2.attention.value_length", 512.into()),
            ("deepseek2.attention.value_length_mla", 128.into()),
            ("deepseek2.rope.dimension_count", 64.into()),
        ]);
        let count = |key: &str| config.get(key).and_then(Value::as_u64);
        assert_eq!(config.get("model_type").unwrap().as_str(), Some("deepseek_v3"));
        assert_eq!(count("num_hidden_layers"), Some(61));
        assert_eq!(count("num_nextn_predict_layers"), Some(1));
        assert_eq!(count("num_key_value_heads"), Some(128));
        assert_eq!(count("qk_nope_head_dim"), Some(128));
        assert_eq!(count("v_head_dim"), Some(128));
    }

    #[test]
    fn later_parts_say_nothing() {
        assert_eq!(of(&Metrics::from_iter([("split.no".into(), Value::Integer(1))])), None);
    }
}
