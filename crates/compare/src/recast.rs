//! Sentences on weights that came to another type and are otherwise the same.

use weightscope_core::stats::median;

use crate::judge::number;
use crate::movement::{Pair, relative_of};

/// Relative L2 below which a cast to a type of 16 bits or less rounds nothing but what is below its range.
const ENDS: f64 = 1e-6;

/// How a weight came to another type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Recast {
    /// A cast of BASE's values makes TUNED's.
    Cast,
    /// Both were rounded from one source.
    Siblings,
    /// Codes with factors stand for the values of one of them.
    Quantised,
}

impl Recast {
    pub(crate) fn of(pair: &Pair<'_>) -> Self {
        if pair.has_common_source() {
            Self::Siblings
        } else if pair.is_quantised() && pair.number("above_storage").is_some() {
            Self::Quantised
        } else {
            Self::Cast
        }
    }

    /// What was done to `members`, of so many pairs, and what it cost.
    pub(crate) fn told(self, from: &str, to: &str, members: &[&Pair<'_>], all: usize) -> String {
        let count = if members.len() == all {
            format!("all {}", members.len())
        } else {
            format!("{} of {all}", members.len())
        };
        let relatives: Vec<f64> = members.iter().filter_map(|p| p.relative()).collect();
        let middle = number(median(&relatives).unwrap_or(0.0));
        let ratio = |metric: &'static str| {
            let all: Vec<f64> = members.iter().filter_map(|p| p.number(metric)).collect();
            median(&all)
        };
        match self {
            Self::Quantised => {
                let first = members.first().map(|pair| pair.record);
                let restored = first.is_some_and(|record| record.stored.is_some());
                let plain = members.iter().all(|p| p.text("other_stored") == p.text("other_dtype"));
                let how = match (restored, plain) {
                    (true, true) => format!("stored as {from} and as {to}"),
                    (true, false) => format!("quantised to {from} and to {to}"),
                    _ => format!("quantised to {to}"),
                };
                let times = ratio("above_storage").map_or(String::new(), |times| {
                    format!(", {times:.2} times what such steps are expected to make")
                });
                format!("{how}: {count} (relative L2 {middle} in the median{times})")
            }
            Self::Siblings => format!(
                "rounded to {from} and to {to} from a common source: {count} (no difference beyond both roundings; relative L2 {middle} in the median)"
            ),
            Self::Cast => {
                let relative = relative_of(members.iter().copied()).unwrap_or(0.0);
                let because = match ratio("above_floor") {
                    // So little is lost where a type ends, and nowhere else.
                    _ if relative > 0.0 && relative < ENDS => format!(
                        "only values below {to}'s smallest lost digits: relative L2 {}",
                        number(relative)
                    ),
                    Some(ratio) => format!(
                        "the difference is the rounding: relative L2 {}, {ratio:.3} times the floor",
                        number(relative)
                    ),
                    None if relative > 0.0 => {
                        format!("the difference is the rounding: relative L2 {}", number(relative))
                    }
                    None => "nothing is lost".to_owned(),
                };
                format!("recast from {from} to {to}: {count} ({because})")
            }
        }
    }
}
