//! `ws-cli info`: what a checkpoint is, from its headers.

use weightscope::report::{Format, Info, render_info};
use weightscope::{SourceRecord, TensorSource, WalkOptions, open, open_parts};

use crate::args::InfoArgs;
use crate::exit::Exit;
use crate::inputs::{Inputs, Wish};
use crate::output;
use crate::signals::Signals;

pub(crate) fn run(args: &InfoArgs) -> Exit {
    let (download, progress) = (args.hub.downloads(), !args.quiet);
    // Of a model that has to be fetched headers are enough; they are put away when somebody ends that early.
    let is_named = args.paths.iter().any(|path| path.symlink_metadata().is_err());
    let signals = is_named.then(Signals::install);
    let wish = Wish { download, progress, headers: signals.as_ref() };
    let inputs = match Inputs::of_one(&args.paths, wish) {
        Ok(inputs) => inputs,
        Err(unresolved) => {
            output::complain(&unresolved.message);
            return unresolved.exit;
        }
    };
    let opened = match &inputs.paths[..] {
        [path] => open_parts(path, WalkOptions::default(), false),
        paths => open(paths, WalkOptions::default(), false).map(|one| vec![(String::new(), one)]),
    };
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) => {
            output::complain(&error.to_string());
            return Exit::Rejected;
        }
    };
    let options = output::render_options(args.color.color, usize::MAX, &[]);
    let mut status = Exit::Complete;
    let mut texts = Vec::new();
    for (_, opened) in &opened {
        let metadata = opened.checkpoint.metadata();
        let mut source = SourceRecord::of(metadata);
        inputs.name(&mut source);
        let info = Info {
            graph: &opened.graph,
            entries: opened.checkpoint.entries(),
            source: &source,
            errors: &metadata.errors,
            parts: args.verbose,
        };
        if !metadata.errors.is_empty() {
            status = Exit::Partial;
        }
        if args.quiet || args.format != Format::Table {
            output::complain_of(&metadata.errors);
        }
        match render_info(&info, args.format, &options) {
            Ok(text) => texts.push(text),
            Err(error) => {
                output::complain(&error.to_string());
                return Exit::Unwritten;
            }
        }
    }
    if args.quiet {
        return status;
    }
    let text = match &texts[..] {
        [_, _, ..] if args.format == Format::Json => {
            let parts: Vec<&str> = texts.iter().map(|text| text.trim_end()).collect();
            format!("[\n{}\n]\n", parts.join(",\n"))
        }
        _ => texts.join("\n"),
    };
    status.max(output::print(&text))
}
