//! What goes to the terminal, and where it must not break.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use anstream::ColorChoice;
use weightscope::report::{RenderOptions, escape};
use weightscope::{Descriptor, ErrorRecord};

use crate::args::{ColorArg, ShownArgs};
use crate::exit::Exit;

/// Columns of a page when stdout is no terminal.
const PIPED_WIDTH: usize = 100;

/// Prints to stdout. A reader that closed it early has seen enough: that is no error.
pub(crate) fn print(text: &str) -> Exit {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Exit::Complete,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Complete,
        Err(error) => {
            complain(&format!("standard output: {error}"));
            Exit::Unwritten
        }
    }
}

/// Says on stderr what went wrong: `ws-cli: <message>`, made harmless.
pub(crate) fn complain(message: &str) {
    // Nothing can be done when stderr is closed.
    let _ = writeln!(io::stderr().lock(), "ws-cli: {}", escape::terminal_within(message, 2000));
}

/// Says what could not be read or measured, with a limit. Codes that are not decoded are so for one reason, which is
/// said once.
pub(crate) fn complain_of(errors: &[ErrorRecord]) {
    const MOST: usize = 20;
    let is_codes = |error: &ErrorRecord| error.code == "not-decoded";
    let mut groups: Vec<(&ErrorRecord, usize)> = Vec::new();
    for error in errors {
        match groups.last_mut() {
            Some((first, count)) if first.message == error.message && is_codes(error) => {
                *count += 1;
            }
            _ => groups.push((error, 1)),
        }
    }
    for (error, count) in groups.iter().take(MOST) {
        let more = if *count > 1 { format!(" and {} more", count - 1) } else { String::new() };
        complain(&format!("{}{more}: {}", error.name, error.message));
    }
    match groups.iter().skip(MOST).map(|(_, count)| count).sum() {
        0 => {}
        1 => complain("and 1 more error"),
        more => complain(&format!("and {more} more errors")),
    }
}

/// Several paths are the shards of one checkpoint; two models in one report would be a muddle.
pub(crate) fn check_inputs(paths: &[PathBuf]) -> Result<(), String> {
    let folder = paths.iter().find(|path| path.is_dir()).filter(|_| paths.len() > 1);
    folder.map_or(Ok(()), |folder| {
        let folder = folder.display();
        Err(format!(
            "{folder}: a folder goes alone; several paths are the shards of one checkpoint"
        ))
    })
}

/// Prints what clap has to say: help and version, which are "errors" that go to stdout, or what is wrong
/// with the command line. A closed stream is fine.
pub(crate) fn print_usage(error: &clap::Error) {
    let text = error.render().to_string();
    // A wrong argument is quoted; a shell's glob may have put a hostile file name there.
    if text.chars().any(|c| c != '\n' && escape::is_hidden(c)) {
        let mut stderr = io::stderr().lock();
        for line in text.lines() {
            let _ = writeln!(stderr, "{}", escape::terminal_within(line, 2000));
        }
    } else {
        let _ = error.print();
    }
}

/// Rows and entries that are shown unless asked for others.
const TOP: usize = 10;
/// Lines of an answer that is to be read at a glance.
const SCREEN: usize = 40;

/// The same for a report, of which a person is shown as much as was asked for.
pub(crate) fn report_options<'a>(
    color: ColorArg,
    shown: ShownArgs,
    descriptors: &'a [&'a Descriptor],
) -> RenderOptions<'a> {
    RenderOptions {
        // Whoever says how many wants to see them.
        lines: if shown.top.is_none() { Some(SCREEN) } else { None },
        all: shown.all,
        tables: shown.tables,
        ..render_options(color, shown.top.unwrap_or(TOP), descriptors)
    }
}

/// Whether to colour what is written to a stream.
pub(crate) fn is_colored(color: ColorArg, stream: &impl anstream::stream::RawStream) -> bool {
    match color {
        ColorArg::Always => true,
        ColorArg::Never => false,
        // Asks NO_COLOR, CLICOLOR, TERM and whether it is a terminal.
        ColorArg::Auto => anstream::AutoStream::choice(stream) != ColorChoice::Never,
    }
}

/// Whether to colour, and how wide a page is.
pub(crate) fn render_options<'a>(
    color: ColorArg,
    top: usize,
    descriptors: &'a [&'a Descriptor],
) -> RenderOptions<'a> {
    let color = is_colored(color, &io::stdout());
    RenderOptions { width: width(), color, top, descriptors, ..RenderOptions::default() }
}

/// The terminal's width; `COLUMNS` or 100 when stdout is none.
fn width() -> usize {
    let asked =
        std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).filter(|w| *w >= 20);
    let terminal =
        || terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
    let measured = if io::stdout().is_terminal() { terminal() } else { None };
    measured.or(asked).unwrap_or(PIPED_WIDTH).clamp(40, 400)
}
