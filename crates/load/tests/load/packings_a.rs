//! Weights stored as GPTQ, AWQ, bitsandbytes and BitNet do, against values that numpy computed
//! (fixtures/references/packings_gptq_awq_bnb.py).

use std::path::{Path, PathBuf};

use weightscope_core::{DType, EntryId, Orientation, TensorEntry, TensorSource};
use weightscope_load::{Checkpoint, open};

fn reference(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/references/packings").join(folder)
}

fn find<'a>(checkpoint: &'a Checkpoint, name: &str) -> (EntryId, &'a TensorEntry) {
    let at = checkpoint.entries().iter().position(|entry| entry.name == name);
    let at = at.unwrap_or_else(|| panic!("no entry {name}"));
    (EntryId(u32::try_from(at).unwrap()), &checkpoint.entries()[at])
}

/// Elements `first..first + count` of an entry.
fn values(checkpoint: &Checkpoint, entry: EntryId, first: u64, count: u64) -> Vec<f32> {
    let mut bytes = vec![0; usize::try_from(count * 4).unwrap()];
    checkpoint.read_at(entry, first * 4..(first + count) * 4, &mut bytes).unwrap();
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// The bits of a value; one pattern for every NaN.
fn bits(value: f32) -> u32 {
    if value.is_nan() { f32::NAN.to_bits() } else { value.to_bits() }
}

/// A few ranges of elements, whole rows and pieces among them.
fn ranges(elements: u64, columns: u64) -> Vec<(u64, u64)> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut below = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (state >> 33) % bound
    };
    let mut ranges = vec![(0, 1), (elements - 1, 1), (0, columns), (elements - columns, columns)];
    for _ in 0..40 {
        let first = below(elements);
        ranges.push((first, 1 + below(elements - first)));
        let first = below(elements);
        ranges.push((first, 1 + below((elements - first).min(columns))));
    }
    ranges
}

/// What is expected of a weight.
struct Weight {
    name: String,
    shape: Vec<u64>,
    scheme: &'static str,
    factor_block: Option<[u64; 2]>,
    parts: Vec<String>,
}

/// Opens a folder and compares every weight with what was expected.
fn check(folder: &str, expected: &[Weight]) -> Checkpoint {
    let checkpoint = open(&[reference(folder)]).unwrap();
    let values_of = open(&[reference(folder).join("expected.safetensors")]).unwrap();
    assert!(checkpoint.metadata().errors.is_empty(), "{:?}", checkpoint.metadata().errors);
    for Weight { name, shape, scheme, factor_block, parts } in expected {
        let (id, entry) = find(&checkpoint, name);
        let stored = entry.stored.as_ref().unwrap_or_else(|| panic!("{name} is plain"));
        assert_eq!(entry.shape, *shape, "{name}");
        assert_eq!(entry.dtype, Some(DType::F32), "{name}");
        assert_eq!(stored.scheme, *scheme, "{name}");
        assert_eq!(stored.factor_block, *factor_block, "{name}");
        assert_eq!(stored.parts, *parts, "{name}");
        assert_eq!(entry.elements, shape.iter().product::<u64>(), "{name}");

        let whole = values(&checkpoint, id, 0, entry.elements);
        let (other, _) = find(&values_of, name);
        let wanted = values(&values_of, other, 0, entry.elements);
        for (at, (value, wanted)) in whole.iter().zip(&wanted).enumerate() {
            assert_eq!(bits(*value), bits(*wanted), "{folder} {name}[{at}]: {value} {wanted}");
        }
        let columns = *shape.last().unwrap();
        for (first, count) in ranges(entry.elements, columns) {
            let part = values(&checkpoint, id, first, count);
            let same = &whole[usize::try_from(first).unwrap()..][..part.len()];
            assert!(
                part.iter().map(|x| bits(*x)).eq(same.iter().map(|x| bits(*x))),
                "{name} {first}+{count}"
            );
        }

        let (other, _) = find(&values_of, &format!("{name}#rounding"));
        let wanted = values(&values_of, other, 0, entry.elements);
        let mut rounding = vec![-1.0; wanted.len()];
        checkpoint.rounding_at(id, 0..entry.elements, &mut rounding).unwrap();
        for (at, (error, wanted)) in rounding.iter().zip(&wanted).enumerate() {
            // A factor of f32 here, of f64 in the reference: both round.
            let agree = error == wanted
                || (error - wanted).abs() <= wanted.abs() * 1e-6 + 1e-44
                || !wanted.is_finite() && !error.is_finite();
            assert!(agree, "{folder} {name} rounding[{at}]: {error} {wanted}");
        }
        let columns = usize::try_from(columns).unwrap();
        let mut piece = vec![0.0; columns];
        checkpoint.rounding_at(id, 1..1 + columns as u64, &mut piece).unwrap();
        assert!(
            piece.iter().map(|x| bits(*x)).eq(rounding[1..=columns].iter().map(|x| bits(*x))),
            "{name}"
        );
    }
    let packed = checkpoint.entries().iter().filter(|entry| entry.stored.is_some()).count();
    assert_eq!(packed, expected.len(), "{folder}");
    checkpoint
}

fn weight(
    name: &str,
    shape: &[u64],
    scheme: &'static str,
    factor_block: Option<[u64; 2]>,
    parts: &[&str],
) -> Weight {
    let parts = parts.iter().map(|part| part.replace("{}", name)).collect();
    Weight { name: name.to_owned(), shape: shape.to_vec(), scheme, factor_block, parts }
}

const GPTQ: &[&str] = &["{}.qweight", "{}.qzeros", "{}.scales", "{}.g_idx"];
const AWQ: &[&str] = &["{}.qweight", "{}.qzeros", "{}.scales"];

/// A weight of a module whose factors are for groups of inputs.
fn grouped(
    module: &str,
    shape: [u64; 2],
    scheme: &'static str,
    group: Option<u64>,
    parts: &[&str],
) -> Weight {
    let found = weight(module, &shape, scheme, group.map(|group| [group, 1]), parts);
    Weight { name: format!("{module}.weight"), ..found }
}

fn gptq(module: &str, shape: [u64; 2], scheme: &'static str, group: Option<u64>) -> Weight {
    grouped(module, shape, scheme, group, GPTQ)
}

#[test]
fn gptq_of_every_width() {
    let checkpoint = check(
        "gptq",
        &[
            gptq("int4", [64, 24], "gptq int4 g32", Some(32)),
            gptq("int4_symmetric", [64, 24], "gptq int4 g32", Some(32)),
            gptq("int4_symmetric_v2", [64, 24], "gptq int4 g32", Some(32)),
            gptq("int4_act_order", [96, 16], "gptq int4 g16 act-order", None),
            grouped("int4_no_g_idx", [40, 8], "gptq int4 g8", Some(8), AWQ),
            gptq("int4_short_group", [80, 16], "gptq int4 g32", Some(32)),
            gptq("int4_per_channel", [72, 16], "gptq int4 per channel", Some(72)),
            gptq("int2", [64, 16], "gptq int2 g16", Some(16)),
            gptq("int3", [64, 32], "gptq int3 g32", Some(32)),
            gptq("int3_act_order", [96, 64], "gptq int3 g32 act-order", None),
            gptq("int3_per_channel", [64, 32], "gptq int3 per channel", Some(64)),
            gptq("int8", [64, 12], "gptq int8 g32", Some(32)),
            gptq("int8_symmetric", [64, 12], "gptq int8 g32", Some(32)),
            gptq("int4_bf16_scales", [32, 16], "gptq int4 g16", Some(16)),
            gptq("int4_f32_scales", [32, 16], "gptq int4 g16", Some(16)),
        ],
    );
    // Nothing of the parts is left, and inputs come first.
    assert_eq!(checkpoint.entries().len(), 15);
    assert!(checkpoint.entries().iter().all(|e| e.orientation == Some(Orientation::InOut)));
    assert_eq!(find(&checkpoint, "int4.weight").1.bytes, 64 * 24 / 2 + 24 + 2 * 2 * 24 + 4 * 64);
}

#[test]
fn gptq_zero_points_as_they_are() {
    check(
        "gptq_v2",
        &[
            gptq("int4", [64, 24], "gptq int4 g32", Some(32)),
            gptq("int3", [32, 32], "gptq int3 per channel", Some(32)),
            gptq("int4_symmetric", [64, 24], "gptq int4 g32", Some(32)),
            gptq("int4_symmetric_v1", [64, 24], "gptq int4 g32", Some(32)),
        ],
    );
    check("auto_round", &[grouped("int4", [64, 24], "gptq int4 g32", Some(32), AWQ)]);
}

#[test]
fn gptq_in_planes() {
    check(
        "gptq_p",
        &[
            gptq("int2", [96, 32], "gptq int2 g32", Some(32)),
            gptq("int3", [96, 32], "gptq int3 g32", Some(32)),
            gptq("int4", [96, 32], "gptq int4 g32", Some(32)),
            gptq("int5", [96, 32], "gptq int5 g32", Some(32)),
            gptq("int6", [96, 32], "gptq int6 g32", Some(32)),
            gptq("int7", [96, 32], "gptq int7 g32", Some(32)),
            gptq("int8", [96, 32], "gptq int8 g32", Some(32)),
            gptq("int7_act_order", [96, 32], "gptq int7 g32 act-order", None),
        ],
    );
}

#[test]
fn awq_gemm() {
    let checkpoint = check(
        "awq",
        &[
            grouped("g16", [64, 24], "awq int4 g16", Some(16), AWQ),
            grouped("odd", [44, 40], "awq int4 g11", Some(11), AWQ),
            grouped("per_channel", [40, 16], "awq int4 per channel", Some(40), AWQ),
            grouped("square", [32, 32], "awq int4 g16", Some(16), AWQ),
        ],
    );
    assert_eq!(checkpoint.entries().len(), 4);
    assert!(checkpoint.entries().iter().all(|e| e.orientation == Some(Orientation::InOut)));
}

const NF4: &[&str] = &["{}", "{}.absmax", "{}.quant_map", "{}.quant_state.bitsandbytes__nf4"];
const NESTED: &[&str] = &[
    "{}",
    "{}.absmax",
    "{}.quant_map",
    "{}.nested_absmax",
    "{}.nested_quant_map",
    "{}.quant_state.bitsandbytes__nf4",
];
const FP4: &[&str] = &["{}", "{}.absmax", "{}.quant_map", "{}.quant_state.bitsandbytes__fp4"];
const FP4_NESTED: &[&str] = &[
    "{}",
    "{}.absmax",
    "{}.quant_map",
    "{}.nested_absmax",
    "{}.nested_quant_map",
    "{}.quant_state.bitsandbytes__fp4",
];

#[test]
fn bitsandbytes_of_4_bits() {
    let nested = "bnb nf4 b64 nested";
    let checkpoint = check(
        "bnb4",
        &[
            weight("nf4.weight", &[12, 64], "bnb nf4 b64", Some([1, 64]), NF4),
            weight("nf4_across_rows.weight", &[9, 40], "bnb nf4 b64", None, NF4),
            weight("nf4_rows_in_block.weight", &[16, 16], "bnb nf4 b64", Some([4, 16]), NF4),
            weight("nf4_odd.weight", &[5, 27], "bnb nf4 b64", None, NF4),
            weight("nf4_nested.weight", &[16, 128], nested, Some([1, 64]), NESTED),
            weight("nf4_nested_odd.weight", &[7, 61], nested, None, NESTED),
            weight("nf4_as_bf16.weight", &[8, 64], "bnb nf4 b64", Some([1, 64]), NF4),
            weight("fp4.weight", &[8, 64], "bnb fp4 b64", Some([1, 64]), FP4),
            weight(
                "fp4_as_f32.weight",
                &[8, 128],
                "bnb fp4 b128 nested",
                Some([1, 128]),
                FP4_NESTED,
            ),
            weight("experts.gate_up_proj", &[3, 8, 64], "bnb nf4 b64", Some([1, 64]), NF4),
        ],
    );
    // The bias alone is left.
    assert_eq!(checkpoint.entries().len(), 11);
    assert_eq!(find(&checkpoint, "nf4.weight").1.orientation, Some(Orientation::OutIn));
    assert_eq!(find(&checkpoint, "experts.gate_up_proj").1.orientation, None);
}

#[test]
fn bitsandbytes_of_8_bits() {
    let parts = &["{}.weight", "{}.SCB", "{}.weight_format"];
    let int8 = |module, shape: [u64; 2]| {
        let found = weight(module, &shape, "bnb int8 per channel", Some([1, shape[1]]), parts);
        Weight { name: format!("{module}.weight"), ..found }
    };
    let checkpoint = check("bnb8", &[int8("a", [16, 24]), int8("b", [7, 13])]);
    assert_eq!(checkpoint.entries().len(), 2);
}

#[test]
fn bitnet_divides_or_multiplies() {
    let ternary = |module, shape: [u64; 2]| {
        let parts = &["{}.weight", "{}.weight_scale"];
        let found = weight(module, &shape, "bitnet ternary per tensor", Some(shape), parts);
        Weight { name: format!("{module}.weight"), ..found }
    };
    for folder in ["bitnet", "bitnet_auto"] {
        check(folder, &[ternary("a", [16, 24]), ternary("b", [8, 5])]);
    }
}
