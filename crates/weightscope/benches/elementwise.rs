//! A whole scan of a BF16 file in page cache with all three analyzers, beside a plain sum of the same bytes
//! by as many threads. The ratio is printed at the end.

mod common;

use std::path::Path;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weightscope::{RunOptions, Scan};

use common::{BYTES, THREADS, plain_sum, write_model};

fn scan(path: &Path) -> u64 {
    let options = RunOptions { threads: THREADS, ..RunOptions::default() };
    Scan::new([path]).options(options).run().unwrap().totals.measured
}

fn elementwise(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    write_model(&path, 1);
    let mut group = c.benchmark_group("elementwise/512MiB-bf16-2-threads");
    group.sample_size(10).throughput(Throughput::Bytes(BYTES as u64));
    group.bench_function("plain-sum", |b| b.iter(|| plain_sum(&path)));
    group.bench_function("scan", |b| b.iter(|| scan(&path)));
    group.finish();
    // Best of five each, alternating, for a ratio from one run.
    let mut best = [f64::INFINITY; 2];
    for _ in 0..5 {
        for (slot, work) in best.iter_mut().zip([plain_sum as fn(&Path) -> u64, scan]) {
            let start = Instant::now();
            work(&path);
            *slot = slot.min(start.elapsed().as_secs_f64());
        }
    }
    let rate = |seconds: f64| BYTES as f64 / seconds / 1e9;
    println!(
        "plain sum {:.1} GB/s, scan {:.1} GB/s, ratio {:.2}",
        rate(best[0]),
        rate(best[1]),
        best[0] / best[1]
    );
}

criterion_group!(benches, elementwise);
criterion_main!(benches);
