//! A whole scan of a file in page cache with all three elementwise analyzers, beside a plain sum of the same bytes by as
//! many threads: of BF16, of F32, and of Q4_K, whose rate is that of the decoded F32. The ratios are printed at the end.

mod common;

use std::path::{Path, PathBuf};
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weightscope::{RunOptions, Scan};
use weightscope_testkit::gguf::TestGguf;

use common::{BYTES, THREADS, VALUES, plain_sum, write_model, write_safetensors};

/// Of ggml's types.
const Q4_K: u32 = 12;
/// Bytes of a block of 256 values.
const Q4_K_BYTES: usize = 144;

fn scan(path: &Path) -> u64 {
    let options = RunOptions { threads: THREADS, ..RunOptions::default() };
    let analyzers = ["integrity", "distribution", "sparsity"];
    Scan::new([path]).analyzers(analyzers).options(options).run().unwrap().totals.measured
}

/// As many values as the other models have, in blocks of random codes under scales of one size.
fn write_q4_k(folder: &Path) -> PathBuf {
    let shape = [4096u64, 4096];
    let blocks = 4096 * 4096 / 256;
    let mut state = 1u64;
    let mut file = TestGguf::new().pair("general.architecture", "llama");
    for tensor in 0..16 {
        let mut bytes = Vec::with_capacity(blocks * Q4_K_BYTES);
        for _ in 0..blocks {
            // Two scales in F16: about 1e-5 each, with a mantissa of their own.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let mantissas = state.to_le_bytes();
            bytes.extend([mantissas[4], 0x01, mantissas[5], 0x05]);
            for _ in 0..(Q4_K_BYTES - 4) / 4 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                bytes.extend_from_slice(&state.to_be_bytes()[..4]);
            }
        }
        file = file.tensor(&format!("blk.{tensor}.attn_q.weight"), Q4_K, &shape, bytes);
    }
    file.write(folder, "model.gguf").unwrap()
}

fn elementwise(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write_model(&at("bf16.safetensors"), 1);
    write_safetensors(&at("f32.safetensors"), 1, "F32", |value| value);
    let forms = [
        ("bf16", at("bf16.safetensors"), BYTES),
        ("f32", at("f32.safetensors"), 4 * VALUES),
        ("q4_k", write_q4_k(folder.path()), 4 * VALUES),
    ];
    for (name, path, bytes) in &forms {
        let mut group = c.benchmark_group(format!("elementwise/{name}-268M-values-2-threads"));
        group.sample_size(10).throughput(Throughput::Bytes(*bytes as u64));
        group.bench_function("scan", |b| b.iter(|| scan(path)));
        group.finish();
    }
    // Best of five each, alternating, for ratios from one run.
    for (name, path, bytes) in &forms {
        let mut best = [f64::INFINITY; 2];
        for _ in 0..5 {
            for (slot, work) in best.iter_mut().zip([plain_sum as fn(&Path) -> u64, scan]) {
                let start = Instant::now();
                work(path);
                *slot = slot.min(start.elapsed().as_secs_f64());
            }
        }
        let size = std::fs::metadata(path).unwrap().len();
        println!(
            "{name}: plain sum of the file {:.1} GB/s; scan {:.2} GB/s of values as read, {:.2} GB/s of the file",
            size as f64 / best[0] / 1e9,
            *bytes as f64 / best[1] / 1e9,
            size as f64 / best[1] / 1e9,
        );
    }
}

criterion_group!(benches, elementwise);
criterion_main!(benches);
