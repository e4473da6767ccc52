//! Recognising what no container reads, to say so instead of "invalid header".

use std::path::Path;

use crate::FileError;

/// The format that a file's extension stands for, when it is one of weights that no container reads.
pub(crate) fn by_extension(path: &Path) -> Option<&'static str> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    Some(match extension.as_str() {
        "npz" | "npy" => "a NumPy array file",
        "h5" => "HDF5",
        "onnx" => "ONNX",
        "msgpack" => "a Flax msgpack checkpoint",
        _ => return None,
    })
}

/// What the first bytes of a file that has no valid safetensors header are.
pub(crate) fn by_content(head: &[u8]) -> Option<FileError> {
    let text = head.trim_ascii_start();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let starts =
        |with: &[u8]| text.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with));
    if starts(b"version https://git-lfs") {
        return Some(FileError::LfsPointer);
    }
    if starts(b"<!doctype html") || starts(b"<html") || starts(b"<head") {
        return Some(FileError::HtmlPage);
    }
    let format = match head {
        [0x89, b'H', b'D', b'F', ..] => "HDF5",
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => "a NumPy array file",
        _ => return None,
    };
    Some(FileError::UnsupportedFormat { format })
}
