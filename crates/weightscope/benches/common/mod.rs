//! What the benches of whole runs share: a model in a file, and how fast its bytes can be added up.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

pub(crate) const THREADS: usize = 2;
const TENSORS: usize = 16;
const ROWS: usize = 4096;
const COLUMNS: usize = 4096;
/// Values of a written model.
pub(crate) const VALUES: usize = TENSORS * ROWS * COLUMNS;
/// Bytes of values of a model in BF16.
pub(crate) const BYTES: usize = 2 * VALUES;

/// About normal values; the same for the same seed.
struct Values(u64);

impl Values {
    fn next(&mut self) -> f32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let quarters = self.0.to_le_bytes();
        let uniforms =
            quarters.as_chunks::<2>().0.iter().map(|b| f32::from(u16::from_le_bytes(*b)));
        (uniforms.sum::<f32>() / 65_536.0 - 2.0) * 0.035
    }
}

/// 512 MiB of about normal BF16 values in Llama's names.
pub(crate) fn write_model(path: &Path, seed: u64) {
    write_safetensors(path, seed, "BF16", |value| (value.to_bits() >> 16) as u16);
}

/// The same values in a type of the bytes that `encode` makes: 16 tensors of 4096 x 4096.
pub(crate) fn write_safetensors<E: Into<Element>>(
    path: &Path,
    seed: u64,
    dtype: &str,
    encode: impl Fn(f32) -> E,
) {
    let width = encode(0.0).into().bytes().len();
    let size = ROWS * COLUMNS * width;
    let entries: Vec<String> = (0..TENSORS)
        .map(|i| {
            let (start, end) = (i * size, (i + 1) * size);
            format!(r#""model.layers.{i}.self_attn.q_proj.weight":{{"dtype":"{dtype}","shape":[{ROWS},{COLUMNS}],"data_offsets":[{start},{end}]}}"#)
        })
        .collect();
    let header = format!("{{{}}}", entries.join(","));
    let mut file = File::create(path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    let mut values = Values(seed);
    for _ in 0..TENSORS {
        let mut bytes = Vec::with_capacity(size);
        for _ in 0..ROWS * COLUMNS {
            bytes.extend_from_slice(encode(values.next()).into().bytes());
        }
        file.write_all(&bytes).unwrap();
    }
}

/// A stored element, little endian.
pub(crate) enum Element {
    Two([u8; 2]),
    Four([u8; 4]),
}

impl Element {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Two(bytes) => bytes,
            Self::Four(bytes) => bytes,
        }
    }
}

impl From<u16> for Element {
    fn from(bits: u16) -> Self {
        Self::Two(bits.to_le_bytes())
    }
}

impl From<f32> for Element {
    fn from(value: f32) -> Self {
        Self::Four(value.to_le_bytes())
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
