//! Which factor belongs to which value: one for a tensor, a row, a block of rows and columns, in each matrix of a stack.

use weightscope_core::element_count;

use super::Tile;

/// Factors in rows of `across`, `down` rows of them for each matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    /// Rows of one matrix.
    rows: u64,
    /// Rows and columns that share a factor; the last block of a matrix may be shorter.
    block: [u64; 2],
    /// Rows and columns of factors of one matrix.
    counts: [u64; 2],
}

/// How to read the size of blocks off their number, where a short last block hides it and no configuration tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Habit {
    /// 128, as 8-bit floats have it.
    Blocks,
    /// What divides the length.
    Groups,
}

impl Grid {
    /// The grid of factors of shape `factors` for weights of shape `shape`; `None` when they do not fit. `hint` is the
    /// block that the configuration speaks of.
    ///
    /// Fits are: one factor; one for each output (the first of two dimensions or the second of three, or the first of a
    /// convolution); one for each matrix of a stack; as many dimensions as the weights, with a factor for each block.
    pub(super) fn fit(
        shape: &[u64],
        factors: &[u64],
        hint: Option<[u64; 2]>,
        habit: Habit,
    ) -> Option<Self> {
        let (columns, before) = shape.split_last()?;
        let (columns, all) = (*columns, element_count(before)?);
        let count = element_count(factors).filter(|count| *count > 0)?;
        if columns == 0 || all == 0 {
            return None;
        }
        let rows = if shape.len() == 3 { *before.last()? } else { all };
        let channel = |rows| Self { rows, block: [1, columns], counts: [rows, 1] };
        let whole = |rows| Self { rows, block: [rows, columns], counts: [1, 1] };
        let factors = match (factors, shape) {
            // Blocks that keep their own dimensions.
            ([down, 1, across, 1], [_, _]) => &[*down, *across][..],
            _ => factors,
        };
        let blocks = |down, across| {
            let [high, wide] = hint.map_or([None; 2], |hint| hint.map(Some));
            let high = side(rows, down, high, habit)?;
            // One for a row is no block, whatever the configuration says.
            let wide = if (high, across) == (1, 1) { None } else { wide };
            let block = [high, side(columns, across, wide, habit)?];
            Some(Self { rows, block, counts: [down, across] })
        };
        match (factors, shape) {
            _ if count == 1 => Some(whole(all)),
            (_, [_, _] | [_, _, _]) if factors == before => Some(channel(rows)),
            ([down, across], [_, _]) => blocks(*down, *across),
            ([experts, down, across], [of, _, _]) if experts == of => blocks(*down, *across),
            ([experts] | [experts, 1], [of, _, _]) if experts == of => Some(whole(rows)),
            ([out, rest @ ..], [of, _, _, _, ..])
                if out == of && rest.iter().all(|side| *side == 1) =>
            {
                Some(whole(all.checked_div(*of)?))
            }
            _ => None,
        }
    }

    /// One factor for each column of each matrix of a stack.
    pub(super) fn by_column([_, rows, columns]: [u64; 3]) -> Self {
        Self { rows, block: [rows, 1], counts: [1, columns] }
    }

    /// Rows and columns that share a factor.
    pub(super) fn block(&self) -> [u64; 2] {
        self.block
    }

    /// Whether every row has its own factors.
    pub(super) fn is_by_row(&self) -> bool {
        self.block.first() == Some(&1)
    }

    /// Rows of one matrix.
    pub(super) fn matrix_rows(&self) -> u64 {
        self.rows
    }

    /// Rows of factors of one matrix.
    pub(super) fn down(&self) -> u64 {
        let [down, _] = self.counts;
        down
    }

    /// Factors in a row of them.
    pub(super) fn across(&self) -> u64 {
        let [_, across] = self.counts;
        across
    }

    /// Which row of factors, of all matrices, row `row` of all has.
    pub(super) fn band(&self, row: u64) -> u64 {
        let ([high, _], [down, _]) = (self.block, self.counts);
        let matrix = row.checked_div(self.rows).unwrap_or(0);
        let within = row.checked_rem(self.rows).unwrap_or(0);
        let band = within.checked_div(high).unwrap_or(0);
        matrix.saturating_mul(down).saturating_add(band)
    }

    /// The factors that a tile touches.
    pub(super) fn window(&self, tile: &Tile) -> Window {
        let [_, wide] = self.block;
        let bands = self.band(tile.rows.start)
            ..self.band(tile.rows.end.saturating_sub(1)).saturating_add(1);
        let first = tile.columns.start.checked_div(wide).unwrap_or(0);
        let last = tile.columns.end.div_ceil(wide.max(1)).min(self.across());
        // Rows of factors are read from the first needed to the last, so that several are read whole.
        let is_one = bands.end.saturating_sub(bands.start) == 1;
        let columns = if is_one { first..last } else { 0..self.across() };
        Window { bands, columns }
    }
}

/// A piece of the rows of factors: several whole ones, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) bands: std::ops::Range<u64>,
    pub(super) columns: std::ops::Range<u64>,
}

impl Window {
    /// The elements, of rows of `across`.
    pub(super) fn elements(&self, across: u64) -> std::ops::Range<u64> {
        let start = self.bands.start.saturating_mul(across).saturating_add(self.columns.start);
        let last = self.bands.end.saturating_sub(1).saturating_mul(across);
        start..last.saturating_add(self.columns.end)
    }

    /// Factors in a row of the window.
    pub(super) fn width(&self) -> usize {
        usize::try_from(self.columns.end.saturating_sub(self.columns.start)).unwrap_or(usize::MAX)
    }
}

/// How many values along a side share a factor; `None` when no such number gives this count of factors.
fn side(length: u64, count: u64, hint: Option<u64>, habit: Habit) -> Option<u64> {
    let fits = |side: &u64| *side > 0 && length.div_ceil(*side) == count;
    if let Some(hint) = hint.filter(fits) {
        return Some(hint);
    }
    let exact = length.checked_div(count).filter(|side| side.checked_mul(count) == Some(length));
    let power = length.div_ceil(count.max(1)).checked_next_power_of_two();
    let candidates = match habit {
        _ if count == 1 => [Some(length), None, None],
        Habit::Blocks => [Some(128), power, exact],
        Habit::Groups => [exact, Some(128), power],
    };
    candidates.into_iter().flatten().find(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(shape: &[u64], factors: &[u64]) -> Option<[u64; 2]> {
        Grid::fit(shape, factors, None, Habit::Blocks).map(|grid| grid.block())
    }

    #[test]
    fn blocks_from_shapes() {
        assert_eq!(block(&[352, 128], &[3, 1]), Some([128, 128]));
        assert_eq!(block(&[576, 7168], &[5, 56]), Some([128, 128]));
        assert_eq!(block(&[576, 7168], &[5, 1, 56, 1]), Some([128, 128]));
        assert_eq!(block(&[64, 256], &[64, 8]), Some([1, 32]));
        assert_eq!(block(&[64, 256], &[1, 256]), Some([64, 1]));
        assert_eq!(block(&[64, 256], &[64]), Some([1, 256]));
        assert_eq!(block(&[64, 256], &[64, 1]), Some([1, 256]));
        assert_eq!(block(&[64, 256], &[]), Some([64, 256]));
        assert_eq!(block(&[3, 64, 256], &[3]), Some([64, 256]));
        assert_eq!(block(&[3, 64, 256], &[3, 1, 1]), Some([64, 256]));
        assert_eq!(block(&[3, 64, 256], &[3, 64]), Some([1, 256]));
        assert_eq!(block(&[3, 64, 256], &[3, 64, 1]), Some([1, 256]));
        assert_eq!(block(&[3, 200, 256], &[3, 2, 2]), Some([128, 128]));
        assert_eq!(block(&[8, 4, 3, 3], &[8, 1, 1, 1]), Some([12, 3]));
        assert_eq!(block(&[256, 256], &[3, 2]), None);
        assert_eq!(block(&[256, 256], &[255]), None);
        assert_eq!(block(&[256, 256], &[0, 2]), None);
        assert_eq!(block(&[256, 256], &[512, 2]), None);
        assert_eq!(block(&[3, 64, 256], &[2, 64, 1]), None);
        assert_eq!(block(&[0, 256], &[1]), None);
        assert_eq!(block(&[1 << 62, 2], &[1 << 62, 2]), Some([1, 1]));
    }

    #[test]
    fn a_configuration_decides_where_it_fits() {
        let fit =
            |hint| Grid::fit(&[100, 160], &[1, 2], Some(hint), Habit::Blocks).unwrap().block();
        assert_eq!(fit([128, 96]), [128, 96]);
        assert_eq!(fit([64, 64]), [100, 128]);
    }

    #[test]
    fn matrices_of_a_stack_have_their_own_blocks() {
        let grid = Grid::fit(&[2, 200, 256], &[2, 2, 2], None, Habit::Blocks).unwrap();
        let bands: Vec<u64> = [0, 127, 128, 199, 200, 327, 328].map(|row| grid.band(row)).into();
        assert_eq!(bands, [0, 0, 1, 1, 2, 2, 3]);
    }
}
