//! Columns of the list of weights: what it can be sorted by, and which of them fit.

use std::cmp::Ordering;

use weightscope::report::{escape, pieces};
use weightscope::{Descriptor, WeightRecord};

use super::data::Data;

/// What a column shows.
#[derive(Clone, Debug)]
pub(super) enum Field {
    /// The model's order; not drawn.
    Order,
    /// The worst finding; drawn as the mark before the name.
    Severity,
    Name,
    Role,
    Block,
    Shape,
    Type,
    Parameters,
    Metric(pieces::WeightColumn),
}

/// One column.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) field: Field,
    pub(super) title: String,
    /// Lines of the heading.
    pub(super) heading: [String; 2],
    pub(super) width: usize,
    /// Columns with the lowest go in first.
    priority: u8,
}

/// What rows are sorted by. Rows without it come last in either direction.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(super) enum SortKey {
    Number(f64),
    Text(String),
}

impl SortKey {
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.total_cmp(b),
            (Self::Text(a), Self::Text(b)) => natural(a, b),
            (Self::Number(_), Self::Text(_)) => Ordering::Less,
            (Self::Text(_), Self::Number(_)) => Ordering::Greater,
        }
    }
}

/// Compares runs of digits as numbers, so that block 2 comes before block 10.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (x, y) = match (a.chars().next(), b.chars().next()) {
            (Some(x), Some(y)) => (x, y),
            (x, y) => return x.is_some().cmp(&y.is_some()),
        };
        let order = if x.is_ascii_digit() && y.is_ascii_digit() {
            let ((m, rest_a), (n, rest_b)) = (digits(a), digits(b));
            (a, b) = (rest_a, rest_b);
            m.len().cmp(&n.len()).then(m.cmp(n))
        } else {
            a = a.get(x.len_utf8()..).unwrap_or("");
            b = b.get(y.len_utf8()..).unwrap_or("");
            x.cmp(&y)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// The leading digits without zeros before them, and the rest.
fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    (number.trim_start_matches('0'), rest)
}

impl Column {
    fn new(field: Field, title: &str, width: usize, priority: u8) -> Self {
        let heading = broken(title);
        let longest = heading.iter().map(|line| pieces::width(line)).max().unwrap_or(0);
        Self { field, title: title.to_owned(), heading, width: width.max(longest), priority }
    }

    /// All columns of a report, in the order they are drawn and cycled through.
    pub(super) fn all(data: &Data) -> Vec<Self> {
        let weights = &data.report.weights;
        let widest = |cell: &dyn Fn(&WeightRecord) -> Option<String>| {
            weights.iter().filter_map(|w| Some(pieces::width(&cell(w)?))).max().unwrap_or(0)
        };
        let of = |field: Field, title: &str, priority: u8| {
            let width = widest(&|w| cell(&field, w));
            Self::new(field, title, width.min(20), priority)
        };
        let mut columns = vec![
            Self::new(Field::Order, "model order", 0, 0),
            Self::new(Field::Severity, "severity", 0, 0),
            Self::new(Field::Name, "name", 0, 0),
            of(Field::Shape, "shape", 1),
            of(Field::Block, "block", 5),
            of(Field::Role, "role", 6),
            of(Field::Type, "type", 6),
            of(Field::Parameters, "parameters", 7),
        ];
        let descriptors: Vec<&Descriptor> = data.descriptors.iter().collect();
        for column in pieces::WeightColumn::all(&data.report, &descriptors) {
            let width = widest(&|w| column.cell(w));
            if width == 0 {
                continue;
            }
            let title = column.title().to_owned();
            let priority = 2 + column.rank() * 2;
            columns.push(Self::new(Field::Metric(column), &title, width, priority));
        }
        for column in &mut columns {
            // What tells no weight from another waits until all else has its place.
            if column.priority > 1 && !varies(&column.field, weights) {
                column.priority += 100;
            }
        }
        columns
    }

    /// What a weight has in this column, drawn.
    pub(super) fn cell(&self, weight: &WeightRecord) -> Option<String> {
        cell(&self.field, weight)
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self.field, Field::Name | Field::Role | Field::Type)
    }

    /// Whether the largest are wanted first.
    pub(super) fn descends(&self) -> bool {
        !matches!(self.field, Field::Order | Field::Name | Field::Role | Field::Type | Field::Block)
    }

    pub(super) fn key(&self, data: &Data, place: usize) -> Option<SortKey> {
        let weight = data.weight(place)?;
        let number = |x: f64| Some(SortKey::Number(x));
        match &self.field {
            Field::Order => number(place as f64),
            Field::Severity => data.worst(place).map(|s| SortKey::Number(f64::from(s as u8))),
            Field::Name => Some(SortKey::Text(weight.name.clone())),
            Field::Role => Some(SortKey::Text(weight.role.name().to_owned())),
            Field::Type => Some(SortKey::Text(weight.stored_type().into_owned())),
            Field::Block => weight.block.map(|b| SortKey::Number(f64::from(b))),
            Field::Shape => number(weight.elements() as f64),
            Field::Parameters => number(weight.parameters as f64),
            Field::Metric(column) => column.number(weight).map(SortKey::Number),
        }
    }
}

fn cell(field: &Field, weight: &WeightRecord) -> Option<String> {
    match field {
        Field::Order | Field::Severity => None,
        Field::Name => Some(escape::terminal(&weight.name).into_owned()),
        Field::Role => Some(weight.role.name().to_owned()),
        Field::Block => weight.block.map(|b| b.to_string()),
        Field::Shape => Some(pieces::shape(&weight.shape).replace(" x ", "×")),
        Field::Type => Some(escape::terminal_within(&weight.stored_type(), 16).into_owned()),
        Field::Parameters => Some(pieces::short_count(weight.parameters)),
        Field::Metric(column) => column.cell(weight),
    }
}

/// Whether a column tells weights apart that have it.
fn varies(field: &Field, weights: &[WeightRecord]) -> bool {
    let mut cells = weights.iter().filter_map(|w| cell(field, w));
    let first = cells.next();
    cells.any(|cell| Some(cell) != first)
}

/// A heading on two lines, broken at the space nearest to its middle; the first line may be empty.
fn broken(title: &str) -> [String; 2] {
    let whole = pieces::width(title);
    let better = |(i, _): &(usize, &str)| whole.abs_diff(2 * i);
    let place = title.match_indices(' ').min_by_key(better);
    match place.and_then(|(i, _)| title.split_at_checked(i)) {
        Some((above, below)) if whole > 7 => [above.to_owned(), below.trim_start().to_owned()],
        _ => [String::new(), title.to_owned()],
    }
}

/// The columns beside the name that fit into `room`, in their order. The sorted one is always there.
pub(super) fn fitting(columns: &[Column], sorted: usize, room: usize) -> Vec<usize> {
    let beside = |c: &Column| !matches!(c.field, Field::Order | Field::Severity | Field::Name);
    let mut by_priority: Vec<usize> =
        (0..columns.len()).filter(|i| columns.get(*i).is_some_and(beside)).collect();
    by_priority.sort_by_key(|i| (*i != sorted, columns.get(*i).map_or(0, |c| c.priority)));
    let (mut left, mut full) = (room, None);
    let mut chosen = Vec::new();
    for i in by_priority {
        let Some(column) = columns.get(i) else { continue };
        let needs = column.width + 2;
        if full.is_some_and(|priority| column.priority > priority) {
            // A lesser column in the place of a better one would look like a choice.
            break;
        }
        if needs <= left {
            left -= needs;
            chosen.push(i);
        } else if i != sorted {
            full = Some(column.priority);
        }
    }
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_are_compared_as_such() {
        let mut names = ["h.10.a", "h.2.b", "h.2.a", "h.02.a", "h", "h.x"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["h", "h.2.a", "h.02.a", "h.2.b", "h.10.a", "h.x"]);
    }

    #[test]
    fn headings_break_near_the_middle() {
        assert_eq!(broken("condition number"), ["condition", "number"]);
        assert_eq!(broken("std"), ["", "std"]);
        assert_eq!(broken("below rms/100"), ["below", "rms/100"]);
    }
}
