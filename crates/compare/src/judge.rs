//! Conclusions from saved numbers: what TUNED is to BASE, where it changed, and what would reproduce the change.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use weightscope_core::stats::median;
use weightscope_core::{
    Category, Conclusion, Evidence, Finding, Key, Kind, ParameterSpec, Part, Report, ReportKind,
    Role, Severity, Verdicts, WeightRecord, without_numbers,
};

use crate::adapter::{LoraConfig, Target, module_of};
use crate::movement::{Conversion, Fate, Lines, Pair, by_category, grouped, has_towers, role_of};
use crate::parameters::{DERIVED, GAP, ROUNDING, SHARE, STEPS, UNRELATED};
use crate::recast::Recast;
use crate::scope::{Scope, names, weights};
use crate::{ID, converted, figures, fisher, lineage};

/// Fewest values of a matrix whose cosine says something.
const ENOUGH_VALUES: u64 = 1024;
/// Most weights that stand as evidence.
const EVIDENCE: usize = 16;
/// Multiple of the rounding floor below which a change is mostly rounding.
const ABOVE_FLOOR: f64 = 2.0;
/// Share of the squared change below which a kind of module is left out of a suggested adapter.
const WORTH: f64 = 0.01;

/// Share of the squared change that the matrices of a suggested adapter must hold, and share of their parameters below
/// which its factors are few.
const HELD: f64 = 0.95;
const LOW_RANK: f64 = 0.2;

pub(crate) fn judge(report: &Report, out: &mut Verdicts) {
    // A scan has nothing to say here.
    if report.kind != ReportKind::Compare {
        return;
    }
    // Nobody asked for it.
    if !report.settings.analyzers.contains_key(ID) {
        return;
    }
    let line = |spec: &ParameterSpec| report.settings.parameters.value(ID, spec);
    let lines = Lines {
        rounding: line(&ROUNDING),
        gap: line(&GAP),
        share: line(&SHARE),
        steps: line(&STEPS),
        unrelated: line(&UNRELATED),
    };
    let pairs = Pair::all(report, lines);
    let context = Context {
        report,
        pairs: &pairs,
        scope: Scope::of(report, &pairs),
        derived: derived(report),
        derived_line: line(&DERIVED),
    };
    not_finite(&pairs, out);
    if report.models.len() == 2 && report.models.iter().all(|m| m.adapter_alone().is_some()) {
        beside_factors(&pairs, out);
        return;
    }
    if context.scope.total() == 0 {
        return;
    }
    if context.scope.is_enough() {
        context.verdict(line(&UNRELATED), out);
    } else {
        context.no_verdict(out);
    }
    figures::judge(report, &pairs, out);
}

/// Of two adapters: what was trained whole beside their factors. The factors themselves say nothing one by one.
fn beside_factors(pairs: &[Pair<'_>], out: &mut Verdicts) {
    let whole: Vec<&Pair<'_>> = pairs.iter().filter(|p| !p.record.role.is_factor()).collect();
    let changed: Vec<&Pair<'_>> = whole.iter().copied().filter(|p| p.has_changed()).collect();
    if whole.is_empty() {
        return;
    }
    let message = match changed.len() {
        0 => format!("{} beside the factors: identical", weights(whole.len())),
        n => format!("{n} of {} beside the factors changed", weights(whole.len())),
    };
    let message = match whole_relative(&changed).filter(|_| !changed.is_empty()) {
        Some(relative) => {
            let names = names(changed.iter().map(|p| p.record.name.as_str()));
            format!("{message} by {} ({names})", number(relative))
        }
        None => message,
    };
    conclude(out, "compare.beside-factors", message, evidence_of(&changed, "relative_l2"));
}

/// Says what a conversion did to some of all pairs, and whether it names towers.
type Tell = fn(&[&Pair<'_>], &[Pair<'_>], bool) -> String;
/// How a weight was recast, to what, and from what.
type RecastKind<'a> = (Recast, &'a str, String);

fn conclude(out: &mut Verdicts, code: &'static str, message: String, evidence: Vec<Evidence>) {
    out.conclude(concluded(code, message, evidence));
}

fn concluded(code: &'static str, message: String, evidence: Vec<Evidence>) -> Conclusion {
    Conclusion {
        code: Key::Borrowed(code),
        analyzer: Key::Borrowed(ID),
        scope: "model".to_owned(),
        message,
        evidence,
        nothing: false,
    }
}

/// Relative L2 of some weights together: the root of all squared differences over all squares of BASE's.
fn whole_relative(pairs: &[&Pair<'_>]) -> Option<f64> {
    let (mut change, mut size) = (0.0, 0.0);
    for pair in pairs {
        let (Some(distance), Some(relative)) = (pair.number("l2_distance"), pair.relative()) else {
            continue;
        };
        change += distance * distance;
        size += if relative > 0.0 { (distance / relative).powi(2) } else { 0.0 };
    }
    (size > 0.0).then(|| (change / size).sqrt())
}

/// Whether it is as it was, but for rounding.
fn is_frozen(pair: &Pair<'_>) -> bool {
    matches!(pair.fate, Fate::Same | Fate::Recast)
}

fn evidence(weight: Option<&WeightRecord>, metric: &'static str, value: f64) -> Evidence {
    Evidence { weight: weight.map(|w| w.name.clone()), metric: Key::Borrowed(metric), value }
}

/// One metric of some pairs as evidence.
fn evidence_of(pairs: &[&Pair<'_>], metric: &'static str) -> Vec<Evidence> {
    let one = |pair: &&Pair<'_>| Some(evidence(Some(pair.record), metric, pair.number(metric)?));
    pairs.iter().filter_map(one).take(EVIDENCE).collect()
}

/// Where something diverged.
fn not_finite(pairs: &[Pair<'_>], out: &mut Verdicts) {
    for pair in pairs {
        let count = pair.number("not_finite").unwrap_or(0.0);
        if count > 0.0 && pair.number("base_not_finite") == Some(0.0) {
            let values = if count == 1.0 { "value is" } else { "values are" };
            let message = format!("{count} {values} NaN or infinite, and none in BASE");
            let name = Some(pair.record.name.as_str());
            let finding = Finding::new("compare.not-finite", Severity::Critical, name, message);
            let advice = "training or merging diverged here: go back to an earlier checkpoint";
            out.push(finding.metric("not_finite", count).threshold(0.0).advice(advice));
        }
    }
}

/// Blocks whose neurons were matched, and the logarithm to base 10 of the combined probability.
fn derived(report: &Report) -> Option<(usize, f64)> {
    let p = |w: &WeightRecord| w.number(lineage::ID, "match_p_value");
    let p: Vec<f64> = report.weights.iter().filter_map(p).collect();
    Some((p.len(), fisher(&p)?))
}

/// What all conclusions read.
struct Context<'a> {
    report: &'a Report,
    pairs: &'a [Pair<'a>],
    scope: Scope<'a>,
    derived: Option<(usize, f64)>,
    derived_line: f64,
}

impl<'a> Context<'a> {
    fn verdict(&self, unrelated: f64, out: &mut Verdicts) {
        let changed: Vec<&Pair<'_>> = self.pairs.iter().filter(|p| p.has_changed()).collect();
        let recast: Vec<&Pair<'_>> = self.pairs.iter().filter(|p| p.fate == Fate::Recast).collect();
        let same = self.pairs.iter().filter(|p| p.fate == Fate::Same).count();
        if let Some((cosine, count)) = self.low_cosine(unrelated) {
            if !self.is_derived() {
                let message = format!(
                    "unrelated: the median cosine of {count} matrices is {}, as of weights trained apart",
                    number(cosine)
                );
                let proof = vec![evidence(None, "median_cosine_similarity", cosine)];
                conclude(out, "compare.unrelated", self.with_scope(message), proof);
            }
            self.lineage(true, out);
            return;
        }
        self.adapter_on_top(same == self.pairs.len(), out);
        if same == self.pairs.len() {
            // Where values are not where they were, that is the headline.
            let turned = !converted::stored_turned(self.pairs).is_empty();
            if turned {
                self.layout(out);
            }
            self.identical(out);
            if !turned {
                self.layout(out);
            }
            return;
        }
        self.broken(same, out);
        self.edited(same, out);
        let reordered = self.conversions(changed.is_empty(), recast.is_empty(), out);
        if changed.is_empty() {
            if !recast.is_empty() {
                self.recast(&recast, out);
            }
            if reordered {
                self.lineage(true, out);
            }
        } else {
            self.changed(&changed, out);
            self.lineage(reordered, out);
        }
        self.rows(out);
        self.layout(out);
    }

    /// Weights with values that are not finite. `same`: how many are as they were.
    fn broken(&self, same: usize, out: &mut Verdicts) {
        let broken: Vec<&Pair<'_>> = self.pairs.iter().filter(|p| p.fate == Fate::Broken).collect();
        if broken.is_empty() {
            return;
        }
        let has = if broken.len() == 1 { "has" } else { "have" };
        let message = format!(
            "{} of {} {has} values that are NaN or infinite in TUNED and not in BASE ({}){}",
            broken.len(),
            weights(self.pairs.len()),
            names(broken.iter().map(|p| p.record.name.as_str())),
            self.others(same + broken.len()),
        );
        conclude(out, "compare.broken", message, evidence_of(&broken, "not_finite"));
    }

    /// Weights of which a few values differ.
    fn edited(&self, same: usize, out: &mut Verdicts) {
        let edited: Vec<&Pair<'_>> =
            self.pairs.iter().filter(|p| matches!(p.fate, Fate::Edited(_))).collect();
        if edited.is_empty() {
            return;
        }
        let values: u64 =
            edited.iter().map(|p| if let Fate::Edited(count) = p.fate { count } else { 0 }).sum();
        let noun = if values == 1 { "1 value" } else { &format!("{values} values") };
        let message = format!(
            "{noun} in {} of {} {} other than in BASE ({}): an edit, or damage{}",
            edited.len(),
            weights(self.pairs.len()),
            if values == 1 { "is" } else { "are" },
            names(edited.iter().map(|p| p.record.name.as_str())),
            self.others(same + edited.len()),
        );
        conclude(out, "compare.edited", message, evidence_of(&edited, "max_abs_difference"));
    }

    /// What the others are, for the end of a sentence on so many of all.
    fn others(&self, told: usize) -> &'static str {
        if told == self.pairs.len() { "; all others are identical" } else { "" }
    }

    /// An adapter that one of them has on top of its weights. `alone`: nothing else differs.
    fn adapter_on_top(&self, alone: bool, out: &mut Verdicts) {
        if self.scope.adapter.is_empty() {
            return;
        }
        let sides = ["BASE", "TUNED"].into_iter().zip(&self.report.models);
        let found =
            sides.filter_map(|(side, model)| Some((side, model.adapter_on_weights()?))).next_back();
        let Some((side, adapter)) = found else { return };
        let [least, most] = adapter.ranks;
        let rank = if least == most { format!("{least}") } else { format!("{least} to {most}") };
        let modules = if adapter.modules == 1 { "module" } else { "modules" };
        let mut message = format!(
            "an unmerged adapter of rank {rank} lies on {} of {side} ({} {modules}, {} parameters)",
            adapter.targets.join(", "),
            adapter.modules,
            adapter.parameters
        );
        if alone {
            message += "; the weights below it are identical";
        }
        let proof = vec![evidence(None, "modules", adapter.modules as f64)];
        conclude(out, "compare.adapter-on-top", message, proof);
    }

    /// What lies otherwise in the files and changes no value.
    fn layout(&self, out: &mut Verdicts) {
        let towers = has_towers(self.report);
        let (message, members) = converted::regrouped(self.pairs, towers);
        if !members.is_empty() {
            let counted = converted::counted(&members, self.pairs);
            let proof = evidence_of(&members, "relative_l2");
            conclude(out, "compare.regrouped", format!("{counted}: {message}"), proof);
        }
        let turned = converted::stored_turned(self.pairs);
        if !turned.is_empty() {
            let message = converted::turned(&turned, self.pairs, towers);
            conclude(out, "compare.transposed", message, evidence_of(&turned, "relative_l2"));
        }
    }

    /// A message with what it does not speak of.
    fn with_scope(&self, message: String) -> String {
        std::iter::once(message).chain(self.scope.told()).collect::<Vec<_>>().join("; ")
    }

    /// Where so little is paired that nothing can be said of the whole.
    fn no_verdict(&self, out: &mut Verdicts) {
        let scope = &self.scope;
        let mut message = format!(
            "{} of {} could be paired: nothing can be said",
            scope.paired,
            weights(scope.total())
        );
        if scope.paired > 0 {
            let same = self.pairs.iter().filter(|p| p.fate == Fate::Same).count();
            let are = if same == 1 { "1 weight is" } else { &format!("{same} weights are") };
            message = format!(
                "{message} of the whole ({:.1} % of the parameters are paired; {are} identical)",
                100.0 * scope.share()
            );
        }
        let families: Vec<&str> = self.report.models.iter().map(|m| m.family.as_str()).collect();
        if let [base, tuned] = families[..]
            && base != tuned
        {
            message = format!("{message}; BASE is of family {base}, TUNED of {tuned}");
        }
        let proof = vec![evidence(None, "paired_share", scope.share())];
        conclude(out, "compare.no-verdict", self.with_scope(message), proof);
        if self.is_derived() {
            self.lineage(false, out);
        }
    }

    fn identical(&self, out: &mut Verdicts) {
        let count = self.pairs.len();
        let proof = vec![evidence(None, "pairs", count as f64)];
        if self.scope.is_whole() {
            let message = format!("identical: all {count} pairs of weights hold the same values");
            conclude(out, "compare.identical", message, proof);
            return;
        }
        let cut: usize = self.scope.cut.iter().map(|cut| cut.records.len()).sum();
        let whole = count - cut;
        let message =
            self.with_scope(format!("{whole} of {} are identical", weights(self.scope.total())));
        let lacks = self.scope.cut.iter().any(|cut| cut.rows[1] < cut.rows[0]);
        let code = match (cut, lacks) {
            (0, _) => "compare.identical-where-paired",
            (_, true) => "compare.rows-cut",
            (_, false) => "compare.rows-added",
        };
        let message = if cut > 0 {
            format!("{message}; the rows that both have are the same")
        } else {
            message
        };
        conclude(out, code, message, proof);
    }

    /// Rows that one table has and the other lacks, where other things are said first.
    fn rows(&self, out: &mut Verdicts) {
        for cut in &self.scope.cut {
            let code =
                if cut.rows[1] < cut.rows[0] { "compare.rows-cut" } else { "compare.rows-added" };
            let message = format!("{}; the others were compared", cut.told());
            let proof = cut.records.iter().map(|record| {
                evidence(Some(record), "compared_rows", cut.rows[0].min(cut.rows[1]) as f64)
            });
            conclude(out, code, message, proof.collect());
        }
    }

    /// What conversions explain; whether weights stand in another order. `alone`: nothing else differs. `exactly`: nor
    /// was anything recast.
    fn conversions(&self, alone: bool, exactly: bool, out: &mut Verdicts) -> bool {
        let towers = has_towers(self.report);
        let kinds: [(Conversion, &'static str, Tell); 7] = [
            (Conversion::Zeroed, "compare.zeroed", converted::zeroed),
            (Conversion::Constant, "compare.constant", converted::constant),
            (Conversion::Rounded, "compare.rounded", converted::rounded),
            (Conversion::Permuted, "compare.permuted", converted::permuted),
            (Conversion::Transposed, "compare.transposed", converted::transposed),
            (Conversion::Scaled, "compare.scaled", converted::scaled),
            (Conversion::Shifted, "compare.shifted", converted::shifted),
        ];
        let mut is_first = true;
        let mut reordered = false;
        for (kind, code, tell) in kinds {
            let members = converted::of_kind(self.pairs, kind);
            if members.is_empty() {
                continue;
            }
            let is_mlp = |pair: &&Pair<'_>| pair.record.role.category() == Category::FeedForward;
            reordered |= kind == Conversion::Permuted && members.iter().any(is_mlp);
            let counted = converted::counted(&members, self.pairs);
            let mut message = format!("{counted}: {}", tell(&members, self.pairs, towers));
            if kind == Conversion::Scaled && converted::is_folded(self.pairs) {
                message += "; the gains before them are 1 now: folded into them, which changes no function";
            }
            if is_first && alone {
                let others = self.pairs.len()
                    - self.pairs.iter().filter(|p| matches!(p.fate, Fate::Converted(_))).count();
                message += match (others, exactly) {
                    (0, _) => "; nothing was trained",
                    (_, true) => "; all others are identical, and nothing was trained",
                    (_, false) => {
                        "; all others differ by rounding at most, and nothing was trained"
                    }
                };
                message = self.with_scope(message);
            }
            is_first = false;
            conclude(out, code, message, evidence_of(&members, "conversion_residual"));
        }
        reordered
    }

    /// The same weights in other types.
    fn recast(&self, recast: &[&Pair<'_>], out: &mut Verdicts) {
        let mut kinds: IndexMap<RecastKind<'_>, Vec<&Pair<'_>>> = IndexMap::new();
        for pair in recast {
            let from = pair.record.stored_type().into_owned();
            kinds.entry((Recast::of(pair), pair.other_type(), from)).or_default().push(pair);
        }
        // What most of the parameters are leads.
        let size = |members: &Vec<&Pair<'_>>| -> u64 {
            members.iter().map(|pair| pair.record.parameters).sum()
        };
        let mut kinds: Vec<(RecastKind<'_>, Vec<&Pair<'_>>)> = kinds.into_iter().collect();
        kinds.sort_by_key(|(_, members)| std::cmp::Reverse(size(members)));
        let parts: Vec<String> = kinds
            .iter()
            .map(|((kind, to, from), members)| kind.told(from, to, members, self.pairs.len()))
            .collect();
        let message = format!("the same weights, {}", parts.join("; "));
        let alone = recast.len() + self.pairs.iter().filter(|p| p.fate == Fate::Same).count();
        let message = if alone == self.pairs.len() { self.with_scope(message) } else { message };
        let metric = if recast.iter().any(|pair| pair.number("above_storage").is_some()) {
            "above_storage"
        } else {
            "above_floor"
        };
        conclude(out, "compare.recast", message, evidence_of(recast, metric));
    }

    /// The median cosine of all matrices, where it is below `line`, and how many there are. What is as it was, or a known
    /// conversion of it, counts as 1: a few matrices that were replaced make no strangers.
    fn low_cosine(&self, line: f64) -> Option<(f64, usize)> {
        let tells =
            |p: &&Pair<'_>| p.record.kind() == Kind::Matrix && p.record.parameters >= ENOUGH_VALUES;
        let cosine = |p: &Pair<'_>| {
            if p.has_changed() { p.number("cosine_similarity") } else { Some(1.0) }
        };
        let cosines: Vec<f64> = self.pairs.iter().filter(tells).filter_map(cosine).collect();
        median(&cosines).filter(|cosine| cosine.abs() < line).map(|cosine| (cosine, cosines.len()))
    }

    fn is_derived(&self) -> bool {
        self.derived.is_some_and(|(_, log_p)| log_p < self.derived_line.log10())
    }

    /// Whether neurons show common descent. `reordered`: the weights themselves look unrelated.
    fn lineage(&self, reordered: bool, out: &mut Verdicts) {
        let Some((blocks, log_p)) = self.derived else { return };
        let chance = if log_p < -3.0 {
            format!("p = 1e{}", log_p.ceil())
        } else {
            format!("p = {:.3}", 10f64.powf(log_p))
        };
        let blocks = if blocks == 1 { "1 block".to_owned() } else { format!("{blocks} blocks") };
        let message = if self.is_derived() {
            let order = if reordered {
                ", though in another order: weights that look unlike hold the same neurons in other places"
            } else {
                ""
            };
            format!(
                "derived: MLP neurons of {blocks} match{order}; one comes from the other, or both from one ancestor ({chance})"
            )
        } else if log_p < -2.0 {
            format!("MLP neurons of {blocks} hint at common descent ({chance})")
        } else {
            format!("MLP neurons of {blocks} show no common descent ({chance})")
        };
        let code = if self.is_derived() { "compare.derived" } else { "compare.not-derived" };
        let proof = vec![evidence(None, "log10_p_value", log_p)];
        let mut conclusion = concluded(code, message, proof);
        // That weights which are alike have common descent is no news.
        conclusion.nothing = self.is_derived() && !reordered;
        out.conclude(conclusion);
    }

    /// Trained further, by an adapter or as a whole.
    fn changed(&self, changed: &[&Pair<'a>], out: &mut Verdicts) {
        let (replaced, changed): (Vec<&Pair<'a>>, Vec<&Pair<'a>>) =
            changed.iter().copied().partition(|p| p.fate == Fate::Replaced);
        // What most of the change is leads.
        let is_first = replaced.len() > changed.len();
        if is_first {
            self.replaced(&replaced, out);
        }
        if changed.is_empty() {
            return;
        }
        let changed = &changed[..];
        let low: Vec<&Pair<'a>> =
            changed.iter().copied().filter(|p| matches!(p.fate, Fate::LowRank(_))).collect();
        // Matrices within blocks that moved in every direction, or whose spectra are not known.
        let in_blocks =
            |p: &&&Pair<'_>| p.record.kind() == Kind::Matrix && p.record.block.is_some();
        let full = changed.iter().filter(in_blocks).filter(|p| p.fate == Fate::Moved);
        let (measured, unknown): (Vec<&&Pair<'a>>, Vec<&&Pair<'a>>) = full.partition(|p| {
            let known = ["delta_rank_above_rounding", "delta_rank_at_least"];
            known.into_iter().any(|metric| p.number(metric).is_some())
        });
        if !low.is_empty() && measured.is_empty() && replaced.is_empty() {
            self.adapter(&low, changed, unknown.len(), out);
        } else {
            self.fine_tuned(changed, out);
            // An adapter makes no good what holds other values.
            if !is_first {
                self.suggestion(changed, out);
            }
            if self.pairs.iter().any(is_frozen) {
                self.frozen(out);
            }
        }
        if !is_first && !replaced.is_empty() {
            self.replaced(&replaced, out);
        }
    }

    /// Matrices that no rounding, no known conversion and no training explains.
    fn replaced(&self, replaced: &[&Pair<'a>], out: &mut Verdicts) {
        let middle = |metric: &'static str| {
            let all: Vec<f64> = replaced.iter().filter_map(|p| p.number(metric)).collect();
            median(&all).unwrap_or(0.0)
        };
        let hold = if replaced.len() == 1 { "holds" } else { "hold" };
        let message = format!(
            "{} of {} {hold} other values (cosine {} and relative L2 {} in the median): neither rounding nor a known conversion nor training explains that ({})",
            replaced.len(),
            weights(self.pairs.len()),
            number(middle("cosine_similarity")),
            number(middle("relative_l2")),
            names(replaced.iter().map(|p| p.record.name.as_str()))
        );
        let misjoined: Vec<&str> = replaced
            .iter()
            .filter(|p| p.text("joined") != p.text("other_joined"))
            .map(|p| p.record.name.as_str())
            .collect();
        let message = if misjoined.is_empty() {
            message
        } else {
            format!(
                "{message}; {} of them are joined in one checkpoint and not in the other: look at the order in which q, k and v, or gate and up, were joined",
                misjoined.len()
            )
        };
        let is_all = replaced.len() == self.pairs.iter().filter(|p| p.has_changed()).count();
        let message = if is_all { self.with_scope(message) } else { message };
        conclude(out, "compare.replaced", message, evidence_of(replaced, "cosine_similarity"));
    }

    fn adapter(
        &self,
        low: &[&Pair<'a>],
        changed: &[&Pair<'a>],
        unknown: usize,
        out: &mut Verdicts,
    ) {
        let rank = |pair: &Pair<'_>| match pair.fate {
            Fate::LowRank(rank) => rank,
            _ => 0,
        };
        // Parts of a fused module add up.
        let mut ranks: IndexMap<&str, u64> = IndexMap::new();
        for pair in low {
            *ranks.entry(module_of(&pair.record.name)).or_default() += rank(pair);
        }
        let target = |(module, rank): (&str, u64)| Target { module: module.to_owned(), rank };
        let targets: Vec<Target> = ranks.into_iter().map(target).collect();
        let Some(config) = self.config(&targets, low) else { return };
        let ranks: BTreeSet<u64> = targets.iter().map(|t| t.rank).collect();
        let ranks = match (ranks.first(), ranks.last()) {
            (Some(a), Some(b)) if a != b => format!("ranks {a} to {b}"),
            (Some(a), _) => format!("rank {a}"),
            _ => String::new(),
        };
        let modules = config.target_modules.join(", ");
        let others = changed.len() - low.len() - unknown;
        let mut rest = Vec::new();
        if others > 0 {
            let weights = if others == 1 { "weight" } else { "weights" };
            rest.push(format!("{others} other {weights} changed as a whole"));
        }
        let same = self.pairs.iter().filter(|p| p.fate == Fate::Same).count();
        rest.push(match self.pairs.len() - changed.len() {
            0 => "nothing is as it was".to_owned(),
            n if n == same => format!("the other {n} weights are bit-identical"),
            n => format!("the other {n} weights differ by rounding at most"),
        });
        let rest = rest.join("; ");
        let found = format!(
            "an exact change of {ranks} above the rounding in {} matrices ({modules})",
            low.len()
        );
        let message = if unknown > 0 {
            // Half of the evidence makes no configuration.
            format!(
                "perhaps a merged adapter: {found}, the largest movers; {unknown} more matrices changed, and --spectral measures their ranks; {rest}"
            )
        } else {
            let part = if others > 0 { "that part" } else { "it" };
            let edit = if ranks == "rank 1" { ", or an edit of one direction" } else { "" };
            format!("adapter merged{edit}: {found}; {rest}; {config} would reproduce {part}")
        };
        conclude(
            out,
            "compare.merged-adapter",
            self.with_scope(message),
            evidence_of(low, "delta_rank_above_rounding"),
        );
    }

    fn config(&self, targets: &[Target], members: &[&Pair<'_>]) -> Option<LoraConfig> {
        let is_module = |w: &&WeightRecord| w.part == Part::Weight;
        let modules = self.report.weights.iter().filter(is_module);
        let modules = modules.map(|w| module_of(&w.name).to_owned()).collect();
        let settings = &self.report.settings;
        // An end of a name may match modules that were left out.
        let whole = !settings.include.is_empty() || !settings.exclude.is_empty();
        LoraConfig::of(targets, &modules, whole, members.iter().all(|p| p.record.transposed))
    }

    fn fine_tuned(&self, changed: &[&Pair<'a>], out: &mut Verdicts) {
        let relatives: Vec<f64> = changed.iter().filter_map(|p| p.relative()).collect();
        let largest = changed
            .iter()
            .max_by(|a, b| a.relative().unwrap_or(0.0).total_cmp(&b.relative().unwrap_or(0.0)));
        let mut parts =
            vec![format!("fine-tuned: {} of {} weights changed", changed.len(), self.pairs.len())];
        let mut proof = Vec::new();
        if let (Some(middle), Some(largest)) = (median(&relatives), largest) {
            let most = largest.relative().unwrap_or(0.0);
            let whole = whole_relative(changed).filter(|_| changed.len() > 1);
            let whole =
                whole.map_or(String::new(), |x| format!(", {} over all of them", number(x)));
            parts.push(format!(
                "relative L2 {} in the median, {} at most ({}){whole}",
                number(middle),
                number(most),
                largest.record.name
            ));
            proof.push(evidence(None, "median_relative_l2", middle));
            proof.push(evidence(Some(largest.record), "relative_l2", most));
        }
        let towers = has_towers(self.report);
        let of_changed: Vec<Pair<'_>> = changed.iter().map(|pair| **pair).collect();
        let matrices: Vec<Pair<'_>> =
            of_changed.iter().copied().filter(|p| p.record.kind() == Kind::Matrix).collect();
        let mut roles: Vec<(String, f64)> =
            grouped(&matrices, |w| Some(role_of(w, towers))).into_iter().collect();
        roles.sort_by(|a, b| b.1.total_cmp(&a.1));
        if let ([first, .., last], true) = (&roles[..], roles.len() > 1) {
            parts.push(format!(
                "most in {} ({}), least in {} ({})",
                first.0,
                number(first.1),
                last.0,
                number(last.1)
            ));
        }
        let attention = by_category(&of_changed, Category::Attention);
        let mlp = by_category(&of_changed, Category::FeedForward);
        if let (Some(attention), Some(mlp)) = (attention, mlp) {
            parts.push(format!("attention {}, MLP {}", number(attention), number(mlp)));
            proof.push(evidence(None, "attention_relative_l2", attention));
            proof.push(evidence(None, "mlp_relative_l2", mlp));
        }
        let depth = grouped(&of_changed, |w| w.block);
        let extreme = |least: bool| {
            depth.iter().max_by(|a, b| {
                let order = a.1.total_cmp(b.1);
                if least { order.reverse() } else { order }
            })
        };
        if let (Some(most), Some(least)) = (extreme(false), extreme(true))
            && depth.len() > 1
        {
            parts.push(format!(
                "block {} moved most ({}), block {} least ({})",
                most.0,
                number(*most.1),
                least.0,
                number(*least.1)
            ));
        }
        // Held against the rounding to be expected: a cast of TUNED to BASE's narrower type may well end at BASE.
        let recast = changed.iter().filter(|p| p.number("above_floor").is_some());
        let ratios: Vec<f64> = recast.filter_map(|p| p.number("above_storage")).collect();
        if let Some(ratio) = median(&ratios) {
            parts.push(format!(
                "{} of them were recast as well, and moved {} times as far as that rounding makes them",
                ratios.len(),
                number(ratio)
            ));
        }
        conclude(out, "compare.fine-tuned", self.with_scope(parts.join("; ")), proof);
    }

    /// What a LoRA would have to be to do what a full fine-tune did, where one could; `None` spectra tell nothing.
    fn suggestion(&self, changed: &[&Pair<'a>], out: &mut Verdicts) {
        // An adapter of an adapter is none.
        if changed.iter().any(|p| matches!(p.record.role, Role::AdapterA | Role::AdapterB)) {
            return;
        }
        let energy = |p: &Pair<'_>| p.number("l2_distance").unwrap_or(0.0).powi(2);
        let total: f64 = changed.iter().map(|p| energy(p)).sum();
        let mut kinds: IndexMap<String, Vec<&Pair<'a>>> = IndexMap::new();
        for pair in
            changed.iter().filter(|p| p.record.kind() == Kind::Matrix && p.record.block.is_some())
        {
            // Of rounding, and of a few rows or columns, a LoRA makes nothing.
            let is_above = pair.number("above_floor").is_none_or(|ratio| ratio >= ABOVE_FLOOR);
            let rank = pair.number("delta_energy_rank_90");
            let lines = [pair.number("delta_rows"), pair.number("delta_columns")];
            let is_wide = rank.is_some_and(|r| lines.iter().flatten().all(|count| *count > r));
            if is_above && is_wide {
                kinds.entry(without_numbers(&pair.record.name)).or_default().push(pair);
            }
        }
        kinds.retain(|_, members| members.iter().map(|p| energy(p)).sum::<f64>() >= WORTH * total);
        let rank = |members: &[&Pair<'_>]| {
            let ranks = members.iter().filter_map(|p| p.number("delta_energy_rank_90"));
            ranks.fold(0.0, f64::max) as u64
        };
        let mut targets = Vec::new();
        let (mut held, mut parameters, mut touched) = (0.0, 0.0, 0.0);
        for members in kinds.values() {
            let rank = rank(members);
            for pair in members {
                let [out, input] = pair.record.matrix.unwrap_or_default();
                parameters += rank as f64 * (out + input) as f64;
                touched += pair.record.parameters as f64;
                held += energy(pair);
                targets.push(Target { module: module_of(&pair.record.name).to_owned(), rank });
            }
        }
        // What is not known, or is no adapter's affair, leaves nothing to be said.
        if held < HELD * total || touched == 0.0 {
            return;
        }
        let members: Vec<&Pair<'_>> = kinds.into_values().flatten().collect();
        let Some(config) = self.config(&targets, &members) else { return };
        let share = 0.9 * held / total;
        let of_model = {
            let model: u64 = self.pairs.iter().map(|p| p.record.parameters).sum();
            100.0 * parameters / model.max(1) as f64
        };
        let mut proof = vec![evidence(None, "share_of_change", share)];
        proof.extend(evidence_of(&members, "delta_energy_rank_90"));
        let percent = 100.0 * share;
        if parameters < LOW_RANK * touched {
            let message = format!(
                "a LoRA that holds at least {percent:.0} % of the squared change: {config}, {of_model:.1} % of the model's parameters"
            );
            conclude(out, "compare.lora-suggestion", message, proof);
            return;
        }
        let ranks: BTreeSet<u64> = targets.iter().map(|target| target.rank).collect();
        let ranks = match (ranks.first(), ranks.last()) {
            (Some(a), Some(b)) if a != b => format!("ranks of {a} to {b}"),
            (Some(a), _) => format!("rank {a}"),
            _ => String::new(),
        };
        let message = format!(
            "not low-rank: a full fine-tune; a LoRA that holds at least {percent:.0} % of the squared change would need {ranks}, {of_model:.1} % of the model's parameters"
        );
        conclude(out, "compare.not-low-rank", message, proof);
    }

    /// What did not change while something else did.
    fn frozen(&self, out: &mut Verdicts) {
        let towers = has_towers(self.report);
        let mut roles: IndexMap<String, bool> = IndexMap::new();
        let mut blocks: IndexMap<(String, u32), bool> = IndexMap::new();
        for pair in self.pairs {
            let frozen = is_frozen(pair);
            *roles.entry(role_of(pair.record, towers)).or_insert(true) &= frozen;
            if let Some(block) = pair.record.block {
                let stack = pair.record.stack.filter(|_| towers);
                let stack = stack.map_or_else(String::new, |s| format!("{s} "));
                *blocks.entry((stack, block)).or_insert(true) &= frozen;
            }
        }
        let whole_roles: Vec<&str> =
            roles.iter().filter(|(_, frozen)| **frozen).map(|(role, _)| role.as_str()).collect();
        let whole_blocks: Vec<&(String, u32)> =
            blocks.iter().filter(|(_, frozen)| **frozen).map(|(place, _)| place).collect();
        let told = |p: &&Pair<'_>| {
            let role = role_of(p.record, towers);
            let block = p.record.block;
            whole_roles.contains(&role.as_str())
                || block.is_some_and(|block| {
                    let stack = p.record.stack.filter(|_| towers);
                    let stack = stack.map_or_else(String::new, |s| format!("{s} "));
                    whole_blocks.iter().any(|(s, b)| *s == stack && *b == block)
                })
        };
        let frozen: Vec<&Pair<'_>> = self.pairs.iter().filter(|p| is_frozen(p)).collect();
        let others = frozen.iter().filter(|p| !told(p)).count();
        let mut parts: Vec<String> = whole_roles.iter().map(|role| (*role).to_owned()).collect();
        parts.extend(ranges(&whole_blocks));
        if others > 0 {
            let noun = if others == 1 { "weight" } else { "weights" };
            parts.push(if parts.is_empty() {
                format!("{others} {noun}")
            } else {
                format!("{others} other {noun}")
            });
        }
        let rounded = frozen.iter().any(|p| p.fate == Fate::Recast);
        let but = if rounded { " but for rounding" } else { "" };
        let message = format!("frozen: {} did not change{but}", parts.join(", "));
        conclude(
            out,
            "compare.frozen",
            message,
            vec![evidence(None, "weights", frozen.len() as f64)],
        );
    }
}

/// `blocks 0 to 5, block 9`, for each tower.
fn ranges(blocks: &[&(String, u32)]) -> Vec<String> {
    let mut towers: IndexMap<&str, BTreeSet<u32>> = IndexMap::new();
    for (stack, block) in blocks {
        towers.entry(stack).or_default().insert(*block);
    }
    let mut words = Vec::new();
    for (stack, blocks) in towers {
        let mut runs: Vec<[u32; 2]> = Vec::new();
        for block in blocks {
            match runs.last_mut() {
                Some([_, last]) if last.checked_add(1) == Some(block) => *last = block,
                _ => runs.push([block; 2]),
            }
        }
        words.extend(runs.into_iter().map(|[a, b]| {
            if a == b { format!("{stack}block {a}") } else { format!("{stack}blocks {a} to {b}") }
        }));
    }
    words
}

/// A number in a sentence: three significant digits.
pub(crate) fn number(x: f64) -> String {
    match x.abs() {
        0.0 => "0".to_owned(),
        size if (1e-3..1e4).contains(&size) => {
            let decimals = (2.0 - size.log10().floor()).max(0.0) as usize;
            format!("{x:.decimals$}")
        }
        _ => format!("{x:.2e}"),
    }
}
