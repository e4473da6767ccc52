//! The small models as llama.cpp's converters write them: names, types, turned matrices and permuted rows differ, what is
//! measured does not.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use weightscope::{RunOptions, Scan};
use weightscope_core::{DType, EntryId, TensorSource};
use weightscope_testkit::checkpoint::TestCheckpoint;
use weightscope_testkit::gguf::{TestGguf, interleaved};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

/// Name, shape and values of every tensor of a fixture that is trained.
fn tensors(name: &str) -> Vec<(String, Vec<u64>, Vec<f32>)> {
    let checkpoint = weightscope_load::open(&[fixture(name)]).unwrap();
    let entries = checkpoint.entries().iter().enumerate();
    entries
        .filter(|(_, entry)| entry.shape.len() < 3)
        .map(|(at, entry)| {
            let mut bytes = vec![0; entry.bytes as usize];
            checkpoint.read_at(EntryId(at as u32), 0..entry.bytes, &mut bytes).unwrap();
            let values = match entry.dtype.unwrap() {
                DType::F32 => {
                    let element = |b: &[u8]| f32::from_le_bytes(b.try_into().unwrap());
                    bytes.chunks(4).map(element).collect()
                }
                DType::BF16 => {
                    let element = |b: &[u8]| f32::from_le_bytes([0, 0, b[0], b[1]]);
                    bytes.chunks(2).map(element).collect()
                }
                other => panic!("{other}"),
            };
            (entry.name.clone(), entry.shape.clone(), values)
        })
        .collect()
}

/// A name in GGUF.
fn renamed(name: &str, words: &[(&str, &str)]) -> String {
    let words = words.iter();
    words.fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}

const GPT2: &[(&str, &str)] = &[
    ("wte", "token_embd"),
    ("wpe", "position_embd"),
    ("ln_f", "output_norm"),
    ("h.", "blk."),
    ("ln_1", "attn_norm"),
    ("ln_2", "ffn_norm"),
    ("attn.c_attn", "attn_qkv"),
    ("attn.c_proj", "attn_output"),
    ("mlp.c_fc", "ffn_up"),
    ("mlp.c_proj", "ffn_down"),
];

const LLAMA: &[(&str, &str)] = &[
    ("model.embed_tokens", "token_embd"),
    ("model.norm", "output_norm"),
    ("model.layers.", "blk."),
    ("input_layernorm", "attn_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

fn turned(values: &[f32], rows: usize) -> Vec<f32> {
    let columns = values.len() / rows;
    (0..columns).flat_map(|c| (0..rows).map(move |r| values[r * columns + c])).collect()
}

/// The type that converters give a tensor.
fn stored(dtype: DType, shape: &[u64]) -> DType {
    if shape.len() < 2 { DType::F32 } else { dtype }
}

/// The same model as safetensors and as GGUF, scanned.
fn both(safetensors: &TestCheckpoint, gguf: &TestGguf) -> [Json; 2] {
    let folder = tempfile::tempdir().unwrap();
    let paths = [
        safetensors.write(folder.path()).unwrap(),
        gguf.write(folder.path(), "model.gguf").unwrap(),
    ];
    paths.map(|path| {
        let options = RunOptions { timings: false, ..RunOptions::default() };
        let report = Scan::new([path]).options(options).run().unwrap();
        serde_json::to_value(report).unwrap()
    })
}

/// That two reports say the same of their weights, but for what depends on the order of values.
fn agree([one, other]: [&Json; 2], words: &[(&str, &str)], tolerance: f64, skip: &[&str]) -> usize {
    for report in [one, other] {
        assert_eq!(report["status"], "complete", "{:?}", report["errors"]);
    }
    let facts = ["family", "parameters", "blocks", "heads", "kv_heads", "head_dim", "hidden_size"];
    for fact in
        facts.into_iter().chain(["vocab_size", "missing", "unexpected", "misshapen", "tied"])
    {
        assert_eq!(one["models"][0][fact], other["models"][0][fact], "{fact}");
    }
    let weights = other["weights"].as_array().unwrap();
    let mut compared = 0;
    for weight in one["weights"].as_array().unwrap() {
        let name = renamed(weight["name"].as_str().unwrap(), words);
        let twin = weights
            .iter()
            .find(|twin| twin["name"] == *name)
            .unwrap_or_else(|| panic!("no {name}"));
        for fact in
            ["role", "part", "stack", "block", "expert", "matrix", "heads", "dtype", "confidence"]
        {
            assert_eq!(weight[fact], twin[fact], "{fact} of {name}");
        }
        compared += same(&name, &weight["analyses"], &twin["analyses"], tolerance, skip);
    }
    compared
}

fn same(place: &str, one: &Json, other: &Json, tolerance: f64, skip: &[&str]) -> usize {
    let each = |key: String, one: &Json, other: &Json| {
        same(&format!("{place}.{key}"), one, other, tolerance, skip)
    };
    match (one, other) {
        _ if skip.iter().any(|end| place.ends_with(end)) => 0,
        (Json::Object(a), Json::Object(b)) => {
            assert!(a.keys().eq(b.keys()), "{place}");
            a.iter().map(|(key, value)| each(key.clone(), value, &b[key])).sum()
        }
        (Json::Array(a), Json::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{place}");
            a.iter().zip(b).enumerate().map(|(i, (a, b))| each(i.to_string(), a, b)).sum()
        }
        (Json::Number(a), Json::Number(b)) if tolerance > 0.0 => {
            let [a, b] = [a, b].map(|n| n.as_f64().unwrap());
            let size = a.abs().max(b.abs()).max(1e-3);
            assert!((a - b).abs() <= tolerance * size, "{place}: {a} and {b}");
            1
        }
        _ => {
            assert_eq!(one, other, "{place}");
            1
        }
    }
}

#[test]
fn llama_is_measured_alike() {
    let config = std::fs::read_to_string(fixture("tiny-llama").join("config.json")).unwrap();
    let tensors = tensors("tiny-llama");
    for dtype in [DType::BF16, DType::F16, DType::F32] {
        let mut safetensors = TestCheckpoint::new().config(&config);
        let mut gguf = TestGguf::new()
            .pair("general.architecture", "llama")
            .pair("llama.block_count", 12)
            .pair("llama.context_length", 64)
            .pair("llama.embedding_length", 96)
            .pair("llama.feed_forward_length", 256)
            .pair("llama.attention.head_count", 6)
            .pair("llama.attention.head_count_kv", 2)
            .pair("llama.attention.key_length", 16)
            .pair("llama.rope.dimension_count", 16);
        for (name, shape, values) in &tensors {
            let dtype = stored(dtype, shape);
            safetensors = safetensors.values(name, dtype, shape, values);
            let is_turned =
                ["q_proj.weight", "k_proj.weight"].iter().any(|end| name.ends_with(end));
            let values =
                if is_turned { interleaved(values, shape[0] as usize, 16) } else { values.clone() };
            gguf = gguf.values(&renamed(name, LLAMA), dtype, shape, &values);
        }
        let [one, other] = both(&safetensors, &gguf);
        // Rows are back where they were: bit for bit the same.
        let compared = agree([&one, &other], LLAMA, 0.0, &[]);
        assert!(compared > 10_000, "{compared}");
    }
}

#[test]
fn gpt2_is_measured_alike() {
    let config = std::fs::read_to_string(fixture("tiny-gpt2").join("config.json")).unwrap();
    let tensors = tensors("tiny-gpt2");
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        let mut safetensors = TestCheckpoint::new().config(&config);
        let mut gguf = TestGguf::new()
            .pair("general.architecture", "gpt2")
            .pair("gpt2.block_count", 12)
            .pair("gpt2.context_length", 64)
            .pair("gpt2.embedding_length", 80)
            .pair("gpt2.feed_forward_length", 320)
            .pair("gpt2.attention.head_count", 5);
        for (name, shape, values) in &tensors {
            let dtype = stored(dtype, shape);
            safetensors = safetensors.values(name, dtype, shape, values);
            let is_turned = name.contains(".c_") && shape.len() == 2;
            let (shape, values) = if is_turned {
                (vec![shape[1], shape[0]], turned(values, shape[0] as usize))
            } else {
                (shape.clone(), values.clone())
            };
            gguf = gguf.values(&renamed(name, GPT2), dtype, &shape, &values);
        }
        let [one, other] = both(&safetensors, &gguf);
        // Sums run over the same values in another order.
        let by_order = ["content_hash", "sketch"];
        let compared = agree([&one, &other], GPT2, 1e-8, &by_order);
        assert!(compared > 10_000, "{compared}");
    }
}
