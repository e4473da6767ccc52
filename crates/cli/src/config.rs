//! `weightscope.toml`: parameters, thresholds and ignored findings.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use weightscope::report::nearest;
use weightscope::{Descriptor, IgnoreRule, Registry, SIBLINGS, Settings, check_globs};

use crate::args::FailOn;

/// The file's contents.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// As `--analyzers`.
    #[serde(default)]
    pub(crate) analyzers: Vec<String>,
    /// As `--include`.
    #[serde(default)]
    pub(crate) include: Vec<String>,
    /// As `--exclude`.
    #[serde(default)]
    pub(crate) exclude: Vec<String>,
    /// As `--fail-on`.
    pub(crate) fail_on: Option<FailOn>,
    /// Parameters by analyzer.
    #[serde(default)]
    pub(crate) parameters: BTreeMap<String, BTreeMap<String, f64>>,
    /// Findings to leave out.
    #[serde(default)]
    pub(crate) ignore: Vec<Ignore>,
}

/// One `[[ignore]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ignore {
    code: String,
    #[serde(default = "everything")]
    weight: String,
    reason: String,
}

fn everything() -> String {
    "*".to_owned()
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("{}: {cause}", path.display())]
    Unreadable { path: PathBuf, cause: std::io::Error },
    #[error("{}: {message} (line {line}, column {column})", path.display())]
    Malformed { path: PathBuf, message: String, line: usize, column: usize },
    #[error("{}: {message}", path.display())]
    Wrong { path: PathBuf, message: String },
}

impl Config {
    /// Reads a file; an empty configuration for `None`.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = fs::read_to_string(path)
            .map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })?;
        toml::from_str(&text).map_err(|cause| malformed(path, &text, &cause))
    }

    /// Fills `settings`, checking every name against the registry.
    pub(crate) fn apply(
        &self,
        path: Option<&Path>,
        registry: &Registry,
        settings: &mut Settings,
    ) -> Result<(), ConfigError> {
        let wrong = |message: String| ConfigError::Wrong {
            path: path.unwrap_or(Path::new("")).to_owned(),
            message,
        };
        for (analyzer, values) in &self.parameters {
            for (key, value) in values {
                let spec =
                    registry.parameter(analyzer, key).map_err(|error| wrong(error.to_string()))?;
                if !value.is_finite() || *value < 0.0 {
                    return Err(wrong(format!(
                        "{analyzer}.{key} is {value}, neither zero nor a positive number"
                    )));
                }
                settings.parameters.set(analyzer.clone(), spec.key, *value);
            }
        }
        let codes = finding_codes(&registry.descriptors());
        for rule in &self.ignore {
            known_code(&rule.code, &codes).map_err(wrong)?;
            if rule.reason.trim().is_empty() {
                return Err(wrong(format!("ignoring {} needs a reason", rule.code)));
            }
            let (code, weight, reason) =
                (rule.code.clone(), rule.weight.clone(), rule.reason.clone());
            settings.ignore.push(IgnoreRule { code, weight, reason });
        }
        Ok(())
    }
}

/// The rules of `--ignore CODE[:GLOB]`, which stand for `[[ignore]]` of a file.
pub(crate) fn ignored(texts: &[String], registry: &Registry) -> Result<Vec<IgnoreRule>, String> {
    let codes = finding_codes(&registry.descriptors());
    let rule = |text: &String| {
        let (code, weight) = text.split_once(':').unwrap_or((text, ""));
        known_code(code, &codes).map_err(|why| format!("--ignore: {why}"))?;
        let weight = if weight.is_empty() { everything() } else { weight.to_owned() };
        check_globs(std::slice::from_ref(&weight)).map_err(|why| format!("--ignore: {why}"))?;
        Ok(IgnoreRule { code: code.to_owned(), weight, reason: "--ignore".to_owned() })
    };
    texts.iter().map(rule).collect()
}

/// Whether there is a finding of this code; if not, which one may be meant.
fn known_code(code: &str, codes: &[String]) -> Result<(), String> {
    if codes.iter().any(|known| known == code) {
        return Ok(());
    }
    let near = nearest(code, codes.iter().map(|c| (c.as_str(), c)));
    let hint = near.map_or_else(String::new, |code| format!(", did you mean \"{code}\"?"));
    Err(format!("no finding has the code \"{code}\"{hint}"))
}

/// The parser's message on one line, with the nearest of the names that it says there are.
fn malformed(path: &Path, text: &str, cause: &toml::de::Error) -> ConfigError {
    let before = cause.span().and_then(|span| text.get(..span.start)).unwrap_or("");
    let beside = before.rsplit('\n').next().unwrap_or("");
    let mut message = cause.message().trim().replace('\n', ", ");
    // "unknown field `x`, expected one of `a`, `b`": every second piece is a name, the first the wrong one.
    let mut names = cause.message().split('`').skip(1).step_by(2);
    if let Some(wrong) = names.next().filter(|_| message.starts_with("unknown "))
        && let Some(near) = nearest(wrong, names.map(|name| (name, name)))
    {
        message = format!("{message}; did you mean `{near}`?");
    }
    ConfigError::Malformed {
        path: path.to_owned(),
        message,
        line: before.matches('\n').count() + 1,
        column: beside.chars().count() + 1,
    }
}

/// Every code that a finding can have.
fn finding_codes(descriptors: &[&Descriptor]) -> Vec<String> {
    let own = descriptors.iter().flat_map(|d| d.findings).map(|f| f.code.to_owned());
    let compared = descriptors.iter().filter(|d| d.metrics.iter().any(|m| m.siblings));
    let suffix = SIBLINGS
        .findings
        .first()
        .and_then(|f| f.code.split_once('.'))
        .map_or("", |(_, suffix)| suffix);
    own.chain(compared.map(|d| format!("{}.{suffix}", d.id))).collect()
}
