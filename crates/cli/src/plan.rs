//! `ws-cli plan quantize`: which format each weight should get.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, Subcommand};
use weightscope::plan::{
    ANALYZER, Form, Goal, Plan, PlanError, Request, Rule, Scheme, Target, UnknownTarget, export,
    figures, plan,
};
use weightscope::report::{render_figure_page, write_atomic};
use weightscope::{
    Registry, Report, ReportKind, RunOptions, Scan, ScanError, Status, default_budget,
};

use crate::args::{self, DisplayArgs, HubArgs};
use crate::exit::Exit;
use crate::inputs::{Inputs, Wish};
use crate::output::{self, complain};
use crate::progress::Progress;
use crate::signals::Signals;
use crate::{saved, scan};

mod text;

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Choose a format for every weight: the least error within a budget of bytes
    Quantize(Box<QuantizeArgs>),
}

const EXAMPLES: &str = "\
Examples:
  ws-cli scan model/ -o report.json
  ws-cli plan quantize report.json --target-bpw 5.5
  ws-cli plan quantize report.json --target-size 4GiB --for llama.cpp --write plan.sh
  ws-cli plan quantize model/ --min-sqnr 20 --for compressed-tensors --write recipe.yaml
  ws-cli plan quantize report.json --target-bpw 6 --rule embedding=keep -o plan.json -o plan.html

Rules: WHAT is matrix, embedding, head, position, router, norm, other, buffer or stored (matrices
that are already quantised); HOW is keep, auto, min8 (at least 8 bits per weight) or a scheme. norm,
router, position and stored are kept unless told otherwise, embedding and head have at least 8 bits.

--for: a plan is for one tool, and mixes only what its files hold and its loader takes. The default
is llama.cpp, whose files mix types tensor by tensor. A checkpoint in a quantised form that GGUF
does not have stays with the tool that reads it (bitsandbytes, or else compressed-tensors); with
--schemes it is the first tool that has them all. --for any compares every scheme: no program loads
such a mixture.

A checkpoint with damaged, cut, empty or missing tensors is refused (exit code 4) unless --force is
given; other critical findings stand first in every output, and the exit code stays 0.

--write: for llama.cpp .sh (a script) or .txt (for --tensor-type-file); for compressed-tensors .yaml
(a recipe of llm-compressor) or .json (quantization_config); for bitsandbytes .json (arguments of
BitsAndBytesConfig).";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(group(clap::ArgGroup::new("goal").required(true).args(["target_size", "target_bpw", "min_sqnr"])))]
struct QuantizeArgs {
    /// A JSON report of a scan, or what scan takes: a .safetensors file, a folder, or shards
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// At most this size of all tensors, such as 4GiB or 3.5GB
    #[arg(long, value_name = "SIZE", value_parser = args::size, help_heading = "What is wanted")]
    target_size: Option<u64>,
    /// At most this many bits of all tensors for each parameter
    #[arg(long, value_name = "BITS", help_heading = "What is wanted")]
    target_bpw: Option<f64>,
    /// For every weight the smallest format with at least this signal-to-noise ratio
    #[arg(long, value_name = "DB", help_heading = "What is wanted")]
    min_sqnr: Option<f64>,

    /// Whom it is for: llama.cpp, compressed-tensors (vLLM), bitsandbytes, or any [default: see below]
    #[arg(long = "for", id = "for", value_name = "TOOL", help_heading = "What may be used")]
    target: Option<Whom>,
    /// Only these schemes [default: all that the tool can store]
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = "What may be used")]
    schemes: Vec<Scheme>,
    /// Treat a class of weights otherwise, such as embedding=keep (repeatable)
    #[arg(long = "rule", value_name = "WHAT=HOW", help_heading = "What may be used")]
    rules: Vec<Rule>,
    /// Plan a checkpoint with damaged, cut, empty or missing tensors all the same
    #[arg(long, help_heading = "What may be used")]
    force: bool,

    /// Write the plan here as well: .json (everything), .html (figures) or .txt (repeatable)
    #[arg(short, long, value_name = "FILE", help_heading = "Files")]
    output: Vec<PathBuf>,
    /// Write a file that the tool reads; its ending says which (repeatable)
    #[arg(long, value_name = "FILE", requires = "for", help_heading = "Files")]
    write: Vec<PathBuf>,

    /// Worker threads [default: one per core]
    #[arg(long, value_name = "N", env = "WEIGHTSCOPE_THREADS", value_parser = clap::value_parser!(u16).range(1..=1024), help_heading = "How to scan")]
    threads: Option<u16>,
    /// Memory for measuring, such as 512MiB or 2G [default: a quarter of what there is]
    #[arg(long, value_name = "SIZE", env = "WEIGHTSCOPE_MEMORY", value_parser = args::size, help_heading = "How to scan")]
    memory: Option<u64>,
    /// No progress bar
    #[arg(long, help_heading = "How to scan")]
    no_progress: bool,
    #[command(flatten)]
    hub: HubArgs,

    #[command(flatten)]
    display: DisplayArgs,
}

/// What `--for` names.
#[derive(Clone, Copy, Debug)]
enum Whom {
    Tool(Target),
    /// Every scheme, which no program loads side by side.
    Any,
}

impl Whom {
    fn tool(self) -> Option<Target> {
        if let Self::Tool(target) = self { Some(target) } else { None }
    }
}

impl FromStr for Whom {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "any" => Ok(Self::Any),
            _ => name.parse().map(Self::Tool).map_err(|e: UnknownTarget| format!("{e}, and any")),
        }
    }
}

/// A file to be written.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Json,
    Html,
    Text,
    For(Form),
}

pub(crate) fn run(args: &PlanArgs, registry: Registry) -> Exit {
    let What::Quantize(args) = &args.what;
    let outcome = files(args).and_then(|files| {
        let (report, exit) = report(args, registry)?;
        let plan = plan(&report, &request(args, &report))
            .map_err(|error| unplanned(args, &report, &error))?;
        if let Some(warning) = plan.warning() {
            complain(&warning);
        }
        Ok(exit.max(show(args, &plan)).max(write(&plan, &files)))
    });
    outcome.unwrap_or_else(|(exit, message)| {
        complain(&message);
        exit
    })
}

fn request(args: &QuantizeArgs, report: &Report) -> Request {
    // The command line has exactly one of them.
    let goal = match (args.target_size, args.target_bpw) {
        (Some(bytes), _) => Goal::Bytes(bytes),
        (_, Some(bits)) => Goal::BitsPerWeight(bits),
        _ => Goal::MinSqnr(args.min_sqnr.unwrap_or(f64::NAN)),
    };
    let (target, target_reason) = if let Some(whom) = args.target {
        (whom.tool(), String::new())
    } else {
        let by_rules = args.rules.iter().filter_map(Rule::scheme);
        let named: Vec<Scheme> = args.schemes.iter().copied().chain(by_rules).collect();
        let (target, why) = Target::suggested(report, &named);
        (Some(target), why)
    };
    let (schemes, rules) = (args.schemes.clone(), args.rules.clone());
    Request { goal, target, target_reason, schemes, rules, force: args.force }
}

fn unplanned(args: &QuantizeArgs, report: &Report, error: &PlanError) -> (Exit, String) {
    let path = args.paths.first().map_or_else(String::new, |path| path.display().to_string());
    match error {
        PlanError::Budget { least, .. } => {
            let parameters = report.models.first().map_or(0, |model| model.parameters);
            // Upwards, so that what is named can be had.
            let nearest = (8e3 * *least as f64 / parameters.max(1) as f64).ceil() / 1e3;
            let hint = match args.target_bpw {
                Some(_) => format!("; the nearest that can be reached is --target-bpw {nearest}"),
                None => String::new(),
            };
            (Exit::Unmet, format!("{error}{hint}"))
        }
        PlanError::Scheme { .. } => {
            (Exit::Usage, format!("{error}; --for any has every scheme, for no program"))
        }
        PlanError::Goal { .. } | PlanError::OneFormat { .. } => (Exit::Usage, error.to_string()),
        PlanError::Broken { .. } => {
            (Exit::Rejected, format!("{path}: {error}; --force plans it all the same"))
        }
        _ => (Exit::Rejected, format!("{path}: {error}")),
    }
}

/// The files that were asked for, checked before anything is read.
fn files(args: &QuantizeArgs) -> Result<Vec<(PathBuf, Kind)>, (Exit, String)> {
    let usage = |message: String| Err((Exit::Usage, message));
    let ending = |path: &Path| {
        path.extension().map_or_else(String::new, |e| e.to_string_lossy().to_lowercase())
    };
    let mut files: Vec<(PathBuf, Kind)> = Vec::new();
    for path in &args.output {
        let kind = match ending(path).as_str() {
            "json" => Kind::Json,
            "html" | "htm" => Kind::Html,
            "txt" => Kind::Text,
            _ => {
                let path = path.display();
                return usage(format!("{path}: a plan is written as .json, .html or .txt"));
            }
        };
        files.push((path.clone(), kind));
    }
    for path in &args.write {
        let Some(target) = args.target.and_then(Whom::tool) else {
            return usage(format!(
                "{}: a file is written for a tool, and --for any is for none",
                path.display()
            ));
        };
        let Some(form) = Form::of(target, &ending(path)) else {
            let forms = Form::ALL.into_iter().filter(|form| form.target() == target);
            let endings: Vec<&str> = forms.filter_map(|f| f.endings().first().copied()).collect();
            return usage(format!(
                "{}: a file for {target} ends with .{}",
                path.display(),
                endings.join(" or .")
            ));
        };
        files.push((path.clone(), Kind::For(form)));
    }
    for (i, (path, _)) in files.iter().enumerate() {
        scan::check_output(path, &args.paths)?;
        if files.iter().take(i).any(|(other, _)| other == path) {
            return usage(format!("{}: two files cannot have one name", path.display()));
        }
    }
    Ok(files)
}

/// The saved report, or a scan; and how complete it is.
fn report(args: &QuantizeArgs, registry: Registry) -> Result<(Report, Exit), (Exit, String)> {
    let usage = |message: String| (Exit::Usage, message);
    let is_report = |path: &&PathBuf| {
        !path.is_dir() && path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json"))
    };
    let report = match args.paths.iter().find(is_report) {
        Some(path) if args.paths.len() == 1 => {
            let report = saved::read(path).map_err(|message| (Exit::Rejected, message))?;
            if report.kind == ReportKind::Compare {
                let why = "compares two checkpoints; a plan needs the report of a scan";
                return Err(usage(format!("{}: {why}", path.display())));
            }
            report
        }
        Some(path) => {
            return Err(usage(format!("{}: a report goes alone", path.display())));
        }
        None => measure(args, registry)?,
    };
    let exit = match report.status {
        Status::Complete => Exit::Complete,
        _ => Exit::Partial,
    };
    output::complain_of(&report.errors);
    Ok((report, exit))
}

/// Scans with the analyzers that a plan needs.
fn measure(args: &QuantizeArgs, registry: Registry) -> Result<Report, (Exit, String)> {
    let wish = Wish {
        download: args.hub.downloads(),
        progress: !args.no_progress && !args.display.quiet,
        headers: None,
    };
    let inputs = Inputs::of_one(&args.paths, wish).map_err(|why| (why.exit, why.message))?;
    for path in args.output.iter().chain(&args.write) {
        scan::check_output(path, &inputs.paths)?;
    }
    let known: Vec<&str> = registry.descriptors().iter().map(|d| d.id).collect();
    if !known.contains(&ANALYZER) {
        return Err((
            Exit::Usage,
            format!(
                "there is no analyzer \"{ANALYZER}\" to measure with; give a report that has it"
            ),
        ));
    }
    let needed = ["integrity", "distribution", ANALYZER];
    let choice: Vec<&str> = needed.into_iter().filter(|id| known.contains(id)).collect();
    let signals = Signals::install();
    let options = RunOptions {
        portraits: 0,
        threads: usize::from(args.threads.unwrap_or(0)),
        memory: args.memory.unwrap_or_else(default_budget),
        cancel: signals.cancel(),
        timings: false,
        ..RunOptions::default()
    };
    let display = args.display;
    let color = output::is_colored(display.color.color, &std::io::stderr());
    let mut progress = Progress::new(!args.no_progress && !display.quiet, display.verbose, color);
    let result = Scan::new(&inputs.paths)
        .registry(registry)
        .analyzers(choice)
        .options(options)
        .run_with(&mut |event| progress.observe(event));
    progress.finish();
    match result {
        Ok(report) if report.status == Status::Interrupted => {
            Err((signals.exit(), "interrupted: there is no plan".to_owned()))
        }
        Ok(mut report) => {
            report.sources.iter_mut().for_each(|source| inputs.name(source));
            Ok(report)
        }
        Err(ScanError::Load(error)) => Err((Exit::Rejected, error.to_string())),
        Err(error) => Err((Exit::Usage, error.to_string())),
    }
}

fn show(args: &QuantizeArgs, plan: &Plan) -> Exit {
    if args.display.quiet {
        return Exit::Complete;
    }
    let options = output::render_options(args.display.color.color, 10, &[]);
    output::print(&text::render(plan, options.width, options.color))
}

/// Writes every file; the worst that happened.
fn write(plan: &Plan, files: &[(PathBuf, Kind)]) -> Exit {
    let mut worst = Exit::Complete;
    for (path, kind) in files {
        let contents = match kind {
            Kind::Json => plan.to_json().map_err(|e| e.to_string()),
            // Files are for later: wide, and without colour.
            Kind::Text => Ok(text::render(plan, 120, false)),
            Kind::Html => {
                let title = format!("Quantisation plan of {}", plan.source);
                let title = match plan.warning() {
                    Some(warning) => format!("{title}: {warning}"),
                    None => title,
                };
                render_figure_page(&figures(plan), &title).map_err(|e| e.to_string())
            }
            Kind::For(form) => export(plan, *form).map_err(|e| e.to_string()),
        };
        let written = contents
            .and_then(|text| write_atomic(path, text.as_bytes()).map_err(|e| e.to_string()));
        if let Err(message) = written {
            complain(&message);
            worst = Exit::Unwritten;
        }
    }
    worst
}
