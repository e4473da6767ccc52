//! Packed weights that are recognised and not decoded, codes that nothing explains, and groups that contradict
//! themselves.

use weightscope_core::{DType, EntryId, Orientation, TensorSource};
use weightscope_load::{Checkpoint, open};
use weightscope_testkit::checkpoint::TestCheckpoint;

use crate::common::{names, put};

/// A folder of one file with zeros in every tensor, and what config.json says of it.
fn folder(tensors: &[(&str, DType, &[u64])], quantization: &str) -> Checkpoint {
    let mut file = TestCheckpoint::new();
    for (name, dtype, shape) in tensors {
        file = file.tensor(name, *dtype, shape, vec![0; size(*dtype, shape)]);
    }
    opened(&file, quantization)
}

fn size(dtype: DType, shape: &[u64]) -> usize {
    usize::try_from(shape.iter().product::<u64>()).unwrap() * dtype.bytes()
}

fn opened(file: &TestCheckpoint, quantization: &str) -> Checkpoint {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "config.json", format!(r#"{{"quantization_config": {quantization}}}"#));
    let path = put(folder.path(), "model.safetensors", file.to_bytes());
    let checkpoint = open(&[path.parent().unwrap().to_owned()]).unwrap();
    assert!(checkpoint.metadata().errors.is_empty(), "{:?}", checkpoint.metadata().errors);
    checkpoint
}

/// `name shape scheme: why it is not measured` of every entry; plain ones have no scheme.
fn told(checkpoint: &Checkpoint) -> Vec<String> {
    let entries = checkpoint.entries().iter();
    entries
        .map(|entry| {
            let form = entry.stored.as_deref();
            let scheme = form.map_or("plain", |form| &form.scheme);
            let why = form.and_then(|form| form.unreadable.as_deref()).unwrap_or("measured");
            format!("{} {:?} {scheme}: {why}", entry.name, entry.shape)
        })
        .collect()
}

use DType::{BF16, F8E4M3, F16, F32, I8, I16, I32, I64, U8};

#[test]
fn kinds_are_named_and_their_parts_are_no_weights() {
    let check = |tensors: &[(&str, DType, &[u64])], quantization: &str, expected: &[&str]| {
        let checkpoint = folder(tensors, quantization);
        assert_eq!(told(&checkpoint), expected);
        assert!(checkpoint.entries().iter().all(|entry| entry.dtype.is_none()));
    };
    check(
        &[
            ("a.q_weight", I32, &[16, 32]),
            ("a.q_scale", I32, &[4, 4]),
            ("a.q_scale_max", F16, &[4]),
            ("a.q_groups", I16, &[8]),
            ("a.q_invperm", I32, &[128]),
        ],
        "{}",
        &["a.weight [128, 32] exl2: codes of 2 to 8 bits (exl2), not decoded"],
    );
    check(
        &[
            ("a.trellis", I16, &[4, 2, 48]),
            ("a.suh", F16, &[64]),
            ("a.svh", F16, &[32]),
            ("a.mcg", I32, &[]),
        ],
        "{}",
        &["a.weight [64, 32] exl3 3-bit: 3-bit trellis codes (exl3), not decoded"],
    );
    check(
        &[
            ("a.codes", I16, &[16, 4, 1]),
            ("a.codebooks", F16, &[1, 256, 1, 8]),
            ("a.scales", F16, &[16, 1, 1, 1]),
        ],
        "{}",
        &["a.weight [16, 32] aqlm 1x8: vector codes (AQLM), not decoded"],
    );
    check(
        &[
            ("a.indices", I32, &[1, 8, 4]),
            ("a.centroids.weight", F16, &[1, 64]),
            ("a.perm", I16, &[32]),
            ("a.weight_scale", F16, &[32]),
        ],
        r#"{"config_for_layers": {"a": {"in_features": 32, "out_features": 16}}}"#,
        &["a.weight [16, 32] vptq: vector codes (VPTQ), not decoded"],
    );
    check(
        &[
            ("a.weight._data", I8, &[8, 32]),
            ("a.weight._scale", BF16, &[8, 1]),
            ("a.input_scale", F32, &[]),
            ("b.weight._data", U8, &[4, 32]),
            ("b.weight._scale", BF16, &[8, 1]),
            ("b.weight._shift", BF16, &[8, 1]),
        ],
        r#"{"quant_method": "quanto", "weights": "int4"}"#,
        &[
            "a.weight [8, 32] quanto int8: 8-bit codes (quanto), not decoded",
            "b.weight [8, 32] quanto int4: 4-bit codes (quanto), not decoded",
        ],
    );
    check(
        &[
            ("a._weight_qdata", I8, &[8, 32]),
            ("a._weight_scale", F32, &[8, 1]),
            ("b._weight_qdata", F8E4M3, &[8, 32]),
            ("b._weight_scale", F32, &[8, 1]),
            ("c._weight_qdata", I32, &[2, 1, 32, 4]),
            ("c._weight_scale_and_zero", BF16, &[2, 16, 2]),
        ],
        "{}",
        &[
            "a.weight [8, 32] torchao 8-bit: 8-bit codes (torchao), not decoded",
            "b.weight [8, 32] torchao 8-bit: 8-bit codes (torchao), not decoded",
            "c.weight [16, 128] torchao 4-bit: 4-bit codes (torchao), not decoded",
        ],
    );
    check(
        &[("a.weight", I8, &[32, 8]), ("a.weight_scales", F16, &[8])],
        "{}",
        &["a.weight [32, 8] eetq int8: 8-bit codes in tiles of a GPU (EETQ), not decoded"],
    );
    check(
        &[
            ("a.weight", I16, &[8, 16]),
            ("a.scales", F16, &[16, 1]),
            ("a.tables", F16, &[16]),
            ("a.tables2", F32, &[16, 16, 1]),
        ],
        "{}",
        &["a.weight [32, 16] higgs 4-bit: 4-bit codes of rotated weights (HIGGS), not decoded"],
    );
    check(
        &[("a.B", I32, &[4, 64]), ("a.s", F16, &[2, 32]), ("a.workspace", I32, &[16])],
        "{}",
        &["a.weight [64, 32] marlin int4: 4-bit codes in tiles of a GPU (marlin), not decoded"],
    );
    check(
        &[("a.qweight", I32, &[16, 4]), ("a.qzeros", I32, &[16, 1]), ("a.scales", F16, &[16, 8])],
        r#"{"quant_method": "awq", "version": "gemv"}"#,
        &["a.weight [16, 32] awq gemv: 4-bit codes (AWQ gemv), not decoded"],
    );
    check(
        &[
            ("a.qweight", I32, &[16, 4]),
            ("a.qzeros", I32, &[1, 4]),
            ("a.scales", F16, &[1, 32]),
            ("a.theta", F16, &[8, 8]),
            ("a.pairs", I16, &[8, 16]),
        ],
        r#"{"quant_method": "awq"}"#,
        &["a.weight [16, 32] paroquant: 4-bit codes of rotated weights (ParoQuant), not decoded"],
    );
    check(
        &[
            ("a.qweight", U8, &[16, 16]),
            ("a.scales", U8, &[16, 1]),
            ("a.forward_hadamard_matrix", BF16, &[32, 32]),
            ("a.backward_hadamard_matrix", BF16, &[32, 32]),
        ],
        "{}",
        &["a.weight [16, 32] fp-quant: 4-bit codes of rotated weights (FP-Quant), not decoded"],
    );
    check(
        &[("a.qweight", I32, &[16, 5]), ("a.qzeros", I32, &[4, 4]), ("a.scales", F16, &[4, 32])],
        r#"{"quant_method": "gptq"}"#,
        &["a.weight [16, 5] qweight: codes whose parts do not fit (GPTQ or AWQ), not decoded"],
    );
}

#[test]
fn hqq_tells_its_shape() {
    let file = TestCheckpoint::new()
        .tensor("a.W_q", U8, &[64, 16], vec![0; 64 * 16])
        .tensor("a.scale", F16, &[1, 32], vec![0; 64])
        .tensor("a.zero", F16, &[1, 32], vec![0; 64])
        .tensor("a.nbits", I32, &[], vec![4, 0, 0, 0])
        .tensor("a.shape", I64, &[2], [64u64, 32].iter().flat_map(|x| x.to_le_bytes()).collect());
    let checkpoint = opened(&file, r#"{"quant_method": "hqq"}"#);
    let expected = ["a.weight [64, 32] hqq int4: 4-bit codes (HQQ), not decoded"];
    assert_eq!(told(&checkpoint), expected);
}

#[test]
fn integers_are_codes_only_under_the_name_of_a_weight() {
    let checkpoint = folder(
        &[
            ("a.weight", U8, &[8, 4]),
            ("b.weight", I8, &[8, 4]),
            ("c.qweight", I32, &[8, 4]),
            ("mlp.experts.down_proj", U8, &[2, 8, 4]),
            ("embeddings.position_ids", I64, &[1, 512]),
            ("embeddings.token_type_ids", I64, &[1, 512]),
            ("bn.num_batches_tracked", I64, &[]),
            ("attn.mask", DType::Bool, &[4, 4]),
            ("counts.weight", I64, &[4]),
            ("step.weight", I32, &[]),
            ("relative_position_index", I64, &[4, 4]),
            ("topk.indices", I32, &[4, 4]),
        ],
        "{}",
    );
    let unread = checkpoint.entries().iter().filter(|entry| entry.dtype.is_none());
    let unread: Vec<&str> = unread.map(|entry| entry.name.as_str()).collect();
    assert_eq!(unread, ["a.weight", "b.weight", "c.qweight", "mlp.experts.down_proj"]);
}

/// A GPTQ weight of 4 bits: 64 inputs, 16 output units, groups of 32.
fn gptq(changed: &[(&str, DType, &[u64])], removed: &str) -> Checkpoint {
    let whole: [(&str, DType, &[u64]); 4] = [
        ("a.qweight", I32, &[8, 16]),
        ("a.qzeros", I32, &[2, 2]),
        ("a.scales", F16, &[2, 16]),
        ("a.g_idx", I32, &[64]),
    ];
    let tensors: Vec<_> = whole
        .iter()
        .map(|tensor| changed.iter().find(|other| other.0 == tensor.0).unwrap_or(tensor))
        .filter(|tensor| tensor.0 != removed)
        .copied()
        .collect();
    folder(&tensors, r#"{"quant_method": "gptq", "bits": 4, "group_size": 32}"#)
}

#[test]
fn groups_of_gptq_that_do_not_fit_are_not_decoded() {
    let misfit = "codes whose parts do not fit (GPTQ or AWQ), not decoded";
    let bad: [(&str, DType, &[u64]); 9] = [
        ("a.qweight", I32, &[8, 15]),
        ("a.qweight", I32, &[9, 16]),
        ("a.qweight", I16, &[8, 16]),
        ("a.qzeros", I32, &[3, 2]),
        ("a.qzeros", I32, &[2, 0]),
        ("a.qzeros", I32, &[2, 9]),
        ("a.scales", F16, &[0, 16]),
        ("a.scales", I32, &[2, 16]),
        ("a.g_idx", I32, &[63]),
    ];
    for changed in bad {
        let checkpoint = gptq(&[changed], "");
        let entry = checkpoint.entries().iter().find(|entry| entry.name == "a.weight");
        let form = entry.and_then(|entry| entry.stored.as_deref());
        let why = form.and_then(|form| form.unreadable.as_deref());
        assert_eq!(why, Some(misfit), "{changed:?}: {:?}", told(&checkpoint));
    }
    for missing in ["a.qzeros", "a.scales"] {
        let checkpoint = gptq(&[], missing);
        assert!(checkpoint.entries().iter().all(|entry| entry.dtype != Some(F32)));
    }
    // Without group indices groups follow each other.
    assert_eq!(told(&gptq(&[], "a.g_idx")), ["a.weight [64, 16] gptq int4 g32: measured"]);
}

#[test]
fn tables_of_gptq_are_not_turned() {
    let of = |module: &str| {
        let names = ["qweight", "qzeros", "scales"].map(|last| format!("{module}.{last}"));
        let shapes: [(DType, &[u64]); 3] = [(I32, &[8, 16]), (I32, &[2, 2]), (F16, &[2, 16])];
        let tensors: Vec<_> = names
            .iter()
            .zip(shapes)
            .map(|(name, (dtype, shape))| (&**name, dtype, shape))
            .collect();
        folder(&tensors, "{}").entries()[0].orientation
    };
    assert_eq!(of("model.layers.0.mlp.up_proj"), Some(Orientation::InOut));
    assert_eq!(of("model.embed_tokens"), None);
}

#[test]
fn inputs_of_groups_that_are_not_there() {
    let mut indices = vec![0; 64 * 4];
    indices[4 * 5] = 7;
    indices[4 * 9..4 * 10].copy_from_slice(&(-1i32).to_le_bytes());
    let file = TestCheckpoint::new()
        .tensor("a.qweight", I32, &[8, 16], vec![0x55; 8 * 16 * 4])
        .tensor("a.qzeros", I32, &[2, 2], vec![0x77; 16])
        .tensor("a.scales", F16, &[2, 16], vec![0x3c; 64])
        .tensor("a.g_idx", I32, &[64], indices);
    let checkpoint = opened(&file, r#"{"quant_method": "gptq"}"#);
    assert_eq!(told(&checkpoint), ["a.weight [64, 16] gptq int4 g32 act-order: measured"]);
    let read = |row: u64| {
        let mut bytes = vec![0; 64];
        let range = row * 64..(row + 1) * 64;
        let result = checkpoint.read_at(EntryId(0), range, &mut bytes);
        result.map_err(|error| error.to_string())
    };
    assert!(read(4).is_ok());
    let told =
        |group: &str| Err(format!("tensor \"a.weight\": cannot be decoded: input {group} of 2"));
    assert_eq!(read(5), told("5 is of group 7"));
    assert_eq!(read(9), told("9 is of group -1"));
    let mut errors = [0.0; 16];
    assert!(checkpoint.rounding_at(EntryId(0), 5 * 16..6 * 16, &mut errors).is_err());
}

/// A bitsandbytes weight [8, 64] of nf4 with this text as its state.
fn bnb(state: &str, codes: u64, factors: u64) -> Checkpoint {
    let file = TestCheckpoint::new()
        .tensor("a.weight", U8, &[codes, 1], vec![0x3f; size(U8, &[codes])])
        .tensor("a.weight.absmax", F32, &[factors], vec![0x3f; size(F32, &[factors])])
        .values("a.weight.quant_map", F32, &[16], &[0.5; 16])
        .tensor(
            "a.weight.quant_state.bitsandbytes__nf4",
            U8,
            &[state.len() as u64],
            state.as_bytes().to_vec(),
        );
    opened(&file, r#"{"quant_method": "bitsandbytes"}"#)
}

#[test]
fn quant_states_are_not_believed() {
    let state = |shape: &str| format!(r#"{{"blocksize": 64, "shape": {shape}}}"#);
    let check = |checkpoint: &Checkpoint, why: &str| {
        let form = checkpoint.entries()[0].stored.as_deref().unwrap();
        let found = form.unreadable.clone().unwrap_or_default();
        assert_eq!(found, why, "{:?}", told(checkpoint));
        assert_eq!(names(checkpoint), ["a.weight"]);
    };
    check(&bnb(&state("[8, 64]"), 256, 8), "");
    let unreadable = "4-bit codes (bitsandbytes) without a readable quant_state";
    for text in [
        "no JSON",
        "{}",
        "[1, 2]",
        r#"{"blocksize": 0, "shape": [8, 64]}"#,
        r#"{"blocksize": 64, "shape": []}"#,
        r#"{"blocksize": 64, "shape": [8, -64]}"#,
        r#"{"blocksize": 64, "shape": "8x64"}"#,
    ] {
        check(&bnb(text, 256, 8), unreadable);
    }
    let misfit = "4-bit codes (bitsandbytes) whose parts do not fit";
    check(&bnb(&state("[8, 65]"), 256, 8), misfit);
    check(&bnb(&state("[8, 32]"), 256, 8), misfit);
    check(&bnb(&state("[4294967296, 4294967296]"), 256, 8), misfit);
    check(&bnb(&state("[18446744073709551615]"), 256, 8), misfit);
    check(&bnb(&state("[8, 64]"), 256, 9), misfit);
    check(&bnb(&state("[8, 64]"), 255, 8), misfit);
    check(&bnb(&state("[0, 64]"), 256, 8), misfit);
    let huge = format!(r#"{{"blocksize": {}, "shape": [8, 64]}}"#, u64::MAX);
    check(&bnb(&huge, 256, 1), "");
}

#[test]
fn int8_in_tiles_is_not_decoded() {
    let file = |format: u8, factors: u64| {
        let file = TestCheckpoint::new()
            .tensor("a.weight", I8, &[8, 4], vec![1; 32])
            .tensor("a.SCB", F32, &[factors], vec![0; size(F32, &[factors])])
            .tensor("a.weight_format", U8, &[], vec![format]);
        told(&opened(&file, r#"{"quant_method": "bitsandbytes"}"#))
    };
    assert_eq!(file(0, 8), ["a.weight [8, 4] bnb int8 per channel: measured"]);
    let tiled = "8-bit codes in tiles of a GPU (bitsandbytes), not decoded";
    assert_eq!(file(2, 8), [format!("a.weight [8, 4] bnb int8 per channel: {tiled}")]);
    assert!(file(0, 7)[0].contains("codes of type I8"));
}
