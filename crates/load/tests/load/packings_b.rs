//! Weights that are codes with factors beside them, against values that numpy has computed.

use std::path::{Path, PathBuf};

use weightscope_core::{DType, EntryId, TensorEntry, TensorSource};
use weightscope_load::{Checkpoint, open};
use weightscope_testkit::checkpoint::TestCheckpoint;

use crate::common::put;

/// Checkpoints and what is to come out of them, by fixtures/references/packings_scaled.py.
fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/references/packings/scaled")
        .join(name)
}

/// One line of expected.txt.
struct Expected {
    name: String,
    scheme: String,
    shape: Vec<u64>,
    block: Option<[u64; 2]>,
    parts: Vec<String>,
    rms: f64,
    odd: usize,
    values: Vec<f32>,
}

fn expected(folder: &Path) -> Vec<Expected> {
    let text = std::fs::read_to_string(folder.join("expected.txt")).unwrap();
    let bytes = std::fs::read(folder.join("expected.bin")).unwrap();
    let mut values = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
    let numbers = |text: &str| text.split(',').map(|n| n.parse().unwrap()).collect::<Vec<u64>>();
    let mut cases = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split(" | ").collect();
        let [name, scheme, shape, block, parts, rms, odd] = fields[..] else { panic!("{line}") };
        let shape = numbers(shape);
        let count = shape.iter().product::<u64>() as usize;
        cases.push(Expected {
            name: name.to_owned(),
            scheme: scheme.to_owned(),
            block: (block != "-").then(|| numbers(block).try_into().unwrap()),
            parts: parts.split(',').map(str::to_owned).collect(),
            rms: rms.parse().unwrap(),
            odd: odd.parse().unwrap(),
            values: values.by_ref().take(count).collect(),
            shape,
        });
    }
    assert_eq!(values.count(), 0, "values without a line");
    cases
}

fn values(checkpoint: &Checkpoint, at: usize, range: std::ops::Range<u64>) -> Vec<f32> {
    let mut bytes = vec![0; (range.end - range.start) as usize * 4];
    let id = EntryId(u32::try_from(at).unwrap());
    checkpoint.read_at(id, range.start * 4..range.end * 4, &mut bytes).unwrap();
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn rounding(checkpoint: &Checkpoint, at: usize, range: std::ops::Range<u64>) -> Vec<f32> {
    let mut errors = vec![0.0; (range.end - range.start) as usize];
    let id = EntryId(u32::try_from(at).unwrap());
    checkpoint.rounding_at(id, range, &mut errors).unwrap();
    errors
}

fn same(a: &[f32], b: &[f32]) -> Option<usize> {
    assert_eq!(a.len(), b.len());
    std::iter::zip(a, b)
        .position(|(a, b)| !(a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()))
}

/// Opens a folder and compares entries, values and rounding; and pieces of them with the whole.
#[track_caller]
fn check(name: &str) {
    let folder = folder(name);
    let checkpoint = open(std::slice::from_ref(&folder)).unwrap();
    let cases = expected(&folder);
    assert_eq!(checkpoint.metadata().errors, []);
    let names: Vec<&str> = checkpoint.entries().iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, cases.iter().map(|case| case.name.as_str()).collect::<Vec<_>>());
    let mut random = 1u64;
    for (at, (entry, case)) in std::iter::zip(checkpoint.entries(), &cases).enumerate() {
        let TensorEntry { dtype, shape, elements, stored, .. } = entry;
        let form = stored.as_deref().unwrap_or_else(|| panic!("{}: not packed", case.name));
        assert_eq!(form.unreadable, None, "{}", case.name);
        assert_eq!(
            (*dtype, shape, *elements as usize),
            (Some(DType::F32), &case.shape, case.values.len())
        );
        assert_eq!((&form.scheme, form.factor_block), (&case.scheme, case.block), "{}", case.name);
        assert_eq!(form.parts, case.parts);
        let found = values(&checkpoint, at, 0..*elements);
        if let Some(at) = same(&found, &case.values) {
            panic!("{}: value {at} is {:e} instead of {:e}", case.name, found[at], case.values[at]);
        }
        let errors = rounding(&checkpoint, at, 0..*elements);
        let finite: Vec<f64> = errors
            .iter()
            .filter(|error| error.is_finite())
            .map(|error| f64::from(*error))
            .collect();
        let rms = (finite.iter().map(|e| e * e).sum::<f64>() / finite.len() as f64).sqrt();
        assert!(
            (rms / case.rms - 1.0).abs() < 1e-6,
            "{}: {rms} instead of {}",
            case.name,
            case.rms
        );
        assert_eq!(errors.len() - finite.len(), case.odd, "{}", case.name);
        for _ in 0..200 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let (a, b) = ((random >> 33) % elements, (random >> 13) % elements);
            let range = a.min(b)..a.max(b) + 1;
            let of = |whole: &[f32]| whole[range.start as usize..range.end as usize].to_vec();
            let piece = values(&checkpoint, at, range.clone());
            assert_eq!(same(&piece, &of(&found)), None, "{} {range:?}", case.name);
            let piece = rounding(&checkpoint, at, range.clone());
            assert_eq!(same(&piece, &of(&errors)), None, "rounding of {} {range:?}", case.name);
        }
    }
}

#[test]
fn floats_of_8_bits_in_blocks() {
    check("fp8-blocks");
    check("fp8-128");
}

#[test]
fn floats_of_8_bits_by_channel_and_tensor() {
    check("fp8-channel");
    check("fp8-tensor");
    check("fp8-fbgemm");
    check("fp8-modelopt");
    check("mxfp8");
}

#[test]
fn integers_in_words() {
    for bits in 1..=8 {
        check(&format!("ct-int{bits}"));
    }
    for bits in [3, 5, 6, 7] {
        check(&format!("ct-int{bits}-whole"));
    }
}

#[test]
fn integers_in_bytes() {
    check("ct-bytes");
}

#[test]
fn floats_of_4_bits() {
    check("nvfp4-modelopt");
    check("nvfp4-ct");
    check("mxfp4");
}

#[test]
fn experts_of_gpt_oss() {
    check("gpt-oss");
}

#[test]
fn mlx() {
    for name in ["mlx", "mlx-3", "mlx-5", "mlx-6", "mlx-mxfp4", "mlx-mxfp8", "mlx-nvfp4"] {
        check(name);
    }
}

/// A checkpoint of zero bytes in tensors of these types and shapes, with a configuration.
fn zeros(tensors: &[(&str, &str, &[u64])], config: &str) -> Checkpoint {
    let folder = tempfile::tempdir().unwrap();
    let mut file = TestCheckpoint::new();
    for (name, dtype, shape) in tensors {
        let bits = match *dtype {
            "F4" => 4,
            known => u64::from(known.parse::<DType>().unwrap().bits()),
        };
        let bytes = (shape.iter().product::<u64>() * bits).div_ceil(8);
        file = file.tensor_of(name, dtype, shape, vec![0; bytes as usize]);
    }
    put(folder.path(), "config.json", config);
    open(&[put(folder.path(), "model.safetensors", file.to_bytes())]).unwrap()
}

#[test]
fn what_does_not_fit_is_not_decoded() {
    let check = |tensors: &[(&str, &str, &[u64])]| {
        let checkpoint = zeros(tensors, "{}");
        let names: Vec<&str> = checkpoint.entries().iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, tensors.iter().map(|(name, ..)| *name).collect::<Vec<_>>());
        // Floats keep their type, and integers under the name of a weight are codes.
        let lead = &checkpoint.entries()[0];
        let is_float = lead.dtype.is_some_and(DType::is_float);
        let form = lead.stored.as_deref();
        assert!(is_float || form.is_some_and(|form| form.unreadable.is_some()), "{lead:?}");
    };
    // 8-bit floats: factors for other shapes, of another type, none.
    check(&[("a.weight", "F8_E4M3", &[64, 64]), ("a.weight_scale", "F32", &[63])]);
    check(&[("a.weight", "F8_E4M3", &[64, 64]), ("a.weight_scale", "F32", &[128, 1])]);
    check(&[("a.weight", "F8_E4M3", &[64, 64]), ("a.weight_scale", "F32", &[5, 3])]);
    check(&[("a.weight", "F8_E4M3", &[64, 64]), ("a.weight_scale", "F32", &[0])]);
    check(&[("a.weight", "F8_E4M3", &[64, 64]), ("a.weight_scale", "I32", &[1])]);
    check(&[("a.weight", "F8_E4M3", &[0, 64]), ("a.weight_scale", "F32", &[1])]);
    check(&[("a.weight", "F8_E4M3", &[64, 64]), ("logit_scale", "F32", &[])]);
    check(&[("weight", "F8_E4M3", &[]), ("weight_scale", "F32", &[])]);
    // Words of codes: without a factor, with one for other rows, with a shape that is none, for other words.
    let shape = ("a.weight_shape", "I64", &[2u64][..]);
    check(&[("a.weight_packed", "I32", &[8, 8]), shape]);
    check(&[("a.weight_packed", "I32", &[8, 8]), ("a.weight_scale", "F32", &[8, 2])]);
    check(&[("a.weight_packed", "I32", &[8, 8]), ("a.weight_scale", "F32", &[9, 2]), shape]);
    check(&[("a.weight_packed", "I32", &[8, 8]), ("a.weight_scale", "I32", &[8, 2]), shape]);
    check(&[("a.weight_packed", "I32", &[8]), ("a.weight_scale", "F32", &[8, 2]), shape]);
    check(&[("a.weight", "I8", &[8, 8]), ("a.weight_scale", "F32", &[7, 1])]);
    // E2M1: factors for other blocks, none, of another type.
    check(&[("a.weight", "U8", &[8, 32]), ("a.scale", "F8_E8M0", &[8, 4])]);
    check(&[("a.weight", "I8", &[8, 32]), ("a.scale", "F8_E8M0", &[4, 2])]);
    check(&[("a.weight", "U8", &[8, 32]), ("a.weight_scale", "F8_E5M2", &[8, 4])]);
    check(&[("a.weight", "F4", &[8, 31]), ("a.scale", "F8_E8M0", &[8, 1])]);
    // MLX: other rows, no whole groups, scales of another type, nothing that says the width.
    check(&[
        ("a.weight", "U32", &[8, 8]),
        ("a.scales", "F16", &[7, 1]),
        ("a.biases", "F16", &[7, 1]),
    ]);
    check(&[
        ("a.weight", "U32", &[8, 8]),
        ("a.scales", "F16", &[8, 3]),
        ("a.biases", "F16", &[8, 3]),
    ]);
    check(&[
        ("a.weight", "U32", &[8, 8]),
        ("a.scales", "F16", &[8, 0]),
        ("a.biases", "F16", &[8, 0]),
    ]);
    check(&[("a.weight", "U32", &[8, 8]), ("a.scales", "F16", &[8, 1])]);
    check(&[("a.weight", "U32", &[8, 8]), ("a.scales", "I8", &[8, 2])]);
}

#[test]
fn experts_that_do_not_fit_stay_as_they_are() {
    let names = |blocks: &[u64], scales: &[u64], dtype: &str| {
        let tensors = [("e.up_blocks", "U8", blocks), ("e.up_scales", dtype, scales)];
        zeros(&tensors, "{}").entries().iter().map(|e| e.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&[2, 4, 3, 16], &[2, 4, 3], "U8"), ["e.up"]);
    for (blocks, scales, dtype) in [
        (&[2, 4, 3, 15][..], &[2, 4, 3][..], "U8"),
        (&[2, 4, 3, 16], &[2, 4, 2], "U8"),
        (&[2, 4, 3, 16], &[2, 4, 3], "F16"),
        (&[16], &[], "U8"),
        (&[0, 4, 3, 16], &[0, 4, 3], "U8"),
    ] {
        assert_eq!(names(blocks, scales, dtype).len(), 2, "{blocks:?} {scales:?} {dtype}");
    }
}

/// What the first entry of a checkpoint is and why it cannot be read.
fn unreadable(tensors: &[(&str, &str, &[u64])], config: &str) -> (String, String) {
    let checkpoint = zeros(tensors, config);
    assert_eq!(checkpoint.entries().len(), 1);
    let entry = &checkpoint.entries()[0];
    assert_eq!((entry.dtype, entry.name.as_str()), (None, "a.weight"));
    let form = entry.stored.as_deref().unwrap();
    (form.scheme.clone(), form.unreadable.clone().unwrap())
}

#[test]
fn what_is_missing_is_told() {
    let nvfp4 = [("a.weight", "U8", &[8, 32][..]), ("a.weight_scale", "F8_E4M3", &[8, 4])];
    let (scheme, reason) = unreadable(&nvfp4, "{}");
    assert_eq!((scheme.as_str(), reason.contains("missing")), ("nvfp4", true));
    let second = ("a.weight_scale_2", "F32", &[3][..]);
    let (_, reason) = unreadable(&[nvfp4[0], nvfp4[1], second], "{}");
    assert_eq!(reason, "its second factor has the type F32 and the shape [3]");
    let mlx = [
        ("a.weight", "U32", &[8, 8][..]),
        ("a.scales", "F16", &[8, 1]),
        ("a.biases", "F16", &[8, 1]),
    ];
    let (_, reason) = unreadable(&mlx, "{}");
    assert_eq!(reason, "config.json does not say how many bits its codes have");
    // A configuration that the shapes contradict says nothing.
    let wrong =
        r#"{"quantization": {"bits": 3, "group_size": 64, "a": {"bits": 99, "group_size": 0}}}"#;
    assert_eq!(unreadable(&mlx, wrong).1, reason);
    let right =
        r#"{"quantization": {"bits": 3, "group_size": 64, "a": {"bits": 2, "group_size": 128}}}"#;
    let checkpoint = zeros(&mlx, right);
    assert_eq!(checkpoint.entries()[0].shape, [8, 128]);
}

#[test]
fn a_group_index_is_checked() {
    let from = folder("ct-int4");
    let file = std::fs::read(from.join("model.safetensors")).unwrap();
    let (size, _) = file.split_first_chunk::<8>().unwrap();
    let data = 8 + u64::from_le_bytes(*size) as usize;
    let header: serde_json::Value = serde_json::from_slice(&file[8..data]).unwrap();
    let at = data + header["f.weight_g_idx"]["data_offsets"][0].as_u64().unwrap() as usize;
    for group in [4i32, -1, i32::MIN, i32::MAX] {
        let mut file = file.clone();
        file[at + 8..at + 12].copy_from_slice(&group.to_le_bytes());
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = open(&[put(folder.path(), "model.safetensors", &file)]).unwrap();
        let entry = checkpoint.entries().iter().find(|e| e.name == "f.weight").unwrap();
        let reason = entry.stored.as_deref().unwrap().unreadable.as_deref();
        assert_eq!(reason, Some("its group index names groups that do not exist"), "{group}");
    }
}
