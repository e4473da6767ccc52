//! What a stopped scan has measured, one JSON line per weight.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weightscope_core::{ErrorRecord, Figure, Settings, ToolRecord, WeightRecord, WeightStatus};

/// First line: what must agree before a journal may be resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) journal: u32,
    pub(crate) tool: ToolRecord,
    pub(crate) settings: Settings,
    /// Names, sizes, modification times and header hashes of the checkpoint's files.
    pub(crate) source: String,
}

/// Version of the journal's lines.
pub(crate) const VERSION: u32 = 1;

/// Everything one weight contributed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Finished {
    pub(crate) weight: WeightRecord,
    pub(crate) figures: Vec<Figure>,
    pub(crate) errors: Vec<ErrorRecord>,
    /// Rounds of measuring that it has been through: follow-ups come in the second.
    pub(crate) rounds: u32,
}

/// Why a journal cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// It cannot be read or written.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The journal.
        path: PathBuf,
        /// The operating system's word.
        #[source]
        cause: Arc<io::Error>,
    },
    /// It belongs to another run.
    #[error("{}: cannot resume, {what} changed since the journal was begun; remove it to start anew", path.display())]
    Mismatch {
        /// The journal.
        path: PathBuf,
        /// What is different.
        what: &'static str,
    },
}

/// An open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Begins a journal, replacing an old one.
    pub(crate) fn create(path: &Path, header: &Header) -> Result<Self, JournalError> {
        let file = File::create(path).map_err(|cause| io_error(path, cause))?;
        let mut journal = Self { path: path.to_owned(), file };
        journal.write_line(header)?;
        Ok(journal)
    }

    /// Opens the journal of an interrupted run and returns the weights it measured. A journal that does
    /// not exist is begun; a last line that was cut off is dropped.
    pub(crate) fn resume(
        path: &Path,
        header: &Header,
    ) -> Result<(Self, Vec<Finished>), JournalError> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                return Ok((Self::create(path, header)?, Vec::new()));
            }
            Err(cause) => return Err(io_error(path, cause)),
        };
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        let mut complete = 0u64;
        let mut done = Vec::new();
        let mut first = true;
        loop {
            line.clear();
            let length =
                reader.read_until(b'\n', &mut line).map_err(|cause| io_error(path, cause))?;
            if line.last() != Some(&b'\n') {
                break;
            }
            if first {
                check(path, header, &line)?;
                first = false;
            } else {
                let Ok(finished) = serde_json::from_slice::<Finished>(&line) else { break };
                // A weight that failed is tried again: the disk may be well by now.
                if finished.weight.status == WeightStatus::Ok {
                    done.push(finished);
                }
            }
            complete += length as u64;
        }
        if first {
            return Ok((Self::create(path, header)?, Vec::new()));
        }
        let mut journal = Self { path: path.to_owned(), file };
        let end = journal.file.set_len(complete).and_then(|()| journal.file.seek(SeekFrom::End(0)));
        end.map_err(|cause| io_error(path, cause))?;
        Ok((journal, done))
    }

    /// Appends a weight. It is with the operating system when this returns: a killed process loses nothing.
    pub(crate) fn push(&mut self, finished: &Finished) -> Result<(), JournalError> {
        self.write_line(finished)
    }

    fn write_line(&mut self, value: &impl Serialize) -> Result<(), JournalError> {
        let mut line =
            serde_json::to_vec(value).map_err(|cause| io_error(&self.path, cause.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(|cause| io_error(&self.path, cause))
    }
}

fn check(path: &Path, want: &Header, line: &[u8]) -> Result<(), JournalError> {
    let mismatch = |what| Err(JournalError::Mismatch { path: path.to_owned(), what });
    let Ok(have) = serde_json::from_slice::<Header>(line) else {
        return mismatch("the journal's format");
    };
    if have.journal != want.journal || have.tool != want.tool {
        return mismatch("the program's version");
    }
    if have.settings != want.settings {
        return mismatch("a setting");
    }
    if have.source != want.source {
        return mismatch("the checkpoint");
    }
    Ok(())
}

fn io_error(path: &Path, cause: io::Error) -> JournalError {
    JournalError::Io { path: path.to_owned(), cause: Arc::new(cause) }
}
