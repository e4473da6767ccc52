//! Numbers of one product.

use weightscope_core::{AnalyzeError, Factor, StorageGrid, Unit, Value, WeightView};
use weightscope_linalg::{
    Product, SpectrumShape, Watch, above, independent_norm, product_singular_values, storage_noise,
    sum,
};

use crate::factors::{Factors, Part, Side, analyze_error};

/// What a product is not measured for.
pub(crate) const NOT_FINITE: &str = "some values of the factors are NaN or infinite";
/// What has no shares and no directions.
pub(crate) const ZERO: &str = "the product is zero";

/// Two stored factors that were found sound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair<'a> {
    /// A and B.
    views: [WeightView<'a>; 2],
    /// Largest magnitudes of both.
    magnitudes: [f64; 2],
    /// Frobenius norms of both.
    pub(crate) norms: [f64; 2],
    pub(crate) scale: f64,
    pub(crate) experts: u64,
}

impl<'a> Pair<'a> {
    /// `None` when some value is not finite.
    pub(crate) fn of(a: WeightView<'a>, b: WeightView<'a>) -> Result<Option<Self>, AnalyzeError> {
        let views = [a, b];
        let (mut magnitudes, mut norms) = ([0.0; 2], [0.0; 2]);
        for ((view, magnitude), norm) in views.iter().zip(&mut magnitudes).zip(&mut norms) {
            let summary = view.summary()?;
            if !summary.all_finite() {
                return Ok(None);
            }
            *magnitude = summary.extremes.map_or(0.0, |(min, max)| min.abs().max(max.abs()));
            *norm = summary.moments.map_or(0.0, |moments| moments.energy.sqrt());
        }
        let (scale, experts) = factor(&a).map_or((1.0, 1), |f| (f.scale, f.experts.max(1)));
        Ok(Some(Self { views, magnitudes, norms, scale, experts }))
    }

    /// A or B of an expert; B times the scale and `sign`.
    pub(crate) fn part(&self, side: Side, expert: u64, sign: f64) -> Part<'a> {
        let ([a, b], [of_a, of_b]) = (self.views, self.magnitudes);
        let (view, magnitude, scale) = match side {
            Side::A => (a, of_a, 1.0),
            Side::B => (b, of_b, sign * self.scale),
        };
        Part { view, experts: self.experts, expert, scale, magnitude }
    }

    /// The rank of each expert's product as the tensors have it.
    pub(crate) fn rank(&self) -> u64 {
        self.views[0].size()[0] / self.experts
    }
}

/// What a weight is a factor of.
pub(crate) fn factor<'a>(view: &WeightView<'a>) -> Option<&'a Factor> {
    view.weight().factor.as_deref()
}

/// The spectrum of the sum of some products, each with its sign, of one expert.
pub(crate) fn spectrum(
    unit: &Unit<'_>,
    pairs: &[(Pair<'_>, f64)],
    expert: u64,
) -> Result<Product, AnalyzeError> {
    let side = |side| Factors {
        side,
        parts: pairs.iter().map(|(pair, sign)| pair.part(side, expert, *sign)).collect(),
    };
    let monitor = Watch(|| unit.threads(), |flops| unit.advance(flops).is_ok());
    product_singular_values(&side(Side::B), &side(Side::A), &monitor).map_err(analyze_error)
}

/// Singular values of the sum of some products, of all experts together, descending.
pub(crate) fn singular_values(
    unit: &Unit<'_>,
    pairs: &[(Pair<'_>, f64)],
) -> Result<Vec<f64>, AnalyzeError> {
    let experts = pairs.first().map_or(1, |(pair, _)| pair.experts);
    let mut all = Vec::new();
    for expert in 0..experts {
        all.extend(spectrum(unit, pairs, expert)?.singular_values);
    }
    all.sort_by(|a, b| b.total_cmp(a));
    Ok(all)
}

/// The Frobenius norm that singular values make.
pub(crate) fn norm(sigma: &[f64]) -> f64 {
    let largest = sigma.first().copied().filter(|s| *s > 0.0).unwrap_or(1.0);
    largest * sum(sigma, |s| (s / largest).powi(2)).sqrt()
}

/// What a product is.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// Descending.
    pub(crate) sigma: Vec<f64>,
    pub(crate) shape: Option<SpectrumShape>,
    /// Singular values above what rounding both factors leaves.
    pub(crate) used: u64,
    pub(crate) noise: f64,
}

/// Measures the product of a pair, of all experts together.
pub(crate) fn measure(unit: &Unit<'_>, pair: &Pair<'_>) -> Result<Measured, AnalyzeError> {
    let (mut sigma, mut norms) = (Vec::new(), [0.0f64; 2]);
    for expert in 0..pair.experts {
        let product = spectrum(unit, &[(*pair, 1.0)], expert)?;
        sigma.extend(product.singular_values);
        for (norm, own) in norms.iter_mut().zip(product.norms) {
            *norm = norm.max(own);
        }
    }
    sigma.sort_by(|a, b| b.total_cmp(a));
    // B comes first, and carries the scale.
    let [a, b] = [(&pair.views[0], pair.norms[0]), (&pair.views[1], pair.norms[1])];
    let noise = noise(b.0, b.1)? * pair.scale.abs() * norms[1] + norms[0] * noise(a.0, a.1)?;
    let rank = sigma.iter().filter(|s| **s > 0.0).count() as u64;
    let used = above(&sigma, noise);
    Ok(Measured { shape: SpectrumShape::of(&sigma, rank), sigma, used, noise })
}

/// About the spectral norm of the rounding errors of a factor with this Frobenius norm.
fn noise(view: &WeightView<'_>, norm: f64) -> Result<f64, AnalyzeError> {
    let [rows, columns] = view.size().map(|side| side as f64);
    let rms = norm / (rows * columns).sqrt().max(1.0);
    Ok(match view.storage_grid()? {
        StorageGrid::Float(dtype) => {
            storage_noise(dtype.unit_roundoff().unwrap_or(0.0), rms, rows, columns)
        }
        StorageGrid::Steps { rms } => independent_norm(rms, rows, columns),
    })
}

/// A list for a report.
pub(crate) fn list(sigma: &[f64]) -> Value {
    sigma.iter().copied().collect()
}
