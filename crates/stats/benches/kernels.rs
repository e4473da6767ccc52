//! The kernels of a summary one by one, on 16 MiB of BF16-like data, in stored bytes per second beside a
//! plain sum of the same bytes.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weightscope_stats::{
    Bands, ContentHasher, Grouping, MomentSums, PatternCounter, PrefixCounter, Tally,
};

const COLUMNS: usize = 4096;
const ROWS: usize = 2048;
const CHUNK_ROWS: usize = 8;
const VALUES: u64 = (ROWS * COLUMNS) as u64;

fn kernels(c: &mut Criterion) {
    let mut state = 7u64;
    let values: Vec<f32> = (0..CHUNK_ROWS * COLUMNS)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let sum: f32 = state
                .to_le_bytes()
                .as_chunks::<2>()
                .0
                .iter()
                .map(|b| f32::from(u16::from_le_bytes(*b)))
                .sum();
            (sum / 65_536.0 - 2.0) * 0.035
        })
        .collect();
    let bytes: Vec<u8> =
        values.iter().flat_map(|v| ((v.to_bits() >> 16) as u16).to_le_bytes()).collect();
    // Every kernel sees the same cached chunk again and again, as if a file streamed by.
    let chunks = ROWS / CHUNK_ROWS;
    let mut group = c.benchmark_group("kernels/16MiB");
    group.sample_size(20).throughput(Throughput::Bytes((chunks * bytes.len()) as u64));
    group.bench_function("plain-sum", |b| {
        b.iter(|| {
            for _ in 0..chunks {
                let words = black_box(&bytes).as_chunks::<8>().0;
                black_box(words.iter().fold(0u64, |s, w| s.wrapping_add(u64::from_le_bytes(*w))));
            }
        });
    });
    group.bench_function("hash", |b| {
        b.iter(|| {
            let mut hasher = ContentHasher::default();
            (0..chunks).for_each(|_| hasher.update(black_box(&bytes)));
            hasher.finish()
        });
    });
    group.bench_function("count-patterns", |b| {
        b.iter(|| {
            let mut counter = PatternCounter::default();
            (0..chunks).for_each(|_| counter.push_16(black_box(&bytes)));
            counter.finish()
        });
    });
    group.bench_function("count-prefixes", |b| {
        b.iter(|| {
            let mut counter = PrefixCounter::new(VALUES);
            (0..chunks).for_each(|_| counter.push(black_box(&values)));
            counter.finish()
        });
    });
    group.bench_function("tally", |b| {
        b.iter(|| {
            let mut tally = Tally::default();
            (0..chunks).for_each(|_| tally.push_all(black_box(&values), 1e-38));
            tally
        });
    });
    group.bench_function("moments", |b| {
        b.iter(|| {
            let mut sums = MomentSums::new(0.0);
            (0..chunks)
                .for_each(|_| values.chunks(COLUMNS).for_each(|row| sums.push(black_box(row))));
            sums.finish()
        });
    });
    for (name, grouping) in
        [("bands-along", Grouping::AlongRow), ("bands-across", Grouping::AcrossRows)]
    {
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut bands = Bands::new(ROWS, COLUMNS, grouping);
                let rows: Vec<&[f32]> = values.chunks(COLUMNS).collect();
                for _ in 0..chunks {
                    for band in black_box(&rows).chunks(4) {
                        bands.push(0, band);
                        bands.end_band(4);
                    }
                }
                bands.finish()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, kernels);
criterion_main!(benches);
