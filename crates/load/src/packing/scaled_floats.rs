//! 8-bit floats with factors beside them, one for a tensor, an output channel or a block.
//!
//! Whatever the factors are called, also `inv`, they are multiplied with. They are floats of any type, or bytes that
//! are exponents of two. Sources: transformers `integrations/finegrained_fp8.py` and `fbgemm_fp8.py`,
//! compressed-tensors `float-quantized` and `mxfp8-quantized`, mistral's `consolidated.safetensors`, modelopt's FP8.

use weightscope_core::{DType, Value};

use super::codes::Codes;
use super::grid::{Grid, Habit};
use super::scaled::{self, Scaled};
use super::{Claim, Packing, Tensors};
use crate::container::StoredTensor;

/// Factors' names after the module and a dot, most telling first.
const OF_MODULE: &[&str] =
    &["weight_scale_inv", "weight_scale", "scale", "qscale_weight", "scale_weight"];
/// After the name of a tensor that is no module's `weight`: of experts in one tensor.
const OF_TENSOR: &[&str] = &["_scale_inv", "_scale", "_weight_scale_inv", "_weight_scale"];

/// The packing.
#[derive(Debug)]
pub(crate) struct ScaledFloats;

impl Packing for ScaledFloats {
    fn claim(&self, lead: &StoredTensor, tensors: &Tensors<'_>) -> Option<Claim> {
        let dtype = lead
            .dtype()
            .filter(|dtype| dtype.is_float() && dtype.bits() == 8 && *dtype != DType::F8E8M0)?;
        let (index, _) = tensors.get(&lead.name)?;
        let (stem, (factor, factors)) = factors_of(&lead.name, tensors)?;
        let factor_type = scaled::factor_type(factors)?;
        let grid = grid_of(lead, factors, tensors)?;
        let columns = *lead.shape.last()?;
        let codes = Codes::Plain(dtype);
        let restore = Scaled::new(codes, codes.row_bytes(columns)?, grid, factor_type);
        let mut parts = vec![index, factor];
        parts.extend(scaled::beside_activations(&stem, tensors));
        Some(Claim {
            name: lead.name.clone(),
            shape: lead.shape.clone(),
            orientation: lead.orientation,
            scheme: scheme(dtype, factor_type, grid, columns, blocks_of(lead, factors, tensors)),
            factor_block: Some(grid.block()),
            parts,
            values: Ok(Box::new(restore)),
        })
    }
}

/// The factors beside a tensor, and what side tensors of activations begin with.
fn factors_of<'a>(
    name: &str,
    tensors: &Tensors<'a>,
) -> Option<(String, (usize, &'a StoredTensor))> {
    if let Some(module) = name.strip_suffix(".weight") {
        let found = OF_MODULE.iter().find_map(|last| tensors.beside(module, last))?;
        return Some((format!("{module}."), found));
    }
    let found = OF_TENSOR.iter().find_map(|end| tensors.get(&format!("{name}{end}")))?;
    Some((format!("{name}_"), found))
}

fn grid_of(lead: &StoredTensor, factors: &StoredTensor, tensors: &Tensors<'_>) -> Option<Grid> {
    // fbgemm keeps experts `[in, out]` and has a factor for each output, `[experts, out, 1]` of the second map.
    if let ([experts, rows, columns], [of, out, 1]) = (&*lead.shape, &*factors.shape)
        && tensors.method() == Some("fbgemm_fp8")
        && (experts, columns) == (of, out)
        && factors.elements > 0
    {
        return Some(Grid::by_column([*experts, *rows, *columns]));
    }
    let hint = tensors.quantization().and_then(block_size);
    Grid::fit(&lead.shape, &factors.shape, hint, Habit::Blocks)
}

/// The blocks of the configuration: `weight_block_size`, or compressed-tensors' `block_structure`.
fn block_size(quantization: &Value) -> Option<[u64; 2]> {
    let pair = |value: &Value| {
        let Value::List(pair) = value else { return None };
        let [high, wide] = pair.as_slice() else { return None };
        Some([high.as_u64()?, wide.as_u64()?])
    };
    if let Some(size) = quantization.get("weight_block_size").and_then(pair) {
        return Some(size);
    }
    let Value::Map(groups) = quantization.get("config_groups")? else { return None };
    groups.values().find_map(|group| pair(group.get("weights")?.get("block_structure")?))
}

/// The configured blocks, when there are as many factors as they need: a small matrix may be one block.
fn blocks_of(
    lead: &StoredTensor,
    factors: &StoredTensor,
    tensors: &Tensors<'_>,
) -> Option<[u64; 2]> {
    let [high, wide] = tensors.quantization().and_then(block_size)?;
    let ([.., rows, columns], [.., down, across]) = (&*lead.shape, &*factors.shape) else {
        return None;
    };
    let fits =
        high > 0 && wide > 0 && rows.div_ceil(high) == *down && columns.div_ceil(wide) == *across;
    fits.then_some([high, wide])
}

fn scheme(
    dtype: DType,
    factor: DType,
    grid: Grid,
    columns: u64,
    blocks: Option<[u64; 2]>,
) -> String {
    let kind = match dtype {
        DType::F8E5M2 | DType::F8E5M2Fnuz => "fp8 e5m2",
        _ => "fp8",
    };
    match (grid.block(), blocks) {
        ([1, 32], _) if factor == DType::F8E8M0 => "mxfp8".to_owned(),
        ([high, wide], None) if high >= grid.matrix_rows() && wide >= columns => {
            format!("{kind} per tensor")
        }
        ([1, wide], None) if wide >= columns => format!("{kind} per channel"),
        ([high, 1], None) if high >= grid.matrix_rows() => format!("{kind} per channel"),
        (_, Some([high, wide])) | ([high, wide], None) => format!("{kind} {high}x{wide}"),
    }
}
