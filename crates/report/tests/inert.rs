//! Whatever the names, reports are harmless: no control character, no line longer than the terminal, no
//! markup, no formula, strict JSON.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod samples;

use proptest::prelude::*;
use samples::{DESCRIPTORS, HOSTILE};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};
use weightscope_core::Report;
use weightscope_report::{Format, RenderOptions, escape, read_report, render};

/// Names made of what breaks terminals, tables and markup, and of anything else.
fn name() -> impl Strategy<Value = String> {
    let fragment = prop_oneof![
        proptest::sample::select(HOSTILE.to_vec()).prop_map(str::to_owned),
        proptest::sample::select(vec![
            "\u{1b}",
            "\u{9b}",
            "\n",
            "\t",
            "\u{200d}",
            "|",
            "`",
            "\\",
            "<",
            " ",
            "  ",
            "e\u{301}",
            "👩",
            "权",
            "transformer.h.0.attn.c_attn.weight",
            "-",
            "=",
            "1.",
            "",
            "\"",
            "\u{feff}",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
        "[a-z.]{1,300}",
    ];
    proptest::collection::vec(fragment, 0..6).prop_map(|parts| parts.concat())
}

fn options(width: usize, top: usize, color: bool) -> RenderOptions<'static> {
    RenderOptions {
        width,
        color,
        top,
        lines: None,
        all: true,
        tables: true,
        descriptors: &DESCRIPTORS,
    }
}

fn assert_inert(text: &str) {
    for line in text.lines() {
        if let Some(c) = line.chars().find(|c| escape::is_hidden(*c)) {
            panic!("{c:?} in {line:?}");
        }
    }
}

fn assert_fits(text: &str, width: usize) {
    for line in text.lines() {
        let columns: usize = line.chars().map(|c| c.width().unwrap_or(0)).sum();
        assert!(columns <= width && line.width() <= width, "{columns} > {width} columns: {line:?}");
        assert_eq!(line, line.trim_end(), "no trailing spaces");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn tables_fit_and_hold_no_control_character(
        names in proptest::collection::vec(name(), 1..4),
        width in 60usize..220,
        top in 0usize..4,
    ) {
        let report = samples::named(&names);
        let text = render(&report, Format::Table, &options(width, top, false)).unwrap();
        assert_inert(&text);
        assert_fits(&text, width);
        prop_assert!(text.starts_with("PARTIAL"));
        // In colour there are our own sequences and nothing else.
        let coloured = render(&report, Format::Table, &options(width, top, true)).unwrap();
        let mut rest = coloured;
        for codes in ["0", "1", "2", "1;31", "33", "36", "32"] {
            rest = rest.replace(&format!("\u{1b}[{codes}m"), "");
        }
        prop_assert_eq!(rest, text);
    }

    #[test]
    fn markdown_and_csv_hold_no_control_character(names in proptest::collection::vec(name(), 1..4)) {
        let report = samples::named(&names);
        let markdown = render(&report, Format::Markdown, &options(80, 3, false)).unwrap();
        assert_inert(&markdown);
        prop_assert!(markdown.starts_with("**PARTIAL"));
        let csv = render(&report, Format::Csv, &options(80, 3, false)).unwrap();
        assert_inert(&csv);
        let mut rows = csv::Reader::from_reader(csv.as_bytes());
        let mut count = 0;
        for row in rows.records() {
            let row = row.unwrap();
            let name = row.get(0).unwrap();
            prop_assert!(!name.starts_with(['=', '+', '-', '@']), "{}", name);
            count += 1;
        }
        prop_assert_eq!(count, report.weights.len());
    }

    #[test]
    fn json_reads_back_the_same(names in proptest::collection::vec(name(), 1..4)) {
        let report = samples::named(&names);
        let json = render(&report, Format::Json, &options(80, 3, false)).unwrap();
        assert_inert(&json);
        prop_assert_eq!(read_report(&json).unwrap(), report);
    }

    #[test]
    fn terminal_text_is_inert_and_stable(text in name()) {
        let shown = escape::terminal(&text);
        assert_inert(&shown);
        prop_assert!(shown.chars().count() <= escape::NAME_LIMIT);
        prop_assert_eq!(&escape::terminal(&shown), &shown);
    }

    #[test]
    fn metrics_read_back_bit_for_bit(values in proptest::collection::vec(any::<f64>(), 1..20)) {
        let mut report = samples::healthy();
        let finite: Vec<f64> = values.into_iter().filter(|x| x.is_finite()).collect();
        samples::set(
            &mut report,
            "transformer.wte.weight",
            "distribution",
            "series",
            finite.iter().copied().collect::<weightscope_core::Value>(),
        );
        let json = render(&report, Format::Json, &options(80, 3, false)).unwrap();
        prop_assert_eq!(read_report(&json).unwrap(), report);
    }
}

fn every_report() -> [Report; 7] {
    [
        samples::healthy(),
        samples::troubled(),
        samples::hostile(),
        samples::empty(),
        samples::rejected(),
        samples::interrupted(),
        samples::comparison(),
    ]
}

#[test]
fn every_report_fits_any_terminal() {
    for report in every_report() {
        for width in (60..200).step_by(7) {
            let text = render(&report, Format::Table, &options(width, 5, false)).unwrap();
            assert_inert(&text);
            assert_fits(&text, width);
            assert!(text.ends_with('\n') && !text.contains("\n\n\n"), "{text}");
        }
    }
}

#[test]
fn the_same_report_gives_the_same_bytes() {
    for report in every_report() {
        for format in Format::ALL {
            let text = || render(&report, format, &options(80, 5, true)).unwrap();
            assert_eq!(text(), text());
        }
    }
}
