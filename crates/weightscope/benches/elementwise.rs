//! A whole scan of a BF16 file in page cache with all three analyzers, beside a plain sum of the same bytes
//! by as many threads. The ratio is printed at the end.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weightscope::{RunOptions, Scan};

const THREADS: usize = 2;
const TENSORS: usize = 16;
const ROWS: usize = 4096;
const COLUMNS: usize = 4096;
const TENSOR_BYTES: usize = ROWS * COLUMNS * 2;

/// 512 MiB of about normal BF16 values in Llama's names.
fn write_model(path: &Path) {
    let entries: Vec<String> = (0..TENSORS)
        .map(|i| {
            let (start, end) = (i * TENSOR_BYTES, (i + 1) * TENSOR_BYTES);
            format!(r#""model.layers.{i}.self_attn.q_proj.weight":{{"dtype":"BF16","shape":[{ROWS},{COLUMNS}],"data_offsets":[{start},{end}]}}"#)
        })
        .collect();
    let header = format!("{{{}}}", entries.join(","));
    let mut file = File::create(path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    let mut state = 1u64;
    for _ in 0..TENSORS {
        let bytes: Vec<u8> = (0..ROWS * COLUMNS)
            .flat_map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let uniforms = state
                    .to_le_bytes()
                    .as_chunks::<2>()
                    .0
                    .iter()
                    .map(|b| f32::from(u16::from_le_bytes(*b)))
                    .sum::<f32>();
                (((uniforms / 65_536.0 - 2.0) * 0.035).to_bits() >> 16).to_le_bytes()[..2].to_vec()
            })
            .collect();
        file.write_all(&bytes).unwrap();
    }
}

/// Reads the file with as many threads as the scan and adds up its words.
fn plain_sum(path: &Path) -> u64 {
    let file = File::open(path).unwrap();
    let length = file.metadata().unwrap().len();
    let share = length.div_ceil(THREADS as u64);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS as u64)
            .map(|worker| {
                let file = &file;
                scope.spawn(move || {
                    let mut buffer = vec![0u8; 1 << 18];
                    let (mut at, end) = (worker * share, length.min((worker + 1) * share));
                    let mut sum = 0u64;
                    while at < end {
                        let part = (end - at).min(buffer.len() as u64) as usize;
                        file.read_exact_at(&mut buffer[..part], at).unwrap();
                        sum = buffer[..part]
                            .as_chunks::<8>()
                            .0
                            .iter()
                            .fold(sum, |s, w| s.wrapping_add(u64::from_le_bytes(*w)));
                        at += part as u64;
                    }
                    sum
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).fold(0, u64::wrapping_add)
    })
}

fn scan(path: &Path) -> u64 {
    let options = RunOptions { threads: THREADS, ..RunOptions::default() };
    Scan::new([path]).options(options).run().unwrap().totals.measured
}

fn elementwise(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    write_model(&path);
    let mut group = c.benchmark_group("elementwise/512MiB-bf16-2-threads");
    group.sample_size(10).throughput(Throughput::Bytes((TENSORS * TENSOR_BYTES) as u64));
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
    let rate = |seconds: f64| (TENSORS * TENSOR_BYTES) as f64 / seconds / 1e9;
    println!(
        "plain sum {:.1} GB/s, scan {:.1} GB/s, ratio {:.2}",
        rate(best[0]),
        rate(best[1]),
        best[0] / best[1]
    );
}

criterion_group!(benches, elementwise);
criterion_main!(benches);
