//! The opened files of a checkpoint, for reading stored tensors.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use weightscope_core::{FileRecord, SourceError};

use crate::FileError;
use crate::blob::{Access, Blob, FileBlob};
use crate::container::{self, StoredFile, StoredTensor};
use crate::foreign;

/// The files, in the order in which stored tensors number them.
#[derive(Debug, Default)]
pub(crate) struct Files {
    files: Vec<OpenFile>,
}

/// One opened file.
#[derive(Debug)]
pub(crate) struct OpenFile {
    /// Without its folder.
    pub(crate) name: String,
    pub(crate) blob: FileBlob,
    /// Its format.
    pub(crate) format: &'static str,
}

impl OpenFile {
    /// Opens a file and checks its table of contents.
    pub(crate) fn open(
        path: &Path,
        access: Access,
        keep: bool,
    ) -> Result<(Self, StoredFile), FileError> {
        let blob = FileBlob::open(path, access, keep)?;
        let (stored, format) = container::open(&blob).map_err(|fault| {
            // A name may know what the bytes do not tell.
            match (&fault, foreign::by_extension(path)) {
                (
                    FileError::HeaderTooLarge { .. }
                    | FileError::HeaderTruncated { .. }
                    | FileError::InvalidHeader { .. },
                    Some(format),
                ) => FileError::UnsupportedFormat { format },
                _ => fault,
            }
        })?;
        Ok((Self { name: file_name(path), blob, format }, stored))
    }

    pub(crate) fn record(&self) -> FileRecord {
        FileRecord { name: self.name.clone(), bytes: self.blob.len() }
    }
}

/// The last part of a path.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

impl Files {
    pub(crate) fn new(files: Vec<OpenFile>) -> Self {
        Self { files }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &OpenFile> {
        self.files.iter()
    }

    pub(crate) fn get(&self, file: usize) -> Option<&OpenFile> {
        self.files.get(file)
    }

    /// Copies stored bytes of a tensor from its byte `start` on; the caller keeps within the tensor.
    pub(crate) fn read(
        &self,
        tensor: &StoredTensor,
        start: u64,
        into: &mut [u8],
    ) -> Result<(), SourceError> {
        let end = start.saturating_add(into.len() as u64);
        let Some(file) = self.files.get(tensor.file).filter(|_| end <= tensor.bytes) else {
            return Err(SourceError::OutOfRange {
                tensor: tensor.name.clone(),
                start,
                end,
                size: tensor.bytes,
            });
        };
        let offset = tensor.start.saturating_add(start);
        let copied = file.blob.read_at(offset, into).map_err(|cause| SourceError::Read {
            tensor: tensor.name.clone(),
            file: file.name.clone(),
            cause: Arc::new(cause),
        })?;
        if copied < into.len() {
            return Err(SourceError::Truncated {
                tensor: tensor.name.clone(),
                file: file.name.clone(),
                end: offset.saturating_add(copied as u64),
                needs: tensor.start.saturating_add(end),
            });
        }
        Ok(())
    }
}

/// The folder of a path, `.` for a bare name.
pub(crate) fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}
