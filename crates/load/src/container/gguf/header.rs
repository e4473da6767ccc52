//! Reading a header from its beginning to its end: in large pieces, never beyond what is there.

use weightscope_core::stats::ContentHasher;

use crate::FileError;
use crate::blob::Blob;
use crate::container::safetensors::MAX_HEADER_BYTES;

/// Bytes read at once.
const CHUNK: usize = 1 << 20;

/// A place in a header, and what has been read ahead of it.
#[derive(Debug)]
pub(super) struct Header<'a> {
    blob: &'a dyn Blob,
    /// Size of the file.
    bytes: u64,
    buffer: Vec<u8>,
    /// Where the buffer begins in the file.
    start: u64,
    /// The next byte in the buffer.
    at: usize,
    hasher: ContentHasher,
}

impl<'a> Header<'a> {
    pub(super) fn new(blob: &'a dyn Blob) -> Self {
        Self {
            blob,
            bytes: blob.len(),
            buffer: Vec::new(),
            start: 0,
            at: 0,
            hasher: ContentHasher::default(),
        }
    }

    /// How many bytes have been read.
    pub(super) fn position(&self) -> u64 {
        self.start.saturating_add(self.at as u64)
    }

    /// The hash of all that has been read.
    pub(super) fn finish(mut self) -> u128 {
        self.hasher.update(self.buffer.get(..self.at).unwrap_or_default());
        self.hasher.finish()
    }

    /// Whether `count` further bytes can belong to a header of this file: to be asked before anything is done that
    /// often.
    pub(super) fn expect(&self, count: u64) -> Result<(), FileError> {
        let needs = self.position().saturating_add(count);
        if needs > self.bytes {
            return Err(FileError::HeaderTruncated { bytes: self.bytes, needs });
        }
        if needs > MAX_HEADER_BYTES {
            let reason = format!("it has more than {MAX_HEADER_BYTES} bytes");
            return Err(FileError::InvalidHeader { reason });
        }
        Ok(())
    }

    /// Whether `count` things of at least `size` bytes each can follow.
    pub(super) fn expect_each(&self, count: u64, size: u64) -> Result<(), FileError> {
        self.expect(count.saturating_mul(size))
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], FileError> {
        self.expect(N as u64)?;
        let mut array = [0; N];
        self.copy(&mut array)?;
        Ok(array)
    }

    pub(super) fn u32(&mut self) -> Result<u32, FileError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, FileError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Passes over `count` bytes.
    pub(super) fn skip(&mut self, count: u64) -> Result<(), FileError> {
        self.expect(count)?;
        let mut left = count;
        while left > 0 {
            let there = self.ahead()?.len();
            let step = usize::try_from(left).unwrap_or(usize::MAX).min(there);
            self.at = self.at.saturating_add(step);
            left = left.saturating_sub(step as u64);
        }
        Ok(())
    }

    /// The next `count` bytes, which the caller bounds.
    pub(super) fn take(&mut self, count: u64) -> Result<Vec<u8>, FileError> {
        self.expect(count)?;
        let mut bytes = vec![0; usize::try_from(count).unwrap_or(usize::MAX)];
        self.copy(&mut bytes)?;
        Ok(bytes)
    }

    fn copy(&mut self, into: &mut [u8]) -> Result<(), FileError> {
        let mut rest = into;
        while !rest.is_empty() {
            let there = self.ahead()?;
            let count = there.len().min(rest.len());
            let (now, after) = rest.split_at_mut(count);
            now.copy_from_slice(there.get(..count).unwrap_or_default());
            self.at = self.at.saturating_add(count);
            rest = after;
        }
        Ok(())
    }

    /// What follows in the buffer, at least one byte.
    fn ahead(&mut self) -> Result<&[u8], FileError> {
        if self.at >= self.buffer.len() {
            self.hasher.update(&self.buffer);
            self.start = self.position();
            self.at = 0;
            let left = usize::try_from(self.bytes.saturating_sub(self.start)).unwrap_or(CHUNK);
            self.buffer.resize(left.clamp(1, CHUNK), 0);
            let filled = self.blob.read_at(self.start, &mut self.buffer)?;
            self.buffer.truncate(filled);
            if filled == 0 {
                // It was longer a moment ago.
                let needs = self.start.saturating_add(1);
                return Err(FileError::HeaderTruncated { bytes: self.start, needs });
            }
        }
        Ok(self.buffer.get(self.at..).unwrap_or_default())
    }
}
