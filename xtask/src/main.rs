//! Chores of the repository: `cargo xtask docs` writes what is generated from the code.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for developers")]

mod docs;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask docs [--check]

  docs      write docs/metrics.md, docs/findings.md and docs/report.schema.json from the code
  --check   write nothing; fail when one of them is not current";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let check = match words[..] {
        ["docs"] => false,
        ["docs", "--check"] => true,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    match docs::run(&root, check) {
        Ok(written) => {
            for name in written {
                println!("wrote {name}");
            }
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
