//! Which format each weight should be quantised to: a plan from measured errors and a budget of bytes.
//!
//! The analyzer `quantization` measures what every scheme would do to every weight. [`plan`] chooses one for each
//! stored tensor so that the sum of relative errors is small and the checkpoint as large as is wanted, within rules
//! about what is not to be touched, and says how far from the optimum it can be. [`export`] writes the choice as
//! a file for the tool that quantises. Nothing here reads weights or files.
//!
//! [`solve`] is the knapsack below it and can be used alone:
//!
//! ```
//! use weightscope_plan::{Cost, solve};
//!
//! let option = |bytes, error| Cost { bytes, error };
//! let weights = vec![vec![option(4, 0.5), option(8, 0.1)], vec![option(4, 0.3), option(8, 0.2)]];
//! let solution = solve(&weights, 12, &[])?;
//! assert_eq!(solution.picks, [1, 0]);
//! assert!(solution.error >= solution.bound);
//! # Ok::<(), weightscope_plan::SolveError>(())
//! ```
#![forbid(unsafe_code)]

mod bitsandbytes;
mod choose;
mod compressed_tensors;
mod critical;
mod export;
mod figures;
mod llama_cpp;
mod names;
mod plan;
mod rules;
mod scheme;
mod solve;
mod target;
mod tensor;

pub use critical::Critical;
pub use export::{ExportError, Form, export};
pub use figures::{Block, blocks, figures};
pub use plan::{
    AppliedRule, Goal, Held, Plan, PlanError, PlannedTensor, Quantised, Request, SCHEMA_NAME, Size,
    Uniform, plan,
};
pub use rules::{Class, How, Rule, RuleError};
pub use scheme::{Scheme, UnknownScheme};
pub use solve::{Cost, Solution, SolveError, solve};
pub use target::{Target, UnknownTarget};
pub use tensor::ANALYZER;
