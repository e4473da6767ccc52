//! Sound, broken and hostile checkpoints, opened through the public interface.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers outside of test functions fail the test that calls them"
)]

mod codes;
mod common;
mod folder;
mod gguf;
mod header;
mod hostile;
mod numpy;
mod packings_a;
mod packings_b;
mod pickles;
mod pytorch;
