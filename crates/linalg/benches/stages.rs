//! Every stage of both routes in GFLOP/s (criterion prints Gelem/s), and beside them the machine's ceiling:
//! the rate of faer's f64 matrix product in the same run.
//!
//! `cargo bench -p weightscope-linalg`; WEIGHTSCOPE_BENCH_THREADS for more than one thread.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use weightscope_linalg::stages::time_stages;
use weightscope_linalg::{Dense, Threads};

type Group<'a> = BenchmarkGroup<'a, criterion::measurement::WallTime>;

/// A square and a tall matrix, long x short.
const SHAPES: [(usize, usize); 2] = [(1024, 1024), (4096, 2048)];

fn stages(criterion: &mut Criterion) {
    let threads = std::env::var("WEIGHTSCOPE_BENCH_THREADS").ok().and_then(|n| n.parse().ok());
    let threads: usize = threads.unwrap_or(1);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    for (long, short) in SHAPES {
        let mut group = criterion.benchmark_group(format!("{long}x{short} {threads}T"));
        group.sample_size(10);
        ceiling(&mut group, short, threads, &pool);
        let values: Vec<f64> =
            (0..long * short).map(|i| (i as f64 * 0.7548).fract() - 0.5).collect();
        let matrix = Dense::new(&values, long, short).unwrap();
        for exact in [false, true] {
            let run = || pool.install(|| time_stages(&matrix, exact, &Threads(threads))).unwrap();
            let names = run();
            for (index, stage) in names.iter().enumerate().filter(|(_, s)| s.flops > 0.0) {
                group.throughput(Throughput::Elements(stage.flops as u64));
                group.bench_function(stage.name, |bencher| {
                    bencher
                        .iter_custom(|runs| (0..runs).map(|_| run()[index].time).sum::<Duration>());
                });
            }
        }
        group.finish();
    }
}

fn ceiling(group: &mut Group<'_>, size: usize, threads: usize, pool: &rayon::ThreadPool) {
    let a = Mat::from_fn(size, size, |i, j| ((i * 31 + j * 17) % 101) as f64 - 50.0);
    let mut product = Mat::<f64>::zeros(size, size);
    let par = if threads > 1 { Par::rayon(threads) } else { Par::Seq };
    group.throughput(Throughput::Elements(2 * (size as u64).pow(3)));
    group.bench_function("faer matmul (ceiling)", |bencher| {
        bencher.iter_custom(|runs| {
            let start = Instant::now();
            for _ in 0..runs {
                pool.install(|| matmul(product.as_mut(), Accum::Replace, &a, &a, 1.0, par));
                black_box(product.as_ref());
            }
            start.elapsed()
        });
    });
}

criterion_group!(benches, stages);
criterion_main!(benches);
