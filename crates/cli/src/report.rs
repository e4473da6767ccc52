//! `ws-cli report`: a saved report in other formats, or judged anew.

use std::fs;
use std::path::{Path, PathBuf};

use weightscope::report::Format;
use weightscope::{
    Analyzer, Descriptor, ErrorScope, Finding, Registry, Report, SIBLINGS, Settings, Severity,
    Status, check_globs, rejudge,
};

use crate::args::{ReportArgs, Thresholds};
use crate::config::{self, Config};
use crate::exit::Exit;
use crate::output::{self, complain};
use crate::{saved, write};

pub(crate) fn run(args: &ReportArgs, registry: &Registry) -> Exit {
    match prepare(args, registry) {
        Ok(request) => finish(args, registry, &request),
        Err((exit, message)) => {
            complain(&message);
            exit
        }
    }
}

/// What is to be shown, checked and judged.
struct Request {
    report: Report,
    fail_on: Option<Severity>,
    outputs: Vec<(PathBuf, Format)>,
}

fn finish(args: &ReportArgs, registry: &Registry, request: &Request) -> Exit {
    let report = &request.report;
    let descriptors: Vec<&Descriptor> =
        registry.descriptors().into_iter().chain([&SIBLINGS]).collect();
    let options = output::report_options(args.color.color, args.shown, &descriptors);
    // Whoever asks for a file has no use for a table.
    let asked = args.format.or(request.outputs.is_empty().then_some(Format::Table));
    let quiet = args.quiet || asked.is_none();
    let printed = write::print_report(report, asked.unwrap_or(Format::Table), quiet, &options);
    let written = write::write_reports(report, &request.outputs, &options);
    exit_of(report, request.fail_on).max(printed).max(written)
}

/// As the run ended; one that was stopped left a part.
fn exit_of(report: &Report, fail_on: Option<Severity>) -> Exit {
    match report.status {
        Status::Rejected => Exit::Rejected,
        Status::Partial | Status::Interrupted => Exit::Partial,
        Status::Complete => {
            let fails = |f: &Finding| fail_on.is_some_and(|line| f.severity >= line) && !f.known;
            if report.findings.iter().any(fails) { Exit::Findings } else { Exit::Complete }
        }
    }
}

/// Checks the command line, then reads, then judges.
fn prepare(args: &ReportArgs, registry: &Registry) -> Result<Request, (Exit, String)> {
    let usage = |message: String| (Exit::Usage, message);
    let path = args.config.as_deref();
    let config = Config::read(path).map_err(|error| usage(error.to_string()))?;
    let mut wanted = Settings::default();
    config.apply(path, registry, &mut wanted).map_err(|error| usage(error.to_string()))?;
    let ignored = config::ignored(&args.ignore, registry).map_err(usage)?;
    let globs: Vec<String> = wanted.ignore.iter().map(|rule| rule.weight.clone()).collect();
    check_globs(&globs).map_err(|error| usage(error.to_string()))?;
    let mut outputs = Vec::new();
    for target in &args.output {
        let format = Format::from_path(target).map_err(|error| usage(error.to_string()))?;
        write::check_target(target)?;
        for input in [Some(&args.path), args.baseline.as_ref(), args.config.as_ref()] {
            if input.is_some_and(|input| is_same(target, input)) {
                let why = "is read, the new report needs another name";
                return Err(usage(format!("{}: {why}", target.display())));
            }
        }
        outputs.push((target.clone(), format));
    }
    let baseline = args.baseline.as_deref().map(saved::read).transpose().map_err(usage)?;
    let mut report = saved::read(&args.path).map_err(|message| (Exit::Rejected, message))?;
    let say = |why: String| usage(format!("{}: {why}", args.path.display()));
    if args.config.is_some() || args.thresholds.is_some() {
        if let Some(thresholds) = args.thresholds {
            let absolute = if thresholds == Thresholds::Absolute { 1.0 } else { 0.0 };
            for descriptor in registry.descriptors() {
                if descriptor.parameters.iter().any(|spec| spec.key == "absolute_lines") {
                    wanted.parameters.set(descriptor.id, "absolute_lines", absolute);
                }
            }
        }
        wanted.ignore.extend(ignored);
        set(&mut report, registry, &wanted).map_err(say)?;
        judge(&mut report, registry).map_err(say)?;
        if let Some(path) = path {
            say_what_is_kept(path, &config, &report, registry);
        }
    } else if !ignored.is_empty() {
        // By its own lines, with these rules besides.
        report.settings.ignore.extend(ignored);
        judge(&mut report, registry).map_err(say)?;
    }
    if let Some(baseline) = baseline {
        saved::mark_known(&mut report.findings, &baseline.findings);
    }
    let fail_on = args.fail_on.or(config.fail_on).map(Severity::from);
    Ok(Request { report, fail_on, outputs })
}

fn is_same(a: &Path, b: &Path) -> bool {
    fs::canonicalize(a).is_ok_and(|a| fs::canonicalize(b).is_ok_and(|b| a == b))
}

/// Gives `report` the parameters and ignore rules of a run. What measuring was told stays.
fn set(report: &mut Report, registry: &Registry, wanted: &Settings) -> Result<(), String> {
    let analyzers = analyzers_of(report, registry)?;
    for (descriptor, fixed) in judged(&analyzers) {
        for spec in descriptor.parameters.iter().filter(|spec| !fixed.contains(&spec.key)) {
            let value = wanted.parameters.value(descriptor.id, spec);
            report.settings.parameters.set(descriptor.id, spec.key, value);
        }
    }
    report.settings.ignore.clone_from(&wanted.ignore);
    Ok(())
}

/// Judges `report` anew by its settings.
fn judge(report: &mut Report, registry: &Registry) -> Result<(), String> {
    let mut analyzers = analyzers_of(report, registry)?;
    let companions = registry.companions(&analyzers);
    // Those that had come along have parameters without being named.
    let came = |id: &str| report.settings.parameters.0.contains_key(id);
    let came: Vec<&dyn Analyzer> =
        companions.iter().map(|c| c as &dyn Analyzer).filter(|c| came(c.descriptor().id)).collect();
    analyzers.extend(came);
    let before = std::mem::take(&mut report.findings);
    rejudge(report, &analyzers);
    let known: Vec<Finding> = before.into_iter().filter(|finding| finding.known).collect();
    saved::mark_known(&mut report.findings, &known);
    // A judge that failed is an error entry, and one that no longer does leaves none.
    if report.errors.iter().any(|error| error.scope == ErrorScope::Analyzer) {
        if report.status == Status::Complete {
            report.status = Status::Partial;
        }
    } else if report.status == Status::Partial && report.errors.is_empty() {
        report.status = Status::Complete;
    }
    Ok(())
}

/// The analyzers that measured it, as they were then.
fn analyzers_of<'a>(
    report: &Report,
    registry: &'a Registry,
) -> Result<Vec<&'a dyn Analyzer>, String> {
    let mut analyzers = Vec::new();
    for (id, version) in &report.settings.analyzers {
        let known = registry.analyzers().into_iter().find(|a| a.descriptor().id == id);
        let Some(analyzer) = known else {
            return Err(format!("cannot be judged anew: there is no analyzer \"{id}\" here"));
        };
        let here = analyzer.descriptor().version;
        if here != *version {
            return Err(format!(
                "cannot be judged anew: {id} was version {version} when it was measured and is {here} here"
            ));
        }
        analyzers.push(analyzer);
    }
    Ok(analyzers)
}

/// Everything that judges, with the parameters that measuring has used up.
fn judged<'a>(
    analyzers: &[&'a dyn Analyzer],
) -> impl Iterator<Item = (&'a Descriptor, &'static [&'static str])> {
    let own: Vec<_> =
        analyzers.iter().map(|a| (a.descriptor(), a.measuring_parameters())).collect();
    own.into_iter().chain([(&SIBLINGS, &[][..])])
}

/// Names what of the file would have changed the measuring, and so changes nothing now.
fn say_what_is_kept(path: &Path, config: &Config, report: &Report, registry: &Registry) {
    let path = path.display();
    let settings = &report.settings;
    for analyzer in registry.analyzers() {
        let id = analyzer.descriptor().id;
        let Some(values) =
            config.parameters.get(id).filter(|_| settings.analyzers.contains_key(id))
        else {
            continue;
        };
        for spec in analyzer.descriptor().parameters {
            let fixed = analyzer.measuring_parameters().contains(&spec.key);
            let kept = settings.parameters.value(id, spec);
            if let Some(value) = values.get(spec.key).filter(|v| fixed && **v != kept) {
                complain(&format!(
                    "{path}: {id}.{} = {value} changes what is measured; the report was measured with {kept}, and that stays",
                    spec.key
                ));
            }
        }
    }
    let lists = [
        ("analyzers", !config.analyzers.is_empty()),
        ("include", !config.include.is_empty() && config.include != settings.include),
        ("exclude", !config.exclude.is_empty() && config.exclude != settings.exclude),
    ];
    for (name, _) in lists.iter().filter(|(_, differs)| *differs) {
        complain(&format!(
            "{path}: {name} says what is measured; the report keeps the weights and analyzers that it has"
        ));
    }
}
