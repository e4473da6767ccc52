//! JSON side files as [`Value`]s.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use weightscope_core::{Metrics, Value};

/// Deepest nesting of lists and objects.
pub(crate) const MAX_DEPTH: u32 = 64;

/// A parsed side file.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) value: Value,
    /// Keys that an object had more than once; the first is kept.
    pub(crate) repeated: Vec<String>,
}

/// Parses JSON; messages name places, never contents.
///
/// Python's `json` writes the constants `NaN`, `Infinity` and `-Infinity`, which are not JSON but
/// stand in published configurations. They become [`Value::Null`].
pub(crate) fn parse(bytes: &[u8]) -> Result<Document, String> {
    check_depth(bytes)?;
    strict(bytes)
        .or_else(|error| strict(&constants_to_null(bytes)).map_err(|_| error))
        .map_err(|error| error.to_string())
}

fn strict(bytes: &[u8]) -> Result<Document, serde_json::Error> {
    let mut repeated = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Builder { repeated: &mut repeated }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(Document { value, repeated })
}

/// Refuses JSON that is nested deeper than [`MAX_DEPTH`], in one pass and without recursion.
pub(crate) fn check_depth(bytes: &[u8]) -> Result<(), String> {
    let mut strings = Strings::default();
    let mut depth = 0u32;
    for (at, byte) in bytes.iter().enumerate() {
        if strings.step(*byte) {
            continue;
        }
        match byte {
            b'{' | b'[' => depth = depth.saturating_add(1),
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH} levels at byte {at}"));
        }
    }
    Ok(())
}

fn constants_to_null(bytes: &[u8]) -> Vec<u8> {
    const CONSTANTS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];
    let mut strings = Strings::default();
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((byte, tail)) = rest.split_first() {
        let constant = CONSTANTS.iter().find_map(|constant| rest.strip_prefix(*constant));
        if let Some(after) = constant.filter(|_| !strings.inside) {
            out.extend_from_slice(b"null");
            rest = after;
        } else {
            strings.step(*byte);
            out.push(*byte);
            rest = tail;
        }
    }
    out
}

/// Tells bytes of JSON strings from the others.
#[derive(Default)]
struct Strings {
    inside: bool,
    escaped: bool,
}

impl Strings {
    /// Takes the next byte; whether it belongs to a string or is one of its quotes.
    fn step(&mut self, byte: u8) -> bool {
        let was_inside = self.inside;
        if self.escaped {
            self.escaped = false;
        } else if byte == b'"' {
            self.inside = !self.inside;
        } else if byte == b'\\' {
            self.escaped = self.inside;
        }
        was_inside || self.inside
    }
}

/// Builds a [`Value`] and notes repeated keys.
struct Builder<'a> {
    repeated: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Builder<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Builder<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Builder { repeated: &mut *self.repeated })? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Metrics::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(Builder { repeated: &mut *self.repeated })?;
            if map.contains_key(key.as_str()) {
                self.repeated.push(key);
            } else {
                map.insert(key.into(), value);
            }
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        parse(text.as_bytes()).unwrap().value
    }

    #[test]
    fn integers_and_numbers_stay_apart() {
        assert_eq!(
            value(
                r#"{"a": 3, "b": 3.0, "c": -3, "d": [null, true, "x"], "e": 18446744073709551615}"#
            ),
            Value::map([
                ("a", Value::Integer(3)),
                ("b", Value::Number(3.0)),
                ("c", Value::Number(-3.0)),
                ("d", Value::List(vec![Value::Null, true.into(), "x".into()])),
                ("e", Value::Integer(u64::MAX)),
            ])
        );
    }

    #[test]
    fn python_constants_are_null_outside_of_strings() {
        let parsed =
            value(r#"{"limit": [0.0, Infinity, -Infinity, NaN], "name": "NaN \" Infinity"}"#);
        assert_eq!(parsed.get("limit").unwrap().items().iter().filter(|v| v.is_null()).count(), 3);
        assert_eq!(parsed.get("name").unwrap().as_str(), Some("NaN \" Infinity"));
        assert!(parse(b"{\"a\": Infinityx}").is_err());
    }

    #[test]
    fn the_first_of_repeated_keys_is_kept_and_told() {
        let document = parse(br#"{"a": 1, "a": 2, "b": {"c": 1, "c": 1}}"#).unwrap();
        assert_eq!(document.repeated, ["a", "c"]);
        assert_eq!(document.value.get("a"), Some(&Value::Integer(1)));
    }

    #[test]
    fn depth_is_counted_outside_of_strings() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(nested(64).as_bytes()).is_ok());
        assert!(parse(nested(65).as_bytes()).unwrap_err().contains("64 levels"));
        assert!(parse(nested(1_000_000).as_bytes()).is_err());
        assert!(parse(format!("\"\\\"{}\"", "[".repeat(100)).as_bytes()).is_ok());
    }

    #[test]
    fn messages_do_not_echo() {
        for secret in ["root:x:0:0", "{\"key\": hunter2}", "\"hunter2", "hunter2"] {
            let message = parse(secret.as_bytes()).unwrap_err();
            assert!(!message.contains("hunter2") && !message.contains("root"), "{message}");
        }
    }
}
