//! Running the program, and checking what every run must keep.

use std::fs::{self, File};
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use weightscope::DType;
use weightscope_testkit::checkpoint::TestCheckpoint;

/// How a run ended. A signal that nobody handled counts as 1000 and its number.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    pub(crate) fn of(output: &Output) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        let signal = output.status.signal().map(|signal| 1000 + signal);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("output is UTF-8");
        let code = output.status.code().or(signal).expect("it ended");
        let run = Self { code, out: text(&output.stdout), err: text(&output.stderr) };
        for word in ["panicked", "RUST_BACKTRACE", "internal error", "unwrap()"] {
            assert!(!run.err.contains(word), "{word} in {run:?}");
        }
        run
    }

    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n--- out\n{}\n--- err\n{}", self.out, self.err);
        self
    }

    /// Checks that stderr is one line in the form of every complaint.
    #[track_caller]
    pub(crate) fn says(self, words: &str) -> Self {
        assert!(self.err.contains(words), "{words:?} is not in {:?}", self.err);
        assert_eq!(self.err.lines().count(), 1, "one line: {:?}", self.err);
        assert!(self.err.starts_with("ws-cli: "), "{:?}", self.err);
        self
    }

    /// The JSON on stdout.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        checked_report(&self.out)
    }

    pub(crate) fn first_line(&self) -> &str {
        self.out.lines().next().unwrap_or_default()
    }
}

/// The program, untouched by the settings of whoever runs the tests.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ws-cli"));
    for name in [
        "COLUMNS",
        "NO_COLOR",
        "CLICOLOR",
        "CLICOLOR_FORCE",
        "WEIGHTSCOPE_THREADS",
        "WEIGHTSCOPE_MEMORY",
        "HF_ENDPOINT",
        "HF_TOKEN",
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
    ] {
        command.env_remove(name);
    }
    // Names that are no paths are looked for in caches.
    for name in ["HF_HUB_CACHE", "OLLAMA_MODELS"] {
        command.env(name, "/nonexistent");
    }
    command.stdin(Stdio::null());
    command
}

/// Runs it; the words of `line` and then `paths` are the arguments.
pub(crate) fn run(line: &str, paths: &[&Path]) -> Run {
    run_with(command().args(line.split_whitespace()).args(paths))
}

pub(crate) fn run_with(command: &mut Command) -> Run {
    let run = Run::of(&command.output().expect("the program starts"));
    if !command.get_args().any(|a| a == "always") {
        assert_inert(&run.out);
        assert_inert(&run.err);
    }
    run
}

/// No character that acts on a terminal or is invisible, but line ends and tabs.
#[track_caller]
pub(crate) fn assert_inert(text: &str) {
    let bad = text.chars().find(|c| {
        matches!(c, '\0'..='\x08' | '\x0b'..='\x1f' | '\x7f'..='\u{9f}' | '\u{61c}')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}')
    });
    assert_eq!(bad, None, "in {text:?}");
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name);
    fs::canonicalize(path).expect("the fixture is in the repository")
}

pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Numbers that look like weights: no zeros, no repetition that a test would notice.
pub(crate) fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..count).map(|_| next() + next() + next()).collect()
}

/// Adds a sound matrix.
pub(crate) fn with(checkpoint: TestCheckpoint, name: &str, shape: &[u64; 2]) -> TestCheckpoint {
    let count = (shape[0] * shape[1]) as usize;
    let seed = name.bytes().fold(7, |sum, b| sum * 31 % 65_521 + u32::from(b));
    checkpoint.values(name, DType::F32, shape, &numbers(count, seed))
}

/// Three sound matrices.
pub(crate) fn small() -> TestCheckpoint {
    ["a.weight", "b.weight", "c.weight"]
        .into_iter()
        .fold(TestCheckpoint::new(), |checkpoint, name| with(checkpoint, name, &[24, 16]))
}

/// A file of equal BF16 matrices. With `sparse`, nothing is written but the header.
pub(crate) fn large(path: &Path, tensors: u64, shape: [u64; 2], sparse: bool) {
    let each = shape[0] * shape[1] * 2;
    let entries = (0..tensors).map(|i| {
        let (begin, end) = (i * each, (i + 1) * each);
        format!(
            "\"t{i:03}.weight\":{{\"dtype\":\"BF16\",\"shape\":{shape:?},\"data_offsets\":[{begin},{end}]}}"
        )
    });
    let header = format!("{{{}}}", entries.collect::<Vec<_>>().join(","));
    let mut file = File::create(path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    let begin = file.stream_position().unwrap();
    file.set_len(begin + tensors * each).unwrap();
    for i in (0..tensors).filter(|_| !sparse) {
        let values = numbers((each / 2) as usize, i as u32);
        file.write_all(&weightscope_testkit::checkpoint::encode(DType::BF16, &values)).unwrap();
    }
}

/// Waits for something that must come soon.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(20), "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Parses strict JSON without repeated keys and checks that the counts of a report add up.
#[track_caller]
pub(crate) fn checked_report(text: &str) -> Value {
    let report = strict_json(text);
    let total = |key: &str| report["totals"][key].as_u64().expect("a count");
    assert_eq!(total("declared"), total("measured") + total("skipped") + total("failed"));
    let weights = report["weights"].as_array().expect("weights");
    let count = |status: &str| weights.iter().filter(|w| w["status"] == status).count() as u64;
    let counted = [count("ok"), count("skipped"), count("failed")];
    assert_eq!(counted, [total("measured"), total("skipped"), total("failed")]);
    assert_eq!(total("declared"), weights.len() as u64);
    let with_reason = |w: &Value| w["status"] == "ok" || w["reason"].is_string();
    assert!(weights.iter().all(with_reason), "what was not measured says why");
    report
}

#[track_caller]
pub(crate) fn strict_json(text: &str) -> Value {
    let Strict(value) = serde_json::from_str(text).expect("strict JSON");
    value
}

/// JSON whose objects have each key once.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Value;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }
            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(value.into())
            }
            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(value.into())
            }
            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(value.into())
            }
            fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
                Ok(value.into())
            }
            fn visit_str<E>(self, value: &str) -> Result<Value, E> {
                Ok(value.into())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
                let mut list = Vec::new();
                while let Some(Strict(value)) = seq.next_element()? {
                    list.push(value);
                }
                Ok(list.into())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
                let mut map = serde_json::Map::new();
                while let Some((key, Strict(value))) = access.next_entry::<String, _>()? {
                    if map.insert(key.clone(), value).is_some() {
                        return Err(A::Error::custom(format!("key {key:?} is repeated")));
                    }
                }
                Ok(map.into())
            }
        }
        deserializer.deserialize_any(Any).map(Strict)
    }
}
