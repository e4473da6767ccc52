//! Shared by the tests: files in, entries and codes out.

use std::path::{Path, PathBuf};

use weightscope_core::{EntryId, TensorSource};
use weightscope_load::{Checkpoint, LoadError, open};

/// Writes `bytes` as `name` into `folder`.
pub(crate) fn put(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Opens `bytes` as a file of its own.
pub(crate) fn open_bytes(bytes: impl AsRef<[u8]>) -> Result<Checkpoint, LoadError> {
    let folder = tempfile::tempdir().unwrap();
    open(&[put(folder.path(), "x.safetensors", bytes)])
}

/// Code and message of the rejection of `bytes`; the message is one line without controls.
pub(crate) fn rejected(bytes: impl AsRef<[u8]>) -> (&'static str, String) {
    describe(&open_bytes(bytes).expect_err("should be rejected"))
}

pub(crate) fn describe(error: &LoadError) -> (&'static str, String) {
    let message = error.to_string();
    assert!(!message.chars().any(char::is_control), "{message:?}");
    (error.code(), message)
}

/// `scope/name/code` of every error record.
pub(crate) fn faults(checkpoint: &Checkpoint) -> Vec<String> {
    let errors = checkpoint.metadata().errors.iter();
    errors.map(|e| format!("{:?} {} {}", e.scope, e.name, e.code)).collect()
}

pub(crate) fn names(checkpoint: &Checkpoint) -> Vec<&str> {
    checkpoint.entries().iter().map(|e| e.name.as_str()).collect()
}

/// All bytes of the tensor `name`.
pub(crate) fn bytes_of(checkpoint: &Checkpoint, name: &str) -> Vec<u8> {
    let at = checkpoint.entries().iter().position(|e| e.name == name).unwrap();
    let size = checkpoint.entries()[at].bytes;
    let mut bytes = vec![0; usize::try_from(size).unwrap()];
    checkpoint.read_at(EntryId(u32::try_from(at).unwrap()), 0..size, &mut bytes).unwrap();
    bytes
}
