//! Two checkpoints as one source.

use std::ops::Range;

use crate::{EntryId, Metadata, SourceError, TensorEntry, TensorSource};

/// BASE's tensors, then TUNED's: what a comparison reads.
pub struct PairSource<'a> {
    base: &'a dyn TensorSource,
    tuned: &'a dyn TensorSource,
    entries: Vec<TensorEntry>,
}

impl std::fmt::Debug for PairSource<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PairSource").field("entries", &self.entries.len()).finish_non_exhaustive()
    }
}

impl<'a> PairSource<'a> {
    /// Both checkpoints. TUNED's entries are numbered after BASE's.
    pub fn new(base: &'a dyn TensorSource, tuned: &'a dyn TensorSource) -> Self {
        let entries = base.entries().iter().chain(tuned.entries()).cloned().collect();
        Self { base, tuned, entries }
    }

    /// The checkpoint that has an entry, and the entry's number there.
    fn holder(&self, entry: EntryId) -> (&'a dyn TensorSource, EntryId) {
        match entry.0.checked_sub(self.base.entries().len() as u32) {
            None => (self.base, entry),
            Some(index) => (self.tuned, EntryId(index)),
        }
    }
}

impl TensorSource for PairSource<'_> {
    fn entries(&self) -> &[TensorEntry] {
        &self.entries
    }

    /// BASE's.
    fn metadata(&self) -> &Metadata {
        self.base.metadata()
    }

    fn sources(&self) -> Vec<&Metadata> {
        vec![self.base.metadata(), self.tuned.metadata()]
    }

    fn read_at(
        &self,
        entry: EntryId,
        range: Range<u64>,
        into: &mut [u8],
    ) -> Result<(), SourceError> {
        let (source, entry) = self.holder(entry);
        source.read_at(entry, range, into)
    }

    fn rounding_at(
        &self,
        entry: EntryId,
        range: Range<u64>,
        into: &mut [f32],
    ) -> Result<(), SourceError> {
        let (source, entry) = self.holder(entry);
        source.rounding_at(entry, range, into)
    }

    fn changed_files(&self) -> Vec<String> {
        let named = |source: &dyn TensorSource| -> Vec<String> {
            let path = &source.metadata().path;
            source.changed_files().into_iter().map(|name| format!("{path}: {name}")).collect()
        };
        [named(self.base), named(self.tuned)].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DType, MemorySource};

    #[test]
    fn entries_lead_to_their_own_bytes() {
        let [mut base, mut tuned] = [MemorySource::default(), MemorySource::default()];
        base.push("a", DType::U8, &[2], vec![1, 2]).unwrap();
        base.push("b", DType::U8, &[1], vec![3]).unwrap();
        tuned.push("a", DType::U8, &[2], vec![4, 5]).unwrap();
        let pair = PairSource::new(&base, &tuned);
        let read = |entry| {
            let mut byte = [0];
            pair.read_at(EntryId(entry), 0..1, &mut byte).map(|()| byte[0])
        };
        assert_eq!([0, 1, 2].map(|entry| read(entry).unwrap()), [1, 3, 4]);
        assert!(matches!(read(3), Err(SourceError::OutOfRange { .. })));
        assert_eq!((pair.entries().len(), pair.sources().len()), (3, 2));
    }
}
