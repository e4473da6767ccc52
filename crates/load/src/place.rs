//! Where the values of an entry come from, and how a range of them is read.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use weightscope_codec::BlockFormat;
use weightscope_core::{DType, SourceError, StoredForm, TensorEntry};

use crate::container::{Encoding, StoredTensor};
use crate::files::Files;
use crate::packing::{self, Claim, Parts, Restore, RestoreError, Tile};

/// Where the values of an entry come from.
#[derive(Debug)]
pub(crate) enum Place {
    /// A stored tensor, by index.
    Stored(usize),
    /// Several, which a packing restores it from.
    Packed {
        /// Indices of the stored tensors.
        parts: Vec<usize>,
        restore: Box<dyn Restore>,
        /// Columns of the entry seen as a matrix.
        columns: u64,
    },
    /// They cannot be had.
    Nowhere,
}

/// What stands for the type of an entry whose codes are not decoded.
const CODES: &str = "codes";

/// One entry for each stored tensor that stands alone and each claim.
pub(crate) fn entries(
    stored: &[StoredTensor],
    mut claims: HashMap<usize, Claim>,
) -> (Vec<TensorEntry>, Vec<Place>) {
    let leads: HashSet<usize> = claims.keys().copied().collect();
    let parts: HashSet<usize> =
        claims.values().flat_map(|claim| claim.parts.iter().copied()).collect();
    let mut entries = Vec::with_capacity(stored.len());
    let mut places = Vec::with_capacity(stored.len());
    for (index, tensor) in stored.iter().enumerate() {
        let (entry, place) = match claims.remove(&index) {
            Some(claim) => of_claim(claim, tensor, stored),
            None if parts.contains(&index) && !leads.contains(&index) => continue,
            None => alone(index, tensor),
        };
        entries.push(entry);
        places.push(place);
    }
    (entries, places)
}

/// The entry of several stored tensors.
fn of_claim(claim: Claim, lead: &StoredTensor, stored: &[StoredTensor]) -> (TensorEntry, Place) {
    let parts = || claim.parts.iter().filter_map(|part| stored.get(*part));
    let (dtype, unreadable, restore) = match claim.values {
        Ok(restore) => (Some(DType::F32), None, Some(restore)),
        Err(reason) => (None, Some(reason), None),
    };
    let form = StoredForm {
        scheme: claim.scheme.clone(),
        parts: parts().map(|part| part.name.clone()).collect(),
        factor_block: claim.factor_block,
        unreadable,
    };
    let entry = TensorEntry {
        name: claim.name,
        dtype,
        dtype_name: dtype.map_or(CODES, DType::name).to_owned(),
        elements: weightscope_core::element_count(&claim.shape).unwrap_or(0),
        bytes: parts().fold(0, |sum: u64, part| sum.saturating_add(part.bytes)),
        file: lead.file,
        orientation: claim.orientation,
        stored: Some(Box::new(form)),
        shape: claim.shape,
    };
    let columns = entry.shape.last().copied().unwrap_or(1);
    let place = restore.map_or(Place::Nowhere, |restore| Place::Packed {
        parts: claim.parts,
        restore,
        columns,
    });
    (entry, place)
}

/// The entry of a stored tensor that stands alone.
fn alone(index: usize, tensor: &StoredTensor) -> (TensorEntry, Place) {
    let form = |scheme: &str, factor_block, unreadable| {
        Some(Box::new(StoredForm {
            scheme: scheme.to_owned(),
            parts: vec![tensor.name.clone()],
            factor_block,
            unreadable,
        }))
    };
    let (dtype, stored) = match tensor.encoding {
        Encoding::Plain(_) if packing::is_bare_codes(tensor) => {
            let reason = format!("codes of type {} without what decodes them", tensor.type_name);
            (None, form(&tensor.type_name, None, Some(reason)))
        }
        Encoding::Plain(dtype) if dtype.name() == tensor.type_name => (Some(dtype), None),
        Encoding::Plain(dtype) => (Some(dtype), form(&tensor.type_name, None, None)),
        Encoding::Blocks(format) => {
            let block = [1, format.values() as u64];
            (Some(DType::F32), form(&tensor.type_name, Some(block), None))
        }
        Encoding::Unknown => (None, None),
    };
    let is_codes = stored.as_ref().is_some_and(|form| form.unreadable.is_some());
    let dtype_name = match dtype {
        Some(dtype) => dtype.name(),
        None if is_codes => CODES,
        None => &tensor.type_name,
    };
    let entry = TensorEntry {
        name: tensor.name.clone(),
        dtype,
        dtype_name: dtype_name.to_owned(),
        shape: tensor.shape.clone(),
        elements: tensor.elements,
        bytes: tensor.bytes,
        file: tensor.file,
        orientation: tensor.orientation,
        stored,
    };
    let place = if dtype.is_some() { Place::Stored(index) } else { Place::Nowhere };
    (entry, place)
}

/// Reads one entry.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) entry: &'a TensorEntry,
    pub(crate) place: &'a Place,
    pub(crate) stored: &'a [StoredTensor],
    pub(crate) files: &'a Files,
}

/// What is asked of the elements of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Values,
    Rounding,
}

impl Reader<'_> {
    /// Fills `into` with the bytes of the served elements from byte `start` on. The caller has checked the range.
    pub(crate) fn bytes(&self, start: u64, into: &mut [u8]) -> Result<(), SourceError> {
        match self.place {
            Place::Stored(index) => {
                let tensor = self.tensor(*index)?;
                match (tensor.encoding, tensor.row_order) {
                    (Encoding::Plain(_), None) => self.files.read(tensor, start, into),
                    (Encoding::Plain(dtype), Some(_)) => {
                        self.plain_rows(tensor, dtype.bytes() as u64, start, into)
                    }
                    (Encoding::Blocks(_), _) => self.decoded(start, into),
                    (Encoding::Unknown, _) => Err(self.broken("unknown element type".to_owned())),
                }
            }
            Place::Packed { .. } => self.decoded(start, into),
            Place::Nowhere => Err(self.broken("its values cannot be read".to_owned())),
        }
    }

    /// Rounding errors of the elements `range`, which the caller has checked.
    pub(crate) fn rounding(&self, range: Range<u64>, into: &mut [f32]) -> Result<(), SourceError> {
        self.ask(Ask::Rounding, range, into)
    }

    fn tensor(&self, index: usize) -> Result<&StoredTensor, SourceError> {
        self.stored.get(index).ok_or_else(|| self.broken("there is no such part".to_owned()))
    }

    fn broken(&self, reason: String) -> SourceError {
        SourceError::Broken { tensor: self.entry.name.clone(), reason }
    }

    fn fault(&self, error: RestoreError) -> SourceError {
        match error {
            RestoreError::Source(error) => error,
            RestoreError::Broken(reason) => self.broken(reason),
        }
    }

    /// Bytes of plain elements whose rows lie in another order.
    fn plain_rows(
        &self,
        tensor: &StoredTensor,
        width: u64,
        start: u64,
        into: &mut [u8],
    ) -> Result<(), SourceError> {
        let [_, columns] = tensor.matrix();
        let line = columns.saturating_mul(width).max(1);
        let mut start = start;
        let mut rest = into;
        while !rest.is_empty() {
            let (row, within) =
                (start.checked_div(line).unwrap_or(0), start.checked_rem(line).unwrap_or(0));
            let left = usize::try_from(line.saturating_sub(within)).unwrap_or(usize::MAX);
            let (piece, after) = rest.split_at_mut(left.min(rest.len()));
            let stored = tensor.row_order.map_or(row, |order| order.stored(row));
            let place = stored.saturating_mul(line).saturating_add(within);
            self.files.read(tensor, place, piece)?;
            start = start.saturating_add(piece.len() as u64);
            rest = after;
        }
        Ok(())
    }

    /// Bytes of decoded `f32`.
    fn decoded(&self, start: u64, into: &mut [u8]) -> Result<(), SourceError> {
        // Ranges begin and end at elements unless somebody looks at single bytes.
        let end = start.saturating_add(into.len() as u64);
        let (first, last) = (start.checked_div(4).unwrap_or(0), end.div_ceil(4));
        let count = usize::try_from(last.saturating_sub(first)).unwrap_or(usize::MAX);
        let mut values = vec![0.0f32; count];
        self.ask(Ask::Values, first..last, &mut values)?;
        let skip = usize::try_from(start.checked_rem(4).unwrap_or(0)).unwrap_or(0);
        if skip == 0 && into.len().is_multiple_of(4) {
            for (bytes, value) in into.chunks_exact_mut(4).zip(&values) {
                bytes.copy_from_slice(&value.to_le_bytes());
            }
        } else {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).skip(skip);
            for (byte, value) in into.iter_mut().zip(bytes) {
                *byte = value;
            }
        }
        Ok(())
    }

    fn ask(&self, ask: Ask, range: Range<u64>, into: &mut [f32]) -> Result<(), SourceError> {
        match self.place {
            Place::Stored(index) => {
                let tensor = self.tensor(*index)?;
                match tensor.encoding {
                    Encoding::Blocks(format) => {
                        let result = self.blocks(ask, tensor, format, range, into);
                        result.map_err(|error| self.fault(error))
                    }
                    Encoding::Plain(dtype) if ask == Ask::Rounding => {
                        self.plain_rounding(tensor, dtype, &range, into)
                    }
                    Encoding::Plain(_) | Encoding::Unknown => {
                        Err(self.broken("is not stored in blocks".to_owned()))
                    }
                }
            }
            Place::Packed { parts, restore, columns } => {
                let parts = Parts::new(self.files, self.stored, parts);
                for (tile, into) in tiles(range, *columns, into) {
                    let done = match ask {
                        Ask::Values => restore.values(&tile, &parts, into),
                        Ask::Rounding => restore.rounding(&tile, &parts, into),
                    };
                    done.map_err(|error| self.fault(error))?;
                }
                Ok(())
            }
            Place::Nowhere => Err(self.broken("its values cannot be read".to_owned())),
        }
    }

    /// Rounding errors of plain elements.
    fn plain_rounding(
        &self,
        tensor: &StoredTensor,
        dtype: DType,
        range: &Range<u64>,
        into: &mut [f32],
    ) -> Result<(), SourceError> {
        let width = dtype.bytes();
        let mut bytes = vec![0; into.len().saturating_mul(width)];
        let start = range.start.saturating_mul(width as u64);
        self.files.read(tensor, start, &mut bytes)?;
        weightscope_codec::decode_f32(dtype, &bytes, into)
            .map_err(|error| self.broken(error.to_string()))?;
        for value in into {
            *value = packing::float_rounding(dtype, *value);
        }
        Ok(())
    }

    /// Elements of a tensor of blocks: in one piece, or row by row where rows lie in another order.
    fn blocks(
        &self,
        ask: Ask,
        tensor: &StoredTensor,
        format: &BlockFormat,
        range: Range<u64>,
        into: &mut [f32],
    ) -> Result<(), RestoreError> {
        let Some(order) = tensor.row_order else {
            return self.block_run(ask, tensor, format, range.start, into);
        };
        let [_, columns] = tensor.matrix();
        for (tile, into) in tiles(range, columns, into) {
            let width = tile.width().max(1);
            for (row, line) in tile.rows.clone().zip(into.chunks_mut(width)) {
                let start = order.stored(row).saturating_mul(columns);
                let start = start.saturating_add(tile.columns.start);
                self.block_run(ask, tensor, format, start, line)?;
            }
        }
        Ok(())
    }

    /// Elements that lie one after the other from the stored element `start` on.
    fn block_run(
        &self,
        ask: Ask,
        tensor: &StoredTensor,
        format: &BlockFormat,
        start: u64,
        into: &mut [f32],
    ) -> Result<(), RestoreError> {
        let (values, size) = (format.values() as u64, format.bytes() as u64);
        let end = start.saturating_add(into.len() as u64);
        let first = start.checked_div(values).unwrap_or(0);
        let count = end.div_ceil(values.max(1)).saturating_sub(first);
        let length = usize::try_from(count.saturating_mul(size)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length];
        self.files.read(tensor, first.saturating_mul(size), &mut bytes)?;
        let skip = start.saturating_sub(first.saturating_mul(values));
        let mut skip = usize::try_from(skip).unwrap_or(usize::MAX);
        if ask == Ask::Values {
            return Ok(format.decode_part(&bytes, skip, into)?);
        }
        let mut rest = into;
        for block in bytes.chunks_exact(format.bytes().max(1)) {
            #[expect(clippy::cast_possible_truncation, reason = "an estimate")]
            let error = (format.rounding_energy(block) / format.values() as f64).sqrt() as f32;
            let count = format.values().saturating_sub(skip).min(rest.len());
            let (now, after) = rest.split_at_mut(count);
            now.fill(error);
            (rest, skip) = (after, 0);
        }
        Ok(())
    }
}

/// Cuts a range of elements of a matrix into the rest of a row, whole rows, and the beginning of one.
fn tiles(range: Range<u64>, columns: u64, into: &mut [f32]) -> Vec<(Tile, &mut [f32])> {
    let columns = columns.max(1);
    let mut tiles = Vec::new();
    let (mut start, mut rest) = (range.start, into);
    while start < range.end && !rest.is_empty() {
        let (row, within) =
            (start.checked_div(columns).unwrap_or(0), start.checked_rem(columns).unwrap_or(0));
        let left = range.end.saturating_sub(start);
        let whole = left.checked_div(columns).unwrap_or(0);
        let (tile, count) = if within == 0 && whole > 0 {
            let tile = Tile { rows: row..row.saturating_add(whole), columns: 0..columns };
            (tile, whole.saturating_mul(columns))
        } else {
            let end = columns.min(within.saturating_add(left));
            let tile = Tile { rows: row..row.saturating_add(1), columns: within..end };
            (tile, end.saturating_sub(within))
        };
        let length = usize::try_from(count).unwrap_or(usize::MAX).min(rest.len());
        let (piece, after) = rest.split_at_mut(length);
        tiles.push((tile, piece));
        (start, rest) = (start.saturating_add(count), after);
    }
    tiles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_at_rows() {
        let check = |range: Range<u64>, columns, expected: &[(Range<u64>, Range<u64>)]| {
            let mut into = vec![0.0; (range.end - range.start) as usize];
            let found = tiles(range, columns, &mut into);
            let lengths: usize = found.iter().map(|(_, piece)| piece.len()).sum();
            let cut: Vec<_> =
                found.iter().map(|(tile, _)| (tile.rows.clone(), tile.columns.clone())).collect();
            assert_eq!(cut, expected);
            assert_eq!(lengths, into.len());
        };
        check(0..12, 4, &[(0..3, 0..4)]);
        check(2..12, 4, &[(0..1, 2..4), (1..3, 0..4)]);
        check(5..7, 4, &[(1..2, 1..3)]);
        check(3..9, 4, &[(0..1, 3..4), (1..2, 0..4), (2..3, 0..1)]);
        check(3..3, 4, &[]);
    }
}
