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

/// Uniform numbers from 0 to 1.
fn uniforms() -> impl Iterator<Item = f64> {
    let mut state = 7u64;
    std::iter::repeat_with(move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    })
}

/// How values are spread.
#[derive(Clone, Copy)]
enum Kind {
    /// About normal, standard deviation 0.02: the sum of four uniforms. Trained weights are as far from a
    /// normal distribution.
    Weights,
    /// Normal: the supremum of the KS distance could be almost anywhere.
    Normal,
    /// What a 4-bit file decodes to: sixteen levels times a scale for every 32 values.
    FourBit,
}

fn values(kind: Kind, n: usize) -> Vec<f64> {
    let mut u = uniforms();
    let mut uniform = move || u.next().unwrap();
    let mut normal = {
        let mut u = uniforms();
        move || {
            let (a, b) = (u.next().unwrap(), u.next().unwrap());
            (-2.0 * (1.0 - a).ln()).sqrt() * (std::f64::consts::TAU * b).cos() * 0.02
        }
    };
    let mut scale = 0.0;
    (0..n)
        .map(|i| match kind {
            Kind::Weights => ((0..4).map(|_| uniform()).sum::<f64>() - 2.0) * 0.035,
            Kind::Normal => normal(),
            Kind::FourBit => {
                if i % 32 == 0 {
                    // Half precision has eleven bits.
                    let largest = normal().abs() / 8.0 + 0.003;
                    scale = f32::from_bits((largest as f32).to_bits() >> 13 << 13).into();
                }
                ((uniform() * 16.0).floor() - 8.0) * scale
            }
        })
        .collect()
}

fn encode(dtype: DType, kind: Kind) -> Vec<u8> {
    let values = values(kind, (ROWS * COLUMNS) as usize);
    match dtype {
        DType::BF16 => values
            .iter()
            .flat_map(|v| (((*v as f32).to_bits() >> 16) as u16).to_le_bytes())
            .collect(),
        DType::F32 => values.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect(),
        _ => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

fn summary(c: &mut Criterion) {
    let mut group = c.benchmark_group("summary/2048x4096");
    group.sample_size(10);
    let mut seen = None;
    for (dtype, kind, names) in [
        (DType::BF16, Kind::Weights, ["out-in", "in-out"].as_slice()),
        (DType::F32, Kind::Weights, &["out-in", "in-out"]),
        (DType::F32, Kind::Normal, &["normal"]),
        (DType::F32, Kind::FourBit, &["4-bit"]),
        (DType::F64, Kind::Weights, &["out-in"]),
    ] {
        let bytes = encode(dtype, kind);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        if seen.replace(dtype) != Some(dtype) {
            group.bench_function(BenchmarkId::new("plain-sum", dtype), |b| {
                b.iter(|| {
                    black_box(&bytes)
                        .as_chunks::<8>()
                        .0
                        .iter()
                        .fold(0u64, |s, w| s.wrapping_add(u64::from_le_bytes(*w)))
                });
            });
        }
        let mut source = MemorySource::default();
        source.push("w", dtype, &[ROWS, COLUMNS], bytes).unwrap();
        for name in names {
            let transposed = *name == "in-out";
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
                from_one: false,
                factor: None,
                confidence: Confidence::Known,
            };
            group.bench_function(BenchmarkId::new(*name, dtype), |b| {
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
