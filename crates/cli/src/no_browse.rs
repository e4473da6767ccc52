//! Stands in for the terminal browser in a program without it: no flag leads here.

use weightscope::{Descriptor, Report};

use crate::args::ColorArg;
use crate::exit::Exit;
use crate::signals::Signals;

#[expect(clippy::unnecessary_wraps, reason = "as the browser has it")]
pub(crate) fn ready() -> Result<(), String> {
    Ok(())
}

pub(crate) fn open(_: Report, _: Vec<Descriptor>, _: ColorArg, signals: &Signals) -> Exit {
    signals.ask_only();
    Exit::Complete
}
