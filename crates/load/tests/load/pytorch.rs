//! Files of torch.save: sound ones against their twins in safetensors, odd and hostile ones.

use std::path::{Path, PathBuf};

use crate::common::{describe, faults, names, put};
use weightscope_core::{Danger, EntryId, TensorSource};
use weightscope_load::{Checkpoint, LoadError, open};
use weightscope_testkit::torch::{TestTorch, dict, pickle, tensor};

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/references/pytorch").join(name)
}

fn open_one(path: PathBuf) -> Result<Checkpoint, LoadError> {
    open(&[path])
}

/// The served bytes of a tensor.
fn served(checkpoint: &Checkpoint, name: &str) -> Vec<u8> {
    let at = checkpoint.entries().iter().position(|e| e.name == name).expect(name);
    let size = checkpoint.entries()[at].served_bytes();
    let mut bytes = vec![0; usize::try_from(size).unwrap()];
    let id = EntryId(u32::try_from(at).unwrap());
    checkpoint.read_at(id, 0..size, &mut bytes).unwrap();
    // The same in pieces that begin and end anywhere.
    for (start, end) in [(0, size / 3), (size / 3, size - size / 5), (size - size / 5, size)] {
        let mut piece = vec![0; usize::try_from(end - start).unwrap()];
        checkpoint.read_at(id, start..end, &mut piece).unwrap();
        assert_eq!(piece, bytes[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()]);
    }
    bytes
}

/// Opens a file of torch.save, and checks that it holds what its twin does, to the bit.
fn like_twin(name: &str) -> Checkpoint {
    let twin = open_one(reference(&format!("{name}.safetensors"))).unwrap();
    let path = reference(name);
    let path = if path.is_dir() { path } else { path.with_extension("pt") };
    let checkpoint = open_one(path).unwrap();
    assert_eq!(faults(&checkpoint), [""; 0], "{name}");
    let known = checkpoint.entries().iter().filter(|entry| entry.dtype.is_some()).count();
    assert_eq!(known, twin.entries().len(), "{name}: {:?}", names(&checkpoint));
    for expected in twin.entries() {
        let found = checkpoint.entries().iter().find(|entry| entry.name == expected.name);
        let found = found.unwrap_or_else(|| panic!("{name} lacks {}", expected.name));
        assert_eq!((found.dtype, &found.shape), (expected.dtype, &expected.shape), "{name}");
        let bytes = served(&checkpoint, &expected.name);
        assert!(bytes == served(&twin, &expected.name), "{name}: {} differs", expected.name);
    }
    checkpoint
}

#[test]
fn every_layout_holds_what_its_twin_does() {
    for name in
        ["zip", "legacy", "protocol4", "new_types", "views", "views_legacy", "single", "nested"]
    {
        let checkpoint = like_twin(name);
        assert_eq!(checkpoint.metadata().format, "PyTorch");
        assert_eq!(checkpoint.metadata().globals, [], "{name}");
    }
    let shards = like_twin("shards");
    assert_eq!(shards.metadata().files.len(), 2);
    assert_eq!(shards.metadata().notes, [""; 0]);
}

#[test]
fn shared_storages_are_one_parameter() {
    let tied = like_twin("tied");
    let pair = ("lm_head.weight".to_owned(), "embed.weight".to_owned());
    assert_eq!(tied.metadata().shared, [pair]);
    let views = like_twin("views");
    assert_eq!(views.metadata().shared, [], "other views of the same bytes are other tensors");
}

#[test]
fn the_model_of_a_training_state_is_read_and_the_rest_named() {
    let checkpoint = like_twin("training");
    let [note] = checkpoint.metadata().notes.as_slice() else { panic!("one note") };
    assert_eq!(
        note,
        "training.pt: the tensors under \"state_dict\" are read; not read: \"ema\" (3 tensors, 624 bytes), \
         \"optimizer_states\" (6 tensors, 72 bytes), \"rng_state\" (1 tensor, 16 bytes), \"epoch\", \
         \"global_step\", \"args\""
    );
    let globals = &checkpoint.metadata().globals;
    let told: Vec<(String, Danger)> =
        globals.iter().map(|g| (format!("{}.{}", g.module, g.name), g.danger)).collect();
    let inert = |name: &str| (name.to_owned(), Danger::Inert);
    assert_eq!(
        told,
        [
            inert("argparse.Namespace"),
            inert("numpy.dtype"),
            inert("numpy._core.multiarray.scalar"),
            inert("pathlib.PurePosixPath"),
        ]
    );
    assert_eq!(
        (globals[0].file.as_str(), globals[0].place.as_str()),
        ("training.pt", "training/data.pkl")
    );
    let error = open_one(reference("optimizer.pt")).unwrap_err();
    assert_eq!(error.code(), "no-tensors");
    assert!(error.to_string().contains("the state of an optimizer"), "{error}");
}

#[test]
fn whole_modules_and_programs_are_read_by_their_parts() {
    let module = like_twin("module");
    let inert = module.metadata().globals.iter().all(|global| global.danger == Danger::Inert);
    assert!(inert, "{:?}", module.metadata().globals);
    let script = like_twin("script");
    assert_eq!(script.metadata().format, "PyTorch TorchScript");
    assert!(script.metadata().notes[0].contains("its code is not run"));
}

#[test]
fn complex_numbers_are_named_and_not_read() {
    let checkpoint = like_twin("complex");
    let entry = &checkpoint.entries()[0];
    assert_eq!(
        (entry.name.as_str(), entry.dtype, entry.dtype_name.as_str()),
        ("a", None, "complex64")
    );
}

/// A file with one tensor of this name.
fn one(name: &str) -> Vec<u8> {
    let pickle = pickle(&dict(&[(name, tensor("ByteStorage", "0", 1, 0, &[1], &[1]))]));
    TestTorch::new(&pickle).member("m/data/0", &[7]).to_bytes()
}

#[test]
fn folders_and_what_is_read_of_them() {
    let check = |files: &[(&str, &str)], read: &[&str], unread_file: Option<&str>| {
        let folder = tempfile::tempdir().unwrap();
        for (name, tensor) in files {
            put(folder.path(), name, one(tensor));
        }
        let checkpoint = open_one(folder.path().to_owned()).unwrap();
        assert_eq!(faults(&checkpoint), [""; 0], "{files:?}");
        assert_eq!(names(&checkpoint), read, "{files:?}");
        let unread = checkpoint.metadata().unread.first();
        assert_eq!(unread.map(|file| file.name.as_str()), unread_file, "{files:?}");
    };
    check(
        &[
            ("pytorch_model.bin", "a"),
            ("optimizer.pt", "b"),
            ("training_args.bin", "c"),
            ("rng_state_0.pth", "d"),
        ],
        &["a"],
        None,
    );
    check(&[("best.ckpt", "a"), ("scheduler.pt", "b")], &["a"], None);
    check(&[("consolidated.00.pth", "a"), ("params.bin", "b")], &["a"], Some("params.bin"));
    check(
        &[("mp_rank_00_model_states.pt", "a"), ("zero_pp_rank_0_mp_rank_00_optim_states.pt", "b")],
        &["a"],
        None,
    );
    check(
        &[("pytorch_model-00001-of-00002.bin", "a"), ("pytorch_model-00002-of-00002.bin", "b")],
        &["a", "b"],
        None,
    );
    check(&[("pytorch_model.bin", "a"), ("epoch=3.ckpt", "b")], &["a"], Some("epoch=3.ckpt"));
    // A file of another program is not asked.
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "tokenizer.bin", b"something else");
    put(folder.path(), "model.pt", one("a"));
    assert_eq!(names(&open_one(folder.path().to_owned()).unwrap()), ["a"]);

    // An index that lists a shard that is not there.
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "pytorch_model-00001-of-00002.bin", one("a"));
    let map = r#"{"weight_map":{"a":"pytorch_model-00001-of-00002.bin","b":"pytorch_model-00002-of-00002.bin","c":"../c.bin"}}"#;
    put(folder.path(), "pytorch_model.bin.index.json", map);
    let checkpoint = open_one(folder.path().to_owned()).unwrap();
    assert_eq!(
        faults(&checkpoint),
        ["Shard ../c.bin unsafe-path", "Shard pytorch_model-00002-of-00002.bin missing-shard"]
    );
}

#[test]
fn pieces_and_choices_are_refused_with_a_sentence() {
    let refused = |names: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> =
            names.iter().map(|name| put(folder.path(), name, one("a"))).collect();
        let found = describe(&open_one(folder.path().to_owned()).unwrap_err());
        (found.0, found.1, open(&paths).map(|_| ()).map_err(|error| error.code()))
    };
    let (code, message, together) = refused(&["consolidated.00.pth", "consolidated.01.pth"]);
    assert_eq!((code, together), ("slices", Err("slices")));
    assert!(message.contains("2 files are each a piece of every tensor of one model"), "{message}");
    let (code, message, _) = refused(&[
        "zero_pp_rank_0_mp_rank_00_model_states.pt",
        "zero_pp_rank_1_mp_rank_00_model_states.pt",
    ]);
    assert_eq!(code, "slices");
    assert!(message.contains("zero_to_fp32.py"), "{message}");
    let (code, message, together) = refused(&["a.pt", "b.pth"]);
    assert_eq!((code, together), ("several-models", Ok(())));
    assert!(message.contains("holds 2 PyTorch models"), "{message}");
}
