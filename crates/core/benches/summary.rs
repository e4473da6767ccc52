//! The shared summary of one weight on one thread, in stored bytes per second, beside a plain sum of the
//! same bytes.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use weightscope_core::{
    Cancel, Confidence, DType, EntryId, Layout, MemorySource, Part, Role, Shared, Weight,
    WeightView,
};

const ROWS: u64 = 2048;
const COLUMNS: u64 = 4096;

/// About normal values of standard deviation 0.02: the sum of four uniforms.
fn values(n: u64) -> impl Iterator<Item = f32> {
    let mut state = 7u64;
    (0..n).map(move |_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let uniforms = state
            .to_le_bytes()
            .as_chunks::<2>()
            .0
            .iter()
            .map(|b| f32::from(u16::from_le_bytes(*b)))
            .sum::<f32>();
        (uniforms / 65_536.0 - 2.0) * 0.035
    })
}

fn encode(dtype: DType, n: u64) -> Vec<u8> {
    match dtype {
        DType::BF16 => values(n).flat_map(|v| ((v.to_bits() >> 16) as u16).to_le_bytes()).collect(),
        _ => values(n).flat_map(f32::to_le_bytes).collect(),
    }
}

fn summary(c: &mut Criterion) {
    let mut group = c.benchmark_group("summary/2048x4096");
    group.sample_size(10);
    for dtype in [DType::BF16, DType::F32] {
        let bytes = encode(dtype, ROWS * COLUMNS);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(BenchmarkId::new("plain-sum", dtype), |b| {
            b.iter(|| {
                black_box(&bytes)
                    .as_chunks::<8>()
                    .0
                    .iter()
                    .fold(0u64, |s, w| s.wrapping_add(u64::from_le_bytes(*w)))
            });
        });
        let mut source = MemorySource::default();
        source.push("w", dtype, &[ROWS, COLUMNS], bytes).unwrap();
        for transposed in [false, true] {
            let weight = Weight {
                name: "w".into(),
                entry: EntryId(0),
                source_tensor: "w".into(),
                role: Role::Other,
                part: Part::Weight,
                stack: None,
                block: None,
                expert: None,
                dtype: Some(dtype),
                shape: vec![ROWS, COLUMNS],
                layout: Layout::whole(ROWS, COLUMNS),
                matrix: Some(if transposed { [COLUMNS, ROWS] } else { [ROWS, COLUMNS] }),
                transposed,
                heads: None,
                fused: Vec::new(),
                confidence: Confidence::Known,
            };
            let name = if transposed { "in-out" } else { "out-in" };
            group.bench_function(BenchmarkId::new(name, dtype), |b| {
                b.iter(|| {
                    let (shared, cancel) = (Shared::default(), Cancel::default());
                    WeightView::new(&weight, &source, &shared, &cancel).summary().unwrap()
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, summary);
criterion_main!(benches);
