//! gpt-oss: the experts of a block in one tensor of MXFP4, `<x>_blocks` with 16 bytes for each of `<x>_scales`.
//!
//! Blocks are `[experts, out, in / 32, 16]`, the first of two floats low; rows of gate and up alternate. transformers
//! holds `<x>` as `[experts, in, out]`; it is restored here as it is stored. Source: transformers
//! `integrations/mxfp4.py`, gpt-oss `gpt_oss/torch/weights.py`.

use weightscope_core::{DType, Orientation};

use super::codes::Codes;
use super::grid::{Grid, Habit};
use super::scaled::{self, Scaled};
use super::{Claim, Packing, Tensors};
use crate::container::StoredTensor;

/// The packing.
#[derive(Debug)]
pub(crate) struct GptOss;

/// Bytes of a block, and floats in it.
const BLOCK: [u64; 2] = [16, 32];

impl Packing for GptOss {
    fn claim(&self, lead: &StoredTensor, tensors: &Tensors<'_>) -> Option<Claim> {
        // OpenAI's own files have a dot.
        let ends = [("_blocks", "_scales"), (".blocks", ".scales")];
        let (name, scales) = ends.iter().find_map(|(blocks, scales)| {
            let name = lead.name.strip_suffix(blocks)?;
            Some((name, format!("{name}{scales}")))
        })?;
        let (index, _) = tensors.get(&lead.name)?;
        let (scale, factors) = tensors.get(&scales)?;
        let factor = scaled::factor_type(factors).filter(|dtype| *dtype == DType::F8E8M0)?;
        let ([bytes, floats], [before @ .., stored]) = (BLOCK, &*lead.shape) else { return None };
        if lead.dtype() != Some(DType::U8) || *stored != bytes || before != &*factors.shape {
            return None;
        }
        let (blocks, before) = before.split_last()?;
        let columns = blocks.checked_mul(floats)?;
        let shape = [before, &[columns]].concat();
        let grid = Grid::fit(&shape, &factors.shape, Some([1, floats]), Habit::Groups)?;
        let restore = Scaled::new(Codes::E2M1, Codes::E2M1.row_bytes(columns)?, grid, factor);
        Some(Claim {
            name: name.to_owned(),
            shape,
            orientation: Some(Orientation::OutIn),
            scheme: "mxfp4".to_owned(),
            factor_block: Some(grid.block()),
            parts: vec![index, scale],
            values: Ok(Box::new(restore)),
        })
    }
}
