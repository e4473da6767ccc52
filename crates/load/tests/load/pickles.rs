//! Files of torch.save that are made to harm: each is flagged or refused, and nothing in them is run.

use std::time::{Duration, Instant};

use crate::common::{describe, faults, names, put};
use weightscope_core::{Danger, EntryId, TensorSource};
use weightscope_load::{Checkpoint, LoadError, open};
use weightscope_testkit::torch::{TestTorch, count, crc32, dict, pickle, tensor, text};

fn open_torch(file: impl AsRef<[u8]>) -> Result<Checkpoint, LoadError> {
    let folder = tempfile::tempdir().unwrap();
    open(&[put(folder.path(), "m.pt", file)])
}

/// The storage of [`weight`].
const BYTES: [u8; 16] = [0, 0, 128, 63, 0, 0, 0, 64, 0, 0, 64, 64, 0, 0, 128, 64];

/// A tensor of four numbers.
fn weight() -> Vec<u8> {
    tensor("FloatStorage", "0", 4, 0, &[2, 2], &[2, 1])
}

/// A pickle of a model with something beside its weight.
fn beside(value: &[u8]) -> Vec<u8> {
    pickle(&dict(&[("w", weight()), ("x", value.to_vec())]))
}

fn archive(pickle: &[u8]) -> TestTorch {
    TestTorch::new(pickle).member("m/data/0", &BYTES)
}

fn sound() -> Vec<u8> {
    pickle(&dict(&[("w", weight())]))
}

const CALL: &[u8] = b"cos\nsystem\n(S'id'\ntR";

/// What a file says of itself: its faults, and what it would run.
fn told(checkpoint: &Checkpoint) -> Vec<String> {
    let globals = checkpoint.metadata().globals.iter();
    let globals = globals.filter(|global| global.danger == Danger::Runs);
    let names = globals.map(|g| format!("{}.{} in {}", g.module, g.name, g.place));
    let errors = checkpoint.metadata().errors.iter().map(|error| error.code.to_string());
    names.chain(errors).collect()
}

/// Deep and wide pickles: a list in a list, and lists that hold each other twice.
fn nested(levels: usize) -> Vec<u8> {
    [vec![b']'; levels], vec![b'a'; levels - 1]].concat()
}

fn laughs() -> Vec<u8> {
    let mut value = [b"}q\x00".to_vec(), text("t"), weight(), b"s".to_vec()].concat();
    for n in 0..60u8 {
        value.extend([b"}q".as_slice(), &[n + 1], b"("].concat());
        for key in ["a", "b"] {
            value.extend([text(key), vec![b'h', n]].concat());
        }
        value.extend(b"u");
    }
    value
}

#[test]
fn pickles_that_run_something_are_flagged_and_the_weights_read() {
    let stack_global = |module: &str, name: &str| {
        [text(module), text(name), b"\x93".to_vec(), b"(S'id'\ntR".to_vec()].concat()
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("a plain call", CALL.to_vec(), "os.system"),
        ("INST", b"(S'id'\nios\nsystem\n".to_vec(), "os.system"),
        ("OBJ", b"(cos\nsystem\nS'id'\no".to_vec(), "os.system"),
        ("NEWOBJ", b"csubprocess\nPopen\n(S'id'\nt\x81".to_vec(), "subprocess.Popen"),
        ("NEWOBJ_EX", b"csubprocess\nPopen\n(S'id'\nt}\x92".to_vec(), "subprocess.Popen"),
        ("BUILD of an import", b"ctorch._utils\n_rebuild_tensor_v2\n}b".to_vec(), "attributes"),
        ("SETITEM of an import", b"ccollections\nOrderedDict\nS'a'\nNs".to_vec(), "attributes"),
        ("STACK_GLOBAL", stack_global("os", "system"), "os.system"),
        (
            "STACK_GLOBAL of the memo",
            b"U\x02osq\x900U\x06systemq\x910h\x90h\x91\x93(S'id'\ntR".to_vec(),
            "os.system",
        ),
        (
            "STACK_GLOBAL behind escapes",
            b"S'\\x6fs'\nS'\\163ystem'\n\x93(S'id'\ntR".to_vec(),
            "os.system",
        ),
        ("a global of the memo", b"cos\nsystem\nq\x900h\x90(S'id'\ntR".to_vec(), "os.system"),
        ("a global that is popped", [CALL, b"0N"].concat(), "os.system"),
        (
            "a name that a call makes",
            [b"cbuiltins\nstr\n)R".to_vec(), text("system"), b"\x93".to_vec()].concat(),
            "made while unpickling",
        ),
        ("a call of a call", b"cbuiltins\nstr\n)R)R".to_vec(), "made while unpickling"),
        ("eval", b"cbuiltins\neval\n(S'1'\ntR".to_vec(), "builtins.eval"),
        ("exec of Python 2", b"c__builtin__\nexecfile\n(S'1'\ntR".to_vec(), "__builtin__.execfile"),
        ("getattr", stack_global("builtins", "getattr"), "builtins.getattr"),
        ("import", stack_global("importlib", "import_module"), "importlib.import_module"),
        ("a relative of os", stack_global("posix", "popen"), "posix.popen"),
        (
            "a name with dots",
            stack_global("torch", "serialization.os.system"),
            "torch.serialization.os.system",
        ),
        ("a class with dots", stack_global("collections", "OrderedDict.__reduce__"), "__reduce__"),
        (
            "a pickle in a call",
            stack_global("torch.storage", "_load_from_bytes"),
            "_load_from_bytes",
        ),
        ("a file that is written", stack_global("pathlib", "Path.write_text"), "write_text"),
        (
            "a helper of a test suite",
            stack_global("numpy.testing._private.utils", "runstring"),
            "runstring",
        ),
        ("a network", stack_global("urllib.request", "urlopen"), "urlopen"),
        ("an extension code", b"\x82\x05".to_vec(), ""),
        ("a module nobody knows", stack_global("evilpackage", "thing"), ""),
    ];
    for (name, value, expected) in cases {
        let checkpoint = open_torch(archive(&beside(&value)).to_bytes());
        let checkpoint = checkpoint.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(names(&checkpoint), ["w"], "{name}");
        let mut served = [0; 16];
        checkpoint.read_at(EntryId(0), 0..16, &mut served).unwrap();
        assert_eq!(served, BYTES, "{name}");
        let told = told(&checkpoint);
        if expected.is_empty() {
            let globals = &checkpoint.metadata().globals;
            assert!(globals.iter().any(|global| global.danger == Danger::Unknown), "{name}");
        } else {
            assert!(told.iter().any(|told| told.contains(expected)), "{name}: {told:?}");
        }
    }
}

#[test]
fn archives_that_hide_something_are_flagged() {
    let evil = beside(CALL);
    let cases: Vec<(&str, TestTorch, &[&str])> = vec![
        (
            "a second pickle",
            archive(&[sound(), evil.clone()].concat()),
            &["os.system in m/data.pkl, after its end", "second-pickle"],
        ),
        (
            "a broken checksum",
            TestTorch::new(&evil).with(|m| m.crc ^= 1).member("m/data/0", &BYTES),
            &["os.system in m/data.pkl", "crc-mismatch"],
        ),
        (
            "a flag",
            TestTorch::new(&evil).with(|m| m.flags |= 1).member("m/data/0", &BYTES),
            &["os.system in m/data.pkl", "flagged-member"],
        ),
        (
            "a pickle under another name",
            archive(&sound()).member("m/extra.bin", &evil),
            &["os.system in m/extra.bin"],
        ),
        (
            "a pickle of protocol 0",
            archive(&sound()).member("m/config.pkl", b"cos\nsystem\n(S'id'\ntR."),
            &["os.system in m/config.pkl"],
        ),
        (
            "an archive in the archive",
            archive(&sound()).member("m/more", &archive(&evil).to_bytes()),
            &["nested-archive"],
        ),
        (
            "the constants of a program",
            archive(&sound()).member("m/constants.pkl", b"cos\nsystem\n)R."),
            &["os.system in m/constants.pkl"],
        ),
    ];
    for (name, file, expected) in cases {
        let checkpoint = open_torch(file.to_bytes());
        let checkpoint = checkpoint.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(names(&checkpoint), ["w"], "{name}");
        assert_eq!(told(&checkpoint), expected, "{name}");
    }
    assert_eq!(told(&open_torch(archive(&sound()).to_bytes()).unwrap()), [""; 0]);
}

#[test]
fn archives_with_two_readings_are_refused() {
    let evil = beside(CALL);
    let sound = sound();
    let whole = archive(&sound).to_bytes();
    let far = |place| archive(&sound).with(move |m| m.place = Some(place)).to_bytes();
    let cases: Vec<(&str, Vec<u8>, &str, &str)> = vec![
        (
            "two pickles",
            archive(&sound).member("m/data.pkl", &evil).to_bytes(),
            "invalid-header",
            "two members",
        ),
        (
            "two cases",
            archive(&sound).member("m/DATA.PKL", &evil).to_bytes(),
            "invalid-header",
            "two members",
        ),
        (
            "two folders",
            archive(&sound).member("n/data.pkl", &evil).to_bytes(),
            "invalid-header",
            "several pickles",
        ),
        (
            "two storages",
            archive(&sound).member("m/data/0", &BYTES).to_bytes(),
            "invalid-header",
            "two members",
        ),
        (
            "two names",
            archive(&sound).with(|m| m.local_name = "m/data/1".to_owned()).to_bytes(),
            "invalid-header",
            "disagree about its name",
        ),
        (
            "a deflated pickle",
            TestTorch::new(&sound).with(|m| m.method = 8).to_bytes(),
            "invalid-header",
            "compressed",
        ),
        (
            "a member beyond the end",
            archive(&sound).with(|m| m.size = Some(1 << 30)).to_bytes(),
            "invalid-header",
            "beyond",
        ),
        ("members in each other", far(0), "invalid-header", "disagree"),
        ("a member nowhere", far(u32::MAX - 1), "truncated", "needs"),
        (
            "bytes before it",
            [b"PK\x03\x04".to_vec(), whole.clone()].concat(),
            "invalid-header",
            "its end begins",
        ),
        (
            "two ends",
            [whole.clone(), b"PK\x05\x06".to_vec(), vec![0; 18]].concat(),
            "invalid-header",
            "",
        ),
        ("no end", whole[..whole.len() - 1].to_vec(), "truncated", "zip archive"),
        ("a bare pickle", evil.clone(), "broken-pickle", "os.system"),
        (
            "a broken pickle",
            archive(&[&evil[..evil.len() - 1], b"\xff"].concat()).to_bytes(),
            "broken-pickle",
            "os.system",
        ),
        (
            "an optimizer",
            archive(&pickle(&dict(&[("state", weight()), ("param_groups", b"]".to_vec())])))
                .to_bytes(),
            "no-tensors",
            "optimizer",
        ),
        ("no tensors", archive(&pickle(CALL)).to_bytes(), "no-tensors", "no tensors"),
        (
            "deep dicts",
            archive(&beside(&nested(100_000))).to_bytes(),
            "broken-pickle",
            "nested deeper",
        ),
        (
            "dicts that hold each other",
            archive(&pickle(&laughs())).to_bytes(),
            "broken-pickle",
            "too long",
        ),
        (
            "a length beyond the end",
            archive(&pickle(b"X\xff\xff\xff\xff")).to_bytes(),
            "broken-pickle",
            "ends too early",
        ),
        (
            "a tar",
            {
                let mut tar = vec![b'a'; 512];
                tar[257..262].copy_from_slice(b"ustar");
                tar
            },
            "unsupported-format",
            "tar",
        ),
    ];
    for (name, file, code, words) in cases {
        let begin = Instant::now();
        let (found, message) = describe(&open_torch(file).expect_err(name));
        assert_eq!(found, code, "{name}: {message}");
        assert!(message.contains(words), "{name}: {message}");
        assert!(begin.elapsed() < Duration::from_secs(20), "{name}");
    }
}

#[test]
fn tensors_that_do_not_fit_are_told_and_the_rest_is_read() {
    let wrong = |shape: &[u64], strides: &[u64], offset| {
        tensor("FloatStorage", "0", 4, offset, shape, strides)
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("too long", wrong(&[5], &[1], 0), "reaches beyond its storage of 16 bytes"),
        ("too far", wrong(&[4], &[1], 1), "reaches beyond"),
        ("too wide", wrong(&[2, 2], &[3, 1], 0), "reaches beyond"),
        ("an offset that wraps", wrong(&[1], &[1], u64::MAX >> 1), "reaches beyond"),
        ("a stride that wraps", wrong(&[3], &[u64::MAX >> 1], 0), "reaches beyond"),
        (
            "a shape that wraps",
            wrong(&[1 << 40, 1 << 40], &[0, 0], 0),
            "more elements than can be counted",
        ),
        ("repeated without end", wrong(&[1 << 28, 1 << 20], &[0, 0], 0), "16 times the bytes"),
        ("strides of another shape", wrong(&[4], &[1, 1], 0), "1 dimensions and 2 strides"),
        ("no storage", tensor("FloatStorage", "7", 4, 0, &[4], &[1]), "is not in the file"),
        (
            "a storage that claims more",
            tensor("DoubleStorage", "0", 4, 0, &[1], &[1]),
            "has 16 bytes of it",
        ),
        ("a class that is none", tensor("EvilStorage", "0", 4, 0, &[4], &[1]), "none of torch's"),
        ("no arguments", b"ctorch._utils\n_rebuild_tensor_v2\n)R".to_vec(), "lacks arguments"),
        ("a sparse one", b"ctorch._utils\n_rebuild_sparse_tensor\n)R".to_vec(), "sparse"),
    ];
    for (name, value, words) in cases {
        let file = archive(&beside(&value)).to_bytes();
        let checkpoint = open_torch(file).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(names(&checkpoint), ["w"], "{name}");
        assert_eq!(faults(&checkpoint), ["Tensor x broken-tensor"], "{name}");
        let message = &checkpoint.metadata().errors[0].message;
        assert!(message.contains(words), "{name}: {message}");
    }
    // A key that is put in twice: loaders keep the last value.
    let twice =
        pickle(&dict(&[("w", tensor("FloatStorage", "0", 4, 0, &[4], &[1])), ("w", weight())]));
    let checkpoint = open_torch(archive(&twice).to_bytes()).unwrap();
    assert_eq!(faults(&checkpoint), ["Tensor w duplicate-name"]);
    assert_eq!(checkpoint.entries()[0].shape, [2, 2]);
}

/// The pickles before the object in the legacy layout, the second and third with what is given.
fn legacy(protocol: &[u8], system: &[u8], object: &[u8]) -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    let keys = pickle(&[b"](".to_vec(), text("0"), b"e".to_vec()].concat());
    let storage = [4u64.to_le_bytes().as_slice(), &BYTES].concat();
    [magic.to_vec(), pickle(protocol), pickle(system), object.to_vec(), keys, storage].concat()
}

#[test]
fn every_pickle_of_the_legacy_layout_is_looked_at() {
    let version = b"M\xe9\x03";
    let whole = legacy(version, b"}", &sound());
    assert_eq!(told(&open_torch(&whole).unwrap()), [""; 0]);
    let in_system = open_torch(legacy(version, &[CALL, b"0}"].concat(), &sound())).unwrap();
    assert_eq!(told(&in_system), ["os.system in system"]);
    let in_object = open_torch(legacy(version, b"}", &beside(CALL))).unwrap();
    assert_eq!(told(&in_object), ["os.system in object"]);
    let trailing = open_torch([whole.clone(), CALL.to_vec()].concat()).unwrap();
    assert_eq!(told(&trailing), ["trailing-bytes"]);
    let mut bytes = [0; 16];
    in_object.read_at(EntryId(0), 0..16, &mut bytes).unwrap();
    assert_eq!(bytes, BYTES);
    let (code, message) = describe(&open_torch(legacy(b"K\x01", b"}", &sound())).unwrap_err());
    assert!(code == "invalid-header" && message.contains("protocol version"), "{message}");
    for end in 0..whole.len() {
        let (code, message) = describe(&open_torch(&whole[..end]).expect_err("cut"));
        let is_told = ["truncated", "broken-pickle", "wrong-magic"].contains(&code);
        assert!(is_told, "cut at {end}: {message}");
    }
}

#[test]
fn changed_pickles_in_sound_archives_end_well() {
    let state = dict(&[
        (
            "state_dict",
            dict(&[("w", weight()), ("t", tensor("FloatStorage", "0", 4, 0, &[2, 2], &[1, 2]))]),
        ),
        ("optimizer", dict(&[("state", weight())])),
        ("args", b"cargparse\nNamespace\n)R}b".to_vec()),
    ]);
    let whole = pickle(&state);
    let mut random = weightscope_testkit::Random::new(7);
    let mut below = |n: usize| usize::try_from(random.next_u64() % n as u64).unwrap();
    let mut sound = 0;
    for _ in 0..3000 {
        let mut changed = whole.clone();
        for _ in 0..=below(3) {
            let at = below(changed.len());
            match below(3) {
                0 => changed[at] = u8::try_from(below(256)).unwrap(),
                1 => drop(changed.remove(at)),
                _ => changed.insert(at, u8::try_from(below(256)).unwrap()),
            }
        }
        let Ok(checkpoint) = open_torch(archive(&changed).to_bytes()) else { continue };
        sound += 1;
        for (id, entry) in (0..).zip(checkpoint.entries()) {
            let size = entry.served_bytes().min(1 << 12);
            let mut bytes = vec![0; usize::try_from(size).unwrap()];
            checkpoint.read_at(EntryId(id), 0..size, &mut bytes).unwrap();
        }
    }
    assert!(sound > 300, "{sound} files were opened");
}

#[test]
fn bytes_in_big_endian_order_are_turned() {
    let turned: Vec<u8> = BYTES.chunks(4).flat_map(|word| word.iter().rev().copied()).collect();
    let both = pickle(&dict(&[
        ("w", weight()),
        ("t", tensor("FloatStorage", "0", 4, 0, &[2, 2], &[1, 2])),
    ]));
    let file = TestTorch::new(&both).member("m/byteorder", b"big").member("m/data/0", &turned);
    let checkpoint = open_torch(file.to_bytes()).unwrap();
    let values = |entry| {
        let mut bytes = [0; 16];
        checkpoint.read_at(EntryId(entry), 0..16, &mut bytes).unwrap();
        bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect::<Vec<_>>()
    };
    assert_eq!((values(0), values(1)), (vec![1.0, 2.0, 3.0, 4.0], vec![1.0, 3.0, 2.0, 4.0]));
}

#[test]
fn large_views_are_gathered_in_tiles() {
    // 3000 x 1200 numbers, seen the other way round: more than a tile.
    let (rows, columns) = (3000_u64, 1200_u64);
    let storage: Vec<u8> = (0..rows * columns).flat_map(|n| (n as u32).to_le_bytes()).collect();
    let view = tensor("IntStorage", "0", rows * columns, 0, &[columns, rows], &[1, columns]);
    let file = TestTorch::new(&pickle(&dict(&[("w", view)]))).member("m/data/0", &storage);
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = open(&[put(folder.path(), "m.pt", file.to_bytes())]).unwrap();
    for (column, row) in [(0, 0), (1, 0), (698, 2999), (699, 0), (1199, 2990), (700, 1500)] {
        let at = (column * rows + row) * 4;
        let mut bytes = [0; 32];
        let length = 32.min(rows * columns * 4 - at);
        let into = &mut bytes[..usize::try_from(length).unwrap()];
        checkpoint.read_at(EntryId(0), at..at + length, into).unwrap();
        for (word, n) in into.chunks(4).zip(column * rows + row..) {
            let value = u64::from(u32::from_le_bytes(word.try_into().unwrap()));
            assert_eq!(value, n % rows * columns + n / rows);
        }
    }
}

#[test]
fn files_cut_or_changed_anywhere_end_well() {
    let file = archive(&beside(b"cargparse\nNamespace\n)R")).to_bytes();
    for end in 0..file.len() {
        let found = open_torch(&file[..end]);
        assert!(found.is_err(), "cut at {end}");
    }
    for at in 0..file.len() {
        let mut changed = file.clone();
        changed[at] ^= 1 << (at % 8);
        if let Ok(checkpoint) = open_torch(&changed) {
            for (id, entry) in (0..).zip(checkpoint.entries()) {
                let size = entry.served_bytes().min(1 << 16);
                let mut bytes = vec![0; usize::try_from(size).unwrap()];
                checkpoint.read_at(EntryId(id), 0..size, &mut bytes).unwrap();
            }
        }
    }
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    assert_eq!(count(1).len(), 11);
}
