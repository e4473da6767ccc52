//! Figures as data: an analyzer says what to draw, every reporter draws what it can.

use serde::{Deserialize, Serialize};

use crate::Key;

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Figure {
    /// Stable name within its weight (or the model), for example `distribution.histogram`.
    pub id: Key,
    /// The weight it shows; `None` for the whole model.
    pub weight: Option<String>,
    /// The analyzer that made it.
    pub analyzer: Key,
    /// Heading.
    pub title: String,
    /// What the axes mean.
    pub axes: Axes,
    /// What to draw.
    #[serde(flatten)]
    pub data: FigureData,
}

/// Axis titles, with the unit where there is one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Axes {
    /// Horizontal.
    pub x: Key,
    /// Vertical.
    pub y: Key,
    /// Whether x is best drawn logarithmically.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub log_x: bool,
    /// Whether y is best drawn logarithmically.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub log_y: bool,
}

impl Axes {
    /// Linear axes with these titles.
    pub const fn new(x: &'static str, y: &'static str) -> Self {
        Self { x: Key::Borrowed(x), y: Key::Borrowed(y), log_x: false, log_y: false }
    }
}

/// A named run of points.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Series {
    /// Legend entry.
    pub name: String,
    /// Horizontal positions.
    pub x: Vec<f64>,
    /// Vertical positions; null leaves a gap.
    pub y: Vec<Option<f64>>,
}

/// Five-number summary of one group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BoxStatistics {
    /// Group label.
    pub name: String,
    /// Lower whisker, quartiles with the median, upper whisker.
    pub five: [f64; 5],
}

/// The kinds of figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "data", rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub enum FigureData {
    /// Curves.
    Line {
        /// One curve each.
        series: Vec<Series>,
    },
    /// Points.
    Scatter {
        /// One colour each.
        series: Vec<Series>,
    },
    /// Equal bins.
    Histogram {
        /// Left edge of the first bin.
        low: f64,
        /// Width of every bin.
        width: f64,
        /// Values per bin.
        counts: Vec<u64>,
        /// Values below the first bin.
        below: u64,
        /// Values above the last bin.
        above: u64,
        /// Mean and standard deviation of a normal curve to lay over it.
        normal: Option<[f64; 2]>,
        /// Lines of the statistics box: label and value.
        statistics: Vec<(Key, f64)>,
    },
    /// A matrix of colours.
    Heatmap {
        /// Row-major 8-bit levels.
        levels: Vec<u8>,
        /// Rows and columns.
        size: [u64; 2],
        /// Values of level 0 and level 255.
        scale: [f64; 2],
        /// How many entries one cell stands for, rows and columns, and how they were joined.
        pooling: Option<(u64, u64, Key)>,
    },
    /// Labelled bars.
    Bar {
        /// Bar labels.
        labels: Vec<String>,
        /// Bar lengths.
        values: Vec<f64>,
    },
    /// Box plots.
    Box {
        /// One box each.
        boxes: Vec<BoxStatistics>,
    },
    /// Densities side by side.
    Violin {
        /// One density each, as value against share.
        series: Vec<Series>,
    },
    /// A tree of merges, as scipy's linkage matrix.
    Dendrogram {
        /// Leaf labels.
        labels: Vec<String>,
        /// `[a, b, height, size]` per merge.
        merges: Vec<[f64; 4]>,
    },
}
