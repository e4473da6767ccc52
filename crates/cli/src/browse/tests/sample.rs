//! A small report with a bit of everything, some of it hostile.

use weightscope::{
    Axes, Category, CategoryRecord, Conclusion, Confidence, Descriptor, ErrorRecord, ErrorScope,
    Figure, FigureData, Finding, FindingSpec, Key, MetricSpec, ModelSummary, Part, ReferenceKind,
    Report, ReportKind, Role, SchemaRecord, Series, Settings, Severity, SourceRecord, Stack,
    Status, ToolRecord, Totals, Value, WeightRecord, WeightStatus,
};

/// Two analyzers, as far as the sample needs them. A third one is unknown here.
pub(super) static DESCRIPTORS: [Descriptor; 2] = [
    Descriptor {
        id: "distribution",
        summary: "Moments, quantiles and normality of weights",
        metrics: &[
            MetricSpec::new("mean", "weight", "Arithmetic mean of the finite values."),
            MetricSpec::new("std", "weight", "Population standard deviation (divisor n)."),
            MetricSpec::new("excess_kurtosis", "", "m4/m2^2 - 3: 0 for a normal."),
        ],
        ..Descriptor::EMPTY
    },
    Descriptor {
        id: "spectral",
        summary: "Singular values, ranks and condition numbers",
        metrics: &[
            MetricSpec::new("condition_number", "", "kappa = sigma_1/sigma_M."),
            MetricSpec::new(
                "stable_rank",
                "",
                "sum lambda/lambda_1 with lambda = sigma^2, 1 to M: the energy in units of the strongest direction.",
            )
            .trend()
            .siblings(),
        ],
        findings: &[FindingSpec {
            code: "spectral.ill-conditioned",
            severities: &[Severity::Critical],
            doc: "The trimmed condition number is above 1e4. Random matrices have trimmed ones below 38.",
            advice: "keep that direction in higher precision",
        }],
        ..Descriptor::EMPTY
    },
];

pub(super) fn empty() -> Report {
    Report {
        schema: SchemaRecord::default(),
        tool: ToolRecord { name: "sample".to_owned(), version: "0".to_owned() },
        kind: ReportKind::Scan,
        status: Status::Complete,
        sources: Vec::new(),
        models: Vec::new(),
        settings: Settings::default(),
        weights: Vec::new(),
        findings: Vec::new(),
        facts: Vec::new(),
        conclusions: Vec::new(),
        figures: Vec::new(),
        errors: Vec::new(),
        totals: Totals::default(),
        timings: None,
    }
}

fn key(text: &str) -> Key {
    Key::Owned(text.to_owned())
}

fn weight(name: &str, role: Role, block: Option<u32>, seed: u64) -> WeightRecord {
    // Something like measurements, the same every time.
    let x = |k: u64| ((seed * 37 + k * 101) % 97) as f64 / 97.0;
    let distribution = [
        ("mean", Value::from(x(1) * 1e-3 - 5e-4)),
        ("std", Value::from(0.02 + x(2) * 0.05)),
        ("excess_kurtosis", Value::from(x(3) * 8.0 - 1.0)),
    ];
    let spectral = [
        ("condition_number", Value::from(10f64.powf(1.0 + 3.0 * x(4)))),
        ("stable_rank", Value::from(2.0 + x(5) * 20.0)),
        ("alpha", if seed.is_multiple_of(3) { Value::Null } else { Value::from(2.0 + x(6)) }),
        ("singular_values", (0..40).map(|i| 4.0 / f64::from(i + 1)).collect()),
    ];
    let mystery = [("glow\u{1b}[5m", Value::Text("warm\u{202e}".to_owned()))];
    let metrics = |list: &[(&str, Value)]| list.iter().map(|(k, v)| (key(k), v.clone())).collect();
    WeightRecord {
        name: name.to_owned(),
        other: None,
        source_tensor: name.to_owned(),
        model: 0,
        role,
        part: Part::Weight,
        stack: block.map(|_| Stack::Decoder),
        block,
        expert: None,
        dtype: if seed.is_multiple_of(4) { "F32" } else { "BF16" }.to_owned(),
        stored: None,
        shape: vec![768, 2304],
        matrix: Some([2304, 768]),
        transposed: role == Role::AttentionQkv,
        heads: None,
        confidence: Confidence::Known,
        parameters: 768 * 2304,
        status: WeightStatus::Ok,
        reason: None,
        analyses: [
            ("distribution", metrics(&distribution)),
            ("spectral", metrics(&spectral)),
            ("mystery", metrics(&mystery)),
        ]
        .into_iter()
        .map(|(id, metrics)| (key(id), metrics))
        .collect(),
        undefined: std::iter::once((key("spectral.alpha"), "the tail is too short".to_owned()))
            .collect(),
    }
}

fn figure(id: &str, weight: Option<&str>, title: &str, axes: Axes, data: FigureData) -> Figure {
    let analyzer = key(id.split_once('.').map_or("", |(analyzer, _)| analyzer));
    Figure {
        id: key(id),
        weight: weight.map(str::to_owned),
        analyzer,
        title: title.to_owned(),
        axes,
        data,
    }
}

/// The two figures of a weight.
fn figures(name: &str) -> [Figure; 2] {
    let bell = |i: f64| (-(i - 20.0) * (i - 20.0) / 50.0).exp();
    let histogram = FigureData::Histogram {
        low: -0.2,
        width: 0.01,
        counts: (0..40).map(|i| (1000.0 * bell(f64::from(i) + 0.5)) as u64).collect(),
        below: 0,
        above: 0,
        normal: Some([0.0, 0.06]),
        statistics: Vec::new(),
    };
    let curve = |name: &str, y: &dyn Fn(f64) -> f64| Series {
        name: name.to_owned(),
        x: (1..=200).map(f64::from).collect(),
        y: (1..=200).map(|r| Some(y(f64::from(r)))).collect(),
    };
    let spectrum = FigureData::Line {
        series: vec![
            curve("singular values", &|r| 8.0 / r.sqrt()),
            curve("random matrix", &|r| 1.5 * (1.0 - r / 250.0)),
            curve("storage noise", &|_| 1e-9),
        ],
    };
    let log = Axes { log_x: true, log_y: true, ..Axes::new("rank", "singular value") };
    [
        figure(
            "distribution.histogram",
            Some(name),
            "Values against the normal",
            Axes::new("weight", "count"),
            histogram,
        ),
        figure(
            "spectral.spectrum",
            Some(name),
            "Singular values against a random matrix",
            log,
            spectrum,
        ),
    ]
}

/// A model of a few blocks and a weight with a hostile name.
pub(super) fn report() -> Report {
    let mut weights = vec![weight("wte.weight", Role::TokenEmbedding, None, 3)];
    for block in 0..4u32 {
        let seed = u64::from(block) * 5;
        let of = |name: &str| format!("h.{block}.{name}.weight");
        weights.push(weight(&of("attn.c_attn"), Role::AttentionQkv, Some(block), seed + 1));
        weights.push(weight(&of("mlp.c_fc"), Role::MlpUp, Some(block), seed + 2));
    }
    weights.push(weight("evil\u{1b}[2J\u{202e}权重.weight", Role::Other, None, 12));
    weights.push(weight("a.very.long.name.of.a.tensor.in.some.tower.weight", Role::Other, None, 9));
    let mut skipped = weight("mask", Role::Other, None, 8);
    skipped.part = Part::Buffer;
    skipped.analyses.clear();
    skipped.status = WeightStatus::Skipped;
    skipped.reason = Some("no chosen analyzer measures it".to_owned());
    weights.push(skipped);
    let figures = ["wte.weight", "h.0.mlp.c_fc.weight", "h.1.mlp.c_fc.weight"].into_iter();
    let mut figures: Vec<Figure> = figures.flat_map(self::figures).collect();
    let bars = FigureData::Bar {
        labels: vec!["attention".to_owned(), "feed\u{7}forward".to_owned()],
        values: vec![7_077_888.0, 14_155_776.0],
    };
    let axes = Axes::new("category", "parameters");
    figures.push(figure("model.categories", None, "Parameters by category", axes, bars));
    let trend = FigureData::Line {
        series: ["attention_qkv", "mlp_up"]
            .into_iter()
            .zip([3.0, 9.0])
            .map(|(name, start)| Series {
                name: name.to_owned(),
                x: (0..4).map(f64::from).collect(),
                y: (0..4).map(|b| (b != 2).then(|| start + f64::from(b))).collect(),
            })
            .collect(),
    };
    let axes = Axes::new("block", "stable_rank");
    figures.push(figure("trend.spectral.stable_rank", None, "stable_rank over depth", axes, trend));
    let finding =
        |code, severity, weight, message: &str| Finding::new(code, severity, weight, message);
    let findings = vec![
        finding(
            "spectral.ill-conditioned",
            Severity::Critical,
            Some("evil\u{1b}[2J\u{202e}权重.weight"),
            "the trimmed condition number is 2.1e4\u{1b}[31m",
        )
        .metric("condition_number", 2.1e4)
        .threshold(1e4)
        .reference(ReferenceKind::Gaussian, 38.0)
        .advice("keep that direction in higher precision"),
        Finding {
            known: true,
            ..finding(
                "spectral.unlike-siblings",
                Severity::Warning,
                Some("h.2.mlp.c_fc.weight"),
                "stable_rank is 3.1 x the median of 4 siblings (z 7.0)",
            )
            .metric("stable_rank", 17.2)
            .reference(ReferenceKind::Siblings, 5.5)
            .advice("compare it with its neighbours")
        },
        finding("integrity.side-file", Severity::Info, None, "config.json says nothing of heads"),
    ];
    let findings_counts = weightscope::FindingCounts::of(&findings);
    let totals = Totals {
        declared: 12,
        measured: 11,
        skipped: 1,
        failed: 0,
        not_measured: Vec::new(),
        findings: findings_counts,
    };
    let category = |category, parameters| CategoryRecord {
        category,
        tensors: 4,
        parameters,
        bytes: parameters * 2,
    };
    let model = ModelSummary {
        family: "gpt2".to_owned(),
        parameters: 21_233_664,
        parameters_with_tied_copies: 21_233_664,
        tensors: 12,
        blocks: 4,
        heads: Some(12),
        head_dim: Some(64),
        hidden_size: Some(768),
        categories: vec![
            category(Category::Attention, 7_077_888),
            category(Category::FeedForward, 14_155_776),
        ],
        unexpected: vec!["evil\u{1b}[2J\u{202e}权重.weight".to_owned()],
        ..ModelSummary::default()
    };
    Report {
        sources: vec![SourceRecord {
            path: "models/sample\u{1b}]0;x\u{7}".to_owned(),
            format: "safetensors".to_owned(),
            ..SourceRecord::default()
        }],
        models: vec![model],
        status: Status::Partial,
        conclusions: vec![Conclusion {
            nothing: false,
            code: key("spectral.trend"),
            analyzer: key("spectral"),
            scope: "decoder mlp_up".to_owned(),
            message: "stable_rank of decoder mlp_up grows with depth (rho 0.95 over 4 weights)"
                .to_owned(),
            evidence: Vec::new(),
        }],
        errors: vec![ErrorRecord {
            scope: ErrorScope::SideFile,
            name: "config.json".to_owned(),
            analyzer: None,
            code: key("broken-config"),
            message: "not JSON\u{1b}[0m".to_owned(),
        }],
        weights,
        figures,
        findings,
        totals,
        ..empty()
    }
}

/// Many weights, every tenth with a finding.
pub(super) fn large(count: u32) -> Report {
    let mut report = report();
    report.weights = (0..count)
        .map(|i| {
            let name = format!("model.layers.{}.mlp.experts.{}.up_proj.weight", i / 64, i % 64);
            weight(&name, Role::MlpUp, Some(i / 64), u64::from(i))
        })
        .collect();
    let names = report.weights.iter().step_by(10).map(|w| w.name.clone());
    let code = "spectral.ill-conditioned";
    let message = "the condition number is large";
    report.findings =
        names.map(|name| Finding::new(code, Severity::Warning, Some(&name), message)).collect();
    report.figures = report.weights.iter().flat_map(|w| figures(&w.name)).collect();
    report
}
