//! A weight as a matrix that `weightscope-linalg` reads.

use std::ops::Range;

use weightscope_core::{AnalyzeError, Order, WeightView};
use weightscope_linalg::{Matrix, SpectrumError};

/// A view with the size of its values.
pub(crate) struct ViewMatrix<'a> {
    pub(crate) view: WeightView<'a>,
    pub(crate) magnitude: f64,
}

impl Matrix for ViewMatrix<'_> {
    type Error = AnalyzeError;

    fn shape(&self) -> [usize; 2] {
        self.view.size().map(|side| side as usize)
    }

    fn magnitude(&self) -> f64 {
        self.magnitude
    }

    fn read(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        order: weightscope_linalg::Order,
        into: &mut [f64],
    ) -> Result<(), AnalyzeError> {
        let lines = |range: Range<usize>| range.start as u64..range.end as u64;
        let order = match order {
            weightscope_linalg::Order::RowMajor => Order::RowMajor,
            weightscope_linalg::Order::ColumnMajor => Order::ColumnMajor,
        };
        self.view.block(lines(rows), lines(columns), order, into)
    }
}

/// What the engine is told.
pub(crate) fn analyze_error(error: SpectrumError<AnalyzeError>) -> AnalyzeError {
    match error {
        SpectrumError::Read(error) => error,
        SpectrumError::Stopped => AnalyzeError::Cancelled,
        other => AnalyzeError::Other(other.to_string().into()),
    }
}
