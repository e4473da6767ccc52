//! A comparison of two BF16 files in page cache value by value, beside a plain sum of the bytes of both by as many
//! threads. The ratio is printed at the end.

mod common;

use std::path::Path;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weightscope::{Compare, RunOptions, Settings};

use common::{BYTES, THREADS, plain_sum, write_model};

fn compare(base: &Path, tuned: &Path) -> u64 {
    let options = RunOptions { threads: THREADS, ..RunOptions::default() };
    let mut settings = Settings::default();
    settings.parameters.set("compare", "no_spectra", 1.0);
    let run = Compare::new(base, tuned).analyzers(["compare"]).settings(settings).options(options);
    run.run().unwrap().totals.measured
}

fn benches(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let [base, tuned] =
        ["base.safetensors", "tuned.safetensors"].map(|name| folder.path().join(name));
    write_model(&base, 1);
    write_model(&tuned, 2);
    let sums = || plain_sum(&base).wrapping_add(plain_sum(&tuned));
    let different = || compare(&base, &tuned);
    let same = || compare(&base, &base);
    let mut group = c.benchmark_group("compare/2x512MiB-bf16-2-threads");
    group.sample_size(10).throughput(Throughput::Bytes(2 * BYTES as u64));
    group.bench_function("plain-sum", |b| b.iter(sums));
    group.bench_function("different", |b| b.iter(different));
    group.bench_function("same-bytes", |b| b.iter(same));
    group.finish();
    // Best of five each, alternating, for ratios from one run.
    let runs: [&dyn Fn() -> u64; 3] = [&sums, &different, &same];
    let mut best = [f64::INFINITY; 3];
    for _ in 0..5 {
        for (slot, work) in best.iter_mut().zip(runs) {
            let start = Instant::now();
            work();
            *slot = slot.min(start.elapsed().as_secs_f64());
        }
    }
    let [sum, different, same] = best.map(|seconds| 2.0 * BYTES as f64 / seconds / 1e9);
    println!(
        "plain sum {sum:.1} GB/s; different {different:.1} GB/s, ratio {:.2}; same bytes {same:.1} GB/s, ratio {:.2}",
        different / sum,
        same / sum
    );
}

criterion_group!(compare_benches, benches);
criterion_main!(compare_benches);
