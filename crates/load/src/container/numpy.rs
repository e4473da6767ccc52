//! Arrays of NumPy: one in a `.npy` file, several in an `.npz` archive.
//!
//! Arrays of objects are pickles and are refused; an archive whose members are compressed cannot be read where it lies
//! and is refused, too.
//!
//! Source: the NEP 1 format, `numpy/lib/format.py`.

use weightscope_core::stats::ContentHasher;
use weightscope_core::{DType, element_count};

use super::{Container, Encoding, Fault, MAX_DIMENSIONS, StoredFile, StoredTensor, zip};
use crate::FileError;
use crate::blob::{self, Blob};
use crate::quoted::quoted;
use crate::view::View;

const MAGIC: &[u8] = b"\x93NUMPY";
const LOCAL: &[u8] = b"PK\x03\x04";
/// Bytes of a local header of a zip archive before the name.
const LOCAL_BYTES: usize = 30;
/// The end of the names of members.
const ENDING: &str = ".npy";
/// What the only array of a file is called.
const ONLY: &str = "array";
/// Bytes before the text of a header, of versions 2 and 3; of version 1 two fewer.
const PREFIX_BYTES: u64 = 12;
/// Largest text of a header; NumPy itself warns above 10,000.
const MAX_TEXT_BYTES: u64 = 64 << 10;

/// The format.
#[derive(Debug)]
pub(crate) struct NumPy;

impl Container for NumPy {
    fn name(&self) -> &'static str {
        "NumPy"
    }

    /// By its magic; an archive by the name of its first member.
    fn claims(&self, head: &[u8]) -> bool {
        head.starts_with(MAGIC) || is_archive(head)
    }

    fn open(&self, blob: &dyn Blob, head: &[u8]) -> Result<StoredFile, FileError> {
        let mut file = StoredFile::default();
        let mut hasher = ContentHasher::default();
        if head.starts_with(MAGIC) {
            match array(blob, ONLY, 0, blob.len(), &mut hasher)? {
                Ok(tensor) => file.tensors.push(tensor),
                Err(reason) => return Err(FileError::InvalidHeader { reason }),
            }
        } else {
            let archive = zip::read(blob)?;
            hasher.update(&archive.directory);
            for member in archive.members.iter().filter(|member| member.name.ends_with(ENDING)) {
                let name = member.name.strip_suffix(ENDING).unwrap_or(&member.name);
                let found = match &member.packed {
                    Some(_) => Err(COMPRESSED.to_owned()),
                    None => array(blob, name, member.start, member.bytes, &mut hasher)?,
                };
                match found {
                    Ok(tensor) => file.tensors.push(tensor),
                    Err(message) => file.faults.push(Fault {
                        tensor: Some(name.to_owned()),
                        code: "broken-tensor",
                        message,
                    }),
                }
            }
        }
        file.hash = hasher.finish();
        Ok(file)
    }
}

const COMPRESSED: &str = "is compressed and cannot be read where it lies: save the archive with numpy.savez, or with \
    safetensors.numpy.save_file";

/// Whether a file begins like an archive of arrays.
fn is_archive(head: &[u8]) -> bool {
    let length = match head.get(26..28) {
        Some([low, high]) => usize::from(u16::from_le_bytes([*low, *high])),
        _ => return false,
    };
    let name = head.get(LOCAL_BYTES..LOCAL_BYTES.saturating_add(length)).unwrap_or_default();
    head.starts_with(LOCAL) && name.ends_with(ENDING.as_bytes())
}

/// The array that lies in `bytes` bytes from `start` on; the inner error is what is wrong with it alone.
fn array(
    blob: &dyn Blob,
    name: &str,
    start: u64,
    bytes: u64,
    hasher: &mut ContentHasher,
) -> Result<Result<StoredTensor, String>, FileError> {
    let prefix = blob::read_checked(blob, start, bytes.min(PREFIX_BYTES), |_| Ok(()))?;
    let (length, skipped) = match prefix.as_slice() {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, a, b, ..] => {
            (u64::from(u16::from_le_bytes([*a, *b])), 10)
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _, a, b, c, d] => {
            (u64::from(u32::from_le_bytes([*a, *b, *c, *d])), PREFIX_BYTES)
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', version, ..] => {
            return Ok(Err(format!("is of version {version} of the format, which is not read")));
        }
        _ => return Ok(Err("does not begin like an array".to_owned())),
    };
    let data = skipped.checked_add(length).filter(|end| *end <= bytes);
    let Some(data) = data.filter(|_| length <= MAX_TEXT_BYTES) else {
        return Ok(Err(format!("has {bytes} bytes, its header says that it has {length}")));
    };
    let text = blob::read_checked(blob, start.saturating_add(skipped), length, |_| Ok(()))?;
    hasher.update(&text);
    let left = bytes.saturating_sub(data);
    let at = start.saturating_add(data);
    Ok(Header::parse(&text).and_then(|header| header.tensor(name, at, left)))
}

/// What the header of an array says.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    /// As NumPy spells it: `<f4`.
    descr: String,
    /// Whether the first index runs fastest.
    fortran: bool,
    shape: Vec<u64>,
}

impl Header {
    /// Reads the literal of a dictionary with three keys; it is never evaluated.
    fn parse(text: &[u8]) -> Result<Self, String> {
        let text = String::from_utf8_lossy(text);
        let after = |key: &str| {
            let (_, rest) = text.split_once(&format!("'{key}':"))?;
            Some(rest.trim_start())
        };
        let broken = || "its header is no dictionary of descr, fortran_order and shape".to_owned();
        let descr = after("descr").ok_or_else(broken)?;
        let Some(descr) = descr.strip_prefix('\'').and_then(|rest| rest.split_once('\'')) else {
            return Err("holds records of several fields, which are no tensor".to_owned());
        };
        let order = after("fortran_order").ok_or_else(broken)?;
        let fortran = match (order.starts_with("True"), order.starts_with("False")) {
            (true, _) => true,
            (_, true) => false,
            _ => return Err(broken()),
        };
        let shape = after("shape").and_then(|rest| rest.strip_prefix('(')?.split_once(')'));
        let (shape, _) = shape.ok_or_else(broken)?;
        let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
        let shape: Result<Vec<u64>, String> = sizes
            .map(|size| size.parse().map_err(|_| format!("has a size of {}", quoted(size))))
            .collect();
        Ok(Self { descr: descr.0.to_owned(), fortran, shape: shape? })
    }

    /// The tensor, whose `left` bytes from `start` on must be enough.
    fn tensor(self, name: &str, start: u64, left: u64) -> Result<StoredTensor, String> {
        let Self { descr, fortran, shape } = self;
        if shape.len() as u64 > MAX_DIMENSIONS {
            return Err(format!(
                "has {} dimensions, at most {MAX_DIMENSIONS} are read",
                shape.len()
            ));
        }
        let (swapped, kind) = match descr.split_at_checked(1) {
            Some(("<" | "|" | "=", kind)) => (false, kind),
            Some((">", kind)) => (true, kind),
            _ => (false, descr.as_str()),
        };
        if kind.starts_with('O') {
            return Err("holds Python objects, which are a pickle: it is not read".to_owned());
        }
        let (encoding, width) = match dtype(kind) {
            Some(dtype) => (Encoding::Plain(dtype), dtype.bytes() as u64),
            None => (Encoding::Unknown, size_of_kind(kind)?),
        };
        let elements = element_count(&shape).ok_or("has more elements than can be counted")?;
        let bytes = elements.checked_mul(width).filter(|bytes| *bytes <= left);
        let Some(bytes) = bytes else {
            return Err(format!(
                "is {shape:?} of {descr}, for which its {left} bytes of values are not enough"
            ));
        };
        let view = View::new(&shape, strides(&shape, fortran), width, swapped);
        Ok(StoredTensor {
            name: name.to_owned(),
            encoding,
            type_name: match encoding {
                Encoding::Plain(dtype) => dtype.name().to_owned(),
                _ => descr,
            },
            view: view.filter(|_| elements > 0).map(Box::new),
            shape,
            elements,
            bytes,
            file: 0,
            start,
            orientation: None,
            row_order: None,
        })
    }
}

/// Strides in elements.
fn strides(shape: &[u64], fortran: bool) -> Vec<u64> {
    let mut strides = vec![0; shape.len()];
    let mut step = 1_u64;
    let mut each = |(size, stride): (&u64, &mut u64)| {
        *stride = step;
        step = step.saturating_mul(*size);
    };
    if fortran {
        shape.iter().zip(&mut strides).for_each(&mut each);
    } else {
        shape.iter().zip(&mut strides).rev().for_each(&mut each);
    }
    strides
}

fn dtype(kind: &str) -> Option<DType> {
    Some(match kind {
        "f2" => DType::F16,
        "f4" => DType::F32,
        "f8" => DType::F64,
        "i1" => DType::I8,
        "i2" => DType::I16,
        "i4" => DType::I32,
        "i8" => DType::I64,
        "u1" => DType::U8,
        "u2" => DType::U16,
        "u4" => DType::U32,
        "u8" => DType::U64,
        "b1" => DType::Bool,
        "bfloat16" => DType::BF16,
        _ => return None,
    })
}

/// Bytes of an element of a type without a meaning here: `V2` (how types that NumPy does not know are saved, BF16 among
/// them), `c8`, `U12`.
fn size_of_kind(kind: &str) -> Result<u64, String> {
    let digits = kind.trim_start_matches(|c: char| !c.is_ascii_digit());
    let size: u64 =
        digits.parse().map_err(|_| format!("is of the unknown type {}", quoted(kind)))?;
    let width = if kind.starts_with('U') { 4 } else { 1 };
    size.checked_mul(width)
        .filter(|size| *size > 0)
        .ok_or_else(|| "has elements without size".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_and_never_evaluated() {
        let header = |text: &str| Header::parse(text.as_bytes());
        let found = header("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   \n");
        let expected = Header { descr: "<f4".to_owned(), fortran: false, shape: vec![3, 4] };
        assert_eq!(found, Ok(expected));
        assert_eq!(
            header("{'descr':'>i2','fortran_order':True,'shape':()}").unwrap().shape,
            [0u64; 0]
        );
        for text in [
            "",
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '<f4', 'fortran_order': 1, 'shape': (3,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-3,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': 3}",
            "__import__('os').system('id')",
        ] {
            assert!(header(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let tensor = |descr: &str, shape: &[u64], left| {
            let header = Header { descr: descr.to_owned(), fortran: false, shape: shape.to_vec() };
            header.tensor("a", 128, left)
        };
        assert_eq!(tensor("<f4", &[3, 4], 48).unwrap().bytes, 48);
        assert!(tensor("<f4", &[3, 4], 47).is_err());
        assert!(tensor("<f4", &[u64::MAX, 2], 48).is_err());
        assert!(tensor("|O", &[2], 48).unwrap_err().contains("pickle"));
        assert!(matches!(tensor("|V2", &[2], 48).unwrap().encoding, Encoding::Unknown));
        assert!(tensor("<V0", &[2], 48).is_err());
    }
}
