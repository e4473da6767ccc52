//! Exact singular values of large matrices, several times faster than LAPACK, in bounded memory.
//!
//! A matrix is read in panels of whatever format it is stored in, never held whole, and everything is
//! computed in `f64`. With k the short and l the long side, two routes lead to all k values:
//!
//! | floating-point operations | Gram | direct |
//! |---|---|---|
//! | dense | Gram matrix by panels (`gram.rs`), l k^2 | square: as it is; else R of QR by panels (`tall.rs`), 2 l k^2 |
//! | to a band | symmetric (`symmetric_band.rs`), 4/3 k^3 | upper (`upper_band.rs`), 8/3 k^3 |
//! | to two diagonals | tridiagonal (`symmetric_chase.rs`), 6 k^2 b | bidiagonal (`bidiagonal_chase.rs`), 8 k^2 b |
//! | values | Sturm bisection (`tridiagonal.rs`) | the same, of the Golub-Kahan matrix |
//! | error | at most sqrt(8 u) s_1, and u s_1^2/s for each value s | a few u s_1 |
//!
//! Behind both: `panel_qr.rs` factors panels, `band.rs` stores bands, `chase.rs` orders sweeps, `window.rs` and
//! `vector.rs` hold the inner loops, `route.rs` decides.
//!
//! The Gram route is faster, but squares the condition number. Its result is accepted when the
//! [error bound](Spectrum::error_bound) of every value is small enough, which holds up to a condition number
//! of about 2e5; beyond that the direct route computes the values anew.
//!
//! Nearly all work is matrix products at the speed of faer's kernels; what is not (the chase, the bisection)
//! works in cache, in vector code for whatever the machine has. Results are bit-identical for any number
//! of threads.
//!
//! ```
//! use weightscope_linalg::{Dense, Options, Threads, singular_values};
//!
//! let a = Dense::new(&[3.0, 0.0, 0.0, 0.0, 2.0, 0.0], 2, 3).unwrap();
//! let spectrum = singular_values(&a, &Options::default(), &Threads(1))?;
//! assert!((spectrum.singular_values[0] - 3.0).abs() <= spectrum.error_bound(0));
//! assert!((spectrum.singular_values[1] - 2.0).abs() <= spectrum.error_bound(1));
//! # Ok::<(), weightscope_linalg::SpectrumError<std::convert::Infallible>>(())
//! ```
#![forbid(unsafe_code)]

mod band;
mod bidiagonal_chase;
mod chase;
mod gram;
mod matrix;
mod monitor;
mod nearest;
mod panel_qr;
mod parallel;
mod principal;
mod product;
mod range;
mod reader;
mod route;
mod shape;
mod spectrum;
#[doc(hidden)]
pub mod stages;
mod symmetric_band;
mod symmetric_chase;
mod tall;
mod tridiagonal;
mod upper_band;
mod vector;
mod window;

pub use matrix::{Dense, Matrix, Order};
pub use monitor::{Monitor, Threads, Watch};
pub use nearest::{Nearest, nearest_bytes, nearest_rows};
pub use principal::{PrincipalComponents, principal_components, principal_cost};
pub use product::{Product, product_cost, product_singular_values};
pub use range::{leading_cost, leading_singular_values};
pub use route::{Cost, Options, SpectrumError, cost, singular_values};
pub use shape::{
    SpectrumShape, above, independent_norm, rounding_norm, spread_ranks, storage_noise, sum,
};
pub use spectrum::{Route, Spectrum};
