//! Progress on stderr.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use weightscope::Event;
use weightscope::report::escape;

/// What is shown from how many columns on: a line that wraps would smear.
const TEMPLATES: [(u16, &str); 4] = [
    (
        100,
        "{bar:24.cyan/dim} {percent:>3} %  {msg} weights  {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}  {eta} left",
    ),
    (76, "{bar:20.cyan/dim} {percent:>3} %  {msg} weights  {decimal_bytes_per_sec}  {eta} left"),
    (50, "{bar:8.cyan/dim} {percent:>3} %  {msg} weights  {eta} left"),
    (20, "{percent:>3} %  {eta} left"),
];

/// A bar of bytes with weights, rate and time left; nothing when stderr is no terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    verbose: bool,
    weights: u64,
    finished: u64,
}

impl Progress {
    pub(crate) fn new(show: bool, verbose: bool) -> Self {
        let bar = ProgressBar::new(0);
        let target = if show && io::stderr().is_terminal() {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        };
        bar.set_draw_target(target);
        let width = terminal_size::terminal_size_of(io::stderr()).map_or(80, |(width, _)| width.0);
        let template = TEMPLATES.iter().find(|(needs, _)| *needs <= width).map_or("", |(_, t)| t);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸─"));
        }
        Self { bar, verbose, weights: 0, finished: 0 }
    }

    pub(crate) fn observe(&mut self, event: Event<'_>) {
        match event {
            Event::Started { weights, bytes, resumed, .. } => {
                self.weights = weights;
                self.bar.set_length(bytes);
                self.bar.set_message(format!("0/{weights}"));
                self.bar.enable_steady_tick(Duration::from_millis(200));
                if resumed > 0 {
                    self.say(&format!("{resumed} weights taken over from the journal"));
                }
            }
            Event::Progress { bytes, .. } => self.bar.inc(bytes),
            Event::Finished { weight } => {
                self.finished += 1;
                self.bar.set_message(format!("{}/{}", self.finished, self.weights));
                if self.verbose {
                    self.say(&weight.name);
                }
            }
            _ => {}
        }
    }

    fn say(&self, text: &str) {
        let text = escape::terminal(text).into_owned();
        if self.bar.is_hidden() {
            if self.verbose {
                crate::output::complain(&text);
            }
        } else {
            self.bar.println(text);
        }
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
