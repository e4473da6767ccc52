//! E2M1 floats, two to a byte, under factors of blocks: NVFP4 and MXFP4 as modelopt, transformers and DeepSeek have them.
//!
//! The first of two floats lies low. NVFP4 has a factor in E4M3 for 16 of them and a second level for the matrix;
//! MXFP4 a power of two for 32. Sources: modelopt `torch/quantization/qtensor/nvfp4_tensor.py` and `mxfp4_tensor.py`,
//! transformers `integrations/finegrained_fp8.py`, OCP Microscaling Formats Specification 1.0.

use weightscope_core::{DType, Orientation};

use super::codes::Codes;
use super::grid::{Grid, Habit};
use super::scaled::{self, Common, Scaled};
use super::{Claim, Packing, Restore, Tensors};
use crate::container::{Encoding, StoredTensor};

/// The packing.
#[derive(Debug)]
pub(crate) struct Fp4;

/// Factors' names after the module and a dot, and those of their second level.
const OF_MODULE: &[(&str, &[&str])] = &[
    ("weight_scale", &["weight_scale_2"]),
    // The second level is multiplied with here and divided by in compressed-tensors, whose codes are `weight_packed`.
    ("weight_scale_inv", &["weight_global_scale", "weight_scale_2"]),
    ("scale", &["scale_2"]),
];
/// After the name of a tensor that is no module's `weight`: of experts in one tensor.
const OF_TENSOR: &[(&str, &[&str])] = &[
    ("_weight_scale", &["_weight_scale_2"]),
    ("_scale_inv", &["_global_scale", "_weight_global_scale"]),
    ("_scale", &["_scale_2"]),
];

impl Packing for Fp4 {
    fn claim(&self, lead: &StoredTensor, tensors: &Tensors<'_>) -> Option<Claim> {
        let is_bytes = matches!(lead.dtype(), Some(DType::U8 | DType::I8));
        if !is_bytes && !is_nibbles(lead) {
            return None;
        }
        let module = lead.name.strip_suffix(".weight");
        let (stem, names) =
            module.map_or((format!("{}_", lead.name), OF_TENSOR), |m| (format!("{m}."), OF_MODULE));
        let base = stem.strip_suffix('_').unwrap_or(&stem);
        let found = |end: &&str| tensors.get(&format!("{base}{end}"));
        let (factors, seconds) =
            names.iter().find_map(|(first, seconds)| Some((found(first)?, seconds)))?;
        let (_, stored) = factors;
        let level = match stored.encoding {
            Encoding::Plain(DType::F8E4M3) => {
                Some(Level { found: seconds.iter().find_map(found), divides: false })
            }
            Encoding::Plain(DType::F8E8M0 | DType::U8) => None,
            _ => return None,
        };
        let mut claim = claim(&lead.name, lead, factors, level, tensors)?;
        claim.parts.extend(scaled::beside_activations(&stem, tensors));
        Some(claim)
    }
}

/// Whether the shape of a tensor counts E2M1 floats and not bytes.
fn is_nibbles(tensor: &StoredTensor) -> bool {
    matches!(tensor.encoding, Encoding::Blocks(format) if format.name() == "F4")
}

/// The second level of NVFP4's factors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level<'a> {
    pub(super) found: Option<(usize, &'a StoredTensor)>,
    /// Whether factors are divided by it.
    pub(super) divides: bool,
}

/// The weight `name` of E2M1 floats in `lead`: NVFP4 with a second level of factors, else MXFP4. `None` when factors do
/// not stand for 16 or 32 floats each.
pub(super) fn claim(
    name: &str,
    lead: &StoredTensor,
    (scale, factors): (usize, &StoredTensor),
    level: Option<Level<'_>>,
    tensors: &Tensors<'_>,
) -> Option<Claim> {
    let (index, _) = tensors.get(&lead.name)?;
    let factor = scaled::factor_type(factors)?;
    let mut shape = lead.shape.clone();
    if is_nibbles(lead) {
        // Rows share no byte.
        shape.last().filter(|columns| columns.is_multiple_of(2))?;
    } else {
        let columns = shape.last_mut()?;
        *columns = columns.checked_mul(2)?;
    }
    let columns = *shape.last()?;
    let (scheme, size) = if level.is_some() { ("nvfp4", 16) } else { ("mxfp4", 32) };
    let grid = Grid::fit(&shape, &factors.shape, Some([1, size]), Habit::Groups)?;
    if grid.block() != [1, size] {
        return None;
    }
    let mut restore = Scaled::new(Codes::E2M1, Codes::E2M1.row_bytes(columns)?, grid, factor);
    let mut parts = vec![index, scale];
    let mut values = Ok(());
    if let Some(Level { found, divides }) = level {
        match found {
            Some((second, tensor)) => {
                restore.common = common(parts.len(), tensor, divides, &shape);
                if restore.common.is_none() {
                    values = Err(format!(
                        "its second factor has the type {} and the shape {:?}",
                        tensor.type_name, tensor.shape
                    ));
                }
                parts.push(second);
            }
            None => values = Err("the second factor of all its blocks is missing".to_owned()),
        }
    }
    Some(Claim {
        name: name.to_owned(),
        shape,
        orientation: Some(Orientation::OutIn),
        scheme: scheme.to_owned(),
        factor_block: Some(grid.block()),
        parts,
        values: values.map(|()| Box::new(restore) as Box<dyn Restore>),
    })
}

/// One number for all factors, or one for those of each matrix of a stack.
fn common(part: usize, tensor: &StoredTensor, divides: bool, shape: &[u64]) -> Option<Common> {
    let dtype = tensor.dtype().filter(|dtype| dtype.is_float())?;
    let is_by_matrix = match shape {
        _ if tensor.elements == 1 => false,
        [experts, _, _] if tensor.elements == *experts => true,
        _ => return None,
    };
    Some(Common { part, dtype, is_by_matrix, divides })
}
