//! Listings of tensors as text, for the tests of this crate.
#![allow(dead_code, clippy::allow_attributes, reason = "each test binary uses a part")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::fmt::Write as _;

use weightscope_core::{DType, Metadata, ModelGraph, TensorEntry, Value, Weight};
use weightscope_graph::{WalkOptions, walk};

/// A tensor of F32.
pub(crate) fn tensor(name: &str, shape: &[u64]) -> TensorEntry {
    typed(name, "F32", shape)
}

/// A tensor of the named type.
pub(crate) fn typed(name: &str, dtype_name: &str, shape: &[u64]) -> TensorEntry {
    let dtype: Option<DType> = dtype_name.parse().ok();
    let entry = TensorEntry::plain(name, dtype.unwrap_or(DType::U8), shape);
    let bytes = if dtype.is_some() { entry.bytes } else { 0 };
    TensorEntry { dtype, dtype_name: dtype_name.to_owned(), bytes, ..entry }
}

/// Metadata with the config.json `text`.
pub(crate) fn config(text: &str) -> Metadata {
    let config: Value = serde_json::from_str(text).unwrap();
    Metadata { config: Some(config), ..Metadata::default() }
}

/// Reads lines of `name dtype shape`, the shape as `2x3` or `scalar`.
pub(crate) fn listing(text: &str) -> Vec<TensorEntry> {
    let read = |line: &str| {
        let mut words = line.rsplitn(3, ' ');
        let (shape, dtype, name) =
            (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        let dimensions = shape.split('x').filter(|word| *word != "scalar");
        typed(name, dtype, &dimensions.map(|n| n.parse().unwrap()).collect::<Vec<_>>())
    };
    text.lines().map(read).collect()
}

/// Walks without options.
pub(crate) fn plain(entries: &[TensorEntry], metadata: &Metadata) -> ModelGraph {
    walk(entries, metadata, &WalkOptions::default())
}

/// Walks with fused tensors cut.
pub(crate) fn cut(entries: &[TensorEntry], metadata: &Metadata) -> ModelGraph {
    walk(entries, metadata, &WalkOptions { split_fused: true, ..WalkOptions::default() })
}

/// The weight of this name.
pub(crate) fn weight<'a>(graph: &'a ModelGraph, name: &str) -> &'a Weight {
    graph.weights.iter().find(|w| w.name == name).unwrap_or_else(|| panic!("no weight {name}"))
}

/// One line per weight, then the summary.
pub(crate) fn describe(graph: &ModelGraph) -> String {
    let mut text = String::new();
    for w in &graph.weights {
        let or_dash = |n: Option<u32>| n.map_or("-".to_owned(), |n| n.to_string());
        let by = |sizes: &[u64]| {
            let words: Vec<String> = sizes.iter().map(u64::to_string).collect();
            if words.is_empty() { "scalar".to_owned() } else { words.join("x") }
        };
        let confidence = format!("{:?}", w.confidence).to_lowercase();
        write!(text, "{} {} {}", w.name, w.role, w.part).unwrap();
        write!(text, " stack={}", w.stack.map_or("-", |stack| stack.name())).unwrap();
        write!(text, " block={} expert={}", or_dash(w.block), or_dash(w.expert)).unwrap();
        write!(text, " {}", by(&w.shape)).unwrap();
        write!(text, " matrix={}", w.matrix.map_or("-".to_owned(), |m| by(&m))).unwrap();
        text.push_str(if w.transposed { " transposed" } else { "" });
        if let Some(heads) = w.heads {
            write!(text, " heads={}/{}x{}", heads.query, heads.key_value, heads.head_dim).unwrap();
        }
        writeln!(text, " {confidence}").unwrap();
    }
    let s = &graph.summary;
    let or_dash = |n: Option<u64>| n.map_or("-".to_owned(), |n| n.to_string());
    writeln!(text, "\nfamily {}", s.family).unwrap();
    let counts = [s.parameters, s.parameters_with_tied_copies];
    writeln!(text, "parameters {}, with tied copies {}", counts[0], counts[1]).unwrap();
    writeln!(text, "tensors {}, bytes {}, blocks {}", s.tensors, s.bytes, s.blocks).unwrap();
    let heads = [s.heads, s.kv_heads, s.head_dim].map(or_dash).join("/");
    let [hidden, vocab] = [s.hidden_size, s.vocab_size].map(or_dash);
    writeln!(text, "heads {heads}, hidden {hidden}, vocab {vocab}").unwrap();
    for c in &s.categories {
        let numbers = [c.tensors, c.parameters, c.bytes];
        writeln!(text, "category {} {numbers:?}", c.category).unwrap();
    }
    writeln!(text, "tie {:?}, tied {:?}", s.tie_word_embeddings, s.tied).unwrap();
    writeln!(text, "missing {:?}\nunexpected {:?}", s.missing, s.unexpected).unwrap();
    for m in &s.misshapen {
        writeln!(text, "misshapen {} {:?}, not {:?}", m.name, m.shape, m.expected).unwrap();
    }
    text
}
