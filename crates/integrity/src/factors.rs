//! The factors of weights that are stored in blocks or as codes: which of them spoil what they scale.

use std::ops::Range;

use weightscope_core::{AnalyzeError, Output, Value, WeightRecord, WeightView};

use crate::ID;

/// Places that are listed of each kind.
const LISTED: usize = 16;

/// What is found of one kind of factor.
#[derive(Debug, Default)]
struct Places {
    /// Rows and columns as stored.
    first: Vec<[Range<u64>; 2]>,
}

impl Places {
    fn push(&mut self, rows: Range<u64>, columns: Range<u64>) {
        if self.first.len() < LISTED {
            self.first.push([rows, columns]);
        }
    }

    fn value(self, is_turned: bool) -> Value {
        let ends = |range: &Range<u64>| -> Value {
            Value::List(vec![range.start.into(), range.end.saturating_sub(1).into()])
        };
        let place = |[rows, columns]: &[Range<u64>; 2]| {
            let [rows, columns] = if is_turned { [columns, rows] } else { [rows, columns] };
            Value::map([("rows", ends(rows)), ("columns", ends(columns))])
        };
        Value::List(self.first.iter().map(place).collect())
    }
}

/// Counts the factors of a stored form whose blocks are all alike; one pass over the factors.
pub(crate) fn measure(view: &WeightView<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
    let block = view.stored().and_then(|stored| stored.factor_block);
    let Some([high, wide]) = block.map(|sides| sides.map(|side| side.max(1))) else {
        return Ok(());
    };
    let layout = &view.weight().layout;
    let (rows, columns) = (layout.rows(), layout.columns());
    let across = columns.div_ceil(wide);
    let (mut count, mut nan, mut infinite) = (0u64, 0u64, 0u64);
    let mut spoiled = Places::default();
    // Zero factors wait until it is known whether their whole row or column is zero.
    let mut zeros: Vec<(u64, u64)> = Vec::new();
    let mut in_column = vec![0u64; across as usize];
    let mut bands = 0u64;
    view.for_each_rounding(|row, errors| {
        // One row of each band of rows that share factors.
        if row % high != 0 {
            return;
        }
        bands += 1;
        let before = zeros.len();
        for (at, run) in (0..).zip(errors.chunks(wide as usize)) {
            let error = run[0];
            count += 1;
            if error == 0.0 {
                in_column[at as usize] += 1;
                zeros.push((row, at));
            } else if !error.is_finite() {
                nan += u64::from(error.is_nan());
                infinite += u64::from(!error.is_nan());
                let start = at * wide;
                spoiled.push(row..rows.min(row + high), start..columns.min(start + wide));
            }
        }
        if zeros.len() - before == across as usize {
            zeros.truncate(before);
            for column in &mut in_column {
                *column -= 1;
            }
            bands -= 1;
        }
        // A bound on what is kept: further ones are counted by column alone.
        zeros.truncate(MOST_ZEROS);
    })?;
    let is_padding = |at: u64| bands > 1 && in_column[at as usize] == bands;
    let zero: u64 =
        (0..across).filter(|at| !is_padding(*at)).map(|at| in_column[at as usize]).sum();
    let mut zeroed = Places::default();
    for (row, at) in zeros.into_iter().filter(|(_, at)| !is_padding(*at)) {
        let start = at * wide;
        zeroed.push(row..rows.min(row + high), start..columns.min(start + wide));
    }
    let is_turned = view.weight().transposed;
    out.metric(
        "factors",
        Value::map([
            ("count", count.into()),
            ("nan", nan.into()),
            ("infinite", infinite.into()),
            ("zero", zero.into()),
            ("spoiled", spoiled.value(is_turned)),
            ("zeroed", zeroed.value(is_turned)),
        ]),
    );
    Ok(())
}

/// Zero factors that are kept until their columns are known.
const MOST_ZEROS: usize = 1 << 16;

/// What the record says of a weight's factors.
#[derive(Debug)]
pub(crate) struct Factors {
    pub(crate) count: u64,
    pub(crate) nan: u64,
    pub(crate) infinite: u64,
    pub(crate) zero: u64,
    /// In words.
    pub(crate) spoiled: String,
    pub(crate) zeroed: String,
}

impl Factors {
    pub(crate) fn of(weight: &WeightRecord) -> Option<Self> {
        let value = weight.metric(ID, "factors")?;
        let number = |key: &str| value.get(key).and_then(Value::as_u64);
        let places = |key: &str, all: u64| value.get(key).map(|list| words(list.items(), all));
        let (nan, infinite, zero) = (number("nan")?, number("infinite")?, number("zero")?);
        Some(Self {
            count: number("count")?,
            nan,
            infinite,
            zero,
            spoiled: places("spoiled", nan + infinite)?,
            zeroed: places("zeroed", zero)?,
        })
    }
}

/// So many places are told in words.
const TOLD: usize = 4;

/// `row 5, columns 32 to 47; row 77, columns 0 to 15; and 3 more`.
fn words(places: &[Value], all: u64) -> String {
    let range = |name: &str, value: Option<&Value>| {
        let ends: Vec<u64> =
            value.map_or(&[][..], Value::items).iter().filter_map(Value::as_u64).collect();
        match ends.as_slice() {
            [first, last] if first == last => format!("{name} {first}"),
            [first, last] => format!("{name}s {first} to {last}"),
            _ => format!("{name}s unknown"),
        }
    };
    let mut told: Vec<String> = places
        .iter()
        .take(TOLD)
        .map(|place| {
            format!(
                "{}, {}",
                range("row", place.get("rows")),
                range("column", place.get("columns"))
            )
        })
        .collect();
    let more = all.saturating_sub(told.len() as u64);
    if more > 0 {
        told.push(format!("and {more} more"));
    }
    told.join("; ")
}
