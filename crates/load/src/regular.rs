//! Regular files: opening them without being held up, and reading them by position.

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::FileError;
use crate::blob::{self, Access, FileBlob};

/// Largest config.json or index that is read.
pub(crate) const MAX_SIDE_FILE_BYTES: u64 = 32_000_000;

/// What tells that a file is still the one that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileState {
    pub(crate) bytes: u64,
    pub(crate) modified: Option<SystemTime>,
}

impl FileState {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self { bytes: metadata.len(), modified: metadata.modified().ok() }
    }

    /// Modification time in nanoseconds since 1970, negative before; `?` where there is none.
    pub(crate) fn modified_nanos(&self) -> String {
        match self.modified.map(|time| time.duration_since(UNIX_EPOCH)) {
            None => "?".to_owned(),
            Some(Ok(after)) => after.as_nanos().to_string(),
            Some(Err(before)) => format!("-{}", before.duration().as_nanos()),
        }
    }
}

/// Opens a regular file for reading, through symbolic links. A FIFO or device is refused and not waited for.
pub(crate) fn open(path: &Path) -> Result<(File, FileState), FileError> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // A FIFO without a writer would block the open; regular files ignore the flag.
        options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    }
    let file = match options.open(path) {
        Ok(file) => file,
        // Sockets everywhere and folders on Windows cannot be opened at all: say what they are.
        Err(cause) => {
            return Err(match std::fs::metadata(path) {
                Ok(metadata) if !metadata.is_file() => {
                    FileError::NotRegular { what: kind(metadata.file_type()) }
                }
                _ => cause.into(),
            });
        }
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(FileError::NotRegular { what: kind(metadata.file_type()) });
    }
    Ok((file, FileState::of(&metadata)))
}

fn kind(file_type: FileType) -> &'static str {
    if file_type.is_dir() {
        return "a folder";
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if file_type.is_fifo() {
            return "a FIFO";
        }
        if file_type.is_socket() {
            return "a socket";
        }
    }
    "a device"
}

/// Fills `into` from `offset` on; fewer bytes come back only where the file ends.
pub(crate) fn read_at(file: &File, offset: u64, into: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0usize;
    while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let Some(position) = offset.checked_add(filled as u64) else { break };
        match positional(file, rest, position) {
            Ok(0) => break,
            Ok(n) => filled = filled.saturating_add(n),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(unix)]
fn positional(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, into, offset)
}

#[cfg(windows)]
fn positional(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, into, offset)
}

/// The whole of a config.json or an index.
pub(crate) fn read_side_file(path: &Path) -> Result<(Vec<u8>, FileState), FileError> {
    let file = FileBlob::open(path, Access::Positional, true)?;
    let state = file.state();
    if state.bytes > MAX_SIDE_FILE_BYTES {
        return Err(FileError::SideFileTooLarge { bytes: state.bytes });
    }
    Ok((blob::read_checked(&file, 0, state.bytes, |_| Ok(()))?, state))
}
