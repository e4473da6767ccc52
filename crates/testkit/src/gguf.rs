//! Writing tiny GGUF files, sound and broken.
//!
//! The writer is independent of the reader it tests and of the gguf package: it follows ggml's `docs/gguf.md`.

use std::io;
use std::path::{Path, PathBuf};

use weightscope_codec::DType;

use crate::checkpoint::encode;

/// A value of the metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum GgufValue {
    /// An unsigned number of 8 bits.
    U8(u8),
    /// An unsigned number of 32 bits, as most counts are.
    U32(u32),
    /// A signed number of 32 bits.
    I32(i32),
    /// An unsigned number of 64 bits.
    U64(u64),
    /// A floating-point number of 32 bits.
    F32(f32),
    /// Yes or no.
    Bool(bool),
    /// Words.
    Text(String),
    /// Several values of the type of the first; `I32` when there is none.
    List(Vec<GgufValue>),
    /// A type number and bytes, written as they are.
    Raw(u32, Vec<u8>),
}

impl From<&str> for GgufValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u32> for GgufValue {
    fn from(n: u32) -> Self {
        Self::U32(n)
    }
}

impl GgufValue {
    fn kind(&self) -> u32 {
        match self {
            Self::U8(_) => 0,
            Self::U32(_) => 4,
            Self::I32(_) => 5,
            Self::F32(_) => 6,
            Self::Bool(_) => 7,
            Self::Text(_) => 8,
            Self::List(_) => 9,
            Self::U64(_) => 10,
            Self::Raw(kind, _) => *kind,
        }
    }

    fn write(&self, into: &mut Vec<u8>) {
        match self {
            Self::U8(n) => into.push(*n),
            Self::U32(n) => into.extend(n.to_le_bytes()),
            Self::I32(n) => into.extend(n.to_le_bytes()),
            Self::U64(n) => into.extend(n.to_le_bytes()),
            Self::F32(x) => into.extend(x.to_le_bytes()),
            Self::Bool(truth) => into.push(u8::from(*truth)),
            Self::Text(text) => write_text(into, text.as_bytes()),
            Self::List(items) => {
                into.extend(items.first().map_or(5, Self::kind).to_le_bytes());
                into.extend((items.len() as u64).to_le_bytes());
                for item in items {
                    item.write(into);
                }
            }
            Self::Raw(_, bytes) => into.extend_from_slice(bytes),
        }
    }
}

fn write_text(into: &mut Vec<u8>, text: &[u8]) {
    into.extend((text.len() as u64).to_le_bytes());
    into.extend_from_slice(text);
}

/// Metadata and tensors that are to become a GGUF.
///
/// ```
/// use weightscope_codec::DType;
/// use weightscope_testkit::gguf::TestGguf;
///
/// let bytes = TestGguf::new()
///     .pair("general.architecture", "llama")
///     .values("output_norm.weight", DType::F32, &[2], &[1.0, -2.0])
///     .to_bytes();
/// assert_eq!(bytes[..8], *b"GGUF\x03\0\0\0");
/// // The data begin at a multiple of 32 and are padded to one.
/// assert_eq!(bytes.len() % 32, 0);
/// assert_eq!(bytes[bytes.len() - 32..][..8], [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
/// ```
#[derive(Clone, Debug)]
pub struct TestGguf {
    /// Version; 3 unless changed.
    pub version: u32,
    /// What offsets are multiples of; written as `general.alignment` only by [`pair`](Self::pair).
    pub alignment: usize,
    /// The pairs, in order.
    pub pairs: Vec<(String, GgufValue)>,
    /// The tensors, in order.
    pub tensors: Vec<GgufTensor>,
}

/// One tensor of a [`TestGguf`].
#[derive(Clone, Debug)]
pub struct GgufTensor {
    /// Its name.
    pub name: String,
    /// Type number of ggml.
    pub kind: u32,
    /// Dimensions as other programs have them, the slowest first.
    pub shape: Vec<u64>,
    /// From the beginning of the data; `None` for where it lies.
    pub offset: Option<u64>,
    /// Its bytes, fitting or not.
    pub bytes: Vec<u8>,
}

impl Default for TestGguf {
    fn default() -> Self {
        Self { version: 3, alignment: 32, pairs: Vec::new(), tensors: Vec::new() }
    }
}

impl TestGguf {
    /// No metadata, no tensors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pair of metadata.
    #[must_use]
    pub fn pair(mut self, key: &str, value: impl Into<GgufValue>) -> Self {
        self.pairs.push((key.to_owned(), value.into()));
        self
    }

    /// Adds a tensor of stored bytes and any type number.
    #[must_use]
    pub fn tensor(mut self, name: &str, kind: u32, shape: &[u64], bytes: Vec<u8>) -> Self {
        let (name, shape) = (name.to_owned(), shape.to_vec());
        self.tensors.push(GgufTensor { name, kind, shape, offset: None, bytes });
        self
    }

    /// Adds a tensor of numbers, rounded to `dtype` by [`encode`].
    ///
    /// # Panics
    /// For a type that ggml does not have.
    #[must_use]
    pub fn values(self, name: &str, dtype: DType, shape: &[u64], values: &[f32]) -> Self {
        self.tensor(name, type_number(dtype), shape, encode(dtype, values))
    }

    /// All as one file.
    ///
    /// # Panics
    /// For an alignment of zero.
    pub fn to_bytes(&self) -> Vec<u8> {
        let pad = |bytes: &mut Vec<u8>| {
            bytes.resize(bytes.len().next_multiple_of(self.alignment), 0);
        };
        let mut data = Vec::new();
        let mut table = Vec::new();
        for tensor in &self.tensors {
            write_text(&mut table, tensor.name.as_bytes());
            table.extend((tensor.shape.len() as u32).to_le_bytes());
            for dimension in tensor.shape.iter().rev() {
                table.extend(dimension.to_le_bytes());
            }
            table.extend(tensor.kind.to_le_bytes());
            table.extend(tensor.offset.unwrap_or(data.len() as u64).to_le_bytes());
            data.extend_from_slice(&tensor.bytes);
            pad(&mut data);
        }
        let mut file = self.beginning(self.tensors.len() as u64, self.pairs.len() as u64);
        for (key, value) in &self.pairs {
            write_text(&mut file, key.as_bytes());
            file.extend(value.kind().to_le_bytes());
            value.write(&mut file);
        }
        file.extend(table);
        pad(&mut file);
        file.extend(data);
        file
    }

    /// The first 24 bytes with any counts.
    pub fn beginning(&self, tensors: u64, pairs: u64) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(tensors.to_le_bytes());
        bytes.extend(pairs.to_le_bytes());
        bytes
    }

    /// Writes the file `name` into `folder`; its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, folder: &Path, name: &str) -> io::Result<PathBuf> {
        let path = folder.join(name);
        std::fs::write(&path, self.to_bytes())?;
        Ok(path)
    }
}

/// ggml's number of a plain type.
///
/// # Panics
/// For a type that ggml does not have.
pub fn type_number(dtype: DType) -> u32 {
    match dtype {
        DType::F32 => 0,
        DType::F16 => 1,
        DType::I8 => 24,
        DType::I16 => 25,
        DType::I32 => 26,
        DType::I64 => 27,
        DType::F64 => 28,
        DType::BF16 => 30,
        other => panic!("ggml has no type {other}"),
    }
}

/// Rows as llama.cpp's converters order those of q and k: within a head of `head` rows, row `j head/2 + i` goes to
/// `2i + j`. The values are those of `rows` rows of equal length.
pub fn interleaved(values: &[f32], rows: usize, head: usize) -> Vec<f32> {
    let width = values.len() / rows;
    let from = |row: usize| {
        let (start, within) = (row - row % head, row % head);
        start + within % 2 * (head / 2) + within / 2
    };
    (0..rows).flat_map(|row| values[from(row) * width..][..width].iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_exactly_this() {
        let file =
            TestGguf::new().pair("k", 7).values("ab", DType::F16, &[2, 1], &[1.0, 2.0]).to_bytes();
        let mut expected = b"GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0".to_vec();
        expected.extend(b"\x01\0\0\0\0\0\0\0k\x04\0\0\0\x07\0\0\0");
        expected.extend(b"\x02\0\0\0\0\0\0\0ab\x02\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0");
        expected.extend(b"\x01\0\0\0\0\0\0\0\0\0\0\0");
        expected.resize(expected.len().next_multiple_of(32), 0);
        expected.extend(b"\0\x3c\0\x40");
        expected.resize(expected.len().next_multiple_of(32), 0);
        assert_eq!(file, expected);
    }

    #[test]
    fn pairs_come_side_by_side() {
        let values: Vec<f32> = (0..8).map(|n| n as f32).collect();
        assert_eq!(interleaved(&values, 8, 4), [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
    }
}
