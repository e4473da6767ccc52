//! Weights that are codes with factors beside them, against values that numpy has computed.

use std::path::{Path, PathBuf};

use weightscope_core::{DType, EntryId, TensorEntry, TensorSource};
use weightscope_load::{Checkpoint, open};

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
    let checkpoint = open(&[folder.clone()]).unwrap();
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
