//! A weight whose columns have mean 0 and deviation 1.

use std::ops::Range;

use weightscope_core::stats::Summary;
use weightscope_core::{AnalyzeError, Order, WeightView};
use weightscope_linalg::Matrix;

/// Reads a weight and standardises the columns on the way, by the sums of the shared summary.
pub(crate) struct Standardised<'a> {
    view: WeightView<'a>,
    means: Vec<f64>,
    /// One over the deviation; 0 for a column of equal values.
    inverses: Vec<f64>,
}

impl<'a> Standardised<'a> {
    /// `None` when some value is not finite, a sum of squares overflows, or the weight has no rows.
    pub(crate) fn new(view: WeightView<'a>, summary: &Summary) -> Option<Self> {
        let norms = summary.norms.as_ref().filter(|_| summary.all_finite())?;
        let (sums, squares) = if view.weight().transposed {
            (&norms.row_sums, &norms.rows)
        } else {
            (&norms.column_sums, &norms.columns)
        };
        let n = view.size()[0] as f64;
        let means: Vec<f64> = sums.iter().map(|sum| sum / n).collect();
        let inverse = |(mean, squares): (&f64, &f64)| {
            let variance = squares / n - mean * mean;
            // Rounding of the sums leaves so much where all values are equal: scikit-learn's rule.
            let rounding = n * f64::EPSILON * (variance.abs() + n * mean * mean * f64::EPSILON);
            let resolution = 4.0 * f64::EPSILON * squares / n;
            if variance > rounding.max(resolution) { 1.0 / variance.sqrt() } else { 0.0 }
        };
        let inverses: Vec<f64> = means.iter().zip(squares).map(inverse).collect();
        let finite = means.iter().chain(&inverses).all(|x| x.is_finite());
        (finite && n > 0.0 && !means.is_empty()).then_some(Self { view, means, inverses })
    }
}

impl Matrix for Standardised<'_> {
    type Error = AnalyzeError;

    fn shape(&self) -> [usize; 2] {
        self.view.size().map(|side| side as usize)
    }

    fn read(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        order: weightscope_linalg::Order,
        into: &mut [f64],
    ) -> Result<(), AnalyzeError> {
        let lines = |range: &Range<usize>| range.start as u64..range.end as u64;
        let scales = self.means[columns.clone()].iter().zip(&self.inverses[columns.clone()]);
        match order {
            weightscope_linalg::Order::RowMajor => {
                self.view.block(lines(&rows), lines(&columns), Order::RowMajor, into)?;
                for row in into.chunks_exact_mut(columns.len().max(1)) {
                    for (value, (mean, inverse)) in row.iter_mut().zip(scales.clone()) {
                        *value = (*value - mean) * inverse;
                    }
                }
            }
            weightscope_linalg::Order::ColumnMajor => {
                self.view.block(lines(&rows), lines(&columns), Order::ColumnMajor, into)?;
                for (column, (mean, inverse)) in
                    into.chunks_exact_mut(rows.len().max(1)).zip(scales)
                {
                    for value in column {
                        *value = (*value - mean) * inverse;
                    }
                }
            }
        }
        Ok(())
    }
}
