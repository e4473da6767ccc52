//! GGUF files: sound, broken and hostile; split ones and folders of them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::common::{bytes_of, describe, faults, names, put};
use weightscope_core::{DType, EntryId, Orientation, TensorSource, Value};
use weightscope_load::{Checkpoint, LoadError, open};
use weightscope_testkit::checkpoint::{TestCheckpoint, encode};
use weightscope_testkit::gguf::{GgufValue, TestGguf, interleaved};

fn open_gguf(file: impl AsRef<[u8]>) -> Result<Checkpoint, LoadError> {
    let folder = tempfile::tempdir().unwrap();
    open(&[put(folder.path(), "x.gguf", file)])
}

/// That `file` is rejected with `code`, in words that contain `words`, at once.
fn check(file: impl AsRef<[u8]>, code: &str, words: &str) {
    let begin = Instant::now();
    let (found, message) = describe(&open_gguf(file).expect_err(words));
    assert_eq!(found, code, "{message}");
    assert!(message.contains(words), "{message} has no {words:?}");
    assert!(begin.elapsed() < Duration::from_secs(2), "{message}");
}

/// The elements of a tensor as numbers.
fn values(checkpoint: &Checkpoint, name: &str) -> Vec<f32> {
    let at = checkpoint.entries().iter().position(|e| e.name == name).unwrap();
    let entry = &checkpoint.entries()[at];
    let mut bytes = vec![0; usize::try_from(entry.served_bytes()).unwrap()];
    let id = EntryId(u32::try_from(at).unwrap());
    checkpoint.read_at(id, 0..entry.served_bytes(), &mut bytes).unwrap();
    let mut into = vec![0.0; usize::try_from(entry.elements).unwrap()];
    weightscope_codec::decode_f32(entry.dtype.unwrap(), &bytes, &mut into).unwrap();
    into
}

fn count_up(n: usize) -> Vec<f32> {
    (0..n).map(|i| i as f32 - 3.0).collect()
}

/// A model of two heads and one block, sound in every way.
fn small() -> TestGguf {
    TestGguf::new()
        .pair("general.architecture", "llama")
        .pair("general.name", "Small")
        .pair("general.file_type", 1)
        .pair("llama.block_count", 1)
        .pair("llama.embedding_length", 4)
        .pair("llama.attention.head_count", 1)
        .pair("tokenizer.ggml.tokens", GgufValue::List(vec!["a".into(), "b".into()]))
        .pair("tokenizer.ggml.scores", GgufValue::List(vec![GgufValue::F32(0.5); 2]))
        .values("token_embd.weight", DType::F16, &[2, 4], &count_up(8))
        .values("blk.0.ffn_down.weight", DType::F32, &[4, 3], &count_up(12))
        .values("output_norm.weight", DType::F32, &[4], &count_up(4))
}

#[test]
fn plain_types_are_read() {
    let types = [
        DType::F32,
        DType::F16,
        DType::BF16,
        DType::F64,
        DType::I8,
        DType::I16,
        DType::I32,
        DType::I64,
    ];
    for version in [2, 3] {
        let mut file = TestGguf { version, ..TestGguf::new() };
        for dtype in types {
            file = file.values(dtype.name(), dtype, &[2, 3], &count_up(6));
        }
        let checkpoint = open_gguf(file.to_bytes()).unwrap();
        assert_eq!(faults(&checkpoint), [""; 0]);
        assert_eq!(checkpoint.metadata().format, "GGUF");
        for (entry, dtype) in checkpoint.entries().iter().zip(types) {
            assert_eq!((entry.dtype, entry.shape.as_slice()), (Some(dtype), &[2, 3][..]));
            assert_eq!(entry.orientation, Some(Orientation::OutIn));
            assert_eq!(entry.stored, None);
            assert_eq!(bytes_of(&checkpoint, dtype.name()), encode(dtype, &count_up(6)));
        }
    }
}

#[test]
fn blocks_are_decoded_where_they_are_touched() {
    // A scale of 1 in binary16, then codes.
    let block = |first: i8| {
        let codes = (0..32).map(|i| first.wrapping_add(i).to_le_bytes()[0]);
        [0x00, 0x3c].into_iter().chain(codes).collect::<Vec<u8>>()
    };
    let file = TestGguf::new().tensor("w", 8, &[2, 32], [block(-5), block(40)].concat());
    let checkpoint = open_gguf(file.to_bytes()).unwrap();
    let entry = &checkpoint.entries()[0];
    assert_eq!((entry.dtype, entry.bytes, entry.served_bytes()), (Some(DType::F32), 68, 256));
    let form = entry.stored.as_ref().unwrap();
    assert_eq!((form.scheme.as_str(), form.factor_block), ("Q8_0", Some([1, 32])));
    let all: Vec<f32> = (-5..27).chain(40..72).map(|n| n as f32).collect();
    assert_eq!(values(&checkpoint, "w"), all);
    let mut part = [0; 16];
    checkpoint.read_at(EntryId(0), 4 * 30..4 * 34, &mut part).unwrap();
    let part: Vec<f32> =
        part.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(part, [25.0, 26.0, 40.0, 41.0]);
}

#[test]
fn types_that_are_not_known_do_not_spoil_the_rest() {
    let file = TestGguf::new()
        .tensor("old", 31, &[4, 32], vec![1; 72])
        .tensor("fork", 97, &[4, 64], vec![2; 100])
        .values("w", DType::F32, &[2], &[1.0, 2.0])
        .tensor("last", 200, &[5], vec![3; 32]);
    let checkpoint = open_gguf(file.to_bytes()).unwrap();
    assert_eq!(faults(&checkpoint), [""; 0]);
    let told: Vec<_> = checkpoint
        .entries()
        .iter()
        .map(|e| (e.dtype.is_some(), e.dtype_name.as_str(), e.bytes))
        .collect();
    assert_eq!(
        told,
        [
            (false, "removed type 31 (Q4_0_4_4)", 96),
            (false, "type 97", 128),
            (true, "F32", 8),
            (false, "type 200", 32)
        ]
    );
    assert_eq!(values(&checkpoint, "w"), [1.0, 2.0]);
}

#[test]
fn metadata_are_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "config.json", r#"{"model_type": "bert"}"#);
    let path = put(folder.path(), "any name", small().to_bytes());
    let checkpoint = open(&[path]).unwrap();
    let config = checkpoint.metadata().config.clone().unwrap();
    let text = |key: &str| config.get(key).and_then(Value::as_str).map(str::to_owned);
    let count = |key: &str| config.get(key).and_then(Value::as_u64);
    assert_eq!(text("model_type").as_deref(), Some("llama"), "the file's own word counts");
    assert_eq!(count("hidden_size"), Some(4));
    assert_eq!(count("num_hidden_layers"), Some(1));
    assert_eq!(count("vocab_size"), Some(2), "rows of the table");
    assert_eq!(config.get("tie_word_embeddings").and_then(Value::as_bool), Some(true));
    let own = config.get("gguf").unwrap();
    assert_eq!(own.get("name").and_then(Value::as_str), Some("Small"));
    assert_eq!(own.get("file_type").and_then(Value::as_str), Some("F16"));

    let untied = small().values("output.weight", DType::F16, &[2, 4], &count_up(8));
    let checkpoint = open_gguf(untied.to_bytes()).unwrap();
    let tie = checkpoint.metadata().config.as_ref().unwrap().get("tie_word_embeddings");
    assert_eq!(tie.and_then(Value::as_bool), Some(false));
}

#[test]
fn rows_of_q_and_k_go_back() {
    let (q, k, bias) = (count_up(8 * 32), count_up(4 * 32), count_up(8));
    let file = |architecture: &str| {
        let key = |key: &str| format!("{architecture}.{key}");
        // In blocks: the scale of each row is the row's number.
        let blocks = |rows: usize| -> Vec<u8> {
            let order: Vec<f32> = (0..rows).map(|row| row as f32 + 1.0).collect();
            let stored = interleaved(&order, rows, 4);
            let block = |scale: &f32| [encode(DType::F16, &[*scale]), vec![1; 32]].concat();
            stored.iter().flat_map(block).collect()
        };
        TestGguf::new()
            .pair("general.architecture", architecture)
            .pair(&key("block_count"), 2)
            .pair(&key("attention.head_count"), 2)
            .pair(
                &key("attention.head_count_kv"),
                GgufValue::List(vec![GgufValue::U32(1), GgufValue::U32(2)]),
            )
            .values("blk.0.attn_q.weight", DType::F32, &[8, 32], &interleaved(&q, 8, 4))
            .values("blk.0.attn_q.bias", DType::F32, &[8], &interleaved(&bias, 8, 4))
            .values("blk.0.attn_k.weight", DType::F16, &[4, 32], &interleaved(&k, 4, 4))
            .values("blk.0.attn_v.weight", DType::F32, &[4, 32], &k)
            .tensor("blk.1.attn_k.weight", 8, &[8, 32], blocks(8))
    };
    let checkpoint = open_gguf(file("llama").to_bytes()).unwrap();
    assert_eq!(values(&checkpoint, "blk.0.attn_q.weight"), q);
    assert_eq!(values(&checkpoint, "blk.0.attn_q.bias"), bias);
    assert_eq!(values(&checkpoint, "blk.0.attn_k.weight"), k);
    assert_eq!(values(&checkpoint, "blk.0.attn_v.weight"), k);
    let rows: Vec<f32> =
        values(&checkpoint, "blk.1.attn_k.weight").chunks(32).map(|row| row[31]).collect();
    assert_eq!(rows, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    // A piece that begins and ends within rows.
    let mut piece = vec![0; 4 * 40];
    checkpoint.read_at(EntryId(0), 4 * 90..4 * 130, &mut piece).unwrap();
    let piece: Vec<f32> =
        piece.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(piece, q[90..130]);

    let checkpoint = open_gguf(file("qwen2").to_bytes()).unwrap();
    assert_eq!(values(&checkpoint, "blk.0.attn_q.weight"), interleaved(&q, 8, 4));
}

#[test]
fn what_is_no_model_says_so() {
    for (kind, format) in
        [("adapter", "GGUF adapter"), ("mmproj", "GGUF mmproj"), ("imatrix", "GGUF imatrix")]
    {
        let file = TestGguf::new().pair("general.type", kind).values(
            "blk.0.attn_q.weight.lora_a",
            DType::F32,
            &[1, 4],
            &count_up(4),
        );
        let checkpoint = open_gguf(file.to_bytes()).unwrap();
        assert_eq!(checkpoint.metadata().format, format);
    }
    // The eyes of models from before the type was written.
    let eyes = TestGguf::new().pair("general.architecture", "clip");
    assert_eq!(open_gguf(eyes.to_bytes()).unwrap().metadata().format, "GGUF mmproj");
}

/// A file of one pair, whose value is written as it is.
fn with_value(kind: u32, bytes: Vec<u8>) -> Vec<u8> {
    TestGguf::new().pair("k", GgufValue::Raw(kind, bytes)).to_bytes()
}

#[test]
fn claims_are_held_against_the_bytes() {
    let file = TestGguf::new();
    check(file.beginning(1 << 60, 0), "too-many-tensors", "1152921504606846976");
    check(file.beginning(1000, 0), "truncated", "incomplete download?");
    check(file.beginning(0, u64::MAX), "invalid-header", "18446744073709551615 metadata pairs");
    check(file.beginning(0, 1000), "truncated", "incomplete download?");
    // A key of 2^63 bytes, and of none.
    check(
        [file.beginning(0, 1), (1_u64 << 63).to_le_bytes().to_vec(), vec![0; 100]].concat(),
        "truncated",
        "header needs 92233720368547758",
    );
    check([file.beginning(0, 1), vec![0; 100]].concat(), "invalid-header", "is empty");
    // Texts, and lists of numbers, of texts and of lists.
    let count = |n: u64| n.to_le_bytes().to_vec();
    let kind = |n: u32| n.to_le_bytes().to_vec();
    check(with_value(8, count(1 << 63)), "truncated", "incomplete");
    check(with_value(8, count(u64::MAX)), "truncated", "incomplete");
    for (of, n) in [(4, u64::MAX), (4, 1 << 62), (0, 1 << 60), (8, 1 << 60), (8, u64::MAX)] {
        check(with_value(9, [kind(of), count(n)].concat()), "truncated", "incomplete");
    }
    check(
        with_value(9, [kind(8), count(2), count(1 << 63), vec![0; 64]].concat()),
        "truncated",
        "incomplete",
    );
    check(with_value(9, [kind(9), count(1)].concat()), "invalid-header", "list of lists");
    check(with_value(9, [kind(13), count(1)].concat()), "invalid-header", "unknown type 13");
    check(with_value(99, vec![0; 8]), "invalid-header", "unknown type 99");
}

#[test]
fn versions_and_magic() {
    let of = |version| TestGguf { version, ..small() }.to_bytes();
    check(of(1), "unsupported-version", "GGUF of version 1");
    check(of(4), "unsupported-version", "version 4");
    check(of(0), "unsupported-version", "version 0");
    check(of(3_u32.swap_bytes()), "unsupported-version", "version 3 in big-endian byte order");
    check(b"GGUF", "truncated", "file has 4 bytes");
    check(b"GGML....", "wrong-magic", "named like GGUF");
    check(b"", "wrong-magic", "named like GGUF");
    check("<!DOCTYPE html><html>", "html-page", "web page");
}

#[test]
fn alignments() {
    let of = |value: GgufValue, alignment| {
        TestGguf { alignment, ..small() }.pair("general.alignment", value).to_bytes()
    };
    for sound in [8, 32, 64, 4096] {
        let checkpoint = open_gguf(of(GgufValue::U32(sound), sound as usize)).unwrap();
        assert_eq!(values(&checkpoint, "output_norm.weight"), count_up(4));
    }
    for broken in [0, 3, 48, 1 << 31, u32::MAX] {
        check(of(GgufValue::U32(broken), 32), "invalid-header", "alignment is");
    }
    check(of(GgufValue::U64(1 << 63), 32), "invalid-header", "alignment is");
    check(of("32".into(), 32), "invalid-header", "not a number");
    check(of(GgufValue::I32(-32), 32), "invalid-header", "not a number");
}

#[test]
fn tables_that_lie() {
    let tensor = |shape: &[u64], kind| TestGguf::new().tensor("t", kind, shape, vec![0; 64]);
    // Products that wrap to something small, also in signed numbers.
    for shape in [&[1 << 32, 1 << 32][..], &[1 << 63, 2], &[u64::MAX, u64::MAX], &[1 << 63]] {
        check(tensor(shape, 0).to_bytes(), "shape-overflow", "more than 2^64");
        check(tensor(shape, 97).to_bytes(), "shape-overflow", "more than 2^64");
    }
    check(tensor(&[1 << 62], 28).to_bytes(), "shape-overflow", "elements");
    check(tensor(&[1; 5], 0).to_bytes(), "invalid-entry", "5 dimensions");
    check(tensor(&[33], 8).to_bytes(), "invalid-entry", "no whole blocks");
    check(tensor(&[32, 1], 8).to_bytes(), "invalid-entry", "rows of 1 values");
    check(tensor(&[1 << 40], 0).to_bytes(), "truncated", "incomplete download?");

    let at = |offsets: &[u64]| {
        let mut file = TestGguf::new();
        for (number, offset) in offsets.iter().enumerate() {
            file = file.values(&format!("t{number}"), DType::F32, &[8], &[0.0; 8]);
            file.tensors[number].offset = Some(*offset);
        }
        file.to_bytes()
    };
    assert!(open_gguf(at(&[0, 32])).is_ok());
    assert!(open_gguf(at(&[32, 0])).is_ok(), "any order");
    check(at(&[0, 0]), "overlap", "inside of tensor");
    check(at(&[0, 16]), "misaligned", "no multiple of the alignment of 32");
    check(at(&[0, 64]), "hole", "belong to no tensor");
    check(at(&[32]), "hole", "belong to no tensor");
    check(at(&[0, u64::MAX - 31]), "hole", "belong to no tensor");
    check(at(&[u64::MAX]), "misaligned", "alignment");
    check(at(&[1 << 63]), "hole", "belong to no tensor");
    // Behind a type whose size is not known, an offset may be anything.
    let mut open_ended = TestGguf::new().tensor("fork", 97, &[8], vec![0; 32]).values(
        "t",
        DType::F32,
        &[8],
        &[0.0; 8],
    );
    open_ended.tensors[1].offset = Some(u64::MAX - 31);
    check(open_ended.to_bytes(), "truncated", "incomplete");
    open_ended.tensors[1].offset = Some(1 << 62);
    check(open_ended.to_bytes(), "truncated", "incomplete");

    let mut name = small();
    name.tensors[0].name = "n".repeat(5000);
    check(name.to_bytes(), "invalid-header", "at most 4096");
    name.tensors[0].name = String::new();
    check(name.to_bytes(), "invalid-header", "is empty");
}

#[test]
fn what_comes_twice_is_told() {
    let file = small().pair("llama.block_count", 7).values(
        "output_norm.weight",
        DType::F32,
        &[4],
        &[9.0; 4],
    );
    let checkpoint = open_gguf(file.to_bytes()).unwrap();
    assert_eq!(
        faults(&checkpoint),
        ["Shard x.gguf duplicate-key", "Tensor output_norm.weight duplicate-name"]
    );
    assert_eq!(values(&checkpoint, "output_norm.weight"), count_up(4));
    let config = checkpoint.metadata().config.as_ref().unwrap();
    assert_eq!(config.get("num_hidden_layers").and_then(Value::as_u64), Some(1));
}

#[test]
fn bytes_after_the_last_tensor() {
    let file = small().to_bytes();
    // Padded or not, it is whole.
    let unpadded = file.len() - 16;
    assert_eq!(faults(&open_gguf(&file[..unpadded]).unwrap()), [""; 0]);
    assert_eq!(faults(&open_gguf(&file).unwrap()), [""; 0]);
    let longer = [&file[..], &[0]].concat();
    assert_eq!(faults(&open_gguf(longer).unwrap()), ["Shard x.gguf trailing-bytes"]);
}

#[test]
fn every_truncation_is_an_error() {
    let file = small().to_bytes();
    // The last tensor has 16 bytes and as many of padding.
    for end in 0..file.len() - 16 {
        let error = open_gguf(&file[..end]).expect_err("cut");
        assert!(["truncated", "wrong-magic"].contains(&error.code()), "{end}: {error}");
    }
}

/// Steele, Lea and Flood's SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[test]
fn flipped_bits_of_the_header() {
    let file = small().to_bytes();
    let header = file.len() - 3 * 32;
    let folder = tempfile::tempdir().unwrap();
    let mut state = 1;
    let mut opened = 0;
    for round in 0..10_000 {
        let mut broken = file.clone();
        for _ in 0..=next(&mut state) % 2 {
            let at = usize::try_from(next(&mut state) % header as u64).unwrap();
            broken[at] ^= 1 << (next(&mut state) % 8);
        }
        let path = folder.path().join(format!("{}.gguf", round % 64));
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, &broken).unwrap();
        let Ok(checkpoint) = open(&[path]) else { continue };
        opened += 1;
        // What is offered can be read, and lies in the file.
        for (at, entry) in checkpoint.entries().iter().enumerate() {
            assert!(entry.bytes <= file.len() as u64);
            if entry.dtype.is_none() {
                continue;
            }
            let mut bytes = vec![0; usize::try_from(entry.served_bytes()).unwrap()];
            let id = EntryId(u32::try_from(at).unwrap());
            checkpoint.read_at(id, 0..entry.served_bytes(), &mut bytes).unwrap();
        }
    }
    // Names, texts and numbers of the metadata may change without harm.
    assert!((1000..9000).contains(&opened), "{opened}");
}

#[test]
fn a_broken_header_costs_neither_time_nor_memory() {
    let folder = tempfile::tempdir().unwrap();
    let file = TestGguf::new();
    for (name, beginning) in [
        ("zeros.gguf", file.beginning(1000, 1000)),
        ("many.gguf", file.beginning(1_000_000, 0)),
        (
            "list.gguf",
            with_value(9, [8_u32.to_le_bytes().to_vec(), vec![0, 0, 0, 1, 0, 0, 0, 0]].concat()),
        ),
    ] {
        let path = put(folder.path(), name, beginning);
        // 64 GiB, none of it on disk.
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 36).unwrap();
        let begin = Instant::now();
        let error = open(&[path]).unwrap_err();
        assert_eq!(error.code(), "invalid-header", "{error}");
        assert!(begin.elapsed() < Duration::from_secs(5), "{name}: {:?}", begin.elapsed());
    }
}

/// A model in three parts, the first with the metadata alone.
fn split(folder: &Path, total: u32) -> Vec<PathBuf> {
    let part = |number: u32| {
        TestGguf::new()
            .pair("split.no", GgufValue::Raw(2, vec![number.to_le_bytes()[0], 0]))
            .pair("split.count", GgufValue::Raw(2, vec![3, 0]))
            .pair("split.tensors.count", GgufValue::I32(i32::try_from(total).unwrap()))
    };
    let first = part(0)
        .pair("general.architecture", "llama")
        .pair("llama.block_count", 1)
        .pair("llama.attention.head_count", 1);
    let q = interleaved(&count_up(16), 4, 4);
    let second = part(1).values("blk.0.attn_q.weight", DType::F32, &[4, 4], &q);
    let third = part(2).values("token_embd.weight", DType::F16, &[2, 4], &count_up(8));
    [first, second, third]
        .iter()
        .enumerate()
        .map(|(at, file)| file.write(folder, &format!("m-{:05}-of-00003.gguf", at + 1)).unwrap())
        .collect()
}

#[test]
fn parts_of_a_split_model_are_one() {
    let folder = tempfile::tempdir().unwrap();
    let parts = split(folder.path(), 2);
    let ways: [Vec<PathBuf>; 4] = [
        vec![folder.path().to_owned()],
        vec![parts[0].clone()],
        vec![parts[2].clone()],
        parts.clone(),
    ];
    for way in ways {
        let checkpoint = open(&way).unwrap();
        assert_eq!(faults(&checkpoint), [""; 0]);
        assert_eq!(names(&checkpoint), ["blk.0.attn_q.weight", "token_embd.weight"]);
        assert_eq!(checkpoint.metadata().files.len(), 3);
        // The metadata are of all.
        assert_eq!(values(&checkpoint, "blk.0.attn_q.weight"), count_up(16));
        let config = checkpoint.metadata().config.as_ref().unwrap();
        assert_eq!(config.get("vocab_size").and_then(Value::as_u64), Some(2));
    }

    std::fs::remove_file(&parts[1]).unwrap();
    for way in [folder.path().to_owned(), parts[2].clone()] {
        let checkpoint = open(&[way]).unwrap();
        assert_eq!(faults(&checkpoint), ["Shard m-00002-of-00003.gguf missing-shard"]);
    }
}

#[test]
fn parts_that_contradict_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let parts = split(folder.path(), 3);
    let told = faults(&open(&[folder.path().to_owned()]).unwrap());
    assert_eq!(told, ["Shard m-00001-of-00003.gguf split-mismatch"], "two of three tensors");

    split(folder.path(), 2);
    std::fs::copy(&parts[1], &parts[2]).unwrap();
    let checkpoint = open(&[folder.path().to_owned()]).unwrap();
    assert!(faults(&checkpoint).contains(&"Shard m-00003-of-00003.gguf split-mismatch".to_owned()));

    // A part under a name that does not say so.
    let alone = folder.path().join("alone.gguf");
    std::fs::rename(&parts[0], &alone).unwrap();
    assert_eq!(faults(&open(&[alone]).unwrap()), ["Shard alone.gguf split-mismatch"]);
}

#[test]
fn a_folder_with_one_model_is_that_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    small().write(path, "model.Q4_K_M.gguf").unwrap();
    let projector = TestGguf::new().pair("general.architecture", "clip");
    projector.write(path, "mmproj-model.gguf").unwrap();
    TestGguf::new().pair("general.type", "adapter").write(path, "a.gguf").unwrap();
    TestGguf::new().pair("general.type", "imatrix").write(path, "imatrix.gguf").unwrap();
    let checkpoint = open(&[path.to_owned()]).unwrap();
    assert_eq!(checkpoint.metadata().files[0].name, "model.Q4_K_M.gguf");
    assert_eq!(names(&checkpoint).len(), 3);

    // Several quantisations are several models.
    small().write(path, "model.Q8_0.gguf").unwrap();
    split(path, 2);
    let (code, message) = describe(&open(&[path.to_owned()]).unwrap_err());
    assert_eq!(code, "several-models");
    for words in [
        "holds 3 GGUF models: \"m-00001-of-00003.gguf\" (",
        "\"model.Q4_K_M.gguf\" (",
        "bytes), \"model.Q8_0.gguf\"",
        "name one of them",
    ] {
        assert!(message.contains(words), "{message}");
    }
    assert!(!message.contains("mmproj") && !message.contains("imatrix"), "{message}");

    // Safetensors count first.
    TestCheckpoint::new().values("w", DType::F32, &[1], &[1.0]).write(path).unwrap();
    assert_eq!(open(&[path.to_owned()]).unwrap().metadata().format, "safetensors");
}

#[test]
fn a_folder_with_something_else_alone() {
    let folder = tempfile::tempdir().unwrap();
    TestGguf::new().pair("general.type", "adapter").write(folder.path(), "a.gguf").unwrap();
    assert_eq!(open(&[folder.path().to_owned()]).unwrap().metadata().format, "GGUF adapter");
    put(folder.path(), "a.gguf", "GGUF, cut");
    assert_eq!(open(&[folder.path().to_owned()]).unwrap_err().code(), "unsupported-version");
}
