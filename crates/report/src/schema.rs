//! JSON Schema of the machine report, made from its types.

use serde_json::{Map, Value};
use weightscope_core::Report;

/// JSON Schema (draft 2020-12) of a JSON report, pretty-printed, keys sorted, with a newline at the end.
pub fn schema() -> String {
    let mut schema = schemars::schema_for!(Report);
    schema.insert("title".to_owned(), "WeightScope report".into());
    // Sorted, because the order of a JSON map depends on what else is linked into the program.
    format!("{:#}\n", sorted(schema.to_value()))
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map.into_iter().collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(entries.into_iter().map(|(k, v)| (k, sorted(v))).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}
