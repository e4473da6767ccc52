//! What a running scan tells whoever watches.

use crate::{ErrorRecord, WeightRecord};

/// One step of a run, in order. Front ends draw progress from these; they change no numbers.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Work is known.
    Started {
        /// Weights that will be measured.
        weights: u64,
        /// Their stored bytes.
        bytes: u64,
        /// Their total cost, in the units of [`crate::Cost::work`].
        work: f64,
        /// Weights taken over from an earlier run.
        resumed: u64,
    },
    /// Some work is done since the last event of this kind.
    Progress {
        /// Stored bytes covered.
        bytes: u64,
        /// Work done.
        work: f64,
    },
    /// A weight is finished, measured or not.
    Finished {
        /// Its record.
        weight: &'a WeightRecord,
    },
    /// Something went wrong; it is also in the report.
    Error {
        /// What.
        error: &'a ErrorRecord,
    },
    /// The last weight is done and judging begins.
    Judging,
}
