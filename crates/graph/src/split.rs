//! Where q, k, v (or gate and up) lie in a fused tensor.

use std::ops::Range;

use weightscope_core::{Heads, Layout, Role};

use crate::config::qkv_width;
use crate::family::Fused;

/// More heads than this are none.
const MAX_HEADS: u32 = 4096;

/// The outputs of a fused tensor and what is known of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outputs {
    /// How many there are.
    pub(crate) count: u64,
    /// Heads according to config.json.
    pub(crate) heads: Option<Heads>,
    /// Width of the residual stream.
    pub(crate) hidden: Option<u64>,
}

/// One part of a fused tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// What stands behind the `#` in its name.
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    /// Its outputs, ascending.
    pub(crate) ranges: Vec<Range<u64>>,
}

impl Cut {
    /// How many outputs it has.
    pub(crate) fn size(&self) -> u64 {
        self.ranges.iter().map(|r| r.end - r.start).sum()
    }
}

/// The dimension of a stored tensor that its outputs lie along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Axis {
    /// Rows of a matrix.
    Rows,
    /// Columns of a matrix stored `[in, out]`.
    Columns,
    /// Elements of a bias.
    Bias,
}

impl Axis {
    /// Where `ranges` of the outputs lie in a tensor of this shape, and the shape they have.
    pub(crate) fn layout(
        self,
        shape: &[u64],
        mut ranges: Vec<Range<u64>>,
    ) -> Option<(Layout, Vec<u64>)> {
        let size = ranges.iter().map(|r| r.end - r.start).sum();
        match (self, shape) {
            (Self::Rows, [_, columns]) => {
                let layout = Layout {
                    stored_columns: *columns,
                    row_ranges: ranges,
                    column_range: 0..*columns,
                };
                Some((layout, vec![size, *columns]))
            }
            (Self::Columns, [rows, columns]) => {
                // A layout has one range of columns.
                let column_range = ranges.pop().filter(|_| ranges.is_empty())?;
                let layout = Layout { column_range, ..Layout::whole(*rows, *columns) };
                Some((layout, vec![*rows, size]))
            }
            (Self::Bias, [count]) => {
                let layout = match ranges.pop() {
                    Some(column_range) if ranges.is_empty() => {
                        Layout { column_range, ..Layout::whole(1, *count) }
                    }
                    // Several ranges only go as rows, here of one column.
                    Some(last) => {
                        ranges.push(last);
                        Layout { stored_columns: 1, row_ranges: ranges, column_range: 0..1 }
                    }
                    None => return None,
                };
                Some((layout, vec![size]))
            }
            _ => None,
        }
    }
}

/// Cuts the outputs of a fused tensor; `None` when their number does not fit the model's heads.
pub(crate) fn cut(fused: Fused, outputs: &Outputs) -> Option<Vec<Cut>> {
    match fused {
        Fused::Qkv => {
            let [query, key_value] = widths(outputs)?;
            let [k, v] = [query, query + key_value];
            Some(qkv([0..k, k..v, v..outputs.count].map(|range| vec![range])))
        }
        Fused::QkvPerHead => per_head(outputs),
        Fused::GateUp | Fused::UpGate => {
            let half = Some(outputs.count / 2).filter(|_| outputs.count.is_multiple_of(2))?;
            let part = |name, role, range| Cut { name, role, ranges: vec![range] };
            let [first, second] = [0..half, half..outputs.count];
            Some(if fused == Fused::GateUp {
                vec![part("gate", Role::MlpGate, first), part("up", Role::MlpUp, second)]
            } else {
                vec![part("up", Role::MlpUp, first), part("gate", Role::MlpGate, second)]
            })
        }
    }
}

/// Widths of q and of k (or v).
fn widths(outputs: &Outputs) -> Option<[u64; 2]> {
    if let Some(heads) = outputs.heads
        && qkv_width(&heads) == Some(outputs.count)
    {
        let width = u64::from(heads.head_dim);
        return Some([u64::from(heads.query) * width, u64::from(heads.key_value) * width]);
    }
    // Three times the residual stream is three equal parts in every architecture.
    let hidden = outputs.hidden?;
    (hidden.checked_mul(3) == Some(outputs.count)).then_some([hidden, hidden])
}

/// For each key-value head its queries, its key and its value.
fn per_head(outputs: &Outputs) -> Option<Vec<Cut>> {
    let heads = outputs.heads.filter(|heads| heads.key_value <= MAX_HEADS)?;
    if qkv_width(&heads) != Some(outputs.count) {
        return None;
    }
    let width = u64::from(heads.head_dim);
    let queries = u64::from(heads.query.checked_div(heads.key_value)?) * width;
    let group = queries + 2 * width;
    let every = |start: u64, size: u64| {
        (0..u64::from(heads.key_value))
            .map(|head| head * group + start..head * group + start + size)
            .collect()
    };
    Some(qkv([every(0, queries), every(queries, width), every(queries + width, width)]))
}

fn qkv([q, k, v]: [Vec<Range<u64>>; 3]) -> Vec<Cut> {
    vec![
        Cut { name: "q", role: Role::AttentionQ, ranges: q },
        Cut { name: "k", role: Role::AttentionK, ranges: k },
        Cut { name: "v", role: Role::AttentionV, ranges: v },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(count: u64, query: u32, key_value: u32, head_dim: u32) -> Outputs {
        Outputs { count, heads: Some(Heads { query, key_value, head_dim }), hidden: Some(8) }
    }

    fn ranges(fused: Fused, outputs: &Outputs) -> Option<Vec<Vec<Range<u64>>>> {
        Some(cut(fused, outputs)?.into_iter().map(|cut| cut.ranges).collect())
    }

    #[test]
    fn grouped_queries_are_wider() {
        let expected = vec![vec![0..8], vec![8..12], vec![12..16]];
        assert_eq!(ranges(Fused::Qkv, &outputs(16, 4, 2, 2)), Some(expected));
    }

    #[test]
    fn thirds_without_heads() {
        let without = Outputs { heads: None, ..outputs(24, 1, 1, 1) };
        assert_eq!(ranges(Fused::Qkv, &without), Some(vec![vec![0..8], vec![8..16], vec![16..24]]));
        assert_eq!(ranges(Fused::Qkv, &Outputs { count: 21, ..without }), None);
        assert_eq!(ranges(Fused::QkvPerHead, &without), None);
    }

    #[test]
    fn heads_in_turn() {
        let two_heads = outputs(24, 2, 2, 4);
        let expected = vec![vec![0..4, 12..16], vec![4..8, 16..20], vec![8..12, 20..24]];
        assert_eq!(ranges(Fused::QkvPerHead, &two_heads), Some(expected));
        // One key-value head for both queries.
        let shared = outputs(16, 2, 1, 4);
        assert_eq!(
            ranges(Fused::QkvPerHead, &shared),
            Some(vec![vec![0..8], vec![8..12], vec![12..16]])
        );
    }

    #[test]
    fn interleaved_biases_are_rows() {
        let (layout, shape) = Axis::Bias.layout(&[12], vec![0..2, 6..8]).unwrap();
        assert_eq!((layout.rows(), layout.columns(), shape), (4, 1, vec![4]));
        assert_eq!(layout.span(2, 0..1), Some(6..7));
    }
}
