//! A headless Chromium, driven over its DevTools protocol.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Value, json};

/// Names it goes by.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// No window, no sandbox (containers have none), and nothing that calls home.
const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-pipe",
];

/// One browser with one page.
#[derive(Debug)]
pub(crate) struct Chrome {
    process: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    session: Option<String>,
    last: u64,
    /// What the page did, in order, until it is asked for.
    events: VecDeque<Value>,
    _profile: tempfile::TempDir,
}

/// The browser's name, if one is installed.
pub(crate) fn find() -> Option<&'static str> {
    let runs = |name: &&str| {
        let mut command = Command::new(name);
        command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    NAMES.into_iter().find(runs)
}

impl Chrome {
    pub(crate) fn start(program: &str) -> Result<Self> {
        let profile = tempfile::tempdir()?;
        // The protocol runs over descriptors 3 and 4; a shell turns our pipes into them.
        let script = format!(
            "exec {program} \"$@\" about:blank 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null"
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh"]).args(FLAGS);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().context("the browser does not start")?;
        let commands = process.stdin.take().context("no pipe to the browser")?;
        let answers = process.stdout.take().context("no pipe from the browser")?;
        let (sender, messages) = channel();
        thread::spawn(move || {
            let mut answers = BufReader::new(answers);
            let mut message = Vec::new();
            while answers.read_until(0, &mut message).is_ok_and(|n| n > 0) {
                message.pop();
                let Ok(value) = serde_json::from_slice(&message) else { break };
                if sender.send(value).is_err() {
                    break;
                }
                message.clear();
            }
        });
        let mut chrome = Self {
            process,
            commands,
            messages,
            session: None,
            last: 0,
            events: VecDeque::new(),
            _profile: profile,
        };
        let targets = chrome.call("Target.getTargets", json!({}))?;
        let pages = targets["targetInfos"].as_array().cloned().unwrap_or_default();
        let page = pages.iter().find(|t| t["type"] == "page").context("the browser has no page")?;
        let attached = json!({ "targetId": page["targetId"], "flatten": true });
        let attached = chrome.call("Target.attachToTarget", attached)?;
        chrome.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Network", "Log"] {
            chrome.call(&format!("{domain}.enable"), json!({}))?;
        }
        let cut = json!({ "offline": true, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
        chrome.call("Network.emulateNetworkConditions", cut)?;
        Ok(chrome)
    }

    /// Sends a command and waits for its answer.
    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Result<Value> {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method });
        message["params"] = parameters;
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = serde_json::to_vec(&message)?;
        bytes.push(0);
        self.commands.write_all(&bytes).context("the browser is gone")?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut answer = self.receive(deadline).with_context(|| method.to_owned())?;
            if answer["id"] == self.last {
                if let Some(error) = answer.get("error") {
                    bail!("{method}: {error}");
                }
                return Ok(answer["result"].take());
            }
            self.note(answer);
        }
    }

    fn receive(&mut self, deadline: Instant) -> Result<Value> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.messages.recv_timeout(left).map_err(|error| match error {
            RecvTimeoutError::Timeout => anyhow!("no answer within {} s", PATIENCE.as_secs()),
            RecvTimeoutError::Disconnected => anyhow!("the browser is gone"),
        })
    }

    fn note(&mut self, event: Value) {
        if event["method"].is_string() {
            self.events.push_back(event);
        }
    }

    /// What the page did since the last time it was asked.
    pub(crate) fn events(&mut self) -> Vec<Value> {
        while let Ok(event) = self.messages.try_recv() {
            self.note(event);
        }
        self.events.drain(..).collect()
    }

    /// The value of an expression; promises are waited for.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let parameters =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut answer = self.call("Runtime.evaluate", parameters)?;
        if let Some(exception) = answer.get("exceptionDetails") {
            bail!("{expression}: {}", exception["exception"]["description"]);
        }
        Ok(answer["result"]["value"].take())
    }

    /// Waits until an expression is true.
    pub(crate) fn wait(&mut self, expression: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.evaluate(&format!("Boolean({expression})"))? == Value::Bool(true) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!("never came true: {expression}")
    }

    /// Presses and releases a key that types nothing, or one that types `text`.
    pub(crate) fn press(&mut self, key: &str, text: &str) -> Result<()> {
        let code = match key {
            "Enter" => 13,
            "Escape" => 27,
            "Tab" => 9,
            "/" => 191,
            _ => 0,
        };
        let mut down =
            json!({ "type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": code });
        if !text.is_empty() {
            down["text"] = json!(text);
        }
        self.call("Input.dispatchKeyEvent", down)?;
        self.call(
            "Input.dispatchKeyEvent",
            json!({ "type": "keyUp", "key": key, "code": key, "windowsVirtualKeyCode": code }),
        )?;
        Ok(())
    }

    /// Clicks in the middle of the first element that a selector finds.
    pub(crate) fn click(&mut self, selector: &str) -> Result<()> {
        let place = format!(
            "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView({{ block: 'center', behavior: 'instant' }}); const r = e.getBoundingClientRect(); return [r.left + r.width / 2, r.top + r.height / 2]; }})()"
        );
        let place = self.evaluate(&place)?;
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event)?;
        }
        Ok(())
    }
}

impl Drop for Chrome {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.call("Browser.close", json!({}));
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
