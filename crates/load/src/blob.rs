//! Bytes by position: a file, a memory map, and whatever else may follow.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::FileError;
use crate::map::Map;
use crate::regular::{self, FileState};

/// Bytes read at once where the total is only a claim.
const CHUNK: usize = 1 << 20;

/// Bytes that can be copied out by position, by several threads at once.
pub(crate) trait Blob: fmt::Debug + Send + Sync {
    /// How many there are.
    fn len(&self) -> u64;

    /// Fills `into` from `offset` on; fewer bytes come back only where they end.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;
}

/// Reads `count` bytes from `offset` on, in chunks that `check` may refuse before the next one is read:
/// memory grows with what is there and valid, not with what is claimed. Fewer bytes come back where they end.
pub(crate) fn read_checked(
    blob: &dyn Blob,
    offset: u64,
    count: u64,
    mut check: impl FnMut(&[u8]) -> Result<(), FileError>,
) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    loop {
        let done = bytes.len();
        let left = count.saturating_sub(done as u64);
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK);
        bytes.resize(done.saturating_add(size), 0);
        let Some(chunk) = bytes.get_mut(done..) else { break };
        let filled = blob.read_at(offset.saturating_add(done as u64), chunk)?;
        let end = done.saturating_add(filled);
        bytes.truncate(end);
        if filled == 0 {
            break;
        }
        check(bytes.get(done..).unwrap_or_default())?;
    }
    Ok(bytes)
}

/// How files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Positional,
    Mapped,
}

/// A regular file.
#[derive(Debug)]
pub(crate) struct FileBlob {
    path: PathBuf,
    /// When it was opened.
    state: FileState,
    /// `None` where a file is opened anew for each read.
    file: Option<File>,
    map: Option<Map>,
}

impl FileBlob {
    /// Opens a file; it stays open if `keep`.
    pub(crate) fn open(path: &Path, access: Access, keep: bool) -> Result<Self, FileError> {
        let (file, state) = regular::open(path)?;
        let map = match access {
            Access::Positional => None,
            Access::Mapped => Some(Map::new(&file, state.bytes)?),
        };
        Ok(Self { path: path.to_owned(), state, file: keep.then_some(file), map })
    }

    /// What the file was when it was opened.
    pub(crate) fn state(&self) -> FileState {
        self.state
    }

    /// Whether the file is another one now, or gone.
    pub(crate) fn has_changed(&self) -> bool {
        let now = std::fs::metadata(&self.path).map(|metadata| FileState::of(&metadata));
        now.ok() != Some(self.state)
    }
}

impl Blob for FileBlob {
    fn len(&self) -> u64 {
        self.state.bytes
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let reopened;
        let file = if let Some(file) = &self.file {
            file
        } else {
            let (file, state) = regular::open(&self.path).map_err(io::Error::other)?;
            if state != self.state {
                return Err(io::Error::other("the file has changed since it was opened"));
            }
            reopened = file;
            &reopened
        };
        let Some(map) = &self.map else { return regular::read_at(file, offset, into) };
        let left = file.metadata()?.len().min(self.state.bytes).saturating_sub(offset);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        let into = into.get_mut(..count).unwrap_or_default();
        map.copy(offset, into).ok_or_else(|| io::Error::other("outside of the map"))?;
        Ok(into.len())
    }
}
