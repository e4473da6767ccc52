//! compressed-tensors: integers in words or bytes, and E2M1 floats.
//!
//! Source: <https://github.com/vllm-project/compressed-tensors>, `compressors/pack_quantized`, `naive_quantized`, `nvfp4`,
//! `mxfp4`. Its 8-bit floats are those of [`super::scaled_floats`].

use weightscope_core::{DType, Orientation, Value};

use super::codes::{Codes, Words};
use super::fp4::{self, Level};
use super::grid::{Grid, Habit};
use super::scaled::{self, Scaled, Zeros};
use super::{Claim, Packing, Restore, Tensors};
use crate::container::StoredTensor;

/// The packing.
#[derive(Debug)]
pub(crate) struct CompressedTensors;

impl Packing for CompressedTensors {
    fn claim(&self, lead: &StoredTensor, tensors: &Tensors<'_>) -> Option<Claim> {
        if let Some(module) = lead.name.strip_suffix(".weight_packed") {
            return match lead.dtype()? {
                DType::I32 => packed_integers(module, lead, tensors),
                DType::U8 => packed_floats(module, lead, tensors),
                _ => None,
            };
        }
        let module = lead.name.strip_suffix(".weight")?;
        (lead.dtype()? == DType::I8).then(|| integers(module, lead, tensors))?
    }
}

/// What the configuration says of weights, a group of modules after the other.
fn schemes<'a>(tensors: &Tensors<'a>) -> impl Iterator<Item = &'a Value> {
    let groups = match tensors.quantization().and_then(|value| value.get("config_groups")) {
        Some(Value::Map(groups)) => Some(groups),
        _ => None,
    };
    groups.into_iter().flat_map(|groups| groups.values()).filter_map(|group| group.get("weights"))
}

/// The size of groups that the configuration speaks of for weights of so many bits.
fn group_size(tensors: &Tensors<'_>, bits: u32) -> Option<u64> {
    let mut of_bits = schemes(tensors)
        .filter(|scheme| scheme.get("num_bits").and_then(Value::as_u64) == Some(u64::from(bits)));
    of_bits.find_map(|scheme| scheme.get("group_size")?.as_u64())
}

fn grid(shape: &[u64], factors: &StoredTensor, bits: u32, tensors: &Tensors<'_>) -> Option<Grid> {
    let hint = group_size(tensors, bits).map(|size| [1, size]);
    Grid::fit(shape, &factors.shape, hint, Habit::Groups)
}

/// `int4 g128`, `int8 per channel`.
fn integer_scheme(bits: u32, grid: Grid, columns: u64) -> String {
    match grid.block() {
        [high, wide] if wide >= columns && high >= grid.matrix_rows() => {
            format!("int{bits} per tensor")
        }
        [1, wide] if wide >= columns => format!("int{bits} per channel"),
        [1, wide] => format!("int{bits} g{wide}"),
        [high, wide] => format!("int{bits} {high}x{wide}"),
    }
}

/// Integers of 1 to 8 bits in words, those of a row after each other.
fn packed_integers(module: &str, lead: &StoredTensor, tensors: &Tensors<'_>) -> Option<Claim> {
    let (index, _) = tensors.get(&lead.name)?;
    let (scale, factors) = tensors.beside(module, "weight_scale")?;
    let factor = scaled::factor_type(factors)?;
    let logical = tensors.beside(module, "weight_shape");
    let (bits, layout, shape) = match &logical {
        Some((_, tensor)) => {
            let shape = dimensions(tensor, lead, tensors)?;
            let (bits, layout) = width(*shape.last()?, lead, tensors)?;
            (bits, layout, shape)
        }
        None => unpacked(lead, tensors)?,
    };
    let columns = *shape.last()?;
    let grid = grid(&shape, factors, bits, tensors)?;
    let codes = Codes::Bits { bits, layout, offset: offset(bits) };
    let mut restore = Scaled::new(codes, codes.row_bytes(columns)?, grid, factor);
    let mut parts = vec![index, scale];
    let mut factor_block = Some(grid.block());
    let mut values = Ok(());
    if let Some((zero, zeros)) = tensors.beside(module, "weight_zero_point") {
        restore.zeros =
            zero_points(parts.len(), zeros, factors, grid, &shape, (bits, layouts(tensors)));
        if restore.zeros.is_none() {
            values = Err(format!("its zero points have the shape {:?}", zeros.shape));
        }
        parts.push(zero);
    }
    if let Some((order, groups)) = tensors.beside(module, "weight_g_idx") {
        match group_index(groups, columns, grid, tensors) {
            Some(Order::Of(columns)) => (restore.groups, factor_block) = (Some(columns), None),
            Some(Order::Plain) => {}
            None => values = Err("its group index names groups that do not exist".to_owned()),
        }
        parts.push(order);
    }
    parts.extend(logical.map(|(index, _)| index));
    parts.extend(scaled::beside_activations(&format!("{module}."), tensors));
    Some(Claim {
        name: format!("{module}.weight"),
        scheme: format!("compressed-tensors {}", integer_scheme(bits, grid, columns)),
        shape,
        orientation: Some(Orientation::OutIn),
        factor_block,
        parts,
        values: values.map(|()| Box::new(restore) as Box<dyn Restore>),
    })
}

/// The code that stands for zero.
fn offset(bits: u32) -> u8 {
    1u8.checked_shl(bits.saturating_sub(1)).unwrap_or(0)
}

/// The dimensions that `weight_shape` holds, if they may be those of the packed tensor.
fn dimensions(
    tensor: &StoredTensor,
    lead: &StoredTensor,
    tensors: &Tensors<'_>,
) -> Option<Vec<u64>> {
    let bytes = tensors.read(tensor).filter(|_| tensor.elements == lead.shape.len() as u64)?;
    let shape: Option<Vec<u64>> = match tensor.dtype()? {
        DType::I64 => {
            let numbers = bytes.as_chunks::<8>().0.iter();
            numbers.map(|bytes| u64::try_from(i64::from_le_bytes(*bytes)).ok()).collect()
        }
        DType::I32 => {
            let numbers = bytes.as_chunks::<4>().0.iter();
            numbers.map(|bytes| u64::try_from(i32::from_le_bytes(*bytes)).ok()).collect()
        }
        _ => None,
    };
    let shape = shape?;
    let (_, before) = shape.split_last()?;
    let (_, stored) = lead.shape.split_last()?;
    (before == stored && (2..=3).contains(&shape.len())).then_some(shape)
}

/// How codes of 3, 5, 6 and 7 bits lie in words: whole before version 0.17, then one after the other. Where the number
/// of words fits both, the version decides.
fn layouts(tensors: &Tensors<'_>) -> [Words; 2] {
    let version = tensors.quantization().and_then(|value| value.get("version")?.as_str());
    let mut numbers = version.unwrap_or("").split('.').map(|number| number.parse::<u64>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(0), Some(..17)) => [Words::Whole, Words::Dense],
        _ => [Words::Dense, Words::Whole],
    }
}

/// Bits of the codes and how they lie, when `columns` of them take the words that a row has: what the configuration
/// names first.
fn width(columns: u64, lead: &StoredTensor, tensors: &Tensors<'_>) -> Option<(u32, Words)> {
    let words = *lead.shape.last()?;
    let layouts = layouts(tensors);
    let fits = |bits: u32| {
        let mut layouts = layouts.into_iter();
        let layout = layouts.find(|layout| layout.needed(columns, bits) == Some(words))?;
        Some((bits, layout))
    };
    let named = schemes(tensors).filter_map(|scheme| scheme.get("num_bits")?.as_u64());
    let mut named =
        named.filter_map(|bits| u32::try_from(bits).ok()).filter(|b| (1..=8).contains(b));
    if let Some(found) = named.find_map(fits) {
        return Some(found);
    }
    let mut any = (1..=8).filter_map(fits);
    any.next().filter(|_| any.next().is_none())
}

/// Bits, layout and shape without `weight_shape`: words are full.
fn unpacked(lead: &StoredTensor, tensors: &Tensors<'_>) -> Option<(u32, Words, Vec<u64>)> {
    let named = schemes(tensors).find_map(|scheme| scheme.get("num_bits")?.as_u64())?;
    let bits = u32::try_from(named).ok().filter(|bits| [1, 2, 4, 8].contains(bits))?;
    let mut shape = lead.shape.clone();
    let columns = shape.last_mut()?;
    *columns = columns.checked_mul(u64::from(32u32.checked_div(bits)?))?;
    (2..=3).contains(&shape.len()).then_some((bits, Words::Dense, shape))
}

/// How zero points are stored: packed along the rows as codes are along the columns, or plain.
fn zero_points(
    part: usize,
    zeros: &StoredTensor,
    factors: &StoredTensor,
    grid: Grid,
    shape: &[u64],
    (bits, layouts): (u32, [Words; 2]),
) -> Option<Zeros> {
    let dtype = zeros.dtype()?;
    if dtype != DType::I32 {
        let is_small = matches!(dtype, DType::I8 | DType::U8) || dtype.is_float();
        return (is_small && zeros.elements == factors.elements)
            .then_some(Zeros::Plain(part, dtype));
    }
    let (across, before) =
        zeros.shape.split_last().filter(|(across, _)| **across == grid.across())?;
    let (words, stacks) = before.split_last().filter(|_| *across > 0)?;
    let (_, shape) = shape.split_last()?;
    let (rows, of) = shape.split_last()?;
    let layout = layouts.into_iter().find(|l| l.needed(*rows, bits) == Some(*words))?;
    let fits = grid.is_by_row() && stacks == of;
    fits.then_some(Zeros::Packed { part, bits, layout, offset: offset(bits), words: *words })
}

/// What a group index says.
enum Order {
    /// What the columns say themselves.
    Plain,
    /// The group of each column.
    Of(Box<[u32]>),
}

/// `None` when it does not fit.
fn group_index(
    tensor: &StoredTensor,
    columns: u64,
    grid: Grid,
    tensors: &Tensors<'_>,
) -> Option<Order> {
    let is_index = tensor.dtype() == Some(DType::I32) && tensor.elements == columns;
    let bytes = tensors.read(tensor).filter(|_| is_index)?;
    let numbers = || bytes.as_chunks::<4>().0.iter().map(|bytes| i32::from_le_bytes(*bytes));
    // -1 stands for none.
    if numbers().all(|group| group == -1) {
        return Some(Order::Plain);
    }
    let [_, wide] = grid.block();
    let in_order = (0u64..).map(|column| column.checked_div(wide));
    if numbers().zip(in_order).all(|(group, plain)| u64::try_from(group).ok() == plain) {
        return Some(Order::Plain);
    }
    let group = |group: i32| u32::try_from(group).ok().filter(|g| u64::from(*g) < grid.across());
    numbers().map(group).collect::<Option<Box<[u32]>>>().map(Order::Of)
}

/// Two E2M1 floats to a byte: NVFP4 with a second level that divides, or MXFP4.
fn packed_floats(module: &str, lead: &StoredTensor, tensors: &Tensors<'_>) -> Option<Claim> {
    let (scale, factors) = tensors.beside(module, "weight_scale")?;
    let level = match factors.dtype()? {
        DType::F8E4M3 => {
            Some(Level { found: tensors.beside(module, "weight_global_scale"), divides: true })
        }
        _ => None,
    };
    fp4::claim(&format!("{module}.weight"), lead, (scale, factors), level, tensors)
}

/// Plain integers of 8 bits.
fn integers(module: &str, lead: &StoredTensor, tensors: &Tensors<'_>) -> Option<Claim> {
    let (index, _) = tensors.get(&lead.name)?;
    let (scale, factors) = tensors.beside(module, "weight_scale")?;
    let factor = scaled::factor_type(factors).filter(|factor| *factor != DType::F8E8M0)?;
    let grid = grid(&lead.shape, factors, 8, tensors)?;
    let columns = *lead.shape.last()?;
    let codes = Codes::Plain(DType::I8);
    let mut restore = Scaled::new(codes, codes.row_bytes(columns)?, grid, factor);
    let mut parts = vec![index, scale];
    let mut values = Ok(());
    if let Some((zero, zeros)) = tensors.beside(module, "weight_zero_point") {
        restore.zeros =
            zero_points(parts.len(), zeros, factors, grid, &lead.shape, (8, layouts(tensors)))
                .filter(|zeros| matches!(zeros, Zeros::Plain(..)));
        if restore.zeros.is_none() {
            values = Err(format!("its zero points have the shape {:?}", zeros.shape));
        }
        parts.push(zero);
    }
    // Another tool's integers: what its offsets mean is not known here.
    if tensors.beside(module, "weight_offset").is_some() {
        values = Err("weight_offset is not known to this program".to_owned());
    }
    parts.extend(scaled::beside_activations(&format!("{module}."), tensors));
    let tool =
        if tensors.method() == Some("compressed-tensors") { "compressed-tensors " } else { "" };
    Some(Claim {
        name: lead.name.clone(),
        shape: lead.shape.clone(),
        orientation: Some(Orientation::OutIn),
        scheme: format!("{tool}{}", integer_scheme(8, grid, columns)),
        factor_block: Some(grid.block()),
        parts,
        values: values.map(|()| Box::new(restore) as Box<dyn Restore>),
    })
}
