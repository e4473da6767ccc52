//! The opened files of a checkpoint, for reading stored tensors.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use weightscope_core::{FileRecord, SourceError};

use crate::FileError;
use crate::blob::{Access, Blob, FileBlob};
use crate::container::{self, Container, StoredFile, StoredTensor, gguf};
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
    pub(crate) container: &'static dyn Container,
    /// The format in reports.
    pub(crate) format: String,
}

impl OpenFile {
    /// Opens a file and checks its table of contents.
    pub(crate) fn open(
        path: &Path,
        access: Access,
        keep: bool,
    ) -> Result<(Self, StoredFile), FileError> {
        let blob = FileBlob::open(path, access, keep)?;
        let (stored, container) = container::open(&blob).map_err(|fault| {
            let is_told = !matches!(
                fault,
                FileError::HeaderTooLarge { .. }
                    | FileError::HeaderTruncated { .. }
                    | FileError::InvalidHeader { .. }
            );
            // A name may know what the bytes do not tell.
            match foreign::by_extension(path) {
                Some(format) if !is_told => FileError::UnsupportedFormat { format },
                None if !is_told && is_gguf(path) && !has_magic(&blob) => {
                    FileError::WrongMagic { format: "GGUF" }
                }
                _ => fault,
            }
        })?;
        let format = match stored.purpose {
            None => container.name().to_owned(),
            Some(purpose) => format!("{} {purpose}", container.name()),
        };
        Ok((Self { name: file_name(path), blob, container, format }, stored))
    }

    pub(crate) fn record(&self) -> FileRecord {
        FileRecord { name: self.name.clone(), bytes: self.blob.len() }
    }
}

/// Whether a path is named like a GGUF.
pub(crate) fn is_gguf(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
}

/// Whether a file begins like a GGUF.
fn has_magic(blob: &dyn Blob) -> bool {
    let mut head = [0; 4];
    blob.read_at(0, &mut head).is_ok_and(|_| gguf::Gguf.claims(&head))
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
