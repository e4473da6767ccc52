//! Whole scans by the built program, on one thread and on several: the time falls, the bytes stay.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use super::table::markdown;
use super::{best, machine, median, seconds};
use crate::synth::{self, Preset};

/// What to scan.
#[derive(Clone, Debug, Args)]
pub(crate) struct ScalingArgs {
    /// A checkpoint
    #[arg(long, value_name = "PATH", conflicts_with = "preset")]
    model: Option<PathBuf>,
    /// A synthetic checkpoint, made for the purpose
    #[arg(long, default_value = "moe")]
    preset: Preset,
    /// Only these analyzers, as ws-cli takes them
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    analyzers: Option<String>,
    /// The most threads [default: one per core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Turns
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    repeat: u16,
    /// Append the result to docs/benchmarks.md
    #[arg(long)]
    pub(super) keep: bool,
}

/// Runs everything; Markdown.
pub(super) fn run(args: &ScalingArgs) -> Result<String> {
    let program = build()?;
    let most = args.threads.unwrap_or_else(crate::cores).max(1);
    let folder = tempfile::tempdir()?;
    let (model, name) = if let Some(path) = &args.model {
        (path.clone(), path.file_name().unwrap_or_default().display().to_string())
    } else {
        let path = folder.path().join("model");
        synth::write_preset(args.preset, &path)?;
        (path, format!("the synthetic {:?}", args.preset))
    };
    let mut text = String::new();
    for line in machine::describe() {
        let _ = writeln!(text, "* {line}");
    }
    let analyzers = args.analyzers.as_deref();
    let _ = writeln!(
        text,
        "* {name}, {}, {} turns after one that is not counted",
        analyzers.map_or_else(|| "all analyzers".to_owned(), |list| format!("analyzers {list}")),
        args.repeat
    );
    // Fills the page cache, and says what all others must say.
    let (_, expected) = scan(&program, &model, analyzers, most)?;
    let counts = counts(most);
    let mut times = vec![Vec::new(); counts.len()];
    for turn in 1..=args.repeat {
        for (threads, times) in counts.iter().zip(&mut times) {
            let (seconds, report) = scan(&program, &model, analyzers, *threads)?;
            ensure!(report == expected, "{threads} and {most} threads give different reports");
            crate::note(&format!("{turn}/{}: {threads} threads {seconds:.3} s", args.repeat));
            times.push(seconds);
        }
    }
    let alone = median(&times[0]);
    let rows: Vec<Vec<String>> = counts
        .iter()
        .zip(&times)
        .map(|(threads, times)| {
            let speed_up = alone / median(times);
            vec![
                threads.to_string(),
                seconds(median(times)),
                seconds(best(times)),
                format!("{speed_up:.2}"),
                format!("{:.0} %", 100.0 * speed_up / *threads as f64),
            ]
        })
        .collect();
    let head = ["threads", "median s", "best s", "speed-up", "efficiency"];
    let _ = write!(text, "\n{}", markdown(&head, &rows));
    let _ = writeln!(text, "\nThe reports, {} bytes of JSON, are identical.", expected.len());
    Ok(text)
}

/// All up to eight, then powers of two, and the most.
fn counts(most: usize) -> Vec<usize> {
    let mut counts: Vec<usize> =
        (1..=most).filter(|count| *count <= 8 || count.is_power_of_two()).collect();
    if counts.last() != Some(&most) {
        counts.push(most);
    }
    counts
}

/// Seconds of a scan, and its report.
fn scan(
    program: &Path,
    model: &Path,
    analyzers: Option<&str>,
    threads: usize,
) -> Result<(f64, Vec<u8>)> {
    let mut command = Command::new(program);
    command.arg("scan").arg(model).args(["--format", "json", "--no-timings", "--no-progress"]);
    command.args(["--threads", &threads.to_string()]);
    if let Some(analyzers) = analyzers {
        command.arg(format!("--analyzers={analyzers}"));
    }
    let start = Instant::now();
    let out = command.output().with_context(|| program.display().to_string())?;
    let seconds = start.elapsed().as_secs_f64();
    if !out.status.success() {
        bail!("ws-cli scan: {}\n{}", out.status, String::from_utf8_lossy(&out.stderr));
    }
    Ok((seconds, out.stdout))
}

/// The release build of ws-cli, which lies beside this program.
fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["build", "--release", "--quiet", "--package", "weightscope-cli"];
    let status = Command::new(cargo).args(arguments).current_dir(crate::root()).status()?;
    ensure!(status.success(), "ws-cli does not build");
    let program =
        std::env::current_exe()?.with_file_name(format!("ws-cli{}", std::env::consts::EXE_SUFFIX));
    ensure!(program.is_file(), "there is no {}", program.display());
    Ok(program)
}

#[cfg(test)]
mod tests {
    #[test]
    fn counts_of_threads() {
        assert_eq!(super::counts(1), [1]);
        assert_eq!(super::counts(5), [1, 2, 3, 4, 5]);
        assert_eq!(super::counts(20), [1, 2, 3, 4, 5, 6, 7, 8, 16, 20]);
    }
}
