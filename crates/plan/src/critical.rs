//! Critical findings of the scan that a plan is made from.

use serde::Serialize;
use weightscope_core::{Finding, Report, Severity};

/// Findings that say that the bytes are not those of the model: a part is gone, or another one stands in its place.
/// Whatever is planned for such a file is planned for something else.
const NOT_THE_MODEL: [&str; 8] = [
    "integrity.damaged",
    "integrity.empty",
    "integrity.missing",
    "integrity.missing-tower",
    "integrity.shape",
    "integrity.shard",
    "integrity.slice",
    "integrity.truncated",
];

/// A critical finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Critical {
    /// Its code, such as `integrity.empty`.
    pub code: String,
    /// The weight that it is about; null for the whole checkpoint.
    pub weight: Option<String>,
    /// What it says.
    pub message: String,
    /// Whether nothing is planned because of it unless that is asked for ([`crate::Request::force`]): bytes that are
    /// damaged, cut or missing. Others are only said.
    pub refused: bool,
}

/// The critical findings of a report, those that a plan is refused for first.
pub(crate) fn of(report: &Report) -> Vec<Critical> {
    let critical = |finding: &Finding| Critical {
        code: finding.code.to_string(),
        weight: finding.weight.clone(),
        message: finding.message.clone(),
        refused: NOT_THE_MODEL.contains(&finding.code.as_ref()),
    };
    let found = report.findings.iter().filter(|f| f.severity == Severity::Critical);
    let mut found: Vec<Critical> = found.map(critical).collect();
    found.sort_by_key(|finding| !finding.refused);
    found
}

/// The first of them in words, and how many there are besides; empty when there are none.
pub(crate) fn words(found: &[Critical]) -> String {
    let Some((first, others)) = found.split_first() else { return String::new() };
    let place = first.weight.as_deref().map_or_else(String::new, |weight| format!("{weight}: "));
    let more = match others.len() {
        0 => String::new(),
        1 => ", and one more".to_owned(),
        n => format!(", and {n} more"),
    };
    format!("{} ({place}{}){more}", first.code, first.message)
}
