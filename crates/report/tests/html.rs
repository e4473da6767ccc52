//! The HTML report: what it says without scripts, what it never does, and how large it grows.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod samples;

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;
use samples::{DESCRIPTORS, HOSTILE};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};
use weightscope_core::*;
use weightscope_report::{Format, RenderOptions, escape, render, render_figure_page};

const OPTIONS: RenderOptions<'static> = RenderOptions {
    width: 80,
    color: false,
    top: 5,
    lines: None,
    all: false,
    tables: false,
    descriptors: &DESCRIPTORS,
};

fn page(report: &Report) -> String {
    render(report, Format::Html, &OPTIONS).unwrap()
}

/// Contents of the blocks `<name ...>...</name>` whose attributes are `attributes`.
fn blocks<'a>(page: &'a str, name: &str, attributes: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}{attributes}>"), format!("</{name}>"));
    page.split(open.as_str())
        .skip(1)
        .map(|rest| rest.split(close.as_str()).next().unwrap())
        .collect()
}

/// The page without scripts, style and data: what can be read without running anything.
fn still(page: &str) -> String {
    let mut text = page.to_owned();
    for (name, attributes) in [("script", ""), ("script", DATA), ("style", "")] {
        for block in blocks(page, name, attributes) {
            text = text.replace(block, "");
        }
    }
    text
}

const DATA: &str = " type=\"application/json\" id=\"data\"";

fn data(page: &str) -> Json {
    let found = blocks(page, "script", DATA);
    assert_eq!(found.len(), 1);
    serde_json::from_str(found.first().unwrap()).unwrap()
}

fn every_report() -> [Report; 8] {
    [
        samples::healthy(),
        samples::troubled(),
        samples::hostile(),
        samples::empty(),
        samples::rejected(),
        samples::interrupted(),
        samples::comparison(),
        samples::quantized(),
    ]
}

/// Every kind of figure, with these words in it.
fn figures(word: &str) -> Vec<Figure> {
    let name = || word.to_owned();
    let series = |n: usize| Series {
        name: name(),
        x: (1..=n).map(|i| i as f64).collect(),
        y: (1..=n).map(|i| Some(1.0 / i as f64)).collect(),
    };
    let map = |cells| HeatMap {
        size: [2, 2],
        rows: Ticks::Names { names: vec![name(), name()] },
        columns: Ticks::Lines { first: 0, step: 3 },
        pooling: Cow::Borrowed("mean"),
        cells,
    };
    let kinds = [
        FigureData::Line { series: vec![series(4096)] },
        FigureData::Scatter { series: vec![series(5000)] },
        FigureData::Histogram {
            low: 0.0,
            width: 0.1,
            counts: vec![1, 2],
            below: 0,
            above: 0,
            normal: Some([0.1, 0.1]),
            statistics: vec![(Cow::Owned(name()), 1.0 / 3.0)],
        },
        FigureData::Heatmap(map(Cells::values([0.0, 1.0, f64::NAN, -1.0 / 3.0]))),
        FigureData::Heatmap(map(Cells::levels(&[0.0, 1.0, 2.0, 3.0], [0.0, 2.0]))),
        FigureData::Bar { labels: vec![name()], values: vec![1.0] },
        FigureData::Box {
            boxes: vec![BoxStatistics { name: name(), five: [0.0, 1.0, 2.0, 3.0, 4.0] }],
        },
        FigureData::Violin { series: vec![series(8)] },
        FigureData::Dendrogram { labels: vec![name(), name()], merges: vec![[0.0, 1.0, 0.5, 2.0]] },
    ];
    let figures = kinds.into_iter().enumerate().map(|(i, data)| Figure {
        id: Cow::Owned(format!("plugin.{i}")),
        weight: None,
        analyzer: Cow::Borrowed("plugin"),
        title: name(),
        axes: Axes { x: Cow::Owned(name()), y: Cow::Owned(name()), log_x: true, log_y: false },
        data,
    });
    figures.collect()
}

#[test]
fn findings_and_weights_are_there_without_scripts() {
    let report = samples::troubled();
    let text = still(&page(&report));
    for finding in &report.findings {
        assert!(text.contains(finding.code.as_ref()), "{}", finding.code);
        let message = finding.message.replace('/', "&#x2f;");
        assert!(text.contains(&message), "{message}");
        assert!(text.contains(&finding.advice), "{}", finding.advice);
    }
    for (index, weight) in report.weights.iter().enumerate() {
        let row = format!(
            "<tr id=\"/weight/{index}\"><th scope=\"row\" class=\"name\">{}</th>",
            weight.name
        );
        assert!(text.contains(&row), "{row}");
    }
    for words in
        ["PARTIAL", "2 critical findings", "124.4 M", "needs 9,437,184 bytes", "tied on purpose"]
    {
        assert!(text.contains(words), "{words}");
    }
}

#[test]
fn the_policy_allows_our_blocks_and_nothing_else() {
    for page in [page(&samples::troubled()), render_figure_page(&figures("x"), "x").unwrap()] {
        let policy =
            page.split("http-equiv=\"Content-Security-Policy\" content=\"").nth(1).unwrap();
        let policy =
            policy.split('"').next().unwrap().replace("&#x27;", "'").replace("&#x2f;", "/");
        let hash = |block: &&str| {
            format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(block.as_bytes())))
        };
        let scripts: Vec<String> = blocks(&page, "script", "").iter().map(hash).collect();
        let styles: Vec<String> = blocks(&page, "style", "").iter().map(hash).collect();
        assert_eq!((scripts.len(), styles.len()), (2, 1));
        let wanted = format!(
            "default-src 'none'; script-src {}; style-src {}; img-src data: blob:; base-uri 'none'; form-action 'none'",
            scripts.join(" "),
            styles.join(" ")
        );
        assert_eq!(policy, wanted);
        // The policy stands before everything it is about, and nothing within a block ends it early.
        assert!(page.find("Content-Security-Policy") < page.find("<style"));
        assert_eq!(page.matches("</script").count(), 3);
        assert_eq!(page.matches("</style").count(), 1);
        let text = still(&page);
        for attribute in [" style=", " onclick=", " onerror=", " onload=", " src="] {
            assert!(!text.contains(attribute), "{attribute}");
        }
        assert!(!page.contains('\r'), "browsers would hash another text");
    }
}

#[test]
fn names_are_shown_and_never_obeyed() {
    let attacks = [
        "<img src=x onerror=alert(1)>",
        "</script><script>alert(1)</script>",
        "'\"><b>{{ 7 * 7 }}",
    ];
    let names: Vec<String> =
        HOSTILE.iter().chain(&attacks).map(|name| (*name).to_owned()).collect();
    let mut report = samples::named(&names);
    for name in &names {
        report.figures.extend(figures(name));
    }
    let page = page(&report);
    let text = still(&page);
    for tag in ["<img", "<script>alert", "<b>{{", "</script><script>alert"] {
        assert!(!text.contains(tag), "{tag}");
        assert!(!blocks(&page, "script", DATA).concat().contains(tag), "{tag}");
    }
    assert!(!text.contains("49"), "a name is no template");
    assert_eq!(page.matches("<script").count(), 3);
    let shown = data(&page);
    for (index, name) in names.iter().enumerate() {
        assert_eq!(shown["weights"]["name"][2 * index], *escape::terminal(name));
    }
}

#[test]
fn data_reads_back() {
    let mut report = samples::troubled();
    report.figures.extend(figures("sample"));
    let shown = data(&page(&report));
    let weights = shown["weights"]["name"].as_array().unwrap();
    assert_eq!(weights.len(), report.weights.len());
    assert_eq!(shown["findings"].as_array().unwrap().len(), report.findings.len());
    for column in shown["metrics"].as_array().unwrap() {
        let (analyzer, key) = (column["a"].as_str().unwrap(), column["m"].as_str().unwrap());
        for (index, weight) in report.weights.iter().enumerate() {
            let value = if let Some(values) = column["v"].as_array() {
                &values[index]
            } else {
                let lacks = column["all"][1].as_array().unwrap().contains(&index.into());
                if lacks { &Json::Null } else { &column["all"][0] }
            };
            match weight.number(analyzer, key) {
                Some(x) => {
                    let shown = value.as_f64().unwrap();
                    assert!(
                        (shown - x).abs() <= 5e-6 * x.abs(),
                        "{analyzer}.{key}: {shown} for {x}"
                    );
                }
                None => assert!(!value.is_number(), "{analyzer}.{key} of {}", weight.name),
            }
        }
    }
}

#[test]
fn schemes_are_a_table_and_compact_data() {
    let report = samples::quantized();
    let page = page(&report);
    let text = still(&page);
    assert!(text.contains("<h3>SQNR by scheme</h3>"), "{text}");
    assert!(text.contains("bf16 loses nothing"), "{text}");
    for words in ["attention qkv", "int4_g128", "overflow", "href=\"#/weight/"] {
        assert!(text.contains(words), "{words}");
    }
    let shown = data(&page);
    let metrics = shown["metrics"].as_array().unwrap();
    let column = metrics.iter().find(|c| c["m"] == "schemes").unwrap();
    let place = report.weights.iter().position(|w| w.matrix.is_some()).unwrap();
    let keys = ["scheme", "bits_per_weight", "sqnr_db", "mse", "max_abs_error", "cosine"];
    assert_eq!(column["k"].as_array().unwrap()[..6], keys);
    let rows = column["v"][place].as_array().unwrap();
    let names: Vec<&Json> =
        rows.iter().map(|row| &column["t"][0][row[0].as_u64().unwrap() as usize]).collect();
    assert_eq!(names.len(), 8);
    assert_eq!((names[0], names[5]), (&"int8_tensor".into(), &"bf16".into()));
    let exact = rows[5].as_array().unwrap();
    assert_eq!(column["t"][7][exact[7].as_u64().unwrap() as usize], "lossless");
    assert!(exact[2].is_null() && rows[0].as_array().unwrap().len() == 7);
    let listed = shown["columns"].as_array().unwrap();
    let int8 = listed.iter().find(|c| c["scheme"] == "int8_channel").unwrap();
    assert_eq!((&int8["show"], &int8["m"]), (&"dB".into(), &"schemes".into()));
}

#[test]
fn figures_are_thinned_and_rounded() {
    let mut report = samples::healthy();
    report.figures = figures("sample");
    let shown = data(&page(&report));
    let figure = |i: usize| &shown["figures"][i];
    let line = &figure(0)["data"]["series"][0];
    let x = line["x"].as_array().unwrap();
    assert!(x.len() <= 256 && x.len() > 128, "{}", x.len());
    assert_eq!((&x[0], x.last().unwrap()), (&1.into(), &4096.into()));
    assert_eq!(figure(0)["points"], 4096);
    assert!(figure(1)["data"]["series"][0]["x"].as_array().unwrap().len() <= 1024);
    assert_eq!(figure(2)["data"]["statistics"][0][1], 0.333_333);
    assert_eq!(figure(3)["data"]["cells"]["values"], serde_json::json!([0, 1, null, -0.333_333]));
    assert_eq!(figure(4)["data"]["cells"]["levels"], "AH/+/g==");
}

/// Weights of a mixture of experts, with the metrics of the samples.
fn mixture() -> Report {
    let mut report = samples::healthy();
    report.weights.clear();
    for block in 0..50 {
        for expert in 0..33 {
            for part in ["w1", "w2", "w3"] {
                let name =
                    format!("model.layers.{block}.block_sparse_moe.experts.{expert}.{part}.weight");
                let mut weight = samples::weight(&name, Role::MlpUp, Some(block), &[4096, 14336]);
                weight.expert = Some(expert);
                report.figures.extend(
                    figures("sample")
                        .into_iter()
                        .map(|f| Figure { weight: Some(name.clone()), ..f }),
                );
                report.weights.push(weight);
            }
        }
    }
    report
}

#[test]
fn size_has_a_budget() {
    let report = mixture();
    let page = page(&report);
    assert!(page.len() < 12_000_000, "{} weights take {} bytes", report.weights.len(), page.len());
    let shown = data(&page);
    let drawn = shown["figures"].as_array().unwrap().iter().filter(|f| !f["w"].is_null());
    let drawn: std::collections::BTreeSet<u64> = drawn.map(|f| f["w"].as_u64().unwrap()).collect();
    assert!(!drawn.is_empty() && drawn.len() <= PORTRAITS, "{} weights are drawn", drawn.len());
}

#[test]
fn pages_are_the_same_every_time() {
    for report in every_report() {
        assert_eq!(page(&report), page(&report));
    }
    assert_eq!(
        render_figure_page(&figures("x"), "y").unwrap(),
        render_figure_page(&figures("x"), "y").unwrap()
    );
}

#[test]
fn every_report_has_a_page() {
    for report in every_report() {
        let text = still(&page(&report));
        for (open, close) in [
            ("<section", "</section>"),
            ("<table", "</table>"),
            ("<ul", "</ul>"),
            ("<details", "</details>"),
            ("<li", "</li>"),
            ("<article", "</article>"),
            ("<dl", "</dl>"),
        ] {
            let (opened, closed) = (
                text.matches(&format!("{open} ")).count()
                    + text.matches(&format!("{open}>")).count(),
                text.matches(close).count(),
            );
            assert_eq!(opened, closed, "{open}");
        }
        assert!(text.starts_with("<!DOCTYPE html>\n<html lang=\"en\">"));
        assert!(!text.contains("{{") && !text.contains("{%"), "a template shows");
    }
}

#[test]
fn a_page_of_figures_names_them() {
    let mut drawn = figures("</script>");
    if let Some(first) = drawn.first_mut() {
        first.weight = Some("<b>h.0</b>".to_owned());
    }
    let page = render_figure_page(&drawn, "<b>title</b>").unwrap();
    let text = still(&page);
    assert!(
        text.contains("<h1>&lt;b&gt;title&lt;&#x2f;b&gt;</h1>") && !text.contains("<b>"),
        "{text}"
    );
    let shown = data(&page);
    assert_eq!(shown["figures"].as_array().unwrap().len(), drawn.len());
    assert_eq!(shown["figures"][0]["of"], "<b>h.0</b>");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn no_name_changes_the_page(names in proptest::collection::vec("(<|>|\"|'|&|/|script|img|!--|[\u{0}-\u{ff}]|\u{202e}|\u{2028}|[a-z]){1,12}", 1..4)) {
        let page = page(&samples::named(&names));
        prop_assert_eq!(page.matches("<script").count(), 3);
        prop_assert_eq!(page.matches("<!--").count(), 0);
        let text = still(&page);
        if let Some(c) = text.chars().find(|c| *c != '\n' && escape::is_hidden(*c)) {
            panic!("{c:?} is on the page");
        }
        let shown = data(&page);
        for (index, name) in names.iter().enumerate() {
            prop_assert_eq!(&shown["weights"]["name"][2 * index], &*escape::terminal(name));
        }
    }
}

#[test]
fn consequences_are_folded_under_their_cause() {
    let page = still(&page(&samples::caused()));
    let findings = page.split_once("<section id=\"findings\">").unwrap().1;
    let (findings, facts) = findings.split_once("<section id=\"facts\">").unwrap();
    assert!(findings.contains("explains 2 other findings"), "{findings}");
    let folded = findings.split_once("<details class=\"folded follows\">").unwrap().1;
    let folded = folded.split_once("</article>").unwrap().0;
    assert!(folded.contains("rank 8 of 128") && folded.contains("7 dead columns"), "{folded}");
    assert!(facts.contains("5 facts") && facts.contains("alpha 1.5 over 60 eigenvalues"));
    assert!(!facts.split_once("</section>").unwrap().0.contains("rank 8 of 128"));
}

#[test]
fn a_comparison_opens_with_its_conclusion_and_the_map_of_movement() {
    let mut report = samples::comparison();
    report.conclusions.push(Conclusion {
        nothing: false,
        code: "compare.fine-tuned".into(),
        analyzer: "compare".into(),
        scope: String::new(),
        message: "fine-tuned: 148 of 148 weights changed; most in mlp_down".to_owned(),
        evidence: Vec::new(),
    });
    let page = still(&page(&report));
    let overview = page.split_once("<section id=\"overview\"").unwrap().1;
    let (overview, rest) = overview.split_once("</section>").unwrap();
    assert!(overview.contains("Fine-tuned: 148 of 148 weights changed</p>"), "{overview}");
    assert!(overview.contains("Most in mlp_down") && overview.contains("Movement over depth"));
    assert!(overview.contains("heat-0") && overview.contains("heat-7"));
    assert!(!overview.contains("No findings") && !rest.contains("<section id=\"findings\">"));
    assert!(overview.contains("<h3 class=\"whose\">gpt2-tuned</h3>"));
}

/// A page that is passed on does not say where its maker keeps files.
#[test]
fn titles_have_no_folders() {
    let mut report = samples::healthy();
    report.sources[0].path = "/home/someone/secret/gpt2/".to_owned();
    let page = still(&page(&report));
    assert!(page.contains("<title>gpt2 · WeightScope</title>") && page.contains("<h1>gpt2</h1>"));
    assert!(!page.contains("/home/someone"), "a path is shown");
}

/// Thousands of blocks share the columns of a map that fits a screen.
#[test]
fn a_deep_map_is_pooled() {
    let mut report = samples::empty();
    for block in 0..1700 {
        let name = format!("h.{block}.mlp.up.weight");
        report.weights.push(samples::weight(&name, Role::MlpUp, Some(block), &[8, 8]));
    }
    let dead = Finding::new("a.b", Severity::Critical, Some("h.997.mlp.up.weight"), "dead");
    report.findings.push(dead);
    let page = still(&page(&report));
    let map =
        page.split_once("<figure class=\"map\"").unwrap().1.split_once("</figure>").unwrap().0;
    let cells = map.matches("<td>").count();
    assert!((100..=128).contains(&cells), "{cells}");
    assert!(map.contains("h.997.mlp.up.weight and 13 more: critical, 1 finding"), "{map}");
}
