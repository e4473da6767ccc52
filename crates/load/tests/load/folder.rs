//! Folders, shards, indexes and side files, each fault by its code.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{bytes_of, describe, faults, names, put};
use tempfile::{TempDir, tempdir};
use weightscope_core::{DType, EntryId, SourceError, TensorSource, Value};
use weightscope_load::{Checkpoint, LoadError, open, open_mapped};
use weightscope_testkit::checkpoint::{TestCheckpoint, raw_file};

const INDEX: &str = "model.safetensors.index.json";

/// Six one-byte tensors t0..t5 with the values 0..5.
fn six() -> TestCheckpoint {
    (0..6u8)
        .fold(TestCheckpoint::new(), |c, i| c.tensor(&format!("t{i}"), DType::U8, &[1], vec![i]))
}

fn one(name: &str) -> Vec<u8> {
    TestCheckpoint::new().tensor(name, DType::U8, &[1], vec![9]).to_bytes()
}

/// Six tensors in three shards with an index and a config.
fn sharded() -> (TempDir, Vec<PathBuf>) {
    let folder = tempdir().unwrap();
    let shards = six().config(r#"{"n": 3}"#).write_shards(folder.path(), 3).unwrap();
    (folder, shards)
}

fn open_folder(folder: &Path) -> Result<Checkpoint, LoadError> {
    open(&[folder.to_owned()])
}

/// Changes the text of the index.
fn edit_index(folder: &Path, from: &str, to: &str) {
    let path = folder.join(INDEX);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from));
    fs::write(path, text.replace(from, to)).unwrap();
}

#[track_caller]
fn check(folder: &Path, expected: &[&str]) -> Checkpoint {
    let checkpoint = open_folder(folder).unwrap();
    assert_eq!(faults(&checkpoint), expected);
    for error in &checkpoint.metadata().errors {
        assert!(!error.message.chars().any(char::is_control), "{:?}", error.message);
    }
    checkpoint
}

#[test]
fn a_sound_folder() {
    let (folder, shards) = sharded();
    put(folder.path(), "adapter_model.safetensors", one("adapter"));
    put(folder.path(), "consolidated.safetensors", one("other"));
    put(folder.path(), "model-00001-of-00002.safetensors", one("older"));
    put(folder.path(), "model.fp16-00001-of-00003.safetensors", one("variant"));
    put(folder.path(), "._model-00001-of-00003.safetensors", b"Mac OS X");
    put(folder.path(), "pytorch_model.bin", b"PK\x03\x04");
    let checkpoint = check(folder.path(), &[]);
    assert_eq!(names(&checkpoint), ["t0", "t1", "t2", "t3", "t4", "t5"]);
    assert_eq!(bytes_of(&checkpoint, "t4"), [4]);
    assert_eq!(checkpoint.entries()[4].file, 2);
    let metadata = checkpoint.metadata();
    assert_eq!(metadata.config.as_ref().unwrap().get("n"), Some(&Value::Integer(3)));
    assert_eq!(metadata.path, folder.path().to_str().unwrap());
    let unread: Vec<&str> = metadata.unread.iter().map(|file| file.name.as_str()).collect();
    let expected = [
        "adapter_model.safetensors",
        "consolidated.safetensors",
        "model-00001-of-00002.safetensors",
        "model.fp16-00001-of-00003.safetensors",
        "pytorch_model.bin",
    ];
    assert_eq!(unread, expected);
    let files: Vec<_> = metadata.files.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(
        files,
        shards.iter().map(|s| s.file_name().unwrap().to_str().unwrap()).collect::<Vec<_>>()
    );

    // The same through maps and through a list, in whatever order.
    let mapped = open_mapped(&[folder.path().to_owned()]).unwrap();
    assert_eq!(mapped.metadata(), metadata);
    assert_eq!(mapped.entries(), checkpoint.entries());
    let listed = open(&[shards[2].clone(), shards[0].clone(), shards[1].clone()]).unwrap();
    assert_eq!(listed.entries(), checkpoint.entries());
    assert_eq!(listed.metadata().config, metadata.config);
    assert!(listed.metadata().path.starts_with(shards[2].to_str().unwrap()));
    for i in 0..6u8 {
        let name = format!("t{i}");
        assert_eq!(bytes_of(&mapped, &name), [i]);
        assert_eq!(bytes_of(&listed, &name), [i]);
    }
}

#[test]
fn one_file_wins_over_the_others() {
    let folder = tempdir().unwrap();
    six().write(folder.path()).unwrap();
    put(folder.path(), "adapter_model.safetensors", one("adapter"));
    assert_eq!(check(folder.path(), &[]).entries().len(), 6);
    // An index that lists it is compared with it, one that does not is told.
    let index = |text: &str| put(folder.path(), INDEX, format!(r#"{{"weight_map":{{{text}}}}}"#));
    index(r#""t0":"model.safetensors","t1":"model.safetensors","x":"model.safetensors""#);
    let expected = ["t2", "t3", "t4", "t5"].map(|t| format!("Tensor {t} unlisted-tensor"));
    let mut expected: Vec<_> = expected.iter().map(String::as_str).collect();
    expected.push("Tensor x missing-tensor");
    check(folder.path(), &expected);
    index(r#""x":"model-00001-of-00001.safetensors""#);
    let checkpoint = check(folder.path(), &["SideFile model.safetensors.index.json unused-index"]);
    assert_eq!(checkpoint.entries().len(), 6);
}

#[test]
fn without_an_index_every_file_is_read_and_the_numbering_checked() {
    let (folder, shards) = sharded();
    fs::remove_file(folder.path().join(INDEX)).unwrap();
    check(folder.path(), &[]);
    put(folder.path(), "extra.safetensors", one("t0"));
    let checkpoint = check(folder.path(), &["Tensor t0 duplicate-name"]);
    assert_eq!(bytes_of(&checkpoint, "t0"), [9], "extra comes first by name");
    fs::remove_file(folder.path().join("extra.safetensors")).unwrap();
    fs::remove_file(&shards[1]).unwrap();
    let missing = "Shard model-00002-of-00003.safetensors missing-shard";
    check(folder.path(), &[missing]);
    assert_eq!(faults(&open(&[shards[0].clone(), shards[2].clone()]).unwrap()), [missing]);
    // One shard alone is what was asked for.
    assert_eq!(faults(&open(&[shards[2].clone()]).unwrap()), [""; 0]);
}

#[test]
fn shards_and_index_are_compared() {
    let (folder, shards) = sharded();
    fs::remove_file(&shards[1]).unwrap();
    let checkpoint =
        check(folder.path(), &["Shard model-00002-of-00003.safetensors missing-shard"]);
    assert!(checkpoint.metadata().errors[0].message.contains("places 2 tensors"));
    assert_eq!(names(&checkpoint), ["t0", "t1", "t4", "t5"]);

    let (folder, shards) = sharded();
    fs::write(&shards[0], b"1234567").unwrap();
    let checkpoint = check(folder.path(), &["Shard model-00001-of-00003.safetensors truncated"]);
    assert_eq!(names(&checkpoint), ["t2", "t3", "t4", "t5"]);

    // A listed tensor that no file has; one in another file than listed; one that is not listed.
    let (folder, _) = sharded();
    edit_index(folder.path(), "\"t0\"", "\"t9\"");
    edit_index(folder.path(), r#""t3":"model-00002"#, r#""t3":"model-00001"#);
    check(
        folder.path(),
        &["Tensor t0 unlisted-tensor", "Tensor t3 unlisted-tensor", "Tensor t9 missing-tensor"],
    );

    let (folder, shards) = sharded();
    fs::write(&shards[1], one("t0")).unwrap();
    check(
        folder.path(),
        &["Tensor t0 duplicate-name", "Tensor t2 missing-tensor", "Tensor t3 missing-tensor"],
    );

    let (folder, _) = sharded();
    edit_index(folder.path(), "-00003-of", "-00001-of");
    let checkpoint = open_folder(folder.path()).unwrap();
    assert_eq!(faults(&checkpoint)[0], "Shard model-00003-of-00003.safetensors unlisted-shard");
    assert_eq!(names(&checkpoint), ["t0", "t1", "t2", "t3"]);

    let (folder, _) = sharded();
    edit_index(folder.path(), "\"t1\"", "\"t0\"");
    check(folder.path(), &["Tensor t0 duplicate-name", "Tensor t1 unlisted-tensor"]);
}

#[test]
fn names_in_the_index_never_leave_the_folder() {
    let outer = tempdir().unwrap();
    put(outer.path(), "secret.safetensors", one("secret"));
    let absolute = outer.path().join("secret.safetensors");
    let absolute = absolute.to_str().unwrap();
    for unsafe_name in
        ["../secret.safetensors", absolute, "a/b.safetensors", "..\\\\s", "", "..", "\\u0000"]
    {
        let folder = outer.path().join("model");
        fs::create_dir_all(&folder).unwrap();
        six().write_shards(&folder, 3).unwrap();
        edit_index(&folder, "model-00002-of-00003.safetensors", unsafe_name);
        let checkpoint = open_folder(&folder).unwrap();
        let errors = &checkpoint.metadata().errors;
        let codes: Vec<_> = errors.iter().map(|e| e.code.as_ref()).collect();
        assert_eq!(codes, ["unsafe-path", "unlisted-shard"], "{unsafe_name}");
        assert_eq!(names(&checkpoint), ["t0", "t1", "t4", "t5"]);
    }
}

#[test]
fn a_broken_index_is_told_and_the_folder_read_without_it() {
    for text in ["{", "", "[]", "{}", r#"{"weight_map":[]}"#, r#"{"weight_map":{}}"#, "null"] {
        let (folder, _) = sharded();
        put(folder.path(), INDEX, text);
        let checkpoint =
            check(folder.path(), &["SideFile model.safetensors.index.json broken-index"]);
        assert_eq!(checkpoint.entries().len(), 6);
    }
    let (folder, _) = sharded();
    edit_index(folder.path(), r#""t0":"model-00001-of-00003.safetensors""#, r#""t0":7"#);
    check(folder.path(), &["Tensor t0 broken-index", "Tensor t0 unlisted-tensor"]);
}

#[test]
fn a_broken_config_is_told() {
    let folder = tempdir().unwrap();
    let path = six().write(folder.path()).unwrap();
    let deep = "[".repeat(65) + &"]".repeat(65);
    for text in ["", "{", "[1]", "hunter2", deep.as_str(), "{\"a\":1e999}"] {
        put(folder.path(), "config.json", text);
        let checkpoint = check(folder.path(), &["SideFile config.json broken-config"]);
        assert_eq!(checkpoint.metadata().config, None);
        assert!(!checkpoint.metadata().errors[0].message.contains("hunter2"));
        assert_eq!(faults(&open(std::slice::from_ref(&path)).unwrap()).len(), 1);
    }
    put(folder.path(), "config.json", r#"{"a":1,"a":2}"#);
    let checkpoint = check(folder.path(), &["SideFile config.json duplicate-key"]);
    assert_eq!(checkpoint.metadata().config.as_ref().unwrap().get("a"), Some(&Value::Integer(1)));
    let config =
        fs::OpenOptions::new().write(true).open(folder.path().join("config.json")).unwrap();
    config.set_len(1 << 40).unwrap();
    let checkpoint = check(folder.path(), &["SideFile config.json broken-config"]);
    assert!(checkpoint.metadata().errors[0].message.contains("1099511627776 bytes"));
    fs::remove_file(folder.path().join("config.json")).unwrap();
    fs::create_dir(folder.path().join("config.json")).unwrap();
    check(folder.path(), &["SideFile config.json broken-config"]);
}

#[test]
fn inputs_without_anything_usable() {
    let code = |paths: &[PathBuf]| describe(&open(paths).unwrap_err());
    let folder = tempdir().unwrap();
    assert_eq!(code(&[]).0, "no-input");
    assert_eq!(code(&[folder.path().join("absent")]).0, "not-found");
    assert_eq!(code(&[folder.path().to_owned()]).0, "no-weights");
    put(folder.path(), "README.md", "text");
    assert_eq!(code(&[folder.path().to_owned()]).0, "no-weights");
    let bin = put(folder.path(), "pytorch_model.bin", b"\x80\x02\0\0\0\0\0\0");
    let (found, message) = code(&[folder.path().to_owned()]);
    assert_eq!(found, "wrong-magic");
    assert!(message.contains("pytorch_model.bin") && message.contains("PyTorch"), "{message}");
    assert_eq!(code(std::slice::from_ref(&bin)).0, "wrong-magic");

    // A folder that is named like a file.
    let odd = folder.path().join("x.safetensors");
    fs::create_dir(&odd).unwrap();
    assert_eq!(code(std::slice::from_ref(&odd)).0, "no-weights");
    let (found, message) = code(&[folder.path().to_owned()]);
    assert_eq!(found, "not-a-regular-file");
    assert!(message.contains("is a folder, not a regular file"), "{message}");
    let (found, message) = code(&[odd, bin]);
    assert_eq!(found, "nothing-usable");
    assert!(message.contains("first of 2 faults"), "{message}");
}

#[test]
fn several_paths() {
    let folder = tempdir().unwrap();
    let (a, b) = (
        put(folder.path(), "a.safetensors", one("a")),
        put(folder.path(), "b.safetensors", one("b")),
    );
    let checkpoint = open(&[b.clone(), a.clone(), b.clone()]).unwrap();
    assert_eq!(faults(&checkpoint), ["Shard b.safetensors duplicate-shard"]);
    assert_eq!(names(&checkpoint), ["a", "b"]);
    let other_spelling = folder.path().join(".").join("b.safetensors");
    assert_eq!(faults(&open(&[b, other_spelling]).unwrap()).len(), 1);
    let checkpoint = open(&[a, folder.path().join("absent.safetensors")]).unwrap();
    assert_eq!(faults(&checkpoint), ["Shard absent.safetensors missing-shard"]);
}

#[test]
fn reading_is_bounded() {
    let folder = tempdir().unwrap();
    let bytes: Vec<u8> = (0..100).collect();
    let path = TestCheckpoint::new()
        .tensor("first", DType::U8, &[3], vec![7; 3])
        .tensor("w", DType::U8, &[100], bytes.clone())
        .write(folder.path())
        .unwrap();
    let paths = [path.clone()];
    for checkpoint in [open(&paths).unwrap(), open_mapped(&paths).unwrap()] {
        let mut into = [0; 10];
        for begin in [0u64, 1, 50, 90] {
            checkpoint.read_at(EntryId(1), begin..begin + 10, &mut into).unwrap();
            let begin = usize::try_from(begin).unwrap();
            assert_eq!(into, bytes[begin..begin + 10]);
        }
        checkpoint.read_at(EntryId(1), 100..100, &mut []).unwrap();
        #[expect(clippy::reversed_empty_ranges, reason = "that is the test")]
        let wrong = [
            (EntryId(1), 91..101),
            (EntryId(1), u64::MAX - 10..u64::MAX),
            (EntryId(1), 20..10),
            (EntryId(1), 0..9),
            (EntryId(2), 0..10),
            (EntryId(u32::MAX), 0..10),
        ];
        for (entry, range) in wrong {
            let error = checkpoint.read_at(entry, range.clone(), &mut into).unwrap_err();
            assert!(matches!(error, SourceError::OutOfRange { .. }), "{range:?}");
        }
        assert!(checkpoint.changed_files().is_empty());
    }

    // A file that becomes shorter is an error of its tensor, and told as changed.
    let size = fs::metadata(&path).unwrap().len();
    for checkpoint in [open(&paths).unwrap(), open_mapped(&paths).unwrap()] {
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(size - 30).unwrap();
        let mut into = [0; 100];
        let error = checkpoint.read_at(EntryId(1), 0..100, &mut into).unwrap_err();
        assert!(
            matches!(error, SourceError::Truncated { end, needs, .. } if (end, needs) == (size - 30, size)),
            "{error}"
        );
        checkpoint.read_at(EntryId(1), 0..10, &mut into[..10]).unwrap();
        assert_eq!(checkpoint.changed_files(), ["model.safetensors"]);
        let whole: Vec<u8> = [fs::read(&path).unwrap(), bytes[70..].to_vec()].concat();
        fs::write(&path, whole).unwrap();
    }
}

#[test]
fn the_fingerprint_follows_the_files() {
    let folder = tempdir().unwrap();
    let path = six().config("{}").write(folder.path()).unwrap();
    let fingerprint = || open(std::slice::from_ref(&path)).unwrap().metadata().fingerprint.clone();
    let before = fingerprint();
    assert_eq!(before, fingerprint());
    let lines: Vec<Vec<&str>> = before.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0][0].len(), 32);
    assert_eq!(lines[0][1], fs::metadata(&path).unwrap().len().to_string());
    assert_eq!((lines[0][3], lines[1][3]), ("model.safetensors", "config.json"));

    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let set_modified = |time| {
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_modified(time).unwrap();
    };
    set_modified(modified + std::time::Duration::from_micros(1));
    assert_ne!(before, fingerprint());
    set_modified(modified);
    assert_eq!(before, fingerprint());
    // Another header of the same length and time.
    let changed = fs::read(&path)
        .unwrap()
        .iter()
        .map(|b| if *b == b't' { b'T' } else { *b })
        .collect::<Vec<_>>();
    let text = String::from_utf8_lossy(&changed)
        .replace("daTa_offseTs", "data_offsets")
        .replace("dType", "dtype");
    fs::write(&path, text).unwrap();
    set_modified(modified);
    assert_ne!(before, fingerprint());
}

#[test]
fn more_files_than_stay_open() {
    let folder = tempdir().unwrap();
    let many = (0..150u8).fold(TestCheckpoint::new(), |c, i| {
        c.tensor(&format!("t{i:03}"), DType::U8, &[1], vec![i])
    });
    let shards = many.write_shards(folder.path(), 150).unwrap();
    for open in [open, open_mapped] {
        let checkpoint = open(&[folder.path().to_owned()]).unwrap();
        assert_eq!(checkpoint.entries().len(), 150);
        for i in 0..150u8 {
            assert_eq!(bytes_of(&checkpoint, &format!("t{i:03}")), [i]);
        }
    }
    let checkpoint = open_folder(folder.path()).unwrap();
    fs::write(&shards[149], b"another size").unwrap();
    let error = checkpoint.read_at(EntryId(149), 0..1, &mut [0]).unwrap_err();
    assert!(matches!(error, SourceError::Read { .. }), "{error}");
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn links_as_in_the_hugging_face_cache() {
        let cache = tempdir().unwrap();
        let (blobs, snapshot) = (cache.path().join("blobs"), cache.path().join("snapshots"));
        fs::create_dir(&blobs).unwrap();
        fs::create_dir(&snapshot).unwrap();
        six().config(r#"{"n": 1}"#).write_shards(&blobs, 2).unwrap();
        for entry in fs::read_dir(&blobs).unwrap() {
            let name = entry.unwrap().file_name();
            let blob = format!("blob-of-{}", name.to_str().unwrap());
            fs::rename(blobs.join(&name), blobs.join(&blob)).unwrap();
            symlink(Path::new("../blobs").join(blob), snapshot.join(name)).unwrap();
        }
        let checkpoint = check(&snapshot, &[]);
        assert_eq!(checkpoint.entries().len(), 6);
        assert!(checkpoint.metadata().config.is_some());
        assert!(checkpoint.changed_files().is_empty());
        // The config is the one beside the link, not beside the blob.
        let file = open(&[snapshot.join("model-00001-of-00002.safetensors")]).unwrap();
        assert!(file.metadata().config.is_some());
        // A link whose blob was not downloaded.
        fs::remove_file(blobs.join("blob-of-model-00001-of-00002.safetensors")).unwrap();
        check(&snapshot, &["Shard model-00001-of-00002.safetensors missing-shard"]);
    }

    #[test]
    fn links_in_a_circle() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        symlink("model.safetensors", &path).unwrap();
        assert_eq!(open(&[path]).unwrap_err().code(), "unreadable");
        assert_eq!(open_folder(folder.path()).unwrap_err().code(), "unreadable");
    }

    #[test]
    fn fifos_and_devices_are_refused_at_once() {
        let folder = tempdir().unwrap();
        let fifo = folder.path().join("model.safetensors");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let begin = Instant::now();
        let (code, message) = describe(&open_folder(folder.path()).unwrap_err());
        assert_eq!(code, "not-a-regular-file");
        assert!(message.contains("is a FIFO"), "{message}");
        assert_eq!(open(std::slice::from_ref(&fifo)).unwrap_err().code(), "not-a-regular-file");
        assert_eq!(open(&["/dev/zero".into()]).unwrap_err().code(), "not-a-regular-file");
        fs::rename(fifo, folder.path().join("config.json")).unwrap();
        six().write(folder.path()).unwrap();
        check(folder.path(), &["SideFile config.json broken-config"]);
        let socket = folder.path().join("s.safetensors");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(describe(&open(&[socket]).unwrap_err()).1.contains("is a socket"));
        assert!(begin.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn an_unreadable_file_is_told() {
        let folder = tempdir().unwrap();
        let path = six().write(folder.path()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        // The superuser reads it all the same.
        if fs::File::open(&path).is_err() {
            assert_eq!(open(&[path]).unwrap_err().code(), "unreadable");
        }
    }

    #[test]
    fn names_of_files_are_escaped() {
        let folder = tempdir().unwrap();
        let name = "a\u{1b}[31m\n\u{202e}.safetensors";
        put(folder.path(), name, b"1234567");
        put(folder.path(), "sound.safetensors", raw_file("{}", b""));
        let checkpoint = open_folder(folder.path()).unwrap();
        assert_eq!(checkpoint.metadata().errors[0].name, name);
        put(folder.path(), "sound.safetensors", b"");
        let (code, message) = describe(&open_folder(folder.path()).unwrap_err());
        assert_eq!(code, "nothing-usable");
        assert!(!message.contains('\u{202e}'));
    }
}
