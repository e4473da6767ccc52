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

/// A matrix drawn in colours: entries of a weight, or values by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HeatMap {
    /// Rows and columns of cells.
    pub size: [u64; 2],
    /// What the rows are.
    pub rows: Ticks,
    /// What the columns are.
    pub columns: Ticks,
    /// How the entries of a cell were joined, for example `mean`; empty when a cell is one entry.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub pooling: Key,
    /// The colours.
    pub cells: Cells,
}

/// Where the lines of a heat map lie.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Ticks {
    /// Line `i` stands for the matrix lines from `first + i * step` on, `step` of them (fewer at the end).
    Lines {
        /// First matrix line.
        first: u64,
        /// Matrix lines per cell.
        step: u64,
    },
    /// A name each.
    Names {
        /// As many as there are lines.
        names: Vec<String>,
    },
}

/// Cells of a heat map, row-major.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Cells {
    /// In 255 steps, to keep reports small.
    Levels {
        /// Base64 of one byte a cell: 0 at or below the scale's low end, 254 at or above its high end, evenly
        /// between; 255 where there is no finite value.
        #[serde(with = "base64_bytes")]
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        levels: Vec<u8>,
        /// Values of level 0 and level 254.
        scale: [f64; 2],
        /// Cells whose value lies outside of the scale.
        clipped: u64,
    },
    /// Exact; null where there is no finite value.
    Values {
        /// One a cell.
        values: Vec<Option<f64>>,
    },
}

impl Cells {
    /// Level of a cell without a finite value.
    pub const MISSING: u8 = 255;
    /// Level of the scale's high end.
    const TOP: f64 = 254.0;

    /// Levels of `values` on a scale from `low` to `high`.
    pub fn levels(values: &[f64], [low, high]: [f64; 2]) -> Self {
        let span = high - low;
        let level = |value: &f64| match (value - low) / span {
            _ if !value.is_finite() => Self::MISSING,
            // All values are equal.
            place if place.is_nan() => 0,
            place => (place.clamp(0.0, 1.0) * Self::TOP).round() as u8,
        };
        let outside = |v: &&f64| v.is_finite() && (**v < low || **v > high);
        Self::Levels {
            levels: values.iter().map(level).collect(),
            scale: [low, high],
            clipped: values.iter().filter(outside).count() as u64,
        }
    }

    /// Exact values.
    pub fn values(values: impl IntoIterator<Item = f64>) -> Self {
        Self::Values {
            values: values.into_iter().map(|v| Some(v).filter(|v| v.is_finite())).collect(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Levels { levels, .. } => levels.len(),
            Self::Values { values } => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Value of the cell at this place of the row-major order, as far as the levels resolve it.
    pub fn value(&self, index: usize) -> Option<f64> {
        match self {
            Self::Levels { levels, scale: [low, high], .. } => {
                let level = levels.get(index).filter(|level| **level != Self::MISSING)?;
                Some(low + (high - low) * f64::from(*level) / Self::TOP)
            }
            Self::Values { values } => *values.get(index)?,
        }
    }
}

/// Bytes as base64 text.
mod base64_bytes {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64_STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        BASE64_STANDARD.decode(text).map_err(D::Error::custom)
    }
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
    Heatmap(HeatMap),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_resolve_a_254th_of_the_scale() {
        let values = [-1.0, 0.0, 1.0, 3.0, f64::NAN, -0.25];
        let cells = Cells::levels(&values, [-1.0, 1.0]);
        assert!(matches!(&cells, Cells::Levels { clipped: 1, levels, .. } if levels[4] == 255));
        let read: Vec<_> = (0..6).map(|i| cells.value(i)).collect();
        assert_eq!(read[..5], [Some(-1.0), Some(0.0), Some(1.0), Some(1.0), None]);
        assert!((read[5].unwrap() + 0.25).abs() < 1.0 / 254.0);
    }

    #[test]
    fn levels_travel_as_text() {
        let cells = Cells::levels(&[0.0, 1.0, 2.0], [0.0, 2.0]);
        let map = HeatMap {
            size: [1, 3],
            rows: Ticks::Names { names: vec!["a".to_owned()] },
            columns: Ticks::Lines { first: 0, step: 4 },
            pooling: Key::Borrowed("mean"),
            cells,
        };
        let data = FigureData::Heatmap(map);
        let text = serde_json::to_string(&data).unwrap();
        assert!(text.contains("\"levels\":\"AH/+\""), "{text}");
        assert_eq!(serde_json::from_str::<FigureData>(&text).unwrap(), data);
    }
}
