//! Whole spectra against faer's own singular values and against prescribed ones.

use faer::Mat;
use weightscope_linalg::{Dense, Options, Route, Spectrum, Threads, singular_values};

/// Standard normal values from a counter: Box-Muller over splitmix64.
fn normal(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    let mut uniform = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    move || (-2.0 * (1.0 - uniform()).ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()
}

fn gaussian(rows: usize, columns: usize, seed: u64) -> Vec<f64> {
    let mut next = normal(seed);
    (0..rows * columns).map(|_| next()).collect()
}

/// A matrix with these singular values: random orthogonal factors around them.
fn prescribed(rows: usize, columns: usize, values: &[f64], seed: u64) -> Vec<f64> {
    let orthogonal = |n: usize, seed| {
        let g = gaussian(n, values.len(), seed);
        faer::MatRef::from_row_major_slice(&g, n, values.len()).qr().compute_thin_Q()
    };
    let (u, v) = (orthogonal(rows, seed), orthogonal(columns, seed + 1));
    let scaled = Mat::from_fn(rows, values.len(), |i, j| u[(i, j)] * values[j]);
    let a = &scaled * v.transpose();
    (0..rows * columns).map(|i| a[(i / columns, i % columns)]).collect()
}

fn spectrum(values: &[f64], rows: usize, columns: usize, exact: bool, threads: usize) -> Spectrum {
    let matrix = Dense::new(values, rows, columns).unwrap();
    singular_values(&matrix, &Options { exact }, &Threads(threads)).unwrap()
}

fn reference(values: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    faer::MatRef::from_row_major_slice(values, rows, columns).singular_values().unwrap()
}

/// Every value within its bound of `expected`, give or take what the reference itself is off.
fn assert_within_bounds(found: &Spectrum, expected: &[f64], what: &str) {
    assert_eq!(found.singular_values.len(), expected.len(), "{what}");
    let largest = expected.first().copied().unwrap_or(0.0);
    for (i, (value, expected)) in found.singular_values.iter().zip(expected).enumerate() {
        let allowed = found.error_bound(i) + 1e-14 * largest;
        assert!((value - expected).abs() <= allowed, "{what} [{i}]: {value} {expected} {allowed}");
    }
}

#[test]
fn random_matrices_of_every_shape() {
    let shapes = [
        (1, 1),
        (1, 9),
        (9, 1),
        (2, 2),
        (3, 2),
        (5, 5),
        (16, 16),
        (17, 17),
        (31, 33),
        (40, 40),
        (64, 64),
        (65, 64),
        (100, 37),
        (129, 129),
        (200, 131),
        (130, 700),
        (1100, 70),
        (257, 300),
        (513, 20),
    ];
    for (seed, (rows, columns)) in shapes.into_iter().enumerate() {
        let values = gaussian(rows, columns, seed as u64);
        let expected = reference(&values, rows, columns);
        for exact in [false, true] {
            let found = spectrum(&values, rows, columns, exact, 1);
            assert_within_bounds(&found, &expected, &format!("{rows} x {columns} {exact}"));
            let direct = spectrum(&values, rows, columns, true, 1);
            for (a, b) in found.singular_values.iter().zip(&direct.singular_values) {
                assert!((a - b).abs() <= 1e-6 * b);
            }
        }
    }
}

#[test]
fn prescribed_condition_numbers() {
    for (rows, columns) in [(300, 200), (200, 200), (200, 330)] {
        for exponent in 2..=10 {
            let kappa = 10f64.powi(exponent);
            let k = rows.min(columns);
            let expected: Vec<f64> =
                (0..k).map(|i| kappa.powf(-(i as f64) / (k - 1) as f64)).collect();
            let values = prescribed(rows, columns, &expected, 7);
            let found = spectrum(&values, rows, columns, false, 1);
            assert_within_bounds(&found, &expected, &format!("kappa {kappa}"));
            let relative = |i: usize| (found.singular_values[i] / expected[i] - 1.0).abs();
            if exponent <= 5 {
                assert!((0..k).all(|i| relative(i) <= 1e-6), "kappa {kappa}");
            }
            if exponent <= 8 {
                assert!(relative(k - 1) <= 0.01, "kappa {kappa}");
            }
            let route = if exponent <= 5 { Route::Gram } else { Route::Direct };
            assert_eq!(found.route, route, "kappa {kappa}");
            let exact = spectrum(&values, rows, columns, true, 1);
            for (a, b) in exact.singular_values.iter().zip(&expected) {
                assert!((a - b).abs() <= 1e-13 * expected[0], "kappa {kappa}");
            }
        }
    }
}

#[test]
fn deficient_zero_and_constant_matrices() {
    let expected: Vec<f64> =
        (0..150).map(|i| if i < 90 { 1.0 + f64::from(90 - i) } else { 0.0 }).collect();
    for (rows, columns) in [(150, 150), (400, 150), (150, 170)] {
        let values = prescribed(rows, columns, &expected[..90], 3);
        let found = spectrum(&values, rows, columns, false, 1);
        assert_eq!(found.route, Route::Direct);
        assert_within_bounds(&found, &expected, "rank 90");
        assert!(found.singular_values[90] < 1e-14 * found.singular_values[0]);
    }
    let zero = spectrum(&vec![0.0; 60 * 50], 60, 50, false, 1);
    assert_eq!(zero.singular_values, vec![0.0; 50]);
    let ones = spectrum(&vec![-2.0; 60 * 50], 60, 50, false, 1);
    assert!((ones.singular_values[0] - 2.0 * 3000f64.sqrt()).abs() < 1e-12);
    assert!(ones.singular_values[1] < 1e-13);
}

#[test]
fn extreme_magnitudes() {
    let plain = gaussian(90, 80, 5);
    let expected = spectrum(&plain, 90, 80, false, 1).singular_values;
    for scale in [2f64.powi(-1000), 2f64.powi(-300), 2f64.powi(900)] {
        let values: Vec<f64> = plain.iter().map(|x| x * scale).collect();
        let found = spectrum(&values, 90, 80, false, 1).singular_values;
        for (a, b) in found.iter().zip(&expected) {
            assert_eq!(a / scale, *b);
        }
    }
}

#[test]
fn not_finite_values_are_an_error() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut values = gaussian(70, 60, 5);
        values[1234] = bad;
        let matrix = Dense::new(&values, 70, 60).unwrap();
        for exact in [false, true] {
            let result = singular_values(&matrix, &Options { exact }, &Threads(1));
            assert_eq!(result, Err(weightscope_linalg::SpectrumError::NotFinite));
        }
    }
}

#[test]
fn threads_change_no_bit() {
    for (rows, columns) in [(700, 600), (600, 600), (1100, 520)] {
        let values = gaussian(rows, columns, 11);
        for exact in [false, true] {
            let one = spectrum(&values, rows, columns, exact, 1);
            for threads in [2, 3, 4] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let many = pool.install(|| spectrum(&values, rows, columns, exact, threads));
                assert_eq!(one, many, "{rows} x {columns} {exact} {threads}");
            }
        }
    }
}
