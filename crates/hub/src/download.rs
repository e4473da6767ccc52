//! One file of a repository, into the blobs of the cache: continued where an earlier download broke off, checked, and
//! only then called by its name.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::HubError;
use crate::cache::INCOMPLETE;
use crate::choice::Listed;
use crate::remote::{Answer, Remote, Span, TRIES, header, unusable};

/// Bytes that are copied at once.
const PIECE: usize = 1 << 18;

/// A file that is on its way.
pub(crate) struct Download<'a> {
    pub(crate) remote: &'a Remote,
    /// What messages call it.
    pub(crate) about: &'a str,
    /// Its place on the hub.
    pub(crate) url: &'a str,
    pub(crate) file: &'a Listed,
    /// Where it goes.
    pub(crate) blob: &'a Path,
}

/// What is here of it.
struct Partial {
    file: File,
    bytes: u64,
    hash: Sha256,
}

impl Download<'_> {
    /// Fetches what is missing, and tells how many bytes are here.
    pub(crate) fn run(&self, lock: &Path, tell: &mut dyn FnMut(u64)) -> Result<(), HubError> {
        // The same lock that huggingface_hub takes.
        let _lock = self.locked(lock)?;
        // Another program may have fetched it meanwhile.
        if fs::metadata(self.blob).is_ok_and(|blob| blob.len() == self.file.bytes) {
            return Ok(());
        }
        let path = incomplete(self.blob);
        let mut partial = self.begin(&path).map_err(|cause| self.unwritable(&path, cause))?;
        let mut tries = 0u32;
        while partial.bytes < self.file.bytes {
            let before = partial.bytes;
            let answer = match self.remote.get(self.about, self.url, Span::from(partial.bytes)) {
                // It was there a moment ago.
                Err(HubError::NotReached { .. }) if tries.saturating_add(1) < TRIES => {
                    tries = tries.saturating_add(1);
                    self.remote.wait(tries, None);
                    continue;
                }
                answer => answer?,
            };
            if self.begins_anew(&answer, before)? {
                partial.empty().map_err(|cause| self.unwritable(&path, cause))?;
            }
            if answer.status.is_success() {
                self.copy(answer, &mut partial, &path, tell)?;
            }
            // Whoever gets further may go on.
            tries = if partial.bytes > before { 1 } else { tries.saturating_add(1) };
            if partial.bytes < self.file.bytes {
                if tries >= TRIES {
                    let (bytes, of) = (partial.bytes, self.file.bytes);
                    return Err(HubError::CutOff { id: self.about.to_owned(), bytes, of });
                }
                self.remote.wait(tries, None);
            }
        }
        self.finish(partial, &path)
    }

    /// Waits while another program fetches the same file.
    fn locked(&self, path: &Path) -> Result<File, HubError> {
        let unwritable = |cause| self.unwritable(path, cause);
        path.parent().map_or(Ok(()), fs::create_dir_all).map_err(unwritable)?;
        let mut options = OpenOptions::new();
        let file =
            options.create(true).truncate(false).write(true).open(path).map_err(unwritable)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => sleep(Duration::from_millis(200)),
                Err(TryLockError::Error(cause)) => return Err(unwritable(cause)),
            }
        }
    }

    /// Takes up what an earlier download left. A file without a checksum begins anew.
    fn begin(&self, path: &Path) -> io::Result<Partial> {
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).read(true).write(true).open(path)?;
        let mut partial = Partial { file, bytes: 0, hash: Sha256::new() };
        let left = partial.file.metadata()?.len();
        if left > self.file.bytes || !self.file.sha256 {
            partial.empty()?;
            return Ok(partial);
        }
        let mut piece = vec![0; PIECE];
        loop {
            let count = partial.file.read(&mut piece)?;
            let Some(read) = piece.get(..count).filter(|read| !read.is_empty()) else { break };
            partial.take(read);
        }
        Ok(partial)
    }

    /// Whether an answer to a request for bytes from `from` on has all of them, or none, so that what is here is to go.
    fn begins_anew(&self, answer: &Answer, from: u64) -> Result<bool, HubError> {
        if let Some(etag) = header(&answer.first, "x-linked-etag").map(plain_etag)
            && etag != self.file.etag
        {
            return Err(unusable(self.about, "the file was changed while it was fetched"));
        }
        let number = |name: &str| header(&answer.headers, name)?.parse::<u64>().ok();
        let range = header(&answer.headers, "content-range").and_then(range);
        let total = match (answer.status.as_u16(), range) {
            (206, Some((begin, _))) if begin != from => {
                return Err(unusable(self.about, "other bytes come than were asked for"));
            }
            (206, Some((_, total))) => total,
            (206, None) => number("content-length").map(|rest| rest.saturating_add(from)),
            (416, _) if from == 0 => return Err(unusable(self.about, "it has no bytes to give")),
            (416, _) => return Ok(true),
            _ => number("content-length"),
        };
        if let Some(total) = total.filter(|total| *total != self.file.bytes) {
            let why = format!("it has {total} bytes and should have {}", self.file.bytes);
            return Err(unusable(self.about, &why));
        }
        Ok(answer.status.as_u16() != 206 && from > 0)
    }

    /// Appends the bytes of an answer until it ends or breaks off.
    fn copy(
        &self,
        answer: Answer,
        partial: &mut Partial,
        path: &Path,
        tell: &mut dyn FnMut(u64),
    ) -> Result<(), HubError> {
        let mut body = answer.body.into_reader();
        let mut piece = vec![0; PIECE];
        loop {
            let count = match body.read(&mut piece) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // Another request says whether that passes.
                Err(_) => return Ok(()),
            };
            let Some(read) = piece.get(..count).filter(|read| !read.is_empty()) else {
                return Ok(());
            };
            let bytes = partial.bytes.saturating_add(count as u64);
            if bytes > self.file.bytes {
                return Err(unusable(self.about, "more bytes come than the file has"));
            }
            partial.file.write_all(read).map_err(|cause| self.unwritable(path, cause))?;
            partial.take(read);
            tell(partial.bytes);
        }
    }

    /// Checks what is here, and gives it its name.
    fn finish(&self, partial: Partial, path: &Path) -> Result<(), HubError> {
        if self.file.sha256 {
            let found = hex(&partial.hash.finalize());
            if found != self.file.etag {
                // It would be wrong again.
                fs::remove_file(path).map_err(|cause| self.unwritable(path, cause))?;
                return Err(HubError::WrongChecksum {
                    id: self.about.to_owned(),
                    bytes: partial.bytes,
                    expected: self.file.etag.clone(),
                    found,
                });
            }
        }
        let synced = partial.file.sync_all();
        drop(partial.file);
        synced
            .and_then(|()| fs::rename(path, self.blob))
            .map_err(|cause| self.unwritable(self.blob, cause))
    }

    fn unwritable(&self, path: &Path, cause: io::Error) -> HubError {
        HubError::Unwritable { id: self.about.to_owned(), path: path.to_owned(), cause }
    }
}

impl Partial {
    fn take(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
    }

    fn empty(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        (self.bytes, self.hash) = (0, Sha256::new());
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What a file is called until it is whole.
pub(crate) fn incomplete(blob: &Path) -> PathBuf {
    let mut name = blob.as_os_str().to_owned();
    name.push(INCOMPLETE);
    name.into()
}

/// An etag without its quotes and without the mark of weak ones.
fn plain_etag(etag: &str) -> &str {
    etag.trim_start_matches("W/").trim_matches('"')
}

/// First byte and size of the whole of `bytes 5-9/10`.
fn range(text: &str) -> Option<(u64, Option<u64>)> {
    let (span, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    Some((span.split_once('-')?.0.trim().parse().ok()?, total.trim().parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_etags() {
        assert_eq!(range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(range("bytes 5-9/*"), Some((5, None)));
        assert_eq!(range("bytes */10"), None);
        assert_eq!(
            (plain_etag("\"ab\""), plain_etag("W/\"ab\""), plain_etag("ab")),
            ("ab", "ab", "ab")
        );
        assert_eq!(incomplete(Path::new("/a/ff")), Path::new("/a/ff.incomplete"));
    }
}
