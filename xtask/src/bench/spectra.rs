//! Singular values by every method, side by side.
//!
//! Every run is a process of its own, because thread pools of different libraries disturb each other, and
//! methods take turns, so that a change in the machine's load meets all of them. Ratios are medians of
//! ratios within one turn.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::Value;
use weightscope_linalg::{Options, cost};

use super::matrices::{self, Size};
use super::peers::{self, Bench, OURS, Peer, REFERENCE, SINGLE, WEIGHTWATCHER};
use super::table::markdown;
use super::{best, machine, median, seconds};

/// What to compare.
#[derive(Clone, Debug, Args)]
pub(crate) struct SpectraArgs {
    /// A Python that has scipy, torch or weightwatcher: its methods join in
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Sizes of single matrices
    #[arg(long, value_delimiter = ',', default_values = ["4096x4096", "11008x4096"])]
    sizes: Vec<Size>,
    /// Threads for every method [default: one per core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Turns
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    repeat: u16,
    /// Leave out the 48 matrices of GPT-2
    #[arg(long)]
    no_gpt2: bool,
    /// Append the result to docs/benchmarks.md
    #[arg(long)]
    pub(super) keep: bool,
}

/// What one method took.
struct Times {
    peer: Peer,
    seconds: Vec<f64>,
    peak_mb: f64,
    /// Of the first turn.
    values: Vec<f64>,
    /// Why there are no more.
    failure: Option<String>,
}

/// Runs everything; Markdown.
pub(super) fn run(args: &SpectraArgs, script: &Path) -> Result<String> {
    let threads = args.threads.unwrap_or_else(crate::cores).max(1);
    let mut text = String::new();
    for line in machine::describe() {
        let _ = writeln!(text, "* {line}");
    }
    let mut has = Value::Null;
    if let Some(python) = &args.python {
        has = peers::versions(python, script)?;
        let versions = has.as_object().into_iter().flatten();
        let list: Vec<String> =
            versions.map(|(name, v)| format!("{name} {}", v.as_str().unwrap_or("?"))).collect();
        let _ = writeln!(text, "* {}", list.join(", "));
    }
    let _ = writeln!(text, "* {threads} threads, {} turns", args.repeat);

    let installed = |peer: &&Peer| {
        let library = peer.name.split('-').next().unwrap_or(peer.name);
        !peer.python || has.get(library).is_some()
    };
    let single: Vec<Peer> = SINGLE.iter().filter(installed).copied().collect();
    let mut cases: Vec<(String, Vec<Size>, Vec<Peer>)> =
        args.sizes.iter().map(|size| (size.to_string(), vec![*size], single.clone())).collect();
    let set: Vec<Peer> = [OURS, WEIGHTWATCHER].iter().filter(installed).copied().collect();
    if !args.no_gpt2 {
        cases.push(("the 48 matrices of GPT-2 small".to_owned(), matrices::gpt2(), set));
    }
    let folder = tempfile::tempdir()?;
    for (title, sizes, peers) in &cases {
        let data = folder.path().join("matrices.bf16");
        matrices::write(&data, sizes)?;
        let bench = Bench { python: args.python.as_deref(), script, sizes, data, threads };
        let (times, products) = turns(&bench, peers, args.repeat, title)?;
        let _ = write!(text, "\n### {title}\n\n{}", results(&times));
        text += &rates(&times, &products, &bench);
    }
    Ok(text)
}

/// All methods once, and again. Also GFLOP/s of faer's product, on one thread and on all.
fn turns(
    bench: &Bench<'_>,
    peers: &[Peer],
    repeat: u16,
    title: &str,
) -> Result<(Vec<Times>, Vec<[f64; 2]>)> {
    let start = |peer: &Peer| Times {
        peer: *peer,
        seconds: Vec::new(),
        peak_mb: f64::NAN,
        values: Vec::new(),
        failure: None,
    };
    let mut times: Vec<Times> = peers.iter().map(start).collect();
    let mut products = Vec::new();
    for turn in 1..=repeat {
        for times in &mut times {
            // A method that failed once is not asked again.
            if times.failure.is_some() {
                continue;
            }
            match one(bench, times, turn == 1) {
                Ok(seconds) => {
                    crate::note(&format!(
                        "{title}, {turn}/{repeat}: {} {seconds:.4} s",
                        times.peer.label
                    ));
                }
                Err(error) if times.peer.name == OURS.name => bail!(error),
                Err(error) => times.failure = Some(format!("{error:#}")),
            }
        }
        let speed = bench.run("faer-matmul", false, None)?;
        products.push(["one", "all"].map(|key| speed[key].as_f64().unwrap_or(f64::NAN)));
    }
    Ok((times, products))
}

/// One run.
fn one(bench: &Bench<'_>, times: &mut Times, keep_values: bool) -> Result<f64> {
    let path = bench.data.with_extension("values");
    let values = keep_values.then_some(path.as_path());
    let result = bench.run(times.peer.name, times.peer.python, values)?;
    let seconds = result["seconds"].as_f64().context("it does not say how long it took")?;
    times.seconds.push(seconds);
    times.peak_mb = times.peak_mb.max(result["peak_mb"].as_f64().unwrap_or(f64::NAN));
    if keep_values {
        let bytes = fs::read(&path)?;
        let (values, _) = bytes.as_chunks::<8>();
        times.values = values.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
        ensure!(
            times.values.iter().all(|value| value.is_finite()),
            "gave values that are not finite"
        );
    }
    Ok(seconds)
}

/// The table.
fn results(times: &[Times]) -> String {
    let ours = times.first().map_or(&[][..], |times| &times.seconds);
    let reference = times.iter().find(|t| t.peer.name == REFERENCE.name).map(|t| &t.values);
    let row = |times: &Times| {
        let mut row = vec![times.peer.label.to_owned()];
        if times.failure.is_some() {
            row.extend(["failed", "", "", "", ""].map(str::to_owned));
            return row;
        }
        let ratios: Vec<f64> =
            times.seconds.iter().zip(ours).map(|(own, ours)| own / ours).collect();
        let deviation = reference
            .filter(|reference| reference.len() == times.values.len())
            .map(|reference| largest_deviation(&times.values, reference));
        row.push(seconds(median(&times.seconds)));
        row.push(seconds(best(&times.seconds)));
        row.push(format!("{:.2}", median(&ratios)));
        row.push(format!("{:.0}", times.peak_mb));
        row.push(deviation.map_or_else(String::new, |deviation| format!("{deviation:.1e}")));
        row
    };
    let head = ["method", "median s", "best s", "ratio", "peak MB", "deviation"];
    let rows: Vec<Vec<String>> = times.iter().map(row).collect();
    let mut text = markdown(&head, &rows);
    for times in times {
        if let Some(failure) = &times.failure {
            let _ = write!(text, "\n{}: {failure}\n", times.peer.label);
        }
    }
    text
}

/// Largest relative difference of two spectra.
fn largest_deviation(values: &[f64], reference: &[f64]) -> f64 {
    let relative = |(value, reference): (&f64, &f64)| match (value - reference).abs() {
        0.0 => 0.0,
        difference => difference / reference,
    };
    values.iter().zip(reference).map(relative).fold(0.0, f64::max)
}

/// How near this project comes to the speed of a matrix product.
fn rates(times: &[Times], products: &[[f64; 2]], bench: &Bench<'_>) -> String {
    let [one, all] = [0, 1]
        .map(|which| median(&products.iter().map(|product| product[which]).collect::<Vec<_>>()));
    let work: f64 = bench
        .sizes
        .iter()
        .map(|size| cost(size.rows, size.columns, &Options::default()).flops)
        .sum();
    let ours = times.first().map_or(f64::NAN, |times| work / 1e9 / median(&times.seconds));
    format!(
        "\nfaer's f64 product does {one:.0} GFLOP/s on one thread and {all:.0} on {};\n\
         weightscope does its {:.3e} operations at {ours:.0} GFLOP/s, {:.2} of that.\n",
        bench.threads,
        work,
        ours / all
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviations_are_relative() {
        assert_eq!(largest_deviation(&[2.0, 0.5, 0.0], &[2.0, 0.25, 0.0]), 1.0);
        assert!(largest_deviation(&[1e-20], &[0.0]).is_infinite());
    }

    #[test]
    fn tables_say_how_many_times_longer() {
        let times = |peer, seconds: &[f64], values: &[f64]| Times {
            peer,
            seconds: seconds.to_vec(),
            peak_mb: 10.4,
            values: values.to_vec(),
            failure: None,
        };
        let mut all = vec![
            times(OURS, &[1.0, 2.0, 1.5], &[4.0, 1.0]),
            times(REFERENCE, &[5.0, 16.0, 7.5], &[4.0, 1.25]),
            times(SINGLE[1], &[], &[]),
        ];
        all[2].failure = Some("no luck".to_owned());
        let expected = "\
| method            | median s | best s | ratio | peak MB | deviation |
| ----------------- | -------: | -----: | ----: | ------: | --------: |
| weightscope       |    1.500 |  1.000 |  1.00 |      10 |    2.0e-1 |
| scipy svdvals f64 |    7.500 |  5.000 |  5.00 |      10 |     0.0e0 |
| faer svd f64      |   failed |        |       |         |           |

faer svd f64: no luck
";
        assert_eq!(results(&all), expected);
    }
}
