//! Writing a report so that a failure leaves the old one as it was.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Writes `contents` to `path` at once or not at all.
///
/// A temporary file in the same folder is written, synchronised and renamed over `path`; on failure it is
/// removed and an existing file keeps every byte. An existing file keeps its permissions, a new one gets
/// the usual ones. A symbolic link to a regular file is followed: the file it names is replaced, the link
/// stays. The folder must exist.
///
/// # Errors
/// When `path` is a folder, a device, a FIFO, a socket or a link to nothing, or when its folder cannot be
/// written. The message names the path.
pub fn write_atomic(path: &Path, contents: &[u8]) -> Result<(), WriteError> {
    let fail = |problem| WriteError {
        path: crate::escape::terminal_within(&path.to_string_lossy(), 1000).into_owned(),
        problem,
    };
    let (target, old) = target(path).map_err(fail)?;
    replace(&target, old.as_ref(), contents).map_err(|e| fail(Problem::Io(e)))
}

/// The file to replace, and what it is now.
fn target(path: &Path) -> Result<(PathBuf, Option<fs::Metadata>), Problem> {
    if path.file_name().is_none() {
        return Err(Problem::Folder);
    }
    let link = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.is_symlink(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((path.to_owned(), None)),
        Err(e) => return Err(Problem::Io(e)),
    };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if link && e.kind() == io::ErrorKind::NotFound => return Err(Problem::Dangling),
        Err(e) => return Err(Problem::Io(e)),
    };
    if metadata.is_dir() {
        return Err(Problem::Folder);
    }
    if !metadata.is_file() {
        return Err(Problem::Special);
    }
    let target = if link { fs::canonicalize(path).map_err(Problem::Io)? } else { path.to_owned() };
    Ok((target, Some(metadata)))
}

fn replace(target: &Path, old: Option<&fs::Metadata>, contents: &[u8]) -> io::Result<()> {
    let folder = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".weightscope-").suffix(".tmp");
    #[cfg(unix)]
    let usual = {
        use std::os::unix::fs::PermissionsExt as _;
        fs::Permissions::from_mode(0o666)
    };
    // The process's umask takes its part of the usual permissions.
    #[cfg(unix)]
    builder.permissions(usual);
    let mut file = builder.tempfile_in(folder).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => io::Error::new(e.kind(), "its folder does not exist"),
        // The temporary name in the operating system's message would only puzzle.
        kind => match e.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::from(kind),
        },
    })?;
    file.write_all(contents)?;
    if let Some(old) = old {
        file.as_file().set_permissions(old.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(target).map_err(|e| e.error)?;
    // The rename itself becomes durable with the folder; where folders cannot be synchronised the file
    // is whole all the same.
    #[cfg(unix)]
    let _ = fs::File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct WriteError {
    path: String,
    #[source]
    problem: Problem,
}

impl WriteError {
    /// The path as given, harmless to print.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The reason without the path.
    pub fn reason(&self) -> String {
        self.problem.to_string()
    }
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("is a folder; name a file in it")]
    Folder,
    #[error("is not a regular file; reports are not written to devices or pipes")]
    Special,
    #[error("is a symbolic link to nothing")]
    Dangling,
    #[error("cannot be written: {0}")]
    Io(#[source] io::Error),
}
