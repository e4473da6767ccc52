//! Rows that a format stores in another order than the model has them.

/// Which stored row is a row of the tensor: found in constant time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowOrder {
    /// Within heads of this many rows, the pairs of the rotary embedding lie side by side: stored row `2i + j` is row
    /// `j d/2 + i` of a head of `d` rows.
    Interleaved {
        /// Rows of a head.
        head: u64,
    },
}

impl RowOrder {
    /// The stored row that holds row `row`.
    pub(crate) fn stored(self, row: u64) -> u64 {
        match self {
            Self::Interleaved { head } => {
                let half = head.checked_div(2).unwrap_or(0).max(1);
                let within = row.checked_rem(head.max(1)).unwrap_or(0);
                let first = row.saturating_sub(within);
                let (i, j) =
                    (within.checked_rem(half).unwrap_or(0), within.checked_div(half).unwrap_or(0));
                first.saturating_add(i.saturating_mul(2)).saturating_add(j)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interleaved_rows_of_two_heads() {
        let order = RowOrder::Interleaved { head: 4 };
        let stored: Vec<u64> = (0..8).map(|row| order.stored(row)).collect();
        assert_eq!(stored, [0, 2, 1, 3, 4, 6, 5, 7]);
    }
}
