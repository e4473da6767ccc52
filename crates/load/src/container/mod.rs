//! File formats that hold tensors: from bytes to what is stored where.
//!
//! A container is one file here and one line in [`CONTAINERS`]. It reads a table of contents and believes none of its
//! numbers before they are compared with the bytes that are there; it touches no values.

pub(crate) mod gguf;
pub(crate) mod numpy;
pub(crate) mod pytorch;
pub(crate) mod safetensors;
mod zip;

use std::fmt;

use weightscope_codec::BlockFormat;
use weightscope_core::{DType, GlobalRecord, Orientation, Value, element_count};

use crate::blob::Blob;
use crate::row_order::RowOrder;
pub(crate) use crate::view::View;
use crate::{FileError, foreign};

/// Most tensors of one checkpoint.
pub(crate) const MAX_TENSORS: u64 = 1_000_000;
/// Most dimensions of one tensor.
pub(crate) const MAX_DIMENSIONS: u64 = 64;

/// Bytes that a container is told by.
const HEAD_BYTES: usize = 512;

/// A file format.
pub(crate) trait Container: fmt::Debug + Sync {
    /// Name in reports.
    fn name(&self) -> &'static str;

    /// Whether a file that begins with `head` is of this format: by its magic, never by its name.
    fn claims(&self, head: &[u8]) -> bool;

    /// Reads and checks the table of contents.
    ///
    /// # Errors
    /// When it cannot be trusted as a whole. What is wrong with one tensor is told in [`StoredFile::faults`].
    fn open(&self, blob: &dyn Blob, head: &[u8]) -> Result<StoredFile, FileError>;

    /// Adds what can be told only when the tensors of all files are known: to the configuration of the first file that
    /// has one, and to the tensors.
    fn finish(&self, tensors: &mut [StoredTensor], config: &mut Option<Value>) {
        let (_, _) = (tensors, config);
    }
}

/// Every format, those with a magic first; the last one takes what is left.
static CONTAINERS: &[&dyn Container] =
    &[&gguf::Gguf, &numpy::NumPy, &pytorch::PyTorch, &safetensors::Safetensors];

/// What one file holds.
#[derive(Debug, Default)]
pub(crate) struct StoredFile {
    /// In the order of the table of contents.
    pub(crate) tensors: Vec<StoredTensor>,
    /// What is wrong with single tensors or entries: the name, a stable code, and the rest of the message.
    pub(crate) faults: Vec<Fault>,
    /// What the file says of the model, in the words of a config.json.
    pub(crate) config: Option<Value>,
    /// Which part of a split model it says it is.
    pub(crate) split: Option<Split>,
    /// What it is for, when it is no model.
    pub(crate) purpose: Option<&'static str>,
    /// What it would import in a program that unpickles it.
    pub(crate) globals: Vec<GlobalRecord>,
    /// What of it was chosen, and what it holds beside.
    pub(crate) notes: Vec<String>,
    /// Fingerprint of the table of contents.
    pub(crate) hash: u128,
}

/// What a part of a split model says of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    /// Its own number, from 0.
    pub(crate) number: u64,
    /// How many parts there are.
    pub(crate) count: u64,
    /// Tensors of all parts.
    pub(crate) tensors: Option<u64>,
}

/// Something wrong with a part of a file.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The tensor; `None` for the file.
    pub(crate) tensor: Option<String>,
    /// Stable kebab-case code.
    pub(crate) code: &'static str,
    /// One sentence, escaped, without the names of tensor and file.
    pub(crate) message: String,
}

/// One tensor as it is stored, and where.
#[derive(Debug)]
pub(crate) struct StoredTensor {
    /// Its name.
    pub(crate) name: String,
    /// What its bytes are.
    pub(crate) encoding: Encoding,
    /// The same as the format spells it.
    pub(crate) type_name: String,
    /// Dimensions in elements, the slowest first.
    pub(crate) shape: Vec<u64>,
    /// Their checked product.
    pub(crate) elements: u64,
    /// Stored bytes; of elements that share some, as if they did not.
    pub(crate) bytes: u64,
    /// Index of its file.
    pub(crate) file: usize,
    /// First byte in the file.
    pub(crate) start: u64,
    /// How its elements lie from there on, unless one after the other.
    pub(crate) view: Option<Box<View>>,
    /// Which dimension holds output units, where the format fixes it.
    pub(crate) orientation: Option<Orientation>,
    /// Where its rows lie, unless one after the other.
    pub(crate) row_order: Option<RowOrder>,
}

/// What the bytes of a stored tensor are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Encoding {
    /// Elements of one type.
    Plain(DType),
    /// Blocks of values, row by row.
    Blocks(&'static BlockFormat),
    /// A type that this program does not know.
    Unknown,
}

impl StoredTensor {
    /// The type of its elements, when they are plain.
    pub(crate) fn dtype(&self) -> Option<DType> {
        match self.encoding {
            Encoding::Plain(dtype) => Some(dtype),
            Encoding::Blocks(_) | Encoding::Unknown => None,
        }
    }

    /// Rows and columns of the tensor seen as a matrix with its last dimension as columns. The elements of a vector
    /// that has an order of rows are its rows.
    pub(crate) fn matrix(&self) -> [u64; 2] {
        if let (Some(_), [rows]) = (self.row_order, self.shape.as_slice()) {
            return [*rows, 1];
        }
        let (last, rest) =
            self.shape.split_last().map_or((1, &[][..]), |(last, rest)| (*last, rest));
        [element_count(rest).unwrap_or(0), last]
    }
}

/// Reads and checks the table of contents of a file, whatever its format; and says which it is.
pub(crate) fn open(blob: &dyn Blob) -> Result<(StoredFile, &'static dyn Container), FileError> {
    let mut head = [0; HEAD_BYTES];
    let filled = blob.read_at(0, &mut head)?;
    let head = head.get(..filled).unwrap_or_default();
    let container = CONTAINERS.iter().find(|container| container.claims(head));
    let Some(container) = container else {
        return Err(foreign::by_content(head)
            .unwrap_or(FileError::HeaderTruncated { bytes: blob.len(), needs: 8 }));
    };
    Ok((container.open(blob, head)?, *container))
}
