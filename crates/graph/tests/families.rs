//! Golden listings: names, types, shapes and config.json in, weights in order and the summary out.
//!
//! `UPDATE_GOLDEN=1 cargo test -p weightscope-graph` renews the expected files.

#![expect(clippy::unwrap_used, reason = "a helper of tests")]

mod common;

use std::path::{Path, PathBuf};

use weightscope_core::{Metadata, ModelGraph, TensorEntry};

fn check(name: &str, end: &str, walk: fn(&[TensorEntry], &Metadata) -> ModelGraph) {
    let path = |file: String| -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/families").join(file)
    };
    let entries = common::listing(&std::fs::read_to_string(path(format!("{name}.txt"))).unwrap());
    let metadata = std::fs::read_to_string(path(format!("{name}.json")))
        .map_or_else(|_| Metadata::default(), |text| common::config(&text));
    let graph = walk(&entries, &metadata);
    let text = common::describe(&graph);
    let expected = path(format!("{name}{end}"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&expected, text).unwrap();
        return;
    }
    let wanted = std::fs::read_to_string(&expected).unwrap_or_default();
    assert_eq!(text, wanted, "{} differs; UPDATE_GOLDEN=1 renews it", expected.display());

    // The order of the file does not matter.
    let reversed: Vec<_> = entries.iter().rev().cloned().collect();
    assert_eq!(common::describe(&walk(&reversed, &metadata)), wanted, "{name} reversed");
}

macro_rules! golden {
    ($($name:ident)*) => {
        $(#[test] fn $name() { check(stringify!($name), ".expected", common::plain); })*
    };
}

golden! {
    gpt2 gpt2_bare gpt2_square nanogpt
    smollm2 llama_untied llama_bare qwen2 qwen3 gemma2 gemma3 quantised adapter
    phi3 mixtral qwen_moe
    qwen1 gpt_neox
    minilm bert_pretraining roberta mpnet distilbert
    phi opt opt_350m bloom falcon_7b falcon_40b falcon_rw
    t5 t5_encoder mt5 whisper
    vit deit vit_timm clip clip_vision clip_text clip_text_bare
    qwen2_moe qwen3_moe deepseek_v3 deepseek_v2_lite
    mamba mamba2 nanochat nanochat_hf
    bart_generic words
}

macro_rules! golden_cut {
    ($($test:ident $name:ident)*) => {
        $(#[test] fn $test() { check(stringify!($name), ".split.expected", common::cut); })*
    };
}

golden_cut! {
    gpt2_split gpt2
    phi3_split phi3
    gpt_neox_split gpt_neox
    bloom_split bloom
    falcon_7b_split falcon_7b
    falcon_40b_split falcon_40b
    falcon_rw_split falcon_rw
    vit_timm_split vit_timm
}
