//! The report with what is looked up often.

use std::collections::BTreeMap;

use weightscope::{
    Descriptor, Figure, Finding, FindingSpec, MetricSpec, Report, SIBLINGS, Severity, WeightRecord,
};

/// A report and its indexes; weights, findings and figures go by their places in it.
#[derive(Debug)]
pub(super) struct Data {
    pub(super) report: Report,
    pub(super) descriptors: Vec<Descriptor>,
    /// By weight: its findings, worst first.
    findings: Vec<Vec<usize>>,
    /// By weight: its figures.
    figures: Vec<Vec<usize>>,
    /// Figures of the whole model.
    pub(super) model_figures: Vec<usize>,
    places: BTreeMap<String, usize>,
    /// How many of the report's findings are findings; facts come after them while they are shown.
    findings_count: usize,
}

impl Data {
    pub(super) fn new(report: Report, descriptors: Vec<Descriptor>) -> Self {
        let count = report.weights.len();
        let places: BTreeMap<String, usize> =
            report.weights.iter().enumerate().map(|(i, w)| (w.name.clone(), i)).collect();
        let (mut figures, mut model_figures) = (vec![Vec::new(); count], Vec::new());
        for (i, figure) in report.figures.iter().enumerate() {
            match &figure.weight {
                None => model_figures.push(i),
                Some(name) => {
                    if let Some(list) = places.get(name).and_then(|p| figures.get_mut(*p)) {
                        list.push(i);
                    }
                }
            }
        }
        let findings_count = report.findings.len();
        let findings = Vec::new();
        let mut data =
            Self { report, descriptors, findings, figures, model_figures, places, findings_count };
        data.index_findings();
        data
    }

    fn index_findings(&mut self) {
        self.findings = vec![Vec::new(); self.report.weights.len()];
        for (i, finding) in self.report.findings.iter().enumerate() {
            for name in finding.weight.iter().chain(&finding.weights) {
                let place = self.places.get(name).copied();
                if let Some(list) = place.and_then(|place| self.findings.get_mut(place)) {
                    list.push(i);
                }
            }
        }
    }

    /// Lists the report's facts with its findings, or no longer.
    pub(super) fn toggle_facts(&mut self) {
        if self.shows_facts() {
            self.report.findings.truncate(self.findings_count);
        } else {
            self.report.findings.extend_from_slice(&self.report.facts);
        }
        self.index_findings();
    }

    pub(super) fn shows_facts(&self) -> bool {
        self.report.findings.len() > self.findings_count
    }

    /// What was found, without facts.
    pub(super) fn found(&self) -> &[Finding] {
        self.report.findings.get(..self.findings_count).unwrap_or(&[])
    }

    pub(super) fn weight(&self, place: usize) -> Option<&WeightRecord> {
        self.report.weights.get(place)
    }

    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    pub(super) fn finding(&self, place: usize) -> Option<&Finding> {
        self.report.findings.get(place)
    }

    pub(super) fn figure(&self, place: usize) -> Option<&Figure> {
        self.report.figures.get(place)
    }

    pub(super) fn findings_of(&self, weight: usize) -> &[usize] {
        self.findings.get(weight).map_or(&[], Vec::as_slice)
    }

    pub(super) fn figures_of(&self, weight: usize) -> &[usize] {
        self.figures.get(weight).map_or(&[], Vec::as_slice)
    }

    /// The worst severity of a weight's findings.
    pub(super) fn worst(&self, weight: usize) -> Option<Severity> {
        self.findings_of(weight).iter().filter_map(|f| self.finding(*f)).map(|f| f.severity).max()
    }

    pub(super) fn descriptor(&self, analyzer: &str) -> Option<&Descriptor> {
        self.descriptors.iter().find(|d| d.id == analyzer)
    }

    pub(super) fn metric(&self, analyzer: &str, key: &str) -> Option<&'static MetricSpec> {
        self.descriptor(analyzer)?.metric(key)
    }

    /// What a finding's code means.
    pub(super) fn meaning(&self, code: &str) -> Option<&'static FindingSpec> {
        let own = self.descriptors.iter().flat_map(|d| d.findings).find(|f| f.code == code);
        own.or_else(|| {
            // Siblings are compared for every analyzer, under the analyzer's name.
            let suffix = code.split_once('.')?.1;
            SIBLINGS.findings.iter().find(|f| f.code.split_once('.').is_some_and(|c| c.1 == suffix))
        })
    }

    /// Weights of the same role, part and tower in all blocks, in model order: what `weight` is compared with.
    pub(super) fn siblings(&self, weight: usize) -> Vec<usize> {
        let group = |w: &WeightRecord| (w.role, w.part, w.stack, w.expert.is_some());
        let Some(own) = self.weight(weight).filter(|w| w.block.is_some()) else {
            return Vec::new();
        };
        let wanted = group(own);
        let weights = self.report.weights.iter().enumerate();
        weights.filter(|(_, w)| w.block.is_some() && group(w) == wanted).map(|(i, _)| i).collect()
    }
}
