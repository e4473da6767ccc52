//! `cargo xtask browse-test`: the terminal browser in a real terminal, tmux, driven key by key.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::note;

/// Longest wait for what must come at once.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn run(root: &Path) -> Result<Vec<String>> {
    if Command::new("tmux").arg("-V").output().is_err() {
        return Ok(vec!["browse-test: tmux is not installed, so nothing was tried".to_owned()]);
    }
    let program = built(root)?;
    let folder = tempfile::tempdir()?;
    let report = folder.path().join("r.json");
    note("browse-test: scanning fixtures/tiny-gpt2");
    let mut scan = Command::new(&program);
    scan.args(["scan", "-q", "--no-timings", "-o"]).arg(&report);
    let output = scan.arg(root.join("fixtures/tiny-gpt2")).output()?;
    ensure!(
        output.status.success(),
        "the scan failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );

    let screens = Screens { folder: folder.path().to_owned(), program, report };
    let mut steps = 0;
    steps += screens.look_around()?;
    steps += screens.signals()?;
    steps += screens.resizes()?;
    Ok(vec![format!("browse-test: {steps} screens as they should be")])
}

/// The program, built as cargo builds it here.
fn built(root: &Path) -> Result<PathBuf> {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "-p", "weightscope-cli", "--message-format=json"]);
    let output = build.current_dir(root).output().context("cargo build")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout)?;
    let program = messages.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        (message["target"]["name"] == "ws-cli").then_some(())?;
        Some(PathBuf::from(message["executable"].as_str()?))
    });
    program.context("cargo build names no ws-cli")
}

/// Where the browser runs and what it shows.
struct Screens {
    folder: PathBuf,
    program: PathBuf,
    report: PathBuf,
}

/// A shell in a terminal of its own; it is closed when this is dropped.
struct Session {
    socket: PathBuf,
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = Command::new("tmux").arg("-S").arg(&self.socket).arg("kill-server").output();
    }
}

impl Session {
    fn tmux(&self, arguments: &[&str]) -> Result<Output> {
        let mut tmux = Command::new("tmux");
        // No settings of whoever runs it, and no session of theirs.
        tmux.args(["-f", "/dev/null", "-S"]).arg(&self.socket).args(arguments);
        let output = tmux.env_remove("TMUX").output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "tmux {arguments:?}: {error}");
        Ok(output)
    }

    /// Presses keys, as tmux names them.
    fn press(&self, keys: &[&str]) -> Result<()> {
        for key in keys {
            self.tmux(&["send-keys", "-t", "browse", "--", key])?;
        }
        Ok(())
    }

    fn screen(&self) -> Result<String> {
        let output = self.tmux(&["capture-pane", "-p", "-t", "browse"])?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Waits until the screen has all of `words`.
    fn shows(&self, words: &[&str]) -> Result<String> {
        let begin = Instant::now();
        loop {
            let screen = self.screen()?;
            match words.iter().find(|word| !screen.contains(**word)) {
                None => return Ok(screen),
                Some(word) if begin.elapsed() > PATIENCE => {
                    bail!("\"{word}\" is not on the screen:\n{screen}")
                }
                Some(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

impl Screens {
    /// A shell in which the browser was started. It says how the browser ended, and what `stty` thinks then.
    fn start(&self, name: &str) -> Result<Session> {
        let session = Session { socket: self.folder.join(name) };
        let shell = ["new-session", "-d", "-s", "browse", "-x", "100", "-y", "30", "sh"];
        session.tmux(&shell)?;
        // On lines of their own, so that what was typed is not taken for the answer.
        let line = format!(
            "PS1='$ '; clear; echo before; '{}' browse '{}'; echo \"code=$?\"; stty -a | grep -o ' icanon'",
            self.program.display(),
            self.report.display()
        );
        session.press(&[&line, "Enter"])?;
        session.shows(&["[Weights 160]", "wte.weight", "q quit"])?;
        Ok(session)
    }

    /// The browser ended with `code`; the shell's own screen is back, and it reads lines again.
    fn is_over(session: &Session, code: &str) -> Result<()> {
        let screen = session.shows(&["before", code, " icanon"])?;
        ensure!(!screen.contains("[Weights"), "the browser left its screen:\n{screen}");
        session.press(&["echo still-$((40+2))", "Enter"])?;
        session.shows(&["still-42"])?;
        Ok(())
    }

    /// Sorts, filters, drills down, reads the help, and quits.
    fn look_around(&self) -> Result<usize> {
        let session = self.start("look")?;
        session.press(&["s", "s"])?;
        session.shows(&["by name ↑", "h.0.attn.bias"])?;
        session.press(&["S"])?;
        session.shows(&["by name ↓", "› ", "wte.weight"])?;
        session.press(&["/", "c_fc.w"])?;
        session.shows(&["[Weights 12/160]", "/c_fc.w", "h.11.mlp.c_fc.weight"])?;
        session.press(&["Enter", "Enter"])?;
        session.shows(&["╭ h.11.mlp.c_fc.weight", "overview", "integrity", "Singular values"])?;
        session.press(&["End", "z"])?;
        session.shows(&["‹", "Esc back"])?;
        session.press(&["Escape", "n"])?;
        session.shows(&["╭ h.10.mlp.c_fc.weight"])?;
        session.press(&["?"])?;
        session.shows(&["Everywhere", "least severity"])?;
        session.press(&["?", "BSpace"])?;
        session.shows(&["[Weights 12/160]", "/c_fc.w"])?;
        session.press(&["Tab"])?;
        session.shows(&["[Findings ", "▲ warning", "→ "])?;
        session.press(&["Tab"])?;
        session.shows(&["[Model]", "959,840", "Parameters by category"])?;
        session.press(&["1", "Escape"])?;
        session.shows(&["[Weights 160]"])?;
        session.press(&["q"])?;
        Self::is_over(&session, "code=0")?;
        Ok(13)
    }

    /// Ctrl-C, a polite kill, and Ctrl-Z with going on.
    fn signals(&self) -> Result<usize> {
        let session = self.start("interrupt")?;
        session.press(&["C-c"])?;
        Self::is_over(&session, "code=130")?;

        let session = self.start("terminate")?;
        let output = session.tmux(&["list-panes", "-t", "browse", "-F", "#{pane_pid}"])?;
        let shell = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let children = Command::new("pgrep").args(["-P", &shell]).output();
        // Not every system has pgrep; the kill is then left to the tests of scan.
        let children = children.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
        if let Some(child) = children.as_deref().unwrap_or("").split_whitespace().next() {
            ensure!(Command::new("kill").args(["-TERM", child]).status()?.success(), "kill");
            Self::is_over(&session, "code=143")?;
        }

        let session = self.start("suspend")?;
        session.press(&["C-z"])?;
        session.shows(&["before", "Stopped"])?;
        session.press(&["fg", "Enter"])?;
        session.shows(&["[Weights 160]", "q quit"])?;
        session.press(&["q"])?;
        session.shows(&["before"])?;
        Ok(6)
    }

    /// Another size is drawn anew, however small.
    fn resizes(&self) -> Result<usize> {
        let session = self.start("resize")?;
        for (size, words) in [
            (["180", "45"], ["token_embedding, 256 x 80", "Singular values"]),
            (["30", "8"], ["too small", ""]),
            (["80", "24"], ["[Weights 160]", "q quit"]),
        ] {
            session.tmux(&["resize-window", "-t", "browse", "-x", size[0], "-y", size[1]])?;
            session.shows(&words)?;
        }
        session.press(&["q"])?;
        Self::is_over(&session, "code=0")?;
        Ok(4)
    }
}
