//! What tells `ws-cli scan` from `ws-cli compare`; everything else they do is in [`crate::scan`].

use std::path::PathBuf;

use weightscope::report::pieces;
use weightscope::{
    Compare, Event, Report, ReportKind, Run, Scan, ScanError, WeightRecord, WeightStatus,
};

use crate::args::{CompareArgs, RunArgs, ScanArgs, Thresholds};
use crate::inputs::{Inputs, Unresolved, Wish};

/// The analyzer whose numbers `--fail-on-change` asks for.
const COMPARE: &str = "compare";

/// A run as the command line has it.
pub(crate) enum Job {
    Scan(ScanArgs),
    Compare(CompareArgs),
}

/// What sets up a run of either kind.
pub(crate) trait Setup {
    fn set_up<Input>(self, run: Run<Input>) -> Run<Input>;
}

impl Job {
    /// The flags that both have.
    pub(crate) fn run_args(&self) -> &RunArgs {
        match self {
            Self::Scan(args) => &args.run,
            Self::Compare(args) => &args.run,
        }
    }

    pub(crate) fn kind(&self) -> ReportKind {
        match self {
            Self::Scan(_) => ReportKind::Scan,
            Self::Compare(_) => ReportKind::Compare,
        }
    }

    /// Everything that is read, as typed.
    pub(crate) fn typed(&self) -> Vec<PathBuf> {
        match self {
            Self::Scan(args) => args.paths.clone(),
            Self::Compare(args) => vec![args.base.clone(), args.tuned.clone()],
        }
    }

    /// What that stands for.
    pub(crate) fn find(&self) -> Result<Inputs, Unresolved> {
        let args = self.run_args();
        let wish = Wish {
            download: args.hub.downloads(),
            progress: !args.no_progress && !args.display.quiet,
            headers: None,
        };
        match self {
            Self::Scan(args) => Inputs::of_one(&args.paths, wish),
            Self::Compare(_) => Inputs::find(&self.typed(), wish),
        }
    }

    /// What was typed, one for each checkpoint, as reports name them.
    pub(crate) fn sources(&self) -> Vec<String> {
        let texts = self.typed().into_iter().map(|p| p.to_string_lossy().into_owned());
        match self {
            Self::Scan(_) => vec![texts.collect::<Vec<_>>().join(" ")],
            Self::Compare(_) => texts.collect(),
        }
    }

    /// Checks what needs no reading, for a run with these analyzers.
    pub(crate) fn check(&self, analyzers: &[&str]) -> Result<(), String> {
        match self {
            Self::Compare(args)
                if args.fail_on_change.is_some() && !analyzers.contains(&COMPARE) =>
            {
                Err(format!("--fail-on-change needs the analyzer {COMPARE}, which is not chosen"))
            }
            Self::Scan(_) | Self::Compare(_) => Ok(()),
        }
    }

    /// Flags that stand for parameters.
    pub(crate) fn parameters(&self) -> Vec<(&'static str, Option<f64>)> {
        let one = |is_set: bool| is_set.then_some(1.0);
        match self {
            Self::Scan(args) => vec![
                ("exact", one(args.exact)),
                ("alpha_gof", args.alpha_gof.map(f64::from)),
                ("absolute_lines", one(args.thresholds == Thresholds::Absolute)),
            ],
            Self::Compare(args) => {
                vec![("spectral", one(args.spectral)), ("no_spectra", one(args.no_spectra))]
            }
        }
    }

    /// Runs the library on what the inputs stand for.
    pub(crate) fn run(
        &self,
        inputs: &Inputs,
        setup: impl Setup,
        observe: &mut dyn FnMut(Event<'_>),
    ) -> Result<Report, ScanError> {
        match (self, &inputs.paths[..]) {
            (Self::Compare(_), [base, tuned]) => {
                setup.set_up(Compare::new(base, tuned)).run_with(observe)
            }
            (_, paths) => setup.set_up(Scan::new(paths)).run_with(observe),
        }
    }

    /// Why more changed than is allowed, if it did.
    pub(crate) fn too_much_changed(&self, report: &Report) -> Option<String> {
        match self {
            Self::Scan(_) => None,
            Self::Compare(args) => too_much_changed(report, args.fail_on_change?),
        }
    }
}

/// Rows that only one of the two has, of pairs that are compared as far as both go.
fn rows_of_one(report: &Report) -> Option<String> {
    let codes = ["compare.rows-added", "compare.rows-cut"];
    let found = report.conclusions.iter().find(|c| codes.contains(&&*c.code))?;
    Some(format!("--fail-on-change: {}", found.message))
}

/// The weight that changed most and the number of others above `line`, and of trained ones that cannot be compared.
fn too_much_changed(report: &Report, line: f64) -> Option<String> {
    let change = |w: &WeightRecord| {
        w.number(COMPARE, "relative_l2").filter(|_| w.status == WeightStatus::Ok)
    };
    let weights = || report.weights.iter();
    let above: Vec<(f64, &WeightRecord)> =
        weights().filter_map(|w| Some((change(w)?, w))).filter(|(x, _)| *x > line).collect();
    let unknown: Vec<&WeightRecord> =
        weights().filter(|w| w.parameters > 0 && change(w).is_none()).collect();
    // The first of equal ones.
    let worst = above.iter().rev().max_by(|a, b| a.0.total_cmp(&b.0));
    let others = |count: usize, what: &str| {
        (count > 0).then(|| format!("{} {what}", pieces::count(count as u64)))
    };
    let (what, others) = match (worst, unknown.first()) {
        (Some((x, weight)), _) => {
            // Rounded, it may no longer be above.
            let short = pieces::number(*x);
            let is_above = short.parse::<f64>().is_ok_and(|x| x > line);
            let x = if is_above { short } else { x.to_string() };
            let more = others(above.len() - 1, "more");
            let unknown = others(unknown.len(), "cannot be compared");
            let what = format!("{} changed by {x}, above --fail-on-change {line}", weight.name);
            (what, more.into_iter().chain(unknown).collect::<Vec<_>>())
        }
        (None, Some(weight)) => {
            let why = weight.reason.as_deref();
            let place = format!("{COMPARE}.relative_l2");
            let why = why.or_else(|| weight.undefined.get(place.as_str()).map(AsRef::as_ref));
            let why = why.unwrap_or("it was not measured");
            let what = format!("--fail-on-change: {} cannot be compared: {why}", weight.name);
            (what, others(unknown.len() - 1, "more").into_iter().collect())
        }
        (None, None) => (rows_of_one(report)?, Vec::new()),
    };
    Some(if others.is_empty() { what } else { format!("{what} (and {})", others.join(", ")) })
}
