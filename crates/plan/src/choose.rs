//! What every tensor may become, and which tensors decide together.

use indexmap::IndexMap;
use weightscope_core::Role;

use crate::plan::{Held, Request};
use crate::solve::Cost;
use crate::tensor::{Measured, Stored};
use crate::{Class, How, Scheme, Target, llama_cpp};

/// What a tensor may become.
pub(crate) struct Options {
    pub(crate) schemes: Vec<Measured>,
    pub(crate) keep: bool,
    pub(crate) limit: Option<String>,
    /// For the message about a budget that cannot be met.
    pub(crate) held: Option<String>,
}

/// Tensors that share a scheme, and what they may become together.
pub(crate) struct Choice {
    pub(crate) members: Vec<usize>,
    pub(crate) options: Vec<Choosable>,
}

#[derive(Clone, Copy)]
pub(crate) struct Choosable {
    pub(crate) scheme: Option<Scheme>,
    pub(crate) cost: Cost,
    pub(crate) worst_db: f64,
}

/// The rule of a class: the user's last, or the default.
pub(crate) fn rule(class: Class, request: &Request) -> (How, &'static str, bool) {
    if let Some(rule) = request.rules.iter().rev().find(|rule| rule.class == class) {
        return (rule.how, "", true);
    }
    let (how, reason) = class.default_rule(request.target);
    (how, reason, false)
}

/// The class whose rule a tensor falls under.
pub(crate) fn ruled(tensor: &Stored, request: &Request) -> Class {
    let Some(form) = &tensor.quantised else { return tensor.class };
    // llama.cpp's converter decodes what its files do not hold; nobody else converts.
    let is_decoded = request.target == Some(Target::LlamaCpp) && !Target::LlamaCpp.holds(form);
    let (how, ..) = rule(Class::Stored, request);
    if is_decoded || how == How::Auto { tensor.class } else { Class::Stored }
}

/// Whether a tool that adds nothing to a quantised checkpoint is to leave this one as it is, see [`Target::holds`].
pub(crate) fn is_closed(tensors: &[Stored], request: &Request) -> bool {
    let (how, ..) = rule(Class::Stored, request);
    let adds_nothing = |form: &str| {
        request.target.is_some_and(|target| target != Target::LlamaCpp && !target.holds(form))
    };
    how == How::Keep && tensors.iter().filter_map(|t| t.quantised.as_deref()).any(adds_nothing)
}

pub(crate) fn options(
    tensor: &Stored,
    request: &Request,
    schemes: &[Scheme],
    is_closed: bool,
) -> Options {
    let class = ruled(tensor, request);
    let words = class.words();
    let nothing = |limit: String, held: String| Options {
        schemes: Vec::new(),
        keep: true,
        limit: Some(limit),
        held: Some(held),
    };
    let (how, ..) = rule(class, request);
    let by_rule = format!("{class}={how}");
    if how == How::Keep && class == Class::Stored {
        let held = format!("{words} are kept by rule `{by_rule}` (stored=auto plans them anew)");
        return nothing(by_rule, held);
    }
    if how == How::Keep {
        return nothing(by_rule.clone(), format!("{words} are kept by rule `{by_rule}`"));
    }
    if let Some(target) = request.target.filter(|_| is_closed) {
        let reason = format!("the checkpoint is quantised, and {target} adds nothing to one");
        return nothing(reason.clone(), format!("{words} are kept ({reason})"));
    }
    if let Some(reason) = request.target.and_then(|target| target.keeps(tensor)) {
        return nothing(reason.to_owned(), format!("{words} are kept ({reason})"));
    }
    let wide = |m: &&Measured| m.bits >= 8.0 * tensor.elements as f64;
    let refuses = |m: &Measured| request.target.and_then(|t| t.refuses(tensor, m.scheme));
    let wanted = tensor.measured.iter().filter(|m| schemes.contains(&m.scheme));
    let unfit = wanted.clone().find_map(refuses);
    let usable = wanted.filter(|m| refuses(m).is_none());
    let mut limited = match how {
        How::Only(scheme) => {
            let schemes: Vec<Measured> = usable.filter(|m| m.scheme == scheme).copied().collect();
            let held = format!("{words} are {scheme} by rule `{by_rule}`");
            Options { keep: schemes.is_empty(), schemes, limit: Some(by_rule), held: Some(held) }
        }
        How::Min8 => {
            let held = format!("{words} have at least 8 bits by rule `{by_rule}`");
            let schemes = usable.filter(wide).copied().collect();
            Options { schemes, keep: true, limit: Some(by_rule), held: Some(held) }
        }
        _ => {
            let held = unfit.as_ref().map(|why| format!("{words} at their smallest ({why})"));
            let limit = unfit.clone();
            Options { schemes: usable.copied().collect(), keep: true, limit, held }
        }
    };
    if limited.schemes.is_empty() {
        let why = if tensor.measured.is_empty() {
            "not measured".to_owned()
        } else if let How::Only(scheme) = how {
            format!("{scheme} was not measured for it, is not allowed, or does not fit its rows")
        } else {
            unfit.unwrap_or_else(|| "no allowed scheme was measured for it".to_owned())
        };
        limited.held = Some(format!("{words} are kept ({why})"));
        limited.limit = Some(why);
    }
    limited
}

/// What makes tensors share a scheme.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Shared {
    Alone(usize),
    /// A name in GGUF: converters stack the experts of a block.
    Gguf(llama_cpp::Name),
    /// Tensors that vLLM fuses when it loads them, and that then have one scheme or none: q, k, v of one module, gate
    /// and up, the two downward projections of latent attention (`packed_modules_mapping` of its models; "Found a
    /// different quantization schemes for ..., vLLM requires all to use the same scheme" in
    /// `compressed_tensors/utils.py`), and all experts of a module (`CompressedTensorsMoEMethod.get_moe_method`).
    Fused(String, &'static str),
}

fn shared(index: usize, tensor: &Stored, target: Option<Target>) -> Shared {
    match target {
        Some(Target::LlamaCpp) => {
            llama_cpp::name(tensor).map_or(Shared::Alone(index), Shared::Gguf)
        }
        Some(Target::CompressedTensors) => {
            let parent = |text: &str| text.rsplit_once('.').map_or("", |(p, _)| p).to_owned();
            let Some(module) = tensor.module() else { return Shared::Alone(index) };
            match tensor.role {
                Role::MlpGate | Role::MlpUp | Role::MlpDown if tensor.expert => {
                    // experts.7.w1: the module without its number.
                    Shared::Fused(parent(&parent(module)), "experts")
                }
                Role::AttentionQ | Role::AttentionK | Role::AttentionV => {
                    Shared::Fused(parent(module), "qkv")
                }
                Role::MlpGate | Role::MlpUp => Shared::Fused(parent(module), "gate_up"),
                Role::AttentionQDown | Role::AttentionKvDown => {
                    Shared::Fused(parent(module), "qkv_down")
                }
                _ => Shared::Alone(index),
            }
        }
        _ => Shared::Alone(index),
    }
}

/// Keeps every tensor that has to have one format with another that is kept: its options are those that all have.
pub(crate) fn hold_together(tensors: &[Stored], options: &mut [Options], target: Option<Target>) {
    let mut groups: IndexMap<Shared, Vec<usize>> = IndexMap::new();
    for (index, tensor) in tensors.iter().enumerate() {
        groups.entry(shared(index, tensor, target)).or_default().push(index);
    }
    for members in groups.values().filter(|members| members.len() > 1) {
        let is_common = |scheme: Scheme| {
            let has = |o: &Options| o.schemes.iter().any(|m| m.scheme == scheme);
            members.iter().filter_map(|i| options.get(*i)).all(has)
        };
        if Scheme::ALL.into_iter().any(is_common) {
            continue;
        }
        let is_kept = |i: &&usize| options.get(**i).is_some_and(|o| o.schemes.is_empty());
        let reason = match members.iter().find(is_kept).and_then(|i| tensors.get(*i)) {
            Some(kept) => format!("loaded as one with {}, which is kept", kept.name),
            None => "loaded as one with others, and no scheme fits them all".to_owned(),
        };
        for member in members {
            let Some(free) = options.get_mut(*member).filter(|o| !o.schemes.is_empty()) else {
                continue;
            };
            free.held = Some(format!("matrices are kept ({reason})"));
            free.limit = Some(reason.clone());
            free.schemes.clear();
            free.keep = true;
        }
    }
}

pub(crate) fn choices(tensors: &[Stored], options: &[Options], request: &Request) -> Vec<Choice> {
    let target = request.target;
    let mut groups: IndexMap<Shared, Vec<usize>> = IndexMap::new();
    for (index, (tensor, limits)) in tensors.iter().zip(options).enumerate() {
        // What is kept anyway holds nobody back.
        let is_free = !limits.schemes.is_empty();
        let key = if is_free { shared(index, tensor, target) } else { Shared::Alone(index) };
        groups.entry(key).or_default().push(index);
    }
    let choice = |members: Vec<usize>| {
        let limits: Vec<(&Stored, &Options)> =
            members.iter().filter_map(|i| Some((tensors.get(*i)?, options.get(*i)?))).collect();
        Choice { options: together(&limits, request), members }
    };
    groups.into_values().map(choice).collect()
}

/// Options that all members have; keeping comes first, so that of equal options it is taken.
fn together(members: &[(&Stored, &Options)], request: &Request) -> Vec<Choosable> {
    let mut together = Vec::new();
    let kept: u64 = members.iter().map(|(tensor, _)| kept_bytes(tensor, request)).sum();
    let keep =
        Choosable { scheme: None, cost: Cost { bytes: kept, error: 0.0 }, worst_db: f64::INFINITY };
    for scheme in Scheme::ALL {
        let measured: Option<Vec<&Measured>> = members
            .iter()
            .map(|(_, options)| options.schemes.iter().find(|m| m.scheme == scheme))
            .collect();
        let Some(measured) = measured.filter(|measured| !measured.is_empty()) else { continue };
        together.push(Choosable {
            scheme: Some(scheme),
            cost: Cost {
                bytes: measured.iter().map(|m| m.bytes()).sum(),
                error: measured.iter().map(|m| m.error).sum(),
            },
            worst_db: measured.iter().fold(f64::INFINITY, |worst, m| worst.min(m.worst_db)),
        });
    }
    if together.is_empty() || members.iter().all(|(_, options)| options.keep) {
        together.insert(0, keep);
    }
    together
}

pub(crate) fn kept_bytes(tensor: &Stored, request: &Request) -> u64 {
    let bits = request.target.and_then(|target| {
        let foreign = tensor.quantised.as_deref().filter(|form| !target.holds(form));
        // What is planned anew is decoded first, and what the tool does not hold stays decoded.
        let is_decoded = foreign.is_some() && ruled(tensor, request) != Class::Stored;
        target.kept_bits(tensor).or(is_decoded.then_some(16))
    });
    bits.map_or(tensor.bytes, |bits| (tensor.elements * bits).div_ceil(8))
}

/// The option of a choice when everything is to have one scheme, see [`Uniform::scheme`].
pub(crate) fn uniform(choice: &Choice, scheme: Scheme) -> usize {
    let options = &choice.options;
    if let Some(same) = options.iter().position(|option| option.scheme == Some(scheme)) {
        return same;
    }
    let smallest = options.iter().map(|option| option.cost.bytes).min().unwrap_or(0);
    let small = |(_, option): &(usize, &Choosable)| option.cost.bytes <= smallest + smallest / 16;
    let candidates = options.iter().enumerate().filter(small);
    let best = candidates.min_by(|(_, a), (_, b)| a.cost.error.total_cmp(&b.cost.error));
    best.map_or(0, |(index, _)| index)
}

/// The smallest option that is good enough, or the best one.
pub(crate) fn good_enough(choice: &Choice, db: f64) -> usize {
    let order = |a: &Choosable, b: &Choosable| {
        a.cost.bytes.cmp(&b.cost.bytes).then(a.cost.error.total_cmp(&b.cost.error))
    };
    let options = choice.options.iter().enumerate();
    let good = options.clone().filter(|(_, option)| option.worst_db >= db);
    let best = good.min_by(|(_, a), (_, b)| order(a, b));
    best.or_else(|| options.max_by(|(_, a), (_, b)| a.worst_db.total_cmp(&b.worst_db)))
        .map_or(0, |(index, _)| index)
}

/// What to say of tensors that no scheme is good enough for.
pub(crate) fn unmet(
    tensors: &[Stored],
    choices: &[Choice],
    picks: &[usize],
    db: f64,
) -> Option<String> {
    let is_unmet = |(choice, pick): &(&Choice, &usize)| {
        let picked = choice.options.get(**pick);
        // One option alone was never a question.
        choice.options.len() > 1
            && picked.is_some_and(|o| o.scheme.is_none())
            && !choice.options.iter().any(|o| o.scheme.is_some() && o.worst_db >= db)
    };
    let unmet = choices.iter().zip(picks).filter(is_unmet).flat_map(|(choice, _)| &choice.members);
    let names: Vec<&str> =
        unmet.filter_map(|i| tensors.get(*i)).map(|tensor| tensor.name.as_str()).collect();
    let first = names.first()?;
    let more = match names.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!("no allowed scheme has {db} dB: {first}{more} kept"))
}

/// What the smallest size is made of, the largest first.
pub(crate) fn holders(choices: &[Choice], options: &[Options]) -> Vec<Held> {
    let mut held: IndexMap<&str, u64> = IndexMap::new();
    for choice in choices {
        let bytes = choice.options.iter().map(|o| o.cost.bytes).min().unwrap_or(0);
        let limits = choice.members.first().and_then(|i| options.get(*i));
        let what = limits.and_then(|o| o.held.as_deref()).unwrap_or("the rest at its smallest");
        *held.entry(what).or_default() += bytes;
    }
    let held = held.into_iter().filter(|(_, bytes)| *bytes > 0);
    let mut held: Vec<Held> =
        held.map(|(what, bytes)| Held { what: what.to_owned(), bytes }).collect();
    held.sort_by(|a, b| b.bytes.cmp(&a.bytes).then(a.what.cmp(&b.what)));
    held
}
