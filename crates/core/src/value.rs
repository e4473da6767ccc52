//! Values of metrics and of configuration files.

use std::borrow::Cow;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// A key in a report: static in descriptors, owned when read back.
pub type Key = Cow<'static, str>;

/// Values by key, in the order they were added.
pub type Metrics = IndexMap<Key, Value>;

/// What a metric or a configuration entry holds: JSON's types with integers kept apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Value {
    /// Does not exist; a metric's reason stands beside it in `undefined`.
    #[default]
    Null,
    /// Yes or no.
    Bool(bool),
    /// A count.
    Integer(u64),
    /// A measurement; always finite.
    Number(f64),
    /// Words.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// Named values.
    Map(IndexMap<Key, Value>),
}

impl Value {
    /// A map of the given entries.
    pub fn map<const N: usize>(entries: [(&'static str, Value); N]) -> Self {
        Self::Map(entries.into_iter().map(|(key, value)| (Cow::Borrowed(key), value)).collect())
    }

    /// The number, also of an integer.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Integer(n) => Some(*n as f64),
            Self::Number(x) => Some(*x),
            _ => None,
        }
    }

    /// The integer.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Integer(n) => Some(*n),
            _ => None,
        }
    }

    /// The truth value.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(b) => Some(*b),
            _ => None,
        }
    }

    /// The words.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The list's items; empty for anything else.
    pub fn items(&self) -> &[Value] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// The value under `key` of a map.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Self::Map(entries) => entries.get(key),
            _ => None,
        }
    }

    /// Whether this is [`Value::Null`].
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

impl From<f64> for Value {
    /// A number that is not finite is [`Value::Null`]: JSON has none and a report states no NaN.
    fn from(x: f64) -> Self {
        if x.is_finite() { Self::Number(x) } else { Self::Null }
    }
}

impl From<u64> for Value {
    fn from(n: u64) -> Self {
        Self::Integer(n)
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl<T: Into<Value>> FromIterator<T> for Value {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_keep_integers_and_numbers_apart() {
        let value = Value::map([
            ("count", 3u64.into()),
            ("share", 1.0.into()),
            ("none", f64::NAN.into()),
            ("list", [0.1, 2e-300].into_iter().collect()),
        ]);
        let text = serde_json::to_string(&value).unwrap();
        assert_eq!(text, r#"{"count":3,"share":1.0,"none":null,"list":[0.1,2e-300]}"#);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
