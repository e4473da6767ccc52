//! What the walker promises beside the listings: counts, orientation, cuts, tied, missing and misshapen
//! tensors, and names made to annoy.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::single_range_in_vec_init, reason = "row ranges of layouts")]

mod common;

use std::time::{Duration, Instant};

use common::{config, cut, plain, tensor, typed, weight};
use proptest::prelude::*;
use weightscope_core::{Confidence, Metadata, ModelGraph, Orientation, Part, Role, TensorEntry};

const GPT2: &str = r#"{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_layer": 12,
    "n_head": 12, "n_embd": 768, "n_positions": 1024, "vocab_size": 50257}"#;

/// The tensors of GPT-2 with `blocks` blocks of width 768.
fn gpt2(blocks: u64) -> Vec<TensorEntry> {
    let mut entries = vec![
        tensor("transformer.wte.weight", &[50257, 768]),
        tensor("transformer.wpe.weight", &[1024, 768]),
        tensor("transformer.ln_f.weight", &[768]),
        tensor("transformer.ln_f.bias", &[768]),
        tensor("lm_head.weight", &[50257, 768]),
    ];
    for block in 0..blocks {
        let mut add = |name: &str, shape: &[u64]| {
            entries.push(tensor(&format!("transformer.h.{block}.{name}"), shape));
        };
        for norm in ["ln_1", "ln_2"] {
            add(&format!("{norm}.weight"), &[768]);
            add(&format!("{norm}.bias"), &[768]);
        }
        for (module, input, out) in [
            ("attn.c_attn", 768, 2304),
            ("attn.c_proj", 768, 768),
            ("mlp.c_fc", 768, 3072),
            ("mlp.c_proj", 3072, 768),
        ] {
            add(&format!("{module}.weight"), &[input, out]);
            add(&format!("{module}.bias"), &[out]);
        }
        add("attn.bias", &[1, 1, 1024, 1024]);
        add("attn.masked_bias", &[]);
    }
    entries
}

#[test]
fn gpt2_small_has_the_published_parameters() {
    let graph = plain(&gpt2(12), &config(GPT2));
    assert_eq!(graph.summary.parameters_with_tied_copies, 163_037_184);
    assert_eq!(graph.summary.parameters, 124_439_808);
    assert_eq!(graph.summary.blocks, 12);
    assert_eq!(
        graph.summary.tied,
        [("lm_head.weight".to_owned(), "transformer.wte.weight".to_owned())]
    );
    let categories: u64 = graph.summary.categories.iter().map(|c| c.parameters).sum();
    assert_eq!(categories, graph.summary.parameters);
    assert!(graph.summary.missing.is_empty() && graph.summary.misshapen.is_empty());
}

#[test]
fn the_word_of_config_decides_ties() {
    let entries = gpt2(1);
    let tied = |text: &str| {
        let summary = plain(&entries, &config(text)).summary;
        (summary.tie_word_embeddings, summary.tied.len())
    };
    assert_eq!(tied(r#"{"model_type": "gpt2"}"#), (Some(true), 1));
    assert_eq!(tied(r#"{"model_type": "gpt2", "tie_word_embeddings": false}"#), (Some(false), 0));

    let llama = [
        tensor("model.embed_tokens.weight", &[8, 4]),
        tensor("model.layers.0.self_attn.q_proj.weight", &[4, 4]),
        tensor("lm_head.weight", &[8, 4]),
    ];
    let summary = plain(&llama, &config(r#"{"model_type": "llama"}"#)).summary;
    assert_eq!((summary.tie_word_embeddings, summary.tied.len()), (None, 0));
    // A head of another shape is no copy, whatever config.json says.
    let mut other = llama.clone();
    other[2] = tensor("lm_head.weight", &[9, 4]);
    let tie = r#"{"model_type": "llama", "tie_word_embeddings": true}"#;
    assert_eq!(plain(&llama, &config(tie)).summary.tied.len(), 1);
    assert!(plain(&other, &config(tie)).summary.tied.is_empty());
}

#[test]
fn blocks_vote_for_their_square_matrices() {
    // Only the second block's shapes tell; the first follows the model.
    let entries = [
        tensor("h.0.ln_1.weight", &[8]),
        tensor("h.0.attn.c_proj.weight", &[8, 8]),
        tensor("h.1.attn.c_proj.weight", &[8, 8]),
        tensor("h.1.attn.c_attn.weight", &[24, 8]),
    ];
    let graph = plain(&entries, &Metadata::default());
    for name in ["h.0.attn.c_proj.weight", "h.1.attn.c_proj.weight"] {
        let w = weight(&graph, name);
        assert_eq!((w.transposed, w.confidence), (false, Confidence::Known), "{name}");
    }
    // A shard without norms and embeddings still knows its width.
    let shard =
        [tensor("h.1.attn.c_attn.weight", &[8, 24]), tensor("h.1.mlp.c_fc.weight", &[8, 9])];
    let graph = plain(&shard, &Metadata::default());
    assert!(graph.weights.iter().all(|w| w.transposed && w.confidence == Confidence::Known));
    assert_eq!(graph.summary.hidden_size, Some(8));
}

#[test]
fn shapes_turn_linear_layers_too() {
    let entries = [
        tensor("model.norm.weight", &[8]),
        tensor("model.layers.0.mlp.up_proj.weight", &[8, 20]),
        tensor("model.layers.0.self_attn.q_proj.weight", &[8, 8]),
    ];
    let graph = plain(&entries, &Metadata::default());
    let up = weight(&graph, "model.layers.0.mlp.up_proj.weight");
    assert_eq!((up.transposed, up.matrix), (true, Some([20, 8])));
    assert!(weight(&graph, "model.layers.0.self_attn.q_proj.weight").transposed);
}

#[test]
fn a_tensor_of_the_wrong_rank_is_not_sure() {
    let entries = [tensor("h.0.attn.c_attn.weight", &[24]), tensor("h.0.ln_1.weight", &[8])];
    let graph = plain(&entries, &Metadata::default());
    let w = weight(&graph, "h.0.attn.c_attn.weight");
    assert_eq!((w.role, w.confidence), (Role::AttentionQkv, Confidence::Assumed));
}

/// Every element of every stored tensor is in exactly one weight.
fn assert_partition(entries: &[TensorEntry], graph: &ModelGraph) {
    let mut covered: Vec<Vec<u8>> = entries.iter().map(|e| vec![0; e.elements as usize]).collect();
    for w in &graph.weights {
        let layout = &w.layout;
        assert_eq!(w.elements(), w.shape.iter().product::<u64>(), "{}", w.name);
        for row in 0..layout.rows() {
            for i in layout.span(row, 0..layout.columns()).unwrap() {
                covered[w.entry.0 as usize][i as usize] += 1;
            }
        }
    }
    assert!(covered.iter().flatten().all(|n| *n == 1));
}

#[test]
fn conv1d_is_cut_by_columns() {
    let entries = [
        tensor("h.0.ln_1.weight", &[4]),
        tensor("h.0.attn.c_attn.weight", &[4, 12]),
        tensor("h.0.attn.c_attn.bias", &[12]),
    ];
    let graph = cut(&entries, &Metadata::default());
    assert_partition(&entries, &graph);
    let names: Vec<&str> = graph.weights.iter().map(|w| w.name.as_str()).collect();
    let parts = ["bias#q", "bias#k", "bias#v", "weight#q", "weight#k", "weight#v"];
    assert_eq!(names[..6], parts.map(|part| format!("h.0.attn.c_attn.{part}")));
    let k = weight(&graph, "h.0.attn.c_attn.weight#k");
    assert_eq!((k.role, k.part), (Role::AttentionK, Part::Weight));
    assert_eq!((k.layout.column_range.clone(), k.layout.row_ranges.clone()), (4..8, vec![0..4]));
    assert_eq!((k.shape.as_slice(), k.matrix, k.transposed), (&[4, 4][..], Some([4, 4]), true));
    let bias = weight(&graph, "h.0.attn.c_attn.bias#v");
    assert_eq!((bias.layout.column_range.clone(), bias.matrix), (8..12, None));
    assert_eq!(
        (bias.part, bias.role, bias.shape.as_slice()),
        (Part::Bias, Role::AttentionV, &[4][..])
    );
    assert_eq!(graph.summary, plain(&entries, &Metadata::default()).summary);
}

#[test]
fn linear_is_cut_by_rows() {
    let entries = [
        tensor("transformer.wte.weight", &[10, 4]),
        tensor("transformer.h.0.mlp.w1.weight", &[6, 4]),
        tensor("transformer.h.0.attn.c_attn.weight", &[12, 4]),
    ];
    let graph = cut(&entries, &config(r#"{"model_type": "qwen"}"#));
    assert_partition(&entries, &graph);
    let v = weight(&graph, "transformer.h.0.attn.c_attn.weight#v");
    assert_eq!((v.layout.row_ranges.clone(), v.layout.column_range.clone()), (vec![8..12], 0..4));
    assert_eq!((v.matrix, v.transposed), (Some([4, 4]), false));
}

#[test]
fn interleaved_heads_are_cut_head_by_head() {
    let entries = [
        tensor("gpt_neox.layers.0.attention.query_key_value.weight", &[24, 8]),
        tensor("gpt_neox.layers.0.attention.query_key_value.bias", &[24]),
    ];
    let text = r#"{"model_type": "gpt_neox", "hidden_size": 8, "num_attention_heads": 2}"#;
    let graph = cut(&entries, &config(text));
    assert_partition(&entries, &graph);
    let ranges = |name: &str| {
        let w = weight(&graph, &format!("gpt_neox.layers.0.attention.query_key_value.{name}"));
        (w.layout.row_ranges.clone(), w.layout.stored_columns, w.shape.clone(), w.matrix)
    };
    assert_eq!(ranges("weight#q"), (vec![0..4, 12..16], 8, vec![8, 8], Some([8, 8])));
    assert_eq!(ranges("weight#k"), (vec![4..8, 16..20], 8, vec![8, 8], Some([8, 8])));
    assert_eq!(ranges("bias#v"), (vec![8..12, 20..24], 1, vec![8], None));
    assert!(graph.weights.iter().all(|w| w.part == Part::Bias || w.heads.is_some()));

    // Without heads nobody knows where to cut.
    let whole = cut(&entries, &Metadata::default());
    assert!(whole.weights.iter().all(|w| !w.name.contains('#')));
}

/// The rows are those that transformers' `FalconAttention._split_heads` makes of rows numbered in order.
#[test]
fn falcon_is_cut_by_its_flags() {
    let rows = |outputs: u64, flags: &str| {
        let name = "transformer.h.0.self_attention.query_key_value.weight";
        let entries = [tensor("transformer.ln_f.weight", &[32]), tensor(name, &[outputs, 32])];
        let text = format!(r#"{{"model_type": "falcon", "hidden_size": 32, {flags}}}"#);
        let graph = cut(&entries, &config(&text));
        assert_partition(&entries, &graph);
        ["q", "k", "v"]
            .map(|part| weight(&graph, &format!("{name}#{part}")).layout.row_ranges.clone())
    };
    // As published: the 7B counts all heads, and has one key and one value.
    let one = r#""num_attention_heads": 4, "num_kv_heads": 4, "multi_query": true,
        "new_decoder_architecture": false"#;
    assert_eq!(rows(48, one), [vec![0..32], vec![32..40], vec![40..48]]);
    let grouped = r#""num_attention_heads": 8, "num_kv_heads": 2, "multi_query": true,
        "new_decoder_architecture": true"#;
    assert_eq!(
        rows(48, grouped),
        [vec![0..16, 24..40], vec![16..20, 40..44], vec![20..24, 44..48]]
    );
    let each = r#""num_attention_heads": 4, "multi_query": false, "alibi": true"#;
    assert_eq!(
        rows(96, each),
        [
            vec![0..8, 24..32, 48..56, 72..80],
            vec![8..16, 32..40, 56..64, 80..88],
            vec![16..24, 40..48, 64..72, 88..96]
        ]
    );
}

#[test]
fn grouped_queries_are_cut_by_their_heads() {
    let entries = [
        tensor("model.layers.0.self_attn.qkv_proj.weight", &[16, 8]),
        tensor("model.layers.0.mlp.gate_up_proj.weight", &[12, 8]),
    ];
    let text = r#"{"model_type": "phi3", "hidden_size": 8, "num_attention_heads": 4,
        "num_key_value_heads": 2}"#;
    let graph = cut(&entries, &config(text));
    assert_partition(&entries, &graph);
    let rows = |name: &str| weight(&graph, name).layout.row_ranges.clone();
    assert_eq!(rows("model.layers.0.self_attn.qkv_proj.weight#q"), [0..8]);
    assert_eq!(rows("model.layers.0.self_attn.qkv_proj.weight#v"), [12..16]);
    assert_eq!(rows("model.layers.0.mlp.gate_up_proj.weight#up"), [6..12]);
}

#[test]
fn stacked_experts_are_cut_apart() {
    let entries = [
        tensor("model.norm.weight", &[4]),
        tensor("model.layers.0.mlp.experts.gate_up_proj", &[3, 4, 10]),
        tensor("model.layers.0.mlp.experts.down_proj", &[3, 5, 4]),
    ];
    let graph = plain(&entries, &Metadata::default());
    assert_partition(&entries, &graph);
    let w = weight(&graph, "model.layers.0.mlp.experts.gate_up_proj#2");
    assert_eq!(
        (w.expert, w.block, w.transposed, w.matrix),
        (Some(2), Some(0), true, Some([10, 4]))
    );
    assert_eq!((w.layout.row_ranges.clone(), w.layout.stored_columns), (vec![8..12], 10));
    assert_eq!(w.source_tensor, "model.layers.0.mlp.experts.gate_up_proj");
}

#[test]
fn stacks_that_would_fill_the_memory_stay_whole() {
    let name = |n: u64| format!("model.layers.{n}.mlp.experts.gate_up_proj");
    let mut entries = vec![tensor(&name(0), &[5000, 1, 1]), tensor(&name(1), &[7, u64::MAX, 0])];
    entries.extend((2..1000).map(|n| tensor(&name(n), &[4096, 0, 0])));
    let graph = plain(&entries, &Metadata::default());
    assert_eq!(weight(&graph, &name(0)).matrix, Some([5000, 1]));
    weight(&graph, &name(1));
    assert!(graph.weights.len() < 300_000, "{}", graph.weights.len());
}

#[test]
fn missing_tensors_are_named() {
    let mut entries = gpt2(12);
    entries.retain(|e| e.name != "transformer.h.3.ln_1.bias" && e.name != "transformer.wpe.weight");
    entries.retain(|e| {
        !e.name.contains("h.5.") && !e.name.contains("h.7.") && !e.name.contains("h.8.")
    });
    let summary = plain(&entries, &config(GPT2)).summary;
    assert_eq!(
        summary.missing,
        [
            "transformer.wpe.weight",
            "transformer.h.3.ln_1.bias",
            "block 5 (transformer.h.*)",
            "blocks 7 to 8 (transformer.h.*)"
        ]
    );
    // A base model saved alone has no prefix and no head.
    let bare: Vec<_> = gpt2(12)
        .iter()
        .filter(|e| e.name != "lm_head.weight" && e.name != "transformer.h.0.ln_2.weight")
        .map(|e| tensor(e.name.trim_start_matches("transformer."), &e.shape))
        .collect();
    assert_eq!(plain(&bare, &config(GPT2)).summary.missing, ["h.0.ln_2.weight"]);
    // Without config.json, or with an architecture the table does not list, nothing is promised.
    assert!(plain(&entries, &Metadata::default()).summary.missing.is_empty());
    let other = r#"{"model_type": "gpt_bigcode", "n_layer": 20}"#;
    assert!(plain(&entries, &config(other)).summary.missing.is_empty());
}

#[test]
fn untied_heads_are_required_of_language_models() {
    let entries = [
        tensor("model.embed_tokens.weight", &[8, 4]),
        tensor("model.norm.weight", &[4]),
        tensor("model.layers.0.self_attn.q_proj.weight", &[4, 4]),
    ];
    let missing = |architecture: &str, tie: bool| {
        let text = format!(
            r#"{{"model_type": "llama", "architectures": ["{architecture}"], "tie_word_embeddings": {tie}}}"#
        );
        plain(&entries, &config(&text)).summary.missing
    };
    assert_eq!(missing("LlamaForCausalLM", false), ["lm_head.weight"]);
    assert!(missing("LlamaForCausalLM", true).is_empty());
    assert!(missing("LlamaModel", false).is_empty());
}

#[test]
fn missing_experts_are_named() {
    let name = |e: u64, w: &str| format!("model.layers.0.block_sparse_moe.experts.{e}.{w}.weight");
    let mut entries = vec![tensor("model.layers.0.block_sparse_moe.gate.weight", &[4, 8])];
    for expert in [0, 2] {
        entries.extend(["w1", "w2", "w3"].map(|w| tensor(&name(expert, w), &[8, 8])));
    }
    entries.pop();
    let missing = |experts: u64| {
        let text = format!(
            r#"{{"model_type": "mixtral", "num_hidden_layers": 1, "num_local_experts": {experts}}}"#
        );
        plain(&entries, &config(&text)).summary.missing
    };
    let some: Vec<String> = missing(3).into_iter().filter(|m| m.contains("experts")).collect();
    assert_eq!(some, [name(1, "w1"), name(1, "w3"), name(2, "w3"), name(1, "w2")]);
    let many = missing(1 << 60);
    assert_eq!(many.len(), 201);
    let total = 3 * (1_u64 << 60) - 5;
    let others = many.iter().take(200).filter(|m| !m.contains("experts")).count() as u64;
    assert_eq!(many.last().unwrap(), &format!("... and {} more", total + others - 200));
}

#[test]
fn towers_are_held_against_their_own_sizes() {
    let text = r#"{"model_type": "clip", "projection_dim": 4,
        "vision_config": {"hidden_size": 12, "num_hidden_layers": 3, "num_attention_heads": 3},
        "text_config": {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 4}}"#;
    let q = |tower: &str, block: u64| {
        format!("{tower}_model.encoder.layers.{block}.self_attn.q_proj.weight")
    };
    let entries = [
        tensor(&q("vision", 0), &[12, 12]),
        tensor(&q("vision", 2), &[8, 8]),
        tensor(&q("text", 0), &[8, 8]),
        tensor(&q("text", 2), &[8, 8]),
    ];
    let graph = plain(&entries, &config(text));
    let heads = |name: &str| weight(&graph, name).heads.map(|heads| (heads.query, heads.head_dim));
    assert_eq!((heads(&q("vision", 0)), heads(&q("text", 0))), (Some((3, 4)), Some((4, 2))));
    // Of another width, and beyond the last block of its tower.
    assert_eq!(heads(&q("vision", 2)), None);
    let summary = &graph.summary;
    let misshapen: Vec<_> = summary.misshapen.iter().map(|m| m.name.as_str()).collect();
    assert_eq!((misshapen, &summary.unexpected), (vec![&*q("vision", 2)], &vec![q("text", 2)]));
    let blocks: Vec<_> = summary.missing.iter().filter(|m| m.starts_with("block")).collect();
    assert_eq!(
        blocks,
        ["block 1 (vision_model.encoder.layers.*)", "block 1 (text_model.encoder.layers.*)"]
    );
    // They agree on nothing.
    assert_eq!((summary.heads, summary.hidden_size), (None, None));
}

#[test]
fn a_block_after_the_last_must_be_announced() {
    let entries = [
        tensor("model.layers.0.self_attn.kv_a_proj_with_mqa.weight", &[6, 8]),
        tensor("model.layers.1.eh_proj.weight", &[8, 16]),
    ];
    let unexpected = |next: u64| {
        let text = format!(
            r#"{{"model_type": "deepseek_v3", "hidden_size": 8, "num_hidden_layers": 1,
                "num_nextn_predict_layers": {next}}}"#
        );
        plain(&entries, &config(&text)).summary.unexpected
    };
    assert_eq!(unexpected(0), ["model.layers.1.eh_proj.weight"]);
    assert!(unexpected(1).is_empty() && unexpected(u64::MAX).is_empty());
}

#[test]
fn a_claim_of_many_layers_is_one_line() {
    let text =
        r#"{"model_type": "gpt2", "n_layer": 1000000000000000000, "n_embd": 768, "n_head": 12}"#;
    let missing = plain(&gpt2(2), &config(text)).summary.missing;
    assert_eq!(missing, ["blocks 2 to 999999999999999999 (transformer.h.*)"]);
}

#[test]
fn unexpected_and_misshapen_tensors_are_named() {
    let mut entries = gpt2(12);
    entries.push(tensor("transformer.h.0.attn.extra.weight", &[4, 4]));
    entries.push(tensor("transformer.h.12.ln_1.weight", &[768]));
    entries.push(tensor("transformer.h.0.attn.c_attn.lora_A.weight", &[8, 768]));
    entries.push(tensor("transformer.h.0.attn.c_attn.weight_scale", &[]));
    entries.push(typed("transformer.h.0.attn.rotary_emb.inv_freq", "F32", &[8]));
    entries[0] = tensor("transformer.wte.weight", &[50000, 768]);
    let fc = entries.iter_mut().find(|e| e.name == "transformer.h.4.mlp.c_fc.weight").unwrap();
    *fc = tensor("transformer.h.4.mlp.c_fc.weight", &[768, 3000]);
    let summary = plain(&entries, &config(GPT2)).summary;
    assert_eq!(
        summary.unexpected,
        ["transformer.h.0.attn.extra.weight", "transformer.h.12.ln_1.weight"]
    );
    let misshapen: Vec<_> =
        summary.misshapen.iter().map(|m| (m.name.as_str(), m.expected.clone())).collect();
    assert_eq!(
        misshapen,
        [
            ("transformer.wte.weight", vec![50257, 768]),
            ("transformer.h.4.mlp.c_fc.weight", vec![768, 3072]),
        ]
    );
    assert_eq!(summary.vocab_size, Some(50000));
}

#[test]
fn names_win_over_a_wrong_model_type() {
    let graph = plain(&gpt2(2), &config(r#"{"model_type": "llama", "num_hidden_layers": 2}"#));
    assert_eq!(graph.summary.family, "gpt2");
    assert!(graph.summary.missing.is_empty());
}

#[test]
fn no_name_is_refused() {
    let long = "h.1.attn.".repeat(1200);
    let names = [
        "",
        ".",
        "...",
        "#",
        "h",
        "h.",
        "h.99999999999999999999.x",
        "h.4294967296.attn.c_attn.weight",
        "h.00.attn.c_attn.weight",
        "h.-1.attn.c_attn.weight",
        "h.{b}.attn.c_attn.weight",
        "h.1.attn.c_attn.weight",
        "h.\u{661}.attn.c_attn.weight",
        "\u{1f600}.\u{0}.\u{202e}",
        ".lora_A",
        "lora_B.",
        "weight",
        ".weight.absmax",
        "module.module.module.module.module.module.wte.weight",
        long.as_str(),
    ];
    let shapes: [&[u64]; 8] = [
        &[],
        &[0],
        &[3],
        &[u64::MAX, 0, u64::MAX],
        &[u64::MAX, u64::MAX],
        &[2, 2],
        &[1, 2, 3],
        &[0, 0],
    ];
    let entries: Vec<_> = std::iter::zip(names, shapes.iter().cycle())
        .map(|(name, shape)| typed(name, "F32", shape))
        .collect();
    for text in [GPT2, "{}", "[]", "null", r#"{"model_type": 7, "n_layer": -1, "n_head": 0.5}"#] {
        for graph in [plain(&entries, &config(text)), cut(&entries, &config(text))] {
            assert_eq!(graph.weights.len(), names.len());
            let h1 = weight(&graph, "h.1.attn.c_attn.weight");
            assert_eq!((h1.role, h1.block), (Role::AttentionQkv, Some(1)));
            let huge = weight(&graph, "h.99999999999999999999.x");
            assert_eq!((huge.block, huge.confidence), (None, Confidence::Guessed));
        }
    }
}

#[test]
fn a_hundred_thousand_tensors_take_less_than_a_second() {
    let mut entries = Vec::new();
    for block in 0..1000 {
        for expert in 0..33 {
            for w in ["w1", "w2", "w3"] {
                let name =
                    format!("model.layers.{block}.block_sparse_moe.experts.{expert}.{w}.weight");
                entries.push(tensor(&name, &[16, 8]));
            }
        }
        entries.push(tensor(&format!("model.layers.{block}.input_layernorm.weight"), &[8]));
    }
    assert_eq!(entries.len(), 100_000);
    let text = r#"{"model_type": "mixtral", "num_hidden_layers": 1000, "num_local_experts": 33}"#;
    let metadata = config(text);
    // The best of three, since other tests run beside this one.
    let times = [(); 3].map(|()| {
        let start = Instant::now();
        assert_eq!(plain(&entries, &metadata).weights.len(), entries.len());
        start.elapsed()
    });
    assert!(times.iter().any(|time| *time < Duration::from_secs(1)), "{times:?}");
}

#[test]
fn many_templates_and_sparse_blocks_take_linear_time() {
    // Every name its own template, and every block nearly empty.
    let mut entries: Vec<_> =
        (0..100_000).map(|n| tensor(&format!("x{n}.weight"), &[2, 2])).collect();
    entries.extend((0..100_000).map(|n| tensor(&format!("h.{n}.ln_1.weight"), &[2])));
    entries.push(tensor("h.0.attn.c_attn.weight", &[2, 6]));
    let metadata = config(r#"{"model_type": "gpt2", "n_layer": 200000, "n_embd": 2}"#);
    let start = Instant::now();
    let graph = plain(&entries, &metadata);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert_eq!(graph.summary.missing.len(), 201);
}

fn any_entry() -> impl Strategy<Value = TensorEntry> {
    let word = prop::sample::select(vec![
        "transformer",
        "model",
        "gpt_neox",
        "bert",
        "backbone",
        "vision_model",
        "decoder",
        "block",
        "blocks",
        "h",
        "layers",
        "encoder",
        "layer",
        "0",
        "1",
        "12",
        "attn",
        "attention",
        "self",
        "self_attn",
        "SelfAttention",
        "mixer",
        "c_attn",
        "query_key_value",
        "q_proj",
        "qkv_proj",
        "mlp",
        "experts",
        "gate_up_proj",
        "down_proj",
        "c_fc",
        "w1",
        "wte",
        "embed_tokens",
        "lm_head",
        "norm",
        "ln_1",
        "lora_A",
        "weight",
        "bias",
        "scales",
        "qweight",
        "",
        "\u{e9}",
    ]);
    let dtype = prop::sample::select(vec!["F32", "BF16", "I32", "U8", "BOOL", "F4"]);
    let shape = prop::collection::vec(prop::sample::select(vec![0_u64, 1, 2, 8, 24, 16]), 0..4);
    (prop::collection::vec(word, 0..7), dtype, shape)
        .prop_map(|(words, dtype, shape)| typed(&words.join("."), dtype, &shape))
}

proptest! {
    #[test]
    fn weights_partition_any_checkpoint(
        entries in prop::collection::vec(any_entry(), 0..40),
        model in prop::sample::select(vec![
            "gpt2", "llama", "gpt_neox", "phi3", "mixtral", "falcon", "t5", "clip", "deepseek_v3", "mamba2", "x",
        ]),
        heads in 0_u64..4,
        split_fused: bool,
    ) {
        let text = format!(
            r#"{{"model_type": "{model}", "hidden_size": 8, "num_attention_heads": {heads},
                "num_hidden_layers": 3, "num_experts": 5, "vision_config": {{"hidden_size": 2}},
                "qk_rope_head_dim": 1e300, "kv_lora_rank": 1e14, "v_head_dim": 1e14,
                "first_k_dense_replace": 2, "num_nextn_predict_layers": 1e14}}"#
        );
        let graph = (if split_fused { cut } else { plain })(&entries, &config(&text));
        assert_partition(&entries, &graph);
        let parameters: u64 = graph
            .weights
            .iter()
            .filter(|w| w.part.is_parameter())
            .map(weightscope_core::Weight::elements)
            .sum();
        let of_adapter = graph.summary.adapter_on_weights().map_or(0, |adapter| adapter.parameters);
        prop_assert_eq!(parameters, graph.summary.parameters_with_tied_copies + of_adapter);
        for w in &graph.weights {
            if let Some([out, input]) = w.matrix {
                prop_assert_eq!(out * input, w.elements());
            }
        }
    }
}

#[test]
fn a_loader_that_knows_the_orientation_is_believed() {
    let metadata = config(
        r#"{"model_type": "gpt_oss", "hidden_size": 32, "intermediate_size": 32, "num_local_experts": 3}"#,
    );
    // Square, so that only the format tells: transformers holds experts turned, the quantised files do not.
    let name = "model.layers.0.mlp.experts.down_proj";
    let sinks = tensor("model.layers.0.self_attn.sinks", &[4]);
    let free = tensor(name, &[3, 32, 32]);
    let stored = TensorEntry { orientation: Some(Orientation::OutIn), ..free.clone() };
    for (entry, transposed) in [(free, true), (stored, false)] {
        let graph = plain(&[sinks.clone(), entry], &metadata);
        let expert = weight(&graph, "model.layers.0.mlp.experts.down_proj#2");
        assert_eq!((expert.transposed, expert.expert), (transposed, Some(2)));
    }
}

const UNET: &str = r#"{"_class_name": "UNet2DConditionModel"}"#;

#[test]
fn modules_counted_within_a_block_are_held_against_each_other() {
    let mut entries = Vec::new();
    for block in 0..2 {
        for number in 0..2 {
            for module in ["norm1", "conv1", "norm2", "conv2", "time_emb_proj"] {
                let name = format!("down_blocks.{block}.resnets.{number}.{module}");
                entries.push(tensor(&format!("{name}.weight"), &[4, 4]));
                entries.push(tensor(&format!("{name}.bias"), &[4]));
            }
        }
    }
    let missing = |entries: &[TensorEntry]| {
        let missing = plain(entries, &config(UNET)).summary.missing;
        missing.into_iter().filter(|name| name.contains("resnets")).collect::<Vec<_>>()
    };
    assert!(missing(&entries).is_empty());
    let place = entries.iter().position(|e| e.name == "down_blocks.1.resnets.0.conv2.weight");
    entries.remove(place.unwrap());
    assert_eq!(missing(&entries), ["down_blocks.1.resnets.0.conv2.weight"]);
}

#[test]
fn missing_tensors_of_a_tower_have_its_prefix() {
    let text = r#"{"model_type": "llava", "text_config": {"model_type": "llama", "hidden_size": 8,
        "num_hidden_layers": 1}, "vision_config": {"model_type": "clip_vision_model",
        "hidden_size": 12, "num_hidden_layers": 1}}"#;
    let entries = [
        tensor("language_model.model.layers.0.input_layernorm.weight", &[8]),
        tensor("vision_tower.vision_model.encoder.layers.0.layer_norm1.weight", &[12]),
        tensor("multi_modal_projector.linear_1.weight", &[8, 12]),
    ];
    let missing = plain(&entries, &config(text)).summary.missing;
    for name in [
        "language_model.model.layers.0.mlp.up_proj.weight",
        "vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight",
        "vision_tower.vision_model.embeddings.class_embedding",
    ] {
        assert!(missing.iter().any(|missing| missing == name), "{name} in {missing:?}");
    }
}

#[test]
fn norms_of_linear_attention_are_plain() {
    let text = r#"{"model_type": "qwen3_next", "hidden_size": 8}"#;
    let entries = [
        tensor("model.layers.0.input_layernorm.weight", &[8]),
        tensor("model.layers.0.linear_attn.norm.weight", &[4]),
        tensor("model.layers.0.linear_attn.in_proj_qkvz.weight", &[24, 8]),
    ];
    let graph = plain(&entries, &config(text));
    assert!(weight(&graph, "model.layers.0.input_layernorm.weight").from_one);
    assert!(!weight(&graph, "model.layers.0.linear_attn.norm.weight").from_one);
}

#[test]
fn a_model_that_sees_and_has_no_table_has_towers_and_lacks_its_head() {
    let mut entries = vec![
        tensor("model.language_model.embed_tokens.weight", &[256, 64]),
        tensor("model.language_model.norm.weight", &[64]),
    ];
    for block in 0..6 {
        let name = format!("model.language_model.layers.{block}.self_attn");
        entries.push(tensor(&format!("{name}.q_proj.weight"), &[64, 64]));
        entries.push(tensor(&format!("{name}.k_proj.weight"), &[32, 64]));
    }
    for block in 0..3 {
        let name = format!("model.visual.blocks.{block}");
        entries.push(tensor(&format!("{name}.attn.qkv.weight"), &[144, 48]));
        entries.push(tensor(&format!("{name}.mlp.linear_fc1.weight"), &[192, 48]));
    }
    let text = r#"{"architectures": ["Glm4vForConditionalGeneration"], "model_type": "glm4v",
        "tie_word_embeddings": false, "text_config": {"hidden_size": 64, "num_attention_heads": 4,
        "head_dim": 16, "num_key_value_heads": 2, "num_hidden_layers": 6, "vocab_size": 256},
        "vision_config": {"hidden_size": 48, "depth": 3, "num_heads": 3}}"#;
    let summary = plain(&entries, &config(text)).summary;
    assert_eq!(
        (summary.rules_of.as_deref(), summary.missing),
        (Some("qwen_vl"), vec!["lm_head.weight".to_owned()])
    );
    assert!(summary.unexpected.is_empty() && summary.misshapen.is_empty());
    let towers: Vec<_> = summary
        .towers
        .iter()
        .map(|t| (t.name.as_str(), t.blocks, t.hidden_size, t.heads))
        .collect();
    assert_eq!(towers, [("text", 6, Some(64), Some(4)), ("vision", 3, Some(48), Some(3))]);
}
