//! Causes before consequences: findings that follow from another one are folded into it.

use std::collections::BTreeSet;

use weightscope_core::{Analyzer, CauseSpec, CausedBy, Finding, Key, Reach};

/// Moves what follows from a cause from `findings` to `facts`, and counts it there. The causes of all analyzers in
/// their order, strongest first: a cause that follows from a stronger one explains nothing itself, and what both
/// explain belongs to the stronger one.
pub(crate) fn fold(
    analyzers: &[&dyn Analyzer],
    findings: &mut Vec<Finding>,
    facts: &mut Vec<Finding>,
) {
    let causes = analyzers.iter().flat_map(|analyzer| analyzer.descriptor().causes);
    for spec in causes {
        let mut index = 0;
        while index < findings.len() {
            let is_cause = |f: &Finding| f.code == spec.code && f.severity >= spec.from;
            if findings.get(index).is_some_and(is_cause) {
                // Taken out by its place: several may have one code and name no single weight.
                let mut cause = findings.remove(index);
                let told = CausedBy { code: cause.code.clone(), weight: cause.weight.clone() };
                let mut rest = Vec::with_capacity(findings.len() + 1);
                let mut place = index;
                let mut explained = 0;
                for (at, mut other) in std::mem::take(findings).into_iter().enumerate() {
                    if !follows((spec, &cause), &other) {
                        rest.push(other);
                        continue;
                    }
                    // What it explains follows from the cause, too.
                    explained += other.explains + 1;
                    other.explains = 0;
                    other.caused_by = Some(told.clone());
                    facts.push(other);
                    place -= usize::from(at < index);
                }
                cause.explains += explained;
                rest.insert(place, cause);
                *findings = rest;
                index = place;
            }
            index += 1;
        }
    }
}

/// Whether `other` follows from the cause.
fn follows((spec, cause): (&CauseSpec, &Finding), other: &Finding) -> bool {
    if !spec.covers(&other.code) {
        return false;
    }
    let names = || other.weight.iter().chain(&other.weights);
    match spec.reach {
        Reach::Everything => true,
        Reach::Model if names().next().is_none() => true,
        Reach::Model | Reach::Weights => {
            names().next().is_some() && names().all(|name| cause.is_about(name))
        }
    }
}

/// Leaves of what companions found, `theirs`, the causes of what others found.
pub(crate) fn keep_needed(
    theirs: &BTreeSet<Key>,
    findings: &mut Vec<Finding>,
    facts: &mut Vec<Finding>,
) {
    facts.retain(|fact| !theirs.contains(&fact.code));
    findings.retain_mut(|finding| {
        if !theirs.contains(&finding.code) {
            return true;
        }
        let follows = |fact: &&Finding| {
            fact.caused_by
                .as_ref()
                .is_some_and(|cause| cause.code == finding.code && cause.weight == finding.weight)
        };
        finding.explains = facts.iter().filter(follows).count() as u64;
        finding.explains > 0
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use weightscope_core::{AnalyzeError, Descriptor, Output, Severity, Unit};

    #[derive(Debug)]
    struct Two;

    static DESCRIPTOR: Descriptor = Descriptor {
        id: "two",
        causes: &[
            CauseSpec {
                code: "two.damaged",
                from: Severity::Critical,
                explains: &["two.zero", "spectral.*"],
                reach: Reach::Weights,
            },
            CauseSpec {
                code: "two.zero",
                from: Severity::Warning,
                explains: &["spectral.rank", "two.dead"],
                reach: Reach::Model,
            },
        ],
        ..Descriptor::EMPTY
    };

    impl Analyzer for Two {
        fn descriptor(&self) -> &Descriptor {
            &DESCRIPTOR
        }

        fn analyze(&self, _: &Unit<'_>, _: &mut Output) -> Result<(), AnalyzeError> {
            Ok(())
        }
    }

    fn finding(code: &'static str, severity: Severity, weight: Option<&str>) -> Finding {
        Finding::new(code, severity, weight, "")
    }

    fn folded(mut findings: Vec<Finding>) -> (Vec<Finding>, Vec<Finding>) {
        let mut facts = Vec::new();
        fold(&[&Two], &mut findings, &mut facts);
        (findings, facts)
    }

    #[test]
    fn what_follows_is_folded_into_the_strongest_cause() {
        let (findings, facts) = folded(vec![
            finding("spectral.rank", Severity::Critical, Some("a")),
            finding("two.zero", Severity::Warning, Some("a")),
            finding("two.damaged", Severity::Critical, Some("a")),
            finding("spectral.rank", Severity::Critical, Some("b")),
            finding("two.zero", Severity::Warning, Some("b")),
            finding("two.dead", Severity::Warning, None),
            finding("spectral.alpha", Severity::Info, Some("b")),
        ]);
        let told: Vec<_> =
            findings.iter().map(|f| (&*f.code, f.weight.as_deref(), f.explains)).collect();
        assert_eq!(
            told,
            [
                ("two.damaged", Some("a"), 2),
                ("two.zero", Some("b"), 2),
                ("spectral.alpha", Some("b"), 0)
            ]
        );
        let causes: Vec<_> = facts
            .iter()
            .filter_map(|f| Some((&*f.code, f.caused_by.as_ref()?.weight.as_deref())))
            .collect();
        assert_eq!(
            causes,
            [
                ("spectral.rank", Some("a")),
                ("two.zero", Some("a")),
                ("spectral.rank", Some("b")),
                ("two.dead", Some("b"))
            ]
        );
    }

    #[test]
    fn causes_of_one_code_that_name_no_single_weight_stay_apart() {
        let cause =
            |names: [&str; 2]| finding("two.damaged", Severity::Critical, None).weights(names);
        let (findings, facts) = folded(vec![
            cause(["a", "b"]),
            finding("spectral.rank", Severity::Warning, Some("d")),
            cause(["c", "d"]),
            finding("spectral.rank", Severity::Warning, Some("a")),
            finding("spectral.rank", Severity::Warning, Some("b")),
        ]);
        let told: Vec<_> = findings.iter().map(|f| (&f.weights[..], f.explains)).collect();
        assert_eq!(
            told,
            [(&["a", "b"].map(String::from)[..], 2), (&["c", "d"].map(String::from)[..], 1)]
        );
        assert_eq!(facts.len(), 3);
    }

    #[test]
    fn a_cause_below_its_severity_explains_nothing() {
        let (findings, facts) = folded(vec![
            finding("two.zero", Severity::Info, Some("a")),
            finding("spectral.rank", Severity::Warning, Some("a")),
        ]);
        assert_eq!((findings.len(), facts.len()), (2, 0));
    }

    #[test]
    fn one_finding_on_several_weights_explains_theirs() {
        let all = finding("two.damaged", Severity::Critical, None).weights(["a", "b"]);
        let (findings, facts) = folded(vec![
            finding("spectral.rank", Severity::Critical, Some("a")),
            all,
            finding("spectral.rank", Severity::Critical, Some("c")),
            finding("spectral.rank", Severity::Warning, None).weights(["b"]),
            finding("spectral.rank", Severity::Warning, None).weights(["b", "c"]),
        ]);
        assert_eq!((findings.len(), facts.len(), findings[0].explains), (3, 2, 2));
    }
}
