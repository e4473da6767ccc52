//! `ws-cli`: look inside the weights of a language model.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    weightscope_cli::run(std::env::args_os(), &weightscope::builtin_registry)
}
