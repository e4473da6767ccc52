//! Chores of the repository: generated documents, made-up checkpoints, benchmarks.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for developers")]

mod bench;
mod browse_test;
mod browser_test;
mod docs;
mod synth;
mod vendor;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write docs/metrics.md, docs/findings.md and docs/report.schema.json from the code
    Docs {
        /// Write nothing; fail when one of them is not current
        #[arg(long)]
        check: bool,
    },
    /// Fetch the script library that the HTML report embeds, and renew its checksum
    Vendor {
        /// Write nothing; fail when it is not what its makers publish
        #[arg(long)]
        check: bool,
    },
    /// Read HTML reports in a headless Chromium, if one is installed
    BrowserTest(browser_test::BrowserTestArgs),
    /// Drive `ws-cli browse` in tmux, if it is installed
    BrowseTest,
    /// Write a checkpoint of a real model's shape with made-up weights
    Synth(synth::SynthArgs),
    /// Measure how fast the project is, beside its peers
    #[command(subcommand)]
    Bench(bench::Bench),
    /// One method of a benchmark, in a process of its own
    #[command(hide = true)]
    Method(bench::MethodArgs),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(lines) => {
            for line in lines {
                println!("{line}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What there is to say when all went well.
fn run(command: Command) -> Result<Vec<String>> {
    match command {
        Command::Docs { check } => {
            let written = docs::run(&root(), check).map_err(|message| anyhow!(message))?;
            Ok(written.iter().map(|name| format!("wrote {name}")).collect())
        }
        Command::Vendor { check } => vendor::run(&root(), check),
        Command::BrowserTest(args) => browser_test::run(&args, &root()),
        Command::BrowseTest => browse_test::run(&root()),
        Command::Synth(args) => synth::run(&args),
        Command::Bench(bench) => bench::run(&bench, &root()),
        Command::Method(args) => Ok(vec![bench::run_method(&args)?]),
    }
}

/// Says how far a long chore is.
fn note(text: &str) {
    eprintln!("{text}");
}

/// The repository's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Cores that this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
