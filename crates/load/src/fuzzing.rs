//! For fuzz targets: readers of formats on bytes in memory, held to what the rest of the crate relies on.

use std::io;

use crate::blob::Blob;
use crate::container::{self, StoredTensor};
use crate::row_order::RowOrder;
use crate::view::Tiles;

/// Bytes in memory.
#[derive(Debug)]
struct Memory<'a>(&'a [u8]);

impl Blob for Memory<'_> {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..));
        let rest = rest.unwrap_or_default();
        let count = rest.len().min(into.len());
        let (from, to) = (rest.get(..count), into.get_mut(..count));
        if let Some((from, to)) = from.zip(to) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }
}

/// Opens `bytes` as a file of any format. Whether it is sound.
///
/// # Panics
/// When a file that is taken for sound has a tensor that is not in it, or rows that are in no place or in two.
pub fn header(bytes: &[u8]) -> bool {
    let blob = Memory(bytes);
    let Ok((mut stored, container)) = container::open(&blob) else { return false };
    container.finish(&mut stored.tensors, &mut stored.config);
    for tensor in &stored.tensors {
        let reach = tensor.view.as_ref().map_or(tensor.bytes, |view| view.reach());
        let end = tensor.start.checked_add(reach);
        assert!(tensor.bytes == 0 || end.is_some_and(|end| end <= blob.len()));
        assert_eq!(weightscope_core::element_count(&tensor.shape), Some(tensor.elements));
        if let Some(order) = tensor.row_order {
            check_rows(tensor, order);
        }
    }
    read_some(&blob, &stored.tensors);
    true
}

/// Reads the beginning and the end of tensors whose elements lie scattered.
fn read_some(blob: &dyn Blob, tensors: &[StoredTensor]) {
    let tiles = Tiles::default();
    for tensor in tensors.iter().take(64) {
        let Some(view) = &tensor.view else { continue };
        let read = |at: u64, into: &mut [u8]| {
            let filled = blob.read_at(tensor.start.saturating_add(at), into)?;
            assert_eq!(filled, into.len(), "a view reaches beyond its file");
            Ok(())
        };
        let count = tensor.bytes.min(64);
        for offset in [0, tensor.bytes.saturating_sub(count)] {
            let mut into = vec![0; usize::try_from(count).unwrap_or(0)];
            let result = tiles.read(view, 0, tensor.start, offset, &mut into, &read);
            assert!(result.is_ok());
        }
    }
}

fn check_rows(tensor: &StoredTensor, order: RowOrder) {
    let [rows, _] = tensor.matrix();
    // Two heads show what all do.
    let RowOrder::Interleaved { head } = order;
    let some = rows.min(head.saturating_mul(2)).min(1 << 12);
    let places: std::collections::BTreeSet<u64> = (0..some).map(|row| order.stored(row)).collect();
    assert_eq!(places.len() as u64, some);
    assert!(places.last().is_none_or(|last| *last < rows));
}
