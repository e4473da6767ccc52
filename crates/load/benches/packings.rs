//! Rate at which packed weights are restored, in bytes of the F32 handed out per second on one thread: a matrix of 4096
//! inputs and 4096 output units, read in runs of 16 rows.

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weightscope_core::{DType, EntryId, TensorSource};
use weightscope_load::{Checkpoint, open};
use weightscope_testkit::checkpoint::TestCheckpoint;

const SIDE: u64 = 4096;
/// Bytes of 16 rows.
const RUN: u64 = 16 * SIDE * 4;

fn bytes(count: u64) -> Vec<u8> {
    let mut state = 1u64;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u8
        })
        .collect()
}

/// Finite halves.
fn halves(count: u64) -> Vec<u8> {
    bytes(count * 2).chunks(2).flat_map(|pair| [pair[0], pair[1] & 0x2f]).collect()
}

fn gptq(bits: u64, act_order: bool) -> TestCheckpoint {
    let groups = SIDE / 128;
    let across = SIDE * bits / 32;
    // 37 has no factor in common with the side, so that the groups of neighbours differ.
    let group = |row: u64| if act_order { row * 37 % SIDE / 128 } else { row / 128 };
    let indices = (0..SIDE).flat_map(|row| (group(row) as u32).to_le_bytes()).collect();
    TestCheckpoint::new()
        .tensor("a.qweight", DType::I32, &[across, SIDE], bytes(across * SIDE * 4))
        .tensor("a.qzeros", DType::I32, &[groups, across], bytes(groups * across * 4))
        .tensor("a.scales", DType::F16, &[groups, SIDE], halves(groups * SIDE))
        .tensor("a.g_idx", DType::I32, &[SIDE], indices)
}

fn awq() -> TestCheckpoint {
    let (groups, across) = (SIDE / 128, SIDE / 8);
    TestCheckpoint::new()
        .tensor("a.qweight", DType::I32, &[SIDE, across], bytes(across * SIDE * 4))
        .tensor("a.qzeros", DType::I32, &[groups, across], bytes(groups * across * 4))
        .tensor("a.scales", DType::F16, &[groups, SIDE], halves(groups * SIDE))
}

fn bnb4(nested: bool) -> TestCheckpoint {
    let (codes, blocks) = (SIDE * SIDE / 2, SIDE * SIDE / 64);
    let book: Vec<f32> = (0..=255u8).map(|code| f32::from(code) / 128.0 - 1.0).collect();
    let state =
        format!(r#"{{"blocksize": 64, "shape": [{SIDE}, {SIDE}], "nested_blocksize": 256}}"#);
    let file = TestCheckpoint::new()
        .tensor("a.weight", DType::U8, &[codes, 1], bytes(codes))
        .values("a.weight.quant_map", DType::F32, &[16], &book[..16])
        .tensor(
            "a.weight.quant_state.bitsandbytes__nf4",
            DType::U8,
            &[state.len() as u64],
            state.into_bytes(),
        );
    if nested {
        let factors = vec![0.25; (blocks / 256) as usize];
        file.tensor("a.weight.absmax", DType::U8, &[blocks], bytes(blocks))
            .values("a.weight.nested_absmax", DType::F32, &[blocks / 256], &factors)
            .values("a.weight.nested_quant_map", DType::F32, &[256], &book)
    } else {
        file.values("a.weight.absmax", DType::F32, &[blocks], &vec![0.25; blocks as usize])
    }
}

fn bnb8() -> TestCheckpoint {
    TestCheckpoint::new().tensor("a.weight", DType::I8, &[SIDE, SIDE], bytes(SIDE * SIDE)).values(
        "a.SCB",
        DType::F32,
        &[SIDE],
        &vec![0.25; SIDE as usize],
    )
}

fn write(folder: &Path, file: &TestCheckpoint) -> Checkpoint {
    let path = folder.join("model.safetensors");
    std::fs::write(&path, file.to_bytes()).unwrap();
    let checkpoint = open(&[path]).unwrap();
    assert!(checkpoint.entries()[0].dtype == Some(DType::F32), "{:?}", checkpoint.entries());
    checkpoint
}

fn restore(c: &mut Criterion) {
    let cases = [
        ("gptq-int4", gptq(4, false)),
        ("gptq-int4-act-order", gptq(4, true)),
        ("gptq-int3", gptq(3, false)),
        ("awq-int4", awq()),
        ("bnb-nf4", bnb4(false)),
        ("bnb-nf4-nested", bnb4(true)),
        ("bnb-int8", bnb8()),
    ];
    let mut group = c.benchmark_group("restore/64MiB");
    group.throughput(Throughput::Bytes(SIDE * SIDE * 4)).sample_size(10);
    for (name, file) in cases {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = write(folder.path(), &file);
        let mut into = vec![0; RUN as usize];
        group.bench_function(name, |b| {
            b.iter(|| {
                for start in (0..SIDE * SIDE * 4).step_by(RUN as usize) {
                    let range = start..start + RUN;
                    checkpoint.read_at(EntryId(0), range, black_box(&mut into)).unwrap();
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, restore);
criterion_main!(benches);
