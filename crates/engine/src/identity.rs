//! Whether a checkpoint is the one that a journal was written for.

use weightscope_core::stats::ContentHasher;
use weightscope_core::{EntryId, TensorSource};

/// Tensors of which a part is hashed: of more, every n-th.
const TENSORS: usize = 1024;
/// Bytes of each, from its middle.
const BYTES: u64 = 4096;

/// A hash of sampled values. Steps of one training run have the same names, shapes and sizes, and files that were
/// copied or unpacked may have the same times: only the values tell them apart.
///
/// Cost: a small read for each of at most 1,024 tensors. What cannot be read counts as such.
pub(crate) fn sample(source: &dyn TensorSource) -> u128 {
    let entries = source.entries();
    let step = entries.len().div_ceil(TENSORS).max(1);
    let mut hasher = ContentHasher::default();
    let mut bytes = Vec::new();
    for (index, entry) in entries.iter().enumerate().step_by(step) {
        let Some(dtype) = entry.dtype else { continue };
        // Whole elements; a decoder may want no less.
        let width = (dtype.bytes() as u64).max(1);
        let size = entry.served_bytes();
        let count = (size / width).min(BYTES / width) * width;
        let start = (size - count) / 2 / width * width;
        bytes.clear();
        bytes.resize(count as usize, 0);
        let id = EntryId(u32::try_from(index).unwrap_or(u32::MAX));
        if source.read_at(id, start..start + count, &mut bytes).is_err() {
            bytes.clear();
        }
        hasher.update(&bytes.len().to_le_bytes());
        hasher.update(&bytes);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use weightscope_core::{DType, MemorySource};

    fn of(values: &[u8]) -> u128 {
        let mut source = MemorySource::default();
        source.push("a", DType::BF16, &[4], vec![0; 8]).unwrap();
        source.push("b", DType::U8, &[values.len() as u64], values.to_vec()).unwrap();
        sample(&source)
    }

    #[test]
    fn values_tell_checkpoints_apart() {
        let mut values = vec![7; 20_000];
        let before = of(&values);
        assert_eq!(before, of(&values));
        values[10_000] = 8;
        assert_ne!(before, of(&values));
    }
}
