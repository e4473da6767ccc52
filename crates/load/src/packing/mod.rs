//! Ways to store one weight in several tensors: codes, factors, zero points, group indices.
//!
//! A packing is one file here and one line in [`PACKINGS`]. It says which stored tensors belong together and which
//! weight they are, and restores the values of a tile of it. Nothing above this crate knows that there were parts.

mod awq;
mod bitnet;
mod bnb4;
mod bnb8;
mod codes;
mod compressed_tensors;
mod fp4;
mod gpt_oss;
mod gptq;
mod grid;
mod mlx;
mod recognised;
mod scaled;
mod scaled_floats;
mod words;

use std::collections::HashMap;
use std::ops::Range;

use weightscope_core::{DType, Orientation, SourceError, Value};

use crate::container::{Encoding, StoredTensor};
use crate::files::Files;

/// Every packing. The first that claims a tensor has it.
static PACKINGS: &[&dyn Packing] = &[
    &scaled_floats::ScaledFloats,
    &gptq::Gptq,
    &awq::Awq,
    &bnb4::Bnb4,
    &bnb8::Bnb8,
    &bitnet::BitNet,
    &fp4::Fp4,
    &compressed_tensors::CompressedTensors,
    &gpt_oss::GptOss,
    &mlx::Mlx,
    &recognised::Recognised,
];

/// A side tensor of more bytes than this is not read when a checkpoint is opened.
const MAX_SIDE_BYTES: u64 = 16 << 20;

/// More values than this for each stored byte of codes are no honest claim: the narrowest codes have one bit.
const MOST_VALUES_A_BYTE: u64 = 8;

/// A way to store a weight in several tensors.
pub(crate) trait Packing: Sync {
    /// What the tensor `lead` (the one with the codes) and those beside it are; `None` when `lead` is no such tensor.
    ///
    /// Only names, types, shapes and small side tensors are looked at. What is recognised and cannot be decoded is a
    /// claim too, with the reason.
    fn claim(&self, lead: &StoredTensor, tensors: &Tensors<'_>) -> Option<Claim>;
}

/// What a packing makes of a group of stored tensors.
#[derive(Debug)]
pub(crate) struct Claim {
    /// Name of the weight.
    pub(crate) name: String,
    /// Its shape, in the order in which it is restored; when that is not known, the shape of the codes.
    pub(crate) shape: Vec<u64>,
    /// Which dimension holds output units, where the packing fixes it.
    pub(crate) orientation: Option<Orientation>,
    /// In the field's words, see [`weightscope_core::StoredForm::scheme`].
    pub(crate) scheme: String,
    /// Elements along the last two dimensions that share a factor, where that is constant.
    pub(crate) factor_block: Option<[u64; 2]>,
    /// Stored tensors, the one with the codes first.
    pub(crate) parts: Vec<usize>,
    /// How to restore the values, or why they cannot be.
    pub(crate) values: Result<Box<dyn Restore>, String>,
}

/// Restores the values of one claim. Rows and columns are those of the claim's shape seen as a matrix with its last
/// dimension as columns; parts are numbered as in the claim.
pub(crate) trait Restore: std::fmt::Debug + Send + Sync {
    /// The values of a tile, row after row. `into` has as many places.
    fn values(&self, tile: &Tile, parts: &Parts<'_>, into: &mut [f32]) -> Result<(), RestoreError>;

    /// The rounding errors to be expected of a tile ([`weightscope_core::TensorSource::rounding_at`]).
    fn rounding(
        &self,
        tile: &Tile,
        parts: &Parts<'_>,
        into: &mut [f32],
    ) -> Result<(), RestoreError>;
}

/// Whole rows, or a piece of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tile {
    pub(crate) rows: Range<u64>,
    pub(crate) columns: Range<u64>,
}

impl Tile {
    /// Values in a row of the tile.
    pub(crate) fn width(&self) -> usize {
        usize::try_from(self.columns.end.saturating_sub(self.columns.start)).unwrap_or(usize::MAX)
    }
}

/// Why a tile could not be restored.
#[derive(Debug)]
pub(crate) enum RestoreError {
    /// A part could not be read.
    Source(SourceError),
    /// Codes and factors contradict each other.
    Broken(String),
}

impl From<SourceError> for RestoreError {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl From<weightscope_codec::DecodeError> for RestoreError {
    fn from(error: weightscope_codec::DecodeError) -> Self {
        Self::Broken(error.to_string())
    }
}

/// The stored tensors of one claim, for reading.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'a> {
    files: &'a Files,
    tensors: &'a [StoredTensor],
    indices: &'a [usize],
}

impl<'a> Parts<'a> {
    pub(crate) fn new(files: &'a Files, tensors: &'a [StoredTensor], indices: &'a [usize]) -> Self {
        Self { files, tensors, indices }
    }

    fn tensor(&self, part: usize) -> Result<&'a StoredTensor, RestoreError> {
        let tensor = self.indices.get(part).and_then(|index| self.tensors.get(*index));
        tensor.ok_or_else(|| RestoreError::Broken(format!("there is no part {part}")))
    }

    /// Stored bytes of a part.
    pub(crate) fn bytes(&self, part: usize, range: Range<u64>) -> Result<Vec<u8>, RestoreError> {
        let tensor = self.tensor(part)?;
        let count = range.end.checked_sub(range.start).filter(|_| range.end <= tensor.bytes);
        let count = count.and_then(|count| usize::try_from(count).ok());
        let Some(count) = count else {
            return Err(RestoreError::Broken(format!(
                "bytes {}..{} of {} in part {part}",
                range.start, range.end, tensor.bytes
            )));
        };
        let mut bytes = vec![0; count];
        self.files.read(tensor, range.start, &mut bytes)?;
        Ok(bytes)
    }

    /// Elements of a part that is plain, as `f32`.
    pub(crate) fn floats(
        &self,
        part: usize,
        elements: Range<u64>,
    ) -> Result<Vec<f32>, RestoreError> {
        let tensor = self.tensor(part)?;
        let Encoding::Plain(dtype) = tensor.encoding else {
            return Err(RestoreError::Broken(format!("part {part} is not plain")));
        };
        let width = dtype.bytes() as u64;
        let range = elements.start.saturating_mul(width)..elements.end.saturating_mul(width);
        let bytes = self.bytes(part, range)?;
        let mut values = vec![0.0; bytes.len().checked_div(dtype.bytes()).unwrap_or(0)];
        weightscope_codec::decode_f32(dtype, &bytes, &mut values)?;
        Ok(values)
    }
}

/// All stored tensors of a checkpoint by name, for claims.
#[derive(Debug)]
pub(crate) struct Tensors<'a> {
    stored: &'a [StoredTensor],
    by_name: HashMap<&'a str, usize>,
    files: &'a Files,
    quantization: Option<&'a Value>,
}

impl<'a> Tensors<'a> {
    /// `quantization` is what config.json (or a file beside it) says of the way the weights are stored.
    pub(crate) fn new(
        stored: &'a [StoredTensor],
        files: &'a Files,
        quantization: Option<&'a Value>,
    ) -> Self {
        let by_name = stored.iter().zip(0..).map(|(tensor, at)| (tensor.name.as_str(), at));
        Self { stored, by_name: by_name.collect(), files, quantization }
    }

    /// The tensor `name` and its index.
    pub(crate) fn get(&self, name: &str) -> Option<(usize, &'a StoredTensor)> {
        let index = *self.by_name.get(name)?;
        Some((index, self.stored.get(index)?))
    }

    /// The tensor `<module>.<last>`.
    pub(crate) fn beside(&self, module: &str, last: &str) -> Option<(usize, &'a StoredTensor)> {
        self.get(&format!("{module}.{last}"))
    }

    /// What the configuration says of the way weights are stored.
    pub(crate) fn quantization(&self) -> Option<&'a Value> {
        self.quantization
    }

    /// `quant_method` of the configuration.
    pub(crate) fn method(&self) -> Option<&'a str> {
        self.quantization?.get("quant_method")?.as_str()
    }

    /// The bytes of a small side tensor, such as a group index; `None` when it is large or cannot be read.
    pub(crate) fn read(&self, tensor: &StoredTensor) -> Option<Vec<u8>> {
        let count = Some(tensor.bytes).filter(|bytes| *bytes <= MAX_SIDE_BYTES)?;
        let mut bytes = vec![0; usize::try_from(count).ok()?];
        self.files.read(tensor, 0, &mut bytes).ok()?;
        Some(bytes)
    }

    /// The first bytes of a side tensor, at most `bytes`; `None` when they cannot be read.
    pub(crate) fn head(&self, tensor: &StoredTensor, bytes: u64) -> Option<Vec<u8>> {
        let count = bytes.min(tensor.bytes).min(MAX_SIDE_BYTES);
        let mut bytes = vec![0; usize::try_from(count).ok()?];
        self.files.read(tensor, 0, &mut bytes).ok()?;
        Some(bytes)
    }

    /// The elements of a small plain side tensor as `f32`.
    pub(crate) fn floats(&self, tensor: &StoredTensor) -> Option<Vec<f32>> {
        let (dtype, bytes) = (tensor.dtype()?, self.read(tensor)?);
        let mut values = vec![0.0; bytes.len().checked_div(dtype.bytes())?];
        weightscope_codec::decode_f32(dtype, &bytes, &mut values).ok()?;
        Some(values)
    }
}

/// Asks every packing for every tensor; a tensor belongs to one claim at most. Claims stand by the index of their lead.
pub(crate) fn claims(tensors: &Tensors<'_>) -> HashMap<usize, Claim> {
    let mut taken = vec![false; tensors.stored.len()];
    let mut claims: HashMap<usize, Claim> = HashMap::new();
    for (index, lead) in tensors.stored.iter().enumerate() {
        if taken.get(index) != Some(&false) {
            continue;
        }
        let claim = PACKINGS.iter().find_map(|packing| packing.claim(lead, tensors));
        let Some(claim) = claim.filter(|claim| is_sound(claim, index, lead, tensors, &taken))
        else {
            continue;
        };
        for part in &claim.parts {
            if let Some(taken) = taken.get_mut(*part) {
                *taken = true;
            }
        }
        claims.insert(index, claim);
    }
    claims
}

/// Whether nothing in a claim contradicts what is stored: its parts are free, its name is no other tensor's, and it has
/// no more values than its codes have bits.
fn is_sound(
    claim: &Claim,
    index: usize,
    lead: &StoredTensor,
    tensors: &Tensors<'_>,
    taken: &[bool],
) -> bool {
    let elements = weightscope_core::element_count(&claim.shape);
    let is_free = claim.parts.iter().all(|part| taken.get(*part) == Some(&false));
    let is_own_name =
        tensors.get(&claim.name).is_none_or(|(holder, _)| claim.parts.contains(&holder));
    let bits = lead.bytes.saturating_mul(MOST_VALUES_A_BYTE);
    claim.parts.first() == Some(&index)
        && is_free
        && is_own_name
        && elements.is_some_and(|n| n <= bits || claim.values.is_err())
}

/// Whether a tensor that nothing claimed holds codes rather than numbers: integers of at most 32 bits under the name of a
/// weight. Indices, masks and counts have other names or 64 bits.
pub(crate) fn is_bare_codes(tensor: &StoredTensor) -> bool {
    let is_integer = tensor
        .dtype()
        .is_some_and(|dtype| !dtype.is_float() && dtype != DType::Bool && dtype.bytes() <= 4);
    let last = tensor.name.rsplit('.').next().unwrap_or(&tensor.name);
    let is_matrix = tensor.shape.len() > 1;
    let is_weight = last.ends_with("weight")
        || last == "weight_packed"
        || is_matrix && CODES.contains(&last)
        // Stacked experts have no `.weight`.
        || tensor.shape.len() == 3 && last.ends_with("_proj");
    is_integer && tensor.elements > 1 && is_weight
}

/// Last segments of tensors of codes.
const CODES: &[&str] = &["W_q", "trellis", "codes", "Qidxs", "_data", "_weight_qdata"];

/// Turns the steps of uniform grids into the rounding errors to be expected: the step over sqrt(12).
pub(crate) fn uniform_rounding(steps: &mut [f32]) {
    for step in steps {
        *step = step.abs() / 12f32.sqrt();
    }
}

/// The rounding error to be expected of a value of a float format: the distance of its neighbours over sqrt(12). 0 for a
/// value that is not finite, whose factor may be.
#[expect(clippy::cast_possible_truncation, reason = "an estimate")]
pub(crate) fn float_rounding(dtype: DType, value: f32) -> f32 {
    let (Some(roundoff), Some(normal)) = (dtype.unit_roundoff(), dtype.min_positive_normal())
    else {
        return 0.0;
    };
    let magnitude = f64::from(value.abs());
    if !magnitude.is_finite() {
        return 0.0;
    }
    // The power of two at or below the value, from its exponent bits.
    let power = f64::from_bits(magnitude.max(normal).to_bits() & !((1 << 52) - 1));
    (2.0 * roundoff * power / 12f64.sqrt()) as f32
}
