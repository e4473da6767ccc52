//! Runs analyzers over a checkpoint.
//!
//! A scan is planned from names and shapes (`plan`), measured by workers of a private pool within a memory
//! budget (`queue`) that tell how far they are (`meter`), written to a journal weight by weight (`journal`),
//! judged when the last weight is done (`finish`), and drawn where it matters (`portray`). One bad tensor never ends it: an error or a panic in a unit becomes an
//! entry of the report. Results do not depend on the number of threads.
#![forbid(unsafe_code)]

mod causes;
mod finish;
mod identity;
mod journal;
mod memory;
mod meter;
mod parts;
mod plan;
mod portray;
mod queue;
mod scan;

pub use finish::rejudge;
pub use journal::JournalError;
pub use memory::{available_memory, default_budget};
pub use parts::join;
pub use plan::check_globs;
pub use scan::{EngineError, JournalFile, RunOptions, scan};
