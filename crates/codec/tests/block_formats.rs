//! Block formats against PyPI `gguf` and `ml_dtypes`, and against themselves.

use proptest::prelude::*;
use weightscope_codec::{BLOCK_FORMATS, BlockFormat, DType, decode_f32};

/// For every format a line `name blocks values bytes`, the blocks, and the `f32` that they restore to.
const REFERENCE: &[u8] = include_bytes!("../../../fixtures/references/block-formats.bin");

struct Case {
    name: String,
    values: usize,
    bytes: usize,
    blocks: &'static [u8],
    restored: Vec<f32>,
}

fn references() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut rest = REFERENCE;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
        let header = std::str::from_utf8(&rest[..end]).unwrap();
        let mut words = header.split(' ');
        let name = words.next().unwrap().to_owned();
        let [count, values, bytes] = [(); 3].map(|()| words.next().unwrap().parse().unwrap());
        let (blocks, others) = rest[end + 1..].split_at(count * bytes);
        let (restored, others) = others.split_at(count * values * 4);
        rest = others;
        let restored = restored.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        cases.push(Case { name, values, bytes, blocks, restored });
    }
    cases
}

fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

#[test]
fn formats_equal_pypi_gguf_and_ml_dtypes_bit_for_bit() {
    let cases = references();
    for case in &cases {
        let mut decoded = vec![0.0; case.restored.len()];
        if let Some(format) = BlockFormat::named(&case.name) {
            assert_eq!((format.values(), format.bytes()), (case.values, case.bytes), "{format}");
            format.decode(case.blocks, &mut decoded).unwrap();
        } else if let Ok(dtype) = case.name.parse::<DType>() {
            decode_f32(dtype, case.blocks, &mut decoded).unwrap();
        } else {
            continue;
        }
        for (i, (ours, theirs)) in decoded.iter().zip(&case.restored).enumerate() {
            let at = (i / case.values, i % case.values);
            assert!(same(*ours, *theirs), "{} at {at:?}: {ours:e}, not {theirs:e}", case.name);
        }
    }
    for format in BLOCK_FORMATS {
        let known = cases.iter().any(|case| case.name == format.name());
        // gguf 0.19 does not have these two.
        assert!(known || ["Q1_0", "Q2_0"].contains(&format.name()), "{format}");
    }
}

#[test]
fn one_bit_and_two_bits_as_in_ggml() {
    // A scale of 2, then the bits of 0b0000_0101 and ones.
    let mut block = [0xff; 18];
    block[..3].copy_from_slice(&[0x00, 0x40, 0b101]);
    let mut values = [0.0; 128];
    BlockFormat::named("Q1_0").unwrap().decode(&block, &mut values).unwrap();
    assert_eq!(values[..8], [2.0, -2.0, 2.0, -2.0, -2.0, -2.0, -2.0, -2.0]);
    assert_eq!(values[8..], [2.0; 120]);
    // A scale of -0.5, then 0 to 3, from the lowest bits on, and 1 throughout.
    let mut block = [0b01_01_01_01; 18];
    block[..3].copy_from_slice(&[0x00, 0xb8, 0b11_10_01_00]);
    let mut values = [9.0; 64];
    BlockFormat::named("Q2_0").unwrap().decode(&block, &mut values).unwrap();
    assert_eq!(values[..4], [0.5, 0.0, -0.5, -1.0]);
    assert_eq!(values[4..], [0.0; 60]);
}

#[test]
fn names_are_unique_and_found() {
    for format in BLOCK_FORMATS {
        assert_eq!(BlockFormat::named(format.name()), Some(*format));
        assert_eq!(BLOCK_FORMATS.iter().filter(|other| *other == format).count(), 1, "{format}");
    }
    assert_eq!(BlockFormat::named("Q9_9"), None);
}

#[test]
fn wrong_lengths_are_errors() {
    let format = BlockFormat::named("Q8_0").unwrap();
    let error = format.decode(&[0; 33], &mut [0.0; 32]).unwrap_err();
    let message = "33 bytes for 32 values of Q8_0, which has 32 in a block of 34";
    assert_eq!(error.to_string(), message);
    assert!(format.decode(&[0; 34], &mut [0.0; 31]).is_err());
    assert!(format.decode(&[], &mut []).is_ok());
    assert!(format.decode_part(&[0; 34], 1, &mut [0.0; 32]).is_err());
    assert!(format.decode_part(&[0; 34], usize::MAX, &mut [0.0; 32]).is_err());
    assert!(format.decode_part(&[0; 35], 0, &mut [0.0; 32]).is_err());
    assert!(format.decode_part(&[0; 34], 32, &mut []).is_ok());
}

proptest! {
    #[test]
    fn a_part_equals_the_slice_of_the_whole(
        at in 0..BLOCK_FORMATS.len(),
        bytes in prop::collection::vec(any::<u8>(), 0..800),
        ends in [any::<prop::sample::Index>(), any::<prop::sample::Index>()],
    ) {
        let format = BLOCK_FORMATS[at];
        let blocks = &bytes[..bytes.len() / format.bytes() * format.bytes()];
        let mut whole = vec![0.0; blocks.len() / format.bytes() * format.values()];
        format.decode(blocks, &mut whole).unwrap();
        let [a, b] = ends.map(|end| end.index(whole.len() + 1));
        let range = a.min(b)..a.max(b);
        let mut part = vec![0.0; range.len()];
        format.decode_part(blocks, range.start, &mut part).unwrap();
        prop_assert!(part.iter().zip(&whole[range]).all(|(a, b)| same(*a, *b)), "{format}");
        // Whatever the bytes are.
        let energy = format.rounding_energy(&bytes);
        prop_assert!(energy >= 0.0 || energy.is_nan());
        prop_assert_eq!(format.spoiled(&bytes), blocks.chunks(format.bytes()).any(|b| format.spoiled(b)));
    }
}
