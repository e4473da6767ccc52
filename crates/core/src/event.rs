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
        /// Stored bytes of the weights that are read.
        bytes: u64,
        /// The total cost, in the units of [`crate::Cost::work`]: whole numbers add up exactly.
        work: u64,
        /// Weights taken over from an earlier run.
        resumed: u64,
    },
    /// Some work is done since the last event of this kind. When every weight is finished, all of these
    /// add up to what [`Event::Started`] announced; in a run that was stopped, to less.
    Progress {
        /// Stored bytes covered.
        bytes: u64,
        /// Work done.
        work: u64,
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
