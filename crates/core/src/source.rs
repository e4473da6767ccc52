//! A checkpoint's bytes.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use crate::report::stored_type;
use crate::{DType, ErrorRecord, FileRecord, GlobalRecord, Value, element_count};

/// Index of a tensor in [`TensorSource::entries`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub u32);

/// One tensor as a person means it: what the headers say of it, or of the several that it is stored in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorEntry {
    /// Its name: exactly as the file has it, or, when it is stored in several tensors, as it would be called if it were
    /// not.
    pub name: String,
    /// Type of the elements that [`TensorSource::read_at`] hands out; `None` when there are none to be had, because
    /// the type is unknown or the values are codes that this program does not decode.
    pub dtype: Option<DType>,
    /// The same in words; of an unknown type as the file spells it.
    pub dtype_name: String,
    /// Dimensions of what is handed out; empty for a scalar.
    pub shape: Vec<u64>,
    /// Number of elements, the checked product of the shape.
    pub elements: u64,
    /// Stored size in bytes, of all parts.
    pub bytes: u64,
    /// Index of its file in [`Metadata::files`]; of its first part, when it has several.
    pub file: usize,
    /// Which dimension holds output units, where the format fixes it; else shapes tell.
    pub orientation: Option<Orientation>,
    /// How it is stored, unless as plain elements of `dtype`.
    pub stored: Option<Box<StoredForm>>,
}

impl TensorEntry {
    /// A tensor of plain elements, in the first file; with a size of 0 when the product of the shape overflows.
    pub fn plain(name: &str, dtype: DType, shape: &[u64]) -> Self {
        let elements = element_count(shape).unwrap_or(0);
        Self {
            name: name.to_owned(),
            dtype: Some(dtype),
            dtype_name: dtype.name().to_owned(),
            shape: shape.to_vec(),
            elements,
            bytes: elements.saturating_mul(dtype.bytes() as u64),
            file: 0,
            orientation: None,
            stored: None,
        }
    }

    /// How it is stored, in one word for every output: the scheme of a stored form, else the element type.
    pub fn stored_type(&self) -> Cow<'_, str> {
        let scheme = self.stored.as_ref().map(|form| form.scheme.as_str());
        stored_type(scheme, &self.dtype_name, self.dtype.is_some())
    }

    /// Stored bits of each element, factors included; `None` for what is not decoded and for no elements.
    pub fn stored_bits(&self) -> Option<f64> {
        self.dtype.filter(|_| self.elements > 0)?;
        Some(8.0 * self.bytes as f64 / self.elements as f64)
    }

    /// Stored bytes of so many of its elements, with their share of factors and other parts.
    pub fn stored_bytes(&self, elements: u64) -> u64 {
        let all = u128::from(self.elements.max(1));
        let bytes = (u128::from(self.bytes) * u128::from(elements) + all / 2) / all;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// Bytes that [`TensorSource::read_at`] can hand out, 0 where there are none.
    pub fn served_bytes(&self) -> u64 {
        self.dtype.map_or(0, |dtype| self.elements.saturating_mul(dtype.bytes() as u64))
    }
}

/// Which way a format stores its matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orientation {
    /// `[.., out, in]`.
    OutIn,
    /// `[.., in, out]`.
    InOut,
}

/// How a tensor is stored that is not plain elements of the type it is read as: in blocks with their scales, or as
/// codes with factors in tensors of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredForm {
    /// In the field's words: `Q4_K`, `gptq int4 g128`, `fp8 128x128`.
    pub scheme: String,
    /// The stored tensors it is made of, the one with the codes first.
    pub parts: Vec<String>,
    /// How many elements along each of the last two dimensions share a factor; `None` when that varies.
    pub factor_block: Option<[u64; 2]>,
    /// Why its values cannot be read; `None` when they can.
    pub unreadable: Option<String>,
}

/// What a checkpoint says of itself beside its tensors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// Path as the user typed it.
    pub path: String,
    /// Container format, for example `safetensors`.
    pub format: String,
    /// Files with weights, in the order of their names.
    pub files: Vec<FileRecord>,
    /// The parsed config.json.
    pub config: Option<Value>,
    /// The parsed adapter_config.json.
    pub adapter_config: Option<Value>,
    /// What was wrong with shards and side files.
    pub errors: Vec<ErrorRecord>,
    /// What the files would import and call in a program that unpickles them; nothing of it was run.
    pub globals: Vec<GlobalRecord>,
    /// What was chosen to be read, and what else lies there and was not: one sentence each.
    pub notes: Vec<String>,
    /// Files with weights in the folder and below it that are not read.
    pub unread: Vec<FileRecord>,
    /// Tensors that are the same bytes of a file under two names: (copy, original).
    pub shared: Vec<(String, String)>,
    /// Identifies the state of the files (sizes, modification times, header hashes), for resuming.
    pub fingerprint: String,
}

/// Where a checkpoint's bytes come from: files, memory, a test.
///
/// Reading is positional and shared by threads, and every byte is copied once before it is looked at, so
/// a file that changes meanwhile cannot make two looks at one value disagree. Implementations return exactly the bytes asked for or an
/// error; they never extend or truncate.
pub trait TensorSource: Send + Sync {
    /// All tensors; [`EntryId`] indexes this slice.
    fn entries(&self) -> &[TensorEntry];

    /// What else is known of the checkpoint.
    fn metadata(&self) -> &Metadata;

    /// What is known of each checkpoint that the bytes come from: of this one, or of the two of a comparison.
    fn sources(&self) -> Vec<&Metadata> {
        vec![self.metadata()]
    }

    /// Copies the bytes `range` of a tensor (relative to its start, as elements of [`TensorEntry::dtype`]) into `into`,
    /// which has that length. What is stored in another form is decoded, and no more of it than the range touches.
    ///
    /// # Errors
    /// When the file cannot be read, has become shorter, the range is outside of the tensor, or its codes cannot be
    /// decoded.
    fn read_at(
        &self,
        entry: EntryId,
        range: Range<u64>,
        into: &mut [u8],
    ) -> Result<(), SourceError>;

    /// What rounding to the stored form is expected to have cost each of the elements `range` of a tensor that has one
    /// ([`TensorEntry::stored`]): the root mean square error, in units of the weights. For a uniform grid that is the
    /// step over sqrt(12), for a codebook the distance to the nearest point. 0 where a factor is zero, and not finite
    /// where a factor is not. Plain tensors are not asked: their element type tells.
    ///
    /// # Errors
    /// As [`TensorSource::read_at`].
    fn rounding_at(
        &self,
        entry: EntryId,
        range: Range<u64>,
        into: &mut [f32],
    ) -> Result<(), SourceError> {
        let (_, _) = (entry, range);
        into.fill(0.0);
        Ok(())
    }

    /// Files whose size or modification time has changed since they were opened, by name.
    fn changed_files(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Why bytes could not be had. Cheap to clone, because the result of reading a weight is shared.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The operating system refused.
    #[error("tensor \"{tensor}\": cannot read {file}: {cause}")]
    Read {
        /// Tensor name.
        tensor: String,
        /// File name.
        file: String,
        /// The operating system's word.
        #[source]
        cause: Arc<std::io::Error>,
    },
    /// The file ends before the tensor does.
    #[error(
        "tensor \"{tensor}\": {file} ended at byte {end} while it was read, the tensor needs {needs}"
    )]
    Truncated {
        /// Tensor name.
        tensor: String,
        /// File name.
        file: String,
        /// First missing byte.
        end: u64,
        /// End of the range that was asked for.
        needs: u64,
    },
    /// The stored codes or factors contradict each other.
    #[error("tensor \"{tensor}\": cannot be decoded: {reason}")]
    Broken {
        /// Tensor name.
        tensor: String,
        /// What does not fit, with the numbers.
        reason: String,
    },
    /// The range is outside of the tensor: a bug in the caller.
    #[error("tensor \"{tensor}\": bytes {start}..{end} of {size} were asked for")]
    OutOfRange {
        /// Tensor name.
        tensor: String,
        /// First byte asked for.
        start: u64,
        /// End of the range asked for.
        end: u64,
        /// The tensor's size.
        size: u64,
    },
}
