//! A memory map that is only ever copied out of.
#![expect(
    unsafe_code,
    reason = "copying out of mapped memory; no reference to it is formed, because another process may \
              change it at any time"
)]

use std::fs::File;
use std::io;
use std::ptr;

use memmap2::{MmapOptions, MmapRaw};

/// A read-only map of the first bytes of a file.
#[derive(Debug)]
pub(crate) struct Map {
    raw: MmapRaw,
}

impl Map {
    /// Maps `bytes` bytes of `file`, which need not stay open.
    pub(crate) fn new(file: &File, bytes: u64) -> io::Result<Self> {
        let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
        Ok(Self { raw: MmapOptions::new().len(bytes).map_raw_read_only(file)? })
    }

    /// Copies the bytes from `offset` on into `into`; `None` where they are outside of the map.
    ///
    /// When the file has become shorter than its map, the operating system ends the process with SIGBUS:
    /// the caller asks for the file's size before.
    pub(crate) fn copy(&self, offset: u64, into: &mut [u8]) -> Option<()> {
        let offset = usize::try_from(offset).ok()?;
        let end = offset.checked_add(into.len())?;
        if end > self.raw.len() {
            return None;
        }
        let from = self.raw.as_ptr().wrapping_add(offset);
        // SAFETY: `from..from + into.len()` lies inside of the map, as was just checked, and the map lives
        // as long as `self`. `into` is exclusive and so cannot be part of the read-only map. No reference
        // to mapped memory exists, so a change by another process is seen as other byte values, which are
        // valid whatever they are.
        unsafe { ptr::copy_nonoverlapping(from, into.as_mut_ptr(), into.len()) };
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_equal_positional_reads_and_stay_inside() {
        let mut file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        io::Write::write_all(&mut file, &content).unwrap();
        let map = Map::new(&file, 10_000).unwrap();
        for (offset, length) in [(0u64, 10_000usize), (1, 1), (4095, 4098), (9_999, 1), (10_000, 0)]
        {
            let (mut mapped, mut read) = (vec![0; length], vec![0; length]);
            map.copy(offset, &mut mapped).unwrap();
            assert_eq!(crate::regular::read_at(&file, offset, &mut read).unwrap(), length);
            assert_eq!(mapped, read);
        }
        assert!(map.copy(10_000, &mut [0]).is_none());
        assert!(map.copy(9_999, &mut [0; 2]).is_none());
        assert!(map.copy(u64::MAX, &mut [0]).is_none());
    }
}
