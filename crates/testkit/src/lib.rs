//! Test support: small checkpoints, random models, and what every analyzer must keep to.
//!
//! [`checkpoint`] writes safetensors files byte by byte and [`gguf`] GGUF files, sound and broken. [`models`] makes language models
//! that were only initialised, with the names and the config.json of real ones, ready to have a defect
//! planted. [`conformance()`] holds an [`Analyzer`](weightscope_core::Analyzer), built in or a plugin's,
//! against the contract of its trait; [`measure()`],
//! [`measure_weight`] and [`report_of`] run one without files.
//!
//! Everything is seeded and repeatable, and nothing here is meant for programs: functions panic where a
//! test should fail.
//!
//! ```
//! use weightscope_testkit::models::{Architecture, ModelSpec};
//!
//! let mut model = ModelSpec::new(Architecture::Gpt2).blocks(2).seed(7).build();
//! model.tensor_mut("transformer.h.1.mlp.c_fc.weight").values[5] = f32::NAN;
//! let source = model.to_source();
//! ```
#![forbid(unsafe_code)]
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on ends")]

pub mod checkpoint;
mod conformance;
pub mod gguf;
mod measure;
pub mod models;
mod random;
pub mod torch;

pub use conformance::conformance;
pub use measure::{
    measure, measure_bytes, measure_weight, model_of, portray_weight, report_of, report_of_source,
    weight_of,
};
pub use random::Random;
