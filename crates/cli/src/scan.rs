//! `ws-cli scan` and `ws-cli compare`: a run, its reports and its exit code.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use weightscope::report::Format;
use weightscope::{
    Descriptor, EngineError, ErrorRecord, ErrorScope, Finding, JournalError, JournalFile, Key,
    PORTRAITS, Registry, Report, Run, RunOptions, SIBLINGS, ScanError, SchemaRecord, SeriesDetail,
    Settings, Severity, SourceRecord, Status, ToolRecord, Totals, default_budget,
};

use crate::args::{RunArgs, ShownArgs};
use crate::browse;
use crate::config::{self, Config};
use crate::exit::Exit;
use crate::inputs::Unresolved;
use crate::job::{Job, Setup};
use crate::output::{self, complain};
use crate::progress::Progress;
use crate::saved;
use crate::signals::Signals;
use crate::write::{self, folder_of};

/// What the command line asked for, checked.
struct Request {
    job: Job,
    settings: Settings,
    choice: Vec<String>,
    fail_on: Option<Severity>,
    baseline: Option<Report>,
    outputs: Vec<(PathBuf, Format)>,
}

impl Request {
    fn args(&self) -> &RunArgs {
        self.job.run_args()
    }
}

/// What a run of the library is given.
struct Prepared {
    registry: Registry,
    choice: Vec<String>,
    settings: Settings,
    options: RunOptions,
    mapped: bool,
    series: Option<SeriesDetail>,
}

impl Setup for Prepared {
    fn set_up<Input>(self, run: Run<Input>) -> Run<Input> {
        let run = run
            .registry(self.registry)
            .analyzers(self.choice)
            .settings(self.settings)
            .options(self.options)
            .mapped(self.mapped);
        match self.series {
            Some(series) => run.series(series),
            None => run,
        }
    }
}

pub(crate) fn run(job: Job, registry: Registry) -> Exit {
    if let Err(message) = if job.run_args().browses() { browse::ready() } else { Ok(()) } {
        complain(&message);
        return Exit::Usage;
    }
    let request = match prepare(job, &registry) {
        Ok(request) => request,
        Err((exit, message)) => {
            complain(&message);
            return exit;
        }
    };
    let args = request.args();
    let found = request.job.find().and_then(|inputs| {
        let written = |path| check_written(path, &inputs.paths);
        let clash = request.outputs.iter().try_for_each(|(path, _)| written(path));
        clash.map_err(|(exit, message)| Unresolved { exit, code: "overwritten", message })?;
        Ok(inputs)
    });
    let signals = Signals::install();
    let journal = request
        .outputs
        .first()
        .map(|(path, _)| JournalFile { path: journal_path(path), resume: args.resume });
    let tool =
        ToolRecord { name: "ws-cli".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let mut formats = request.outputs.iter().map(|(_, format)| *format);
    let draws = args.format.has_figures() || formats.any(Format::has_figures) || args.browses();
    let options = RunOptions {
        portraits: if draws { PORTRAITS } else { 0 },
        threads: usize::from(args.threads.unwrap_or(0)),
        memory: args.memory.unwrap_or_else(default_budget),
        cancel: signals.cancel(),
        journal: journal.clone(),
        timings: !args.no_timings,
        tool: tool.clone(),
    };
    let descriptors: Vec<Descriptor> =
        registry.descriptors().into_iter().copied().chain([SIBLINGS]).collect();
    let prepared = Prepared {
        registry,
        choice: request.choice.clone(),
        settings: request.settings.clone(),
        options,
        mapped: args.mmap,
        series: args.series.map(Into::into),
    };
    let display = args.display;
    let color = output::is_colored(display.color.color, &std::io::stderr());
    let mut progress = Progress::new(!args.no_progress && !display.quiet, display.verbose, color);
    let result = found.map(|inputs| {
        let result = request.job.run(&inputs, prepared, &mut |event| progress.observe(event));
        result.map(|report| (report, inputs))
    });
    progress.finish();
    let (report, exit) = match result {
        Err(Unresolved { exit: Exit::Rejected, code, message }) => {
            complain(&message);
            (rejected(&request, tool, None, code, message), Exit::Rejected)
        }
        Err(unresolved) => {
            complain(&unresolved.message);
            return unresolved.exit;
        }
        Ok(Ok((mut report, inputs))) => {
            report.sources.iter_mut().for_each(|source| inputs.name(source));
            if let Some(baseline) = &request.baseline {
                saved::mark_known(&mut report.findings, &baseline.findings);
            }
            // An empty export must not pass a gate as a healthy model.
            for (source, model) in report.sources.iter().zip(&report.models) {
                if model.tensors == 0 {
                    complain(&format!("{}: holds no tensors", source.path));
                    report.status = Status::Rejected;
                }
            }
            let exit = exit_of(&report, request.fail_on, &signals);
            (report, exit)
        }
        Ok(Err(ScanError::Load(error))) => {
            let message = error.to_string();
            complain(&message);
            (rejected(&request, tool, error.path(), error.code(), message), Exit::Rejected)
        }
        Ok(Err(ScanError::Engine(EngineError::Journal(error)))) => {
            complain(&error.to_string());
            // A journal of another run is a matter of what was asked for, not of the disk.
            return match error {
                JournalError::Mismatch { .. } => Exit::Usage,
                _ => Exit::Unwritten,
            };
        }
        Ok(Err(error)) => {
            complain(&error.to_string());
            return Exit::Usage;
        }
    };
    if let Some(message) = chose_nothing(&report) {
        complain(&message);
        if let Some(journal) = journal {
            let _ = fs::remove_file(journal.path);
        }
        return Exit::Usage;
    }
    let described: Vec<&Descriptor> = descriptors.iter().collect();
    let shown = ShownArgs { tables: args.shown.tables || display.verbose, ..args.shown };
    let render_options = output::report_options(display.color.color, shown, &described);
    let printed = write::print_report(&report, args.format, display.quiet, &render_options);
    let written = write::write_reports(&report, &request.outputs, &render_options);
    hint(&report, &request);
    let exit = exit.max(changed(&report, &request.job));
    // The journal is for going on: a finished run with written reports needs it no more.
    if let Some(journal) = journal {
        if report.status != Status::Interrupted && written == Exit::Complete {
            for part in report.sources.iter().filter_map(|source| source.part.as_deref()) {
                let _ = fs::remove_file(journal.of_part(part).path);
            }
            let _ = fs::remove_file(journal.path);
        } else if written != Exit::Complete && journal.path.exists() {
            let path = journal.path.display();
            complain(&format!("{path}: keeps what was measured; --resume takes it over"));
        }
    }
    exit.max(printed).max(written).max(look_around(report, args, descriptors, &signals))
}

/// Opens the browser when it was asked for and there is something to see.
fn look_around(
    report: Report,
    args: &RunArgs,
    descriptors: Vec<Descriptor>,
    signals: &Signals,
) -> Exit {
    if args.browses() && !matches!(report.status, Status::Rejected | Status::Interrupted) {
        browse::open(report, descriptors, args.display.color.color, signals)
    } else {
        Exit::Complete
    }
}

/// Globs that leave no weight are a slip: a report of nothing would look like a clean one.
fn chose_nothing(report: &Report) -> Option<String> {
    let Settings { include, exclude, .. } = &report.settings;
    let tensors: u64 = report.models.iter().map(|model| model.tensors).sum();
    if tensors == 0 || !report.weights.is_empty() || (include.is_empty() && exclude.is_empty()) {
        return None;
    }
    let list = |globs: &[String]| {
        globs.iter().map(|glob| format!("\"{glob}\"")).collect::<Vec<_>>().join(", ")
    };
    let paths: Vec<&str> = report.sources.iter().map(|source| source.path.as_str()).collect();
    let (paths, its) = (paths.join(" and "), if paths.len() > 1 { "their" } else { "its" });
    Some(if include.is_empty() {
        format!("{paths}: all of {its} {tensors} weights are excluded by {}", list(exclude))
    } else {
        let but = if exclude.is_empty() {
            String::new()
        } else {
            format!(" and is not excluded by {}", list(exclude))
        };
        format!("{paths}: none of {its} {tensors} weights matches {}{but}", list(include))
    })
}

/// Checks everything that can be wrong before a byte is read.
fn prepare(job: Job, registry: &Registry) -> Result<Request, (Exit, String)> {
    let usage = |message: String| (Exit::Usage, message);
    let (args, inputs) = (job.run_args(), job.typed());
    let config = Config::read(args.config.as_deref()).map_err(|error| usage(error.to_string()))?;
    let mut settings = Settings {
        include: if args.include.is_empty() {
            config.include.clone()
        } else {
            args.include.clone()
        },
        exclude: args.exclude.iter().chain(&config.exclude).cloned().collect(),
        split_fused: args.split_fused,
        ..Settings::default()
    };
    config
        .apply(args.config.as_deref(), registry, &mut settings)
        .map_err(|error| usage(error.to_string()))?;
    settings.ignore.extend(config::ignored(&args.ignore, registry).map_err(usage)?);
    flags(&job, registry, &mut settings);
    let choice =
        if args.analyzers.is_empty() { config.analyzers.clone() } else { args.analyzers.clone() };
    let chosen = registry.choose(job.kind(), &choice).map_err(|error| {
        let file = args.config.as_ref().filter(|_| args.analyzers.is_empty());
        let place = file.map_or_else(String::new, |path| format!("{}: ", path.display()));
        usage(format!("{place}{error}"))
    })?;
    let chosen: Vec<&str> = chosen.iter().map(|analyzer| analyzer.descriptor().id).collect();
    job.check(&chosen).map_err(usage)?;
    let baseline = args.baseline.as_deref().map(saved::read).transpose().map_err(usage)?;
    let mut outputs = Vec::new();
    for path in &args.output {
        let format = Format::from_path(path).map_err(|error| usage(error.to_string()))?;
        check_written(path, &inputs)?;
        outputs.push((path.clone(), format));
    }
    let fail_on = args.fail_on.or(config.fail_on).map(Severity::from);
    Ok(Request { job, settings, choice, fail_on, baseline, outputs })
}

/// Flags that stand for parameters, for every analyzer that has them. They win over the configuration.
fn flags(job: &Job, registry: &Registry, settings: &mut Settings) {
    let wanted = job.parameters();
    for descriptor in registry.descriptors() {
        for (key, value) in &wanted {
            let has = descriptor.parameters.iter().any(|spec| spec.key == *key);
            if let Some(value) = value.filter(|_| has) {
                settings.parameters.set(descriptor.id, *key, value);
            }
        }
    }
}

/// Checks a report and its journal.
fn check_written(path: &Path, inputs: &[PathBuf]) -> Result<(), (Exit, String)> {
    check_output(path, inputs)?;
    check_output(&journal_path(path), inputs)
}

/// Refuses to write onto the input, and says early when a file cannot be written where it should go.
pub(crate) fn check_output(path: &Path, inputs: &[PathBuf]) -> Result<(), (Exit, String)> {
    write::check_target(path)?;
    let target = fs::canonicalize(path).ok();
    let folder = fs::canonicalize(folder_of(path)).ok();
    let is_part = |input: &PathBuf| {
        let given = if input.is_dir() { input.clone() } else { folder_of(input) };
        // What would be read there, whether it exists yet or not.
        let read = path.file_name().is_some_and(is_read_from_folders);
        (read && folder.is_some() && fs::canonicalize(&given).ok() == folder)
            || target.as_ref().is_some_and(|target| holds(input, target))
    };
    if inputs.iter().any(is_part) {
        let why = "is part of the checkpoint, the report needs another name";
        return Err((Exit::Usage, format!("{}: {why}", path.display())));
    }
    Ok(())
}

/// Whether `target` is `input`, or a file that a scan of it reads, through whatever links.
fn holds(input: &Path, target: &Path) -> bool {
    let is_target = |path: &Path| fs::canonicalize(path).is_ok_and(|path| path == target);
    if !input.is_dir() {
        return is_target(input) || is_target(&folder_of(input).join("config.json"));
    }
    let Ok(entries) = fs::read_dir(input) else { return false };
    entries.flatten().any(|e| is_read_from_folders(&e.file_name()) && is_target(&e.path()))
}

fn is_read_from_folders(name: &OsStr) -> bool {
    name == "config.json"
        || name == "model.safetensors.index.json"
        || Path::new(name).extension().is_some_and(|e| e.eq_ignore_ascii_case("safetensors"))
}

fn journal_path(report: &Path) -> PathBuf {
    let mut name: OsString = report.as_os_str().to_owned();
    name.push(".journal");
    name.into()
}

/// What a comparison concludes when too little could be compared.
const NO_VERDICT: &str = "compare.no-verdict";

fn exit_of(report: &Report, fail_on: Option<Severity>, signals: &Signals) -> Exit {
    match report.status {
        Status::Interrupted => signals.exit(),
        Status::Rejected => Exit::Rejected,
        Status::Partial => Exit::Partial,
        // Of less than half of the parameters nothing is known of the whole.
        Status::Complete if report.conclusions.iter().any(|c| c.code == NO_VERDICT) => {
            Exit::Partial
        }
        Status::Complete => {
            let fails = |f: &Finding| fail_on.is_some_and(|line| f.severity >= line) && !f.known;
            if report.findings.iter().any(fails) { Exit::Findings } else { Exit::Complete }
        }
    }
}

/// Says why more changed than is allowed. What cut the run short says more.
fn changed(report: &Report, job: &Job) -> Exit {
    let is_judged = matches!(report.status, Status::Complete | Status::Partial);
    match job.too_much_changed(report).filter(|_| is_judged) {
        Some(message) => {
            complain(&message);
            Exit::Findings
        }
        None => Exit::Complete,
    }
}

/// Says that a run was interrupted, and how it goes on.
fn hint(report: &Report, request: &Request) {
    if report.status == Status::Interrupted {
        let measured = report.totals.measured;
        let hint = if request.outputs.is_empty() {
            ""
        } else {
            "; the same command with --resume goes on"
        };
        complain(&format!(
            "interrupted: {measured} of {} weights are measured{hint}",
            report.totals.declared
        ));
    }
}

/// The report of an input that could not be used.
fn rejected(
    request: &Request,
    tool: ToolRecord,
    path: Option<&Path>,
    code: &'static str,
    message: String,
) -> Report {
    let sources = request.job.sources();
    // Of two, the error knows which.
    let name = match &sources[..] {
        [one] => one.clone(),
        _ => path.map_or_else(String::new, |path| path.to_string_lossy().into_owned()),
    };
    let error = ErrorRecord {
        scope: ErrorScope::Shard,
        name,
        analyzer: None,
        code: Key::Borrowed(code),
        message,
    };
    let source = |path| SourceRecord { path, ..SourceRecord::default() };
    Report {
        schema: SchemaRecord::default(),
        tool,
        kind: request.job.kind(),
        status: Status::Rejected,
        sources: sources.into_iter().map(source).collect(),
        models: Vec::new(),
        settings: request.settings.clone(),
        weights: Vec::new(),
        findings: Vec::new(),
        facts: Vec::new(),
        conclusions: Vec::new(),
        figures: Vec::new(),
        errors: vec![error],
        totals: Totals::default(),
        timings: None,
    }
}
