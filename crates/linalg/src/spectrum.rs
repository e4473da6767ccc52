//! What comes back, and how far it can be trusted.

/// Unit roundoff of `f64`, 2^-53.
pub(crate) const U: f64 = f64::EPSILON / 2.0;

/// How the singular values were computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// As square roots of the eigenvalues of the Gram matrix of the short side.
    Gram,
    /// By reduction to bidiagonal form, which does not square the condition number.
    Direct,
}

impl Route {
    /// A word for reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gram => "gram",
            Self::Direct => "direct",
        }
    }
}

/// All singular values of a matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrum {
    /// min(rows, columns) values, descending, never negative.
    pub singular_values: Vec<f64>,
    /// How they were computed.
    pub route: Route,
}

impl Spectrum {
    /// Upper bound on the absolute error of singular value `index` (0 is the largest); 0 beyond the last.
    ///
    /// With u = 2^-53, s the value and s_1 the largest, route by Gram matrix:
    /// `min(u (64 s + 4 s_1^2/s), 64 u s + sqrt(8 u) s_1)`; directly: `64 u s_1`. The forms follow from
    /// Weyl's inequality with the backward error of the stages; the constants are measured, with a safety
    /// of at least 5, not proven (docs/benchmarks.md, accuracy).
    pub fn error_bound(&self, index: usize) -> f64 {
        let largest = self.singular_values.first().copied().unwrap_or(0.0);
        match self.singular_values.get(index) {
            Some(&value) => error_bound(self.route, value, largest),
            None => 0.0,
        }
    }
}

fn error_bound(route: Route, value: f64, largest: f64) -> f64 {
    match route {
        Route::Gram => {
            let (small, ordinary) = (4.0 * largest * (largest / value), 64.0 * value);
            // value = 0 makes `small` infinite (or NaN for a zero matrix): the second form bounds it.
            (U * (ordinary + small)).min(U * ordinary + (8.0 * U).sqrt() * largest)
        }
        Route::Direct => 64.0 * U * largest,
    }
}

/// Relative error up to which a value by the Gram matrix is accepted as it is.
const RELATIVE: f64 = 1e-6;
/// The same in units of the largest value, for values that are tiny against it.
const ABSOLUTE: f64 = 1e-10;

/// Whether every value by the Gram matrix is within a relative error of 1e-6, or an absolute one of 1e-10
/// of the largest: condition numbers up to about 2e5.
pub(crate) fn gram_suffices(descending: &[f64]) -> bool {
    let largest = descending.first().copied().unwrap_or(0.0);
    descending.iter().all(|&value| {
        let bound = error_bound(Route::Gram, value, largest);
        bound <= RELATIVE * value || bound <= ABSOLUTE * largest
    })
}
