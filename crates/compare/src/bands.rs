//! Reading both of a pair side by side, B's lines in whatever arrangement they are held against A's.

use weightscope_core::{AnalyzeError, Axis, Unit, WeightView};

/// Values of a weight that are looked at together, unless one line is longer.
const BAND_VALUES: u64 = 64 * 1024;

/// Where the lines of A are in B.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Arrangement {
    /// Whether it is the transposed B that is held against A; of square matrices alone.
    pub(crate) turned: bool,
    /// For every row of A, and every column, its place in B (turned, if so); `None` where all are in their own.
    pub(crate) orders: [Option<Vec<u32>>; 2],
}

impl Arrangement {
    /// Rows, or columns, in another order.
    pub(crate) fn permuted(turned: bool, axis: usize, order: Vec<u32>) -> Self {
        let mut arrangement = Self { turned, ..Self::default() };
        if let Some(slot) = arrangement.orders.get_mut(axis) {
            *slot = Some(order);
        }
        arrangement
    }

    /// Lines that are in another place.
    pub(crate) fn moved(&self) -> u64 {
        let of =
            |order: &Vec<u32>| order.iter().zip(0..).filter(|(to, from)| **to != *from).count();
        self.orders.iter().flatten().map(|order| of(order) as u64).sum()
    }

    /// The lines that are read: rows, unless single rows of B would have to be gathered from all over its file.
    pub(crate) fn along(&self, tuned: &WeightView<'_>) -> Axis {
        let is_strided = self.turned != tuned.weight().transposed;
        match &self.orders {
            [Some(_), None] if is_strided => Axis::Columns,
            _ => Axis::Rows,
        }
    }
}

/// Bytes of scratch for a weight of this size.
pub(crate) fn scratch([rows, columns]: [u64; 2]) -> u64 {
    BAND_VALUES.max(rows).max(columns).saturating_mul(24)
}

/// Calls `visit` with bands of lines of A and the lines of B that belong beside them, in A's order and of A's length,
/// and that length. The lines are those of [`Arrangement::along`].
///
/// # Errors
/// When the bytes cannot be read or decoded, or the run is stopped.
pub(crate) fn each_band(
    unit: &Unit<'_>,
    [base, tuned]: [&WeightView<'_>; 2],
    arrangement: &Arrangement,
    mut visit: impl FnMut(&[f64], &[f64], usize),
) -> Result<(), AnalyzeError> {
    let [rows, columns] = base.size();
    let along = arrangement.along(tuned);
    let [of_rows, of_columns] = &arrangement.orders;
    let (count, length, of_lines, within) = match along {
        Axis::Rows => (rows, columns, of_rows, of_columns),
        Axis::Columns => (columns, rows, of_columns, of_rows),
    };
    if length == 0 {
        return Ok(());
    }
    let of_tuned = match (along, arrangement.turned) {
        (Axis::Rows, false) | (Axis::Columns, true) => Axis::Rows,
        (Axis::Rows, true) | (Axis::Columns, false) => Axis::Columns,
    };
    let height = (BAND_VALUES / length).clamp(1, count.max(1));
    let (mut a, mut b, mut read) = (Vec::new(), Vec::new(), Vec::new());
    for first in (0..count).step_by(height as usize) {
        unit.advance(0.0)?;
        let band = first..count.min(first + height);
        let size = ((band.end - band.start) * length) as usize;
        a.resize(size, 0.0f64);
        b.resize(size, 0.0f64);
        base.panel(along, band.clone(), &mut a)?;
        match of_lines {
            None => tuned.panel(of_tuned, band, &mut b)?,
            Some(order) => {
                let places = order.get(band.start as usize..band.end as usize).unwrap_or_default();
                for (line, place) in b.chunks_exact_mut(length as usize).zip(places) {
                    let place = u64::from(*place);
                    tuned.panel(of_tuned, place..place + 1, line)?;
                }
            }
        }
        if let Some(order) = within {
            read.clone_from(&b);
            let lines = b.chunks_exact_mut(length as usize).zip(read.chunks_exact(length as usize));
            for (line, own) in lines {
                for (value, place) in line.iter_mut().zip(order) {
                    *value = own.get(*place as usize).copied().unwrap_or(0.0);
                }
            }
        }
        visit(&a, &b, length as usize);
    }
    Ok(())
}
