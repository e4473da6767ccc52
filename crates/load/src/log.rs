//! The faults of a checkpoint, bounded in number.

use std::collections::BTreeMap;

use weightscope_core::{ErrorRecord, ErrorScope};

/// So many faults of one code are listed, the rest is counted.
const LISTED: u64 = 20;

/// Collects error records.
#[derive(Debug, Default)]
pub(crate) struct ErrorLog {
    records: Vec<ErrorRecord>,
    counts: BTreeMap<&'static str, (ErrorScope, u64)>,
}

impl ErrorLog {
    /// Adds one; the message is only made when it is listed.
    pub(crate) fn add(
        &mut self,
        scope: ErrorScope,
        name: &str,
        code: &'static str,
        message: impl FnOnce() -> String,
    ) {
        let (_, count) = self.counts.entry(code).or_insert((scope, 0));
        *count = count.saturating_add(1);
        if *count <= LISTED {
            let name = name.to_owned();
            self.records.push(ErrorRecord {
                scope,
                name,
                analyzer: None,
                code: code.into(),
                message: message(),
            });
        }
    }

    /// Whether something was listed of what has this name.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.records.iter().any(|record| record.name == name)
    }

    /// Whether nothing was added.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// All records, and one more for each code that had too many.
    pub(crate) fn finish(mut self) -> Vec<ErrorRecord> {
        for (code, (scope, count)) in self.counts {
            let more = count.saturating_sub(LISTED);
            if more > 0 {
                self.records.push(ErrorRecord {
                    scope,
                    name: format!("and {more} more"),
                    analyzer: None,
                    code: code.into(),
                    message: format!("{more} more faults of this kind, {count} in all"),
                });
            }
        }
        self.records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_faults_are_counted() {
        let mut log = ErrorLog::default();
        for _ in 0..25 {
            log.add(ErrorScope::Tensor, "x", "duplicate-name", String::new);
        }
        log.add(ErrorScope::Shard, "y", "hole", String::new);
        let records = log.finish();
        assert_eq!(records.len(), 22);
        let last = records.last().unwrap();
        assert_eq!((last.name.as_str(), last.code.as_ref()), ("and 5 more", "duplicate-name"));
    }
}
