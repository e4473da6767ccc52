//! Documents that are generated from descriptors, so that code and documentation cannot disagree.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use weightscope::report::schema;
use weightscope::{Descriptor, SIBLINGS, builtin_registry};

/// Writes every generated document whose text changed, or, with `check`, fails when one would.
pub(crate) fn run(root: &Path, check: bool) -> Result<Vec<&'static str>, String> {
    let registry = builtin_registry();
    let descriptors = registry.descriptors();
    let documents = [
        ("docs/metrics.md", metrics(&descriptors)),
        ("docs/findings.md", findings(&descriptors)),
        ("docs/report.schema.json", schema()),
    ];
    let mut written = Vec::new();
    for (name, text) in documents {
        let path = root.join(name);
        if fs::read_to_string(&path).is_ok_and(|current| current == text) {
            continue;
        }
        if check {
            return Err(format!("{name} is not current: run cargo xtask docs"));
        }
        fs::write(&path, text).map_err(|error| format!("{name}: {error}"))?;
        written.push(name);
    }
    Ok(written)
}

const METRICS_HEAD: &str = "# Metrics

What every number means. Generated from the analyzers' descriptors by `cargo xtask docs`; `ws-cli explain
<metric>` says the same in the terminal.

W is a weight matrix [out, in]: rows are output units in every family. GPT-2's Conv1D, stored [in, out], is
turned, so the well-known pictures of its `c_attn` are the transpose of ours. A tensor of more than two
dimensions is seen as [first, product of the rest] (but for the leading 1 of a position table); of stacked
experts each is a matrix of its own. Sums run in f64. Statistics are over finite values, and a metric that does
not exist is null with its reason under `undefined`.
";

fn metrics(descriptors: &[&Descriptor]) -> String {
    let mut text = METRICS_HEAD.to_owned();
    for descriptor in descriptors {
        let _ = write!(
            text,
            "\n## {}\n\n{}.\n\n| metric | unit | meaning |\n|---|---|---|\n",
            descriptor.id, descriptor.summary
        );
        for metric in descriptor.metrics {
            let _ = writeln!(text, "| `{}` | {} | {} |", metric.key, metric.unit, cell(metric.doc));
        }
        parameters(&mut text, descriptor);
    }
    let _ = write!(text, "\n## {}\n\n{}.\n", SIBLINGS.id, SIBLINGS.summary);
    parameters(&mut text, &SIBLINGS);
    text
}

fn parameters(text: &mut String, descriptor: &Descriptor) {
    if descriptor.parameters.is_empty() {
        return;
    }
    let _ = write!(
        text,
        "\nParameters, under `[parameters.{}]` in `weightscope.toml`:\n\n| parameter | default | meaning |\n|---|---|---|\n",
        descriptor.id
    );
    for spec in descriptor.parameters {
        let _ = writeln!(text, "| `{}` | {} | {} |", spec.key, spec.default, cell(spec.doc));
    }
}

const FINDINGS_HEAD: &str = "# Findings

When a number becomes a finding, and what to do about it. Generated from the analyzers' descriptors by `cargo
xtask docs`; `ws-cli explain <code>` says the same in the terminal. Statistical verdicts above info look only at
matrices with at least 16 live rows and columns and 4096 live values; vectors, position tables and buffers get
facts and info.

| code | severity | when | what to do |
|---|---|---|---|
";

fn findings(descriptors: &[&Descriptor]) -> String {
    let mut text = FINDINGS_HEAD.to_owned();
    for finding in descriptors.iter().flat_map(|d| d.findings).chain(SIBLINGS.findings) {
        let severities: Vec<&str> = finding.severities.iter().map(|s| s.name()).collect();
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            finding.code,
            severities.join(", "),
            cell(finding.doc),
            cell(finding.advice)
        );
    }
    text
}

/// Text for a table cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    #[test]
    fn generated_documents_are_current() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        super::run(&root, true).unwrap();
    }
}
