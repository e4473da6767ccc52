//! `ws-cli info`: what a checkpoint is, from its headers.

use weightscope::report::{Format, Info, render_info};
use weightscope::{SourceRecord, TensorSource, WalkOptions, open};

use crate::args::InfoArgs;
use crate::exit::Exit;
use crate::output;

pub(crate) fn run(args: &InfoArgs) -> Exit {
    if let Err(message) = output::check_inputs(&args.paths) {
        output::complain(&message);
        return Exit::Usage;
    }
    let opened = match open(&args.paths, WalkOptions::default(), false) {
        Ok(opened) => opened,
        Err(error) => {
            output::complain(&error.to_string());
            return Exit::Rejected;
        }
    };
    let metadata = opened.checkpoint.metadata();
    let source = SourceRecord::of(metadata);
    let info = Info {
        graph: &opened.graph,
        entries: opened.checkpoint.entries(),
        source: &source,
        errors: &metadata.errors,
        parts: args.verbose,
    };
    let options = output::render_options(args.color.color, usize::MAX, &[]);
    let status = if metadata.errors.is_empty() { Exit::Complete } else { Exit::Partial };
    if args.quiet || args.format != Format::Table {
        output::complain_of(&metadata.errors);
    }
    if args.quiet {
        return status;
    }
    match render_info(&info, args.format, &options) {
        Ok(text) => status.max(output::print(&text)),
        Err(error) => {
            output::complain(&error.to_string());
            Exit::Unwritten
        }
    }
}
