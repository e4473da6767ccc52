//! Statistics of large collections of weights: slices in, numbers out.
//!
//! Everything here is about values only; the crate knows no tensors, names or files. Order-free
//! statistics (moments, quantiles, Kolmogorov-Smirnov, counts below thresholds, what magnitude pruning
//! keeps) are read from a [`Ladder`]: the multiset of values, ascending by magnitude. For 8- and 16-bit
//! formats the ladder is a count per bit pattern and everything is exact in one pass; for wider formats
//! it starts coarse ([`PrefixCounter`]) and only the rungs that decide an answer are refined ([`Refinement`]).
//! Sums over rows, columns and groups of four come from [`Bands`].
//!
//! ```
//! use weightscope_stats::{Ladder, quantile_sorted};
//!
//! let ladder = Ladder::from_values(vec![3.0, -1.0, 2.0, -1.0]);
//! assert_eq!(ladder.len(), 4);
//! assert_eq!(ladder.distinct(), 3);
//! assert_eq!(ladder.quantile(0.5), Some(0.5));
//! assert_eq!(quantile_sorted(&[1.0, 2.0, 4.0], 0.75), Some(3.0));
//! ```
#![forbid(unsafe_code)]

mod bands;
mod count;
mod hash;
mod histogram;
mod ks;
mod ladder;
mod moments;
mod normal;
mod pair;
mod refine;
mod robust;
mod sketch;
mod spearman;
mod summary;

pub use bands::{Bands, Fours, Grouping, Norms};
pub use count::{PatternCounter, PrefixCounter, PrefixKey};
pub use hash::ContentHasher;
pub use histogram::{HISTOGRAM_BINS, Histogram};
pub use ks::kolmogorov_sf;
pub use ladder::{Ladder, Rung};
pub use moments::{MomentSums, Moments};
pub use normal::{normal_cdf, normal_quantile};
pub use pair::{PairSums, PairTotals};
pub use refine::Refinement;
pub use robust::{log_norm_z, mad, median, quantile_sorted};
pub use sketch::Sketch;
pub use spearman::{Spearman, spearman};
pub use summary::{
    ABSOLUTE_THRESHOLDS, Demands, MAGNITUDE_QUANTILES, PRUNED_TENTHS, QUANTILES,
    RELATIVE_THRESHOLDS, Summary, Tally,
};
