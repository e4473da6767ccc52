//! What people see, held against files in `tests/golden`. `UPDATE_GOLDEN=1 cargo test` renews them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod samples;

use std::path::Path;

use samples::DESCRIPTORS;
use weightscope_core::*;
use weightscope_report::{
    Format, Info, RenderOptions, Topic, render, render_analyzers, render_explain, render_info,
    schema,
};

/// Holds `text` against the file `name`, or writes the file on request.
fn check(name: &str, text: &str) {
    check_at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name), text);
}

fn check_at(path: &Path, text: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, text).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        expected == text,
        "{} is not current (UPDATE_GOLDEN=1 renews it)\n--- expected\n{expected}\n--- got\n{text}",
        path.display()
    );
}

fn options(width: usize) -> RenderOptions<'static> {
    RenderOptions {
        width,
        top: 5,
        tables: true,
        descriptors: &DESCRIPTORS,
        ..RenderOptions::default()
    }
}

fn ending(format: Format) -> &'static str {
    if format == Format::Markdown { "md" } else { format.name() }
}

fn check_tables(name: &str, report: &Report) {
    for width in [80, 200] {
        let text = render(report, Format::Table, &options(width)).unwrap();
        check(&format!("{name}.{width}.txt"), &text);
    }
}

#[test]
fn tables() {
    check_tables("healthy", &samples::healthy());
    check_tables("troubled", &samples::troubled());
    check_tables("hostile", &samples::hostile());
    check_tables("empty", &samples::empty());
    check_tables("rejected", &samples::rejected());
    check_tables("interrupted", &samples::interrupted());
    check_tables("comparison", &samples::comparison());
    check_tables("quantized", &samples::quantized());
    check_tables("packed", &samples::packed());
}

/// What fits a screen: shortened where it would not, whole on request.
#[test]
fn screens() {
    for (name, report) in [
        ("healthy", samples::healthy()),
        ("troubled", samples::troubled()),
        ("caused", samples::caused()),
        ("comparison", samples::comparison()),
    ] {
        for width in [80, 120] {
            let options = RenderOptions {
                width,
                lines: Some(40),
                descriptors: &DESCRIPTORS,
                ..RenderOptions::default()
            };
            let screen = render(&report, Format::Table, &options).unwrap();
            // Where everything is wrong at once, what could not be read is not left out.
            let most = if name == "troubled" { 44 } else { 40 };
            assert!(screen.lines().count() <= most, "{screen}");
            assert!(screen.lines().all(|line| line.chars().count() <= width), "{screen}");
            check(&format!("{name}.screen.{width}.txt"), &screen);
            let all = RenderOptions { all: true, ..options };
            check(
                &format!("{name}.all.{width}.txt"),
                &render(&report, Format::Table, &all).unwrap(),
            );
        }
    }
    let all = RenderOptions { all: true, ..options(80) };
    let mut many = samples::healthy();
    many.conclusions = vec![many.conclusions[0].clone(); 30];
    let told =
        |options| render(&many, Format::Table, options).unwrap().matches("grows with").count();
    assert_eq!((told(&options(80)), told(&all)), (5, 30));
    check("caused.md", &render(&samples::caused(), Format::Markdown, &all).unwrap());
}

#[test]
fn table_in_colour() {
    let options = RenderOptions { color: true, ..options(100) };
    check("troubled.colour.txt", &render(&samples::troubled(), Format::Table, &options).unwrap());
}

#[test]
fn markdown() {
    for (name, report) in [
        ("healthy", samples::healthy()),
        ("troubled", samples::troubled()),
        ("hostile", samples::hostile()),
        ("rejected", samples::rejected()),
        ("quantized", samples::quantized()),
        ("packed", samples::packed()),
    ] {
        check(&format!("{name}.md"), &render(&report, Format::Markdown, &options(80)).unwrap());
    }
}

#[test]
fn csv() {
    check("troubled.csv", &render(&samples::troubled(), Format::Csv, &options(80)).unwrap());
    check("quantized.csv", &render(&samples::quantized(), Format::Csv, &options(80)).unwrap());
    check("packed.csv", &render(&samples::packed(), Format::Csv, &options(80)).unwrap());
    check("comparison.csv", &render(&samples::comparison(), Format::Csv, &options(80)).unwrap());
    check("hostile.csv", &render(&samples::hostile(), Format::Csv, &options(80)).unwrap());
}

#[test]
fn json() {
    check(
        "interrupted.json",
        &render(&samples::interrupted(), Format::Json, &options(80)).unwrap(),
    );
    check("hostile.json", &render(&samples::hostile(), Format::Json, &options(80)).unwrap());
}

#[test]
fn info() {
    let (graph, source) = (samples::graph(), samples::gpt2_source());
    let errors = samples::troubled().errors;
    let entries = samples::entries(&graph);
    let entries = entries.as_slice();
    let info = Info { graph: &graph, entries, source: &source, errors: &[], parts: false };
    for width in [80, 200] {
        let text = render_info(&info, Format::Table, &options(width)).unwrap();
        check(&format!("info.{width}.txt"), &text);
    }
    for format in [Format::Json, Format::Markdown, Format::Csv] {
        let text = render_info(&info, format, &options(80)).unwrap();
        check(&format!("info.{}", ending(format)), &text);
    }
    let mut graph = graph.clone();
    graph.summary.missing = (0..7).map(|i| format!("transformer.h.{i}.ln_2.bias")).collect();
    graph.summary.misshapen.push(ShapeMismatch {
        name: "transformer.wpe.weight".to_owned(),
        shape: vec![1024, 768],
        expected: vec![2048, 768],
    });
    let broken = Info { graph: &graph, errors: &errors, ..info };
    check("info-broken.80.txt", &render_info(&broken, Format::Table, &options(80)).unwrap());
    check("info-broken.md", &render_info(&broken, Format::Markdown, &options(80)).unwrap());
}

#[test]
fn info_of_a_quantised_model() {
    let (mut graph, source) = (samples::graph(), samples::gpt2_source());
    let entries = samples::packed_entries(&graph);
    graph.summary.stored_as = samples::stored_as(&entries);
    let info = Info { graph: &graph, entries: &entries, source: &source, errors: &[], parts: true };
    check("info-packed.80.txt", &render_info(&info, Format::Table, &options(80)).unwrap());
    for format in [Format::Json, Format::Markdown, Format::Csv] {
        let text = render_info(&info, format, &options(80)).unwrap();
        check(&format!("info-packed.{}", ending(format)), &text);
    }
}

/// Nothing is said of a whole of which a part was not looked at.
#[test]
fn what_was_not_measured_is_said_first() {
    let report = samples::packed();
    let line = "6 % of the parameters were not measured (4 tensors): codes of exl2 are not decoded";
    let first = "no findings in the 94 % of the parameters that were measured";
    let table = render(&report, Format::Table, &options(120)).unwrap();
    let markdown = render(&report, Format::Markdown, &options(120)).unwrap();
    let html = render(&report, Format::Html, &options(120)).unwrap();
    let body = html.split_once("<main").expect("it has a body").1;
    for text in [&table, &markdown, body] {
        let at = |words: &str| text.find(words).unwrap_or_else(|| panic!("{words} in {text}"));
        assert!(at(line) < text.to_lowercase().find(first).expect("it says of what"));
        assert!(!text.contains("weights are finite") || text.contains("not looked into"));
    }
    assert!(table.contains("all 144 measured weights are finite; 4 were not looked into"));
    let mut many = report;
    let one = many.totals.not_measured[0].clone();
    many.totals
        .not_measured
        .extend((0..4).map(|i| NotMeasured { why: format!("{i}"), ..one.clone() }));
    let table = render(&many, Format::Table, &options(120)).unwrap();
    assert!(table.contains("and 2 more kinds"), "{table}");
}

#[test]
fn explanations() {
    let mut text = String::new();
    for name in
        ["sparsity.dead-units", "excess_kurtosis", "sparsity.dead_norm", "sparsity", "distribution"]
    {
        for topic in Topic::find(name, &DESCRIPTORS).unwrap() {
            text += &render_explain(&topic, &options(80));
            text += "----\n";
        }
    }
    check("explain.txt", &text);
    check("analyzers.txt", &render_analyzers(&DESCRIPTORS, &options(80)));
}

#[test]
fn topics_that_do_not_exist_come_with_a_hint() {
    let message = |name| Topic::find(name, &DESCRIPTORS).unwrap_err().to_string();
    assert_eq!(
        message("sparsity.dead-unit"),
        "nothing is called \"sparsity.dead-unit\", did you mean \"sparsity.dead-units\"?"
    );
    assert_eq!(
        message("kurtosis\u{1b}"),
        "nothing is called \"kurtosis\\u{1b}\"; ws-cli analyzers lists everything there is"
    );
    assert_eq!(message("hoyr"), "nothing is called \"hoyr\", did you mean \"sparsity.hoyer\"?");
}

#[test]
fn committed_schema_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/report.schema.json");
    check_at(&path, &schema());
}
