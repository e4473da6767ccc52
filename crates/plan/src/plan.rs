//! From a report and a wish to a plan.

use indexmap::IndexMap;
use serde::Serialize;
use weightscope_core::{Report, ReportKind, Role, SchemaRecord, Stack};

use crate::choose::{
    Choice, Options, choices, good_enough, hold_together, holders, is_closed, kept_bytes, options,
    rule, ruled, uniform, unmet,
};
use crate::solve::{Cost, SolveError, bytes_of, error_of, solve};
use crate::tensor::{ANALYZER, Measured, Stored, stored};
use crate::{Class, Critical, How, Rule, Scheme, Target, critical};

/// Name in [`SchemaRecord`] of a plan.
pub const SCHEMA_NAME: &str = "weightscope-plan";

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// At most this size of all tensors.
    Bytes(u64),
    /// At most this many bits of all tensors for each parameter, tied ones counted once.
    BitsPerWeight(f64),
    /// For every weight the smallest option whose signal-to-noise ratio in dB is at least this.
    MinSqnr(f64),
}

/// What is wanted, and what may be used for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// How small, or how good.
    pub goal: Goal,
    /// The tool that will do it; any scheme for any tensor when there is none, which no program loads.
    pub target: Option<Target>,
    /// Why this tool, where it was not asked for ([`Target::suggested`]); empty where it was.
    pub target_reason: String,
    /// Only these schemes; when empty, all of the target.
    pub schemes: Vec<Scheme>,
    /// Changes to the rules of [`Class::default_rule`]; the last one about a class counts.
    pub rules: Vec<Rule>,
    /// Plan a checkpoint whose bytes are not those of its model all the same, see [`Critical::refused`].
    pub force: bool,
}

/// A size, and the same for each parameter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Size {
    /// Of all tensors, copies of tied ones left out.
    pub bytes: u64,
    /// In bits, tied parameters counted once.
    pub bits_per_weight: f64,
}

/// One scheme everywhere that the rules allow it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Uniform {
    /// The scheme. Where it is not allowed, the allowed option with the least error among the smallest stands
    /// in for it: those up to a sixteenth larger than the smallest.
    pub scheme: Scheme,
    /// Its size.
    pub size: Size,
    /// Its error.
    pub error: f64,
    /// Whether its size is within the budget.
    pub fits: bool,
    /// Tensors that have the scheme itself.
    pub tensors: u64,
}

/// A rule as it was applied.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AppliedRule {
    /// What it is about.
    pub class: Class,
    /// What was done.
    pub how: How,
    /// Why; empty for a rule of the user's and where there is nothing to explain.
    pub reason: &'static str,
    /// Whether the user set it.
    pub given: bool,
    /// Tensors of the class.
    pub tensors: u64,
    /// Their bytes in the plan.
    pub bytes: u64,
}

/// What is already quantised in one form.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quantised {
    /// The form, such as `Q4_K` or `gptq int4 g128`.
    pub form: String,
    /// Stored tensors in it, the parts of one weight counted as one.
    pub tensors: u64,
    /// Their weights.
    pub elements: u64,
    /// Their stored bytes.
    pub bytes: u64,
    /// Stored bits of a weight; null for codes that are not decoded, whose weights are not counted.
    pub bits_per_weight: Option<f64>,
}

impl Quantised {
    fn words(&self) -> String {
        let bits = self
            .bits_per_weight
            .map_or_else(String::new, |bits| format!(", {bits:.1} bits a weight"));
        format!("{} as {}{bits}", matrices(self.tensors), self.form)
    }
}

/// What becomes of one stored tensor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedTensor {
    /// Its name.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// Its tower.
    pub stack: Option<Stack>,
    /// Its depth.
    pub block: Option<u32>,
    /// The type or quantised form that it is stored in.
    pub dtype: String,
    /// Its elements.
    pub elements: u64,
    /// Weights in it: 1, or the experts of a stack.
    pub weights: u64,
    /// The rule that it falls under.
    pub class: Class,
    /// Tensors with the same number share their scheme.
    pub choice: u64,
    /// What it becomes; null when it stays as it is.
    pub scheme: Option<Scheme>,
    /// Bits for each of its elements.
    pub bits_per_weight: f64,
    /// Bytes now.
    pub bytes_before: u64,
    /// Bytes then.
    pub bytes: u64,
    /// Sum over its weights of the relative error |w - ŵ|²/|w|².
    pub error: f64,
    /// The smallest signal-to-noise ratio of its weights; null when all are lossless.
    pub sqnr_db: Option<f64>,
    /// Whether there was anything to choose.
    pub open: bool,
    /// What limits its options: a rule, or what the target cannot do.
    pub limit: Option<String>,
}

/// A format for every stored tensor. Serialised, this is the JSON plan.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Name and version of this format.
    pub schema: SchemaRecord,
    /// Path of the checkpoint, as the report has it.
    pub source: String,
    /// Family of the model.
    pub family: String,
    /// What the scan found critical: a plan mends nothing of it.
    pub critical: Vec<Critical>,
    /// Parameters, tied ones counted once.
    pub parameters: u64,
    /// What was wanted.
    pub goal: Goal,
    /// The bytes that were allowed; null for a goal of quality.
    pub budget: Option<u64>,
    /// Whom it is for.
    pub target: Option<Target>,
    /// Why, where nobody asked for it; else empty.
    pub target_reason: String,
    /// Schemes that were allowed and measured, in the order of reports.
    pub schemes: Vec<Scheme>,
    /// What is already quantised, the form of the most bytes first.
    pub already_quantized: Vec<Quantised>,
    /// Tensors that had a choice.
    pub open: u64,
    /// Their bytes now.
    pub open_bytes: u64,
    /// The checkpoint as it is.
    pub before: Size,
    /// As planned.
    pub after: Size,
    /// Sum over all weights of the relative error.
    pub error: f64,
    /// No assignment within the budget and the rules has a smaller error; null for a goal of quality.
    pub bound: Option<f64>,
    /// `error - bound`: the most that could be gained.
    pub gap: Option<f64>,
    /// One scheme for all, for comparison, in the order of reports.
    pub uniform: Vec<Uniform>,
    /// Rules about classes that the checkpoint has.
    pub rules: Vec<AppliedRule>,
    /// What there is to say besides: tensors whose goal cannot be met, and parts that the report lacks.
    pub notes: Vec<String>,
    /// Every stored tensor, in the order of the report.
    pub tensors: Vec<PlannedTensor>,
    /// Whether the head is the token embedding and is not stored.
    #[serde(skip)]
    pub(crate) tied_head: bool,
    /// The tensors, in the same order.
    #[serde(skip)]
    pub(crate) stored: Vec<Stored>,
}

impl Plan {
    /// One line: whom it is for, size and error.
    pub fn summary(&self) -> String {
        let target = self.target.map_or_else(String::new, |target| format!(" for {target}"));
        format!(
            "plan{target}: {} bytes ({:.3} bits per weight), sum of relative errors {:.6e}",
            self.after.bytes, self.after.bits_per_weight, self.error
        )
    }

    /// What was found critical, in one sentence that says what it means for the plan; `None` where nothing was.
    pub fn warning(&self) -> Option<String> {
        (!self.critical.is_empty()).then(|| {
            let found = critical::words(&self.critical);
            format!("critical findings, and a plan mends none of them: {found}")
        })
    }

    /// What is already quantised and what that leaves to be planned, in sentences; nothing for a checkpoint that is
    /// not quantised.
    pub fn already(&self) -> Vec<String> {
        let forms: Vec<String> = self.already_quantized.iter().map(Quantised::words).collect();
        if forms.is_empty() {
            return Vec::new();
        }
        let mut sentences = vec![format!("already quantised: {}", forms.join("; "))];
        let stored = self.tensors.iter().filter(|t| t.class == Class::Stored);
        let is_kept = stored.clone().all(|tensor| tensor.scheme.is_none());
        if stored.count() == 0 {
            return sentences;
        }
        sentences.push(match (self.open, is_kept, self.target) {
            (0, true, Some(target)) if target != Target::LlamaCpp => format!(
                "nothing to plan: {target} adds nothing to a checkpoint that is quantised; the \
                 unquantised original, or --for llama.cpp, gives a choice"
            ),
            (0, true, _) => "nothing to plan: what is quantised stays as it is stored, and the \
                             rest is kept by rule"
                .to_owned(),
            (open, true, _) => format!(
                "what is quantised stays as it is stored; {} of {} remain{} to be planned",
                tensors(open),
                size(self.open_bytes),
                if open == 1 { "s" } else { "" }
            ),
            (_, false, _) => "they are quantised once more, by a rule of yours".to_owned(),
        });
        sentences
    }

    /// JSON, indented, in ASCII.
    ///
    /// # Errors
    /// None that a plan causes.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        Ok(crate::names::ascii(&serde_json::to_string_pretty(self)?) + "\n")
    }
}

fn tensors(count: u64) -> String {
    format!("{count} tensor{}", if count == 1 { "" } else { "s" })
}

fn matrices(count: u64) -> String {
    if count == 1 { "1 matrix".to_owned() } else { format!("{count} matrices") }
}

/// What the smallest size of a class is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What and why, such as ``embeddings are kept by rule `embedding=keep` ``.
    pub what: String,
    /// How much they take at the least.
    pub bytes: u64,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The report is of a comparison.
    #[error("only the report of a scan can be planned from")]
    NotAScan,
    /// There is no model to quantise.
    #[error(
        "this is an adapter ({adapter}): its factors are small and are applied as they are; merge it into its model, and plan for that"
    )]
    Adapter {
        /// What it is, in words.
        adapter: String,
    },
    /// Nothing was measured.
    #[error(
        "the report has no quantization measurements; scan with --analyzers integrity,distribution,quantization"
    )]
    NoMeasurements,
    /// A scheme that the target does not have.
    #[error("{target} cannot store {scheme}; it has {}", .target.schemes().iter().map(|s| s.name()).collect::<Vec<_>>().join(", "))]
    Scheme {
        /// The scheme asked for.
        scheme: Scheme,
        /// The target.
        target: Target,
    },
    /// Rules ask for several formats of a tool that has one for a whole model.
    #[error("{target} has one format for a model, and rules ask for {}", .schemes.iter().map(|s| s.name()).collect::<Vec<_>>().join(", "))]
    OneFormat {
        /// The tool.
        target: Target,
        /// The schemes asked for.
        schemes: Vec<Scheme>,
    },
    /// The checkpoint's bytes are not those of its model.
    #[error("there is nothing to plan before this is mended: {}", critical::words(.found))]
    Broken {
        /// What was found; at least one is [`Critical::refused`].
        found: Vec<Critical>,
    },
    /// A number that is no goal.
    #[error("{value} is no {what}")]
    Goal {
        /// What was given.
        value: f64,
        /// What it should be.
        what: &'static str,
    },
    /// The budget cannot be met.
    #[error("{} cannot be reached, {} is the smallest{}", size(*.budget), size(*.least), because_of(.already, .held))]
    Budget {
        /// The bytes allowed.
        budget: u64,
        /// The smallest size within the rules.
        least: u64,
        /// What is already quantised, by form.
        already: Vec<String>,
        /// What holds it, the largest first.
        held: Vec<Held>,
    },
}

fn because_of(already: &[String], held: &[Held]) -> String {
    let parts: Vec<String> =
        held.iter().map(|held| format!("{}: {}", held.what, size(held.bytes))).collect();
    let already = match already {
        [] => String::new(),
        forms => format!("; already quantised: {}", forms.join(", ")),
    };
    let parts = if parts.is_empty() { String::new() } else { format!("; {}", parts.join(", ")) };
    already + &parts
}

/// A size in decimal units: `548.1 MB`.
pub(crate) fn size(bytes: u64) -> String {
    let mut x = bytes as f64;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB", "PB", "EB"] {
        if x < 999.95 {
            break;
        }
        x /= 1000.0;
        unit = next;
    }
    let decimals = match x {
        _ if unit == "B" => 0,
        x if x < 9.9995 => 3,
        x if x < 99.995 => 2,
        _ => 1,
    };
    format!("{x:.decimals$} {unit}")
}

/// Makes a plan.
///
/// * The error of a tensor is the sum over its weights of `10^(-sqnr_db/10)`, as the analyzer `quantization`
///   measured them; a tensor that is kept has none. The size counts every tensor of the report, tied copies once.
/// * Within a budget the sum of errors is small, never larger than that of any one scheme for all that fits, and
///   at most [`Plan::gap`] from what can be reached at all.
/// * Cost: see [`solve`].
///
/// # Errors
/// [`PlanError`] when the report has no measurements, or the wish cannot be met.
pub fn plan(report: &Report, request: &Request) -> Result<Plan, PlanError> {
    check(report, request)?;
    let found = critical::of(report);
    if !request.force && found.iter().any(|finding| finding.refused) {
        return Err(PlanError::Broken { found });
    }
    let tensors = stored(report);
    // Of codes that are not decoded nothing can be measured, whatever was asked for.
    let is_asked = report.settings.analyzers.contains_key(ANALYZER);
    let is_codes = is_asked && tensors.iter().any(|tensor| tensor.quantised.is_some());
    if !is_codes && tensors.iter().all(|tensor| tensor.measured.is_empty()) {
        return Err(PlanError::NoMeasurements);
    }
    let mut allowed = allowed(&tensors, request);
    // bitsandbytes has one format for a whole model ("load_in_4bit and load_in_8bit are both True, but only one can be
    // used at the same time" in transformers' BitsAndBytesConfig), and a list of modules that it leaves out.
    if request.target == Some(Target::BitsAndBytes) {
        let is_named = |scheme: &Scheme| request.rules.iter().any(|r| r.scheme() == Some(*scheme));
        let named: Vec<Scheme> = Scheme::ALL.into_iter().filter(is_named).collect();
        if named.len() > 1 {
            return Err(PlanError::OneFormat { target: Target::BitsAndBytes, schemes: named });
        }
        allowed.retain(|scheme| named.is_empty() || named.contains(scheme));
    }
    let rounds: Vec<Vec<Scheme>> =
        if request.target == Some(Target::BitsAndBytes) && !allowed.is_empty() {
            allowed.iter().map(|scheme| vec![*scheme]).collect()
        } else {
            vec![allowed]
        };
    let mut best: Option<Result<Plan, PlanError>> = None;
    for schemes in &rounds {
        let plan = attempt(report, request, &tensors, schemes);
        let better = match (&plan, &best) {
            (_, None) | (Ok(_), Some(Err(_))) => true,
            (Ok(new), Some(Ok(old))) => match request.goal {
                Goal::MinSqnr(_) => new.after.bytes < old.after.bytes,
                _ => new.error < old.error,
            },
            (Err(new), Some(Err(old))) => least(new) < least(old),
            (Err(_), Some(Ok(_))) => false,
        };
        if better {
            best = Some(plan);
        }
    }
    let mut plan = best.unwrap_or(Err(PlanError::NoMeasurements))?;
    if request.target == Some(Target::BitsAndBytes) {
        // The other format is worth knowing too.
        for schemes in rounds.iter().filter(|schemes| **schemes != plan.schemes) {
            let everything = Request { goal: Goal::Bytes(u64::MAX), ..request.clone() };
            let other = attempt(report, &everything, &tensors, schemes)?;
            let fits = |size: Size| plan.budget.is_none_or(|budget| size.bytes <= budget);
            plan.uniform.extend(other.uniform.iter().map(|u| Uniform { fits: fits(u.size), ..*u }));
        }
        plan.uniform.sort_by_key(|uniform| uniform.scheme);
    }
    Ok(plan)
}

fn least(error: &PlanError) -> u64 {
    if let PlanError::Budget { least, .. } = error { *least } else { u64::MAX }
}

fn check(report: &Report, request: &Request) -> Result<(), PlanError> {
    if report.kind != ReportKind::Scan {
        return Err(PlanError::NotAScan);
    }
    if let Some(adapter) = report.models.first().and_then(|model| model.adapter_alone()) {
        return Err(PlanError::Adapter { adapter: adapter.told() });
    }
    let positive = |value: f64, what| {
        let good = value.is_finite() && value > 0.0;
        if good { Ok(()) } else { Err(PlanError::Goal { value, what }) }
    };
    match request.goal {
        Goal::Bytes(_) => {}
        Goal::BitsPerWeight(bits) => positive(bits, "number of bits")?,
        Goal::MinSqnr(db) => positive(db, "signal-to-noise ratio in dB")?,
    }
    let Some(target) = request.target else { return Ok(()) };
    let named =
        request.schemes.iter().copied().chain(request.rules.iter().filter_map(Rule::scheme));
    let mut foreign = named.filter(|scheme| !target.schemes().contains(scheme));
    match foreign.next() {
        Some(scheme) => Err(PlanError::Scheme { scheme, target }),
        None => Ok(()),
    }
}

/// Schemes that may be used and were measured somewhere.
fn allowed(tensors: &[Stored], request: &Request) -> Vec<Scheme> {
    let is_allowed = |scheme: &Scheme| {
        let known = request.target.is_none_or(|target| target.schemes().contains(scheme));
        let wanted = request.schemes.is_empty() || request.schemes.contains(scheme);
        let measured = tensors.iter().any(|t| t.measured.iter().any(|m| m.scheme == *scheme));
        known && wanted && measured
    };
    Scheme::ALL.into_iter().filter(is_allowed).collect()
}

/// The plan with these schemes.
fn attempt(
    report: &Report,
    request: &Request,
    tensors: &[Stored],
    schemes: &[Scheme],
) -> Result<Plan, PlanError> {
    let is_closed = is_closed(tensors, request);
    let mut options: Vec<Options> =
        tensors.iter().map(|t| options(t, request, schemes, is_closed)).collect();
    hold_together(tensors, &mut options, request.target);
    let choices = choices(tensors, &options, request);
    let costs: Vec<Vec<Cost>> =
        choices.iter().map(|c| c.options.iter().map(|o| o.cost).collect()).collect();
    let model = report.models.first();
    let parameters = model.map_or(0, |model| model.parameters);
    let size =
        |bytes: u64| Size { bytes, bits_per_weight: bytes as f64 * 8.0 / parameters.max(1) as f64 };
    let budget = match request.goal {
        Goal::Bytes(bytes) => Some(bytes),
        Goal::BitsPerWeight(bits) => Some((bits * parameters as f64 / 8.0) as u64),
        Goal::MinSqnr(_) => None,
    };
    let same: Vec<Vec<usize>> =
        schemes.iter().map(|s| choices.iter().map(|c| uniform(c, *s)).collect()).collect();
    let mut notes = notes(report);
    notes.extend(again(tensors, &options, request));
    let (picks, bound) = match (request.goal, budget) {
        (Goal::MinSqnr(db), _) => {
            let picks: Vec<usize> = choices.iter().map(|choice| good_enough(choice, db)).collect();
            notes.extend(unmet(tensors, &choices, &picks, db));
            (picks, None)
        }
        (_, budget) => {
            let budget = budget.unwrap_or(u64::MAX);
            let solution = solve(&costs, budget, &same).map_err(|error| match error {
                SolveError::TooSmall { least } => {
                    let already = quantised(tensors).iter().map(Quantised::words).collect();
                    PlanError::Budget { budget, least, already, held: holders(&choices, &options) }
                }
                SolveError::Empty { .. } => PlanError::NoMeasurements,
            })?;
            (solution.picks, Some(solution.bound))
        }
    };
    let fits = |bytes: u64| budget.is_none_or(|budget| bytes <= budget);
    let uniform = schemes.iter().zip(&same).map(|(scheme, picks)| {
        let bytes = bytes_of(&costs, picks);
        let has = |(choice, pick): (&Choice, &usize)| {
            let same = choice.options.get(*pick).is_some_and(|o| o.scheme == Some(*scheme));
            if same { choice.members.len() as u64 } else { 0 }
        };
        let tensors = choices.iter().zip(picks).map(has).sum();
        let error = error_of(&costs, picks);
        Uniform { scheme: *scheme, size: size(bytes), error, fits: fits(bytes), tensors }
    });
    let uniform: Vec<Uniform> = uniform.filter(|uniform| uniform.tensors > 0).collect();
    let open = || tensors.iter().zip(&options).filter(|(_, o)| !o.schemes.is_empty());
    let planned = planned(tensors, &options, &choices, &picks, request);
    let error = error_of(&costs, &picks);
    Ok(Plan {
        schema: SchemaRecord { name: SCHEMA_NAME.to_owned(), major: 1, minor: 2 },
        source: report.sources.first().map_or_else(String::new, |source| source.path.clone()),
        family: model.map_or_else(String::new, |model| model.family.clone()),
        critical: critical::of(report),
        parameters,
        goal: request.goal,
        budget: budget.filter(|budget| *budget != u64::MAX),
        target: request.target,
        target_reason: request.target_reason.clone(),
        schemes: schemes.to_vec(),
        already_quantized: quantised(tensors),
        open: open().count() as u64,
        open_bytes: open().map(|(tensor, _)| tensor.bytes).sum(),
        before: size(tensors.iter().map(|tensor| tensor.bytes).sum()),
        after: size(planned.iter().map(|tensor| tensor.bytes).sum()),
        error,
        bound,
        gap: bound.map(|bound| error - bound),
        uniform,
        rules: rules(&planned, request),
        notes,
        tied_head: model.is_some_and(|model| {
            model.tie_word_embeddings == Some(true)
                && !tensors.iter().any(|tensor| tensor.class == Class::Head)
        }),
        tensors: planned,
        stored: tensors.to_vec(),
    })
}

/// What the report says of itself that a reader of a plan should know.
fn notes(report: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    if !report.settings.include.is_empty() || !report.settings.exclude.is_empty() {
        let all = report.models.first().map_or(0, |model| model.tensors);
        notes.push(format!(
            "the report has some of the checkpoint's {all} tensors only; the others are not counted"
        ));
    }
    for group in &report.totals.not_measured {
        let (count, why) = (tensors(group.tensors), &group.why);
        notes.push(format!("not measured, so kept: {count}, {why}"));
    }
    notes
}

/// What is already quantised, by form.
fn quantised(tensors: &[Stored]) -> Vec<Quantised> {
    let mut forms: IndexMap<&str, Quantised> = IndexMap::new();
    for tensor in tensors {
        let Some(name) = &tensor.quantised else { continue };
        let form = forms.entry(name).or_insert_with(|| Quantised {
            form: name.clone(),
            tensors: 0,
            elements: 0,
            bytes: 0,
            bits_per_weight: None,
        });
        form.tensors += 1;
        form.elements += tensor.elements;
        form.bytes += tensor.bytes;
        if !tensor.codes {
            let bits = form.bytes as f64 * 8.0 / form.elements.max(1) as f64;
            form.bits_per_weight = Some(bits);
        }
    }
    let mut forms: Vec<Quantised> = forms.into_values().collect();
    forms.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.form.cmp(&b.form)));
    forms
}

/// Says that a plan rounds once more what was rounded before.
fn again(stored: &[Stored], options: &[Options], request: &Request) -> Option<String> {
    let both = stored.iter().zip(options);
    let planned =
        both.filter(|(tensor, options)| tensor.quantised.is_some() && !options.schemes.is_empty());
    let count = planned.count() as u64;
    let why = match request.target {
        Some(target)
            if stored
                .iter()
                .filter_map(|t| t.quantised.as_deref())
                .any(|form| target == Target::LlamaCpp && !target.holds(form)) =>
        {
            format!(", because {target} cannot hold them as they are stored")
        }
        _ => String::new(),
    };
    (count > 0).then(|| {
        format!(
            "{} already quantised and planned anew{why}: errors are those of rounding the decoded values once more, on \
             top of what the first rounding lost",
            if count == 1 { "1 matrix is".to_owned() } else { format!("{count} matrices are") }
        )
    })
}

fn planned(
    tensors: &[Stored],
    options: &[Options],
    choices: &[Choice],
    picks: &[usize],
    request: &Request,
) -> Vec<PlannedTensor> {
    let mut chosen: Vec<(usize, Option<Scheme>)> = vec![(0, None); tensors.len()];
    for (index, (choice, pick)) in choices.iter().zip(picks).enumerate() {
        let scheme = choice.options.get(*pick).and_then(|option| option.scheme);
        for member in &choice.members {
            if let Some(slot) = chosen.get_mut(*member) {
                *slot = (index, scheme);
            }
        }
    }
    let tensor =
        |((tensor, options), (choice, scheme)): ((&Stored, &Options), (usize, Option<Scheme>))| {
            let measured = tensor.measured.iter().find(|m| Some(m.scheme) == scheme);
            let bytes = measured.map_or_else(|| kept_bytes(tensor, request), Measured::bytes);
            PlannedTensor {
                name: tensor.name.clone(),
                role: tensor.role,
                stack: tensor.stack,
                block: tensor.block,
                dtype: tensor.stored_type().to_owned(),
                elements: tensor.elements,
                weights: tensor.weights,
                class: ruled(tensor, request),
                choice: choice as u64,
                scheme,
                bits_per_weight: bytes as f64 * 8.0 / tensor.elements.max(1) as f64,
                bytes_before: tensor.bytes,
                bytes,
                error: measured.map_or(0.0, |m| m.error),
                sqnr_db: measured.map(|m| m.worst_db).filter(|db| db.is_finite()),
                open: !options.schemes.is_empty(),
                limit: options.limit.clone(),
            }
        };
    tensors.iter().zip(options).zip(chosen).map(tensor).collect()
}

fn rules(planned: &[PlannedTensor], request: &Request) -> Vec<AppliedRule> {
    let applied = |class: Class| {
        let (how, reason, given) = rule(class, request);
        let of: Vec<&PlannedTensor> = planned.iter().filter(|t| t.class == class).collect();
        let (tensors, bytes) = (of.len() as u64, of.iter().map(|t| t.bytes).sum());
        AppliedRule { class, how, reason, given, tensors, bytes }
    };
    Class::ALL.into_iter().map(applied).filter(|rule| rule.tensors > 0).collect()
}
