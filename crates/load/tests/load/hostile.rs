//! Damaged files in bulk, with the safetensors crate as the judge of what is sound.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::common::{bytes_of, faults, put};
use proptest::prelude::*;
use safetensors::SafeTensors;
use tempfile::tempdir;
use weightscope_core::{DType, TensorSource};
use weightscope_load::{Checkpoint, open};
use weightscope_testkit::checkpoint::{TestCheckpoint, raw_file};

fn small() -> TestCheckpoint {
    TestCheckpoint::new()
        .values("model.embed.weight", DType::F32, &[2, 3], &[1.0, -2.0, 3.0, 0.5, 0.0, 7.0])
        .values("layer.0.weight", DType::BF16, &[3, 2], &[1.0; 6])
        .values("bias", DType::F16, &[4], &[0.25; 4])
        .tensor("scalar", DType::I64, &[], vec![1; 8])
        .tensor("nothing", DType::F8E4M3, &[0, 5], Vec::new())
}

type Contents = BTreeMap<String, (String, Vec<u64>, Vec<u8>)>;

fn ours(checkpoint: &Checkpoint) -> Contents {
    let entries = checkpoint.entries().iter();
    entries
        .map(|e| {
            (e.name.clone(), (e.dtype_name.clone(), e.shape.clone(), bytes_of(checkpoint, &e.name)))
        })
        .collect()
}

fn theirs(parsed: &SafeTensors<'_>) -> Contents {
    let tensors = parsed.tensors().into_iter();
    tensors
        .map(|(name, view)| {
            let shape = view.shape().iter().map(|d| *d as u64).collect();
            (name, (format!("{:?}", view.dtype()), shape, view.data().to_vec()))
        })
        .collect()
}

/// What the crate refuses, we refuse or report; what it accepts, we read alike. Whether it accepted.
fn agree(path: &Path, file: &[u8]) -> bool {
    // A new file each time: some file systems flush a file that is truncated and rewritten.
    let _ = fs::remove_file(path);
    fs::write(path, file).unwrap();
    let opened = open(&[path.to_owned()]);
    let parsed = SafeTensors::deserialize(file);
    match (&parsed, &opened) {
        (Ok(parsed), Ok(checkpoint)) => {
            let repeated = checkpoint.metadata().errors.iter().any(|e| e.code == "duplicate-name");
            assert!(repeated || ours(checkpoint) == theirs(parsed));
        }
        (Ok(_), Err(error)) => panic!("only we refuse: {error}: {}", String::from_utf8_lossy(file)),
        (Err(error), Ok(checkpoint)) => {
            let told = !faults(checkpoint).is_empty()
                || checkpoint.entries().iter().any(|entry| entry.dtype.is_none());
            assert!(told, "only the crate refuses: {error}: {}", String::from_utf8_lossy(file));
        }
        (Err(_), Err(_)) => {}
    }
    parsed.is_ok()
}

/// Steele, Lea and Flood's SplitMix64: a seeded sequence without a dependency.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n as u64).unwrap()
    }
}

#[test]
fn a_file_cut_at_any_byte_is_refused() {
    let folder = tempdir().unwrap();
    let whole = small().to_bytes();
    let path = folder.path().join("x.safetensors");
    assert!(agree(&path, &whole));
    for end in 0..whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        let error = open(std::slice::from_ref(&path)).expect_err("cut");
        assert_eq!(error.code(), "truncated", "cut at {end}");
    }
    // The same among others: the rest is read and the cut told.
    let paths = small().write_shards(folder.path(), 2).unwrap();
    let shard = fs::read(&paths[1]).unwrap();
    for end in (0..shard.len()).step_by(7) {
        fs::write(&paths[1], &shard[..end]).unwrap();
        let checkpoint = open(&paths).unwrap();
        assert_eq!(faults(&checkpoint), ["Shard model-00002-of-00002.safetensors truncated"]);
    }
}

#[test]
fn ten_thousand_flipped_bits() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let whole = small().to_bytes();
    let header = 8 + usize::try_from(u64::from_le_bytes(whole[..8].try_into().unwrap())).unwrap();
    let mut random = Random(1);
    let mut accepted = 0;
    for _ in 0..10_000 {
        let mut file = whole.clone();
        for _ in 0..=random.below(3) {
            file[random.below(header)] ^= 1 << random.below(8);
        }
        accepted += u32::from(agree(&path, &file));
    }
    // Flips within a name leave the file sound: both branches are tested.
    assert!(accepted > 200, "{accepted}");
}

#[test]
fn spliced_headers() {
    // Flips rarely keep JSON whole; splicing values that matter does.
    let folder = tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let values = [
        "0",
        "1",
        "-0",
        "-1",
        "1.0",
        "1e1",
        "18446744073709551615",
        "18446744073709551616",
        "null",
        "true",
        "\"F32\"",
        "\"F4\"",
        "\"f32\"",
        "[]",
        "[0]",
        "[0,4]",
        "[4,0]",
        "[0,4,4]",
        "[2,2]",
        "[4294967296,4294967296,0]",
        "[0,4294967296,4294967296]",
        "{}",
        r#"{"a":1}"#,
    ];
    let mut random = Random(2);
    let mut pick = |usual: &str| {
        if random.below(3) > 0 {
            usual.to_owned()
        } else {
            values[random.below(values.len())].to_owned()
        }
    };
    let mut accepted = 0;
    for _ in 0..3_000 {
        let (dtype, shape, range, extra) = (pick("\"F32\""), pick("[1]"), pick("[0,4]"), pick("0"));
        let metadata = pick(r#"{"format":"pt"}"#);
        let header = format!(
            r#"{{"__metadata__":{metadata},"a":{{"dtype":{dtype},"shape":{shape},"data_offsets":{range},"extra":{extra}}},"b":["U8",[1],[4,5]]}}"#
        );
        accepted += u32::from(agree(&path, &raw_file(header, b"12345")));
    }
    assert!(accepted > 300, "{accepted}");
}

fn any_tensor() -> impl Strategy<Value = (String, DType, Vec<u64>, u64)> {
    let dtype = (0..DType::ALL.len()).prop_map(|i| DType::ALL[i]);
    (".{0,12}", dtype, prop::collection::vec(0u64..4, 0..4), any::<u64>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_written_is_read(tensors in prop::collection::vec(any_tensor(), 0..8), shards in 1usize..4) {
        let mut expected = Contents::new();
        let mut checkpoint = TestCheckpoint::new();
        for (name, dtype, shape, seed) in tensors {
            if expected.contains_key(&name) || name == "__metadata__" {
                continue;
            }
            let size = usize::try_from(shape.iter().product::<u64>()).unwrap() * dtype.bytes();
            let mut random = Random(seed);
            let bytes: Vec<u8> = (0..size).map(|_| u8::try_from(random.below(256)).unwrap()).collect();
            checkpoint = checkpoint.tensor(&name, dtype, &shape, bytes.clone());
            expected.insert(name, (dtype.name().to_owned(), shape, bytes));
        }
        let folder = tempdir().unwrap();
        let file = checkpoint.to_bytes();
        prop_assert!(agree(&put(folder.path(), "one.safetensors", &file), &file));
        if !expected.is_empty() {
            checkpoint.write_shards(folder.path(), shards).unwrap();
            let opened = open(&[folder.path().to_owned()]).unwrap();
            let codes: Vec<_> = opened.metadata().errors.iter().map(|e| e.code.as_ref()).collect();
            // Empty shards are not in the index.
            prop_assert!(codes.iter().all(|code| *code == "unlisted-shard"), "{codes:?}");
            prop_assert_eq!(ours(&opened), expected);
        }
    }
}
