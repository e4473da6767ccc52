//! Parameters of analyzers: every line a verdict draws has a name and can be changed.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::Key;

/// A number that a user may change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParameterSpec {
    /// Key in `weightscope.toml`.
    pub key: &'static str,
    /// Value unless changed.
    pub default: f64,
    /// What it means, with its unit.
    pub doc: &'static str,
}

/// Values of parameters by analyzer and key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Parameters(pub IndexMap<Key, IndexMap<Key, f64>>);

impl Parameters {
    /// The value of `spec` for `analyzer`: the user's, or the default.
    pub fn value(&self, analyzer: &str, spec: &ParameterSpec) -> f64 {
        self.0
            .get(analyzer)
            .and_then(|values| values.get(spec.key))
            .copied()
            .unwrap_or(spec.default)
    }

    /// Sets a value.
    pub fn set(&mut self, analyzer: impl Into<Key>, key: impl Into<Key>, value: f64) {
        self.0.entry(analyzer.into()).or_default().insert(key.into(), value);
    }
}
