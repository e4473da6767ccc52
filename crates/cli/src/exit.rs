//! Exit codes.

use std::process::ExitCode;

/// How a command ended. Ordered by precedence: a later one wins over an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// Everything was measured.
    Complete,
    /// Complete, with findings at or above `--fail-on`.
    Findings,
    /// A plan's budget cannot be met.
    Unmet,
    /// The command line makes no sense.
    Usage,
    /// Something could not be read or measured.
    Partial,
    /// Nothing could be used.
    Rejected,
    /// A report could not be written.
    Unwritten,
    /// Ctrl-C.
    Interrupted,
    /// A polite kill.
    Terminated,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Complete => 0,
            Exit::Findings | Exit::Unmet => 1,
            Exit::Usage => 2,
            Exit::Partial => 3,
            Exit::Rejected => 4,
            Exit::Unwritten => 5,
            Exit::Interrupted => 130,
            Exit::Terminated => 143,
        })
    }
}
