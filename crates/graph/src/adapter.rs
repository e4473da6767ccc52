//! Low-rank adapters: which factors belong together, what their product is multiplied with, and whether their
//! configuration agrees with them.
//!
//! Names and rules are those of PEFT (`tuners/lora/layer.py`, `utils/save_and_load.py`, `utils/other.py`), of MLX
//! (`mlx_lm/tuner/lora.py`, factors stored `[in, r]` and `[r, out]`) and of llama.cpp (`llama-adapter.cpp`).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use weightscope_core::{
    AdapterRecord, EntryId, Factor, Metadata, Orientation, Part, Role, TensorEntry, Value,
};

use crate::found::Found;
use crate::pattern::Pattern;
use crate::{side, wrapper};

/// Names that a sentence lists.
const NAMES: usize = 4;
/// Sentences of one kind.
const SENTENCES: usize = 8;
/// Patterns and targets of a configuration that are looked at, and modules that they are held against one by one.
const ENTRIES: usize = 4096;

/// A factor and how it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) factor: Arc<Factor>,
    /// Whether it is stored `[in, out]`: `[in, r]`, `[r, out]`.
    pub(crate) turned: bool,
}

/// The adapter of a checkpoint.
#[derive(Debug, Default)]
pub(crate) struct Adapters {
    factors: BTreeMap<u32, Placed>,
    /// `None` without one.
    pub(crate) record: Option<AdapterRecord>,
}

impl Adapters {
    /// What an entry is a factor of.
    pub(crate) fn of(&self, entry: EntryId) -> Option<&Placed> {
        self.factors.get(&entry.0)
    }
}

/// Two factors under one name.
#[derive(Debug, Default)]
struct Pair {
    /// Entries of A and of B.
    factors: [Option<usize>; 2],
    /// The module without wrappers.
    module: String,
    /// The adapter's name, often none.
    name: String,
}

/// Finds the factors and what is known of them. Stacked ones are marked so in `found`.
pub(crate) fn find(entries: &[TensorEntry], found: &mut [Found], metadata: &Metadata) -> Adapters {
    let is_factor = |found: &Found| found.role.is_factor() && found.part == Part::Weight;
    let mut pairs: BTreeMap<(&str, String), Pair> = BTreeMap::new();
    let mut lone_words: BTreeMap<usize, &str> = BTreeMap::new();
    for (index, (entry, found)) in std::iter::zip(entries, &*found).enumerate() {
        if !is_factor(found) || entry.dtype.is_none() || entry.shape.len() < 2 {
            continue;
        }
        let Some((module, role)) = side::adapter(&entry.name) else { continue };
        let rest = entry.name.get(module.len()..).unwrap_or_default();
        let mut words = rest.split('.').skip(1);
        lone_words.insert(index, words.next().unwrap_or_default());
        let name: Vec<&str> = words.filter(|word| *word != "weight").collect();
        let name = name.join(".");
        let pair = pairs.entry((module, name.clone())).or_default();
        if pair.module.is_empty() {
            // The module's own name may end in what is a wrapper elsewhere.
            let bare = wrapper::bare(&format!("{module}.weight")).name.into_owned();
            bare.strip_suffix(".weight").unwrap_or(&bare).clone_into(&mut pair.module);
            pair.name = name;
        }
        if let Some(slot) = pair.factors.get_mut(usize::from(role == Role::AdapterB)) {
            slot.get_or_insert(index);
        }
    }
    if pairs.is_empty() {
        return Adapters::default();
    }
    let settings = Settings::of(metadata);
    let weights: HashSet<String> = std::iter::zip(entries, &*found)
        .filter(|(entry, found)| !found.role.is_factor() && !side::is_magnitude(&entry.name))
        .map(|(entry, _)| wrapper::bare(&entry.name).name.into_owned())
        .collect();
    let lies_on_weights = |pair: &Pair| {
        weights.contains(&pair.module) || weights.contains(&format!("{}.weight", pair.module))
    };
    let on_weights = pairs.values().filter(|pair| lies_on_weights(pair)).count();
    let alone = 2 * on_weights < pairs.len();

    let mut adapters = Adapters::default();
    let mut record = AdapterRecord {
        alone,
        method: settings.method().to_owned(),
        base: settings.base.clone(),
        contradictions: settings.not_understood.clone(),
        ..AdapterRecord::default()
    };
    let (mut lone, mut misfits) = (Vec::new(), Vec::new());
    let (mut targets, mut modules) = (BTreeSet::new(), Vec::new());
    let (mut ranks, mut alphas, mut scales) = (Range::NONE, Range::NONE, Range::NONE);
    for pair in pairs.values() {
        let [Some(a), Some(b)] = pair.factors else {
            let word = pair.factors.iter().flatten().find_map(|index| lone_words.get(index));
            lone.push(format!("{} has {} alone", pair.module, word.copied().unwrap_or_default()));
            continue;
        };
        let (Some(first), Some(second)) = (entries.get(a), entries.get(b)) else { continue };
        // Tensors without values are another fault.
        if first.elements == 0 || second.elements == 0 {
            continue;
        }
        let Some(fit) = Fit::of(first, second) else {
            misfits.push(format!("{} ({:?}, {:?})", pair.module, first.shape, second.shape));
            continue;
        };
        let (factor, alpha) = settings.factor(pair, fit.rank);
        if alone || lies_on_weights(pair) {
            record.modules += 1;
            ranks.add((fit.rank / factor.experts.max(1)) as f64);
            if let Some(alpha) = alpha {
                alphas.add(alpha);
            }
            if !factor.scale_from.is_empty() {
                scales.add(factor.scale);
            }
            targets.insert(pair.module.rsplit('.').next().unwrap_or_default().to_owned());
        }
        modules.push(pair.module.as_str());
        let factor = Arc::new(factor);
        for index in [a, b] {
            if let (Ok(id), Some(found)) = (u32::try_from(index), found.get_mut(index)) {
                found.stacked = fit.stacked;
                let placed = Placed { factor: Arc::clone(&factor), turned: fit.turned };
                adapters.factors.insert(id, placed);
            }
        }
    }
    for (entry, found) in std::iter::zip(entries, &*found) {
        if found.role.is_factor() && found.part.is_parameter() {
            record.parameters = record.parameters.saturating_add(entry.elements);
        }
        record.magnitudes += u64::from(side::is_magnitude(&entry.name));
    }
    record.ranks = ranks.ends().unwrap_or_default().map(|rank| rank as u64);
    (record.alphas, record.scales) = (alphas.ends(), scales.ends());
    record.targets = targets.into_iter().collect();
    if alone {
        let whole: BTreeSet<&str> =
            weights.iter().map(|name| name.strip_suffix(".weight").unwrap_or(name)).collect();
        record.whole = whole.iter().take(SENTENCES).map(|name| (*name).to_owned()).collect();
        settings.contradictions(&modules, &whole, record.magnitudes, &mut record.contradictions);
    }
    say(&mut record.contradictions, &lone, |names, is| {
        format!("{names}: the other factor {is} missing, and nothing is added there")
    });
    say(&mut record.contradictions, &misfits, |names, _| {
        format!("the factors of {names} do not fit together: nothing can be added there")
    });
    if record.modules > 0 || !record.contradictions.is_empty() && alone {
        adapters.record = Some(record);
    }
    adapters
}

/// Adds a sentence about some names, if there are any; the second argument is `is` or `are`.
fn say(out: &mut Vec<String>, names: &[String], sentence: impl Fn(&str, &str) -> String) {
    let shown = names.get(..NAMES).unwrap_or(names).join(", ");
    let more = names.len().saturating_sub(NAMES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    if !names.is_empty() {
        let is = if names.len() == 1 { "is" } else { "are" };
        out.push(sentence(&format!("{shown}{more}"), is));
    }
}

/// Least and largest of some numbers.
struct Range([f64; 2]);

impl Range {
    const NONE: Self = Self([f64::INFINITY, f64::NEG_INFINITY]);

    fn add(&mut self, x: f64) {
        let [least, most] = self.0;
        self.0 = [least.min(x), most.max(x)];
    }

    fn ends(&self) -> Option<[f64; 2]> {
        let [least, most] = self.0;
        (least <= most).then_some(self.0)
    }
}

/// How two factors fit together.
struct Fit {
    /// What A returns and B takes, of all experts together.
    rank: u64,
    turned: bool,
    /// Whether both stack experts in their first dimension.
    stacked: bool,
}

impl Fit {
    fn of(a: &TensorEntry, b: &TensorEntry) -> Option<Self> {
        if let ([experts, rank, _], [others, _, inner]) = (&a.shape[..], &b.shape[..])
            && experts == others
            && rank == inner
        {
            return Some(Self { rank: *rank, turned: false, stacked: true });
        }
        let ([a_rows, a_rest @ ..], [b_rows, b_rest @ ..]) = (&a.shape[..], &b.shape[..]) else {
            return None;
        };
        let inner = |rest: &[u64]| rest.iter().try_fold(1u64, |n, side| n.checked_mul(*side));
        let straight = *a_rows == inner(b_rest)?;
        let turned = matches!((a_rest, b_rest), ([side], [_]) if side == b_rows);
        // Square ones tell by their name alone: MLX writes it small, and a format that fixes it is none of MLX's.
        let is_small = a.name.contains(".lora_a") && a.orientation != Some(Orientation::OutIn);
        match (straight, turned) {
            (_, true) if is_small || !straight => {
                Some(Self { rank: *b_rows, turned: true, stacked: false })
            }
            (true, _) => Some(Self { rank: *a_rows, turned: false, stacked: false }),
            _ => None,
        }
    }
}

/// What a configuration says of an adapter.
#[derive(Debug, Default)]
struct Settings {
    /// Whether there is one.
    is_known: bool,
    base: Option<String>,
    rank: Option<u64>,
    alpha: Option<f64>,
    ranks: Vec<(Pattern, u64)>,
    alphas: Vec<(Pattern, f64)>,
    rslora: bool,
    dora: bool,
    /// The scale itself, as MLX says it.
    scale: Option<f64>,
    targets: Targets,
    /// Modules whose parameters are stacks of experts.
    parameters: Vec<Pattern>,
    /// Modules that were trained whole.
    whole: Vec<String>,
    not_understood: Vec<String>,
}

/// Which modules are to have an adapter.
#[derive(Debug, Default)]
enum Targets {
    /// Nothing is said, or what is said is not understood.
    #[default]
    Any,
    Listed(Vec<(String, Pattern)>),
    Expression(String, Pattern),
}

fn texts(value: Option<&Value>) -> Vec<&str> {
    let items = value.map_or(&[][..], Value::items);
    items.iter().filter_map(Value::as_str).take(ENTRIES).collect()
}

/// A finite number above zero.
fn positive(value: Option<&Value>) -> Option<f64> {
    value?.as_f64().filter(|x| x.is_finite() && *x > 0.0)
}

impl Settings {
    fn of(metadata: &Metadata) -> Self {
        let own = metadata.adapter_config.as_ref();
        let gguf = metadata.config.as_ref().and_then(|config| config.get("gguf"));
        match (own, gguf) {
            (Some(config), _) if config.get("peft_type").is_some() || config.get("r").is_some() => {
                Self::of_peft(config)
            }
            (Some(config), _) => Self::of_mlx(config),
            (None, Some(gguf)) => Self::of_gguf(gguf),
            (None, None) => Self::default(),
        }
    }

    fn of_peft(config: &Value) -> Self {
        let flag = |key: &str| config.get(key).and_then(Value::as_bool) == Some(true);
        let text = |key: &str| config.get(key).and_then(Value::as_str);
        let mut settings = Self {
            is_known: true,
            base: text("base_model_name_or_path").map(str::to_owned).filter(|s| !s.is_empty()),
            rank: config.get("r").and_then(Value::as_u64),
            // Zero and below are numbers, too; `LoraConfig` has 8 where nothing is said.
            alpha: match config.get("lora_alpha") {
                None => Some(8.0),
                Some(value) => value.as_f64().filter(|alpha| alpha.is_finite()),
            },
            rslora: flag("use_rslora"),
            dora: flag("use_dora"),
            whole: texts(config.get("modules_to_save")).into_iter().map(str::to_owned).collect(),
            ..Self::default()
        };
        let mut unknown = Vec::new();
        settings.ranks = patterns(config, "rank_pattern", &mut unknown, Value::as_u64);
        settings.alphas = patterns(config, "alpha_pattern", &mut unknown, Value::as_f64);
        settings.parameters = texts(config.get("target_parameters"))
            .into_iter()
            .filter_map(|name| Some(Pattern::end(name.rsplit_once('.')?.0)))
            .collect();
        settings.targets = match config.get("target_modules") {
            Some(Value::Text(text)) if text == "all-linear" => Targets::Any,
            Some(Value::Text(text)) => {
                if let Some(pattern) = Pattern::whole(text) {
                    Targets::Expression(text.clone(), pattern)
                } else {
                    unknown.push(format!("target_modules \"{text}\""));
                    Targets::Any
                }
            }
            Some(list @ Value::List(items)) if !items.is_empty() => {
                let named = |name: &str| (name.to_owned(), Pattern::end(name));
                Targets::Listed(texts(Some(list)).into_iter().map(named).collect())
            }
            _ => Targets::Any,
        };
        say(&mut settings.not_understood, &unknown, |names, is| {
            format!("{names} {is} not understood here, and so not looked at")
        });
        settings
    }

    fn of_mlx(config: &Value) -> Self {
        let parameters = config.get("lora_parameters");
        let get = |key: &str| parameters.and_then(|p| p.get(key)).or_else(|| config.get(key));
        Self {
            is_known: true,
            base: config.get("model").and_then(Value::as_str).map(str::to_owned),
            rank: get("rank").and_then(Value::as_u64),
            alpha: positive(get("alpha")),
            scale: get("scale").and_then(Value::as_f64).filter(|scale| scale.is_finite()),
            dora: config.get("fine_tune_type").and_then(Value::as_str) == Some("dora"),
            ..Self::default()
        }
    }

    fn of_gguf(gguf: &Value) -> Self {
        let text = |key: &str| gguf.get(key).and_then(Value::as_str).map(str::to_owned);
        // Zero stands for none, and then the product is taken as it is.
        let alpha = positive(gguf.get("adapter_alpha"));
        Self {
            is_known: gguf.get("adapter_alpha").is_some(),
            base: text("base_model"),
            alpha,
            scale: gguf.get("adapter_alpha").filter(|_| alpha.is_none()).map(|_| 1.0),
            ..Self::default()
        }
    }

    fn method(&self) -> &'static str {
        match (self.dora, self.rslora) {
            (true, true) => "rank-stabilised DoRA",
            (true, false) => "DoRA",
            (false, true) => "rsLoRA",
            (false, false) => "LoRA",
        }
    }

    /// What two factors are, `rank` being the one of their shapes; and alpha.
    fn factor(&self, pair: &Pair, rank: u64) -> (Factor, Option<f64>) {
        fn of<T: Copy>(patterns: &[(Pattern, T)], module: &str) -> Option<T> {
            let found = patterns.iter().find(|(pattern, _)| pattern.matches(module));
            found.map(|(_, value)| *value)
        }
        let module = pair.module.as_str();
        let configured_rank = of(&self.ranks, module).or(self.rank);
        let is_stack = self.parameters.iter().any(|pattern| pattern.matches(module));
        let experts = match configured_rank {
            Some(one) if is_stack && one > 0 && rank.is_multiple_of(one) => rank / one,
            _ => 1,
        };
        let rank = rank / experts.max(1);
        let alpha = of(&self.alphas, module).or(self.alpha);
        let (scale, scale_from) = match (self.scale, alpha) {
            (Some(scale), _) => (scale, "the configuration's scale".to_owned()),
            (None, Some(alpha)) if self.rslora => {
                (alpha / (rank as f64).sqrt(), format!("alpha {alpha} / sqrt of rank {rank}"))
            }
            (None, Some(alpha)) => (alpha / rank as f64, format!("alpha {alpha} / rank {rank}")),
            (None, None) => (1.0, String::new()),
        };
        let is_usual = matches!(pair.name.as_str(), "" | "default");
        let named = if is_usual { String::new() } else { format!(" ({})", pair.name) };
        let module = format!("{module}{named}");
        (Factor { module, scale, scale_from, experts, configured_rank }, alpha)
    }

    /// Where an adapter that is alone is not what it is said to be.
    fn contradictions(
        &self,
        modules: &[&str],
        whole: &BTreeSet<&str>,
        magnitudes: u64,
        out: &mut Vec<String>,
    ) {
        if !self.is_known {
            return;
        }
        let is_stack = |module: &str| self.parameters.iter().any(|p| p.matches(module));
        let mut outside: BTreeMap<&str, usize> = BTreeMap::new();
        let beyond = |module: &&str| match &self.targets {
            Targets::Any => false,
            Targets::Listed(targets) => {
                !is_stack(module) && !targets.iter().any(|(_, pattern)| pattern.matches(module))
            }
            Targets::Expression(_, pattern) => !is_stack(module) && !pattern.matches(module),
        };
        for module in modules.iter().filter(|module| beyond(module)).take(ENTRIES) {
            *outside.entry(module.rsplit('.').next().unwrap_or(module)).or_default() += 1;
        }
        if let Targets::Listed(targets) = &self.targets {
            let is_idle = |(name, pattern): &&(String, Pattern)| {
                let trained_whole = whole.iter().any(|w| pattern.matches(w));
                !trained_whole && !modules.iter().any(|m| pattern.matches(m)) && !name.is_empty()
            };
            let idle: Vec<String> =
                targets.iter().filter(is_idle).map(|(name, _)| name.clone()).collect();
            say(out, &idle, |names, _| {
                format!("target_modules names {names}, and there are no factors of it")
            });
        }
        if let Targets::Expression(text, pattern) = &self.targets
            && !modules.iter().any(|module| pattern.matches(module))
        {
            out.push(format!("target_modules \"{text}\" matches no module that has factors"));
        }
        let outside: Vec<String> =
            outside.into_iter().map(|(name, count)| format!("{name} ({count} modules)")).collect();
        say(out, &outside, |names, _| {
            format!(
                "there are factors of {names}, which target_modules leaves out: loaders drop or refuse them"
            )
        });
        let is_saved = |name: &&String| {
            let pattern = Pattern::end(name);
            !whole.iter().any(|w| pattern.matches(w) || w.contains(&format!("{name}.")))
        };
        let unsaved: Vec<String> = self.whole.iter().filter(is_saved).cloned().collect();
        say(out, &unsaved, |names, _| {
            format!(
                "modules_to_save names {names}, and there is no tensor of it: what was trained there is lost"
            )
        });
        let count = modules.len() as u64;
        // MLX's magnitudes are called `m`, which is not told from other tensors.
        if self.dora && self.rank.is_some() && self.scale.is_none() && magnitudes < count {
            out.push(format!(
                "use_dora is true, and {} of {count} modules have no lora_magnitude_vector",
                count - magnitudes
            ));
        }
        if !self.dora && magnitudes > 0 {
            out.push(format!(
                "there are {magnitudes} magnitude vectors, and use_dora is not set: they are dropped, and the rest means something else"
            ));
        }
    }
}

/// The patterns under a key with their values; what is not understood goes to `unknown`.
fn patterns<T>(
    config: &Value,
    key: &str,
    unknown: &mut Vec<String>,
    read: impl Fn(&Value) -> Option<T>,
) -> Vec<(Pattern, T)> {
    let Some(Value::Map(entries)) = config.get(key) else { return Vec::new() };
    let mut found = Vec::new();
    let mut expressions = 0;
    for (text, value) in entries.iter().take(ENTRIES) {
        match (Pattern::key(text, expressions), read(value)) {
            (Some(pattern), Some(value)) => {
                expressions += usize::from(matches!(pattern, Pattern::Expression(_)));
                found.push((pattern, value));
            }
            _ => unknown.push(format!("{key} \"{text}\"")),
        }
    }
    found
}
