//! How weights are stored, in a line and in numbers.

use indexmap::IndexMap;
use weightscope_core::{DType, ModelSummary, Report, StoredRecord, StoredShare, WeightRecord};

use crate::numbers::share;

/// Most types that are named.
const TYPES: usize = 6;

/// `Q4_K 62.0 %, Q6_K 35.0 %, F32 3.00 %; 4.85 bits a weight`, of the model `index` of a report. The bits are named
/// where something is stored in another form than plain elements.
pub(crate) fn stored_as(report: &Report, index: usize) -> String {
    match report.models.get(index).filter(|model| !model.stored_as.is_empty()) {
        Some(model) => model_stored_as(model),
        // An older report, of which the weights alone tell.
        None if index == 0 => {
            let weights = report.weights.iter();
            let all: Vec<_> = weights.map(|w| (w.stored_type(), w.elements())).collect();
            mix(all.iter().map(|(name, elements)| (name.as_ref(), *elements)))
        }
        None => String::new(),
    }
}

/// The same of a model.
pub(crate) fn model_stored_as(model: &ModelSummary) -> String {
    let mut text = mix(model.stored_as.iter().map(|part| (part.name.as_str(), part.elements)));
    if let Some(average) = average_bits(model) {
        text.push_str(&format_args!("; {} a weight", bits(average)).to_string());
    }
    text
}

/// Stored bits of a weight on average, where something is stored in another form than plain elements; nothing where
/// some of it is not decoded, so that its weights cannot be counted.
fn average_bits(model: &ModelSummary) -> Option<f64> {
    let parts = &model.stored_as;
    let is_countable = parts.iter().all(|part| part.bits_per_weight.is_some());
    let sum = |of: fn(&StoredShare) -> u64| parts.iter().fold(0u64, |n, p| n.saturating_add(of(p)));
    let (elements, bytes) = (sum(|part| part.elements), sum(|part| part.bytes));
    (has_forms(model) && is_countable && elements > 0).then(|| 8.0 * bytes as f64 / elements as f64)
}

/// Whether something is stored in another form than plain elements.
pub(crate) fn has_forms(model: &ModelSummary) -> bool {
    model.stored_as.iter().any(|part| part.name.parse::<DType>().is_err())
}

/// `4.85 bits`, whole numbers without decimals.
pub(crate) fn bits(bits: f64) -> String {
    if bits.fract() == 0.0 { format!("{bits:.0} bits") } else { format!("{bits:.2} bits") }
}

/// Shares of types by number of elements, largest first: `BF16 99.9 %, F32 0.10 %`.
fn mix<'a>(parts: impl Iterator<Item = (&'a str, u64)>) -> String {
    let mut mix: IndexMap<&str, u64> = IndexMap::new();
    for (name, elements) in parts {
        let sum = mix.entry(name).or_default();
        *sum = sum.saturating_add(elements);
    }
    mix.sort_by(|a, x, b, y| y.cmp(x).then(a.cmp(b)));
    let total = mix.values().fold(0u64, |sum, n| sum.saturating_add(*n)).max(1);
    let (alone, rest) = (mix.len() == 1, mix.len().saturating_sub(TYPES));
    let shares = mix.into_iter().take(TYPES).map(|(name, n)| {
        if alone { name.to_owned() } else { format!("{name} {}", share(n as f64 / total as f64)) }
    });
    let mut shares: Vec<String> = shares.collect();
    if rest > 0 {
        shares.push(format!("and {rest} more"));
    }
    shares.join(", ")
}

/// `4.50 bits a weight, a factor for 1 x 32` of a weight in another stored form; nothing of a plain one.
pub(crate) fn form_detail(weight: &WeightRecord) -> Option<String> {
    let stored = weight.stored.as_ref()?;
    let mut parts = Vec::new();
    if let Some(a_weight) = weight.stored_bits() {
        parts.push(format!("{} a weight", bits(a_weight)));
    }
    parts.extend(factors(stored));
    Some(parts.join(", "))
}

fn factors(stored: &StoredRecord) -> Option<String> {
    let [rows, columns] = stored.factor_block?;
    Some(format!("a factor for {rows} x {columns}"))
}

/// The stored tensors of a weight, where they are others than the weight itself.
pub(crate) fn parts(weight: &WeightRecord) -> &[String] {
    let parts = weight.stored.as_ref().map_or(&[][..], |stored| stored.parts.as_slice());
    match parts {
        [one] if *one == weight.source_tensor => &[],
        parts => parts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixes() {
        let text = |types: &[(&'static str, u64)]| mix(types.iter().copied());
        assert_eq!(text(&[]), "");
        assert_eq!(text(&[("F32", 3), ("F32", 4)]), "F32");
        assert_eq!(text(&[("F32", 1), ("BF16", 999)]), "BF16 99.9 %, F32 0.10 %");
        let many: Vec<(&str, u64)> =
            ["A", "B", "C", "D", "E", "F", "G", "H"].map(|t| (t, 1)).to_vec();
        assert!(text(&many).ends_with("F 12.5 %, and 2 more"), "{}", text(&many));
    }

    #[test]
    fn bits_are_told_of_forms_that_are_decoded() {
        let part = |name: &str, elements, bytes, is_decoded: bool| StoredShare {
            name: name.to_owned(),
            tensors: 1,
            elements,
            bytes,
            bits_per_weight: is_decoded.then(|| 8.0 * bytes as f64 / elements as f64),
        };
        let text = |parts: &[StoredShare]| {
            model_stored_as(&ModelSummary { stored_as: parts.to_vec(), ..ModelSummary::default() })
        };
        let [norm, quantised] = [part("F32", 64, 256, true), part("Q4_K", 3136, 1764, true)];
        assert_eq!(text(std::slice::from_ref(&norm)), "F32");
        assert_eq!(
            text(&[quantised.clone(), norm.clone()]),
            "Q4_K 98.0 %, F32 2.00 %; 5.05 bits a weight"
        );
        assert_eq!(text(&[quantised]), "Q4_K; 4.50 bits a weight");
        let codes = part("I32 codes", 64, 256, false);
        assert_eq!(text(&[codes, norm]), "F32 50.0 %, I32 codes 50.0 %");
    }
}
