//! Writes the seeds of `gguf_header` and `torch_file` into `corpus`: small sound files.

use weightscope_testkit::gguf::{GgufValue, TestGguf};
use weightscope_testkit::torch::{count, dict, pickle, tensor};

fn main() -> std::io::Result<()> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/gguf_header");
    std::fs::create_dir_all(&folder)?;
    let list = GgufValue::List(vec![GgufValue::U32(2), GgufValue::U32(1)]);
    let texts = GgufValue::List(vec!["a".into(), "bc".into()]);
    let model = TestGguf::new()
        .pair("general.architecture", "llama")
        .pair("general.alignment", 32)
        .pair("llama.block_count", 2)
        .pair("llama.attention.head_count", 2)
        .pair("llama.attention.head_count_kv", list)
        .pair("llama.rope.freq_base", GgufValue::F32(1e4))
        .pair("tokenizer.ggml.tokens", texts)
        .pair("ok", GgufValue::Bool(true))
        .tensor("token_embd.weight", 8, &[2, 32], vec![1; 68])
        .tensor("blk.0.attn_q.weight", 0, &[8, 2], vec![0; 64])
        .tensor("blk.0.attn_k.bias", 0, &[8], vec![0; 32])
        .tensor("fork", 97, &[4], vec![7; 32])
        .tensor("blk.1.ffn_up.weight", 12, &[1, 256], vec![3; 144]);
    let part = TestGguf { alignment: 64, version: 2, ..TestGguf::new() }
        .pair("split.no", GgufValue::U64(1))
        .pair("split.count", GgufValue::I32(3))
        .pair("general.alignment", 64)
        .pair("small", GgufValue::U8(1));
    let eyes = TestGguf::new()
        .pair("general.architecture", "clip")
        .pair("clip.vision.block_count", 1)
        .tensor("v.patch_embd.weight", 1, &[2, 1, 2, 2], vec![0; 16]);
    for (name, file) in [("model", model), ("part", part), ("eyes", eyes)] {
        // The first byte says that the magic is there.
        std::fs::write(folder.join(name), [vec![1], file.to_bytes()].concat())?;
    }
    pickles()
}

/// Pickles of torch.save, each with every kind of tensor or value that the others lack.
fn pickles() -> std::io::Result<()> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/torch_file");
    std::fs::create_dir_all(&folder)?;
    let weight = || tensor("FloatStorage", "0", 16, 0, &[4, 4], &[4, 1]);
    let model = dict(&[
        ("a", weight()),
        ("b", tensor("FloatStorage", "0", 16, 1, &[3, 2], &[1, 4])),
        ("c", tensor("HalfStorage", "1", 12, 0, &[2, 2, 3], &[6, 3, 1])),
    ]);
    let state = dict(&[
        ("state_dict", model.clone()),
        ("optimizer", dict(&[("state", weight())])),
        ("epoch", count(3)),
        ("args", b"cargparse\nNamespace\n)R}b".to_vec()),
    ]);
    let keys = b"\x80\x02].";
    for (name, layout, value) in [("model", 0, &model), ("state", 1, &state), ("legacy", 2, &model)]
    {
        let bytes = [vec![layout], pickle(value), keys.to_vec()].concat();
        std::fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}
