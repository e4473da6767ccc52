//! From a matrix to its spectrum: which stages, in which order, with how much memory.

use faer::MatMut;

use crate::gram::{PANEL, gram};
use crate::reader::Reader;
use crate::spectrum::gram_suffices;
use crate::{
    Matrix, Monitor, Route, Spectrum, bidiagonal_chase, symmetric_band, symmetric_chase, tall,
    tridiagonal, upper_band,
};

/// What to compute.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Take the direct route from the start.
    pub exact: bool,
}

/// What computing takes, known beforehand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Floating-point operations of the planned route.
    pub flops: f64,
    /// Peak scratch memory in bytes, of either route.
    pub bytes: u64,
}

/// Why there is no spectrum.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpectrumError<E> {
    /// A block could not be read.
    #[error(transparent)]
    Read(E),
    /// The matrix holds NaN or infinities.
    #[error("not every value is finite")]
    NotFinite,
    /// Memory for the scratch cannot be had.
    #[error("no memory for the spectrum of a {0} x {1} matrix")]
    TooLarge(usize, usize),
    /// The monitor said so.
    #[error("stopped")]
    Stopped,
}

/// All singular values of `matrix`, descending, min(rows, columns) of them.
///
/// * Cost and scratch memory: [`cost`]. A matrix whose condition number turns out too large for the Gram
///   route costs both routes.
/// * Threads and stopping: `monitor`. Parallel stages run in the rayon pool of the caller.
///
/// # Errors
/// [`SpectrumError`]: unreadable, not finite, no memory, or stopped.
pub fn singular_values<M: Matrix>(
    matrix: &M,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Spectrum, SpectrumError<M::Error>> {
    let [rows, columns] = matrix.shape();
    let reader = Reader::new(matrix);
    let short = reader.short();
    let mut square = Square::new(short).ok_or(SpectrumError::TooLarge(rows, columns))?;
    let unscaled = |values: Vec<f64>| values.into_iter().map(|s| s / reader.scale()).collect();
    if !options.exact {
        gram(&reader, square.as_mut(), monitor)?;
        let band = symmetric_band::reduce(square.as_mut(), band_width(short), monitor);
        let diagonals = band.and_then(|band| symmetric_chase::reduce(band, monitor));
        let (diagonal, off_diagonal) = diagonals.ok_or(SpectrumError::Stopped)?;
        let eigenvalues = tridiagonal::eigenvalues(&diagonal, &off_diagonal, monitor.threads());
        let values: Vec<f64> = eigenvalues.iter().map(|l| l.max(0.0).sqrt()).collect();
        if gram_suffices(&values) {
            return Ok(Spectrum { singular_values: unscaled(values), route: Route::Gram });
        }
        square.clear();
    }
    if reader.long() == short {
        reader.read(0..short, square.values_mut())?;
    } else {
        tall::triangle(&reader, square.as_mut(), monitor)?;
    }
    let band = upper_band::reduce(square.as_mut(), band_width(short), monitor);
    let diagonals = band.and_then(|band| bidiagonal_chase::reduce(band, monitor));
    let (diagonal, superdiagonal) = diagonals.ok_or(SpectrumError::Stopped)?;
    let values = tridiagonal::singular_values(&diagonal, &superdiagonal, monitor.threads());
    Ok(Spectrum { singular_values: unscaled(values), route: Route::Direct })
}

/// What [`singular_values`] takes for a matrix of this shape.
///
/// 8 k^2 bytes for the square and 8 x 504 k for each of two panels, and some vectors: 170 MB for k = 4096.
pub fn cost(rows: usize, columns: usize, options: &Options) -> Cost {
    let (k, l) = (rows.min(columns), rows.max(columns));
    let b = band_width(k) as f64;
    let (kf, lf) = (k as f64, l as f64);
    let flops = if options.exact {
        let to_triangle = if l > k { 2.0 * lf * kf * kf } else { 0.0 };
        to_triangle + 8.0 / 3.0 * kf.powi(3) + 8.0 * kf * kf * b
    } else {
        lf * kf * kf + 4.0 / 3.0 * kf.powi(3) + 6.0 * kf * kf * b
    };
    // The panel is gone before the reduction's own vectors and the band come.
    let panel = 2.0 * 8.0 * (PANEL.min(l) as f64) * kf;
    let reduction = 8.0 * 10.0 * b * kf;
    let bytes = 8.0 * kf * kf + panel.max(reduction) + 1e6;
    Cost { flops, bytes: bytes as u64 }
}

/// Width of the band: wide enough for fast products, narrow enough for a fast chase.
pub(crate) fn band_width(size: usize) -> usize {
    match size {
        3000.. => 64,
        1500.. => 48,
        128.. => 32,
        _ => 16,
    }
}

/// A square matrix in memory that can be refused.
pub(crate) struct Square {
    size: usize,
    values: Vec<f64>,
}

impl Square {
    /// Zeros; `None` when there is no memory for them.
    pub(crate) fn new(size: usize) -> Option<Self> {
        let count = size.checked_mul(size)?;
        // Asked for first, so that it can be refused; then zeroed, which the system does page by page when a
        // thread first writes there.
        Vec::<f64>::new().try_reserve_exact(count).ok()?;
        let values = vec![0.0; count];
        Some(Self { size, values })
    }

    fn clear(&mut self) {
        self.values.fill(0.0);
    }

    /// Its columns, one after the other.
    pub(crate) fn values_mut(&mut self) -> &mut [f64] {
        &mut self.values
    }

    pub(crate) fn as_mut(&mut self) -> MatMut<'_, f64> {
        MatMut::from_column_major_slice_mut(&mut self.values, self.size, self.size)
    }
}
