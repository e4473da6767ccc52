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
    t5_generic words
}

#[test]
fn gpt2_split() {
    check("gpt2", ".split.expected", common::cut);
}

#[test]
fn phi3_split() {
    check("phi3", ".split.expected", common::cut);
}
