//! `ws-cli scan`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use weightscope::report::{Format, RenderOptions, read_report, render, write_atomic};
use weightscope::{
    Descriptor, ErrorRecord, ErrorScope, Finding, JournalFile, Key, Registry, Report, ReportKind,
    RunOptions, SIBLINGS, Scan, ScanError, SchemaRecord, Settings, Severity, SourceRecord, Status,
    ToolRecord, Totals, default_budget,
};

use crate::args::ScanArgs;
use crate::config::Config;
use crate::exit::Exit;
use crate::output::{self, complain};
use crate::progress::Progress;
use crate::signals::Signals;

/// What the command line asked for, checked.
struct Request {
    args: ScanArgs,
    settings: Settings,
    choice: Vec<String>,
    fail_on: Option<Severity>,
    baseline: Option<Report>,
    outputs: Vec<(PathBuf, Format)>,
}

pub(crate) fn run(args: Box<ScanArgs>, registry: Registry) -> Exit {
    let request = match prepare(*args, &registry) {
        Ok(request) => request,
        Err((exit, message)) => {
            complain(&message);
            return exit;
        }
    };
    let signals = Signals::install();
    let journal = request
        .outputs
        .first()
        .map(|(path, _)| JournalFile { path: journal_path(path), resume: request.args.resume });
    let tool =
        ToolRecord { name: "ws-cli".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let options = RunOptions {
        threads: usize::from(request.args.threads.unwrap_or(0)),
        memory: request.args.memory.unwrap_or_else(default_budget),
        cancel: signals.cancel(),
        journal: journal.clone(),
        timings: !request.args.no_timings,
        tool: tool.clone(),
    };
    let descriptors: Vec<Descriptor> =
        registry.descriptors().into_iter().copied().chain([SIBLINGS]).collect();
    let mut scan = Scan::new(request.args.paths.clone())
        .registry(registry)
        .analyzers(request.choice.clone())
        .settings(request.settings.clone())
        .options(options)
        .mapped(request.args.mmap);
    if let Some(series) = request.args.series {
        scan = scan.series(series.into());
    }
    let display = request.args.display;
    let mut progress = Progress::new(!request.args.no_progress && !display.quiet, display.verbose);
    let result = scan.run_with(&mut |event| progress.observe(event));
    progress.finish();
    let (report, exit) = match result {
        Ok(mut report) => {
            mark_known(&mut report.findings, request.baseline.as_ref());
            let exit = exit_of(&report, request.fail_on, &signals);
            (report, exit)
        }
        Err(ScanError::Load(error)) => {
            complain(&error.to_string());
            (rejected(&request, tool, error.code(), &error.to_string()), Exit::Rejected)
        }
        Err(error @ ScanError::Engine(weightscope::EngineError::Journal(_))) => {
            complain(&error.to_string());
            return Exit::Unwritten;
        }
        Err(error) => {
            complain(&error.to_string());
            return Exit::Usage;
        }
    };
    let descriptors: Vec<&Descriptor> = descriptors.iter().collect();
    let render_options = output::render_options(display, request.args.top, &descriptors);
    let written = write_reports(&report, &request, &render_options);
    // The journal is for going on: a finished run with written reports needs it no more.
    let finished = report.status != Status::Interrupted && written == Exit::Complete;
    if let Some(journal) = journal.filter(|_| finished) {
        let _ = fs::remove_file(journal.path);
    }
    exit.max(written)
}

/// Checks everything that can be wrong before a byte is read.
fn prepare(args: ScanArgs, registry: &Registry) -> Result<Request, (Exit, String)> {
    let usage = |message: String| (Exit::Usage, message);
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
    let choice =
        if args.analyzers.is_empty() { config.analyzers.clone() } else { args.analyzers.clone() };
    registry.choose(&choice).map_err(|error| usage(error.to_string()))?;
    let baseline = args.baseline.as_deref().map(read_baseline).transpose().map_err(usage)?;
    let mut outputs = Vec::new();
    for path in &args.output {
        let format = Format::from_path(path)
            .map_err(|error| usage(format!("{}: {error}", path.display())))?;
        check_output(path, &args.paths)?;
        outputs.push((path.clone(), format));
    }
    let fail_on = args.fail_on.or(config.fail_on).map(Severity::from);
    Ok(Request { args, settings, choice, fail_on, baseline, outputs })
}

/// Refuses to write onto the input, and says early when there is no folder to write to.
fn check_output(path: &Path, inputs: &[PathBuf]) -> Result<(), (Exit, String)> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err((
            Exit::Unwritten,
            format!("{}: there is no folder {}", path.display(), folder.display()),
        ));
    }
    let Ok(target) = fs::canonicalize(path) else { return Ok(()) };
    let is_input = |input: &PathBuf| {
        let Ok(input) = fs::canonicalize(input) else { return false };
        let weights = target.extension().is_some_and(|e| e == "safetensors");
        target == input
            || (target.parent() == Some(&input)
                && (weights
                    || target.ends_with("config.json")
                    || target.ends_with("model.safetensors.index.json")))
    };
    if inputs.iter().any(is_input) {
        return Err((
            Exit::Usage,
            format!("{}: is part of the checkpoint, the report needs another name", path.display()),
        ));
    }
    Ok(())
}

fn journal_path(report: &Path) -> PathBuf {
    let mut name: OsString = report.as_os_str().to_owned();
    name.push(".journal");
    name.into()
}

fn read_baseline(path: &Path) -> Result<Report, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    read_report(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Marks findings that the baseline has: same code, weight and metric.
fn mark_known(findings: &mut [Finding], baseline: Option<&Report>) {
    let Some(baseline) = baseline else { return };
    let key = |f: &Finding| (f.code.to_string(), f.weight.clone(), f.metric.to_string());
    // A finding about no weight is known by what it says.
    let whole = |f: &Finding| f.weight.is_none().then(|| f.message.clone());
    let known: BTreeSet<_> = baseline.findings.iter().map(|f| (key(f), whole(f))).collect();
    for finding in findings {
        finding.known = known.contains(&(key(finding), whole(finding)));
    }
}

fn exit_of(report: &Report, fail_on: Option<Severity>, signals: &Signals) -> Exit {
    match report.status {
        Status::Interrupted => signals.exit(),
        Status::Rejected => Exit::Rejected,
        Status::Partial => Exit::Partial,
        Status::Complete => {
            let fails = |f: &Finding| fail_on.is_some_and(|line| f.severity >= line) && !f.known;
            if report.findings.iter().any(fails) { Exit::Findings } else { Exit::Complete }
        }
    }
}

/// Prints the report and writes every `-o`; the worst that happened.
fn write_reports(report: &Report, request: &Request, options: &RenderOptions<'_>) -> Exit {
    let display = request.args.display;
    let mut worst = Exit::Complete;
    // A rejected input was complained about; a table of nothing would add nothing.
    let is_table = request.args.format == Format::Table;
    let needless = is_table && report.status == Status::Rejected;
    if !display.quiet && !needless {
        worst = worst.max(match render(report, request.args.format, options) {
            Ok(text) => output::print(&text),
            Err(error) => unwritten(&error.to_string()),
        });
    }
    if (display.quiet || !is_table) && report.status != Status::Rejected {
        for error in report.errors.iter().take(20) {
            complain(&format!("{}: {}", error.name, error.message));
        }
        if report.errors.len() > 20 {
            complain(&format!("and {} more errors", report.errors.len() - 20));
        }
    }
    // Files are for later: wide, and without colour.
    let file_options = RenderOptions { width: 120, color: false, ..*options };
    for (path, format) in &request.outputs {
        let outcome = render(report, *format, &file_options).map_err(|e| e.to_string());
        if let Err(message) =
            outcome.and_then(|text| write_atomic(path, text.as_bytes()).map_err(|e| e.to_string()))
        {
            worst = worst.max(unwritten(&message));
        }
    }
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
    worst
}

fn unwritten(message: &str) -> Exit {
    complain(message);
    Exit::Unwritten
}

/// The report of an input that could not be used.
fn rejected(request: &Request, tool: ToolRecord, code: &'static str, message: &str) -> Report {
    let path = request.args.paths.iter().map(|p| p.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let error = ErrorRecord {
        scope: ErrorScope::Shard,
        name: path.clone(),
        analyzer: None,
        code: Key::Borrowed(code),
        message: message.to_owned(),
    };
    Report {
        schema: SchemaRecord::default(),
        tool,
        kind: ReportKind::Scan,
        status: Status::Rejected,
        sources: vec![SourceRecord { path, format: String::new(), files: Vec::new() }],
        models: Vec::new(),
        settings: request.settings.clone(),
        weights: Vec::new(),
        findings: Vec::new(),
        conclusions: Vec::new(),
        figures: Vec::new(),
        errors: vec![error],
        totals: Totals::default(),
        timings: None,
    }
}
