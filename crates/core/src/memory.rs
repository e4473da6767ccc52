//! A checkpoint in memory.

use std::ops::Range;

use crate::{DType, EntryId, Metadata, SourceError, TensorEntry, TensorSizeError, TensorSource};

/// Tensors held in memory: for programs that have the weights already, and for tests.
#[derive(Clone, Debug, Default)]
pub struct MemorySource {
    entries: Vec<TensorEntry>,
    data: Vec<Vec<u8>>,
    metadata: Metadata,
}

impl MemorySource {
    /// An empty checkpoint with this metadata.
    pub fn new(metadata: Metadata) -> Self {
        Self { entries: Vec::new(), data: Vec::new(), metadata }
    }

    /// Adds a tensor: row-major, little-endian elements.
    ///
    /// # Errors
    /// [`TensorSizeError`] when the bytes are not what the shape needs.
    pub fn push(
        &mut self,
        name: &str,
        dtype: DType,
        shape: &[u64],
        bytes: Vec<u8>,
    ) -> Result<EntryId, TensorSizeError> {
        crate::Tensor::new(dtype, shape, &bytes)?;
        let id = EntryId(self.entries.len() as u32);
        self.entries.push(TensorEntry::plain(name, dtype, shape));
        self.data.push(bytes);
        Ok(id)
    }
}

impl TensorSource for MemorySource {
    fn entries(&self) -> &[TensorEntry] {
        &self.entries
    }

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn read_at(
        &self,
        entry: EntryId,
        range: Range<u64>,
        into: &mut [u8],
    ) -> Result<(), SourceError> {
        let data = self.data.get(entry.0 as usize).map_or(&[][..], Vec::as_slice);
        let part = data
            .get(range.start as usize..range.end as usize)
            .filter(|part| part.len() == into.len());
        let part = part.ok_or_else(|| SourceError::OutOfRange {
            tensor: self.entries.get(entry.0 as usize).map_or_else(String::new, |e| e.name.clone()),
            start: range.start,
            end: range.end,
            size: data.len() as u64,
        })?;
        into.copy_from_slice(part);
        Ok(())
    }
}
