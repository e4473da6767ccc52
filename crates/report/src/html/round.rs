//! Numbers of the data block: six significant digits, as short as JSON allows.

use serde_json::Value as Json;
use weightscope_core::Value;

use crate::escape::{terminal, terminal_within};

/// Longest text that a metric brings along, in characters. Sketches and the like are for programs.
pub(crate) const TEXT_LIMIT: usize = 80;
/// Longest list that a metric brings along whole.
const LIST_LIMIT: usize = 16;
/// How many items of a longer list are shown.
const LIST_FIRST: usize = 6;

/// `x` with six significant digits. What is just below one, as similarities are, keeps three digits of its
/// distance from one; whole numbers are kept.
pub(crate) fn round(x: f64) -> f64 {
    if x.fract() == 0.0 && x.abs() < 1e15 {
        return x;
    }
    let rounded = |x: f64, digits: usize| format!("{x:.digits$e}").parse::<f64>().unwrap_or(x);
    if (0.999..1.0).contains(&x.abs()) {
        return (1.0 - rounded(1.0 - x.abs(), 2)).copysign(x);
    }
    rounded(x, 5)
}

/// A JSON number; whole ones without a point. JSON has no NaN.
pub(crate) fn number(x: f64) -> Json {
    short(round(x))
}

/// The same with nine significant digits, which tell every F32 from the next.
pub(crate) fn exact(x: f64) -> Json {
    short(format!("{x:.8e}").parse().unwrap_or(x))
}

fn short(x: f64) -> Json {
    if x.fract() == 0.0 && x.abs() < 1e15 { Json::from(x as i64) } else { Json::from(x) }
}

/// Rounds every number within `json`, and spells hidden characters of every text but those under `raw`.
pub(crate) fn tidy(json: Json, raw: &str) -> Json {
    tidy_by(number, json, raw)
}

/// The same with a way of rounding.
pub(crate) fn tidy_by(number: fn(f64) -> Json, json: Json, raw: &str) -> Json {
    match json {
        Json::Number(n) if n.is_f64() => n.as_f64().map_or(Json::Null, number),
        Json::String(text) => Json::String(terminal(&text).into_owned()),
        Json::Array(items) => items.into_iter().map(|item| tidy_by(number, item, raw)).collect(),
        Json::Object(entries) => {
            let tidied = entries.into_iter().map(|(key, value)| {
                let value = if key == raw { value } else { tidy_by(number, value, raw) };
                (key, value)
            });
            Json::Object(tidied.collect())
        }
        other => other,
    }
}

/// A metric's value, summarised when it is long: `{count, first}` and lists keep their first items.
pub(crate) fn metric(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(b) => Json::from(*b),
        Value::Integer(n) => Json::from(*n),
        Value::Number(x) => number(*x),
        Value::Text(text) => Json::from(terminal_within(text, TEXT_LIMIT).into_owned()),
        Value::List(items) if items.len() > LIST_LIMIT => {
            let first: Vec<Json> = items.iter().take(LIST_FIRST).map(nested).collect();
            serde_json::json!({ "count": items.len(), "first": first })
        }
        Value::List(items) => items.iter().map(nested).collect(),
        Value::Map(entries) => {
            let entries = entries.iter();
            let entries = entries.map(|(key, value)| (terminal(key).into_owned(), nested(value)));
            Json::Object(entries.collect())
        }
    }
}

/// A value within a value: lists of more than a few items, such as rows of matrices, are only counted.
pub(crate) fn nested(value: &Value) -> Json {
    match value {
        Value::List(items) if items.len() > LIST_FIRST => {
            serde_json::json!({ "count": items.len(), "first": [] })
        }
        other => metric(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let cases = [
            (0.0, "0"),
            (-0.0, "0"),
            (1e-8, "1e-8"),
            (0.1 + 0.2, "0.3"),
            (1.0 / 3.0, "0.333333"),
            (-12_345.678_9, "-12345.7"),
            (124_439_808.0, "124439808"),
            (124_439_808.25, "124440000"),
            (6.022_140_76e23, "6.02214e23"),
            (0.999_999_987_6, "0.9999999876"),
            (-0.999_95, "-0.99995"),
        ];
        for (x, text) in cases {
            assert_eq!(number(x).to_string().replace('+', ""), text);
        }
        assert_eq!(number(f64::NAN), Json::Null);
    }

    #[test]
    fn long_metrics_are_summarised() {
        let long: Value = (0..500u64).collect();
        assert_eq!(metric(&long).to_string(), r#"{"count":500,"first":[0,1,2,3,4,5]}"#);
        let short: Value = (0..3u64).collect();
        assert_eq!(metric(&short).to_string(), "[0,1,2]");
        assert_eq!(metric(&Value::from("x".repeat(300))).as_str().unwrap().chars().count(), 80);
    }
}
