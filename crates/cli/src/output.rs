//! What goes to the terminal, and where it must not break.

use std::io::{self, IsTerminal, Write};

use anstream::ColorChoice;
use weightscope::Descriptor;
use weightscope::report::{RenderOptions, escape};

use crate::args::{ColorArg, DisplayArgs};
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

/// Whether to colour, and how wide a page is.
pub(crate) fn render_options<'a>(
    display: DisplayArgs,
    top: usize,
    descriptors: &'a [&'a Descriptor],
) -> RenderOptions<'a> {
    let color = match display.color {
        ColorArg::Always => true,
        ColorArg::Never => false,
        // Asks NO_COLOR, CLICOLOR, TERM and whether it is a terminal.
        ColorArg::Auto => anstream::AutoStream::choice(&io::stdout()) != ColorChoice::Never,
    };
    RenderOptions { width: width(), color, top, descriptors }
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
