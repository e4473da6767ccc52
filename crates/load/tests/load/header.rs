//! Every rule of a single file, with exact bytes and its code.

use std::time::{Duration, Instant};

use crate::common::{bytes_of, faults, names, open_bytes, put, rejected};
use weightscope_core::{DType, TensorSource};
use weightscope_load::open;
use weightscope_testkit::checkpoint::{TestCheckpoint, raw_file, raw_file_claiming};

/// Asserts the code of a rejection and what its message contains.
#[track_caller]
fn check(bytes: impl AsRef<[u8]>, code: &str, contains: &str) {
    let (found, message) = rejected(bytes);
    assert_eq!(found, code, "{message}");
    assert!(message.contains(contains), "{message}");
    assert!(message.contains("x.safetensors: "), "{message}");
}

fn entry(name: &str, dtype: &str, shape: &str, begin: u64, end: u64) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}"#)
}

#[test]
fn a_sound_file_is_offered_in_header_order() {
    let header = [
        r#"{"__metadata__":{"format":"pt"}"#.to_owned(),
        entry("z", "F32", "[1]", 4, 8),
        entry("a", "BF16", "[2,1]", 0, 4),
        entry("scalar", "I8", "[]", 8, 9),
        entry("empty", "F64", "[0,3]", 8, 8),
    ]
    .join(",");
    let file = raw_file(format!("{header}}}  "), b"abcdWXYZ!");
    let checkpoint = open_bytes(&file).unwrap();
    assert_eq!(faults(&checkpoint), [""; 0]);
    assert_eq!(names(&checkpoint), ["z", "a", "scalar", "empty"]);
    assert_eq!(bytes_of(&checkpoint, "z"), b"WXYZ");
    assert_eq!(bytes_of(&checkpoint, "a"), b"abcd");
    assert_eq!(bytes_of(&checkpoint, "scalar"), b"!");
    assert_eq!(bytes_of(&checkpoint, "empty"), b"");
    let a = &checkpoint.entries()[1];
    assert_eq!((a.dtype, a.elements, a.bytes, a.file), (Some(DType::BF16), 2, 4, 0));
    assert_eq!(a.shape, [2, 1]);
    assert_eq!(checkpoint.entries()[2].elements, 1);
    let metadata = checkpoint.metadata();
    assert_eq!(metadata.format, "safetensors");
    assert_eq!(metadata.files[0].name, "x.safetensors");
    assert_eq!(metadata.files[0].bytes, file.len() as u64);
    assert_eq!(metadata.config, None);
}

#[test]
fn no_tensors_is_sound() {
    assert!(open_bytes(raw_file("{}", b"")).unwrap().entries().is_empty());
}

#[test]
fn an_unknown_type_spoils_only_its_tensor() {
    let sound = TestCheckpoint::new().tensor_of("q", "Q4_K", &[256], vec![0; 144]).values(
        "w",
        DType::F32,
        &[1],
        &[1.0],
    );
    let checkpoint = open_bytes(sound.to_bytes()).unwrap();
    let q = &checkpoint.entries()[0];
    assert_eq!((q.dtype, q.dtype_name.as_str(), q.bytes), (None, "Q4_K", 144));
    assert_eq!(bytes_of(&checkpoint, "w"), 1f32.to_le_bytes());
    // Types of less than a byte are decoded; they have a known width, and it is checked.
    let f4 = |bytes| TestCheckpoint::new().tensor_of("f", "F4", &[4], vec![0; bytes]).to_bytes();
    let checkpoint = open_bytes(f4(2)).unwrap();
    let f = &checkpoint.entries()[0];
    let scheme = f.stored.as_ref().map(|form| form.scheme.as_str());
    assert_eq!((f.dtype, f.elements, f.bytes, scheme), (Some(DType::F32), 4, 2, Some("F4")));
    check(f4(3), "size-mismatch", "needs 2 bytes, header gives 3");
}

#[test]
fn beginnings() {
    check(b"", "truncated", "file has 0 bytes, header needs 8");
    check(b"1234567", "truncated", "file has 7 bytes, header needs 8");
    check([0; 8], "invalid-header", "does not begin with `{`");
    check([0; 100], "invalid-header", "does not begin with `{`");
    check(raw_file_claiming(100, b"{}", b""), "truncated", "file has 10 bytes, header needs 108");
    check(
        raw_file_claiming(200_000_000, b"{}", b""),
        "header-too-large",
        "header of 200000000 bytes",
    );
    check(raw_file_claiming(u64::MAX, b"{}", b""), "header-too-large", "18446744073709551615");
    check(raw_file_claiming(100_000_000, b"{}", b""), "truncated", "header needs 100000008");
    check(raw_file("[]", b""), "invalid-header", "`{`");
    check(raw_file(" ".repeat(2000), b""), "invalid-header", "");
    assert!(open_bytes(raw_file("  {} ", b"")).is_ok());
}

#[test]
fn json_faults() {
    check(raw_file(r#"{"a":"#, b""), "invalid-header", "EOF");
    check(raw_file("{} x", b""), "invalid-header", "trailing");
    check(raw_file(b"{\"\xff\":1}", b""), "invalid-header", "byte 2 is not UTF-8");
    check(raw_file(b"{\"a\0\":1}", b""), "invalid-header", "control byte 0");
    check(raw_file(r#"{"a":1}"#, b""), "invalid-entry", "tensor \"a\"");
    check(raw_file(r#"{"a":{}}"#, b""), "invalid-entry", "missing field `dtype`");
    check(
        raw_file(r#"{"a":{"dtype":"U8","dtype":"U8","shape":[],"data_offsets":[0,1]}}"#, b"x"),
        "invalid-entry",
        "duplicate field",
    );
    for (begin, end) in
        [("-1", "0"), ("0.0", "1"), ("1e0", "1"), ("\"0\"", "1"), ("0", "18446744073709551616")]
    {
        let header =
            format!(r#"{{"a":{{"dtype":"U8","shape":[1],"data_offsets":[{begin},{end}]}}}}"#);
        check(raw_file(header, b"x"), "invalid-entry", "expected u64");
    }
    check(
        raw_file(r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}}"#, b"x"),
        "invalid-entry",
        "tensor \"a\"",
    );
}

#[test]
fn deep_nesting_is_refused_without_recursion() {
    for depth in [70, 200, 1_000_000] {
        let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let header =
            format!(r#"{{"a":{{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":{nested}}}}}"#);
        check(raw_file(header, b"x"), "invalid-header", "nested deeper than 64 levels");
    }
    // Never closed.
    check(raw_file("{\"a\":".repeat(100_000), b""), "invalid-header", "nested deeper");
}

#[test]
fn ranges() {
    let file =
        |entries: &[String], data: &[u8]| raw_file(format!("{{{}}}", entries.join(",")), data);
    let u8s = |name, begin, end| entry(name, "U8", &format!("[{}]", end - begin), begin, end);
    let name = "tensor \"b\"";
    check(
        file(&[u8s("a", 0, 4), u8s("b", 2, 6)], b"123456"),
        "overlap",
        "tensor \"b\": begins at data byte 2, inside of tensor \"a\", which ends at 4",
    );
    check(file(&[u8s("a", 0, 2), u8s("b", 0, 2)], b"12"), "overlap", name);
    check(
        file(&[u8s("a", 0, 2), u8s("b", 3, 4)], b"1234"),
        "hole",
        "data byte 3, data before it end at 2",
    );
    check(file(&[u8s("b", 1, 4)], b"1234"), "hole", name);
    check(
        file(&[entry("b", "U8", "[1]", 4, 3)], b"1234"),
        "reversed-offsets",
        "ends at data byte 3",
    );
    let short = file(&[u8s("a", 0, 2), u8s("b", 2, 6), u8s("c", 6, 7)], b"123");
    let (has, needs) = (short.len(), short.len() + 4);
    check(
        short,
        "truncated",
        &format!("file has {has} bytes, its tensors need {needs}: an incomplete download? ({name}"),
    );
    check(file(&[u8s("a", 0, 2)], b"1234"), "trailing-bytes", "tensors end at");
    check(raw_file("{}", b"1"), "trailing-bytes", "file has 11 bytes, its tensors end at 10");
    // Ends of ranges near 2^64 do not wrap.
    let huge = format!("{{{}}}", entry("a", "U8", &format!("[{}]", u64::MAX), 0, u64::MAX));
    check(raw_file(huge, b"1"), "truncated", "its tensors need 18446744073709551615");
}

#[test]
fn shapes() {
    let file = |dtype: &str, shape: &str, end| {
        raw_file(format!("{{{}}}", entry("x", dtype, shape, 0, end)), &[0; 20])
    };
    check(
        file("F32", "[2,3]", 20),
        "size-mismatch",
        "tensor \"x\": shape [2, 3] of F32 needs 24 bytes, header gives 20",
    );
    check(file("F32", "[4294967296,4294967296]", 20), "shape-overflow", "tensor \"x\"");
    check(file("F32", "[4294967296,4294967296,0]", 20), "shape-overflow", "");
    check(file("U8", "[0,4294967296,4294967296]", 20), "size-mismatch", "needs 0 bytes");
    check(
        file("F64", "[9223372036854775807]", 20),
        "size-mismatch",
        "needs 73786976294838206456 bytes",
    );
    check(file("Q4_K", "[4294967296,4294967296]", 20), "shape-overflow", "");
    check(file("F32", "[5,-1]", 20), "invalid-entry", "");
    check(file("F32", "[1.5]", 20), "invalid-entry", "");
    let ones = |n: usize| format!("[{}]", vec!["1"; n].join(","));
    let one_byte = |shape: &str| raw_file(format!("{{{}}}", entry("x", "U8", shape, 0, 1)), b"1");
    assert_eq!(open_bytes(one_byte(&ones(64))).unwrap().entries()[0].shape.len(), 64);
    check(one_byte(&ones(65)), "too-many-dimensions", "65 dimensions, at most 64");
}

#[test]
fn repeated_names_are_told_and_the_first_is_kept() {
    let header = [
        entry("a", "U8", "[2]", 0, 2),
        entry("a", "U8", "[1]", 2, 3),
        entry("b", "U8", "[1]", 3, 4),
    ];
    let checkpoint = open_bytes(raw_file(format!("{{{}}}", header.join(",")), b"1234")).unwrap();
    assert_eq!(faults(&checkpoint), ["Tensor a duplicate-name"]);
    assert_eq!(names(&checkpoint), ["a", "b"]);
    assert_eq!(bytes_of(&checkpoint, "a"), b"12");

    // The same range twice, with the name spelled in another way.
    let header = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\u0061":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}"#;
    let checkpoint = open_bytes(raw_file(header, b"1")).unwrap();
    assert_eq!(faults(&checkpoint), ["Tensor a duplicate-name"]);
    assert_eq!(checkpoint.entries()[0].dtype, Some(DType::U8));

    let many = vec![entry("a", "U8", "[0]", 0, 0); 31].join(",");
    let checkpoint = open_bytes(raw_file(format!("{{{many}}}"), b"")).unwrap();
    let faults = faults(&checkpoint);
    assert_eq!((faults.len(), faults[20].as_str()), (21, "Tensor and 10 more duplicate-name"));
}

#[test]
fn metadata_is_no_tensor() {
    for odd in [r#"{"a":1}"#, "[1]", "\"x\"", "7", r#"{},"__metadata__":{}"#] {
        let checkpoint = open_bytes(raw_file(format!(r#"{{"__metadata__":{odd}}}"#), b"")).unwrap();
        assert_eq!(faults(&checkpoint), ["Shard x.safetensors invalid-metadata"], "{odd}");
        assert!(checkpoint.entries().is_empty());
    }
    assert!(faults(&open_bytes(raw_file(r#"{"__metadata__":null}"#, b"")).unwrap()).is_empty());
}

#[test]
fn hostile_names_stay_distinct_and_messages_stay_clean() {
    let long = "n".repeat(10_000);
    let hostile = [
        "",
        "\u{1b}[31m\u{7}",
        "a\u{202e}b",
        "W",
        "w",
        "é",
        "e\u{301}",
        "../../etc",
        long.as_str(),
    ];
    let mut sound = TestCheckpoint::new();
    for name in hostile {
        sound = sound.tensor(name, DType::U8, &[1], vec![1]);
    }
    let checkpoint = open_bytes(sound.to_bytes()).unwrap();
    assert_eq!(names(&checkpoint), hostile);
    assert!(faults(&checkpoint).is_empty());

    for name in hostile {
        let broken = TestCheckpoint::new().tensor(name, DType::U8, &[2], vec![1]).to_bytes();
        let (code, message) = rejected(broken);
        assert_eq!(code, "size-mismatch");
        assert!(message.chars().count() < 500 && !message.contains('\u{202e}'), "{message}");
        let broken = raw_file(
            format!(r#"{{"a":{{"dtype":{}}}}}"#, "[".repeat(10) + &"\"x\",".repeat(9)),
            b"",
        );
        assert!(rejected(broken).1.len() < 500);
    }
    // What the parser quotes from the header is escaped and cut as well.
    let quoted = format!(r#"{{"a":{{"dtype":"U8","shape":"\u001b[31m{long}"}}}}"#);
    let (code, message) = rejected(raw_file(quoted, b""));
    assert_eq!(code, "invalid-entry");
    assert!(message.len() < 500, "{message}");
}

#[test]
fn what_is_not_safetensors_is_named() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    check(pointer, "git-lfs-pointer", "git lfs pull");
    check("<!DOCTYPE html><html><body>Sign in</body>", "html-page", "download");
    check("\n <HTML>", "html-page", "HTML page");
    check(b"PK\x03\x04\x00\x00\x08\x08\x00\x00\x00\x00", "truncated", "zip archive");
    check(b"\x80\x02}q\x00X\x01\x00\x00\x00a", "broken-pickle", "ends too early");
    check(b"\x89HDF\r\n\x1a\n\0\0\0\0", "unsupported-format", "HDF5");
    check("secret: hunter2, and some more text", "header-too-large", "not a safetensors file?");
    assert!(!rejected("secret: hunter2, and some more text").1.contains("hunter2"));

    // A header of 128 bytes begins with the byte of a pickle and is none.
    let header = format!("{:128}", "{}");
    assert!(open_bytes(raw_file(header, b"")).is_ok());

    // A name tells the format where the bytes do not; the bytes decide where they are sound.
    let folder = tempfile::tempdir().unwrap();
    for (code, names) in [
        ("wrong-magic", &["a.bin", "a.pt", "a.pth", "a.CKPT", "a.npz", "a.NPY"][..]),
        ("unsupported-format", &["a.h5", "a.onnx", "a.MSGPACK", "__0_0.distcp", "_METADATA"]),
    ] {
        for name in names {
            let error = open(&[put(folder.path(), name, b"no magic in this one")]).unwrap_err();
            assert_eq!(error.code(), code, "{name}");
        }
    }
    assert!(open(&[put(folder.path(), "blob", raw_file("{}", b""))]).is_ok());
}

#[test]
fn claims_cost_neither_time_nor_memory() {
    let folder = tempfile::tempdir().unwrap();
    let sparse = |name: &str, beginning: &[u8]| {
        let path = put(folder.path(), name, beginning);
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        // 64 GiB, none of it on disk.
        file.set_len(1 << 36).unwrap();
        path
    };
    let beginnings = [
        ("garbage", b"\xde\xad\xbe\xef\xde\xad\xbe\xef garbage".to_vec(), "header-too-large"),
        ("zeros", Vec::new(), "invalid-header"),
        ("brace", raw_file_claiming(99_999_999, b"{", b""), "invalid-header"),
        ("spaces", raw_file_claiming(99_999_999, &[b' '; 1000], b""), "invalid-header"),
        ("sound", raw_file("{}", b""), "trailing-bytes"),
    ];
    for (name, bytes, code) in beginnings {
        let path = sparse(&format!("{name}.safetensors"), &bytes);
        let begin = Instant::now();
        assert_eq!(open(&[path]).unwrap_err().code(), code, "{name}");
        // 50 ms is the promise; a loaded machine gets more.
        assert!(begin.elapsed() < Duration::from_millis(500), "{name}: {:?}", begin.elapsed());
    }
}

#[test]
fn tensors_are_limited() {
    use std::fmt::Write as _;
    let mut header = String::from("{");
    for i in 0..1_000_001 {
        let comma = if i == 0 { "" } else { "," };
        let _ =
            write!(header, r#"{comma}"{i:x}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#);
    }
    header.push('}');
    check(raw_file(header, b""), "too-many-tensors", "1000001 tensors, at most 1000000");
}
