//! What the benches of whole runs share: a model in a file, and how fast its bytes can be added up.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

pub(crate) const THREADS: usize = 2;
const TENSORS: usize = 16;
const ROWS: usize = 4096;
const COLUMNS: usize = 4096;
const TENSOR_BYTES: usize = ROWS * COLUMNS * 2;
/// Bytes of values of a written model.
pub(crate) const BYTES: usize = TENSORS * TENSOR_BYTES;

/// 512 MiB of about normal BF16 values in Llama's names.
pub(crate) fn write_model(path: &Path, seed: u64) {
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
    let mut state = seed;
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

/// Reads the file with as many threads as the run and adds up its words.
pub(crate) fn plain_sum(path: &Path) -> u64 {
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
