//! Ctrl-C, a polite kill, a rude kill, and going on after each.

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use crate::common::{Run, command, folder, large, names, run_with, wait_for};

/// A checkpoint that takes a second or two, and a scan of it.
struct Scene {
    folder: tempfile::TempDir,
    file: PathBuf,
    report: PathBuf,
    journal: PathBuf,
}

const WEIGHTS: u64 = 24;

/// An optimised program is faster.
const ROWS: u64 = if cfg!(debug_assertions) { 512 } else { 1024 };

impl Scene {
    fn new() -> Self {
        let folder = folder();
        let file = folder.path().join("m.safetensors");
        large(&file, WEIGHTS, [ROWS, 1024], false);
        let report = folder.path().join("r.json");
        let journal = folder.path().join("r.json.journal");
        Self { folder, file, report, journal }
    }

    fn scan(&self, more: &[&str]) -> Command {
        let mut command = command();
        command.args(["scan", "--no-timings", "--threads", "1"]).arg(&self.file);
        command.arg("-o").arg(&self.report).args(more);
        command
    }

    /// The report of a run that nobody disturbed.
    fn undisturbed(&self) -> String {
        run_with(&mut self.scan(&["-q"])).exits(0);
        let text = fs::read_to_string(&self.report).unwrap();
        fs::remove_file(&self.report).unwrap();
        assert!(!self.journal.exists());
        text
    }

    /// Kills a scan without warning when some weights are measured.
    fn kill(&self) {
        let mut child = self.scan(&["-q"]).spawn().unwrap();
        wait_for("three weights", || lines(&self.journal) >= 4);
        child.kill().unwrap();
        child.wait().unwrap();
        let left = lines(&self.journal);
        assert!((4..=WEIGHTS as usize).contains(&left), "{left} lines, killed too late");
        assert!(!self.report.exists());
    }

    fn resume(&self) -> Run {
        run_with(&mut self.scan(&["-q", "--resume"]))
    }
}

fn lines(path: &Path) -> usize {
    fs::read(path).map_or(0, |bytes| bytes.split(|b| *b == b'\n').count() - 1)
}

fn send(signal: &str, child: &Child) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
}

#[test]
fn an_interrupted_scan_keeps_what_it_has_and_goes_on_to_the_same_bytes() {
    let scene = Scene::new();
    let whole = scene.undisturbed();
    let mut command = scene.scan(&["-v"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    for _ in 0..3 {
        line.clear();
        told.read_line(&mut line).unwrap();
        assert!(line.starts_with("ws-cli: t0"), "{line:?}");
    }
    send("-INT", &child);
    let rest = std::thread::spawn(move || told.lines().map_while(Result::ok).last());
    let run = Run::of(&child.wait_with_output().unwrap()).exits(130);
    let last = rest.join().unwrap().unwrap();
    assert!(run.first_line().starts_with("INTERRUPTED"), "{}", run.out);
    assert!(last.contains("of 24 weights are measured; the same command with --resume"), "{last}");
    assert_eq!(names(scene.folder.path()), ["m.safetensors", "r.json", "r.json.journal"]);
    let report = crate::common::checked_report(&fs::read_to_string(&scene.report).unwrap());
    assert_eq!(report["status"], "interrupted");
    let measured = report["totals"]["measured"].as_u64().unwrap();
    assert!((3..WEIGHTS).contains(&measured), "{measured}");

    scene.resume().exits(0);
    assert!(fs::read_to_string(&scene.report).unwrap() == whole, "the bytes differ");
    assert_eq!(names(scene.folder.path()), ["m.safetensors", "r.json"]);
}

#[test]
fn a_signal_within_a_huge_tensor_is_obeyed_at_once() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let folder = folder();
        let file = folder.path().join("m.safetensors");
        large(&file, 1, [32_768, 16_384], true);
        let report = folder.path().join("r.json");
        let mut command = command();
        command.arg("scan").arg(&file).arg("-o").arg(&report);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        wait_for("the start", || lines(&folder.path().join("r.json.journal")) >= 1);
        std::thread::sleep(Duration::from_millis(100));
        let begin = Instant::now();
        send(signal, &child);
        let run = Run::of(&child.wait_with_output().unwrap()).exits(code);
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(2), "{signal} took {took:?}");
        assert!(run.first_line().starts_with("INTERRUPTED"), "{}", run.out);
        assert_eq!(names(folder.path()), ["m.safetensors", "r.json", "r.json.journal"]);
    }
}

#[test]
fn a_plot_is_stopped_at_once_and_leaves_nothing() {
    let folder = folder();
    let file = folder.path().join("m.safetensors");
    large(&file, 1, [32_768, 16_384], true);
    for figure in ["heatmap", "histogram", "pca"] {
        let mut command = command();
        command.arg("plot").arg(&file).args(["-w", "weight", "-f", figure, "-o"]);
        command.arg(folder.path().join("f.html"));
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Long after the handlers are set, and long before it could be done.
        std::thread::sleep(Duration::from_millis(500));
        let begin = Instant::now();
        send("-INT", &child);
        Run::of(&child.wait_with_output().unwrap()).exits(130).says("interrupted");
        assert!(begin.elapsed() < Duration::from_secs(2), "{figure}");
        assert_eq!(names(folder.path()), ["m.safetensors"]);
    }
}

#[test]
fn a_killed_scan_goes_on_to_the_same_bytes() {
    let scene = Scene::new();
    let whole = scene.undisturbed();
    scene.kill();
    // The last line was cut off in the middle.
    let journal = fs::read(&scene.journal).unwrap();
    fs::write(&scene.journal, &journal[..journal.len() - 40]).unwrap();
    let run = run_with(&mut scene.scan(&["--resume", "-v"])).exits(0);
    assert!(run.err.contains("weights taken over from the journal"), "{}", run.err);
    assert!(fs::read_to_string(&scene.report).unwrap() == whole, "the bytes differ");
    assert_eq!(names(scene.folder.path()), ["m.safetensors", "r.json"]);

    // Without a journal it begins anew, and so it does with one that was cut within its first line.
    for begun in [None, Some(&journal[..20])] {
        fs::remove_file(&scene.report).unwrap();
        if let Some(bytes) = begun {
            fs::write(&scene.journal, bytes).unwrap();
        }
        scene.resume().exits(0);
        assert!(fs::read_to_string(&scene.report).unwrap() == whole, "the bytes differ");
        assert!(!scene.journal.exists());
    }
}

#[test]
fn a_journal_of_another_run_is_refused() {
    let scene = Scene::new();
    scene.kill();
    let journal = fs::read(&scene.journal).unwrap();
    let refused = |run: Run, what: &str| {
        run.exits(2).says(what);
        assert!(fs::read(&scene.journal).unwrap() == journal, "the journal stays as it was");
        assert!(!scene.report.exists());
    };
    for more in [
        &["--analyzers", "sparsity"][..],
        &["--include", "t*"],
        &["--exclude", "x"],
        &["--split-fused"],
        &["--series", "summary"],
    ] {
        let run = run_with(scene.scan(more).args(["-q", "--resume"]));
        refused(run, "cannot resume, a setting changed");
    }
    let config = scene.folder.path().join("settings.toml");
    fs::write(&config, "[parameters.sparsity]\nprunable_share = 0.6").unwrap();
    let config = config.to_str().unwrap();
    refused(
        run_with(&mut scene.scan(&["-q", "--resume", "--config", config])),
        "cannot resume, a setting changed",
    );

    let file = OpenOptions::new().write(true).open(&scene.file).unwrap();
    let then = file.metadata().unwrap().modified().unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(5)).unwrap();
    refused(scene.resume(), "cannot resume, the checkpoint changed");
    file.set_modified(then).unwrap();
    // A config.json that was not there changes what the weights are.
    let config = scene.folder.path().join("config.json");
    fs::write(&config, "{}").unwrap();
    refused(scene.resume(), "cannot resume, the checkpoint changed");
    fs::remove_file(config).unwrap();

    let text = String::from_utf8(journal.clone()).unwrap();
    let version = concat!("\"version\":\"", env!("CARGO_PKG_VERSION"), "\"");
    for (old, what) in [
        (text.replacen(version, "\"version\":\"0.0.0\"", 1), "the program's version changed"),
        (format!("{{}}\n{text}"), "the journal's format changed"),
    ] {
        fs::write(&scene.journal, old).unwrap();
        scene.resume().exits(2).says(what);
    }
    fs::write(&scene.journal, &journal).unwrap();

    // A line of rubbish ends what is believed.
    let mut file = OpenOptions::new().append(true).open(&scene.journal).unwrap();
    file.write_all(b"rubbish\n").unwrap();
    scene.resume().exits(0);
    assert!(!scene.journal.exists());
}
