//! `cargo xtask bench`: how fast the project is, side by side with its peers, and how it scales.
//!
//! docs/benchmarks.md says how to read the results, and keeps them.

mod machine;
mod matrices;
mod method;
mod peers;
mod scaling;
mod spectra;
mod table;

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use clap::Subcommand;

pub(crate) use method::{MethodArgs, run as run_method};

/// What to measure.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Bench {
    /// Singular values by this project and by its peers
    Spectra(spectra::SpectraArgs),
    /// Whole scans on one thread and on several
    Scaling(scaling::ScalingArgs),
}

/// Measures; the results as Markdown.
pub(crate) fn run(bench: &Bench, root: &Path) -> Result<Vec<String>> {
    ensure!(!cfg!(debug_assertions), "times of a debug build mean nothing: use cargo xtask");
    let (title, keep, text) = match bench {
        Bench::Spectra(args) => {
            ("singular values", args.keep, spectra::run(args, &root.join("xtask/python/peers.py"))?)
        }
        Bench::Scaling(args) => ("scaling of scans", args.keep, scaling::run(args)?),
    };
    let mut lines = vec![text.clone()];
    if keep {
        let path = root.join("docs/benchmarks.md");
        let section = format!("\n## {}: {title}\n\n{text}", machine::today());
        let append =
            || fs::OpenOptions::new().append(true).open(&path)?.write_all(section.as_bytes());
        append().with_context(|| path.display().to_string())?;
        lines.push(format!("kept in {}", path.display()));
    }
    Ok(lines)
}

/// The middle one, or the mean of the middle two; NaN of nothing.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count if count.is_multiple_of(2) => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
        count => sorted[count / 2],
    }
}

fn best(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, f64::min)
}

/// Seconds with four digits.
fn seconds(value: f64) -> String {
    let digits =
        if value >= 100.0 { 1 } else { (3.0 - value.log10().floor()).clamp(2.0, 5.0) as usize };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_minima() {
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0, 2.0, 3.0])), (2.0, 2.5));
        assert_eq!(best(&[3.0, 1.0, 2.0]), 1.0);
        assert!(median(&[]).is_nan() && best(&[]).is_nan());
    }

    #[test]
    fn seconds_have_four_digits() {
        let text = [132.81, 12.345, 1.2345, 0.012_345].map(seconds);
        assert_eq!(text, ["132.8", "12.35", "1.234", "0.01235"]);
    }
}
