//! Reports of earlier runs.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use weightscope::report::read_report;
use weightscope::{Finding, Report};

/// Reads a JSON report; the message says why it cannot be used.
pub(crate) fn read(path: &Path) -> Result<Report, String> {
    let say = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    if path.is_dir() {
        let path = path.display();
        return Err(say(&format!(
            "is a folder, not a saved report; ws-cli scan {path} -o report.json writes one"
        )));
    }
    // Checkpoints are huge and named where a report should be: a look at the first bytes is enough.
    if fs::metadata(path).is_ok_and(|m| m.is_file()) {
        let mut start = [0; 64];
        let mut file = File::open(path).map_err(|e| say(&e))?;
        let count = file.read(&mut start).map_err(|e| say(&e))?;
        let first = start.iter().take(count).find(|b| !b.is_ascii_whitespace());
        if first.is_some_and(|b| *b != b'{' && *b != b'[') {
            return Err(say(&"not JSON, so not a report; give what -o report.json wrote"));
        }
    }
    let bytes = fs::read(path).map_err(|e| say(&e))?;
    let text = String::from_utf8(bytes).map_err(|_| say(&"not JSON: it is not UTF-8"))?;
    read_report(&text).map_err(|error| say(&error))
}

/// Marks findings that `earlier` has: same code, weight and metric.
pub(crate) fn mark_known(findings: &mut [Finding], earlier: &[Finding]) {
    let key = |f: &Finding| (f.code.to_string(), f.weight.clone(), f.metric.to_string());
    // A finding about no weight is known by what it says.
    let whole = |f: &Finding| f.weight.is_none().then(|| f.message.clone());
    let known: BTreeSet<_> = earlier.iter().map(|f| (key(f), whole(f))).collect();
    for finding in findings {
        finding.known = known.contains(&(key(finding), whole(finding)));
    }
}
