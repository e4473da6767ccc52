//! Which analyzers there are and which of them run.

use std::collections::BTreeSet;

use weightscope_core::{
    AnalyzeError, Analyzer, Cost, Descriptor, Finding, FindingSpec, ModelGraph, Output,
    ParameterSpec, Report, ReportKind, SIBLINGS, Unit, UnitSpec, Verdicts, WeightId,
};

/// Analyzers by id, in the order they run and report.
#[derive(Debug, Default)]
pub struct Registry {
    analyzers: Vec<Box<dyn Analyzer>>,
}

/// The analyzers that come with WeightScope.
pub fn builtin_registry() -> Registry {
    // Adding an analyzer: its crate, and a line here.
    Registry::default()
        .with(weightscope_integrity::Integrity)
        .with(weightscope_distribution::Distribution)
        .with(weightscope_sparsity::Sparsity)
        .with(weightscope_spectral::Spectral)
        .with(weightscope_quantization::Quantization)
        .with(weightscope_attention::Attention)
        .with(weightscope_pca::Pca)
        .with(weightscope_position::Position)
        .with(weightscope_adapter::Adapter)
        .with(weightscope_compare::Compare)
        .with(weightscope_compare::Lineage)
        .with(weightscope_adapter::AdapterChange)
}

/// A name that the registry does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// No such analyzer.
    #[error("no analyzer is called \"{name}\"{}; there are {known}", suggestion(.nearest.as_deref()))]
    Analyzer {
        /// The name asked for.
        name: String,
        /// The most similar id.
        nearest: Option<String>,
        /// Every id.
        known: String,
    },
    /// No such parameter.
    #[error("analyzer \"{analyzer}\" has no parameter \"{name}\"{}", suggestion(.nearest.as_deref()))]
    Parameter {
        /// The analyzer.
        analyzer: String,
        /// The name asked for.
        name: String,
        /// The most similar key.
        nearest: Option<String>,
    },
    /// It belongs to the other kind of run.
    #[error("analyzer \"{name}\" {}", if *.compares { "measures one checkpoint, not a comparison" } else { "compares two checkpoints: it runs in a comparison" })]
    Kind {
        /// The analyzer.
        name: String,
        /// Whether the run is a comparison.
        compares: bool,
    },
    /// Names with and without a sign were mixed.
    #[error(
        "\"{choice}\" mixes a list of analyzers with +added or -removed ones; use one or the other"
    )]
    Mixed {
        /// The whole choice.
        choice: String,
    },
    /// Nothing is left to run.
    #[error("\"{choice}\" leaves no analyzer to run")]
    Empty {
        /// The whole choice.
        choice: String,
    },
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(", did you mean \"{name}\"?"))
}

/// The nearest of some names.
pub(crate) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    weightscope_report::nearest(name, names.map(|n| (n, n))).map(str::to_owned)
}

impl Registry {
    /// Adds an analyzer at the end; one with the same id is replaced.
    #[must_use]
    pub fn with(mut self, analyzer: impl Analyzer + 'static) -> Self {
        let id = analyzer.descriptor().id;
        let boxed: Box<dyn Analyzer> = Box::new(analyzer);
        match self.analyzers.iter_mut().find(|a| a.descriptor().id == id) {
            Some(slot) => *slot = boxed,
            None => self.analyzers.push(boxed),
        }
        self
    }

    /// All analyzers.
    pub fn analyzers(&self) -> Vec<&dyn Analyzer> {
        self.analyzers.iter().map(AsRef::as_ref).collect()
    }

    /// What all analyzers are.
    pub fn descriptors(&self) -> Vec<&Descriptor> {
        self.analyzers.iter().map(|a| a.descriptor()).collect()
    }

    /// The analyzers for this kind of run, by a choice such as `distribution,sparsity`, or `+mine,-sparsity` (all
    /// but, and also); all of them for an empty choice. Registry order, whatever the order of the choice.
    ///
    /// # Errors
    /// [`RegistryError`] for an unknown name, one of another kind of run, a mixture of the two forms, or nothing left.
    pub fn choose(
        &self,
        kind: ReportKind,
        choice: &[String],
    ) -> Result<Vec<&dyn Analyzer>, RegistryError> {
        let whole = || choice.join(",");
        let names: Vec<&str> = choice.iter().map(|n| n.trim()).filter(|n| !n.is_empty()).collect();
        if names.is_empty() && !choice.is_empty() {
            return Err(RegistryError::Empty { choice: whole() });
        }
        let signed = names.iter().filter(|n| n.starts_with(['+', '-'])).count();
        if signed != 0 && signed != names.len() {
            return Err(RegistryError::Mixed { choice: whole() });
        }
        let compares = kind == ReportKind::Compare;
        let fits = |analyzer: &dyn Analyzer| analyzer.descriptor().compares == compares;
        let all = signed == names.len();
        let mut chosen: Vec<bool> =
            self.analyzers.iter().map(|a| all && fits(a.as_ref())).collect();
        for name in &names {
            let id = name.trim_start_matches(['+', '-']);
            let index = self.index(id)?;
            if self.analyzers.get(index).is_some_and(|a| !fits(a.as_ref())) {
                return Err(RegistryError::Kind { name: id.to_owned(), compares });
            }
            if let Some(flag) = chosen.get_mut(index) {
                *flag = !name.starts_with('-');
            }
        }
        let analyzers = self.analyzers.iter().zip(&chosen).filter(|(_, chosen)| **chosen);
        let analyzers: Vec<&dyn Analyzer> = analyzers.map(|(a, _)| a.as_ref()).collect();
        if analyzers.is_empty() {
            Err(RegistryError::Empty { choice: whole() })
        } else {
            Ok(analyzers)
        }
    }

    /// Those that the judging of `chosen` needs without their being chosen: whose numbers it reads
    /// ([`Descriptor::reads`]), and whose findings may be the causes of its own ([`Descriptor::causes`]). They measure,
    /// draw nothing, and say a cause only where it explains something: run with the others, they make every verdict
    /// what it is in a full scan.
    ///
    /// Where their numbers are not read, they measure the weights alone that the others measure.
    pub fn companions<'a>(&'a self, others: &[&'a dyn Analyzer]) -> Vec<Companion<'a>> {
        let chosen: Vec<&Descriptor> =
            others.iter().map(|analyzer| analyzer.descriptor()).collect();
        let explains = |other: &Descriptor| {
            let may_cause =
                |finding: &FindingSpec| other.causes.iter().any(|cause| cause.covers(finding.code));
            chosen
                .iter()
                .any(|own| own.compares == other.compares && own.findings.iter().any(may_cause))
        };
        // All that judge.
        let mut judging = chosen.clone();
        judging.extend(self.descriptors().into_iter().filter(|other| explains(other)));
        let is_needed = |id: &str| {
            let reads = |own: &&Descriptor| own.id == id || own.reads.contains(&id);
            judging.iter().any(reads) && chosen.iter().all(|own| own.id != id)
        };
        let all = self.analyzers.iter().map(AsRef::as_ref);
        let is_read = |id: &str| chosen.iter().any(|own| own.reads.contains(&id));
        all.filter(|a| is_needed(a.descriptor().id))
            .map(|a| Companion::of(a, if is_read(a.descriptor().id) { &[] } else { others }))
            .collect()
    }

    fn index(&self, id: &str) -> Result<usize, RegistryError> {
        let ids = || self.analyzers.iter().map(|a| a.descriptor().id);
        ids().position(|known| known == id).ok_or_else(|| RegistryError::Analyzer {
            name: id.to_owned(),
            nearest: nearest(id, ids()),
            known: ids().collect::<Vec<_>>().join(", "),
        })
    }

    /// Checks that a parameter exists; `siblings` is the section of sibling and trend judgements.
    ///
    /// # Errors
    /// [`RegistryError`] with the nearest name.
    pub fn parameter(&self, analyzer: &str, key: &str) -> Result<ParameterSpec, RegistryError> {
        let specs: &[ParameterSpec] = if analyzer == SIBLINGS.id {
            SIBLINGS.parameters
        } else {
            let index = self.index(analyzer)?;
            self.analyzers.get(index).map_or(&[][..], |a| a.descriptor().parameters)
        };
        specs.iter().find(|spec| spec.key == key).copied().ok_or_else(|| RegistryError::Parameter {
            analyzer: analyzer.to_owned(),
            name: key.to_owned(),
            nearest: nearest(key, specs.iter().map(|s| s.key)),
        })
    }
}

/// An analyzer that measures what others need, see [`Registry::companions`].
#[derive(Debug)]
pub struct Companion<'a> {
    analyzer: &'a dyn Analyzer,
    descriptor: Descriptor,
    /// It measures what they measure; everything where there are none.
    others: Vec<&'a dyn Analyzer>,
}

impl<'a> Companion<'a> {
    fn of(analyzer: &'a dyn Analyzer, others: &[&'a dyn Analyzer]) -> Self {
        let descriptor =
            Descriptor { metrics: &[], findings: &[], companion: true, ..*analyzer.descriptor() };
        Self { analyzer, descriptor, others: others.to_vec() }
    }
}

impl Analyzer for Companion<'_> {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn analyze(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
        self.analyzer.analyze(unit, out)?;
        out.figures.clear();
        Ok(())
    }

    fn units(&self, graph: &ModelGraph) -> Vec<UnitSpec> {
        let mut units = self.analyzer.units(graph);
        if !self.others.is_empty() {
            let theirs = self.others.iter().flat_map(|other| other.units(graph));
            let theirs: BTreeSet<WeightId> = theirs.flat_map(|unit| unit.weights).collect();
            units.retain(|unit| unit.weights.iter().all(|id| theirs.contains(id)));
        }
        units
    }

    fn cost(&self, unit: &UnitSpec, graph: &ModelGraph) -> Cost {
        self.analyzer.cost(unit, graph)
    }

    fn measuring_parameters(&self) -> &'static [&'static str] {
        self.analyzer.measuring_parameters()
    }

    fn judge(&self, report: &Report, out: &mut Verdicts) {
        let causes = self.descriptor.causes;
        if !causes.is_empty() {
            let mut all = Verdicts::default();
            self.analyzer.judge(report, &mut all);
            let is_cause =
                |f: &Finding| causes.iter().any(|c| c.code == f.code && f.severity >= c.from);
            out.findings.extend(all.findings.into_iter().filter(is_cause));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(choice: &str) -> Result<Vec<&'static str>, String> {
        let registry = builtin_registry();
        let choice: Vec<String> = choice.split(',').map(str::to_owned).collect();
        let chosen = registry.choose(ReportKind::Scan, &choice).map_err(|e| e.to_string())?;
        Ok(chosen.iter().map(|a| a.descriptor().id).collect())
    }

    #[test]
    fn choices() {
        assert_eq!(builtin_registry().choose(ReportKind::Scan, &[]).unwrap().len(), 9);
        assert!(choose("").unwrap_err().contains("leaves no analyzer"));
        let compare = builtin_registry();
        assert_eq!(compare.choose(ReportKind::Compare, &[]).unwrap().len(), 3);
        assert!(choose("compare").unwrap_err().contains("compares two checkpoints"));
        assert_eq!(choose("sparsity,integrity").unwrap(), ["integrity", "sparsity"]);
        assert_eq!(
            choose("-sparsity").unwrap(),
            [
                "integrity",
                "distribution",
                "spectral",
                "quantization",
                "attention",
                "pca",
                "position",
                "adapter"
            ]
        );
        assert!(choose("sparsty").unwrap_err().contains("did you mean \"sparsity\"?"));
        assert!(choose("sparsity,-integrity").unwrap_err().contains("mixes"));
        assert!(
            choose("-sparsity,-integrity,-distribution,-spectral,-quantization,-attention,-pca,-position,-adapter")
                .unwrap_err()
                .contains("leaves no analyzer")
        );
    }

    #[test]
    fn what_is_read_comes_along() {
        let registry = builtin_registry();
        let companions = |choice: &[&str]| -> Vec<&'static str> {
            let choice: Vec<String> = choice.iter().map(|id| (*id).to_owned()).collect();
            let chosen = registry.choose(ReportKind::Scan, &choice).unwrap();
            registry.companions(&chosen).iter().map(|c| c.descriptor().id).collect()
        };
        assert_eq!(companions(&[]), Vec::<&str>::new());
        assert_eq!(
            companions(&["spectral"]),
            ["integrity", "distribution", "sparsity", "attention"]
        );
        let companions_of_two = companions(&["spectral", "sparsity"]);
        assert_eq!(companions_of_two, ["integrity", "distribution", "attention"]);
        assert_eq!(companions(&["-sparsity"]), ["sparsity"]);
        // What pca concludes has no cause; findings of the others may follow from what integrity finds.
        assert_eq!(companions(&["pca"]), Vec::<&str>::new());
        assert_eq!(companions(&["position"]), ["integrity", "distribution"]);
        assert_eq!(companions(&["-integrity"]), ["integrity"]);
        assert_eq!(companions(&["integrity"]), ["distribution"]);
        // Nothing is read that there is not.
        let known: Vec<&str> = registry.descriptors().iter().map(|d| d.id).collect();
        for descriptor in registry.descriptors() {
            assert!(descriptor.reads.iter().all(|id| known.contains(id)), "{}", descriptor.id);
        }
    }

    #[test]
    fn parameters_are_checked() {
        let registry = builtin_registry();
        assert_eq!(registry.parameter("sparsity", "dead_norm").unwrap().default, 1e-3);
        assert!(registry.parameter("siblings", "sibling_z").is_ok());
        let error = registry.parameter("sparsity", "dead_norms").unwrap_err();
        assert!(error.to_string().contains("did you mean \"dead_norm\"?"));
    }
}
