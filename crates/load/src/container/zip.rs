//! The table of contents of a zip archive whose members are stored as they are.
//!
//! Readers of zips disagree about archives that contradict themselves, and that is how a file shows one pickle to a
//! scanner and another to a loader. Whatever has two readings is therefore refused.
//!
//! Source: PKWARE's APPNOTE 6.3.10, sections 4.3.7 (local headers), 4.3.12 (central directory), 4.3.14 to 4.3.16
//! (its end, also of zip64) and 4.5.3 (sizes of zip64).

use std::collections::HashMap;

use crate::FileError;
use crate::blob::{self, Blob};
use crate::container::MAX_TENSORS;
use crate::container::safetensors::MAX_HEADER_BYTES;
use crate::quoted::quoted;

/// Bytes of the end record, without the comment that may follow it.
const END_BYTES: usize = 22;
const END: &[u8] = b"PK\x05\x06";
const LOCATOR_BYTES: usize = 20;
const LOCATOR: &[u8] = b"PK\x06\x07";
const WIDE_END_BYTES: usize = 56;
const WIDE_END: &[u8] = b"PK\x06\x06";
const ENTRY_BYTES: usize = 46;
const ENTRY: &[u8] = b"PK\x01\x02";
const LOCAL_BYTES: usize = 30;
const LOCAL: &[u8] = b"PK\x03\x04";
/// What a field of 16 or 32 bits holds when the value stands elsewhere.
const WIDE_16: u64 = 0xffff;
const WIDE_32: u64 = 0xffff_ffff;
/// Flags: encrypted, patched data, strongly encrypted, masked headers.
const UNREADABLE: u64 = 1 | 1 << 5 | 1 << 6 | 1 << 13;

fn invalid(reason: impl Into<String>) -> FileError {
    FileError::InvalidHeader { reason: reason.into() }
}

/// One member.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// First byte of its data in the file.
    pub(crate) start: u64,
    /// Bytes in the file.
    pub(crate) bytes: u64,
    pub(crate) crc: u32,
    /// Why its bytes are not what they are said to be; `None` when they are stored as they are.
    pub(crate) packed: Option<String>,
    /// Whether it claims to be encrypted: readers that believe it skip the member, others read it.
    pub(crate) flagged: bool,
}

/// The members of an archive, in the order of the directory, and the directory itself.
#[derive(Debug)]
pub(crate) struct Archive {
    pub(crate) members: Vec<Member>,
    pub(crate) directory: Vec<u8>,
}

/// A little-endian number of up to 8 bytes at `at`; 0 where there is none.
fn number(bytes: &[u8], at: usize, width: usize) -> u64 {
    let part = bytes.get(at..at.saturating_add(width)).unwrap_or_default();
    part.iter().rev().fold(0, |sum: u64, byte| sum.wrapping_shl(8) | u64::from(*byte))
}

/// Reads exactly `count` bytes.
fn exactly(blob: &dyn Blob, at: u64, count: usize) -> Result<Vec<u8>, FileError> {
    let needs = at.saturating_add(count as u64);
    if needs > blob.len() {
        return Err(FileError::HeaderTruncated { bytes: blob.len(), needs });
    }
    let bytes = blob::read_checked(blob, at, count as u64, |_| Ok(()))?;
    if bytes.len() < count {
        return Err(FileError::HeaderTruncated { bytes: blob.len(), needs });
    }
    Ok(bytes)
}

/// Reads and checks the directory.
pub(crate) fn read(blob: &dyn Blob) -> Result<Archive, FileError> {
    let (start, bytes, count) = directory(blob)?;
    let directory = exactly(blob, start, bytes)?;
    let mut members = Vec::new();
    let mut rest = directory.as_slice();
    while !rest.is_empty() {
        let (entry, after) = entry(rest)?;
        rest = after;
        if members.len() as u64 > MAX_TENSORS {
            return Err(FileError::TooManyTensors { count });
        }
        members.push(member(blob, &entry)?);
    }
    if members.len() as u64 != count {
        return Err(invalid(format!(
            "the end of the zip archive counts {count} members, its directory has {}",
            members.len()
        )));
    }
    check_names(&members)?;
    check_places(&mut members.iter().collect::<Vec<_>>(), start)?;
    let members = members.into_iter().map(|(member, _)| member).collect();
    Ok(Archive { members, directory })
}

/// Where the directory begins, its bytes, and how many members it should have.
fn directory(blob: &dyn Blob) -> Result<(u64, usize, u64), FileError> {
    let length = blob.len();
    let most = (END_BYTES as u64).saturating_add(WIDE_16);
    let from = length.saturating_sub(most);
    let tail = blob::read_checked(blob, from, length.saturating_sub(from), |_| Ok(()))?;
    // The comment of the right one ends where the file does; a second one would be a second reading.
    let ends: Vec<usize> = tail
        .windows(END_BYTES)
        .enumerate()
        .filter(|(at, window)| {
            let end = at.saturating_add(END_BYTES) as u64;
            window.starts_with(END)
                && end.saturating_add(number(window, 20, 2)) == tail.len() as u64
        })
        .map(|(at, _)| at)
        .collect();
    let end = match ends.as_slice() {
        [one] => *one,
        [] => {
            return Err(FileError::NoZipDirectory { bytes: length });
        }
        _ => return Err(invalid("the zip archive has several ends")),
    };
    let record = tail.get(end..).unwrap_or_default();
    let mut end_at = from.saturating_add(end as u64);
    if number(record, 4, 2) != number(record, 6, 2) || !matches!(number(record, 4, 2), 0 | WIDE_16)
    {
        return Err(invalid("the zip archive is one of several volumes"));
    }
    let mut count = number(record, 10, 2);
    let mut bytes = number(record, 12, 4);
    let mut start = number(record, 16, 4);
    let locator_at = end_at.checked_sub(LOCATOR_BYTES as u64);
    let locator = match locator_at {
        Some(at) => exactly(blob, at, LOCATOR_BYTES)?,
        None => Vec::new(),
    };
    if locator.starts_with(LOCATOR) {
        let at = number(&locator, 8, 8);
        let wide = exactly(blob, at, WIDE_END_BYTES)?;
        if !wide.starts_with(WIDE_END) || at.checked_add(WIDE_END_BYTES as u64) != locator_at {
            return Err(invalid("the zip64 end of the archive is not where it should be"));
        }
        let wide_of = [number(&wide, 32, 8), number(&wide, 40, 8), number(&wide, 48, 8)];
        let narrow = [(count, WIDE_16), (bytes, WIDE_32), (start, WIDE_32)];
        if wide_of
            .iter()
            .zip(narrow)
            .any(|(wide, (narrow, mark))| narrow != mark && narrow != *wide)
        {
            return Err(invalid("the two ends of the zip archive contradict each other"));
        }
        [count, bytes, start] = wide_of;
        end_at = at;
    }
    if start.checked_add(bytes) != Some(end_at) {
        return Err(invalid(format!(
            "the directory of the zip archive ends at {}, its end begins at {end_at}",
            start.saturating_add(bytes)
        )));
    }
    if bytes > MAX_HEADER_BYTES {
        return Err(invalid(format!(
            "the directory of the zip archive has {bytes} bytes, at most {MAX_HEADER_BYTES} are read"
        )));
    }
    Ok((start, usize::try_from(bytes).unwrap_or(usize::MAX), count))
}

/// An entry of the directory.
struct Entry {
    name: Vec<u8>,
    flags: u64,
    method: u64,
    crc: u32,
    packed: u64,
    bytes: u64,
    local: u64,
}

/// The first entry of a directory, and the rest.
fn entry(bytes: &[u8]) -> Result<(Entry, &[u8]), FileError> {
    let broken = || invalid("the directory of the zip archive is broken");
    let head =
        bytes.get(..ENTRY_BYTES).filter(|head| head.starts_with(ENTRY)).ok_or_else(broken)?;
    let length = |at| usize::try_from(number(head, at, 2)).unwrap_or(usize::MAX);
    let (name_bytes, extra_bytes, comment_bytes) = (length(28), length(30), length(32));
    let rest = bytes.get(ENTRY_BYTES..).unwrap_or_default();
    let (name, rest) = rest.split_at_checked(name_bytes).ok_or_else(broken)?;
    let (extra, rest) = rest.split_at_checked(extra_bytes).ok_or_else(broken)?;
    let (_, rest) = rest.split_at_checked(comment_bytes).ok_or_else(broken)?;
    let mut wide = wide_field(extra).ok_or_else(broken)?;
    // In this order, and only those that do not fit.
    let mut sizes = [number(head, 24, 4), number(head, 20, 4), number(head, 42, 4)];
    for size in &mut sizes {
        if *size == WIDE_32 {
            let (now, after) = wide.split_at_checked(8).ok_or_else(broken)?;
            (*size, wide) = (number(now, 0, 8), after);
        }
    }
    let [bytes, packed, local] = sizes;
    let entry = Entry {
        name: name.to_vec(),
        flags: number(head, 8, 2),
        method: number(head, 10, 2),
        crc: u32::try_from(number(head, 16, 4)).unwrap_or(0),
        packed,
        bytes,
        local,
    };
    Ok((entry, rest))
}

/// The extra field of zip64; empty when there is none, `None` when the fields are broken.
fn wide_field(mut extra: &[u8]) -> Option<&[u8]> {
    while extra.len() >= 4 {
        let size = usize::try_from(number(extra, 2, 2)).ok()?;
        let (field, rest) = extra.get(4..)?.split_at_checked(size)?;
        if number(extra, 0, 2) == 1 {
            return Some(field);
        }
        extra = rest;
    }
    Some(&[])
}

/// A member, by its entry and its local header; and where that header begins.
fn member(blob: &dyn Blob, entry: &Entry) -> Result<(Member, u64), FileError> {
    let name = String::from_utf8_lossy(&entry.name).into_owned();
    let head = exactly(blob, entry.local, LOCAL_BYTES.saturating_add(entry.name.len()))?;
    let contradicts = |what: &str| {
        invalid(format!("zip member {}: its two headers disagree about its {what}", quoted(&name)))
    };
    if !head.starts_with(LOCAL) {
        return Err(invalid(format!(
            "zip member {}: there is no header at byte {}",
            quoted(&name),
            entry.local
        )));
    }
    let name_bytes = number(&head, 26, 2);
    if name_bytes != entry.name.len() as u64 || head.get(LOCAL_BYTES..) != Some(&entry.name) {
        return Err(contradicts("name"));
    }
    if number(&head, 8, 2) != entry.method {
        return Err(contradicts("compression"));
    }
    let flags = entry.flags | number(&head, 6, 2);
    let packed = if entry.method != 0 {
        Some(format!("is compressed (method {}), which torch.save never does", entry.method))
    } else if entry.packed != entry.bytes {
        return Err(contradicts("size"));
    } else {
        None
    };
    let start = entry
        .local
        .saturating_add(LOCAL_BYTES as u64)
        .saturating_add(name_bytes)
        .saturating_add(number(&head, 28, 2));
    let member = Member {
        name,
        start,
        bytes: entry.packed,
        crc: entry.crc,
        packed,
        flagged: flags & UNREADABLE != 0,
    };
    Ok((member, entry.local))
}

/// Refuses names of which one reader takes the first and another the last; torch's own does not tell cases apart.
fn check_names(members: &[(Member, u64)]) -> Result<(), FileError> {
    let mut seen: HashMap<String, &str> = HashMap::with_capacity(members.len());
    for (member, _) in members {
        if let Some(other) = seen.insert(member.name.to_ascii_lowercase(), &member.name) {
            return Err(invalid(format!(
                "two members of the zip archive have one name ({} and {}): loaders disagree about which is read",
                quoted(other),
                quoted(&member.name)
            )));
        }
    }
    Ok(())
}

/// Checks that members lie one after the other before the directory.
fn check_places(members: &mut [&(Member, u64)], directory: u64) -> Result<(), FileError> {
    members.sort_by_key(|(member, local)| (*local, member.start));
    let mut before: Option<(&str, u64)> = None;
    for (member, local) in members {
        let end = member.start.checked_add(member.bytes).filter(|end| *end <= directory);
        let Some(end) = end else {
            return Err(invalid(format!(
                "zip member {}: its {} bytes from {} on reach beyond the directory at {directory}",
                quoted(&member.name),
                member.bytes,
                member.start
            )));
        };
        if let Some((other, covered)) = before.filter(|(_, covered)| local < covered) {
            return Err(invalid(format!(
                "zip member {}: begins at byte {local}, inside of {}, which ends at {covered}",
                quoted(&member.name),
                quoted(other)
            )));
        }
        before = Some((&member.name, end));
    }
    Ok(())
}

/// The checksum of zip archives (CRC-32 of ISO 3309, reflected polynomial 0xEDB88320).
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let mut table = [0_u32; 256];
    for (code, entry) in (0_u32..).zip(&mut table) {
        *entry = (0..8).fold(code, |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()));
    }
    let step = |crc: u32, byte: &u8| {
        let [low, ..] = crc.to_le_bytes();
        (crc >> 8) ^ table.get(usize::from(low ^ byte)).copied().unwrap_or(0)
    };
    !bytes.iter().fold(!0, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_crc_32() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn numbers_end_where_bytes_do() {
        assert_eq!(number(&[1, 2, 3], 1, 2), 0x0302);
        assert_eq!(number(&[1, 2, 3], 2, 4), 0);
    }
}
