//! Tensors whose elements do not lie one after the other: transposed ones, slices, repeated values.
//!
//! The place of an element is `Σ index · stride`, in elements from the first one, as in torch. A read gathers a tile of
//! rows at once, in the order in which they lie in the file, and keeps it for the reads that follow: a row of a
//! transposed matrix touches every page of it, and its neighbours touch the same ones.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// How the elements of a tensor lie.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct View {
    /// Dimensions and strides of those that have more than one element, neighbours merged where they are one.
    dimensions: Vec<[u64; 2]>,
    /// Bytes of an element.
    width: u64,
    /// Whether the bytes of an element stand the other way round.
    swapped: bool,
}

/// Bytes of a tile that is gathered at once, unless one row of the last dimension is longer.
const TILE_BYTES: u64 = 8 << 20;
/// Bytes of the file that are in memory while a tile is gathered.
const WINDOW_BYTES: u64 = 1 << 20;
/// Runs that lie closer are read with what is between them.
const NEAR_BYTES: u64 = 512;
/// So many tiles are kept.
const KEPT: usize = 4;

impl View {
    /// How elements with these strides lie; `None` when it is one after the other, least significant byte first.
    pub(crate) fn new(shape: &[u64], strides: Vec<u64>, width: u64, swapped: bool) -> Option<Self> {
        let swapped = swapped && width > 1;
        let mut dimensions: Vec<[u64; 2]> = Vec::new();
        for (size, stride) in shape.iter().zip(strides).filter(|(size, _)| **size != 1) {
            match dimensions.last_mut() {
                Some([outer, step]) if stride.checked_mul(*size) == Some(*step) => {
                    (*outer, *step) = (outer.saturating_mul(*size), stride);
                }
                _ => dimensions.push([*size, stride]),
            }
        }
        let is_plain = matches!(dimensions.as_slice(), [] | [[_, 1]]);
        (!is_plain || swapped).then_some(Self { dimensions, width, swapped })
    }

    /// The tile that has the element `element`: its first element, how many there are, and which dimensions it spans.
    fn tile(&self, element: u64) -> Tile {
        let most = (TILE_BYTES.checked_div(self.width).unwrap_or(1)).max(1);
        // Elements of all dimensions further in.
        let mut inner = 1_u64;
        for (at, [size, _]) in self.dimensions.iter().enumerate().rev() {
            let whole = inner.saturating_mul(*size);
            if whole > most {
                let rows = most.checked_div(inner).unwrap_or(1).max(1);
                let tile = rows.saturating_mul(inner);
                let outer = element.checked_rem(whole).unwrap_or(0);
                let base = element.saturating_sub(outer);
                let within = outer.saturating_sub(outer.checked_rem(tile).unwrap_or(0));
                let first = base.saturating_add(within);
                let count = tile.min(whole.saturating_sub(within));
                let rows = count.checked_div(inner).unwrap_or(0);
                return Tile { first, count, at, rows };
            }
            inner = whole;
        }
        Tile { first: 0, count: inner, at: 0, rows: self.dimensions.first().map_or(1, |d| d[0]) }
    }

    /// Bytes from the first element to the end of the last one.
    pub(crate) fn reach(&self) -> u64 {
        let last = self
            .dimensions
            .iter()
            .map(|[size, stride]| size.saturating_sub(1).saturating_mul(*stride));
        last.fold(1, u64::saturating_add).saturating_mul(self.width)
    }

    /// The place of an element, from the first one on.
    fn place(&self, element: u64) -> u64 {
        let mut rest = element;
        let mut place = 0_u64;
        for [size, stride] in self.dimensions.iter().rev() {
            let index = rest.checked_rem(*size).unwrap_or(0);
            rest = rest.checked_div(*size).unwrap_or(0);
            place = place.saturating_add(index.saturating_mul(*stride));
        }
        place
    }

    /// Gathers a tile.
    fn gather(&self, tile: &Tile, read: &dyn Fn(u64, &mut [u8]) -> Failed) -> io::Result<Vec<u8>> {
        let width = usize::try_from(self.width).unwrap_or(usize::MAX);
        let length = tile.count.saturating_mul(self.width);
        let mut into = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        // The dimensions of the tile with their strides there and in the file, those that lie furthest apart first.
        let mut axes: Vec<Axis> = Vec::new();
        let mut step = 1_u64;
        for (at, [size, stride]) in self.dimensions.iter().enumerate().rev() {
            if at < tile.at {
                break;
            }
            let size = if at == tile.at { tile.rows } else { *size };
            axes.push(Axis { size, stride: *stride, step });
            step = step.saturating_mul(size);
        }
        axes.sort_by_key(|axis| std::cmp::Reverse(axis.stride));
        let run = axes.pop().unwrap_or(Axis { size: 1, stride: 1, step: 1 });
        let gap = axes.last().map_or(0, |axis| axis.stride.saturating_mul(self.width));
        let mut window = Window { read, start: 0, bytes: Vec::new(), end: self.reach() };
        let base = self.place(tile.first);
        let mut indices = vec![0_u64; axes.len()];
        loop {
            let (mut from, mut to) = (base, 0_u64);
            for (axis, index) in axes.iter().zip(&indices) {
                from = from.saturating_add(axis.stride.saturating_mul(*index));
                to = to.saturating_add(axis.step.saturating_mul(*index));
            }
            self.copy_run(&run, from, to, gap, &mut window, &mut into)?;
            // The next one, the last axis first.
            let mut is_done = true;
            for (axis, index) in axes.iter().zip(&mut indices).rev() {
                *index = index.saturating_add(1);
                if *index < axis.size {
                    is_done = false;
                    break;
                }
                *index = 0;
            }
            if is_done {
                break;
            }
        }
        if self.swapped {
            into.chunks_exact_mut(width.max(1)).for_each(<[u8]>::reverse);
        }
        Ok(into)
    }

    /// Copies the elements of a run, `from` and `to` in elements, a window at a time.
    fn copy_run(
        &self,
        run: &Axis,
        from: u64,
        to: u64,
        gap: u64,
        window: &mut Window<'_>,
        into: &mut [u8],
    ) -> io::Result<()> {
        let width = self.width.max(1);
        let stride = run.stride.saturating_mul(width);
        // As many elements as a window has room for; single ones where they lie far apart.
        let most = if stride > NEAR_BYTES {
            1
        } else {
            WINDOW_BYTES.checked_div(stride).unwrap_or(u64::MAX).max(1)
        };
        let mut index = 0_u64;
        while index < run.size {
            let count = most.min(run.size.saturating_sub(index));
            let begin = from.saturating_add(run.stride.saturating_mul(index)).saturating_mul(width);
            let reach = stride.saturating_mul(count.saturating_sub(1)).saturating_add(width);
            let is_near = gap > 0 && gap.saturating_sub(reach.min(gap)) <= NEAR_BYTES;
            let source = window.bytes(begin, reach, is_near)?;
            let target = to.saturating_add(run.step.saturating_mul(index)).saturating_mul(width);
            let step = run.step.saturating_mul(width);
            copy(source, stride, into, target, step, width, count);
            index = index.saturating_add(count);
        }
        Ok(())
    }
}

/// Copies `count` elements of `width` bytes, `stride` bytes apart, to places `step` bytes apart from `target` on.
fn copy(
    source: &[u8],
    stride: u64,
    into: &mut [u8],
    target: u64,
    step: u64,
    width: u64,
    count: u64,
) {
    let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let (stride, target, step, width, count) =
        (size(stride), size(target), size(step), size(width), size(count));
    if stride == width && step == width {
        let length = width.saturating_mul(count);
        let to = into.get_mut(target..target.saturating_add(length));
        if let Some((to, from)) = to.zip(source.get(..length)) {
            to.copy_from_slice(from);
        }
        return;
    }
    let (mut from, mut to) = (0_usize, target);
    for _ in 0..count {
        let place = into.get_mut(to..to.saturating_add(width));
        if let Some((place, value)) = place.zip(source.get(from..from.saturating_add(width))) {
            place.copy_from_slice(value);
        }
        (from, to) = (from.saturating_add(stride), to.saturating_add(step));
    }
}

/// Whole rows along one dimension, with all dimensions further in.
#[derive(Debug)]
struct Tile {
    /// In the order of the tensor.
    first: u64,
    count: u64,
    /// The dimension that is cut.
    at: usize,
    /// Its part.
    rows: u64,
}

#[derive(Clone, Copy, Debug)]
struct Axis {
    size: u64,
    /// Elements apart in the file.
    stride: u64,
    /// Elements apart in the tile.
    step: u64,
}

/// The outcome of a read.
type Failed = io::Result<()>;

/// A piece of the file in memory, at most [`WINDOW_BYTES`] of it.
struct Window<'a> {
    read: &'a dyn Fn(u64, &mut [u8]) -> Failed,
    start: u64,
    bytes: Vec<u8>,
    /// Where the tensor ends.
    end: u64,
}

impl Window<'_> {
    /// `count` bytes from `begin` on; what follows is read ahead where more is wanted near to it.
    fn bytes(&mut self, begin: u64, count: u64, is_near: bool) -> io::Result<&[u8]> {
        let end = begin.saturating_add(count);
        let held = self.start.saturating_add(self.bytes.len() as u64);
        if begin < self.start || end > held {
            let ahead = WINDOW_BYTES.min(self.end.saturating_sub(begin));
            let length = if is_near { count.max(ahead) } else { count };
            self.bytes.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
            self.start = begin;
            (self.read)(begin, &mut self.bytes)?;
        }
        let skip = usize::try_from(begin.saturating_sub(self.start)).unwrap_or(usize::MAX);
        Ok(self.bytes.get(skip..).unwrap_or_default())
    }
}

/// Which tile of which tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    file: usize,
    start: u64,
    first: u64,
    view: View,
}

/// The tiles that were gathered last.
#[derive(Debug, Default)]
pub(crate) struct Tiles {
    kept: Mutex<Vec<(Key, Arc<Vec<u8>>)>>,
}

impl Tiles {
    /// Copies bytes of the tensor that begins at byte `start` of `file`, from its byte `offset` on as if it were plain.
    /// `read` fills a buffer from a byte on, counted from `start`.
    pub(crate) fn read(
        &self,
        view: &View,
        file: usize,
        start: u64,
        offset: u64,
        into: &mut [u8],
        read: &dyn Fn(u64, &mut [u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let width = view.width.max(1);
        let (mut offset, mut rest) = (offset, into);
        while !rest.is_empty() {
            let tile = view.tile(offset.checked_div(width).unwrap_or(0));
            let key = Key { file, start, first: tile.first, view: view.clone() };
            let kept = self.get(&key);
            let bytes = match kept {
                Some(bytes) => bytes,
                None => self.add(key, view.gather(&tile, read)?),
            };
            let skip = offset.saturating_sub(tile.first.saturating_mul(width));
            let skip = usize::try_from(skip).unwrap_or(usize::MAX);
            let from = bytes.get(skip..).unwrap_or_default();
            if from.is_empty() {
                return Err(io::Error::other("outside of the tensor"));
            }
            let (now, after) = rest.split_at_mut(from.len().min(rest.len()));
            now.copy_from_slice(from.get(..now.len()).unwrap_or_default());
            offset = offset.saturating_add(now.len() as u64);
            rest = after;
        }
        Ok(())
    }

    fn get(&self, key: &Key) -> Option<Arc<Vec<u8>>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(other, _)| other == key)?;
        let found = kept.remove(at);
        let bytes = Arc::clone(&found.1);
        kept.push(found);
        Some(bytes)
    }

    fn add(&self, key: Key, bytes: Vec<u8>) -> Arc<Vec<u8>> {
        let bytes = Arc::new(bytes);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push((key, Arc::clone(&bytes)));
        bytes
    }
}
