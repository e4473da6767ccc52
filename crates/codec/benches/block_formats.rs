//! Decoding rate of every block format and of packed codes, in bytes of output per second, beside copying as many:
//! panels small enough that input and output stay in the second-level cache, as in a scan.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use weightscope_codec::{BLOCK_FORMATS, codes};

/// Values decoded at once, whole blocks of every format.
const PANEL: usize = 32 * 1024;

fn bytes(n: usize) -> Vec<u8> {
    let mut state = 1u64;
    (0..n)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        })
        .collect()
}

fn blocks(c: &mut Criterion) {
    let mut values = vec![0f32; PANEL];
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Bytes((PANEL * 4) as u64));
    let source = vec![1f32; PANEL];
    group.bench_function("copy/128KiB", |b| {
        b.iter(|| {
            values.copy_from_slice(black_box(&source));
            black_box(&mut values);
        });
    });
    for format in BLOCK_FORMATS {
        let data = bytes(PANEL / format.values() * format.bytes());
        let name = format.name().to_ascii_lowercase();
        group.bench_function(BenchmarkId::new(name, "128KiB"), |b| {
            b.iter(|| {
                format.decode(black_box(&data), &mut values).unwrap();
                black_box(&mut values);
            });
        });
    }
    group.finish();
}

fn packed(c: &mut Criterion) {
    let mut out = vec![0u8; PANEL];
    let data = bytes(PANEL);
    let mut group = c.benchmark_group("unpack");
    group.throughput(Throughput::Bytes(PANEL as u64));
    for bits in 1..=8 {
        group.bench_function(BenchmarkId::new(format!("{bits}_bits"), "32KiB"), |b| {
            b.iter(|| {
                codes::unpack_bits(bits, black_box(&data), 0, &mut out).unwrap();
                black_box(&mut out);
            });
        });
    }
    group.bench_function("high_nibbles/32KiB", |b| {
        b.iter(|| {
            codes::unpack_nibbles_high_first(black_box(&data), 0, &mut out).unwrap();
            black_box(&mut out);
        });
    });
    group.finish();
}

criterion_group!(benches, blocks, packed);
criterion_main!(benches);
