//! Writing tiny safetensors checkpoints, sound and broken.
//!
//! The writer is independent of the reader it tests and of the safetensors crate: it follows the
//! format description (8-byte little-endian header length, JSON header, data without gaps).

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use weightscope_codec::{DType, pattern_values};

/// Tensors and side files that are to become a checkpoint.
///
/// ```
/// use weightscope_codec::DType;
/// use weightscope_testkit::checkpoint::TestCheckpoint;
///
/// let bytes = TestCheckpoint::new().values("w", DType::BF16, &[2], &[1.0, -2.0]).to_bytes();
/// assert_eq!(bytes[bytes.len() - 4..], [0x80, 0x3f, 0x00, 0xc0]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct TestCheckpoint {
    tensors: Vec<TestTensor>,
    config: Option<String>,
}

#[derive(Clone, Debug)]
struct TestTensor {
    name: String,
    dtype: String,
    shape: Vec<u64>,
    bytes: Vec<u8>,
}

impl TestCheckpoint {
    /// No tensors, no config.json.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tensor of stored bytes, which are written as they are, fitting or not.
    #[must_use]
    pub fn tensor(self, name: &str, dtype: DType, shape: &[u64], bytes: Vec<u8>) -> Self {
        self.tensor_of(name, dtype.name(), shape, bytes)
    }

    /// The same with the element type spelled freely.
    #[must_use]
    pub fn tensor_of(mut self, name: &str, dtype: &str, shape: &[u64], bytes: Vec<u8>) -> Self {
        self.tensors.push(TestTensor {
            name: name.to_owned(),
            dtype: dtype.to_owned(),
            shape: shape.to_vec(),
            bytes,
        });
        self
    }

    /// Adds a tensor of numbers, rounded to `dtype` by [`encode`].
    #[must_use]
    pub fn values(self, name: &str, dtype: DType, shape: &[u64], values: &[f32]) -> Self {
        self.tensor(name, dtype, shape, encode(dtype, values))
    }

    /// Sets the text of config.json.
    #[must_use]
    pub fn config(mut self, text: &str) -> Self {
        self.config = Some(text.to_owned());
        self
    }

    /// All tensors as one safetensors file.
    pub fn to_bytes(&self) -> Vec<u8> {
        file_of(&self.tensors)
    }

    /// Writes `model.safetensors` (and config.json) into `folder`; the path of the former.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<PathBuf> {
        let path = folder.join("model.safetensors");
        std::fs::write(&path, self.to_bytes())?;
        self.write_config(folder)?;
        Ok(path)
    }

    /// Writes `count` shards, `model.safetensors.index.json` and config.json into `folder`, tensors dealt
    /// in runs of equal length; the shards' paths.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write_shards(&self, folder: &Path, count: usize) -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        let mut index = String::new();
        let per_shard = self.tensors.len().div_ceil(count.max(1)).max(1);
        for number in 0..count {
            let begin = (number * per_shard).min(self.tensors.len());
            let end = (begin + per_shard).min(self.tensors.len());
            let tensors = &self.tensors[begin..end];
            let name = format!("model-{:05}-of-{count:05}.safetensors", number + 1);
            for tensor in tensors {
                let comma = if index.is_empty() { "" } else { "," };
                let _ = write!(index, "{comma}{}:{}", json(&tensor.name), json(&name));
            }
            let path = folder.join(name);
            std::fs::write(&path, file_of(tensors))?;
            paths.push(path);
        }
        let index = format!("{{\"metadata\":{{}},\"weight_map\":{{{index}}}}}");
        std::fs::write(folder.join("model.safetensors.index.json"), index)?;
        self.write_config(folder)?;
        Ok(paths)
    }

    fn write_config(&self, folder: &Path) -> io::Result<()> {
        match &self.config {
            Some(text) => std::fs::write(folder.join("config.json"), text),
            None => Ok(()),
        }
    }
}

/// A safetensors file of any header text, sound or not, with its true length, and any data.
pub fn raw_file(header: impl AsRef<[u8]>, data: &[u8]) -> Vec<u8> {
    let header = header.as_ref();
    raw_file_claiming(header.len() as u64, header, data)
}

/// The same with a claimed header length.
pub fn raw_file_claiming(length: u64, header: &[u8], data: &[u8]) -> Vec<u8> {
    [&length.to_le_bytes(), header, data].concat()
}

/// Numbers as stored elements: rounded to the nearest value with ties to even, integers truncated and
/// clamped, anything but zero true.
pub fn encode(dtype: DType, values: &[f32]) -> Vec<u8> {
    /// Elements of `N` bytes one after the other.
    fn each<const N: usize>(values: &[f32], element: impl Fn(f32) -> [u8; N]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(values.len() * N);
        for x in values {
            bytes.extend_from_slice(&element(*x));
        }
        bytes
    }
    match dtype {
        DType::F64 => each(values, |x| f64::from(x).to_le_bytes()),
        DType::F32 => each(values, f32::to_le_bytes),
        DType::F16 => each(values, |x| half::f16::from_f32(x).to_le_bytes()),
        DType::BF16 => each(values, |x| half::bf16::from_f32(x).to_le_bytes()),
        DType::I64 => each(values, |x| (x as i64).to_le_bytes()),
        DType::I32 => each(values, |x| (x as i32).to_le_bytes()),
        DType::I16 => each(values, |x| (x as i16).to_le_bytes()),
        DType::I8 => each(values, |x| (x as i8).to_le_bytes()),
        DType::U64 => each(values, |x| (x as u64).to_le_bytes()),
        DType::U32 => each(values, |x| (x as u32).to_le_bytes()),
        DType::U16 => each(values, |x| (x as u16).to_le_bytes()),
        DType::U8 => each(values, |x| [x as u8]),
        DType::Bool => each(values, |x| [u8::from(x != 0.0)]),
        eight_bits => {
            let table = pattern_values(eight_bits).unwrap_or_default();
            each(values, |x| [nearest(&table, x)])
        }
    }
}

/// The pattern of the finite value nearest to `x`; a NaN pattern for NaN, the largest finite value for
/// what lies beyond it.
fn nearest(table: &[f32], x: f32) -> u8 {
    // NaN stays NaN. Without the clamp, everything would be equally far from infinity.
    let largest = table.iter().copied().filter(|v| v.is_finite()).fold(0.0, f32::max);
    let x = x.clamp(-largest, largest);
    let distance =
        |value: f32| if x.is_nan() { 0.0 } else { (f64::from(value) - f64::from(x)).abs() };
    let x_sign = x.is_sign_negative();
    let best = table
        .iter()
        .enumerate()
        .filter(|(_, v)| {
            v.is_nan() == x.is_nan() && !v.is_infinite() && v.is_sign_negative() == x_sign
        })
        .min_by(|(i, a), (j, b)| {
            distance(**a).total_cmp(&distance(**b)).then((i % 2).cmp(&(j % 2)))
        });
    best.map_or(0, |(pattern, _)| pattern as u8)
}

fn file_of(tensors: &[TestTensor]) -> Vec<u8> {
    let (mut header, mut data) = (String::from("{"), Vec::new());
    for tensor in tensors {
        let comma = if header.len() == 1 { "" } else { "," };
        let begin = data.len();
        data.extend_from_slice(&tensor.bytes);
        let (name, dtype) = (json(&tensor.name), json(&tensor.dtype));
        let (shape, end) = (&tensor.shape, data.len());
        let _ = write!(
            header,
            "{comma}{name}:{{\"dtype\":{dtype},\"shape\":{shape:?},\"data_offsets\":[{begin},{end}]}}"
        );
    }
    header.push('}');
    // Writers pad with spaces so that data begin at a multiple of 8.
    while header.len() % 8 != 0 {
        header.push(' ');
    }
    raw_file(header, &data)
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bit_floats_round_to_nearest_even() {
        // E4M3: 1.0 is 0x38, the next is 1.125 (0x39), then 1.25; 1.0625 is a tie. Largest 448 is 0x7e.
        let encoded = encode(DType::F8E4M3, &[1.0, 1.0625, 1.1875, -1.0, 1e9, 0.0, -0.0]);
        assert_eq!(encoded, [0x38, 0x38, 0x3a, 0xb8, 0x7e, 0x00, 0x80]);
        assert_eq!(encode(DType::F8E5M2, &[1.0, f32::INFINITY]), [0x3c, 0x7b]);
    }

    #[test]
    fn a_file_is_exactly_this() {
        let bytes = TestCheckpoint::new().values("a", DType::U8, &[2], &[7.0, 300.0]).to_bytes();
        let header = br#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}   "#;
        assert_eq!(bytes, raw_file(header, &[7, 255]));
    }
}
