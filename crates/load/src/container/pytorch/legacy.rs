//! The layout of `torch.save` before version 1.6: five pickles one after the other, then the storages.
//!
//! Magic number, protocol version, facts about the system, the object, and the keys of the storages in the order in which
//! they follow: each as a count of elements (8 bytes) and their bytes.
//!
//! Source: torch's `serialization.py` (`_legacy_save`, `_legacy_load`).

use std::collections::HashMap;

use weightscope_core::stats::ContentHasher;

use super::globals::Element;
use super::pickle::{self, Id, Node, Pickle};
use super::tensors::{self, Span, Storages};
use super::{Inside, MAX_PICKLE_BYTES, contents, invalid, is_integer, sound};
use crate::FileError;
use crate::blob::{self, Blob};
use crate::container::{MAX_TENSORS, StoredFile};

/// 0x1950a86a20f9469cfc6c as a pickle holds it, with its end.
const MAGIC: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
/// Longest pickle of that number, in any protocol.
const MOST_MAGIC_BYTES: usize = 32;
/// The only protocol version there ever was.
const PROTOCOL: i64 = 1001;
/// Bytes read at first; pickles are short beside the storages.
const FIRST_BYTES: u64 = 1 << 20;

pub(super) fn open(blob: &dyn Blob) -> Result<StoredFile, FileError> {
    // Pickles have no length: more is read until the last of the five has its end.
    let mut size = FIRST_BYTES.min(blob.len());
    loop {
        let bytes = blob::read_checked(blob, 0, size, |_| Ok(()))?;
        let is_all = size >= blob.len() || size >= MAX_PICKLE_BYTES;
        match parse(blob, &bytes) {
            Err(FileError::BrokenPickle { .. }) if !is_all => {
                size = size.saturating_mul(8).min(blob.len()).min(MAX_PICKLE_BYTES);
            }
            result => return result,
        }
    }
}

/// The next pickle and its value.
fn next<'a>(
    rest: &mut &'a [u8],
    inside: &mut Inside,
    place: &str,
) -> Result<(Pickle<'a>, Id), FileError> {
    let pickle = pickle::read(rest);
    let told = inside.list(&pickle, place);
    let root = sound(&pickle, told)?;
    *rest = rest.get(pickle.length..).unwrap_or_default();
    Ok((pickle, root))
}

fn parse(blob: &dyn Blob, bytes: &[u8]) -> Result<StoredFile, FileError> {
    let mut inside = Inside::default();
    let pickle = pickle::read(bytes);
    let (first, mut rest) = bytes.split_at_checked(pickle.length).unwrap_or((bytes, &[]));
    if !(first.ends_with(MAGIC) && first.len() <= MOST_MAGIC_BYTES) {
        let calls = inside.list(&pickle, "pickle");
        // A pickle that goes on is told from one that is broken when all of it is there.
        let reason = pickle.broken.unwrap_or_else(|| {
            "it is a pickle, but not one of torch.save, which has its tensors beside it".to_owned()
        });
        return Err(FileError::BrokenPickle { reason, calls });
    }
    let (protocol, root) = next(&mut rest, &mut inside, "protocol version")?;
    if !is_integer(&protocol, root, PROTOCOL) {
        return Err(invalid(format!("its protocol version is not {PROTOCOL}")));
    }
    let (system, root) = next(&mut rest, &mut inside, "system")?;
    let big_endian = is_big_endian(&system, root);
    let (object, found) = next(&mut rest, &mut inside, "object")?;
    let (keys, list) = next(&mut rest, &mut inside, "keys")?;
    let header = bytes.len().saturating_sub(rest.len());

    let mut elements: HashMap<&str, Element> = HashMap::new();
    for storage in object.nodes().filter_map(|id| tensors::storage(&object, id)) {
        elements.insert(storage.key, storage.element);
    }
    let mut storages = Storages::new();
    let mut at = header as u64;
    let list = keys.list(list).ok_or_else(|| invalid("the keys of its storages are no list"))?;
    if list.len() as u64 > MAX_TENSORS {
        return Err(FileError::TooManyTensors { count: list.len() as u64 });
    }
    for key in list {
        let key = keys.text(*key).ok_or_else(|| invalid("a key of its storages is no text"))?;
        let mut count = [0; 8];
        let start = at.saturating_add(8);
        if blob.read_at(at, &mut count)? < 8 {
            return Err(FileError::HeaderTruncated { bytes: blob.len(), needs: start });
        }
        // In the order of the system that wrote it.
        let count = if big_endian { u64::from_be_bytes(count) } else { u64::from_le_bytes(count) };
        let width = elements.get(key).map_or(1, |element| element.bytes());
        let size = count.checked_mul(width);
        let end = size.and_then(|size| start.checked_add(size)).unwrap_or(u64::MAX);
        if end > blob.len() {
            return Err(FileError::DataTruncated {
                tensor: format!("storage {key}"),
                bytes: blob.len(),
                needs: end,
            });
        }
        storages.insert(key.to_owned(), Ok(Span { start, bytes: size.unwrap_or(0) }));
        at = end;
    }
    if at < blob.len() {
        inside.fault(
            "trailing-bytes",
            format!(
                "file has {} bytes, its storages end at {at}: the bytes after belong to no tensor",
                blob.len()
            ),
        );
    }
    let contents = contents::find(&object, found)?;
    let mut hasher = ContentHasher::default();
    hasher.update(bytes.get(..header).unwrap_or_default());
    let mut file = inside.finish(blob, &object, &contents, &storages, big_endian);
    file.hash = hasher.finish();
    Ok(file)
}

/// What the facts about the system say of its byte order.
fn is_big_endian(pickle: &Pickle<'_>, root: Id) -> bool {
    let Node::Map(pairs) = pickle.get(root) else { return false };
    let order = pairs.iter().rev().find(|(key, _)| pickle.text(*key) == Some("little_endian"));
    order.is_some_and(|(_, value)| matches!(pickle.get(*value), Node::Bool(false)))
}
