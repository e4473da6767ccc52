//! From finished weights to a judged report.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use globset::GlobMatcher;
use indexmap::IndexMap;
use weightscope_core::{
    Analyzer, Descriptor, ErrorRecord, ErrorScope, Figure, Finding, FindingCounts, Key, Metadata,
    ModelGraph, NotMeasured, PORTRAITS, Report, ReportKind, SchemaRecord, SeriesDetail, Settings,
    SourceRecord, Status, TensorEntry, TensorSource, Totals, Unpaired, Verdicts, Weight, WeightId,
    WeightRecord, WeightStatus, architecture_figures, judge_siblings, portraits, trend_figures,
};

use crate::RunOptions;
use crate::causes;
use crate::journal::Finished;
use crate::parts;
use crate::plan::Plan;
use crate::scan::{panic_text, record_of, tensor_error};

/// Finished weights, as they come in.
pub(crate) struct Measured<'a> {
    graph: &'a ModelGraph,
    source: &'a dyn TensorSource,
    /// Chosen weights in model order, and whether any analyzer wants them.
    chosen: Vec<(WeightId, bool)>,
    finished: Vec<Option<Finished>>,
    interrupted: bool,
}

impl<'a> Measured<'a> {
    pub(crate) fn new(graph: &'a ModelGraph, source: &'a dyn TensorSource, plan: &Plan) -> Self {
        let mut wanted = vec![false; graph.weights.len()];
        for first in plan.tasks.iter().filter_map(|task| task.unit.weights.first()) {
            if let Some(flag) = wanted.get_mut(first.0 as usize) {
                *flag = true;
            }
        }
        let is_wanted = |id: &WeightId| wanted.get(id.0 as usize).copied().unwrap_or(false);
        let chosen = plan.weights.iter().map(|id| (*id, is_wanted(id))).collect();
        let finished = graph.weights.iter().map(|_| None).collect();
        Self { graph, source, chosen, finished, interrupted: false }
    }

    /// Whether it has been through so many rounds of measuring.
    pub(crate) fn has(&self, id: WeightId, rounds: u32) -> bool {
        self.get(id).is_some_and(|finished| finished.rounds >= rounds)
    }

    pub(crate) fn get(&self, id: WeightId) -> Option<&Finished> {
        self.finished.get(id.0 as usize)?.as_ref()
    }

    /// What is known of it so far: the last round's, or nothing but its name.
    pub(crate) fn take(&mut self, id: WeightId) -> Option<Finished> {
        let earlier = self.finished.get_mut(id.0 as usize).and_then(Option::take);
        earlier.or_else(|| {
            let weight = record_of(id, self.graph, self.source)?;
            Some(Finished { weight, figures: Vec::new(), errors: Vec::new(), rounds: 0 })
        })
    }

    /// Chosen weights.
    pub(crate) fn chosen(&self) -> impl Iterator<Item = WeightId> {
        self.chosen.iter().map(|(id, _)| *id)
    }

    /// Records of what is measured, in model order.
    pub(crate) fn records(&self) -> Vec<&WeightRecord> {
        self.chosen.iter().filter_map(|(id, _)| Some(&self.get(*id)?.weight)).collect()
    }

    /// Says that something is left undone.
    pub(crate) fn interrupt(&mut self) {
        self.interrupted = true;
    }

    pub(crate) fn add(&mut self, id: WeightId, finished: Finished) {
        if let Some(slot) = self.finished.get_mut(id.0 as usize) {
            *slot = Some(finished);
        }
    }

    /// Takes over weights of an earlier run; those the plan does not have are dropped.
    pub(crate) fn take_over(&mut self, journal: Vec<Finished>) {
        // Names alone could clash: a tensor may be called what a part of another one is.
        let mut by_place: BTreeMap<(String, String), Finished> = journal
            .into_iter()
            .map(|f| ((f.weight.source_tensor.clone(), f.weight.name.clone()), f))
            .collect();
        for (id, wanted) in self.chosen.clone() {
            let Some(weight) = self.graph.weights.get(id.0 as usize) else { continue };
            let place = (weight.source_tensor.clone(), weight.name.clone());
            if let Some(finished) = by_place.remove(&place).filter(|_| wanted) {
                self.add(id, finished);
            }
        }
    }

    /// Why the values of a pair cannot be had, with the code of its error.
    fn unreadable_pair(&self, weight: &Weight, unpaired: &Unpaired) -> (&'static str, String) {
        let of_other =
            |other: &&Weight| other.dtype.is_none() && Some(&other.name) == unpaired.other.as_ref();
        let (whose, lacking) = match weight.dtype {
            None => ("BASE", Some(weight)),
            // TUNED's weights stand after BASE's.
            Some(_) => ("TUNED", self.graph.weights.iter().rev().find(of_other)),
        };
        let entry = lacking.and_then(|weight| self.source.entries().get(weight.entry.0 as usize));
        match entry.and_then(|entry| entry.stored.as_ref()?.unreadable.as_deref()) {
            Some(why) => ("not-decoded", format!("{whose} has {why}")),
            None => ("unknown-dtype", unpaired.reason.clone()),
        }
    }

    /// Assembles and judges the report. Everything is in model order, whatever finished first.
    pub(crate) fn into_report(
        mut self,
        analyzers: &[&dyn Analyzer],
        settings: Settings,
        options: &RunOptions,
    ) -> Report {
        let sources = self.source.sources();
        let named = |metadata: &Metadata, name: &str| match sources.len() {
            1 => name.to_owned(),
            _ => format!("{}: {name}", metadata.path),
        };
        let of_source = |metadata: &&Metadata| -> Vec<ErrorRecord> {
            let named =
                |e: &ErrorRecord| ErrorRecord { name: named(metadata, &e.name), ..e.clone() };
            metadata.errors.iter().map(named).collect()
        };
        let mut errors: Vec<ErrorRecord> = sources.iter().flat_map(of_source).collect();
        for name in self.source.changed_files() {
            let message = format!("{name} changed while it was read");
            errors.push(ErrorRecord {
                scope: ErrorScope::Shard,
                name,
                analyzer: None,
                code: Key::Borrowed("changed"),
                message,
            });
        }
        let (mut weights, mut figures) = (Vec::with_capacity(self.chosen.len()), Vec::new());
        let pairing = self.graph.pairing.as_ref();
        let unpaired: BTreeMap<WeightId, &Unpaired> = pairing
            .iter()
            .flat_map(|pairing| pairing.unpaired.iter().map(|unpaired| (unpaired.weight, unpaired)))
            .collect();
        let mut interrupted = self.interrupted;
        for (id, wanted) in std::mem::take(&mut self.chosen) {
            let finished = self.finished.get_mut(id.0 as usize).and_then(Option::take);
            let finished = finished.or_else(|| {
                let weight = self.graph.weights.get(id.0 as usize)?;
                let mut record = record_of(id, self.graph, self.source)?;
                let mut errors = Vec::new();
                record.status = WeightStatus::Skipped;
                record.reason = Some(if let Some(unpaired) = unpaired.get(&id) {
                    record.other.clone_from(&unpaired.other);
                    if unpaired.is_error {
                        let (code, reason) = self.unreadable_pair(weight, unpaired);
                        errors.push(tensor_error(&weight.name, None, code, reason.clone()));
                        reason
                    } else {
                        unpaired.reason.clone()
                    }
                } else if weight.dtype.is_none() {
                    let entry = self.source.entries().get(weight.entry.0 as usize);
                    let (code, reason) = unreadable(entry, &record.dtype);
                    errors.push(tensor_error(&weight.name, None, code, reason.clone()));
                    reason
                } else if wanted {
                    interrupted = true;
                    "the run was stopped before it was measured".to_owned()
                } else {
                    "no chosen analyzer measures it".to_owned()
                });
                Some(Finished { weight: record, figures: Vec::new(), errors, rounds: 1 })
            });
            if let Some(finished) = finished {
                weights.push(finished.weight);
                figures.extend(finished.figures);
                errors.extend(finished.errors);
            }
        }
        let mut models = vec![self.graph.summary.clone()];
        models.extend(pairing.map(|pairing| pairing.tuned.clone()));
        let mut report = Report {
            schema: SchemaRecord::default(),
            tool: options.tool.clone(),
            kind: if pairing.is_some() { ReportKind::Compare } else { ReportKind::Scan },
            status: Status::Complete,
            sources: sources.iter().map(|metadata| SourceRecord::of(metadata)).collect(),
            models,
            settings,
            weights,
            findings: Vec::new(),
            facts: Vec::new(),
            conclusions: Vec::new(),
            figures,
            errors,
            totals: Totals::default(),
            timings: None,
        };
        judge(&mut report, analyzers);
        thin(&mut report);
        report.status = match (interrupted, report.errors.is_empty()) {
            (true, _) => Status::Interrupted,
            (false, false) => Status::Partial,
            (false, true) => Status::Complete,
        };
        report.totals = totals(&report);
        report
    }
}

/// Judges a saved report anew under its own settings, without the weights: findings, conclusions, figures of
/// the whole model and their totals are replaced.
pub fn rejudge(report: &mut Report, analyzers: &[&dyn Analyzer]) {
    report.errors.retain(|error| error.scope != ErrorScope::Analyzer);
    if let Some(parts) = parts::split(report) {
        let judged = parts.into_iter().map(|(name, mut part)| {
            judge(&mut part, analyzers);
            (name, part)
        });
        if let Some(joined) = parts::join(judged.collect()) {
            // What happened when it was measured is as it was.
            let mut errors = std::mem::take(&mut report.errors);
            let of_judging = |error: &ErrorRecord| error.scope == ErrorScope::Analyzer;
            errors.extend(joined.errors.iter().filter(|error| of_judging(error)).cloned());
            let (status, timings) = (report.status, report.timings.take());
            *report = Report { errors, status, timings, ..joined };
        }
        return;
    }
    judge(report, analyzers);
    report.totals = totals(report);
}

/// Fills in findings, conclusions and model figures from the saved numbers.
fn judge(report: &mut Report, analyzers: &[&dyn Analyzer]) {
    // Figures of the whole model are all made here.
    report.figures.retain(|figure| figure.weight.is_some());
    let mut verdicts = Verdicts::default();
    let mut theirs = BTreeSet::new();
    for analyzer in analyzers {
        let Descriptor { id, companion, .. } = *analyzer.descriptor();
        let judged = catch_unwind(AssertUnwindSafe(|| {
            let mut own = Verdicts::default();
            analyzer.judge(report, &mut own);
            own
        }));
        match judged {
            Ok(own) if companion => {
                theirs.extend(own.findings.iter().map(|finding| finding.code.clone()));
                verdicts.findings.extend(own.findings);
            }
            Ok(own) => {
                verdicts.findings.extend(own.findings);
                verdicts.facts.extend(own.facts);
                verdicts.conclusions.extend(own.conclusions);
                verdicts.figures.extend(own.figures.into_iter().map(|figure| Figure {
                    weight: None,
                    analyzer: Key::Borrowed(id),
                    ..figure
                }));
            }
            Err(panic) => report.errors.push(ErrorRecord {
                scope: ErrorScope::Analyzer,
                name: id.to_owned(),
                analyzer: Some(Key::Borrowed(id)),
                code: Key::Borrowed("panic"),
                message: format!("internal error while judging: {}", panic_text(panic.as_ref())),
            }),
        }
    }
    judge_siblings(report, analyzers, &mut verdicts);
    let Verdicts { mut findings, mut facts, conclusions, figures } = verdicts;
    let architecture = architecture_figures(report);
    let trends = trend_figures(report, analyzers);
    report.figures.extend(architecture.into_iter().chain(figures).chain(trends));
    ignore(&mut findings, &report.settings);
    ignore(&mut facts, &report.settings);
    causes::fold(analyzers, &mut findings, &mut facts);
    causes::keep_needed(&theirs, &mut findings, &mut facts);
    report.findings = findings;
    report.facts = facts;
    sort(report);
    report.conclusions = conclusions;
}

/// Puts findings and facts in order: by severity, code, weight order and metric.
pub(crate) fn sort(report: &mut Report) {
    let Report { weights, findings, facts, .. } = report;
    let order: BTreeMap<&str, usize> =
        weights.iter().enumerate().map(|(index, w)| (w.name.as_str(), index)).collect();
    let place = |f: &Finding| {
        f.weight.as_deref().map(|name| order.get(name).copied().unwrap_or(usize::MAX))
    };
    for list in [findings, facts] {
        list.sort_by(|a, b| {
            let by_severity = b.severity.cmp(&a.severity);
            by_severity
                .then_with(|| a.code.cmp(&b.code))
                .then_with(|| place(a).cmp(&place(b)))
                .then_with(|| a.metric.cmp(&b.metric))
        });
    }
}

/// Drops figures of weights that have no findings and are not shown whole, where the report is to be small. Once: a report that is judged anew
/// has no more than it should, and may have figures of weights that it shows whole.
fn thin(report: &mut Report) {
    if report.settings.series == SeriesDetail::Summary {
        let found = report.findings.iter().filter_map(|f| f.weight.clone());
        let shown = portraits(report, PORTRAITS).into_iter().map(|w| w.name.clone());
        let told: BTreeSet<String> = found.chain(shown).collect();
        report.figures.retain(|figure: &Figure| {
            figure.weight.as_ref().is_none_or(|name| told.contains(name))
        });
    }
}

/// Drops findings that the user does not want to see. Globs were checked before measuring; a malformed
/// one would match only itself.
fn ignore(findings: &mut Vec<Finding>, settings: &Settings) {
    let rules: Vec<(&str, Option<GlobMatcher>, &str)> = settings
        .ignore
        .iter()
        .map(|rule| {
            (
                rule.code.as_str(),
                globset::Glob::new(&rule.weight).ok().map(|g| g.compile_matcher()),
                rule.weight.as_str(),
            )
        })
        .collect();
    findings.retain(|finding| {
        let name = finding.weight.as_deref().unwrap_or("");
        !rules.iter().any(|(code, glob, text)| {
            let covers = glob.as_ref().map_or(*text == name, |glob| glob.is_match(name));
            finding.code == *code && covers
        })
    });
}

/// Why the values of a weight without a readable element type cannot be had, with the code of its error.
fn unreadable(entry: Option<&TensorEntry>, dtype: &str) -> (&'static str, String) {
    let form = entry.and_then(|entry| entry.stored.as_ref());
    form.and_then(|form| form.unreadable.clone()).map_or_else(
        || ("unknown-dtype", format!("unknown element type \"{dtype}\"")),
        |reason| ("not-decoded", reason),
    )
}

pub(crate) fn totals(report: &Report) -> Totals {
    let count = |status| {
        report.weights.iter().filter(|w: &&WeightRecord| w.status == status).count() as u64
    };
    Totals {
        declared: report.weights.len() as u64,
        measured: count(WeightStatus::Ok),
        skipped: count(WeightStatus::Skipped),
        failed: count(WeightStatus::Failed),
        not_measured: not_measured(report),
        findings: FindingCounts::of(&report.findings),
    }
}

/// The weights whose values could not be read or measured, by reason. What the user left out, and what has no
/// counterpart, is none of them: an error names those that are.
fn not_measured(report: &Report) -> Vec<NotMeasured> {
    let all: u64 = report.weights.iter().map(|weight| weight.parameters).sum();
    let errors: BTreeMap<(&str, &str), &str> = report
        .errors
        .iter()
        .map(|error| ((error.name.as_str(), error.message.as_str()), error.code.as_ref()))
        .collect();
    let mut groups: IndexMap<&str, (u64, u64)> = IndexMap::new();
    for weight in &report.weights {
        let reason = weight.reason.as_deref().unwrap_or_default();
        let why = match (weight.status, errors.get(&(weight.name.as_str(), reason))) {
            (WeightStatus::Failed, _) => "could not be read or measured",
            // The reason has a number of bytes, which is another for every shape.
            (WeightStatus::Skipped, Some(&"no-memory")) => {
                "they need more memory than --memory allows"
            }
            (WeightStatus::Skipped, Some(_)) => reason,
            (WeightStatus::Ok | WeightStatus::Skipped, _) => continue,
        };
        let (tensors, parameters) = groups.entry(why).or_default();
        *tensors += 1;
        *parameters = parameters.saturating_add(weight.parameters);
    }
    let share = |parameters: u64| parameters as f64 / all.max(1) as f64;
    let mut listed: Vec<NotMeasured> = groups
        .into_iter()
        .map(|(why, (tensors, parameters))| NotMeasured {
            tensors,
            parameters,
            share: share(parameters),
            why: why.to_owned(),
        })
        .collect();
    listed.sort_by_key(|group| std::cmp::Reverse(group.parameters));
    listed
}
