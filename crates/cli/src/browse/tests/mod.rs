//! Whole screens, driven by keys. `UPDATE_GOLDEN=1` writes them anew.

mod sample;

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::{Color, Modifier};
use weightscope::report::{escape, pieces};

use super::app::{App, End};

/// The screen as cells.
fn drawn(app: &App, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| app.draw(frame)).unwrap();
    terminal.backend().buffer().clone()
}

/// The screen as lines.
fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in buffer.area.top()..buffer.area.bottom() {
        let (mut line, mut skip) = (String::new(), 0);
        for x in buffer.area.left()..buffer.area.right() {
            let symbol = buffer[(x, y)].symbol();
            if skip == 0 {
                line.push_str(symbol);
                // A wide character takes the cells after it.
                skip = pieces::width(symbol).max(1);
            }
            skip -= 1;
        }
        writeln!(text, "{}", line.trim_end()).unwrap();
    }
    text
}

/// Compares the screen of `app` with the saved one.
#[track_caller]
fn check(name: &str, app: &App, width: u16, height: u16) {
    let shown = text(&drawn(app, width, height));
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/browse/tests/screens/{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &shown).unwrap();
    }
    let saved = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(shown == saved, "{name} is not as saved; now:\n{shown}\nsaved:\n{saved}");
}

fn app() -> App {
    App::new(sample::report(), sample::DESCRIPTORS.to_vec(), true)
}

/// Presses keys: characters, and `<Enter>` and the like.
fn press(app: &mut App, keys: &str) {
    let mut rest = keys;
    while let Some(c) = rest.chars().next() {
        let named = rest.strip_prefix('<').and_then(|r| r.split_once('>'));
        let (code, after) = match named {
            Some((name, after)) => (code(name), after),
            None => (KeyCode::Char(c), &rest[c.len_utf8()..]),
        };
        app.on_key(KeyEvent::from(code));
        // The window moves when it is drawn.
        drawn(app, 80, 24);
        rest = after;
    }
}

fn code(name: &str) -> KeyCode {
    match name {
        "Enter" => KeyCode::Enter,
        "Esc" => KeyCode::Esc,
        "Tab" => KeyCode::Tab,
        "BackTab" => KeyCode::BackTab,
        "Backspace" => KeyCode::Backspace,
        "Up" => KeyCode::Up,
        "Down" => KeyCode::Down,
        "Left" => KeyCode::Left,
        "Right" => KeyCode::Right,
        "End" => KeyCode::End,
        "Home" => KeyCode::Home,
        "PageDown" => KeyCode::PageDown,
        "PageUp" => KeyCode::PageUp,
        other => panic!("no key is called {other}"),
    }
}

#[test]
fn the_list_of_weights() {
    let mut app = app();
    check("weights", &app, 80, 24);
    check("weights_wide", &app, 180, 45);
    check("weights_narrow", &app, 40, 10);
    check("too_small", &app, 30, 8);
    // By condition number, the smallest first.
    while !text(&drawn(&app, 80, 24)).contains("by condition number") {
        press(&mut app, "s");
    }
    press(&mut app, "r<Down>");
    check("weights_sorted", &app, 80, 24);
}

#[test]
fn filters_are_live_and_esc_clears_them() {
    let mut app = app();
    press(&mut app, "/C_FC f32");
    check("weights_filtered", &app, 80, 12);
    press(&mut app, "<Enter>w");
    let shown = text(&drawn(&app, 80, 12));
    assert!(shown.contains("Weights 1/12") && shown.contains("with findings"), "{shown}");
    press(&mut app, "<Esc>");
    assert!(text(&drawn(&app, 80, 12)).contains("[Weights 12]"));
    press(&mut app, "/nothing has this");
    let shown = text(&drawn(&app, 80, 12));
    assert!(shown.contains("Weights 0/12") && shown.contains("no weight passes"), "{shown}");
    // Keys that mean something elsewhere are text here, and an empty text is left by deleting on.
    press(&mut app, "<Esc>/q<Backspace><Backspace>");
    assert_eq!(app.end(), None);
    press(&mut app, "www");
    assert!(text(&drawn(&app, 80, 12)).contains("Weights 1/12"));
}

#[test]
fn a_comparison_names_both() {
    let mut report = sample::report();
    report.kind = weightscope::ReportKind::Compare;
    report.sources.push(report.sources[0].clone());
    report.sources[1].path = "tuned/".to_owned();
    report.models.push(report.models[0].clone());
    for weight in &mut report.weights {
        weight.other = Some(format!("other.{}", weight.name));
    }
    let mut app = App::new(report, sample::DESCRIPTORS.to_vec(), true);
    let shown = text(&drawn(&app, 180, 45));
    assert!(shown.contains(" → tuned/"), "{shown}");
    press(&mut app, "<Enter>");
    let shown = text(&drawn(&app, 180, 45));
    assert!(shown.contains("against    other."), "{shown}");
    // The other screens draw as well.
    press(&mut app, "<Esc><Tab><Tab><Tab>");
}

#[test]
fn the_list_of_findings() {
    let mut app = app();
    press(&mut app, "<Tab>");
    check("findings", &app, 80, 24);
    press(&mut app, "<End>");
    check("findings_wide", &app, 160, 30);
    // A finding on the model leads nowhere, one on a weight to it.
    press(&mut app, "<Enter>");
    assert!(text(&drawn(&app, 80, 24)).contains("[Findings 3]"));
    press(&mut app, "<Up><Enter>");
    check("finding_of_a_weight", &app, 80, 24);
}

#[test]
fn facts_are_listed_on_request() {
    let mut report = sample::report();
    let fact = report.findings.first().unwrap().clone();
    report.facts.push(weightscope::Finding { code: "sample.fact".into(), ..fact });
    let mut app = App::new(report, sample::DESCRIPTORS.to_vec(), true);
    press(&mut app, "<Tab>");
    let shows = |app: &App| {
        let screen = text(&drawn(app, 120, 24));
        (screen.contains("sample.fact"), screen.contains("[Findings 4]"), screen.contains("✗ 1"))
    };
    assert_eq!(shows(&app), (false, false, true));
    press(&mut app, "a");
    assert_eq!(shows(&app), (true, true, true));
    press(&mut app, "a");
    assert_eq!(shows(&app), (false, false, true));
}

#[test]
fn one_weight() {
    let mut app = app();
    press(&mut app, "<Down><Down><Enter>");
    check("detail", &app, 80, 24);
    // The first metric of the spectrum, then its figure as large as the screen.
    while !text(&drawn(&app, 80, 24)).contains("› spectral") {
        press(&mut app, "j");
    }
    press(&mut app, "jj");
    check("detail_metric", &app, 80, 24);
    check("detail_metric_wide", &app, 200, 50);
    press(&mut app, "z");
    check("spectrum", &app, 80, 24);
    press(&mut app, "f");
    check("depth", &app, 80, 24);
    press(&mut app, "fq");
    check("histogram", &app, 80, 24);
    // The next weight, at the same line.
    press(&mut app, "n");
    assert!(text(&drawn(&app, 80, 24)).contains("› "));
    press(&mut app, "q");
    assert!(text(&drawn(&app, 80, 24)).contains("[Weights 12]"));
    assert_eq!(app.end(), None);
}

#[test]
fn the_model_and_the_help() {
    let mut app = app();
    press(&mut app, "3");
    check("model", &app, 80, 24);
    press(&mut app, "<Right>");
    check("model_wide", &app, 140, 30);
    press(&mut app, "?");
    check("help", &app, 80, 26);
    press(&mut app, "q");
    assert_eq!(app.end(), None, "the key only closed the help");
}

#[test]
fn ways_out() {
    let mut quit = app();
    press(&mut quit, "<Enter>q<Tab>q");
    assert_eq!(quit.end(), Some(End::Quit));
    for keys in ["", "<Enter>", "/x", "?"] {
        let mut app = app();
        press(&mut app, keys);
        app.on_key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert_eq!(app.end(), Some(End::Interrupted), "after {keys:?}");
    }
}

/// Everything that can be pressed.
const KEYS: &[KeyCode] = &[
    KeyCode::Up,
    KeyCode::Down,
    KeyCode::Left,
    KeyCode::Right,
    KeyCode::PageUp,
    KeyCode::PageDown,
    KeyCode::Home,
    KeyCode::End,
    KeyCode::Enter,
    KeyCode::Esc,
    KeyCode::Tab,
    KeyCode::BackTab,
    KeyCode::Backspace,
    KeyCode::F(1),
    KeyCode::Char('/'),
    KeyCode::Char('s'),
    KeyCode::Char('S'),
    KeyCode::Char('w'),
    KeyCode::Char('f'),
    KeyCode::Char('F'),
    KeyCode::Char('z'),
    KeyCode::Char('n'),
    KeyCode::Char('p'),
    KeyCode::Char('1'),
    KeyCode::Char('3'),
    KeyCode::Char('?'),
    KeyCode::Char('j'),
    KeyCode::Char('['),
    KeyCode::Char(']'),
    KeyCode::Char('权'),
    KeyCode::Char('.'),
];

#[test]
fn no_sequence_of_keys_and_no_size_breaks_it() {
    let (mut state, mut app) = (7u64, app());
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % below
    };
    for step in 0..3000 {
        app.on_key(KeyEvent::from(KEYS[next(KEYS.len())]));
        let size = (1 + next(220) as u16, 1 + next(60) as u16);
        let buffer = drawn(&app, size.0, size.1);
        for cell in &buffer.content {
            assert!(!cell.symbol().chars().any(escape::is_hidden), "{step}: {:?}", cell.symbol());
        }
        if app.end().is_some() {
            app = self::app();
        }
    }
    // An empty report is one too.
    let mut empty = App::new(sample::empty(), Vec::new(), false);
    for key in KEYS.iter().chain(KEYS) {
        empty.on_key(KeyEvent::from(*key));
        drawn(&empty, 80, 24);
        drawn(&empty, 200, 50);
    }
}

#[test]
fn without_colour_nothing_is_coloured_and_the_cursor_is_seen() {
    let mut app = App::new(sample::report(), sample::DESCRIPTORS.to_vec(), false);
    for keys in ["", "<Tab>", "<Enter>", "<Esc>3", "f", "1<Down><Down><Enter>", "z", "f", "f"] {
        press(&mut app, keys);
        let buffer = drawn(&app, 160, 45);
        for cell in &buffer.content {
            assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset), "{keys}");
        }
    }
    let buffer = drawn(&App::new(sample::report(), Vec::new(), false), 80, 24);
    let reversed = buffer.content.iter().filter(|c| c.modifier.contains(Modifier::REVERSED));
    assert_eq!(reversed.count(), 78, "one row within the frame");
}

#[test]
fn five_thousand_weights_are_fluid() {
    let begin = Instant::now();
    let mut app = App::new(sample::large(5000), sample::DESCRIPTORS.to_vec(), true);
    let opened = begin.elapsed();
    let begin = Instant::now();
    let mut count = 0;
    for key in
        ["<Down>", "<PageDown>", "s", "S", "<End>", "/", "m", "l", "p", "<Esc>", "w", "<Esc>"]
    {
        for _ in 0..5 {
            press(&mut app, key);
            drawn(&app, 200, 50);
            count += 1;
        }
        app.on_key(KeyEvent::from(KeyCode::Esc));
    }
    let each = begin.elapsed() / count;
    // Far below what is felt as a delay, also in an unoptimised program on a busy machine.
    assert!(opened < Duration::from_secs(5), "opened in {opened:?}");
    assert!(each < Duration::from_millis(60), "{each:?} a key");
}
