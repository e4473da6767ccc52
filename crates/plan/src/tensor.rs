//! A report's weights as the stored tensors that tools quantise.

use std::collections::BTreeMap;

use weightscope_core::{Part, Report, Role, Stack, Value, WeightRecord};

use crate::{Class, Scheme};

/// The analyzer whose measurements a plan is made of.
pub const ANALYZER: &str = "quantization";

/// A stored tensor: one weight, or all experts of a stack.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) class: Class,
    pub(crate) role: Role,
    pub(crate) part: Part,
    pub(crate) stack: Option<Stack>,
    pub(crate) block: Option<u32>,
    /// Whether it belongs to one expert or holds several.
    pub(crate) expert: bool,
    /// Type of its elements, decoded where they are stored in another form.
    pub(crate) dtype: String,
    /// How it is stored when that is a quantised form: one of less than 16 bits a weight.
    pub(crate) quantised: Option<String>,
    /// Whether that is codes that are not decoded.
    pub(crate) codes: bool,
    /// Dimensions as stored.
    pub(crate) dimensions: usize,
    pub(crate) transposed: bool,
    /// Lengths of rows along `in`.
    pub(crate) widths: Vec<u64>,
    /// Rows along `out`.
    pub(crate) heights: Vec<u64>,
    /// Weights in it.
    pub(crate) weights: u64,
    pub(crate) elements: u64,
    /// As stored, all parts included.
    pub(crate) bytes: u64,
    /// What was measured for all of its weights.
    pub(crate) measured: Vec<Measured>,
}

/// A scheme over all weights of a tensor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) scheme: Scheme,
    /// Bits of the tensor, scales included.
    pub(crate) bits: f64,
    /// Sum over its weights of the relative error.
    pub(crate) error: f64,
    /// The smallest signal-to-noise ratio of its weights; infinite when all are lossless.
    pub(crate) worst_db: f64,
}

impl Measured {
    pub(crate) fn bytes(&self) -> u64 {
        // A sum of decimal bits may lie a rounding above a whole number of bytes.
        (self.bits / 8.0 * (1.0 - 1e-12)).ceil() as u64
    }
}

impl Stored {
    /// The module it is the weight of, as transformers names it.
    pub(crate) fn module(&self) -> Option<&str> {
        self.name.strip_suffix(".weight").filter(|_| self.part == Part::Weight)
    }

    /// How it is stored, in one word.
    pub(crate) fn stored_type(&self) -> &str {
        self.quantised.as_deref().unwrap_or(&self.dtype)
    }
}

/// The stored tensors of a report in its order; copies of another tensor are left out.
pub(crate) fn stored(report: &Report) -> Vec<Stored> {
    let copies: Vec<&str> =
        report.models.iter().flat_map(|m| &m.tied).map(|(copy, _)| copy.as_str()).collect();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut tensors: Vec<(Stored, Vec<&WeightRecord>)> = Vec::new();
    for weight in &report.weights {
        if copies.contains(&weight.source_tensor.as_str()) {
            continue;
        }
        let place = *places.entry(&weight.source_tensor).or_insert_with(|| {
            tensors.push((begin(weight), Vec::new()));
            tensors.len() - 1
        });
        if let Some((tensor, weights)) = tensors.get_mut(place) {
            weights.push(weight);
            tensor.weights += 1;
            tensor.elements += weight.elements();
            tensor.bytes += stored_bytes(weight);
            tensor.widths.extend(weight.matrix.map(|[_, width]| width));
            tensor.heights.extend(weight.matrix.map(|[height, _]| height));
        }
    }
    let measured = |(mut tensor, weights): (Stored, Vec<&WeightRecord>)| {
        tensor.widths.sort_unstable();
        tensor.widths.dedup();
        // Experts and parts are slices of a tensor with one dimension more, or with one name.
        tensor.dimensions += usize::from(weights.iter().any(|w| w.expert.is_some() && is_part(w)));
        tensor.measured = Scheme::ALL.into_iter().filter_map(|s| over(&weights, s)).collect();
        tensor
    };
    tensors.into_iter().map(measured).collect()
}

fn is_part(weight: &WeightRecord) -> bool {
    weight.name != weight.source_tensor
}

fn begin(weight: &WeightRecord) -> Stored {
    let fused = match weight.role {
        // Parts of a fused tensor that were measured apart.
        Role::AttentionQ | Role::AttentionK | Role::AttentionV if is_fused(weight) => {
            Role::AttentionQkv
        }
        Role::MlpGate | Role::MlpUp if is_fused(weight) => Role::MlpGateUp,
        role => role,
    };
    // Codes that are not decoded have no rows and columns, and are no vectors for that.
    let class = match Class::of(weight.role, weight.part, weight.matrix) {
        Class::Norm if is_codes(weight) => Class::Other,
        class => class,
    };
    let is_matrix = !matches!(class, Class::Norm | Class::Buffer);
    Stored {
        name: weight.source_tensor.clone(),
        class,
        quantised: is_matrix.then(|| quantised(weight)).flatten(),
        codes: is_codes(weight),
        role: fused,
        part: weight.part,
        stack: weight.stack,
        block: weight.block,
        expert: weight.expert.is_some(),
        dtype: weight.dtype.clone(),
        dimensions: weight.shape.len(),
        transposed: weight.transposed,
        widths: Vec::new(),
        heights: Vec::new(),
        weights: 0,
        elements: 0,
        bytes: 0,
        measured: Vec::new(),
    }
}

fn is_fused(weight: &WeightRecord) -> bool {
    let part = weight.name.rsplit('#').next().unwrap_or("");
    is_part(weight) && matches!(part, "q" | "k" | "v" | "gate" | "up")
}

/// Stored bits a weight from which on a form is not called quantised.
const WHOLE: f64 = 16.0;

/// How a weight is stored when that is a quantised form.
fn quantised(weight: &WeightRecord) -> Option<String> {
    weight.stored.as_ref()?;
    let is_narrow = weight.stored_bits().is_none_or(|bits| bits < WHOLE);
    is_narrow.then(|| weight.stored_type().into_owned())
}

/// Whether it holds codes that are not decoded.
fn is_codes(weight: &WeightRecord) -> bool {
    weight.stored.is_some() && weight.stored_bits().is_none() && weight.part.is_parameter()
}

/// Bytes that a weight takes in the file. Types that are not known count as one byte an element.
fn stored_bytes(weight: &WeightRecord) -> u64 {
    weight.stored_bytes().unwrap_or_else(|| weight.elements())
}

/// One scheme over all weights; `None` when one of them was not measured in it or overflows.
fn over(weights: &[&WeightRecord], scheme: Scheme) -> Option<Measured> {
    let mut sum = Measured { scheme, bits: 0.0, error: 0.0, worst_db: f64::INFINITY };
    for weight in weights {
        let rows = weight.metric(ANALYZER, "schemes")?.items();
        let is_it = |row: &&Value| row.get("scheme").and_then(Value::as_str) == Some(scheme.name());
        let row = rows.iter().find(is_it)?;
        sum.bits += row.get("bits_per_weight")?.as_f64()? * weight.elements() as f64;
        match row.get("sqnr_db").and_then(Value::as_f64) {
            Some(db) => {
                sum.error += 10f64.powf(-db / 10.0);
                sum.worst_db = sum.worst_db.min(db);
            }
            None if row.get("note").and_then(Value::as_str) == Some("lossless") => {}
            None => return None,
        }
    }
    Some(sum)
}
