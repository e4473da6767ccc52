//! Reading a weight in panels and blocks, in either order, whatever way it is stored.

use std::ops::Range;

use crate::view::{Axis, Order, Scalar, WeightView};
use crate::{AnalyzeError, DType};

/// Values of [`WeightView::for_each_row`]'s blocks at most, unless one row is longer.
const ROW_VALUES: u64 = 64 * 1024;
/// Values read at a time into a block in stored order, unless one line is longer: they stay in the
/// second-level cache until they are decoded.
const READ_VALUES: u64 = 64 * 1024;
/// Stored lines that are turned at a time: whole cache lines are written, and as many in a row as keep
/// the number of memory pages touched low.
const TURN_LINES: usize = 64;
/// Values of a line that are turned at a time: a tile stays in the first-level cache.
const TURN_WIDTH: usize = 64;
/// Tile lines are a cache line longer than they are used, because powers of two would share cache sets.
const TURN_STRIDE: usize = TURN_WIDTH + 8;
/// Values of a line that are read at a time, so that a strip of lines takes 4 MiB of BF16 at most.
const TURN_READ: u64 = 32 * 1024;

impl WeightView<'_> {
    /// Decodes whole rows or columns of the matrix `[out, in]` into `into`, line after line.
    ///
    /// * `Axis::Rows`: `into.len() == lines.len() * in`; `Axis::Columns`: `lines.len() * out`.
    /// * Cheap along the stored rows (`Rows` unless the weight is transposed); across them every stored
    ///   row is touched.
    ///
    /// # Errors
    /// When the lines or the length do not fit the matrix, the bytes cannot be read or decoded, or the run is
    /// stopped.
    pub fn panel<T: Scalar>(
        &self,
        axis: Axis,
        lines: Range<u64>,
        into: &mut [T],
    ) -> Result<(), AnalyzeError> {
        let [out, input] = self.size();
        let (count, length) = match axis {
            Axis::Rows => (out, input),
            Axis::Columns => (input, out),
        };
        let values = lines.end.checked_sub(lines.start).and_then(|n| n.checked_mul(length));
        if lines.end > count || values != Some(into.len() as u64) {
            let message = format!(
                "panel {lines:?} of {count} lines with {length} values into {} places",
                into.len()
            );
            return Err(self.shape_error(&message));
        }
        match axis {
            Axis::Rows => self.block(lines, 0..input, Order::RowMajor, into),
            Axis::Columns => self.block(0..out, lines, Order::ColumnMajor, into),
        }
    }

    /// Decodes a block of the matrix `[out, in]` into `into`.
    ///
    /// * `into.len() == rows.len() * columns.len()`.
    /// * Cost: one read per stored row that the block touches (fewer where it has whole stored rows), one
    ///   decode, and a turn in cache when `order` is not the stored one. Scratch: at most 20 MiB, and for
    ///   matrices of up to 16,384 columns of BF16 2 MiB.
    ///
    /// # Errors
    /// When the block or the length does not fit the matrix, the bytes cannot be read or decoded, or the run
    /// is stopped.
    pub fn block<T: Scalar>(
        &self,
        rows: Range<u64>,
        columns: Range<u64>,
        order: Order,
        into: &mut [T],
    ) -> Result<(), AnalyzeError> {
        self.check_cancelled()?;
        let [out, input] = self.size();
        let extent = |range: &Range<u64>| range.end.checked_sub(range.start);
        let values = extent(&rows).zip(extent(&columns)).and_then(|(r, c)| r.checked_mul(c));
        if rows.end > out || columns.end > input || values != Some(into.len() as u64) {
            let message = format!(
                "rows {rows:?}, columns {columns:?} of a {out} x {input} matrix into {} places",
                into.len()
            );
            return Err(self.shape_error(&message));
        }
        // From here on in stored coordinates: `lines` of the stored matrix, `within` them.
        let transposed = self.weight().transposed;
        let (lines, within) = if transposed { (columns, rows) } else { (rows, columns) };
        if into.is_empty() {
            Ok(())
        } else if (order == Order::RowMajor) != transposed {
            self.stored_block(lines, &within, into)
        } else {
            self.turned_block(&lines, &within, into)
        }
    }

    /// A block of stored lines, line after line.
    fn stored_block<T: Scalar>(
        &self,
        lines: Range<u64>,
        within: &Range<u64>,
        into: &mut [T],
    ) -> Result<(), AnalyzeError> {
        let (dtype, mut bytes) = (self.dtype()?, Vec::new());
        let length = within.end - within.start;
        let step = (READ_VALUES / length).max(1);
        for (first, part) in
            lines.clone().step_by(step as usize).zip(into.chunks_mut((step * length) as usize))
        {
            self.read_block(first..lines.end.min(first + step), within.clone(), &mut bytes)?;
            self.decode(dtype, &bytes, part)?;
        }
        Ok(())
    }

    /// A block of stored lines, position after position: the values of all lines at the first position,
    /// then at the second.
    fn turned_block<T: Scalar>(
        &self,
        lines: &Range<u64>,
        within: &Range<u64>,
        into: &mut [T],
    ) -> Result<(), AnalyzeError> {
        let dtype = self.dtype()?;
        let (element, count) = (dtype.bytes(), (lines.end - lines.start) as usize);
        let mut bytes = Vec::new();
        let mut tile = vec![[T::default(); TURN_STRIDE]; TURN_LINES.min(count)];
        let mut strip = |first: usize, left: u64, into: &mut [T]| -> Result<(), AnalyzeError> {
            let right = within.end.min(left + TURN_READ);
            let last = lines.end.min(lines.start + (first + TURN_LINES) as u64);
            self.read_block(lines.start + first as u64..last, left..right, &mut bytes)?;
            let length = (right - left) as usize * element;
            for (start, targets) in
                (0..).step_by(TURN_WIDTH * element).zip(into.chunks_mut(TURN_WIDTH * count))
            {
                let end = length.min(start + TURN_WIDTH * element);
                let mut filled = 0;
                for (values, line) in tile.iter_mut().zip(bytes.chunks_exact(length)) {
                    self.decode(dtype, &line[start..end], &mut values[..(end - start) / element])?;
                    filled += 1;
                }
                turn(&tile[..filled], first, count, targets);
            }
            Ok(())
        };
        for (left, part) in (within.start..within.end)
            .step_by(TURN_READ as usize)
            .zip(into.chunks_mut(TURN_READ as usize * count))
        {
            for first in (0..count).step_by(TURN_LINES) {
                strip(first, left, part)?;
            }
        }
        Ok(())
    }

    /// Calls `visit` with the index and the `in` values of every row of the matrix `[out, in]`, in order.
    ///
    /// # Errors
    /// When the bytes cannot be read or decoded, or the run is stopped.
    pub fn for_each_row<T: Scalar>(
        &self,
        mut visit: impl FnMut(u64, &[T]),
    ) -> Result<(), AnalyzeError> {
        let [out, input] = self.size();
        let block = (ROW_VALUES / input.max(1)).clamp(1, out.max(1));
        let mut values = vec![T::default(); (block * input) as usize];
        for first in (0..out).step_by(block as usize) {
            let rows = first..out.min(first + block);
            let values = &mut values[..((rows.end - rows.start) * input) as usize];
            self.panel(Axis::Rows, rows.clone(), values)?;
            for (index, row) in rows.zip(values.chunks_exact(input.max(1) as usize)) {
                visit(index, row);
            }
        }
        Ok(())
    }

    /// Copies the stored bytes of rows `rows` and columns `columns` of the matrix as it is stored (see
    /// [`crate::Layout`]) into `into`, row after row; it is resized to fit.
    ///
    /// # Errors
    /// When the block is outside of the weight, the element type is unknown, or the bytes cannot be read.
    pub fn read_block(
        &self,
        rows: Range<u64>,
        columns: Range<u64>,
        into: &mut Vec<u8>,
    ) -> Result<(), AnalyzeError> {
        let element = self.dtype()?.bytes() as u64;
        let layout = &self.weight().layout;
        let is_within = rows.start <= rows.end && columns.start <= columns.end;
        if !is_within || rows.end > layout.rows() || columns.end > layout.columns() {
            return Err(self.shape_error("block outside of the weight"));
        }
        let width = columns.end - columns.start;
        into.resize(((rows.end - rows.start) * width * element) as usize, 0);
        let whole = width == layout.columns();
        let (mut row, mut filled) = (rows.start, 0usize);
        while row < rows.end {
            let count =
                if whole { layout.unbroken_rows(row).min(rows.end - row).max(1) } else { 1 };
            let span = layout
                .span(row, columns.clone())
                .ok_or_else(|| self.shape_error("block outside of the weight"))?;
            let length = (count * width * element) as usize;
            let target = into
                .get_mut(filled..filled + length)
                .ok_or_else(|| self.shape_error("block too long"))?;
            self.read_at(span.start * element, target)?;
            filled += length;
            row += count;
        }
        Ok(())
    }

    /// Decodes stored elements, as [`WeightView::read_block`] has them.
    ///
    /// # Errors
    /// [`AnalyzeError::Decode`] when the lengths do not agree.
    pub fn decode<T: Scalar>(
        &self,
        dtype: DType,
        bytes: &[u8],
        out: &mut [T],
    ) -> Result<(), AnalyzeError> {
        T::decode(dtype, bytes, out).map_err(|cause| AnalyzeError::Decode {
            tensor: self.weight().source_tensor.clone(),
            cause,
        })
    }
}

/// Writes the lines of a tile as columns `first..` of `into`, whose rows have `width` values.
fn turn<T: Copy>(tile: &[[T; TURN_STRIDE]], first: usize, width: usize, into: &mut [T]) {
    for (position, row) in into.chunks_exact_mut(width).enumerate().take(TURN_WIDTH) {
        for (target, line) in row[first..first + tile.len()].iter_mut().zip(tile) {
            *target = line[position];
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{
        Cancel, Confidence, EntryId, Layout, MemorySource, Metadata, Part, Role, Shared,
        SourceError, TensorEntry, TensorSource, Weight,
    };
    use proptest::prelude::*;

    /// A source that counts reads.
    #[derive(Debug, Default)]
    struct Counted {
        memory: MemorySource,
        reads: Mutex<Vec<u64>>,
    }

    impl TensorSource for Counted {
        fn entries(&self) -> &[TensorEntry] {
            self.memory.entries()
        }

        fn metadata(&self) -> &Metadata {
            self.memory.metadata()
        }

        fn read_at(
            &self,
            entry: EntryId,
            range: Range<u64>,
            into: &mut [u8],
        ) -> Result<(), SourceError> {
            self.reads.lock().unwrap().push(range.end - range.start);
            self.memory.read_at(entry, range, into)
        }
    }

    /// A stored `rows x columns` tensor whose values are their places, of which the weight is a part.
    struct Scene {
        source: Counted,
        weight: Weight,
        stored_columns: u64,
    }

    impl Scene {
        fn new(dtype: DType, rows: u64, columns: u64, layout: Layout, transposed: bool) -> Self {
            let places = 0..rows * columns;
            let bytes: Vec<u8> = match dtype {
                DType::F64 => places.flat_map(|v| (v as f64).to_le_bytes()).collect(),
                DType::F32 => places.flat_map(|v| (v as f32).to_le_bytes()).collect(),
                DType::I64 => places.flat_map(|v| (v as i64).to_le_bytes()).collect(),
                DType::U16 => places.flat_map(|v| (v as u16).to_le_bytes()).collect(),
                _ => places.map(|v| v as u8).collect(),
            };
            let mut source = Counted::default();
            source.memory.push("w", dtype, &[rows, columns], bytes).unwrap();
            let size = [layout.rows(), layout.columns()];
            let weight = Weight {
                name: "w".into(),
                entry: EntryId(0),
                source_tensor: "w".into(),
                role: Role::Other,
                part: Part::Weight,
                stack: None,
                block: None,
                expert: None,
                dtype: Some(dtype),
                shape: size.to_vec(),
                layout,
                matrix: Some(if transposed { [size[1], size[0]] } else { size }),
                transposed,
                heads: None,
                fused: Vec::new(),
                from_one: false,
                factor: None,
                confidence: Confidence::Known,
            };
            Self { source, weight, stored_columns: columns }
        }

        fn whole(dtype: DType, rows: u64, columns: u64, transposed: bool) -> Self {
            Self::new(dtype, rows, columns, Layout::whole(rows, columns), transposed)
        }

        fn with_view<T>(&self, body: impl FnOnce(&WeightView<'_>) -> T) -> T {
            let (shared, cancel) = (Shared::default(), Cancel::default());
            body(&WeightView::new(&self.weight, &self.source, &shared, &cancel))
        }

        fn size(&self) -> [u64; 2] {
            let [rows, columns] = [self.weight.layout.rows(), self.weight.layout.columns()];
            if self.weight.transposed { [columns, rows] } else { [rows, columns] }
        }

        /// The value at `[out, in]`, from the layout's ranges alone.
        fn value(&self, out: u64, input: u64) -> f64 {
            let [line, position] = if self.weight.transposed { [input, out] } else { [out, input] };
            let mut rows = self.weight.layout.row_ranges.iter().cloned().flatten();
            let row = if let [only] = &self.weight.layout.row_ranges[..] {
                only.start + line
            } else {
                rows.nth(line as usize).unwrap()
            };
            let column = self.weight.layout.column_range.start + position;
            let place = row * self.stored_columns + column;
            match self.weight.dtype.unwrap() {
                DType::U8 => f64::from(place as u8),
                DType::U16 => f64::from(place as u16),
                _ => place as f64,
            }
        }

        /// Compares one block in both orders, as `f32` and as `f64`, with the definition.
        fn check(&self, rows: Range<u64>, columns: Range<u64>) {
            for order in [Order::RowMajor, Order::ColumnMajor] {
                let expected: Vec<f64> = match order {
                    Order::RowMajor => rows
                        .clone()
                        .flat_map(|r| columns.clone().map(move |c| (r, c)))
                        .map(|(r, c)| self.value(r, c))
                        .collect(),
                    Order::ColumnMajor => columns
                        .clone()
                        .flat_map(|c| rows.clone().map(move |r| (r, c)))
                        .map(|(r, c)| self.value(r, c))
                        .collect(),
                };
                let place = format!("{rows:?} x {columns:?} {order:?} of {:?}", self.weight.layout);
                let mut wide = vec![f64::NAN; expected.len()];
                let mut narrow = vec![f32::NAN; expected.len()];
                self.with_view(|view| {
                    view.block(rows.clone(), columns.clone(), order, &mut wide).unwrap();
                    view.block(rows.clone(), columns.clone(), order, &mut narrow).unwrap();
                });
                assert!(wide == expected, "{place}");
                assert!(narrow.iter().zip(&expected).all(|(a, b)| *a == *b as f32), "{place}");
            }
        }
    }

    #[test]
    fn every_block_of_small_matrices() {
        for (rows, columns) in [(1, 1), (1, 5), (5, 1), (3, 4), (6, 5)] {
            for transposed in [false, true] {
                let scene = Scene::whole(DType::F32, rows, columns, transposed);
                let [out, input] = scene.size();
                for (top, left) in (0..=out).flat_map(|t| (0..=input).map(move |l| (t, l))) {
                    for (bottom, right) in
                        (top..=out).flat_map(|b| (left..=input).map(move |r| (b, r)))
                    {
                        scene.check(top..bottom, left..right);
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn blocks_of_parts_of_tensors(
            (rows, columns) in (1u64..200, 1u64..300),
            cuts in prop::collection::vec(0u64..=1000, 4),
            block in prop::collection::vec(0u64..=1000, 4),
            heads in 1u64..4,
            dtype in prop::sample::select(vec![DType::F64, DType::F32, DType::I64, DType::U16, DType::U8]),
            transposed in any::<bool>(),
        ) {
            // Two bounds of 0..size from two numbers of 0..=1000.
            let within = |a: u64, b: u64, size: u64| {
                let (a, b) = (a.min(b) * size / 1000, a.max(b) * size / 1000);
                a.min(size - 1)..b.max(a + 1).min(size)
            };
            // As interleaved q, k and v: the same rows of each of several heads.
            let head = rows.div_ceil(heads);
            let rows_in_head = within(cuts[0], cuts[1], head);
            let row_ranges: Vec<_> = (0..heads)
                .map(|h| rows.min(h * head + rows_in_head.start)..rows.min(h * head + rows_in_head.end))
                .collect();
            let layout =
                Layout { stored_columns: columns, row_ranges, column_range: within(cuts[2], cuts[3], columns) };
            prop_assume!(layout.rows() > 0);
            let scene = Scene::new(dtype, rows, columns, layout, transposed);
            let [out, input] = scene.size();
            scene.check(0..out, 0..input);
            scene.check(within(block[0], block[1], out), within(block[2], block[3], input));
        }
    }

    #[test]
    fn lines_longer_than_what_is_read_at_a_time() {
        for (rows, columns) in [(3, 70_001), (70_001, 3), (66, 32 * 1024 + 1), (129, 65)] {
            for transposed in [false, true] {
                let scene = Scene::whole(DType::F64, rows, columns, transposed);
                let [out, input] = scene.size();
                scene.check(0..out, 0..input);
                scene.check(out / 3..out, input / 3..input);
            }
        }
    }

    #[test]
    fn panels_are_blocks() {
        let scene = Scene::whole(DType::F32, 7, 9, true);
        scene.with_view(|view| {
            let [out, input] = view.size();
            assert_eq!([out, input], [9, 7]);
            let (mut rows, mut columns) = ([0f64; 14], [0f64; 18]);
            view.panel(Axis::Rows, 2..4, &mut rows).unwrap();
            view.panel(Axis::Columns, 5..7, &mut columns).unwrap();
            for (place, value) in (0u64..).zip(rows) {
                assert!(value == scene.value(2 + place / 7, place % 7));
            }
            for (place, value) in (0u64..).zip(columns) {
                assert!(value == scene.value(place % 9, 5 + place / 9));
            }
            let mut seen = 0;
            view.for_each_row(|row, values: &[f64]| {
                assert_eq!(row, seen);
                assert!((0..7).all(|c| values[c as usize] == scene.value(row, c)));
                seen += 1;
            })
            .unwrap();
            assert_eq!(seen, 9);
        });
    }

    #[test]
    fn whole_rows_take_few_reads_and_parts_of_rows_one_each() {
        let scene = Scene::whole(DType::F32, 100, 64, false);
        let reads = |rows: Range<u64>, columns: Range<u64>, order| {
            let mut into =
                vec![0f32; ((rows.end - rows.start) * (columns.end - columns.start)) as usize];
            scene.source.reads.lock().unwrap().clear();
            scene.with_view(|view| view.block(rows, columns, order, &mut into)).unwrap();
            let reads = scene.source.reads.lock().unwrap();
            (reads.len(), reads.iter().sum::<u64>())
        };
        assert_eq!(reads(0..100, 0..64, Order::RowMajor), (1, 25_600));
        assert_eq!(reads(0..100, 0..64, Order::ColumnMajor), (2, 25_600));
        assert_eq!(reads(10..60, 8..16, Order::RowMajor), (50, 1600));
        assert_eq!(reads(10..60, 8..16, Order::ColumnMajor), (50, 1600));
        assert_eq!(reads(10..10, 8..16, Order::ColumnMajor), (0, 0));
    }

    #[test]
    fn blocks_that_do_not_fit_are_refused() {
        let scene = Scene::whole(DType::F32, 4, 6, false);
        scene.with_view(|view| {
            for (rows, columns, places) in [
                (0..5, 0..6, 30),
                (0..4, 0..7, 28),
                (0..4, 0..6, 23),
                (0..4, 0..6, 25),
                (Range { start: 3, end: 2 }, 0..6, 0),
                (0..u64::MAX, 0..u64::MAX, 1),
            ] {
                let error = view.block(rows, columns, Order::RowMajor, &mut vec![0f64; places]);
                assert!(matches!(error, Err(AnalyzeError::Shape { .. })), "{error:?}");
            }
        });
        let (shared, cancel) = (Shared::default(), Cancel::default());
        let view = WeightView::new(&scene.weight, &scene.source, &shared, &cancel);
        cancel.cancel();
        let stopped = view.block(0..4, 0..6, Order::ColumnMajor, &mut [0f64; 24]);
        assert!(matches!(stopped, Err(AnalyzeError::Cancelled)));
    }
}
