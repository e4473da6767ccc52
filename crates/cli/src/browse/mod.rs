//! `ws-cli browse`: a report on the terminal, to look around in.

mod about;
mod app;
mod columns;
mod data;
mod detail;
mod figure;
mod filter;
mod findings;
mod frame;
mod list;
mod model;
mod plot;
mod terminal;
#[cfg(test)]
mod tests;
mod text;
mod theme;
mod weights;

use weightscope::{Descriptor, Registry, Report, SIBLINGS};

pub(crate) use self::terminal::ready;

use crate::args::{BrowseArgs, ColorArg};
use crate::exit::Exit;
use crate::output::{self, complain};
use crate::saved;
use crate::signals::Signals;

pub(crate) fn run(args: &BrowseArgs, registry: &Registry) -> Exit {
    if let Err(message) = ready() {
        complain(&message);
        return Exit::Usage;
    }
    let report = match saved::read(&args.path) {
        Ok(report) => report,
        Err(message) => {
            complain(&message);
            return Exit::Rejected;
        }
    };
    let descriptors = registry.descriptors().into_iter().copied().chain([SIBLINGS]).collect();
    open(report, descriptors, args.color.color, &Signals::install())
}

/// Shows `report` until the user has seen enough.
pub(crate) fn open(
    report: Report,
    descriptors: Vec<Descriptor>,
    color: ColorArg,
    signals: &Signals,
) -> Exit {
    let color = output::render_options(color, 0, &[]).color;
    terminal::show(&mut app::App::new(report, descriptors, color), signals)
}
