//! The JSON report is strict, reads back, and is what the schema says.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod samples;

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use weightscope_core::Report;
use weightscope_report::{Format, RenderOptions, read_report, render, schema};

fn reports() -> [Report; 7] {
    [
        samples::healthy(),
        samples::troubled(),
        samples::hostile(),
        samples::empty(),
        samples::rejected(),
        samples::interrupted(),
        samples::comparison(),
    ]
}

fn json(report: &Report) -> String {
    render(report, Format::Json, &RenderOptions::default()).unwrap()
}

#[test]
fn reports_read_back_the_same() {
    for report in reports() {
        assert_eq!(read_report(&json(&report)).unwrap(), report);
    }
}

#[test]
fn a_report_of_a_newer_minor_version_is_read() {
    let newer = json(&samples::healthy()).replacen(r#""minor":2"#, r#""minor":7"#, 1).replacen(
        r#"  "kind":"#,
        "  \"added_later\": [1],\n  \"kind\":",
        1,
    );
    assert_eq!(read_report(&newer).unwrap().schema.minor, 7);
}

#[test]
fn one_weight_is_one_line() {
    let report = samples::healthy();
    let json = json(&report);
    let lines = json.lines().filter(|line| line.starts_with("    {\"name\":")).count();
    assert_eq!(lines, report.weights.len());
    assert!(json.ends_with("}\n"));
}

/// Fails at the second of two equal keys of one object.
struct NoDuplicates;

impl<'de> DeserializeSeed<'de> for NoDuplicates {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NoDuplicates {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(NoDuplicates)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            if !seen.insert(key.clone()) {
                return Err(serde::de::Error::custom(format!("{key:?} twice")));
            }
            entries.next_value_seed(NoDuplicates)?;
        }
        Ok(())
    }
}

#[test]
fn no_object_has_a_key_twice() {
    for report in reports() {
        let json = json(&report);
        NoDuplicates.deserialize(&mut serde_json::Deserializer::from_str(&json)).unwrap();
    }
    let twice = r#"{"a":{"b":1,"b":2}}"#;
    assert!(NoDuplicates.deserialize(&mut serde_json::Deserializer::from_str(twice)).is_err());
}

/// As much of JSON Schema as the generated one uses; says where `value` is not what it should be.
fn violation(schema: &Value, value: &Value, root: &Value, place: &str) -> Option<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#')).expect(reference);
        if let Some(found) = violation(target, value, root, place) {
            return Some(found);
        }
    }
    for key in ["oneOf", "anyOf"] {
        let Some(choices) = schema[key].as_array() else { continue };
        if choices.iter().all(|choice| violation(choice, value, root, place).is_some()) {
            return Some(format!("{place}: none of {key} for {value}"));
        }
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        if let Some(found) = violation(part, value, root, place) {
            return Some(found);
        }
    }
    if let Some(wanted) = schema.get("const").filter(|wanted| *wanted != value) {
        return Some(format!("{place}: {value} is not {wanted}"));
    }
    if schema["enum"].as_array().is_some_and(|allowed| !allowed.contains(value)) {
        return Some(format!("{place}: {value} is not allowed"));
    }
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("unknown type {other}"),
    };
    let fits = match &schema["type"] {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().any(|name| is(name.as_str().unwrap())),
        _ => true,
    };
    if !fits {
        return Some(format!("{place}: {value} is not of type {}", schema["type"]));
    }
    if let Some(object) = value.as_object() {
        for required in schema["required"].as_array().into_iter().flatten() {
            if !object.contains_key(required.as_str().unwrap()) {
                return Some(format!("{place}: {required} is missing"));
            }
        }
        for (key, value) in object {
            let property =
                schema["properties"].get(key).or_else(|| schema.get("additionalProperties"));
            let found = property.and_then(|p| violation(p, value, root, &format!("{place}/{key}")));
            if found.is_some() {
                return found;
            }
        }
    }
    let mut items = value.as_array().into_iter().flatten().enumerate();
    items.find_map(|(i, item)| {
        let prefix = schema["prefixItems"].get(i);
        let schema = prefix.or_else(|| schema.get("items"))?;
        violation(schema, item, root, &format!("{place}/{i}"))
    })
}

#[test]
fn reports_are_what_the_schema_says() {
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    for report in reports() {
        let value: Value = serde_json::from_str(&json(&report)).unwrap();
        assert_eq!(violation(&schema, &value, &schema, ""), None);
        // Every entry of the outermost object is described.
        for key in value.as_object().unwrap().keys() {
            assert!(schema["properties"].get(key).is_some(), "{key}");
        }
    }
    let mut broken: Value = serde_json::from_str(&json(&samples::troubled())).unwrap();
    broken["findings"][0]["severity"] = "fatal".into();
    assert!(violation(&schema, &broken, &schema, "").is_some());
}
