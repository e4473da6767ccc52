//! Where reports go: the terminal, and files.

use std::fs;
use std::path::{Path, PathBuf};

use weightscope::report::{Format, RenderOptions, render, write_atomic};
use weightscope::{Report, Status};

use crate::exit::Exit;
use crate::output::{self, complain};

/// Says early when a report cannot be written to `path`.
pub(crate) fn check_target(path: &Path) -> Result<(), (Exit, String)> {
    let unwritable = |why: &str| Err((Exit::Unwritten, format!("{}: {why}", path.display())));
    let folder = folder_of(path);
    let is_link = fs::symlink_metadata(path).is_ok_and(|m| m.is_symlink());
    if is_link && !path.exists() {
        return unwritable("is a symbolic link to nothing");
    }
    if !folder.is_dir() {
        return unwritable(&format!("there is no folder {}", folder.display()));
    }
    if let Ok(metadata) = fs::metadata(path) {
        if metadata.is_dir() {
            return unwritable("is a folder; name a file in it");
        }
        if !metadata.is_file() {
            return unwritable(
                "is not a regular file; reports are not written to devices or pipes",
            );
        }
    }
    Ok(())
}

pub(crate) fn folder_of(path: &Path) -> PathBuf {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

/// Prints the report, or with `quiet` only what went wrong.
pub(crate) fn print_report(
    report: &Report,
    format: Format,
    quiet: bool,
    options: &RenderOptions<'_>,
) -> Exit {
    // A rejected input was complained about; a table of nothing would add nothing.
    let is_table = format == Format::Table;
    let needless = is_table && report.status == Status::Rejected;
    let mut printed = Exit::Complete;
    if !quiet && !needless {
        printed = match render(report, format, options) {
            Ok(text) => output::print(&text),
            Err(error) => unwritten(&error.to_string()),
        };
    }
    if (quiet || !is_table) && report.status != Status::Rejected {
        output::complain_of(&report.errors);
    }
    printed
}

/// Writes every `-o`; the worst that happened.
pub(crate) fn write_reports(
    report: &Report,
    outputs: &[(PathBuf, Format)],
    options: &RenderOptions<'_>,
) -> Exit {
    let mut worst = Exit::Complete;
    // Files are for later: wide, without colour, and as long as need be.
    let file_options = RenderOptions { width: 120, color: false, lines: None, ..*options };
    for (path, format) in outputs {
        let outcome = render(report, *format, &file_options).map_err(|e| e.to_string());
        if let Err(message) =
            outcome.and_then(|text| write_atomic(path, text.as_bytes()).map_err(|e| e.to_string()))
        {
            worst = worst.max(unwritten(&message));
        }
    }
    worst
}

fn unwritten(message: &str) -> Exit {
    complain(message);
    Exit::Unwritten
}
