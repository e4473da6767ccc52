//! `ws-cli plot`: one weight, or a window of it, as a page.

use std::ops::Range;
use std::path::PathBuf;

use clap::Args;
use weightscope::report::{render_figure_page, render_figures_json, write_atomic};
use weightscope::{PlotError, PlotRequest, Registry, RunOptions, WalkOptions, open, plot};

use crate::args::{DisplayArgs, HubArgs};
use crate::exit::Exit;
use crate::inputs::{Inputs, Wish};
use crate::output::complain;
use crate::scan;
use crate::signals::Signals;

#[derive(Debug, Args)]
pub(crate) struct PlotArgs {
    /// A file (.safetensors, .gguf, or PyTorch's .bin, .pt, .pth, .ckpt), a model folder, or the shards of one checkpoint
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// The weight: its name, or an end of it that no other has; NAME#q, #k, #v of a fused one
    #[arg(short, long, value_name = "NAME")]
    weight: String,
    /// heatmap, trace, histogram, spectrum, eigenvalues, pca, .. or an analyzer for all that it draws
    #[arg(short, long, value_name = "FIGURE", default_value = "heatmap")]
    figure: String,
    /// Only these rows (output units; positions of a table), such as 0:300, :300 or 300:
    #[arg(long, value_name = "FROM:TO", value_parser = span)]
    rows: Option<Span>,
    /// Only these columns (input features; dimensions of a table)
    #[arg(long, value_name = "FROM:TO", value_parser = span)]
    cols: Option<Span>,
    /// Columns that a trace follows over the rows
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    dims: Vec<u64>,

    /// Write the page here; .json for the numbers
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Worker threads [default: one per core]
    #[arg(long, value_name = "N")]
    threads: Option<u16>,

    #[command(flatten)]
    hub: HubArgs,
    #[command(flatten)]
    display: DisplayArgs,
}

/// A range whose ends may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    from: u64,
    to: Option<u64>,
}

fn span(text: &str) -> Result<Span, String> {
    let wrong = || format!("{text} is no range; write FROM:TO, such as 0:300");
    let (from, to) = text.split_once(':').ok_or_else(wrong)?;
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong());
    let from = if from.is_empty() { 0 } else { number(from)? };
    let to = if to.is_empty() { None } else { Some(number(to)?) };
    if to.is_some_and(|to| to <= from) {
        return Err(format!("{text} is empty"));
    }
    Ok(Span { from, to })
}

impl Span {
    fn range(self) -> Range<u64> {
        self.from..self.to.unwrap_or(u64::MAX)
    }
}

pub(crate) fn run(args: &PlotArgs, registry: &Registry) -> Exit {
    match draw(args, registry) {
        Ok(()) => Exit::Complete,
        Err((exit, message)) => {
            complain(&message);
            exit
        }
    }
}

fn draw(args: &PlotArgs, registry: &Registry) -> Result<(), (Exit, String)> {
    let usage = |message: String| (Exit::Usage, message);
    let ending = args.output.extension().map(|e| e.to_string_lossy().to_lowercase());
    let as_json = match ending.as_deref() {
        Some("html" | "htm") => false,
        Some("json") => true,
        _ => {
            let path = args.output.display();
            return Err(usage(format!("{path}: a figure is written as .html or .json")));
        }
    };
    let wish =
        Wish { download: args.hub.downloads(), progress: !args.display.quiet, headers: None };
    let inputs = Inputs::of_one(&args.paths, wish).map_err(|why| (why.exit, why.message))?;
    scan::check_output(&args.output, &inputs.paths)?;
    let signals = Signals::install();
    // The parts of a fused weight have names only when they are walked apart.
    let split_fused = args.weight.contains('#');
    let opened = open(&inputs.paths, WalkOptions { split_fused, ..WalkOptions::default() }, false)
        .map_err(|error| (Exit::Rejected, error.to_string()))?;
    let request = PlotRequest {
        weight: args.weight.clone(),
        figure: args.figure.clone(),
        rows: args.rows.map(Span::range),
        columns: args.cols.map(Span::range),
        dims: args.dims.clone(),
    };
    let options = RunOptions {
        threads: usize::from(args.threads.unwrap_or(0)),
        cancel: signals.cancel(),
        timings: false,
        ..RunOptions::default()
    };
    let figures =
        plot(&opened.checkpoint, &opened.graph, registry, &request, &options).map_err(|error| {
            match error {
                PlotError::Failed { .. } if options.cancel.is_cancelled() => {
                    (signals.exit(), "interrupted".to_owned())
                }
                PlotError::Failed { .. } | PlotError::Engine(_) => {
                    (Exit::Partial, error.to_string())
                }
                _ => usage(error.to_string()),
            }
        })?;
    let title = format!("{} of {}", args.figure, args.weight);
    let page =
        if as_json { render_figures_json(&figures) } else { render_figure_page(&figures, &title) };
    let page = page.map_err(|error| (Exit::Unwritten, error.to_string()))?;
    write_atomic(&args.output, page.as_bytes())
        .map_err(|error| (Exit::Unwritten, error.to_string()))?;
    if args.display.verbose {
        let names: Vec<&str> = figures.iter().map(|figure| figure.id.as_ref()).collect();
        complain(&format!("{}: {}", args.output.display(), names.join(", ")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_with_and_without_ends() {
        assert_eq!(span("3:9").map(Span::range), Ok(3..9));
        assert_eq!(span(":9").map(Span::range), Ok(0..9));
        assert_eq!(span("3:").map(Span::range), Ok(3..u64::MAX));
        for wrong in ["3", "3:3", "9:3", "a:b", "-1:3", "1:2:3"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}
