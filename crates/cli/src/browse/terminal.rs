//! The real terminal: taken over, and given back on every way out.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use signal_hook::consts::SIGTSTP;

use super::app::{App, End};
use crate::exit::Exit;
use crate::output::complain;
use crate::signals::Signals;

/// How often signals are looked for while no key is pressed.
const TICK: Duration = Duration::from_millis(100);

/// Says why there is nothing to draw on.
pub(crate) fn ready() -> Result<(), String> {
    for (name, is_terminal) in
        [("input", io::stdin().is_terminal()), ("output", io::stdout().is_terminal())]
    {
        if !is_terminal {
            return Err(format!(
                "browsing needs a terminal, and standard {name} is none; ws-cli report prints a report"
            ));
        }
    }
    if std::env::var("TERM").is_ok_and(|term| term == "dumb") {
        return Err("browsing needs a terminal that can be drawn on, and TERM is dumb".to_owned());
    }
    Ok(())
}

/// Raw mode and the alternate screen, until it is dropped: by a return, an error or a panic.
struct Taken;

impl Taken {
    fn new() -> io::Result<Self> {
        enable_raw_mode()?;
        // From here on there is something to give back, whatever fails.
        let taken = Self;
        execute!(io::stdout(), EnterAlternateScreen)?;
        Ok(taken)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that is gone.
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// Shows `app` until the user or a signal ends it.
pub(super) fn show(app: &mut App, signals: &Signals) -> Exit {
    signals.ask_only();
    match shown(app, signals) {
        Ok(exit) => exit,
        Err(error) => {
            complain(&format!("terminal: {error}"));
            Exit::Unwritten
        }
    }
}

fn shown(app: &mut App, signals: &Signals) -> io::Result<Exit> {
    let mut taken = Taken::new()?;
    let mut terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
    terminal.clear()?;
    let mut changed = true;
    loop {
        if signals.is_raised() {
            return Ok(signals.exit());
        }
        if changed {
            terminal.draw(|frame| app.draw(frame))?;
            changed = false;
        }
        if !event::poll(TICK)? {
            continue;
        }
        // Everything that waits is taken before the next drawing: held keys do not lag.
        loop {
            match event::read()? {
                Event::Key(key)
                    if key.code == KeyCode::Char('z')
                        && key.modifiers.contains(KeyModifiers::CONTROL) =>
                {
                    taken = suspend(taken)?;
                    terminal.clear()?;
                }
                Event::Key(key) => app.on_key(key),
                _ => {}
            }
            changed = true;
            match app.end() {
                Some(End::Quit) => return Ok(Exit::Complete),
                Some(End::Interrupted) => return Ok(Exit::Interrupted),
                None => {}
            }
            if !event::poll(Duration::ZERO)? {
                break;
            }
        }
    }
}

/// Goes to the shell, as Ctrl-Z does elsewhere, and takes the terminal again afterwards.
fn suspend(taken: Taken) -> io::Result<Taken> {
    drop(taken);
    signal_hook::low_level::emulate_default_handler(SIGTSTP)?;
    Taken::new()
}
