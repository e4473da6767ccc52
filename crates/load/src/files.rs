//! The opened files of a checkpoint, for reading stored tensors.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weightscope_core::{FileRecord, SourceError};

use crate::FileError;
use crate::blob::{Access, Blob, FileBlob};
use crate::container::{self, Container, StoredFile, StoredTensor, gguf, numpy, pytorch};
use crate::foreign;
use crate::view::Tiles;

/// The files, in the order in which stored tensors number them.
#[derive(Debug, Default)]
pub(crate) struct Files {
    files: Vec<OpenFile>,
    /// Of tensors whose elements do not lie one after the other.
    tiles: Tiles,
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
                None if !is_told && is_numpy(path) && !numpy::NumPy.claims(&head_of(&blob)) => {
                    FileError::WrongMagic { format: "NumPy" }
                }
                None if !is_told && is_torch(path) && !is_torch_file(&blob) => {
                    FileError::WrongMagic { format: "PyTorch" }
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

/// Whether a path is named like arrays of NumPy.
fn is_numpy(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|e| ["npy", "npz"].iter().any(|other| e.eq_ignore_ascii_case(other)))
}

/// The first bytes of a file.
fn head_of(blob: &dyn Blob) -> Vec<u8> {
    let mut head = vec![0; 64];
    let filled = blob.read_at(0, &mut head).unwrap_or(0);
    head.truncate(filled);
    head
}

/// Whether a path is named like a file of torch.save.
pub(crate) fn is_torch(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| {
        ["bin", "pt", "pth", "ckpt"].iter().any(|other| extension.eq_ignore_ascii_case(other))
    })
}

/// Whether a file begins like one of torch.save.
pub(crate) fn is_torch_file(blob: &dyn Blob) -> bool {
    let mut head = [0; 16];
    blob.read_at(0, &mut head)
        .is_ok_and(|filled| pytorch::PyTorch.claims(head.get(..filled).unwrap_or_default()))
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
        Self { files, tiles: Tiles::default() }
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
        let Some(view) = &tensor.view else { return Self::read_plain(file, tensor, start, into) };
        // Why a piece could not be had; the tile that lacks it is only told that it failed.
        let fault = RefCell::new(None);
        let read = |at: u64, into: &mut [u8]| {
            Self::read_plain(file, tensor, at, into).map_err(|cause| {
                fault.replace(Some(cause));
                io::Error::other("a part could not be read")
            })
        };
        let result = self.tiles.read(view, tensor.file, tensor.start, start, into, &read);
        result.map_err(|cause| {
            fault.take().unwrap_or_else(|| SourceError::Read {
                tensor: tensor.name.clone(),
                file: file.name.clone(),
                cause: Arc::new(cause),
            })
        })
    }

    /// Copies bytes of the file from byte `start` after the beginning of a tensor on.
    fn read_plain(
        file: &OpenFile,
        tensor: &StoredTensor,
        start: u64,
        into: &mut [u8],
    ) -> Result<(), SourceError> {
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
                needs: offset.saturating_add(into.len() as u64),
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
