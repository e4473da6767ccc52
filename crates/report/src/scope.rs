//! What a report speaks of, and what it does not: said before anything that was found.

use weightscope_core::{NotMeasured, Report, ReportKind, Status};

use crate::numbers::plural;

/// Most reasons that are told one by one.
const REASONS: usize = 3;

/// One line for each reason why parameters were not measured, the largest share first; nothing when all were.
pub(crate) fn scope(report: &Report) -> Vec<String> {
    let groups = &report.totals.not_measured;
    let done = done(report);
    let mut lines: Vec<String> = groups
        .iter()
        .take(REASONS)
        .map(|group| {
            let (tensors, why) = (plural(group.tensors, "tensor"), &group.why);
            if group.parameters == 0 {
                let was = if group.tensors == 1 { "was" } else { "were" };
                return format!("{tensors} without parameters {was} not {done}: {why}");
            }
            let least = if is_least(report, group) { "at least " } else { "" };
            let of = match rough(group.share) {
                Rough::All => "none of the parameters were".to_owned(),
                share => format!("{least}{share} of the parameters were not"),
            };
            format!("{of} {done} ({tensors}): {why}")
        })
        .collect();
    match groups.len().saturating_sub(REASONS) {
        0 => {}
        1 => lines.push("and 1 more kind".to_owned()),
        more => lines.push(format!("and {more} more kinds")),
    }
    lines
}

/// What is said when there are no findings; never more than was looked at.
pub(crate) fn no_findings(report: &Report) -> String {
    if report.totals.measured == 0 || report.status == Status::Rejected {
        return "nothing was measured".to_owned();
    }
    match looked_at(report) {
        Some(part) => format!("no findings in {part}"),
        None => "no findings".to_owned(),
    }
}

/// The part of the checkpoint that a statement about it can be of, such as `the 43 % of the parameters that were
/// measured`; nothing when that is all of it.
pub(crate) fn looked_at(report: &Report) -> Option<String> {
    let missed: f64 = report.totals.not_measured.iter().map(|group| group.share).sum();
    let done = done(report);
    if missed > 0.0 && missed < 1.0 {
        let share = rough(missed).rest();
        if report.totals.not_measured.iter().any(|group| is_least(report, group)) {
            return Some(format!("what was {done}, at most {share} of the parameters"));
        }
        return Some(format!("the {share} of the parameters that were {done}"));
    }
    (report.status != Status::Complete).then(|| format!("what was {done}"))
}

/// Whether the parameters of a group are no more than a lower bound: words of codes, each of which holds several.
fn is_least(report: &Report, group: &NotMeasured) -> bool {
    let members = report.weights.iter().filter(|w| w.reason.as_deref() == Some(&group.why));
    members.into_iter().any(|weight| match &weight.stored {
        Some(stored) => weight.stored_bits().is_none() && is_word(stored.bits_per_weight),
        None => false,
    })
}

/// Whether elements of so many bits are stored words rather than values: codes have less.
pub(crate) fn is_word(bits: f64) -> bool {
    bits >= 8.0
}

fn done(report: &Report) -> &'static str {
    match report.kind {
        ReportKind::Scan => "measured",
        ReportKind::Compare => "compared",
    }
}

/// A share in percent, as coarse as a sentence needs it. What is not nothing is never nothing, and what is not all
/// never all; a share and its rest add up to all.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rough {
    None,
    /// Below a tenth of a percent.
    Trace,
    /// Tenths of a percent below one percent.
    Tenths(u32),
    Percent(u32),
    /// Tenths of a percent above 99.
    Most(u32),
    AllBut,
    All,
}

fn rough(share: f64) -> Rough {
    let percent = 100.0 * share;
    let tenths = (10.0 * percent).round() as u32;
    match percent {
        p if p <= 0.0 => Rough::None,
        p if p >= 100.0 => Rough::All,
        p if p < 0.1 => Rough::Trace,
        p if p > 99.9 => Rough::AllBut,
        _ if tenths < 10 => Rough::Tenths(tenths),
        _ if tenths > 990 => Rough::Most(tenths.min(999)),
        p => Rough::Percent((p.round() as u32).clamp(1, 99)),
    }
}

impl Rough {
    const fn rest(self) -> Self {
        match self {
            Self::None => Self::All,
            Self::Trace => Self::AllBut,
            Self::Tenths(n) => Self::Most(1000 - n),
            Self::Percent(n) => Self::Percent(100 - n),
            Self::Most(n) => Self::Tenths(1000 - n),
            Self::AllBut => Self::Trace,
            Self::All => Self::None,
        }
    }
}

impl std::fmt::Display for Rough {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("0 %"),
            Self::Trace => f.write_str("<0.1 %"),
            Self::Tenths(n) | Self::Most(n) => write!(f, "{}.{} %", n / 10, n % 10),
            Self::Percent(n) => write!(f, "{n} %"),
            Self::AllBut => f.write_str(">99.9 %"),
            Self::All => f.write_str("100 %"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_their_rests_add_up() {
        let cases = [
            (0.0, "0 %", "100 %"),
            (1e-9, "<0.1 %", ">99.9 %"),
            (0.004_44, "0.4 %", "99.6 %"),
            (0.009_96, "1 %", "99 %"),
            (0.566, "57 %", "43 %"),
            (0.5, "50 %", "50 %"),
            (0.9951, "99.5 %", "0.5 %"),
            (0.998_99, "99.9 %", "0.1 %"),
            (0.999_999, ">99.9 %", "<0.1 %"),
            (1.0, "100 %", "0 %"),
        ];
        for (share, shown, rest) in cases {
            let found = (rough(share).to_string(), rough(share).rest().to_string());
            assert_eq!(found, (shown.to_owned(), rest.to_owned()), "{share}");
        }
    }
}
