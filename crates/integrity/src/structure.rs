//! Findings on the checkpoint as a whole: what is missing, misshapen or broken.

use weightscope_core::{ErrorScope, Finding, Report, Severity, Verdicts};

/// Faults of a shard that leave all of its tensors readable.
const HARMLESS: [&str; 4] = ["unlisted-shard", "duplicate-shard", "invalid-metadata", "changed"];

/// Missing tensors that get a finding each; the rest share one.
const LISTED: usize = 20;

pub(crate) fn judge(report: &Report, out: &mut Verdicts) {
    let broken = shards(report, out);
    // Tensors of a shard that is not there are missing for a reason that was just told.
    if !broken {
        missing(report, out);
    }
    shapes(report, out);
    unexpected(report, out);
}

/// Broken shards and truncated files; whether any shard's tensors are absent because of it.
fn shards(report: &Report, out: &mut Verdicts) -> bool {
    let mut absent = false;
    for error in &report.errors {
        let (code, metric) = match (error.scope, &*error.code) {
            (_, "truncated") => ("integrity.truncated", "truncated"),
            (ErrorScope::Shard, _) => ("integrity.shard", "shard"),
            _ => continue,
        };
        absent |= error.scope == ErrorScope::Shard && !HARMLESS.contains(&&*error.code);
        let advice = if error.code == "unlisted-shard" {
            "repair the index, or remove the file"
        } else {
            "download or export the file again"
        };
        // A truncated tensor is a weight; a shard is not.
        let weight = (error.scope == ErrorScope::Tensor).then_some(error.name.as_str());
        let finding = Finding::new(code, Severity::Critical, weight, error.message.clone());
        out.push(finding.metric(metric, 1.0).advice(advice));
    }
    absent
}

fn missing(report: &Report, out: &mut Verdicts) {
    let advice =
        "download or export the checkpoint again; loaders would fill the gap with random values";
    let mut names: Vec<&str> =
        report.models.iter().flat_map(|m| &m.missing).map(String::as_str).collect();
    let unlisted =
        report.errors.iter().filter(|e| e.code == "missing-tensor").map(|e| e.name.as_str());
    for name in unlisted {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let listed = &names[..names.len().min(LISTED)];
    for name in listed {
        let message = format!("missing: {name}");
        out.push(
            Finding::new("integrity.missing", Severity::Critical, None, message)
                .metric("missing", 1.0)
                .advice(advice),
        );
    }
    let rest = names.len() - listed.len();
    if rest > 0 {
        let message = format!("missing: {rest} more");
        out.push(
            Finding::new("integrity.missing", Severity::Critical, None, message)
                .metric("missing", rest as f64)
                .advice(advice),
        );
    }
}

fn shapes(report: &Report, out: &mut Verdicts) {
    for mismatch in report.models.iter().flat_map(|m| &m.misshapen) {
        let message = format!(
            "its shape is {:?}, config.json implies {:?}",
            mismatch.shape, mismatch.expected
        );
        out.push(
            Finding::new("integrity.shape", Severity::Critical, Some(&mismatch.name), message)
                .metric("shape", f64::NAN)
                .advice("config.json or the tensor belongs to another model"),
        );
    }
}

fn unexpected(report: &Report, out: &mut Verdicts) {
    for model in report.models.iter().filter(|m| !m.unexpected.is_empty()) {
        let shown: Vec<&str> = model.unexpected.iter().take(5).map(String::as_str).collect();
        let count = model.unexpected.len();
        let more = if count > shown.len() {
            format!(" and {} more", count - shown.len())
        } else {
            String::new()
        };
        let message = format!(
            "{count} tensors that the model of config.json does not have: {}{more}",
            shown.join(", ")
        );
        out.push(
            Finding::new("integrity.unexpected", Severity::Info, None, message)
                .metric("unexpected", count as f64)
                .advice("harmless when a loader ignores them; otherwise config.json names the wrong family"),
        );
    }
}
