//! GGUF: metadata, a table of tensors, and their bytes at multiples of an alignment.
//!
//! Source: ggml's `docs/gguf.md`, and its reader `src/gguf.cpp` where that is silent. Three differences are deliberate:
//! a type number that is not known does not spoil the other tensors, a repeated key or name is reported and its first
//! entry kept, and the table may list tensors in another order than they lie in.

mod config;
mod header;
mod metadata;
mod rows;
mod types;

use std::collections::HashSet;

use weightscope_core::{Orientation, Value};

use self::header::Header;
use self::metadata::{Pairs, invalid};
use super::{Container, Encoding, Fault, MAX_TENSORS, Split, StoredFile, StoredTensor};
use crate::FileError;
use crate::blob::Blob;
use crate::quoted::quoted;

const MAGIC: &[u8] = b"GGUF";
/// The same layout in both; version 1 had lengths of 32 bits.
const VERSIONS: [u32; 2] = [2, 3];

/// What offsets are multiples of unless the metadata say otherwise.
const DEFAULT_ALIGNMENT: u64 = 32;
/// Largest alignment; writers use 32, and a page or two is the most that anything needs.
const MAX_ALIGNMENT: u64 = 1 << 20;
/// Most dimensions of a tensor in ggml.
const MOST_DIMENSIONS: u32 = 4;
/// Longest name. ggml stops at 63, forks do not.
const MAX_NAME_BYTES: u64 = 1 << 12;
/// Fewest bytes of a table entry: the name's length, a name of one byte, the number of dimensions, type and offset.
const ENTRY_BYTES: u64 = 25;

/// The format.
#[derive(Debug)]
pub(crate) struct Gguf;

impl Container for Gguf {
    fn name(&self) -> &'static str {
        "GGUF"
    }

    fn claims(&self, head: &[u8]) -> bool {
        head.starts_with(MAGIC)
    }

    /// Costs one read of the header; memory follows the table of tensors, not the vocabulary.
    fn open(&self, blob: &dyn Blob, _: &[u8]) -> Result<StoredFile, FileError> {
        let mut header = Header::new(blob);
        let (pairs, count) = read_metadata(&mut header)?;
        if count > MAX_TENSORS {
            return Err(FileError::TooManyTensors { count });
        }
        let alignment = alignment(&pairs)?;
        header.expect_each(count, ENTRY_BYTES)?;
        let mut infos = Vec::new();
        for number in 0..count {
            infos.push(Info::read(&mut header, number)?);
        }
        let data_start = padded(header.position(), alignment);
        let end = check_layout(&mut infos, data_start, blob.len(), alignment)?;

        let mut faults: Vec<Fault> = pairs.repeated.iter().map(|key| repeated(key)).collect();
        if blob.len() > padded(end, alignment) {
            let message = format!(
                "file has {} bytes, its tensors end at {end}: the bytes after belong to no tensor",
                blob.len()
            );
            faults.push(Fault { tensor: None, code: "trailing-bytes", message });
        }
        let tensors = once(infos, data_start, &mut faults);
        Ok(StoredFile {
            tensors,
            faults,
            config: config::of(&pairs.values),
            split: split(&pairs),
            purpose: Purpose::of(&pairs).name(),
            hash: header.finish(),
            ..StoredFile::default()
        })
    }

    fn finish(&self, tensors: &mut [StoredTensor], config: &mut Option<Value>) {
        if let Some(config) = config {
            config::complete(config, tensors);
            rows::restore(tensors, config);
        }
    }
}

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Model,
    /// Low-rank factors.
    Adapter,
    /// The eyes or ears of a model whose text part is another file.
    Projector,
    /// Sums of squared activations, from which quantisers weigh errors.
    ImportanceMatrix,
}

impl Purpose {
    fn of(pairs: &Pairs) -> Self {
        let text = |key: &str| pairs.values.get(key).and_then(Value::as_str);
        match (text("general.type"), text("general.architecture")) {
            (Some("adapter"), _) => Self::Adapter,
            (Some("mmproj"), _) | (_, Some("clip")) => Self::Projector,
            (Some("imatrix"), _) => Self::ImportanceMatrix,
            _ => Self::Model,
        }
    }

    /// Name in reports, for what is no model.
    fn name(self) -> Option<&'static str> {
        match self {
            Self::Model => None,
            Self::Adapter => Some("adapter"),
            Self::Projector => Some("mmproj"),
            Self::ImportanceMatrix => Some("imatrix"),
        }
    }
}

/// What a file is for, by its metadata alone; `None` when they cannot be read.
pub(crate) fn purpose(blob: &dyn Blob) -> Option<Purpose> {
    let (pairs, _) = read_metadata(&mut Header::new(blob)).ok()?;
    Some(Purpose::of(&pairs))
}

/// The metadata, and the number of tensors in the table that follows.
fn read_metadata(header: &mut Header<'_>) -> Result<(Pairs, u64), FileError> {
    if header.array::<4>()? != MAGIC {
        return Err(invalid("it does not begin with `GGUF`"));
    }
    let version = header.u32()?;
    if version != 0 && version.trailing_zeros() >= 16 {
        let version = format!("{} in big-endian byte order", version.swap_bytes());
        return Err(FileError::UnsupportedVersion { format: "GGUF", version });
    }
    if !VERSIONS.contains(&version) {
        let version = version.to_string();
        return Err(FileError::UnsupportedVersion { format: "GGUF", version });
    }
    let tensors = header.u64()?;
    let pairs = header.u64()?;
    Ok((metadata::read(header, pairs)?, tensors))
}

fn alignment(pairs: &Pairs) -> Result<u64, FileError> {
    let Some(value) = pairs.values.get("general.alignment") else { return Ok(DEFAULT_ALIGNMENT) };
    match value.as_u64() {
        Some(n) if n.is_power_of_two() && n <= MAX_ALIGNMENT => Ok(n),
        Some(n) => Err(invalid(format!(
            "its alignment is {n}, a power of two up to {MAX_ALIGNMENT} is allowed"
        ))),
        None => Err(invalid("its alignment is not a number")),
    }
}

/// The next multiple of `alignment`, which is a power of two.
fn padded(position: u64, alignment: u64) -> u64 {
    position.checked_next_multiple_of(alignment).unwrap_or(u64::MAX)
}

fn split(pairs: &Pairs) -> Option<Split> {
    let count = |key: &str| pairs.values.get(key).and_then(Value::as_u64);
    Some(Split {
        number: count("split.no")?,
        count: count("split.count").filter(|count| *count > 1)?,
        tensors: count("split.tensors.count"),
    })
}

fn repeated(key: &str) -> Fault {
    let message = format!("metadata {} are given twice; the first is used", quoted(key));
    Fault { tensor: None, code: "duplicate-key", message }
}

/// A table entry, checked by itself.
#[derive(Debug)]
struct Info {
    name: String,
    encoding: Encoding,
    type_name: String,
    /// The slowest dimension first.
    shape: Vec<u64>,
    elements: u64,
    /// From the beginning of the data.
    offset: u64,
    /// `None` for a type that is not known, until its neighbours tell.
    bytes: Option<u64>,
}

impl Info {
    fn read(header: &mut Header<'_>, number: u64) -> Result<Self, FileError> {
        let name =
            metadata::name(header, MAX_NAME_BYTES, || format!("the name of tensor {number}"))?;
        let broken = |reason: String| FileError::InvalidEntry { tensor: name.clone(), reason };
        let count = header.u32()?;
        if count > MOST_DIMENSIONS {
            let reason = format!("{count} dimensions, GGUF has at most {MOST_DIMENSIONS}");
            return Err(broken(reason));
        }
        let mut shape = Vec::new();
        for _ in 0..count {
            shape.push(header.u64()?);
        }
        // ggml counts the fastest dimension first.
        shape.reverse();
        let (encoding, type_name) = types::encoding(header.u32()?);
        let offset = header.u64()?;
        // ggml counts in signed numbers.
        let most = i64::MAX.unsigned_abs();
        let elements = shape.iter().try_fold(1_u64, |product, n| product.checked_mul(*n));
        let Some(elements) = elements.filter(|n| *n <= most) else {
            return Err(FileError::ShapeOverflow { tensor: name, shape });
        };
        let bytes = match encoding {
            Encoding::Unknown => None,
            Encoding::Plain(dtype) => Some(elements.checked_mul(dtype.bytes() as u64)),
            Encoding::Blocks(format) => {
                let (values, size) = (format.values() as u64, format.bytes() as u64);
                let row = shape.last().copied().unwrap_or(1);
                if !row.is_multiple_of(values) {
                    return Err(broken(format!(
                        "rows of {row} values are no whole blocks: {type_name} has {values} in each"
                    )));
                }
                Some(elements.checked_div(values).unwrap_or(0).checked_mul(size))
            }
        };
        let bytes = match bytes {
            Some(None) => return Err(FileError::ShapeOverflow { tensor: name, shape }),
            Some(bytes) => bytes,
            None => None,
        };
        Ok(Self { name, encoding, type_name, shape, elements, offset, bytes })
    }
}

/// Checks that tensors lie one after the other, each at the next multiple of the alignment, and gives those of unknown
/// types the bytes up to the next one. Returns where the last one ends in the file.
fn check_layout(
    infos: &mut [Info],
    data_start: u64,
    bytes: u64,
    alignment: u64,
) -> Result<u64, FileError> {
    let mut order: Vec<usize> = (0..infos.len()).collect();
    // Stable, and by size as well: an empty tensor comes before the one that begins at the same byte.
    order.sort_by_key(|at| infos.get(*at).map(|info| (info.offset, info.bytes)));
    let data = bytes.saturating_sub(data_start);
    let mut covered = 0_u64;
    // The tensor before, and whether its end is known.
    let mut before: Option<usize> = None;
    let mut beyond: Option<usize> = None;
    for at in order {
        let previous = before.and_then(|before| infos.get(before));
        let was_open = previous.is_some_and(|info| info.bytes.is_none());
        let Some(info) = infos.get(at) else { continue };
        let begin = info.offset;
        let tensor = || info.name.clone();
        if !begin.is_multiple_of(alignment) {
            return Err(FileError::Misaligned { tensor: tensor(), begin, alignment });
        }
        if begin < covered {
            return Err(FileError::Overlap {
                tensor: tensor(),
                begin,
                before: previous.map_or_else(String::new, |info| info.name.clone()),
                end: covered,
            });
        }
        if begin > padded(covered, alignment) && !was_open {
            return Err(FileError::Hole { tensor: tensor(), begin, end: covered });
        }
        let end = begin.checked_add(info.bytes.unwrap_or(0));
        let Some(end) = end.filter(|end| data_start.checked_add(*end).is_some()) else {
            return Err(FileError::DataTruncated { tensor: tensor(), bytes, needs: u64::MAX });
        };
        if end > data {
            beyond = beyond.or(Some(at));
        }
        if let Some(open) = before.and_then(|before| infos.get_mut(before)) {
            open.bytes = open.bytes.or(Some(begin.saturating_sub(open.offset)));
        }
        covered = end;
        before = Some(at);
    }
    if let Some(last) = before.and_then(|before| infos.get_mut(before))
        && last.bytes.is_none()
    {
        // At least one byte, whatever the type is.
        let needs = last.offset.saturating_add(u64::from(last.elements > 0));
        if needs > data {
            beyond = beyond.or(before);
        }
        last.bytes = Some(data.saturating_sub(last.offset));
        covered = data.max(needs);
    }
    let end = data_start.saturating_add(covered);
    match beyond.and_then(|at| infos.get(at)) {
        Some(info) => {
            Err(FileError::DataTruncated { tensor: info.name.clone(), bytes, needs: end })
        }
        // Writers need not pad a header that nothing follows.
        None if infos.is_empty() => Ok(data_start.min(bytes)),
        None => Ok(end),
    }
}

/// The tensors, the first of each name.
fn once(infos: Vec<Info>, data_start: u64, faults: &mut Vec<Fault>) -> Vec<StoredTensor> {
    let mut names = HashSet::with_capacity(infos.len());
    let mut tensors = Vec::with_capacity(infos.len());
    for info in infos {
        if !names.insert(info.name.clone()) {
            faults.push(Fault {
                tensor: Some(info.name),
                code: "duplicate-name",
                message: "twice in the table; the later entry is not used".to_owned(),
            });
            continue;
        }
        // Converters turn what other programs store the other way round.
        let orientation = (info.shape.len() > 1).then_some(Orientation::OutIn);
        tensors.push(StoredTensor {
            name: info.name,
            encoding: info.encoding,
            type_name: info.type_name,
            elements: info.elements,
            bytes: info.bytes.unwrap_or(0),
            file: 0,
            start: data_start.saturating_add(info.offset),
            orientation,
            row_order: None,
            view: None,
            shape: info.shape,
        });
    }
    tensors
}
