//! plotly.js, which the HTML report embeds: fetched as its makers publish it, and held against its checksum.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use sha2::{Digest as _, Sha256};

/// The package and its version.
const PACKAGE: &str = "plotly.js-cartesian-dist-min@4.1.1";
/// What of it is kept.
const FILES: [&str; 2] = ["plotly-cartesian.min.js", "LICENSE"];
/// Folder in the repository.
const FOLDER: &str = "crates/report/vendor/plotly";
/// File with a line for each: hash, two spaces, name, as `sha256sum --check` reads it.
const CHECKSUMS: &str = "checksums.sha256";

/// Fetches the package anew; with `check` nothing is written, and a difference is an error.
pub(crate) fn run(root: &Path, check: bool) -> Result<Vec<String>> {
    let folder = root.join(FOLDER);
    verify(&folder)?;
    let fetched = tempfile::tempdir()?;
    fetch(fetched.path())?;
    let package = fetched.path().join("package");
    let mut lines = Vec::new();
    let mut sums = String::new();
    for name in FILES {
        let new = fs::read(package.join(name)).with_context(|| format!("{PACKAGE}: {name}"))?;
        let old = fs::read(folder.join(name)).unwrap_or_default();
        writeln!(sums, "{}  {name}", hash(&new))?;
        if new == old {
            lines.push(format!("{name} is as published"));
        } else if check {
            bail!("{FOLDER}/{name} is not what {PACKAGE} publishes");
        } else {
            fs::write(folder.join(name), new)?;
            lines.push(format!("renewed {FOLDER}/{name}"));
        }
    }
    if !check {
        fs::write(folder.join(CHECKSUMS), sums)?;
    }
    Ok(lines)
}

/// Whether the files in the repository are those of the checksums; asks no network.
fn verify(folder: &Path) -> Result<()> {
    let sums = fs::read_to_string(folder.join(CHECKSUMS))
        .with_context(|| format!("{FOLDER}/{CHECKSUMS}"))?;
    for line in sums.lines() {
        let (sum, name) = line.split_once("  ").context("a line is no checksum")?;
        let bytes = fs::read(folder.join(name)).with_context(|| format!("{FOLDER}/{name}"))?;
        ensure!(hash(&bytes) == sum, "{FOLDER}/{name} is not what its checksum says");
    }
    Ok(())
}

fn fetch(into: &Path) -> Result<()> {
    let run = |program: &str, arguments: &[&str]| -> Result<String> {
        let output = Command::new(program).args(arguments).current_dir(into).output();
        let output = output.with_context(|| format!("{program} is needed to fetch {PACKAGE}"))?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program}: {}", complaint.trim());
        Ok(String::from_utf8(output.stdout)?)
    };
    let archive = run("npm", &["pack", "--silent", PACKAGE])?;
    run("tar", &["xzf", archive.trim()])?;
    Ok(())
}

fn hash(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        // Writing to a string never fails.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn vendored_files_are_those_of_their_checksums() {
        super::verify(&crate::root().join(super::FOLDER)).unwrap();
    }
}
