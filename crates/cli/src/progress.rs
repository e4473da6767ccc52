//! Progress on stderr.

use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{DecimalBytes, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use weightscope::Event;
use weightscope::report::escape;

/// What is shown from how many columns on: a line that wraps would smear. `msg` is finished weights,
/// `prefix` stored bytes; the rest goes by work.
const TEMPLATES: [(u16, &str); 4] = [
    (
        100,
        "{bar:20.cyan/dim} {done:>3} %  {msg} weights  {prefix}  {passed} elapsed, about {left} left",
    ),
    (76, "{bar:16.cyan/dim} {done:>3} %  {msg} weights  {passed} elapsed, about {left} left"),
    (50, "{bar:8.cyan/dim} {done:>3} %  {msg} weights  {left} left"),
    (20, "{done:>3} %  {left} left"),
];

/// How the bar is coloured, in the templates.
const COLORS: &str = ".cyan/dim";

/// A bar of work with weights, bytes, time passed and time left; nothing when stderr is no terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    verbose: bool,
    weights: u64,
    finished: u64,
    bytes: u64,
    read: u64,
}

impl Progress {
    pub(crate) fn new(show: bool, verbose: bool, color: bool) -> Self {
        let bar = ProgressBar::new(0);
        let target = if show && io::stderr().is_terminal() {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        };
        bar.set_draw_target(target);
        let width = terminal_size::terminal_size_of(io::stderr()).map_or(80, |(width, _)| width.0);
        let template = TEMPLATES.iter().find(|(needs, _)| *needs <= width).map_or("", |(_, t)| t);
        let template = if color { template.to_owned() } else { template.replace(COLORS, "") };
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(
                style
                    .progress_chars("━╸─")
                    .with_key("done", |state: &ProgressState, out: &mut dyn Write| {
                        let _ = write!(out, "{}", percent(state.pos(), state.len().unwrap_or(0)));
                    })
                    .with_key("passed", |state: &ProgressState, out: &mut dyn Write| {
                        let _ = out.write_str(&clock(state.elapsed()));
                    })
                    .with_key("left", |state: &ProgressState, out: &mut dyn Write| {
                        let total = state.len().unwrap_or(0);
                        let left = time_left(state.elapsed(), state.pos(), total);
                        // Rounded up: no time is left only at the end.
                        let round =
                            |left: Duration| left.saturating_add(Duration::from_millis(999));
                        let _ = out.write_str(&left.map_or("?".to_owned(), |l| clock(round(l))));
                    }),
            );
        }
        Self { bar, verbose, weights: 0, finished: 0, bytes: 0, read: 0 }
    }

    pub(crate) fn observe(&mut self, event: Event<'_>) {
        match event {
            Event::Started { weights, bytes, work, resumed } => {
                // A second round begins anew.
                (self.weights, self.finished) = (weights, 0);
                (self.bytes, self.read) = (bytes, 0);
                self.bar.reset();
                self.bar.set_length(work);
                self.tell();
                self.bar.enable_steady_tick(Duration::from_millis(200));
                if resumed > 0 {
                    self.say(&format!("{resumed} weights taken over from the journal"));
                }
            }
            Event::Progress { bytes, work } => {
                self.read += bytes;
                self.tell();
                self.bar.inc(work);
            }
            Event::Finished { weight } => {
                self.finished += 1;
                self.tell();
                if self.verbose {
                    self.say(&weight.name);
                }
            }
            _ => {}
        }
    }

    fn tell(&self) {
        let (read, bytes) = (DecimalBytes(self.read), DecimalBytes(self.bytes));
        self.bar.set_prefix(format!("{read}/{bytes}"));
        self.bar.set_message(format!("{}/{}", self.finished, self.weights));
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

/// Whole percent of the work that are done: 100 only at the end.
fn percent(done: u64, total: u64) -> u64 {
    u128::from(done)
        .saturating_mul(100)
        .checked_div(u128::from(total))
        .map_or(100, |p| p.min(100) as u64)
}

/// Time for the rest of the work at the speed so far; `None` while there is no speed. The speed of the last
/// seconds would jump: long analyses tell of their work in large steps.
fn time_left(elapsed: Duration, done: u64, total: u64) -> Option<Duration> {
    if done == 0 && total > 0 {
        return None;
    }
    let rest = total.saturating_sub(done) as f64 / done.max(1) as f64;
    Duration::try_from_secs_f64(elapsed.as_secs_f64() * rest).ok()
}

/// `m:ss` or `h:mm:ss`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_percent_is_the_end() {
        assert_eq!(percent(0, 3), 0);
        assert_eq!(percent(2, 3), 66);
        assert_eq!(percent(u64::MAX - 1, u64::MAX), 99);
        assert_eq!(percent(u64::MAX, u64::MAX), 100);
        assert_eq!(percent(0, 0), 100);
    }

    #[test]
    fn time_left_follows_the_speed_so_far() {
        let ten = Duration::from_secs(10);
        assert_eq!(time_left(ten, 0, 5), None);
        assert_eq!(time_left(ten, 1, 5), Some(Duration::from_secs(40)));
        assert_eq!(time_left(ten, 5, 5), Some(Duration::ZERO));
        assert_eq!(time_left(ten, 0, 0), Some(Duration::ZERO));
        assert_eq!(time_left(Duration::MAX, 1, u64::MAX), None);
    }

    #[test]
    fn clocks() {
        for (seconds, text) in [(0, "0:00"), (61, "1:01"), (3599, "59:59"), (36_061, "10:01:01")] {
            assert_eq!(clock(Duration::from_secs(seconds)), text);
        }
    }
}
