//! Decoding rate of every float type in stored bytes per second, beside a plain read of the same bytes.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use weightscope_codec::{DType, decode_f32, decode_f64};

/// A panel small enough that its decoded copy stays in the second-level cache, as in a scan.
const PANEL: usize = 32 * 1024;

fn bytes(n: usize) -> Vec<u8> {
    let mut state = 1u64;
    (0..n)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8 & 0x3f
        })
        .collect()
}

fn decode(c: &mut Criterion) {
    let data = bytes(16 << 20);
    let mut group = c.benchmark_group("decode/16MiB");
    group.throughput(Throughput::Bytes(data.len() as u64));
    group.bench_function("plain-sum", |b| {
        b.iter(|| {
            let (words, _) = black_box(&data).as_chunks::<8>();
            words.iter().fold(0u64, |sum, w| sum.wrapping_add(u64::from_le_bytes(*w)))
        });
    });
    for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16, DType::F8E4M3, DType::F8E5M2] {
        let (mut narrow, mut wide) = (vec![0f32; PANEL], vec![0f64; PANEL]);
        let panel = PANEL * dtype.bytes();
        group.bench_function(BenchmarkId::new("f32", dtype), |b| {
            b.iter(|| {
                for chunk in data.chunks_exact(panel) {
                    decode_f32(dtype, black_box(chunk), &mut narrow).unwrap();
                    black_box(&mut narrow);
                }
            });
        });
        group.bench_function(BenchmarkId::new("f64", dtype), |b| {
            b.iter(|| {
                for chunk in data.chunks_exact(panel) {
                    decode_f64(dtype, black_box(chunk), &mut wide).unwrap();
                    black_box(&mut wide);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
