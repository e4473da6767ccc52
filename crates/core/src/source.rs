//! A checkpoint's bytes.

use std::ops::Range;
use std::sync::Arc;

use crate::{DType, ErrorRecord, FileRecord, Value};

/// Index of a tensor in [`TensorSource::entries`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub u32);

/// One stored tensor: what the headers say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorEntry {
    /// Its name, exactly as the file has it.
    pub name: String,
    /// Element type; `None` when this program does not know it.
    pub dtype: Option<DType>,
    /// Element type as the file spells it.
    pub dtype_name: String,
    /// Dimensions as stored; empty for a scalar.
    pub shape: Vec<u64>,
    /// Number of elements, the checked product of the shape.
    pub elements: u64,
    /// Stored size in bytes.
    pub bytes: u64,
    /// Index of its file in [`Metadata::files`].
    pub file: usize,
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
    /// What was wrong with shards and side files.
    pub errors: Vec<ErrorRecord>,
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

    /// Copies the bytes `range` of a tensor (relative to its start) into `into`, which has that length.
    ///
    /// # Errors
    /// When the file cannot be read, has become shorter, or the range is outside of the tensor.
    fn read_at(
        &self,
        entry: EntryId,
        range: Range<u64>,
        into: &mut [u8],
    ) -> Result<(), SourceError>;

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
