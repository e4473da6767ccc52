//! The towers of a model: stacks of blocks with names of their own, each with its sizes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use weightscope_core::{Category, Role, Stack, TensorEntry, TowerRecord};

use crate::config::{Config, Towers};
use crate::found::Found;
use crate::name::Names;

/// What the names of towers say, by words in them.
const WORDS: [(&str, &[&str]); 5] = [
    ("vision", &["vis", "image", "vit", "patch", "img", "pixel", "eye"]),
    ("audio", &["audio", "speech", "sound", "wav", "mel", "acoustic"]),
    ("encoder", &["encoder"]),
    ("decoder", &["decoder"]),
    ("text", &["text", "language", "llm", "lm"]),
];

/// Parts of config.json that declare a tower.
const DECLARED: [(&str, &str); 3] =
    [("vision", "vision_config"), ("audio", "audio_config"), ("text", "text_config")];

/// The stacks of blocks that have attention in them; none unless there are several.
pub(crate) fn towers(
    entries: &[TensorEntry],
    names: &Names,
    found: &[Found],
    sizes: &Towers<'_>,
) -> Vec<TowerRecord> {
    let mut towers: BTreeMap<&str, Tower> = BTreeMap::new();
    let parsed = names.parsed.iter().zip(entries).zip(found);
    for ((parsed, entry), found) in parsed {
        let template = names.templates.get(parsed.template).map_or("", |t| t.text.as_str());
        let Some(((prefix, _), block)) = template.split_once("{b}").zip(found.block) else {
            continue;
        };
        let tower = towers.entry(prefix).or_default();
        tower.stack = tower.stack.or(found.stack);
        tower.blocks.insert(block);
        tower.attends |= found.role.category() == Category::Attention;
        if let ([width], Role::Norm) = (entry.shape.as_slice(), found.role) {
            *tower.norms.entry(*width).or_default() += 1;
        }
        if let ([_, input], Category::Attention) = (entry.shape.as_slice(), found.role.category()) {
            *tower.inputs.entry(*input).or_default() += 1;
        }
    }
    towers.retain(|_, tower| tower.attends);
    if towers.len() < 2 {
        return Vec::new();
    }
    let first = towers.values().map(|tower| tower.stack).collect::<BTreeSet<_>>();
    let shares_sizes = first.len() < towers.len();
    let mut records: Vec<TowerRecord> = towers
        .into_iter()
        .map(|(prefix, tower)| {
            let hidden_size = most(&tower.norms).or_else(|| most(&tower.inputs));
            // Sizes of config.json that are those of this tower.
            let own = Some(sizes.of(tower.stack))
                .filter(|own| !shares_sizes || own.hidden == hidden_size);
            let heads = own.and_then(|own| own.heads);
            TowerRecord {
                name: name_of(prefix),
                blocks: tower.blocks.len() as u64,
                hidden_size,
                heads: heads.map(|heads| u64::from(heads.query)),
                kv_heads: heads.map(|heads| u64::from(heads.key_value)),
                head_dim: heads.map(|heads| u64::from(heads.head_dim)),
            }
        })
        .collect();
    // A name that says the same of two of them says nothing.
    let lone = |records: &[TowerRecord], name: &str| {
        records.iter().filter(|record| record.name == name).count() == 1
    };
    let text = records.iter().position(|record| record.name == "model");
    if let Some(record) = text.and_then(|place| records.get_mut(place)) {
        "text".clone_into(&mut record.name);
    }
    let names: Vec<String> = records.iter().map(|record| record.name.clone()).collect();
    let double: Vec<&String> = names.iter().filter(|name| !lone(&records, name)).collect();
    for name in double {
        for (number, record) in (1..).zip(records.iter_mut().filter(|record| record.name == *name))
        {
            record.name = format!("{name} {number}");
        }
    }
    records.sort_by(|a, b| b.blocks.cmp(&a.blocks).then_with(|| a.name.cmp(&b.name)));
    records
}

#[derive(Default)]
struct Tower {
    stack: Option<Stack>,
    blocks: BTreeSet<u32>,
    attends: bool,
    /// Lengths of norms, and inputs of attention, with how often they occur.
    norms: HashMap<u64, u64>,
    inputs: HashMap<u64, u64>,
}

/// The commonest one, and the smallest of several.
fn most(counts: &HashMap<u64, u64>) -> Option<u64> {
    let best = counts.iter().max_by(|a, b| a.1.cmp(b.1).then(b.0.cmp(a.0)))?;
    Some(*best.0)
}

/// A word for the tower whose names begin so.
fn name_of(prefix: &str) -> String {
    let lower = prefix.to_ascii_lowercase();
    let word = WORDS.iter().find(|(_, words)| words.iter().any(|word| lower.contains(word)));
    match word {
        Some((name, _)) => (*name).to_owned(),
        None => prefix.split('.').find(|part| !part.is_empty()).unwrap_or("blocks").to_owned(),
    }
}

/// Towers that config.json declares and no tensor's name belongs to. Asked only where some other tower is there.
pub(crate) fn missing(config: Config<'_>, names: &Names) -> Vec<String> {
    let belongs = |tower: &str, text: &str| {
        let words = WORDS.iter().find(|(name, _)| *name == tower).map_or(&[][..], |(_, w)| w);
        let lower = text.to_ascii_lowercase();
        words.iter().any(|word| lower.contains(word))
            // The text tower often has the plain names of a language model.
            || (tower == "text"
                && ["layers.", "blocks.", "h.", "embed_tokens", "wte"].iter().any(|w| lower.contains(w)))
    };
    if names.templates.is_empty() {
        return Vec::new();
    }
    DECLARED
        .iter()
        .filter(|(tower, key)| {
            config.declares(key) && !names.templates.iter().any(|t| belongs(tower, &t.text))
        })
        .map(|(tower, key)| format!("{tower} tower ({key})"))
        .collect()
}
