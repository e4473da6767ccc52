//! All methods by name, and one run of each in a process of its own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::machine;
use super::matrices::Size;

/// A method that gives singular values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// As `cargo xtask method` and peers.py call it.
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) python: bool,
}

const fn rust(name: &'static str, label: &'static str) -> Peer {
    Peer { name, label, python: false }
}

const fn python(name: &'static str, label: &'static str) -> Peer {
    Peer { name, label, python: true }
}

pub(super) const OURS: Peer = rust("ours", "weightscope");
pub(super) const WEIGHTWATCHER: Peer = python("weightwatcher", "weightwatcher analyze");
/// The most exact of the widespread ones: deviations are from it.
pub(super) const REFERENCE: Peer = python("scipy-f64", "scipy svdvals f64");
/// What is compared on single matrices.
pub(super) const SINGLE: &[Peer] = &[
    OURS,
    rust("faer-svd", "faer svd f64"),
    rust("faer-gram", "faer Gram + eigenvalues f64"),
    python("scipy-f32", "scipy svdvals f32"),
    REFERENCE,
    python("torch-f32", "torch svdvals f32"),
    python("torch-f64", "torch svdvals f64"),
];

/// Where methods run, and on what.
#[derive(Debug)]
pub(super) struct Bench<'a> {
    pub(super) python: Option<&'a Path>,
    pub(super) script: &'a Path,
    pub(super) sizes: &'a [Size],
    pub(super) data: PathBuf,
    pub(super) threads: usize,
}

impl Bench<'_> {
    /// One run of a method, by name. What it printed: `seconds` and `peak_mb`, or `one` and `all`.
    pub(super) fn run(&self, name: &str, is_python: bool, values: Option<&Path>) -> Result<Value> {
        let mut command = if let Some(python) = self.python.filter(|_| is_python) {
            let mut command = Command::new(python);
            command.arg(self.script);
            command
        } else {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("method");
            command
        };
        let sizes: Vec<String> = self.sizes.iter().map(Size::to_string).collect();
        command.arg(name).arg("--sizes").arg(sizes.join(",")).arg("--data").arg(&self.data);
        let threads = self.threads.to_string();
        command.args(["--threads", &threads]);
        for library in ["OMP", "OPENBLAS", "MKL"] {
            command.env(format!("{library}_NUM_THREADS"), &threads);
        }
        if let Some(core) = openblas_core() {
            command.env("OPENBLAS_CORETYPE", core);
        }
        if let Some(values) = values {
            command.arg("--values").arg(values);
        }
        output(&mut command)
    }
}

/// OpenBLAS as it is shipped takes its AVX2 kernels on processors that it does not know; this is its AVX-512.
fn openblas_core() -> Option<OsString> {
    std::env::var_os("OPENBLAS_CORETYPE")
        .or_else(|| machine::has_avx512().then(|| "SkylakeX".into()))
}

/// What a Python has, by name.
pub(super) fn versions(python: &Path, script: &Path) -> Result<Value> {
    output(Command::new(python).arg(script).arg("versions"))
        .with_context(|| format!("{} with numpy", python.display()))
}

/// The last line that a program prints, as JSON.
fn output(command: &mut Command) -> Result<Value> {
    let program = command.get_program().display().to_string();
    let out = command.output().with_context(|| program.clone())?;
    if !out.status.success() {
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        bail!("{program}: {}", text.lines().last().unwrap_or("failed without a word"));
    }
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    serde_json::from_str(text.lines().last().unwrap_or_default()).context(program)
}
