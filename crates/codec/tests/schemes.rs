//! Every scheme against its definition written out in `f64`, and the GGUF types against PyPI `gguf`.

use proptest::prelude::*;
use weightscope_codec::{
    Block, Errors, Extent, GgufError, Grain, LANES, Lanes, SCHEMES, SPAN, Scheme, gguf_encode,
};

/// Blocks of 32 `f32`, then for each type the packed blocks and the restored `f32`, by PyPI `gguf`.
const GGUF: &[u8] = include_bytes!("../../../fixtures/references/gguf-blocks.bin");
const GGUF_TYPES: [(&str, usize); 5] =
    [("gguf_q8_0", 34), ("gguf_q4_0", 18), ("gguf_q4_1", 20), ("gguf_q5_0", 22), ("gguf_q5_1", 24)];

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

#[test]
fn gguf_types_equal_pypi_gguf_bit_for_bit() {
    let of_block = 128 + GGUF_TYPES.iter().map(|(_, bytes)| bytes + 128).sum::<usize>();
    let blocks = GGUF.len() / of_block;
    assert_eq!((GGUF.len() % of_block, blocks > 96), (0, true));
    let (values, mut rest) = GGUF.split_at(blocks * 128);
    let values = floats(values);
    for (name, size) in GGUF_TYPES {
        let scheme = Scheme::named(name).unwrap();
        let (packed, restored) = rest.split_at(blocks * size);
        let (restored, others) = restored.split_at(blocks * 128);
        rest = others;
        let restored = floats(restored);
        let bytes = gguf_encode(scheme, &values).unwrap();
        for (i, (ours, theirs)) in bytes.chunks(size).zip(packed.chunks(size)).enumerate() {
            let block = &values[32 * i..][..32];
            // Which of two zeros numpy's minimum is depends on the machine.
            if block.iter().any(|w| *w != 0.0) {
                assert_eq!(ours, theirs, "{name}, block {i}: {block:?}");
            }
        }
        let mut decoded = vec![0.0; values.len()];
        scheme.block_format().unwrap().decode(&bytes, &mut decoded).unwrap();
        let bits = |values: &[f32]| values.iter().map(|v| (v + 0.0).to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&decoded), bits(&restored), "{name}");
        // Zeros may differ in their sign: an offset of -0 is not added.
        assert_eq!(scheme.encode(&values, [blocks, 32]).unwrap().decode(), restored, "{name}");
        // What errors are measured from.
        for (i, (w, restored)) in
            deviations(scheme, &values, [blocks, 32]).iter().zip(&restored).enumerate()
        {
            assert_eq!(*w, values[i] - restored, "{name}, value {i}");
        }
    }
    assert!(rest.is_empty());
}

#[test]
fn gguf_errors_name_what_does_not_fit() {
    let [q4, int4] = ["gguf_q4_0", "int4_g32"].map(|name| Scheme::named(name).unwrap());
    assert_eq!(gguf_encode(int4, &[0.0; 32]), Err(GgufError::Scheme("int4_g32")));
    assert_eq!(gguf_encode(q4, &[0.0; 33]), Err(GgufError::Blocks(33)));
    assert_eq!(int4.block_format(), None);
}

/// The share of the energy that is no error but the rounding of scales to two `f32`.
const NOTHING: f64 = 1e-24;

/// Calls `visit` with first row, first column and every block of a matrix.
fn each_block(
    values: &[f32],
    [rows, width]: [usize; 2],
    mut visit: impl FnMut(usize, usize, &Block<'_>),
) {
    let tensor = values.iter().fold(0.0, |a: f32, b| a.max(b.abs()));
    for first in (0..rows).step_by(LANES) {
        let mut columns = vec![Lanes::default(); width];
        for (lane, row) in values[first * width..].chunks(width).take(LANES).enumerate() {
            columns.iter_mut().zip(row).for_each(|(column, w)| column.0[lane] = *w);
        }
        let channel = Extent::of(&columns);
        for (left, columns) in (0..).step_by(SPAN).zip(columns.chunks(SPAN)) {
            let cells = Extent::cells(columns);
            visit(first, left, &Block { columns, cells: &cells, channel: &channel, tensor });
        }
    }
}

fn deviations(scheme: &Scheme, values: &[f32], shape: [usize; 2]) -> Vec<f32> {
    let mut all = vec![f32::NAN; values.len()];
    each_block(values, shape, |first, left, block| {
        let mut into = vec![Lanes::default(); block.columns.len()];
        scheme.deviations(block, &mut into);
        for (column, lanes) in (left..).zip(&into) {
            for lane in 0..LANES.min(shape[0] - first) {
                all[(first + lane) * shape[1] + column] = lanes.0[lane];
            }
        }
    });
    all
}

fn errors(scheme: &Scheme, values: &[f32], shape: [usize; 2]) -> Errors {
    let mut errors = Errors::default();
    each_block(values, shape, |_, _, block| scheme.add_errors(block, &mut errors));
    errors
}

/// Nearest number with `mantissa` bits, halves to even, from `least` on evenly spaced, up to `largest`.
fn float(x: f64, mantissa: i32, least: i32, largest: f64) -> f64 {
    if x == 0.0 {
        return 0.0;
    }
    let exponent = x.abs().log2().floor() as i32;
    // log2 may round up to the next integer.
    let exponent = if 2f64.powi(exponent) > x.abs() { exponent - 1 } else { exponent };
    let unit = 2f64.powi(exponent.max(least) - mantissa);
    ((x / unit).round_ties_even() * unit).clamp(-largest, largest)
}

const NF4: [f64; 16] = [
    -1.0,
    -0.696_192_800_998_687_7,
    -0.525_073_051_452_636_7,
    -0.394_917_488_098_144_53,
    -0.284_441_381_692_886_35,
    -0.184_773_430_228_233_34,
    -0.091_050_036_251_544_95,
    0.0,
    0.079_580_299_556_255_34,
    0.160_930_201_411_247_25,
    0.246_112_301_945_686_34,
    0.337_915_241_718_292_24,
    0.440_709_829_330_444_34,
    0.562_617_003_917_694_1,
    0.722_956_836_223_602_3,
    1.0,
];

/// What a group of values is restored to, by the definition.
fn restored(scheme: &str, group: &[f64], tensor: f64) -> Vec<f64> {
    let largest = group.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
    let scaled = |scale: f64, nearest: &dyn Fn(f64) -> f64| {
        let one = |w: &f64| if scale == 0.0 { 0.0 } else { nearest(w / scale) * scale };
        group.iter().map(one).collect::<Vec<_>>()
    };
    let e2m1 = |x: f64| float(x, 1, 0, 6.0);
    match scheme {
        "int8_tensor" => scaled(tensor / 127.0, &f64::round_ties_even),
        "int8_channel" => scaled(largest / 127.0, &f64::round_ties_even),
        "int4_channel" | "int4_g128" | "int4_g64" | "int4_g32" => {
            scaled(largest / 7.0, &f64::round_ties_even)
        }
        "int4_g128_asym" => {
            let low = group.iter().fold(0.0, |a: f64, b| a.min(*b));
            let high = group.iter().fold(0.0, |a: f64, b| a.max(*b));
            let scale = (high - low) / 15.0;
            let zero = (-low / scale).round_ties_even();
            scaled(scale, &|x| (x.round_ties_even() + zero).clamp(0.0, 15.0) - zero)
        }
        "fp8_e4m3_tensor" => scaled(tensor / 448.0, &|x| float(x, 3, -6, 448.0)),
        "fp8_e4m3_channel" => scaled(largest / 448.0, &|x| float(x, 3, -6, 448.0)),
        "fp8_e5m2_tensor" => scaled(tensor / 57344.0, &|x| float(x, 2, -14, 57344.0)),
        "f16" => scaled(1.0, &|x| f64::from(half::f16::from_f32(x as f32))),
        "bf16" => scaled(1.0, &|x| f64::from(half::bf16::from_f32(x as f32))),
        "nf4_b64" => scaled(largest, &|x| {
            let nearer = |a: &f64, b: &f64| (a - x).abs().total_cmp(&(b - x).abs());
            NF4.into_iter().min_by(nearer).unwrap()
        }),
        "mxfp4" if largest > 0.0 => scaled(2f64.powi(largest.log2().floor() as i32 - 2), &e2m1),
        "nvfp4" => {
            let global = f64::from((448.0 * 6.0 / tensor) as f32);
            let scale = f64::from((global * largest / 6.0) as f32);
            scaled(float(scale, 3, -6, 448.0) / global, &e2m1)
        }
        _ => vec![0.0; group.len()],
    }
}

fn definition(scheme: &Scheme, values: &[f32], [_, width]: [usize; 2]) -> Vec<f64> {
    let wide: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
    let tensor = wide.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
    let size = match scheme.grain {
        Grain::Value | Grain::Tensor | Grain::Channel => width,
        Grain::Group(size) => size as usize,
    };
    let rows = wide.chunks(width);
    rows.flat_map(|row| row.chunks(size)).flat_map(|g| restored(scheme.name, g, tensor)).collect()
}

fn matrix() -> impl Strategy<Value = ([usize; 2], Vec<f32>)> {
    (1usize..40, 1usize..300, any::<u64>(), 0.5f32..4.0, -6i32..3).prop_map(
        |(rows, width, seed, power, scale)| {
            let mut state = seed | 1;
            let mut uniform = || {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as f32 / 8_388_608.0 - 1.0
            };
            let value = |_| {
                let x = uniform();
                x.abs().powf(power) * x.signum() * 10f32.powi(scale)
            };
            ([rows, width], (0..rows * width).map(value).collect())
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn errors_are_those_of_the_definition((shape, values) in matrix()) {
        for scheme in SCHEMES.iter().filter(|s| !s.name.starts_with("gguf_")) {
            let wanted = definition(scheme, &values, shape);
            let measured = errors(scheme, &values, shape);
            let (mut energy, mut cross, mut largest, mut whole) = (0.0, 0.0, 0.0f64, 0.0);
            for (w, restored) in values.iter().zip(&wanted) {
                let (w, e) = (f64::from(*w), f64::from(*w) - restored);
                energy += e * e;
                cross += w * e;
                whole += w * w;
                largest = largest.max(e.abs());
            }
            prop_assert!((measured.energy() - energy).abs() <= 1e-6 * energy + NOTHING * whole, "{}: {} is not {energy}", scheme.name, measured.energy());
            prop_assert!((measured.largest() - largest).abs() <= 1e-6 * largest + (NOTHING * whole).sqrt(), "{}: {} is not {largest}", scheme.name, measured.largest());
            // Half way between two codes the sign of the error is free; the angle hardly depends on it.
            let cosine = |cross: f64, energy: f64| (whole - cross) / (whole * (whole - 2.0 * cross + energy)).sqrt();
            let (ours, wanted) = (cosine(measured.cross(), measured.energy()), cosine(cross, energy));
            prop_assert!(wanted.is_nan() || (ours - wanted).abs() <= 1e-5, "{}: {ours} is not {wanted}", scheme.name);
        }
    }

    #[test]
    fn codes_restore_what_is_measured((shape, values) in matrix()) {
        for scheme in SCHEMES {
            let encoded = scheme.encode(&values, shape).unwrap();
            prop_assert!(encoded.codes().iter().all(|code| u32::from(*code) < 1 << scheme.code_bits.max(8)));
            let deviations = deviations(scheme, &values, shape);
            for ((w, restored), deviation) in values.iter().zip(encoded.decode()).zip(deviations) {
                let close = 2e-7 * (w.abs() + restored.abs());
                prop_assert!((w - restored - deviation).abs() <= close, "{}: {w} became {restored}, not {deviation} less", scheme.name);
            }
        }
    }
}

#[test]
fn bits_per_weight() {
    let bits = |name: &str, shape| Scheme::named(name).unwrap().bits_per_weight(shape);
    let shape = [4096, 4096];
    for (name, wanted) in [
        ("int4_g128", 4.125),
        ("int4_g32", 4.5),
        ("int4_g128_asym", 4.156_25),
        ("nf4_b64", 4.5),
        ("mxfp4", 4.25),
        ("gguf_q8_0", 8.5),
        ("gguf_q4_0", 4.5),
        ("gguf_q4_1", 5.0),
        ("gguf_q5_0", 5.5),
        ("gguf_q5_1", 6.0),
        ("bf16", 16.0),
    ] {
        assert_eq!(bits(name, shape), wanted, "{name}");
    }
    assert!((bits("nvfp4", shape) - 4.5).abs() < 1e-5);
    // A short last group has a scale of its own.
    assert_eq!(bits("int4_g128", [10, 130]), 4.0 + 2.0 * 16.0 / 130.0);
    assert_eq!(bits("int8_channel", [7, 0]), 0.0);
}

#[test]
fn zeros_stay_zeros_and_vanishing_values_do_not_overflow() {
    for scheme in SCHEMES {
        for scale in [0.0, 1e-42, 1e-30, 1e30] {
            let values: Vec<f32> = (0..48).map(|i| (i % 7) as f32 * scale).collect();
            let restored = scheme.encode(&values, [2, 24]).unwrap().decode();
            let in_range =
                scale < 1e4 || !(scheme.name.starts_with("gguf") || scheme.name == "f16");
            assert!(
                !in_range || restored.iter().all(|v| v.is_finite()),
                "{} {scale:e}: {restored:?}",
                scheme.name
            );
        }
    }
}
