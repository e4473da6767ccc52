//! safetensors: a length, a JSON header, and the tensors one after the other.
//!
//! Source: the format description at <https://github.com/huggingface/safetensors> ("Format") and, where it
//! is silent, what the reference implementation accepts. Four differences are deliberate: an unknown
//! element type does not spoil the other tensors, a repeated name is reported and its first entry kept, a
//! `__metadata__` that is no map of texts is reported, and the limits on nesting, dimensions and tensors are
//! tighter.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use weightscope_codec::BlockFormat;
use weightscope_core::DType;
use weightscope_core::stats::ContentHasher;

use super::{Container, Encoding, Fault, MAX_DIMENSIONS, MAX_TENSORS, StoredFile, StoredTensor};
use crate::blob::{self, Blob};
use crate::quoted::escaped;
use crate::{FileError, foreign, json};

/// Largest header, as in the reference implementation.
pub(crate) const MAX_HEADER_BYTES: u64 = 100_000_000;
/// Bytes of the header's length.
const PREFIX: u64 = 8;

/// The format. It has no magic, so it takes every file that no other format does.
#[derive(Debug)]
pub(crate) struct Safetensors;

impl Container for Safetensors {
    fn name(&self) -> &'static str {
        "safetensors"
    }

    fn claims(&self, _: &[u8]) -> bool {
        true
    }

    /// Costs one read of the header; memory follows the header bytes that are there and could be JSON.
    fn open(&self, blob: &dyn Blob, head: &[u8]) -> Result<StoredFile, FileError> {
        let bytes = blob.len();
        let size = check_beginning(head, bytes)
            .map_err(|fault| foreign::by_content(head).unwrap_or(fault))?;
        let text = blob::read_checked(blob, PREFIX, size, no_control_bytes)?;
        let needs = PREFIX.saturating_add(size);
        if (text.len() as u64) < size {
            return Err(FileError::HeaderTruncated { bytes, needs });
        }
        parse(&text, bytes)
    }
}

/// The size of the header, if the first bytes of the file allow one.
fn check_beginning(head: &[u8], bytes: u64) -> Result<u64, FileError> {
    let Some((prefix, text)) = head.split_first_chunk::<8>() else {
        return Err(FileError::HeaderTruncated { bytes, needs: PREFIX });
    };
    let size = u64::from_le_bytes(*prefix);
    if size > MAX_HEADER_BYTES {
        return Err(FileError::HeaderTooLarge { bytes: size });
    }
    let needs = PREFIX.saturating_add(size);
    if needs > bytes {
        return Err(FileError::HeaderTruncated { bytes, needs });
    }
    let text = usize::try_from(size).ok().and_then(|size| text.get(..size)).unwrap_or(text);
    match text.iter().find(|byte| !is_json_space(**byte)) {
        Some(b'{') => Ok(size),
        // Nothing but spaces so far: leave it to the parser.
        None if needs > head.len() as u64 => Ok(size),
        _ => Err(invalid("it does not begin with `{`")),
    }
}

/// JSON has no control bytes but these; a file full of zeros is told from a header at its first chunk.
fn no_control_bytes(chunk: &[u8]) -> Result<(), FileError> {
    match chunk.iter().find(|byte| **byte < b' ' && !is_json_space(**byte)) {
        Some(byte) => Err(invalid(format!("it contains the control byte {byte}"))),
        None => Ok(()),
    }
}

fn is_json_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn invalid(reason: impl Into<String>) -> FileError {
    FileError::InvalidHeader { reason: reason.into() }
}

/// Checks the header `text` of a file of `bytes` bytes.
fn parse(text: &[u8], bytes: u64) -> Result<StoredFile, FileError> {
    let mut hasher = ContentHasher::default();
    hasher.update(text);
    let data_start = PREFIX.saturating_add(text.len() as u64);

    json::check_depth(text).map_err(invalid)?;
    let text = std::str::from_utf8(text)
        .map_err(|e| invalid(format!("byte {} is not UTF-8", e.valid_up_to())))?;
    let table: Table<'_> = serde_json::from_str(text).map_err(|e| invalid(reason(&e, false)))?;
    if table.count > MAX_TENSORS {
        return Err(FileError::TooManyTensors { count: table.count });
    }

    let mut first: HashMap<&str, (u64, u64)> = HashMap::with_capacity(table.tensors.len());
    let mut tensors = Vec::with_capacity(table.tensors.len());
    let mut faults = Vec::new();
    let mut spans = Vec::with_capacity(table.tensors.len());
    for (name, raw) in &table.tensors {
        let (mut tensor, begin, end) = check_entry(name, raw)?;
        let span = (begin, end);
        // A later entry of a name is not offered. Its bytes still count, unless they are the first one's.
        if let Some(of_first) = first.get(name.as_str()) {
            faults.push(Fault {
                tensor: Some(name.clone()),
                code: "duplicate-name",
                message: "twice in the header; the later entry is not used".to_owned(),
            });
            if *of_first == span {
                continue;
            }
        } else {
            first.insert(name, span);
            tensor.start = data_start.saturating_add(begin);
            tensors.push(tensor);
        }
        spans.push((begin, end, name.as_str()));
    }
    check_layout(spans, data_start, bytes)?;

    let odd_metadata = match table.metadata.as_slice() {
        [] => false,
        [one] => serde_json::from_str::<Option<HashMap<String, String>>>(one.get()).is_err(),
        _ => true,
    };
    if odd_metadata {
        let message = "\"__metadata__\" is not a map from text to text".to_owned();
        faults.push(Fault { tensor: None, code: "invalid-metadata", message });
    }
    Ok(StoredFile { tensors, faults, hash: hasher.finish(), ..StoredFile::default() })
}

/// Checks what one entry says by itself.
fn check_entry(name: &str, raw: &RawValue) -> Result<(StoredTensor, u64, u64), FileError> {
    let tensor = || name.to_owned();
    let info: Info = serde_json::from_str(raw.get())
        .map_err(|e| FileError::InvalidEntry { tensor: tensor(), reason: reason(&e, true) })?;
    let Info { dtype: dtype_name, shape: Dimensions { shape, count }, data_offsets: (begin, end) } =
        info;
    if count > MAX_DIMENSIONS {
        return Err(FileError::TooManyDimensions { tensor: tensor(), count });
    }
    let Some(have) = end.checked_sub(begin) else {
        return Err(FileError::ReversedOffsets { tensor: tensor(), begin, end });
    };
    // Factor by factor like the reference implementation: an overflow before a zero is an overflow.
    let Some(elements) = shape.iter().try_fold(1u64, |product, d| product.checked_mul(*d)) else {
        return Err(FileError::ShapeOverflow { tensor: tensor(), shape });
    };
    let (encoding, bits) = encoding(&dtype_name);
    if let Some(width) = bits {
        // 2^64 elements of 64 bits fit into 128 bits, so nothing saturates.
        let bits = u128::from(elements).saturating_mul(u128::from(width));
        if bits != u128::from(have).saturating_mul(8) {
            return Err(FileError::SizeMismatch {
                tensor: tensor(),
                shape,
                dtype: dtype_name,
                needs: bits.div_ceil(8),
                have,
            });
        }
    }
    let (shape, elements) = if dtype_name == COMPLEX {
        // A complex number is a pair.
        ([shape, vec![2]].concat(), elements.saturating_mul(2))
    } else {
        (shape, elements)
    };
    let stored = StoredTensor {
        name: tensor(),
        encoding,
        type_name: dtype_name,
        shape,
        elements,
        bytes: have,
        file: 0,
        start: 0,
        orientation: None,
        row_order: None,
        view: None,
    };
    Ok((stored, begin, end))
}

/// Pairs of F32.
const COMPLEX: &str = "C64";

/// What a type name of the format means, and the bits of an element of its shape.
fn encoding(name: &str) -> (Encoding, Option<u64>) {
    if name == COMPLEX {
        return (Encoding::Plain(DType::F32), Some(64));
    }
    if let Ok(dtype) = name.parse::<DType>() {
        return (Encoding::Plain(dtype), Some(u64::from(dtype.bits())));
    }
    // Types of less than a byte.
    let format = SMALL_TYPES.contains(&name).then(|| BlockFormat::named(name)).flatten();
    format.map_or((Encoding::Unknown, None), |format| {
        let bits = 8_u64.saturating_mul(format.bytes() as u64);
        (Encoding::Blocks(format), bits.checked_div(format.values() as u64))
    })
}

/// Types of the format whose elements share bytes; they are codec's blocks of these names.
const SMALL_TYPES: &[&str] = &["F4", "F6_E2M3", "F6_E3M2", "I4", "U4"];

/// Checks that the byte ranges follow each other from 0 to the end of the file.
fn check_layout(
    mut spans: Vec<(u64, u64, &str)>,
    data_start: u64,
    bytes: u64,
) -> Result<(), FileError> {
    // Stable, and by end as well: an empty tensor comes before the one that begins at the same byte.
    spans.sort_by_key(|(begin, end, _)| (*begin, *end));
    let data = bytes.saturating_sub(data_start);
    let mut covered = 0u64;
    let mut before = "";
    let mut beyond = None;
    for (begin, end, name) in spans {
        let tensor = || name.to_owned();
        if begin < covered {
            return Err(FileError::Overlap {
                tensor: tensor(),
                begin,
                before: before.to_owned(),
                end: covered,
            });
        }
        if begin > covered {
            return Err(FileError::Hole { tensor: tensor(), begin, end: covered });
        }
        if end > data {
            beyond = beyond.or(Some(name));
        }
        covered = end;
        before = name;
    }
    let end = data_start.saturating_add(covered);
    match beyond {
        Some(name) => Err(FileError::DataTruncated { tensor: name.to_owned(), bytes, needs: end }),
        None if end < bytes => Err(FileError::TrailingBytes { bytes, end }),
        None => Ok(()),
    }
}

/// What the JSON parser says, escaped and of bounded length. Inside of an entry its line and column
/// would count from the entry's begin and are left out.
fn reason(error: &serde_json::Error, inside_entry: bool) -> String {
    let text = error.to_string();
    let text = match text.rsplit_once(" at line ") {
        Some((message, _)) if inside_entry => message,
        _ => &text,
    };
    escaped(&text.chars().take(200).collect::<String>())
}

/// The header's object with everything it has, repeated keys too.
struct Table<'a> {
    tensors: Vec<(String, &'a RawValue)>,
    /// Number of tensor keys; only [`MAX_TENSORS`] are kept.
    count: u64,
    metadata: Vec<&'a RawValue>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Table<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;

        impl<'de> Visitor<'de> for Keys {
            type Value = Table<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Table<'de>, A::Error> {
                let mut table = Table { tensors: Vec::new(), count: 0, metadata: Vec::new() };
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        table.metadata.push(map.next_value()?);
                        continue;
                    }
                    table.count = table.count.saturating_add(1);
                    if table.count <= MAX_TENSORS {
                        table.tensors.push((name, map.next_value()?));
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(table)
            }
        }

        deserializer.deserialize_map(Keys)
    }
}

/// A tensor's entry.
#[derive(Deserialize)]
struct Info {
    dtype: String,
    shape: Dimensions,
    data_offsets: (u64, u64),
}

/// A shape that never grows beyond the limit.
struct Dimensions {
    shape: Vec<u64>,
    count: u64,
}

impl<'de> Deserialize<'de> for Dimensions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Dimensions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of dimensions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Dimensions, A::Error> {
                let mut dimensions = Dimensions { shape: Vec::new(), count: 0 };
                while let Some(dimension) = list.next_element()? {
                    dimensions.count = dimensions.count.saturating_add(1);
                    if dimensions.count <= MAX_DIMENSIONS {
                        dimensions.shape.push(dimension);
                    }
                }
                Ok(dimensions)
            }
        }

        deserializer.deserialize_seq(List)
    }
}
