//! Arrays of NumPy, against what NumPy itself says of them.

use std::path::{Path, PathBuf};

use crate::common::{faults, names};
use weightscope_core::{EntryId, TensorSource};
use weightscope_load::open;

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/references/numpy").join(name)
}

#[test]
fn arrays_are_what_numpy_says() {
    let checkpoint = open(&[reference("arrays.npz")]).unwrap();
    assert_eq!(faults(&checkpoint), [""; 0]);
    assert_eq!(checkpoint.metadata().format, "NumPy");
    let text = std::fs::read_to_string(reference("arrays.json")).unwrap();
    let twins: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(checkpoint.entries().len(), twins.len());
    for (index, entry) in (0u32..).zip(checkpoint.entries()) {
        let twin = &twins[&entry.name];
        assert_eq!(entry.dtype_name, twin[0].as_str().unwrap(), "{}", entry.name);
        assert_eq!(serde_json::json!(entry.shape), twin[1], "{}", entry.name);
        let size = entry.served_bytes();
        let mut bytes = vec![0; usize::try_from(size).unwrap()];
        checkpoint.read_at(EntryId(index), 0..size, &mut bytes).unwrap();
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let hex = hex.concat();
        assert_eq!(hex, twin[2].as_str().unwrap(), "{}", entry.name);
    }
}

#[test]
fn one_array_is_a_checkpoint() {
    let checkpoint = open(&[reference("one.npy")]).unwrap();
    assert_eq!(names(&checkpoint), ["array"]);
    assert_eq!(checkpoint.entries()[0].shape, [5, 3]);
}

#[test]
fn what_is_no_tensor_is_told_and_the_rest_is_read() {
    let checkpoint = open(&[reference("objects.npz")]).unwrap();
    assert_eq!(names(&checkpoint), ["fine"]);
    let [fault] = checkpoint.metadata().errors.as_slice() else { panic!("one fault") };
    assert!(fault.message.contains("Python objects, which are a pickle"), "{}", fault.message);
    let compressed = open(&[reference("compressed.npz")]).unwrap();
    assert!(compressed.entries().is_empty());
    let [fault] = compressed.metadata().errors.as_slice() else { panic!("one fault") };
    assert!(fault.message.contains("is compressed"), "{}", fault.message);
}

#[test]
fn archives_that_were_cut_or_changed_are_refused() {
    let whole = std::fs::read(reference("arrays.npz")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    // However it is cut, it is refused; a changed byte is refused or read, and nothing panics.
    for length in (0..whole.len()).step_by(97) {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(open(std::slice::from_ref(&path)).is_err(), "{length}");
    }
    for at in (0..whole.len()).step_by(13) {
        let mut changed = whole.clone();
        changed[at] ^= 0xff;
        std::fs::write(&path, &changed).unwrap();
        if let Ok(checkpoint) = open(std::slice::from_ref(&path)) {
            for (index, entry) in (0u32..).zip(checkpoint.entries()) {
                let size = entry.served_bytes();
                let mut bytes = vec![0; usize::try_from(size).unwrap()];
                let _ = checkpoint.read_at(EntryId(index), 0..size, &mut bytes);
            }
        }
    }
}
