//! The command line of WeightScope as a library: a program with analyzers of its own calls [`run`] with
//! its registry and has everything that `ws-cli` has.
//!
//! ```no_run
//! # use weightscope::builtin_registry;
//! fn main() -> std::process::ExitCode {
//!     weightscope_cli::run(std::env::args_os(), &|| builtin_registry() /* .with(MyAnalyzer) */)
//! }
//! ```
//!
//! Exit codes: 0 complete; 1 findings at or above `--fail-on`, changes above `--fail-on-change`, or a budget that cannot be met; 2 usage (also globs that leave no weight, and
//! `--resume` with the journal of another run); 3 partial; 4 rejected; 5 a report or its journal could not be
//! written; 130 and 143 interrupted. A later one wins: 130 over 5 over 4 over 3 over 1.
#![forbid(unsafe_code)]

mod args;
#[cfg_attr(not(feature = "tui"), path = "no_browse.rs")]
mod browse;
mod config;
#[cfg_attr(not(feature = "hub"), path = "no_download.rs")]
mod download;
mod exit;
mod explain;
mod info;
mod inputs;
mod job;
mod output;
mod plan;
mod plot;
mod progress;
mod report;
mod saved;
mod scan;
mod signals;
mod write;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use weightscope::Registry;

use crate::args::{Cli, Command};
use crate::exit::Exit;
use crate::job::Job;

/// Parses `arguments` (the first is the program's name), does what they say, and returns the exit code.
/// `registry` makes the analyzers.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    registry: &dyn Fn() -> Registry,
) -> ExitCode {
    // A panic in an analyzer is caught and reported as an error of one weight; nobody needs a backtrace.
    std::panic::set_hook(Box::new(|_| {}));
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            output::print_usage(&error);
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let outcome =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| dispatch(cli, registry)));
    let exit = outcome.unwrap_or_else(|_| {
        output::complain("internal error; please report it with the command line");
        Exit::Rejected
    });
    exit.into()
}

fn dispatch(cli: Cli, registry: &dyn Fn() -> Registry) -> Exit {
    match cli.command {
        Command::Scan(args) => scan::run(Job::Scan(*args), registry()),
        Command::Compare(args) => scan::run(Job::Compare(*args), registry()),
        Command::Info(args) => info::run(&args),
        Command::Plot(args) => plot::run(&args, &registry()),
        Command::Plan(args) => plan::run(&args, registry()),
        Command::Report(args) => report::run(&args, &registry()),
        #[cfg(feature = "tui")]
        Command::Browse(args) => browse::run(&args, &registry()),
        Command::Explain(args) => explain::run(&args, &registry()),
        Command::Analyzers(args) => explain::list(args, &registry()),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "ws-cli", &mut script);
            output::print(&String::from_utf8_lossy(&script))
        }
    }
}

/// The README's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
