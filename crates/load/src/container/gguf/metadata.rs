//! The key-value pairs of a header. What a model's sizes are told by is kept; vocabularies are passed over.

use weightscope_core::{Key, Metrics, Value};

use super::header::Header;
use crate::FileError;
use crate::quoted::quoted;

/// Most pairs; real files have a few dozen.
const MAX_PAIRS: u64 = 1 << 16;
/// Longest key, as the format description has it.
const MAX_KEY_BYTES: u64 = (1 << 16) - 1;
/// Longer texts (chat templates, licences) are passed over.
const MAX_TEXT_BYTES: u64 = 1 << 12;
/// Longer lists (vocabularies) are passed over; those with one number per block are kept.
const MAX_ITEMS: u64 = 1 << 12;

/// Fewest bytes of a pair: the key's length, a key of one byte, the type, a value of one byte.
const PAIR_BYTES: u64 = 14;

const TEXT: u32 = 8;
const LIST: u32 = 9;

/// The pairs of a header.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    /// By key; `Null` where the value was passed over.
    pub(super) values: Metrics,
    /// Keys that came again; the first counts.
    pub(super) repeated: Vec<String>,
}

/// Reads `count` pairs.
pub(super) fn read(header: &mut Header<'_>, count: u64) -> Result<Pairs, FileError> {
    if count > MAX_PAIRS {
        return Err(invalid(format!("{count} metadata pairs, at most {MAX_PAIRS} are allowed")));
    }
    header.expect_each(count, PAIR_BYTES)?;
    let mut pairs = Pairs::default();
    for number in 0..count {
        let key = name(header, MAX_KEY_BYTES, || format!("the key of metadata pair {number}"))?;
        let kind = header.u32()?;
        let value = value(header, kind, &key)?;
        if pairs.values.contains_key(key.as_str()) {
            pairs.repeated.push(key);
        } else {
            pairs.values.insert(Key::Owned(key), value);
        }
    }
    Ok(pairs)
}

/// A text that must be one: not empty, UTF-8, of bounded length.
pub(super) fn name(
    header: &mut Header<'_>,
    most: u64,
    what: impl Fn() -> String,
) -> Result<String, FileError> {
    let length = header.u64()?;
    header.expect(length)?;
    if length == 0 {
        return Err(invalid(format!("{} is empty", what())));
    }
    if length > most {
        return Err(invalid(format!("{} has {length} bytes, at most {most} are allowed", what())));
    }
    String::from_utf8(header.take(length)?).map_err(|_| invalid(format!("{} is not UTF-8", what())))
}

fn value(header: &mut Header<'_>, kind: u32, key: &str) -> Result<Value, FileError> {
    match kind {
        TEXT => {
            let length = header.u64()?;
            if length > MAX_TEXT_BYTES {
                header.skip(length)?;
                return Ok(Value::Null);
            }
            let bytes = header.take(length)?;
            Ok(Value::Text(String::from_utf8_lossy(&bytes).into_owned()))
        }
        LIST => list(header, key),
        kind => number(header, kind)?.ok_or_else(|| {
            invalid(format!("metadata {} has the unknown type {kind}", quoted(key)))
        }),
    }
}

fn list(header: &mut Header<'_>, key: &str) -> Result<Value, FileError> {
    let kind = header.u32()?;
    let count = header.u64()?;
    if kind == LIST {
        return Err(invalid(format!("metadata {} is a list of lists", quoted(key))));
    }
    if kind == TEXT {
        header.expect_each(count, 8)?;
        for _ in 0..count {
            let length = header.u64()?;
            header.skip(length)?;
        }
        return Ok(Value::Null);
    }
    let Some(width) = width(kind) else {
        return Err(invalid(format!(
            "metadata {} is a list of the unknown type {kind}",
            quoted(key)
        )));
    };
    header.expect_each(count, width)?;
    if count > MAX_ITEMS {
        header.skip(count.saturating_mul(width))?;
        return Ok(Value::Null);
    }
    let mut items = Vec::new();
    for _ in 0..count {
        items.extend(number(header, kind)?);
    }
    Ok(Value::List(items))
}

/// Bytes of a number of this type.
fn width(kind: u32) -> Option<u64> {
    Some(match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        10..=12 => 8,
        _ => return None,
    })
}

/// A number or truth value; `None` for a type that is neither.
fn number(header: &mut Header<'_>, kind: u32) -> Result<Option<Value>, FileError> {
    let signed = |n: i64| u64::try_from(n).map_or(Value::from(n as f64), Value::Integer);
    Ok(Some(match kind {
        0 => Value::Integer(u64::from(u8::from_le_bytes(header.array()?))),
        1 => signed(i64::from(i8::from_le_bytes(header.array()?))),
        2 => Value::Integer(u64::from(u16::from_le_bytes(header.array()?))),
        3 => signed(i64::from(i16::from_le_bytes(header.array()?))),
        4 => Value::Integer(u64::from(header.u32()?)),
        5 => signed(i64::from(i32::from_le_bytes(header.array()?))),
        6 => Value::from(f64::from(f32::from_le_bytes(header.array()?))),
        7 => Value::Bool(u8::from_le_bytes(header.array()?) != 0),
        10 => Value::Integer(header.u64()?),
        11 => signed(i64::from_le_bytes(header.array()?)),
        12 => Value::from(f64::from_le_bytes(header.array()?)),
        _ => return Ok(None),
    }))
}

pub(super) fn invalid(reason: impl Into<String>) -> FileError {
    FileError::InvalidHeader { reason: reason.into() }
}
