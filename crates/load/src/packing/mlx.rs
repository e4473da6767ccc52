//! MLX: codes in 32-bit words, with scales and biases for groups along the rows.
//!
//! `weight` is `[.., out, in b / 32]`, codes of 2 to 8 bits in a little-endian stream; `scales` and `biases` are `[.., out,
//! in / g]`. Affine values are `code * scale + bias`; the modes mxfp4, mxfp8 and nvfp4 have floats for codes, bytes for
//! scales and no biases. Sources: MLX `mlx/backend/cpu/quantized.cpp`, `python/mlx/nn/layers/quantized.py`, mlx-lm
//! `utils.py` (overrides under the paths of modules).

use weightscope_core::{DType, Orientation, Value};

use super::codes::{Codes, Words};
use super::grid::{Grid, Habit};
use super::scaled::{self, Scaled};
use super::{Claim, Packing, Restore, Tensors};
use crate::container::StoredTensor;

/// The packing.
#[derive(Debug)]
pub(crate) struct Mlx;

impl Packing for Mlx {
    fn claim(&self, lead: &StoredTensor, tensors: &Tensors<'_>) -> Option<Claim> {
        let module = lead.name.strip_suffix(".weight")?;
        let (index, _) = tensors.get(&lead.name)?;
        let (scale, scales) = tensors.beside(module, "scales")?;
        let biases = tensors.beside(module, "biases");
        let (words, before) = lead.shape.split_last()?;
        let (groups, same) = scales.shape.split_last()?;
        let is_codes = lead.dtype() == Some(DType::U32) && (1..=2).contains(&before.len());
        if !is_codes || before != same || *groups == 0 {
            return None;
        }
        let kinds = kinds(scales, biases.map(|(_, biases)| biases))?;
        // Bits of a code times codes of a group.
        let product = words.checked_mul(32)?.checked_div(*groups);
        let product =
            product.filter(|product| product.checked_mul(*groups) == words.checked_mul(32));
        let fits = |kind: &Kind| kind.bits.checked_mul(kind.group) == product;
        let mut parts = vec![index, scale];
        parts.extend(biases.map(|(index, _)| index));
        let mut fitting = kinds.iter().filter(|kind| fits(kind));
        let kind = match named(module, tensors, &kinds).into_iter().find(fits) {
            Some(named) => named,
            // Nothing says it: where one answer alone fits, that is it.
            None => match (fitting.next(), fitting.next()) {
                (Some(one), None) => *one,
                (None, _) => return None,
                (Some(_), Some(_)) => return Some(unknown(lead, parts)),
            },
        };
        let columns = groups.checked_mul(kind.group)?;
        let shape = [before, &[columns]].concat();
        let grid = Grid::fit(&shape, &scales.shape, Some([1, kind.group]), Habit::Groups)?;
        let factor = kind.mode.scale_type().or_else(|| scaled::factor_type(scales))?;
        let codes = kind.codes()?;
        let mut restore = Scaled::new(codes, words.checked_mul(4)?, grid, factor);
        restore.offsets = match biases {
            Some((_, biases)) => Some((2, biases.dtype()?)),
            None => None,
        };
        Some(Claim {
            name: lead.name.clone(),
            shape,
            orientation: Some(Orientation::OutIn),
            scheme: kind.scheme(),
            factor_block: Some(grid.block()),
            parts,
            values: Ok(Box::new(restore) as Box<dyn Restore>),
        })
    }
}

/// How a weight is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    mode: Mode,
    bits: u64,
    group: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Affine,
    Mxfp4,
    Mxfp8,
    Nvfp4,
}

/// Widths and groups of affine codes.
const WIDTHS: [u64; 7] = [1, 2, 3, 4, 5, 6, 8];
const GROUPS: [u64; 3] = [32, 64, 128];

/// Those with bytes for scales: their names, bits and groups.
const FLOATS: [(&str, Kind); 3] = [
    ("mxfp4", Kind { mode: Mode::Mxfp4, bits: 4, group: 32 }),
    ("mxfp8", Kind { mode: Mode::Mxfp8, bits: 8, group: 32 }),
    ("nvfp4", Kind { mode: Mode::Nvfp4, bits: 4, group: 16 }),
];

impl Mode {
    /// What bytes of scales are read as.
    fn scale_type(self) -> Option<DType> {
        match self {
            Self::Affine => None,
            Self::Mxfp4 | Self::Mxfp8 => Some(DType::F8E8M0),
            Self::Nvfp4 => Some(DType::F8E4M3),
        }
    }
}

impl Kind {
    fn codes(self) -> Option<Codes> {
        Some(match self.mode {
            Mode::Affine => {
                let bits = u32::try_from(self.bits).ok()?;
                Codes::Bits { bits, layout: Words::Dense, offset: 0 }
            }
            Mode::Mxfp4 | Mode::Nvfp4 => Codes::E2M1,
            Mode::Mxfp8 => Codes::Plain(DType::F8E4M3),
        })
    }

    fn scheme(self) -> String {
        let Self { bits, group, .. } = self;
        match FLOATS.iter().find(|(_, kind)| *kind == self) {
            Some((name, _)) => format!("mlx {name}"),
            None => format!("mlx {bits}-bit g{group}"),
        }
    }
}

/// The kinds that the types and shapes of scales and biases allow.
fn kinds(scales: &StoredTensor, biases: Option<&StoredTensor>) -> Option<Vec<Kind>> {
    let dtype = scales.dtype()?;
    let Some(biases) = biases else {
        return (dtype == DType::U8).then(|| FLOATS.map(|(_, kind)| kind).to_vec());
    };
    let is_affine = dtype.is_float()
        && dtype.bits() >= 16
        && biases.dtype().is_some_and(|dtype| dtype.is_float() && dtype.bits() >= 16)
        && biases.shape == scales.shape;
    let affine = |bits| GROUPS.map(|group| Kind { mode: Mode::Affine, bits, group });
    is_affine.then(|| WIDTHS.into_iter().flat_map(affine).collect())
}

/// What the configuration says of a module, and of all.
fn named(module: &str, tensors: &Tensors<'_>, kinds: &[Kind]) -> Vec<Kind> {
    let all = tensors.quantization();
    let own = all.and_then(|all| all.get(module));
    let kind = |value: &Value| {
        let number = |key| value.get(key).and_then(Value::as_u64);
        let mode = value.get("mode").and_then(Value::as_str);
        let of_mode = FLOATS.iter().find(|(name, _)| mode == Some(name)).map(|(_, kind)| *kind);
        let affine = || {
            let (bits, group) = (number("bits").unwrap_or(4), number("group_size").unwrap_or(64));
            Some(Kind { mode: Mode::Affine, bits, group }).filter(|_| number("bits").is_some())
        };
        of_mode.or_else(affine)
    };
    let named = [own, all].into_iter().flatten().filter_map(kind);
    named.filter(|kind| kinds.contains(kind)).collect()
}

/// A weight of which nothing says how many bits its codes have.
fn unknown(lead: &StoredTensor, parts: Vec<usize>) -> Claim {
    let reason = "config.json does not say how many bits its codes have";
    Claim {
        name: lead.name.clone(),
        shape: lead.shape.clone(),
        orientation: None,
        scheme: "mlx".to_owned(),
        factor_block: None,
        parts,
        values: Err(reason.to_owned()),
    }
}
