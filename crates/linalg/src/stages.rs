//! Each stage alone, for benches.

use std::time::{Duration, Instant};

use crate::reader::Reader;
use crate::route::{Square, band_width};
use crate::{
    Matrix, Monitor, bidiagonal_chase, symmetric_band, symmetric_chase, tall, tridiagonal,
    upper_band,
};

/// How long one stage took, and its floating-point operations.
#[derive(Clone, Copy, Debug)]
pub struct Stage {
    /// What it did.
    pub name: &'static str,
    /// Wall time.
    pub time: Duration,
    /// Operations by its formula.
    pub flops: f64,
}

/// Runs the stages of one route one after the other, and times each. `None` when the matrix cannot be read.
pub fn time_stages<M: Matrix>(
    matrix: &M,
    exact: bool,
    monitor: &dyn Monitor,
) -> Option<Vec<Stage>> {
    let reader = Reader::new(matrix);
    let (k, l) = (reader.short(), reader.long());
    let (kf, lf, b) = (k as f64, l as f64, band_width(k));
    let mut square = Square::new(k)?;
    let mut stages = Vec::new();
    let mut clock = Instant::now();
    let mut lap = |name, flops| {
        stages.push(Stage { name, time: clock.elapsed(), flops });
        clock = Instant::now();
    };
    let (band, bandwidth) = (8.0 * kf * kf * b as f64, b);
    if exact {
        if l == k {
            reader.read(0..k, square.values_mut()).ok()?;
            lap("read", 0.0);
        } else {
            tall::triangle(&reader, square.as_mut(), monitor).ok()?;
            lap("triangle", 2.0 * lf * kf * kf);
        }
        let upper = upper_band::reduce(square.as_mut(), bandwidth, monitor)?;
        lap("upper band", 8.0 / 3.0 * kf.powi(3));
        let (diagonal, above) = bidiagonal_chase::reduce(upper, monitor)?;
        lap("bidiagonal chase", band);
        let _ = tridiagonal::singular_values(&diagonal, &above, monitor.threads());
        lap("bisection", 0.0);
    } else {
        crate::gram::gram(&reader, square.as_mut(), monitor).ok()?;
        lap("Gram", lf * kf * kf);
        let symmetric = symmetric_band::reduce(square.as_mut(), bandwidth, monitor)?;
        lap("symmetric band", 4.0 / 3.0 * kf.powi(3));
        let (diagonal, below) = symmetric_chase::reduce(symmetric, monitor)?;
        lap("symmetric chase", 0.75 * band);
        let _ = tridiagonal::eigenvalues(&diagonal, &below, monitor.threads());
        lap("bisection", 0.0);
    }
    Some(stages)
}
