//! Block formats against PyPI `gguf` and `ml_dtypes`, and against themselves.

use proptest::prelude::*;
use weightscope_codec::{BLOCK_FORMATS, BlockFormat, DType, decode_f32};

/// For every format a line `name blocks values bytes`, the blocks, and the `f32` that they restore to.
const REFERENCE: &[u8] = include_bytes!("../../../fixtures/references/block-formats.bin");

/// Of formats with codebooks of several values, the mean square distance to the nearest entry and its standard error.
const NOISE: &str = include_str!("../../../fixtures/references/block-noise.txt");

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
        } else {
            decode_f32(case.name.parse::<DType>().unwrap(), case.blocks, &mut decoded).unwrap();
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

/// A block of zeros with binary16 ones at `ones`.
fn block_of(format: &BlockFormat, ones: &[usize]) -> Vec<u8> {
    let mut block = vec![0; format.bytes()];
    for at in ones {
        block[at + 1] = 0x3c;
    }
    block
}

#[test]
fn energies_are_those_of_the_steps() {
    let energy = |name: &str, block: &[u8]| {
        let format = BlockFormat::named(name).unwrap();
        format.rounding_energy(block) / format.values() as f64
    };
    let of = |name: &str, ones: &[usize]| {
        energy(name, &block_of(BlockFormat::named(name).unwrap(), ones))
    };
    let close = |a: f64, b: f64| assert!((a / b - 1.0).abs() < 1e-12, "{a}, not {b}");
    close(of("Q4_0", &[0]), 1.0 / 12.0);
    // A minimum adds nothing.
    close(of("Q5_1", &[0, 2]), 1.0 / 12.0);
    close(of("Q1_0", &[0]), 1.0 / 3.0);
    close(of("Q3_K", &[108]), 32.0 * 32.0 / 12.0);
    close(of("IQ4_XS", &[0]), 32.0 * 32.0 * of("IQ4_NL", &[0]));
    let mut q6 = block_of(BlockFormat::named("Q6_K").unwrap(), &[208]);
    // One of sixteen parts has a scale, and its sign does not matter.
    q6[195] = (-5i8).cast_unsigned();
    close(energy("Q6_K", &q6), 25.0 / 12.0 / 16.0);
    // A third of the range of E2M1 has points at a distance of 1/2, a third at 1, a third at 2.
    let e2m1 = (0.25 + 1.0 + 4.0) / 3.0 / 12.0;
    // A scale of 2^(128 - 127), and E4M3 scales of 2.
    close(energy("MXFP4", &[[128].as_slice(), &[0; 16]].concat()), 4.0 * e2m1);
    close(energy("NVFP4", &[[0x40; 4].as_slice(), &[0; 32]].concat()), 4.0 * e2m1);
    // E2M1 spacings of 1/2, 1 and 2 at the values 1, 3 and 6.
    for (code, spacing) in [(2, 0.5), (5, 1.0), (7, 2.0)] {
        close(energy("F4", &[code << 4 | code]), spacing * spacing / 12.0);
    }
}

#[test]
fn codebooks_cost_what_was_simulated() {
    for line in NOISE.lines() {
        let mut words = line.split(' ');
        let name = words.next().unwrap();
        let [mean, error] = [(); 2].map(|()| words.next().unwrap().parse::<f64>().unwrap());
        let format = BlockFormat::named(name).unwrap();
        // The scale of ones under a scale of one.
        let (at, step) = match name {
            "IQ1_M" => (54, 0.125),
            "IQ3_XXS" => (0, 0.25),
            "IQ3_S" => (0, 1.0),
            _ => (0, 0.125),
        };
        let mut block = block_of(format, &[at]);
        if name == "IQ1_M" {
            // Nibbles 0x3c00: the integers are zero all the same.
            block[53..].copy_from_slice(&[0xc0, 0, 0x30]);
        }
        let noise = format.rounding_energy(&block) / 256.0 / (step * step);
        assert!((noise - mean).abs() < 2.0 * error, "{name}: {noise} is not {mean}");
    }
}

#[test]
fn what_scales_spoil() {
    let spoiled = |name: &str, at: usize, bytes: &[u8]| {
        let format = BlockFormat::named(name).unwrap();
        let mut block = vec![0; format.bytes()];
        assert!(!format.spoiled(&block), "{name}");
        block[at..at + bytes.len()].copy_from_slice(bytes);
        format.spoiled(&block)
    };
    let infinity = [0x00, 0x7c];
    assert!(spoiled("Q8_0", 0, &infinity));
    assert!(spoiled("Q4_K", 0, &infinity));
    // As a minimum, and the NaN that infinity times an integer of zero is.
    assert!(spoiled("Q4_K", 2, &infinity));
    assert!(spoiled("Q6_K", 208, &[0x00, 0x7e]));
    assert!(!spoiled("Q6_K", 208, &[0xff, 0x7b]));
    assert!(spoiled("IQ1_M", 53, &[0xc0, 0, 0x70]));
    assert!(spoiled("MXFP4", 0, &[255]) && !spoiled("MXFP4", 0, &[254]));
    assert!(spoiled("NVFP4", 3, &[0x7f]) && spoiled("NVFP4", 3, &[0xff]));
    assert!(!spoiled("F6_E3M2", 0, &[255; 3]));
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
