//! Principal components against the singular values of the same matrix.

use weightscope_linalg::{
    Dense, Options, PrincipalComponents, Threads, principal_components, singular_values,
};

/// Uniform values from a counter (splitmix64), columns of different sizes, the mean of every column taken out.
fn centred(rows: usize, columns: usize, size: f64) -> Vec<f64> {
    let mut state = 0x5eed;
    let mut uniform = move || {
        state += 0x9e37_79b9_7f4a_7c15_u128;
        let mut z = state as u64;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    };
    let mut values: Vec<f64> =
        (0..rows * columns).map(|i| size * (1 + i % columns % 5) as f64 * uniform()).collect();
    for column in 0..columns {
        let mean = values.iter().skip(column).step_by(columns).sum::<f64>() / rows as f64;
        values.iter_mut().skip(column).step_by(columns).for_each(|x| *x -= mean);
    }
    values
}

const SHAPES: [(usize, usize); 7] =
    [(1, 7), (2, 2), (9, 4), (60, 60), (40, 300), (700, 50), (1100, 130)];

fn components(values: &[f64], rows: usize, columns: usize, threads: usize) -> PrincipalComponents {
    let matrix = Dense::new(values, rows, columns).unwrap();
    principal_components(&matrix, 3, &Threads(threads)).unwrap()
}

#[test]
fn energies_are_squared_singular_values() {
    for (rows, columns) in SHAPES {
        for size in [1.0, 1e-160, 1e140] {
            let values = centred(rows, columns, size);
            let found = components(&values, rows, columns, 1);
            let matrix = Dense::new(&values, rows, columns).unwrap();
            let sigma = singular_values(&matrix, &Options { exact: true }, &Threads(1)).unwrap();
            let sigma = sigma.singular_values;
            assert_eq!(found.energies.len(), sigma.len());
            assert!(found.energies.is_sorted_by(|a, b| a >= b && *b >= 0.0));
            for (energy, sigma) in found.energies.iter().zip(&sigma) {
                // Squares below 1e-308 have fewer digits.
                let allowed = 1e-13 * found.energies[0] + 1e-320;
                assert!((energy - sigma * sigma).abs() <= allowed, "{rows} x {columns} {size:e}");
            }
        }
    }
}

#[test]
fn scores_hold_the_energies_and_are_orthogonal() {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    for (rows, columns) in SHAPES {
        let values = centred(rows, columns, 1.0);
        let found = components(&values, rows, columns, 1);
        assert_eq!(found.scores.len(), rows.min(columns).min(3));
        let largest = found.energies[0];
        for (i, a) in found.scores.iter().enumerate() {
            assert_eq!(a.len(), rows);
            assert!((dot(a, a) - found.energies[i]).abs() <= 1e-13 * largest);
            for b in &found.scores[..i] {
                assert!(dot(a, b).abs() <= 1e-13 * largest, "{rows} x {columns}");
            }
            // Coordinates along an axis: X X^T takes the scores to themselves, times the energy.
            let back: Vec<f64> = (0..columns)
                .map(|j| a.iter().enumerate().map(|(i, s)| s * values[i * columns + j]).sum())
                .collect();
            for (row, score) in values.chunks_exact(columns).zip(a) {
                let allowed = 1e-12 * largest * found.energies[0].sqrt();
                assert!((dot(row, &back) - found.energies[i] * score).abs() <= allowed);
            }
            let most =
                a.iter().copied().fold(0.0, |m: f64, x| if x.abs() > m.abs() { x } else { m });
            assert!(most >= 0.0, "the largest coordinate is positive");
        }
    }
}

#[test]
fn threads_change_no_bit() {
    for (rows, columns) in [(60, 60), (40, 1300), (1300, 70), (700, 300)] {
        let values = centred(rows, columns, 0.02);
        let one = components(&values, rows, columns, 1);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        for threads in [2, 3, 8] {
            let more = pool.install(|| components(&values, rows, columns, threads));
            assert!(one == more, "{rows} x {columns}, {threads} threads");
        }
    }
}

#[test]
fn a_zero_matrix_has_no_energy() {
    let found = components(&[0.0; 40], 8, 5, 1);
    assert_eq!(found.energies, [0.0; 5]);
    assert_eq!(found.scores, vec![vec![0.0; 8]; 3]);
}
